"""Processes with LangGraph graphs, really killed: an answer to a question is applied exactly once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def child(path: Path, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.langgraph_child",
        str(path),
        *arguments,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    return process.returncode or 0, out.decode().strip(), errors.decode()


async def test_an_answer_is_applied_exactly_once_wherever_the_process_is_killed(tmp_path: Path):
    """I8, I11: from the acceptance of the answer on, event by event, until the run has ended."""
    path = tmp_path / "log.db"
    code, out, errors = await child(path, "ask")
    assert code == 0, errors
    killed: list[int] = []
    for events, thread_id in enumerate(json.loads(out), 1):
        code, told, errors = await child(path, "resume", thread_id, str(events))
        is_done = told == "done"
        assert (code == 0) if is_done else (code == -signal.SIGKILL), errors
        code, told, errors = await child(path, "recover", thread_id)
        assert code == 0, errors
        state = json.loads(told)
        assert state["said"] == ["hello", "first: yes", "worked after 2"], events
        assert state["waiting"] == ["the second question"], events
        assert state["status"] == "interrupted"
        assert [status for status, _ in state["runs"]] == ["success", "success"]
        if is_done:
            break
        killed.append(max(attempt for _, attempt in state["runs"]))
    else:
        pytest.fail("the run never ended before it was killed: more threads are needed")
    assert len(killed) > 4
    assert 2 in killed
