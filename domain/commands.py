"""Every intent. A command brings what a decision must not make: ids, and the time if it matters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from .changes import ChannelChange, GraphEnd
    from .events import RunError, TimeToLive
    from .saved import Versions
    from .strategies import MultitaskStrategy
    from .thread import Thread
    from .values import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateThread:
    """Create the thread; `if_exists="do_nothing"` leaves an existing one as it is."""

    thread_id: str
    metadata: JsonObject = field(default_factory=dict[str, "Json"])
    if_exists: Literal["raise", "do_nothing"] = "raise"
    ttl: TimeToLive | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyThread:
    """Create the thread with the state of another one, which stands without its run in flight.

    With `has_checkpoints`, those that a checkpointer saved in the source were recorded in the thread just before.
    """

    thread_id: str
    source_thread_id: str
    source: Thread
    has_checkpoints: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchThread:
    """Set keys of the thread's metadata, and its time to live, which then begins anew."""

    thread_id: str
    metadata: JsonObject
    ttl: TimeToLive | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteThread:
    """Delete the thread, and stop what is in flight."""

    thread_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneThread:
    """Take all states but the newest out of sight; what stands now stays as it is."""

    thread_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireThread:
    """Do what the thread's time to live says, if it is over at `now`."""

    thread_id: str
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitRun:
    """Answer a new input, also when other runs are in flight (double texting).

    `input` is in stored form (`GraphRunner.prepare`); None is no input. `runs_in_flight_max` bounds
    the thread's queue.
    """

    thread_id: str
    run_id: str
    assistant_id: str
    graph_id: str
    input: Json = None
    multitask_strategy: MultitaskStrategy = "enqueue"
    after_seconds: float = 0
    timeout_seconds: float | None = 3600.0
    metadata: JsonObject = field(default_factory=dict[str, "Json"])
    assistant_metadata: JsonObject | None = None
    kwargs: JsonObject = field(default_factory=dict[str, "Json"])
    if_not_exists: Literal["reject", "create"] = "reject"
    runs_in_flight_max: int = 1000
    is_typed: bool = False
    is_resume: bool = False
    """It answers an interrupt: refused, if nothing waits for an answer."""
    is_stateless: bool = False
    """It gets a temporary thread of its own, which goes with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRun:
    """Make `attempt` the active one. After `attempts_max` lost attempts the run fails instead."""

    thread_id: str
    run_id: str
    attempt: int
    holder: str
    now: datetime
    attempts_max: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordStep:
    """Record what a step of an attempt did."""

    thread_id: str
    run_id: str
    attempt: int
    checkpoint_id: str
    node: str
    source: Literal["input", "loop"]
    next: tuple[str, ...]
    update: JsonObject | None
    changes: Mapping[str, ChannelChange]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordResult:
    """Record what `run.step(name, …)` returned."""

    thread_id: str
    run_id: str
    attempt: int
    name: str
    result: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class SucceedRun:
    """End the attempt's run: its code returned. `end` is what stands then, if more than what was recorded."""

    thread_id: str
    run_id: str
    attempt: int
    end: GraphEnd | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailRun:
    """End the attempt's run: its code raised."""

    thread_id: str
    run_id: str
    attempt: int
    error: RunError
    end: GraphEnd | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeOutRun:
    """End the attempt's run: it took too long."""

    thread_id: str
    run_id: str
    attempt: int
    timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverRun:
    """Give the attempt up in good order, for another process to take."""

    thread_id: str
    run_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRun:
    """Stop a run in flight and keep what it did, or roll it back."""

    thread_id: str
    run_id: str
    action: Literal["interrupt", "rollback"] = "interrupt"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRun:
    """Delete a run: one in flight is rolled back, an ended one is hidden.

    `is_ended` says that the record of runs has it, as ended and not hidden.
    """

    thread_id: str
    run_id: str
    is_ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateState:
    """Change the state from outside, as if `as_node` had done it.

    In a copy: record a state of the source, with where it came from.
    """

    thread_id: str
    checkpoint_id: str
    as_node: str | None
    next: tuple[str, ...]
    update: JsonObject | None
    changes: Mapping[str, ChannelChange]
    source: str = "update"
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCheckpoint:
    """Record a checkpoint that a checkpointer was given, of a run's attempt or (`run_id` None) from outside.

    `changes` are its channels that may differ from its parent's, all of them as whole values unless the parent is the newest
    checkpoint of the namespace; `kept` are those that are as the parent has them. Values are in typed form.
    """

    thread_id: str
    run_id: str | None
    attempt: int
    ns: str
    checkpoint_id: str
    parent_id: str | None
    source: str
    step: int
    changes: Mapping[str, ChannelChange]
    kept: frozenset[str]
    versions: Versions
    seen: Mapping[str, Versions]
    updated: tuple[str, ...] | None
    ts: str
    format: int
    extra: JsonObject
    metadata: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordWrites:
    """Record what a task wrote after a checkpoint: (slot, channel, value in typed form)."""

    thread_id: str
    run_id: str | None
    attempt: int
    by_run_id: str | None
    ns: str
    checkpoint_id: str
    task_id: str
    task_path: str
    writes: tuple[tuple[int, str, Json], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HideCheckpoints:
    """Take checkpoints out of sight: those of these runs, or (`keep`) all but the latest of each namespace, or all."""

    thread_id: str
    keep: Literal["others", "latest", "none"] = "others"
    run_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordToolCall:
    """Record that a tool call was started, or came to this message (in typed form; None: it cannot be kept).

    `task` is the namespace of the graph's task that makes it.
    """

    thread_id: str
    run_id: str
    attempt: int
    call_id: str
    name: str
    task: str
    status: Literal["started", "finished", "failed"]
    result: Json = None


Command: TypeAlias = (
    CreateThread
    | CopyThread
    | PatchThread
    | DeleteThread
    | PruneThread
    | ExpireThread
    | SubmitRun
    | StartRun
    | RecordStep
    | RecordResult
    | SucceedRun
    | FailRun
    | TimeOutRun
    | HandOverRun
    | CancelRun
    | DeleteRun
    | UpdateState
    | RecordCheckpoint
    | RecordWrites
    | HideCheckpoints
    | RecordToolCall
)
