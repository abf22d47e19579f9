"""`threadfold log | state | runs` on a database in which a run was rolled back."""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.cli.conftest import COMMAND, Audited
from threadfold.app.cli import app

UNKNOWN = "01a00000-0000-7000-8000-000000000000"


def said_by(*command: str, width: int = 200, **environment: str) -> str:
    """Run a command, and return what it prints."""
    environment = {"COLUMNS": str(width), "NO_COLOR": "", **environment}
    result = CliRunner().invoke(app, command, env=environment)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_log_marks_what_was_rolled_back_and_what_did_it(audited: Audited) -> None:
    text = said_by("log", audited.thread_id, "--store", audited.store)
    assert audited.thread_id in text
    rows = [line for line in text.splitlines() if re.search(r"\d\d:\d\d:\d\d\.\d{3}", line)]
    marks: dict[str, list[str]] = {"x": [], "†": [], " ": []}
    for row in rows:
        marks[row.strip()[0] if row.strip()[0] in marks else " "].append(row)
    assert len(marks["x"]) == 4  # Accepted, started, input, one step.
    assert all(audited.a[-8:] in row for row in marks["x"])
    (tombstone,) = marks["†"]
    assert "RunRolledBack" in tombstone
    assert f"double text by run {audited.b[-8:]}" in tombstone
    assert any("human 'b'" in row for row in marks[" "])
    assert any("ValueError: no such luck" in row for row in marks[" "])
    assert "tombstone" in text
    assert "\x1b" not in text


def test_in_a_terminal_it_is_struck_through(audited: Audited) -> None:
    command = ("log", audited.thread_id, "--store", audited.store)
    text = said_by(*command, FORCE_COLOR="1", TERM="xterm-256color")
    struck = [line for line in text.splitlines() if re.search(r"\x1b\[[\d;]*\b9m", line)]
    assert len(struck) == 4
    assert "\x1b[31m" not in text  # The agent's own: it does not steer the reader's terminal.


def test_a_narrow_terminal_loses_nothing(audited: Audited) -> None:
    text = said_by("log", audited.thread_id, "--store", audited.store, width=70)
    assert "RunRolledBack" in text
    assert max(map(len, text.splitlines())) <= 70


def test_for_machines_each_event_is_a_line_of_json(audited: Audited) -> None:
    text = said_by("log", audited.thread_id, "--json", "--store", audited.store)
    events = [json.loads(line) for line in text.splitlines()]
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["type"] == "ThreadCreated"
    undone = [event for event in events if event["is_undone"]]
    assert {event["run_id"] for event in undone} == {audited.a}
    (tombstone,) = [event for event in events if event["type"] == "RunRolledBack"]
    assert tombstone["run_id"] == audited.a
    assert tombstone["by_run_id"] == audited.b
    assert not tombstone["is_undone"]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_followed_log_goes_on(audited: Audited, tmp_path: Path, options: tuple[str, ...]) -> None:
    import asyncio

    from tests.support.engine import Database, Gates, chat, registry, submit

    command = [*COMMAND, "log", audited.thread_id, "--follow", *options, "--store", audited.store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            while "RunFailed" not in process.stdout.readline():
                pass

            async def more() -> str:
                database = Database(tmp_path / "log.db")
                async with database.engine(registry(chat(Gates()))) as engine:
                    return await submit(engine, audited.thread_id, "d", after_seconds=3600)

            run_id = asyncio.run(more())
            deadline = time.monotonic() + 20
            line = ""
            while run_id[-8:] not in line:
                assert time.monotonic() < deadline
                line = process.stdout.readline()
            assert "RunAccepted" in line
        finally:
            process.kill()


def test_the_state_now_and_at_any_version(audited: Audited) -> None:
    where = ("--store", audited.store)
    now = json.loads(said_by("state", audited.thread_id, *where))
    assert [entry["content"] for entry in now["values"]["messages"]] == ["b", "b.1", "b.2", "c"]
    assert now["thread_id"] == audited.thread_id
    assert now["error"]["error"] == "ValueError"
    events = [
        json.loads(line)
        for line in said_by("log", audited.thread_id, "--json", *where).splitlines()
    ]
    tombstone = next(event for event in events if event["type"] == "RunRolledBack")
    before = str(tombstone["version"] - 1)
    then = json.loads(said_by("state", audited.thread_id, "--at", before, *where))
    assert [entry["content"] for entry in then["values"]["messages"]] == ["a", "a.1"]
    assert then["next"] == ["agent"]


def test_runs_include_those_that_are_gone_from_everywhere_else(audited: Audited) -> None:
    where = ("--store", audited.store)
    text = said_by("runs", audited.thread_id, *where)
    rows = [line for line in text.splitlines() if "human" in line]
    assert [row.split()[0] for row in rows] == ["x", audited.b, audited.c]
    assert audited.a in rows[0]
    assert "rolled back" in rows[0]
    runs = [
        json.loads(line)
        for line in said_by("runs", audited.thread_id, "--json", *where).splitlines()
    ]
    assert [(run["run_id"], run["status"]) for run in runs] == [
        (audited.a, "rolled_back"),
        (audited.b, "success"),
        (audited.c, "error"),
    ]


def test_the_store_can_be_named_by_the_environment(audited: Audited) -> None:
    assert audited.b in said_by("runs", audited.thread_id, THREADFOLD_STORE=audited.store)


@pytest.mark.parametrize("command", ["log", "state", "runs"])
def test_what_is_not_there_is_one_clear_line(
    audited: Audited, tmp_path: Path, command: str
) -> None:
    for store, expected in (
        (audited.store, f"Thread with ID {UNKNOWN} not found"),
        (f"sqlite:///{tmp_path}/none.db", "There is no database"),
        ("nonsense://x", "names no store"),
    ):
        result = CliRunner().invoke(app, [command, UNKNOWN, "--store", store])
        assert result.exit_code == 1
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert expected in line
    assert not (tmp_path / "none.db").exists()
