"""What the worker owes: no run is forgotten, none is started twice, and stopping loses nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support.engine import (
    PATIENCE_SECONDS,
    Database,
    Gates,
    MortalTasks,
    Rogue,
    StillClock,
    answered,
    chat,
    heard,
    humans,
    join,
    pass_time,
    quiet,
    registry,
    soon,
    status_of,
    submit,
    until,
    until_heard,
    until_idle,
    write,
)
from tests.support.engine_laws import assert_consistent
from threadfold.domain.errors import StaleAttemptError, StoreUnavailableError
from threadfold.domain.events import RunAccepted, RunHandedOver, RunStarted
from threadfold.infrastructure.work.system import SystemClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from threadfold.domain.graph_ports import RunContext
    from threadfold.domain.ports import EventStore
    from threadfold.domain.thread import Run, Thread

pytestmark = pytest.mark.anyio

REPETITIONS = 50


# ------------------------------------------------------------------ stopping


async def test_whatever_was_begun_when_the_engine_closes_is_handed_over(
    database: Database,
) -> None:
    """The close comes at every moment between a run's acceptance and its first step."""
    gates = Gates()
    gates.close("A:1")
    ids: list[tuple[str, str]] = []
    for moment in range(30):
        async with database.engine(registry(chat(gates))) as engine:
            thread_id = (await engine.create_thread()).thread_id
            ids.append((thread_id, await submit(engine, thread_id, "A")))
            for _ in range(moment):
                await asyncio.sleep(0)
    gates.open()
    async with database.engine(registry(chat(gates))) as engine:
        for thread_id, run_id in ids:
            assert heard((await join(engine, thread_id, run_id)).values) == answered("A")
        log = await assert_consistent(engine, is_settled=True)
    starts = sum(isinstance(recorded.event, RunStarted) for recorded in log)
    handed_over = sum(isinstance(recorded.event, RunHandedOver) for recorded in log)
    assert starts - handed_over == len(ids), "no attempt was lost"


async def test_a_closed_engine_leaves_nothing_behind(database: Database) -> None:
    for moment in range(20):
        gates, tasks = Gates(), MortalTasks()
        gates.close("A:1")
        engine = database.engine(registry(chat(gates)), tasks=tasks, snapshot_events_min=1)
        await engine.start()
        for _ in range(3):
            thread_id = (await engine.create_thread()).thread_id
            await submit(engine, thread_id, "A")
            await submit(engine, thread_id, "B", after_seconds=1000)
        for _ in range(moment):
            await asyncio.sleep(0)
        await engine.close()
        if tasks._running:  # A snapshot that was being made, say; nothing that goes on for ever.
            _, pending = await asyncio.wait(tasks._running, timeout=PATIENCE_SECONDS)
            assert not pending


async def test_a_closing_engine_lets_running_code_finish_in_its_time(database: Database) -> None:
    gates = Gates()
    gates.close("A:1")
    engine = database.engine(registry(chat(gates)), shutdown_seconds=10)
    await engine.start()
    thread_id = (await engine.create_thread()).thread_id
    run_id = await submit(engine, thread_id, "A")
    await until_heard(engine, thread_id, "A.1")
    waiting = asyncio.create_task(engine.join_run(thread_id, run_id))
    closing = asyncio.create_task(engine.close())
    await quiet(engine)
    gates.open()
    await soon(closing)
    assert (await soon(waiting)).status == "success"


async def test_who_waits_when_the_engine_closes_is_told(database: Database) -> None:
    gates = Gates()
    gates.close("A:1")
    engine = database.engine(registry(chat(gates)))
    await engine.start()
    thread_id = (await engine.create_thread()).thread_id
    run_id = await submit(engine, thread_id, "A")
    waiting = asyncio.create_task(engine.join_run(thread_id, run_id))
    await until_heard(engine, thread_id, "A.1")
    await engine.close()
    with pytest.raises(StoreUnavailableError):
        await soon(waiting)
    with pytest.raises(StoreUnavailableError):
        await submit(engine, thread_id, "B")


async def test_code_that_does_not_stop_does_not_keep_the_engine_from_closing(
    database: Database,
) -> None:
    began, forever = asyncio.Event(), asyncio.Event()
    refused: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def code(context: RunContext) -> None:
        await context.record(write("first"))
        began.set()
        while not forever.is_set():
            try:
                await forever.wait()
            except asyncio.CancelledError:
                continue
        try:
            while True:
                await context.record(write("late"))
                await asyncio.sleep(0)
        except (StaleAttemptError, StoreUnavailableError) as error:
            refused.set_result(error)

    async def polite(context: RunContext) -> None:
        await context.record(write("polite"))

    engine = database.engine(registry(Rogue(code)), grace_seconds=0.01)
    await engine.start()
    thread_id = (await engine.create_thread()).thread_id
    run_id = await submit(engine, thread_id, "A")
    await soon(began.wait())
    await soon(engine.close())
    forever.set()
    await soon(refused)
    async with database.engine(registry(Rogue(polite))) as engine:
        assert (await join(engine, thread_id, run_id)).values == {"said": ["polite"]}
        await assert_consistent(engine, is_settled=True)


async def test_an_engine_that_cannot_start_does_not_stay_half_open(database: Database) -> None:
    flaky = Flaky()
    engine = database.engine(registry(chat(Gates())), store=flaky.wrap)
    flaky.failing = {"list_runs_in_flight"}
    with pytest.raises(StoreUnavailableError):
        await engine.start()
    assert not engine.is_open
    flaky.failing = set()


# ------------------------------------------------------------------ starting


async def test_who_has_just_joined_a_run_gets_the_next_one_started_with_its_acceptance(
    database: Database,
) -> None:
    async with database.engine(registry(chat(Gates()))) as engine:
        thread_id = (await engine.create_thread()).thread_id
        for count in range(REPETITIONS):
            await join(engine, thread_id, await submit(engine, thread_id, f"A{count}"))
        log = await assert_consistent(engine)
    accepted = [each.recorded_at for each in log if isinstance(each.event, RunAccepted)]
    started = [each.recorded_at for each in log if isinstance(each.event, RunStarted)]
    assert len(accepted) == REPETITIONS
    assert accepted == started, "what is appended together has one time"


# ------------------------------------------------------------------ a store that is away


class Flaky:
    """A store that fails where it is told to."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self._failed = asyncio.Event()

    def wrap(self, store: EventStore) -> EventStore:
        self._store = store
        return cast("EventStore", self)

    def __getattr__(self, name: str) -> Any:
        if name in self.failing:
            return self._fail
        return getattr(self._store, name)

    async def fails(self, times: int) -> None:
        """Wait until it has failed so often, from now on."""
        for _ in range(times):
            self._failed.clear()
            await soon(self._failed.wait())

    async def _fail(self, *_: object, **__: object) -> None:
        self._failed.set()
        raise StoreUnavailableError("away")


async def test_a_store_that_is_away_for_a_while_loses_no_step_and_no_end(
    database: Database,
) -> None:
    gates, flaky = Gates(), Flaky()
    async with database.engine(
        registry(chat(gates)), store=flaky.wrap, poll_seconds=0.001
    ) as engine:
        for count in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            gates.close(f"A{count}:1")
            run_id = await submit(engine, thread_id, f"A{count}")
            waiting = asyncio.create_task(engine.join_run(thread_id, run_id))
            await until_heard(engine, thread_id, f"A{count}.1")
            flaky.failing = {"append"}
            with pytest.raises(StoreUnavailableError):
                await submit(engine, thread_id, "B")
            gates.open()
            await flaky.fails(2)
            flaky.failing = set()
            result = await soon(waiting)
            assert heard(result.values) == answered(f"A{count}")
        await assert_consistent(engine, is_settled=True)


@pytest.mark.parametrize(
    "method", ["append", "list_leases", "list_runs_in_flight", "head_version", "head_position"]
)
async def test_work_goes_on_when_the_store_is_back(database: Database, method: str) -> None:
    flaky = Flaky()
    async with database.engine(
        registry(chat(Gates())), store=flaky.wrap, poll_seconds=0.005, lease_seconds=0.1
    ) as engine:
        for _ in range(5):
            thread_id = (await engine.create_thread()).thread_id
            run_id = await submit(engine, thread_id, "A", after_seconds=0.002)
            flaky.failing = {method}
            for _ in range(10):
                await asyncio.sleep(0.001)
            flaky.failing = set()
            await join(engine, thread_id, run_id)
        await assert_consistent(engine, is_settled=True)


async def test_a_run_is_ended_in_time_as_soon_as_the_store_is_back(database: Database) -> None:
    clock, gates, flaky = StillClock(), Gates(), Flaky()
    async with database.engine(registry(chat(gates)), clock=clock, store=flaky.wrap) as engine:
        thread_id = (await engine.create_thread()).thread_id
        gates.close("A:1")
        run_id = await submit(engine, thread_id, "A", timeout_seconds=60)
        await until_heard(engine, thread_id, "A.1")
        waiting = asyncio.create_task(engine.join_run(thread_id, run_id))
        flaky.failing = {"append"}
        await pass_time(engine, clock, 60)
        flaky.failing = set()
        await pass_time(engine, clock, 1)
        assert (await soon(waiting)).status == "timeout"


# ------------------------------------------------------------------ time that goes astray


class WrongClock(SystemClock):
    """The system's clock, set wrong."""

    def __init__(self) -> None:
        self.off = timedelta()

    def now(self) -> datetime:
        return super().now() + self.off


async def test_a_clock_that_is_set_back_holds_nothing_up(database: Database) -> None:
    clock = WrongClock()
    async with database.engine(registry(chat(Gates())), clock=clock) as engine:
        thread_id = (await engine.create_thread()).thread_id
        await join(engine, thread_id, await submit(engine, thread_id, "A"))
        clock.off = timedelta(hours=-1)
        await join(engine, thread_id, await submit(engine, thread_id, "B"))
        await assert_consistent(engine, is_settled=True)


# ------------------------------------------------------------------ several processes


async def test_a_run_that_lives_is_not_taken_for_lost(database: Database) -> None:
    """Both engines look for lost runs all the time, while runs start, go on and end."""
    gates = Gates()
    options: dict[str, Any] = {"lease_seconds": 60, "poll_seconds": 0.001, "grace_seconds": 0}
    async with (
        database.engine(registry(chat(gates)), **options) as one,
        database.engine(registry(chat(gates)), **options) as two,
    ):
        ids = [(await one.create_thread()).thread_id for _ in range(5)]
        looking = [asyncio.create_task(_keep_looking(engine)) for engine in (one, two)]
        for count in range(3):
            gates.close(f"m{count}:1")
            works = [
                submit(engine, thread_id, f"m{count}") for thread_id in ids for engine in (one, two)
            ]
            await asyncio.gather(*works)
            await gates[f"m{count}:1"].reached(len(ids))
            for engine in (one, two):
                await engine._worker._recovery.recover()
                await quiet(engine)
            gates.open()
            for thread_id in ids:
                await until_idle(one, thread_id)
        for task in looking:
            task.cancel()
        await asyncio.wait(looking)
        assert all(task.cancelled() for task in looking)
        log = await assert_consistent(one, is_settled=True)
    assert {r.event.attempt for r in log if isinstance(r.event, RunStarted)} == {1}


async def _keep_looking(engine: Any) -> None:
    while True:
        await engine._worker._recovery.recover()
        await asyncio.sleep(0.002)


async def test_the_run_of_a_dead_process_is_taken_up_by_another_at_once(
    database: Database,
) -> None:
    """The lease lasts an hour; it is the process's death that sets the run free."""
    gates = Gates()
    options: dict[str, Any] = {"lease_seconds": 3600}
    async with database.engine(registry(chat(gates)), **options) as heir:
        for attempt in range(1, 4):
            first = await database.mortal(registry(chat(gates)), **options)
            thread_id = (await first.engine.create_thread()).thread_id
            gates.close("A:1", "A:0")
            run_id = await submit(first.engine, thread_id, "A")
            await soon(gates["A:0"].reached(attempt * 2 - 1))
            await first.kill()
            gates.open("A:0")
            await until(heir, thread_id, _is_at(run_id, 2))
            gates.open()
            result = await join(heir, thread_id, run_id)
            assert heard(result.values) == answered("A")
        assert await heir._ports.store.list_leases() == ()
        await assert_consistent(heir, is_settled=True)


def _is_at(run_id: str, attempt: int) -> Any:
    def check(thread: Thread) -> bool:
        run: Run | None = thread.runs.get(run_id)
        return run is None or run.attempt >= attempt

    return check


async def test_a_run_fails_after_three_lost_attempts(database: Database) -> None:
    gates = Gates()
    gates.close("A:1")
    for attempt in range(1, 4):
        mortal = await database.mortal(registry(chat(gates)))
        if attempt == 1:
            thread_id = (await mortal.engine.create_thread()).thread_id
            run_id = await submit(mortal.engine, thread_id, "A")
            behind = await submit(mortal.engine, thread_id, "B")
        await until(mortal.engine, thread_id, _is_at(run_id, attempt))
        await until_heard(mortal.engine, thread_id, "A.1")
        await mortal.kill()
    async with database.engine(registry(chat(gates))) as engine:
        result = await join(engine, thread_id, run_id)
        assert (result.status, result.error.error) == ("error", "AttemptsExhausted")
        result = await join(engine, thread_id, behind)
        assert heard(result.values) == ["A", "A.1", *answered("B")]
        await assert_consistent(engine, is_settled=True)


async def test_a_handed_over_attempt_does_not_count_as_lost(database: Database) -> None:
    gates = Gates()
    gates.close("A:1")
    thread_id = run_id = ""
    for attempt in range(1, 7):
        async with database.engine(registry(chat(gates))) as engine:
            if attempt == 1:
                thread_id = (await engine.create_thread()).thread_id
                run_id = await submit(engine, thread_id, "A")
            await until(engine, thread_id, _is_at(run_id, attempt))
            assert await status_of(engine, thread_id, run_id) == "running"
    gates.open()
    async with database.engine(registry(chat(gates))) as engine:
        assert heard((await join(engine, thread_id, run_id)).values) == answered("A")


def deaf(began: asyncio.Event, stop: asyncio.Event) -> Callable[[RunContext], Awaitable[None]]:
    """Return code that does not hear its cancellation, and ends when it is told to; given B, it ends at once."""

    async def code(context: RunContext) -> None:
        if humans(cast("Any", context.input)) == ["B"]:
            await context.record(write("B"))
            return
        began.set()
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue

    return code


@pytest.mark.parametrize("is_touched", [False, True])
@pytest.mark.parametrize("is_stopping", [False, True])
async def test_code_of_another_process_is_waited_for_until_it_stops_or_the_grace_time_is_over(
    database: Database,
    is_touched: bool,  # noqa: FBT001
    is_stopping: bool,  # noqa: FBT001
) -> None:
    began, stop = asyncio.Event(), asyncio.Event()

    code = deaf(began, stop)
    clock = StillClock()
    async with database.engine(registry(Rogue(code)), clock=StillClock()) as one:
        thread_id = (await one.create_thread()).thread_id
        await submit(one, thread_id, "A")
        await soon(began.wait())
        async with database.engine(registry(Rogue(code)), clock=clock, grace_seconds=5) as two:
            run_id = await submit(two, thread_id, "B", "rollback")
            for at in range(20):
                await quiet(two)
                await clock.advance(0.2)
                if is_touched:  # The grace time does not begin anew.
                    await two.patch_thread(thread_id, {"at": at})
            await quiet(two)
            assert await status_of(two, thread_id, run_id) == "pending"
            if is_stopping:
                stop.set()
                await quiet(one)
            for _ in range(2 if is_stopping else 10):
                await clock.advance(0.2)
                await quiet(two)
            assert (await join(two, thread_id, run_id)).values == {"said": ["B"]}
            stop.set()
            await quiet(one)
            await assert_consistent(two, is_settled=True)


async def test_a_process_that_has_not_heard_of_another_ones_code_waits_for_it_too(
    database: Database,
) -> None:
    began, stop = asyncio.Event(), asyncio.Event()

    code = deaf(began, stop)
    clock = StillClock()
    async with (
        database.engine(registry(Rogue(code)), clock=StillClock()) as one,
        database.engine(registry(Rogue(code)), clock=clock) as two,
    ):
        thread_id = (await two.create_thread()).thread_id
        lost = await submit(one, thread_id, "A")
        await soon(began.wait())
        await one.cancel_run(thread_id, lost, action="rollback")
        # The second one still has the thread in mind as it created it.
        run_id = await submit(two, thread_id, "B")
        await quiet(two)
        assert await status_of(two, thread_id, run_id) == "pending"
        stop.set()
        await quiet(one)
        await clock.advance(0.1)
        assert (await join(two, thread_id, run_id)).values == {"said": ["B"]}
        await assert_consistent(two, is_settled=True)


async def test_code_that_was_given_up_does_not_go_on_writing_to_a_closed_engine(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused, once; nobody tries for ever to write what it gives."""
    wake, refused = asyncio.Event(), asyncio.Event()

    async def code(context: RunContext) -> None:
        if humans(cast("Any", context.input)) == ["B"]:
            return
        while not wake.is_set():
            try:
                await wake.wait()
            except asyncio.CancelledError:
                continue
        try:
            while True:
                await context.record(write("late"))
                await asyncio.sleep(0)
        except (StaleAttemptError, StoreUnavailableError):
            refused.set()

    tasks = MortalTasks()
    engine = database.engine(registry(Rogue(code)), tasks=tasks, grace_seconds=0)
    await engine.start()
    thread_id = (await engine.create_thread()).thread_id
    await submit(engine, thread_id, "A")
    await join(engine, thread_id, await submit(engine, thread_id, "B", "rollback"))
    await soon(engine.close())
    wake.set()
    await soon(refused.wait())
    if tasks._running:
        _, pending = await asyncio.wait(tasks._running, timeout=PATIENCE_SECONDS)
        assert not pending
    assert "trying again" not in caplog.text


async def test_a_delayed_run_waits_for_its_time_over_a_restart(database: Database) -> None:
    clock = StillClock()
    async with database.engine(registry(chat(Gates())), clock=clock) as engine:
        thread_id = (await engine.create_thread()).thread_id
        early = await submit(engine, thread_id, "early", after_seconds=10)
        late = await submit(engine, thread_id, "late", after_seconds=30)
    await clock.advance(20)
    async with database.engine(registry(chat(Gates())), clock=clock) as engine:
        await join(engine, thread_id, early)
        await pass_time(engine, clock, 5)
        assert await status_of(engine, thread_id, late) == "pending"
        await pass_time(engine, clock, 5)
        assert heard((await join(engine, thread_id, late)).values) == answered("early", "late")
        await assert_consistent(engine, is_settled=True)
