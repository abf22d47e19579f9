"""Planted bugs in what becomes of checkpoints: each must be caught by a law, or the law proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from _pytest.outcomes import Failed
from hypothesis import HealthCheck, Phase, given, settings

from tests.support import laws, saved_laws
from tests.support.saved_strategies import worlds
from tests.support.strategies import histories
from threadfold.domain import (
    decisions,
    saved as saved_module,
    saved_decisions,
    saved_encoding,
    saved_fold,
    snapshots,
    thread as fold,
)
from threadfold.domain.events import RecordedEvent, RunInterrupted, RunRolledBack, RunSucceeded  # noqa: F401
from threadfold.domain.saved_encoding import ItemIndex, SharingEncoder
from threadfold.domain.saved_snapshots import CheckpointTable, numbers_saved
from threadfold.domain.shared_list import SharedList

if TYPE_CHECKING:
    from threadfold.domain.events import CheckpointRecorded, Events, WritesRecorded
    from threadfold.domain.saved import Saved
    from threadfold.domain.thread import Thread

Plant: TypeAlias = Callable[[pytest.MonkeyPatch], None]
Law: TypeAlias = Callable[..., None]

MUTANTS: list[tuple[Plant, Law]] = []
"""Each bug with the law that must catch it."""

pytestmark = pytest.mark.soak  # Not quick enough yet for every run.


def caught_by(*catching: Law) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        MUTANTS.extend((plant, law) for law in catching)
        return plant

    return register


def is_broken(law: Law, examples: int = 1000) -> bool:
    """Try to break the law; the same examples each time, and no effort to make them small."""
    drawn = [worlds(min_size=12)]
    if law is saved_laws.old_states_keep_what_was_saved:
        drawn.append(worlds(max_size=10))
    elif law in laws.LAWS:
        drawn = [histories(min_size=20)]
    tried = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
        report_multiple_bugs=False,
    )(given(*drawn)(law))
    try:
        tried()
    except (AssertionError, Failed, LookupError):  # Or the fold itself falls over.
        return True
    return False


def folding(
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Any],
    wrong: Callable[[Saved, Saved], Saved],
) -> None:
    """Let what is saved be something else after one kind of event: (before, right after)."""
    right = fold._applied

    def applied(thread: Thread, recorded: RecordedEvent, items: Any) -> Thread:
        after = right(thread, recorded, items)
        if not isinstance(recorded.event, kind):
            return after
        state = after.state
        return after.changed(state=state.changed(saved=wrong(thread.state.saved, state.saved)))

    monkeypatch.setattr(fold, "_applied", applied)


def writing(
    monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Saved, WritesRecorded, Saved], Saved]
) -> None:
    """Let writes do something else: (before, event, right after)."""
    right = saved_fold.with_writes

    def with_writes(saved: Saved, event: WritesRecorded, *more: Any) -> Saved:
        return wrong(saved, event, right(saved, event, *more))

    monkeypatch.setattr(saved_fold, "with_writes", with_writes)


def with_head(saved: Saved, ns: str) -> Saved:
    """Return this as if the newest checkpoint of any namespace were the newest of this one."""
    if not len(saved.recent):
        return saved
    newest = saved.recent[len(saved.recent) - 1]
    return saved.changed(heads={**saved.heads, ns: newest})


# ------------------------------------------------------------------ rollback


@caught_by(saved_laws.a_naive_checkpointer_agrees, saved_laws.rolled_back_runs_leave_nothing_saved)
def keep_the_writes_of_a_rolled_back_run(monkeypatch: pytest.MonkeyPatch) -> None:
    folding(monkeypatch, RunRolledBack, lambda before, after: after.changed(writes=before.writes))


@caught_by(saved_laws.a_naive_checkpointer_agrees)
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
    saved_laws.nothing_refers_to_what_may_be_erased, saved_laws.erasure_leaves_what_was_saved
)
def refer_to_items_of_a_rolled_back_run(monkeypatch: pytest.MonkeyPatch) -> None:
    folding(monkeypatch, RunRolledBack, lambda before, after: after.changed(owned=before.owned))


@caught_by(
    saved_laws.nothing_refers_to_what_may_be_erased, saved_laws.erasure_leaves_what_was_saved
)
def refer_to_items_of_other_runs_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SharingEncoder, "_may_refer_to", lambda encoder, number: True)


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def keep_the_tool_calls_of_a_rolled_back_run(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fold._applied

    def applied(thread: Thread, recorded: RecordedEvent, items: Any) -> Thread:
        after = right(thread, recorded, items)
        if not isinstance(recorded.event, RunRolledBack):
            return after
        return after.changed(state=after.state.changed(calls=thread.state.calls))

    monkeypatch.setattr(fold, "_applied", applied)


@caught_by(saved_laws.a_naive_checkpointer_agrees)
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


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def apply_differences_to_the_newest_checkpoint_of_any_namespace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = saved_fold.with_checkpoint

    def with_checkpoint(saved: Saved, event: CheckpointRecorded, *more: Any) -> Any:
        return right(with_head(saved, event.ns), event, *more)

    monkeypatch.setattr(saved_fold, "with_checkpoint", with_checkpoint)


@caught_by(saved_laws.only_forks_are_told_in_full)
def have_one_head_for_the_whole_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    apply_differences_to_the_newest_checkpoint_of_any_namespace(monkeypatch)
    right = decisions.record_checkpoint

    def record_checkpoint(command: Any, thread: Thread) -> Events:
        saved = with_head(thread.state.saved, command.ns)
        return right(command, thread.changed(state=thread.state.changed(saved=saved)))

    monkeypatch.setattr(decisions, "record_checkpoint", record_checkpoint)


@caught_by(saved_laws.a_naive_checkpointer_agrees)
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


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def compare_versions_as_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_decisions, "_alike", lambda one, other: one == other)


# ------------------------------------------------------------------ what is in sight, and what is kept


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def leave_hidden_checkpoints_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_fold, "hidden", lambda saved, event, version: saved)


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def hide_the_writes_that_a_checkpoint_in_sight_was_made_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = saved_module._remaining_writes

    def remaining(saved: Saved, event: Any, gone: Any) -> Any:
        return right(saved.changed(recent=SharedList()), event, gone)

    monkeypatch.setattr(saved_module, "_remaining_writes", remaining)


@caught_by(saved_laws.a_window_is_part_of_the_whole)
def leave_heads_out_of_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    right = saved_module._windowed

    def windowed(saved: Saved) -> Saved:
        after = right(saved)
        kept = {each.ns for each in after.recent}
        heads = {ns: head for ns, head in after.heads.items() if ns in kept}
        return after.changed(heads=heads)

    monkeypatch.setattr(saved_module, "_windowed", windowed)


@caught_by(saved_laws.a_window_is_part_of_the_whole)
def leave_writes_out_of_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    right = saved_module._windowed
    monkeypatch.setattr(saved_module, "_windowed", lambda saved: right(saved.changed(writes={})))


@caught_by(saved_laws.a_window_is_part_of_the_whole)
def never_say_that_something_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    right = saved_module._windowed
    monkeypatch.setattr(
        saved_module, "_windowed", lambda saved: right(saved).changed(is_complete=True)
    )


# ------------------------------------------------------------------ snapshots


def taking(monkeypatch: pytest.MonkeyPatch, **forgotten: Any) -> None:
    """Let a snapshot have something else in place of what is saved."""
    right = CheckpointTable.saved

    def saved(table: CheckpointTable, state: Any) -> Any:
        body = right(table, state)
        return body and {**body, **forgotten}

    monkeypatch.setattr(CheckpointTable, "saved", saved)


@caught_by(saved_laws.a_snapshot_and_the_tail_keep_what_was_saved)
def take_a_snapshot_without_the_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    taking(monkeypatch, writes=[])


@caught_by(saved_laws.a_snapshot_and_the_tail_keep_what_was_saved)
def take_a_snapshot_without_what_may_be_referred_to(monkeypatch: pytest.MonkeyPatch) -> None:
    taking(monkeypatch, owned=[])


@caught_by(saved_laws.a_snapshot_and_the_tail_keep_what_was_saved)
def take_a_snapshot_without_tool_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    taking(monkeypatch, calls=[])


@caught_by(saved_laws.a_snapshot_and_the_tail_keep_what_was_saved)
def take_a_snapshot_without_the_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    taking(monkeypatch, heads=[])


@caught_by(saved_laws.a_snapshot_and_the_tail_keep_what_was_saved)
def take_a_snapshot_without_items_that_only_later_events_refer_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        snapshots,
        "numbers_saved",
        lambda state: numbers_saved(state.changed(saved=state.saved.changed(owned=()))),
    )


# ------------------------------------------------------------------ items


@caught_by(saved_laws.old_states_keep_what_was_saved)
def append_in_place_on_a_shared_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def extended(shared: SharedList[Any], values: Any) -> SharedList[Any]:
        shared._array.extend(values)
        return shared._sharing(shared._array, len(shared) + len(values))

    monkeypatch.setattr(SharedList, "extended", extended)


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def take_a_users_key_for_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_encoding, "MARKERS", frozenset())


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def compare_values_as_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_encoding, "same", lambda one, other: one == other)


@caught_by(saved_laws.each_message_stands_once)
def look_for_the_newest_item_of_an_id_only(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ItemIndex.find
    monkeypatch.setattr(ItemIndex, "find", lambda index, key, items: right(index, key, items)[:1])


@caught_by(saved_laws.each_message_stands_once)
def never_refer_to_what_an_end_brought_in(monkeypatch: pytest.MonkeyPatch) -> None:
    folding(monkeypatch, fold.RunEnded, lambda before, after: after.changed(owned=before.owned))


@caught_by(saved_laws.each_message_stands_once, saved_laws.events_hold_what_is_new)
def store_whole_states_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SharingEncoder, "_nested", lambda encoder, value: value)


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


@caught_by(saved_laws.a_copy_has_all_that_stands)
def copy_what_was_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from threadfold.domain import copying

    monkeypatch.setattr(copying, "_is_of", lambda stands, event, write: True)


# ------------------------------------------------------------------ the proof


@pytest.mark.parametrize(
    ("plant", "law"), MUTANTS, ids=[f"{plant.__name__}-{law.__name__}" for plant, law in MUTANTS]
)
def test_a_planted_bug_is_caught(plant: Plant, law: Law, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as planted:
        plant(planted)
        assert is_broken(law)


def test_nothing_is_caught_where_no_bug_was_planted() -> None:
    for law in {law for _, law in MUTANTS}:
        assert not is_broken(law, examples=2)
