"""How events of checkpointers change a thread. Total, as all of the fold; what they make of what is saved is in `saved.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from .calls import with_call
from .saved import hidden, with_checkpoint, with_writes
from .state import Checkpoint, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .channels import Channels
    from .deltas import Range
    from .events import (
        CheckpointRecorded,
        CheckpointsHidden,
        RecordedEvent,
        ToolCallRecorded,
        WritesRecorded,
    )
    from .saved import SavedCheckpoint


class _Run(Protocol):
    @property
    def items(self) -> Range: ...


class _Thread(Protocol):
    """What of a thread these events change; the thread itself is above this module."""

    @property
    def active(self) -> str | None: ...
    @property
    def runs(self) -> Mapping[str, _Run]: ...
    @property
    def state(self) -> State: ...
    def changed(self, **changes: Any) -> Self:  # noqa: ANN401 - the fields' own types
        ...


T = TypeVar("T", bound=_Thread)

INTERNAL_PREFIXES = ("__", "branch:", "join:", "start:")
"""Channels of these names carry what the graph is about to do, not what its users see."""

SENDS = "__pregel_tasks"
BRANCH = "branch:to:"
JOIN = "join:"


def checkpoint_recorded(thread: T, event: CheckpointRecorded, recorded: RecordedEvent) -> T:
    """Return the thread after a checkpoint; one of the graph itself is what readers see from then on."""
    if event.run_id is not None and event.run_id != thread.active:
        return thread
    old = thread.state
    saved, checkpoint = with_checkpoint(old.saved, event, recorded, _items(thread, event.run_id))
    if event.ns:
        return thread.changed(state=old.changed(saved=saved))
    state = State(
        channels=visible(checkpoint.channels),
        checkpoint=Checkpoint(
            checkpoint.checkpoint_id,
            recorded.version,
            recorded.recorded_at,
            checkpoint.source,
            checkpoint.step,
            "",
            event.run_id,
            event.attempt if event.run_id is not None else 0,
            checkpoint.parent_id,
        ),
        next=open_nodes(checkpoint),
        is_erased=old.is_erased or event.is_erased,
        saved=saved,
        calls=old.calls,
    )
    return thread.changed(is_present=True, state=state, state_updated_at=recorded.recorded_at)


def writes_recorded(thread: T, event: WritesRecorded, recorded: RecordedEvent) -> T:
    """Return the thread after the writes of a task, which wait on a checkpoint."""
    if event.run_id is not None and event.run_id != thread.active:
        return thread
    saved = with_writes(thread.state.saved, event, recorded, _items(thread, event.run_id))
    is_erased = thread.state.is_erased or event.is_erased
    return thread.changed(state=thread.state.changed(saved=saved, is_erased=is_erased))


def checkpoints_hidden(thread: T, event: CheckpointsHidden, recorded: RecordedEvent) -> T:
    """Return the thread after checkpoints were taken out of sight."""
    saved = hidden(thread.state.saved, event, recorded.version)
    state = thread.state.changed(saved=saved)
    latest = saved.latest("")
    if latest is None:
        state = State(saved=saved)
    elif state.checkpoint is None or state.checkpoint.checkpoint_id != latest.checkpoint_id:
        state = state.changed(
            channels=visible(latest.channels),
            checkpoint=Checkpoint(
                latest.checkpoint_id,
                latest.version,
                latest.recorded_at,
                latest.source,
                latest.step,
                run_id=latest.run_id,
                parent_id=latest.parent_id,
            ),
            next=open_nodes(latest),
            tasks=(),
        )
    return thread.changed(state=state, state_updated_at=recorded.recorded_at)


def call_recorded(thread: T, event: ToolCallRecorded) -> T:
    """Return the thread after a tool call was started or finished."""
    if event.run_id != thread.active:
        return thread
    own = (event.first_item, event.first_item + len(event.items))
    saved = thread.state.saved.with_items(own)
    return thread.changed(
        state=thread.state.changed(saved=saved, calls=with_call(thread.state.calls, event))
    )


def visible(channels: Channels) -> Channels:
    """Return the channels that readers see."""
    return {
        name: channel
        for name, channel in channels.items()
        if not name.startswith(INTERNAL_PREFIXES)
    }


def open_nodes(checkpoint: SavedCheckpoint) -> tuple[str, ...]:
    """Return the nodes that the checkpoint's channels are about to start, as far as they tell."""
    found: dict[str, None] = {}
    for name, channel in checkpoint.channels.items():
        if name.startswith(BRANCH):
            found[name.removeprefix(BRANCH)] = None
        elif name.startswith(JOIN):
            sources, _, target = name.removeprefix(JOIN).rpartition(":")
            if _has_all(channel, sources):
                found[target] = None
        elif name == "__start__":
            found["__start__"] = None
    return tuple(found)


def _has_all(channel: object, sources: str) -> bool:
    tagged = (
        cast("dict[str, list[object]]", channel).get("$") if isinstance(channel, dict) else None
    )
    names = tagged[-1] if isinstance(tagged, list) and tagged else None
    if not isinstance(names, list):
        return False
    return set(cast("list[object]", names)) == set(sources.split("+"))


def _items(thread: _Thread, run_id: str | None) -> Range:
    run = thread.runs.get(run_id or "")
    return (0, 0) if run is None else run.items
