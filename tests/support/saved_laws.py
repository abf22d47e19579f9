"""The laws of what checkpointers save, each a function of a world (`saved_moves.py`) that asserts. Hypothesis draws the worlds.

They are functions for the same reason as those in `laws.py`: planted bugs must break them.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from pydantic import TypeAdapter

from threadfold.app.snapshot_codec import decode_snapshot, encode_snapshot
from threadfold.domain import saved as saved_module, saved_snapshots
from threadfold.domain.channels import numbers_of, read_channel, read_values
from threadfold.domain.checkpoint_times import full_time
from threadfold.domain.commands import (
    CancelRun,
    CopyThread,
    HideCheckpoints,
    RecordCheckpoint,
    RecordWrites,
)
from threadfold.domain.copying import copied
from threadfold.domain.decisions import decide
from threadfold.domain.errors import RefusedError, StaleAttemptError, ThreadBusyError
from threadfold.domain.events import (
    CheckpointRecorded,
    ItemsEvent,
    RecordedEvent,
    RunFailed,
    RunRolledBack,
    RunStarted,
    RunSucceeded,
    ThreadDeleted,
    ThreadEvent,
    ToolCallRecorded,
    WritesRecorded,
)
from threadfold.domain.thread import EMPTY_THREAD, FULL_THREAD, Thread, evolve, fold
from threadfold.domain.typed import identity, is_message

from . import laws
from .driver import Driver
from .saved_model import SavedModel
from .saved_moves import Call, Finish, Put, SavedWorld, WriteDown
from .visible import complete, portrait, text, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from threadfold.domain.channels import Items
    from threadfold.domain.commands import Command
    from threadfold.domain.saved import Saved, SavedCheckpoint
    from threadfold.domain.state import State

    from .saved_model import ModelCheckpoint
    from .saved_moves import Done

EVENT: TypeAdapter[ThreadEvent] = TypeAdapter(ThreadEvent)

EVENT_BYTES_MAX = 1_500
"""What an event takes at most beside what is new in it: names, ids, versions of some ten channels, ranges."""


# ------------------------------------------------------------------ what a checkpointer sees


def seen_checkpoint(each: SavedCheckpoint, items: Items) -> dict[str, Any]:
    """Return what a checkpointer gets back of a checkpoint."""
    return {
        "key": (each.ns, each.checkpoint_id),
        "parent_id": each.parent_id,
        "run": (each.run_id, each.made_by),
        "place": (each.source, each.step, full_time(each.ts, each.checkpoint_id), each.format),
        "values": {name: text(value) for name, value in read_values(each.channels, items).items()},
        "versions": text(dict(each.versions)),
        "seen": text({node: dict(versions) for node, versions in each.seen.items()}),
        "updated": each.updated,
        "extra": text(each.extra),
        "metadata": text(each.metadata),
        "is_hidden": each.is_hidden,
    }


def seen_writes(saved: Saved, key: tuple[str, str], items: Items) -> list[tuple[Any, ...]]:
    """Return what a checkpointer gets back of the writes on a checkpoint."""
    return [
        (w.task_id, w.idx, w.channel, text(read_channel(w.value, items)), w.task_path, w.run_id)
        for w in saved.writes_on(*key)
    ]


def seen_calls(state: State, items: Items) -> dict[str, Any]:
    """Return what is known of tool calls."""
    return {
        call_id: (*call._replace(result=None), text(read_channel(call.result, items)))
        for call_id, call in state.calls.items()
    }


def seen_state(state: State, items: Items) -> dict[str, Any]:
    """Return all that a checkpointer can get of a state."""
    saved = state.saved
    return {
        "checkpoints": [seen_checkpoint(each, items) for each in saved.newest_first()],
        "heads": {ns: seen_checkpoint(each, items) for ns, each in saved.heads.items()},
        "writes": {
            key: writes for key in saved.writes if (writes := seen_writes(saved, key, items))
        },
        "calls": seen_calls(state, items),
    }


def seen(thread: Thread) -> dict[str, Any]:
    """Return all that a user and a checkpointer can see of a thread, and what it would go back to."""
    base = thread.base and seen_state(thread.base, thread.items)
    return {**visible(thread), **seen_state(thread.state, thread.items), "base": base}


# ------------------------------------------------------------------ I1, I8: an oracle


def a_naive_checkpointer_agrees(world: SavedWorld) -> None:
    """I1, I8: after each command, everything is there that a checkpointer of whole values would have, and nothing else."""
    model = SavedModel(world)
    known: dict[int, SavedCheckpoint] = {}
    for done in world.done:
        model.apply(done)
        for thread in (done.whole, done.after):
            assert _texts(thread) == model.standing.shown
            assert set(thread.state.next) == set(model.standing.next)
            assert (thread.state.error is not None) == model.standing.has_failed
            _agree_on_calls(thread, model)
        _agree_on_checkpoints(done.whole, model, known)
        _agree_on_writes(done.whole, model)
        base = done.whole.base
        assert (base is None) == (model.base is None)
    known.clear()  # All of them once more: nothing may have changed them since.
    _agree_on_checkpoints(world.whole, model, known)


def _texts(thread: Thread) -> dict[str, str]:
    return {name: text(value) for name, value in thread.values().items()}


def _agree_on_checkpoints(
    thread: Thread, model: SavedModel, known: dict[int, SavedCheckpoint]
) -> None:
    saved = thread.state.saved
    expected = model.newest_first()
    found = [*saved.newest_first()]
    assert [(each.ns, each.checkpoint_id) for each in found] == [each.key for each in expected]
    for each, other in zip(found, expected, strict=True):
        if known.get(id(each)) is not each:
            known[id(each)] = each
            _agree_on_one(each, other, thread.items)
        assert saved.find(*other.key) is each
    for ns in {each.put.ns for each in model.standing.checkpoints}:
        latest = model.latest(ns)
        head = saved.latest(ns)
        assert (head and head.checkpoint_id) == (latest and latest.put.checkpoint_id)
        newest = [each for each in model.standing.checkpoints if each.put.ns == ns][-1]
        if ":" not in ns:
            assert saved.heads[ns].version == newest.version
    for each in model.standing.checkpoints:
        if each.is_hidden and each.key not in {other.key for other in expected}:
            assert saved.find(*each.key) is None


def _agree_on_one(each: SavedCheckpoint, other: ModelCheckpoint, items: Items) -> None:
    put = other.put
    assert seen_checkpoint(each, items) == {
        "key": other.key,
        "parent_id": put.parent_id,
        "run": (put.run_id, other.made_by),
        "place": (put.source, put.step, put.ts, put.format),
        "values": other.values,
        "versions": text(dict(put.versions)),
        "seen": text({node: dict(versions) for node, versions in put.seen.items()}),
        "updated": put.updated,
        "extra": text(put.extra),
        "metadata": text(put.metadata),
        "is_hidden": False,
    }


def _agree_on_writes(thread: Thread, model: SavedModel) -> None:
    saved = thread.state.saved
    for key in saved.writes.keys() | model.standing.writes.keys():
        slots = model.standing.writes.get(key, {})
        expected = [
            (task_id, idx, write["channel"], write["value"], write["path"], write["run_id"])
            for (task_id, idx), write in slots.items()
        ]
        found = seen_writes(saved, key, thread.items)
        assert sorted(map(repr, found)) == sorted(map(repr, expected))
        assert [(w[4], w[0], w[1]) for w in found] == sorted((w[4], w[0], w[1]) for w in found)


def _agree_on_calls(thread: Thread, model: SavedModel) -> None:
    found = seen_calls(thread.state, thread.items)
    assert found == {
        call_id: (
            *(call_id, call["name"], call["status"] != "started", None),
            *(call["status"] == "failed", call["is_cancelled"], call["task"], call["run_id"]),
            call["result"],
        )
        for call_id, call in model.standing.calls.items()
    }


# ------------------------------------------------------------------ I1: the tombstone


def rolled_back_runs_leave_nothing_saved(world: SavedWorld) -> None:
    """I1: the fold of a log is that of the log without its rolled-back runs, for checkpointers too."""
    log = world.driver.log
    for done in world.done:
        if any(isinstance(event, RunRolledBack) for event in done.events):
            upto = laws.without_rolled_back_runs(log[: done.after.version])
            assert seen(fold(upto)) == seen(done.after)
            assert seen(fold(upto, FULL_THREAD)) == seen(done.whole)
    assert seen(fold(laws.without_rolled_back_runs(log))) == seen(world.driver.thread)


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
    assert one.is_complete == (len(kept) == len(other.recent)) or not one.is_complete
    times = Counter((each.ns, each.checkpoint_id) for each in other.recent)
    still_to_come = other.writes.keys() - times.keys()
    kept_once = {key for each in _all_kept(part) if times[key := (each.ns, each.checkpoint_id)] < 2}
    for key in (
        still_to_come | kept_once
    ):  # One that comes back after it was left out has no writes.
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
    """I6: at every version, also in mid-run, also as bytes; and what is restored decides alike, rollback too."""
    driver = world.driver
    for place, done in enumerate(world.done):
        thread = done.before
        with windows_of(2 + place % 3 * 20):
            twin = laws.restored(thread) if place % 2 else decode_snapshot(encode_snapshot(thread))
        assert complete(twin) == complete(thread)
        agree_on_what_is_kept(twin, done.whole_before)
        assert twin.state.saved.owned == thread.state.saved.owned
        assert_decides_alike(twin, done)
        agree_on_what_is_kept(fold(driver.log[thread.version :], twin), world.whole)
        for run_id in thread.runs:
            cancel = CancelRun(thread_id="t1", run_id=run_id, action="rollback")
            events = decide(cancel, thread)
            assert decide(cancel, twin) == events
            tail = laws.recorded_after(events, thread)
            agree_on_what_is_kept(fold(tail, twin), fold(tail, done.whole_before))


# ------------------------------------------------------------------ I2: old states


def old_states_keep_what_was_saved(world: SavedWorld, other: SavedWorld) -> None:
    """I2: all threads that ever were stay as they were, also where two futures share one past."""
    old = [done.before for done in world.done] + [done.whole_before for done in world.done]
    old += [world.driver.thread, world.whole]
    portraits = [_portrait(thread) for thread in old]
    for place in {0, len(world.done) // 2, max(len(world.done) - 1, 0), len(world.done)}:
        twin = world.at(place)
        for move in other.moves:
            twin.make(move)
        assert seen(fold(twin.driver.log)) == seen(twin.driver.thread)
    assert seen(fold(world.driver.log)) == seen(world.driver.thread)
    assert [_portrait(thread) for thread in old] == portraits


def _portrait(thread: Thread) -> str:
    return f"{portrait(thread)}\n{[*thread.state.saved.recent]!r}"


# ------------------------------------------------------------------ I7, I15: who may write, and how often


def writes_of(run_id: str | None, attempt: int) -> list[Command]:
    """Return every write of a checkpointer or a graph that an attempt can make."""
    zombie = SavedWorld()
    zombie._count.update(c=900, fresh=900)
    edits = ((0, 0), (16, 0))
    moves = (Put(0, edits), Put(2, edits), WriteDown(0, 1, 0, (2, 0)))
    commands = [move.by(zombie, run_id, attempt) for move in moves]
    if run_id is not None:
        last = (Call(9, "finished"), Finish(is_error=False, view=1), Finish(is_error=True, view=2))
        commands += [move.by(zombie, run_id, attempt) for move in last]
    return [command for command in commands if command is not None]


def only_the_active_attempt_saves(world: SavedWorld) -> None:
    """I4, I7: each write of another attempt meets the fence, and outsiders wait until nothing is in flight."""
    started: list[tuple[str, int]] = []
    for done in world.done:
        thread = done.after
        started += [(e.run_id, e.attempt) for e in done.events if isinstance(e, RunStarted)]
        run = thread.runs.get(thread.active or "")
        live = (run.run_id, run.attempt) if run and run.status == "running" else None
        for run_id, attempt in {*started[-3:], *((run_id, 1) for run_id in thread.runs)}:
            for write in writes_of(run_id, attempt):
                if (run_id, attempt) == live:
                    assert decide(write, thread) != ()
                else:
                    with pytest.raises(StaleAttemptError):
                        decide(write, thread)
        if thread.runs:
            for write in (*writes_of(None, 0), HideCheckpoints(thread_id="t1", keep="none")):
                if not isinstance(write, HideCheckpoints) or thread.state.saved.heads:
                    with pytest.raises(ThreadBusyError):
                        decide(write, thread)
    for done, after in pairwise(world.done):
        assert after.before is done.after, "what was refused left nothing"


def saving_twice_changes_nothing(world: SavedWorld) -> None:
    """I15: what is recorded is not recorded again, whatever came with it."""
    for done in world.done:
        before = _portrait(done.after)
        with suppress(RefusedError):
            again = decide(done.command, done.after)
            if isinstance(done.command, HideCheckpoints):  # It hides what was hidden.
                tail = laws.recorded_after(again, done.after)
                assert seen(fold(tail, done.after)) == seen(done.after)
            else:
                assert again == ()
        assert _portrait(done.after) == before


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


# ------------------------------------------------------------------ I13, I9: stored forms, copies


def what_was_saved_survives_its_stored_form(world: SavedWorld) -> None:
    """I13: what is read is what was written, with the defaults left out."""
    again: list[RecordedEvent] = []
    for r in world.driver.log:
        stored = json.loads(r.event.model_dump_json(exclude_defaults=True))
        event = EVENT.validate_python({"type": type(r.event).__name__, **stored})
        assert event == r.event
        assert text(event.model_dump(mode="json")) == text(r.event.model_dump(mode="json"))
        again.append(RecordedEvent(r.thread_id, r.version, r.position, r.recorded_at, event))
    assert seen(fold(again, FULL_THREAD)) == seen(world.whole)


def a_copy_has_all_that_stands(world: SavedWorld) -> None:
    """I9: a copy has every checkpoint and write that stands, as it stands, and nothing of rolled-back runs."""
    for done in (*world.done[-1:], *world.done[len(world.done) // 2 :][:1]):
        source = done.whole
        standing = source if source.base is None else source.changed(state=source.base)
        if not standing.state.is_typed:
            continue
        log = world.driver.log[: source.version]
        target = Driver("t2")
        for command in copied(standing, log, "t2"):
            assert not callable(command)
            target.execute(command)
        whole = fold(target.log, FULL_THREAD)
        assert _copied_view(whole) == _copied_view(standing)
        for ns, head in whole.state.saved.heads.items():
            assert head.checkpoint_id == standing.state.saved.heads[ns].checkpoint_id
        if target.thread.state.is_typed:
            copy = CopyThread(
                thread_id="t2", source_thread_id="t1", source=source, has_checkpoints=True
            )
            target.execute(copy)
            assert target.thread.values() == standing.values()
            assert target.thread.state.next == standing.state.next
            assert _copied_view(fold(target.log, FULL_THREAD)) == _copied_view(standing)


def _copied_view(thread: Thread) -> dict[str, Any]:
    """Return what a copy has of a thread's checkpoints. Who made them stands in their metadata there."""
    view = seen_state(thread.state, thread.items)
    for each in view["checkpoints"]:
        run_id, made_by = each.pop("run")
        each["made_by"] = made_by
        metadata = json.loads(each["metadata"])
        if run_id is not None:
            metadata.setdefault("run_id", run_id)
        each["metadata"] = text(metadata)
    return {"checkpoints": view["checkpoints"], "writes": view["writes"]}


LAWS: tuple[Callable[[SavedWorld], None], ...] = (
    a_naive_checkpointer_agrees,
    rolled_back_runs_leave_nothing_saved,
    a_window_is_part_of_the_whole,
    a_snapshot_and_the_tail_keep_what_was_saved,
    only_the_active_attempt_saves,
    saving_twice_changes_nothing,
    nothing_refers_to_what_may_be_erased,
    erasure_leaves_what_was_saved,
    each_message_stands_once,
    only_forks_are_told_in_full,
    events_hold_what_is_new,
    what_was_saved_survives_its_stored_form,
    a_copy_has_all_that_stands,
)
"""Those that take one world. `old_states_keep_what_was_saved` takes two."""
