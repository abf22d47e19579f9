"""Readers see typed JSON without its tags, whatever is in it, and what has none is not even copied."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.support.strategies import json_values
from threadfold.domain.typed import (
    MESSAGE_DEFAULTS,
    MESSAGE_TYPES,
    SECRET_SHOWN,
    identity,
    is_message,
    message_of,
    plain,
    plain_object,
    typed_message,
)


def tag(*payload: Any) -> Any:
    return {"$": [*payload]}


HUMAN = tag("message", "human", {"content": "hi", "id": "m1"})
HUMAN_SHOWN = {
    "content": "hi",
    "additional_kwargs": {},
    "response_metadata": {},
    "type": "human",
    "name": None,
    "id": "m1",
}
NOON = tag("datetime", "2026-01-02T12:00:00+01:00", tag("zone", "Europe/Berlin"))

SHOWN: dict[str, tuple[Any, Any]] = {
    "message": (HUMAN, HUMAN_SHOWN),
    "message with additional fields": (
        tag("message", "human", {"content": "hi", "id": "m1", "at": NOON}),
        {**HUMAN_SHOWN, "at": "2026-01-02T12:00:00+01:00"},
    ),
    "model": (
        tag("object", "m:Plan", {"a": 1, "b": tag("set", [1])}, {"set": ["a"], "extra": {"c": 2}}),
        {"a": 1, "b": [1], "c": 2},
    ),
    "model with private attributes": (
        tag("object", "m:Plan", {"a": 1}, {"private": {"_b": 2}}),
        {"a": 1},
    ),
    "dataclass": (tag("object", "m:Point", {"x": 1}), {"x": 1}),
    "derived": (tag("derived", "m:Text", "abc", {"note": 1}), "abc"),
    "enum": (tag("enum", "m:Color", "RED", "red"), "red"),
    "enum without a value": (tag("enum", "m:Color", "RED"), "RED"),
    "error": (tag("error", "builtins:ValueError", "ValueError('x')", ["x"]), "ValueError('x')"),
    "class": (tag("class", "m:Plan"), "m:Plan"),
    "secret of a user's class": (
        tag("object", "m:Password", {"_secret_value": "swordfish"}),
        SECRET_SHOWN,
    ),
    "send": (tag("send", "tools", {"at": NOON}), {"node": "tools", "arg": {"at": NOON["$"][1]}}),
    "send with a time-out": (
        tag("send", "tools", 1, tag("object", "m:TimeoutPolicy", {"run_timeout": 2.0})),
        {"node": "tools", "arg": 1, "timeout": {"run_timeout": 2.0}},
    ),
    "interrupt": (tag("interrupt", tag("set", ["a"]), "i1"), {"value": ["a"], "id": "i1"}),
    "interrupt with a schema": (
        tag("interrupt", "?", "i1", {"type": "string"}),
        {"value": "?", "id": "i1", "response_schema": {"type": "string"}},
    ),
    "interrupt with a class": (
        tag("interrupt", "?", "i1", tag("class", "m:Plan")),
        {"value": "?", "id": "i1"},
    ),
    "interrupt of odd text": (
        tag("interrupt", "?", tag("text", "\\ud800")),
        {"value": "?", "id": "?"},
    ),
    "command": (
        tag("command", {"resume": tag("set", [1])}),
        {"graph": None, "update": None, "resume": [1], "goto": []},
    ),
    "snapshot": (tag("snapshot", [HUMAN]), [HUMAN_SHOWN]),
    "dict": (
        tag("dict", [[1, "a"], [tag("tuple", [1, "é"]), 2], [None, 3], [True, 4], ["$", 5]]),
        {"1": "a", '[1, "é"]': 2, "null": 3, "true": 4, "$": 5},
    ),
    "ordered": (tag("ordered", [["b", 1], ["a", 2]]), {"b": 1, "a": 2}),
    "counter": (tag("counter", [["b", 1]]), {"b": 1}),
    "default": (tag("default", "builtins:list", [["b", [1]]]), {"b": [1]}),
    "set": (
        tag("set", ["b", NOON, 10, tag("timedelta", 0, 9, 5), "a", {"x": 1}, True, None, 9]),
        [9, 9.000005, 10, None, True, {"x": 1}, NOON["$"][1], "a", "b"],
    ),
    "frozenset": (tag("frozenset", []), []),
    "tuple": (tag("tuple", [1]), [1]),
    "deque": (tag("deque", [1, 2], 5), [1, 2]),
    "datetime": (NOON, "2026-01-02T12:00:00+01:00"),
    "datetime, the second time": (
        tag("datetime", "2026-01-02T12:00:00", None, 1),
        "2026-01-02T12:00:00",
    ),
    "time": (tag("time", "12:00:00"), "12:00:00"),
    "date": (tag("date", "2026-01-02"), "2026-01-02"),
    "zone": (tag("zone", "Europe/Berlin"), "Europe/Berlin"),
    "timezone": (tag("timezone", "+01:00", "mine"), "+01:00"),
    "timedelta": (tag("timedelta", 1, 3661, 500000), 90061.5),
    "int": (tag("int", "18446744073709551616"), "18446744073709551616"),
    "float": (tag("float", "-Infinity"), None),
    "decimal": (tag("decimal", "1.10"), 1.1),
    "whole decimal": (tag("decimal", "-0"), 0),
    "whole decimal that 64 bits cannot hold": (
        tag("decimal", "-9300000000000000000.0"),
        "-9300000000000000000",
    ),
    "decimal that is too large": (tag("decimal", "1E+19"), "1E+19"),
    "decimal that is too small": (tag("decimal", "1E-19"), "1E-19"),
    "decimal that is none": (tag("decimal", "sNaN1"), "sNaN1"),
    "decimal that cannot be read": (tag("decimal", "one"), "one"),
    "uuid": (
        tag("uuid", "00000000-0000-0000-0000-000000000001"),
        "00000000-0000-0000-0000-000000000001",
    ),
    "bytes": (tag("bytes", "AP8="), "AP8="),
    "regex": (tag("regex", "a+", 32), "a+"),
    "fraction": (tag("fraction", "1/3"), "1/3"),
    "path": (tag("path", "PosixPath", "/a"), "/a"),
    "address": (tag("address", "IPv4Address", "1.2.3.4"), "1.2.3.4"),
    "text": (tag("text", "a\\ud800\\xe9"), "a?é"),
    "complex": (tag("complex", 1.0, tag("float", "NaN")), [1.0, None]),
    "range": (tag("range", 1, 2, 3), [1, 2, 3]),
    "secret": (tag("secret", "SecretStr", "swordfish"), SECRET_SHOWN),
    "a tag of tomorrow": (tag("quaternion", 1, tag("set", [2])), [1, [2]]),
    "a tag of tomorrow, with one part": (tag("money", {"at": NOON}), {"at": NOON["$"][1]}),
}


@pytest.mark.parametrize(("value", "expected"), SHOWN.values(), ids=SHOWN.keys())
def test_readers_see_each_tag_as_what_it_stands_for(value: Any, expected: Any) -> None:
    before = copy.deepcopy(value)
    assert plain(value) == expected
    assert plain({"a": [0, value, 1]}) == {"a": [0, expected, 1]}
    assert plain_object({"$": value}) == {"$": expected}
    assert value == before


@given(json_values)
def test_a_value_without_tags_comes_back_itself(value: Any) -> None:
    assert plain(value) is value
    tagged = plain([value, HUMAN, value])
    assert isinstance(tagged, list)
    assert tagged[0] is value
    assert tagged[2] is value


def test_messages_share_no_container_with_each_other() -> None:
    first: Any = plain(HUMAN)
    first["additional_kwargs"]["seen"] = True
    assert plain(HUMAN) == HUMAN_SHOWN


tags = st.sampled_from([*{value["$"][0] for value, _ in SHOWN.values()}, "nope", 1, None])
anything = st.recursive(
    json_values,
    lambda inner: st.one_of(
        st.builds(lambda tag, rest: {"$": [tag, *rest]}, tags, st.lists(inner, max_size=4)),
        st.fixed_dictionaries({"$": inner}),
        st.dictionaries(st.sampled_from(["a", "$"]), inner, max_size=2),
    ),
    max_leaves=6,
)


@given(anything)
def test_no_value_however_odd_stops_a_reader(value: Any) -> None:
    before = json.dumps(value)
    json.dumps(plain(value))
    assert json.dumps(value) == before
    message_of(value)
    identity(value)


@pytest.mark.parametrize(
    "value",
    [
        *(None, "x", [], {}, {"$": None}, {"$": []}, {"$": ["message"]}, {"type": "human"}),
        tag("message", "human", "x"),
        tag("message", 1, {}),
        tag("set", "human", {}),
        {**HUMAN, "a": 1},
    ],
)
def test_what_is_no_message_is_not_taken_for_one(value: Any) -> None:
    assert message_of(value) is None
    assert not is_message(value)
    assert identity(value) is None


def test_a_message_is_known_by_type_fields_and_id() -> None:
    assert is_message(HUMAN)
    assert message_of(HUMAN) == ("human", {"content": "hi", "id": "m1"})
    assert identity(HUMAN) == "m1"
    assert identity(tag("message", "human", {"content": "hi"})) is None
    assert identity(tag("message", "human", {"id": 7})) is None


@pytest.mark.parametrize("kind", [*MESSAGE_TYPES, "tomorrow"])
def test_a_message_is_stored_without_the_fields_that_hold_their_default(kind: str) -> None:
    shown: Any = plain(typed_message(kind, {"id": "m1"}))
    assert shown == {
        **MESSAGE_DEFAULTS.get(kind, {**HUMAN_SHOWN, "content": ""}),
        "type": kind,
        "id": "m1",
    }
    assert typed_message(kind, shown) == tag("message", kind, {"id": "m1"})
    told = {"name": False, "additional_kwargs": {"a": 1}, "own": None}
    assert typed_message(kind, told) == tag("message", kind, told)
