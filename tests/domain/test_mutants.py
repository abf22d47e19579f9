"""Planted bugs: each must be caught by a law, or the law proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from _pytest.outcomes import Failed
from hypothesis import given

from tests.support import driver as driver_module, laws
from tests.support.driver import Driver, recorded
from tests.support.searching import same_each_time
from tests.support.strategies import histories
from threadfold.domain import decisions, encoding, strategies as strategies_module, thread as fold
from threadfold.domain.channels import apply
from threadfold.domain.encoding import Encoder
from threadfold.domain.events import (
    ItemsEvent,
    RecordedEvent,
    RunAccepted,
    RunEnded,
    RunInterrupted,
    RunRolledBack,
    RunStarted,
    StepRecorded,
    ThreadCreated,
    ThreadDeleted,
)
from threadfold.domain.shared_list import SharedList
from threadfold.domain.snapshots import to_snapshot
from threadfold.domain.thread import Run, Thread

if TYPE_CHECKING:
    from threadfold.domain.events import Events, ThreadEvent

Plant: TypeAlias = Callable[[pytest.MonkeyPatch], None]

MUTANTS: list[tuple[Plant, Callable[..., None]]] = []
"""Each bug with the law that must catch it."""


def caught_by(*catching: Callable[..., None]) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        MUTANTS.extend((plant, law) for law in catching)
        return plant

    return register


def is_broken(law: Callable[..., None], examples: int = 1000) -> bool:
    """Try to break the law; the same examples each time, and no effort to make them small."""
    takes_two = law is laws.the_fold_never_changes_an_old_state
    long = histories(min_size=20, max_size=30)
    drawn = [long, histories(max_size=10)] if takes_two else [long]
    tried = same_each_time(examples)(given(*drawn)(law))
    try:
        tried()
    except (AssertionError, Failed, LookupError):  # Or the fold itself falls over.
        return True
    return False


def folding(
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Any],
    wrong: Callable[[Thread, Any, Thread], Thread],
) -> None:
    """Let the fold do something else with one kind of event: (before, event, right after)."""
    right = fold._applied

    def applied(thread: Thread, recorded: RecordedEvent, items: Any) -> Thread:
        after = right(thread, recorded, items)
        event = recorded.event
        return wrong(thread, event, after) if isinstance(event, kind) else after

    monkeypatch.setattr(fold, "_applied", applied)


# ------------------------------------------------------------------ the tombstone


@caught_by(laws.rolled_back_runs_leave_no_trace, laws.a_rollback_puts_the_base_back)
def keep_the_work_on_rollback(monkeypatch: pytest.MonkeyPatch) -> None:
    folding(monkeypatch, RunRolledBack, lambda before, _, after: replace(after, state=before.state))


@caught_by(laws.decided_events_always_fold, laws.every_accepted_run_ends_exactly_once)
def hide_the_tombstone_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    folding(monkeypatch, RunRolledBack, lambda before, event, after: before)


@caught_by(laws.every_accepted_run_ends_exactly_once, laws.deciding_twice_changes_nothing)
def forget_the_id_of_a_run_that_was_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Driver._note

    def note(driver: Driver, event: ThreadEvent) -> None:
        right(driver, event)
        if isinstance(event, RunRolledBack):
            driver.taken.remove(event.run_id)

    monkeypatch.setattr(Driver, "_note", note)


@caught_by(laws.a_rollback_puts_the_base_back, laws.rolled_back_runs_leave_no_trace)
def leave_the_error_and_what_is_next_out_of_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(before: Thread, _: RunRolledBack, after: Thread) -> Thread:
        kept = replace(after.state, error=before.state.error, next=before.state.next)
        return replace(after, state=kept)

    folding(monkeypatch, RunRolledBack, wrong)


@caught_by(laws.a_rollback_puts_the_base_back)
def roll_the_running_run_back_with_a_pending_one(monkeypatch: pytest.MonkeyPatch) -> None:
    folding(
        monkeypatch,
        RunRolledBack,
        lambda before, _, after: replace(after, state=before.base or before.state),
    )


@caught_by(laws.a_rollback_puts_the_base_back, laws.rolled_back_runs_leave_no_trace)
def take_the_steps_of_attempt_one_into_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    folding(
        monkeypatch,
        RunStarted,
        lambda before, _, after: replace(after, base=before.state, state=before.state),
    )


@caught_by(laws.a_strategy_does_what_it_promises)
def forget_the_queued_runs_on_rollback(monkeypatch: pytest.MonkeyPatch) -> None:
    right = strategies_module.displace

    def displace(strategy: Any, thread: Thread, *, by_run_id: str) -> Events:
        events = right(strategy, thread, by_run_id=by_run_id)
        if strategy != "rollback":
            return events
        return tuple(event for event in events if event.run_id == thread.active)

    monkeypatch.setattr(decisions, "displace", displace)


# ------------------------------------------------------------------ one writer


@caught_by(laws.only_the_active_attempt_writes, laws.nothing_of_a_deleted_thread_comes_back)
def drop_the_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    log = recorded([RunAccepted(run_id="zombie", assistant_id="a1", graph_id="agent")])
    zombie = fold.fold(log).runs["zombie"]

    def fenced(run_id: str, attempt: int, thread: Thread) -> Run:
        return thread.runs.get(run_id, zombie)

    monkeypatch.setattr(decisions, "fenced", fenced)


@caught_by(laws.only_the_active_attempt_writes)
def let_a_superseded_attempt_write(monkeypatch: pytest.MonkeyPatch) -> None:
    right = decisions.fenced

    def fenced(run_id: str, attempt: int, thread: Thread) -> Run:
        run = thread.runs.get(run_id)
        return right(run_id, run.attempt if run else attempt, thread)

    monkeypatch.setattr(decisions, "fenced", fenced)


@caught_by(laws.runs_start_in_order_of_due_time)
def start_the_newest_run_first(monkeypatch: pytest.MonkeyPatch) -> None:
    order = property(lambda run: (run.attempt == 0, -run.accepted_version))
    monkeypatch.setattr(Run, "order", order)


@caught_by(laws.runs_start_in_order_of_due_time)
def start_runs_as_accepted_and_not_as_due(monkeypatch: pytest.MonkeyPatch) -> None:
    order = property(lambda run: (run.attempt == 0, run.accepted_version))
    monkeypatch.setattr(Run, "order", order)


@caught_by(laws.runs_start_in_order_of_due_time)
def let_another_run_begin_between_two_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    order = property(lambda run: (run.attempt > 0, run.due_at, run.accepted_version))
    monkeypatch.setattr(Run, "order", order)


@caught_by(laws.outside_updates_wait_for_the_runs)
def let_an_outside_update_in_while_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    right = decisions.update_state
    monkeypatch.setattr(
        decisions,
        "update_state",
        lambda command, thread: right(command, replace(thread, runs={})),
    )


# ------------------------------------------------------------------ the fold, snapshots, copies


@caught_by(
    laws.the_fold_never_changes_an_old_state, laws.a_step_has_the_effect_that_its_reducers_made
)
def append_in_place_on_a_shared_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def extended(shared: SharedList[Any], values: Any) -> SharedList[Any]:
        shared._array.extend(values)
        return shared._sharing(shared._array, len(shared) + len(values))

    monkeypatch.setattr(SharedList, "extended", extended)


@caught_by(laws.the_fold_never_changes_an_old_state)
def merge_objects_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def merged(old: Any, delta: Any) -> Any:
        old.update(delta.value)
        for key, nested in delta.nested.items():
            merged(old.setdefault(key, {}), nested)
        for key in delta.remove:
            old.pop(key, None)
        return old

    monkeypatch.setitem(apply.__globals__, "_merge", merged)


@caught_by(laws.a_snapshot_and_the_tail_are_the_whole)
def take_a_snapshot_without_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laws, "to_snapshot", lambda thread: {**to_snapshot(thread), "base": None})


@caught_by(laws.a_snapshot_and_the_tail_are_the_whole)
def take_a_snapshot_without_the_inputs_of_queued_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(thread: Thread) -> Any:
        return {**to_snapshot(thread), "items": to_snapshot(replace(thread, runs={}))["items"]}

    monkeypatch.setattr(laws, "to_snapshot", forgetful)


@caught_by(laws.a_copy_is_what_stands_without_the_run_in_flight)
def copy_a_busy_thread_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    right = decisions.copy_thread
    monkeypatch.setattr(
        decisions,
        "copy_thread",
        lambda command, thread: right(
            replace(command, source=replace(command.source, base=None)), thread
        ),
    )


@caught_by(laws.nothing_of_a_deleted_thread_comes_back)
def begin_the_next_life_with_the_state_of_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    folding(monkeypatch, ThreadDeleted, lambda before, _, after: replace(after, state=before.state))
    folding(monkeypatch, ThreadCreated, lambda before, _, after: replace(after, state=before.state))


@caught_by(laws.nothing_of_a_deleted_thread_comes_back, laws.decided_events_always_fold)
def let_the_writes_of_a_deleted_thread_back_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def alive(before: Thread, _: Any, after: Thread) -> Thread:
        return replace(after, runs=before.runs, active=before.active, base=before.base)

    monkeypatch.setattr(decisions, "delete_thread", lambda command, thread: (ThreadDeleted(),))
    folding(monkeypatch, ThreadDeleted, alive)
    folding(monkeypatch, ThreadCreated, alive)


# ------------------------------------------------------------------ items


@caught_by(laws.item_numbers_are_used_once)
def use_the_item_numbers_of_a_rolled_back_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fold.evolve

    def evolve(thread: Thread, recorded: RecordedEvent) -> Thread:
        after, event = right(thread, recorded), recorded.event
        if isinstance(event, RunRolledBack) and event.run_id in thread.runs:
            first = thread.runs[event.run_id].items[0]
            return replace(after, items=SharedList(after.items.slice(0, first)))
        return after

    monkeypatch.setattr(fold, "evolve", evolve)
    monkeypatch.setattr(laws, "evolve", evolve)


@caught_by(laws.item_numbers_are_used_once)
def refer_to_the_items_of_other_runs_by_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        decisions,
        "Encoder",
        lambda first_item, items, known=(0, 0): Encoder(first_item, items, (0, first_item)),
    )


@caught_by(laws.erasure_changes_nothing_that_stands)
def count_only_the_items_that_an_erasure_left(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fold._with_items

    def with_items(items: Any, event: ItemsEvent) -> Any:
        return items.extended(event.items) if event.erased_items else right(items, event)

    monkeypatch.setattr(fold, "_with_items", with_items)


@caught_by(laws.erasure_changes_nothing_that_stands)
def pass_an_erased_span_off_as_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    folding(
        monkeypatch,
        StepRecorded,
        lambda _, event, after: replace(after, state=replace(after.state, is_erased=False)),
    )


@caught_by(laws.a_step_has_the_effect_that_its_reducers_made)
def compare_values_as_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "same", lambda one, other: one == other)


# ------------------------------------------------------------------ ends and retries


@caught_by(laws.an_interrupted_run_leaves_its_work)
def take_the_work_of_an_interrupted_run_away(monkeypatch: pytest.MonkeyPatch) -> None:
    folding(
        monkeypatch,
        RunInterrupted,
        lambda before, _, after: replace(after, state=before.base or before.state),
    )


@caught_by(laws.decided_events_always_fold)
def keep_the_base_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    folding(monkeypatch, RunEnded, lambda before, _, after: replace(after, base=before.base))


@caught_by(laws.deciding_twice_changes_nothing)
def accept_a_request_again_that_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    right = decisions.submit_run
    monkeypatch.setattr(
        decisions,
        "submit_run",
        lambda command, thread: (
            right(command, replace(thread, runs={}))
            if command.run_id in thread.runs
            else right(command, thread)
        ),
    )


@caught_by(laws.a_refusal_leaves_nothing)
def write_what_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = decisions.submit_run

    def submit_run(command: Any, thread: Thread) -> Events:
        return right(replace(command, multitask_strategy="enqueue"), thread)

    def execute(driver: Driver, command: Any) -> Events:
        before = driver.thread
        try:
            return executed(driver, command)
        except Exception:
            if isinstance(command, driver_module.SubmitRun) and driver.thread is before:
                driver.append(submit_run(command, before))
            raise

    executed = Driver.execute
    monkeypatch.setattr(Driver, "execute", execute)


# ------------------------------------------------------------------ the proof


@pytest.mark.parametrize(
    ("plant", "law"), MUTANTS, ids=[f"{plant.__name__}-{law.__name__}" for plant, law in MUTANTS]
)
def test_a_planted_bug_is_caught(
    plant: Plant, law: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as planted:
        plant(planted)
        assert is_broken(law)


def test_nothing_is_caught_where_no_bug_was_planted() -> None:
    for law in {law for _, law in MUTANTS}:
        assert not is_broken(law, examples=4)
