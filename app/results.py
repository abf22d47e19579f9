"""How runs ended, as those get it who wait for them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..domain.changes import GraphEnd
from ..domain.commands import SucceedRun
from ..domain.decisions import decide
from ..domain.events import RecordedEvent, RunError, RunFailed, RunSucceeded, RunTimedOut
from ..domain.thread import Thread, evolve
from .state_values import StateValues
from .views import RunResult

if TYPE_CHECKING:
    from ..domain.events import ThreadEvent
    from ..domain.values import JsonObject
    from .hub import Held, Hub

RESULT_ELSEWHERE = RunError(
    error="ResultNotKept",
    message="another process executed this run, and nobody else has the result of a run without a thread",
)


def ended_result(run_id: str, end: RecordedEvent, thread: Thread) -> RunResult:
    """Return how a run ended, from the event that ended it and the thread as it stood after that."""
    event = end.event
    error: RunError | None = None
    match event:
        case RunFailed(error=error):
            status = "error"
        case RunTimedOut():
            status, error = "timeout", thread.state.error
        case _:
            known = {"RunSucceeded": "success", "RunInterrupted": "interrupted"}
            status = known.get(event.type, "rolled_back")
    if status == "rolled_back":
        message = f"Run {run_id} was rolled back"
        error = RunError(error="RunRolledBack", message=message)
    questions = _questions(event) if status == "success" else ()
    values = StateValues(thread.state, thread.items)
    return RunResult(run_id, status, values, error, thread.state.next, questions, end.version)


def _questions(event: ThreadEvent) -> tuple[JsonObject, ...]:
    tasks = event.tasks if isinstance(event, RunSucceeded) else ()
    return tuple(interrupt for task in tasks for interrupt in task.interrupts)


def result_of(run_id: str, recorded: RecordedEvent, thread: Thread, hub: Hub) -> RunResult:
    """Return how a run ended, from the event that ended it in the log and the thread as it stood there after that.

    Of a run on a temporary thread, the log does not know what it brought forth.
    """
    if not thread.is_temporary:
        return ended_result(run_id, recorded, thread)
    held = hub.held.get(recorded.thread_id)
    if held is None:
        result = ended_result(run_id, recorded, thread)
        is_lost = result.status == "success"
        return replace(result, error=RESULT_ELSEWHERE) if is_lost else result
    if held.end is not None and held.end.event.type == recorded.event.type:
        return ended_result(run_id, held.end, held.thread)
    return ended_result(run_id, recorded, evolve(_standing(held), recorded))


def _standing(held: Held) -> Thread:
    """Return what has come of the run so far, as if it had come to a good end with it."""
    thread, so_far = held.thread, held.so_far
    run = thread.runs.get(thread.active or "")
    if so_far is None or run is None:
        return thread
    command = SucceedRun(
        thread_id="", run_id=run.run_id, attempt=run.attempt, end=GraphEnd(values=so_far().values)
    )
    for event in decide(command, thread):
        recorded = RecordedEvent("", thread.version + 1, 0, thread.updated_at, event)
        thread = evolve(thread, recorded)
    return thread
