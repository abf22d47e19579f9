"""`threadfold demo`: it shows what it promises, and fails if anything deviates."""

import re
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from tests.cli.conftest import COMMAND, refused
from threadfold.app import demo
from threadfold.app.demo import DemoError, run_demo

pytestmark = pytest.mark.slow


def test_the_demo_shows_the_second_turn_the_404_and_the_audit_log(tmp_path: Path) -> None:
    command = [*COMMAND, "demo", "--keep", "kept.db", "--pause", "0.8"]
    done = subprocess.run(  # noqa: S603 - our own command
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert "what's the weather in nyc?" in text
    assert "It's 90 degrees and sunny." in text
    conversation = text.split("rolled back")[0]
    assert "sf" not in conversation
    for title in ("Human Message", "Ai Message", "Tool Message"):
        assert title in conversation
    assert "-> 404" in text
    assert "RunRolledBack" in text
    assert re.search(r"^ *x .*RunAccepted", text, re.MULTILINE)
    assert re.search(r"^ *x .*StepRecorded", text, re.MULTILINE)
    assert (tmp_path / "kept.db").exists()
    assert "exists already" in refused(tmp_path, "demo", "--keep", "kept.db")


async def test_a_deviation_fails_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SECOND", "what's the weather in rome?")
    with pytest.raises(DemoError, match="nyc"):
        await run_demo(Console(quiet=True), keep=None, pause_seconds=0)


async def test_a_server_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from threadfold.domain.errors import ConfigurationError

    monkeypatch.setenv("THREADFOLD_WORKER_SLOTS", "many")
    with pytest.raises(ConfigurationError, match="THREADFOLD_WORKER_SLOTS"):
        await run_demo(Console(quiet=True), keep=None, pause_seconds=0)
