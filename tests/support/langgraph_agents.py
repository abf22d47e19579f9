"""LangGraph graphs that tests run through the doors, and an engine with all of them."""

from __future__ import annotations

import operator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt
from typing_extensions import TypedDict

from threadfold.infrastructure.graphs.registry import GraphRegistry

from .engine import soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from threadfold import Engine

    from .engine import Database, Gates


class Log(TypedDict, total=False):
    """What happened, in order, and what was said last."""

    log: Annotated[list[Any], operator.add]
    last: str


class Part(TypedDict, total=False):
    """What a subgraph gives back: its log would otherwise stand there twice."""

    log: Annotated[list[Any], operator.add]
    told: str


def chat(gates: Gates) -> StateGraph:
    """Return an agent that answers `text` with `text.1` and `text.2`; gates stand at `text:0`, `text:1` and `text:2`."""

    def asked(state: MessagesState) -> str:
        return [message for message in state["messages"] if message.type == "human"][-1].text

    async def one(state: MessagesState) -> dict[str, Any]:
        text = asked(state)
        await gates[f"{text}:0"].pass_()
        return {"messages": [AIMessage(f"{text}.1")]}

    async def two(state: MessagesState) -> dict[str, Any]:
        text = asked(state)
        await gates[f"{text}:1"].pass_()
        return {"messages": [AIMessage(f"{text}.2")]}

    async def three(state: MessagesState) -> None:
        await gates[f"{asked(state)}:2"].pass_()

    return StateGraph(MessagesState).add_sequence([one, two, three]).add_edge(START, "one")


def asking(gates: Gates) -> StateGraph:
    """Return an agent that asks for a name in its second step; gates stand at `first`, `ask` (after the answer) and `last`."""

    async def first(state: Log) -> Log:
        await gates["first"].pass_()
        return {"log": ["first"], "last": "first"}

    async def ask(state: Log) -> Log:
        answer = interrupt({"question": "name?"})
        await gates["ask"].pass_()
        return {"log": [f"answer {answer}"]}

    async def last(state: Log) -> Log:
        await gates["last"].pass_()
        return {"log": ["last"], "last": "last"}

    return StateGraph(Log).add_sequence([first, ask, last]).add_edge(START, "first")


def family() -> StateGraph:
    """Return an agent whose second step is a subgraph, which asks."""

    async def think(state: Log) -> Log:
        get_stream_writer()({"thinks": True})
        return {"log": ["think"]}

    async def ask(state: Log) -> Part:
        return {"told": str(interrupt("what?"))}

    async def note(state: Part) -> Log:
        return {"log": [f"told {state['told']}"]}

    class Child(Log, total=False):
        told: str

    child = StateGraph(Child).add_sequence([think, ask, note]).add_edge(START, "think").compile()

    async def before(state: Log) -> Log:
        return {"log": ["before"]}

    async def within(state: Log) -> Log:
        found = await child.ainvoke({"log": []})
        return {"log": found["log"]}

    return StateGraph(Log).add_sequence([before, within]).add_edge(START, "before")


def nested() -> StateGraph:
    """Return an agent whose second node is itself a compiled graph, which asks."""

    async def think(state: Log) -> Log:
        return {"last": "thought"}

    async def ask(state: Log) -> Log:
        return {"last": str(interrupt("what?"))}

    child = StateGraph(Log, output_schema=Last)
    child.add_sequence([think, ask]).add_edge(START, "think")

    async def before(state: Log) -> Log:
        return {"log": ["before"]}

    graph = StateGraph(Log).add_node(before).add_node("child", child.compile())
    return graph.add_edge(START, "before").add_edge("before", "child")


class Last(TypedDict, total=False):
    """What was said last, and nothing else."""

    last: str


def talker() -> StateGraph:
    """Return an agent whose answer comes in tokens, from a node and from a subgraph; then it says something whole."""

    async def speak(state: MessagesState) -> dict[str, Any]:
        model = GenericFakeChatModel(messages=iter([AIMessage("to ken", id="m1")]))
        return {"messages": [await model.ainvoke(state["messages"])]}

    async def echo(state: MessagesState) -> dict[str, Any]:
        model = GenericFakeChatModel(messages=iter([AIMessage("in side", id="m2")]))
        return {"messages": [await model.ainvoke(state["messages"])]}

    inner = StateGraph(MessagesState).add_node(echo).add_edge(START, "echo").compile()

    async def whole(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage("whole", id="m3")]}

    graph = StateGraph(MessagesState).add_node(speak).add_node("inner", inner).add_node(whole)
    graph.add_edge(START, "speak").add_edge("speak", "inner")
    return graph.add_edge("inner", "whole")


def listed() -> StateGraph:
    """Return an agent whose state is a list of messages, with no channels around it."""

    async def speak(state: list[AnyMessage]) -> AIMessage:
        return AIMessage(f"{state[-1].text}.1")

    graph = StateGraph(Annotated[list[AnyMessage], add_messages])
    return graph.add_node(speak).add_edge(START, "speak")


def failing(gates: Gates) -> StateGraph:
    """Return an agent whose second step raises."""

    async def first(state: Log) -> Log:
        return {"log": ["first"]}

    async def second(state: Log) -> Log:
        message = "no luck"
        raise ZeroDivisionError(message)

    return StateGraph(Log).add_sequence([first, second]).add_edge(START, "first")


def agents(gates: Gates) -> GraphRegistry:
    """Return all of them, registered."""
    registry = GraphRegistry()
    graphs = {
        "agent": chat(gates),
        "asking": asking(gates),
        "family": family(),
        "nested": nested(),
        "talker": talker(),
        "failing": failing(gates),
        "listed": listed(),
    }
    for name, graph in graphs.items():
        registry.add_graph(name, graph)
    return registry


@asynccontextmanager
async def hosting(database: Database, gates: Gates, **settings: Any) -> AsyncIterator[Engine]:
    """Give a started engine with all of them, and a function graph."""
    async with database.engine(agents(gates), **settings) as engine:

        @engine.graph("function")
        async def function(state: dict[str, Any]) -> dict[str, Any]:
            return {"count": 1}

        yield engine


def logged(values: dict[str, Any]) -> list[Any]:
    """Return what happened."""
    return values["log"]


async def collected(parts: AsyncIterator[Any]) -> list[tuple[str, Any]]:
    """Return all events of a stream."""

    async def collect() -> list[tuple[str, Any]]:
        return [(part.event, part.data) async for part in parts]

    return await soon(collect())
