"""A thread that is driven by commands: decides, records and folds as the engine does, without any I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from threadfold.domain.commands import DeleteRun, SubmitRun
from threadfold.domain.decisions import decide
from threadfold.domain.errors import RunExistsError
from threadfold.domain.events import (
    RecordedEvent,
    RunAccepted,
    RunDeleted,
    RunEnded,
    RunRolledBack,
    RunStarted,
    ThreadDeleted,
)
from threadfold.domain.thread import EMPTY_THREAD, Thread, fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from threadfold.domain.commands import Command
    from threadfold.domain.events import Events, ThreadEvent

START = datetime(2026, 1, 1, tzinfo=UTC)
TICK = timedelta(milliseconds=1)


def recorded(events: Iterable[ThreadEvent], after: int = 0) -> list[RecordedEvent]:
    """Put events into envelopes, one second apart."""
    return [
        RecordedEvent("t1", version, version, START + timedelta(seconds=version), event)
        for version, event in enumerate(events, after + 1)
    ]


@dataclass(frozen=True)
class Step:
    """One decision that was recorded, and the thread on both sides of it."""

    command: Command
    before: Thread
    events: Events
    after: Thread


class Driver:
    """One thread, its log, and the record of its runs (what the store keeps of those that ended)."""

    def __init__(self, thread_id: str = "t1") -> None:
        self.thread_id = thread_id
        self.thread = EMPTY_THREAD
        self.log: list[RecordedEvent] = []
        self.steps: list[Step] = []
        self.now = START
        self.accepted: list[str] = []
        self.taken: set[str] = set()
        self.attempts: list[tuple[str, int]] = []
        self.ended: set[str] = set()

    def decide(self, command: Command) -> Events:
        """Decide on the thread, and on what the record of runs says.

        Raises:
            RefusedError: the command is refused.
        """
        if isinstance(command, DeleteRun) and command.run_id in self.thread.runs:
            return decide(command, self.thread)
        events = decide(command, self.thread)
        if isinstance(command, SubmitRun) and events and command.run_id in self.taken:
            raise RunExistsError(run_id=command.run_id)
        return events

    def execute(self, command: Command) -> Events:
        """Decide, and append what was decided: all of it at one time, later than all before."""
        before = self.thread
        events = self.decide(command)
        self.append(events)
        if events:
            self.steps.append(Step(command, before, events, self.thread))
        return events

    def append(self, events: Sequence[ThreadEvent]) -> None:
        """Record events, and fold them."""
        self.now += TICK
        version = len(self.log)
        new = [
            RecordedEvent(self.thread_id, at, at, self.now, event)
            for at, event in enumerate(events, version + 1)
        ]
        self.log += new
        self.thread = fold(new, self.thread)
        for event in events:
            self._note(event)

    def _note(self, event: ThreadEvent) -> None:
        match event:
            case RunAccepted():
                self.accepted.append(event.run_id)
                self.taken.add(event.run_id)
            case RunStarted():
                self.attempts.append((event.run_id, event.attempt))
            case RunEnded():
                self.ended.add(event.run_id)
            case RunRolledBack() | RunDeleted():
                self.ended.discard(event.run_id)
            case ThreadDeleted():
                self.ended.clear()
            case _:
                pass

    def fork(self) -> Driver:
        """Return a driver that goes on from the same thread value, on its own."""
        twin = Driver(self.thread_id)
        twin.thread, twin.now = self.thread, self.now
        twin.log, twin.steps = [*self.log], [*self.steps]
        twin.accepted, twin.attempts = [*self.accepted], [*self.attempts]
        twin.taken, twin.ended = {*self.taken}, {*self.ended}
        return twin
