"""Agents that tell everything there is to tell in a stream: a function, and a graph of LangGraph's with a subgraph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph

from tests.support.engine import soon
from threadfold import Custom, MessageChunk
from threadfold.infrastructure.graphs.functions import FunctionGraph
from threadfold.infrastructure.graphs.registry import GraphRegistry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from langgraph_sdk.client import LangGraphClient

    from tests.support.engine import Gates

Event = tuple[str, str, Any]
"""The id of an event, its name, and its data."""

MODES = {
    "function": ["values", "updates", "messages", "messages-tuple", "custom", "checkpoints"],
    "langgraph": [
        *("values", "updates", "messages", "messages-tuple", "custom"),
        *("checkpoints", "tasks", "debug"),
    ],
}
KINDS = tuple(MODES)


def function(gates: Gates) -> FunctionGraph:
    """Return an agent that says something whole and something in chunks; a gate stands at `middle`."""

    async def agent(state, run):
        turn = len(state["messages"])
        yield Custom({"turn": turn})
        yield {"messages": [{"role": "ai", "content": "whole", "id": f"{turn} a"}], "count": turn}
        yield MessageChunk({"content": "to", "id": f"{turn} b"})
        await gates["middle"].pass_()
        yield MessageChunk({"content": "ken", "id": f"{turn} b"})
        yield Custom("half")
        yield {"messages": [{"role": "ai", "content": "token", "id": f"{turn} b"}]}
        yield Custom("done")

    return FunctionGraph("function", agent)


def langgraph(gates: Gates) -> StateGraph[Any]:
    """Return an agent that speaks in tokens itself, and in a subgraph; a gate stands at `middle`."""

    async def speak(state: MessagesState) -> dict[str, Any]:
        turn = len(state["messages"])
        get_stream_writer()({"turn": turn})
        model = GenericFakeChatModel(messages=iter([AIMessage("to ken", id=f"{turn} a")]))
        return {"messages": [await model.ainvoke(state["messages"])]}

    async def echo(state: MessagesState) -> dict[str, Any]:
        turn = len(state["messages"])
        model = GenericFakeChatModel(messages=iter([AIMessage("in side", id=f"{turn} b")]))
        said = await model.ainvoke(state["messages"])
        await gates["middle"].pass_()
        get_stream_writer()("half")
        return {"messages": [said]}

    async def whole(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage("whole", id=f"{len(state['messages'])} c")]}

    inner = StateGraph(MessagesState).add_node(echo).add_edge(START, "echo").compile()
    graph = StateGraph(MessagesState).add_node(speak).add_node("inner", inner).add_node(whole)
    graph.add_edge(START, "speak").add_edge("speak", "inner")
    return graph.add_edge("inner", "whole")


def speakers(gates: Gates) -> GraphRegistry:
    """Return both, registered."""
    registry = GraphRegistry((function(gates),))
    registry.add_graph("langgraph", langgraph(gates))
    return registry


def asked(kind: str, **options: Any) -> dict[str, Any]:
    """Return what a run is created with that tells everything, resumably."""
    whole: dict[str, Any] = {
        "input": {"messages": [{"role": "human", "content": "hello there, whoever you are"}]},
        "stream_mode": MODES[kind],
        "stream_resumable": True,
        **options,
    }
    if kind == "langgraph":
        whole["stream_subgraphs"] = True
    return whole


async def told(parts: AsyncIterator[Any]) -> list[Event]:
    """Return all events of a stream."""

    async def collect() -> list[Event]:
        return [(part.id, part.event, part.data) async for part in parts]

    return await soon(collect())


async def first_told(parts: Any, count: int) -> list[Event]:
    """Return the first events of a stream, and leave it."""

    async def collect() -> list[Event]:
        found: list[Event] = []
        try:
            async for part in parts:
                found.append((part.id, part.event, part.data))
                if len(found) == count:
                    break
        finally:
            await parts.aclose()
        return found

    return await soon(collect())


async def streamed(
    client: LangGraphClient, kind: str, thread_id: str, **options: Any
) -> list[Event]:
    """Run an agent, and return all that it told."""
    return await told(client.runs.stream(thread_id, kind, **asked(kind, **options)))


async def resumed(
    client: LangGraphClient, kind: str, thread_id: str, run_id: str, after: str, **options: Any
) -> list[Event]:
    """Return all that a run told after an event, and still tells."""
    given = {"stream_mode": MODES[kind], **options}
    return await told(client.runs.join_stream(thread_id, run_id, last_event_id=after, **given))


def require_rising(events: list[Event]) -> None:
    """Check that every event has an id, and a greater one than those before it."""
    ids = [event_id for event_id, _, _ in events]
    assert all(ids)
    assert ids == sorted(set(ids))
