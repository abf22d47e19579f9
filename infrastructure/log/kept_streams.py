"""A store's streams of runs: batches of what they emitted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from ...domain.ports import StreamBatch
from .access import COMPRESSED_AT_ONCE, LogAccess
from .codec import to_microseconds
from .compression import compressed, expanded, uncompressed
from .log import UNLIMITED

if TYPE_CHECKING:
    from datetime import datetime


class StreamsOfLog(LogAccess):
    """The part of a store that keeps streams."""

    async def write_stream(
        self, thread_id: str, run_id: str, attempt: int, *, seq: int, count: int, body: bytes
    ) -> int | None:
        """Store a batch durably, and return the version that it stands behind; None if the attempt is fenced."""
        if not self._codec.is_compressing:
            stored = uncompressed(body)
        elif len(body) < COMPRESSED_AT_ONCE:
            stored = compressed(body)
        else:
            stored = await self._read(compressed, body)
        batch = StreamBatch(thread_id, run_id, attempt, 0, seq, count, stored)
        return cast("int | None", await self._do(self._log.streams.write(batch)))

    async def read_stream(
        self,
        thread_id: str,
        run_id: str | None = None,
        *,
        after: tuple[int, int] = (0, 0),
        upto: int | None = None,
        limit: int = 100,
    ) -> tuple[StreamBatch, ...]:
        """Read batches in order of place."""
        last = UNLIMITED if upto is None else upto
        return await self._read(self._batches, thread_id, run_id, after, last, limit)

    def _batches(
        self, thread_id: str, run_id: str | None, after: tuple[int, int], upto: int, limit: int
    ) -> tuple[StreamBatch, ...]:
        found = self._log.streams.read(thread_id, run_id, after, upto, limit)
        return tuple(replace(batch, body=expanded(batch.body)) for batch in found)

    async def sweep_streams(self, before: datetime) -> int:
        """Delete the batches of runs that ended before this moment; return of how many runs."""
        count = 0
        while keys := await self._read(self._log.streams.list_ended, to_microseconds(before)):
            await self._do(self._log.streams.delete(keys))
            count += len(keys)
        return count
