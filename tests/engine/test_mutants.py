"""Faults that are planted on purpose: each must be caught by a law of the other modules, or that law proves nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import tests.engine.test_every_moment as moments
import tests.engine.test_races as races
import tests.engine.test_strategies as strategies
import tests.engine.test_worker as worker
from tests.support import engine as support
from tests.support.engine import Database
from threadfold.app.attempts import Attempt
from threadfold.app.executor import Executor
from threadfold.app.recovery import Recovery
from threadfold.app.worker import Worker
from threadfold.domain import decisions, thread as threads
from threadfold.domain.thread import Thread
from threadfold.infrastructure.log.planning import Planner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from threadfold.domain.thread import Run

pytestmark = pytest.mark.anyio

Patch = pytest.MonkeyPatch

LAW_SECONDS = 10.0
"""An engine with a fault may not even be closed."""


def drop_the_fence(patch: Patch) -> None:
    def let_all_in(run_id: str, attempt: int, thread: Thread) -> Any:
        stranger = SimpleNamespace(run_id=run_id, attempt=attempt, items=(0, 0), results={})
        return thread.runs.get(run_id) or stranger

    patch.setattr(decisions, "fenced", let_all_in)


def start_the_last_one_first(patch: Patch) -> None:
    def next_run(thread: Thread) -> Run | None:
        is_running = any(run.status == "running" for run in thread.runs.values())
        waiting = [] if is_running else list(thread.runs.values())
        return max(waiting, key=lambda run: run.order, default=None)

    patch.setattr(Thread, "next_run", next_run)


def append_whatever_the_version(patch: Patch) -> None:
    real = Planner._refusal

    def refusal(self: Planner, write: Any) -> Exception | None:
        if write.expected_version is not None:
            return None
        return real(self, write)

    patch.setattr(Planner, "_refusal", refusal)


def move_the_cache_before_the_commit(patch: Patch) -> None:
    real = Executor.__init__

    def made(self: Executor, *args: Any, **ports: Any) -> None:
        real(self, *args, **ports)
        planned = self._appends.planned

        def early(thread_id: str, before: Thread, threads: Sequence[Thread], *rest: Any) -> Any:
            self._cache.put(thread_id, threads[-1])
            return planned(thread_id, before, threads, *rest)

        self._appends.planned = early  # type: ignore[method-assign]

    patch.setattr(Executor, "__init__", made)


def take_the_first_attempt_into_the_base(patch: Patch) -> None:
    real = threads._started

    def started(thread: Thread, *rest: Any) -> Thread:
        after = real(thread, *rest)
        return replace(after, base=thread.state, state=thread.state)

    patch.setattr(threads, "_started", started)


def start_while_the_old_code_still_runs(patch: Patch) -> None:
    real = Worker._seconds_to_wait

    def wait(self: Worker, thread_id: str, *rest: Any) -> float | None:
        place = self._places.get(thread_id)
        is_fenced = place is not None and place.fenced_until is not None
        return 0 if is_fenced else real(self, thread_id, *rest)

    patch.setattr(Worker, "_seconds_to_wait", wait)


def let_fenced_code_run_on(patch: Patch) -> None:
    patch.setattr(Attempt, "cancel", lambda _: None)


def keep_the_work_on_rollback(patch: Patch) -> None:
    real = threads._applied

    def applied(thread: Thread, recorded: Any, items: Any) -> Thread:
        after = real(thread, recorded, items)
        if recorded.event.type == "RunRolledBack" and thread.active == recorded.event.run_id:
            return replace(after, state=thread.state)
        return after

    patch.setattr(threads, "_applied", applied)


def hold_the_slot_for_ever(patch: Patch) -> None:
    patch.setattr(Worker, "_give_up", lambda *_: None)


def forget_what_came_while_starting(patch: Patch) -> None:
    real = Worker._react

    def react(self: Worker, thread_id: str, thread: Thread) -> None:
        place = self._places.get(thread_id)
        if place is not None and place.attempt is not None and not place.attempt._has_begun:
            return
        real(self, thread_id, thread)

    patch.setattr(Worker, "_react", react)


def start_without_asking_who_lives(patch: Patch) -> None:
    async def nobody(_: Recovery) -> tuple[set[Any], list[Any]]:
        return set(), []

    patch.setattr(Recovery, "_leases", nobody)


async def late_writes(database: Database) -> None:
    await races.test_late_writes_of_a_displaced_run_leave_nothing(database, "rollback")


async def enqueued_callers(database: Database) -> None:
    await races.test_twenty_callers_at_once(database, "enqueue", 1)


async def callers_of_two_engines(database: Database) -> None:
    await races.test_twenty_callers_at_once(database, "enqueue", 2)


async def rollback_after_a_crash(database: Database) -> None:
    await strategies.test_a_rollback_after_a_restart_leaves_nothing_of_the_run(database, "lost")


async def rollback_at_every_moment(database: Database) -> None:
    await moments.test_a_rollback_at_every_moment_leaves_nothing(
        database, "keep", "async", is_holding=True
    )


async def slots(database: Database) -> None:
    await races.test_code_that_does_not_stop_holds_no_slot_beyond_the_grace_time(database, "cancel")


MUTANTS: dict[Callable[[Patch], None], Callable[[Database], Awaitable[None]]] = {
    drop_the_fence: late_writes,
    start_the_last_one_first: enqueued_callers,
    append_whatever_the_version: callers_of_two_engines,
    move_the_cache_before_the_commit: worker.test_a_store_that_is_away_for_a_while_loses_no_step_and_no_end,
    take_the_first_attempt_into_the_base: rollback_after_a_crash,
    start_while_the_old_code_still_runs: races.test_the_next_run_starts_when_the_code_before_it_has_stopped,
    let_fenced_code_run_on: strategies.test_of_ten_rollbacks_in_a_row_only_the_last_remains,
    keep_the_work_on_rollback: rollback_at_every_moment,
    hold_the_slot_for_ever: slots,
    forget_what_came_while_starting: rollback_after_a_crash,
    start_without_asking_who_lives: worker.test_a_run_that_lives_is_not_taken_for_lost,
}


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("law", list(dict.fromkeys(MUTANTS.values())), ids=lambda law: law.__name__)
async def test_the_laws_hold_without_a_fault(
    law: Callable[[Database], Awaitable[None]],
    kind: str,
    monkeypatch: Patch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(races, "REPETITIONS", 3)
    monkeypatch.setattr(worker, "REPETITIONS", 3)
    await law(Database(None if kind == "memory" else tmp_path / "log.db"))


@pytest.mark.parametrize("plant", MUTANTS, ids=lambda plant: plant.__name__)
async def test_a_planted_fault_is_caught(
    plant: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    monkeypatch.setattr(races, "REPETITIONS", 3)
    monkeypatch.setattr(worker, "REPETITIONS", 3)
    monkeypatch.setattr(support, "PATIENCE_SECONDS", 1.0)
    before = asyncio.all_tasks()
    plant(monkeypatch)
    with pytest.raises((AssertionError, TimeoutError, BaseExceptionGroup, LookupError)):
        async with asyncio.timeout(LAW_SECONDS):
            await MUTANTS[plant](Database())
    await end_what_was_left(before)


async def end_what_was_left(before: set[asyncio.Task[object]]) -> None:
    """Cancel what an engine with a fault has left running, until it is gone."""
    while left := asyncio.all_tasks() - before - {asyncio.current_task()}:
        for task in left:
            task.cancel()
        await asyncio.sleep(0)
