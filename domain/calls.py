"""What the log knows of tool calls beside the messages: which were started, and what came of them. The fold's side, total."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .channels import decode
from .events import (
    RunEnded,
    RunInterrupted,
    RunRolledBack,
    RunSucceeded,
    ThreadCopied,
    ThreadDeleted,
    ToolCallRecorded,
)
from .state import ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .events import RecordedEvent

CALLS_KEPT_MAX = 256
"""Tool calls that a state knows of, the newest ones: more are never open at once."""


def with_call(calls: Mapping[str, ToolCall], event: ToolCallRecorded) -> dict[str, ToolCall]:
    """Return what is known after a tool call was started, or came to its end."""
    after = {**calls, event.call_id: _call(event)}
    if len(after) > CALLS_KEPT_MAX:
        del after[next(iter(after))]
    return after


def calls_after(end: RunEnded, calls: Mapping[str, ToolCall]) -> Mapping[str, ToolCall]:
    """Return what is known after the end of a run: nothing, where no call can stand open."""
    if isinstance(end, RunSucceeded) and not end.next:
        return {}
    if not isinstance(end, RunInterrupted):
        return calls
    return {
        call_id: call._replace(is_cancelled=True)
        if call.run_id == end.run_id and not call.is_finished
        else call
        for call_id, call in calls.items()
    }


def calls_in(log: Iterable[RecordedEvent]) -> dict[str, ToolCall]:
    """Return what a whole log knows, also of what is no longer kept; the calls of rolled-back runs are left out."""
    events = [recorded.event for recorded in log]
    undone = {event.run_id for event in events if isinstance(event, RunRolledBack)}
    calls: dict[str, ToolCall] = {}
    for event in events:
        if isinstance(event, ToolCallRecorded) and event.run_id not in undone:
            calls[event.call_id] = _call(event)
        elif isinstance(event, RunInterrupted):
            calls |= calls_after(event, calls)
        elif isinstance(event, ThreadCopied):
            calls |= copied_calls(event)
        elif isinstance(event, ThreadDeleted):
            calls.clear()
    return calls


def copied_calls(event: ThreadCopied) -> dict[str, ToolCall]:
    """Return what a copy knows of the calls of its source."""
    calls: dict[str, ToolCall] = {}
    for call in event.calls:
        fields: dict[str, Any] = dict(call)
        fields["result"] = None if call.result is None else decode(call.result)
        calls[call.call_id] = ToolCall(**fields)
    return calls


def _call(event: ToolCallRecorded) -> ToolCall:
    return ToolCall(
        call_id=event.call_id,
        name=event.name,
        is_finished=event.status != "started",
        result=None if event.result is None else decode(event.result),
        is_failed=event.status == "failed",
        task=event.task,
        run_id=event.run_id,
    )
