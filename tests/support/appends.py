"""Appends for tests of stores: events that the domain would decide, with the rows that go with them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from threadfold.domain.events import Event, RunAccepted, RunStarted, ThreadCreated
from threadfold.domain.ports import Append, Lease, RunRow, ThreadRow

START = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def moment(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def thread_row(thread_id: str, version: int, **changes) -> ThreadRow:
    row = ThreadRow(
        thread_id=thread_id,
        version=version,
        is_present=True,
        status="idle",
        has_in_flight=False,
        created_at=START,
        updated_at=moment(version),
        state_updated_at=moment(version),
        metadata={"owner": "Zoë", "nested": {"list": [1, 2.5, None]}},
    )
    return replace(row, **changes)


def run_row(thread_id: str, run_id: str, accepted_version: int = 1, **changes) -> RunRow:
    row = RunRow(
        thread_id=thread_id,
        run_id=run_id,
        status="pending",
        is_hidden=False,
        assistant_id="assistant",
        graph_id="agent",
        multitask_strategy="enqueue",
        created_at=moment(accepted_version),
        due_at=moment(accepted_version),
        updated_at=moment(accepted_version),
        attempt=0,
        accepted_version=accepted_version,
        ended_version=None,
    )
    return replace(row, **changes)


def accepted(run_id: str, **fields) -> RunAccepted:
    return RunAccepted(run_id=run_id, assistant_id="assistant", graph_id="agent", **fields)


def append(thread_id: str, expected_version: int, *events: Event, **fields) -> Append:
    """Return an append of these events; of one ThreadCreated if none is given."""
    events = events or (ThreadCreated(),)
    version = expected_version + len(events)
    fields.setdefault("recorded_at", moment(version))
    fields.setdefault("thread", thread_row(thread_id, version))
    return Append(
        thread_id=thread_id, expected_version=expected_version, events=tuple(events), **fields
    )


def acceptance(thread_id: str, expected_version: int, *run_ids: str, **fields) -> Append:
    """Return an append that accepts these runs."""
    return append(
        thread_id,
        expected_version,
        *(accepted(run_id) for run_id in run_ids),
        runs=[
            run_row(thread_id, run_id, version)
            for version, run_id in enumerate(run_ids, expected_version + 1)
        ],
        accepts=frozenset(run_ids),
        **fields,
    )


def start(thread_id: str, expected_version: int, run: RunRow, holder: str) -> Append:
    """Return an append that starts the run's next attempt and grants its lease."""
    attempt = run.attempt + 1
    return append(
        thread_id,
        expected_version,
        RunStarted(run_id=run.run_id, attempt=attempt, holder=holder),
        runs=[replace(run, status="running", attempt=attempt)],
        lease=Lease(thread_id, run.run_id, attempt, holder),
    )


def versions(recorded: Sequence) -> list[int]:
    return [event.version for event in recorded]


def positions(recorded: Sequence) -> list[int]:
    return [event.position for event in recorded]
