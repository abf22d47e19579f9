"""A graph in the engine comes to what it comes to by itself: the same values, open tasks, questions, errors and history."""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from tests.support.engine import join
from threadfold import Engine
from threadfold.app.checkpoint_logs import DirectLog
from threadfold.infrastructure.langgraph.compiled import CompiledGraph, bound, compiled
from threadfold.infrastructure.langgraph.run_config import command_of
from threadfold.infrastructure.langgraph.showing import shown
from threadfold.infrastructure.langgraph.states import graph_state


class Log(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    x: int


class Model(BaseModel):
    log: Annotated[list[Any], operator.add] = []
    number: int = 0


@dataclass
class Data:
    log: Annotated[list[Any], operator.add] = field(default_factory=list)


def collected(state, writes):
    return [*state, *(each for write in writes for each in write)]


class Deltas(TypedDict, total=False):
    messages: Annotated[list[Any], DeltaChannel(collected)]


def logging(*texts):
    async def node(state):
        return {"log": [*texts]}

    return node


# ------------------------------------------------------------------ graphs


def workflow():
    @task
    async def double(number):
        return 2 * number

    @entrypoint()
    async def run(number, *, previous=None):
        doubled = await double(number)
        return entrypoint.final(value={"doubled": doubled, "before": previous}, save=doubled)

    return run


def asking_workflow():
    @entrypoint()
    async def run(number):
        return [number, interrupt("more?")]

    return run


def model_state():
    async def node(state: Model):
        return {"log": [state.number], "number": state.number + 1}

    return StateGraph(Model).add_node("node", node).add_edge(START, "node")


def data_state():
    async def node(state: Data):
        return {"log": [len(state.log)]}

    return StateGraph(Data).add_node("node", node).add_edge(START, "node")


def delta_channel():
    async def node(state):
        number = len(state["messages"])
        return {"messages": [AIMessage(f"answer {number}", id=f"a{number}")]}

    return StateGraph(Deltas).add_node("node", node).add_edge(START, "node")


def subgraph(checkpointer: Any = None):
    async def ask(state):
        return {"log": [interrupt("sure?")]}

    inner = StateGraph(Log).add_node("before", logging("before")).add_node("ask", ask)
    inner.add_edge(START, "before").add_edge("before", "ask")
    outer = StateGraph(Log).add_node("child", inner.compile(checkpointer=checkpointer))
    outer.add_node("after", logging("after")).add_edge(START, "child")
    return outer.add_edge("child", "after")


def subgraph_with_memory():
    return subgraph(checkpointer=True)


def failing_beside_others():
    async def fails(state):
        raise ValueError("as it must")

    builder = StateGraph(Log).add_node("left", logging("left")).add_node("fails", fails)
    builder.add_node("join", logging("joined"))
    builder.add_edge(START, "left").add_edge(START, "fails")
    return builder.add_edge(["left", "fails"], "join")


def to_the_parent():
    async def up(state):
        return Command(graph=Command.PARENT, goto="after", update={"log": ["up"]})

    inner = StateGraph(Log).add_node("up", up).add_edge(START, "up").compile()
    builder = StateGraph(Log).add_node("child", inner).add_node("after", logging("after"))
    return builder.add_edge(START, "child")


def sends():
    async def plan(state):
        return {}

    def spread(state):
        return [Send("work", {"x": number}) for number in range(3)]

    async def work(state):
        return {"log": [interrupt("one?") if state["x"] == 1 else state["x"]]}

    builder = StateGraph(Log).add_node("plan", plan).add_node("work", work)
    return builder.add_edge(START, "plan").add_conditional_edges("plan", spread, ["work"])


IN = {"log": ["in"]}


def resume(answer: Any) -> dict[str, Any]:
    return {"command": {"resume": answer}}


def messages(*texts: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text, "id": text} for text in texts]}


CASES: list[tuple[Callable[[], Any], list[tuple[Any, dict[str, Any]]]]] = [
    (workflow, [(3, {}), (4, {})]),
    (asking_workflow, [(3, {}), (None, resume("yes"))]),
    (model_state, [(IN, {}), (IN, {})]),
    (data_state, [(IN, {}), (IN, {})]),
    (sends, [(IN, {}), (None, resume("a")), (IN, {}), (IN, {})]),
    (subgraph, [(IN, {}), (None, resume("a")), (IN, {}), (None, {}), (None, resume("b"))]),
    (subgraph_with_memory, [(IN, {}), (None, resume("a")), (IN, {}), (None, resume("b"))]),
    (failing_beside_others, [(IN, {}), (None, {}), (IN, {})]),
    (to_the_parent, [(IN, {}), (IN, {})]),
    (
        subgraph,
        [
            (IN, {"durability": "exit"}),
            (None, {**resume("a"), "durability": "exit"}),
            (IN, {"durability": "sync"}),
        ],
    ),
    (
        sends,
        [
            (IN, {"interrupt_before": ["work"]}),
            (None, {"interrupt_after": "*"}),
            (None, {"command": {"resume": "a", "update": {"log": ["by hand"]}}}),
        ],
    ),
    (
        failing_beside_others,
        [
            (None, {"command": {"goto": "join", "update": {"log": ["by hand"]}}}),
            (IN, {}),
            (None, {"command": {"goto": "join"}}),
        ],
    ),
    (
        delta_channel,
        [
            (messages("h1"), {}),
            (messages("h2"), {}),
            (messages("h3"), {"durability": "exit"}),
            (messages("h4"), {}),
        ],
    ),
]


@pytest.mark.parametrize(("make", "runs"), CASES)
async def test_a_hosted_graph_comes_to_what_it_comes_to_by_itself(make, runs):
    found = compiled(make())
    assert found is not None
    alone = bound(found, InMemorySaver())
    async with Engine("memory://") as engine:
        engine.add_graph("agent", make())
        await engine.create_thread("t")
        for given, kwargs in runs:
            error = await run_alone(alone, given, kwargs)
            view = await engine.submit_run("t", "agent", input=given, kwargs=kwargs)
            result = await join(engine, "t", view.row.run_id)
            assert error == (result.error and result.error.error)
            await same_states(engine, alone, result.values)


CONFIG: Any = {"configurable": {"thread_id": "t"}}


async def run_alone(graph: CompiledGraph, given: Any, kwargs: dict[str, Any]) -> str | None:
    """Run the graph by itself, and return the name of what it raises."""
    command = command_of(kwargs)
    stops = {name: kwargs.get(name) for name in ("interrupt_before", "interrupt_after")}
    saving = kwargs.get("durability", "async")
    try:
        async for _ in graph.astream(command or given, CONFIG, durability=saving, **stops):
            pass
    except Exception as error:  # noqa: BLE001 - it is what is compared
        return type(error).__name__
    return None


async def same_states(engine: Engine, alone: CompiledGraph, recorded: Any) -> None:
    expected = graph_state(await alone.aget_state(CONFIG))
    log = DirectLog(engine._executor, engine._wholes)
    runner: Any = engine.graphs.runner("agent")
    told = await runner.get_state(log, "t")
    stored = (await engine._executor.load("t")).state
    values = expected.values
    assert told.values == values
    assert recorded == (values if isinstance(values, dict) else {"__root__": values})
    assert told.next == expected.next
    assert sorted(stored.next) == sorted(expected.next)
    assert open_tasks(told.tasks) == open_tasks(expected.tasks)
    asked = [each["value"] for task in stored.tasks for each in task.interrupts]
    assert asked == [each["value"] for each in expected.interrupts]
    history = [shown(state.values) async for state in alone.aget_state_history(CONFIG)]
    assert [state.values for state in await runner.history(log, "t")] == history


def open_tasks(tasks: Any) -> list[Any]:
    """Return what tasks have in common on all threads: their ids come of the checkpoints' ids."""
    return [
        (task.name, task.path, task.error, [each["value"] for each in task.interrupts])
        for task in tasks
    ]
