"""The audit log in words: every event has some, and none can steer a terminal."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from threadfold.app.audit import row_of, runs_in, what_it_did
from threadfold.domain.events import (
    CheckpointRecorded,
    CheckpointsHidden,
    PendingWrite,
    RecordedEvent,
    ResultRecorded,
    RunAccepted,
    RunDeleted,
    RunError,
    RunFailed,
    RunHandedOver,
    RunInterrupted,
    RunRolledBack,
    RunStarted,
    RunSucceeded,
    RunTimedOut,
    StateUpdated,
    StepRecorded,
    ThreadCopied,
    ThreadCreated,
    ThreadDeleted,
    ThreadEvent,
    ThreadPatched,
    TimeToLive,
    ToolCallRecorded,
    WritesRecorded,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
RUN = "01a00000-0000-7000-8000-0000deadbeef"
ATTEMPT = {"run_id": RUN, "attempt": 2}
CALL = {"type": "ai", "content": "", "tool_calls": [{"name": "look", "args": {"at": "sf"}}]}
ACCEPTED = RunAccepted(run_id=RUN, assistant_id="a", graph_id="g")

WORDS = [
    (ThreadCreated(), "the thread exists"),
    (ThreadCreated(is_temporary=True), "the thread exists, for one run"),
    (ThreadCopied(source_thread_id="t0", source_version=7), "copied from thread t0 at version 7"),
    (
        ThreadCreated(ttl=TimeToLive(minutes=1.5)),
        "the thread exists; after 1.5 min without a change it is deleted",
    ),
    (ThreadPatched(metadata={"a": 1, "b": 2}), "metadata: a, b"),
    (
        ThreadPatched(metadata={"a": 1}, ttl=TimeToLive(minutes=60, strategy="keep_latest")),
        "metadata: a; after 60 min without a change it keeps its newest state only",
    ),
    (ThreadDeleted(), "the thread is gone, with all that it held"),
    (ACCEPTED, "enqueue: nothing new"),
    (
        ACCEPTED.model_copy(update={"items": ({"type": "human", "content": "hi"},)}),
        "enqueue: human 'hi'",
    ),
    (ACCEPTED.model_copy(update={"after_seconds": 5.0}), "enqueue, due in 5 s: nothing new"),
    (RunStarted(**ATTEMPT), "attempt 2"),
    (
        StepRecorded(**ATTEMPT, checkpoint_id="c", node="n", items=(CALL,)),
        "n: ai calls look(at='sf')",
    ),
    (StepRecorded(**ATTEMPT, checkpoint_id="c", node="n", erased_items=3), "n: erased"),
    (StepRecorded(**ATTEMPT, checkpoint_id="c", node="n", items=("text",)), "n: nothing new"),
    (ResultRecorded(**ATTEMPT, name="look"), "result of look"),
    (RunHandedOver(**ATTEMPT), "attempt 2 was given up in good order"),
    (RunSucceeded(**ATTEMPT), "success"),
    (RunFailed(**ATTEMPT, error=RunError(error="E", message="m")), "E: m"),
    (RunTimedOut(**ATTEMPT, timeout_seconds=1.5), "took longer than 1.5 s"),
    (RunInterrupted(run_id=RUN, reason="cancelled"), "stopped, its work stays (cancelled)"),
    (
        RunInterrupted(run_id=RUN, by_run_id=RUN),
        "stopped, its work stays (double text by run deadbeef)",
    ),
    (RunRolledBack(run_id=RUN, reason="deleted"), "all of run deadbeef is undone (deleted)"),
    (RunDeleted(run_id=RUN), "its record is hidden, its work stays"),
    (StateUpdated(checkpoint_id="c", as_node="n"), "updated from outside as n: nothing new"),
    (
        CheckpointRecorded(
            checkpoint_id="c", items=({"$": ["message", "human", {"content": "hi"}]},)
        ),
        "checkpoint (loop): human 'hi'",
    ),
    (
        CheckpointRecorded(checkpoint_id="c", ns="child:1", source="input"),
        "checkpoint in child:1 (input): nothing new",
    ),
    (
        WritesRecorded(task_id="t", ns="child:1", writes=(PendingWrite(channel="x"),)),
        "writes in child:1: x",
    ),
    (CheckpointsHidden(keep="latest"), "checkpoints out of sight: all but the latest"),
    (
        ToolCallRecorded(run_id=RUN, call_id="call_1", name="look"),
        "tool call call_1 of look started",
    ),
]


@pytest.mark.parametrize(("event", "words"), WORDS)
def test_an_event_in_words(event, words: str) -> None:
    assert what_it_did(event) == words


def test_every_event_has_words() -> None:
    union, *_ = get_args(ThreadEvent)
    assert {type(event) for event, _ in WORDS} == set(get_args(union))


def recorded(*events) -> list[RecordedEvent]:
    return [RecordedEvent("t", at, at, NOW, event) for at, event in enumerate(events, 1)]


def test_long_and_dangerous_text_is_tamed() -> None:
    message = {"type": "human", "content": "\x1b]0;title\x07" + "x" * 500}
    failed = RunFailed(**ATTEMPT, error=RunError(error="E", message="a\nb\x1b[2J\u202e"))
    accepted, ended = recorded(ACCEPTED.model_copy(update={"items": (message,)}), failed)
    row = row_of(accepted, frozenset())
    assert len(row.what) < 150
    assert row.what.isprintable()
    assert row_of(ended, frozenset()).what == "E: a b [2J "
    assert row.time == "03:04:05.678"


def test_runs_are_what_the_log_says_of_them() -> None:
    other = ACCEPTED.model_copy(update={"run_id": "r2"})
    log = recorded(
        *(ACCEPTED, other, RunStarted(run_id=RUN, attempt=1), RunHandedOver(run_id=RUN, attempt=1)),
        *(ResultRecorded(run_id="unknown", attempt=1, name="x"), RunDeleted(run_id="r2")),
    )
    assert [(run.run_id, run.status, run.attempt) for run in runs_in(log)] == [
        (RUN, "pending", 1),
        ("r2", "pending", 0),
    ]
    (run, _) = runs_in([*log, *recorded(RunTimedOut(**ATTEMPT, timeout_seconds=1))])
    assert run.as_json()["status"] == "timeout"
    assert run.as_json()["ended_at"] == "2026-01-02T03:04:05.678901+00:00"
