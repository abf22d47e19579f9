"""Reducers give new values, never touch old ones, and what they do wrong is told with the channel's name."""

from typing import Any

import pytest
from hypothesis import given

from tests.support.moves import SCHEMA
from tests.support.strategies import json_values, updates
from tests.support.visible import text
from threadfold.domain.changes import Replace, Splice
from threadfold.domain.channels import copied, copied_object
from threadfold.domain.errors import InvalidInputError, NotJsonError, ReducerError
from threadfold.domain.reducers import Schema, append, applied, messages


def human(identity: str) -> Any:
    return {"type": "human", "id": identity, "content": "x"}


def test_append_concatenates_and_takes_what_is_no_list_as_one_element() -> None:
    assert append(None, [1]) == [1]
    assert append([1], [2, 3]) == [1, 2, 3]
    assert append([1], 2) == [1, 2]
    assert append("a", "b") == ["a", "b"]


def test_messages_upserts() -> None:
    assert messages(None, [human("a")]) == [human("a")]
    assert messages([human("a")], human("b")) == [human("a"), human("b")]
    assert messages([human("a")], [{"type": "remove", "id": "a"}]) == []


def test_without_a_schema_messages_are_upserted_and_all_else_holds_the_last_value() -> None:
    schema = Schema()
    update = schema.normalized({"messages": "hi", "topic": "x"}, lambda: "m1")
    changes = schema.changes({"messages": [], "topic": "y"}, update)
    assert changes["topic"] == Replace("x")
    assert isinstance(changes["messages"], Splice)


def test_channels_that_the_graph_does_not_have_are_left_out() -> None:
    schema = Schema(names=frozenset({"topic"}), reducers={})
    assert schema.normalized({"topic": 1, "other": 2}, lambda: "m1") == {"topic": 1}


@pytest.mark.parametrize("update", [[1], "text", 7, None])
def test_an_update_that_is_no_object_is_refused(update: Any) -> None:
    with pytest.raises(ReducerError, match="expected an object of channels") as caught:
        SCHEMA.normalized(update, lambda: "m1")
    assert caught.value.channel == "update"


def test_an_append_is_a_splice_at_the_end_and_needs_no_new_list() -> None:
    assert SCHEMA.changes({"log": [1, 2]}, {"log": [3]}) == {"log": Splice(2, 0, [3])}
    assert SCHEMA.changes({"log": [1, 2]}, {"log": 3}) == {"log": Splice(2, 0, [3])}
    assert SCHEMA.changes({}, {"log": 3}) == {"log": Replace([3])}


def test_a_reducer_that_raises_is_told_with_its_channel() -> None:
    def broken(old: Any, update: Any) -> Any:
        raise ZeroDivisionError("oh")

    with pytest.raises(ReducerError, match="its reducer raised ZeroDivisionError: oh") as caught:
        Schema(reducers={"sum": broken}).changes({}, {"sum": 1})
    assert caught.value.channel == "sum"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_reducer_that_returns_what_json_cannot_hold_is_told_with_its_channel() -> None:
    schema = Schema(reducers={"set": lambda old, update: {"x": object()}})
    with pytest.raises(NotJsonError, match=r"set\.x"):
        schema.changes({}, {"set": 1})


def test_a_reducer_may_change_what_it_gets() -> None:
    def greedy(old: Any, update: Any) -> Any:
        old.append(update.pop())
        return old

    values, update = {"list": [[1]]}, {"list": [2]}
    changes = Schema(reducers={"list": greedy}).changes(values, update)
    assert changes == {"list": Replace([[1], 2])}
    assert (values, update) == ({"list": [[1]]}, {"list": [2]})


@given(json_values, updates)
def test_changes_give_what_the_reducers_give(old: Any, update: Any) -> None:
    """Also where the short cut for appends is taken, and on old values of any kind."""
    numbers = iter(range(100))
    try:
        normalized = SCHEMA.normalized(update, lambda: f"n{next(numbers)}")
        values: dict[str, Any] = dict.fromkeys(normalized, old)
        before = text(values)
        changes = SCHEMA.changes(values, normalized)
    except InvalidInputError:
        return
    assert text(values) == before
    for name, change in changes.items():
        reducer = SCHEMA.reducers.get(name)
        expected = reducer(copied(old), copied(normalized[name])) if reducer else normalized[name]
        assert text(applied(old, change)) == text(expected)


def test_copies_share_nothing() -> None:
    values: dict[str, Any] = {"a": [{"b": [1]}], "c": "text"}
    twin: Any = copied_object(values)
    assert twin == values
    twin["a"][0]["b"].append(2)
    assert values["a"] == [{"b": [1]}]
