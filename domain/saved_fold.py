"""How events of checkpointers change a thread. Total, as all of the fold; what they make of what is saved is in `saved.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from .calls import with_call
from .channels import Nested
from .saved import hidden, with_checkpoint, with_writes
from .shared_list import SharedList
from .state import Checkpoint, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .channels import Channel, Channels, Items
    from .deltas import Range
    from .events import (
        CheckpointRecorded,
        CheckpointsHidden,
        ItemsEvent,
        RecordedEvent,
        ToolCallRecorded,
        WritesRecorded,
    )
    from .saved import SavedCheckpoint
    from .values import Json


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
    def items(self) -> Items: ...
    @property
    def state(self) -> State: ...
    def changed(self, **changes: Any) -> Self:  # noqa: ANN401 - the fields' own types
        ...


T = TypeVar("T", bound=_Thread)

INTERNAL_PREFIXES = ("__", "branch:", "join:", "start:")
"""Channels of these names carry what the graph is about to do, not what its users see."""

ROOT = "__root__"
"""The one channel of a graph whose state is no object of channels."""

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
        checkpoint=place_of(checkpoint, 0 if event.run_id is None else event.attempt),
        next=open_nodes(checkpoint, _looked_up(thread, event)),
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
    if event.keep == "latest":
        thread = thread.changed(pruned_version=recorded.version)
        if not thread.state.is_typed:  # A function's: what came before its newest state goes.
            return thread.changed(state=thread.state.changed(parent=None, depth=0))
    saved = hidden(thread.state.saved, event, recorded.version)
    state = thread.state.changed(saved=saved)
    latest = saved.latest("")
    if latest is None:
        # With a window, an older one may be in sight all the same, and tool calls stand open in it.
        state = State(saved=saved, calls={} if event.keep == "none" else state.calls)
    elif state.checkpoint is not None and state.checkpoint.checkpoint_id == latest.checkpoint_id:
        return thread.changed(state=state)  # What stands is as it was.
    else:
        state = state.changed(
            channels=visible(latest.channels),
            checkpoint=place_of(latest),
            next=open_nodes(latest, _looked_up(thread)),
            tasks=(),
            error=None,
            stopped_run=None,
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


def place_of(saved: SavedCheckpoint, attempt: int = 0) -> Checkpoint:
    """Return where a state that was saved came from; which `attempt` of its run saved it is known only as it comes in."""
    return Checkpoint(
        saved.checkpoint_id,
        saved.version,
        saved.recorded_at,
        saved.source,
        saved.step,
        run_id=saved.run_id,
        attempt=attempt,
        parent_id=saved.parent_id,
    )


def visible(channels: Channels) -> Channels:
    """Return the channels that readers see."""
    return {
        name: channel
        for name, channel in channels.items()
        if name == ROOT or not name.startswith(INTERNAL_PREFIXES)
    }


def open_nodes(
    checkpoint: SavedCheckpoint, item: Callable[[int], Json] | None = None
) -> tuple[str, ...]:
    """Return the nodes that the checkpoint's channels are about to start, as far as they tell.

    `item` returns items by number; without it, nodes that something is sent to are left out.
    """
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
        elif name == SENDS and item is not None:
            found.update(dict.fromkeys(_receivers(channel, item)))
    return tuple(found)


def _receivers(channel: Channel, item: Callable[[int], Json]) -> Iterator[str]:
    """Yield the nodes that something is sent to."""
    sent: Sequence[Json] = ()
    if isinstance(channel, SharedList):
        sent = [item(number) for number in channel]
    elif isinstance(channel, Nested) and isinstance(channel.value, list):
        sent = channel.value
    for each in sent:
        tagged = each.get("$") if isinstance(each, dict) else None
        if isinstance(tagged, list) and len(tagged) > 1 and tagged[0] == "send":
            yield str(tagged[1])


def _looked_up(thread: _Thread, event: ItemsEvent | None = None) -> Callable[[int], Json]:
    """Return what finds items, those of the event too, which the thread has not yet."""

    def item(number: int) -> Json:
        if event is not None and number >= event.first_item and event.items:
            return event.items[number - event.first_item]
        return thread.items[number]

    return item


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
