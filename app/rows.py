"""Projection rows from folded threads: what an append writes beside its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..domain.ends import end_status
from ..domain.events import (
    RunAccepted,
    RunDeleted,
    RunFailed,
    RunHandedOver,
    RunInterrupted,
    RunRolledBack,
    RunStarted,
    RunSucceeded,
    RunTimedOut,
    ThreadDeleted,
)
from ..domain.ports import RunRow, ThreadRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..domain.events import RecordedEvent
    from ..domain.ports import RecordStatus
    from ..domain.thread import Run, Thread


def thread_row(thread_id: str, thread: Thread) -> ThreadRow:
    """Return the row of a thread."""
    return ThreadRow(
        thread_id=thread_id,
        version=thread.version,
        is_present=thread.is_visible,
        status=thread.status,
        has_in_flight=bool(thread.runs),
        created_at=thread.created_at,
        updated_at=thread.updated_at,
        state_updated_at=thread.state_updated_at,
        metadata=thread.metadata,
        expires_at=thread.expires_at,
    )


def run_rows(
    thread_id: str, before: Thread, after: Thread, events: Sequence[RecordedEvent]
) -> tuple[RunRow, ...]:
    """Return the rows of the runs that these events touch. A deleted run's row is changed by `hidden_runs` instead."""
    rows: dict[str, RunRow] = {}
    for recorded in events:
        event = recorded.event
        match event:
            case (
                RunAccepted(run_id=run_id)
                | RunStarted(run_id=run_id)
                | RunHandedOver(run_id=run_id)
            ):
                run = after.runs.get(run_id)
                if run is not None:
                    rows[run_id] = in_flight_row(thread_id, run)
            case RunSucceeded() | RunFailed() | RunTimedOut() | RunInterrupted() | RunRolledBack():
                run = before.runs.get(event.run_id)
                if run is not None:
                    is_gone = isinstance(event, RunRolledBack)
                    status = (
                        "rolled_back" if isinstance(event, RunRolledBack) else end_status(event)
                    )
                    rows[event.run_id] = _ended(thread_id, run, status, recorded, is_hidden=is_gone)
            case _:
                pass
    return tuple(rows.values())


def hidden_runs(events: Sequence[RecordedEvent]) -> tuple[str, ...]:
    """Return the ended runs whose rows these events hide."""
    return tuple(e.event.run_id for e in events if isinstance(e.event, RunDeleted))


def hides_all(events: Sequence[RecordedEvent]) -> bool:
    """Say whether these events end the thread, and with it all its runs."""
    return any(isinstance(recorded.event, ThreadDeleted) for recorded in events)


def in_flight_row(thread_id: str, run: Run) -> RunRow:
    """Return the row of a run in flight."""
    return _row(thread_id, run, run.status)


def _ended(
    thread_id: str, run: Run, status: RecordStatus, recorded: RecordedEvent, *, is_hidden: bool
) -> RunRow:
    return _row(thread_id, run, status, recorded, is_hidden=is_hidden)


def _row(
    thread_id: str,
    run: Run,
    status: RecordStatus,
    end: RecordedEvent | None = None,
    *,
    is_hidden: bool = False,
) -> RunRow:
    return RunRow(
        thread_id=thread_id,
        run_id=run.run_id,
        status=status,
        is_hidden=is_hidden,
        assistant_id=run.accepted.assistant_id,
        graph_id=run.accepted.graph_id,
        multitask_strategy=run.accepted.multitask_strategy,
        created_at=run.created_at,
        due_at=run.due_at,
        updated_at=run.updated_at if end is None else end.recorded_at,
        attempt=run.attempt,
        accepted_version=run.accepted_version,
        ended_version=None if end is None else end.version,
    )
