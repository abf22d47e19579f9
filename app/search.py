"""Searching threads: by what their rows hold (ids, status, metadata), and by the values of their states."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..domain.snapshots import SNAPSHOT_SCHEMA
from .containment import contains
from .rows import thread_row
from .snapshot_codec import decode_snapshot
from .state_values import StateValues

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ..domain.ports import EventStore, ThreadRow
    from ..domain.thread import Thread
    from ..domain.values import JsonObject
    from .executor import Executor

ThreadOrder: TypeAlias = Literal[
    "thread_id", "status", "created_at", "updated_at", "state_updated_at"
]

ALL = 2**53
"""As a limit: no limit."""


@dataclass(frozen=True, slots=True)
class ThreadFilter:
    """What the threads looked for have in common; None: anything goes."""

    metadata: JsonObject | None = None
    status: str | None = None
    ids: frozenset[str] | None = None
    values: JsonObject | None = None
    """What the values of the state hold; a thread that has none yet holds nothing."""

    @property
    def is_open(self) -> bool:
        """Whether every thread matches."""
        is_for_any = not self.metadata and not self.values
        return is_for_any and self.status is None and self.ids is None

    def matches(self, thread_id: str, thread: Thread) -> bool:
        """Say whether a thread is among those looked for."""
        if not thread.is_visible or not self.matches_row(thread_row(thread_id, thread)):
            return False
        if not self.values:
            return True
        if not thread.has_values:
            return False
        values = StateValues(thread.state, thread.items)
        if values.is_bare:
            return contains(values.shown(), self.values)
        return all(
            any(contains(value, wanted) for value in values.channel(name))
            for name, wanted in self.values.items()
        )

    def matches_row(self, row: ThreadRow) -> bool:
        """Say whether a thread is among those looked for, as far as its row tells."""
        if self.ids is not None and row.thread_id not in self.ids:
            return False
        if self.status is not None and row.status != self.status:
            return False
        return not self.metadata or contains(row.metadata, self.metadata)


IDS_LOOKED_UP_MAX = 100
"""So many threads are looked up one by one; for more, all are gone through."""

YIELD_EVERY = 64
"""So many threads are looked at before others get their turn: with a store in memory nothing else lets them."""


class ThreadSearch:
    """Finds threads: by their rows first, then, where values are asked for, by the states of those that are left."""

    def __init__(self, store: EventStore, executor: Executor) -> None:
        self._store = store
        self._executor = executor

    async def find(
        self,
        where: ThreadFilter,
        *,
        order: ThreadOrder = "updated_at",
        is_descending: bool = True,
        limit: int = 10,
        offset: int = 0,
    ) -> tuple[list[tuple[str, Thread]], bool]:
        """Return the threads that match, by id, and whether there are more behind them."""
        if where.is_open and order == "updated_at" and is_descending:
            rows = await self._store.list_threads(limit=limit + 1, offset=offset)
        else:
            rows = await self.rows(where, order, is_descending=is_descending)
            if not where.values:
                rows = rows[offset : offset + limit + 1]
        if where.values:
            matching = [found async for found in self._matching(rows, where, offset + limit + 1)]
            return matching[offset : offset + limit], len(matching) > offset + limit
        found: list[tuple[str, Thread]] = []
        for row in rows[:limit]:
            thread = await self._executor.load(row.thread_id)
            if thread.is_visible:  # It may have been deleted meanwhile.
                found.append((row.thread_id, thread))
        return found, len(rows) > limit

    async def count(self, where: ThreadFilter) -> int:
        """Return how many threads match."""
        rows = await self.rows(where)
        if not where.values:
            return len(rows)
        count = 0
        async for _ in self._matching(rows, where, len(rows)):
            count += 1
        return count

    async def rows(
        self, where: ThreadFilter, order: ThreadOrder = "thread_id", *, is_descending: bool = False
    ) -> Sequence[ThreadRow]:
        """Return the rows that match as far as rows tell, in order; ties by id, rising."""
        rows = [row for row in await self._candidates(where) if where.matches_row(row)]
        rows.sort(key=lambda row: row.thread_id)
        rows.sort(key=lambda row: getattr(row, order), reverse=is_descending)
        return rows

    async def _candidates(self, where: ThreadFilter) -> Sequence[ThreadRow]:
        if where.ids is None or len(where.ids) > IDS_LOOKED_UP_MAX:
            return await self._store.list_threads(limit=ALL)
        rows = [await self._store.get_thread(thread_id) for thread_id in where.ids]
        return [row for row in rows if row is not None and row.is_present]

    async def _matching(
        self, rows: Sequence[ThreadRow], where: ThreadFilter, limit: int
    ) -> AsyncIterator[tuple[str, Thread]]:
        """Yield those whose values match too, until there are enough. One state is held at a time, beside those that are."""
        found = 0
        for at, row in enumerate(rows):
            if found >= limit:
                return
            if at % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            thread = await self._glance(row.thread_id)
            if where.matches(row.thread_id, thread):
                found += 1
                yield row.thread_id, thread

    async def _glance(self, thread_id: str) -> Thread:
        """Return the thread as it stands, without keeping it: those that are worked on stay in the cache."""
        version = await self._store.head_version(thread_id)
        cached = self._executor.cached(thread_id)
        if cached is not None:
            return await self._executor.load_at(thread_id, version, cached)
        stored = await self._store.read_snapshot(thread_id)
        if stored is None or stored.schema != SNAPSHOT_SCHEMA or stored.version > version:
            return await self._executor.load_at(thread_id, version)
        thread = await asyncio.to_thread(decode_snapshot, stored.body)
        return await self._executor.load_at(thread_id, version, thread)
