"""Doors to threads' logs for checkpointers: of a run's attempt, queued; of one change, written at its end; and for all else."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from typing import TYPE_CHECKING, TypeVar

from ..domain.decisions import decide
from ..domain.errors import ContentionError
from ..domain.events import RecordedEvent
from ..domain.thread import FULL_THREAD, evolve, fold

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from ..domain.graph_ports import Intent
    from ..domain.ports import Clock, EventStore, Lease
    from ..domain.thread import Thread
    from .answers import Keep
    from .deciding import Outcome
    from .executor import Executor
    from .recording import Recorder

T = TypeVar("T")

THREADS_MAX = 2**31
"""All threads that there may be."""

WHOLE_THREADS_MAX = 4
"""Threads that are kept with every checkpoint that they ever had."""


class WholeThreads:
    """Threads with every checkpoint that the log holds. The last few are kept, and brought up to date with what came since."""

    def __init__(
        self, store: EventStore, executor: Executor, kept_by: WholeThreads | None = None
    ) -> None:
        self.store = store
        self._executor = executor
        self.kept: OrderedDict[str, Thread] = OrderedDict() if kept_by is None else kept_by.kept

    async def load(self, thread_id: str) -> Thread:
        """Return the thread as the log has it now, with all checkpoints."""
        newest = await self._executor.load(thread_id)
        saved = newest.state.saved
        if saved.is_complete and (newest.base is None or newest.base.saved.is_complete):
            return newest
        known = self.kept.pop(thread_id, FULL_THREAD)
        thread = await self._executor.load_at(thread_id, newest.version, known)
        self.kept[thread_id] = thread
        if len(self.kept) > WHOLE_THREADS_MAX:
            self.kept.popitem(last=False)
        return thread


class _Reading:
    """What both doors read alike."""

    def __init__(self, executor: Executor, wholes: WholeThreads) -> None:
        self._executor = executor
        self._wholes = wholes
        with contextlib.suppress(RuntimeError):
            self.loop: asyncio.AbstractEventLoop | None = None
            self.loop = asyncio.get_running_loop()

    def peek(self, thread_id: str) -> Thread | None:
        """Return the thread as this process saw it last."""
        return self._executor.cached(thread_id)

    async def events(self, thread_id: str) -> Sequence[RecordedEvent]:
        """Return the thread's events."""
        return await self._wholes.store.read_thread(thread_id)

    async def thread_ids(self) -> Sequence[str]:
        """Return the ids of all threads, the one changed last first."""
        rows = await self._wholes.store.list_threads(limit=THREADS_MAX)
        return [row.thread_id for row in rows]


class DirectLog(_Reading):
    """A `CheckpointLog` for everything but a run's own code: what is recorded is durable when `record` returns."""

    async def thread(self, thread_id: str) -> Thread:
        """Return the thread as the log has it now."""
        return await self._executor.load(thread_id)

    async def whole(self, thread_id: str) -> Thread:
        """Return the thread with every checkpoint that the log holds."""
        return await self._wholes.load(thread_id)

    async def record(self, thread_id: str, intents: Sequence[Intent]) -> None:
        """Record these, all or nothing; raises what the domain refuses with."""
        await self._executor.execute(thread_id, *intents)


class AttemptLog(_Reading):
    """The `RunLog` of an attempt: fenced by its lease, and queued by its recorder."""

    def __init__(
        self, lease: Lease, recorder: Recorder, executor: Executor, wholes: WholeThreads
    ) -> None:
        super().__init__(executor, wholes)
        self._lease = lease
        self._recorder = recorder

    @property
    def thread_id(self) -> str:
        """The thread's id."""
        return self._lease.thread_id

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._lease.run_id

    @property
    def attempt(self) -> int:
        """The attempt's number."""
        return self._lease.attempt

    async def thread(self, thread_id: str) -> Thread:
        """Return the thread with all that this attempt recorded. Nobody else writes its state meanwhile."""
        await self._recorder.settled()
        cached = self._executor.cached(thread_id) if thread_id == self.thread_id else None
        return cached if cached is not None else await self._executor.load(thread_id)

    async def whole(self, thread_id: str) -> Thread:
        """Return the thread with every checkpoint that the log holds."""
        await self._recorder.settled()
        return await self._wholes.load(thread_id)

    async def record(self, thread_id: str, intents: Sequence[Intent]) -> None:
        """Queue these in order; with durability sync, return when they are durable."""
        if thread_id != self.thread_id:
            await self._executor.execute(thread_id, *intents)
            return
        await self._recorder.take(intents)

    def post(self, intents: Sequence[Intent]) -> None:
        """Queue these, from any thread, without waiting."""
        self._recorder.post(intents)

    def before_stop(self, tell: Callable[[], Sequence[Intent]]) -> None:
        """Have `tell` called before a decision that may stop the run."""
        self._recorder.before_stop(tell)

    async def flush(self) -> None:
        """Return when what was queued is durable; raises StaleAttemptError if the attempt is fenced."""
        await self._recorder.settled()


class LogMovedError(Exception):
    """What was buffered was decided on a thread that is no longer the newest: it is to be done again from the start."""


async def until_unmoved(
    change: Callable[[], Awaitable[T]], thread_id: str, seconds: float, clock: Clock
) -> T:
    """Make a change by a `BufferedLog`, from the start again whenever its thread has moved; return what came of it.

    Raises:
        ContentionError: it has moved every time for so long.
    """
    deadline = clock.monotonic() + seconds
    while True:
        try:
            return await change()
        except LogMovedError:
            if clock.monotonic() > deadline:
                raise ContentionError(thread_id=thread_id, seconds=seconds) from None


class BufferedLog(_Reading):
    """A `CheckpointLog` that shows one thread as it was loaded, with what is recorded through this door on top of it.

    Nothing is written before `commit`. Where nothing is recorded, it is a thread that stands still for its readers.
    """

    def __init__(
        self, thread_id: str, thread: Thread, executor: Executor, wholes: WholeThreads
    ) -> None:
        super().__init__(executor, wholes)
        self._thread_id = thread_id
        self._loaded = self._thread = thread
        self._intents: list[Intent] = []
        self._planned: list[RecordedEvent] = []

    def peek(self, thread_id: str) -> Thread | None:
        """Return the thread, with what was recorded."""
        return self._thread if thread_id == self._thread_id else super().peek(thread_id)

    async def thread(self, thread_id: str) -> Thread:
        """Return the thread, with what was recorded."""
        if thread_id == self._thread_id:
            return self._thread
        return await self._executor.load(thread_id)

    async def whole(self, thread_id: str) -> Thread:
        """Return the thread with every checkpoint that the log holds, and with what was recorded."""
        whole = await self._wholes.load(thread_id)
        if thread_id != self._thread_id:
            return whole
        if whole.version != self._loaded.version:  # It has gone on since it was loaded.
            whole = await self._executor.load_at(thread_id, self._loaded.version, FULL_THREAD)
        return fold(self._planned, whole)

    async def events(self, thread_id: str) -> Sequence[RecordedEvent]:
        """Return the thread's events, and those that were recorded."""
        if thread_id != self._thread_id:
            return await super().events(thread_id)
        events = await self._wholes.store.read_thread(thread_id, upto=self._loaded.version)
        return [*events, *self._planned]

    async def record(self, thread_id: str, intents: Sequence[Intent]) -> None:
        """Keep these, all or none; raises what the domain refuses with."""
        if thread_id != self._thread_id:
            await self._executor.execute(thread_id, *intents)
            return
        thread, planned = self._thread, list[RecordedEvent]()
        for intent in intents:
            now = thread.updated_at
            command = intent(thread, now) if callable(intent) else intent
            for event in () if command is None else decide(command, thread):
                recorded = RecordedEvent(thread_id, thread.version + 1, 0, now, event)
                planned.append(recorded)
                thread = evolve(thread, recorded)
        self._intents += intents
        self._planned += planned
        self._thread = thread

    async def commit(self, actor: str | None = None, keep: Keep[Outcome] | None = None) -> None:
        """Write all that was recorded, as one; `keep` makes the answer that is kept with it.

        Raises:
            LogMovedError: somebody else wrote to the thread meanwhile; nothing was written.
            StoreError: the store is away.
        """
        version = self._loaded.version

        def unmoved(thread: Thread, now: datetime) -> None:
            del now
            if thread.version != version:
                raise LogMovedError

        if self._planned:
            await self._executor.execute(
                self._thread_id, unmoved, *self._intents, actor=actor, keep=keep
            )
