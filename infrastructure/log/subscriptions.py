"""Following the log: what is there, then what comes, by position. Nothing is buffered here.

A follower reads from the position that it has reached, and only then waits: whatever is appended in
between has a higher position, so nothing is missed; and as positions rise in commit order without
holes, nothing appears later below it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from ...domain.ports import LogEntry
    from .log import Log

BATCH_EVENTS = 500
"""How many events one step of a subscription brings at most."""


class Signal:
    """Wakes the tasks of one event loop when this process has appended; any thread may call it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log) -> None:
        self._loop = loop
        self._log = log
        self._waiting: set[asyncio.Future[None]] = set()

    def start(self) -> None:
        """Listen to the log."""
        self._log.listen(self._notify)

    def stop(self) -> None:
        """Wake everybody, for the last time."""
        self._log.unlisten(self._notify)
        self._wake()

    def arm(self) -> asyncio.Future[None]:
        """Return what is done at the next append. Arm, then read, then wait: so none is missed."""
        future = self._loop.create_future()
        self._waiting.add(future)
        return future

    def disarm(self, future: asyncio.Future[None]) -> None:
        """Forget what `arm` returned."""
        self._waiting.discard(future)

    def _notify(self) -> None:
        if not self._waiting:
            return
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            return  # The loop was closed, and with it whoever waited.

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)


class LogSubscription:
    """The whole log from a position on, in batches."""

    def __init__(
        self,
        read: Callable[[int, int], Awaitable[Sequence[LogEntry]]],
        signal: Signal,
        *,
        after: int,
        poll_seconds: float | None,
    ) -> None:
        self._read = read
        self._signal = signal
        self._after = after
        self._poll_seconds = poll_seconds
        self._armed: asyncio.Future[None] | None = None
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[Sequence[LogEntry]]:
        """Yield batches in order of position; wait for more at the end of the log."""
        while not self._is_closed:
            armed = self._armed = self._signal.arm()
            try:
                batch = await self._read(self._after, BATCH_EVENTS)
                if not batch and not self._is_closed:
                    await asyncio.wait((armed,), timeout=self._poll_seconds)
            finally:
                self._signal.disarm(armed)
            if batch:
                self._after = batch[-1].position
                yield batch

    async def close(self) -> None:
        """End the iteration, also one that waits."""
        self._is_closed = True
        if self._armed is not None and not self._armed.done():
            self._armed.set_result(None)
