"""The real clock, the real ids, the real tasks: what a simulator would put its own in place of."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import uuid6

if TYPE_CHECKING:
    from collections.abc import Coroutine

logger = logging.getLogger(__name__)


class SystemClock:
    """Time as the operating system has it."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that only rise."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after this many seconds."""
        await asyncio.sleep(seconds)


class SystemIds:
    """Ids as RFC 9562 has them. UUIDv7 and UUIDv6 are monotonic within the process, whatever the clock does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._random = random.Random()  # noqa: S311 - jitter, not secrets

    def run_id(self) -> str:
        """Return a UUIDv7."""
        with self._lock:
            return str(uuid6.uuid7())

    def thread_id(self) -> str:
        """Return a UUIDv7."""
        with self._lock:
            return str(uuid6.uuid7())

    def checkpoint_id(self) -> str:
        """Return a UUIDv6; as text they sort by time."""
        with self._lock:
            return str(uuid6.uuid6())

    def assistant_id(self) -> str:
        """Return a UUIDv7."""
        with self._lock:
            return str(uuid6.uuid7())

    def message_id(self) -> str:
        """Return a UUIDv4."""
        return str(uuid.uuid4())

    def uniform(self, low: float, high: float) -> float:
        """Return a random number."""
        return self._random.uniform(low, high)


class AsyncioTask:
    """A running asyncio task."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def cancel(self) -> None:
        """Ask it to stop."""
        self._task.cancel()

    def done(self) -> bool:
        """Say whether it has stopped."""
        return self._task.done()

    async def wait(self) -> None:
        """Return when it has stopped, however it did."""
        await asyncio.wait([self._task])


class AsyncioTasks:
    """Starts tasks on the running loop, and holds them until they are done."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> AsyncioTask:
        """Start a task; an error that it does not handle is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return AsyncioTask(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("background task %s failed", task.get_name(), exc_info=error)
