"""Reading a run's stream from any place on: what the log and the stored stream hold, then what comes, without loss or repetition.

A reader that keeps up gets what happens in this process as it happens. One that begins late, is too slow, or follows a run that
another process executes, reads the store instead, in pages: nobody has to keep anything for it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from ..domain.events import RunStarted
from ..domain.fencing import require_present
from ..domain.thread import evolve
from .hub import Emitted
from .stream_codec import BatchReader
from .streams import Follower, RunEvent, part_of, place_of
from .views import RunResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..domain.ports import Clock, EventStore
    from ..domain.thread import Thread
    from .executor import Executor
    from .hub import Hub
    from .settings import Settings
    from .streams import Place, RunPart
    from .views import RunView

EVENTS_AT_ONCE = 200
BATCHES_AT_ONCE = 16
PARTS_AT_ONCE = 100

SWEEP_SECONDS = 60.0
"""How often stored streams are looked through, at most."""


class StoredStream:
    """The stored parts of a run, or of all runs of a thread, in order; reads on where it stopped."""

    def __init__(
        self, thread_id: str, run_id: str | None, store: EventStore, executor: Executor
    ) -> None:
        self._thread_id = thread_id
        self._run_id = run_id
        self._store = store
        self._executor = executor
        self._read: Place = (0, 0)
        self._attempt: tuple[str, int] = ("", 0)
        self._reader = BatchReader()

    async def parts(self, after: Place, upto: int) -> AsyncIterator[Emitted]:
        """Yield the parts after a place, of versions up to `upto`."""
        read = self._store.read_stream
        if not await read(self._thread_id, self._run_id, after=after, upto=upto, limit=1):
            return  # What was read live need not be read again only to learn that it was all.
        while True:
            batches = await read(
                self._thread_id, self._run_id, after=self._read, upto=upto, limit=BATCHES_AT_ONCE
            )
            for batch in batches:
                attempt = (batch.run_id, batch.attempt)
                if attempt != self._attempt:
                    self._attempt, self._reader = attempt, BatchReader()
                await self._begin(batch.body)
                for at, (mode, data) in enumerate(self._reader.read(batch.body), batch.seq):
                    if (batch.version, at) > after:
                        yield Emitted(self._thread_id, *attempt, mode, data, (batch.version, at))
                self._read = (batch.version, batch.seq + batch.count - 1)
            if len(batches) < BATCHES_AT_ONCE:
                return

    async def _begin(self, body: bytes) -> None:
        version = self._reader.base_version(body)
        if version is not None:
            self._reader.begin(await self._executor.load_at(self._thread_id, version))


class Reader:
    """Base: reads parts for one client, each once, in order of place.

    Takes over a follower that was entered before anything was read. With `is_replaying`, it begins with what is there after the
    version `begin`; else with what comes. One that cannot catch up has parts that are not stored.
    """

    def __init__(
        self,
        follower: Follower,
        thread_id: str,
        run_id: str | None,
        begin: int,
        store: EventStore,
        executor: Executor,
        *,
        holder: str,
        poll_seconds: float,
        is_replaying: bool,
        can_catch_up: bool,
    ) -> None:
        self._follower = follower
        self._thread_id = thread_id
        self._run_id = run_id
        self._begin_version = begin
        self._can_catch_up = can_catch_up
        self._store = store
        self._executor = executor
        self._holder = holder
        self._poll_seconds = poll_seconds
        self._stored = StoredStream(thread_id, run_id, store, executor)
        self._is_due = is_replaying
        self._catching: AsyncIterator[RunPart] | None = None
        self._thread: Thread | None = None
        self._result: RunResult | None = None
        self.place: Place = (0, 0)
        """Of the last part that was taken."""

    # ------------------------------------------------------------------ what a response needs

    @property
    def is_behind(self) -> bool:
        """Whether parts are gone that cannot be had again."""
        return self._follower.is_behind and not self._can_catch_up

    @property
    def is_stuck(self) -> bool:
        """Whether the reader waits for somebody who does not take what was read."""
        return self._follower.is_stuck

    @is_stuck.setter
    def is_stuck(self, value: bool) -> None:
        self._follower.is_stuck = value

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        self._follower.__exit__()

    def wake(self) -> None:
        """Have `wait` return."""
        self._follower.wake()

    async def wait(self) -> None:
        """Return when there may be something to take, or after `wake`."""
        if self._catching is not None or self._is_due or self._follower.is_behind:
            await asyncio.sleep(0)
            return
        if not self._is_elsewhere():
            await self._follower.wait()
            return
        # Nobody tells of what another process stores.
        alarm = asyncio.get_running_loop().call_later(self._poll_seconds, self._follower.wake)
        await self._follower.wait()
        alarm.cancel()

    def begin_after(self, thread: Thread) -> None:
        """Begin with what came after the thread stood like this."""
        self._thread, self.place = thread, (thread.version, 0)

    async def skipped(self) -> AsyncIterator[RunPart]:
        """Yield all that is there now; the run's end stays to be taken."""
        while self._is_due or self._catching is not None:
            for part in await self.take():
                if isinstance(part, RunResult):
                    self._result = part
                else:
                    yield part

    async def take(self) -> list[RunPart]:
        """Return the next parts, a bounded number of them; none if there are none yet."""
        if self._result is not None:
            return [self._result]
        if self._catching is None and (
            self._is_due or self._follower.is_behind or self._is_elsewhere()
        ):
            self._begin_catching_up()
        if self._catching is not None:
            return await self._page()
        parts: list[RunPart] = []
        for part in await self._follower.take():
            if place_of(part) <= self.place:
                continue
            if self._can_catch_up and self._has_more_before(part):
                self._begin_catching_up()
                return parts + await self._page()
            self._taken(part)
            parts.append(part)
        return parts

    # ------------------------------------------------------------------ catching up

    def _is_elsewhere(self) -> bool:
        """Say whether another process executes the run, as far as is known."""
        thread = self._executor.cached(self._thread_id)
        return (
            self._can_catch_up
            and thread is not None
            and thread.active is not None
            and self._run_id in (None, thread.active)
            and thread.holder != self._holder
        )

    def _has_more_before(self, part: RunPart) -> bool:
        """Say whether there may be stored parts before this one that nobody has told of here."""
        match part:
            case RunResult():
                return True  # If another process ended it, it may have come before them.
            case RunEvent(recorded=recorded, thread=thread):
                event = recorded.event
                is_again = isinstance(event, RunStarted) and event.attempt > 1
                return is_again or thread.holder != self._holder
            case _:
                return False

    def _begin_catching_up(self) -> None:
        self._is_due = False
        self._follower.begin_anew()
        self._catching = self._catch_up()

    async def _page(self) -> list[RunPart]:
        parts: list[RunPart] = []
        catching = self._catching
        while catching is not None and len(parts) < PARTS_AT_ONCE:
            part = await anext(catching, None)
            if part is None:
                catching = self._catching = None
            elif place_of(part) > self.place:
                self._taken(part)
                parts.append(part)
        return parts

    def _taken(self, part: RunPart) -> None:
        self.place = place_of(part)
        if isinstance(part, RunEvent):
            self._thread = part.thread

    async def _catch_up(self) -> AsyncIterator[RunPart]:
        """Yield what the store holds after the last part, in order of place.

        What is committed after it was begun is collected by the follower, so to read to the end once is enough.
        """
        thread = self._thread
        if thread is None:
            thread = await self._executor.load_at(self._thread_id, self._begin_version)
        while True:
            events = await self._store.read_thread(
                self._thread_id, after=thread.version, limit=EVENTS_AT_ONCE
            )
            upto = events[-1].version if events else thread.version
            stored = self._stored.parts(self.place, upto)
            emitted = await anext(stored, None)
            for recorded in events:
                while emitted is not None and emitted.place < (recorded.version, 0):
                    yield emitted
                    emitted = await anext(stored, None)
                thread = evolve(thread, recorded)
                part = part_of(self._run_id, recorded, thread)
                if part is not None:
                    yield part
            while emitted is not None:
                yield emitted
                emitted = await anext(stored, None)
            self._thread = thread
            if len(events) < EVENTS_AT_ONCE:
                return


class Replays:
    """Hands out readers, and sweeps what is too old to be read again."""

    def __init__(
        self,
        store: EventStore,
        executor: Executor,
        hub: Hub,
        settings: Settings,
        *,
        holder: str,
        clock: Clock,
    ) -> None:
        self._hub = hub
        self._store = store
        self._executor = executor
        self._settings = settings
        self._holder = holder
        self._clock = clock
        self._swept_at = float("-inf")

    def run(self, follower: Follower, view: RunView, *, is_replaying: bool = False) -> Reader:
        """Return a reader of the run that takes over an entered follower; with `is_replaying`, it begins with what is there.

        A run that was submitted with `stream_resumable` in its `kwargs` can be read from any place on, at any time.
        """
        return Reader(
            follower, view.row.thread_id, view.row.run_id, view.row.accepted_version,
            self._store, self._executor, holder=self._holder,
            poll_seconds=self._settings.poll_seconds, is_replaying=is_replaying,
            can_catch_up=view.accepted.kwargs.get("stream_resumable") is True,
        )  # fmt: skip

    def follow(self, thread_id: str) -> Follower:
        """Return a follower of all that happens to a thread, to be entered before `thread` reads it."""
        return Follower(self._hub, thread_id, None)

    async def thread(
        self, follower: Follower, thread_id: str, *, after: Place | None = None
    ) -> Reader:
        """Return a reader of all that happens to a thread: from now on, or so that what came after a place can be told.

        For that it begins with the acceptance of the run that was active there. Raises ThreadNotFoundError.
        """
        thread = await self._executor.load(thread_id)
        require_present(thread_id, thread)
        if after is not None:
            thread = await self._executor.load_at(thread_id, min(after[0], thread.version))
            if thread.active is not None:
                begin = thread.runs[thread.active].accepted_version - 1
                thread = await self._executor.load_at(thread_id, begin)
        reader = Reader(
            follower, thread_id, None, thread.version, self._store, self._executor,
            holder=self._holder, poll_seconds=self._settings.poll_seconds,
            is_replaying=after is not None, can_catch_up=True,
        )  # fmt: skip
        reader.begin_after(thread)
        return reader

    async def sweep(self) -> None:
        """Delete stored streams of runs that ended long ago, if it is time to look for such."""
        kept_seconds = self._settings.stream_retention_seconds
        now = self._clock.monotonic()
        if now - self._swept_at < min(kept_seconds, SWEEP_SECONDS):
            return
        self._swept_at = now
        await self._store.sweep_streams(self._clock.now() - timedelta(seconds=kept_seconds))
