"""Real processes, really killed: what was acknowledged stands, and every accepted run comes to exactly one end."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.support.engine import (
    Database,
    heard,
    join,
    registry,
    said,
    submit,
    until,
)
from tests.support.engine_child import patient
from tests.support.engine_crashes import Place, attempts, ended, kill
from tests.support.engine_laws import assert_consistent, by_thread
from threadfold.domain.events import RunHandedOver, RunStarted
from threadfold.infrastructure.graphs.functions import FunctionGraph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

KILLS = 10
RESTART_SECONDS_MAX = 2.0
"""From the restart to the start of the next run: a promise of the documentation."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def kill_again_and_again(place: Place, kills: int, seed: object) -> None:
    """Put load on a server, kill it at any moment, start it again."""
    chance = random.Random(str(seed))  # noqa: S311 - a moment, not a secret
    for count in range(kills):
        process = await place.start("load", "--seed", f"{seed}-{count}")
        if chance.random() < 0.8:  # Else it may die while it starts.
            await place.acknowledged("open", of=process.pid)
        await asyncio.sleep(chance.uniform(0.0, 0.6))
        kill(process)
        code, errors = await ended(process)
        assert code == -signal.SIGKILL, errors


async def test_nothing_that_was_acknowledged_is_lost_when_servers_are_killed(place: Place) -> None:
    await kill_again_and_again(place, KILLS, "tests")
    log = await place.finish()
    assert len(place.read("accepted")) > KILLS
    assert max(attempts(log)) > 1, "some run was met in the middle"


@pytest.mark.parametrize("times", [3, 17, 40])
@pytest.mark.parametrize("point", ["before_commit", "after_commit", "before_ack"])
async def test_a_crash_at_each_point_of_a_write_keeps_what_was_acknowledged(
    place: Place, point: str, times: int
) -> None:
    process = await place.start("load", "--crash", f"{point}:{times}")
    code, errors = await ended(process)
    assert code == -signal.SIGKILL, errors
    await place.finish()


async def test_an_acknowledgement_before_the_commit_would_be_found_out(place: Place) -> None:
    process = await place.start("load", "--crash", "before_commit:17", "--mutant")
    assert (await ended(process))[0] == -signal.SIGKILL
    with pytest.raises(AssertionError, match="was acknowledged"):
        await place.finish()


async def test_the_next_run_starts_within_two_seconds_of_a_restart(
    place: Place, record_property: Callable[[str, object], None]
) -> None:
    await _fill(place, events=10_000)
    process = await place.start("submit-one", "--agent", "patient")
    await place.acknowledged("first start", of=process.pid)
    kill(process)
    await ended(process)

    heir = await place.start("serve", "--agent", "patient")
    _, seconds = await place.acknowledged("first start", of=heir.pid)
    record_property("seconds", seconds)
    kill(heir)
    await ended(heir)
    assert float(seconds) <= RESTART_SECONDS_MAX


async def _fill(place: Place, events: int) -> None:
    """Write a log of so many events, on threads of all sizes."""

    async def talkative(state):
        for step in range(90):
            yield said(f"{len(state['messages'])}.{step}", role="ai")

    database = Database(place.database)
    async with database.engine(registry(FunctionGraph("agent", talkative))) as engine:
        ids = [(await engine.create_thread()).thread_id for _ in range(6)]
        for count in itertools.count():
            if await engine._ports.store.head_position() >= events:
                break
            thread_ids = [thread_id for at, thread_id in enumerate(ids) if count % (at + 1) == 0]
            run_ids = [await submit(engine, thread_id, "go on") for thread_id in thread_ids]
            for thread_id, run_id in zip(thread_ids, run_ids, strict=True):
                await join(engine, thread_id, run_id)


async def test_a_server_that_is_told_to_stop_hands_its_runs_over(place: Place) -> None:
    process = await place.start("submit-one", "--agent", "patient")
    _, run_id, _ = await place.acknowledged("accepted")
    await place.acknowledged("first start", of=process.pid)
    process.send_signal(signal.SIGTERM)
    code, errors = await ended(process)
    assert (code, errors) == (0, "")
    assert place.read("closed")
    heir = Database(place.database, prefix="heir-")
    async with heir.engine(registry(patient())) as engine:
        result = await join(engine, "thread", run_id)
        assert heard(result.values)[-2:] == ["attempt 2", "end of attempt 2"]
        log = await assert_consistent(engine, is_settled=True)
    of_run = [r.event for r in log if getattr(r.event, "run_id", None) == run_id]
    assert [e.attempt for e in of_run if isinstance(e, RunStarted)] == [1, 2]
    assert [e.attempt for e in of_run if isinstance(e, RunHandedOver)] == [1]


async def test_another_process_takes_the_runs_of_a_killed_one_up_at_once(place: Place) -> None:
    """The lease would last an hour; it is the lock of the dead process that tells."""
    options = {"lease_seconds": 3600, "poll_seconds": 0.05}
    process = await place.start("submit-one", "--agent", "patient", **options)
    _, run_id, _ = await place.acknowledged("accepted")
    await place.acknowledged("first start", of=process.pid)
    heir = Database(place.database, prefix="heir-")
    async with heir.engine(registry(patient()), **options) as engine:
        assert (await engine.get_run("thread", run_id)).row.attempt == 1
        killed_at = time.monotonic()
        kill(process)
        await until(engine, "thread", lambda thread: _attempt(thread, run_id) == 2)
        seconds = time.monotonic() - killed_at
        result = await join(engine, "thread", run_id)
        assert heard(result.values)[-1] == "end of attempt 2"
        await assert_consistent(engine, is_settled=True)
    await ended(process)
    assert seconds < RESTART_SECONDS_MAX


def _attempt(thread: object, run_id: str) -> int:
    run = thread.runs.get(run_id)  # type: ignore[attr-defined]
    return 2 if run is None else run.attempt


async def test_a_process_that_was_stopped_and_goes_on_writes_nothing_more(place: Place) -> None:
    """It lives, so only its lease can tell: that lapses, and its run goes on elsewhere."""
    options = {"lease_seconds": 0.6, "poll_seconds": 0.05, "grace_seconds": 0.1}
    process = await place.start("submit-one", "--agent", "patient", **options)
    _, run_id, _ = await place.acknowledged("accepted")
    await place.acknowledged("first start", of=process.pid)
    heir = Database(place.database, prefix="heir-")
    async with heir.engine(registry(patient()), **options) as engine:
        with closing(sqlite3.connect(place.database, isolation_level=None)) as connection:
            # Not in the middle of a transaction: that would lock all others out for as long as it is stopped.
            connection.execute("BEGIN IMMEDIATE")
            process.send_signal(signal.SIGSTOP)
            connection.execute("ROLLBACK")
        result = await join(engine, "thread", run_id)
        assert heard(result.values)[-1] == "end of attempt 2"
        head = await engine._ports.store.head_version("thread")
        process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.3)  # It writes a hundred times a second, if it is let.
        process.send_signal(signal.SIGTERM)
        assert (await ended(process))[0] == 0
        assert await engine._ports.store.head_version("thread") == head
        await assert_consistent(engine, is_settled=True)


async def test_two_processes_on_one_file_share_the_work(place: Place) -> None:
    """Both accept and execute; one of them is killed."""
    processes = [
        await place.start("load", "--seed", str(number), poll_seconds=0.05) for number in range(2)
    ]
    for process in processes:
        await place.acknowledged("open", of=process.pid)
    await place.acknowledged("ended", 40)
    kill(processes[0])
    await ended(processes[0])
    seen = len(place.read("ended"))
    await place.acknowledged("ended", seen + 20)
    kill(processes[1])
    await ended(processes[1])
    log = await place.finish()
    holders = {r.event.holder for r in log if isinstance(r.event, RunStarted)}
    assert len(holders) >= 2
    assert len(by_thread(log)) == 8
