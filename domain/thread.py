"""A thread: what its log folds to, and the fold. Nothing here decides, raises or reads a clock.

Only the active run writes state, so its writes are a suffix of the thread: the run's first
RunStarted puts the state aside as `base`, by sharing it, and RunRolledBack puts it back: O(1),
whatever the run's length.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias, assert_never

from .calls import calls_after, copied_calls
from .channels import Items, apply
from .ends import end_error, end_status, is_cancellation
from .events import (
    CheckpointRecorded,
    CheckpointsHidden,
    ItemsEvent,
    RecordedEvent,
    ResultRecorded,
    RunAccepted,
    RunDeleted,
    RunFailed,
    RunHandedOver,
    RunInterrupted,
    RunRolledBack,
    RunStarted,
    RunSucceeded,
    RunTimedOut,
    StateUpdated,
    StepRecorded,
    ThreadCopied,
    ThreadCreated,
    ThreadDeleted,
    ThreadPatched,
    TimeToLive,
    ToolCallRecorded,
    WritesRecorded,
)
from .pruning import expiry_of
from .saved import EVERYTHING
from .saved_fold import call_recorded, checkpoint_recorded, checkpoints_hidden, writes_recorded
from .shared_list import SharedList
from .state import EMPTY_STATE, Checkpoint, State, copied_state, read_state
from .value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .deltas import Range
    from .ports import RunStatus, ThreadStatus
    from .values import Json, JsonObject

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Run(Value):
    """A run in flight: accepted, and not at its end.

    `items` are the numbers of those that its acceptance brought in.
    """

    run_id: str
    status: RunStatus
    accepted: RunAccepted
    items: Range
    accepted_version: int
    created_at: datetime
    due_at: datetime
    updated_at: datetime
    attempt: int = 0
    handed_over: int = 0
    started_at: datetime | None = None
    results: Mapping[str, Json] = field(default_factory=dict[str, "Json"])
    actor: str | None = None

    @property
    def order(self) -> tuple[bool, datetime, int]:
        """Runs start in this order; one that has started before goes first."""
        return (self.attempt == 0, self.due_at, self.accepted_version)


@dataclass(frozen=True, slots=True)
class EndedRun:
    """The run that ended last; older ones stand in the `runs` projection."""

    run_id: str
    status: RunStatus
    version: int
    ended_at: datetime


@dataclass(frozen=True)
class Thread(Value):
    """The fold of a thread's log.

    `state` is what stands now, with the work of the active run. `base` is what stood when that run
    first started. `active` is the run that has started and not ended; between attempts it may be
    pending. `runs` holds all runs in flight by id. `holder` is the process that ran an attempt
    last. `next_item` and `version` only rise; a rollback leaves them alone, as it does the
    metadata, the queue and the items. `pruned_version` is where the thread was pruned last: of a
    function's states, the newest up to there is the oldest in sight.
    """

    version: int = 0
    is_present: bool = False
    is_temporary: bool = False
    created_at: datetime = EPOCH
    updated_at: datetime = EPOCH
    state_updated_at: datetime = EPOCH
    metadata: JsonObject = field(default_factory=dict[str, "Json"])
    items: Items = field(default_factory=SharedList["Json"])
    state: State = EMPTY_STATE
    base: State | None = None
    active: str | None = None
    runs: Mapping[str, Run] = field(default_factory=dict[str, Run])
    last_run: EndedRun | None = None
    holder: str = ""
    ttl: TimeToLive | None = None
    pruned_version: int = 0

    @property
    def expires_at(self) -> datetime | None:
        """When the time to live is over; None while a run is in flight, and without one."""
        return expiry_of(self)

    @property
    def is_visible(self) -> bool:
        """Whether callers see it: it is there, and for more than one run."""
        return self.is_present and not self.is_temporary

    @property
    def status(self) -> ThreadStatus:
        """What the fold says: busy while a run is in flight, else error, interrupted or idle."""
        if self.runs:
            return "busy"
        if self.state.error is not None:
            return "error"
        return "interrupted" if self.state.next else "idle"

    @property
    def next_item(self) -> int:
        """The number that the next new item gets; numbers are never used again."""
        return len(self.items)

    @property
    def has_values(self) -> bool:
        """Whether anything was ever written to the state that stands."""
        return self.state.checkpoint is not None

    def values(self) -> JsonObject:
        """Return the values of all channels as readers see them. They share the fold's objects: never change them."""
        return read_state(self.state, self.items)

    def in_order(self) -> list[Run]:
        """Return the runs in flight in the order in which they start."""
        return sorted(self.runs.values(), key=lambda run: run.order)

    def next_run(self) -> Run | None:
        """Return the pending run that starts next, due or not; None while one is running."""
        if self.active is not None and self.runs[self.active].status == "running":
            return None
        if not self.runs:
            return None
        return min(self.runs.values(), key=lambda run: run.order)


EMPTY_THREAD = Thread()
FULL_THREAD = Thread(state=State(saved=EVERYTHING))
"""Where a fold begins that keeps every checkpoint."""

Log: TypeAlias = "Iterable[RecordedEvent]"


def fold(log: Log, thread: Thread = EMPTY_THREAD) -> Thread:
    """Apply events in order to a thread."""
    for recorded in log:
        thread = evolve(thread, recorded)
    return thread


def evolve(thread: Thread, recorded: RecordedEvent) -> Thread:
    """Apply one event. Total: never raises, never validates, never changes `thread`."""
    event = recorded.event
    items = thread.items
    if isinstance(event, ItemsEvent):
        items = _with_items(items, event)
    elif isinstance(event, ThreadDeleted):  # The numbers stay taken; what they named is gone.
        items = SharedList["Json"]([None] * len(items))
    after = _applied(thread, recorded, items)
    return after.changed(version=recorded.version, updated_at=recorded.recorded_at, items=items)


def _with_items(items: Items, event: ItemsEvent) -> Items:
    if event.erased_items:
        padding = event.first_item + event.erased_items - len(items)
        return items.extended([None] * padding)
    if not event.items:
        return items
    if event.first_item > len(items):  # The log that this one was cut from had more items here.
        items = items.extended([None] * (event.first_item - len(items)))
    return items.extended(event.items)


def _applied(thread: Thread, recorded: RecordedEvent, items: Items) -> Thread:  # noqa: C901 - one arm an event
    event, at = recorded.event, recorded.recorded_at
    match event:  # The frequent ones first.
        case StepRecorded():
            return _stepped(thread, event, recorded)
        case CheckpointRecorded():
            return checkpoint_recorded(thread, event, recorded)
        case WritesRecorded():
            return writes_recorded(thread, event, recorded)
        case RunAccepted():
            return _with_run(thread, _accepted(event, recorded))
        case RunStarted(run_id=run_id):
            return _started(thread, event, at) if run_id in thread.runs else thread
        case RunSucceeded() | RunFailed() | RunTimedOut() | RunInterrupted():
            return _ended(thread, event, recorded)
        case ThreadCreated():
            return Thread(
                is_present=True,
                is_temporary=event.is_temporary,
                created_at=at,
                state_updated_at=at,
                metadata=event.metadata,
                state=_fresh(thread),
                ttl=event.ttl,
            )
        case ThreadCopied():
            return _copied(thread, event, recorded)
        case ThreadPatched():
            metadata = {**thread.metadata, **event.metadata}
            return thread.changed(metadata=metadata, ttl=event.ttl or thread.ttl)
        case ThreadDeleted():
            return Thread(created_at=thread.created_at, state_updated_at=at, state=_fresh(thread))
        case ResultRecorded(run_id=run_id):
            run = thread.runs.get(run_id)
            if run is None:
                return thread
            return _with_run(thread, run.changed(results={**run.results, event.name: event.result}))
        case RunHandedOver(run_id=run_id):
            run = thread.runs.get(run_id)
            if run is None:
                return thread
            handed_over = run.changed(
                status="pending", handed_over=run.handed_over + 1, updated_at=at
            )
            return _with_run(thread, handed_over)
        case RunRolledBack(run_id=run_id):
            if run_id == thread.active and thread.base is not None:
                remaining = _without_run(thread, run_id)
                return remaining.changed(state=thread.base, base=None, active=None)
            return _without_run(thread, run_id)
        case RunDeleted(run_id=run_id):
            last = thread.last_run
            return thread.changed(last_run=None if last and last.run_id == run_id else last)
        case StateUpdated():
            return _updated(thread, event, recorded)
        case CheckpointsHidden():
            return checkpoints_hidden(thread, event, recorded)
        case ToolCallRecorded():
            return call_recorded(thread, event)
        case _:
            assert_never(event)


def _fresh(thread: Thread) -> State:
    return FULL_THREAD.state if thread.state.saved.keeps_all else EMPTY_STATE


def _with_run(thread: Thread, run: Run) -> Thread:
    return thread.changed(runs={**thread.runs, run.run_id: run})


def _without_run(thread: Thread, run_id: str) -> Thread:
    if run_id not in thread.runs:
        return thread
    return thread.changed(runs={key: run for key, run in thread.runs.items() if key != run_id})


def _accepted(event: RunAccepted, recorded: RecordedEvent) -> Run:
    at = recorded.recorded_at
    return Run(
        run_id=event.run_id,
        status="pending",
        accepted=event,
        items=(event.first_item, event.first_item + len(event.items)),
        accepted_version=recorded.version,
        created_at=at,
        due_at=at + timedelta(seconds=event.after_seconds),
        updated_at=at,
        actor=recorded.actor,
    )


def _started(thread: Thread, event: RunStarted, at: datetime) -> Thread:
    run = thread.runs[event.run_id]
    # Only the first attempt sets the base.
    base = thread.state if run.attempt == 0 or thread.base is None else thread.base
    started = run.changed(
        status="running",
        attempt=event.attempt,
        started_at=run.started_at or at,
        updated_at=at,
    )
    # A function graph has no resume point: each attempt starts again on the base.
    return thread.changed(
        runs={**thread.runs, run.run_id: started},
        active=event.run_id,
        base=base,
        state=thread.state if event.keeps_work else base,
        holder=event.holder,
    )


def _stepped(thread: Thread, event: StepRecorded, recorded: RecordedEvent) -> Thread:
    if event.run_id != thread.active:
        return thread
    old = thread.state
    checkpoint = Checkpoint(
        event.checkpoint_id,
        recorded.version,
        recorded.recorded_at,
        event.source,
        old.step + 1,
        event.node,
        event.run_id,
        event.attempt,
        old.checkpoint_id,
    )
    state = old.followed_by(checkpoint, apply(old.channels, event.deltas), event.next)
    if event.is_erased:
        state = state.changed(is_erased=True)
    return thread.changed(state=state, state_updated_at=recorded.recorded_at)


def _updated(thread: Thread, event: StateUpdated, recorded: RecordedEvent) -> Thread:
    old = thread.state
    checkpoint = Checkpoint(
        event.checkpoint_id,
        recorded.version,
        recorded.recorded_at,
        event.source,
        old.step + 1 if event.step is None else event.step,
        event.as_node or "",
        parent_id=old.checkpoint_id,
    )
    state = old.followed_by(checkpoint, apply(old.channels, event.deltas), event.next)
    if event.is_erased:
        state = state.changed(is_erased=True)
    return thread.changed(state=state, state_updated_at=recorded.recorded_at)


def _ended(
    thread: Thread,
    event: RunSucceeded | RunFailed | RunTimedOut | RunInterrupted,
    recorded: RecordedEvent,
) -> Thread:
    run_id, at = event.run_id, recorded.recorded_at
    if run_id not in thread.runs:
        return thread
    ended = EndedRun(run_id, end_status(event), recorded.version, at)
    thread = _without_run(thread, run_id).changed(last_run=ended)
    if run_id != thread.active:
        if isinstance(event, RunFailed):
            thread = thread.changed(state=thread.state.changed(error=event.error))
        return thread  # It never started, so it leaves no work.
    state = thread.state.changed(
        channels=apply(thread.state.channels, event.deltas),
        next=event.next,
        tasks=event.tasks,
        error=end_error(event),
        stopped_run=run_id if is_cancellation(event) else None,
    )
    if state.calls:
        state = state.changed(calls=calls_after(event, state.calls))
    if event.items:
        own = (event.first_item, event.first_item + len(event.items))
        state = state.changed(saved=state.saved.with_items(own))
    return thread.changed(state=state, base=None, active=None, state_updated_at=at)


def _copied(thread: Thread, event: ThreadCopied, recorded: RecordedEvent) -> Thread:
    at, state = recorded.recorded_at, copied_state(thread.state, event, recorded)
    return Thread(
        is_present=True,
        created_at=at,
        state_updated_at=at,
        metadata=event.metadata,
        state=state.changed(calls=copied_calls(event)),
    )
