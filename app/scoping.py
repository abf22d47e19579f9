"""The parts of an engine as one caller has them: an executor and a store in which threads out of reach are not there.

All that an engine reads and writes for callers goes through these two, so that what is added to it later is bounded as well.
What they do not have, nobody who is bounded can call: the whole log, its subscriptions, and everything about processes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from ..domain.thread import EMPTY_THREAD
from .checkpoint_logs import WholeThreads
from .search import ALL

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from ..domain.events import RecordedEvent
    from ..domain.graph_ports import Intent
    from ..domain.ports import EventStore, Lease, RunRow, StoredSnapshot, StreamBatch, ThreadRow
    from ..domain.thread import Thread
    from .access import Access
    from .answers import Keep
    from .bootstrap import Ports
    from .deciding import Outcome
    from .executor import Executor


def bounded(
    ports: Ports, executor: Executor, wholes: WholeThreads, access: Access
) -> tuple[Ports, Executor, WholeThreads]:
    """Return what an engine is composed of, for a caller with this access."""
    scoped = cast("Executor", ScopedExecutor(executor, access))
    if not access.is_bounded:
        return ports, scoped, wholes
    store = cast("EventStore", ScopedStore(ports.store, scoped, access))
    return replace(ports, store=store), scoped, WholeThreads(store, scoped, wholes)


class ScopedExecutor:
    """Executes under a caller's name, and shows only what is within reach."""

    def __init__(self, executor: Executor, access: Access) -> None:
        self._executor = executor
        self._access = access

    async def execute(
        self,
        thread_id: str,
        *intents: Intent,
        actor: str | None = None,
        holder: str | None = None,
        release: Lease | None = None,
        keep: Keep[Outcome] | None = None,
    ) -> Outcome:
        """Execute as the executor does; a thread out of reach is refused as one that is not there."""
        return await self._executor.execute(
            thread_id, *intents,
            actor=actor, holder=holder, release=release, access=self._access, keep=keep,
        )  # fmt: skip

    def begin(
        self, thread_id: str, *intents: Intent, holder: str, keep: Keep[Outcome] | None = None
    ) -> asyncio.Future[Outcome]:
        """Begin to execute what `execute` does."""
        return self._executor.begin(
            thread_id, *intents, holder=holder, access=self._access, keep=keep
        )

    def expect_new(self, thread_id: str) -> None:
        """Take it that a thread, whose id was just made, has no events."""
        self._executor.expect_new(thread_id)

    async def load(self, thread_id: str) -> Thread:
        """Return the thread as the log has it now."""
        return self._access.shown(await self._executor.load(thread_id))

    def cached(self, thread_id: str) -> Thread | None:
        """Return the thread as this process last saw it."""
        thread = self._executor.cached(thread_id)
        return None if thread is None else self._access.shown(thread)

    async def load_at(self, thread_id: str, version: int, thread: Thread = EMPTY_THREAD) -> Thread:
        """Return the thread as it stood at a version, if that is part of the life that is within reach now."""
        newest = await self.load(thread_id)
        past = await self._executor.load_at(thread_id, version, thread)
        is_former = self._access.is_bounded and past.created_at != newest.created_at
        return EMPTY_THREAD if is_former else past


class ScopedStore:
    """The store's answers about threads within reach; about any other, those that it has for one that is not there."""

    def __init__(self, store: EventStore, executor: Executor, access: Access) -> None:
        self._store = store
        self._executor = executor
        self._access = access

    async def _sees(self, thread_id: str) -> bool:
        return (await self._executor.load(thread_id)).is_present

    async def read_thread(
        self, thread_id: str, *, after: int = 0, upto: int | None = None, limit: int | None = None
    ) -> tuple[RecordedEvent, ...]:
        """Read a thread's events."""
        if not await self._sees(thread_id):
            return ()
        return await self._store.read_thread(thread_id, after=after, upto=upto, limit=limit)

    async def read_run(self, thread_id: str, versions: Sequence[int]) -> tuple[RecordedEvent, ...]:
        """Read the events at these versions."""
        if not await self._sees(thread_id):
            return ()
        return await self._store.read_run(thread_id, versions)

    async def head_version(self, thread_id: str) -> int:
        """Return the thread's newest version."""
        return await self._store.head_version(thread_id) if await self._sees(thread_id) else 0

    async def head_position(self) -> int:
        """Return the newest position: a number that says nothing of whose it is."""
        return await self._store.head_position()

    async def get_run(self, thread_id: str, run_id: str) -> RunRow | None:
        """Return the run's row."""
        row = await self._store.get_run(thread_id, run_id)
        # Asked last, so that no other owner's row can come in between.
        return row if row is not None and await self._sees(thread_id) else None

    async def find_run(self, run_id: str) -> RunRow | None:
        """Return the row of a run whose thread is not known."""
        row = await self._store.find_run(run_id)
        return row if row is not None and await self._sees(row.thread_id) else None

    async def list_runs(
        self,
        thread_id: str,
        *,
        status: str | None = None,
        limit: int = 10,
        offset: int = 0,
        with_hidden: bool = False,
    ) -> tuple[RunRow, ...]:
        """Return the thread's runs."""
        rows = await self._store.list_runs(
            thread_id, status=status, limit=limit, offset=offset, with_hidden=with_hidden
        )
        return rows if await self._sees(thread_id) else ()

    async def read_snapshot(self, thread_id: str) -> StoredSnapshot | None:
        """Return the thread's snapshot."""
        return await self._store.read_snapshot(thread_id) if await self._sees(thread_id) else None

    async def read_stream(
        self,
        thread_id: str,
        run_id: str | None = None,
        *,
        after: tuple[int, int] = (0, 0),
        upto: int | None = None,
        limit: int = 100,
    ) -> tuple[StreamBatch, ...]:
        """Read what runs of the thread emitted."""
        if not await self._sees(thread_id):
            return ()
        return await self._store.read_stream(thread_id, run_id, after=after, upto=upto, limit=limit)

    async def list_runs_in_flight(self, *, status: str | None = None) -> tuple[RunRow, ...]:
        """Return every pending or running run of the threads within reach."""
        rows = await self._store.list_runs_in_flight(status=status)
        ids = dict.fromkeys(row.thread_id for row in rows)
        seen = {thread_id for thread_id in ids if await self._sees(thread_id)}
        return tuple(row for row in rows if row.thread_id in seen)

    async def get_thread(self, thread_id: str) -> ThreadRow | None:
        """Return the thread's row."""
        row = await self._store.get_thread(thread_id)
        return row if row is not None and self._access.sees(row.metadata) else None

    async def list_threads(self, *, limit: int = 100, offset: int = 0) -> tuple[ThreadRow, ...]:
        """Return the present threads within reach, newest `updated_at` first."""
        rows = await self._store.list_threads(limit=ALL)
        return tuple(row for row in rows if self._access.sees(row.metadata))[
            offset : offset + limit
        ]
