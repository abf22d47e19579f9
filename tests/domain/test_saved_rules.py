"""Rules of what checkpointers save that are seldom in play: logs that no decision writes, odd channels, versions and times."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.driver import START
from tests.support.given import Given, given
from tests.support.saved_recordings import checkpoint_id_at
from tests.support.visible import text
from threadfold.domain.changes import Replace
from threadfold.domain.checkpoint_times import full_time, short_time
from threadfold.domain.commands import RecordCheckpoint, SubmitRun
from threadfold.domain.decisions import decide
from threadfold.domain.deltas import SetList, SetNested, SetValue
from threadfold.domain.errors import NothingToResumeError
from threadfold.domain.events import (
    CheckpointRecorded,
    ItemsEvent,
    PendingWrite,
    RunAccepted,
    RunStarted,
    ThreadCreated,
    ToolCallRecorded,
    WritesRecorded,
)

AT_WORK = (
    ThreadCreated(),
    RunAccepted(run_id="r1", assistant_id="a1", graph_id="agent"),
    RunAccepted(run_id="r2", assistant_id="a1", graph_id="agent"),
    RunStarted(run_id="r1"),
)


def put(checkpoint_id: str, parent_id: str | None, **versions: Any) -> RecordCheckpoint:
    return RecordCheckpoint(
        thread_id="t1",
        run_id=None,
        attempt=0,
        ns="",
        checkpoint_id=checkpoint_id,
        parent_id=parent_id,
        source="loop",
        step=-1 if parent_id is None else 0,
        changes={"n": Replace(1)},
        kept=frozenset(),
        versions=versions,
        seen={"agent": versions},
        updated=None,
        ts="",
        format=4,
        extra={},
        metadata={},
    )


def told(*commands: RecordCheckpoint) -> CheckpointRecorded:
    """Return the event of the last of these checkpoints, which come one after the other."""
    log = given(ThreadCreated())
    for command in commands:
        log = Given((*log.events, *decide(command, log.thread)))
    saved, event = log.thread.state.saved.latest(""), log.events[-1]
    assert saved is not None
    assert text(saved.versions) == text(commands[-1].versions)
    assert text(saved.seen) == text(commands[-1].seen)
    assert isinstance(event, CheckpointRecorded)
    return event


# ------------------------------------------------------------------ the fold


@pytest.mark.parametrize(
    "event",
    [
        CheckpointRecorded(run_id="r2", checkpoint_id="c1"),
        WritesRecorded(
            run_id="r2", checkpoint_id="c1", task_id="t", writes=(PendingWrite(channel="n"),)
        ),
        ToolCallRecorded(run_id="r2", call_id="1", name="tool"),
    ],
    ids=lambda event: event.type,
)
def test_what_a_run_records_that_is_not_the_active_one_changes_nothing(event: ItemsEvent) -> None:
    """I4: no decision lets it into a log; the fold is total all the same."""
    assert given(*AT_WORK, event).thread.state == given(*AT_WORK).thread.state


def test_the_first_write_stands_where_a_log_holds_two() -> None:
    def wrote(value: int) -> WritesRecorded:
        write = PendingWrite(channel="n", value=SetValue(op="set", value=value))
        return WritesRecorded(checkpoint_id="c1", task_id="t", writes=(write,))

    saved = given(ThreadCreated(), wrote(1), wrote(2)).thread.state.saved
    assert [write.value for write in saved.writes_on("", "c1")] == [1]


@pytest.mark.parametrize(
    ("name", "value", "nodes"),
    [
        ("join:a+b:c", {"$": ["set", ["b", "a"]]}, ("c",)),
        ("join:a+b:c", {"$": ["set", ["a"]]}, ()),
        ("join:a+b:c", {"$": []}, ()),
        ("join:a+b:c", {"a": True}, ()),
        ("join:a+b:c", None, ()),
        ("__pregel_tasks", "not a list", ()),
        ("__pregel_tasks", [{"$": ["send", "agent", None]}, {"$": ["send"]}], ("agent",)),
        ("__pregel_tasks", [{"$": ["set", ["agent"]]}, {"to": "agent"}, "agent"], ()),
        ("branch:to:agent", None, ("agent",)),
        ("messages", [{"$": ["send", "agent", None]}], ()),
    ],
)
def test_the_nodes_that_are_about_to_start_are_read_from_the_channels(
    name: str, value: Any, nodes: tuple[str, ...]
) -> None:
    whole, nested = SetValue(op="set", value=value), SetNested(op="nested", value=value)
    delta = nested if isinstance(value, list) else whole
    checkpoint = CheckpointRecorded(checkpoint_id="c1", deltas={name: delta})
    assert given(ThreadCreated(), checkpoint).thread.state.next == nodes


def test_what_is_sent_may_be_an_item_of_the_event_itself_or_of_one_before() -> None:
    send = {"$": ["send", "agent", None]}
    deltas = {"__pregel_tasks": SetList(op="list", items=((0, 1),))}
    first = CheckpointRecorded(checkpoint_id="c1", items=(send,), deltas=deltas)
    assert given(ThreadCreated(), first).thread.state.next == ("agent",)
    second = CheckpointRecorded(checkpoint_id="c2", first_item=1, deltas=deltas)
    assert given(ThreadCreated(), first, second).thread.state.next == ("agent",)


def test_a_run_has_saved_something_by_its_checkpoints_or_by_its_writes() -> None:
    write = PendingWrite(channel="n")
    saved = given(
        ThreadCreated(),
        CheckpointRecorded(checkpoint_id="c1", metadata=SetValue(op="set", value={"run_id": "g1"})),
        WritesRecorded(by_run_id="g2", task_id="t", writes=(write,)),
    ).thread.state.saved
    assert saved.has_any_of(frozenset({"g1"}))
    assert saved.has_any_of(frozenset({"g2", "g9"}))
    assert not saved.has_any_of(frozenset({"g3"}))


# ------------------------------------------------------------------ decisions


def test_versions_that_went_away_are_told_in_full() -> None:
    event = told(put("c1", None, n=1, old=1), put("c2", "c1", n=2))
    assert (event.versions, event.bumped) == ({"n": 2}, ())


def test_nodes_that_have_seen_nothing_any_more_are_told_by_the_whole() -> None:
    first, second = put("c1", None, n=1), put("c2", "c1", n=1)
    seen = {"agent": {"n": 1}, "tools": {"n": 1}}
    event = told(replace(first, seen=seen), second)
    assert (event.seen, event.is_seen_whole) == ({"agent": {"n": 1}}, True)


def test_the_order_of_versions_is_no_difference_but_their_types_are() -> None:
    first, turned = put("c1", None, a=1, b=1), put("c2", "c1", b=1, a=1)
    assert told(first, turned).seen == {}
    seen = {"agent": {"b": 1.0, "a": 1}}
    assert told(first, replace(turned, seen=seen)).seen == seen


def test_a_resume_is_refused_where_nothing_stands_open() -> None:
    resume = SubmitRun(
        thread_id="t1", run_id="r1", assistant_id="a1", graph_id="agent", is_resume=True
    )
    given(ThreadCreated()).when(resume).then_raises(NothingToResumeError)


# ------------------------------------------------------------------ times


@pytest.mark.parametrize(
    "ts",
    [
        "2026-01-01T00:00:00.000250+00:00",
        "2025-12-31T23:59:59+00:00",
        "2026-01-01T01:00:00+01:00",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00Z",
        "yesterday",
        "",
    ],
)
def test_the_time_of_a_checkpoint_comes_back_as_it_was_told(ts: str) -> None:
    checkpoint_id = checkpoint_id_at(START)
    assert full_time(short_time(ts, checkpoint_id), checkpoint_id) == ts


def test_a_time_is_short_beside_an_id_that_has_a_time_in_it() -> None:
    at = datetime.isoformat(START + timedelta(microseconds=250))
    assert short_time(at, checkpoint_id_at(START)) == 250
    for no_time in ("c1", "1f0e6a4d-0c41-47e4-8000-000000000001", "z" * 12 + "6" + "z" * 19):
        assert short_time(at, no_time) == at
