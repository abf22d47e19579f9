"""What the engine adds to a run and to each step of it: the same function with no step and with ten, timed in turns."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

from threadfold.app.engine import Engine

from .building import Turns as Story
from .harness import Row, folder, in_turns, show_seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .harness import Turns

STEPS = 10
GOALS = {"memory": 60e-6, "SQLite FULL": 150e-6}
HISTORY_TURNS = 2000


def rows(*, quick: bool) -> list[Row]:
    """Measure, and return the lines of the table."""
    with folder() as path:
        urls = {"memory": "memory://", "SQLite FULL": f"sqlite:///{path}/log.db"}
        return asyncio.run(
            _rows(urls, turns=5 if quick else 9, runs=10 if quick else 30, history=50 if quick else HISTORY_TURNS)
        )  # fmt: skip


async def _counting(state: Any, run: Any) -> AsyncIterator[dict[str, int]]:
    del run
    for step in range(state["steps"]):
        yield {"progress": step}


async def _talking(state: Any, run: Any) -> AsyncIterator[dict[str, Any]]:
    del run
    for step in range(state["steps"]):
        yield {"messages": {"role": "assistant", "content": f"What step {step} has found out."}}


async def _rows(urls: dict[str, str], *, turns: int, runs: int, history: int) -> list[Row]:
    result: list[Row] = []
    for store, url in urls.items():
        async with Engine(url) as engine:
            engine.graph("counting")(_counting)
            engine.graph("talking")(_talking)
            await engine.create_thread("long")
            await Story(content_bytes=500).play(engine, "long", history)

            def side(graph: str, steps: int, thread_id: str | None = None, engine: Engine = engine):
                return lambda: _runs(engine, graph, steps, runs, thread_id)

            taken = await in_turns(
                {
                    "counting 0": side("counting", 0),
                    "counting 10": side("counting", STEPS),
                    "talking 0": side("talking", 0),
                    "talking 10": side("talking", STEPS),
                    "long 0": side("talking", 0, "long"),
                    "long 10": side("talking", STEPS, "long"),
                },
                turns=turns,
            )
        goal = GOALS[store]
        result += [
            _row(f"{store}: a step that sets a channel", taken, "counting", runs, goal),
            _row(f"{store}: a step that adds a message", taken, "talking", runs, goal),
            _row(f"{store}: the same, in a thread of {2 * history:,} messages", taken, "long", runs),
            Row(f"{store}: a run without steps, `submit_run` and `join_run`",
                show_seconds(taken.median("counting 0") / runs)),
        ]  # fmt: skip
    return result


async def _runs(engine: Engine, graph: str, steps: int, runs: int, thread_id: str | None) -> float:
    """Run so often, one run after the other: on a fresh thread, or on one that is given."""
    if thread_id is None:
        thread_id = (await engine.create_thread()).thread_id
    started = perf_counter()
    for _ in range(runs):
        run = await engine.submit_run(thread_id, graph, input={"steps": steps})
        result = await engine.join_run(thread_id, run.row.run_id)
    seconds = perf_counter() - started
    assert result.status == "success"
    return seconds


def _row(what: str, taken: Turns, name: str, runs: int, goal: float | None = None) -> Row:
    pairs = zip(taken.seconds[f"{name} 10"], taken.seconds[f"{name} 0"], strict=True)
    differences = sorted((long - short) / runs / STEPS for long, short in pairs)
    seconds = differences[len(differences) // 2]
    return Row(
        what,
        measured=show_seconds(seconds),
        goal="" if goal is None else f"≤ {show_seconds(goal)}",
        is_met=None if goal is None else seconds <= goal,
    )
