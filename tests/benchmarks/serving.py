"""Runs over HTTP: our server and one that does nothing, each behind the official SDK's client, in turns."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .harness import Row, folder, in_turns, percentile, show_rate, show_seconds, timed_async
from .servers import NOBODY, engine_client, noop_client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from langgraph_sdk.client import LangGraphClient

    from .harness import Turns

INPUT = {"question": "What is the weather like?"}
CLIENTS = {1: 300, 8: 500, 32: 500}
"""How many at once, and how many `runs.wait` a second they have to get."""

FIRST_EVENT_SECONDS = 3e-3

Call = "Callable[[LangGraphClient, str], Awaitable[object]]"


def rows(*, quick: bool) -> list[Row]:
    """Measure, and return the lines of the table."""
    with folder() as path:
        return asyncio.run(_rows(path, quick=quick))


async def _rows(path: Any, *, quick: bool) -> list[Row]:
    turns, calls = (3, 32) if quick else (9, 160)
    async with engine_client(path) as ours, noop_client(path) as noop:
        sides: dict[str, Callable[[], Awaitable[float]]] = {}
        for clients in CLIENTS:
            sides[f"ours {clients}"] = _side(ours, clients, calls)
            sides[f"noop {clients}"] = _side(noop, clients, calls, with_threads=False)
        taken = await in_turns(sides, turns=turns)
        times = await _latencies(ours, noop, count=30 if quick else 300)
    return [*_rates(taken, calls), *_times(times)]


# ------------------------------------------------------------------ how many a second


def _side(
    client: LangGraphClient, clients: int, calls: int, *, with_threads: bool = True
) -> Callable[[], Awaitable[float]]:
    """Give a turn: so many clients at once, each on a fresh thread of its own, `calls` calls in all."""

    async def one(thread_id: str) -> None:
        for _ in range(calls // clients):
            values = await client.runs.wait(thread_id, "instant", input=INPUT)
            assert "answer" in values

    async def turn() -> float:
        threads = [NOBODY] * clients
        if with_threads:
            threads = [(await client.threads.create())["thread_id"] for _ in range(clients)]
        started = perf_counter()
        await asyncio.gather(*map(one, threads))
        return perf_counter() - started

    return turn


def _rates(taken: Turns, calls: int) -> list[Row]:
    result: list[Row] = []
    for clients, goal in CLIENTS.items():
        done = calls // clients * clients
        ours, noop = (done / taken.median(f"{name} {clients}") for name in ("ours", "noop"))
        result.append(
            Row(
                f"`runs.wait`, {clients} {'client' if clients == 1 else 'clients'} / the same calls to a no-op app",
                measured=f"{show_rate(ours)} / {show_rate(noop)}",
                ratio=f"{taken.ratio(f'ours {clients}', f'noop {clients}'):.2f}",
                goal=f"≥ {goal}/s",
                is_met=ours >= goal,
            )
        )
    return result


# ------------------------------------------------------------------ how long


async def _latencies(
    ours: LangGraphClient, noop: LangGraphClient, *, count: int
) -> dict[str, list[float]]:
    """Time calls one by one, the kinds of call in turns."""
    calls: dict[str, Callable[[str], Awaitable[float]]] = {
        "no-op": lambda _: timed_async(noop.runs.wait(NOBODY, "instant", input=INPUT)),
        "wait": lambda thread_id: timed_async(ours.runs.wait(thread_id, "instant", input=INPUT)),
        "create and join": lambda thread_id: timed_async(_create_and_join(ours, thread_id)),
        "create a thread": lambda _: timed_async(ours.threads.create(metadata={"team": "a"})),
        "search threads": lambda _: timed_async(ours.threads.search(limit=10)),
        "search by metadata": lambda _: timed_async(
            ours.threads.search(metadata={"team": "a"}, limit=10)
        ),
        "first event": lambda thread_id: _first(ours, thread_id, "metadata"),
        "first values": lambda thread_id: _first(ours, thread_id, "values"),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-5, count):
        if number % 10 in (0, 5):
            thread_id = (await ours.threads.create())["thread_id"]
        for name, call in calls.items():
            seconds = await call(thread_id)
            if number >= 0:
                times[name].append(seconds)
    return times


async def _create_and_join(client: LangGraphClient, thread_id: str) -> None:
    run = await client.runs.create(thread_id, "instant", input=INPUT)
    await client.runs.join(thread_id, run["run_id"])


async def _first(client: LangGraphClient, thread_id: str, event: str) -> float:
    """Time from the call to the first event of this kind; the stream is then read to its end."""
    started = perf_counter()
    seconds = None
    async for part in client.runs.stream(thread_id, "instant", input=INPUT):
        if seconds is None and part.event == event:
            seconds = perf_counter() - started
    assert seconds is not None
    return seconds


def _times(times: dict[str, list[float]]) -> list[Row]:
    names = {
        "first event": "First event of `runs.stream`, p50 (p95)",
        "first values": "First `values` of `runs.stream`, p50 (p95)",
        "wait": "`runs.wait`, p50 (p95)",
        "create and join": "`runs.create` and `runs.join`, p50 (p95)",
        "create a thread": "`threads.create`, p50 (p95)",
        "search threads": "`threads.search`, the newest ten, p50 (p95)",
        "search by metadata": "`threads.search`, the newest ten with this metadata, p50 (p95)",
        "no-op": "For comparison: one call to the no-op app, p50 (p95)",
    }
    result: list[Row] = []
    for name, what in names.items():
        half, most = (percentile(times[name], share) for share in (0.5, 0.95))
        goal = FIRST_EVENT_SECONDS if name == "first event" else None
        result.append(
            Row(
                what,
                measured=f"{show_seconds(half)} ({show_seconds(most)})",
                ratio=f"{half / percentile(times['no-op'], 0.5):.2f}",
                goal="" if goal is None else f"≤ {show_seconds(goal)}",
                is_met=None if goal is None else half <= goal,
            )
        )
    return result
