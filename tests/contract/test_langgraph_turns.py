"""LangGraph graphs through the official client, in process and over a socket: turns, states, history, streams."""

import itertools
from collections.abc import AsyncIterator

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import UnprocessableEntityError

from tests.support.engine import Database, Gates, answered, heard, said, soon
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


def names(events: list[tuple[str, object]]) -> list[str]:
    return [name for name, _ in events]


# ------------------------------------------------------------------ turns


async def test_turns_add_up(client: LangGraphClient, thread_id: str) -> None:
    first = await soon(client.runs.wait(thread_id, "agent", input=said("a", role="user")))
    second = await soon(client.runs.wait(thread_id, "agent", input=said("b", role="user")))
    assert heard(first) == answered("a")
    assert heard(second) == answered("a", "b")
    human, answer = second["messages"][:2]
    assert human == {
        "content": "a",
        "additional_kwargs": {},
        "response_metadata": {},
        "type": "human",
        "name": None,
        "id": human["id"],
    }
    assert answer == {
        "content": "a.1",
        "additional_kwargs": {},
        "response_metadata": {},
        "type": "ai",
        "name": None,
        "id": answer["id"],
        "tool_calls": [],
        "invalid_tool_calls": [],
        "usage_metadata": None,
    }
    thread = await client.threads.get(thread_id)
    assert thread["status"] == "idle"
    assert thread["values"] == second
    assert thread["interrupts"] == {}
    assert thread["error"] is None


async def test_a_run_shows_what_it_was_asked_for(client: LangGraphClient, thread_id: str) -> None:
    run = await client.runs.create(
        thread_id,
        "agent",
        input=said("a"),
        interrupt_before=["two"],
        interrupt_after=["three"],
        stream_mode=["updates", "debug"],
        stream_subgraphs=True,
        durability="exit",
        config={"configurable": {"model": "x"}, "recursion_limit": 7},
    )
    assert run["status"] == "pending"
    kwargs = run["kwargs"]
    assert heard(kwargs["input"]) == ["a"]
    assert kwargs["command"] is None
    assert kwargs["interrupt_before"] == ["two"]
    assert kwargs["interrupt_after"] == ["three"]
    assert kwargs["stream_mode"] == ["updates", "debug"]
    assert kwargs["subgraphs"] is True
    assert (kwargs["durability"], kwargs["checkpoint_during"]) == ("exit", False)
    assert kwargs["config"]["recursion_limit"] == 7
    assert kwargs["config"]["configurable"]["model"] == "x"
    await soon(client.runs.join(thread_id, run["run_id"]))
    checkpoint = (await client.threads.get_state(thread_id))["checkpoint"]
    again = await client.runs.create(
        thread_id, "agent", command={"update": {"messages": []}}, checkpoint=checkpoint
    )
    assert again["kwargs"]["command"] == {"update": {"messages": []}}
    shown = again["kwargs"]["config"]["configurable"]
    assert shown["checkpoint_id"] == checkpoint["checkpoint_id"]
    await soon(client.runs.join(thread_id, again["run_id"]))


async def test_the_state_is_told_in_full(client: LangGraphClient, thread_id: str) -> None:
    run = await client.runs.create(
        thread_id, "agent", input=said("a"), metadata={"who": "ann"}, interrupt_before=["two"]
    )
    await soon(client.runs.join(thread_id, run["run_id"]))
    state = await client.threads.get_state(thread_id)
    assert heard(state["values"]) == ["a", "a.1"]
    assert state["next"] == ["two"]
    (task,) = state["tasks"]
    assert task == {
        "id": task["id"],
        "name": "two",
        "path": ["__pregel_pull", "two"],
        "error": None,
        "interrupts": [],
        "checkpoint": None,
        "state": None,
        "result": None,
    }
    checkpoint_id = state["checkpoint_id"]
    assert state["checkpoint"] == {
        "thread_id": thread_id,
        "checkpoint_ns": "",
        "checkpoint_id": checkpoint_id,
    }
    assert state["parent_checkpoint"]["checkpoint_id"] == state["parent_checkpoint_id"]
    assert state["interrupts"] == []
    metadata = state["metadata"]
    assert (metadata["source"], metadata["step"], metadata["parents"]) == ("loop", 1, {})
    assert metadata["run_id"] == run["run_id"]
    assert metadata["thread_id"] == thread_id
    assert metadata["graph_id"] == "agent"
    assert metadata["assistant_id"] == run["assistant_id"]
    assert metadata["run_attempt"] == 1
    assert metadata["who"] == "ann"
    assert state["created_at"].endswith("+00:00")
    (newest, *_) = await client.threads.get_history(thread_id)
    assert newest == state
    assert await client.threads.get_state(thread_id, checkpoint_id=checkpoint_id) == state
    assert await client.threads.get_state(thread_id, checkpoint=state["checkpoint"]) == state


async def test_an_ended_turn_has_the_state_that_its_history_begins_with(
    client: LangGraphClient, thread_id: str
) -> None:
    await soon(client.runs.wait(thread_id, "agent", input=said("a"), metadata={"who": "ann"}))
    state = await client.threads.get_state(thread_id)
    (newest,) = await client.threads.get_history(thread_id, limit=1)
    assert state == newest
    assert state["next"] == state["tasks"] == state["interrupts"] == []
    assert state["metadata"]["who"] == "ann"


async def test_history_goes_back_to_the_input(client: LangGraphClient, thread_id: str) -> None:
    await soon(client.runs.wait(thread_id, "agent", input=said("a"), metadata={"turn": 1}))
    await soon(client.runs.wait(thread_id, "agent", input=said("b"), metadata={"turn": 2}))
    history = await client.threads.get_history(thread_id, limit=100)
    assert [state["metadata"]["step"] for state in history] == [*range(8, -2, -1)]
    assert [state["next"] for state in history[5:]] == [
        [],
        ["three"],
        ["two"],
        ["one"],
        ["__start__"],
    ]
    assert heard(history[5]["values"]) == answered("a")
    assert heard(history[-1]["values"]) == []
    for newer, older in itertools.pairwise(history):
        assert newer["parent_checkpoint"] == older["checkpoint"]
    assert history[-1]["parent_checkpoint"] is None
    (result,) = [task["result"] for task in history[1]["tasks"]]
    assert result is None or result == {}
    assert heard(history[2]["tasks"][0]["result"]) == ["b.2"]

    paged = await client.threads.get_history(thread_id, limit=3, before=history[2]["checkpoint"])
    assert paged == history[3:6]
    assert await client.threads.get_history(thread_id, metadata={"turn": 1}) == history[5:]
    assert await client.threads.get_history(thread_id, metadata={"turn": 3}) == []


async def test_a_checkpoint_that_is_not_there_has_an_empty_state(
    client: LangGraphClient, thread_id: str
) -> None:
    await soon(client.runs.wait(thread_id, "agent", input=said("a")))
    for unknown in ("nonsense", "1f1e4fac-1404-6486-8000-9375be7883a7"):
        state = await client.threads.get_state(thread_id, checkpoint_id=unknown)
        assert state["values"] == {}
        assert state["next"] == state["tasks"] == []
        assert state["checkpoint_id"] == unknown
    elsewhere = {"checkpoint_ns": "nowhere:1", "checkpoint_id": "x"}
    state = await client.threads.get_state(thread_id, checkpoint=elsewhere)
    assert state["values"] == {}
    assert state["checkpoint"] == {"thread_id": thread_id, **elsewhere}


async def test_a_graph_that_fails_leaves_its_finished_steps_and_the_error(
    client: LangGraphClient, thread_id: str
) -> None:
    values = await soon(
        client.runs.wait(thread_id, "failing", input={"log": ["in"]}, raise_error=False)
    )
    assert values == {"__error__": {"error": "ZeroDivisionError", "message": "no luck"}}
    thread = await client.threads.get(thread_id)
    assert thread["status"] == "error"
    assert thread["error"] == {"error": "ZeroDivisionError", "message": "no luck"}
    assert logged(thread["values"]) == ["in", "first"]
    state = await client.threads.get_state(thread_id)
    assert state["next"] == ["second"]
    assert [task["error"] for task in state["tasks"]] == ["ZeroDivisionError('no luck')"]


async def test_the_recursion_limit_ends_a_run(client: LangGraphClient, thread_id: str) -> None:
    values = await soon(
        client.runs.wait(
            thread_id,
            "agent",
            input=said("a"),
            config={"recursion_limit": 2},
            raise_error=False,
        )
    )
    assert values["__error__"]["error"] == "GraphRecursionError"


async def test_saving_only_at_the_exit_leaves_one_checkpoint(
    client: LangGraphClient, thread_id: str
) -> None:
    path = f"/threads/{thread_id}/runs/wait"
    for turn, options in enumerate(({"durability": "exit"}, {"checkpoint_during": False}), 1):
        given = {"assistant_id": "agent", "input": said("a"), **options}
        await soon(client.http.post(path, json=given))
        assert len(await client.threads.get_history(thread_id, limit=100)) == turn
    state = await client.threads.get_state(thread_id)
    assert heard(state["values"]) == answered("a", "a")


# ------------------------------------------------------------------ streams


async def test_values_come_after_the_input_and_after_each_step_that_changed_them(
    client: LangGraphClient, thread_id: str
) -> None:
    events = await collected(client.runs.stream(thread_id, "agent", input=said("a")))
    assert names(events) == ["metadata", *["values"] * 3]  # The third step changes nothing.
    assert [heard(values) for _, values in events[1:]] == [["a"], ["a", "a.1"], answered("a")]


async def test_updates_tasks_checkpoints_and_debug_are_the_graphs_own(
    client: LangGraphClient, thread_id: str
) -> None:
    modes = ["updates", "tasks", "checkpoints", "debug"]
    events = await collected(
        client.runs.stream(thread_id, "asking", input={"log": ["in"]}, stream_mode=modes)
    )
    updates = [data for name, data in events if name == "updates"]
    assert updates[0] == {"first": {"log": ["first"], "last": "first"}}
    (question,) = updates[1]["__interrupt__"]
    assert question["value"] == {"question": "name?"}

    tasks = [data for name, data in events if name == "tasks"]
    assert [task["name"] for task in tasks] == ["first", "first", "ask", "ask"]
    assert tasks[0]["input"] == {"log": ["in"]}
    assert tasks[0]["triggers"] == ["branch:to:first"]
    assert tasks[1]["result"] == {"log": ["first"], "last": "first"}
    assert tasks[3]["interrupts"][0]["value"] == {"question": "name?"}

    checkpoints = [data for name, data in events if name == "checkpoints"]
    history = await client.threads.get_history(thread_id)
    ids = [data["config"]["configurable"]["checkpoint_id"] for data in checkpoints]
    assert ids[:3] == [state["checkpoint_id"] for state in reversed(history)]
    assert checkpoints[1]["values"] == {"log": ["in"]}
    assert checkpoints[1]["next"] == ["first"]

    debug = [data for name, data in events if name == "debug"]
    assert {data["type"] for data in debug} == {"checkpoint", "task", "task_result"}
    shown = [data["payload"] for data in debug if data["type"] == "checkpoint"]
    assert shown[1]["checkpoint"]["checkpoint_id"] == ids[1]
    assert shown[1]["parent_checkpoint"]["checkpoint_id"] == ids[0]
    assert shown[0]["parent_checkpoint"] is None


async def test_subgraphs_stream_by_their_namespace(client: LangGraphClient, thread_id: str) -> None:
    events = await collected(
        client.runs.stream(
            thread_id,
            "family",
            input={"log": ["in"]},
            stream_mode=["values", "updates", "custom", "debug"],
            stream_subgraphs=True,
        )
    )
    kinds = {name.partition("|")[0] for name in names(events) if "|" in name}
    assert kinds == {"values", "updates", "custom", "debug"}
    (ns,) = {name.partition("|")[2] for name in names(events) if "|" in name}
    assert ns.startswith("within:")
    assert (f"custom|{ns}", {"thinks": True}) in events
    assert (f"updates|{ns}", {"think": {"log": ["think"]}}) in events
    assert [logged(data) for name, data in events if name == "values"][-1] == ["in", "before"]
    without = await collected(
        client.runs.stream(
            thread_id, "family", command={"resume": "yes"}, stream_mode=["updates", "custom"]
        )
    )
    assert without[1:] == [("updates", {"within": {"log": ["think", "told yes"]}})]


async def test_messages_come_in_tokens_with_what_is_known_of_them(
    client: LangGraphClient, thread_id: str
) -> None:
    events = await collected(
        client.runs.stream(
            thread_id,
            "talker",
            input=said("hi"),
            stream_mode="messages-tuple",
            stream_subgraphs=True,
        )
    )
    kinds = [
        (name.partition("|")[0], data[0]["id"], data[0]["content"]) for name, data in events[1:]
    ]
    assert kinds == [
        *(("messages", "m1", token) for token in ("to", " ", "ken")),
        *(("messages", "m2", token) for token in ("in", " ", "side")),
        ("messages", "m3", "whole"),
    ]
    inner = [name for name, data in events[1:] if data[0]["id"] == "m2"]
    assert all(name.startswith("messages|inner:") for name in inner)
    types = [data[0]["type"] for _, data in events[1:]]
    assert types == [*["AIMessageChunk"] * 6, "ai"]
    for (_, (message, metadata)), node in zip(
        (events[1], events[4], events[7]), ("speak", "echo", "whole"), strict=True
    ):
        assert message["additional_kwargs"] == {}
        assert metadata["langgraph_node"] == node
        assert metadata["thread_id"] == thread_id
        assert metadata["graph_id"] == "talker"
        assert {"langgraph_step", "langgraph_triggers", "langgraph_path", "run_id"} <= set(metadata)
        assert metadata["langgraph_checkpoint_ns"]


async def test_the_older_messages_mode_puts_tokens_together(
    client: LangGraphClient, thread_id: str
) -> None:
    events = await collected(
        client.runs.stream(
            thread_id, "talker", input=said("hi"), stream_mode="messages", stream_subgraphs=True
        )
    )
    kinds = [name.partition("|")[0] for name in names(events[1:])]
    tokens = ["messages/metadata", *["messages/partial"] * 3]
    assert kinds == [*tokens, *tokens, "messages/metadata", "messages/complete"]
    shown = [data[0]["content"] for name, data in events if "metadata" not in name]
    assert shown == ["to", "to ", "to ken", "in", "in ", "in side", "whole"]
    assert {data[0]["type"] for name, data in events if "metadata" not in name} == {"ai"}
    assert events[1][1]["m1"]["metadata"]["langgraph_node"] == "speak"
    assert "|inner:" in events[5][0]


async def test_a_joiner_gets_those_of_his_modes_that_the_run_was_asked_for(
    client: LangGraphClient, thread_id: str, gates: Gates
) -> None:
    gates.close("a:0")
    run = await client.runs.create(
        thread_id, "agent", input=said("a"), stream_mode=["updates", "messages-tuple"]
    )
    await gates["a:0"].reached()
    asked = {
        "own": None,
        "some": ["updates", "tasks"],
        "others": ["values", "debug"],
        "older": ["messages"],
    }
    streams = {
        name: client.runs.join_stream(thread_id, run["run_id"], stream_mode=modes)
        for name, modes in asked.items()
    }
    firsts = {name: await soon(anext(stream)) for name, stream in streams.items()}
    assert {first.event for first in firsts.values()} == {"metadata"}
    gates.open()
    found = {name: names(await collected(stream)) for name, stream in streams.items()}
    assert found == {
        "own": ["messages", "updates", "messages", "updates", "updates"],
        "some": ["updates"] * 3,
        "others": [],
        "older": ["messages/metadata", "messages/complete"] * 2,
    }


async def test_a_stream_of_a_run_that_is_rolled_back_says_so_at_its_end(
    client: LangGraphClient, thread_id: str, gates: Gates
) -> None:
    gates.close("a:1")
    stream = client.runs.stream(thread_id, "agent", input=said("a"), stream_mode="updates")
    assert (await soon(anext(stream))).event == "metadata"
    assert (await soon(anext(stream))).event == "updates"
    second = client.runs.wait(thread_id, "agent", input=said("b"), multitask_strategy="rollback")
    assert heard(await soon(second)) == answered("b")
    ((name, data),) = await collected(stream)
    assert (name, data["error"]) == ("error", "RunRolledBack")


@pytest.mark.parametrize("mode", ["lifecycle", "tools", "nonsense"])
async def test_modes_that_there_are_not_are_refused_by_name(
    client: LangGraphClient, thread_id: str, mode: str
) -> None:
    with pytest.raises(UnprocessableEntityError, match="stream_mode"):
        await collected(client.runs.stream(thread_id, "agent", input={}, stream_mode=[mode]))
    assert await client.runs.list(thread_id) == []
