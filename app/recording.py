"""The writes of one attempt, in order: steps are queued while the code goes on, and the end waits for all of them.

While one append is on its way to the disk the next steps gather, and go together in the next append. A step that was queued
and not yet appended when the run is stopped was never part of the thread; a function starts again from its beginning after a
crash, so nothing is lost by it. With `durability="sync"` each step is durable before the code goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING

from ..domain.commands import FailRun, RecordResult, RecordStep
from ..domain.errors import RefusedError, StaleAttemptError, StoreError
from ..domain.events import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..domain.changes import GraphEnd
    from ..domain.commands import Command
    from ..domain.graph_ports import Intent, StepWrite
    from ..domain.ports import Clock, Ids, Lease, Tasks
    from ..domain.values import Json
    from .executor import Executor
    from .settings import Settings
    from .stream_recording import StreamRecorder

logger = logging.getLogger(__name__)

QUEUED_MAX = 64
"""Steps that may be queued before the code has to wait for the disk."""

GATHERED_SECONDS = 0.002
"""How long what a checkpointer records waits for more to go into the same append, while nobody waits for it."""

BURST_SECONDS = 0.005
"""It waits only if there was an append so short a time ago: what comes now and then is written at once."""


class Recorder:
    """Records what the attempt that holds `lease` does."""

    def __init__(
        self,
        lease: Lease,
        executor: Executor,
        settings: Settings,
        *,
        is_sync: bool,
        clock: Clock,
        ids: Ids,
        tasks: Tasks,
        stream: StreamRecorder | None = None,
    ) -> None:
        self._stream = stream
        self._lease = lease
        self._executor = executor
        self._settings = settings
        self._is_sync = is_sync
        self._clock = clock
        self._ids = ids
        self._tasks = tasks
        self._queued: list[Intent] = []
        self._posted: deque[Intent] = deque()
        self._tell: Callable[[], Sequence[Intent]] | None = None
        self._loop = asyncio.get_running_loop()
        self._end: Command | None = None
        self._is_writing = False
        self._is_abandoned = False
        self._error: Exception | None = None
        self._given = self._settled = 0
        self._held: deque[tuple[int, Callable[[], None]]] = deque()
        self._progress = asyncio.Event()
        self._written_at = float("-inf")
        self._can_wait = False
        """What is queued is the run's input alone: of code that is done soon, it goes with the first step."""
        self._urge = asyncio.Event()
        """Set when what is queued is to be written at once."""

    async def step(self, write: StepWrite) -> None:
        """Queue a step; with durability sync, return when it is durable.

        Raises:
            StaleAttemptError: the attempt is fenced: this write, or one before it, left nothing.
            StoreError: the store is away.
        """
        if write.source == "input":
            self._can_wait = True
        else:
            self._urge.set()
        self._queue(self._step_command(write))
        if self._is_sync or len(self._queued) >= QUEUED_MAX:
            await self.settled()

    async def take(self, intents: Sequence[Intent]) -> None:
        """Queue what a checkpointer records; with durability sync, return when it is durable. Raises as `step` does."""
        for intent in intents:
            self._queue(intent)
        if self._is_sync or len(self._queued) >= QUEUED_MAX:
            await self.settled()

    def post(self, intents: Sequence[Intent]) -> None:
        """Queue these, from any thread, without waiting. What cannot be recorded any more is dropped."""
        self._posted.extend(intents)
        with contextlib.suppress(RuntimeError):  # The loop is closed: nothing is recorded any more.
            self._loop.call_soon_threadsafe(self._take_posted)

    def before_stop(self, tell: Callable[[], Sequence[Intent]]) -> None:
        """Have `tell` called before a decision that may stop the run: what it returns is recorded before that."""
        self._tell = tell

    async def flush_before_stop(self) -> None:
        """Flush, with what the code has to tell before it may be stopped."""
        if self._tell is not None and self._error is None:
            for intent in self._tell():
                self._queue(intent)
        await self.flush()
        if self._stream is not None:
            await self._stream.flush()

    async def settled(self) -> None:
        """Return when what is queued now is durable. Raises as `step` does."""
        await self.flush()
        self._raise_error()

    async def result(self, name: str, result: Json) -> None:
        """Record a result of `run.step()`, and return when it is durable. Raises as `step` does."""
        self._queue(self._result_command(name, result))
        await self.settled()

    def emit(self, publish: Callable[[], None]) -> None:
        """Call `publish` when all steps before it are durable: whoever follows the run sees both in the order they were given.

        Raises as `step` does.
        """
        self._raise_error()
        if self._settled == self._given:
            publish()
        else:
            self._urge.set()
            self._held.append((self._given, publish))

    async def flush(self) -> None:
        """Return when what is queued now is durable, or refused: a decision on the run must see its finished steps."""
        self._take_posted()
        self._urge.set()
        wanted = self._given
        while self._settled < wanted and self._is_writing and self._error is None:
            await self._progress.wait()

    async def end(self, command: Command) -> None:
        """Record the run's end, in one append with the steps that still wait, and return when that is durable."""
        self._take_posted()
        self._urge.set()
        self._end = command
        self._ensure_writing()
        while self._is_writing:
            await self._progress.wait()
        error = self._error
        if error is not None and not isinstance(error, RefusedError | StoreError):
            # What was given could not be written: that is the run's end, without the steps that failed.
            self._error, self._queued = None, []
            failed = self.failed(described(error))
            if command != failed:
                await self.end(failed)

    def failed(self, error: RunError, end: GraphEnd | None = None) -> FailRun:
        """Return the end of a run that went wrong; `end` is what its graph stood at."""
        lease = self._lease
        return FailRun(
            thread_id=lease.thread_id,
            run_id=lease.run_id,
            attempt=lease.attempt,
            error=error,
            end=end,
        )

    def abandon(self) -> None:
        """Try no more: the code has stopped, or the store is being closed. What still waits is of an attempt that is fenced."""
        self._is_abandoned = True
        if self._queued and self._end is None:
            lease = self._lease
            self._queued = []
            self._fail(StaleAttemptError(run_id=lease.run_id, attempt=lease.attempt))
        self._urge.set()

    def _step_command(self, write: StepWrite) -> RecordStep:
        lease = self._lease
        return RecordStep(
            thread_id=lease.thread_id,
            run_id=lease.run_id,
            attempt=lease.attempt,
            checkpoint_id=self._ids.checkpoint_id(),
            node=write.node,
            source=write.source,
            next=write.next,
            update=write.update,
            changes=write.changes,
        )

    def _result_command(self, name: str, result: Json) -> RecordResult:
        lease = self._lease
        return RecordResult(
            thread_id=lease.thread_id,
            run_id=lease.run_id,
            attempt=lease.attempt,
            name=name,
            result=result,
        )

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _queue(self, command: Intent) -> None:
        self._take_posted()
        self._raise_error()
        self._given += 1
        self._queued.append(command)
        self._ensure_writing()

    def _take_posted(self) -> None:
        """Queue what other threads have posted so far: it came before what is queued next."""
        while self._posted:
            intent = self._posted.popleft()
            if self._error is None:
                self._given += 1
                self._queued.append(intent)
                self._ensure_writing()

    def _ensure_writing(self) -> None:
        if not self._is_writing:
            self._is_writing = True
            self._progress = asyncio.Event()
            self._tasks.start(self._write(), f"record run {self._lease.run_id}")

    async def _write(self) -> None:
        try:
            # Code that ends at once gets its steps and its end into one append.
            await self._clock.sleep(0)
            while self._error is None and (self._queued or self._end is not None):
                await self._gather()
                await self._write_batch()
            if isinstance(self._error, RefusedError) and self._end is not None:  # Fenced meanwhile.
                await self._executor.release(self._lease)
        finally:
            self._is_writing = False
            self._progress.set()

    async def _gather(self) -> None:
        """Let more come together, unless somebody waits for what is there, or nothing came for a while before."""
        loop = asyncio.get_running_loop()
        is_burst = self._can_wait or loop.time() - self._written_at < BURST_SECONDS
        self._can_wait = False
        if is_burst and len(self._queued) < QUEUED_MAX and not self._urge.is_set():
            alarm = loop.call_later(GATHERED_SECONDS, self._urge.set)
            await self._urge.wait()
            alarm.cancel()
        self._urge.clear()

    async def _write_batch(self) -> None:
        """Append what waits. A store that is away for a while does not lose it."""
        if self._stream is not None:
            await self._stream.flush()  # What was emitted before has its place before.
        # What was emitted between two steps is published between them, so they cannot share an append.
        count = self._held[0][0] - self._settled if self._held else len(self._queued)
        steps, self._queued = self._queued[:count], self._queued[count:]
        end = None if self._queued or self._held else self._end
        commands = steps if end is None else [*steps, end]
        release = None if end is None else self._lease
        try:
            await self._executor.execute(self._lease.thread_id, *commands, release=release)
        except RefusedError as error:
            self._fail(error)
        except StoreError as error:
            if self._is_abandoned:
                self._fail(error)
                self._end = None
                return
            logger.exception("could not record run %s; trying again", self._lease.run_id)
            self._queued = [*steps, *self._queued]
            await self._clock.sleep(self._settings.poll_seconds)
        except Exception as error:
            logger.exception("run %s gave what cannot be written", self._lease.run_id)
            self._fail(error)
        else:
            self._end = None if end is not None else self._end
            self._settled += len(steps)
            self._written_at = asyncio.get_running_loop().time()
            while self._held and self._held[0][0] <= self._settled:
                self._held.popleft()[1]()
            progress, self._progress = self._progress, asyncio.Event()
            progress.set()

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._held.clear()


def described(error: BaseException) -> RunError:
    """Return an exception as the record of a run has it: class name and message, as text that can be stored."""
    message = str(error).encode(errors="backslashreplace").decode()
    return RunError(error=type(error).__name__, message=message)
