"""Messages have one stored form, and are upserted and removed by id as LangGraph's `add_messages` does."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.support.strategies import LONG, json_values
from threadfold.domain.errors import InvalidInputError, ReducerError, UnknownMessageError
from threadfold.domain.messages import REMOVE_ALL, normalize, upsert
from threadfold.domain.values import canonical


def ids() -> Callable[[], str]:
    numbers = iter(range(1, 1000))
    return lambda: f"new{next(numbers)}"


def one(entry: Any) -> Any:
    (message,) = normalize([entry], ids())
    return message


# ------------------------------------------------------------------ the stored form


def test_a_human_message_in_its_stored_form() -> None:
    assert one({"role": "user", "content": "hi", "id": "m1"}) == {
        "content": "hi",
        "additional_kwargs": {},
        "response_metadata": {},
        "type": "human",
        "name": None,
        "id": "m1",
    }


def test_an_ai_message_has_tool_calls_even_if_it_makes_none() -> None:
    message = one({"role": "assistant", "content": "hi"})
    assert (message["type"], message["id"]) == ("ai", "new1")
    assert (message["tool_calls"], message["invalid_tool_calls"]) == ([], [])
    assert message["usage_metadata"] is None


def test_a_tool_message_names_its_call() -> None:
    message = one({"role": "tool", "content": "42", "tool_call_id": "call1"})
    assert (message["tool_call_id"], message["status"], message["artifact"]) == (
        "call1",
        "success",
        None,
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("user", "human"),
        ("human", "human"),
        ("assistant", "ai"),
        ("ai", "ai"),
        ("system", "system"),
        ("developer", "system"),
        ("function", "function"),
    ],
)
@pytest.mark.parametrize("field", ["role", "type"])
def test_each_role_and_each_type_is_understood(name: str, kind: str, field: str) -> None:
    assert one({field: name, "content": "x"})["type"] == kind
    assert one([name, "x"])["type"] == kind


def test_the_role_counts_where_the_type_says_something_else() -> None:
    """OpenAI's messages have a `role`, and a `type` such as "message"."""
    assert one({"type": "message", "role": "assistant", "content": "x"})["type"] == "ai"


def test_a_text_alone_is_a_human_message() -> None:
    assert normalize("hi", ids()) == normalize([{"type": "human", "content": "hi"}], ids())


def test_a_pair_and_a_list_with_a_pair_are_the_same() -> None:
    expected = [one({"role": "ai", "content": "yes"})]
    assert normalize(["ai", "yes"], ids()) == expected
    assert normalize([["ai", "yes"]], ids()) == expected


def test_two_texts_that_are_no_pair_are_two_messages() -> None:
    assert [m["content"] for m in normalize(["one", "two"], ids())] == ["one", "two"]


def test_what_the_sender_adds_is_kept() -> None:
    message = one({"role": "user", "content": [{"type": "text"}], "name": "Ann", "extra": 1})
    assert (message["name"], message["extra"]) == ("Ann", 1)
    assert "role" not in message


def test_a_stored_message_is_its_own_stored_form() -> None:
    for entry in (
        {"role": "user", "content": "x"},
        {"role": "ai", "content": "x", "tool_calls": [{"name": "f", "args": {}, "id": "1"}]},
        {"role": "tool", "content": "x", "tool_call_id": "1"},
    ):
        assert normalize(stored := one(entry), ids()) == [stored]


def test_tool_calls_take_langchains_form_from_their_own_and_from_openais() -> None:
    ours = {"name": "add", "args": {"a": 1}, "id": "call1"}
    openais = {
        "id": "call1",
        "type": "function",
        "function": {"name": "add", "arguments": '{"a": 1}'},
    }
    for call in (ours, openais):
        message = one({"role": "ai", "content": None, "tool_calls": [call]})
        assert message["tool_calls"] == [{**ours, "type": "tool_call"}]
        assert message["content"] == ""


@pytest.mark.parametrize(
    ("arguments", "args"), [("", {}), (None, {}), ({"a": 1}, {"a": 1}), ("[1]", [1])]
)
def test_arguments_may_be_missing_or_parsed_already(arguments: Any, args: Any) -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": arguments}}
    assert one({"role": "ai", "tool_calls": [call]})["tool_calls"][0]["args"] == args


def test_tool_calls_may_be_null() -> None:
    assert one({"role": "ai", "content": "x", "tool_calls": None})["tool_calls"] == []


CALL = {"role": "ai", "content": "x"}
BAD: dict[str, tuple[Any, str, str]] = {
    "a number": (7, "messages[0]", "got 7"),
    "nothing": (None, "messages[0]", "got null"),
    "a list that is no pair": (["user", 1], "messages[0]", "expected a message"),
    "no role": ({"content": "x"}, "messages[0]", "expected a role or type of user"),
    "an unknown role": ({"role": "robot", "content": "x"}, "messages[0]", 'got "robot"'),
    "a role that is a list": ({"role": ["user"], "content": "x"}, "messages[0]", '["user"]'),
    "a type that is an object": ({"type": {}, "content": "x"}, "messages[0]", "got {}"),
    "an id that is a number": ({"role": "user", "content": "x", "id": 1}, "messages[0]", "id"),
    "no content": ({"role": "user"}, "messages[0]", "as content, got null"),
    "content that is a number": ({"role": "ai", "content": 1}, "messages[0]", "as content, got 1"),
    "a tool message without a call": (
        {"role": "tool", "content": "x"},
        "messages[0]",
        "tool_call_id",
    ),
    "a removal without an id": ({"type": "remove"}, "messages[0]", "needs the id"),
    "tool calls that are an object": ({**CALL, "tool_calls": {}}, "messages[0].tool_calls", "list"),
    "a tool call that is a text": (
        {**CALL, "tool_calls": [{}, "x"]},
        "messages[0].tool_calls[1]",
        "object",
    ),
    "a long wrong thing": (
        {"role": "user", "content": {"x": "y" * 100}},
        "messages[0]",
        "yyy...",
    ),
}


@pytest.mark.parametrize(("entry", "where", "problem"), BAD.values(), ids=BAD.keys())
def test_what_is_no_message_is_refused_with_its_place(entry: Any, where: str, problem: str) -> None:
    with pytest.raises(ReducerError) as caught:
        normalize([entry], ids())
    assert caught.value.channel == where
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    ["{", "not json", '{"a": NaN}', '"\\ud800"', "1" * 30, "[" * 300 + "]" * 300, "[" * 100_000],
    ids=["cut", "words", "NaN", "surrogate", "65 bits", "deep", "bottomless"],
)
def test_arguments_that_json_cannot_hold_are_refused(arguments: str) -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": arguments}}
    with pytest.raises(ReducerError, match="expected JSON as arguments") as caught:
        one({"role": "ai", "tool_calls": [call]})
    assert caught.value.channel == "messages[0].tool_calls[0]"


entries = st.one_of(
    json_values,
    st.dictionaries(
        st.sampled_from(["role", "type", "id", "content", "tool_calls", "tool_call_id", "name"]),
        st.one_of(
            st.sampled_from(["user", "ai", "tool", "remove", "human"]),
            json_values,
            st.lists(
                st.fixed_dictionaries(
                    {}, optional={"function": json_values, "id": json_values, "name": json_values}
                )
            ),
        ),
    ),
)


@given(entries)
def test_anything_is_either_a_message_or_refused(entry: Any) -> None:
    try:
        messages = normalize([entry], ids())
    except InvalidInputError:
        return
    assert canonical(messages) == messages
    assert all(isinstance(m, dict) and isinstance(m["id"], str) for m in messages)


# ------------------------------------------------------------------ upsert


def message(identity: str, content: str = "x") -> Any:
    return {"type": "human", "id": identity, "content": content}


def removal(identity: str) -> Any:
    return {"type": "remove", "id": identity}


def add_messages(left: list[Any], right: list[Any]) -> list[Any] | str:
    """LangGraph's rules, read plainly; the id alone of a message that cannot be removed.

    Unlike there, what follows a remove-all is merged too.
    """
    merged = [*left]
    clears = [at for at, entry in enumerate(right) if entry == removal(REMOVE_ALL)]
    if clears:
        merged, right = [], right[clears[-1] + 1 :]
    doomed: set[str] = set()
    for entry in right:
        known = [at for at, old in enumerate(merged) if old.get("id") == entry["id"]]
        if entry["type"] == "remove":
            if not known:
                return str(entry["id"])
            doomed.add(entry["id"])
        elif known:
            doomed.discard(entry["id"])
            merged[known[-1]] = entry
        else:
            merged.append(entry)
    return [entry for entry in merged if entry.get("id") not in doomed]


some_ids = st.sampled_from(["a", "b", "c", "d"])
some_messages = st.builds(message, some_ids, st.sampled_from(["x", "y", *LONG[:1]]))
unlikely_ids = st.one_of(some_ids, some_ids, some_ids, st.just(REMOVE_ALL))
updates = st.lists(
    st.one_of(some_messages, some_messages, st.builds(removal, unlikely_ids)), max_size=6
)


@given(st.lists(some_messages, max_size=6), updates)
def test_upsert_agrees_with_the_rules_read_plainly(old: list[Any], update: list[Any]) -> None:
    before = [*old]
    expected = add_messages(old, update)
    if isinstance(expected, str):
        with pytest.raises(UnknownMessageError) as caught:
            upsert(old, update)
        assert caught.value.message_id == expected
    else:
        result = upsert(old, update)
        assert (old + update if result is None else result) == expected
    assert old == before


def test_an_update_that_only_appends_needs_no_new_list() -> None:
    assert upsert([message("a")], [message("b"), message("c")]) is None
    assert upsert([], []) is None


def test_a_known_id_is_replaced_in_its_place() -> None:
    old = [message("a"), message("b"), message("c")]
    assert upsert(old, [message("b", "new"), message("d")]) == [
        message("a"),
        message("b", "new"),
        message("c"),
        message("d"),
    ]


def test_one_update_may_bring_a_message_and_change_it() -> None:
    assert upsert([], [message("a"), message("a", "new")]) == [message("a", "new")]
    assert upsert([], [message("a"), removal("a")]) == []


def test_a_removed_message_that_comes_back_keeps_its_place() -> None:
    old = [message("a"), message("b")]
    assert upsert(old, [removal("a"), message("a", "new")]) == [message("a", "new"), message("b")]


def test_a_removal_of_all_clears_what_was_before_it() -> None:
    old = [message("a"), message("b")]
    update = [message("c"), removal(REMOVE_ALL), message("b", "new")]
    assert upsert(old, update) == [message("b", "new")]
    assert upsert(old, [removal(REMOVE_ALL)]) == []


def test_a_removal_of_an_unknown_message_is_refused() -> None:
    with pytest.raises(UnknownMessageError, match="'z'"):
        upsert([message("a")], [removal("z")])


def test_a_list_that_other_code_filled_is_no_obstacle() -> None:
    old: list[Any] = ["text", 7, {"id": ["odd"]}, {"no": "id"}, message("a")]
    assert upsert(old, [message("a", "new")]) == [*old[:4], message("a", "new")]
    assert upsert(old, [removal("a")]) == old[:4]
