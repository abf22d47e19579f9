"""Waiting for running code to stop, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

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
