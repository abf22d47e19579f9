"""States of LangGraph threads changed from outside: updates by a node, forks, time travel, copies."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import BadRequestError, ConflictError, NotFoundError

from tests.support.engine import Database, Gates, answered, heard, said, soon
from tests.support.langgraph_agents import hosting, logged
from tests.support.sdk_clients import ASYNC_KINDS, clients
from threadfold import Engine


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    async with hosting(database, gates) as engine:
        yield engine


client = clients(ASYNC_KINDS)


@pytest.fixture
async def thread_id(client: LangGraphClient) -> str:
    """Give a thread that stands at a question."""
    thread_id = (await client.threads.create())["thread_id"]
    values = await soon(client.runs.wait(thread_id, "asking", input={"log": ["in"]}))
    assert "__interrupt__" in values
    return thread_id


async def go_on(client: LangGraphClient, thread_id: str, **options: Any) -> dict[str, Any]:
    return await soon(client.runs.wait(thread_id, "asking", **options))


# ------------------------------------------------------------------ updates


@pytest.mark.parametrize(
    ("as_node", "open_nodes", "status"),
    [
        (None, ["ask"], "interrupted"),
        ("first", ["ask"], "interrupted"),
        ("ask", ["last"], "interrupted"),
        ("last", [], "idle"),
    ],
)
async def test_an_update_is_as_if_a_node_had_given_it(
    client: LangGraphClient,
    thread_id: str,
    as_node: str | None,
    open_nodes: list[str],
    status: str,
) -> None:
    before = await client.threads.get_state(thread_id)
    answer = await client.threads.update_state(thread_id, {"log": ["patch"]}, as_node=as_node)
    state = await client.threads.get_state(thread_id)
    assert answer == {
        "checkpoint": state["checkpoint"],
        "configurable": state["checkpoint"],
        "checkpoint_id": state["checkpoint_id"],
    }
    assert logged(state["values"]) == ["in", "first", "patch"]
    assert state["next"] == open_nodes
    assert state["parent_checkpoint"] == before["checkpoint"]
    metadata = state["metadata"]
    assert (metadata["source"], metadata["step"]) == ("update", before["metadata"]["step"] + 1)
    assert "run_id" not in metadata
    assert metadata["graph_id"] == "asking"
    thread = await client.threads.get(thread_id)
    assert (thread["status"], thread["values"]) == (status, state["values"])
    assert len(await client.runs.list(thread_id)) == 1


async def test_an_update_instead_of_an_answer(client: LangGraphClient, thread_id: str) -> None:
    await client.threads.update_state(thread_id, {"log": ["bob"]}, as_node="ask")
    assert logged(await go_on(client, thread_id)) == ["in", "first", "bob", "last"]


async def test_as_the_end_nothing_is_open_any_more(client: LangGraphClient, thread_id: str) -> None:
    await client.threads.update_state(thread_id, None, as_node="__end__")
    state = await client.threads.get_state(thread_id)
    assert (logged(state["values"]), state["next"]) == (["in", "first"], [])
    assert (await client.threads.get(thread_id))["status"] == "idle"
    refused = await client.http.client.post(
        f"/threads/{thread_id}/runs", json={"assistant_id": "asking", "command": {"resume": 1}}
    )
    assert refused.status_code == 409


async def test_a_copied_checkpoint_stands_beside_its_original(
    client: LangGraphClient, thread_id: str
) -> None:
    before = await client.threads.get_state(thread_id)
    await client.threads.update_state(thread_id, None, as_node="__copy__")
    state = await client.threads.get_state(thread_id)
    assert state["values"] == before["values"]
    assert state["next"] == ["ask"]
    assert state["metadata"]["source"] == "fork"
    assert state["parent_checkpoint"] == before["parent_checkpoint"]


async def test_as_the_input_it_waits_to_be_taken(client: LangGraphClient, thread_id: str) -> None:
    await client.threads.update_state(thread_id, None, as_node="__end__")
    await client.threads.update_state(thread_id, {"log": ["more"]}, as_node="__input__")
    state = await client.threads.get_state(thread_id)
    assert state["next"] == ["__start__"]
    assert state["metadata"]["source"] == "input"
    values = await go_on(client, thread_id)
    assert logged(values) == ["in", "first", "more", "first"]


async def test_messages_are_changed_and_removed_by_their_ids(client: LangGraphClient) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    values = await soon(client.runs.wait(thread_id, "agent", input=said("a")))
    human, first, second = values["messages"]
    changed = {"role": "human", "content": "b", "id": human["id"]}
    removed = {"role": "remove", "content": "", "id": first["id"]}
    await client.threads.update_state(thread_id, {"messages": [changed, removed]})
    state = await client.threads.get_state(thread_id)
    assert heard(state["values"]) == ["b", "a.2"]
    assert state["values"]["messages"][1] == second
    unknown = {"role": "remove", "content": "", "id": "nobody"}
    with pytest.raises(BadRequestError, match="nobody"):
        await client.threads.update_state(thread_id, {"messages": [unknown]})
    everything = {"role": "remove", "content": "", "id": "__remove_all__"}
    await client.threads.update_state(thread_id, {"messages": [everything]})
    assert (await client.threads.get_state(thread_id))["values"]["messages"] == []


async def test_an_open_subgraph_is_changed_in_its_namespace(client: LangGraphClient) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    await soon(client.runs.wait(thread_id, "nested", input={"log": ["in"]}))
    (task,) = (await client.threads.get_state(thread_id, subgraphs=True))["tasks"]
    inner = task["state"]["checkpoint"]
    answer = await client.threads.update_state(
        thread_id, {"log": ["patch"]}, as_node="think", checkpoint=inner
    )
    assert answer["checkpoint"]["checkpoint_ns"] == inner["checkpoint_ns"]
    (task,) = (await client.threads.get_state(thread_id, subgraphs=True))["tasks"]
    assert task["state"]["checkpoint_id"] == answer["checkpoint_id"]
    assert logged(task["state"]["values"]) == ["in", "before", "patch"]
    values = await soon(client.runs.wait(thread_id, "nested", command={"resume": "yes"}))
    assert values["last"] == "yes"


async def test_nothing_is_changed_while_a_run_is_in_flight(
    client: LangGraphClient, thread_id: str, gates: Gates
) -> None:
    gates.close("last")
    run = await client.runs.create(thread_id, "asking", command={"resume": "bob"})
    await gates["last"].reached()
    for options in ({}, {"as_node": "first"}, {"as_node": "__end__"}):
        with pytest.raises(ConflictError, match="busy"):
            await client.threads.update_state(thread_id, {"log": ["patch"]}, **options)
    gates.open()
    values = await soon(client.runs.join(thread_id, run["run_id"]))
    assert logged(values) == ["in", "first", "answer bob", "last"]


@pytest.mark.parametrize(
    ("values", "options", "problem"),
    [
        ({"log": ["x"]}, {"as_node": "nowhere"}, "nowhere"),
        ({"log": 5}, {}, "values"),
        ([{"log": ["x"]}], {}, "values: Expected dict"),
        (None, {"as_node": "__input__"}, "values"),
    ],
)
async def test_what_does_not_fit_the_graph_is_refused_and_changes_nothing(
    client: LangGraphClient, thread_id: str, values: Any, options: Any, problem: str
) -> None:
    before = await client.threads.get_history(thread_id)
    with pytest.raises(BadRequestError, match=problem):
        await client.threads.update_state(thread_id, values, **options)
    assert await client.threads.get_history(thread_id) == before


async def test_a_thread_that_no_graph_ran_on_cannot_be_changed(client: LangGraphClient) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    with pytest.raises(BadRequestError, match="no graph ID"):
        await client.threads.update_state(thread_id, {"log": ["x"]})
    thread_id = (await client.threads.create(metadata={"graph_id": "asking"}))["thread_id"]
    await client.threads.update_state(thread_id, {"log": ["x"]}, as_node="first")
    state = await client.threads.get_state(thread_id)
    assert (logged(state["values"]), state["next"]) == (["x"], ["ask"])
    assert "__interrupt__" in await go_on(client, thread_id)


async def test_a_state_that_is_a_list_is_shown_as_one(client: LangGraphClient) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    given = [{"role": "human", "content": "a", "id": "h1"}]
    run = await client.runs.create(thread_id, "listed", input=given)
    assert [(said["type"], said["content"]) for said in run["kwargs"]["input"]] == [("human", "a")]
    joined = await soon(client.runs.join(thread_id, run["run_id"]))
    assert heard({"messages": joined}) == ["a", "a.1"]
    for given, stands in (
        ([{"role": "human", "content": "b"}], ["a", "a.1", "b"]),
        ([{"role": "remove", "content": "", "id": "h1"}], ["a.1", "b"]),
    ):
        await client.threads.update_state(thread_id, given)
        state = await client.threads.get_state(thread_id)
        thread = await client.threads.get(thread_id)
        assert state["values"] == thread["values"]
        assert heard({"messages": state["values"]}) == stands
    newest, *_, first = await client.threads.get_history(thread_id)
    assert (newest["values"], first["values"]) == (state["values"], [])


# ------------------------------------------------------------------ forks and time travel


async def test_a_run_starts_again_from_an_older_checkpoint(
    client: LangGraphClient, thread_id: str
) -> None:
    await go_on(client, thread_id, command={"resume": "one"})
    history = await client.threads.get_history(thread_id)
    (open_question,) = [state for state in history if state["next"] == ["ask"]]
    again = await go_on(client, thread_id, checkpoint=open_question["checkpoint"])
    assert again["__interrupt__"][0]["value"] == {"question": "name?"}
    values = await go_on(client, thread_id, command={"resume": "two"})
    assert logged(values) == ["in", "first", "answer two", "last"]
    (before_first,) = [state for state in history if state["next"] == ["first"]]
    again = await go_on(client, thread_id, checkpoint_id=before_first["checkpoint_id"])
    assert logged(again) == ["in", "first"]
    whole = await client.threads.get_history(thread_id, limit=100)
    assert {state["checkpoint_id"] for state in history} < {
        state["checkpoint_id"] for state in whole
    }


async def test_new_input_may_start_from_an_older_checkpoint(client: LangGraphClient) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    await soon(client.runs.wait(thread_id, "agent", input=said("a")))
    after_a = (await client.threads.get_state(thread_id))["checkpoint"]
    await soon(client.runs.wait(thread_id, "agent", input=said("b")))
    values = await soon(client.runs.wait(thread_id, "agent", input=said("c"), checkpoint=after_a))
    assert heard(values) == answered("a", "c")
    assert heard((await client.threads.get(thread_id))["values"]) == answered("a", "c")
    await soon(client.runs.wait(thread_id, "agent", input=said("d")))
    assert heard((await client.threads.get(thread_id))["values"]) == answered("a", "c", "d")


async def test_an_update_of_an_older_checkpoint_is_a_fork(
    client: LangGraphClient, thread_id: str
) -> None:
    await go_on(client, thread_id, command={"resume": "one"})
    history = await client.threads.get_history(thread_id)
    (older,) = [state for state in history if state["next"] == ["first"]]
    answer = await client.threads.update_state(
        thread_id, {"log": ["other"]}, as_node="first", checkpoint=older["checkpoint"]
    )
    state = await client.threads.get_state(thread_id)
    assert state["checkpoint"] == answer["checkpoint"]
    assert state["parent_checkpoint"] == older["checkpoint"]
    assert (logged(state["values"]), state["next"]) == (["in", "other"], ["ask"])
    thread = await client.threads.get(thread_id)
    assert (thread["status"], logged(thread["values"])) == ("interrupted", ["in", "other"])
    asked = await go_on(client, thread_id)
    assert asked["__interrupt__"]
    values = await go_on(client, thread_id, command={"resume": "two"})
    assert logged(values) == ["in", "other", "answer two", "last"]
    assert history == (await client.threads.get_history(thread_id, limit=100))[-len(history) :]


async def test_a_checkpoint_that_is_not_there_is_no_start(
    client: LangGraphClient, thread_id: str
) -> None:
    before = await client.threads.get_history(thread_id)
    for options in (
        {"checkpoint_id": "nonsense"},
        {"checkpoint": {"checkpoint_id": "nonsense", "checkpoint_ns": "x"}},
    ):
        body = {"assistant_id": "asking", **options}
        answer = await client.http.client.post(f"/threads/{thread_id}/runs/wait", json=body)
        assert (answer.status_code, "nonsense" in answer.json()["detail"]) == (404, True)
        with pytest.raises(NotFoundError):
            await client.http.post(
                f"/threads/{thread_id}/state", json={"values": {"log": ["x"]}, **options}
            )
    assert await client.threads.get_history(thread_id) == before
    assert len(await client.runs.list(thread_id)) == 1


async def test_a_checkpoint_of_a_run_that_was_rolled_back_is_no_start(
    client: LangGraphClient, thread_id: str, gates: Gates
) -> None:
    gates.close("last")
    run = await client.runs.create(
        thread_id, "asking", command={"resume": "one"}, durability="sync"
    )
    await gates["last"].reached()
    gone = (await client.threads.get_state(thread_id))["checkpoint"]
    await client.runs.cancel(thread_id, run["run_id"], action="rollback", wait=True)
    gates.open()
    with pytest.raises(NotFoundError):
        await client.runs.create(thread_id, "asking", checkpoint=gone)
    assert (await client.threads.get_state(thread_id, checkpoint=gone))["values"] == {}


# ------------------------------------------------------------------ copies


async def test_a_copy_goes_on_from_its_open_question_and_leaves_the_original_alone(
    client: LangGraphClient, thread_id: str
) -> None:
    before = await client.threads.get_history(thread_id)
    copy = await client.threads.copy(thread_id)
    copy_id = copy["thread_id"]
    assert (copy["status"], logged(copy["values"])) == ("interrupted", ["in", "first"])
    assert copy["interrupts"] == (await client.threads.get(thread_id))["interrupts"]
    history = await client.threads.get_history(copy_id)
    assert [state["checkpoint_id"] for state in history] == [
        state["checkpoint_id"] for state in before
    ]
    assert [state["values"] for state in history] == [state["values"] for state in before]
    assert [state["tasks"] for state in history] == [state["tasks"] for state in before]
    assert {state["metadata"]["thread_id"] for state in history} == {copy_id}
    assert await client.runs.list(copy_id) == []

    values = await go_on(client, copy_id, command={"resume": "copy"})
    assert logged(values) == ["in", "first", "answer copy", "last"]
    assert await client.threads.get_history(thread_id) == before
    values = await go_on(client, thread_id, command={"resume": "original"})
    assert logged(values) == ["in", "first", "answer original", "last"]
    assert logged((await client.threads.get(copy_id))["values"])[2] == "answer copy"


async def test_a_copy_holds_nothing_of_the_run_in_flight_nor_of_what_was_rolled_back(
    client: LangGraphClient, thread_id: str, gates: Gates
) -> None:
    gates.close("last")
    options = {"command": {"resume": "gone"}, "durability": "sync"}
    run = await client.runs.create(thread_id, "asking", **options)
    await gates["last"].reached()
    busy = (await client.threads.copy(thread_id))["thread_id"]
    await client.runs.cancel(thread_id, run["run_id"], action="rollback", wait=True)
    after = (await client.threads.copy(thread_id))["thread_id"]
    gates.open()
    for copy_id in (busy, after):
        state = await client.threads.get_state(copy_id)
        assert (logged(state["values"]), state["next"]) == (["in", "first"], ["ask"])
        assert len(await client.threads.get_history(copy_id)) == 3
        values = await go_on(client, copy_id, command={"resume": "mine"})
        assert logged(values) == ["in", "first", "answer mine", "last"]


async def test_a_copy_of_a_copy_and_of_a_fork_goes_on(
    client: LangGraphClient, thread_id: str
) -> None:
    (newest, *_, oldest) = await client.threads.get_history(thread_id)
    await client.threads.update_state(
        thread_id, {"log": ["x"]}, as_node="first", checkpoint=oldest["checkpoint"]
    )
    first = (await client.threads.copy(thread_id))["thread_id"]
    second = (await client.threads.copy(first))["thread_id"]
    history = await client.threads.get_history(second)
    assert [state["checkpoint_id"] for state in history][1] == newest["checkpoint_id"]
    asked = await go_on(client, second)
    assert asked["__interrupt__"]
    assert logged(await go_on(client, second, command={"resume": 1}))[-2:] == ["answer 1", "last"]


async def test_a_copy_of_an_open_subgraph_goes_on_in_it(client: LangGraphClient) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    await soon(client.runs.wait(thread_id, "family", input={"log": ["in"]}))
    copy_id = (await client.threads.copy(thread_id))["thread_id"]
    (task,) = (await client.threads.get_state(copy_id, subgraphs=True))["tasks"]
    assert task["state"]["next"] == ["ask"]
    values = await soon(client.runs.wait(copy_id, "family", command={"resume": "yes"}))
    assert logged(values) == ["in", "before", "think", "told yes"]


async def test_a_copy_shows_what_a_failed_step_left(client: LangGraphClient) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    run = client.runs.wait(thread_id, "failing", input={"log": ["in"]}, raise_error=False)
    await soon(run)
    copy = await client.threads.copy(thread_id)
    assert (copy["status"], copy["error"]["error"]) == ("error", "ZeroDivisionError")
    state = await client.threads.get_state(copy["thread_id"])
    assert [task["error"] for task in state["tasks"]] == ["ZeroDivisionError('no luck')"]
