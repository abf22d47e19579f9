"""The writer's groups: each append stands or falls by itself, and none is answered before its commit."""

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Event

import pytest
from eventsourcing.persistence import DataError, IntegrityError, OperationalError

from tests.support.appends import append, run_row, thread_row
from threadfold.domain.errors import (
    RunIdTakenError,
    StoreUnavailableError,
    VersionConflictError,
)
from threadfold.infrastructure.log.planning import Write
from threadfold.infrastructure.log.rows import run_values, thread_values
from threadfold.infrastructure.log.sql_log import SQLLog
from threadfold.infrastructure.log.sqlite import SQLiteDatabase, SQLiteSettings
from threadfold.infrastructure.log.writer import Job

WAIT_SECONDS = 10


class Gate:
    """A crash point that holds the writer in its first commit, so that what comes meanwhile is a group."""

    def __init__(self) -> None:
        self.is_held = Event()
        self.may_go_on = Event()
        self.may_go_on.set()
        self.errors: dict[str, Exception] = {}

    def __call__(self, point: str) -> None:
        if point == "before_commit" and not self.may_go_on.is_set():
            self.is_held.set()
            assert self.may_go_on.wait(WAIT_SECONDS)
        if point in self.errors:
            raise self.errors.pop(point)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def log(path: Path, gate: Gate) -> Iterator[SQLLog]:
    settings = SQLiteSettings(synchronous="OFF", busy_seconds=0.05)
    log = SQLLog(SQLiteDatabase(path, settings), crash_point=gate)
    log.open()
    yield log
    gate.may_go_on.set()
    log.close()


def write(thread_id: str, expected: int | None, count: int = 1, **fields) -> Write:
    first = (expected or 0) + 1
    versions = range(first, first + count)
    events = [(thread_id, version, "Topic.1", b"%d" % version) for version in versions]
    return Write(events=events, thread_id=thread_id, expected_version=expected, **fields)


def accepting(thread_id: str, expected: int, run_id: str) -> Write:
    runs = [run_values(run_row(thread_id, run_id, expected + 1))]
    return write(thread_id, expected, runs=runs, accepts=frozenset({run_id}))


def as_one_group(log: SQLLog, gate: Gate, *works) -> list[Future]:
    """Submit all works while the writer is held, and let it take them together."""
    gate.is_held.clear()
    gate.may_go_on.clear()
    first: Future = Future()
    log.submit(Job(lambda session: None, first))
    assert gate.is_held.wait(WAIT_SECONDS)
    waiters = []
    for work in works:
        waiter: Future = Future()
        log.submit(Job(work, waiter))
        waiters.append(waiter)
    gate.may_go_on.set()
    first.result(WAIT_SECONDS)
    for waiter in waiters:
        waiter.exception(WAIT_SECONDS)
    return waiters


def positions(waiters: list[Future]) -> list:
    return [type(w.exception()) if w.exception() else w.result() + 1 for w in waiters]


def test_a_group_is_one_transaction(log: SQLLog, gate: Gate, path: Path) -> None:
    seen: list[str] = []
    original = gate.__call__
    log.writer._crash_point = lambda point: (seen.append(point), original(point))
    as_one_group(log, gate, *(write(f"t{n}", 0) for n in range(100)))
    assert seen == ["before_commit", "after_commit", "before_ack"] * 2
    assert log.head_position() == 100


def test_a_stale_append_fails_alone(log: SQLLog, gate: Gate) -> None:
    waiters = as_one_group(
        log, gate, write("a", 0, 2), write("b", 5), write("a", 0), write("c", 0), write("a", 2)
    )
    assert positions(waiters) == [1, VersionConflictError, VersionConflictError, 3, 4]
    assert [row[0] for row in log.log_rows()] == [1, 2, 3, 4]


def test_a_taken_run_id_fails_alone_also_when_taken_in_the_same_group(
    log: SQLLog, gate: Gate
) -> None:
    waiters = as_one_group(
        log,
        gate,
        accepting("a", 0, "r1"),
        accepting("a", 1, "r1"),
        accepting("a", 1, "r2"),
        accepting("b", 0, "r1"),
    )
    assert positions(waiters) == [1, RunIdTakenError, 2, 3]


def test_appends_to_one_thread_in_a_group_work_in_order_and_leave_the_last_rows(
    log: SQLLog, gate: Gate
) -> None:
    def step(expected: int) -> Write:
        return write(
            "t",
            expected,
            thread=thread_values(thread_row("t", expected + 1)),
            runs=[run_values(run_row("t", "r1", attempt=expected))],
        )

    waiters = as_one_group(log, gate, *(step(n) for n in range(5)))
    assert positions(waiters) == [1, 2, 3, 4, 5]
    assert log.get_thread("t").version == 5
    assert log.get_run("t", "r1").attempt == 4


def test_a_library_insert_of_a_taken_version_fails_alone(log: SQLLog, gate: Gate) -> None:
    def insert(*versions: int) -> Write:
        return Write(events=[("t", version, "Topic.1", b"") for version in versions])

    waiters = as_one_group(
        log,
        gate,
        write("t", 0),
        insert(1),
        insert(3),
        insert(2),
        insert(5, 5),
        insert(3, 4),
        insert(4),
    )
    assert positions(waiters) == [1, IntegrityError, 2, 3, IntegrityError, IntegrityError, 4]


def test_work_that_the_database_refuses_fails_alone(log: SQLLog, gate: Gate) -> None:
    def impossible(session) -> None:
        session.execute("INSERT INTO events VALUES (1, 2)")

    unstorable = Write(events=[("t", 1, "Topic.1", 2**80)], thread_id="t", expected_version=0)
    surrogate = write("\ud800", 0)
    waiters = as_one_group(
        log, gate, write("a", 0), impossible, unstorable, surrogate, write("b", 0)
    )
    assert positions(waiters)[0] == 1
    assert positions(waiters)[4] == 2
    assert [row[1] for row in log.log_rows()] == ["a", "b"]
    for waiter in waiters[1:4]:
        assert waiter.exception() is not None


def test_nothing_is_answered_before_the_commit(log: SQLLog, gate: Gate, path: Path) -> None:
    gate.may_go_on.clear()
    waiter: Future = Future()
    log.submit(Job(write("t", 0), waiter))
    assert gate.is_held.wait(WAIT_SECONDS)
    assert not waiter.done()
    assert log.head_position() == 0
    gate.may_go_on.set()
    assert waiter.result(WAIT_SECONDS) == 0
    assert log.head_position() == 1


def test_a_commit_that_failed_and_took_effect_is_acknowledged(
    log: SQLLog, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    gate.errors["after_commit"] = OperationalError("the disk fell silent")
    with caplog.at_level(logging.WARNING):
        assert log.call(write("t", 0, 2)) == 0
    assert "looking whether it stands" in caplog.text
    assert len(log.thread_rows("t")) == 2
    assert log.call(write("t", 2)) == 2


def test_a_commit_that_failed_and_took_no_effect_is_refused(log: SQLLog, gate: Gate) -> None:
    gate.errors["before_commit"] = OperationalError("the disk is full")
    with pytest.raises(OperationalError, match="the disk is full"):
        log.call(write("t", 0))
    assert log.thread_rows("t") == []
    assert log.call(write("t", 0)) == 0


def test_after_a_failed_commit_each_append_of_the_group_gets_its_own_answer(
    log: SQLLog, gate: Gate
) -> None:
    def fail_from_now_on(session) -> None:
        gate.errors["after_commit"] = OperationalError("?")

    waiters = as_one_group(log, gate, write("a", 0), write("a", 0), write("b", 0), fail_from_now_on)
    assert gate.errors == {}
    assert positions(waiters[:3]) == [1, VersionConflictError, 2]


def test_while_the_database_does_not_answer_neither_does_the_writer(
    log: SQLLog, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, real = [], log.writer._connect

    def connect():
        asked.append(1)
        if len(asked) < 3:
            raise OperationalError("nobody there")
        return real()

    monkeypatch.setattr(log.writer, "_connect", connect)
    gate.errors["after_commit"] = OperationalError("?")
    assert log.call(write("t", 0)) == 0
    assert len(asked) == 3


def test_closing_ends_the_wait_for_an_answer(
    log: SQLLog, gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    is_asked = Event()

    def connect():
        is_asked.set()
        raise OperationalError("nobody there")

    monkeypatch.setattr(log.writer, "_connect", connect)
    gate.errors["after_commit"] = OperationalError("the line is cut")
    waiter: Future = Future()
    log.submit(Job(write("t", 0), waiter))
    assert is_asked.wait(WAIT_SECONDS)
    log.close()
    with pytest.raises(OperationalError, match="the line is cut"):
        waiter.result(WAIT_SECONDS)
    assert "is not known" in caplog.text


def test_a_writer_that_breaks_answers_and_goes_on(
    log: SQLLog, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    gate.errors["before_ack"] = ZeroDivisionError()
    waiter: Future = Future()
    log.submit(Job(write("t", 0), waiter))
    with pytest.raises(ZeroDivisionError):
        waiter.result(WAIT_SECONDS)
    assert "broke off" in caplog.text
    assert log.call(write("t", 1)) == 1


def test_another_event_in_the_same_place_is_not_taken_for_ours(
    log: SQLLog, gate: Gate, path: Path
) -> None:
    """The commit fails, and before the writer is back another process appends there."""

    def fail_and_let_another_in(point: str) -> None:
        if point != "before_commit":
            return
        log.writer._crash_point = lambda point: None
        log.writer._session.close()
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("INSERT INTO events VALUES (1, 't', 1, 'Topic.1', 'theirs')")
        other.close()
        raise OperationalError("?")

    log.writer._crash_point = fail_and_let_another_in
    with pytest.raises(OperationalError):
        log.call(write("t", 0))
    with pytest.raises(VersionConflictError):
        log.call(write("t", 0))


def test_a_file_that_another_process_holds_is_an_error_in_time(
    log: SQLLog, gate: Gate, path: Path
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="locked"):
        log.call(write("t", 0))
    other.execute("COMMIT")
    other.close()
    assert log.call(write("t", 0)) == 0


def test_where_threads_stand_is_read_again_after_another_process_has_written(
    log: SQLLog, path: Path
) -> None:
    log.call(write("t", 0))
    other = SQLLog(SQLiteDatabase(path, SQLiteSettings(synchronous="OFF")))
    other.open()
    assert other.call(write("t", 1)) == 1
    with pytest.raises(VersionConflictError):
        log.call(write("t", 1))
    assert log.call(write("t", 2)) == 2
    other.close()


def test_what_was_rolled_back_is_not_remembered(log: SQLLog, gate: Gate) -> None:
    log.call(write("t", 0))

    def fail(session) -> None:
        raise DataError("no")

    as_one_group(log, gate, write("t", 1), fail)
    assert log.call(write("t", 2)) == 2


def test_too_much_waiting_is_refused_at_once(log: SQLLog, gate: Gate) -> None:
    log.writer._queue_max = 3
    gate.may_go_on.clear()
    waiters = [Future() for _ in range(5)]
    log.submit(Job(write("t", 0), waiters[0]))
    assert gate.is_held.wait(WAIT_SECONDS)
    for version, waiter in enumerate(waiters[1:4], 1):
        log.submit(Job(write("t", version), waiter))
    with pytest.raises(OperationalError, match="waiting"):
        log.submit(Job(write("t", 4), waiters[4]))
    gate.may_go_on.set()
    assert [waiter.result(WAIT_SECONDS) for waiter in waiters[:4]] == [0, 1, 2, 3]


def test_closing_writes_what_was_taken_and_takes_no_more(log: SQLLog, gate: Gate) -> None:
    gate.may_go_on.clear()
    waiters = [Future() for _ in range(10)]
    for version, waiter in enumerate(waiters):
        log.submit(Job(write("t", version), waiter))
    gate.may_go_on.set()
    log.close()
    assert [waiter.result(0) for waiter in waiters] == list(range(10))
    with pytest.raises(OperationalError, match="closed"):
        log.submit(Job(write("t", 10), Future()))
    with pytest.raises(OperationalError, match="closed"):
        log.call(write("t", 10))


@pytest.mark.anyio
async def test_an_event_loop_is_woken_once_for_a_group(log: SQLLog, gate: Gate) -> None:
    loop = asyncio.get_running_loop()
    woken: list = []
    original = loop.call_soon_threadsafe
    gate.may_go_on.clear()
    waiters = [loop.create_future() for _ in range(20)]
    log.submit(Job(write("t", 0), waiters[0]))
    assert gate.is_held.wait(WAIT_SECONDS)
    for version, waiter in enumerate(waiters[1:], 1):
        log.submit(Job(write("t", version), waiter))

    def counted(callback, *args, **kwargs):
        woken.append(callback)
        return original(callback, *args, **kwargs)

    loop.call_soon_threadsafe = counted
    gate.may_go_on.set()
    assert await asyncio.gather(*waiters) == list(range(20))
    assert len(woken) == 2


@pytest.mark.anyio
async def test_errors_of_the_database_reach_callers_as_store_errors(sqlite_url, opening) -> None:
    gate = Gate()
    store = await opening(sqlite_url, crash_point=gate)
    gate.errors["before_commit"] = OperationalError("the disk is full")
    with pytest.raises(StoreUnavailableError, match="the disk is full"):
        await store.append(append("t", 0))
    assert await store.head_version("t") == 0
    await store.append(append("t", 0))
