"""Planted bugs in what checkpoints and writes come to: rollback, slots, differences, what is hidden, who may write."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from threadfold.domain import (
    decisions,
    saved as saved_module,
    saved_decisions,
    saved_fold,
    thread as fold,
)
from threadfold.domain.events import RecordedEvent, RunRolledBack, RunSucceeded
from threadfold.domain.shared_list import SharedList

from . import laws, saved_item_laws, saved_laws
from .moves import Cancel, Start
from .saved_moves import Ask, Call, Hide, Put, WriteDown
from .saved_planting import Mutants, folding

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from threadfold.domain.events import CheckpointRecorded, Events, WritesRecorded
    from threadfold.domain.saved import Saved
    from threadfold.domain.thread import Thread

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by

SAYS = ((0, 0),)
"""What becomes of the channels: one more message."""

ASKS = WriteDown(1, 0, 0, (2,))
"""A node stops with a question, in a slot where the last one stands."""

WORKS = [Ask("enqueue", 0), Start()]
ROLLED_BACK = Cancel(0, "rollback")


# ------------------------------------------------------------------ rollback


@caught_by(saved_laws.a_naive_checkpointer_agrees, saved_laws.rolled_back_runs_leave_nothing_saved)
def keep_the_writes_of_a_rolled_back_run(monkeypatch: pytest.MonkeyPatch) -> None:
    folding(monkeypatch, RunRolledBack, lambda before, after: after.changed(writes=before.writes))


@caught_by(
    saved_laws.a_naive_checkpointer_agrees, example=[ASKS, *WORKS, Put(0, SAYS), ASKS, ROLLED_BACK]
)
def leave_special_slots_as_a_rolled_back_run_replaced_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(before: Saved, after: Saved) -> Saved:
        writes = {
            key: {slot: before.writes.get(key, {}).get(slot, write) for slot, write in of.items()}
            for key, of in after.writes.items()
        }
        return after.changed(writes=writes)

    folding(monkeypatch, RunRolledBack, wrong)


@caught_by(
    saved_laws.a_naive_checkpointer_agrees, example=[*WORKS, Call(0, "started"), ROLLED_BACK]
)
def keep_the_tool_calls_of_a_rolled_back_run(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fold._applied

    def applied(thread: Thread, recorded: RecordedEvent, items: Any) -> Thread:
        after = right(thread, recorded, items)
        if not isinstance(recorded.event, RunRolledBack):
            return after
        return after.changed(state=after.state.changed(calls=thread.state.calls))

    monkeypatch.setattr(fold, "_applied", applied)


@caught_by(
    saved_laws.a_naive_checkpointer_agrees,
    example=[*WORKS, Call(0, "started"), Cancel(0, "interrupt")],
)
def take_the_calls_of_an_interrupted_run_for_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        fold,
        "calls_after",
        lambda end, calls: {} if isinstance(end, RunSucceeded) and not end.next else calls,
    )


@caught_by(laws.a_rollback_puts_the_base_back)
def keep_the_work_of_every_earlier_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "_has_resume_point", lambda run, thread: run.attempt > 0)


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def keep_the_work_of_no_earlier_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "_has_resume_point", lambda run, thread: False)


# ------------------------------------------------------------------ slots


def writing(
    monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Saved, WritesRecorded, Saved], Saved]
) -> None:
    """Let writes do something else: (before, event, right after)."""
    right = saved_fold.with_writes

    def with_writes(saved: Saved, event: WritesRecorded, *more: Any) -> Saved:
        return wrong(saved, event, right(saved, event, *more))

    monkeypatch.setattr(saved_fold, "with_writes", with_writes)


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def let_the_last_write_stand_in_a_slot_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    right_writes, right_decision = saved_fold.with_writes, decisions.record_writes

    def with_writes(saved: Saved, event: WritesRecorded, *more: Any) -> Saved:
        head = saved.heads.get(event.ns)
        named = event.checkpoint_id or (head and head.checkpoint_id) or ""
        key = (event.ns, named)
        taken = {(event.task_id, place) for place in range(len(event.writes))}
        of = {slot: write for slot, write in saved.writes.get(key, {}).items() if slot not in taken}
        return right_writes(saved.changed(writes={**saved.writes, key: of}), event, *more)

    def record_writes(command: Any, thread: Thread) -> Events:
        saved = thread.state.saved.changed(writes={})
        return right_decision(command, thread.changed(state=thread.state.changed(saved=saved)))

    monkeypatch.setattr(saved_fold, "with_writes", with_writes)
    monkeypatch.setattr(decisions, "record_writes", record_writes)


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def let_the_first_write_stand_in_a_slot_of_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(before: Saved, event: WritesRecorded, after: Saved) -> Saved:
        writes = {key: {**of, **before.writes.get(key, {})} for key, of in after.writes.items()}
        return after.changed(writes=writes)

    writing(monkeypatch, wrong)


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def forget_who_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(before: Saved, event: WritesRecorded, after: Saved) -> Saved:
        writes = {
            key: {slot: write._replace(run_id=None) for slot, write in of.items()}
            for key, of in after.writes.items()
        }
        return after.changed(writes=writes)

    writing(monkeypatch, wrong)


@caught_by(saved_laws.saving_twice_changes_nothing)
def record_the_same_writes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_decisions, "same", lambda one, other: False)


# ------------------------------------------------------------------ heads and differences


def with_head(saved: Saved, ns: str) -> Saved:
    """Return this as if the newest checkpoint of any namespace were the newest of this one."""
    if not len(saved.recent):
        return saved
    newest = saved.recent[len(saved.recent) - 1]
    return saved.changed(heads={**saved.heads, ns: newest})


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def apply_differences_to_the_newest_checkpoint_of_any_namespace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = saved_fold.with_checkpoint

    def with_checkpoint(saved: Saved, event: CheckpointRecorded, *more: Any) -> Any:
        return right(with_head(saved, event.ns), event, *more)

    monkeypatch.setattr(saved_fold, "with_checkpoint", with_checkpoint)


@caught_by(saved_item_laws.only_forks_are_told_in_full)
def have_one_head_for_the_whole_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    apply_differences_to_the_newest_checkpoint_of_any_namespace(monkeypatch)
    right = decisions.record_checkpoint

    def record_checkpoint(command: Any, thread: Thread) -> Events:
        saved = with_head(thread.state.saved, command.ns)
        return right(command, thread.changed(state=thread.state.changed(saved=saved)))

    monkeypatch.setattr(decisions, "record_checkpoint", record_checkpoint)


@caught_by(
    saved_laws.a_naive_checkpointer_agrees,
    example=[Put(0, SAYS), Put(0, SAYS), Put(0, SAYS, parent=2)],
)
def tell_a_fork_as_a_difference_to_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    right = decisions.record_checkpoint

    def record_checkpoint(command: Any, thread: Thread) -> Events:
        events = right(command, thread)
        head = thread.state.saved.heads.get(command.ns)
        event: Any = events[-1] if events else None
        if head is None or event is None or not event.is_fork:
            return events
        near: Any = right(replace(command, parent_id=head.checkpoint_id), thread)[-1]
        return (*events[:-1], event.model_copy(update={"deltas": near.deltas}))

    monkeypatch.setattr(decisions, "record_checkpoint", record_checkpoint)


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def drop_what_nodes_have_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_module, "_seen", lambda parent, event: event.seen)


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def drop_which_channels_were_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_module, "_updated", lambda event: event.updated)


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def take_metadata_from_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        saved_module,
        "_metadata",
        lambda saved, event: saved_module.known_metadata(saved, event.ns, is_fork=event.is_fork),
    )


@caught_by(
    saved_laws.a_naive_checkpointer_agrees, example=[Put(0, SAYS), Put(0, (*SAYS, (7, 0)), odd=5)]
)
def compare_versions_as_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_decisions, "_alike", lambda one, other: one == other)


# ------------------------------------------------------------------ what is in sight, and what is kept


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def leave_hidden_checkpoints_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_fold, "hidden", lambda saved, event, version: saved)


@caught_by(
    saved_laws.a_naive_checkpointer_agrees,
    example=[Put(0, SAYS), WriteDown(0, 0, 1, (0,)), Put(0, SAYS), Hide("others", 2)],
)
def hide_the_writes_that_a_checkpoint_in_sight_was_made_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = saved_module._remaining_writes

    def remaining(saved: Saved, event: Any, gone: Any) -> Any:
        return right(saved.changed(recent=SharedList()), event, gone)

    monkeypatch.setattr(saved_module, "_remaining_writes", remaining)


@caught_by(
    saved_laws.a_naive_checkpointer_agrees,
    example=[
        *[Put(0, SAYS), WriteDown(0, 0, 0, (0,)), Put(0, SAYS), Put(0, SAYS)],
        Hide("others", 1),
    ],
)
def hide_the_writes_that_a_hidden_checkpoint_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def parents(saved: Saved, gone: Any) -> set[Any]:
        seen = [each for each in saved.newest_first() if (each.ns, each.checkpoint_id) not in gone]
        return {(each.ns, each.parent_id) for each in seen}

    monkeypatch.setattr(saved_module, "_ancestors", parents)


@caught_by(
    saved_laws.a_naive_checkpointer_agrees,
    example=[
        *[Put(0, SAYS), WriteDown(0, 0, 2, (0,)), Put(0, SAYS), Hide("others", 0)],
        *[Put(0, SAYS, odd=1), Hide("others", 0)],
    ],
)
def keep_the_writes_that_a_replaced_checkpoint_was_made_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = saved_module._ancestors

    def ancestors(saved: Saved, gone: Any) -> set[Any]:
        all_recorded = {(each.ns, each.parent_id) for each in saved.recent if not each.is_hidden}
        return all_recorded | right(saved, gone)

    monkeypatch.setattr(saved_module, "_ancestors", ancestors)


# ------------------------------------------------------------------ who may write


@caught_by(saved_laws.only_the_active_attempt_saves)
def let_outsiders_write_while_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_decisions, "require_idle", lambda thread: None)


@caught_by(saved_laws.only_the_active_attempt_saves)
def let_a_superseded_attempt_save(monkeypatch: pytest.MonkeyPatch) -> None:
    right = saved_decisions.fenced

    def fenced(run_id: str, attempt: int, thread: Thread) -> Any:
        run = thread.runs.get(run_id)
        return right(run_id, run.attempt if run else attempt, thread)

    monkeypatch.setattr(saved_decisions, "fenced", fenced)
