"""A thread of 100,000 events: loaded cold from its snapshot, read, and rolled back in no more time than a short one."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.engine import Database, Rogue, humans, join, registry, soon, submit
from threadfold.domain.changes import Splice
from threadfold.domain.events import RecordedEvent, RunRolledBack
from threadfold.domain.graph_ports import StepWrite
from threadfold.domain.thread import evolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from threadfold.domain.graph_ports import RunContext

pytestmark = [pytest.mark.soak, pytest.mark.anyio]

EVENTS = int(os.environ.get("THREADFOLD_SOAK_EVENTS", "100000"))
STEPS_OF_ONE_RUN = 1_000


class Writer:
    """An agent that writes as many steps as it is told, and then perhaps stays."""

    def __init__(self) -> None:
        self.has_written = asyncio.Event()

    def graph(self) -> Rogue:
        return Rogue(self._run)

    async def _run(self, context: RunContext) -> None:
        word, count = humans(context.input)[0].split()
        length = len(context.state.get("said", ()))
        for step in range(int(count)):
            await context.record(_step(f"{word} {step}", length + step))
        await context.record_result("written", "all")  # Durable, and with it all before.
        if word == "stay":
            self.has_written.set()
            await asyncio.Event().wait()


def _step(text: str, at: int) -> StepWrite:
    change = Splice(at=at, delete=0, values=[text])
    return StepWrite("rogue", "loop", ("rogue",), {"said": [text]}, {"said": change})


async def test_a_long_thread_is_loaded_read_and_rolled_back_quickly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database, writer = Database(tmp_path / "log.db"), Writer()
    thread_id = "long"
    async with database.engine(registry(writer.graph())) as engine:
        began = time.perf_counter()
        await engine.create_thread(thread_id)
        while (await engine.queries.thread(thread_id)).version < EVENTS:
            run_id = await submit(engine, thread_id, f"go {STEPS_OF_ONE_RUN}")
            await soon(engine.join_run(thread_id, run_id))
        figures = {"written": time.perf_counter() - began}
    async with database.engine(registry(writer.graph())) as engine:
        figures["cold load"] = await timed(engine.queries.thread(thread_id))
        figures["state"] = await timed(engine.queries.get_state(thread_id))
        before = (await engine.queries.get_state(thread_id)).values
        assert len(before["said"]) >= EVENTS * 0.99
        for steps in (10, EVENTS // 2):
            figures[f"rollback of {steps} steps"] = await _roll_back(
                engine, writer, thread_id, steps
            )
            assert (await engine.queries.get_state(thread_id)).values == before
        run_id = await submit(engine, thread_id, "go 1")
        await join(engine, thread_id, run_id)
        figures["fold"] = await timed(engine._executor.load_at(thread_id, EVENTS))
    with capsys.disabled():
        print({name: f"{seconds * 1000:.1f} ms" for name, seconds in figures.items()})  # noqa: T201
    assert figures["cold load"] < figures["fold"] / 2
    assert figures[f"rollback of {EVENTS // 2} steps"] < 3 * figures["rollback of 10 steps"] + 0.02


async def timed(work: Any) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def _roll_back(engine: Any, writer: Writer, thread_id: str, steps: int) -> float:
    writer.has_written.clear()
    run_id = await submit(engine, thread_id, f"stay {steps}")
    await asyncio.wait_for(writer.has_written.wait(), 600)
    return await timed(engine.cancel_run(thread_id, run_id, action="rollback"))


async def test_the_fold_of_a_rollback_does_not_depend_on_the_length_of_the_run(
    say: Callable[[str], None],
) -> None:
    writer = Writer()
    seconds: dict[int, float] = {}
    for steps in (10, 10_000):
        async with Database().engine(registry(writer.graph())) as engine:
            thread_id = (await engine.create_thread()).thread_id
            writer.has_written.clear()
            run_id = await submit(engine, thread_id, f"stay {steps}")
            await asyncio.wait_for(writer.has_written.wait(), 600)
            thread = await engine.queries.thread(thread_id)
            tombstone = RecordedEvent(
                thread_id, thread.version + 1, 0, thread.updated_at, RunRolledBack(run_id=run_id)
            )
            best = min(_fold_seconds(thread, tombstone) for _ in range(20))
            seconds[steps] = best
    say(f"fold of a rollback: { ({steps: f'{s * 1e6:.1f} µs' for steps, s in seconds.items()}) }")
    assert seconds[10_000] < 5 * seconds[10]


def _fold_seconds(thread: Any, tombstone: RecordedEvent) -> float:
    began = time.perf_counter()
    for _ in range(100):
        evolve(thread, tombstone)
    return (time.perf_counter() - began) / 100
