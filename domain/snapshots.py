"""Snapshots: a thread value as JSON, and back.

A snapshot plus the events after it folds to what the whole log folds to. One taken in mid-run holds
`base` as well as `state`, so that a thread restored from it can still roll back. Items that nothing
refers to any more (those of rolled-back runs) are left out; their numbers stay taken.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from pydantic import TypeAdapter

from .channels import Channels, decode_object, encoded_channel, numbers_of, ranges_of
from .deltas import Encoded
from .events import RunAccepted, RunError, Task, TimeToLive
from .saved_snapshots import CheckpointTable, checkpoint_from, numbers_saved, saved_from
from .stored_items import StoredItems
from .thread import EPOCH, Checkpoint, EndedRun, Run, State, Thread

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .saved import SavedCheckpoint
    from .values import Json

PARENTS_MAX = 9
"""States before the newest one that a snapshot holds, so that the newest history needs no fold of the log."""

SNAPSHOT_SCHEMA = 4
"""Rises with each change of the form; a snapshot of another schema is ignored, the log folded."""

_ENCODED: TypeAdapter[dict[str, Encoded]] = TypeAdapter(dict[str, Encoded])


def to_snapshot(thread: Thread) -> dict[str, Any]:
    """Return the thread as plain data; `items` are segments of [first number, [values]]."""
    table = CheckpointTable()
    body: dict[str, Any] = {
        "version": thread.version,
        "is_present": thread.is_present,
        "is_temporary": thread.is_temporary,
        "created_at": _micros(thread.created_at),
        "updated_at": _micros(thread.updated_at),
        "state_updated_at": _micros(thread.state_updated_at),
        "metadata": thread.metadata,
        "items_count": len(thread.items),
        "items": _segments(thread),
        "state": _state(thread.state, table),
        "parents": [_state(state, table) for state in _parents(thread.state)],
        "base": None if thread.base is None else _state(thread.base, table),
        "active": thread.active,
        "holder": thread.holder,
        "ttl": thread.ttl and [thread.ttl.minutes, thread.ttl.strategy],
        "pruned_version": thread.pruned_version,
        "runs": [_run(run) for run in thread.runs.values()],
        "last_run": None
        if thread.last_run is None
        else [
            thread.last_run.run_id,
            thread.last_run.status,
            thread.last_run.version,
            _micros(thread.last_run.ended_at),
        ],
    }
    return {**body, "checkpoints": table.rows}


def from_snapshot(body: Mapping[str, Any]) -> Thread:
    """Return the thread that `to_snapshot` was given. Items may also be `bytes`, JSON text that is parsed when it is needed."""
    items: list[Json] = [None] * body["items_count"]
    for first, values in body["items"]:
        items[first : first + len(values)] = values
    stored = StoredItems(items)
    last = body["last_run"]
    table = [checkpoint_from(row) for row in body["checkpoints"]]
    states = [_state_from(entry, table) for entry in (body["state"], *body["parents"])]
    state = _chained(states)
    return Thread(
        version=body["version"],
        is_present=body["is_present"],
        is_temporary=body.get("is_temporary", False),
        created_at=_time(body["created_at"]),
        updated_at=_time(body["updated_at"]),
        state_updated_at=_time(body["state_updated_at"]),
        metadata=body["metadata"],
        items=stored,
        state=state,
        base=None if body["base"] is None else _base(_state_from(body["base"], table), state),
        active=body["active"],
        holder=body["holder"],
        ttl=body["ttl"] and TimeToLive(minutes=body["ttl"][0], strategy=body["ttl"][1]),
        pruned_version=body["pruned_version"],
        runs={run["run_id"]: _run_from(run, stored) for run in body["runs"]},
        last_run=last and EndedRun(last[0], last[1], last[2], _time(last[3])),
    )


# ------------------------------------------------------------------ parts


def _micros(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)


def _time(micros: int) -> datetime:
    return EPOCH.astimezone(UTC) + timedelta(microseconds=micros)


def _parents(state: State) -> list[State]:
    """Return the states before this one that a snapshot holds."""
    found: list[State] = []
    parent = state.parent
    while parent is not None and len(found) < PARENTS_MAX:
        found.append(parent)
        parent = parent.parent
    return found


def _chained(states: list[State]) -> State:
    """Link the states, newest first, each with the one behind it; return the newest."""
    newest = states[-1]
    for depth, state in enumerate(reversed(states[:-1]), 1):
        newest = state.changed(parent=newest, depth=depth)
    return newest


def _base(base: State, state: State) -> State:
    """Give the base the parents that it has among those of the state."""
    link: State | None = state
    while link is not None and link.checkpoint != base.checkpoint:
        link = link.parent
    return base if link is None else base.changed(parent=link.parent, depth=link.depth)


def _segments(thread: Thread) -> list[tuple[int, list[Json]]]:
    numbers = set(_referred(thread.state.channels))
    numbers.update(numbers_saved(thread.state))
    for state in _parents(thread.state):
        numbers.update(_referred(state.channels))
    if thread.base is not None:
        numbers.update(_referred(thread.base.channels))
        numbers.update(numbers_saved(thread.base))
    for run in thread.runs.values():
        numbers.update(range(*run.items))
    items = thread.items
    return [(start, items.slice(start, stop)) for start, stop in ranges_of(sorted(numbers))]


def _referred(channels: Channels) -> Iterable[int]:
    for channel in channels.values():
        yield from numbers_of(channel)


def _state(state: State, table: CheckpointTable) -> dict[str, Any]:
    checkpoint = state.checkpoint
    return {
        "channels": {
            name: encoded_channel(channel).model_dump(mode="json")
            for name, channel in state.channels.items()
        },
        "checkpoint": checkpoint
        and [
            checkpoint.checkpoint_id,
            checkpoint.version,
            _micros(checkpoint.created_at),
            checkpoint.source,
            checkpoint.step,
            checkpoint.node,
            checkpoint.run_id,
            checkpoint.attempt,
            checkpoint.parent_id,
        ],
        "next": list(state.next),
        "tasks": [task.model_dump(mode="json") for task in state.tasks],
        "error": state.error and state.error.model_dump(mode="json"),
        "stopped_run": state.stopped_run,
        "is_erased": state.is_erased,
        "saved": table.saved(state),
    }


def _state_from(body: Mapping[str, Any], table: Sequence[SavedCheckpoint]) -> State:
    channels = _ENCODED.validate_python(body["channels"])
    c = body["checkpoint"]
    return State(
        channels=decode_object(channels),
        checkpoint=c and Checkpoint(c[0], c[1], _time(c[2]), c[3], c[4], *c[5:]),
        next=tuple(body["next"]),
        tasks=tuple(Task.model_validate(task) for task in body["tasks"]),
        error=body["error"] and RunError.model_validate(body["error"]),
        stopped_run=body["stopped_run"],
        is_erased=body["is_erased"],
        **saved_from(body["saved"], table),
    )


def _run(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "status": run.status,
        "accepted": run.accepted.model_dump(mode="json", exclude={"items"}, exclude_defaults=True),
        "items": list(run.items),
        "accepted_version": run.accepted_version,
        "created_at": _micros(run.created_at),
        "due_at": _micros(run.due_at),
        "updated_at": _micros(run.updated_at),
        "attempt": run.attempt,
        "handed_over": run.handed_over,
        "started_at": run.started_at and _micros(run.started_at),
        "results": dict(run.results),
        "actor": run.actor,
    }


def _run_from(body: Mapping[str, Any], items: StoredItems) -> Run:
    started = cast("int | None", body["started_at"])
    return Run(
        run_id=body["run_id"],
        status=body["status"],
        accepted=RunAccepted.model_validate(
            {**body["accepted"], "items": items.slice(*body["items"])}
        ),
        items=(body["items"][0], body["items"][1]),
        accepted_version=body["accepted_version"],
        created_at=_time(body["created_at"]),
        due_at=_time(body["due_at"]),
        updated_at=_time(body["updated_at"]),
        attempt=body["attempt"],
        handed_over=body["handed_over"],
        started_at=None if started is None else _time(started),
        results=body["results"],
        actor=body.get("actor"),
    )
