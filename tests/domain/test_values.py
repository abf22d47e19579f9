"""`canonical` takes what JSON can hold, as a private copy, and names the place of what it cannot."""

import dataclasses
import enum
import json
import uuid
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel

from tests.support.strategies import json_values
from tests.support.visible import text
from threadfold.domain.errors import NotJsonError
from threadfold.domain.values import DEPTH_MAX, canonical, same


class Text(str):
    __slots__ = ()


class Color(str, enum.Enum):  # noqa: UP042 - its text is not its value
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Blob(enum.Enum):
    DATA = b"x"


class Point(NamedTuple):
    x: int
    y: Any


@dataclasses.dataclass
class Part:
    size: Any
    unset: int = dataclasses.field(init=False)


@dataclasses.dataclass
class Whole:
    parts: list[Any]


class Model(BaseModel):
    inner: Any = None


BAD: dict[str, tuple[object, str]] = {
    "bytes": (b"abc", "bytes"),
    "bytearray": (bytearray(b"abc"), "bytearray"),
    "bytes in an enum": (Blob.DATA, "bytes"),
    "not a number": (float("nan"), "the number nan"),
    "infinity": (float("-inf"), "the number -inf"),
    "lone surrogate": ("\ud800", "lone surrogate"),
    "65 bits": (2**64, "more than 64 bits"),
    "65 bits and a sign": (-(2**63) - 1, "more than 64 bits"),
    "a key that is a number": ({1: "one"}, "the key 1"),
    "a key that is nothing": ({None: 1}, "the key None"),
    "a key with a lone surrogate": ({"\udfff": 1}, "lone surrogate"),
    "object": (object(), "type object"),
    "class": (int, "type type"),
    "function": (len, "type builtin_function_or_method"),
    "exception": (ValueError("x"), "type ValueError"),
    "generator": ((n for n in range(2)), "type generator"),
    "range": (range(3), "type range"),
    "dataclass with a field that was never set": (Part(1), "type Part"),
}


@pytest.mark.parametrize(("value", "problem"), BAD.values(), ids=BAD.keys())
def test_what_json_cannot_hold_is_refused_with_the_path_to_it(value: object, problem: str) -> None:
    with pytest.raises(NotJsonError) as caught:
        canonical({"a": [0, {"b": value}]}, "input")
    assert caught.value.where == "input.a[1].b"
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (Model(inner={"x": b""}), "value.inner.x"),
        (Whole(parts=[1, object()]), "value.parts[1]"),
        (Point(1, b""), "value[1]"),
        ({"k": ({b""},)}, "value.k[0][0]"),
    ],
)
def test_the_path_leads_into_models_dataclasses_tuples_and_sets(value: object, where: str) -> None:
    with pytest.raises(NotJsonError) as caught:
        canonical(value)
    assert caught.value.where == where


GOOD: list[tuple[object, object]] = [
    (None, None),
    (True, True),
    (2**64 - 1, 2**64 - 1),
    (-(2**63), -(2**63)),
    (Text("x"), "x"),
    ({Text("k"): 1}, {"k": 1}),
    (Color.RED, "red"),
    ({Color.RED: 1}, {"red": 1}),
    (Level.LOW, 1),
    ((1, (2,)), [1, [2]]),
    (Point(1, 2), [1, 2]),
    (frozenset({7}), [7]),
    (OrderedDict(a=1), {"a": 1}),
    (MappingProxyType({"a": [1]}), {"a": [1]}),
    (Whole(parts=[Color.RED]), {"parts": ["red"]}),
    (Model(inner=Model(inner=(1,))), {"inner": {"inner": [1]}}),
    (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Decimal("1.10"), "1.10"),
]


@pytest.mark.parametrize(("value", "expected"), GOOD)
def test_what_has_a_form_in_json_takes_it(value: object, expected: object) -> None:
    result = canonical(value)
    assert text(result) == text(expected)
    assert type(result) is type(expected)


@given(json_values)
def test_a_json_value_is_copied_and_shares_no_container(value: Any) -> None:
    def containers(of: Any) -> set[int]:
        if not isinstance(of, dict | list):
            return set()
        inner = of.values() if isinstance(of, dict) else of
        return {id(of)}.union(*map(containers, inner))

    result = canonical(value)
    assert text(result) == text(value)
    assert not containers(result) & containers(value)
    assert canonical(result) == result


def nested(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


def test_nesting_has_a_limit_and_up_to_it_json_can_be_read_again() -> None:
    deep = canonical(nested(DEPTH_MAX))
    assert json.loads(json.dumps(deep)) == deep
    with pytest.raises(NotJsonError, match=f"deeper than {DEPTH_MAX}"):
        canonical(nested(DEPTH_MAX + 1))


def test_a_cycle_is_refused_and_not_followed_for_ever() -> None:
    loop: list[Any] = []
    loop.append(loop)
    knot: dict[str, Any] = {}
    knot["k"] = knot
    model = Model()
    model.inner = model
    for value in (loop, knot, model):
        with pytest.raises(NotJsonError):
            canonical(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (1, 1.0), (0, False), ([1], [True]), ({"a": 1}, {"a": 1.0}), (None, False)],
)
def test_same_tells_apart_what_json_tells_apart(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert same(one, json.loads(json.dumps(one)))


@given(json_values, st.one_of(json_values, st.none()))
def test_same_is_equality_of_json_text(one: Any, other: Any) -> None:
    assert same(one, other) == (text(one) == text(other))
