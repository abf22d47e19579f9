"""A run's input has typed messages with ids from its acceptance on, and everything else stays as it was sent."""

import operator
from itertools import count
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from threadfold.infrastructure.langgraph.compiled import compiled, message_channels
from threadfold.infrastructure.langgraph.inputs import with_messages

CHANNELS = frozenset({"messages"})


def taken(given: Any, channels: Any = CHANNELS) -> Any:
    numbers = count(1)
    return with_messages(given, channels, lambda: f"id{next(numbers)}")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("hi", [HumanMessage("hi", id="id1")]),
        ({"role": "user", "content": "hi"}, [HumanMessage("hi", id="id1")]),
        ({"type": "human", "content": "hi", "id": "own"}, [HumanMessage("hi", id="own")]),
        (["user", "hi"], [HumanMessage("hi", id="id1")]),
        ([["user", "hi"], ["ai", "there"]],
         [HumanMessage("hi", id="id1"), AIMessage("there", id="id2")]),
        (["one", "two"], [HumanMessage("one", id="id1"), HumanMessage("two", id="id2")]),
        ([{"role": "tool", "content": "x", "tool_call_id": "c"}],
         [ToolMessage("x", tool_call_id="c", id="id1")]),
        ([], []),
    ],
)  # fmt: skip
def test_messages_are_typed_and_have_ids(given, expected):
    result = taken({"messages": given})
    assert result == {"messages": expected}
    assert all(isinstance(each, BaseMessage) for each in result["messages"])


@pytest.mark.parametrize(
    "given",
    [
        {"messages": [{"no": "message"}]},
        {"messages": [{"role": "user", "content": "fits"}, 3]},
        {"messages": {"__overwrite__": [{"role": "user", "content": "hi"}]}},
        {"messages": None},
        {"other": [{"role": "user", "content": "hi"}]},
        "no object",
        None,
    ],
)
def test_what_is_no_message_stays_as_it_is(given):
    assert taken(given) == given


def test_a_state_that_is_nothing_but_messages_takes_them_bare():
    assert taken("hi", {"__root__"}) == [HumanMessage("hi", id="id1")]


class Mixed(MessagesState):
    thoughts: Annotated[list[Any], add_messages(format="langchain-openai")]
    log: Annotated[list[Any], operator.add]
    plain: list[Any]


class Root(TypedDict):
    plain: str


def test_the_channels_of_messages_are_those_that_langgraph_reduces_as_such():
    def node(state):
        return {}

    for schema, expected in ((Mixed, {"messages", "thoughts"}), (Root, set())):
        graph = compiled(StateGraph(schema).add_node(node).add_edge(START, "node"))
        assert graph is not None
        assert message_channels(graph) == expected
    graph = compiled(
        StateGraph(Annotated[list[Any], add_messages]).add_node(node).add_edge(START, "node")
    )
    assert graph is not None
    assert message_channels(graph) == {"__root__"}
