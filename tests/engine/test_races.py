"""Races, each many times over: callers who come at once, ends that meet, code that does not stop when it should."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.support.engine import (
    PATIENCE_SECONDS,
    Database,
    Gates,
    Rogue,
    StillClock,
    answered,
    chat,
    heard,
    humans,
    join,
    listed,
    message_of,
    pass_time,
    quiet,
    registry,
    said,
    soon,
    status_of,
    submit,
    until,
    until_heard,
    until_idle,
    write,
)
from tests.support.engine_laws import assert_consistent
from tests.support.zombies import Zombie, said_by_rogue
from threadfold.domain.errors import (
    InvalidInputError,
    QueueFullError,
    RefusedError,
    RunEndedError,
    RunNotFoundError,
    StaleAttemptError,
    ThreadBusyError,
    ThreadNotFoundError,
)
from threadfold.domain.events import RunAccepted
from threadfold.domain.strategies import STRATEGIES
from threadfold.infrastructure.graphs.functions import FunctionGraph

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import Any

    from threadfold.app.engine import Engine
    from threadfold.domain.graph_ports import RunContext

pytestmark = pytest.mark.anyio

REPETITIONS = int(os.environ.get("THREADFOLD_REPETITIONS", "50"))
CALLERS = 20


class Crowd:
    """An agent that answers with one message, and counts whose code runs at the same time on a thread."""

    def __init__(self) -> None:
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.at_once = 0
        self.most_at_once = 0
        self.gates = Gates()

    def graph(self) -> FunctionGraph:
        async def agent(state, run) -> AsyncIterator[object]:
            self.running[run.thread_id] += 1
            self.at_once += 1
            self.most[run.thread_id] = max(self.most[run.thread_id], self.running[run.thread_id])
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                await self.gates[run.thread_id].pass_()
                text = state["messages"][-1]["content"]
                yield said(f"{text}.1", role="ai")
                await asyncio.sleep(0)
            finally:
                self.running[run.thread_id] -= 1
                self.at_once -= 1

        return FunctionGraph("agent", agent)


def chance_of(seed: object) -> random.Random:
    """Return a source of choices that are the same at each run of the tests."""
    return random.Random(str(seed))  # noqa: S311 - choices, not secrets


async def at_once(works: list[Any]) -> list[Any]:
    """Do all of this at one moment; return results and errors in order."""
    barrier = asyncio.Barrier(len(works))

    async def one(work: Any) -> Any:
        await barrier.wait()
        return await work

    return await soon(asyncio.gather(*(one(work) for work in works), return_exceptions=True))


# ------------------------------------------------------------------ many callers


@pytest.mark.parametrize("engines", [1, 2], ids=["one engine", "two engines"])
@pytest.mark.parametrize("strategy", [*STRATEGIES, "mixed"])
async def test_twenty_callers_at_once(database: Database, strategy: str, engines: int) -> None:
    crowd = Crowd()
    chance = chance_of(f"{strategy} {engines}")
    async with (
        database.engine(registry(crowd.graph()), worker_slots=10) as one,
        database.engine(registry(crowd.graph()), worker_slots=0) as two,
    ):
        for _ in range(REPETITIONS):
            thread_id = (await one.create_thread()).thread_id
            crowd.gates.close(thread_id)
            chosen = [
                chance.choice(STRATEGIES) if strategy == "mixed" else strategy
                for _ in range(CALLERS)
            ]
            doors = [one, two] if engines == 2 else [one]
            answers = await at_once(
                [
                    submit(doors[at % len(doors)], thread_id, f"m{at}", strategy)
                    for at, strategy in enumerate(chosen)
                ]
            )
            crowd.gates.open(thread_id)
            await until_idle(one, thread_id)
            await assert_fair(one, thread_id, chosen, answers)
        await assert_consistent(one, is_settled=True)
        assert max(crowd.most.values()) == 1


async def assert_fair(
    engine: Engine, thread_id: str, chosen: list[str], answers: list[Any]
) -> None:
    accepted = [answer for answer in answers if isinstance(answer, str)]
    refused = [answer for answer in answers if not isinstance(answer, str)]
    assert all(isinstance(answer, ThreadBusyError) for answer in refused), refused
    assert all(chosen[at] == "reject" for at, a in enumerate(answers) if not isinstance(a, str))
    views = (await engine.queries.list_runs(thread_id, limit=100))[::-1]
    statuses = [view.row.status for view in views]
    begun = [view for view in views if view.row.attempt]
    log = await engine.queries.log(thread_id)
    order = [r.event.run_id for r in log if isinstance(r.event, RunAccepted)]
    assert sorted(order) == sorted(accepted)
    match chosen[0] if len(set(chosen)) == 1 else "mixed":
        case "reject":
            assert (len(accepted), statuses) == (1, ["success"])
        case "enqueue":
            assert statuses == ["success"] * CALLERS
        case "interrupt":
            assert statuses == ["interrupted"] * (CALLERS - 1) + ["success"]
        case "rollback":
            assert ([view.row.run_id for view in views], statuses) == ([order[-1]], ["success"])
        case _:
            assert statuses[-1] == "success"
    values = (await engine.queries.get_state(thread_id)).values
    applied = humans(values)
    # A run that is stopped in its first moment, before its code could do anything, has not applied its input.
    assert applied == [message_of(view) for view in begun if message_of(view) in applied]
    assert {message_of(view) for view in views if view.row.status == "success"} <= set(applied)
    assert [view.row.created_at for view in views] == sorted({v.row.created_at for v in views})


async def test_runs_are_accepted_in_the_order_in_which_they_come(database: Database) -> None:
    """Also the first one, which may be accepted and started in one append."""
    gates = Gates()
    async with database.engine(registry(chat(gates))) as engine:
        for count in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            texts = [f"m{count}.{at}" for at in range(5)]
            await asyncio.gather(*(submit(engine, thread_id, text) for text in texts))
            views = await engine.queries.list_runs(thread_id)
            assert [message_of(view) for view in reversed(views)] == texts
            await until_idle(engine, thread_id)
            state = await engine.queries.get_state(thread_id)
            assert heard(state.values) == answered(*texts)
        await assert_consistent(engine, is_settled=True)


async def test_the_same_run_from_twenty_callers_is_accepted_once(database: Database) -> None:
    async with database.engine(registry(chat(Gates()))) as engine:
        for _ in range(REPETITIONS):
            thread_id, run_id = (await engine.create_thread()).thread_id, engine.new_run_id()
            answers = await at_once(
                [
                    submit(engine, thread_id, "m", STRATEGIES[at % 4], run_id=run_id)
                    for at in range(CALLERS)
                ]
            )
            assert set(answers) == {run_id}
            await until_idle(engine, thread_id)
            assert await listed(engine, thread_id) == [("m", "success")]
        await assert_consistent(engine, is_settled=True)


async def test_created_at_rises_within_a_thread_though_the_clock_stands_still(
    database: Database,
) -> None:
    async with database.engine(
        registry(chat(Gates())), clock=StillClock(), worker_slots=0
    ) as engine:
        thread_id = (await engine.create_thread()).thread_id
        await at_once([submit(engine, thread_id, f"m{at}") for at in range(REPETITIONS)])
        views = (await engine.queries.list_runs(thread_id, limit=100))[::-1]
        times = [view.row.created_at for view in views]
        assert times == sorted(set(times))
        assert len(times) == REPETITIONS
        assert sorted(view.row.run_id for view in views) == [view.row.run_id for view in views]


# ------------------------------------------------------------------ the last moment


@pytest.mark.parametrize("strategy", ["rollback", "interrupt"])
async def test_a_run_met_at_its_last_moment_is_kept_whole_or_not_at_all(
    database: Database, strategy: str
) -> None:
    gates = Gates()
    seen: Counter[str] = Counter()
    async with database.engine(registry(chat(gates))) as engine:
        for count in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            a, b = f"A{count}", f"B{count}"
            gates.close(f"{a}:2")
            run_id = await submit(engine, thread_id, a)
            await soon(gates[f"{a}:2"].reached())
            gates.open(f"{a}:2")
            for _ in range(count % 25):
                await asyncio.sleep(0)
            await join(engine, thread_id, await submit(engine, thread_id, b, strategy))

            status = await status_of(engine, thread_id, run_id)
            seen[status] += 1
            stands = heard((await engine.queries.get_state(thread_id)).values)
            if status == "success":
                assert stands == answered(a, b)
            elif status == "gone":
                assert stands == answered(b)
            else:
                assert status == "interrupted"
                assert stands[-3:] == answered(b)
                assert stands[:-3] == answered(a)[: len(stands) - 3]
        await assert_consistent(engine, is_settled=True)
    if database.kind == "memory" and strategy == "rollback":  # Both sides of the moment were met.
        assert len(seen) == 2


async def test_a_cancel_and_a_rollback_at_once_end_a_run_once(database: Database) -> None:
    gates = Gates()
    async with database.engine(registry(chat(gates))) as engine:
        for count in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            gates.close("A:1")
            a = await submit(engine, thread_id, "A")
            await until_heard(engine, thread_id, "A.1")
            works = [
                engine.cancel_run(thread_id, a, action="interrupt"),
                engine.cancel_run(thread_id, a, action="rollback"),
                submit(engine, thread_id, "B", "rollback"),
                engine.delete_run(thread_id, a),
            ]
            chance_of(count).shuffle(works)
            answers = await at_once(works)
            gates.open()
            await until_idle(engine, thread_id)
            assert not [
                answer
                for answer in answers
                if isinstance(answer, Exception)
                and not isinstance(answer, RunEndedError | RunNotFoundError)
            ]
            stands = heard((await engine.queries.get_state(thread_id)).values)
            assert stands in (answered("B"), ["A", "A.1", *answered("B")])
            log = await engine.queries.log(thread_id)
            ends = [r.event.type for r in log if getattr(r.event, "run_id", None) == a]
            assert sum(end in {"RunInterrupted", "RunRolledBack"} for end in ends) == 1
        await assert_consistent(engine, is_settled=True)


# ------------------------------------------------------------------ code that does not stop


@pytest.mark.parametrize("strategy", ["rollback", "interrupt"])
async def test_late_writes_of_a_displaced_run_leave_nothing(
    database: Database, strategy: str
) -> None:
    zombie = Zombie()
    clock = StillClock()
    async with database.engine(registry(zombie.graph()), clock=clock, grace_seconds=5) as engine:
        for count in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            zombie.awake.clear()
            lost = await submit(engine, thread_id, "zombie")
            await soon(zombie.began[lost].wait())
            await until(engine, thread_id, lambda thread: "said" in thread.values())
            b = await submit(engine, thread_id, "B", strategy)
            await soon(zombie.cancelled[lost].wait())
            if count % 2:
                zombie.awake.set()  # It wakes up while the next run waits for it …
                await join(engine, thread_id, b)
            else:
                await clock.advance(5)  # … or after that one has ended.
                await join(engine, thread_id, b)
                zombie.awake.set()
            await quiet(engine)

            stands = said_by_rogue((await engine.queries.get_state(thread_id)).values)
            assert stands == (["B.1"] if strategy == "rollback" else ["B.1", "zombie.1"])
        assert zombie.refused >= REPETITIONS
        await assert_consistent(engine, is_settled=True)


async def test_an_author_who_swallows_the_cancellation_and_yields_on_is_stopped(
    database: Database,
) -> None:
    stopped = 0

    async def agent(state) -> AsyncIterator[object]:
        nonlocal stopped
        text = state["messages"][-1]["content"]
        yield said(f"{text}.1", role="ai")
        if text != "zombie":
            return
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                yield said("still here", role="ai")
                yield said("and on", role="ai")
            finally:
                stopped += 1

    async with database.engine(registry(FunctionGraph("agent", agent))) as engine:
        for _ in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            await submit(engine, thread_id, "zombie")
            await until_heard(engine, thread_id, "zombie.1")
            b = await submit(engine, thread_id, "B", "rollback")
            assert heard((await join(engine, thread_id, b)).values) == ["B", "B.1"]
        assert stopped == REPETITIONS
        await assert_consistent(engine, is_settled=True)


async def test_the_next_run_starts_when_the_code_before_it_has_stopped(
    database: Database,
) -> None:
    """No time passes here at all: it is the code's end that lets the next run start."""
    zombie, clock = Zombie(), StillClock()
    async with database.engine(registry(zombie.graph()), clock=clock) as engine:
        for _ in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            zombie.awake.clear()
            lost = await submit(engine, thread_id, "zombie")
            await soon(zombie.began[lost].wait())
            b = await submit(engine, thread_id, "B", "rollback")
            await soon(zombie.cancelled[lost].wait())
            await quiet(engine)
            assert await status_of(engine, thread_id, b) == "pending"
            zombie.awake.set()
            await join(engine, thread_id, b)


async def test_the_next_run_starts_after_the_grace_time_at_the_latest(database: Database) -> None:
    zombie, clock = Zombie(), StillClock()
    async with database.engine(registry(zombie.graph()), clock=clock, grace_seconds=5) as engine:
        for _ in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            lost = await submit(engine, thread_id, "zombie")
            await soon(zombie.began[lost].wait())
            b = await submit(engine, thread_id, "B", "rollback")
            await soon(zombie.cancelled[lost].wait())
            await clock.advance(4.9)
            await quiet(engine)
            assert await status_of(engine, thread_id, b) == "pending"
            # Whatever else happens on the thread meanwhile, the grace time does not begin anew.
            await engine.patch_thread(thread_id, {"patched": True})
            await clock.advance(0.1)
            await join(engine, thread_id, b)
        zombie.awake.set()


async def test_without_grace_time_the_next_run_starts_at_once(database: Database) -> None:
    zombie = Zombie()
    async with database.engine(
        registry(zombie.graph()), clock=StillClock(), grace_seconds=0
    ) as engine:
        for _ in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            lost = await submit(engine, thread_id, "zombie")
            await soon(zombie.began[lost].wait())
            await join(engine, thread_id, await submit(engine, thread_id, "B", "rollback"))
        zombie.awake.set()
        await quiet(engine)
        await assert_consistent(engine, is_settled=True)


@pytest.mark.parametrize("how", ["cancel", "rollback", "delete thread"])
async def test_code_that_does_not_stop_holds_no_slot_beyond_the_grace_time(
    database: Database, how: str
) -> None:
    zombie, clock = Zombie(), StillClock()
    async with database.engine(
        registry(zombie.graph()), clock=clock, worker_slots=1, grace_seconds=5
    ) as engine:
        for _ in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            other_id = (await engine.create_thread()).thread_id
            lost = await submit(engine, thread_id, "zombie")
            await soon(zombie.began[lost].wait())
            if how == "cancel":
                await engine.cancel_run(thread_id, lost)
            elif how == "rollback":
                await engine.cancel_run(thread_id, lost, action="rollback")
            else:
                await engine.delete_thread(thread_id)
            other = await submit(engine, other_id, "other")
            await soon(zombie.cancelled[lost].wait())
            await clock.advance(5)
            await join(engine, other_id, other)
        zombie.awake.set()
        await quiet(engine)
        assert engine._worker.slots[0] == 1


# ------------------------------------------------------------------ deleting


@pytest.mark.parametrize("what", ["run", "thread"])
async def test_what_is_deleted_stops_and_does_not_come_back(database: Database, what: str) -> None:
    zombie, clock = Zombie(), StillClock()
    async with database.engine(
        registry(zombie.graph()), clock=clock, snapshot_events_min=1
    ) as engine:
        for count in range(REPETITIONS):
            zombie.awake.clear()
            thread_id = (await engine.create_thread()).thread_id
            lost = await submit(engine, thread_id, "zombie")
            queued = await submit(engine, thread_id, "queued")
            await soon(zombie.began[lost].wait())
            waiting = asyncio.create_task(engine.join_run(thread_id, lost))
            await quiet(engine)
            if what == "run":
                await engine.delete_run(thread_id, lost)
            else:
                await engine.delete_thread(thread_id)
                with pytest.raises(ThreadNotFoundError):
                    await engine.get_thread(thread_id)
                again = await engine.create_thread(thread_id)
                assert (again.values, again.metadata, again.status) == (None, {}, "idle")
                queued = await submit(engine, thread_id, "anew")
            assert (await soon(waiting)).status == "rolled_back"
            await soon(zombie.cancelled[lost].wait())
            if count % 2:
                zombie.awake.set()
                await join(engine, thread_id, queued)
            else:
                await clock.advance(5)
                await join(engine, thread_id, queued)
                zombie.awake.set()
            await quiet(engine)

            expected = "queued" if what == "run" else "anew"
            state = await engine.queries.get_state(thread_id)
            assert said_by_rogue(state.values) == [f"{expected}.1"]
            assert await listed(engine, thread_id) == [(expected, "success")]
            with pytest.raises(RunNotFoundError):
                await engine.get_run(thread_id, lost)
            with pytest.raises(RunNotFoundError):
                await submit(engine, thread_id, "zombie", run_id=lost)
        await assert_consistent(engine, is_settled=True)


async def test_a_thread_deleted_while_callers_come(database: Database) -> None:
    async with database.engine(registry(chat(Gates()))) as engine:
        for _ in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            answers = await at_once(
                [
                    *(submit(engine, thread_id, f"m{at}", STRATEGIES[at % 4]) for at in range(8)),
                    engine.delete_thread(thread_id),
                    engine.delete_thread(thread_id),
                    *(submit(engine, thread_id, f"n{at}") for at in range(2)),
                ]
            )
            errors = [answer for answer in answers if isinstance(answer, BaseException)]
            assert all(isinstance(error, ThreadNotFoundError | ThreadBusyError) for error in errors)
            with pytest.raises(ThreadNotFoundError):
                await engine.get_thread(thread_id)
            assert thread_id not in {row.thread_id for row in await engine.queries.list_threads()}
        await assert_consistent(engine, is_settled=True)


# ------------------------------------------------------------------ order, slots, limits


async def test_runs_start_in_order_of_their_due_time(database: Database) -> None:
    clock, gates = StillClock(), Gates()
    async with database.engine(registry(chat(gates)), clock=clock) as engine:
        for count in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            chance = chance_of(count)
            delays = [chance.choice([0, 0, 1, 2, 3, 5]) for _ in range(6)]
            for at, delay in enumerate(delays):
                await submit(engine, thread_id, f"m{at}", after_seconds=delay)
            for _ in range(6):
                await pass_time(engine, clock, 1)
            await until_idle(engine, thread_id)
            stands = humans((await engine.queries.get_state(thread_id)).values)
            in_order = sorted(range(6), key=lambda at: (delays[at], at))
            assert stands == [f"m{at}" for at in in_order]
        await assert_consistent(engine, is_settled=True)


async def test_a_delayed_run_is_overtaken_and_starts_no_sooner_than_it_is_due(
    database: Database,
) -> None:
    clock = StillClock()
    async with database.engine(registry(chat(Gates())), clock=clock) as engine:
        thread_id = (await engine.create_thread()).thread_id
        late = await submit(engine, thread_id, "late", after_seconds=10)
        prompt = await submit(engine, thread_id, "prompt")
        await join(engine, thread_id, prompt)
        await pass_time(engine, clock, 9)
        assert await status_of(engine, thread_id, late) == "pending"
        assert (await engine.get_thread(thread_id)).status == "busy"
        await pass_time(engine, clock, 1)
        await join(engine, thread_id, late)
        stands = humans((await engine.queries.get_state(thread_id)).values)
        assert stands == ["prompt", "late"]


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e300])
async def test_a_delay_that_is_no_time_is_refused(database: Database, seconds: float) -> None:
    async with database.engine(registry(chat(Gates()))) as engine:
        thread_id = (await engine.create_thread()).thread_id
        with pytest.raises(InvalidInputError):
            await submit(engine, thread_id, "m", after_seconds=seconds)
        await join(engine, thread_id, await submit(engine, thread_id, "n"))


async def test_forty_queued_runs_do_not_delay_another_thread(database: Database) -> None:
    gates = Gates()
    async with database.engine(registry(chat(gates)), worker_slots=2) as engine:
        busy_id = (await engine.create_thread()).thread_id
        gates.close("m0:0")
        await submit(engine, busy_id, "m0")
        await asyncio.gather(*(submit(engine, busy_id, f"m{at}") for at in range(1, 40)))
        for _ in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            await join(engine, thread_id, await submit(engine, thread_id, "other"))
        assert len((await engine.queries.thread(busy_id)).runs) == 40
        gates.open()
        await until_idle(engine, busy_id)
        await assert_consistent(engine, is_settled=True)


@pytest.mark.parametrize("slots", [1, 3])
async def test_no_more_code_runs_at_once_than_there_are_slots(
    database: Database, slots: int
) -> None:
    crowd = Crowd()
    async with database.engine(registry(crowd.graph()), worker_slots=slots) as engine:
        ids = [(await engine.create_thread()).thread_id for _ in range(REPETITIONS)]
        for thread_id in ids[:slots]:
            crowd.gates.close(thread_id)
        works = [submit(engine, thread_id, "m", "enqueue") for thread_id in ids for _ in range(2)]
        assert not [a for a in await at_once(works) if isinstance(a, Exception)]
        for thread_id in ids[:slots]:
            await crowd.gates[thread_id].reached()
        crowd.gates.open()
        for thread_id in ids:
            await until_idle(engine, thread_id)
        await quiet(engine)
        assert (crowd.most_at_once, engine._worker.slots[0]) == (slots, slots)
        await assert_consistent(engine, is_settled=True)


async def test_an_engine_without_slots_leaves_its_runs_to_another_one(database: Database) -> None:
    async with database.engine(registry(chat(Gates())), worker_slots=0) as door:
        thread_id = (await door.create_thread()).thread_id
        before = await submit(door, thread_id, "before")
        await quiet(door)
        assert await status_of(door, thread_id, before) == "pending"
        async with database.engine(registry(chat(Gates()))) as worker:
            assert (await join(door, thread_id, before)).status == "success"
            for count in range(REPETITIONS):
                run_id = await submit(door, thread_id, f"m{count}")
                if count == REPETITIONS - 1:
                    await join(door, thread_id, run_id)
            await assert_consistent(worker, is_settled=True)


async def test_a_run_that_takes_too_long_ends_and_the_queue_goes_on(database: Database) -> None:
    gates, clock = Gates(), StillClock()
    async with database.engine(registry(chat(gates)), clock=clock) as engine:
        for count in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            gates.close(f"A{count}:1")
            a = await submit(engine, thread_id, f"A{count}", timeout_seconds=60)
            b = await submit(engine, thread_id, "B")
            await until_heard(engine, thread_id, f"A{count}.1")
            await pass_time(engine, clock, 59)
            assert await status_of(engine, thread_id, a) == "running"
            waiting = asyncio.create_task(engine.join_run(thread_id, a))
            await pass_time(engine, clock, 1)
            late = await soon(waiting)
            assert (late.status, late.error.error) == ("timeout", "TimeoutError")
            result = await join(engine, thread_id, b)
            assert heard(result.values) == [f"A{count}", f"A{count}.1", *answered("B")]
        await assert_consistent(engine, is_settled=True)


async def test_a_thread_has_only_so_many_runs_in_flight(database: Database) -> None:
    gates = Gates()
    async with database.engine(registry(chat(gates)), runs_in_flight_max=5) as engine:
        for count in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            gates.close(f"A{count}:0")
            await submit(engine, thread_id, f"A{count}")
            answers = await at_once([submit(engine, thread_id, f"m{at}") for at in range(8)])
            assert sum(isinstance(answer, QueueFullError) for answer in answers) == 4
            # A run that displaces the others needs no place beside them.
            b = await submit(engine, thread_id, "B", "rollback")
            await join(engine, thread_id, b)
        await assert_consistent(engine, is_settled=True)


# ------------------------------------------------------------------ callers who go away


@pytest.mark.parametrize("strategy", ["enqueue", "rollback"])
async def test_a_caller_cancelled_in_the_middle_of_a_submission_corrupts_nothing(
    database: Database, strategy: str
) -> None:
    gates = Gates()
    accepted = 0
    async with database.engine(registry(chat(gates))) as engine:
        for count in range(REPETITIONS):
            thread_id, run_id = (await engine.create_thread()).thread_id, engine.new_run_id()
            gates.close(f"A{count}:1")
            await submit(engine, thread_id, f"A{count}")
            await until_heard(engine, thread_id, f"A{count}.1")
            caller = asyncio.create_task(submit(engine, thread_id, "B", strategy, run_id=run_id))
            for _ in range(count % 25):
                await asyncio.sleep(0)
            caller.cancel()
            await asyncio.wait([caller])
            # The next one comes after whatever was begun, and finds the thread in order.
            gates.open()
            await join(engine, thread_id, await submit(engine, thread_id, "C"))
            is_there = await status_of(engine, thread_id, run_id) == "success"
            accepted += is_there
            before = [] if is_there and strategy == "rollback" else answered(f"A{count}")
            stands = heard((await engine.queries.get_state(thread_id)).values)
            assert stands == [*before, *(answered("B") if is_there else []), *answered("C")]
        await assert_consistent(engine, is_settled=True)
    assert 0 < accepted < REPETITIONS or database.kind == "sqlite"


async def test_a_waiter_who_goes_away_disturbs_nobody(database: Database) -> None:
    gates = Gates()
    async with database.engine(registry(chat(gates))) as engine:
        for count in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            gates.close(f"A{count}:1")
            run_id = await submit(engine, thread_id, f"A{count}")
            waiters = [asyncio.create_task(engine.join_run(thread_id, run_id)) for _ in range(4)]
            for _ in range(count % 10):
                await asyncio.sleep(0)
            for waiter in waiters[::2]:
                waiter.cancel()
            gates.open()
            results = await soon(asyncio.gather(*waiters[1::2]))
            assert [result.status for result in results] == ["success", "success"]
            await asyncio.wait(waiters)
            assert not engine._hub.has_listeners(thread_id)


# ------------------------------------------------------------------ graphs that go wrong


class Odd(BaseException):
    """An error that is no Exception, as libraries raise them now and then."""


async def raises(state) -> AsyncIterator[object]:
    yield said("first", role="ai")
    raise LookupError("nothing there")


async def raises_an_odd_one(state) -> AsyncIterator[object]:
    yield said("first", role="ai")
    raise Odd("odd")


async def exits(state) -> AsyncIterator[object]:
    yield said("first", role="ai")
    raise SystemExit(3)


async def cancels_itself(state) -> AsyncIterator[object]:
    yield said("first", role="ai")
    raise asyncio.CancelledError


async def yields_nonsense(state) -> AsyncIterator[object]:
    yield said("first", role="ai")
    yield 42


async def yields_no_json(state) -> AsyncIterator[object]:
    yield said("first", role="ai")
    yield {"value": object()}


async def yields_infinity(state) -> AsyncIterator[object]:
    yield said("first", role="ai")
    yield {"value": float("inf")}


async def yields_a_surrogate(state) -> AsyncIterator[object]:
    yield said("first", role="ai")
    yield {"value": "\ud800"}


async def returns_no_json(state) -> object:
    return {"value": {1, object()}}


async def gives_messages_that_are_none(state) -> AsyncIterator[object]:
    yield said("first", role="ai")
    yield {"messages": 7}


def blows_up_at_once(state) -> object:
    raise RuntimeError("\ud800 is not text")


@pytest.mark.parametrize(
    "function",
    [
        raises,
        raises_an_odd_one,
        exits,
        cancels_itself,
        yields_nonsense,
        yields_no_json,
        yields_infinity,
        yields_a_surrogate,
        returns_no_json,
        gives_messages_that_are_none,
        blows_up_at_once,
    ],
    ids=lambda function: function.__name__,
)
async def test_a_graph_that_goes_wrong_ends_its_run_with_the_error_and_the_queue_goes_on(
    database: Database, function: Callable[..., Any]
) -> None:
    graphs = registry(chat(Gates()), FunctionGraph("wrong", function))
    async with database.engine(graphs) as engine:
        for _ in range(5):
            thread_id = (await engine.create_thread()).thread_id
            wrong = await engine.submit_run(thread_id, "wrong", input=said("A"))
            after = await submit(engine, thread_id, "B")
            result = await join(engine, thread_id, wrong.row.run_id)
            assert (result.status, result.error is not None) == ("error", True)
            done = [] if function in (returns_no_json, blows_up_at_once) else ["first"]
            assert heard(result.values) == ["A", *done]
            assert await status_of(engine, thread_id, wrong.row.run_id) == "error"
            result = await join(engine, thread_id, after)
            assert heard(result.values) == ["A", *done, *answered("B")]
            assert (await engine.get_thread(thread_id)).status == "idle"
        await quiet(engine)
        assert engine._worker.slots[0] == engine.settings.worker_slots
        await assert_consistent(engine, is_settled=True)


async def test_a_run_of_a_graph_that_is_not_there_any_more_fails(database: Database) -> None:
    async with database.engine(registry(chat(Gates())), worker_slots=0) as engine:
        thread_id = (await engine.create_thread()).thread_id
        run_id = await submit(engine, thread_id, "A")
    async with database.engine(registry(chat(Gates(), "other"))) as engine:
        result = await join(engine, thread_id, run_id)
        assert (result.status, result.error.error) == ("error", "GraphNotFoundError")
        with pytest.raises(RefusedError):
            await submit(engine, thread_id, "B")


async def test_what_readers_are_given_is_theirs_to_change(database: Database) -> None:
    """Whatever a caller does to a value that it got, the thread is what its log says."""
    async with database.engine(registry(chat(Gates()))) as engine:
        thread_id = (await engine.create_thread(metadata={"deep": {"list": [1]}})).thread_id
        run_id = await submit(engine, thread_id, "A")
        given: list[Any] = [
            (await join(engine, thread_id, run_id)).values,
            (await engine.queries.get_state(thread_id)).values,
            (await engine.queries.history(thread_id))[1].values,
        ]
        for value in given:
            spoil(value)
        assert heard((await engine.queries.get_state(thread_id)).values) == answered("A")
        await assert_consistent(engine)


def spoil(value: Any) -> None:
    """Change everything in a value, in place."""
    if isinstance(value, dict):
        for inner in value.values():
            spoil(inner)
        value["spoilt"] = True
    elif isinstance(value, list):
        for inner in value:
            spoil(inner)
        value.append("spoilt")


# ------------------------------------------------------------------ copies, updates, threads, tasks left behind


async def test_a_copy_made_at_any_moment_holds_nothing_of_a_run_that_is_rolled_back(
    database: Database,
) -> None:
    gates = Gates()
    async with database.engine(registry(chat(gates))) as engine:
        for count in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            await join(engine, thread_id, await submit(engine, thread_id, "pre"))
            gates.close("A:1")
            a = await submit(engine, thread_id, "A")
            await until_heard(engine, thread_id, "A.1")
            works: list[Any] = [
                *(engine.copy_thread(thread_id) for _ in range(3)),
                engine.cancel_run(thread_id, a, action="rollback"),
                submit(engine, thread_id, "B", "rollback"),
            ]
            chance_of(count).shuffle(works)
            answers = await at_once(works)
            gates.open()
            await until_idle(engine, thread_id)
            copies = [answer for answer in answers if hasattr(answer, "thread_id")]
            assert len(copies) == 3
            for copy in copies:
                assert heard(copy.values) in (answered("pre"), answered("pre", "B"))
        await assert_consistent(engine, is_settled=True)


async def test_an_update_from_outside_and_a_run_at_once_come_one_after_the_other(
    database: Database,
) -> None:
    async with database.engine(registry(chat(Gates()))) as engine:
        for _ in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            await join(engine, thread_id, await submit(engine, thread_id, "pre"))
            update, _ = await at_once(
                [
                    engine.update_state(thread_id, said("outside")),
                    submit(engine, thread_id, "A"),
                ]
            )
            await until_idle(engine, thread_id)
            stands = heard((await engine.queries.get_state(thread_id)).values)
            if isinstance(update, ThreadBusyError):
                assert stands == answered("pre", "A")
            else:
                assert stands == [*answered("pre"), "outside", *answered("A")]
        await assert_consistent(engine, is_settled=True)


async def test_a_sync_function_that_cannot_be_stopped_holds_no_slot_and_leaves_nothing(
    database: Database,
) -> None:
    began, may_end = threading.Event(), threading.Event()

    def agent(state):
        text = state["messages"][-1]["content"]
        if text == "stuck":
            began.set()
            assert may_end.wait(PATIENCE_SECONDS)
        return said(f"{text}.1", role="ai")

    async with database.engine(
        registry(FunctionGraph("agent", agent)), worker_slots=1, grace_seconds=0.01
    ) as engine:
        for _ in range(5):
            began.clear()
            may_end.clear()
            thread_id = (await engine.create_thread()).thread_id
            other_id = (await engine.create_thread()).thread_id
            await submit(engine, thread_id, "stuck")
            await asyncio.to_thread(began.wait, PATIENCE_SECONDS)
            b = await submit(engine, thread_id, "B", "rollback")
            other = await submit(engine, other_id, "other")
            assert heard((await join(engine, thread_id, b)).values) == ["B", "B.1"]
            await join(engine, other_id, other)
            may_end.set()
            await quiet(engine)
        await assert_consistent(engine, is_settled=True)


async def test_a_task_that_code_leaves_behind_writes_nothing_after_the_end(
    database: Database,
) -> None:
    left: list[asyncio.Task[None]] = []

    async def code(context: RunContext) -> None:
        await context.record(write("in time"))
        ended.clear()
        left.append(asyncio.create_task(late(context)))

    async def late(context: RunContext) -> None:
        await ended.wait()
        with suppress(StaleAttemptError):
            while True:
                await context.record(write("late"))
                await asyncio.sleep(0)

    ended = asyncio.Event()
    async with database.engine(registry(Rogue(code))) as engine:
        for _ in range(REPETITIONS):
            thread_id = (await engine.create_thread()).thread_id
            await join(engine, thread_id, await submit(engine, thread_id, "A"))
            ended.set()
            await soon(asyncio.gather(*left))
            left.clear()
            values = (await engine.queries.get_state(thread_id)).values
            assert said_by_rogue(values) == ["in time"]
        await assert_consistent(engine, is_settled=True)
