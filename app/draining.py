"""Stopping attempts in good order: giving up what does not stop in time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..domain.commands import HandOverRun
from ..domain.errors import RefusedError, StoreError

if TYPE_CHECKING:
    from .attempts import Attempt
    from .executor import Executor

logger = logging.getLogger(__name__)


async def hand_over(attempt: Attempt, executor: Executor) -> None:
    """Give a running attempt up, for another process to take its run."""
    command = HandOverRun(
        thread_id=attempt.thread_id, run_id=attempt.run_id, attempt=attempt.number
    )
    try:
        await executor.execute(attempt.thread_id, command)
    except (RefusedError, StoreError):
        logger.info("run %s ended before it could be handed over", attempt.run_id)
