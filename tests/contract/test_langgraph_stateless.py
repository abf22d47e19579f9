"""LangGraph graphs run without a thread: without a checkpointer, and without a trace."""

import asyncio
import operator
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from langgraph_sdk.client import LangGraphClient
from typing_extensions import TypedDict

from tests.support.engine import Database, Gates, soon
from tests.support.stateless import ROWS, rows
from threadfold import Engine, get_client


class Log(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    thing: object


class Opaque:
    """What no checkpointer could store."""


def graphs(gates: Gates) -> dict[str, Any]:
    async def first(state: Log) -> Log:
        return {"log": ["first"]}

    async def second(state: Log) -> Log:
        await gates["second"].pass_()
        return {"log": ["second"]}

    def ask(state: Log) -> Log:
        return {"log": [interrupt("sure?")]}

    def fail(state: Log) -> Log:
        raise ValueError("no")

    def opaque(state: Log) -> Log:
        return {"thing": Opaque()}

    def seen(state: MessagesState) -> MessagesState:
        return {"messages": [AIMessage(str([m.type for m in state["messages"]]), id="ai")]}

    def chain(*nodes: Any, state: Any = Log) -> StateGraph:
        graph = StateGraph(state)
        graph.add_sequence([*nodes])
        return graph.add_edge(START, nodes[0].__name__)

    child = chain(first).compile()
    return {
        "chain": chain(first, second),
        "asking": chain(first, ask),
        "failing": chain(first, fail),
        "opaque": chain(opaque),
        "seen": chain(seen, state=MessagesState),
        "nested": StateGraph(Log).add_node("child", child).add_edge(START, "child"),
    }


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    engine = database.engine()
    for name, graph in graphs(gates).items():
        engine.add_graph(name, graph)
    async with engine:
        yield engine


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[LangGraphClient]:
    async with get_client(engine) as client:
        yield client


async def test_a_run_gives_its_values_and_records_no_checkpoint(
    client: LangGraphClient, engine: Engine
) -> None:
    values = await client.runs.wait(None, "chain", input={"log": ["in"]})
    assert values == {"log": ["in", "first", "second"]}
    parts = [
        part
        async for part in client.runs.stream(
            None, "chain", input={"log": []}, stream_mode=["updates", "tasks"], durability="sync"
        )
    ]
    assert Counter(part.event for part in parts) == {"metadata": 1, "updates": 2, "tasks": 4}
    assert Counter(await rows(engine)) == dict.fromkeys(ROWS, 2)


@pytest.mark.parametrize("modes", ["values", ["updates", "debug"]])
async def test_the_values_are_those_of_any_mode(client: LangGraphClient, modes) -> None:
    values = await client.runs.wait(None, "nested", input={"log": ["in"]})
    # What the subgraph was given is in what it gives.
    assert values == {"log": ["in", "in", "first"]}
    stream = client.runs.stream(
        None, "nested", input={"log": ["in"]}, stream_mode=modes, stream_subgraphs=True
    )
    names = [part.event async for part in stream]
    assert names[0] == "metadata"
    assert "error" not in names


async def test_a_run_that_is_asked_for_events_has_its_values(engine: Engine, gates: Gates) -> None:
    gates.close("second")
    view = await engine.submit_run(
        None, "chain", input={"log": ["in"]}, kwargs={"stream_mode": ["events"]}
    )
    joining = asyncio.create_task(engine.join_run(view.row.thread_id, view.row.run_id))
    await gates["second"].reached()
    gates.open()
    assert (await soon(joining)).values == {"log": ["in", "first", "second"]}


async def test_a_question_is_told_and_the_run_is_over(
    client: LangGraphClient, engine: Engine
) -> None:
    values = await client.runs.wait(None, "asking", input={"log": ["in"]})
    (question,) = values.pop("__interrupt__")
    assert question["value"] == "sure?"
    assert values == {"log": ["in", "first"]}
    assert await rows(engine) == ROWS


async def test_breakpoints_stop_a_run(client: LangGraphClient, engine: Engine) -> None:
    values = await client.runs.wait(
        None, "chain", input={"log": ["in"]}, interrupt_before=["second"]
    )
    assert values == {"log": ["in", "first"]}
    assert await rows(engine) == ROWS


async def test_an_error_is_told(client: LangGraphClient, engine: Engine) -> None:
    values = await client.runs.wait(None, "failing", input={"log": []}, raise_error=False)
    assert values == {"__error__": {"error": "ValueError", "message": "no"}}
    assert await rows(engine) == [*ROWS[:3], "RunFailed", ROWS[4]]


async def test_what_no_checkpoint_could_hold_is_shown(client: LangGraphClient) -> None:
    values = await client.runs.wait(None, "opaque", input={"log": ["in"]})
    assert values.keys() == {"log", "thing"}


async def test_results_that_answer_nothing_are_not_shown_to_the_model(
    client: LangGraphClient,
) -> None:
    stray = {"type": "tool", "content": "x", "tool_call_id": "1", "id": "t"}
    given = {"messages": [stray, {"type": "human", "content": "hi", "id": "h"}]}
    values = await client.runs.wait(None, "seen", input=given)
    assert [message["type"] for message in values["messages"]] == ["human", "ai"]
    assert values["messages"][-1]["content"] == "['human']"


async def test_a_cancelled_run_gives_what_it_came_to(
    client: LangGraphClient, engine: Engine, gates: Gates
) -> None:
    gates.close("second")
    created: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(
        client.runs.wait(
            None,
            "chain",
            input={"log": ["in"]},
            on_run_created=lambda run: created.set_result(run),
            durability="exit",
        )
    )
    run = await soon(created)
    await gates["second"].reached()
    await client.runs.cancel(run["thread_id"], run["run_id"])
    assert await soon(waiting) == {"log": ["in", "first"]}
    assert await rows(engine) == [*ROWS[:3], "RunInterrupted", ROWS[4]]
    gates.open()


async def test_a_kept_run_can_be_gone_on_with(client: LangGraphClient) -> None:
    created: list[Any] = []
    await client.runs.wait(
        None,
        "asking",
        input={"log": ["in"]},
        on_completion="keep",
        on_run_created=lambda run: created.append(run),
    )
    values = await client.runs.wait(created[0]["thread_id"], "asking", command={"resume": "yes"})
    assert values == {"log": ["in", "first", "yes"]}
