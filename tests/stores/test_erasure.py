"""Erased payloads are gone from the log and from the file's rows; everything else stays."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.appends import acceptance, accepted, append, positions, run_row, versions
from threadfold.domain import events as facts
from threadfold.domain.assistant import (
    ASSISTANT_EVENT_CLASSES,
    AssistantCreated,
    AssistantPatched,
)
from threadfold.domain.deltas import SetList, SetValue
from threadfold.domain.events import (
    CheckpointRecorded,
    CopiedCall,
    PendingWrite,
    ResultRecorded,
    RunAccepted,
    RunError,
    RunFailed,
    RunInterrupted,
    RunRolledBack,
    RunStarted,
    StateUpdated,
    StepRecorded,
    Task,
    ThreadCopied,
    ThreadCreated,
    ThreadDeleted,
    ThreadPatched,
    TimeToLive,
    ToolCallRecorded,
    WritesRecorded,
)
from threadfold.domain.ports import StoredSnapshot
from threadfold.infrastructure.log import erasure
from threadfold.infrastructure.log.erasure import (
    without_assistant,
    without_payload,
    without_run_payload,
)

WORDS = "the quick brown fox"
VALUES = {"x": SetValue(op="set", value=WORDS)}
TASKS = (Task(id="1", name="node", error=WORDS, interrupts=({"value": WORDS},)),)
BARE_TASKS = (Task(id="1", name="node"),)

STEP = StepRecorded(
    run_id="r1",
    attempt=2,
    checkpoint_id="c",
    node="agent",
    next=("tools",),
    first_item=4,
    items=(WORDS, {"a": WORDS}),
    update={"messages": SetList(op="list", items=((4, 6),))},
    deltas=VALUES,
)
ACCEPTED = accepted(
    "r1",
    first_item=1,
    items=(WORDS,),
    input=VALUES,
    raw_input=WORDS,
    kwargs={"k": WORDS},
    metadata={"m": WORDS},
    multitask_strategy="rollback",
    after_seconds=1.5,
)
RESULT = ResultRecorded(run_id="r1", attempt=2, name="fetch", result={"a": WORDS})

OF_RUN = [
    (
        ACCEPTED,
        accepted(
            "r1",
            first_item=1,
            erased_items=1,
            multitask_strategy="rollback",
            after_seconds=1.5,
            is_erased=True,
        ),
    ),
    (
        STEP,
        StepRecorded(
            run_id="r1",
            attempt=2,
            checkpoint_id="c",
            node="agent",
            next=("tools",),
            first_item=4,
            erased_items=2,
            is_erased=True,
        ),
    ),
    (RESULT, ResultRecorded(run_id="r1", attempt=2, name="fetch", is_erased=True)),
    (
        CheckpointRecorded(
            run_id="r1",
            attempt=2,
            checkpoint_id="c",
            items=(WORDS,),
            deltas=VALUES,
            version=3,
            bumped=("x",),
            extra={"e": WORDS},
            metadata=SetValue(op="set", value={"m": WORDS}),
        ),
        CheckpointRecorded(
            run_id="r1",
            attempt=2,
            checkpoint_id="c",
            erased_items=1,
            version=3,
            bumped=("x",),
            is_erased=True,
        ),
    ),
    (
        WritesRecorded(
            run_id="r1",
            task_id="t",
            items=(WORDS,),
            writes=(PendingWrite(channel="x", value=SetValue(op="set", value=WORDS)),),
        ),
        WritesRecorded(run_id="r1", task_id="t", erased_items=1, is_erased=True),
    ),
    (
        ToolCallRecorded(
            run_id="r1",
            call_id="call",
            name="tool",
            status="finished",
            items=(WORDS,),
            result=SetValue(op="set", value=WORDS),
        ),
        ToolCallRecorded(
            run_id="r1",
            call_id="call",
            name="tool",
            status="finished",
            erased_items=1,
            is_erased=True,
        ),
    ),
]
TTL = TimeToLive(minutes=5)
OF_THREAD = [
    (ThreadCreated(metadata={"m": WORDS}, ttl=TTL), ThreadCreated(ttl=TTL)),
    (ThreadPatched(metadata={"m": WORDS}, ttl=TTL), ThreadPatched(metadata={}, ttl=TTL)),
    (
        ThreadCopied(
            source_thread_id="s",
            source_version=7,
            metadata={"m": WORDS},
            channels={"x": SetValue(op="set", value=WORDS)},
            items=(WORDS,),
            tasks=TASKS,
            error=RunError(error="ValueError", message=WORDS),
            calls=(CopiedCall(call_id="k", name="tool", result=SetValue(op="set", value=WORDS)),),
            checkpoint_id="c",
        ),
        ThreadCopied(
            source_thread_id="s",
            source_version=7,
            erased_items=1,
            tasks=BARE_TASKS,
            error=RunError(error="ValueError", message=""),
            checkpoint_id="c",
            is_erased=True,
        ),
    ),
    (
        StateUpdated(checkpoint_id="c", as_node="n", items=(WORDS,), update=VALUES, deltas=VALUES),
        StateUpdated(checkpoint_id="c", as_node="n", erased_items=1, is_erased=True),
    ),
    (
        RunFailed(
            run_id="r1",
            attempt=1,
            error=RunError(error="ValueError", message=WORDS),
            tasks=TASKS,
            next=("n",),
            items=(WORDS,),
            deltas=VALUES,
        ),
        RunFailed(
            run_id="r1",
            attempt=1,
            error=RunError(error="ValueError", message=""),
            tasks=BARE_TASKS,
            next=("n",),
            erased_items=1,
        ),
    ),
    (
        RunInterrupted(run_id="r1", tasks=TASKS, by_run_id="r2"),
        RunInterrupted(run_id="r1", tasks=BARE_TASKS, by_run_id="r2"),
    ),
    (RunStarted(run_id="r1", attempt=1), RunStarted(run_id="r1", attempt=1)),
]


@pytest.mark.parametrize(("event", "expected"), OF_RUN)
def test_a_run_loses_what_it_was_given_and_brought_forth(event, expected) -> None:
    assert without_run_payload(event) == expected
    assert without_payload(event) == expected


@pytest.mark.parametrize(("event", "expected"), OF_THREAD)
def test_a_thread_loses_everything_that_somebody_put_into_it(event, expected) -> None:
    assert without_payload(event) == expected
    assert without_run_payload(event) == event


@pytest.mark.parametrize("event", [event for event, _ in OF_RUN + OF_THREAD])
def test_erasing_what_is_erased_changes_nothing(event) -> None:
    for strip in (without_payload, without_run_payload):
        assert strip(strip(event)) == strip(event)
    assert WORDS not in without_payload(event).model_dump_json()


def test_no_field_that_holds_user_data_is_forgotten() -> None:
    """A new field is either named here, as one that says nothing of the user's, or it is erased."""
    kept = {
        "type", "run_id", "attempt", "assistant_id", "graph_id", "multitask_strategy", "reason",
        "after_seconds", "timeout_seconds", "is_erased", "first_item", "erased_items", "holder",
        "checkpoint_id", "source", "node", "next", "name", "by_run_id", "as_node", "step",
        "source_thread_id", "source_version", "has_values", "keeps_work", "is_typed", "ns", "is_fork",
        "parent_id", "version", "bumped", "versions", "saw", "seen", "is_seen_whole", "consumed",
        "is_temporary", "updated", "has_updated", "ts", "format", "task_id", "task_path", "keep", "run_ids", "call_id", "task",
        "status", "ttl",
    }  # fmt: skip
    erased = {
        "items", "metadata", "assistant_metadata", "input", "raw_input", "kwargs", "update", "deltas", "result",
        "channels", "tasks", "error", "extra", "writes", "calls",
    }  # fmt: skip
    union, *_ = facts.ThreadEvent.__args__
    fields = {name for kind in union.__args__ for name in kind.model_fields}
    assert fields - kept == erased


def test_no_field_of_an_assistant_that_holds_a_callers_data_is_forgotten() -> None:
    kept = {"type", "graph_id", "version"}
    erased = {"name", "description", "config", "context", "metadata"}
    fields = {name for kind in ASSISTANT_EVENT_CLASSES.values() for name in kind.model_fields}
    assert fields - kept == erased
    for kind in (AssistantCreated, AssistantPatched):
        content = {"graph_id": "agent", "name": "x", "description": "x"}
        whole = kind(**content, config={"x": 1}, context={"x": 1}, metadata={"x": 1})
        assert without_assistant(whole) == kind(graph_id="agent")


async def fill(store) -> None:
    """Write a thread with a run that is kept, and one that is rolled back, in turns."""
    kept = STEP.model_copy(update={"run_id": "kept", "items": ("kept",), "deltas": {}})
    await store.append(acceptance("t", 0, "kept"))
    await store.append(append("t", 1, ACCEPTED, runs=[run_row("t", "r1", 2)]))
    await store.append(append("t", 2, kept, STEP, kept, RESULT))
    await store.append(
        append(
            "t",
            6,
            RunRolledBack(run_id="r1"),
            runs=[replace(run_row("t", "r1", 2), status="rolled_back", is_hidden=True)],
            erase_runs=["r1"],
            actor="ann",
        )
    )


@pytest.mark.anyio
async def test_a_rolled_back_runs_payloads_are_overwritten_and_nothing_else(store) -> None:
    await fill(store)
    before = await store.read_log()
    assert await store.erase_pending() == 3
    after = await store.read_log()
    assert positions(after) == positions(before)
    for old, new in zip(before, after, strict=True):
        is_erased = getattr(old.event, "run_id", None) == "r1"
        expected = without_run_payload(old.event) if is_erased else old.event
        assert new == replace(old, event=expected)
    assert await store.erase_pending() == 0
    assert await store.read_log() == after


@pytest.mark.anyio
async def test_a_deleted_thread_is_erased_up_to_its_deletion_and_no_further(store) -> None:
    await fill(store)
    await store.append(append("other", 0, ThreadCreated(metadata={"m": WORDS})))
    await store.append(append("t", 7, ThreadDeleted(), erase_thread=True))
    await store.append(append("t", 8, ThreadCreated(metadata={"m": "second life"})))
    await store.erase_pending()
    *first_life, created = await store.read_thread("t")
    assert versions(first_life) == list(range(1, 9))
    assert all(event.event == without_payload(event.event) for event in first_life)
    assert created.event == ThreadCreated(metadata={"m": "second life"})
    [other] = await store.read_thread("other")
    assert other.event == ThreadCreated(metadata={"m": WORDS})
    assert await store.erase_pending() == 0


@pytest.mark.anyio
async def test_an_erasure_goes_on_where_it_was_cut_short(
    url, opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "CHUNK_EVENTS", 2)
    store = await opening(url)
    steps = [STEP] * 6
    await store.append(append("t", 0, ACCEPTED, *steps, runs=[run_row("t", "r1", 1)]))
    await store.append(append("t", 7, RunRolledBack(run_id="r1"), erase_runs=["r1"]))

    def break_down(*_: object) -> None:
        raise KeyboardInterrupt

    done = 0
    real = store._log.tasks.erase

    def erase_twice(*args):
        nonlocal done
        done += 1
        return real(*args) if done <= 2 else break_down()

    monkeypatch.setattr(store._log.tasks, "erase", erase_twice)
    with pytest.raises(KeyboardInterrupt):
        await store.erase_pending()
    half = await store.read_thread("t")
    assert [getattr(event.event, "is_erased", False) for event in half[:7]] == [True] * 4 + [
        False
    ] * 3
    monkeypatch.setattr(store._log.tasks, "erase", real)
    assert await store.erase_pending() == 3
    assert all(event.event.is_erased for event in (await store.read_thread("t"))[:7])
    assert await store.erase_pending() == 0


@pytest.mark.anyio
async def test_an_erasure_survives_a_restart(sqlite_url, opening) -> None:
    store = await opening(sqlite_url)
    await fill(store)
    await store.close()
    store = await opening(sqlite_url)
    assert await store.erase_pending() == 3


@pytest.mark.anyio
async def test_what_was_erased_is_left_in_no_file(sqlite_url, opening, tmp_path: Path) -> None:
    store = await opening(sqlite_url, is_compressing=False)
    await fill(store)
    # Long enough to need pages of its own, and a snapshot that holds the same.
    long = RESULT.model_copy(update={"result": WORDS * 1000})
    await store.append(append("u", 0, long, long))
    await store.write_snapshot(StoredSnapshot("u", 2, 1, WORDS.encode() * 1000))
    await store.append(append("t", 7, ThreadDeleted(), erase_thread=True))
    await store.append(append("u", 2, ThreadDeleted(), erase_thread=True))

    def files_with_the_words() -> list[str]:
        return [
            path.name
            for path in tmp_path.glob("*.db*")
            if path.is_file() and WORDS.encode() in path.read_bytes()
        ]

    assert files_with_the_words()
    await store.erase_pending()
    assert files_with_the_words() == []


@pytest.mark.anyio
async def test_item_numbers_stay_known_after_an_erasure(store) -> None:
    await fill(store)
    await store.erase_pending()
    ends = {
        event.event.first_item + len(event.event.items) + event.event.erased_items
        for event in await store.read_thread("t")
        if isinstance(event.event, RunAccepted | StepRecorded)
    }
    assert max(ends) == 6
