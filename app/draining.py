"""Stopping attempts in good order: waiting for their code, and giving up what does not stop in time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..domain.commands import HandOverRun
from ..domain.errors import RefusedError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..domain.ports import Clock, TaskHandle, Tasks
    from .attempts import Attempt
    from .executor import Executor

logger = logging.getLogger(__name__)


async def wait_for(
    attempts: Sequence[Attempt], seconds: float, *, clock: Clock, tasks: Tasks
) -> None:
    """Wait until the code of all these attempts has stopped, but no longer than this."""
    if all(attempt.is_stopped for attempt in attempts):
        return
    waiting = tasks.start(_all(attempts), "wait for running code")
    alarm = tasks.start(_cancel_after(waiting, seconds, clock), "end of waiting")
    await waiting.wait()
    alarm.cancel()


async def hand_over(attempt: Attempt, executor: Executor) -> None:
    """Give a running attempt up, for another process to take its run."""
    command = HandOverRun(
        thread_id=attempt.thread_id, run_id=attempt.run_id, attempt=attempt.number
    )
    try:
        await executor.execute(attempt.thread_id, command)
    except (RefusedError, StoreError):
        logger.info("run %s ended before it could be handed over", attempt.run_id)


async def _all(attempts: Sequence[Attempt]) -> None:
    for attempt in attempts:
        await attempt.wait()


async def _cancel_after(waiting: TaskHandle, seconds: float, clock: Clock) -> None:
    await clock.sleep(seconds)
    waiting.cancel()
