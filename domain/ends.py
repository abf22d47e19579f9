"""What the end of a run says of it: the status that it has then, and what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .events import RunEnded, RunError, RunFailed, RunSucceeded, RunTimedOut

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


def error_of(event: RunEnded) -> RunError | None:
    """Return why the run failed, if it did."""
    match event:
        case RunFailed(error=error):
            return error
        case RunTimedOut(timeout_seconds=seconds):
            message = f"the run took longer than {seconds:g} s"
            return RunError(error="TimeoutError", message=message)
        case _:
            return None
