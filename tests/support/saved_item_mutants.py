"""Planted bugs in what a thread keeps and shares: windows, snapshots, items, copies, stored forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from threadfold.domain import (
    copying,
    decisions,
    saved as saved_module,
    saved_encoding,
    snapshots,
    thread as fold,
)
from threadfold.domain.events import CheckpointsHidden, RecordedEvent, RunEnded, RunRolledBack
from threadfold.domain.saved_encoding import ItemIndex, SharingEncoder
from threadfold.domain.saved_snapshots import CheckpointTable, numbers_saved
from threadfold.domain.shared_list import SharedList

from . import saved_form_laws, saved_item_laws, saved_keeping_laws, saved_laws
from .moves import Cancel, Start
from .saved_moves import Ask, Call, Finish, Hide, Put, WriteDown
from .saved_planting import Mutants, folding

if TYPE_CHECKING:
    import pytest

    from threadfold.domain.events import Events
    from threadfold.domain.saved import Saved
    from threadfold.domain.thread import Thread

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by

SAYS = ((0, 0),)
REPEATS = ((0, 3),)
"""What becomes of the channels: one more message, or once more the one that was said last."""

ANSWERS = WriteDown(0, 0, 0, (0,))
WORKS = [Ask("enqueue", 0), Start()]
ROLLED_BACK = Cancel(0, "rollback")


# ------------------------------------------------------------------ windows


@caught_by(
    saved_keeping_laws.a_window_is_part_of_the_whole, example=[Put(1, SAYS), *[Put(0, SAYS)] * 4]
)
def leave_heads_out_of_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    right = saved_module._windowed

    def windowed(saved: Saved) -> Saved:
        after = right(saved)
        kept = {each.ns for each in after.recent}
        heads = {ns: head for ns, head in after.heads.items() if ns in kept}
        return after.changed(heads=heads)

    monkeypatch.setattr(saved_module, "_windowed", windowed)


@caught_by(saved_keeping_laws.a_window_is_part_of_the_whole)
def leave_writes_out_of_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    right = saved_module._windowed
    monkeypatch.setattr(saved_module, "_windowed", lambda saved: right(saved.changed(writes={})))


@caught_by(saved_keeping_laws.a_window_is_part_of_the_whole)
def never_say_that_something_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    right = saved_module._windowed
    monkeypatch.setattr(
        saved_module, "_windowed", lambda saved: right(saved).changed(is_complete=True)
    )


@caught_by(
    saved_keeping_laws.a_window_is_part_of_the_whole,
    example=[
        *[*WORKS, Put(0, SAYS), Call(0, "started"), Cancel(0, "interrupt")],
        *[*WORKS, *[Put(0, SAYS)] * 4, Finish(is_error=True, view=0), Hide("others", 1)],
    ],
)
def forget_tool_calls_when_all_that_is_kept_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fold._applied

    def applied(thread: Thread, recorded: RecordedEvent, items: Any) -> Thread:
        after = right(thread, recorded, items)
        if not isinstance(recorded.event, CheckpointsHidden) or after.state.saved.latest(""):
            return after
        return after.changed(state=after.state.changed(calls={}))

    monkeypatch.setattr(fold, "_applied", applied)


# ------------------------------------------------------------------ snapshots


def taking(monkeypatch: pytest.MonkeyPatch, **forgotten: Any) -> None:
    """Let a snapshot have something else in place of what is saved."""
    right = CheckpointTable.saved

    def saved(table: CheckpointTable, state: Any) -> Any:
        body = right(table, state)
        return body and {**body, **forgotten}

    monkeypatch.setattr(CheckpointTable, "saved", saved)


@caught_by(saved_keeping_laws.a_snapshot_and_the_tail_keep_what_was_saved)
def take_a_snapshot_without_the_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    taking(monkeypatch, writes=[])


@caught_by(saved_keeping_laws.a_snapshot_and_the_tail_keep_what_was_saved)
def take_a_snapshot_without_what_may_be_referred_to(monkeypatch: pytest.MonkeyPatch) -> None:
    taking(monkeypatch, owned=[])


@caught_by(saved_keeping_laws.a_snapshot_and_the_tail_keep_what_was_saved)
def take_a_snapshot_without_tool_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    taking(monkeypatch, calls=[])


@caught_by(saved_keeping_laws.a_snapshot_and_the_tail_keep_what_was_saved)
def take_a_snapshot_without_the_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    taking(monkeypatch, heads=[])


@caught_by(saved_keeping_laws.a_snapshot_and_the_tail_keep_what_was_saved)
def take_a_snapshot_without_items_that_only_later_events_refer_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        snapshots,
        "numbers_saved",
        lambda state: numbers_saved(state.changed(saved=state.saved.changed(owned=()))),
    )


# ------------------------------------------------------------------ items


@caught_by(saved_keeping_laws.old_states_keep_what_was_saved)
def append_in_place_on_a_shared_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def extended(shared: SharedList[Any], values: Any) -> SharedList[Any]:
        shared._array.extend(values)
        return shared._sharing(shared._array, len(shared) + len(values))

    monkeypatch.setattr(SharedList, "extended", extended)


@caught_by(saved_laws.a_naive_checkpointer_agrees)
def take_a_users_key_for_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_encoding, "MARKERS", frozenset())


@caught_by(saved_laws.a_naive_checkpointer_agrees, example=[Put(0, ((11, 0),)), Put(0, ((11, 1),))])
def compare_values_as_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_encoding, "same", lambda one, other: one == other)


@caught_by(saved_item_laws.each_message_stands_once)
def look_for_the_newest_item_of_an_id_only(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ItemIndex.find
    monkeypatch.setattr(ItemIndex, "find", lambda index, key, items: right(index, key, items)[:1])


@caught_by(
    saved_item_laws.each_message_stands_once,
    example=[*WORKS, Put(0, SAYS), Finish(is_error=False, view=2, edits=SAYS), Put(0, REPEATS)],
)
def never_refer_to_what_an_end_brought_in(monkeypatch: pytest.MonkeyPatch) -> None:
    folding(monkeypatch, RunEnded, lambda before, after: after.changed(owned=before.owned))


@caught_by(
    saved_item_laws.each_message_stands_once,
    saved_item_laws.events_hold_what_is_new,
    example=[Put(0, ((5, 1),))],
)
def store_whole_states_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SharingEncoder, "_nested", lambda encoder, value: value)


@caught_by(
    saved_item_laws.nothing_refers_to_what_may_be_erased,
    saved_item_laws.erasure_leaves_what_was_saved,
    example=[*WORKS, Put(0, SAYS), ROLLED_BACK, Put(0, REPEATS)],
)
def refer_to_items_of_a_rolled_back_run(monkeypatch: pytest.MonkeyPatch) -> None:
    folding(monkeypatch, RunRolledBack, lambda before, after: after.changed(owned=before.owned))


@caught_by(
    saved_item_laws.nothing_refers_to_what_may_be_erased,
    saved_item_laws.erasure_leaves_what_was_saved,
    example=[*WORKS, Put(0, SAYS), ROLLED_BACK, Put(0, REPEATS)],
)
def refer_to_items_of_other_runs_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    right = SharingEncoder.__init__

    def init(encoder: SharingEncoder, items: Any, saved: Saved, run_items: Any = (0, 0)) -> None:
        right(encoder, items, saved.changed(owned=((0, len(items)),)), run_items)

    monkeypatch.setattr(SharingEncoder, "__init__", init)


# ------------------------------------------------------------------ copies and stored forms


@caught_by(
    saved_form_laws.a_copy_has_all_that_stands,
    example=[Put(0, SAYS), *WORKS, ANSWERS, ROLLED_BACK, ANSWERS],
)
def copy_what_was_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_is_of", lambda stands, event, write: True)


@caught_by(
    saved_form_laws.a_copy_has_all_that_stands,
    example=[Put(0, SAYS), *WORKS, Call(0, "finished"), Finish(is_error=True, view=0)],
)
def copy_nothing_of_tool_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "copied_calls", lambda event: {})


@caught_by(saved_form_laws.what_was_saved_survives_its_stored_form)
def record_what_json_has_no_form_for(monkeypatch: pytest.MonkeyPatch) -> None:
    right = decisions.record_checkpoint
    told = {"extra": {"loss": float("nan")}}

    def record_checkpoint(command: Any, thread: Thread) -> Events:
        events = right(command, thread)
        return (*events[:-1], *(event.model_copy(update=told) for event in events[-1:]))

    monkeypatch.setattr(decisions, "record_checkpoint", record_checkpoint)
