"""Waiting for runs and following them: what is committed and emitted, in order, until the run's end."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ..domain.errors import RunNotFoundError, StoreUnavailableError
from ..domain.events import (
    RecordedEvent,
    RunFailed,
    RunInterrupted,
    RunRolledBack,
    RunStarted,
    RunSucceeded,
    RunTimedOut,
    StepRecorded,
)
from .hub import Closed, Emitted, Folded
from .results import ended_result, result_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ..domain.ports import EventStore
    from ..domain.thread import Thread
    from .executor import Executor
    from .hub import Hub, Notice
    from .queries import Queries
    from .views import RunResult


@dataclass(frozen=True, slots=True)
class RunEvent:
    """An event of the followed run, and the thread as it stood right after it."""

    recorded: RecordedEvent
    thread: Thread


RunPart: TypeAlias = "RunEvent | Emitted | RunResult"
"""What a follower of a run gets; the last one, and only that, is a RunResult."""


Place: TypeAlias = "tuple[int, int]"
"""Where a part stands in its thread's streams: after which version it came, and as which part after that; 0: the event."""

PARTS_MAX = 1000
"""Parts that are kept for a reader who does not take them."""

PARTS_AT_ONCE_MAX = 16 * PARTS_MAX
"""Parts that are kept for a reader who would take them: code that does not pause for so long outruns everybody."""


def place_of(part: RunPart) -> Place:
    """Return a part's place; later parts of a thread have greater ones."""
    match part:
        case RunEvent(recorded=recorded):
            return recorded.version, 0
        case Emitted(place=place):
            return place
        case _:
            return part.version, 0


def part_of(
    run_id: str | None, recorded: RecordedEvent, thread: Thread, hub: Hub | None = None
) -> RunPart | None:
    """Return what an event is to the followers of a run, if it is anything; `thread` is as it stood right after it.

    To those of all that happens to the thread, each event is something. Of a run on a temporary thread, only the `hub` knows
    what it brought forth.
    """
    event = recorded.event
    if run_id is None:
        return RunEvent(recorded, thread)
    match event:
        case RunStarted() | StepRecorded() if event.run_id == run_id:
            return RunEvent(recorded, thread)
        case RunSucceeded() | RunFailed() | RunTimedOut() | RunInterrupted() | RunRolledBack():
            if event.run_id != run_id:
                return None
            if hub is None:
                return ended_result(run_id, recorded, thread)
            return result_of(run_id, recorded, thread, hub)
        case _:
            return None


class Follower:
    """Collects what happens to a run from now on. Use it as a context manager: listening ends with it.

    Without a `run_id` it collects all that happens to the thread, each event as a RunEvent.

    It keeps no more than a bounded number of parts: then it `is_behind`, and collects nothing until it is begun anew.
    """

    def __init__(
        self, hub: Hub, thread_id: str, run_id: str | None, *, is_streaming: bool = True
    ) -> None:
        self._is_streaming = is_streaming
        self._hub = hub
        self._thread_id = thread_id
        self._run_id = run_id
        self._parts: deque[RunPart] = deque()
        self._wake = asyncio.Event()
        self._forget: Callable[[], None] | None = None
        self._version = 0
        self._is_closed = False
        self.is_behind = False
        """It has left out parts."""
        self.is_stuck = False
        """Its reader waits for somebody who does not take what was read."""

    def __enter__(self) -> Follower:
        self._forget = self._hub.listen(
            self._on_notice, self._thread_id, is_following=self._is_streaming
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._forget is not None:
            self._forget()

    async def parts(self) -> AsyncIterator[RunPart]:
        """Yield what was collected, and what comes, until the run's end.

        Raises:
            StoreUnavailableError: the engine was closed before the run's end, or more came than is kept.
        """
        while True:
            while self._parts:
                part = self._parts.popleft()
                yield part
                if not isinstance(part, RunEvent | Emitted):
                    return
            if self._is_closed:
                raise StoreUnavailableError("The engine was closed before the run's end")
            if self.is_behind:
                raise StoreUnavailableError("The reader was too slow for what the run told")
            self._wake.clear()
            await self._wake.wait()

    def begin_anew(self) -> None:
        """Forget what was collected, and collect what comes from now on."""
        self._parts.clear()
        self.is_behind = False

    async def take(self) -> list[RunPart]:
        """Return what was collected since the last time."""
        parts = list(self._parts)
        self._parts.clear()
        return parts

    async def wait(self) -> None:
        """Return when there is something to take, or after `wake`."""
        if not self._parts:
            await self._wake.wait()
        self._wake.clear()

    def wake(self) -> None:
        """Have `wait` return, although nothing was collected."""
        self._wake.set()

    def _on_notice(self, notice: Notice) -> None:
        if isinstance(notice, Closed):
            self._is_closed = True
            self._wake.set()
            return
        if isinstance(notice, Emitted):
            if self._is_streaming and self._run_id in (None, notice.run_id):
                self._collect(notice)
            return
        if isinstance(notice, Folded):
            self._take(notice.recorded, notice.thread)
            return
        for recorded, thread in notice.steps():
            if recorded.version > self._version:
                self._version = recorded.version
                self._take(recorded, thread)

    def _take(self, recorded: RecordedEvent, thread: Thread) -> None:
        part = part_of(self._run_id, recorded, thread, self._hub)
        if part is not None and (self._is_streaming or not isinstance(part, RunEvent)):
            self._collect(part)

    def _collect(self, part: RunPart) -> None:
        if len(self._parts) >= (PARTS_MAX if self.is_stuck else PARTS_AT_ONCE_MAX):
            self._parts.clear()
            self.is_behind = True
        if not self.is_behind:
            self._parts.append(part)
        self._wake.set()


class Streams:
    """Hands out followers, and waits."""

    def __init__(self, store: EventStore, executor: Executor, hub: Hub, queries: Queries) -> None:
        self._store = store
        self._executor = executor
        self._hub = hub
        self._queries = queries

    def follow(self, thread_id: str, run_id: str, *, is_streaming: bool = True) -> Follower:
        """Return a follower of a run that is yet to be submitted, or known to be in flight.

        One that is not streaming is there for the run's end alone: it may miss what is emitted.
        """
        return Follower(self._hub, thread_id, run_id, is_streaming=is_streaming)

    async def attach(self, thread_id: str, run_id: str) -> RunResult | None:
        """Say how the run ended, if it has; else None, and a follower entered before will see its end.

        Raises:
            RunNotFoundError: no such run, or it was rolled back or deleted.
        """
        thread = await self._executor.load(thread_id)
        if run_id in thread.runs:
            return None
        row = await self._store.get_run(thread_id, run_id)
        if row is None or row.is_hidden:
            raise RunNotFoundError(run_id=run_id, message="Run not found")
        if row.ended_version is None:
            return None  # It ended between the two reads; the follower has it.
        return await self._queries.result(row)

    async def join(self, thread_id: str, run_id: str) -> RunResult:
        """Wait for the run's end, and say how it ended.

        Raises:
            RunNotFoundError: no such run, or it is gone.
            StoreUnavailableError: the engine was closed before the run's end.
        """
        with self.follow(thread_id, run_id, is_streaming=False) as follower:
            result = await self.attach(thread_id, run_id)
            if result is not None:
                return result
            async for part in follower.parts():
                if not isinstance(part, RunEvent | Emitted):
                    return part
        raise RunNotFoundError(run_id=run_id)
