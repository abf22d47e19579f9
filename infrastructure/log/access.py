"""How a store reaches its log: opened and closed, read off the event loop, written through the writer."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from eventsourcing.persistence import PersistenceError

from ...domain.errors import StoreUnavailableError
from ...domain.events import RecordedEvent
from .codec import CODEC
from .collection import paused_collection
from .subscriptions import Signal
from .writer import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...domain.ports import LogEntry
    from .codec import EventCodec, LogRow
    from .holding import Holding
    from .log import Log
    from .planning import Write
    from .writer import Task

COMPRESSED_AT_ONCE = 64 * 1024
"""Bytes up to which something is compressed where it is: to go to another thread takes longer."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class LogAccess:
    """Base of stores: one log, a few reading threads, one writer."""

    def __init__(
        self, log: Log, holding: Holding, *, codec: EventCodec = CODEC, readers_max: int = 4
    ) -> None:
        self._log = log
        self._holding = holding
        self._codec = codec
        self._readers_max = readers_max
        self._readers: ThreadPoolExecutor | None = None
        self._signal: Signal | None = None
        self._is_open = False

    @property
    def holder(self) -> str:
        """This process's name as a holder of leases."""
        return self._holding.holder

    # ---------------------------------------------------------------- opening and closing

    async def open(self) -> None:
        """Connect, migrate the schema, take up the process's place."""
        if self._log.is_blocking:
            self._readers = ThreadPoolExecutor(self._readers_max, "threadfold-reader")
        self._is_open = True
        try:
            await self._read(self._open)
        except BaseException:
            self._is_open = False
            self._log.close()
            if self._readers is not None:
                self._readers.shutdown()
            raise
        self._signal = Signal(asyncio.get_running_loop(), self._log)
        self._signal.start()

    def _open(self) -> None:
        self._log.open()
        self._holding.start()

    async def close(self) -> None:
        """Finish what was accepted for writing, then disconnect."""
        if not self._is_open:
            return
        try:
            await self._read(self._close)
        finally:
            self._is_open = False
            if self._signal is not None:
                self._signal.stop()
            if self._readers is not None:
                self._readers.shutdown()

    def _close(self) -> None:
        try:
            self._holding.stop()
        finally:
            self._log.close()

    async def _read(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function of the log off the event loop, if it may have to wait."""
        self._check_open()
        try:
            if self._readers is None:
                return function(*args, **kwargs)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._readers, lambda: function(*args, **kwargs))
        except PersistenceError as error:
            raise StoreUnavailableError(f"The store cannot be read: {error}") from error

    async def _do(self, work: Write | Task) -> object:
        """Have the writer do something, and return when it is durable."""
        self._check_open()
        waiter: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        try:
            self._log.submit(Job(work, waiter))
            return await waiter
        except PersistenceError as error:
            raise StoreUnavailableError(f"The store cannot be written: {error}") from error

    def _check_open(self) -> None:
        if not self._is_open:
            raise StoreUnavailableError("The store is closed")

    async def head_version(self, thread_id: str) -> int:
        """Return the thread's newest version, 0 if it has no event.

        Asked before every decision, so it is looked up on the spot: one seek in an index costs less
        than the way to another thread and back. Only if that would have to wait does it go there.
        """
        self._check_open()
        version = self._log.peek_version(thread_id)
        if version is not None:
            return version
        return await self._read(self._log.head_version, thread_id)

    def _decoded(self, rows: Sequence[LogRow]) -> tuple[LogEntry, ...]:
        with paused_collection(len(rows)):
            return tuple(map(self._codec.decode, rows))

    def _of_threads(self, rows: Sequence[LogRow]) -> tuple[RecordedEvent, ...]:
        return tuple(each for each in self._decoded(rows) if isinstance(each, RecordedEvent))
