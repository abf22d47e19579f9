"""Every fact that may stand in a thread's log.

Names, fields and defaults ARE the storage format (a field that holds its default is not stored): add
optional fields freely; anything else is a new version of the event plus an upcaster (`upcasting.py`)
and a recorded history in `tests/histories`.

Events carry no time and make no ids: the envelope, `RecordedEvent`, has the time, commands bring
the ids. User data stands in them as *items* and *deltas*: each element of a list channel and each
long string is written once, as a numbered item of the event that first needs it, and everything
else refers to items by number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from .deltas import ChannelVersion, Delta, Encoded, Fact, Object, SetValue, Value


class Task(Fact):
    """A piece of work that stood open when a run ended."""

    id: str
    name: str
    error: str | None = None
    interrupts: tuple[Object, ...] = ()


class TimeToLive(Fact):
    """A thread that nothing has changed for so long is deleted, or loses all states but its newest."""

    minutes: float
    strategy: Literal["delete", "keep_latest"] = "delete"


class CopiedCall(Fact):
    """What the source of a copy knew of a tool call; the fields are those of `state.ToolCall`."""

    call_id: str
    name: str
    is_finished: bool = False
    result: Encoded | None = None
    is_failed: bool = False
    is_cancelled: bool = False
    task: str = ""
    run_id: str = ""


class RunError(Fact):
    """Why a run failed: the exception's class name and message."""

    error: str
    message: str


# ------------------------------------------------------------------ events


class Event(Fact):
    """Something that happened, named in the past tense. `type` is the stored name, for ever."""


class ItemsEvent(Event):
    """An event that brings items in; they are numbered from `first_item` on.

    `erased_items` counts the items that an erasure took out, so that their numbers are never used
    again.
    """

    first_item: int = 0
    items: tuple[Value, ...] = ()
    erased_items: int = 0


class ThreadCreated(Event):
    """The thread exists; after a ThreadDeleted, it exists anew, and empty.

    One that `is_temporary` is there for a single run: it shows to nobody, and goes with the run's end.
    """

    type: Literal["ThreadCreated"] = "ThreadCreated"
    metadata: Object = Field(default_factory=dict)
    ttl: TimeToLive | None = None
    is_temporary: bool = False


class ThreadCopied(ItemsEvent):
    """The thread exists, with the state that `source_thread_id` had at `source_version`."""

    type: Literal["ThreadCopied"] = "ThreadCopied"
    source_thread_id: str
    source_version: int
    metadata: Object = Field(default_factory=dict)
    channels: Mapping[str, Encoded] = Field(default_factory=dict)
    checkpoint_id: str | None = None
    step: int = -2
    next: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    error: RunError | None = None
    calls: tuple[CopiedCall, ...] = ()
    is_erased: bool = False


class ThreadPatched(Event):
    """These keys of the thread's metadata were set (shallow merge), and its time to live, if there is one here."""

    type: Literal["ThreadPatched"] = "ThreadPatched"
    metadata: Object
    ttl: TimeToLive | None = None


class ThreadDeleted(Event):
    """The thread is gone, with all that it held; its id may be created again."""

    type: Literal["ThreadDeleted"] = "ThreadDeleted"


class RunAccepted(ItemsEvent):
    """A run was accepted: it will reach exactly one end, and is due `after_seconds` from now.

    What its assistant gave is in `kwargs`, and in `assistant_metadata`; None there: a graph's default assistant, as it was.
    """

    type: Literal["RunAccepted"] = "RunAccepted"
    run_id: str
    assistant_id: str
    graph_id: str
    input: Mapping[str, Encoded] | None = None
    raw_input: Value = None
    multitask_strategy: Literal["reject", "enqueue", "interrupt", "rollback"] = "enqueue"
    after_seconds: float = 0
    timeout_seconds: float | None = 3600.0
    metadata: Object = Field(default_factory=dict)
    assistant_metadata: Object | None = None
    kwargs: Object = Field(default_factory=dict)
    is_typed: bool = False
    is_erased: bool = False


class RunStarted(Event):
    """Attempt `attempt` of the run is the active one; all others are fenced off from here on.

    With `keeps_work` it goes on from what the attempt before it left, else it starts again on the run's base.
    """

    type: Literal["RunStarted"] = "RunStarted"
    run_id: str
    attempt: int = 1
    holder: str = ""
    keeps_work: bool = False


class StepRecorded(ItemsEvent):
    """A step of the active run: `update` is what the node gave, `deltas` is what it did."""

    type: Literal["StepRecorded"] = "StepRecorded"
    run_id: str
    attempt: int = 1
    checkpoint_id: str
    source: Literal["input", "loop"] = "loop"
    node: str = ""
    next: tuple[str, ...] = ()
    update: Mapping[str, Encoded] | None = None
    deltas: Mapping[str, Delta] = Field(default_factory=dict)
    is_erased: bool = False


class ResultRecorded(Event):
    """`run.step(name, …)` had this result; a later attempt gets it instead of calling again."""

    type: Literal["ResultRecorded"] = "ResultRecorded"
    run_id: str
    attempt: int = 1
    name: str
    result: Value = None
    is_erased: bool = False


class RunHandedOver(Event):
    """The attempt's process stopped in good order: the run is pending, no attempt was lost."""

    type: Literal["RunHandedOver"] = "RunHandedOver"
    run_id: str
    attempt: int = 1


class RunEnded(ItemsEvent):
    """Base of the ends that leave a record; what stood open is here, so that nobody needs the graph.

    `deltas` bring the values that readers see in line with what the graph itself says they are.
    """

    run_id: str
    deltas: Mapping[str, Delta] = Field(default_factory=dict)
    next: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()


class RunSucceeded(RunEnded):
    """The run's code returned; its work stays."""

    type: Literal["RunSucceeded"] = "RunSucceeded"
    attempt: int = 1


class RunFailed(RunEnded):
    """The run's code raised, or its attempts are used up; its finished steps stay."""

    type: Literal["RunFailed"] = "RunFailed"
    attempt: int = 1
    error: RunError


class RunTimedOut(RunEnded):
    """The run took longer than it may; its finished steps stay."""

    type: Literal["RunTimedOut"] = "RunTimedOut"
    attempt: int = 1
    timeout_seconds: float


class RunInterrupted(RunEnded):
    """The run was stopped from outside, or before it began; its finished steps stay."""

    type: Literal["RunInterrupted"] = "RunInterrupted"
    reason: Literal["double_text", "cancelled"] = "double_text"
    by_run_id: str | None = None


class RunRolledBack(Event):
    """Tombstone: from here on, replay ignores every other event of this run."""

    type: Literal["RunRolledBack"] = "RunRolledBack"
    run_id: str
    reason: Literal["double_text", "cancelled", "deleted", "thread_deleted"] = "double_text"
    by_run_id: str | None = None


class RunDeleted(Event):
    """The record of an ended run is hidden; what it did stays in the state."""

    type: Literal["RunDeleted"] = "RunDeleted"
    run_id: str


class StateUpdated(ItemsEvent):
    """The state was changed from outside, as if `as_node` had done it.

    In a copy it is a state of the source: `source` is where that came from, and `step` its number there (None: the next one).
    """

    type: Literal["StateUpdated"] = "StateUpdated"
    checkpoint_id: str
    as_node: str | None = None
    source: str = "update"
    step: int | None = None
    next: tuple[str, ...] = ()
    update: Mapping[str, Encoded] | None = None
    deltas: Mapping[str, Delta] = Field(default_factory=dict)
    is_erased: bool = False


class CheckpointRecorded(ItemsEvent):
    """A graph saved a checkpoint in its namespace `ns` ("" is the graph itself, others are those of subgraphs).

    Its parent is the newest checkpoint of the namespace, and everything is told as the difference to that. With `is_fork` the
    parent is the one named by `parent_id` (or none), and everything is told in full. `run_id` is None where no run of the engine
    wrote it. A step that is not told is one more than the parent's (-1 without one).

    `bumped` channels have `version` from now on; nodes in `saw` have seen the channels that they had seen before, at the parent's
    versions, and those in `seen` exactly what stands there. The updated channels are the bumped ones without the `consumed`
    ones, in alphabetical order, unless `updated` tells them; without `has_updated` nobody knows them. `ts` is the time that the
    graph gave the checkpoint, as text, or in microseconds after the time in its id.
    """

    type: Literal["CheckpointRecorded"] = "CheckpointRecorded"
    checkpoint_id: str
    run_id: str | None = None
    attempt: int = 1
    ns: str = ""
    is_fork: bool = False
    parent_id: str | None = None
    source: str = "loop"
    step: int | None = None
    deltas: Mapping[str, Delta] = Field(default_factory=dict)
    version: ChannelVersion | None = None
    bumped: tuple[str, ...] = ()
    versions: Mapping[str, ChannelVersion] | None = None
    saw: tuple[str, ...] = ()
    seen: Mapping[str, Mapping[str, ChannelVersion]] = Field(default_factory=dict)
    is_seen_whole: bool = False
    consumed: tuple[str, ...] = ()
    updated: tuple[str, ...] | None = None
    has_updated: bool = True
    ts: int | str = 0
    format: int = 4
    extra: Object = Field(default_factory=dict)
    metadata: Delta | None = None
    is_erased: bool = False


class PendingWrite(Fact):
    """What a task wrote to a channel, in the task's slot `idx`."""

    idx: int | None = None
    channel: str
    value: Encoded = SetValue(op="set", value=None)


class WritesRecorded(ItemsEvent):
    """A task of a graph wrote this, for the step after a checkpoint (the newest of the namespace, unless it is named).

    `idx` of a write is its place in `writes`, unless it is told. In a slot of a number from 0 on the first write stands, in
    others the last. `by_run_id` is what the graph called its run where no run of the engine wrote it.
    """

    type: Literal["WritesRecorded"] = "WritesRecorded"
    run_id: str | None = None
    attempt: int = 1
    by_run_id: str | None = None
    ns: str = ""
    checkpoint_id: str | None = None
    task_id: str
    task_path: str = ""
    writes: tuple[PendingWrite, ...] = ()
    is_erased: bool = False


class CheckpointsHidden(Event):
    """Checkpoints were taken out of sight: those of `run_ids`, or all but the newest of each namespace, or all.

    What was built on them keeps its values. A function's states are its checkpoints, in one namespace.
    """

    type: Literal["CheckpointsHidden"] = "CheckpointsHidden"
    keep: Literal["others", "latest", "none"] = "others"
    run_ids: tuple[str, ...] = ()


class ToolCallRecorded(ItemsEvent):
    """A tool call of the active run was started by a task of the graph, or it came to this result, or error (a message)."""

    type: Literal["ToolCallRecorded"] = "ToolCallRecorded"
    run_id: str
    attempt: int = 1
    call_id: str
    name: str = ""
    task: str = ""
    status: Literal["started", "finished", "failed"] = "started"
    result: Encoded | None = None
    is_erased: bool = False


ThreadEvent: TypeAlias = Annotated[
    ThreadCreated
    | ThreadCopied
    | ThreadPatched
    | ThreadDeleted
    | RunAccepted
    | RunStarted
    | StepRecorded
    | ResultRecorded
    | RunHandedOver
    | RunSucceeded
    | RunFailed
    | RunTimedOut
    | RunInterrupted
    | RunRolledBack
    | RunDeleted
    | StateUpdated
    | CheckpointRecorded
    | WritesRecorded
    | CheckpointsHidden
    | ToolCallRecorded,
    Field(discriminator="type"),
]

Events: TypeAlias = tuple[ThreadEvent, ...]


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event with its envelope: where it stands, when it was recorded, and who caused it.

    `version` counts the thread's events from 1, without holes. `position` orders the whole log in
    commit order, from 1, without holes. `recorded_at` is timezone-aware UTC with microseconds; it
    rises strictly from one append of a thread to the next, and the events of one append share it.
    """

    thread_id: str
    version: int
    position: int
    recorded_at: datetime
    event: ThreadEvent
    actor: str | None = None
