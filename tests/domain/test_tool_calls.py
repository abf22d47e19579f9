"""What a provider accepts, read message by message, is the oracle for the quick look that each input gets."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import given, strategies as st

from threadfold.domain.calls import CALLS_KEPT_MAX, calls_after, calls_in, with_call
from threadfold.domain.deltas import SetValue
from threadfold.domain.events import (
    CopiedCall,
    RecordedEvent,
    RunError,
    RunFailed,
    RunInterrupted,
    RunRolledBack,
    RunSucceeded,
    ThreadCopied,
    ThreadDeleted,
    ToolCallRecorded,
)
from threadfold.domain.thread import fold
from threadfold.domain.tool_calls import (
    CANCELLED,
    NEVER_STARTED,
    NOT_REPORTED,
    OUTCOME_UNKNOWN,
    RESULT_NOT_KEPT,
    OpenCall,
    Shape,
    is_provider_valid,
    is_sound,
    mended,
    outcome,
    provider_valid,
    shape_of,
    typed_shape,
)
from threadfold.domain.typed import TAG, typed_message

call_ids = st.sampled_from(["1", "2", "3"])
calls = st.one_of(
    st.builds(lambda i: {"id": i, "name": "tool", "args": {}}, call_ids),
    st.sampled_from([{"name": "no id"}, {"id": 7}, {"id": "4", "name": None}, "odd", None]),
)
messages = st.one_of(
    st.builds(
        lambda found: {"type": "ai", "content": "", "tool_calls": found},
        st.one_of(st.lists(calls, max_size=2), st.just("odd"), st.none()),
    ),
    st.builds(lambda i: {"type": "tool", "tool_call_id": i}, st.one_of(call_ids, st.just(7))),
    st.builds(lambda: {"type": "human", "content": "hi"}),
    st.just({"type": "human", "tool_calls": [{"id": "1"}]}),
    st.sampled_from(["text", None, 7]),
)
histories = st.lists(messages, max_size=6)


def calls_of(message: Any) -> set[str]:
    is_ai = isinstance(message, dict) and message.get("type") == "ai"
    found = message.get("tool_calls") if is_ai else None
    named = [call for call in found if isinstance(call, dict)] if isinstance(found, list) else []
    return {call["id"] for call in named if isinstance(call.get("id"), str)}


def is_accepted(history: list[Any]) -> bool:
    waiting: set[Any] = set()
    for message in history:
        if isinstance(message, dict) and message.get("type") == "tool":
            if message["tool_call_id"] not in waiting:
                return False
            waiting.discard(message["tool_call_id"])
        elif waiting:
            return False
        else:
            waiting = calls_of(message)
    return not waiting


@given(histories)
def test_the_quick_look_sees_what_the_careful_one_sees(history: list[Any]) -> None:
    """I16."""
    assert is_provider_valid(history) == is_accepted(history)


@given(histories, histories)
def test_what_was_open_is_closed_and_all_else_stays(before: list[Any], added: list[Any]) -> None:
    """I16: only the calls that come with the input itself may be open after it."""
    before, added = [*map(own, before)], [*map(own, added)]
    after = [*before, *added]
    numbers = count()
    closed = provider_valid(before, after, lambda: f"new{next(numbers)}")
    if not any(calls_of(message) for message in added):
        assert is_accepted(after if closed is None else closed)
    if closed is not None:
        others = [m for m in after if not (isinstance(m, dict) and m.get("type") == "tool")]
        assert [
            m for m in closed if not (isinstance(m, dict) and m.get("type") == "tool")
        ] == others


def own(message: Any) -> Any:
    """Messages of a thread are objects of their own."""
    return {**message} if isinstance(message, dict) else message


@pytest.mark.parametrize("history", [[], ["text"], [{"type": "human"}]])
def test_a_history_without_calls_is_sound(history: list[Any]) -> None:
    assert is_provider_valid(history)
    assert provider_valid(history, history, lambda: "new") is None


# ------------------------------------------------------------------ shapes, and how they are mended


def typed(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    fields = {name: value for name, value in message.items() if name != "type"}
    return typed_message(message["type"], fields)


@given(histories)
def test_messages_have_the_same_shape_in_both_forms(history: list[Any]) -> None:
    assert [*map(typed_shape, map(typed, history))] == [*map(shape_of, history)]


def test_a_message_of_a_class_of_somebodys_own_is_seen_too() -> None:
    fields: dict[str, Any] = {"type": "tool", "content": "", "tool_call_id": "1"}
    assert typed_shape({TAG: ["object", "agents:Answer", fields]}) == Shape({}, "1")


@given(histories)
def test_what_is_sound_is_what_a_provider_accepts(history: list[Any]) -> None:
    assert is_sound(map(shape_of, history)) == is_accepted(history)


@given(histories)
def test_mended_is_sound_and_keeps_all_but_strays(history: list[Any]) -> None:
    shapes = [*map(shape_of, history)]
    entries = mended(shapes)
    if entries is None:
        assert is_sound(shapes)
        return
    made = [Shape({}, e.call_id) if isinstance(e, OpenCall) else shapes[e] for e in entries]
    assert is_sound(made)
    assert mended(made) is None
    kept = [entry for entry in entries if isinstance(entry, int)]
    assert len(set(kept)) == len(kept)
    assert {at for at, shape in enumerate(shapes) if shape.answers is None} <= set(kept)


def test_of_calls_of_one_id_the_newest_one_before_it_is_answered() -> None:
    call, answer = Shape({"1": "tool"}), Shape({}, "1")
    assert mended([call, answer, call]) == [0, 1, 2, OpenCall(2, "1", "tool")]
    assert mended([call, call, answer]) == [0, OpenCall(0, "1", "tool"), 1, 2]
    assert mended([answer, call]) == [1, OpenCall(1, "1", "tool")]


def test_what_is_not_to_be_closed_stays_open() -> None:
    call, answer = Shape({"1": "tool", "2": "tool"}), Shape({}, "2")
    assert mended([call, Shape({}), answer], lambda at: False) == [0, 2, 1]
    assert mended([call, answer], lambda at: False) is None


# ------------------------------------------------------------------ what the log knows


def call(call_id: str = "1", status: Any = "started", **fields: Any) -> ToolCallRecorded:
    return ToolCallRecorded(run_id="r1", call_id=call_id, name="tool", status=status, **fields)


def test_it_is_said_what_is_known_of_a_call() -> None:
    assert outcome(None, is_reported=True) == NEVER_STARTED
    assert outcome(None, is_reported=False) == NOT_REPORTED
    started = with_call({}, call())
    assert outcome(started["1"], is_reported=True) == OUTCOME_UNKNOWN
    stopped = calls_after(RunInterrupted(run_id="r1"), started)
    assert outcome(stopped["1"], is_reported=True) == CANCELLED
    finished = with_call(started, call(status="finished"))
    assert outcome(finished["1"], is_reported=True) == RESULT_NOT_KEPT


def test_only_the_calls_of_the_run_itself_are_cancelled_with_it() -> None:
    known = with_call({}, call())
    assert calls_after(RunInterrupted(run_id="r2"), known) == known
    finished = with_call(known, call(status="finished"))
    assert calls_after(RunInterrupted(run_id="r1"), finished) == finished


def test_calls_are_forgotten_when_none_can_stand_open() -> None:
    known = with_call({}, call())
    assert calls_after(RunSucceeded(run_id="r1"), known) == {}
    assert calls_after(RunSucceeded(run_id="r1", next=("tools",)), known) == known
    error = RunError(error="ValueError", message="")
    assert calls_after(RunFailed(run_id="r1", error=error), known) == known


def test_of_very_many_calls_the_newest_are_known() -> None:
    known: Any = {}
    for number in range(CALLS_KEPT_MAX + 2):
        known = with_call(known, call(str(number)))
    assert list(known) == [str(number) for number in range(2, CALLS_KEPT_MAX + 2)]


def test_the_whole_log_knows_what_was_forgotten_but_nothing_of_what_was_rolled_back() -> None:
    result = SetValue(op="set", value="done")
    events = [
        call("1"),
        call("1", "finished", result=result),
        call("2"),
        RunInterrupted(run_id="r1"),
        call("3").model_copy(update={"run_id": "r2"}),
        RunRolledBack(run_id="r2"),
        RunSucceeded(run_id="r3"),
    ]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    log = [RecordedEvent("t", version, version, at, e) for version, e in enumerate(events, 1)]
    known = calls_in(log)
    assert known.keys() == {"1", "2"}
    assert (known["1"].result, known["1"].is_finished) == ("done", True)
    assert known["2"].is_cancelled


def test_a_copy_knows_what_its_source_knew_and_a_thread_made_anew_nothing() -> None:
    result = SetValue(op="set", value="done")
    copied = (
        CopiedCall(call_id="1", name="tool", is_finished=True, result=result, run_id="r1"),
        CopiedCall(call_id="2", name="tool", is_cancelled=True, run_id="r1"),
    )
    events = [
        call("3"),
        ThreadDeleted(),
        ThreadCopied(source_thread_id="s", source_version=7, calls=copied),
    ]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    log = [RecordedEvent("t", version, version, at, e) for version, e in enumerate(events, 1)]
    known = calls_in(log)
    assert known == fold(log).state.calls
    assert known.keys() == {"1", "2"}
    assert (known["1"].result, known["1"].is_finished) == ("done", True)
    assert known["2"].is_cancelled
