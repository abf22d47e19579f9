"""Takes payloads out of events that were rolled back or deleted. The only place that changes an event.

An append asks for an erasure in its own transaction; carrying it out comes later, in chunks, and may
be cut short at any point and begun again: erasing what is erased changes nothing. Rows, versions,
positions and item numbers stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ...domain.assistant import AssistantCreated, AssistantPatched, RecordedAssistantEvent
from ...domain.events import (
    CheckpointRecorded,
    ItemsEvent,
    ResultRecorded,
    RunAccepted,
    RunEnded,
    RunFailed,
    StateUpdated,
    StepRecorded,
    Task as OpenTask,
    ThreadCopied,
    ThreadCreated,
    ThreadPatched,
    ToolCallRecorded,
    WritesRecorded,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...domain.assistant import AssistantEvent
    from ...domain.events import ThreadEvent
    from ...domain.ports import LogEntry
    from .codec import EventCodec
    from .log import Log
    from .planning import Erasure

CHUNK_EVENTS = 500
"""How many events one transaction looks at: other writers wait no longer than for these."""

_Event = TypeVar("_Event", bound="ThreadEvent")


def without_run_payload(event: ThreadEvent) -> ThreadEvent:
    """Return the event without what its run was given and brought forth."""
    match event:
        case RunAccepted(assistant_metadata=given):
            return _without(
                event, input=None, raw_input=None, kwargs={}, metadata={},
                assistant_metadata=given and {}, is_erased=True,
            )  # fmt: skip
        case StepRecorded():
            return _without(event, update=None, deltas={}, is_erased=True)
        case ResultRecorded():
            return _without(event, result=None, is_erased=True)
        case CheckpointRecorded():
            return _without(event, deltas={}, extra={}, metadata=None, is_erased=True)
        case WritesRecorded():
            return _without(event, writes=(), is_erased=True)
        case ToolCallRecorded():
            return _without(event, result=None, is_erased=True)
        case _:
            return event


def without_payload(event: ThreadEvent) -> ThreadEvent:
    """Return the event without anything that a user, a graph or a caller put into its thread."""
    match event:
        case ThreadCreated() | ThreadPatched():
            return _without(event, metadata={})
        case ThreadCopied(error=error, tasks=tasks):
            reason = error and error.model_copy(update={"message": ""})
            kept = {"error": reason, "tasks": _bare(tasks), "is_erased": True}
            return _without(event, metadata={}, channels={}, calls=(), **kept)
        case StateUpdated():
            return _without(event, update=None, deltas={}, is_erased=True)
        case RunFailed(error=error, tasks=tasks):
            reason = error.model_copy(update={"message": ""})
            return _without(event, error=reason, tasks=_bare(tasks), deltas={})
        case RunEnded(tasks=tasks):
            return _without(event, tasks=_bare(tasks), deltas={})
        case _:
            return without_run_payload(event)


def without_assistant(event: AssistantEvent) -> AssistantEvent:
    """Return an assistant's event without anything that a caller put into it, but its graph."""
    match event:
        case AssistantCreated(graph_id=graph_id):
            return AssistantCreated(graph_id=graph_id)
        case AssistantPatched(graph_id=graph_id):
            return AssistantPatched(graph_id=graph_id)
        case _:
            return event


def _without(event: _Event, **changes: object) -> _Event:
    if isinstance(event, ItemsEvent):
        changes["items"] = ()
        changes["erased_items"] = event.erased_items + len(event.items)
    return event.model_copy(update=changes)


def _bare(tasks: Sequence[OpenTask]) -> tuple[OpenTask, ...]:
    return tuple(OpenTask(id=task.id, name=task.name) for task in tasks)


def _stripped(recorded: LogEntry, erasure: Erasure) -> ThreadEvent | AssistantEvent:
    if isinstance(recorded, RecordedAssistantEvent):
        return without_assistant(recorded.event)
    if erasure.run_id is None:
        return without_payload(recorded.event)
    return without_run_payload(recorded.event)


def _belongs(recorded: LogEntry, erasure: Erasure) -> bool:
    return erasure.run_id is None or getattr(recorded.event, "run_id", None) == erasure.run_id


def next_chunk(
    log: Log, codec: EventCodec, erasure: Erasure
) -> tuple[list[tuple[str, bytes, int]], int | None]:
    """Return the next events to overwrite, and the version to go on from; None at the end."""
    rows = log.thread_rows(
        erasure.thread_id,
        after=erasure.from_version - 1,
        upto=erasure.upto_version,
        limit=CHUNK_EVENTS,
    )
    rewritten: list[tuple[str, bytes, int]] = []
    for recorded in map(codec.decode, rows):
        if not _belongs(recorded, erasure):
            continue
        event = _stripped(recorded, erasure)
        if event != recorded.event:
            state = codec.encode(event, recorded.recorded_at, recorded.actor)
            rewritten.append((codec.topic(event), state, recorded.position))
    is_last = len(rows) < CHUNK_EVENTS
    return rewritten, None if is_last else rows[-1][2] + 1
