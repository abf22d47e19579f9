"""Runs without a thread of their own: what they do is folded in memory, for those who follow them, and stands in no log.

The log has that such a run was accepted, started and ended, on a temporary thread that is gone in the append of the end. A run
that is lost with its process starts again from its input.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from ..domain.commands import FailRun, SucceedRun
from ..domain.decisions import decide
from ..domain.errors import StaleAttemptError
from ..domain.events import RecordedEvent
from ..domain.thread import evolve
from .hub import Folded, Held
from .recording import Recorder, described

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..domain.changes import GraphEnd
    from ..domain.commands import Command
    from ..domain.graph_ports import Intent, StepWrite
    from ..domain.ports import Clock, Ids, Lease, Tasks
    from ..domain.thread import Thread
    from ..domain.values import Json
    from .executor import Executor
    from .hub import Hub
    from .settings import Settings

logger = logging.getLogger(__name__)


class TemporaryRecorder(Recorder):
    """Folds what the attempt that holds `lease` does; only its end is written, without what it brought forth."""

    def __init__(
        self,
        lease: Lease,
        thread: Thread,
        executor: Executor,
        hub: Hub,
        settings: Settings,
        *,
        clock: Clock,
        ids: Ids,
        tasks: Tasks,
    ) -> None:
        super().__init__(
            lease, executor, settings, is_sync=False, clock=clock, ids=ids, tasks=tasks
        )
        self._hub = hub
        # Here it is a thread like any other: it does not go with the end.
        self._thread = thread.changed(is_temporary=False)
        self._kept = Held(self._thread)
        hub.held[lease.thread_id] = self._kept

    async def step(self, write: StepWrite) -> None:
        """Fold a step; raises StaleAttemptError if the attempt is fenced."""
        self._fold(self._step_command(write))

    async def take(self, intents: Sequence[Intent]) -> None:
        """Fold what a checkpointer would record."""
        for intent in intents:
            self._fold(intent)

    def post(self, intents: Sequence[Intent]) -> None:
        """Drop these: they are for runs that come later."""

    async def result(self, name: str, result: Json) -> None:
        """Fold a result of `run.step()`; another attempt will not have it."""
        self._fold(self._result_command(name, result))

    async def settled(self) -> None:
        """Return, unless the attempt is fenced."""
        self._require_active()

    async def end(self, command: Command) -> None:
        """Record the run's end, and nothing else of it; return when that is durable."""
        try:
            self._fold_end(command)
        except StaleAttemptError:
            pass  # Its end stands in the log already.
        except Exception as error:
            logger.exception("run %s ended with what cannot be shown", self._lease.run_id)
            command = self.failed(described(error))
            self._fold_end(command)
        if isinstance(command, SucceedRun | FailRun):
            command = replace(command, end=None)
        await super().end(command)

    def hold(self, so_far: Callable[[], GraphEnd]) -> None:
        """Take what says how the run stands, for those who wait if it is stopped."""
        self._kept.so_far = so_far

    def abandon(self) -> None:
        """Hold nothing any more: the code has stopped."""
        super().abandon()
        held, thread_id = self._hub.held, self._lease.thread_id
        if held.get(thread_id) is self._kept:
            del held[thread_id]

    def emit(self, publish: Callable[[], None]) -> None:
        """Call `publish`: all steps before it are folded."""
        publish()

    def _fold_end(self, command: Command) -> None:
        for recorded, thread in self._folded(command):
            self._kept.end, self._kept.thread = recorded, thread

    def _fold(self, intent: Intent) -> None:
        self._require_active()
        for recorded, thread in self._folded(intent):
            self._kept.thread = thread
            self._hub.publish(Folded(self._lease.thread_id, recorded, thread))

    def _folded(self, intent: Intent) -> list[tuple[RecordedEvent, Thread]]:
        thread, now = self._thread, self._clock.now()
        command = intent(thread, now) if callable(intent) else intent
        folded: list[tuple[RecordedEvent, Thread]] = []
        for event in () if command is None else decide(command, thread):
            at = thread.version + 1
            recorded = RecordedEvent(self._lease.thread_id, at, 0, now, event)
            thread = evolve(thread, recorded)
            folded.append((recorded, thread))
        self._thread = thread
        return folded

    def _require_active(self) -> None:
        lease = self._lease
        thread = self._executor.cached(lease.thread_id)
        run = None if thread is None else thread.runs.get(lease.run_id)
        if run is None or run.status != "running" or run.attempt != lease.attempt:
            raise StaleAttemptError(run_id=lease.run_id, attempt=lease.attempt)
