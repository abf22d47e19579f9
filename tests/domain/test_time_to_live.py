"""Pruning, and times to live: what stands never changes, and nothing ends while a run is in flight."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as drawn, strategies as st

from tests.support.given import given
from tests.support.laws import play, states
from tests.support.strategies import histories
from tests.support.visible import complete, visible
from threadfold.domain.commands import (
    CreateThread,
    ExpireThread,
    PatchThread,
    PruneThread,
)
from threadfold.domain.decisions import decide
from threadfold.domain.errors import ThreadBusyError, ThreadNotFoundError
from threadfold.domain.events import (
    CheckpointsHidden,
    RecordedEvent,
    RunAccepted,
    RunStarted,
    RunSucceeded,
    StepRecorded,
    ThreadCreated,
    ThreadDeleted,
    ThreadPatched,
    TimeToLive,
)
from threadfold.domain.snapshots import from_snapshot, to_snapshot
from threadfold.domain.thread import Thread, evolve, fold

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = TimeToLive(minutes=60)
LATEST = TimeToLive(minutes=60, strategy="keep_latest")
ACCEPTED = RunAccepted(run_id="r1", assistant_id="a", graph_id="g")
TURN = (
    ACCEPTED,
    RunStarted(run_id="r1"),
    StepRecorded(run_id="r1", checkpoint_id="c1"),
    StepRecorded(run_id="r1", checkpoint_id="c2"),
    RunSucceeded(run_id="r1"),
)


def logged(*events: Any) -> list[RecordedEvent]:
    """Record an event a minute."""
    return [
        RecordedEvent("t1", n, n, START + timedelta(minutes=n), event)
        for n, event in enumerate(events, 1)
    ]


def folded(*events: Any) -> Thread:
    return fold(logged(*events))


def after(thread: Thread, minutes: float) -> ExpireThread:
    """Return the command at so many minutes after the thread's last change."""
    return ExpireThread(thread_id="t1", now=thread.updated_at + timedelta(minutes=minutes))


def test_a_thread_is_created_with_a_time_to_live_and_a_patch_begins_it_anew() -> None:
    create = CreateThread(thread_id="t1", metadata={"a": 1}, ttl=HOUR)
    created = ThreadCreated(metadata={"a": 1}, ttl=HOUR)
    given().when(create).then(created)
    again = PatchThread(thread_id="t1", metadata={}, ttl=HOUR)
    given(created).when(again).then(ThreadPatched(metadata={}, ttl=HOUR))
    given(created).when(PatchThread(thread_id="t1", metadata={"a": 1})).then_nothing()
    patched = folded(created, ThreadPatched(metadata={"b": 2}))
    assert (patched.ttl, patched.metadata) == (HOUR, {"a": 1, "b": 2})
    assert patched.expires_at == patched.updated_at + timedelta(hours=1)


@pytest.mark.parametrize("ttl", [HOUR, LATEST])
def test_a_time_to_live_is_over_when_nothing_has_changed_for_so_long(ttl: TimeToLive) -> None:
    thread = folded(ThreadCreated(ttl=ttl), *TURN)
    assert decide(after(thread, 59.99), thread) == ()
    (event,) = decide(after(thread, 60), thread)
    expected = ThreadDeleted() if ttl is HOUR else CheckpointsHidden(keep="latest")
    assert event == expected
    assert decide(after(thread, 10**6), thread) == (expected,)
    assert decide(after(thread, 10**6), folded(ThreadCreated())) == ()


@pytest.mark.parametrize("ttl", [HOUR, LATEST])
@pytest.mark.parametrize("in_flight", [1, 2, 3, 4])
def test_it_is_not_over_while_a_run_is_in_flight(ttl: TimeToLive, in_flight: int) -> None:
    busy = folded(ThreadCreated(ttl=ttl), *TURN[:in_flight])
    assert busy.expires_at is None
    assert decide(after(busy, 10**6), busy) == ()


def test_keeping_the_newest_state_is_done_once_until_something_changes() -> None:
    log = logged(ThreadCreated(ttl=LATEST), *TURN, CheckpointsHidden(keep="latest"))
    pruned = fold(log)
    assert pruned.expires_at is None
    assert decide(after(pruned, 10**6), pruned) == ()
    changed = fold(logged(*(each.event for each in log), ThreadPatched(metadata={"a": 1})))
    assert changed.expires_at == changed.updated_at + timedelta(hours=1)
    assert decide(after(changed, 60), changed) == (CheckpointsHidden(keep="latest"),)


def test_a_new_life_has_no_time_to_live_of_the_old_one() -> None:
    thread = folded(ThreadCreated(ttl=HOUR), ThreadDeleted(), ThreadCreated())
    assert (thread.ttl, thread.expires_at) == (None, None)


def test_pruning_hides_what_came_before_and_changes_nothing_that_stands() -> None:
    log = logged(ThreadCreated(), *TURN)
    before = fold(log)
    (event,) = decide(PruneThread(thread_id="t1"), before)
    pruned = evolve(before, logged(*(each.event for each in log), event)[-1])
    assert event == CheckpointsHidden(keep="latest")
    assert visible(pruned) == visible(before)
    assert pruned.state_updated_at == before.state_updated_at
    assert pruned.state.parent is None
    assert decide(PruneThread(thread_id="t1"), pruned) == ()
    restored = from_snapshot(to_snapshot(pruned))
    assert complete(restored) == complete(pruned)


def test_nothing_is_pruned_while_a_run_is_in_flight_or_where_nothing_is() -> None:
    prune = PruneThread(thread_id="t1")
    given().when(prune).then_raises(ThreadNotFoundError)
    given(ThreadCreated()).when(prune).then_nothing()
    given(ThreadCreated(), *TURN, replace_run("r2")).when(prune).then_raises(ThreadBusyError)


def replace_run(run_id: str) -> RunAccepted:
    return ACCEPTED.model_copy(update={"run_id": run_id})


@drawn(histories(), st.sampled_from([HOUR, LATEST]))
def test_whatever_happened_expiring_changes_nothing_of_a_state_that_stays(
    moves: Any, ttl: TimeToLive
) -> None:
    log = play(moves).driver.log
    for thread in states(log):
        lived = thread.changed(ttl=ttl)
        events = decide(after(lived, 60), lived)
        assert bool(events) == (lived.expires_at is not None)
        if thread.runs or not thread.is_present:
            assert events == ()
        for event in events:
            recorded = RecordedEvent("t1", thread.version + 1, 0, START, event)
            done = evolve(lived, recorded)
            assert done.expires_at is None
            if ttl is LATEST:
                assert visible(done) == visible(lived)
                assert visible(evolve(done, replace(recorded, version=thread.version + 2))) == (
                    visible(lived)
                )
            else:
                assert not done.is_present
