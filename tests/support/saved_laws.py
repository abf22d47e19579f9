"""The laws of what checkpointers save, each a function of a world (`saved_world.py`) that asserts. Hypothesis draws the worlds.

They are functions for the same reason as those in `laws.py`: planted bugs must break them. Here are those of the fold and the
fence, and the list of all.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from threadfold.domain.commands import HideCheckpoints
from threadfold.domain.decisions import decide
from threadfold.domain.errors import RefusedError, StaleAttemptError, ThreadBusyError
from threadfold.domain.events import RunRolledBack, RunStarted
from threadfold.domain.thread import FULL_THREAD, Thread, fold

from . import laws
from .saved_form_laws import a_copy_has_all_that_stands, what_was_saved_survives_its_stored_form
from .saved_item_laws import (
    each_message_stands_once,
    erasure_leaves_what_was_saved,
    events_hold_what_is_new,
    nothing_refers_to_what_may_be_erased,
    only_forks_are_told_in_full,
)
from .saved_keeping_laws import (
    a_snapshot_and_the_tail_keep_what_was_saved,
    a_window_is_part_of_the_whole,
)
from .saved_model import SavedModel
from .saved_moves import Call, Finish, Put, WriteDown
from .saved_seen import seen, seen_calls, seen_checkpoint, seen_writes
from .saved_world import SavedWorld
from .visible import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadfold.domain.channels import Items
    from threadfold.domain.commands import Command
    from threadfold.domain.saved import SavedCheckpoint

    from .saved_model import ModelCheckpoint


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


# ------------------------------------------------------------------ I7, I15: who may write, and how often


def writes_of(run_id: str | None, attempt: int) -> list[Command]:
    """Return every write of a checkpointer or a graph that an attempt can make."""
    zombie = SavedWorld()
    # Ids that no world comes to: what is recorded already would be a retry, which writes nothing.
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
        with suppress(RefusedError):
            again = decide(done.command, done.after)
            if isinstance(done.command, HideCheckpoints):  # It hides what was hidden.
                tail = laws.recorded_after(again, done.after)
                assert seen(fold(tail, done.after)) == seen(done.after)
            else:
                assert again == ()


# ------------------------------------------------------------------ all


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
