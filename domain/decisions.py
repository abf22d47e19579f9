"""Decisions: a command and a thread make events, or a refusal. Pure, and safe to retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from .commands import (
    CancelRun,
    Command,
    CopyThread,
    CreateThread,
    DeleteRun,
    DeleteThread,
    ExpireThread,
    FailRun,
    HandOverRun,
    HideCheckpoints,
    PatchThread,
    PruneThread,
    RecordCheckpoint,
    RecordResult,
    RecordStep,
    RecordToolCall,
    RecordWrites,
    StartRun,
    SubmitRun,
    SucceedRun,
    TimeOutRun,
    UpdateState,
)
from .copying import copy_thread
from .encoding import Encoder
from .errors import (
    InvalidInputError,
    NothingToResumeError,
    QueueFullError,
    RunEndedError,
    RunNotDueError,
    RunNotFoundError,
    StaleAttemptError,
    ThreadExistsError,
    ThreadNotFoundError,
)
from .events import (
    Events,
    ResultRecorded,
    RunAccepted,
    RunDeleted,
    RunEnded,
    RunError,
    RunFailed,
    RunHandedOver,
    RunRolledBack,
    RunStarted,
    RunSucceeded,
    RunTimedOut,
    StateUpdated,
    StepRecorded,
    Task,
    ThreadCreated,
    ThreadDeleted,
    ThreadPatched,
)
from .fencing import fenced, require_idle, require_present
from .saved_decisions import (
    end_view,
    expire_thread,
    hide_checkpoints,
    prune_thread,
    record_checkpoint,
    record_tool_call,
    record_writes,
)
from .strategies import displace, interrupted
from .values import same

if TYPE_CHECKING:
    from .thread import Run, Thread

AFTER_SECONDS_MAX = 10 * 365 * 86_400
"""How far ahead a run may be scheduled: ten years."""


def decide(command: Command, thread: Thread) -> Events:
    """Return the events that carry out the command; none if it is carried out already.

    A temporary thread is deleted in the same breath as its run ends.

    Raises:
        RefusedError: one of its subclasses says why not.
    """
    events = _decided(command, thread)
    if thread.is_temporary and any(isinstance(event, RunEnded | RunRolledBack) for event in events):
        return (*events, ThreadDeleted())
    return events


def _decided(command: Command, thread: Thread) -> Events:  # noqa: C901 - one arm a command
    match command:
        case CreateThread():
            return create_thread(command, thread)
        case CopyThread():
            return copy_thread(command, thread)
        case PatchThread():
            return patch_thread(command, thread)
        case DeleteThread():
            return delete_thread(command, thread)
        case PruneThread():
            return prune_thread(command, thread)
        case ExpireThread():
            return expire_thread(command, thread)
        case SubmitRun():
            return submit_run(command, thread)
        case StartRun():
            return start_run(command, thread)
        case RecordStep():
            return record_step(command, thread)
        case RecordResult():
            return record_result(command, thread)
        case SucceedRun():
            return succeed_run(command, thread)
        case FailRun():
            return fail_run(command, thread)
        case TimeOutRun():
            return time_out_run(command, thread)
        case HandOverRun():
            return hand_over_run(command, thread)
        case CancelRun():
            return cancel_run(command, thread)
        case DeleteRun():
            return delete_run(command, thread)
        case UpdateState():
            return update_state(command, thread)
        case RecordCheckpoint():
            return record_checkpoint(command, thread)
        case RecordWrites():
            return record_writes(command, thread)
        case HideCheckpoints():
            return hide_checkpoints(command, thread)
        case RecordToolCall():
            return record_tool_call(command, thread)
        case _:
            assert_never(command)


# ------------------------------------------------------------------ threads


def create_thread(command: CreateThread, thread: Thread) -> Events:
    """Create the thread, unless it is there."""
    if not thread.is_present:
        return (ThreadCreated(metadata=command.metadata, ttl=command.ttl),)
    if command.if_exists == "raise" or thread.is_temporary:
        raise ThreadExistsError(thread_id=command.thread_id)
    return ()


def patch_thread(command: PatchThread, thread: Thread) -> Events:
    """Set keys of the metadata; nothing happens if they are so already, but that a time to live begins anew."""
    require_present(command.thread_id, thread)
    if command.ttl is None and all(
        key in thread.metadata and same(thread.metadata[key], value)
        for key, value in command.metadata.items()
    ):
        return ()
    return (ThreadPatched(metadata=command.metadata, ttl=command.ttl),)


def delete_thread(command: DeleteThread, thread: Thread) -> Events:
    """Delete the thread; its runs in flight end with it."""
    require_present(command.thread_id, thread)
    ends = (RunRolledBack(run_id=run.run_id, reason="thread_deleted") for run in thread.in_order())
    return (*ends, ThreadDeleted())


def update_state(command: UpdateState, thread: Thread) -> Events:
    """Change the state from outside, while nothing is in flight."""
    require_present(command.thread_id, thread)
    require_idle(thread)
    if thread.state.checkpoint_id == command.checkpoint_id:
        return ()  # A retry.
    encoder = Encoder(thread.next_item, thread.items)
    deltas = encoder.deltas(thread.state.channels, command.changes)
    update = encoder.update(command.update, deltas)
    return (
        StateUpdated(
            checkpoint_id=command.checkpoint_id,
            as_node=command.as_node,
            source=command.source,
            step=command.step,
            next=command.next,
            update=update,
            deltas=deltas,
            first_item=encoder.first_item,
            items=tuple(encoder.added),
        ),
    )


# ------------------------------------------------------------------ runs, as their callers see them


def submit_run(command: SubmitRun, thread: Thread) -> Events:
    """Answer a new input, also when other runs are in flight (double texting)."""
    if command.run_id in thread.runs:
        return ()  # A retry of what the log holds. The append finds ended runs in their record.
    if thread.is_temporary or (not thread.is_present and command.if_not_exists == "reject"):
        raise ThreadNotFoundError(thread_id=command.thread_id)
    if not 0 <= command.after_seconds <= AFTER_SECONDS_MAX:
        expected = f"expected 0 to {AFTER_SECONDS_MAX:g}, got {command.after_seconds:g}"
        raise InvalidInputError(f"after_seconds: {expected}")
    created = () if thread.is_present else (ThreadCreated(is_temporary=command.is_stateless),)
    if command.is_resume and not thread.runs and not thread.state.next:
        raise NothingToResumeError(thread_id=command.thread_id)
    displaced = displace(command.multitask_strategy, thread, by_run_id=command.run_id)
    if len(thread.runs) - len(displaced) >= command.runs_in_flight_max:
        raise QueueFullError(runs_max=command.runs_in_flight_max)
    encoder = Encoder(thread.next_item, thread.items)
    is_object = isinstance(command.input, dict)
    accepted = RunAccepted(
        run_id=command.run_id,
        assistant_id=command.assistant_id,
        graph_id=command.graph_id,
        input=encoder.object(command.input) if isinstance(command.input, dict) else None,
        raw_input=None if is_object else command.input,
        multitask_strategy=command.multitask_strategy,
        after_seconds=command.after_seconds,
        timeout_seconds=command.timeout_seconds,
        metadata=command.metadata,
        assistant_metadata=command.assistant_metadata,
        kwargs=command.kwargs,
        is_typed=command.is_typed,
        first_item=encoder.first_item,
        items=tuple(encoder.added),
    )
    return (*created, *displaced, *_graph_patch(command, thread), accepted)


def _graph_patch(command: SubmitRun, thread: Thread) -> Events:
    """Name the graph at the first run; an event of its own, so that a rollback leaves it."""
    graph = {"graph_id": command.graph_id, "assistant_id": command.assistant_id}
    if "graph_id" in thread.metadata or command.is_stateless:
        return ()
    return (ThreadPatched(metadata={**graph}),)


def cancel_run(command: CancelRun, thread: Thread) -> Events:
    """Stop a run in flight."""
    run = thread.runs.get(command.run_id)
    if run is None:
        raise RunEndedError(run_id=command.run_id)
    if command.action == "rollback":
        return (RunRolledBack(run_id=run.run_id, reason="cancelled"),)
    return (interrupted(run, thread, "cancelled"),)


def delete_run(command: DeleteRun, thread: Thread) -> Events:
    """Roll back a run in flight, or hide an ended one."""
    if command.run_id in thread.runs:
        return (RunRolledBack(run_id=command.run_id, reason="deleted"),)
    if not command.is_ended or not thread.is_present:
        raise RunNotFoundError(run_id=command.run_id, message="Run not found")
    return (RunDeleted(run_id=command.run_id),)


# ------------------------------------------------------------------ runs, as their worker sees them


def start_run(command: StartRun, thread: Thread) -> Events:
    """Start the next run, or another attempt of the active one after its process was lost."""
    run = thread.runs.get(command.run_id)
    if run is None or run.attempt + 1 != command.attempt:
        raise StaleAttemptError(run_id=command.run_id, attempt=command.attempt)
    if run.status == "pending" and (thread.next_run() != run or run.due_at > command.now):
        raise RunNotDueError(run_id=command.run_id)
    if run.attempt - run.handed_over >= command.attempts_max:
        message = f"its process was lost in {command.attempts_max} attempts"
        error = RunError(error="AttemptsExhausted", message=message)
        return (_failed(run, thread, error),)
    return (
        RunStarted(
            run_id=run.run_id,
            attempt=command.attempt,
            holder=command.holder,
            keeps_work=_has_resume_point(run, thread),
        ),
    )


def _has_resume_point(run: Run, thread: Thread) -> bool:
    """Say whether an earlier attempt saved checkpoints, or called tools: the graph goes on from what it saved last."""
    base = thread.base
    if run.attempt == 0 or base is None:
        return False
    return thread.state.saved.version != base.saved.version or thread.state.calls != base.calls


def record_step(command: RecordStep, thread: Thread) -> Events:
    """Record what a step did, as deltas of what stands."""
    run = fenced(command.run_id, command.attempt, thread)
    if thread.state.checkpoint_id == command.checkpoint_id:
        return ()  # A retry.
    encoder = Encoder(thread.next_item, thread.items, run.items)
    deltas = encoder.deltas(thread.state.channels, command.changes)
    update = None if command.source == "input" else encoder.update(command.update, deltas)
    return (
        StepRecorded(
            run_id=command.run_id,
            attempt=command.attempt,
            checkpoint_id=command.checkpoint_id,
            source=command.source,
            node=command.node,
            next=command.next,
            update=update,
            deltas=deltas,
            first_item=encoder.first_item,
            items=tuple(encoder.added),
        ),
    )


def record_result(command: RecordResult, thread: Thread) -> Events:
    """Record a result once; a retry of the same name changes nothing."""
    run = fenced(command.run_id, command.attempt, thread)
    if command.name in run.results:
        return ()
    return (
        ResultRecorded(
            run_id=command.run_id, attempt=command.attempt, name=command.name, result=command.result
        ),
    )


def succeed_run(command: SucceedRun, thread: Thread) -> Events:
    """End the run: its code returned, so nothing stands open."""
    run = fenced(command.run_id, command.attempt, thread)
    end = command.end
    if end is None:
        return (RunSucceeded(run_id=command.run_id, attempt=command.attempt),)
    return (
        RunSucceeded(
            run_id=command.run_id,
            attempt=command.attempt,
            next=end.next,
            tasks=end.tasks,
            **end_view(end, run, thread),
        ),
    )


def fail_run(command: FailRun, thread: Thread) -> Events:
    """End the run: its code raised, and what it was about to do stands open."""
    run = fenced(command.run_id, command.attempt, thread)
    end = command.end
    if end is None:
        return (_failed(run, thread, command.error),)
    return (
        RunFailed(
            run_id=command.run_id,
            attempt=command.attempt,
            error=command.error,
            next=end.next,
            tasks=end.tasks,
            **end_view(end, run, thread),
        ),
    )


def _failed(run: Run, thread: Thread, error: RunError) -> RunFailed:
    # Only the active run's own steps say what stands open.
    is_active = thread.active == run.run_id
    next_nodes = thread.state.next if is_active else ()
    shown = f"{error.error}({error.message!r})"
    tasks = tuple(Task(id=f"{run.run_id}:{node}", name=node, error=shown) for node in next_nodes)
    return RunFailed(
        run_id=run.run_id, attempt=run.attempt, error=error, next=next_nodes, tasks=tasks
    )


def time_out_run(command: TimeOutRun, thread: Thread) -> Events:
    """End the run: it took too long."""
    fenced(command.run_id, command.attempt, thread)
    return (
        RunTimedOut(
            run_id=command.run_id,
            attempt=command.attempt,
            timeout_seconds=command.timeout_seconds,
            next=thread.state.next,
            tasks=thread.state.tasks,
        ),
    )


def hand_over_run(command: HandOverRun, thread: Thread) -> Events:
    """Give the attempt up in good order; it does not count as lost."""
    fenced(command.run_id, command.attempt, thread)
    return (RunHandedOver(run_id=command.run_id, attempt=command.attempt),)
