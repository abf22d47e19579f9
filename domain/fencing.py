"""What many decisions check first: that the thread is there, that the attempt may write, that nothing is in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import StaleAttemptError, ThreadBusyError, ThreadNotFoundError

if TYPE_CHECKING:
    from .thread import Run, Thread


def require_present(thread_id: str, thread: Thread) -> None:
    """Raise ThreadNotFoundError, unless the thread is there, for callers to see."""
    if not thread.is_visible:
        raise ThreadNotFoundError(thread_id=thread_id)


def require_idle(thread: Thread) -> None:
    """Raise ThreadBusyError while runs are in flight: nobody but the active one writes the state."""
    if thread.runs:
        message = "Thread is busy with a running job. Cancel it first, or wait for it to end."
        raise ThreadBusyError(run_ids=tuple(thread.runs), message=message)


def fenced(run_id: str, attempt: int, thread: Thread) -> Run:
    """Return the run if this attempt is the active one; else raise StaleAttemptError: the fence."""
    run = thread.runs.get(run_id)
    is_active = run is not None and thread.active == run_id and run.status == "running"
    if run is None or not is_active or run.attempt != attempt:
        raise StaleAttemptError(run_id=run_id, attempt=attempt)
    return run
