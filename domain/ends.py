"""What the end of a run says: the run's status, and the error that it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .events import RunEnded, RunError, RunFailed, RunInterrupted, RunSucceeded, RunTimedOut

if TYPE_CHECKING:
    from .ports import RunStatus


def end_status(event: RunEnded) -> RunStatus:
    """Return the status that a run has after this end."""
    match event:
        case RunSucceeded():
            return "success"
        case RunFailed():
            return "error"
        case RunTimedOut():
            return "timeout"
        case _:
            return "interrupted"


def is_cancellation(event: RunEnded) -> bool:
    """Say whether somebody asked for this end; a run that another one displaces is none that was cancelled."""
    return isinstance(event, RunInterrupted) and event.reason == "cancelled"


def end_error(event: RunEnded) -> RunError | None:
    """Return the error that a thread has after this end."""
    match event:
        case RunFailed(error=error):
            return error
        case RunTimedOut(timeout_seconds=seconds):
            message = f"the run took longer than {seconds:g} s"
            return RunError(error="TimeoutError", message=message)
        case _:
            return None
