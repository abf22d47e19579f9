"""Prebuilt agents with a scripted model that answers as a strict provider does: it refuses histories that are not sound."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from typing_extensions import TypedDict

from threadfold.infrastructure.graphs.registry import GraphRegistry

from .engine import Database, Gates, join, quiet, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

    from threadfold.app.engine import Engine
    from threadfold.app.views import RunResult
    from threadfold.domain.thread import Thread

T = TypeVar("T")

GO = "go"
"""The message that has the model call its tools; all others it answers at once."""

ROUNDS = (("one", "two"), ("three",))
"""The tools that the model calls, at once and one round after the other, before it answers."""


class ProviderError(Exception):
    """What a provider answers to a history that it does not take."""


def refusal(messages: Sequence[BaseMessage]) -> str | None:
    """Return why a provider would refuse a history, None if it would take it. Read message by message, as strict ones do."""
    open_calls: list[str] = []
    for at, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in open_calls:
                return f"message {at}: a result for {message.tool_call_id}, which is no open call"
            open_calls.remove(message.tool_call_id)
            continue
        if open_calls:
            return f"message {at}: the calls {open_calls} have no result directly after them"
        if isinstance(message, AIMessage):
            open_calls = [str(call["id"]) for call in message.tool_calls]
            if len(set(open_calls)) != len(open_calls):
                return f"message {at}: two calls of one id"
    return f"at the end: the calls {open_calls} have no result" if open_calls else None


# ------------------------------------------------------------------ the script


@dataclass
class Script:
    """What the model says, what it was shown, and where it and its tools wait.

    Gates: `model N` before the answer of round N, `streaming N` within it; `tool X` before what a tool does, `after X` when it
    has done it and its node has not heard of it yet.
    """

    rounds: Sequence[Sequence[str]] = ROUNDS
    gates: Gates = field(default_factory=Gates)
    shown: list[list[BaseMessage]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    """The tools that did what they do, in order."""
    is_repeating_ids: bool = False
    """Whether the ids of calls are the same in each turn and round, as some models have it."""

    def look(self, messages: Sequence[BaseMessage]) -> int:
        """Take a history as a provider would; return the number of the round in this turn."""
        self.shown.append(list(messages))
        problem = refusal(messages)
        if problem is not None:
            self.refusals.append(problem)
            raise ProviderError(problem)
        return _round(messages)

    def answer(self, messages: Sequence[BaseMessage]) -> AIMessage:
        """Return the answer to a history: the calls of the next round, or words."""
        number = _round(messages)
        last = next(m for m in reversed(messages) if isinstance(m, HumanMessage))
        if last.text != GO or number >= len(self.rounds):
            return AIMessage(f"answer to {last.text}")
        calls = [
            {
                "id": f"call-{place}" if self.is_repeating_ids else f"{name}-{len(messages)}",
                "name": name,
                "args": {},
                "type": "tool_call",
            }
            for place, name in enumerate(self.rounds[number])
        ]
        return AIMessage(f"round {number}", tool_calls=calls)

    async def use(self, name: str) -> str:
        """Do what a tool does."""
        await self.gates[f"tool {name}"].pass_()
        self.done.append(name)
        return f"result of {name}"

    async def wrap(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """Hold a tool's result back until its gate opens."""
        result = await handler(request)
        await self.gates[f"after {request.tool_call['name']}"].pass_()
        return result


def _round(messages: Sequence[BaseMessage]) -> int:
    """Return how often the model has spoken in this turn."""
    starts = [at for at, message in enumerate(messages) if isinstance(message, HumanMessage)]
    turn = messages[starts[-1] :] if starts else messages
    return sum(isinstance(message, AIMessage) for message in turn)


class ScriptedModel(BaseChatModel):
    """A chat model that follows a script."""

    script: Any

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> ScriptedModel:
        del tools, kwargs
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.script.look(messages)
        return ChatResult(generations=[ChatGeneration(message=self.script.answer(messages))])

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        number = self.script.look(messages)
        await self.script.gates[f"model {number}"].pass_()
        return ChatResult(generations=[ChatGeneration(message=self.script.answer(messages))])

    async def _astream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        number = self.script.look(messages)
        await self.script.gates[f"model {number}"].pass_()
        answer = self.script.answer(messages)
        identity = f"streamed-{len(self.script.shown)}"
        for word in answer.text.split(" "):
            chunk = AIMessageChunk(f"{word} ", id=identity)
            yield ChatGenerationChunk(message=chunk)
        await self.script.gates[f"streaming {number}"].pass_()
        calls = [
            {"id": call["id"], "name": call["name"], "args": "{}", "index": at}
            for at, call in enumerate(answer.tool_calls)
        ]
        last = AIMessageChunk("", id=identity, tool_call_chunks=calls, chunk_position="last")
        yield ChatGenerationChunk(message=last)


def tools_of(script: Script) -> list[Any]:
    """Return the tools that the script names."""

    @tool
    async def one() -> str:
        """Do one thing."""
        return await script.use("one")

    @tool
    async def two() -> str:
        """Do another thing."""
        return await script.use("two")

    @tool
    async def three() -> str:
        """Do a third thing."""
        return await script.use("three")

    return [one, two, three]


# ------------------------------------------------------------------ the agents


def prebuilt(script: Script) -> Any:
    """Return LangChain's own agent: each tool call is a task of its own."""

    class Waiting(AgentMiddleware):
        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            return await script.wrap(request, handler)

    return create_agent(
        ScriptedModel(script=script), tools=tools_of(script), middleware=[Waiting()]
    )


def looping(script: Script, tools: Any, state: Any = MessagesState) -> StateGraph[Any]:
    """Return a graph of a model and a node for tools behind an edge, which may be any."""
    model = ScriptedModel(script=script)

    async def talk(state: Any) -> Any:
        messages = state["messages"] if isinstance(state, dict) else state.messages
        return {"messages": [await model.ainvoke(messages)]}

    builder = StateGraph(state).add_node("talk", talk).add_node("tools", tools)
    builder.add_edge(START, "talk").add_edge("tools", "talk")
    return builder.add_conditional_edges("talk", tools_condition)


def tool_node(script: Script, **options: Any) -> ToolNode:
    """Return LangGraph's own node for the script's tools."""
    return ToolNode(tools_of(script), awrap_tool_call=script.wrap, **options)


def hand_built(script: Script) -> Any:
    """Return a graph with a tool node behind an edge: all calls of a round are one task."""
    return looping(script, tool_node(script))


class Two(TypedDict):
    """A state with two histories, neither of the usual name."""

    talk: Annotated[list[AnyMessage], add_messages]
    notes: Annotated[list[AnyMessage], add_messages]


def other_channels(script: Script) -> Any:
    """Return a graph that keeps its history, and a copy of it, in channels of other names."""
    model = ScriptedModel(script=script)

    async def talk(state: Two) -> Any:
        problem = refusal(state["notes"])
        if problem is not None:
            script.refusals.append(f"notes: {problem}")
        answer = await model.ainvoke(state["talk"])
        return {"talk": [answer], "notes": [answer]}

    node = tool_node(script, messages_key="talk")

    async def tools(state: Two) -> Any:
        given = await node.ainvoke(state)
        return {"talk": given["talk"], "notes": [each.model_copy() for each in given["talk"]]}

    builder = StateGraph(Two).add_node("talk", talk).add_node("tools", tools)
    builder.add_edge(START, "talk").add_edge("tools", "talk")
    return builder.add_conditional_edges(
        "talk", lambda state: tools_condition(state, messages_key="talk")
    )


def nested(script: Script) -> Any:
    """Return a graph whose tools are called in a subgraph, of each call anew."""
    inner = StateGraph(MessagesState).add_node("calls", tool_node(script))
    return looping(script, inner.add_edge(START, "calls").compile())


def remembering(script: Script) -> Any:
    """Return a graph around an agent that keeps a history of its own from run to run."""
    agent = hand_built(script).compile(checkpointer=True)
    return StateGraph(MessagesState).add_node("agent", agent).add_edge(START, "agent")


AGENTS: dict[str, Callable[[Script], Any]] = {
    "prebuilt": prebuilt,
    "hand_built": hand_built,
    "other_channels": other_channels,
    "nested": nested,
    "remembering": remembering,
}


# ------------------------------------------------------------------ talking to them

RESULTS = {name: f"result of {name}" for name in ("one", "two", "three")}

POINTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "before the model": (("model 0",), (), ()),
    "while the model streams": (("streaming 0",), (), ()),
    "no tool finished": (("tool one", "tool two"), (), ("one", "two")),
    "one tool finished": (("tool two",), ("one",), ("two",)),
    "all tools finished": (("after one", "after two"), ("one", "two"), ()),
    "between the rounds": (("model 1",), ("one", "two"), ()),
    "while it streams again": (("streaming 1",), ("one", "two"), ()),
    "in the second round": (("tool three",), ("one", "two"), ("three",)),
    "before the answer": (("model 2",), ("one", "two", "three"), ()),
}
"""Of each point: the gates that hold the run there, the tools that have finished, and those that have started."""


class Talk:
    """A thread with an agent that a script drives, and what is known of it."""

    def __init__(self, kind: str, engine: Engine, script: Script) -> None:
        self.kind, self.engine, self.script = kind, engine, script
        self.channels = ("talk", "notes") if kind == "other_channels" else ("messages",)

    async def submit(self, text: str, strategy: Any = "enqueue", **options: Any) -> str:
        """Submit a message; return the run's id."""
        message = {"role": "user", "content": text}
        given = {name: [message] for name in self.channels}
        return await self.send(given, strategy, stream_mode=["messages"], **options)

    async def send(
        self,
        given: Any = None,
        strategy: Any = "enqueue",
        timeout_seconds: float | None = None,
        **kwargs: Any,
    ) -> str:
        """Submit anything; return the run's id."""
        view = await self.engine.submit_run(
            "t", "agent", input=given, multitask_strategy=strategy, if_not_exists="create",
            timeout_seconds=timeout_seconds, kwargs=kwargs,
        )  # fmt: skip
        return view.row.run_id

    async def run(self, given: Any = None, **kwargs: Any) -> RunResult:
        """Submit anything, and wait for its end."""
        return await join(self.engine, "t", await self.send(given, **kwargs))

    async def go_to(self, point: str, **options: Any) -> str:
        """Run until the point is reached, and what has happened before it is in the log."""
        gates, finished, started = POINTS[point]
        self.script.gates.close(*gates)
        run_id = await self.submit(GO, **options)
        for gate in gates:
            await self.script.gates[gate].reached()
        await until(self.engine, "t", lambda thread: _knows(thread, finished, started))
        await quiet(self.engine)
        await self.engine._worker.flush("t")
        return run_id

    async def thread(self) -> Thread:
        return await self.engine._executor.load("t")

    async def events(self, kind: type[T]) -> list[T]:
        """Return the thread's events of a kind."""
        log = await self.engine.queries.log("t")
        return [each.event for each in log if isinstance(each.event, kind)]

    async def history(self, name: str = "") -> list[dict[str, Any]]:
        values = (await self.thread()).values()
        return values.get(name or self.channels[0], [])  # pyright: ignore[reportReturnType]

    async def results(self) -> dict[str, str]:
        """Return what the history says of each tool."""
        return {m["name"]: m["content"] for m in await self.history() if m["type"] == "tool"}

    async def goes_on(self, run_id: str | None = None) -> None:
        """See that the next turn works, and that no model was ever shown what it refuses."""
        self.script.gates.open()
        run_id = run_id or await self.submit("more")
        ended = await join(self.engine, "t", run_id)
        assert (ended.status, ended.error) == ("success", None)
        assert self.script.refusals == []
        assert (await self.history())[-1]["content"].strip() == "answer to more"
        for name in self.channels:
            assert refusal(convert_to_messages(await self.history(name))) is None


def _knows(thread: Thread, finished: Sequence[str], started: Sequence[str]) -> bool:
    calls = {call.name: call.is_finished for call in thread.state.calls.values()}
    return all(calls.get(name) for name in finished) and all(name in calls for name in started)


def registry(kind: str, script: Script, **options: Any) -> GraphRegistry:
    graphs = GraphRegistry()
    graphs.add_graph("agent", AGENTS[kind](script), **options)
    return graphs


@asynccontextmanager
async def talking(kind: str, **settings: Any) -> AsyncGenerator[Talk]:
    """Enter with an agent hosted on an engine of its own."""
    script = Script()
    async with Database().engine(registry(kind, script), **settings) as engine:
        yield Talk(kind, engine, script)


@asynccontextmanager
async def hosting(graph: Any, script: Script, **options: Any) -> AsyncGenerator[Talk]:
    """Enter with any graph on an engine of its own."""
    graphs = GraphRegistry()
    graphs.add_graph("agent", graph, **options)
    async with Database().engine(graphs) as engine:
        yield Talk("any", engine, script)


def told(point: str, of_started: str) -> dict[str, str]:
    """Return what the history says of the tools if the run was cut off at the point."""
    _, finished, started = POINTS[point]
    return {name: RESULTS[name] for name in finished} | dict.fromkeys(started, of_started)
