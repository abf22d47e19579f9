"""What a saver adds to each step of a LangGraph graph whose nodes take no time.

A run of ten steps with a saver, less the same run without one, by ten: what the run itself costs the saver is in it. Below it
the step alone: what nine steps more add. Any saver makes LangGraph itself do more; one that saves nothing says how much.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .harness import Row, folder, in_turns, show_seconds, timed
from .langgraph_graphs import (
    FORGETFUL,
    HOSTED,
    HOSTED_MEMORY,
    IN_MEMORY,
    OURS,
    OURS_EXIT,
    OURS_MEMORY,
    SQLITE,
    SQLITE_SYNC,
    counting,
    file,
    thread,
)
from .profiling import profilers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from .harness import Turns
    from .langgraph_graphs import Saver

STEPS = 10
GOALS = {OURS_MEMORY: 60e-6, OURS: 150e-6}
HOSTED_GOALS = {HOSTED_MEMORY: 60e-6, HOSTED: 150e-6}
SAVERS = {
    "async": (OURS_MEMORY, OURS, OURS_EXIT, HOSTED_MEMORY, HOSTED, IN_MEMORY, SQLITE, FORGETFUL),
    "sync": (OURS_MEMORY, OURS, OURS_EXIT, IN_MEMORY, SQLITE_SYNC, FORGETFUL),
}
PEERS = {
    "async": {
        OURS_MEMORY: IN_MEMORY,
        OURS: SQLITE,
        OURS_EXIT: SQLITE,
        HOSTED_MEMORY: IN_MEMORY,
        HOSTED: SQLITE,
    },
    "sync": {OURS_MEMORY: IN_MEMORY, OURS: SQLITE_SYNC, OURS_EXIT: SQLITE_SYNC},
}
"""Whose cost stands beside ours, in the same run."""

BARE = "no saver"
THREADS = count()


def rows(*, quick: bool) -> list[Row]:
    """Measure, and return the lines of the table."""
    turns, runs = (3, 5) if quick else (15, 10)
    with folder() as path:
        return asyncio.run(_rows(path, turns=turns, runs=runs))


def profile(*, quick: bool) -> None:
    """Write down where the time of our steps goes."""
    with folder() as path:
        asyncio.run(_profile(path, runs=20 if quick else 300))


async def _rows(path: Path, *, turns: int, runs: int) -> list[Row]:
    result: list[Row] = []
    for api, savers in SAVERS.items():
        async with AsyncExitStack() as stack:
            sides: dict[str, Callable[[], Awaitable[float]]] = {}
            for saver in (None, *savers):
                opened = None
                if saver is not None:
                    place = path / api
                    place.mkdir(exist_ok=True)
                    opened = await stack.enter_async_context(saver.opened(file(place, saver)))
                for steps in (1, STEPS):
                    side = partial(_runs, api, counting(opened, steps, is_async=api == "async"))
                    name = saver.name if saver else BARE
                    durability = saver.durability if saver else None
                    sides[f"{name} {steps}"] = partial(side, durability, runs)
            taken = await in_turns(sides, turns=turns)
        result.append(_own(api, taken, runs))
        for saver in savers:
            result += _said(api, saver, taken, runs)
    return result


async def _runs(api: str, graph: Any, durability: str | None, runs: int) -> float:
    """Time runs one after the other on a thread of their own; the first, which makes the thread, is not timed."""
    options: dict[str, Any] = {"durability": durability} if durability else {}
    config = thread(f"t{next(THREADS)}") if durability else {}
    asked = {"progress": 0}
    if api == "sync":

        def go() -> None:
            for _ in range(runs):
                graph.invoke(asked, config, **options)

        # As in a program that has no loop: there the caller's thread is the one that runs the graph.
        await asyncio.to_thread(graph.invoke, asked, config, **options)
        return await asyncio.to_thread(timed, go)
    await graph.ainvoke(asked, config, **options)
    started = perf_counter()
    for _ in range(runs):
        await graph.ainvoke(asked, config, **options)
    return perf_counter() - started


def _said(api: str, saver: Saver, taken: Turns, runs: int) -> list[Row]:
    cost = _Cost(taken, saver, runs)
    peer = PEERS[api].get(saver)
    beside = _Cost(taken, peer, runs) if peer is not None else None
    # A run of the engine costs more than its saver: there, what counts is the step alone.
    goal = GOALS.get(saver) if api == "async" else None
    hosted_goal = HOSTED_GOALS.get(saver)
    what = f"{api}, {saver.name}" + (f" / {beside.saver.name}" if beside else "")
    return [
        _row(f"{what}: a step's part of a run of {STEPS}", cost.part, beside and beside.part, goal),
        _row(f"{what}: a step alone", cost.alone, beside and beside.alone, hosted_goal),
    ]


class _Cost:
    """What a saver adds to the bare graph, in seconds a step; medians of what it adds from turn to turn."""

    def __init__(self, taken: Turns, saver: Saver, runs: int) -> None:
        self.saver = saver
        added = {
            steps: [
                (one - other) / runs
                for one, other in zip(
                    taken.seconds[f"{saver.name} {steps}"],
                    taken.seconds[f"{BARE} {steps}"],
                    strict=True,
                )
            ]
            for steps in (1, STEPS)
        }
        self.part = median(added[STEPS]) / STEPS
        pairs = zip(added[STEPS], added[1], strict=True)
        self.alone = median(one - other for one, other in pairs) / (STEPS - 1)


def _row(what: str, seconds: float, beside: float | None, goal: float | None) -> Row:
    return Row(
        what,
        measured=" / ".join(show_seconds(each) for each in (seconds, beside) if each is not None),
        ratio=f"{beside / seconds:.2f}" if beside and min(beside, seconds) > 0 else "",
        goal=f"≤ {show_seconds(goal)}" if goal else "",
        is_met=seconds <= goal if goal else None,
    )


def _own(api: str, taken: Turns, runs: int) -> Row:
    seconds = taken.median(f"{BARE} {STEPS}") / runs / STEPS
    return Row(f"{api}: a step of the graph itself, without a saver", show_seconds(seconds))


async def _profile(path: Path, *, runs: int) -> None:
    for api in SAVERS:
        for saver in (OURS_MEMORY, OURS, *((HOSTED_MEMORY, HOSTED) if api == "async" else ())):
            place = path / f"profile-{api}"
            place.mkdir(exist_ok=True)
            async with saver.opened(file(place, saver)) as opened:
                graph = counting(opened, STEPS, is_async=api == "async")
                for profiler in profilers():
                    with profiler(f"langgraph steps {api} {saver.name}"):
                        await _runs(api, graph, saver.durability, runs)
