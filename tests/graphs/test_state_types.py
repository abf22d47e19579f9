"""The state's type says which channels there are, and how each takes an update."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Generic, NotRequired, TypedDict, TypeVar

import pytest
from pydantic import BaseModel, Field

from tests.graphs.fakes import RealIds, Recording
from threadfold.domain.changes import Replace, Splice
from threadfold.domain.errors import ConfigurationError, ReducerError
from threadfold.domain.reducers import append, messages
from threadfold.infrastructure.graphs.functions import FunctionGraph, ReadOnlyState
from threadfold.infrastructure.graphs.state_types import schema_of

T = TypeVar("T")


def longest(old: Any, new: Any) -> Any:
    return max(old or "", new, key=len)


def broken(old: Any, new: Any) -> Any:
    raise ZeroDivisionError("no")


def not_json(old: Any, new: Any) -> Any:
    return object()


def spoiling(old: list[Any], new: list[Any]) -> list[Any]:
    old.append("spoilt")
    return new


class Typed(TypedDict):
    messages: Annotated[list[Any], messages]
    notes: NotRequired[Annotated[list[str], append]]
    best: Annotated[str, longest]
    topic: Annotated[str, "what it is about"]


@dataclass
class Data:
    messages: Annotated[list[Any], messages]
    notes: Annotated[list[str], append] = field(default_factory=list)
    best: Annotated[str, longest] = ""
    topic: str = ""
    shared: ClassVar[int] = 3


class Model(BaseModel):
    messages: Annotated[list[Any], messages]
    notes: Annotated[list[str], Field(description="What is known."), append] = []
    best: Annotated[str, longest] = ""
    topic: str = ""


async def chat(state, run):
    yield {"notes": ["a"], "best": "long"}
    yield {"notes": "b", "best": "no", "topic": "rain"}
    yield {"messages": ("ai", "hi"), "notes": ["c", "d"]}


@pytest.mark.parametrize("state", [Typed, Data, Model])
async def test_reducers_come_from_annotated_fields(state):
    schema = schema_of(state)
    assert schema.names == {"messages", "notes", "best", "topic"}
    assert schema.reducers.keys() == {"messages", "notes", "best"}
    recording = await Recording().run(FunctionGraph("agent", chat, state=state), given={})
    assert recording.contents == ["hi"]
    assert recording.values["notes"] == ["a", "b", "c", "d"]
    assert (recording.values["best"], recording.values["topic"]) == ("long", "rain")
    assert recording.steps[-1].changes["notes"] == Splice(2, 0, ["c", "d"])


def typed_state(state: Typed, run: Any) -> None: ...
def quoted_state(state: "Typed") -> None: ...
def open_state(state: ReadOnlyState) -> None: ...
def mapping_state(state: dict[str, Any]) -> None: ...


def test_the_annotation_of_the_first_parameter_is_the_states_type():
    for function in (typed_state, quoted_state):
        assert FunctionGraph("agent", function).schema.names == {
            "messages",
            "notes",
            "best",
            "topic",
        }
    for function in (open_state, mapping_state, chat):
        schema = FunctionGraph("agent", function).schema
        assert schema.names is None
        assert schema.reducers == {"messages": messages}


def test_the_annotation_of_an_objects_call_and_of_a_generic_type_are_found():
    class Agent:
        async def __call__(self, state: "Typed") -> None: ...

    class Box(TypedDict, Generic[T]):
        content: T

    async def boxed(state: Box[int]) -> None: ...

    assert "topic" in (FunctionGraph("agent", Agent()).schema.names or ())
    assert FunctionGraph("agent", boxed).schema.names == {"content"}


def test_an_annotation_that_cannot_be_resolved_is_refused_with_a_way_out():
    def agent(state: "Missing", run: "AlsoMissing") -> None: ...  # noqa: F821

    with pytest.raises(ConfigurationError, match=r"annotation Missing .* pass state="):
        FunctionGraph("agent", agent)
    assert "topic" in (FunctionGraph("agent", agent, state=Typed).schema.names or ())


def test_a_field_that_cannot_be_resolved_is_refused():
    class Broken(TypedDict):
        topic: "Missing"  # noqa: F821

    with pytest.raises(ConfigurationError, match="the fields of Broken"):
        schema_of(Broken)


@pytest.mark.parametrize("state", [int, dict[str, Any], "Typed", 3, object()])
def test_what_is_no_state_type_is_refused(state):
    with pytest.raises(ConfigurationError, match="expected a TypedDict, a dataclass or"):
        FunctionGraph("agent", chat, state=state)


def test_a_reducer_takes_two_arguments():
    class State(TypedDict):
        notes: Annotated[list[str], len]

    with pytest.raises(ConfigurationError, match=r"State\.notes: expected a reducer of two"):
        schema_of(State)


async def test_a_plain_field_called_messages_holds_its_last_value():
    class State(TypedDict):
        messages: list[Any]

    async def talk(state):
        yield {"messages": ["a"]}
        yield {"messages": ["b"]}

    recording = await Recording().run(FunctionGraph("agent", talk, state=State))
    assert recording.values == {"messages": ["b"]}


async def test_a_reducer_of_ones_own_starts_on_the_types_empty_value():
    class State(TypedDict):
        notes: Annotated[list[str], operator.add]
        more: Annotated[Sequence[str], operator.add]
        total: Annotated[int, operator.add]
        facts: Annotated[dict[str, int], operator.or_]
        best: Annotated[int | None, lambda old, new: [old, new]]
        most: Annotated[NotRequired[float], max]

    async def count(state):
        for _ in range(2):
            update = {"notes": ["a"], "more": ["b"], "total": 2, "facts": {"x": 1}, "most": 0.5}
            yield {**update, "best": 1}

    recording = await Recording().run(FunctionGraph("agent", count, state=State))
    assert recording.values == {
        "notes": ["a", "a"],
        "more": ["b", "b"],
        "total": 4,
        "facts": {"x": 1},
        "best": [[None, 1], 1],
        "most": 0.5,
    }


def test_langgraphs_own_reducer_of_messages_is_stored_as_ours_is():
    def _add_messages(left: Any, right: Any) -> Any:
        raise AssertionError("it is never called")

    _add_messages.__module__ = "langgraph.graph.message"

    class State(TypedDict):
        messages: Annotated[list[Any], _add_messages]

    assert schema_of(State).reducers == {"messages": messages}


@pytest.mark.parametrize(
    ("reducer", "problem"),
    [
        (broken, "notes: its reducer raised ZeroDivisionError: no"),
        (not_json, "notes: JSON cannot hold"),
    ],
)
async def test_a_reducer_that_fails_fails_the_run_and_records_nothing(reducer, problem):
    class State(TypedDict):
        notes: Annotated[list[str], reducer]

    async def note(state):
        return {"notes": ["a"]}

    recording = Recording()
    with pytest.raises(Exception, match=problem):
        await recording.run(FunctionGraph("agent", note, state=State))
    assert recording.steps == []


async def test_a_reducer_that_changes_its_arguments_spoils_nothing():
    class State(TypedDict):
        notes: Annotated[list[str], spoiling]

    async def note(state):
        return {"notes": ["b"]}

    state = {"notes": ["a"]}
    recording = await Recording().run(FunctionGraph("agent", note, state=State), state=state)
    assert state == {"notes": ["a"]}
    assert recording.steps[0].changes == {"notes": Replace(["b"])}


async def test_an_unknown_key_of_the_graphs_own_is_an_error_and_one_from_outside_is_left_out():
    async def note(state):
        return {"topic": "rain", "topik": "typing error"}

    graph = FunctionGraph("agent", note, state=Typed)
    known = "best, messages, notes, topic"
    with pytest.raises(ReducerError, match=f"note.topik: no such channel; the state has {known}"):
        await Recording().run(graph)

    async def rest(state):
        return None

    graph = FunctionGraph("agent", rest, state=Typed)
    given = {"topic": "sun", "unknown": 1}
    assert graph.prepare(given, RealIds()) == given
    recording = await Recording().run(graph, given=given)
    assert recording.values == {"topic": "sun"}
    assert graph.update({}, given, RealIds()) == ({"topic": "sun"}, {"topic": Replace("sun")})
