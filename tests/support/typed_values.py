"""Values of every kind that LangGraph's channels may hold: classes, strategies that draw them, and exact comparison."""

from __future__ import annotations

import dataclasses
import enum
import re
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from langgraph.types import Command, Interrupt, Overwrite, Send
from pydantic import BaseModel, ConfigDict, PrivateAttr, SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

# ------------------------------------------------------------------ classes of users


class Color(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Word(enum.StrEnum):
    YES = "yes"


class Level(enum.IntEnum):
    LOW = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Plan(BaseModel):
    """A model with all that pydantic keeps of one."""

    title: str
    steps: list[Any] = []
    parent: Any = None
    _seen: Any = PrivateAttr(default=0)
    _unset: Any = PrivateAttr()


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    size: int = 1


class Picky(BaseModel):
    """What stands in a stored one need not pass its validators today."""

    model_config = ConfigDict(frozen=True, strict=True)
    size: int

    def model_post_init(self, context: Any) -> None:
        if self.size > 100:
            raise ValueError("too large")


@dataclasses.dataclass
class Order:
    number: int
    lines: Any = dataclasses.field(default_factory=list)
    total: Any = dataclasses.field(init=False)
    currency: str = "EUR"

    @cached_property
    def shown(self) -> object:
        return object()


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: Any
    y: Any = 0


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


class Pair(NamedTuple):
    left: Any
    right: Any = None


class Basket:
    """A class that is nothing but Python."""

    __slots__ = ("__dict__", "__hidden", "size")

    def __init__(self, size: Any) -> None:
        self.size = size
        self.__hidden = [size]
        self.free = {"size": size}


class Text(str):
    __slots__ = ("note",)


class Bag(dict[Any, Any]):
    pass


class Ordered(OrderedDict[Any, Any]):
    pass


class Row(tuple[Any, ...]):
    __slots__ = ()


class Moment(datetime):
    pass


class TroubleError(Exception):
    def __init__(self, code: int, *, where: str) -> None:
        super().__init__(f"{where} failed with {code}")
        self.code = code


class Note(HumanMessage):
    """A user's own message."""

    stars: int = 0


REGISTERED: list[type] = [
    *(Color, Word, Level, Access, Plan, Loose, Picky, Order, Point, Box, Pair, Basket),
    *(Text, Bag, Ordered, Row, Moment, TroubleError, Note),
]

# ------------------------------------------------------------------ exact comparison


def exactly(one: Any, other: Any) -> bool:
    """Say whether two values are alike in class and content, to the last attribute."""
    return taken_apart(one) == taken_apart(other)


def taken_apart(value: Any) -> Any:
    """Return what a value is made of, in types that `==` tells apart; sets are sorted by it."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if value is None or kind in {bool, int, str, bytes} or isinstance(value, enum.Enum | type):
        return (name, repr(value))
    if isinstance(value, BaseModel):
        return (
            name,
            _fields({key: value.__dict__.get(key) for key in kind.model_fields}),
            isinstance(value, BaseMessage) or sorted(value.model_fields_set),
            _fields(value.__pydantic_extra__ or {}),
            _fields(value.__pydantic_private__ or {}),
        )
    if isinstance(value, BaseException):
        return (name, repr(value), taken_apart(list(value.args)), _fields(vars(value)))
    parts: list[Any] = [name]
    if isinstance(value, datetime | time):
        parts += [value.isoformat(), value.fold, repr(value.tzinfo)]
    elif isinstance(value, dict):
        parts += [[(taken_apart(k), taken_apart(v)) for k, v in dict.items(value)]]
        parts += [getattr(value, "default_factory", None)]
    elif isinstance(value, set | frozenset):
        parts += [sorted(map(repr, map(taken_apart, value)))]
    elif isinstance(value, list | tuple | deque):
        parts += [[taken_apart(item) for item in value], getattr(value, "maxlen", None)]
    elif kind.__module__ in {"builtins", "decimal", "fractions", "uuid", "pathlib", "re"} or (
        kind.__module__ in {"datetime", "ipaddress", "zoneinfo"}
    ):
        return (name, repr(value))
    elif isinstance(value, str):
        parts += [str.__str__(value)]
    slots = (slot for base in kind.__mro__ for slot in _slots_of(base))
    found = {slot: getattr(value, slot) for slot in slots if hasattr(value, slot)}
    own = {key: item for key, item in getattr(value, "__dict__", {}).items() if key != "shown"}
    return (*parts, _fields({**found, **own}))


def _slots_of(base: type) -> list[str]:
    slots = vars(base).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    prefix = f"_{base.__name__.lstrip('_')}"
    mangled = [f"{prefix}{n}" if n.startswith("__") and not n.endswith("__") else n for n in names]
    return [n for n in mangled if not n.startswith("__") and base.__module__ != "builtins"]


def _fields(values: Any) -> list[Any]:
    return sorted(
        (key, taken_apart(item)) for key, item in values.items() if key != "__orig_class__"
    )


# ------------------------------------------------------------------ strategies

texts = st.one_of(
    st.sampled_from(["", "x", "é\u2028", "\0", "$", "\ud800", "\ud83d\ude00", "\\ud800"]),
    st.text(st.characters(), max_size=5),
)
zones = st.sampled_from(
    [
        *(None, UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(seconds=-1))),
        *(timezone(timedelta(hours=1), "mine"), timezone(timedelta(microseconds=7))),
        *(zoneinfo.ZoneInfo("Europe/Berlin"), zoneinfo.ZoneInfo("UTC")),
    ]
)
hours = st.sampled_from([time(0), time(2, 30, 1, 999999), time(2, 30, fold=1)])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, 2**63, 2**64, -(2**63) - 1, 10**400]),
    st.floats(),
    texts,
)
keyable = st.one_of(
    scalars.filter(lambda value: value == value),  # Two that are not themselves are two keys.
    st.binary(max_size=3),
    st.builds(complex, st.floats(), st.floats()).filter(lambda value: value == value),
    st.builds(datetime.combine, st.dates(date(1999, 1, 1)), hours, zones),
    st.builds(lambda at, zone: at.replace(tzinfo=zone), hours, zones),
    st.dates(),
    st.timedeltas(),
    zones,
    st.sampled_from(
        [Decimal("1.10"), Decimal("-0"), Decimal("1E+30"), Decimal("Infinity"), Fraction(1, 3)]
    ),
    st.uuids(),
    st.sampled_from([Path("/a/b"), PurePosixPath("a\udcff"), PureWindowsPath("c:\\x")]),
    st.sampled_from(
        [re.compile("a(?i:b)", re.MULTILINE), re.compile(rb"\d"), re.compile("\ud800")]
    ),
    st.sampled_from(
        [
            *(IPv4Address("1.2.3.4"), IPv4Interface("1.2.3.4/8"), IPv4Network("1.0.0.0/8")),
            *(IPv6Address("::1%eth0"), IPv6Interface("::1/64"), IPv6Network("::/64")),
        ]
    ),
    st.sampled_from([*Color, *Word, *Level, *Access, Access.READ | Access.WRITE, Access(0)]),
    st.sampled_from([range(3), range(9, -(2**70), -2), int, Order, defaultdict]),
    st.builds(Text, texts),
)
hashables = st.recursive(
    keyable,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(tuple),
        st.frozensets(inner, max_size=2),
        st.builds(Pair, inner, inner),
        st.builds(Point, inner, inner),
    ),
    max_leaves=3,
)
leaves = st.one_of(
    keyable,
    st.just(float("nan")),
    st.builds(Decimal, st.just("sNaN123")),
    st.binary(max_size=3).map(bytearray),
    st.builds(SecretStr, texts),
)


def _plan(title: str, steps: list[Any], seen: Any) -> Plan:
    plan = Plan(title=title, steps=steps)
    plan._seen = seen
    return plan


def _picky(size: int) -> Picky:
    model = Picky(size=1)
    model.__dict__["size"] = size
    return model


def _order(number: int, lines: Any, total: Any) -> Order:
    order = Order(number, lines)
    if number:
        order.total = total
    return order


def _text(content: str, note: Any) -> Text:
    text = Text(content)
    text.note = note
    return text


def _trouble(code: int, extra: Any) -> TroubleError:
    error = TroubleError(code, where="here")
    error.extra = extra
    return error


short = st.sampled_from(["", "a", "b", "$"])


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw objects of registered classes, with inner values in all places."""
    return st.one_of(
        st.builds(_plan, short, st.lists(inner, max_size=2), inner),
        st.builds(lambda extra: Loose(size=2, **extra), st.dictionaries(short, inner, max_size=2)),
        st.sampled_from([1, 1000]).map(_picky),
        st.builds(_order, st.integers(0, 1), inner, inner),
        st.builds(Point, inner, inner),
        st.builds(Box[Any], inner),
        st.builds(Pair, inner, inner),
        st.builds(Basket, inner),
        st.builds(_text, texts, inner),
        st.builds(Bag, st.dictionaries(hashables, inner, max_size=2)),
        st.builds(Ordered, st.dictionaries(hashables, inner, max_size=2)),
        st.builds(_trouble, st.integers(0, 2), inner),
        st.just(Moment(2026, 1, 2, tzinfo=UTC)),
    )


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw Python's own containers, and LangGraph's."""
    mappings = st.dictionaries(hashables, inner, max_size=2)
    return st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(short, inner, max_size=2),
        mappings,
        st.sets(hashables, max_size=3),
        st.frozensets(hashables, max_size=3),
        st.builds(deque, st.lists(inner, max_size=2), st.sampled_from([None, 2, 5])),
        st.builds(OrderedDict, mappings),
        st.builds(lambda pairs: defaultdict(list, pairs), mappings),
        st.builds(lambda pairs: defaultdict(None, pairs), mappings),
        st.dictionaries(hashables, st.integers(-2, 2), max_size=2).map(Counter),
        st.builds(Send, short, inner, timeout=st.sampled_from([None, 2.5])),
        st.builds(Interrupt, inner, short),
        st.builds(Command, update=inner, resume=inner, goto=st.lists(short, max_size=2)),
        st.builds(Overwrite, inner),
        st.builds(Document, short, metadata=st.dictionaries(short, inner, max_size=1)),
    )


def messages(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[BaseMessage]:
    """Draw messages of all classes, with inner values where users may put them."""
    fields = {
        "content": st.one_of(
            texts.filter(str.isprintable), st.just([{"type": "text", "text": "x"}])
        ),
        "id": st.sampled_from([None, "1", "2"]),
        "name": st.sampled_from([None, "n"]),
        "additional_kwargs": st.dictionaries(short, inner, max_size=1),
        "response_metadata": st.dictionaries(short, inner, max_size=1),
    }
    call = {"name": "search", "args": {"q": 1}, "id": "c1", "type": "tool_call"}
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    replies = {**fields, "usage_metadata": st.sampled_from([None, usage])}
    results = {
        **fields,
        "tool_call_id": st.just("c1"),
        "artifact": inner,
        "status": st.sampled_from(["success", "error"]),
    }
    named = {**fields, "name": st.just("f")}
    role = {**fields, "role": st.just("critic")}
    return st.one_of(
        *(st.builds(cls, **fields) for cls in (HumanMessage, HumanMessageChunk)),
        *(st.builds(cls, **fields) for cls in (SystemMessage, SystemMessageChunk)),
        st.builds(AIMessage, **replies, tool_calls=st.sampled_from([[], [call]])),
        st.builds(AIMessageChunk, **replies, chunk_position=st.sampled_from([None, "last"])),
        *(st.builds(cls, **results) for cls in (ToolMessage, ToolMessageChunk)),
        *(st.builds(cls, **named) for cls in (FunctionMessage, FunctionMessageChunk)),
        *(st.builds(cls, **role) for cls in (ChatMessage, ChatMessageChunk)),
        st.sampled_from(["1", "__remove_all__"]).map(lambda at: RemoveMessage(id=at)),
        st.builds(lambda extra: HumanMessage("x", extra=extra), inner),
        st.builds(Note, st.just("mine"), stars=st.integers(0, 2)),
    )


values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.one_of(containers(inner), objects(inner), messages(inner)),
    max_leaves=6,
)
"""Values without tuples, but for those in sets and keys: all others come back as lists."""


def containers_in(value: Any) -> Iterator[Any]:
    """Yield the dicts and lists of a JSON value."""
    if isinstance(value, dict | list):
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from containers_in(item)
