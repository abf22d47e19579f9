"""Laws of what is kept: by a thread that leaves out the oldest checkpoints, by a snapshot, by a thread that others go on from."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from threadfold.app.snapshot_codec import decode_snapshot, encode_snapshot
from threadfold.domain import saved as saved_module, saved_snapshots
from threadfold.domain.commands import CancelRun, RecordWrites
from threadfold.domain.decisions import decide
from threadfold.domain.thread import EMPTY_THREAD, FULL_THREAD, Thread, evolve, fold

from . import laws
from .saved_seen import seen, seen_calls, seen_checkpoint, seen_writes
from .visible import complete, portrait, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadfold.domain.saved import SavedCheckpoint

    from .saved_world import Done, SavedWorld

SNAPSHOTS_EVERY = 3
"""A snapshot is taken at one of so many commands: it is the dearest of the laws."""


# ------------------------------------------------------------------ I6: windows and snapshots


@contextmanager
def windows_of(checkpoints: int) -> Iterator[None]:
    """Let a thread keep only so many checkpoints (twice as many, at the most), and a snapshot as many."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(saved_module, "WINDOW_MIN", checkpoints)
        patched.setattr(saved_snapshots, "RECENT_MAX", checkpoints)
        yield


def agree_on_what_is_kept(part: Thread, whole: Thread) -> None:
    """Assert that a thread says of all that it keeps what the thread says that keeps everything."""
    one, other = part.state.saved, whole.state.saved
    items = part.items
    if one.latest("") is not None or other.latest("") is None:
        assert visible(part) == visible(whole)
    else:  # All of the graph's that were kept are hidden: nothing is shown, until the next one is recorded.
        assert part.values() in ({}, whole.values())
    assert _seen_heads(part) == _seen_heads(whole)
    assert seen_calls(part.state, items) == seen_calls(whole.state, whole.items)
    kept = [seen_checkpoint(each, items) for each in one.recent]
    newest = other.recent.slice(len(other.recent) - len(kept), len(other.recent))
    assert kept == [seen_checkpoint(each, whole.items) for each in newest]
    assert len(kept) == len(other.recent) or not one.is_complete
    times = Counter((each.ns, each.checkpoint_id) for each in other.recent)
    still_to_come = other.writes.keys() - times.keys()
    kept_once = {key for each in _all_kept(part) if times[key := (each.ns, each.checkpoint_id)] < 2}
    # One that is recorded again after it was left out comes back without its writes.
    for key in still_to_come | kept_once:
        assert seen_writes(one, key, items) == seen_writes(other, key, whole.items)
    assert (part.base is None) == (whole.base is None)


def _seen_heads(thread: Thread) -> dict[str, Any]:
    heads = thread.state.saved.heads
    return {ns: seen_checkpoint(each, thread.items) for ns, each in heads.items()}


def a_window_is_part_of_the_whole(world: SavedWorld) -> None:
    """I6: a thread that keeps the newest checkpoints only says the same of them, and decides the same."""
    with windows_of(2):
        thread, whole = EMPTY_THREAD, FULL_THREAD
        for done in world.done:
            kept = {(each.ns, each.checkpoint_id) for each in _all_kept(thread)}
            if not isinstance(done.command, RecordWrites) or _key(done.command) in kept:
                assert_decides_alike(thread, done)
            for recorded in world.driver.log[done.before.version : done.after.version]:
                thread, whole = evolve(thread, recorded), evolve(whole, recorded)
            agree_on_what_is_kept(thread, whole)
            assert len(thread.state.saved.recent) < 4


def assert_decides_alike(twin: Thread, done: Done) -> None:
    """Assert that a command does to this thread what it did to the other one, if not in the same words."""
    events = decide(done.command, twin)
    if events != done.events:  # Of items that are the same, it may choose another one.
        assert [event.type for event in events] == [event.type for event in done.events]
        tail = laws.recorded_after(events, done.whole_before)
        whole = fold(laws.recorded_after(done.events, done.whole_before), done.whole_before)
        agree_on_what_is_kept(fold(tail, twin), whole)
        agree_on_what_is_kept(fold(tail, done.before), whole)


def _key(command: RecordWrites) -> tuple[str, str]:
    return command.ns, command.checkpoint_id


def _all_kept(thread: Thread) -> Iterator[SavedCheckpoint]:
    saved = thread.state.saved
    yield from saved.recent
    yield from saved.heads.values()


def a_snapshot_and_the_tail_keep_what_was_saved(world: SavedWorld) -> None:
    """I6: also in mid-run, also as bytes; and what is restored decides alike, rollback too."""
    driver = world.driver
    for place, done in enumerate(world.done):
        thread = done.before
        if (place + len(world.done)) % SNAPSHOTS_EVERY:
            continue
        with windows_of(2 + place % 2 * 20):
            twin = laws.restored(thread) if place % 2 else decode_snapshot(encode_snapshot(thread))
        assert complete(twin) == complete(thread)
        agree_on_what_is_kept(twin, done.whole_before)
        assert twin.state.saved.owned == thread.state.saved.owned
        assert_decides_alike(twin, done)
        agree_on_what_is_kept(fold(driver.log[thread.version :], twin), world.whole)
        if thread.active is not None:
            cancel = CancelRun(thread_id="t1", run_id=thread.active, action="rollback")
            events = decide(cancel, thread)
            assert decide(cancel, twin) == events
            tail = laws.recorded_after(events, thread)
            agree_on_what_is_kept(fold(tail, twin), fold(tail, done.whole_before))


# ------------------------------------------------------------------ I2: old states


def old_states_keep_what_was_saved(world: SavedWorld, other: SavedWorld) -> None:
    """I2: all threads that ever were stay as they were, also where two futures share one past."""
    old = [thread for done in world.done for thread in (done.before, done.whole_before)][::3]
    old += [world.driver.thread, world.whole]
    portraits = [_portrait(thread) for thread in old]
    for place in {0, len(world.done) // 2, len(world.done)}:
        twin = world.at(place)
        for move in other.moves:
            twin.make(move)
        assert seen(fold(twin.driver.log)) == seen(twin.driver.thread)
    assert seen(fold(world.driver.log)) == seen(world.driver.thread)
    assert [_portrait(thread) for thread in old] == portraits


def _portrait(thread: Thread) -> str:
    return f"{portrait(thread)}\n{[*thread.state.saved.recent]!r}"
