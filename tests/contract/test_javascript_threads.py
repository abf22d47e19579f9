"""`client.threads` of the JavaScript SDK: each of its calls, with all that it can ask for."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.engine import Database, Gates, soon
from tests.support.javascript import JavaScriptError, Node
from tests.support.langgraph_agents import hosting, logged
from threadfold import Engine, get_client

pytestmark = pytest.mark.xdist_group("javascript")

UNKNOWN = "01a00000-0000-7000-8000-000000000000"


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    async with hosting(database, gates) as engine:
        yield engine


async def refused(node: Node, *call: object) -> tuple[int, str]:
    with pytest.raises(JavaScriptError) as error:
        await node.result("threads", *call)
    return error.value.status, error.value.detail


async def test_threads_are_made_changed_copied_and_deleted(node: Node, engine: Engine) -> None:
    asked = {"threadId": UNKNOWN, "metadata": {"a": {"b": 1}}, "graphId": "asking", "ttl": 90}
    made = await node.result("threads", "create", asked)
    assert made["metadata"] == {"a": {"b": 1}, "graph_id": "asking"}
    assert (made["status"], made["values"]) == ("idle", None)
    async with get_client(engine) as client:
        shown = await client.threads.get(UNKNOWN, include=["ttl"])
        expires_at = datetime.fromisoformat(shown["updated_at"]) + timedelta(minutes=90)
        assert shown.pop("ttl") == {
            "strategy": "delete",
            "ttl_minutes": 90,
            "expires_at": expires_at.isoformat(timespec="microseconds"),
        }
        assert shown == made == await node.result("threads", "get", UNKNOWN)
        exists = (409, f"Thread with ID {UNKNOWN} already exists")
        assert await refused(node, "create", {"threadId": UNKNOWN, "ifExists": "raise"}) == exists
        same = await node.result(
            "threads", "create", {"threadId": UNKNOWN, "ifExists": "do_nothing"}
        )
        assert same == made
        change = {"metadata": {"a": {"c": 2}}, "ttl": {"ttl": 5, "strategy": "keep_latest"}}
        changed = await node.result("threads", "update", UNKNOWN, change)
        assert changed["metadata"] == {"a": {"c": 2}, "graph_id": "asking"}
        shown = await client.threads.get(UNKNOWN, include=["ttl"])
        assert (shown["ttl"]["ttl_minutes"], shown["ttl"]["strategy"]) == (5, "keep_latest")

    await node.result("runs", "wait", UNKNOWN, "asking", {"input": {"log": ["in"]}})
    copy = await node.result("threads", "copy", UNKNOWN)
    assert copy["thread_id"] != UNKNOWN
    assert (copy["status"], logged(copy["values"])) == ("interrupted", ["in", "first"])
    assert await node.result("runs", "list", copy["thread_id"]) == []
    resume = {"command": {"resume": "bob"}}
    values = await node.result("runs", "wait", copy["thread_id"], "asking", resume)
    assert logged(values) == ["in", "first", "answer bob", "last"]
    assert (await node.result("threads", "get", UNKNOWN))["status"] == "interrupted"

    assert await node.result("threads", "delete", UNKNOWN) is None
    for call in (
        ("get", UNKNOWN),
        ("delete", UNKNOWN),
        ("copy", UNKNOWN),
        ("getState", UNKNOWN),
        ("getHistory", UNKNOWN),
        ("update", UNKNOWN, {"metadata": {}}),
        ("updateState", UNKNOWN, {"values": {}}),
        ("joinStream", UNKNOWN),
    ):
        assert (await refused(node, *call))[0] == 404, call
    assert await refused(node, "get", "nonsense") == (422, "Invalid thread ID: must be a UUID")


async def test_a_thread_is_made_with_supersteps(node: Node) -> None:
    steps = [
        {"updates": [{"values": {"log": ["in"]}, "asNode": "__input__"}]},
        {"updates": [{"values": {"log": ["one"]}, "asNode": "first"}]},
    ]
    made = await node.result("threads", "create", {"graphId": "asking", "supersteps": steps})
    thread_id = made["thread_id"]
    assert made["status"] == "interrupted"
    history = await node.result("threads", "getHistory", thread_id)
    assert [state["next"] for state in history] == [["ask"], ["__start__"]]
    assert made["values"] == history[0]["values"]
    goto = {"command": {"update": {"log": ["told"]}, "goto": "last"}, "asNode": "first"}
    made = await node.result(
        "threads", "create", {"graphId": "asking", "supersteps": [{"updates": [goto]}]}
    )
    assert logged(made["values"]) == ["told"]
    bad = [{"updates": [{"values": {"log": ["x"]}, "asNode": "nowhere"}]}]
    status, detail = await refused(node, "create", {"graphId": "asking", "supersteps": bad})
    assert status == 400
    assert "nowhere" in detail


async def test_threads_are_searched_and_counted(node: Node) -> None:
    ids = []
    for number in range(4):
        metadata = {"n": number, "deep": {"tags": ["x", f"t{number}"]}}
        ids.append((await node.result("threads", "create", {"metadata": metadata}))["thread_id"])
    for at, name in ((1, "ann"), (2, "bob")):
        await node.result("runs", "wait", ids[at], "function", {"input": {"user": {"name": name}}})
    asked = {"input": {"log": ["in"]}}
    await node.result("runs", "wait", ids[3], "asking", asked)

    async def found(**query: Any) -> list[str]:
        threads = await node.result("threads", "search", query)
        known = {name: query[name] for name in ("metadata", "values", "status") if name in query}
        if known == query:
            assert await node.result("threads", "count", query) == len(threads)
        return [thread["thread_id"] for thread in threads]

    assert await found() == [ids[3], ids[2], ids[1], ids[0]]
    assert await found(metadata={"deep": {"tags": ["t2"]}}) == [ids[2]]
    assert await found(values={"count": 1}) == [ids[2], ids[1]]
    assert await found(values={"user": {"name": "ann"}}, metadata={"n": 1}) == [ids[1]]
    assert await found(status="interrupted") == [ids[3]]
    assert await found(ids=[ids[0], UNKNOWN]) == [ids[0]]
    assert await found(sortBy="created_at", sortOrder="asc", limit=2, offset=1) == ids[1:3]
    assert await found(sortBy="thread_id", sortOrder="desc", limit=1) == [ids[3]]
    chosen = await node.result(
        "threads", "search", {"status": "interrupted", "select": ["thread_id", "status"]}
    )
    assert chosen == [{"thread_id": ids[3], "status": "interrupted"}]
    for bad in ({"sortBy": "colour"}, {"limit": 0}, {"status": "asleep"}, {"select": ["colour"]}):
        assert (await refused(node, "search", bad))[0] == 422, bad


async def test_states_are_read_and_changed(node: Node) -> None:
    thread_id = (await node.result("threads", "create"))["thread_id"]
    empty = await node.result("threads", "getState", thread_id)
    assert (empty["values"], empty["next"], empty["checkpoint"]) == ({}, [], None)
    asked = {"input": {"log": ["in"]}}
    await node.result("runs", "wait", thread_id, "asking", asked)
    state = await node.result("threads", "getState", thread_id)
    assert (logged(state["values"]), state["next"]) == (["in", "first"], ["ask"])
    for name in (state["checkpoint_id"], state["checkpoint"]):
        assert await node.result("threads", "getState", thread_id, name) == state
    history = await node.result("threads", "getHistory", thread_id)
    assert [each["next"] for each in history] == [["ask"], ["first"], ["__start__"]]
    assert history[0]["checkpoint"] == state["checkpoint"]
    assert [each["parent_checkpoint_id"] for each in history] == [
        *[each["checkpoint_id"] for each in history[1:]],
        None,
    ]
    # The client names a checkpoint by its config.
    before = {"configurable": history[0]["checkpoint"]}
    options = {"before": before, "limit": 1}
    assert await node.result("threads", "getHistory", thread_id, options) == history[1:2]
    options = {"metadata": {"source": "input"}}
    assert await node.result("threads", "getHistory", thread_id, options) == history[2:]
    unknown = {"before": {"configurable": {"checkpoint_id": UNKNOWN}}}
    assert (await refused(node, "getHistory", thread_id, unknown))[0] == 404

    patch = {"values": {"log": ["patched"]}, "asNode": "ask"}
    told = await node.result("threads", "updateState", thread_id, patch)
    state = await node.result("threads", "getState", thread_id)
    assert told["checkpoint"] == state["checkpoint"]
    assert (logged(state["values"])[-1], state["next"]) == ("patched", ["last"])
    fork = {**patch, "checkpointId": history[1]["checkpoint_id"], "asNode": "first"}
    await node.result("threads", "updateState", thread_id, fork)
    state = await node.result("threads", "getState", thread_id)
    assert (logged(state["values"]), state["next"]) == (["in", "patched"], ["ask"])
    assert state["parent_checkpoint"] == history[1]["checkpoint"]
    nowhere = {"values": {}, "asNode": "nowhere"}
    assert (await refused(node, "updateState", thread_id, nowhere))[0] == 400
    wrong = {"values": "text"}
    assert (await refused(node, "updateState", thread_id, wrong))[0] == 422


async def test_a_busy_thread_is_not_changed(node: Node, gates: Gates) -> None:
    thread_id = (await node.result("threads", "create"))["thread_id"]
    gates.close("first")
    run = await node.result("runs", "create", thread_id, "asking", {"input": {"log": ["in"]}})
    await soon(gates["first"].reached())
    assert (await node.result("threads", "get", thread_id))["status"] == "busy"
    assert (await refused(node, "updateState", thread_id, {"values": {"log": ["x"]}}))[0] == 409
    gates.open()
    joined = await node.result("runs", "join", thread_id, run["run_id"])
    assert joined["__interrupt__"][0]["value"] == {"question": "name?"}
