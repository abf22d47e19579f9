"""The one loop: load, decide, append with the version decided on; if another writer got in first, decide again."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from ..domain.assistant import require_thread_id
from ..domain.errors import (
    ContentionError,
    RefusedError,
    RunIdTakenError,
    StoreUnavailableError,
    VersionConflictError,
)
from ..domain.events import RecordedEvent
from ..domain.ports import Append, StoredSnapshot
from ..domain.snapshots import SNAPSHOT_SCHEMA
from ..domain.thread import EMPTY_THREAD, Thread, fold
from .appends import Appends, Post, no_post
from .cache import ThreadCache
from .deciding import Envelope, Outcome, decided
from .hub import Committed
from .lines import Lines
from .observing import Nobody
from .snapshot_codec import decode_snapshot, encode_snapshot
from .users import Callers

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from ..domain.graph_ports import Intent
    from ..domain.ports import Clock, EventStore, Ids, Lease, LogEntry, Observer, Tasks
    from .access import Access
    from .answers import Keep
    from .hub import Hub
    from .settings import Settings

T = TypeVar("T")

MICROSECOND = timedelta(microseconds=1)
INTENTS_AT_ONCE = 500
"""From so many on, as a copy of a long thread has them, they are decided in a thread of their own."""

ERASING_PAUSE_SECONDS = 0.2

EVENTS_AT_ONCE = 2_000
"""Events that a cold load reads and folds at a time, so that it does not hold up the event loop."""


class Executor:
    """Executes commands on threads, one at a time on each, in the order in which they came."""

    def __init__(
        self,
        store: EventStore,
        hub: Hub,
        settings: Settings,
        *,
        clock: Clock,
        ids: Ids,
        tasks: Tasks,
        observer: Observer | None = None,
        post: Post = no_post,
    ) -> None:
        self.observer = observer or Nobody()
        self._store = store
        self._hub = hub
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._tasks = tasks
        self._cache = ThreadCache(
            threads_max=settings.cached_threads_max,
            size_max=settings.cached_events_max,
            is_held=lambda thread_id, thread: bool(thread.runs) or hub.has_listeners(thread_id),
            on_drop=lambda thread_id: self._snapshots.pop(thread_id, None),
        )
        self._appends = Appends(settings, post)
        self._lines = Lines[str]()
        self._snapshots: dict[str, int] = {}
        self._snapshotting: set[str] = set()
        self.callers = Callers()
        self._has_to_erase = self._is_erasing = False
        self.seen_position = 0
        """Every event up to here was written by this process, or taken up by it."""

    # ------------------------------------------------------------------ commands

    async def execute(
        self,
        thread_id: str,
        *intents: Intent,
        actor: str | None = None,
        holder: str | None = None,
        release: Lease | None = None,
        access: Access | None = None,
        keep: Keep[Outcome] | None = None,
    ) -> Outcome:
        """Decide on the newest state and append what was decided, durably.

        Several intents are decided one after the other, each on what the one before it made, and appended as one: all or
        nothing. It is carried out also if the caller is cancelled meanwhile. `holder` names the process that gets the lease of
        a run that this starts; `release` is the lease of an attempt whose code has stopped by itself. With an `access`, a
        thread out of its reach is refused as one that is not there, and what is recorded is by its user. `keep` makes the
        answer that is kept with what is appended.

        Raises:
            RefusedError: the domain refused, or the answer's key is taken; nothing was written.
            ContentionError: other processes got in first for too long.
            StoreUnavailableError: the write is known not to stand.
        """
        return await self._uninterrupted(
            self._execute(thread_id, intents, Envelope(actor, holder, release, access, keep)),
            f"execute {thread_id}",
        )

    def begin(
        self,
        thread_id: str,
        *intents: Intent,
        holder: str,
        access: Access | None = None,
        keep: Keep[Outcome] | None = None,
    ) -> asyncio.Future[Outcome]:
        """Begin to execute what `execute` does, in the order of the calls to both; return its outcome to come."""
        work = self._execute(thread_id, intents, Envelope(None, holder, None, access, keep))
        return self._begun(work, f"execute {thread_id}")

    async def _execute(
        self, thread_id: str, intents: Sequence[Intent], envelope: Envelope
    ) -> Outcome:
        async with self._lines.of(thread_id):
            deadline = self._clock.monotonic() + self._settings.contention_seconds
            thread = self._cache.get(thread_id)
            if thread is None:
                thread = await self._refreshed(thread_id)
            tries = 0
            while True:
                outcome = await self._try(thread_id, thread, intents, envelope)
                if outcome is not None:
                    return outcome
                tries += 1
                if self._clock.monotonic() > deadline:
                    seconds = self._settings.contention_seconds
                    raise ContentionError(thread_id=thread_id, seconds=seconds)
                if tries > 1:  # The first conflict says only that the cache was behind.
                    await self._clock.sleep(self._ids.uniform(0, min(0.001 * 2**tries, 0.1)))
                thread = await self._refreshed(thread_id)

    async def _try(
        self, thread_id: str, thread: Thread, intents: Sequence[Intent], envelope: Envelope
    ) -> Outcome | None:
        """Decide once; return None if the thread turned out to be a newer one."""
        now = max(self._clock.now(), thread.updated_at + MICROSECOND)
        try:
            if len(intents) < INTENTS_AT_ONCE:
                planned, threads = decided(thread_id, thread, intents, now, envelope)
            else:
                planned, threads = await asyncio.to_thread(
                    decided, thread_id, thread, intents, now, envelope
                )
        except RefusedError:
            # A refusal is an answer too: it must not rest on a state that another process has moved on from.
            if await self._store.head_version(thread_id) > thread.version:
                return None
            raise
        if not planned:
            if await self._store.head_version(thread_id) > thread.version:
                return None
            return Outcome((), thread, thread)
        append = self._appends.planned(thread_id, thread, threads, planned, envelope)
        began = self._clock.monotonic()
        try:
            recorded = await self._store.append(append)
        except VersionConflictError:
            return None
        except RunIdTakenError:
            return Outcome((), thread, thread)  # A retry of a run that ended long ago.
        self.observer.appended(recorded, self._clock.monotonic() - began)
        access = envelope.access
        if append.accepts and access is not None and access.user is not None:
            self.callers.accepted(append.accepts, access.user)
        return self._committed(append, recorded, thread, threads)

    def _committed(
        self,
        append: Append,
        recorded: tuple[RecordedEvent, ...],
        before: Thread,
        threads: Sequence[Thread],
    ) -> Outcome:
        """Move on: only now that the events are durable may anybody see them."""
        thread_id, after = append.thread_id, threads[-1]
        self.advance(recorded)
        self._cache.put(thread_id, after)
        self.callers.settle(before, after)
        self._hub.publish(Committed(thread_id, recorded, before, after, tuple(threads)))
        if append.erase_runs or append.erase_thread:
            self._snapshots.pop(thread_id, None)
            self._erase_soon()
        if append.deliveries and self._hub.on_posted is not None:
            self._hub.on_posted()
        self._maybe_snapshot(thread_id, after)
        if before.is_temporary and not after.is_present:
            self._cache.drop(thread_id)  # Nobody asks for it again: others are worth the room.
        return Outcome(recorded, before, after)

    def _erase_soon(self) -> None:
        """Have one task erase all that there is to erase, also what comes while it does."""
        self._has_to_erase = True
        if not self._is_erasing:
            self._is_erasing = True
            self._tasks.start(self._erase(), "erasure")

    async def _erase(self) -> None:
        try:
            while self._has_to_erase:
                self._has_to_erase = False
                with contextlib.suppress(StoreUnavailableError):  # The next start takes it up.
                    await self._store.erase_pending()
                if self._has_to_erase:
                    # Each round takes a write to the whole file: more should come together.
                    await self._clock.sleep(ERASING_PAUSE_SECONDS)
        finally:
            self._is_erasing = False

    def advance(self, events: Sequence[LogEntry]) -> None:
        """Move on over events of our own, as long as no other process's stand before them."""
        if events and events[0].position == self.seen_position + 1:
            self.seen_position = events[-1].position

    # ------------------------------------------------------------------ reading

    async def load(self, thread_id: str) -> Thread:
        """Return the thread as the log has it now; a thread without events is `EMPTY_THREAD`."""
        thread = self._cache.get(thread_id)
        if thread is not None and await self._store.head_version(thread_id) <= thread.version:
            return thread
        return await self._uninterrupted(self._load(thread_id), f"load {thread_id}")

    async def _load(self, thread_id: str) -> Thread:
        async with self._lines.of(thread_id):
            return await self._refreshed(thread_id)

    def expect_new(self, thread_id: str) -> None:
        """Take it that a thread, whose id was just made, has no events: then nobody has to look."""
        self._cache.put(thread_id, EMPTY_THREAD)

    def cached(self, thread_id: str) -> Thread | None:
        """Return the thread as this process last saw it."""
        return self._cache.get(thread_id)

    async def load_at(self, thread_id: str, version: int, thread: Thread = EMPTY_THREAD) -> Thread:
        """Return the thread as it stood at a version: a fold of the log up to there, on from `thread`."""
        while thread.version < version:
            events = await self._store.read_thread(
                thread_id, after=thread.version, upto=version, limit=EVENTS_AT_ONCE
            )
            if not events:
                break
            thread = await self._folded(events, thread)
        return thread

    async def _refreshed(self, thread_id: str) -> Thread:
        """Bring the cached thread up to the log's head, and tell the hub what others wrote."""
        require_thread_id(thread_id)
        cached = self._cache.get(thread_id)
        thread = cached if cached is not None else await self._from_snapshot(thread_id)
        while True:
            events = await self._store.read_thread(
                thread_id, after=thread.version, limit=EVENTS_AT_ONCE
            )
            if not events:
                break
            before, thread = thread, await self._folded(events, thread)
            if cached is not None:
                self._cache.put(thread_id, thread)
                self._hub.publish(Committed(thread_id, events, before, thread))
            if len(events) < EVENTS_AT_ONCE:
                break
        if thread.version:
            self._cache.put(thread_id, thread)
            if cached is None:
                self._maybe_snapshot(thread_id, thread)
        return thread

    async def _from_snapshot(self, thread_id: str) -> Thread:
        stored = await self._store.read_snapshot(thread_id)
        if stored is None or stored.schema != SNAPSHOT_SCHEMA:
            self._snapshots[thread_id] = 0
            return EMPTY_THREAD
        self._snapshots[thread_id] = stored.version
        return await asyncio.to_thread(decode_snapshot, stored.body)

    async def _folded(self, events: Sequence[RecordedEvent], thread: Thread) -> Thread:
        if len(events) < EVENTS_AT_ONCE // 10:
            return fold(events, thread)
        return await asyncio.to_thread(fold, events, thread)

    # ------------------------------------------------------------------ snapshots

    def _maybe_snapshot(self, thread_id: str, thread: Thread) -> None:
        since = thread.version - self._snapshots.get(thread_id, 0)
        if since < max(self._settings.snapshot_events_min, len(thread.items) // 10):
            return
        if thread_id not in self._snapshotting and thread.is_present:
            self._snapshotting.add(thread_id)
            self._tasks.start(self._snapshot(thread_id, thread), f"snapshot {thread_id}")

    async def _snapshot(self, thread_id: str, thread: Thread) -> None:
        try:
            body = await asyncio.to_thread(encode_snapshot, thread)
            await self._store.write_snapshot(
                StoredSnapshot(thread_id, thread.version, SNAPSHOT_SCHEMA, body)
            )
            self._snapshots[thread_id] = thread.version
        except StoreUnavailableError:
            pass  # A snapshot is only a shortcut; the next one is tried 500 events later.
        finally:
            self._snapshotting.discard(thread_id)

    async def release(self, lease: Lease) -> None:
        """Say that an attempt's code has stopped, so that the thread's next run need not wait for it."""
        with contextlib.suppress(StoreUnavailableError):  # Then it lapses.
            await self._store.release_lease(lease)

    # ------------------------------------------------------------------ other processes

    async def take_up(self) -> None:
        """Take up what other processes wrote, so that the worker, waiters and streams hear of it."""
        while await self._store.head_position() > self.seen_position:
            await self._take_up_batch()

    async def _take_up_batch(self) -> None:
        entries = await self._store.read_log(after=self.seen_position, limit=EVENTS_AT_ONCE)
        heads = {e.thread_id: e.version for e in entries if isinstance(e, RecordedEvent)}
        for thread_id, newest in heads.items():
            cached = self._cache.get(thread_id)
            if cached is None:
                thread = await self.load(thread_id)
                self._hub.publish(Committed(thread_id, (), thread, thread))
            elif cached.version < newest:
                await self.load(thread_id)
        if entries:
            self.seen_position = max(self.seen_position, entries[-1].position)

    # ------------------------------------------------------------------ helpers

    async def _uninterrupted(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Await work that goes on to its end although the caller is cancelled."""
        result = self._begun(work, name)
        try:
            return await asyncio.shield(result)
        except asyncio.CancelledError:
            result.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise

    def _begun(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Future[T]:
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                result.set_result(await work)
            except asyncio.CancelledError:
                result.cancel()
                raise
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
                result.set_exception(error)

        self._tasks.start(run(), name)
        return result
