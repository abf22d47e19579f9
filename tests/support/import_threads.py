"""Threads as graphs leave them in a checkpoint database: every kind that an import has to bring over, and how each goes on."""

from __future__ import annotations

import enum
import operator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Saver: TypeAlias = BaseCheckpointSaver[Any]
Graph: TypeAlias = Any
MODULE = "tests.support.import_threads"


class Mood(enum.Enum):
    GOOD = "good"


@dataclass
class Step:
    name: str
    at: datetime
    tags: set[str] = field(default_factory=set)


class Plan(BaseModel):
    title: str
    mood: Mood = Mood.GOOD
    due: datetime | None = None


TYPES: tuple[type, ...] = (Mood, Step, Plan)
NAMES = tuple(f"{MODULE}:{kind.__name__}" for kind in TYPES)


def serializer() -> JsonPlusSerializer:
    """Return what LangGraph's savers are told to read: without it they warn of each type."""
    return JsonPlusSerializer(allowed_msgpack_modules=TYPES)


@contextmanager
def sqlite_saver(path: Path) -> Iterator[SqliteSaver]:
    with SqliteSaver.from_conn_string(str(path)) as saver:
        saver.serde = serializer()
        yield saver


@contextmanager
def postgres_saver(url: str) -> Iterator[PostgresSaver]:
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
        saver.serde = serializer()
        yield saver


# ------------------------------------------------------------------ the graphs


class Chat(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    log: Annotated[list[str], operator.add]
    count: int
    value: Any


def chat(saver: Saver) -> Graph:
    """Answer a question after a tool call; "ask" is handed to a person, twice, and "fail" fails once."""

    def model(state: Chat) -> Chat:
        count = state.get("count", 0) + 1
        call = {"name": "look", "args": {"at": count}, "id": f"call-{count}"}
        return {"messages": [AIMessage("", id=f"ai-{count}", tool_calls=[call])], "count": count}

    def tool(state: Chat) -> Chat:
        count = state["count"]
        question = state["messages"][-2].text
        if question == "ask":
            first = interrupt({"question": "really?", "count": count})
            second = interrupt(f"{first}: really, really?")
            return {
                "messages": [
                    ToolMessage(f"{first}, {second}", tool_call_id=f"call-{count}", id=f"t-{count}")
                ]
            }
        if question == "fail" and not state.get("value"):
            raise ValueError("no such place")
        return {
            "messages": [ToolMessage("seen", tool_call_id=f"call-{count}", id=f"t-{count}")],
            "log": [f"looked {count}"],
        }

    def beside(state: Chat) -> Chat:
        return {"log": [f"beside {state['count']}"]}

    def answer(state: Chat) -> Chat:
        return {
            "messages": [AIMessage(f"so it is {state['count']}", id=f"answer-{state['count']}")]
        }

    builder = StateGraph(Chat)
    for node in (model, tool, beside, answer):
        builder.add_node(node)
    builder.add_edge(START, "model")
    builder.add_edge("model", "tool")
    builder.add_edge("model", "beside")
    builder.add_edge(["tool", "beside"], "answer")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=saver)


def said(text: str) -> Chat:
    return {"messages": [HumanMessage(text, id=f"human-{text}")]}


class Work(TypedDict, total=False):
    jobs: list[int]
    done: Annotated[list[Any], operator.add]
    asked: Any


def fanned(saver: Saver) -> Graph:
    """Send each job to a worker of its own; the worker of job 2 asks."""

    def split(state: Work) -> Command[Any]:
        return Command(goto=[Send("worker", {"job": job}) for job in state["jobs"]])

    def worker(state: dict[str, Any]) -> Work:
        job = state["job"]
        return {"done": [interrupt("may I?") if job == 2 else job]}

    builder = StateGraph(Work)
    builder.add_node("split", split, destinations=("worker",))
    builder.add_node("worker", worker)
    builder.add_edge(START, "split")
    return builder.compile(checkpointer=saver)


def nested(saver: Saver) -> Graph:
    """Hand over to a subgraph with a subgraph, which asks; and to one that remembers."""

    def ask(state: Work) -> Work:
        return {"asked": interrupt("deep down?")}

    def remember(state: Work) -> Work:
        return {"done": [f"remembers {len(state.get('done', []))}"]}

    def begin(state: Work) -> Work:
        return {"done": ["begun"]}

    innermost = StateGraph(Work).add_node(ask).add_edge(START, "ask").compile()
    inner = StateGraph(Work).add_node("innermost", innermost).add_edge(START, "innermost")
    keeper = StateGraph(Work).add_node(remember).add_edge(START, "remember")
    builder = StateGraph(Work)
    builder.add_node("begin", begin)
    builder.add_node("inner", inner.compile())
    builder.add_node("keeper", keeper.compile(checkpointer=True))
    builder.add_edge(START, "begin")
    builder.add_edge("begin", "keeper")
    builder.add_edge("keeper", "inner")
    return builder.compile(checkpointer=saver)


class Deltas(TypedDict, total=False):
    items: Annotated[
        list[Any],
        DeltaChannel(
            lambda old, new: [*old, *(each for one in new for each in one)],
            list,
            snapshot_frequency=4,
        ),
    ]
    count: int


def deltas(saver: Saver) -> Graph:
    """Collect in a channel of which checkpoints hold nothing."""

    def add(state: Deltas) -> Deltas:
        count = state.get("count", 0) + 1
        return {"items": [f"item {count}", {"n": count}], "count": count}

    return StateGraph(Deltas).add_node(add).add_edge(START, "add").compile(checkpointer=saver)


class Counting(TypedDict, total=False):
    count: int
    total: Annotated[int, operator.add]


def counting(saver: Saver) -> Graph:
    """Make small checkpoints, as many as the limit allows."""

    def more(state: Counting) -> Counting:
        return {"count": state.get("count", 0) + 1, "total": 1}

    builder = StateGraph(Counting).add_node(more).add_edge(START, "more")
    builder.add_conditional_edges("more", lambda state: "more" if state["count"] % 100 else END)
    return builder.compile(checkpointer=saver)


# ------------------------------------------------------------------ the threads


@dataclass(frozen=True)
class Thread:
    """A thread: the graph that it is one of, how it came about, and the inputs that it goes on with."""

    graph: Callable[[Saver], Graph]
    make: Callable[[Graph, dict[str, Any]], None]
    goes_on_with: tuple[Any, ...]


def talk(*texts: str) -> Callable[[Graph, dict[str, Any]], None]:
    def make(graph: Graph, config: dict[str, Any]) -> None:
        for text in texts:
            graph.invoke(said(text), config)

    return make


def fail(graph: Graph, config: dict[str, Any]) -> None:
    graph.invoke(said("hello"), config)
    try:
        graph.invoke(said("fail"), config)
    except ValueError:
        return
    raise AssertionError("it did not fail")


def fork(graph: Graph, config: dict[str, Any]) -> None:
    """Go back and take another way, twice: by running again, and by changing what stood there."""
    talk("one", "two")(graph, config)
    before = list(graph.get_state_history(config))
    graph.invoke(None, before[2].config)
    changed = graph.update_state(before[4].config, {"log": ["changed"]}, as_node="beside")
    graph.invoke(said("another"), changed)


def edit(graph: Graph, config: dict[str, Any]) -> None:
    talk("one")(graph, config)
    values = {
        "plan": Plan(title="p", due=datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
        "steps": [Step("s", datetime(2026, 5, 6, tzinfo=UTC), {"a"})],
        "bytes": b"\x00\xff",
        "big": 2**63,
        "text": "snow ☃ \U0001f600",
    }
    graph.update_state(config, {"value": values}, as_node="answer")
    graph.update_state(config, None, as_node="__copy__")


def ask_again(graph: Graph, config: dict[str, Any]) -> None:
    talk("ask")(graph, config)
    graph.invoke(Command(resume="yes"), config)


def hold(graph: Graph, config: dict[str, Any]) -> None:
    graph.invoke(said("hold"), {**config, "metadata": {"user": "u1"}}, interrupt_before=["answer"])


def rest(graph: Graph, config: dict[str, Any]) -> None:
    graph.invoke(said("one"), config, durability="exit")
    graph.invoke(said("ask"), config, durability="exit")


def split(graph: Graph, config: dict[str, Any]) -> None:
    graph.invoke({"jobs": [1, 2, 3]}, config)


def begin(graph: Graph, config: dict[str, Any]) -> None:
    graph.invoke({"jobs": []}, config)
    graph.invoke(Command(resume="yes"), config)
    graph.invoke({"jobs": []}, config)


def collect(graph: Graph, config: dict[str, Any]) -> None:
    for _ in range(7):
        graph.invoke({"items": ["given"]}, config)


def count(graph: Graph, config: dict[str, Any]) -> None:
    for _ in range(10):
        graph.invoke({"total": 0}, {**config, "recursion_limit": 200})


THREADS: dict[str, Thread] = {
    "talk": Thread(chat, talk("one", "two", "three"), (said("four"), said("five"))),
    "asks": Thread(
        chat, talk("one", "ask"), (Command(resume="yes"), Command(resume="surely"), said("more"))
    ),
    "asks again": Thread(
        chat, ask_again, (Command(resume="surely"), said("ask"), Command(resume="no"))
    ),
    "failed": Thread(chat, fail, (Command(update={"value": True}), None, said("more"))),
    "forked": Thread(chat, fork, (said("more"),)),
    "edited": Thread(chat, edit, (said("more"),)),
    "held": Thread(chat, hold, (None, said("more"))),
    "rested": Thread(chat, rest, (Command(resume="yes"), said("leaves it open"))),
    "Fächer/☃": Thread(fanned, split, (Command(resume="you may"), {"jobs": [4]})),
    "nested": Thread(
        nested, begin, (Command(resume="deeper"), {"jobs": []}, Command(resume="still"))
    ),
    "deltas": Thread(deltas, collect, ({"items": ["more"]}, {"items": ["and more"]})),
}
LONG = Thread(counting, count, ({"total": 0},))
"""More than a thousand checkpoints; making it takes a while."""


def config_of(thread_id: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread_id}}


def fill(saver: Saver, *thread_ids: str) -> None:
    """Have the threads in a saver, all of them or these."""
    for thread_id in thread_ids or THREADS:
        thread = THREADS[thread_id]
        thread.make(thread.graph(saver), config_of(thread_id))
