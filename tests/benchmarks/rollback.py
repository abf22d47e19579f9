"""Rollback over HTTP: from `runs.create` to the end of the new run, over old runs of different lengths, in turns.

For comparison a call to an app that does nothing, behind the same client.
"""

from __future__ import annotations

import asyncio
import gc
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .harness import Row, folder, percentile, show_seconds, timed_async
from .servers import NOBODY, engine_client, noop_client

if TYPE_CHECKING:
    from langgraph_sdk.client import LangGraphClient

LENGTHS = (1, 100, 1000)
GOAL_SECONDS = 4e-3
GOAL_RATIO = 0.8
INPUT = {"question": "What is the weather like?"}
NOOP = ("no-op", 0)


def rows(*, quick: bool) -> list[Row]:
    """Measure, and return the lines of the table."""
    with folder() as path:
        taken = asyncio.run(_measure(path, times=5 if quick else 40))
    result: list[Row] = []
    for kind, what in (("join", "`create` and `join`"), ("wait", "`wait` alone")):
        for steps in LENGTHS:
            seconds = taken[kind, steps]
            pairs = zip(taken[kind, LENGTHS[0]], seconds, strict=True)
            half, ratio = percentile(seconds, 0.5), median(one / this for one, this in pairs)
            is_met = half <= GOAL_SECONDS and ratio >= GOAL_RATIO
            result.append(
                Row(
                    f"{what}, the old run has {steps:,} steps: p50 (p95) / with one step",
                    measured=f"{show_seconds(half)} ({show_seconds(percentile(seconds, 0.95))})",
                    ratio=f"{ratio:.2f}",
                    goal=f"≤ {show_seconds(GOAL_SECONDS)}, ≥ {GOAL_RATIO}"
                    if kind == "join"
                    else "",
                    is_met=is_met if kind == "join" else None,
                )
            )
    noop = percentile(taken[NOOP], 0.5)
    for kind, what in (("join", "`create` and `join`"), ("wait", "`wait` alone")):
        half = percentile(taken[kind, LENGTHS[-1]], 0.5)
        result.append(
            Row(
                f"{what}, the old run has {LENGTHS[-1]:,} steps: p50 / one call to the no-op app",
                measured=f"{show_seconds(half)} / {show_seconds(noop)}",
                ratio=f"{half / noop:.2f}",
            )
        )
    return result


async def _measure(path: Any, *, times: int) -> dict[tuple[str, int], list[float]]:
    taken: dict[tuple[str, int], list[float]] = {
        (kind, steps): [] for kind in ("join", "wait") for steps in LENGTHS
    }
    taken[NOOP] = []
    async with engine_client(path) as client, noop_client(path) as noop:
        for number in range(-2, times):
            for (kind, steps), seconds in taken.items():
                if (kind, steps) == NOOP:
                    took = await timed_async(noop.runs.wait(NOBODY, "instant", input=INPUT))
                else:
                    took = await _roll_back(client, steps, is_wait=kind == "wait")
                if number >= 0:
                    seconds.append(took)
    return taken


async def _roll_back(client: LangGraphClient, steps: int, *, is_wait: bool) -> float:
    """Let a run take its steps, then time the run that displaces it."""
    thread_id = (await client.threads.create())["thread_id"]
    old = await client.runs.create(thread_id, "held", input={"steps": steps})
    messages: list[Any] = []
    while len(messages) < steps:
        await asyncio.sleep(0.02)
        state = await client.threads.get_state(thread_id)
        messages = state["values"].get("messages", [])
    gc.collect()  # A long run's messages were just read, and are garbage by now.
    await asyncio.sleep(0.02)
    started = perf_counter()
    if is_wait:
        values = await client.runs.wait(
            thread_id, "instant", input=INPUT, multitask_strategy="rollback"
        )
    else:
        run = await client.runs.create(
            thread_id, "instant", input=INPUT, multitask_strategy="rollback"
        )
        values = await client.runs.join(thread_id, run["run_id"])
    seconds = perf_counter() - started
    assert "answer" in values
    assert "messages" not in values, f"something of run {old['run_id']} is left"
    return seconds
