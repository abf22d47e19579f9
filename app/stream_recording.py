"""What an attempt of a resumable run emits, stored before anybody sees it: what was seen once can be read again.

Parts wait while the batch before them is on its way to the disk, and go together in the next one. The store says behind which
version of the thread a batch stands; an attempt that is fenced stores nothing, and so nothing of it is shown.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ..domain.errors import StoreError
from .hub import Emitted
from .stream_codec import LOST, BatchWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..domain.ports import Clock, EventStore, Lease, Tasks
    from ..domain.thread import Thread
    from ..domain.values import Json
    from .executor import Executor
    from .hub import Hub
    from .settings import Settings

logger = logging.getLogger(__name__)

BATCH_PARTS_MAX = 64
"""Parts that are stored together at most."""

GATHERED_SECONDS = 0.02
"""How long a batch waits for more while one was written a moment ago."""

PARTS_WAITING_MAX = 10_000
"""Parts that may wait for a store that does not keep up, or is away. Further ones are left out, and readers are told of it."""


class StreamRecorder:
    """Stores what the attempt that holds `lease` emits. `thread` is as it stands when the attempt begins."""

    def __init__(
        self,
        lease: Lease,
        thread: Thread,
        store: EventStore,
        executor: Executor,
        hub: Hub,
        settings: Settings,
        *,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._lease = lease
        self._thread = thread
        self._store = store
        self._executor = executor
        self._hub = hub
        self._settings = settings
        self._clock = clock
        self._tasks = tasks
        self._writer: BatchWriter | None = None
        self._waiting: list[tuple[str, Json]] = []
        self._lost = 0
        self._given = self._settled = 0
        """How many parts were ever taken, and how many of them are stored, or will never be."""
        self._seq = 1
        self._is_writing = False
        self._is_over = False
        self._progress = asyncio.Event()
        self._urge = asyncio.Event()
        self._written_at = float("-inf")

    def add(self, mode: str, data: Json) -> None:
        """Take a part, without waiting; it is shown once it is stored."""
        if self._is_over:
            return
        if len(self._waiting) < PARTS_WAITING_MAX:
            self._tell_lost()
            self._take(mode, data)
        else:
            self._lost += 1
        if not self._is_writing:
            self._is_writing, self._progress = True, asyncio.Event()
            self._tasks.start(self._write(), f"store the stream of run {self._lease.run_id}")

    def _take(self, mode: str, data: Json) -> None:
        self._waiting.append((mode, data))
        self._given += 1

    def _tell_lost(self) -> None:
        """Put what was left out in its place, once there is room again."""
        if self._lost and len(self._waiting) < PARTS_WAITING_MAX:
            lost, self._lost = self._lost, 0
            self._take(LOST, lost)

    async def flush(self) -> None:
        """Return when what was taken so far is stored, or never will be."""
        wanted = self._given
        self._urge.set()
        while self._settled < wanted and self._is_writing:
            await self._progress.wait()

    def abandon(self) -> None:
        """Store nothing more that cannot be stored at once."""
        self._is_over = True

    # ------------------------------------------------------------------ writing

    async def _write(self) -> None:
        try:
            while self._waiting or self._lost:
                self._tell_lost()
                await self._gather()
                await self._write_batch()
        finally:
            self._is_writing = False
            self._settled = self._given
            self._progress.set()

    async def _gather(self) -> None:
        loop = asyncio.get_running_loop()
        is_burst = loop.time() - self._written_at < GATHERED_SECONDS
        if is_burst and len(self._waiting) < BATCH_PARTS_MAX and not self._urge.is_set():
            alarm = loop.call_later(GATHERED_SECONDS, self._urge.set)
            await self._urge.wait()
            alarm.cancel()
        self._urge.clear()

    async def _write_batch(self) -> None:
        """Store the parts that waited longest, and show them."""
        parts = self._waiting[:BATCH_PARTS_MAX]
        taken = len(parts)
        try:
            body = await self._body(parts)
        except (TypeError, ValueError, RecursionError):
            logger.exception("run %s emitted what cannot be written", self._lease.run_id)
            parts = [(LOST, taken)]
            body = await self._body(parts)
        version = await self._stored(body, len(parts))
        if version is None:
            self._is_over = True
            self._waiting.clear()
            return
        del self._waiting[:taken]
        await self._show(parts, version)
        self._settled += taken
        self._written_at = asyncio.get_running_loop().time()
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()

    async def _body(self, parts: Sequence[tuple[str, Json]]) -> bytes:
        if self._writer is None:
            self._writer = await asyncio.to_thread(BatchWriter, self._thread)
        if self._writer.is_heavy:
            return await asyncio.to_thread(self._writer.write, parts)
        return self._writer.write(parts)

    async def _stored(self, body: bytes, count: int) -> int | None:
        """Store a batch, however often that takes; return the version that it stands behind, None if it cannot be any more."""
        lease = self._lease
        while True:
            try:
                return await self._store.write_stream(
                    lease.thread_id,
                    lease.run_id,
                    lease.attempt,
                    seq=self._seq,
                    count=count,
                    body=body,
                )
            except StoreError:
                if self._is_over:
                    return None
                logger.exception("could not store the stream of run %s; trying again", lease.run_id)
            await self._clock.sleep(self._settings.poll_seconds)

    async def _show(self, parts: Sequence[tuple[str, Json]], version: int) -> None:
        lease = self._lease
        known = self._executor.cached(lease.thread_id)
        if known is None or known.version < version:
            # Others have written to the thread meanwhile: followers hear of that first.
            await self._executor.load(lease.thread_id)
        for mode, data in parts:
            place = (version, self._seq)
            self._seq += 1
            self._hub.publish(
                Emitted(lease.thread_id, lease.run_id, lease.attempt, mode, data, place)
            )
