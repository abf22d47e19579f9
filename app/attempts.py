"""One attempt of one run: hands the graph what it works with, records what it does, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ..domain.channels import decode_object, read_values
from ..domain.commands import SucceedRun, TimeOutRun
from ..domain.errors import EngineError, RefusedError, StaleAttemptError, StoreError
from ..domain.events import RunError
from ..domain.graph_ports import GraphFailed, RunContext
from ..domain.ports import Lease
from .checkpoint_logs import AttemptLog
from .hub import Emitted
from .recording import Recorder, described
from .stream_recording import StreamRecorder
from .temporary import TemporaryRecorder
from .users import auth_fields
from .waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..domain.changes import GraphEnd
    from ..domain.commands import Command, FailRun
    from ..domain.graph_ports import GraphRunner
    from ..domain.ports import Clock, EventStore, Ids, TaskHandle, Tasks
    from ..domain.thread import Run, Thread
    from ..domain.values import Json, JsonObject
    from .checkpoint_logs import WholeThreads
    from .executor import Executor
    from .hub import Hub
    from .settings import Settings

logger = logging.getLogger(__name__)


class Runners(Protocol):
    """Finds the runner of a graph."""

    def runner(self, graph_id: str) -> GraphRunner:
        """Return it; raises GraphNotFoundError."""
        ...


class Attempt:
    """One attempt, from its RunStarted to the moment when its code has stopped."""

    def __init__(
        self,
        thread_id: str,
        thread: Thread,
        run: Run,
        holder: str,
        *,
        executor: Executor,
        hub: Hub,
        runners: Runners,
        wholes: WholeThreads,
        store: EventStore,
        settings: Settings,
        clock: Clock,
        ids: Ids,
        tasks: Tasks,
    ) -> None:
        self.thread_id = thread_id
        self.run_id = run.run_id
        self.number = run.attempt
        self.is_code_done = False
        """The user's code has returned or raised by itself; what is left is to record the end."""
        self.is_stopped = False
        self._lease = Lease(thread_id, run.run_id, run.attempt, holder)
        self._thread = thread
        self._run = run
        self._executor = executor
        self._hub = hub
        self._runners = runners
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._tasks = tasks
        self._emitted = 0
        self._stream: StreamRecorder | None = None
        if thread.is_temporary:
            self._recorder: Recorder = TemporaryRecorder(
                self._lease, thread, executor, hub, settings, clock=clock, ids=ids, tasks=tasks
            )
        else:
            if run.accepted.kwargs.get("stream_resumable") is True:
                self._stream = StreamRecorder(
                    self._lease, thread, store, executor, hub, settings, clock=clock, tasks=tasks
                )
            self._recorder = Recorder(
                self._lease, executor, settings,
                is_sync=run.accepted.kwargs.get("durability") == "sync",
                clock=clock, ids=ids, tasks=tasks, stream=self._stream,
            )  # fmt: skip
        self._log = AttemptLog(self._lease, self._recorder, executor, wholes)
        self._handle: TaskHandle | None = None
        self._alarm: TaskHandle | None = None
        self._has_begun = False
        self._is_cancelled = False
        self._end: Command | None = None
        """Of code that is stopped in order to save: how its run ends then."""

    def is_active_in(self, thread: Thread) -> bool:
        """Say whether the log still lets this attempt write."""
        run = thread.runs.get(self.run_id)
        return (
            run is not None
            and thread.active == self.run_id
            and run.status == "running"
            and run.attempt == self.number
        )

    def start(self, on_stopped: Callable[[], None]) -> None:
        """Start the code; `on_stopped` is called when it has stopped."""
        self._handle = self._tasks.start(self._work(on_stopped), f"run {self.run_id}")

    def cancel(self) -> None:
        """Ask the code to stop: it gets one cancellation, and may clean up."""
        if not self._is_cancelled and self._handle is not None:
            self._is_cancelled = True
            self._disarm()
            if self._has_begun:  # A task that is cancelled before it has begun ends without a word.
                self._handle.cancel()

    async def flush(self) -> None:
        """Return when the steps that the code has finished so far are in the log, with what it tells before it may be stopped.

        Code that saves only when it stops is stopped for that: who asks is about to stop it, and a fence would leave nothing.
        """
        if self._saves_at_exit:
            self.cancel()
            await self._wait_for_code()
        await self._recorder.flush_before_stop()

    def abandon(self) -> None:
        """Record nothing more once the store is closed."""
        self._recorder.abandon()
        if self._stream is not None:
            self._stream.abandon()

    async def wait(self) -> None:
        """Return when the code has stopped."""
        if self._handle is not None:
            await self._handle.wait()

    @property
    def _saves_at_exit(self) -> bool:
        asked = self._run.accepted.kwargs
        if self._thread.is_temporary:  # Nothing is saved at all.
            return False
        durability = asked.get("durability")
        return durability == "exit" or (not durability and asked.get("checkpoint_during") is False)

    async def _wait_for_code(self) -> None:
        seconds = self._settings.grace_seconds
        await wait_for([self], seconds, clock=self._clock, tasks=self._tasks)

    # ------------------------------------------------------------------ working

    async def _work(self, on_stopped: Callable[[], None]) -> None:
        self._has_begun = True
        if not self._is_cancelled:
            self._alarm = self._armed()
        try:
            end = await self._run_code()
            self.is_code_done = True
            if end is None:
                await self._executor.release(self._lease)
            else:
                await self._recorder.end(end)
        except asyncio.CancelledError:
            pass  # While the code was stopped: the log holds the run's end, or will.
        finally:
            self._disarm()
            self.is_code_done = self.is_stopped = True
            self.abandon()  # Tasks that the code left behind may still write; that is not tried again.
            on_stopped()

    async def _run_code(self) -> Command | None:
        """Run the graph; return how the run ends, or None if the attempt was fenced meanwhile."""
        if self._is_cancelled:
            return None
        try:
            runner = self._runners.runner(self._run.accepted.graph_id)
            with self._executor.observer.attempt(
                self.thread_id, self.run_id, self.number, runner.graph_id
            ):
                end = await runner.run(self._context())
        except asyncio.CancelledError:
            if self._is_cancelled:
                return self._end
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # The event loop is being torn down: like a crash, another process takes the run up.
            error = RunError(error="CancelledError", message="the run's code cancelled itself")
            return self._recorder.failed(error)
        except StaleAttemptError:
            return None
        except GraphFailed as failed:
            return self._raised(failed.error, failed.end)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a graph that calls sys.exit() ends its run, not the process
            return self._raised(error)
        return SucceedRun(
            thread_id=self.thread_id, run_id=self.run_id, attempt=self.number, end=end
        )

    def _raised(self, error: BaseException, end: GraphEnd | None = None) -> FailRun | None:
        if isinstance(error, StaleAttemptError):
            return None
        if not isinstance(error, EngineError):
            logger.info("run %s failed", self.run_id, exc_info=error)
        return self._recorder.failed(described(error), end)

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    def _armed(self) -> TaskHandle | None:
        seconds = self._run.accepted.timeout_seconds
        started_at = self._run.started_at
        if seconds is None or started_at is None:
            return None
        left = seconds - (self._clock.now() - started_at).total_seconds()
        return self._tasks.start(self._time_out(seconds, left), f"time limit of run {self.run_id}")

    async def _time_out(self, seconds: float, left: float) -> None:
        await self._clock.sleep(max(left, 0))
        command = TimeOutRun(
            thread_id=self.thread_id,
            run_id=self.run_id,
            attempt=self.number,
            timeout_seconds=seconds,
        )
        if self._saves_at_exit and self._handle is not None:
            self._end, self._is_cancelled = command, True
            self._handle.cancel()
            await self._wait_for_code()  # It is over with that, unless the code does not stop.
        while True:
            try:
                await self._recorder.flush_before_stop()
                await self._executor.execute(self.thread_id, command)
            except RefusedError:
                logger.debug("run %s ended just in time", self.run_id)
            except StoreError:
                logger.exception("could not end run %s in time; trying again", self.run_id)
                await self._clock.sleep(self._settings.poll_seconds)
                continue
            return

    # ------------------------------------------------------------------ what the graph gets

    def _context(self) -> RunContext:
        accepted = self._run.accepted
        given: Json = accepted.raw_input
        if accepted.input is not None:
            given = read_values(decode_object(accepted.input), self._thread.items)
        config = accepted.kwargs.get("config")
        context = accepted.kwargs.get("context")
        return RunContext(
            thread_id=self.thread_id,
            run_id=self.run_id,
            attempt=self.number,
            graph_id=accepted.graph_id,
            assistant_id=accepted.assistant_id,
            has_input=given is not None,
            input=given,
            state=read_values(self._thread.state.channels, self._thread.items),
            config=_object(config),
            context=_object(context),
            results=self._run.results,
            record=self._recorder.step,
            record_result=self._recorder.result,
            emit=self._emit,
            is_followed=self._is_followed,
            ids=self._ids,
            kwargs=accepted.kwargs,
            log=self._log,
            caller=auth_fields(self._executor.callers.of(self._run), accepted.kwargs),
            hold=self._recorder.hold if isinstance(self._recorder, TemporaryRecorder) else None,
        )

    def _emit(self, mode: str, data: Json) -> None:
        thread = self._executor.cached(self.thread_id)
        if thread is None or not self.is_active_in(thread):
            raise StaleAttemptError(run_id=self.run_id, attempt=self.number)
        self._recorder.emit(partial(self._publish, mode, data))

    def _publish(self, mode: str, data: Json) -> None:
        if self._stream is not None:
            self._stream.add(mode, data)
            return
        thread = self._executor.cached(self.thread_id)
        self._emitted += 1
        place = (0 if thread is None else thread.version, self._emitted)
        self._hub.publish(Emitted(self.thread_id, self.run_id, self.number, mode, data, place))

    def _is_followed(self) -> bool:
        return self._stream is not None or self._hub.is_followed(self.thread_id)


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
