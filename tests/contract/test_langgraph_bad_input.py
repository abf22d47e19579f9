"""What callers may ask of LangGraph runs and states, and what they may not: refused by name, and nothing happens."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langgraph_sdk.client import LangGraphClient

from tests.support.engine import Database, Gates, said, soon
from tests.support.langgraph_agents import hosting
from threadfold import Engine

NOWHERE = "01a00000-0000-7000-8000-000000000000"


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    async with hosting(database, gates) as engine:
        yield engine


@pytest.fixture
async def thread_id(client: LangGraphClient) -> str:
    """Give a thread that stands at a question."""
    thread_id = (await client.threads.create())["thread_id"]
    await soon(client.runs.wait(thread_id, "asking", input={"log": ["in"]}))
    return thread_id


async def refusal(client: LangGraphClient, path: str, body: dict[str, Any]) -> tuple[int, str]:
    """Return the status and what is said."""
    answer = await soon(client.http.client.post(path, json=body))
    (content,) = answer.json().values()
    assert answer.status_code >= 400
    assert answer.json() == {"detail": content}
    return answer.status_code, content


@pytest.mark.parametrize(
    ("field", "value", "said_of_it"),
    [
        ("command", 7, "command: expected an object with resume, update or goto, got 7"),
        ("command", [1], "command: expected an object with resume, update or goto, got [1]"),
        ("command", {"resum": 1}, "command.resum: there is no such field"),
        ("command", {"update": 7}, "command.update: expected an object of channels"),
        ("command", {"update": [["log"]]}, "command.update: expected an object of channels"),
        ("command", {"update": [[1, 2]]}, "command.update: expected an object of channels"),
        ("command", {"goto": 7}, "command.goto: expected the name of a node"),
        ("command", {"goto": {"input": 1}}, "command.goto: expected the name of a node"),
        ("command", {"goto": ["last", 7]}, "command.goto: expected the name of a node"),
        ("command", {"goto": "nowhere"}, "command.goto: the graph has no node 'nowhere'"),
        (
            "command",
            {"goto": [{"node": "nowhere", "input": 1}]},
            "command.goto: the graph has no node 'nowhere'; there are ask, first, last",
        ),
        ("interrupt_before", "ask", 'interrupt_before: expected a list of names of nodes, or "*"'),
        ("interrupt_before", ["ask", 7], "interrupt_before: expected a list of names of nodes"),
        ("interrupt_after", {"a": 1}, "interrupt_after: expected a list of names of nodes"),
        ("interrupt_after", ["nowhere"], "interrupt_after: the graph has no node 'nowhere'"),
        ("stream_subgraphs", "yes", "stream_subgraphs"),
        ("durability", "maybe", "durability"),
        ("checkpoint_during", "no", "checkpoint_during"),
        ("strict_resume", 7, "strict_resume"),
        ("checkpoint", "x", "checkpoint: expected an object"),
        ("checkpoint", {"checkpoint_id": 7}, "checkpoint.checkpoint_id: expected a text, got 7"),
        ("checkpoint", {"checkpoint_ns": []}, "checkpoint.checkpoint_ns: expected a text"),
        (
            "checkpoint",
            {"checkpoint_map": {"": 1}},
            "checkpoint.checkpoint_map: expected an object of checkpoint ids by namespace",
        ),
        ("checkpoint", {"thread_id": NOWHERE, "checkpoint_id": "x"}, "checkpoint.thread_id"),
        ("checkpoint_id", 7, "checkpoint_id"),
        ("stream_mode", ["values", "tools"], "stream_mode"),
        ("stream_mode", "lifecycle", "stream_mode"),
        ("webhook", "ftp://example.org", "webhook: expected an http or https URL"),
    ],
)
async def test_a_field_that_does_not_hold_what_it_may_is_refused_by_name(
    client: LangGraphClient, thread_id: str, field: str, value: object, said_of_it: str
) -> None:
    for call in ("", "/wait", "/stream"):
        body = {"assistant_id": "asking", field: value}
        status, detail = await refusal(client, f"/threads/{thread_id}/runs{call}", body)
        assert status == 422
        assert detail.startswith(said_of_it)
    assert len(await client.runs.list(thread_id)) == 1


@pytest.mark.parametrize(
    ("fields", "said_of_it"),
    [
        (
            {"command": {"resume": 1}, "input": {"log": ["x"]}},
            "command: a run takes an input or a command, not both",
        ),
        (
            {"durability": "sync", "checkpoint_during": False},
            "checkpoint_during: contradicts durability 'sync'",
        ),
        (
            {"durability": "exit", "checkpoint_during": True},
            "checkpoint_during: contradicts durability 'exit'",
        ),
    ],
)
async def test_fields_that_contradict_each_other_are_refused(
    client: LangGraphClient, thread_id: str, fields: dict[str, Any], said_of_it: str
) -> None:
    path, body = f"/threads/{thread_id}/runs", {"assistant_id": "asking", **fields}
    assert await refusal(client, path, body) == (422, said_of_it)


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("command", {"resume": 1}, "a function has no point at which it could be resumed"),
        ("command", {"goto": "x"}, "a function has no point at which it could be resumed"),
        ("interrupt_before", "*", "a function has no nodes to stop at"),
        ("interrupt_after", ["function"], "a function has no nodes to stop at"),
        ("stream_subgraphs", True, "a function has no subgraphs"),
        ("checkpoint", {"checkpoint_id": NOWHERE}, "a function cannot start from an older state"),
        ("checkpoint_id", NOWHERE, "a function cannot start from an older state"),
        ("durability", "exit", "a function's steps are always saved"),
        ("checkpoint_during", False, "a function's steps are always saved"),
        ("stream_mode", ["tasks"], "tasks is only for LangGraph graphs"),
        ("stream_mode", "debug", "debug is only for LangGraph graphs"),
    ],
)
async def test_what_means_nothing_to_a_function_is_refused_with_the_reason(
    client: LangGraphClient, field: str, value: object, why: str
) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    body = {"assistant_id": "function", "input": {}, field: value}
    status, detail = await refusal(client, f"/threads/{thread_id}/runs", body)
    assert status == 422
    assert detail.startswith(f"{field}: ")
    assert "only for LangGraph graphs" in detail
    assert why in detail
    assert await client.runs.list(thread_id) == []


@pytest.mark.parametrize(
    ("path", "body", "status", "said_of_it"),
    [
        ("/state", {"values": 7}, 422, "values: expected an object of channels, a list, or null"),
        ("/state", {"values": "x"}, 422, "values: expected an object of channels"),
        ("/state", {"values": {}, "as_node": 7}, 422, "as_node"),
        ("/state", {"values": {}, "as_node": "nowhere"}, 400, "Node nowhere does not exist"),
        ("/state", {"values": {}, "checkpoint": 7}, 422, "checkpoint"),
        ("/state", {"values": {}, "checkpoint_id": "x"}, 404, "Checkpoint x not found"),
        (
            "/state",
            {"values": {}, "checkpoint": {"thread_id": NOWHERE}},
            422,
            "checkpoint.thread_id: expected",
        ),
        ("/state/checkpoint", {"checkpoint": {"checkpoint_map": 7}}, 422, "checkpoint"),
        ("/history", {"before": 7}, 422, "before"),
        ("/history", {"before": "x"}, 404, "Checkpoint x not found"),
        ("/history", {"metadata": 7}, 422, "metadata"),
        ("/history", {"checkpoint": 7}, 422, "checkpoint"),
    ],
)
async def test_states_are_asked_for_and_changed_with_what_fits(
    client: LangGraphClient, thread_id: str, path: str, body: dict[str, Any], status: int,
    said_of_it: str,
) -> None:  # fmt: skip
    before = await client.threads.get_history(thread_id)
    found, detail = await refusal(client, f"/threads/{thread_id}{path}", body)
    assert (found, detail[: len(said_of_it)]) == (status, said_of_it)
    assert await client.threads.get_history(thread_id) == before


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/state", {"values": {}, "checkpoint": {"checkpoint_ns": "x"}}, "checkpoint_ns"),
        ("/history", {"checkpoint": {"checkpoint_ns": "x"}}, "checkpoint.checkpoint_ns"),
    ],
)
async def test_threads_of_functions_have_no_such_states(
    client: LangGraphClient, path: str, body: dict[str, Any], named: str
) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    await soon(client.runs.wait(thread_id, "function", input={}))
    status, detail = await refusal(client, f"/threads/{thread_id}{path}", body)
    assert (status, detail[: len(named)]) == (422, named)


JUNK = [
    *(None, True, False, 0, -1, 1.5, 2**63, 2**64, 10**30, 1e308, "", "text", "\0", "x" * 10_000),
    *([], [None], [[]], ["text", 1], {}, {"": None}, {"a": {"b": [1, {"c": "d"}]}}),
    {"__proto__": 1, "checkpoint_id": 7, "configurable": 7},
    {"resume": {"a": [{}]}, "update": {"__root__": 1}, "goto": [[]]},
]

FIELDS = {
    "/runs/wait": [
        *("input", "metadata", "config", "context", "stream_mode", "durability", "command"),
        *("checkpoint_during", "strict_resume", "checkpoint", "checkpoint_id"),
        *("interrupt_before", "interrupt_after", "stream_subgraphs", "unknown_field"),
    ],
    "/state": ["values", "as_node", "checkpoint", "checkpoint_id"],
    "/state/checkpoint": ["checkpoint", "subgraphs", "select"],
    "/history": ["limit", "before", "metadata", "checkpoint", "select"],
}


@pytest.mark.parametrize("path", FIELDS)
@pytest.mark.parametrize("graph", ["asking", "agent"])
async def test_any_value_in_any_field_is_taken_or_refused(
    client: LangGraphClient, path: str, graph: str
) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    given = said("a") if graph == "agent" else {"log": ["in"]}
    await soon(client.runs.wait(thread_id, graph, input=given))
    for field in FIELDS[path]:
        for junk in JUNK:
            content = json.dumps({"assistant_id": graph, field: junk})
            url = f"/threads/{thread_id}{path}"
            answer = await soon(client.http.client.post(url, content=content))
            assert answer.status_code < 500, (field, junk, answer.text)
            if answer.status_code >= 400:
                assert isinstance(answer.json()["detail"], str)
    assert (await client.http.client.get("/ok")).status_code == 200
    assert (await client.threads.get_state(thread_id))["checkpoint_id"]
