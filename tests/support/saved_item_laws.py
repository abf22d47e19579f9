"""Laws of items: what an event may refer to, what it must not bring in once more, and what it takes beside."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

from threadfold.domain.channels import numbers_of
from threadfold.domain.commands import RecordCheckpoint
from threadfold.domain.events import (
    CheckpointRecorded,
    ItemsEvent,
    RecordedEvent,
    RunFailed,
    RunRolledBack,
    RunSucceeded,
    ThreadDeleted,
    ToolCallRecorded,
    WritesRecorded,
)
from threadfold.domain.thread import EMPTY_THREAD, FULL_THREAD, fold
from threadfold.domain.typed import identity, is_message

from . import laws
from .saved_model import SavedModel
from .saved_seen import seen
from .visible import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadfold.domain.state import State
    from threadfold.domain.thread import Thread

    from .saved_world import SavedWorld

EVENT_BYTES_MAX = 1_500
"""What an event takes at most beside what is new in it: names, ids, versions of some ten channels, ranges."""


# ------------------------------------------------------------------ I9: what may be erased


def reachable(state: State) -> set[int]:
    """Return the numbers of all items that a state refers to, or lets the next event refer to."""
    saved = state.saved
    channels = [*state.channels.values(), *(call.result for call in state.calls.values())]
    for each in (*saved.heads.values(), *saved.recent):
        channels += each.channels.values()
    channels += [write.value for slots in saved.writes.values() for write in slots.values()]
    numbers = {number for channel in channels for number in numbers_of(channel)}
    return numbers.union(*(range(*owned) for owned in saved.owned))


def nothing_refers_to_what_may_be_erased(world: SavedWorld) -> None:
    """I9: what stands needs no item of a rolled-back run, and of those in flight only the active one's own."""
    owners: dict[int, str | None] = {}
    gone: set[str] = set()
    forgotten: set[int] = set()
    places = {done.after.version: done for done in world.done}
    for recorded in world.driver.log:
        event = recorded.event
        own = getattr(event, "run_id", None)
        if isinstance(event, ItemsEvent):
            owners |= {event.first_item + n: own for n in range(len(event.items))}
        elif isinstance(event, RunRolledBack):
            gone.add(event.run_id)
        elif isinstance(event, ThreadDeleted):
            forgotten.update(owners)
        done = places.get(recorded.version)
        for thread in () if done is None else (done.after, done.whole):
            others = {*thread.runs} - {thread.active}
            for state, may_go in ((thread.state, others), (thread.base, {*thread.runs})):
                numbers = set[int]() if state is None else reachable(state)
                assert not numbers & forgotten
                assert not {owners[number] for number in numbers} & (gone | may_go)


def erasure_leaves_what_was_saved(world: SavedWorld) -> None:
    """I9: the payloads of rolled-back runs can be blanked, and nothing that stands is another."""
    log = world.driver.log
    gone = laws.rolled_back_runs(log)
    blanked = [
        RecordedEvent("t1", r.version, r.position, r.recorded_at, laws.erased(r.event))
        if getattr(r.event, "run_id", None) in gone
        else r
        for r in log
    ]
    for start, whole in ((EMPTY_THREAD, world.driver.thread), (FULL_THREAD, world.whole)):
        after = fold(blanked, start)
        assert seen(after) == seen(whole)
        assert after.next_item == whole.next_item


# ------------------------------------------------------------------ storage


Saving: TypeAlias = (
    CheckpointRecorded | WritesRecorded | ToolCallRecorded | RunSucceeded | RunFailed
)


def saving(world: SavedWorld) -> Iterator[tuple[Thread, Saving]]:
    """Yield the events that bring values in, each with the thread before it."""
    for done in world.done:
        for event in done.events:
            if isinstance(event, Saving):
                yield done.before, event


def is_shared(item: Any) -> bool:
    """Say whether an item is one that is to stand once only: a message with an id, or a long text."""
    return (is_message(item) and identity(item) is not None) or (
        isinstance(item, str) and len(item) > 200
    )


def inline(value: Any) -> Iterator[Any]:
    """Yield what stands in an event itself and should be an item."""
    if is_shared(value):
        yield value
    elif isinstance(value, dict | list):
        for element in value.values() if isinstance(value, dict) else value:
            yield from inline(element)


def each_message_stands_once(world: SavedWorld) -> None:
    """I9: no event brings in a message, or a long text, that stands already among what it may refer to, or tells it itself."""
    for thread, event in saving(world):
        run = thread.runs.get(event.run_id or "")
        numbers = reachable(thread.state) | (set() if run is None else {*range(*run.items)})
        items = map(thread.items.__getitem__, numbers)
        known = {text(item) for item in items if is_shared(item)}
        brought = Counter(text(item) for item in event.items if is_shared(item))
        assert not known & brought.keys()
        assert set(brought.values()) <= {1}
        assert not [*inline(event.model_dump(exclude={"items"}))]


def only_forks_are_told_in_full(world: SavedWorld) -> None:
    """I9: a checkpoint after the newest of its namespace is told as the difference to that, whatever others record meanwhile."""
    model = SavedModel(world)
    for done in world.done:
        command = done.command
        if isinstance(command, RecordCheckpoint) and ":" not in command.ns:
            newest = [
                each.put.checkpoint_id
                for each in model.standing.checkpoints
                if each.put.ns == command.ns
            ]
            is_next = command.parent_id == (newest[-1] if newest else None)
            for event in done.events:
                if isinstance(event, CheckpointRecorded):
                    assert event.is_fork == (not is_next)
        model.apply(done)


def events_hold_what_is_new(world: SavedWorld) -> None:
    """I9: an event takes the bytes of its new items, and no more than a constant beside."""
    for _, event in saving(world):
        body = event.model_dump_json(exclude={"items"}, exclude_defaults=True)
        assert len(body) <= EVENT_BYTES_MAX
