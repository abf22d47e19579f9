"""Readers see a value alike in a state and in a stream, whatever it is; and a stream shows what cannot be stored too."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import re
import sys
import uuid
import warnings
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Network
from pathlib import PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.store.base import Item
from langgraph.types import Command, Interrupt, Overwrite, Send
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    PlainSerializer,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    computed_field,
    field_serializer,
)
from pydantic_core import core_schema

from tests.langgraph.test_values import ERRORS, NAMED
from tests.support import typed_values as v
from tests.support.typed_values import values
from threadfold.domain import typed
from threadfold.domain.errors import InvalidInputError
from threadfold.domain.typed import SECRET_SHOWN, plain
from threadfold.infrastructure.langgraph import showing
from threadfold.infrastructure.langgraph.raised import StoredError
from threadfold.infrastructure.langgraph.showing import shown, shown_interrupt
from threadfold.infrastructure.langgraph.types import TypeRegistry
from threadfold.infrastructure.langgraph.values import ValueCodec

with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore"
    )  # Of the first pydantic, which Python 3.14 does not know any more.
    from pydantic.v1 import BaseModel as LegacyBase, Field as LegacyField, SecretStr as LegacySecret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HIDDEN = "swordfish"


class Role(enum.Enum):
    """Its members are not all of what can be stored."""

    BOX = v.Box("in it")
    CALL = enum.member(len)


class Wide(RootModel[list[v.Point]]):
    pass


class Sized(BaseModel):
    size: int = Field(2, serialization_alias="SIZE")
    model_config = ConfigDict(extra="allow")

    @computed_field
    def double(self) -> int:
        return self.size * 2


class Password(SecretStr):
    pass


class Codes(UserDict[str, int]):
    pass


# Newer Pythons keep annotations where the first pydantic does not look.
Legacy: Any = type(LegacyBase)(
    "Legacy",
    (LegacyBase,),
    {
        "__module__": __name__,
        "__annotations__": {"size": int, "secret": Any, "at": Any},
        "size": 1,
        "secret": None,
        "at": None,
    },
)

TYPES = TypeRegistry().extended(
    *(*v.REGISTERED, Wide, Sized, Password, Codes, Legacy, Secret, LegacySecret, Role)
)
CODEC = ValueCodec(TYPES)


def state_shows(value: object) -> str:
    """Return what readers of a state see, as text: 1 is not 1.0 there, and fields have an order."""
    return json.dumps(plain(json.loads(json.dumps(CODEC.encode(value, "channel")))))


def stream_shows(value: object, types: TypeRegistry | None = TYPES) -> str:
    return json.dumps(shown(value, types), allow_nan=False)


# ------------------------------------------------------------------ all that can be stored


def shows_alike(value: object) -> None:
    assert stream_shows(value) == state_shows(value)


def shows_alike_when_it_is_back(value: object) -> None:
    written = CODEC.encode(value, "channel")
    assert stream_shows(CODEC.decode(written)) == json.dumps(plain(written))


thorough = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@thorough
@given(values)
def test_a_stream_shows_every_value_as_a_state_does(value: Any) -> None:
    shows_alike(value)


@thorough
@given(values)
def test_a_value_that_was_stored_is_streamed_as_the_state_shows_it(value: Any) -> None:
    shows_alike_when_it_is_back(value)


@thorough
@given(values)
def test_only_objects_of_plain_classes_need_to_be_known_for_that(value: Any) -> None:
    in_state = state_shows(value)
    if "_Basket__hidden" not in in_state:
        assert stream_shows(value, None) == in_state


@pytest.mark.parametrize("value", NAMED.values(), ids=NAMED.keys())
def test_these_are_shown_alike_too(value: Any) -> None:
    shows_alike(value)
    shows_alike_when_it_is_back(value)


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_exceptions_are_shown_alike(error: BaseException) -> None:
    shows_alike(error)
    shows_alike_when_it_is_back(error)


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MESSAGE = {
    "content": "hi",
    "additional_kwargs": {},
    "response_metadata": {},
    "type": "human",
    "name": None,
    "id": None,
}
CALL = {"name": "search", "args": {"q": 1}, "id": "c1", "type": "tool_call"}

TABLE: dict[str, tuple[Any, Any]] = {
    "null": (None, None),
    "truth": (True, True),
    "integer": (2**64 - 1, 2**64 - 1),
    "large integer": (2**70, "1180591620717411303424"),
    "huge integer": (16**5000, hex(16**5000)),
    "float": (-0.0, -0.0),
    "no number": (float("nan"), None),
    "infinite": ([float("inf"), float("-inf")], [None, None]),
    "text": ("a", "a"),
    "text in another script": ("é", "é"),
    "text that UTF-8 cannot hold": ("lone \ud800é", "lone ?é"),
    "object": ({"a": (1, 2.5, None, True), "\ud800": 1}, {"a": [1, 2.5, None, True], "?": 1}),
    "object with a dollar": ({"$": ["set", [1]]}, {"$": ["set", [1]]}),
    "keys of many kinds": (
        {
            2: "a",
            None: "b",
            True: "c",
            1.5: "d",
            NOON: "e",
            v.Color.RED: "f",
            (1, "é"): "g",
            float("nan"): "h",
            timedelta(seconds=1): "i",
            Decimal("2.50"): "j",
            b"\xff": "k",
            v.Point(1): "l",
            frozenset({2, 1}): "m",
            SecretStr(HIDDEN): "n",
            int: "o",
        },
        {
            "2": "a",
            "null": "h",
            "true": "c",
            "1.5": "d",
            "2026-01-01T12:00:00+00:00": "e",
            "red": "f",
            '[1, "é"]': "g",
            "1.0": "i",
            "2.5": "j",
            "/w==": "k",
            '{"x": 1, "y": 0}': "l",
            "[1, 2]": "m",
            SECRET_SHOWN: "n",
            "builtins:int": "o",
        },
    ),
    "ordered": (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    "counter": (Counter({3: 1}), {"3": 1}),
    "default": (defaultdict(list, {"a": [1]}), {"a": [1]}),
    "list": ([1, [2]], [1, [2]]),
    "tuple": ((1, (2,)), [1, [2]]),
    "set": ({10, 9, 9.5, "b", "a", None}, [9, 9.5, 10, None, "a", "b"]),
    "frozenset": (frozenset({"s"}), ["s"]),
    "set of what looks alike": ({timedelta(seconds=2), 2, "2", Decimal(3)}, [2, 2.0, 3, "2"]),
    "deque": (deque([1, 2], 5), [1, 2]),
    "bytes": (b"\xff\x00", "/wA="),
    "bytearray": (bytearray(b"\xff\x00"), "/wA="),
    "date and time": (NOON, "2026-01-01T12:00:00+00:00"),
    "date": (date(2026, 1, 1), "2026-01-01"),
    "time": (time(12, 0, 0, 5), "12:00:00.000005"),
    "duration": (timedelta(days=1, microseconds=5), 86400.000005),
    "whole duration": (timedelta(days=-1), -86400.0),
    "zone": (ZoneInfo("Europe/Berlin"), "Europe/Berlin"),
    "offset": (timezone(timedelta(hours=1), "mine"), "+01:00"),
    "decimal": (Decimal("1.10"), 1.1),
    "whole decimal": (Decimal("3.0"), 3),
    "decimal of 64 bits": (Decimal(9 * 10**18), 9 * 10**18),
    "larger decimal": (Decimal(10**20), str(10**20)),
    "decimal that is too large": (Decimal("1e400"), "1E+400"),
    "decimal that is too small": (Decimal("1e-19"), "1E-19"),
    "no decimal": ([Decimal("NaN"), Decimal("-Infinity")], ["NaN", "-Infinity"]),
    "fraction": (Fraction(1, 2), "1/2"),
    "complex": (complex(1, float("nan")), [1.0, None]),
    "range": (range(9, 0, -(2**70)), [9, 0, "-1180591620717411303424"]),
    "UUID": (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "path": (PurePosixPath("/a/\udcff"), "/a/?"),
    "path of Windows": (PureWindowsPath("c:\\x"), "c:\\x"),
    "URL": (HttpUrl("https://example.com/a"), "https://example.com/a"),
    "address": (IPv4Address("1.2.3.4"), "1.2.3.4"),
    "network": (IPv6Network("::/64"), "::/64"),
    "pattern": (re.compile("a+\ud800", re.MULTILINE), "a+?"),
    "pattern of bytes": (re.compile(rb"\xff"), "XHhmZg=="),
    "secret": ([SecretStr(HIDDEN), SecretBytes(b"")], [SECRET_SHOWN, SECRET_SHOWN]),
    "secret of a user's class": (Password(HIDDEN), SECRET_SHOWN),
    "secret of any kind": (Secret[int](5), SECRET_SHOWN),
    "secret of the first pydantic": (LegacySecret(HIDDEN), SECRET_SHOWN),
    "member": ([*v.Color, v.Word.YES, v.Level.LOW], ["red", [1, 2], "yes", 1]),
    "flags": (v.Access.READ | v.Access.WRITE, 3),
    "member whose value cannot be stored": ([*Role], [{"content": "in it"}, "CALL"]),
    "named tuple": (v.Pair(1, (2,)), {"left": 1, "right": [2]}),
    "dataclass": (v.Point({1: 2}), {"x": {"1": 2}, "y": 0}),
    "dataclass without one of its fields": (
        v.Order(1),
        {"number": 1, "lines": [], "currency": "EUR"},
    ),
    "model": (
        v.Plan(title="t", steps=[v.Pair(1)]),
        {"title": "t", "steps": [{"left": 1, "right": None}], "parent": None},
    ),
    "model with additional fields": (
        Sized(size=1, more=NOON),
        {"size": 1, "more": "2026-01-01T12:00:00+00:00"},
    ),
    "model of one value": (Wide([v.Point(1)]), {"root": [{"x": 1, "y": 0}]}),
    "model of the first pydantic": (
        Legacy(at=NOON),
        {"size": 1, "secret": None, "at": "2026-01-01T12:00:00+00:00"},
    ),
    "text of a user's class": (v.Text("\ud800"), "?"),
    "dict of a user's class": (v.Bag({1: v.Bag()}), {"1": {}}),
    "tuple of a user's class": (v.Row((1, 2)), [1, 2]),
    "message": (
        AIMessage("hi", id="m1", tool_calls=[CALL]),
        {
            **MESSAGE,
            "type": "ai",
            "id": "m1",
            "tool_calls": [CALL],
            "invalid_tool_calls": [],
            "usage_metadata": None,
        },
    ),
    "message chunk": (
        AIMessageChunk("hi", chunk_position="last"),
        {
            **MESSAGE,
            "type": "AIMessageChunk",
            "tool_calls": [],
            "invalid_tool_calls": [],
            "usage_metadata": None,
            "tool_call_chunks": [],
            "chunk_position": "last",
        },
    ),
    "message with additional fields": (
        HumanMessage("hi", at=NOON),
        {**MESSAGE, "at": "2026-01-01T12:00:00+00:00"},
    ),
    "message of a user's class": (v.Note("hi", stars=2), {**MESSAGE, "stars": 2}),
    "document": (
        Document("x", metadata={"n": (1,)}),
        {"id": None, "metadata": {"n": [1]}, "page_content": "x", "type": "Document"},
    ),
    "item of a store": (
        Item(value={"a": 1}, key="k", namespace=("n",), created_at=NOON, updated_at=NOON),
        {
            "value": {"a": 1},
            "key": "k",
            "namespace": ["n"],
            **dict.fromkeys(("created_at", "updated_at"), "2026-01-01T12:00:00+00:00"),
        },
    ),
    "exception": (ValueError("bad"), "ValueError('bad')"),
    "exception whose class is gone": (StoredError("m:Gone", "Gone('x')"), "Gone('x')"),
    "class": ([v.Plan, dict], ["tests.support.typed_values:Plan", "builtins:dict"]),
    "send": (
        Send("tools\ud800", {"at": NOON}),
        {"node": "tools?", "arg": {"at": "2026-01-01T12:00:00+00:00"}},
    ),
    "send with a time-out": (
        Send("tools", 1, timeout=2.5),
        {
            "node": "tools",
            "arg": 1,
            "timeout": {"run_timeout": 2.5, "idle_timeout": None, "refresh_on": "auto"},
        },
    ),
    "interrupt": (Interrupt("why?", id="i"), {"value": "why?", "id": "i"}),
    "interrupt with a schema": (
        Interrupt("why?", id="i", response_schema={"type": "string"}),
        {"value": "why?", "id": "i", "response_schema": {"type": "string"}},
    ),
    "interrupt with a class": (
        Interrupt("why?", id="i", response_schema=v.Plan),
        {"value": "why?", "id": "i"},
    ),
    "command": (
        Command(resume={1}, goto=Send("n", 1)),
        {"graph": None, "update": None, "resume": [1], "goto": {"node": "n", "arg": 1}},
    ),
    "command with nothing": (
        Command(),
        {"graph": None, "update": None, "resume": None, "goto": []},
    ),
    "overwrite": (Overwrite((1,)), {"value": [1], "type": "__overwrite__"}),
    "snapshot of a channel": (_DeltaSnapshot([1]), [1]),
}


@pytest.mark.parametrize(("value", "expected"), TABLE.values(), ids=TABLE.keys())
def test_states_and_streams_show_each_kind_of_value_like_this(value: Any, expected: Any) -> None:
    assert state_shows(value) == stream_shows(value)
    # Whether a number is whole matters; the order of fields is that of the class, and varies in slots.
    in_order = json.dumps(expected, sort_keys=True)
    assert json.dumps(json.loads(state_shows(value)), sort_keys=True) == in_order


def test_every_tag_stands_in_the_table() -> None:
    text = json.dumps([CODEC.encode(value, "channel") for value, _ in TABLE.values()])
    missing = {tag for tag in typed._SHOWN if f'{{"$": ["{tag}"' not in text}
    assert missing == set()


def nested(make: Callable[[object], object]) -> tuple[object, object]:
    """Return the deepest value that can be stored, and the next one."""
    value: object = None
    while True:
        try:
            CODEC.encode(make(value), "channel")
        except InvalidInputError:
            return value, make(value)
        value = make(value)


@pytest.mark.parametrize(
    "make",
    [
        lambda value: [value],
        lambda value: {"a": value},
        lambda value: {"\ud800": value},
        lambda value: deque([value]),
        lambda value: (value, frozenset([1])),
        lambda value: frozenset([value]),
        lambda value: v.Point(value),
        lambda value: v.Bag(a=value),
        lambda value: v.Plan(title="t", steps=[value]),
        lambda value: HumanMessage("x", own=value),
        lambda value: Send("n", value),
    ],
)
def test_what_lies_as_deep_as_can_be_stored_is_shown_alike(
    make: Callable[[object], object],
) -> None:
    deepest, deeper = nested(make)
    shows_alike(deepest)
    assert json.loads(stream_shows(deeper))


# ------------------------------------------------------------------ what cannot be stored


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no")


class Plain:
    def __init__(self) -> None:
        self.key = HIDDEN

    def __repr__(self) -> str:
        return "<plain>"


@dataclasses.dataclass
class Connected:
    host: str

    def __post_init__(self) -> None:
        self.connection = Plain()


class Lone(enum.Enum):
    HOME = Connected("here")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (len, "<built-in function len>"),
        (Plain(), "<plain>"),
        ([Connected("here")], [{"host": "here"}]),
        (Lone.HOME, "HOME"),
        (Plain, f"{__name__}:Plain"),
        (MappingProxyType({1: {2}}), {"1": [2]}),
        (Codes(a=1), {"a": 1}),
        ({"a": 1, "b": 2}.keys(), ["a", "b"]),
        (defaultdict(lambda: 1, {2: 3}), {"2": 3}),
        (memoryview(b"\xff\x00"), "/wA="),
        (
            Legacy(size=1, secret=LegacySecret(HIDDEN)),
            {"size": 1, "secret": SECRET_SHOWN, "at": None},
        ),
        ([{"n": float("nan")}, len], [{"n": None}, "<built-in function len>"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_stored_is_shown_all_the_same(value: object, expected: object) -> None:
    assert shown(value) == expected


def test_objects_that_are_nothing_but_attributes_are_shown_as_such_if_they_may_be_stored() -> None:
    types = TypeRegistry().extended(Codes, v.Basket)
    assert shown(Codes(a=1), types) == {"data": {"a": 1}}
    assert shown(v.Basket(1), types) == {
        "size": 1,
        "_Basket__hidden": [1],
        "free": {"size": 1},
    }
    assert str(shown(v.Basket(1))).startswith("<tests.support.typed_values.Basket object at")


def test_what_cannot_be_shown_harms_nobody() -> None:
    inside: list[Any] = ["start"]
    inside.append({"again": inside})
    result = shown([Hostile(), inside])
    assert isinstance(result, list)
    assert "Hostile object at" in str(result[0])
    assert result[1] == ["start", {"again": repr(inside)}]


def test_values_that_contain_themselves_many_times_end_there() -> None:
    many: list[Any] = []
    many += [many, many, v.Point(many), {"a": many}] * 3
    assert len(stream_shows(many)) < 20 * len(repr(many))


def test_what_is_in_a_value_twice_is_shown_twice() -> None:
    point = v.Point(1)
    assert shown([point, point]) == [{"x": 1, "y": 0}] * 2


@pytest.mark.parametrize("room", range(20, 300, 20))
def test_a_value_is_shown_however_little_room_is_left_on_the_stack(room: int) -> None:
    value: Any = "bottom"
    for _ in range(100):
        value = v.Point([value])

    def deep(left: int) -> Any:
        return shown(value) if left == 0 else deep(left - 1)

    used = len(inspect.stack(0))
    assert json.dumps(deep(sys.getrecursionlimit() - used - room))


def test_what_lies_too_deep_is_shown_as_python_shows_it() -> None:
    deep: Any = "bottom"
    for _ in range(300):
        deep = [deep]
    assert "bottom" in stream_shows(deep)


def test_a_question_is_shown_as_an_object() -> None:
    question = Interrupt({"at": NOON}, id="i")
    assert shown_interrupt(question) == {"value": {"at": "2026-01-01T12:00:00+00:00"}, "id": "i"}


# ------------------------------------------------------------------ secrets


class Account(BaseModel):
    """Keeps a password in each of the ways that hide one."""

    name: str = "me"
    secret: Any = None
    excluded: str = Field(HIDDEN, exclude=True)


class Masked(BaseModel):
    password: str = HIDDEN

    @field_serializer("password")
    def mask(self, password: str) -> str:
        return "***"


Mask = PlainSerializer(lambda password: "***")


class MaskedByType(BaseModel):
    passwords: list[Annotated[str, Mask]] = [HIDDEN]


class Token(str):
    """Hides itself in the models that have it."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        hidden = core_schema.plain_serializer_function_ser_schema(lambda token: "***")
        return core_schema.no_info_plain_validator_function(cls, serialization=hidden)


class MaskedByItself(BaseModel):
    token: Token = Token(HIDDEN)


class Silent(BaseModel):
    password: str = HIDDEN

    def model_dump(self, **options: Any) -> dict[str, Any]:
        return super().model_dump(**options, exclude={"password"})


class Broken(BaseModel):
    password: str = HIDDEN

    @field_serializer("password")
    def refuse(self, password: str) -> str:
        raise RuntimeError("no")


LegacyAccount: Any = type(LegacyBase)(
    "LegacyAccount",
    (LegacyBase,),
    {
        "__module__": __name__,
        "__annotations__": {"password": str},
        "password": LegacyField(HIDDEN, exclude=True),
    },
)


class Vault(enum.Enum):
    KEY = SecretStr(HIDDEN)


SECRETS = [SecretStr(HIDDEN), SecretBytes(HIDDEN.encode()), Password(HIDDEN)]
SECRETS += [Secret[str](HIDDEN), LegacySecret(HIDDEN)]
PLACES: dict[str, Callable[[Any], object]] = {
    "alone": lambda secret: secret,
    "list": lambda secret: [secret],
    "dict": lambda secret: {1: secret},
    "model": lambda secret: Account(secret=secret),
    "dataclass": lambda secret: v.Point(secret),
    "plain object": lambda secret: v.Basket(secret),
    "exception": lambda secret: ValueError(secret),
    "message": lambda secret: HumanMessage("x", own=secret),
    "private attribute": lambda secret: v._plan("t", [], secret),
    "send": lambda secret: Send("n", secret),
    "interrupt": lambda secret: Interrupt(secret),
    "what a model has beside its fields": lambda secret: v.Loose(own=secret),
    "function": lambda secret: lambda: secret,
}


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: type(secret).__name__)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_no_secret_is_ever_streamed(place: Callable[[Any], object], secret: object) -> None:
    held = place(secret)
    for types in (None, TYPES, TYPES.extended(Account)):
        text = stream_shows(held, types)
        assert HIDDEN not in text
        assert "c3dvcmRmaXNo" not in text, "nor as base64"


@pytest.mark.parametrize(
    "model",
    [
        *(
            Account(),
            Masked(),
            MaskedByType(),
            MaskedByItself(),
            Silent(),
            Broken(),
            LegacyAccount(),
        ),
        *([Masked()], v.Point(Masked()), Vault.KEY),
    ],
    ids=lambda model: type(model).__name__,
)
def test_what_a_model_hides_stays_out_of_streams(model: object) -> None:
    own = (Account, Masked, MaskedByType, MaskedByItself, Silent, Broken, LegacyAccount)
    for types in (None, TYPES.extended(*own)):
        assert HIDDEN not in stream_shows(model, types)


# ------------------------------------------------------------------ planted faults


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Let it be looked up anew how classes are shown, and again after the test."""
    showing._writer_of.cache_clear()
    yield
    showing._writer_of.cache_clear()


@pytest.mark.usefixtures("forgetful")
def test_a_stream_that_shows_members_by_name_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "_write_member", lambda value, writer, depth: value.name)
    with pytest.raises(AssertionError):
        quickly(shows_alike)


@pytest.mark.usefixtures("forgetful")
def test_a_stream_that_forgets_what_a_model_has_beside_its_fields_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = showing._write_fields
    monkeypatch.setattr(showing, "_write_fields", lambda fields, extra=None: real(fields))
    with pytest.raises(AssertionError):
        quickly(shows_alike)


def test_a_state_that_keeps_sets_in_their_stored_order_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(typed._SHOWN, "set", typed._show_elements)
    with pytest.raises(AssertionError):
        test_states_and_streams_show_each_kind_of_value_like_this(*TABLE["set"])


def quickly(law: Callable[[object], None]) -> None:
    """Hold a law to drawn values, the same at each run."""
    hold = given(values)(lambda value: law(value))
    settings(thorough, derandomize=True, database=None, phases=[Phase.generate])(hold)()
