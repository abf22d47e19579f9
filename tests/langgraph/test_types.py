"""What may be stored is what somebody has named: in a list, or in the schema of a graph's state."""

from __future__ import annotations

import abc
import enum
import socket
import sys
import types
from collections.abc import Callable, Sequence  # noqa: TC003 - annotations are read
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Protocol,
    Required,
    TypedDict,
    TypeVar,
    Union,
)

import pytest
from langchain.agents import AgentState, create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage
from langgraph._internal._serde import build_serde_allowlist
from langgraph.graph import MessagesState, add_messages
from langgraph.types import Overwrite
from pydantic import BaseModel, PrivateAttr
from typing_extensions import TypeAliasType, TypedDict as OtherTypedDict

from threadfold.domain.errors import ConfigurationError, UnregisteredTypeError
from threadfold.infrastructure.langgraph.annotations import classes_in
from threadfold.infrastructure.langgraph.types import TypeRegistry
from threadfold.infrastructure.langgraph.values import ValueCodec

if TYPE_CHECKING:
    from nowhere import Unimportable

T = TypeVar("T")


class Bound(BaseModel):
    pass


B = TypeVar("B", bound=Bound)


class Step(BaseModel):
    cost: Money
    _origin: Origin = PrivateAttr()


class Money(NamedTuple):
    amount: int
    currency: Currency


class Currency(enum.Enum):
    EUR = "EUR"


class Origin:
    def __init__(self) -> None:
        self.place = "here"


class Plan(BaseModel):
    steps: list[Step] = []
    parent: Optional[Plan] = None  # noqa: UP045 - as users write it


@dataclass
class Order:
    lines: dict[str, Annotated[Line, "priced"]] = field(default_factory=dict)
    note: InitVar[str] = ""
    kinds: ClassVar[dict[str, Kind]] = {}


@dataclass
class Line:
    size: int = 1


class Kind:
    pass


@dataclass
class Box(Generic[T]):
    content: T


class Leaf(BaseModel):
    pass


class Wing(BaseModel):
    pass


class Root(BaseModel):
    pass


class Seed(BaseModel):
    pass


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self) -> float: ...


class Speaking(Protocol):
    def speak(self) -> str: ...


class Outer:
    class Inner(BaseModel):
        pass


class MyMessage(HumanMessage):
    pass


class TroubleError(Exception):
    pass


Name = NewType("Name", Leaf)
Wings = TypeAliasType("Wings", list[Wing])
Unknown = TypeAliasType("Unknown", "Nowhere")  # noqa: F821 - that is the point


class State(TypedDict, total=False):
    messages: Required[Annotated[list[AnyMessage | MyMessage], add_messages]]
    plan: Plan | None
    orders: NotRequired[dict[str, Union[Order, int]]]  # noqa: UP007 - as users write it
    box: Box[Leaf]
    name: Name
    wings: Wings
    hooks: Callable[[Root], Seed]
    mode: Literal["a", "b"]
    anything: Any
    shape: Sequence[Shape]
    error: TroubleError
    inner: Outer.Inner
    generic: T
    bounded: B
    speaking: Speaking
    odd: Unknown
    rest: tuple[Origin, ...]


STORED = [
    *(Plan, Step, Money, Currency, Origin, Order, Line, Box, Leaf, Wing, Root, Seed),
    *(TroubleError, Outer.Inner, Bound, MyMessage),
]


def name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def test_a_schema_brings_in_all_classes_that_it_names() -> None:
    registry = TypeRegistry().with_schema(State)
    for cls in STORED:
        assert registry.form_of(cls) is registry.form_named(name(cls)) is not None, cls
    for cls in (Shape, Speaking, Kind):
        assert registry.form_of(cls) is None, "nobody can store one, or it is no field"
    assert registry.form_named(name(State)) is None


@pytest.mark.parametrize("cls", STORED, ids=lambda cls: cls.__name__)
def test_a_class_itself_may_stand_for_a_schema(cls: type) -> None:
    assert TypeRegistry().form_of(cls) is None
    assert TypeRegistry().with_schema(cls).form_of(cls) is not None
    assert TypeRegistry().extended(cls).form_of(cls) is not None


def test_a_registered_object_goes_through_the_codec_and_others_do_not() -> None:
    codec = ValueCodec(TypeRegistry().with_schema(State))
    plan = Plan(steps=[Step(cost=Money(1, Currency.EUR))], parent=Plan())
    assert codec.decode(codec.encode(plan, "plan")) == plan
    with pytest.raises(UnregisteredTypeError):
        codec.encode(Kind(), "plan")


class Broken(TypedDict):
    before: Line
    bad: Unimportable
    worse: list[Unimportable]
    after: Origin


@dataclass
class BrokenToo:
    bad: Unimportable
    kept: Kind


def test_an_annotation_that_cannot_be_resolved_hides_no_other_one() -> None:
    assert set(classes_in(Broken)) == {Line, Origin}
    assert set(classes_in(BrokenToo)) == {BrokenToo, Kind}


def test_an_alias_whose_meaning_is_not_there_is_passed_over() -> None:
    class Late:
        """As `type Late = …` has it: the meaning is looked up when somebody asks."""

        @property
        def __value__(self) -> object:
            raise NameError("Unimportable")

    assert classes_in(Late(), list[Line]) == [Line]


def test_a_schema_of_a_functions_own_scope_is_searched_as_far_as_it_can_be() -> None:
    class Local(BaseModel):
        pass

    class LocalState(OtherTypedDict):
        local: Local
        line: Line

    assert classes_in(LocalState) == [Line]
    assert classes_in(LocalState, Local) == [Line, Local]


def test_state_models_dataclasses_and_agents_are_schemas_too() -> None:
    class Models(BaseModel):
        plan: Plan

    @dataclass
    class Classes:
        order: Order

    assert {Plan, Step}.issubset(classes_in(Models))
    assert {Order, Line}.issubset(classes_in(Classes))
    assert TypeRegistry().with_schema(MessagesState, AgentState[Plan]).form_of(Plan) is not None
    assert classes_in(None, Any, 3, "Nowhere", [], Literal["a"], ...) == []


def test_a_copy_has_what_the_original_had_and_the_original_nothing_of_the_copy() -> None:
    first = TypeRegistry().extended(Line)
    second = first.extended(Kind)
    second.add_all([Origin, Leaf])
    assert [first.form_of(cls) is None for cls in (Line, Kind, Origin)] == [False, True, True]
    assert all(second.form_of(cls) for cls in (Line, Kind, Origin, Leaf))


def test_of_two_classes_of_one_name_the_later_one_is_read_and_both_are_written() -> None:
    def version(number: int) -> type:
        @dataclass
        class Version:
            size: int = number

        return Version

    old, new = version(1), version(2)
    codec = ValueCodec(TypeRegistry().extended(old, new))
    assert type(codec.decode(codec.encode(old(), "c"))) is new
    assert type(codec.decode(codec.encode(new(), "c"))) is new


@pytest.mark.parametrize("cls", [Shape, Speaking, types.FunctionType, socket.socket, State])
def test_a_class_whose_objects_cannot_be_stored_is_refused_at_once(cls: type) -> None:
    with pytest.raises(ConfigurationError, match=f"{cls.__name__} cannot be stored"):
        TypeRegistry().add(cls)


@pytest.mark.parametrize(
    "cls", [int, dict, range, datetime, Path, HumanMessage, Overwrite, ValueError]
)
def test_to_name_a_class_that_needs_no_registering_is_no_mistake(cls: type) -> None:
    TypeRegistry().add(cls)


# ------------------------------------------------------------------ LangGraph's own list


def test_the_list_that_langgraph_makes_of_a_schema_brings_in_the_same_classes() -> None:
    allowlist = build_serde_allowlist(schemas=[State])
    registry = TypeRegistry().with_allowlist(allowlist)
    for cls in (Plan, Step, Order, Line, Leaf, Outer.Inner):
        assert registry.form_of(cls) is not None, cls
        assert registry.form_named(name(cls)) is not None, cls
    assert registry.form_of(Kind) is None
    assert registry.with_allowlist(allowlist) is registry
    assert registry.form_of(BaseMessage) is TypeRegistry().form_of(BaseMessage)


def test_a_list_takes_classes_and_pairs_and_comes_back_itself_if_it_says_nothing_new() -> None:
    registry = TypeRegistry()
    listed = [("langgraph.types", "Overwrite"), HumanMessage]
    assert registry.with_allowlist(listed).form_of(Overwrite) is registry.form_of(Overwrite)
    assert registry.with_allowlist([]) is registry
    known = registry.with_allowlist([Line])
    assert known.form_of(Line) is not None
    assert registry.form_of(Line) is None
    assert known.with_allowlist([Line]) is known


def test_a_class_that_is_listed_by_name_is_found_when_it_turns_up_and_imported_never() -> None:
    module = types.ModuleType("not_there_yet")
    registry = TypeRegistry().with_allowlist([("not_there_yet", "Late"), ("antigravity", "Fly")])
    assert registry.form_named("not_there_yet:Late") is None
    assert registry.form_named("antigravity:Fly") is None
    assert "antigravity" not in sys.modules

    class Late(BaseModel):
        pass

    Late.__module__, Late.__qualname__ = "not_there_yet", "Late"
    sys.modules["not_there_yet"] = module
    try:
        assert registry.form_named("not_there_yet:Late") is None
        module.Late = Late  # type: ignore[attr-defined]
        assert registry.form_named("not_there_yet:Late") is registry.form_of(Late) is not None
    finally:
        del sys.modules["not_there_yet"]


def test_a_module_that_makes_up_what_it_is_asked_for_is_not_asked() -> None:
    module = types.ModuleType("generous")
    asked: list[str] = []
    module.__getattr__ = asked.append  # type: ignore[method-assign]
    sys.modules["generous"] = module
    try:
        registry = TypeRegistry().with_allowlist([("generous", "Gift")])
        assert registry.form_named("generous:Gift") is None
        assert registry.form_named("generous:Gift.Box") is None
        assert asked == []
    finally:
        del sys.modules["generous"]


def test_the_answer_of_an_agent_is_stored_once_its_type_is_named() -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("done")]))
    agent = create_agent(model, state_schema=AgentState)
    result = agent.invoke({"messages": [HumanMessage("hi")]})
    codec = ValueCodec(TypeRegistry())
    written = codec.encode(result, "values")
    assert codec.decode(written) == result
    answer = {**result, "structured_response": Plan()}
    with pytest.raises(UnregisteredTypeError, match="structured_response"):
        codec.encode(answer, "values")
    named = ValueCodec(TypeRegistry().with_schema(Plan))
    assert named.decode(named.encode(answer, "values")) == answer
