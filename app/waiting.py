"""Waiting for running code to stop, within bounds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..domain.ports import Clock, TaskHandle, Tasks


class Code(Protocol):
    """Code that runs, until it has stopped."""

    is_stopped: bool

    async def wait(self) -> None:
        """Return when the code has stopped."""
        ...


async def wait_for(attempts: Sequence[Code], seconds: float, *, clock: Clock, tasks: Tasks) -> None:
    """Wait until the code of all these attempts has stopped, but no longer than this."""
    if all(attempt.is_stopped for attempt in attempts):
        return
    waiting = tasks.start(_all(attempts), "wait for running code")
    alarm = tasks.start(_cancel_after(waiting, seconds, clock), "end of waiting")
    await waiting.wait()
    alarm.cancel()


async def _all(attempts: Sequence[Code]) -> None:
    for attempt in attempts:
        await attempt.wait()


async def _cancel_after(waiting: TaskHandle, seconds: float, clock: Clock) -> None:
    await clock.sleep(seconds)
    waiting.cancel()


class Lines:
    """A line for each thread, in which callers wait who must be served in the order in which they came."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, thread_id: str) -> asyncio.Lock:
        """Return the thread's; it lets in one at a time, first come, first served."""
        return self._locks.setdefault(thread_id, asyncio.Lock())
