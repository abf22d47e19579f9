"""Two savers side by side: the same plan on each must leave the same in each, after every operation."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING

from .langgraph_model import difference

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .langgraph_operations import Plan, Subject
    from .langgraph_savers import Contender

THREADS = count(1)


@asynccontextmanager
async def opened(*subjects: Subject) -> AsyncIterator[None]:
    """Open the subjects, and close them at the end."""
    async with AsyncExitStack() as stack:
        for subject in subjects:
            stack.push_async_callback((await subject.open()).close)
        yield


async def disagreement(plan: Plan, mine: Subject, reference: Subject) -> str | None:
    """Play the plan on both; say where they differ first, if they do."""
    async with opened(mine, reference):
        for at, operation in enumerate(plan.operations):
            place = f"operation {at} {operation!r}\n"
            came = await mine.play(operation)
            told = difference(came, await reference.play(operation), f"{place}result")
            told = told or difference(await mine.shown(), await reference.shown(), place)
            if told:
                return told
        return difference(await mine.shown_whole(), await reference.shown_whole(), "in the end")


def assert_agree(
    plan: Plan, mine: Contender, reference: Contender, *, is_sync: bool = False
) -> None:
    """Fail where the two differ; on an event loop of its own."""
    subjects = mine(plan.graph), reference(plan.graph)
    thread_id = f"thread/{next(THREADS)} ☃"  # Stores may have threads of other plans.
    for subject in subjects:
        subject.thread_id, subject.is_sync = thread_id, is_sync
    told = asyncio.run(disagreement(plan, *subjects))
    assert told is None, told
