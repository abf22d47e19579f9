"""What a saver adds to a turn of a LangGraph graph in a long conversation, and what reading such a conversation takes.

The cost of a turn is its time less that of the same graph without a saver, which gets the same conversation as its input. Our
threads have grown turn by turn; LangGraph's savers, whose files would be gigabytes, were given theirs by one update.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, HumanMessage

from .harness import Row, folder, in_turns, show_seconds, timed_async
from .langgraph_graphs import (
    HOSTED,
    IN_MEMORY,
    OURS,
    OURS_EXIT,
    OURS_MEMORY,
    SQLITE,
    Texts,
    file,
    talking,
    thread,
)
from .profiling import profilers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from .harness import Turns
    from .langgraph_graphs import Saver

OUR_SAVERS = (OURS_MEMORY, OURS, OURS_EXIT, HOSTED)
PEERS = (IN_MEMORY, SQLITE)
COLD = (OURS, HOSTED, SQLITE)
LENGTHS = (100, 500, 1000, 2000)
LENGTHS_QUICK = (10, 50)
GROWTH_MAX = 1.3
TURN_SECONDS_MAX = 1.6e-3
STATES = 10
READ_GOALS = {
    ("`get_state`", HOSTED.name): 1e-3,
    ("`get_state` after reopening", HOSTED.name): 5e-3,
    (f"Newest {STATES} states", HOSTED.name): 10e-3,
    (f"Newest {STATES} states", OURS.name): 10e-3,
}
"""At the last of the lengths. The engine gives states as JSON, savers give objects."""

BARE = "no saver"


def rows(*, quick: bool) -> list[Row]:
    """Measure, and return the lines of the table."""
    lengths = LENGTHS_QUICK if quick else LENGTHS
    with folder() as path:
        return asyncio.run(_rows(path, lengths, times=3 if quick else 15))


def profile(*, quick: bool) -> None:
    """Write down where the time of our turns goes, in the longest conversation."""
    with folder() as path:
        asyncio.run(_profile(path, LENGTHS_QUICK[-1] if quick else LENGTHS[-1]))


async def _rows(path: Path, lengths: Sequence[int], *, times: int) -> list[Row]:
    async with AsyncExitStack() as stack:
        graphs = [await _built(stack, path, saver, lengths) for saver in (*OUR_SAVERS, *PEERS)]
        bare = {length: _Bare(length) for length in lengths}
        sides: dict[str, Callable[[], Awaitable[float]]] = {}
        for length in lengths:
            sides[_side(BARE, length)] = bare[length].turn
            for graph in graphs:
                sides[_side(graph.saver.name, length)] = partial(graph.turn, length)
        turns = await in_turns(sides, turns=times)
        reads = await in_turns(
            {
                f"{what} {_side(graph.saver.name, length)}": partial(read, graph, length)
                for what, read in READS.items()
                for length in (lengths[0], lengths[-1])
                for graph in graphs
            },
            turns=max(3, times // 2),
        )
    cold = await in_turns(
        {
            _side(saver.name, length): partial(_cold, path, saver, length)
            for length in (lengths[0], lengths[-1])
            for saver in COLD
        },
        turns=max(3, times // 2),
    )
    names = [graph.saver.name for graph in graphs]
    return [
        *_costs(turns, names, lengths),
        *_readings("`get_state`", reads, names, lengths, "state "),
        *_readings("Newest ten states", reads, names, lengths, "history "),
        *_readings("`get_state` after reopening", cold, [each.name for each in COLD], lengths),
    ]


# ------------------------------------------------------------------ sides


@dataclass
class _Saved:
    """A graph with a saver, and its threads, one of each length."""

    saver: Saver
    graph: Any
    texts: Texts

    async def turn(self, length: int) -> float:
        config, durability = thread(str(length)), self.saver.durability
        return await timed_async(
            self.graph.ainvoke(self.texts.asked(), config, durability=durability)
        )

    async def state(self, length: int) -> float:
        return await timed_async(self.graph.aget_state(thread(str(length))))

    async def history(self, length: int) -> float:
        async def read() -> None:
            config = thread(str(length))
            count = len(
                [state async for state in self.graph.aget_state_history(config, limit=STATES)]
            )
            assert count == STATES or self.saver in PEERS

        return await timed_async(read())


READS: dict[str, Callable[[_Saved, int], Awaitable[float]]] = {
    "state": _Saved.state,
    "history": _Saved.history,
}


@dataclass
class _Bare:
    """The graph without a saver: the caller keeps the conversation, and gives all of it to each turn."""

    length: int
    texts: Texts = field(default_factory=Texts)
    messages: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.graph = talking(None, self.texts)

    async def turn(self) -> float:
        if not self.messages:
            given = {"messages": _conversation(self.texts, self.length)}
            self.messages = (await self.graph.ainvoke(given))["messages"][:-1]
        asked = {"messages": [*self.messages, *self.texts.asked()["messages"]]}
        started = perf_counter()
        result = await self.graph.ainvoke(asked)
        seconds = perf_counter() - started
        self.messages = result["messages"]
        return seconds


def _conversation(texts: Texts, length: int) -> list[Any]:
    kinds = (HumanMessage, AIMessage) * length
    return [kind(texts.text()) for kind in kinds]


async def _built(stack: AsyncExitStack, path: Path, saver: Saver, lengths: Sequence[int]) -> _Saved:
    texts = Texts()
    opened = await stack.enter_async_context(saver.opened(file(path, saver)))
    saved = _Saved(saver, talking(opened, texts), texts)
    for length in lengths:
        if saver not in PEERS:
            for _ in range(length):
                await saved.turn(length)
        else:
            given = {"messages": _conversation(texts, length)}
            await saved.graph.aupdate_state(thread(str(length)), given, as_node="answer")
    return saved


async def _cold(path: Path, saver: Saver, length: int) -> float:
    """Time the first look at a thread. The database was opened before, by a look at another one."""
    async with saver.opened(file(path, saver)) as opened:
        graph = talking(opened, Texts())
        await graph.aget_state(thread("none"))
        return await timed_async(graph.aget_state(thread(str(length))))


# ------------------------------------------------------------------ what it says


def _side(name: str, length: int) -> str:
    return f"{name}, {length:,} turns"


def _costs(taken: Turns, names: Sequence[str], lengths: Sequence[int]) -> list[Row]:
    result: list[Row] = []
    for name in names:
        costs: list[float] = []
        for length in lengths:
            with_saver = taken.seconds[_side(name, length)]
            without = taken.seconds[_side(BARE, length)]
            pairs = zip(with_saver, without, strict=True)
            costs.append(median(one - other for one, other in pairs))
            has_goal = length == lengths[-1] and name in {OURS.name, OURS_MEMORY.name}
            result.append(
                Row(
                    f"A turn, {_side(name, length)}: what the saver adds / the graph without one",
                    measured=f"{show_seconds(costs[-1])} / {show_seconds(median(without))}",
                    goal=f"≤ {show_seconds(TURN_SECONDS_MAX)}" if has_goal else "",
                    is_met=costs[-1] <= TURN_SECONDS_MAX if has_goal else None,
                )
            )
        growth = costs[-1] / costs[0]
        has_goal = name not in {peer.name for peer in PEERS}
        result.append(
            Row(
                f"The same, {name}: at {lengths[-1]:,} turns / at {lengths[0]}",
                measured=f"{show_seconds(costs[-1])} / {show_seconds(costs[0])}",
                ratio=f"{growth:.2f}",
                goal=f"≤ {GROWTH_MAX}" if has_goal else "",
                is_met=round(growth, 2) <= GROWTH_MAX if has_goal else None,
            )
        )
    return result


def _readings(
    what: str, taken: Turns, names: Sequence[str], lengths: Sequence[int], side: str = ""
) -> list[Row]:
    result: list[Row] = []
    for name in names:
        for length in (lengths[0], lengths[-1]):
            seconds = taken.median(f"{side}{_side(name, length)}")
            goal = READ_GOALS.get((what, name)) if length == lengths[-1] else None
            result.append(
                Row(
                    f"{what}, {_side(name, length)}",
                    measured=show_seconds(seconds),
                    goal=f"≤ {show_seconds(goal)}" if goal else "",
                    is_met=seconds <= goal if goal else None,
                )
            )
    return result


# ------------------------------------------------------------------ where the time goes


async def _profile(path: Path, length: int) -> None:
    for saver in OUR_SAVERS:
        async with AsyncExitStack() as stack:
            saved = await _built(stack, path, saver, [length])
            for profiler in profilers():
                with profiler(f"langgraph turns {_side(saver.name, length)}"):
                    for _ in range(200):
                        await saved.turn(length)
    for profiler in profilers():
        with profiler(f"langgraph cold state {length} turns"):
            for _ in range(20):
                await _cold(path, OURS, length)
