"""What a provider accepts, read message by message, is the oracle for the quick look that each input gets."""

from itertools import count
from typing import Any

import pytest
from hypothesis import given, strategies as st

from threadfold.domain.tool_calls import is_provider_valid, provider_valid

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
