"""Stopping a graph that runs: it drains, and does not go on to its next step."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from langgraph.runtime import RunControl

logger = logging.getLogger(__name__)

T = TypeVar("T")


async def until_stopped(work: Coroutine[Any, Any, T], control: RunControl) -> T:
    """Await the work in a task of its own, so that it is asked to drain before a cancellation reaches it.

    A node that swallows its cancellation would otherwise go on to the next step.
    """
    task = asyncio.ensure_future(work)
    is_cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            is_cancelled = True
            control.request_drain("cancelled")
            task.cancel()
    if is_cancelled:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.debug("raised while it was stopped", exc_info=error)
        raise asyncio.CancelledError
    return task.result()
