"""Human in the loop through the official clients: questions, answers, answers that come too late, breakpoints, commands."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import HTTPStatusError
from langgraph_sdk.client import LangGraphClient

from tests.support.engine import Database, Gates, answered, heard, said, soon
from tests.support.http import served
from tests.support.javascript import Node
from tests.support.langgraph_agents import collected, hosting, logged
from tests.support.sdk_clients import ASYNC_KINDS, clients
from threadfold import Engine


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    async with hosting(database, gates) as engine:
        yield engine


client = clients(ASYNC_KINDS)


@pytest.fixture
async def thread_id(client: LangGraphClient) -> str:
    return (await client.threads.create())["thread_id"]


async def asked(client: LangGraphClient, thread_id: str, graph: str = "asking") -> dict[str, Any]:
    """Run a graph up to its question, and return that."""
    values = await soon(client.runs.wait(thread_id, graph, input={"log": ["in"]}))
    (question,) = values["__interrupt__"]
    return question


async def resume(
    client: LangGraphClient, thread_id: str, answer: Any, graph: str = "asking", **options: Any
) -> dict[str, Any]:
    """Answer, and return the values that stand then."""
    work = client.runs.wait(thread_id, graph, command={"resume": answer}, **options)
    return await soon(work)


async def questions(client: LangGraphClient, thread_id: str) -> list[Any]:
    """Return what is asked, having checked that the thread and its state agree on it."""
    thread, state = await asyncio.gather(
        client.threads.get(thread_id), client.threads.get_state(thread_id)
    )
    by_task = {task["id"]: task["interrupts"] for task in state["tasks"] if task["interrupts"]}
    assert thread["interrupts"] == by_task
    assert state["interrupts"] == [each for found in by_task.values() for each in found]
    return [each["value"] for each in state["interrupts"]]


# ------------------------------------------------------------------ questions and answers


async def test_a_question_stops_the_graph_and_its_answer_goes_on(
    client: LangGraphClient, thread_id: str
) -> None:
    question = await asked(client, thread_id)
    assert question["value"] == {"question": "name?"}
    assert isinstance(question["id"], str)
    (run,) = await client.runs.list(thread_id)
    assert run["status"] == "success"
    thread = await client.threads.get(thread_id)
    assert thread["status"] == "interrupted"
    ((task_id, found),) = thread["interrupts"].items()
    assert found == [question]
    state = await client.threads.get_state(thread_id)
    assert state["next"] == ["ask"]
    assert [(task["id"], task["interrupts"]) for task in state["tasks"]] == [(task_id, [question])]
    joined = await soon(client.runs.join(thread_id, run["run_id"]))
    assert joined["__interrupt__"] == [question]

    assert logged(await resume(client, thread_id, "bob")) == ["in", "first", "answer bob", "last"]
    assert (await client.threads.get(thread_id))["status"] == "idle"
    assert await questions(client, thread_id) == []
    (history,) = [
        state
        for state in await client.threads.get_history(thread_id)
        if state["next"] == ["ask"] and state["metadata"]["source"] == "loop"
    ]
    assert history["tasks"][0]["result"] == {"log": ["answer bob"]}


@pytest.mark.parametrize("answer", ["text", 7, False, 0, "", [1, 2], {"a": {"b": None}}])
async def test_an_answer_may_be_any_value_but_null(
    client: LangGraphClient, thread_id: str, answer: Any
) -> None:
    await asked(client, thread_id)
    assert logged(await resume(client, thread_id, answer))[2] == f"answer {answer}"


async def test_an_answer_may_name_its_question(client: LangGraphClient, thread_id: str) -> None:
    question = await asked(client, thread_id)
    values = await resume(client, thread_id, {question["id"]: "bob"})
    assert logged(values)[2] == "answer bob"


async def test_streams_show_the_question_and_what_the_answer_does(
    client: LangGraphClient, thread_id: str
) -> None:
    events = await collected(client.runs.stream(thread_id, "asking", input={"log": ["in"]}))
    assert logged(events[-1][1]) == ["in", "first"]
    ((_, first), *_) = [(n, d["__interrupt__"]) for n, d in events[1:] if "__interrupt__" in d]
    assert first[0]["value"] == {"question": "name?"}
    after = await collected(
        client.runs.stream(thread_id, "asking", command={"resume": "x"}, stream_mode="updates")
    )
    assert after[1:] == [
        ("updates", {"ask": {"log": ["answer x"]}}),
        ("updates", {"last": {"log": ["last"], "last": "last"}}),
    ]


@pytest.mark.parametrize(
    ("graph", "told"), [("family", ("told yes", None)), ("nested", ("before", "yes"))]
)
async def test_a_question_of_a_subgraph_is_asked_and_answered_likewise(
    client: LangGraphClient, thread_id: str, graph: str, told: tuple[str, str | None]
) -> None:
    await asked(client, thread_id, graph)
    assert await questions(client, thread_id) == ["what?"]
    state = await client.threads.get_state(thread_id, subgraphs=True)
    (task,) = state["tasks"]
    assert task["state"]["next"] == ["ask"]
    assert task["state"]["interrupts"] == task["interrupts"]
    inner = task["state"]["checkpoint"]
    assert inner["checkpoint_ns"].startswith(f"{task['name']}:")
    assert set(inner["checkpoint_map"]) == {"", inner["checkpoint_ns"]}
    values = await resume(client, thread_id, "yes", graph)
    assert (logged(values)[-1], values.get("last")) == told


async def test_a_nested_graph_is_named_by_its_checkpoint(
    client: LangGraphClient, thread_id: str
) -> None:
    await asked(client, thread_id, "nested")
    (task,) = (await client.threads.get_state(thread_id))["tasks"]
    assert task["state"] is None
    reference = task["checkpoint"]
    assert reference["checkpoint_ns"] == f"child:{task['id']}"
    inner = await client.threads.get_state(thread_id, checkpoint=reference)
    assert inner["values"] == {"log": ["in", "before"], "last": "thought"}
    assert inner["next"] == ["ask"]
    history = await client.threads.get_history(thread_id, checkpoint=reference)
    assert [state["next"] for state in history] == [["ask"], ["think"], ["__start__"]]
    assert history[0]["checkpoint"] == inner["checkpoint"]
    exactly = await client.threads.get_state(thread_id, checkpoint=history[1]["checkpoint"])
    assert exactly["next"] == ["think"]


# ------------------------------------------------------------------ answers that nobody waits for


async def test_the_second_of_two_answers_is_refused(
    client: LangGraphClient, thread_id: str
) -> None:
    with pytest.raises(HTTPStatusError, match="409"):
        await resume(client, thread_id, "nobody asked")
    await asked(client, thread_id)
    await resume(client, thread_id, "one")
    for call in ("", "/wait", "/stream"):
        body = {"assistant_id": "asking", "command": {"resume": "two"}}
        answer = await client.http.client.post(f"/threads/{thread_id}/runs{call}", json=body)
        assert answer.status_code == 409
        assert "waits to be resumed" in answer.json()["detail"]
    assert len(await client.runs.list(thread_id)) == 2
    assert logged((await client.threads.get(thread_id))["values"])[2] == "answer one"


async def test_a_second_answer_that_is_queued_ends_in_an_error_and_changes_nothing(
    client: LangGraphClient, thread_id: str, gates: Gates
) -> None:
    await asked(client, thread_id)
    gates.close("ask")
    first = await client.runs.create(thread_id, "asking", command={"resume": "one"})
    await gates["ask"].reached()
    second = await client.runs.create(thread_id, "asking", command={"resume": "two"})
    gates.open()
    values = await soon(client.runs.join(thread_id, second["run_id"]))
    assert values["__error__"]["error"] == "NothingToResumeError"
    assert (await client.runs.get(thread_id, first["run_id"]))["status"] == "success"
    assert (await client.runs.get(thread_id, second["run_id"]))["status"] == "error"
    state = await client.threads.get_state(thread_id)
    assert logged(state["values"]) == ["in", "first", "answer one", "last"]
    assert state["next"] == []


async def test_an_answer_to_a_question_that_is_not_asked_changes_nothing(
    client: LangGraphClient, thread_id: str
) -> None:
    await asked(client, thread_id)
    elsewhere = {"0" * 32: "bob"}
    values = await soon(
        client.runs.wait(thread_id, "asking", command={"resume": elsewhere}, raise_error=False)
    )
    assert values["__error__"]["error"] == "NothingToResumeError"
    assert await questions(client, thread_id) == [{"question": "name?"}]
    assert logged(await resume(client, thread_id, "bob"))[2] == "answer bob"


async def test_an_answer_that_is_rolled_back_leaves_the_question_for_the_next_one(
    client: LangGraphClient, thread_id: str, gates: Gates
) -> None:
    await asked(client, thread_id)
    before = await client.threads.get_state(thread_id)
    gates.close("last")
    first = await client.runs.create(
        thread_id, "asking", command={"resume": "one"}, durability="sync"
    )
    await gates["last"].reached()
    busy = await client.threads.get_state(thread_id)
    assert logged(busy["values"])[-1] == "answer one"
    await client.runs.cancel(thread_id, first["run_id"], action="rollback", wait=True)
    gates.open()
    assert await questions(client, thread_id) == [{"question": "name?"}]
    assert await client.threads.get_state(thread_id) == before
    assert (await client.threads.get(thread_id))["status"] == "interrupted"
    values = await resume(client, thread_id, "two")
    assert logged(values) == ["in", "first", "answer two", "last"]


async def test_an_answer_rolls_another_one_back(
    client: LangGraphClient, thread_id: str, gates: Gates
) -> None:
    await asked(client, thread_id)
    gates.close("ask")
    await client.runs.create(thread_id, "asking", command={"resume": "one"})
    await gates["ask"].reached()
    second = await client.runs.create(
        thread_id, "asking", command={"resume": "two"}, multitask_strategy="rollback"
    )
    gates.open()
    values = await soon(client.runs.join(thread_id, second["run_id"]))
    assert logged(values) == ["in", "first", "answer two", "last"]
    assert len(await client.runs.list(thread_id)) == 2


async def test_new_input_on_a_question_starts_over(client: LangGraphClient, thread_id: str) -> None:
    await asked(client, thread_id)
    values = await soon(client.runs.wait(thread_id, "asking", input={"log": ["again"]}))
    assert logged(values) == ["in", "first", "again", "first"]
    assert await questions(client, thread_id) == [{"question": "name?"}]


# ------------------------------------------------------------------ breakpoints, and commands


@pytest.mark.parametrize(
    ("stop", "stopped", "open_node"),
    [
        ({"interrupt_before": ["two"]}, ["a", "a.1"], "two"),
        ({"interrupt_after": ["two"]}, ["a", "a.1", "a.2"], "three"),
        ({"interrupt_before": "*"}, ["a"], "one"),
        ({"interrupt_after": "*"}, ["a", "a.1"], "two"),
    ],
)
async def test_a_run_stops_at_a_breakpoint_and_one_without_input_goes_on(
    client: LangGraphClient, thread_id: str, stop: Any, stopped: list[str], open_node: str
) -> None:
    values = await soon(client.runs.wait(thread_id, "agent", input=said("a"), **stop))
    assert heard(values) == stopped
    assert "__interrupt__" not in values
    thread = await client.threads.get(thread_id)
    assert (thread["status"], thread["interrupts"]) == ("interrupted", {})
    assert (await client.threads.get_state(thread_id))["next"] == [open_node]
    assert heard(await soon(client.runs.wait(thread_id, "agent"))) == answered("a")


async def test_a_command_updates_the_state_and_sends_the_graph_elsewhere(
    client: LangGraphClient, thread_id: str
) -> None:
    await asked(client, thread_id)
    await resume(client, thread_id, "bob")
    command = {"update": {"log": ["patched"]}, "goto": "last"}
    values = await soon(client.runs.wait(thread_id, "asking", command=command))
    assert logged(values)[3:] == ["last", "patched", "last"]
    again = {"update": [["log", ["paired"]]], "goto": [{"node": "last", "input": {}}]}
    values = await soon(client.runs.wait(thread_id, "asking", command=again))
    assert logged(values)[6:] == ["paired", "last"]


async def test_an_answer_may_come_with_an_update(client: LangGraphClient, thread_id: str) -> None:
    await asked(client, thread_id)
    command = {"resume": "bob", "update": {"last": "patched"}}
    values = await soon(
        client.runs.wait(thread_id, "asking", command=command, interrupt_after=["ask"])
    )
    assert logged(values) == ["in", "first", "answer bob"]
    assert values["last"] == "patched"


async def test_what_is_null_in_a_command_is_not_there(
    client: LangGraphClient, thread_id: str
) -> None:
    body = {"assistant_id": "agent", "input": said("a"), "command": {"resume": None, "goto": None}}
    answer = await client.http.client.post(f"/threads/{thread_id}/runs/wait", json=body)
    assert heard(answer.json()) == answered("a")


# ------------------------------------------------------------------ JavaScript


@pytest.mark.xdist_group("javascript")
async def test_the_javascript_sdk_asks_and_answers(engine: Engine) -> None:
    async with served(engine) as url:
        node = await Node.start(url)
        try:

            async def call(*words: object) -> Any:
                answer = await node.call(*words)
                assert "error" not in answer, answer
                return answer

            thread_id = (await call("threads", "create"))["result"]["thread_id"]
            payload = {"input": {"log": ["in"]}, "streamMode": ["updates", "values"]}
            parts = (await call("runs", "stream", thread_id, "asking", payload))["parts"]
            assert parts[0]["event"] == "metadata"
            asked = [part["data"] for part in parts if "__interrupt__" in part["data"]]
            (question,) = asked[0]["__interrupt__"]
            assert question["value"] == {"question": "name?"}

            thread = (await call("threads", "get", thread_id))["result"]
            assert thread["status"] == "interrupted"
            state = (await call("threads", "getState", thread_id))["result"]
            assert state["tasks"][0]["interrupts"] == [question]
            assert thread["interrupts"] == {state["tasks"][0]["id"]: [question]}

            again = {"command": {"resume": "bob"}, "streamSubgraphs": True}
            parts = (await call("runs", "stream", thread_id, "asking", again))["parts"]
            assert logged(parts[-1]["data"]) == ["in", "first", "answer bob", "last"]
            late = await node.call("runs", "create", thread_id, "asking", again)
            assert late["status"] == 409

            states = (await call("threads", "getHistory", thread_id, {"limit": 10}))["result"]
            (asking,) = [state for state in states if state["next"] == ["ask"]]
            fork = {"checkpointId": asking["checkpoint_id"]}
            result = (await call("runs", "wait", thread_id, "asking", fork))["result"]
            assert result["__interrupt__"][0]["value"] == {"question": "name?"}
            again = {"command": {"resume": "eve"}}
            result = (await call("runs", "wait", thread_id, "asking", again))["result"]
            assert logged(result) == ["in", "first", "answer eve", "last"]
            patch = {"values": {"log": ["patched"]}, "asNode": "first"}
            await call("threads", "updateState", thread_id, patch)
            state = (await call("threads", "getState", thread_id))["result"]
            assert (logged(state["values"])[-1], state["next"]) == ("patched", ["ask"])
        finally:
            await node.close()
