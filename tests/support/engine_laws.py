"""What must hold for every log and every engine, whatever happened: the invariants, read from the log itself."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from threadfold.app.assistant_log import row_of
from threadfold.domain.assistant import RecordedAssistantEvent, fold as fold_assistant
from threadfold.domain.events import (
    RecordedEvent,
    ResultRecorded,
    RunAccepted,
    RunDeleted,
    RunEnded,
    RunFailed,
    RunHandedOver,
    RunInterrupted,
    RunRolledBack,
    RunStarted,
    RunSucceeded,
    RunTimedOut,
    StateUpdated,
    StepRecorded,
    ThreadDeleted,
)
from threadfold.domain.thread import end_status, fold

from .visible import complete, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from threadfold.app.engine import Engine
    from threadfold.domain.assistant_ports import AssistantRow
    from threadfold.domain.events import ThreadEvent
    from threadfold.domain.ports import EventStore, LogEntry


async def whole_log(store: EventStore) -> list[LogEntry]:
    """Return every event of every thread and assistant, in order of position."""
    log: list[LogEntry] = []
    while batch := await store.read_log(after=len(log), limit=5_000):
        log += batch
    return log


def by_thread(log: Iterable[LogEntry]) -> dict[str, list[RecordedEvent]]:
    threads: defaultdict[str, list[RecordedEvent]] = defaultdict(list)
    for recorded in log:
        if isinstance(recorded, RecordedEvent):
            threads[recorded.thread_id].append(recorded)
    return dict(threads)


def by_assistant(log: Iterable[LogEntry]) -> dict[str, list[RecordedAssistantEvent]]:
    assistants: defaultdict[str, list[RecordedAssistantEvent]] = defaultdict(list)
    for recorded in log:
        if isinstance(recorded, RecordedAssistantEvent):
            assistants[recorded.assistant_id].append(recorded)
    return dict(assistants)


# ------------------------------------------------------------------ the log alone


@dataclass
class _Tale:
    """What the log has told of one run so far."""

    order: tuple[datetime, int]
    attempt: int = 0
    handed_over: int = 0
    is_running: bool = False
    end: str = ""


@dataclass
class _Reader:
    """Reads one thread's log, and objects to the first event that may not stand where it stands."""

    attempts_max: int
    runs: dict[str, _Tale] = field(default_factory=dict)
    accepted_at: datetime | None = None

    @property
    def in_flight(self) -> dict[str, _Tale]:
        return {run_id: tale for run_id, tale in self.runs.items() if not tale.end}

    def read(self, recorded: RecordedEvent) -> None:
        event, at = recorded.event, recorded.recorded_at
        match event:
            case RunAccepted():
                assert event.run_id not in self.runs, "an id is accepted once"
                assert self.accepted_at is None or at > self.accepted_at, "created_at rises"
                self.accepted_at = at
                due_at = at + timedelta(seconds=event.after_seconds)
                self.runs[event.run_id] = _Tale((due_at, recorded.version))
            case RunStarted():
                self._start(event, at)
            case StepRecorded() | ResultRecorded():
                self._fenced(event.run_id, event.attempt)
            case RunHandedOver():
                tale = self._fenced(event.run_id, event.attempt)
                tale.handed_over += 1
                tale.is_running = False
            case RunSucceeded() | RunTimedOut() | RunFailed():
                self._fenced(event.run_id, event.attempt)
                self._end(event.run_id, event)
            case RunInterrupted() | RunRolledBack():
                self._end(event.run_id, event)
            case RunDeleted():
                end = self.runs[event.run_id].end
                assert end not in {"", "RunRolledBack"}, "only what is listed can be deleted"
            case StateUpdated():
                assert not self.in_flight, "only the active run writes state"
            case ThreadDeleted():
                assert not self.in_flight, "a deleted thread leaves nothing in flight"
            case _:
                pass

    def _start(self, event: RunStarted, at: datetime) -> None:
        tale = self.in_flight[event.run_id]
        others = [other for run_id, other in self.in_flight.items() if run_id != event.run_id]
        assert not any(other.is_running for other in others), "one run at a time"
        assert event.attempt == tale.attempt + 1, "attempts are counted"
        assert event.attempt - tale.handed_over <= self.attempts_max, "attempts are limited"
        if tale.attempt == 0:
            assert all(tale.order < other.order for other in others), "in order of due time"
            assert tale.order[0] <= at, "not before it is due"
        tale.attempt, tale.is_running = event.attempt, True

    def _fenced(self, run_id: str, attempt: int) -> _Tale:
        tale = self.in_flight.get(run_id)
        assert tale is not None, "nothing is written after the end"
        assert tale.is_running, "only an active run writes"
        assert tale.attempt == attempt, "only the active attempt writes"
        return tale

    def _end(self, run_id: str, event: ThreadEvent) -> None:
        assert run_id in self.in_flight, "a run ends once"
        self.runs[run_id].end = event.type
        self.runs[run_id].is_running = False


def assert_lawful(
    log: Sequence[LogEntry], *, is_settled: bool = False, attempts_max: int = 3
) -> None:
    """Check invariants 1, 3, 4, 5, 7 and 11 on a whole log. `is_settled`: nothing is in flight any more."""
    assert [recorded.position for recorded in log] == list(range(1, len(log) + 1))
    for events in by_thread(log).values():
        assert [recorded.version for recorded in events] == list(range(1, len(events) + 1))
        times = [recorded.recorded_at for recorded in events]
        assert times == sorted(times)
        reader = _Reader(attempts_max)
        for recorded in events:
            reader.read(recorded)
        if is_settled:
            assert not reader.in_flight
        assert_erasable(events)


def rolled_back(events: Iterable[RecordedEvent]) -> set[str]:
    """Return the runs that are gone."""
    return {
        recorded.event.run_id for recorded in events if isinstance(recorded.event, RunRolledBack)
    }


def assert_erasable(events: Sequence[RecordedEvent]) -> None:
    """Check invariant 1: the fold is that of the log without its rolled-back runs."""
    gone = rolled_back(events)
    kept = [
        recorded
        for recorded in events
        if getattr(recorded.event, "run_id", None) not in gone
        or isinstance(recorded.event, RunRolledBack)
    ]
    assert visible(fold(events)) == visible(fold(kept))


# ------------------------------------------------------------------ the log and what is made of it


async def assert_consistent(engine: Engine, *, is_settled: bool = False) -> list[LogEntry]:
    """Check the log, and that cache, snapshots and rows say what it says (invariant 6). Return the log."""
    store = engine._ports.store
    log = await whole_log(store)
    assert_lawful(log, is_settled=is_settled, attempts_max=engine.settings.attempts_max)
    for thread_id, events in by_thread(log).items():
        await _assert_thread(engine, thread_id, events)
    await _assert_assistants(store, by_assistant(log))
    return log


async def _assert_assistants(
    store: EventStore, assistants: dict[str, list[RecordedAssistantEvent]]
) -> None:
    rows = {row.assistant_id: row for row in await store.list_assistants(lambda _: True)}
    expected: dict[str, AssistantRow] = {}
    for assistant_id, events in assistants.items():
        assert [each.head for each in events] == list(range(1, len(events) + 1))
        row = row_of(assistant_id, fold_assistant(events))
        if row is not None:
            expected[assistant_id] = row
    assert rows == expected


async def _assert_thread(engine: Engine, thread_id: str, events: Sequence[RecordedEvent]) -> None:
    store, head = engine._ports.store, events[-1].version
    replayed = fold(events)
    cached = engine._executor.cached(thread_id)
    if cached is not None:
        then = replayed if cached.version == head else fold(events[: cached.version])
        assert complete(cached) == complete(then)
    snapshot = await store.read_snapshot(thread_id)
    if snapshot is not None:
        restored = await engine._executor._from_snapshot(thread_id)
        assert complete(fold(events[restored.version :], restored)) == complete(replayed)
    row = await store.get_thread(thread_id)
    if row is None or row.version != head:
        return  # More was written meanwhile.
    assert (row.status, row.is_present, row.has_in_flight, row.metadata) == (
        replayed.status,
        replayed.is_present,
        bool(replayed.runs),
        replayed.metadata,
    )
    rows = await store.list_runs(thread_id, limit=100_000, with_hidden=True)
    assert {row.run_id: (row.status, row.is_hidden) for row in rows} == _expected_rows(events)


def _expected_rows(events: Sequence[RecordedEvent]) -> dict[str, tuple[str, bool]]:
    rows: dict[str, tuple[str, bool]] = {}
    for recorded in events:
        event = recorded.event
        match event:
            case RunAccepted() | RunHandedOver():
                rows[event.run_id] = ("pending", False)
            case RunStarted():
                rows[event.run_id] = ("running", False)
            case RunEnded():
                rows[event.run_id] = (end_status(event), False)
            case RunRolledBack():
                rows[event.run_id] = ("rolled_back", True)
            case RunDeleted():
                rows[event.run_id] = (rows[event.run_id][0], True)
            case ThreadDeleted():
                rows = {run_id: (status, True) for run_id, (status, _) in rows.items()}
            case _:
                pass
    return rows
