"""Every strategy of double texting, end to end: what becomes of each run, and what each reader sees."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.engine import (
    Database,
    Gates,
    answered,
    chat,
    heard,
    join,
    listed,
    registry,
    said,
    soon,
    status_of,
    submit,
    until,
    until_heard,
    until_idle,
)
from tests.support.engine_laws import assert_consistent
from threadfold.app.streams import RunEvent
from threadfold.app.views import RunResult
from threadfold.domain.errors import (
    CheckpointNotFoundError,
    RunEndedError,
    RunNotFoundError,
    ThreadBusyError,
)
from threadfold.domain.strategies import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from threadfold.app.engine import Engine
    from threadfold.app.streams import Follower

    Strategy = Any

pytestmark = pytest.mark.anyio

BEFORE = answered("pre")


@dataclass
class Scene:
    """An engine with a thread on which a run `pre` has ended, and others are in flight."""

    engine: Engine
    gates: Gates
    thread_id: str
    runs: dict[str, str]

    async def submit(self, text: str, strategy: Strategy = "enqueue", **options: Any) -> str:
        self.runs[text] = await submit(self.engine, self.thread_id, text, strategy, **options)
        return self.runs[text]

    async def stands(self) -> list[str]:
        return heard((await self.engine.queries.get_state(self.thread_id)).values)

    async def statuses(self) -> dict[str, str]:
        return {
            text: await status_of(self.engine, self.thread_id, run_id)
            for text, run_id in self.runs.items()
        }

    async def settle(self) -> None:
        self.gates.open()
        await until_idle(self.engine, self.thread_id)


@asynccontextmanager
async def scene(database: Database, *in_flight: str, **settings: Any) -> AsyncIterator[Scene]:
    """Set the scene: of those in flight, the first one runs and has given `.1`; the others wait."""
    gates = Gates()
    async with database.engine(registry(chat(gates)), **settings) as engine:
        thread = await engine.create_thread()
        stage = Scene(engine, gates, thread.thread_id, {})
        await join(engine, thread.thread_id, await stage.submit("pre"))
        for text in in_flight:
            gates.close(f"{text}:1")
            await stage.submit(text)
            if text == in_flight[0]:
                await until_heard(engine, thread.thread_id, f"{text}.1")
        yield stage
        await stage.settle()
        await assert_consistent(engine, is_settled=True)


async def running(stage: Scene) -> None:
    del stage


# ------------------------------------------------------------------ the table


@dataclass(frozen=True)
class Row:
    """A cell of the contract's table: the runs in flight, and what stands when all has come to its end."""

    strategy: str
    in_flight: tuple[str, ...]
    statuses: dict[str, str]
    stands: list[str]

    def __str__(self) -> str:
        return f"{self.strategy}-{len(self.in_flight)}-in-flight"


HALF = ["A", "A.1"]

TABLE = [
    *(Row(strategy, (), {}, [*BEFORE, *answered("B")]) for strategy in STRATEGIES),
    Row("enqueue", ("A",), {"A": "success"}, [*BEFORE, *answered("A", "B")]),
    Row("interrupt", ("A",), {"A": "interrupted"}, [*BEFORE, *HALF, *answered("B")]),
    Row("rollback", ("A",), {"A": "gone"}, [*BEFORE, *answered("B")]),
    Row(
        "enqueue",
        ("A", "P", "Q"),
        {"A": "success", "P": "success", "Q": "success"},
        [*BEFORE, *answered("A", "P", "Q", "B")],
    ),
    Row(
        "interrupt",
        ("A", "P", "Q"),
        {"A": "interrupted", "P": "interrupted", "Q": "interrupted"},
        [*BEFORE, *HALF, *answered("B")],
    ),
    Row(
        "rollback",
        ("A", "P", "Q"),
        {"A": "gone", "P": "gone", "Q": "gone"},
        [*BEFORE, *answered("B")],
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_a_new_run_finds_the_state_that_its_strategy_promises(
    database: Database, row: Row
) -> None:
    async with scene(database, *row.in_flight) as stage:
        run_id = await stage.submit("B", row.strategy)

        assert await status_of(stage.engine, stage.thread_id, run_id) in {
            "pending",
            "running",
            "success",
        }
        stage.gates.open()
        result = await join(stage.engine, stage.thread_id, run_id)

        assert (result.status, heard(result.values)) == ("success", row.stands)
        assert await stage.stands() == row.stands
        assert await stage.statuses() == {"pre": "success", **row.statuses, "B": "success"}
        thread = await stage.engine.get_thread(stage.thread_id)
        assert (thread.status, heard(thread.values)) == ("idle", row.stands)


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_readers_see_the_runs_that_are_there_and_no_others(
    database: Database, row: Row
) -> None:
    async with scene(database, *row.in_flight) as stage:
        await stage.submit("B", row.strategy)
        await stage.settle()

        there = {"pre": "success", **row.statuses, "B": "success"}
        newest_first = [(text, status) for text, status in there.items() if status != "gone"]
        assert await listed(stage.engine, stage.thread_id) == newest_first[::-1]
        for text, status in there.items():
            if status == "gone":
                await assert_gone(stage, stage.runs[text])


async def assert_gone(stage: Scene, run_id: str) -> None:
    """A rolled-back run is nowhere but in the audit log."""
    engine, thread_id = stage.engine, stage.thread_id
    for asking in (
        engine.get_run(thread_id, run_id),
        engine.join_run(thread_id, run_id),
        engine.attach(thread_id, run_id),
        engine.delete_run(thread_id, run_id),
        engine.cancel_run(thread_id, run_id),
    ):
        with pytest.raises(RunNotFoundError):
            await asking
    log = await engine.queries.log(thread_id)
    of_run = [r.event.type for r in log if getattr(r.event, "run_id", None) == run_id]
    assert of_run[0] == "RunAccepted"
    assert of_run[-1] == "RunRolledBack"


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_the_history_is_one_chain_of_the_states_that_led_here(
    database: Database, row: Row
) -> None:
    async with scene(database, *row.in_flight) as stage:
        await stage.submit("B", row.strategy)
        await stage.settle()

        history = await stage.engine.queries.history(stage.thread_id, limit=100)
        checkpoints = [view.checkpoint for view in history]
        assert all(checkpoints)
        assert [c.parent_id for c in checkpoints] == [
            *(c.checkpoint_id for c in checkpoints[1:]),
            None,
        ]
        assert [c.step for c in checkpoints] == list(range(len(checkpoints) - 2, -2, -1))
        gone = {stage.runs[text] for text, status in row.statuses.items() if status == "gone"}
        assert not gone & {c.run_id for c in checkpoints}
        # Each state adds one message to the one before it.
        texts = [heard(view.values) for view in history]
        assert texts == [row.stands[:count] for count in range(len(row.stands), 0, -1)]


async def test_each_state_of_the_history_can_be_asked_for(database: Database) -> None:
    async with scene(database, "A") as stage:
        thread = await stage.engine.queries.thread(stage.thread_id)
        rolled_back_checkpoint = thread.state.checkpoint_id
        await stage.submit("B", "rollback")
        await stage.settle()

        history = await stage.engine.queries.history(stage.thread_id, limit=100)
        for view in history:
            assert view.checkpoint is not None
            asked = await stage.engine.queries.get_state(
                stage.thread_id, view.checkpoint.checkpoint_id
            )
            assert asked.values == view.values
        with pytest.raises(CheckpointNotFoundError):
            await stage.engine.queries.get_state(stage.thread_id, rolled_back_checkpoint)
        older = await stage.engine.queries.history(
            stage.thread_id, before=history[1].checkpoint.checkpoint_id, limit=2
        )
        assert [v.checkpoint for v in older] == [v.checkpoint for v in history[2:4]]


@pytest.mark.parametrize("in_flight", [("A",), ("A", "P", "Q")], ids=["running", "several"])
async def test_reject_leaves_no_run(database: Database, in_flight: tuple[str, ...]) -> None:
    async with scene(database, *in_flight) as stage:
        before = await stage.engine.queries.log(stage.thread_id)
        with pytest.raises(ThreadBusyError) as refused:
            await stage.submit("B", "reject")

        assert refused.value.run_ids == tuple(stage.runs[text] for text in in_flight)
        assert await stage.engine.queries.log(stage.thread_id) == before
        await stage.settle()
        assert await stage.stands() == [*BEFORE, *answered(*in_flight)]
        assert (await listed(stage.engine, stage.thread_id))[0] == (in_flight[-1], "success")


# ------------------------------------------------------------------ a prior run that has not begun


@pytest.mark.parametrize(
    ("strategy", "status", "stands"),
    [
        ("enqueue", "success", [*BEFORE, *answered("A", "B")]),
        ("interrupt", "interrupted", [*BEFORE, *answered("B")]),
        ("rollback", "gone", [*BEFORE, *answered("B")]),
    ],
)
async def test_a_prior_run_that_waits_for_a_slot(
    database: Database, strategy: str, status: str, stands: list[str]
) -> None:
    async with scene(database, worker_slots=1) as stage:
        other = await stage.engine.create_thread()
        stage.gates.close("other:0")
        await submit(stage.engine, other.thread_id, "other")
        await soon(stage.gates["other:0"].reached())
        await stage.submit("A")
        await stage.submit("B", strategy)
        stage.gates.open()
        await join(stage.engine, stage.thread_id, stage.runs["B"])

        assert (await stage.statuses())["A"] == status
        assert await stage.stands() == stands


async def test_reject_counts_a_run_that_is_not_due_yet(database: Database) -> None:
    async with scene(database) as stage:
        await stage.submit("A", after_seconds=3600)
        with pytest.raises(ThreadBusyError):
            await stage.submit("B", "reject")
        assert (await stage.engine.get_thread(stage.thread_id)).status == "busy"
        await stage.submit("B", "rollback")
        assert (await stage.statuses())["A"] == "gone"


async def test_a_run_without_a_strategy_is_enqueued(database: Database) -> None:
    async with scene(database, "A") as stage:
        view = await stage.engine.submit_run(stage.thread_id, "agent", input=said("B"))
        assert view.row.multitask_strategy == "enqueue"
        stage.gates.open()
        result = await join(stage.engine, stage.thread_id, view.row.run_id)
        assert heard(result.values) == [*BEFORE, *answered("A", "B")]


# ------------------------------------------------------------------ those who wait


@pytest.mark.parametrize("in_flight", [("A",), ("A", "P", "Q")], ids=["running", "several"])
async def test_waiters_of_rolled_back_runs_are_told_that_they_are_gone(
    database: Database, in_flight: tuple[str, ...]
) -> None:
    async with scene(database, *in_flight) as stage:
        waiting = await waiters(stage, in_flight)
        followers = [await follow(stage, text) for text in in_flight]
        await stage.submit("B", "rollback")

        for text, result in zip(in_flight, await soon(asyncio.gather(*waiting)), strict=True):
            assert (result.run_id, result.status) == (stage.runs[text], "rolled_back")
            assert result.error.error == "RunRolledBack"
            assert heard(result.values) == BEFORE
        for parts in await soon(asyncio.gather(*followers)):
            assert [part.status for part in parts if isinstance(part, RunResult)] == ["rolled_back"]
            assert isinstance(parts[-1], RunResult)


@pytest.mark.parametrize("in_flight", [("A",), ("A", "P", "Q")], ids=["running", "several"])
async def test_waiters_of_interrupted_runs_get_the_values_as_they_stand(
    database: Database, in_flight: tuple[str, ...]
) -> None:
    async with scene(database, *in_flight) as stage:
        waiting = await waiters(stage, in_flight)
        await stage.submit("B", "interrupt")

        for result in await soon(asyncio.gather(*waiting)):
            assert (result.status, result.error) == ("interrupted", None)
            assert heard(result.values) == [*BEFORE, *HALF]
        for text in in_flight:  # And whoever asks later.
            late = await join(stage.engine, stage.thread_id, stage.runs[text])
            assert (late.status, heard(late.values)) == ("interrupted", [*BEFORE, *HALF])


async def test_waiters_of_queued_runs_wait_for_their_own_run(database: Database) -> None:
    async with scene(database, "A", "P") as stage:
        waiting = await waiters(stage, ("A", "P"))
        await stage.submit("B")
        stage.gates.open()
        first, second = await soon(asyncio.gather(*waiting))
        assert (first.status, heard(first.values)) == ("success", [*BEFORE, *answered("A")])
        assert (second.status, heard(second.values)) == ("success", [*BEFORE, *answered("A", "P")])


async def waiters(stage: Scene, texts: tuple[str, ...]) -> list[asyncio.Task[RunResult]]:
    """Start somebody who waits for each run, and return when all of them do wait."""
    tasks = [
        asyncio.create_task(stage.engine.join_run(stage.thread_id, stage.runs[text]))
        for text in texts
    ]
    # Loading the thread is what a waiter does last before it waits; ours comes after theirs.
    for _ in range(3):
        await stage.engine.get_thread(stage.thread_id)
    return tasks


async def follow(stage: Scene, text: str) -> asyncio.Task[list[object]]:
    """Start somebody who follows the run to its end."""
    is_listening = asyncio.Event()

    async def collect() -> list[object]:
        follower: Follower = stage.engine.follow_run(stage.thread_id, stage.runs[text])
        with follower:
            is_listening.set()
            assert await stage.engine.attach(stage.thread_id, stage.runs[text]) is None
            return [part async for part in follower.parts()]

    task = asyncio.create_task(collect())
    await is_listening.wait()
    return task


async def test_a_follower_gets_every_step_of_its_run_and_then_the_end(database: Database) -> None:
    async with scene(database, "A") as stage:
        stage.gates.close("B:0")
        await stage.submit("B")
        following = await follow(stage, "B")
        stage.gates.open()
        parts = await soon(following)

        events = [part.recorded.event.type for part in parts if isinstance(part, RunEvent)]
        assert events == ["RunStarted", "StepRecorded", "StepRecorded", "StepRecorded"]
        assert parts[-1].status == "success"
        assert [heard(p.thread.values())[-1] for p in parts if isinstance(p, RunEvent)][1:] == [
            "B",
            "B.1",
            "B.2",
        ]


# ------------------------------------------------------------------ one after the other


async def test_of_ten_rollbacks_in_a_row_only_the_last_remains(database: Database) -> None:
    async with scene(database, "A") as stage:
        for count in range(10):
            stage.gates.close(f"B{count}:1")
            await stage.submit(f"B{count}", "rollback")
            await until_heard(stage.engine, stage.thread_id, f"B{count}.1")
            assert await stage.stands() == [*BEFORE, f"B{count}", f"B{count}.1"]
        await stage.settle()

        assert await stage.stands() == [*BEFORE, *answered("B9")]
        assert await listed(stage.engine, stage.thread_id) == [
            ("B9", "success"),
            ("pre", "success"),
        ]


async def test_a_run_enqueued_behind_a_rollback_follows_the_one_that_rolled_back(
    database: Database,
) -> None:
    async with scene(database, "A") as stage:
        stage.gates.close("B:1")
        await stage.submit("B", "rollback")
        await stage.submit("C")
        await stage.settle()
        assert await stage.stands() == [*BEFORE, *answered("B", "C")]


async def test_a_cancelled_run_has_ended_and_stays_when_a_rollback_comes(
    database: Database,
) -> None:
    async with scene(database, "A") as stage:
        await stage.engine.cancel_run(stage.thread_id, stage.runs["A"])
        await stage.submit("B", "rollback")
        await stage.settle()
        assert await stage.stands() == [*BEFORE, *HALF, *answered("B")]
        assert (await stage.statuses())["A"] == "interrupted"


async def test_runs_that_have_ended_stay_whatever_their_end(database: Database) -> None:
    async with scene(database) as stage:
        for ending in ("success", "interrupted"):
            stage.gates.close(f"{ending}:1")
            await stage.submit(ending)
            await until_heard(stage.engine, stage.thread_id, f"{ending}.1")
            if ending == "interrupted":
                await stage.engine.cancel_run(stage.thread_id, stage.runs[ending])
            stage.gates.open()
            await until_idle(stage.engine, stage.thread_id)
        before = await stage.stands()
        await stage.submit("B", "rollback")
        await stage.settle()
        assert await stage.stands() == [*before, *answered("B")]


async def test_a_rollback_puts_every_channel_back(database: Database) -> None:
    async with scene(database, "A") as stage:
        busy = await stage.engine.queries.get_state(stage.thread_id)
        assert busy.values["last"] == "A"
        await stage.engine.cancel_run(stage.thread_id, stage.runs["A"], action="rollback")
        state = await stage.engine.queries.get_state(stage.thread_id)
        assert (state.values["last"], heard(state.values)) == ("pre", BEFORE)


async def test_the_first_run_of_a_thread_rolled_back_leaves_it_as_it_was_created(
    database: Database,
) -> None:
    gates = Gates()
    async with database.engine(registry(chat(gates))) as engine:
        thread = await engine.create_thread()
        gates.close("A:1")
        run_id = await submit(engine, thread.thread_id, "A")
        await until_heard(engine, thread.thread_id, "A.1")
        await engine.cancel_run(thread.thread_id, run_id, action="rollback")
        state = await engine.queries.get_state(thread.thread_id)
        assert (state.values, state.checkpoint, state.state.next) == ({}, None, ())
        view = await engine.get_thread(thread.thread_id)
        assert (view.status, view.values, view.error) == ("idle", None, None)
        assert await engine.queries.history(thread.thread_id) == []


# ------------------------------------------------------------------ cancelling and deleting


@pytest.mark.parametrize("text", ["A", "P"])
async def test_a_cancelled_run_keeps_what_it_did_and_the_queue_goes_on(
    database: Database, text: str
) -> None:
    async with scene(database, "A", "P") as stage:
        (waiting,) = await waiters(stage, (text,))
        await stage.engine.cancel_run(stage.thread_id, stage.runs[text])
        result = await soon(waiting)
        assert (result.status, heard(result.values)) == ("interrupted", [*BEFORE, *HALF])
        await stage.settle()
        done = {"A": [*HALF, *answered("P")], "P": answered("A")}
        assert await stage.stands() == [*BEFORE, *done[text]]
        with pytest.raises(RunEndedError):
            await stage.engine.cancel_run(stage.thread_id, stage.runs[text])


@pytest.mark.parametrize("text", ["A", "P"])
@pytest.mark.parametrize("how", ["cancel", "delete"])
async def test_a_run_that_is_rolled_back_or_deleted_is_gone_and_the_queue_goes_on(
    database: Database, text: str, how: str
) -> None:
    async with scene(database, "A", "P") as stage:
        (waiting,) = await waiters(stage, (text,))
        if how == "cancel":
            await stage.engine.cancel_run(stage.thread_id, stage.runs[text], action="rollback")
        else:
            await stage.engine.delete_run(stage.thread_id, stage.runs[text])
        assert (await soon(waiting)).status == "rolled_back"
        await stage.settle()
        left = {"A": "P", "P": "A"}[text]
        assert await stage.stands() == [*BEFORE, *answered(left)]
        await assert_gone(stage, stage.runs[text])
        assert (await stage.engine.get_thread(stage.thread_id)).status == "idle"


async def test_a_deleted_run_that_had_ended_is_hidden_and_its_work_stays(
    database: Database,
) -> None:
    async with scene(database) as stage:
        await stage.engine.delete_run(stage.thread_id, stage.runs["pre"])
        assert await stage.stands() == BEFORE
        assert await listed(stage.engine, stage.thread_id) == []
        assert (await stage.statuses())["pre"] == "gone"
        with pytest.raises(RunNotFoundError):
            await stage.engine.delete_run(stage.thread_id, stage.runs["pre"])


async def test_a_rollback_brings_the_status_back_that_stood_before(database: Database) -> None:
    async with scene(database, "A") as stage:
        await stage.engine.cancel_run(stage.thread_id, stage.runs["A"])
        interrupted = await stage.engine.get_thread(stage.thread_id)
        assert interrupted.status == "interrupted"
        assert interrupted.error is not None
        assert interrupted.error.error == "UserInterrupt"
        stage.gates.close("B:1")
        await stage.submit("B")
        await until_heard(stage.engine, stage.thread_id, "B.1")
        assert (await stage.engine.get_thread(stage.thread_id)).status == "busy"
        await stage.engine.cancel_run(stage.thread_id, stage.runs["B"], action="rollback")
        again = await stage.engine.get_thread(stage.thread_id)
        assert (again.status, again.values, again.error) == (
            "interrupted",
            interrupted.values,
            interrupted.error,
        )
        state = await stage.engine.queries.get_state(stage.thread_id)
        assert state.state.next == ("agent",)


# ------------------------------------------------------------------ copies, updates, retries


async def test_a_copy_of_a_busy_thread_holds_what_stands_without_the_run_in_flight(
    database: Database,
) -> None:
    async with scene(database, "A", "P") as stage:
        copy = await stage.engine.copy_thread(stage.thread_id)
        assert (copy.status, heard(copy.values)) == ("idle", BEFORE)
        assert await listed(stage.engine, copy.thread_id) == []
        await stage.submit("B", "rollback")
        run_id = await submit(stage.engine, copy.thread_id, "C")
        await join(stage.engine, copy.thread_id, run_id)
        state = await stage.engine.queries.get_state(copy.thread_id)
        assert heard(state.values) == [*BEFORE, *answered("C")]


async def test_the_state_cannot_be_changed_while_a_run_is_in_flight(database: Database) -> None:
    async with scene(database, "A") as stage:
        with pytest.raises(ThreadBusyError):
            await stage.engine.update_state(stage.thread_id, said("no"))
        await stage.settle()
        await stage.engine.update_state(stage.thread_id, {"last": "outside"})
        stage.gates.close("B:1")
        await stage.submit("B")
        await until_heard(stage.engine, stage.thread_id, "B.1")
        await stage.engine.cancel_run(stage.thread_id, stage.runs["B"], action="rollback")
        state = await stage.engine.queries.get_state(stage.thread_id)
        assert state.values["last"] == "outside"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("when", ["in flight", "ended", "gone"])
async def test_the_same_run_id_again_changes_nothing(
    database: Database, strategy: Strategy, when: str
) -> None:
    async with scene(database, "A") as stage:
        run_id = stage.runs["A"]
        if when == "ended":
            await stage.settle()
        if when == "gone":
            await stage.engine.cancel_run(stage.thread_id, run_id, action="rollback")
        before = await stage.engine.queries.log(stage.thread_id)
        try:
            view = await stage.engine.submit_run(
                stage.thread_id,
                "agent",
                input=said("A"),
                multitask_strategy=strategy,
                run_id=run_id,
            )
        except RunNotFoundError:
            assert when == "gone"
        else:
            assert (view.row.run_id, view.row.multitask_strategy) == (run_id, "enqueue")
        assert await stage.engine.queries.log(stage.thread_id) == before


# ------------------------------------------------------------------ restarts


@pytest.mark.parametrize("how", ["handed over", "lost"])
async def test_a_rollback_after_a_restart_leaves_nothing_of_the_run(
    database: Database, how: str
) -> None:
    gates = Gates()
    first = await database.mortal(registry(chat(gates)), snapshot_events_min=1)
    thread_id = (await first.engine.create_thread()).thread_id
    await join(first.engine, thread_id, await submit(first.engine, thread_id, "pre"))
    gates.close("A:1")
    lost = await submit(first.engine, thread_id, "A")
    await until_heard(first.engine, thread_id, "A.1")
    if how == "handed over":
        await first.engine.close()
    else:
        await first.kill()

    gates.close("A:0")
    async with database.engine(registry(chat(gates)), snapshot_events_min=1) as second:
        await until(second, thread_id, lambda thread: thread.runs[lost].attempt == 2)
        stage = Scene(second, gates, thread_id, {"A": lost})
        assert await stage.stands() in ([*BEFORE], [*BEFORE, "A"])
        await stage.submit("B", "rollback")
        await join(second, thread_id, stage.runs["B"])
        assert await stage.stands() == [*BEFORE, *answered("B")]
        await assert_gone(stage, lost)
        await assert_consistent(second, is_settled=True)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_retry_of_a_run_that_has_ended_gets_it_whatever_is_in_flight(
    database: Database, strategy: Strategy
) -> None:
    async with scene(database, "A", "P", runs_in_flight_max=2) as stage:
        before = await stage.engine.queries.log(stage.thread_id)
        run_id = await stage.submit("pre", strategy, run_id=stage.runs["pre"])
        assert await status_of(stage.engine, stage.thread_id, run_id) == "success"
        assert await stage.engine.queries.log(stage.thread_id) == before
