"""Values come back from the log as they were, of their own class, or they are refused when they are written."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import io
import os
import re
import struct
import sys
import threading
import warnings
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PureWindowsPath
from time import struct_time
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    ToolMessage,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.errors import GraphRecursionError
from langgraph.types import (
    Command,
    Interrupt,
    Overwrite,
    PregelTask,
    Send,
    StateSnapshot,
    TimeoutPolicy,
)
from pydantic import AnyUrl, BaseModel, HttpUrl, PostgresDsn, RootModel, SecretBytes
from pydantic_core import TzInfo

from tests.support import typed_values as v
from tests.support.typed_values import containers_in, exactly, taken_apart, values
from threadfold.domain.errors import (
    ConfigurationError,
    EngineError,
    NotJsonError,
    UnreadableValueError,
    UnregisteredTypeError,
)
from threadfold.domain.typed import MESSAGE_TYPES, identity, message_of, plain
from threadfold.domain.values import DEPTH_MAX
from threadfold.infrastructure.langgraph.derived import derived_base
from threadfold.infrastructure.langgraph.messages import MESSAGE_CLASSES
from threadfold.infrastructure.langgraph.raised import StoredError
from threadfold.infrastructure.langgraph.types import TypeRegistry
from threadfold.infrastructure.langgraph.values import ValueCodec

with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore"
    )  # Of the first pydantic, which Python 3.14 does not know any more.
    from pydantic.v1 import BaseModel as LegacyBase, PrivateAttr as LegacyPrivate

CODEC = ValueCodec(TypeRegistry().extended(*v.REGISTERED))
PLAIN = ValueCodec(TypeRegistry())

thorough = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def stored(value: object, codec: ValueCodec = CODEC) -> Any:
    """Return the stored form, as it comes out of a log."""
    return orjson.loads(orjson.dumps(codec.encode(value, "channel")))


def there_and_back(value: object, codec: ValueCodec = CODEC) -> Any:
    return codec.decode(stored(value, codec))


# ------------------------------------------------------------------ the round trip


@thorough
@given(values)
def test_every_value_comes_back_of_its_class_and_with_its_content(value: Any) -> None:
    before = taken_apart(value)
    written = stored(value)
    back = CODEC.decode(written)
    assert taken_apart(back) == before
    assert taken_apart(value) == before, "and writing it has not changed it"
    assert CODEC.encode(back, "channel") == written


@thorough
@given(values)
def test_readers_get_json_without_tags_for_every_value(value: Any) -> None:
    shown = plain(CODEC.encode(value, "channel"))
    orjson.dumps(shown)
    for inner in containers_in(shown):
        if isinstance(inner, dict) and set(inner) == {"$"}:  # Somebody's own key: it is no tag.
            assert message_of(inner) is None


@thorough
@given(values)
def test_nothing_that_can_change_is_shared_with_what_is_stored(value: Any) -> None:
    written = CODEC.encode(value, "channel")
    inside = {id(container) for container in containers_in(written)}
    assert inside.isdisjoint(map(id, reachable(value)))
    assert inside.isdisjoint(map(id, reachable(CODEC.decode(written))))


def reachable(value: Any) -> list[Any]:
    """Return all dicts and lists that belong to a value."""
    found: dict[int, Any] = {}
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if id(item) in found or isinstance(item, type) or callable(item):
            continue
        found[id(item)] = item
        waiting += gc.get_referents(item)
    return [item for item in found.values() if isinstance(item, dict | list)]


NAMED: dict[str, Any] = {
    "an integer that is too long for text": 10**5000,
    "a negative one": -(10**5000),
    "keys with a dollar": {"$": ["message", "human", {}]},
    "a key that UTF-8 cannot hold": {"\ud800": 1, "a": 2},
    "two halves that are no character": "\ud83d\ude00",
    "a backslash before one": "\\\ud800\n",
    "a time zone of pydantic's": datetime(2026, 1, 1, tzinfo=TzInfo(3600)),
    "an hour that comes twice": datetime(
        2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")
    ),
    "a URL": HttpUrl("https://example.com/a?b#c"),
    "any URL": AnyUrl("scheme://x"),
    "a database's": PostgresDsn("postgresql://user@host:5432/db"),
    "secret bytes": SecretBytes(b"\xff"),
    "the text of a message": AIMessage("hello").text,
    "an overwrite": Overwrite([1]),
    "a snapshot of a delta channel": _DeltaSnapshot([HumanMessage("x", id="1")]),
    "a policy": TimeoutPolicy(run_timeout=1.5),
    "a task": PregelTask("1", "n", [], None, [], None, None),
    "a state": StateSnapshot({"a": 1}, ["n"], {}, None, None, None, [], []),
    "a document": Document(id="1", page_content="x", metadata={"at": datetime(2026, 1, 1)}),  # noqa: DTZ001
    "a message of no class of its own": BaseMessage("x", type="own", extra=1),
    "a removal": RemoveMessage(id="1"),
    "a set of sets": {frozenset({1, "a"}), frozenset()},
    "a class": dict,
    "a box that somebody has written a parameter on": v.Box[int](1),
    "flags by number": v.Access(3),
    "a list in a list of its own class": [v.Bag({1: v.Bag()})],
    "a default dict of a user's class": defaultdict(v.Order, {1: 2}),
    "a bytes pattern": re.compile(rb"\xff", re.IGNORECASE),
}


@pytest.mark.parametrize("value", NAMED.values(), ids=NAMED.keys())
def test_these_come_back_as_they_were_too(value: Any) -> None:
    before, back = taken_apart_without_zones(value), there_and_back(value)
    assert taken_apart_without_zones(back) == before
    assert taken_apart_without_zones(there_and_back(back)) == before


def taken_apart_without_zones(value: Any) -> Any:
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, SecretBytes):
        return value.get_secret_value()
    if isinstance(value, AnyUrl | PostgresDsn | HttpUrl):
        return type(value), str(value)
    if isinstance(value, datetime) and isinstance(
        value.tzinfo, TzInfo
    ):  # It is an offset, and stays one.
        return taken_apart(value.replace(tzinfo=timezone(value.utcoffset() or timedelta())))
    return taken_apart(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        ({"a": (1,)}, {"a": [1]}),
        (v.Point((1,), 2), v.Point([1], 2)),
        (Send("n", (1,)), Send("n", [1])),
        (deque([(1,)]), deque([[1]])),
        ({(1, (2,)): (3,)}, {(1, (2,)): [3]}),
        ({(1, (2,))}, {(1, (2,))}),
        ({v.Point((1,), (2,))}, {v.Point((1,), (2,))}),
        (
            ToolMessage("x", tool_call_id="1", artifact=(1,)),
            ToolMessage("x", tool_call_id="1", artifact=[1]),
        ),
    ],
)
def test_tuples_come_back_as_lists_but_where_a_list_cannot_stand(value: Any, expected: Any) -> None:
    assert exactly(there_and_back(value), expected)


def test_equal_sets_are_stored_alike_whatever_order_they_show_their_elements_in() -> None:
    elements = [
        0,
        2**61 - 1,
        "a",
        "b",
        b"c",
        (1, 2),
        None,
        0.5,
    ]  # The first two fall into one slot.
    assert stored({*elements}) == stored({*elements[::-1]})


def test_plain_json_is_stored_as_it_is() -> None:
    value = {"a": [1, 2.5, None, True, "é", 2**64 - 1, -(2**63)], "b": {"": []}}
    assert stored(value) == value


def test_a_message_is_stored_as_its_type_and_what_differs_from_the_defaults() -> None:
    message = HumanMessage("hi", id="m1", stars=2)
    assert stored(message) == {"$": ["message", "human", {"content": "hi", "id": "m1", "stars": 2}]}
    assert identity(stored(message)) == "m1"


@pytest.mark.parametrize("kind", MESSAGE_TYPES)
def test_readers_see_a_message_just_as_langchain_dumps_it(kind: str) -> None:
    needed: dict[str, Any] = {
        "tool": {"tool_call_id": "c"},
        "function": {"name": "f"},
        "chat": {"role": "critic"},
    }
    arguments = needed.get(kind.removesuffix("MessageChunk").lower(), {})
    cls = MESSAGE_CLASSES[kind]
    message = cls(id="1") if kind == "remove" else cls(content="x", id="1", **arguments, own=[1])
    shown: Any = plain(stored(message))
    assert shown == message.model_dump()
    assert [*shown] == [*message.model_dump()]
    assert [*there_and_back(message).model_dump()] == [*message.model_dump()]
    assert message.type == kind


def test_there_is_a_stored_form_for_every_class_of_messages() -> None:
    def kinds(cls: type) -> set[type]:
        return {cls}.union(*map(kinds, cls.__subclasses__()))

    own = {cls for cls in kinds(BaseMessage) if cls.__module__.startswith("langchain_core.")}
    bases = {cls for cls in own if cls.__name__ in {"BaseMessage", "BaseMessageChunk"}}
    assert own - bases == set(MESSAGE_CLASSES.values())


def test_a_message_that_was_changed_by_hand_is_stored_as_it_is_now() -> None:
    message = AIMessage("x", id="1")
    message.type = "own"  # type: ignore[assignment]
    message.content = {"odd": (1,)}  # type: ignore[assignment]
    back = there_and_back(message)
    assert (back.type, back.content) == ("own", {"odd": [1]})


# ------------------------------------------------------------------ classes


class Wide(RootModel[list[v.Point]]):
    pass


class Tall(BaseModel):
    point: v.Point
    url: HttpUrl
    inner: v.Plan | None = None


# Newer Pythons keep annotations where the first pydantic does not look.
Legacy: Any = type(LegacyBase)(
    "Legacy",
    (LegacyBase,),
    {
        "__module__": __name__,
        "__annotations__": {"size": int, "name": str},
        "name": "x",
        "_hidden": LegacyPrivate(1),
    },
)


class Grumpy:
    """Setting and reading it has side effects that must not happen."""

    def __init__(self, size: int) -> None:
        object.__setattr__(self, "size", size)

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError(name)

    def __eq__(self, other: object) -> bool:
        raise TypeError("nobody compares")

    __hash__ = None  # type: ignore[assignment]


def test_models_dataclasses_and_plain_classes_in_each_other_come_back() -> None:
    codec = ValueCodec(TypeRegistry().with_schema(Wide, Tall, Legacy, Grumpy))
    tall = Tall(point=v.Point(1, [2]), url=HttpUrl("https://x.y"), inner=v.Plan(title="t"))
    back = there_and_back(tall, codec)
    assert back == tall
    assert back.inner.model_fields_set == {"title"}
    assert there_and_back(Wide([v.Point(1)]), codec) == Wide([v.Point(1)])
    grumpy = there_and_back([Grumpy(3)], codec)[0]
    assert type(grumpy) is Grumpy
    assert vars(grumpy) == {"size": 3}


def test_models_of_the_first_pydantic_come_back() -> None:
    codec = ValueCodec(TypeRegistry().extended(Legacy))
    legacy = Legacy(size=1)
    legacy._hidden = 5
    back = there_and_back(legacy, codec)
    assert back == legacy
    assert (back._hidden, back.__fields_set__) == (5, {"size"})
    assert there_and_back(Legacy(size=1, name="y"), codec).__fields_set__ == {"size", "name"}


def hostile(base: type) -> type:
    """Return a subclass that does not show what it holds, as some do."""

    def refuse(*_: Any) -> Any:
        raise TypeError("nobody looks inside")

    own = (
        "__iter__",
        "__getitem__",
        "__str__",
        "__len__",
        "__init__",
        "copy",
        "items",
        "isoformat",
    )
    names = {name: refuse for name in own if hasattr(base, name)}
    return type(f"Own{base.__name__}", (base,), names)


@pytest.mark.parametrize(
    "held",
    [
        *("text", 5, 2.5, 1j, b"\xff", bytearray(b"x"), [1, 2], (1, (2,)), {1: (2,)}, {1, 2}),
        *(
            frozenset({1}),
            deque([1], 3),
            OrderedDict(b=1, a=2),
            Counter(a=2),
            defaultdict(int, a=1),
        ),
        *(Decimal("1.234567890123456789012345678901234567890"), timedelta(1, 2, 3)),
        *(date(2026, 1, 2), time(1, 2, fold=1), datetime(2026, 1, 2, 3, 4, 5, 6, UTC, fold=1)),
    ],
    ids=lambda held: type(held).__name__,
)
def test_a_subclass_of_a_data_type_comes_back_whatever_it_overrides(held: Any) -> None:
    cls = hostile(type(held))
    base = derived_base(cls)
    assert base is not None
    codec = ValueCodec(TypeRegistry().extended(cls))
    back = there_and_back(base.make(cls, held), codec)
    assert type(back) is cls
    expected = [1, [2]] if held == (1, (2,)) else {1: [2]} if held == {1: (2,)} else held
    kept = base.held(back)
    assert exactly([*kept] if isinstance(held, tuple) else kept, expected)
    assert plain(stored(base.make(cls, held), codec)) == plain(stored(held))


def test_a_subclass_that_only_its_own_code_can_make_cannot_be_registered() -> None:
    with pytest.raises(ConfigurationError, match="struct_time"):
        TypeRegistry().add(struct_time)


def test_no_validator_runs_when_a_value_is_read() -> None:
    picky = v.Picky(size=1)
    picky.__dict__["size"] = "long"
    assert there_and_back(picky).size == "long"


def renamed(cls: type, old: type) -> type:
    """Let a class have another one's place and name, as its next version does."""
    cls.__module__, cls.__qualname__, cls.__name__ = old.__module__, old.__qualname__, old.__name__
    return cls


def test_a_class_that_has_changed_reads_what_was_stored_before() -> None:
    class NewPlan(BaseModel):
        title: str
        urgency: int = 3
        tags: list[str] = dataclasses.field(default_factory=list)

    @dataclasses.dataclass(slots=True)
    class NewOrder:
        number: int
        priority: int = 5
        notes: list[str] = dataclasses.field(default_factory=list)

    class NewPair(NamedTuple):
        right: Any
        middle: int = 7

    class NewColor(v.enum.Enum):
        SCARLET = "red"

    old = [v.Plan(title="t", steps=[1]), v.Order(1, [2]), v.Pair(1, 2), v.Color.RED]
    new = TypeRegistry().extended(
        renamed(NewPlan, v.Plan),
        renamed(NewOrder, v.Order),
        renamed(NewPair, v.Pair),
        renamed(NewColor, v.Color),
    )
    plan, order, pair, color = ValueCodec(new).decode(stored(old))  # type: ignore[misc]
    assert plan == NewPlan.model_construct(title="t", urgency=3)
    assert (order.number, order.priority, order.notes) == (1, 5, [])
    assert pair == NewPair(2, 7)
    assert color is NewColor.SCARLET


def test_a_class_of_another_kind_than_it_was_is_refused_when_it_is_read() -> None:
    class Color(BaseModel):
        pass

    codec = ValueCodec(TypeRegistry().extended(renamed(Color, v.Color)))
    with pytest.raises(UnreadableValueError, match="typed_values:Color was of another kind"):
        codec.decode(stored(v.Color.RED))


def test_a_member_that_is_gone_is_refused_when_it_is_read() -> None:
    class Color(v.enum.Enum):
        BLUE = "blue"

    codec = ValueCodec(TypeRegistry().extended(renamed(Color, v.Color)))
    with pytest.raises(UnreadableValueError, match="'red' is not a valid"):
        codec.decode(stored(v.Color.RED))


def test_a_member_whose_value_cannot_be_stored_is_found_by_name() -> None:
    class Tool(v.enum.Enum):
        SEARCH = v.enum.member(len)

    codec = ValueCodec(TypeRegistry().extended(Tool))
    assert there_and_back(Tool.SEARCH, codec) is Tool.SEARCH
    assert plain(stored(Tool.SEARCH, codec)) == "SEARCH"


# ------------------------------------------------------------------ exceptions


class UnknownError(Exception):
    pass


class RudeError(Exception):
    def __repr__(self) -> str:
        raise ValueError("no")


def noted(error: BaseException) -> BaseException:
    error.add_note("seen")
    return error


ERRORS = [
    *(ValueError("x", (1, 2)), KeyError("k"), asyncio.CancelledError(), StopIteration(3)),
    *(OSError(2, "gone", "file"), ImportError("no", name="m"), noted(RuntimeError("\ud800"))),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    ExceptionGroup("two", [ValueError(1), TypeError(2)]),
    v.TroubleError(3, where="here"),
    GraphRecursionError("too many steps"),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_exception_of_a_known_class_comes_back_as_it_was(error: BaseException) -> None:
    back = there_and_back(error)
    assert type(back) is type(error)
    assert (repr(back), str(back), vars(back)) == (repr(error), str(error), vars(error))
    assert plain(stored(error)) == repr(error).encode(errors="replace").decode()


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (UnknownError("x", 1), "UnknownError('x', 1)"),
        (ValueError(len), "ValueError(<built-in function len>)"),
        (RudeError(), "RudeError(<ValueError in its repr>)"),
    ],
)
def test_any_other_exception_comes_back_saying_what_the_original_said(
    error: BaseException, shown: str
) -> None:
    back = there_and_back(error)
    assert isinstance(back, StoredError)
    assert (repr(back), str(back)) == (shown, shown)
    assert plain(stored(error)) == shown
    assert stored(there_and_back(back)) == stored(error)


def test_an_exception_whose_class_takes_other_arguments_today_says_what_it_said() -> None:
    class DecodingError(UnicodeDecodeError):
        pass

    codec = ValueCodec(TypeRegistry().extended(renamed(DecodingError, v.TroubleError)))
    assert (
        repr(codec.decode(stored(v.TroubleError(3, where="here"))))
        == "TroubleError('here failed with 3')"
    )


# ------------------------------------------------------------------ refusals


class Stranger:
    pass


def nameless_zone() -> ZoneInfo:
    """Return a zone as it comes from a file."""
    rules = b"TZif\0" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + bytes(6) + b"UTC\0"
    return ZoneInfo.from_file(io.BytesIO(rules))


class StrangeModel(BaseModel):
    pass


class StrangeColor(v.enum.Enum):
    RED = 1


class StrangeMessage(HumanMessage):
    pass


def here(name: str) -> str:
    return f"{__name__}:{name}"


@pytest.mark.parametrize(
    ("value", "where", "name"),
    [
        (Stranger(), "plan", here("Stranger")),
        ({"steps": [1, {"at": Stranger()}]}, "plan.steps[1].at", here("Stranger")),
        ([StrangeModel()], "plan[0]", here("StrangeModel")),
        ({1: {(2, 3): StrangeColor.RED}}, "plan[1][(2, 3)]", here("StrangeColor")),
        ({10**5000: Stranger()}, "plan[int]", here("Stranger")),
        ({StrangeColor.RED: 1}, f"plan[{StrangeColor.RED!r}]", here("StrangeColor")),
        (StrangeMessage("x"), "plan", here("StrangeMessage")),
        (
            HumanMessage("x", additional_kwargs={"a": Stranger()}),
            "plan.additional_kwargs.a",
            here("Stranger"),
        ),
        (HumanMessage("x", own=Stranger()), "plan.own", here("Stranger")),
        (
            ToolMessage("x", tool_call_id="1", artifact=[Stranger()]),
            "plan.artifact[0]",
            here("Stranger"),
        ),
        (v.Plan(title="t", parent=v.Point(1, Stranger())), "plan.parent.y", here("Stranger")),
        (v._plan("t", [], Stranger()), "plan._seen", here("Stranger")),
        (v.Loose.model_validate({"a": Stranger()}), "plan.a", here("Stranger")),
        (Send("n", [Stranger()]), "plan.arg[0]", here("Stranger")),
        (Interrupt(Stranger()), "plan.value", here("Stranger")),
        (Command(update={"a": Stranger()}), "plan.update.a", here("Stranger")),
        ({frozenset({Stranger})}, "plan[0][0]", here("Stranger")),
        (defaultdict(Stranger), "plan", here("Stranger")),
        (deque([Stranger()]), "plan[0]", here("Stranger")),
    ],
)
def test_an_object_of_an_unregistered_class_is_refused_with_its_place_and_class(
    value: object, where: str, name: str
) -> None:
    with pytest.raises(UnregisteredTypeError) as caught:
        CODEC.encode(value, "plan")
    assert (caught.value.where, caught.value.name) == (where, name)
    assert f"types=[{name.rpartition(':')[2]}]" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (len, "builtin_function_or_method"),
        (lambda: 1, "function"),
        ((n for n in range(2)), "generator"),
        (threading.Lock(), "lock"),
        (sys, "module"),
        (object(), "object"),
        (list[int], "GenericAlias"),
        (memoryview(b"x"), "memoryview"),
        (nameless_zone(), "a time zone without a name"),
        (defaultdict(lambda: 1), "a defaultdict whose factory is no class"),
        (iter([]), "list_iterator"),
    ],
)
def test_what_no_registering_would_help_is_refused_too(value: object, problem: str) -> None:
    with pytest.raises(NotJsonError, match=problem) as caught:
        CODEC.encode({"a": [value]}, "plan")
    assert caught.value.where == "plan.a[0]"


def nested(levels: int, around: Any) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = around(value)
    return value


AROUND = {
    "list": lambda value: [value],
    "dict": lambda value: {"a": value},
    "pairs": lambda value: {1: value},
    "set": lambda value: frozenset({value}),
    "message": lambda value: HumanMessage("x", own=value),
    "model": lambda value: v.Plan(title="t", parent=value),
    "extra": lambda value: v.Loose.model_validate({"a": value}),
    "object": lambda value: v.Point(value),
    "send": lambda value: Send("n", value),
    "derived": lambda value: v.Bag({"a": value}),
}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND.keys())
def test_nesting_has_a_limit_and_up_to_it_everything_can_be_read_again(around: Any) -> None:
    deepest = max(levels for levels in range(1, DEPTH_MAX + 1) if is_taken(nested(levels, around)))
    assert DEPTH_MAX / 6 < deepest <= DEPTH_MAX
    with pytest.raises(NotJsonError, match=f"deeper than {DEPTH_MAX}"):
        CODEC.encode({"event": [{"values": nested(deepest + 1, around)}]}, "c")
    written = CODEC.encode(nested(deepest, around), "c")
    plain(written)
    around_it = {"event": [{"values": written}]}
    assert CODEC.encode(CODEC.decode(orjson.loads(orjson.dumps(around_it))), "c") == around_it


def is_taken(value: object) -> bool:
    try:
        CODEC.encode({"event": [{"values": value}]}, "c")
    except NotJsonError:
        return False
    return True


def test_a_cycle_is_refused_and_not_followed_for_ever() -> None:
    loop: list[Any] = []
    loop += [loop, loop]
    knot = v.Plan(title="t")
    knot.parent = {"back": knot}
    for value in (loop, knot):
        with pytest.raises(NotJsonError):
            CODEC.encode(value, "c")


def test_a_caller_that_is_deep_in_its_own_calls_gets_an_error_of_ours_too() -> None:
    deep = nested(150, lambda value: [value])
    written = CODEC.encode(deep, "c")
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(calls_made() + 100)
        with pytest.raises(NotJsonError, match="nested this deep"):
            CODEC.encode(deep, "c")
        with pytest.raises(UnreadableValueError, match="too deep"):
            CODEC.decode(written)
    finally:
        sys.setrecursionlimit(limit)


def calls_made() -> int:
    count, frame = 0, sys._getframe()
    while frame.f_back is not None:
        count, frame = count + 1, frame.f_back
    return count


# ------------------------------------------------------------------ reading what does not fit


@pytest.mark.parametrize(
    "written",
    [
        {"$": ["object", "os:system", {}]},
        {"$": ["object", "antigravity:Stranger", {}]},
        {"$": ["derived", "nowhere:Text", "x"]},
        {"$": ["enum", "nowhere:Color", "RED", "red"]},
        {"$": ["class", "subprocess:Popen"]},
        {"$": ["default", "nowhere:Order", []]},
        {"a": [{"$": ["object", "nowhere:Plan", {}]}]},
    ],
)
def test_a_stored_class_that_is_not_registered_is_named_and_never_imported(written: Any) -> None:
    before = set(sys.modules)
    with pytest.raises(UnregisteredTypeError, match=":"):
        CODEC.decode(written)
    assert "antigravity" not in sys.modules
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "written",
    [
        {"$": ["quaternion", 1]},
        {"$": [["message"], 1]},
        {"$": 1},
        {"$": []},
        {"$": ["message", "tomorrow", {}]},
        {"$": ["message", "human", 1]},
        {"$": ["datetime", "noon"]},
        {"$": ["decimal", "x"]},
        {"$": ["zone", "Europe/Atlantis"]},
        {"$": ["regex", "(", 0]},
        {"$": ["object", v.Plan.__module__ + ":Plan", []]},
        {"$": ["derived", v.Plan.__module__ + ":Bag", 1]},
        {"$": ["object", v.Plan.__module__ + ":Pair", {}]},
        {"$": ["dict", [[[], 1]]]},
    ],
)
def test_a_stored_value_that_cannot_be_read_says_so(written: Any) -> None:
    with pytest.raises(UnreadableValueError, match="cannot be read"):
        CODEC.decode(written)


@given(
    st.recursive(
        st.one_of(st.none(), st.integers(0, 2), st.sampled_from(["x", "human", "builtins:list"])),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.builds(
                lambda tag, rest: {"$": [tag, *rest]},
                st.sampled_from(["message", "object", "set", "dict", "send", "datetime", "error"]),
                st.lists(inner, max_size=3),
            ),
        ),
        max_leaves=5,
    )
)
def test_a_stored_value_is_read_or_refused_by_an_error_of_ours(written: Any) -> None:
    try:
        CODEC.decode(written)
    except EngineError:
        return


def test_a_path_of_the_other_system_is_read_as_a_pure_one() -> None:
    written = stored(Path("/a"))
    other = "WindowsPath" if os.name == "posix" else "PosixPath"
    written["$"][1:] = [other, "c:\\x"]
    back = CODEC.decode(written)
    assert type(back).__name__ == f"Pure{other}"
    assert os.name != "posix" or back == PureWindowsPath("c:\\x")


def test_a_dict_that_another_thread_fills_meanwhile_is_written_as_it_was_at_some_moment() -> None:
    busy: dict[Any, Any] = {}
    stop = threading.Event()

    def fill() -> None:
        count = 0
        while not stop.is_set():
            count += 1
            busy[f"k{count % 1000}"] = count
            if count % 1000 == 0:
                busy.clear()

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        for _ in range(300):
            assert isinstance(CODEC.encode(busy, "c"), dict)
    finally:
        stop.set()
        thread.join()


# ------------------------------------------------------------------ beside LangGraph's own serializer

REFERENCE = JsonPlusSerializer(
    allowed_msgpack_modules=[(cls.__module__, cls.__name__) for cls in v.REGISTERED]
)


def reference(value: object) -> Any:
    return REFERENCE.loads_typed(REFERENCE.dumps_typed(value))


alike_leaves = st.one_of(
    *(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False)),
    *(st.text(max_size=4), st.binary(max_size=3), st.uuids(), st.dates(), st.timedeltas()),
    st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=-3))])).map(
        lambda moment: moment.replace(fold=0)
    ),
    st.decimals(allow_nan=False),
    st.sampled_from([Path("/a/b"), re.compile("a", re.MULTILINE), v.Color.RED, v.Access.READ]),
)
alike_values = st.recursive(
    alike_leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(v.short, inner, max_size=2),
        st.dictionaries(st.one_of(v.short, st.integers(0, 3)), inner, max_size=2),
        st.sets(st.one_of(st.integers(0, 3), v.short), max_size=3),
        st.frozensets(v.short, max_size=3),
        st.lists(inner, max_size=2).map(deque),
        st.builds(Send, v.short, inner),
        st.builds(Interrupt, inner, v.short),
        st.builds(Command, update=inner, goto=v.short),
        st.builds(Overwrite, inner),
        st.builds(_DeltaSnapshot, inner),
        st.builds(v.Point, inner, inner),
        st.builds(v.Pair, inner, inner),
        st.builds(v.Plan, title=v.short, parent=st.one_of(st.none(), v.short)),
        st.builds(
            HumanMessage,
            v.short,
            id=v.short,
            additional_kwargs=st.dictionaries(v.short, alike_leaves, max_size=1),
        ),
        st.builds(ToolMessage, v.short, tool_call_id=v.short, artifact=alike_leaves),
        st.builds(Document, v.short, metadata=st.dictionaries(v.short, alike_leaves, max_size=1)),
    ),
    max_leaves=5,
)


@thorough
@given(alike_values)
def test_what_langgraphs_serializer_keeps_we_give_back_alike(value: Any) -> None:
    assert comparable(there_and_back(value)) == comparable(reference(value))


def comparable(value: Any) -> Any:
    """Return what a value is made of, but for what pydantic knows beside a model's fields."""
    apart = taken_apart(value)

    def cleaned(part: Any) -> Any:
        if isinstance(part, tuple) and len(part) == 5 and isinstance(part[1], list):
            part = part[:2] + part[3:4]
        return type(part)(map(cleaned, part)) if isinstance(part, list | tuple) else part

    return cleaned(apart)


def order_with_total() -> v.Order:
    order = v.Order(1)
    order.total = 5
    return order


def with_private() -> v.Plan:
    return v._plan("t", [], 5)


DIFFERENCES: dict[str, tuple[Any, Any]] = {
    "an exception becomes its repr": (ValueError("x"), "ValueError('x')"),
    "a subclass of str becomes str": (v.Text("x"), "x"),
    "an ordered dict becomes a dict": (OrderedDict(a=1), {"a": 1}),
    "so does a default dict": (defaultdict(list, a=[1]), {"a": [1]}),
    "a user's dict too": (v.Bag(a=1), {"a": 1}),
    "a named zone becomes its offset": (
        datetime(2026, 7, 1, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(2026, 7, 1, tzinfo=timezone(timedelta(hours=2))),
    ),
    "the second of two equal hours becomes the first": (
        datetime(2026, 10, 25, 2, fold=1, tzinfo=UTC),
        datetime(2026, 10, 25, 2, tzinfo=UTC),
    ),
    "a bounded deque is bounded no more": (deque([1], maxlen=2), deque([1])),
    "a dataclass with a field that is not for its maker becomes a dict": (
        order_with_total(),
        {"number": 1, "lines": [], "total": 5, "currency": "EUR"},
    ),
    "half a character becomes a question mark": ("a\ud800", "a?"),
    "private attributes are lost": (with_private(), v.Plan(title="t", steps=[], parent=None)),
    "an enum of tuples becomes its value": (v.Color.PAIR, [1, 2]),
    "tuples in keys are the only ones that stay": ({(1, 2)}, None),
}


@pytest.mark.parametrize(("value", "theirs"), DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_what_langgraphs_serializer_changes_comes_back_unchanged_from_us(
    value: Any, theirs: Any
) -> None:
    assert exactly(there_and_back(value), value)
    found = reference(value)
    assert not exactly(found, value)
    assert theirs is None or exactly(found, theirs)


@pytest.mark.parametrize(
    "value",
    [2**64, -(2**63) - 1, 1j, range(3), v.Basket(1), int, {"a": [v.Basket(2)]}, v.Basket],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_what_langgraphs_serializer_refuses_comes_back_from_us(value: Any) -> None:
    assert exactly(there_and_back(value), value)
    with pytest.raises(Exception):  # noqa: B017, PT011 - of several libraries
        REFERENCE.dumps_typed(value)
