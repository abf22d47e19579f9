"""Every call of `client.threads`, async and sync, in process and over a socket."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from langgraph_sdk._async.threads import ThreadsClient
from langgraph_sdk._sync.threads import SyncThreadsClient
from langgraph_sdk.errors import (
    APIStatusError,
    ConflictError,
    NotFoundError,
    UnprocessableEntityError,
)

from tests.support.engine import Database, Gates, answered, heard, said, soon
from tests.support.langgraph_agents import hosting, logged
from tests.support.sdk_clients import KINDS, Client, clients
from threadfold import Engine

UNKNOWN = "01a00000-0000-7000-8000-000000000000"

SHOWN_HERE = {
    "get", "create", "update", "delete", "search", "count", "copy", "prune", "get_state",
    "update_state", "get_history",
}  # fmt: skip
SHOWN_ELSEWHERE = {"join_stream", "stream"}
"""The streams of threads."""


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    """Give an engine with LangGraph graphs, and the function graph `function`."""
    async with hosting(database, gates) as engine:
        yield engine


client = clients(KINDS)


async def turn(client: Client, graph: str, given: Any, thread_id: str | None = None) -> str:
    """Let a graph take a turn, in a new thread if none is named."""
    thread_id = thread_id or (await client.threads.create())["thread_id"]
    await soon(client.runs.wait(thread_id, graph, input=given))
    return thread_id


@pytest.mark.parametrize("kind", [ThreadsClient, SyncThreadsClient])
def test_no_call_of_the_clients_is_forgotten(kind: type) -> None:
    calls = {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}
    assert calls == SHOWN_HERE | SHOWN_ELSEWHERE


# ------------------------------------------------------------------ create, get, update, delete


async def test_create(client: Client) -> None:
    made = await client.threads.create(
        thread_id=UNKNOWN, metadata={"a": 1}, graph_id="asking", if_exists="raise"
    )
    assert made["thread_id"] == UNKNOWN
    assert made["metadata"] == {"a": 1, "graph_id": "asking"}
    assert (made["status"], made["values"]) == ("idle", None)
    with pytest.raises(ConflictError, match=f"Thread with ID {UNKNOWN} already exists"):
        await client.threads.create(thread_id=UNKNOWN, metadata={"b": 2})
    same = await client.threads.create(
        thread_id=UNKNOWN, metadata={"b": 2}, if_exists="do_nothing", ttl=5
    )
    assert same == made
    assert (await client.threads.get(UNKNOWN, include=["ttl"]))["ttl"] is None


@pytest.mark.parametrize(
    ("given", "strategy", "minutes"),
    [
        (90, "delete", 90),
        (1.5, "delete", 1.5),
        ({"ttl": 5}, "delete", 5),
        ({"ttl": 5, "strategy": "keep_latest"}, "keep_latest", 5),
    ],
)
async def test_a_time_to_live(client: Client, given: Any, strategy: str, minutes: float) -> None:
    made = await client.threads.create(ttl=given)
    assert "ttl" not in made
    assert "ttl" not in await client.threads.get(made["thread_id"])
    for call in ("create", "update"):
        if call == "update":
            made = await client.threads.create()
            assert await client.threads.update(
                made["thread_id"], metadata={}, ttl=given, return_minimal=True
            ) in (None, {})
        shown = await client.threads.get(made["thread_id"], include=["ttl"])
        expires_at = datetime.fromisoformat(shown["updated_at"]) + timedelta(minutes=minutes)
        assert shown["ttl"] == {
            "strategy": strategy,
            "ttl_minutes": minutes,
            "expires_at": expires_at.isoformat(timespec="microseconds"),
        }


@pytest.mark.parametrize("ttl", [0, -1, {"ttl": 5, "strategy": "forget"}, {"strategy": "delete"}])
async def test_no_time_to_live(client: Client, ttl: Any) -> None:
    with pytest.raises(UnprocessableEntityError, match="ttl"):
        await client.threads.create(ttl=ttl)
    made = await client.threads.create()
    with pytest.raises(UnprocessableEntityError, match="ttl"):
        await client.threads.update(made["thread_id"], metadata={"a": 1}, ttl=ttl)
    assert await client.threads.search() == [made]


async def test_get_update_and_delete(client: Client) -> None:
    thread_id = (await client.threads.create(metadata={"a": {"b": 1}}))["thread_id"]
    updated = await client.threads.update(thread_id, metadata={"a": {"c": 2}, "d": None})
    assert updated["metadata"] == {"a": {"c": 2}, "d": None}
    assert await client.threads.get(thread_id) == updated
    assert await client.threads.update(thread_id, metadata={"e": 1}, return_minimal=True) is None
    assert (await client.threads.get(thread_id))["metadata"]["e"] == 1
    assert await client.threads.delete(thread_id) is None
    for call in (client.threads.get, client.threads.delete):
        with pytest.raises(NotFoundError):
            await call(thread_id)
    with pytest.raises(NotFoundError):
        await client.threads.update(thread_id, metadata={})
    with pytest.raises(UnprocessableEntityError, match="must be a UUID"):
        await client.threads.get("nonsense")


# ------------------------------------------------------------------ supersteps


async def test_create_with_supersteps(client: Client) -> None:
    steps = [
        {"updates": [{"values": {"log": ["in"]}, "as_node": "__input__"}]},
        {"updates": [{"values": {"log": ["one"]}, "as_node": "first"}]},
    ]
    made = await client.threads.create(graph_id="asking", supersteps=steps, metadata={"a": 1})
    thread_id = made["thread_id"]
    assert made["metadata"] == {"a": 1, "graph_id": "asking"}
    assert made["status"] == "interrupted"
    history = await client.threads.get_history(thread_id)
    assert [state["next"] for state in history] == [["ask"], ["__start__"]]
    assert logged(made["values"])[-1] == "one"
    assert made["values"] == history[0]["values"]
    asked = await soon(client.runs.wait(thread_id, "asking"))
    assert asked["__interrupt__"]
    values = await soon(client.runs.wait(thread_id, "asking", command={"resume": "bob"}))
    assert logged(values)[-2:] == ["answer bob", "last"]


async def test_a_superstep_may_be_a_command_and_have_several_updates(client: Client) -> None:
    command = {"update": {"log": ["told"]}, "goto": "last"}
    steps = [{"updates": [{"values": None, "command": command, "as_node": "first"}]}]
    made = await client.threads.create(graph_id="asking", supersteps=steps)
    state = await client.threads.get_state(made["thread_id"])
    assert logged(state["values"]) == ["told"]
    assert "last" in state["next"]
    both = [
        {"values": {"log": ["a"]}, "as_node": "first"},
        {"values": {"log": ["b"]}, "as_node": "ask"},
    ]
    made = await client.threads.create(graph_id="asking", supersteps=[{"updates": both}])
    assert logged(made["values"]) == ["a", "b"]
    assert len(await client.threads.get_history(made["thread_id"])) == 1


async def test_supersteps_of_a_function(client: Client) -> None:
    steps = [
        {"updates": [{"values": {"a": 1, "b": 1}, "as_node": "function"}]},
        {"updates": [{"values": {"b": 2}, "as_node": None}, {"values": None, "as_node": None}]},
    ]
    made = await client.threads.create(graph_id="function", supersteps=steps)
    assert made["values"] == {"a": 1, "b": 2}
    history = await client.threads.get_history(made["thread_id"])
    assert [state["values"] for state in history][-1] == {"a": 1, "b": 1}
    values = await soon(client.runs.wait(made["thread_id"], "function", input={"c": 3}))
    assert values == {"a": 1, "b": 2, "c": 3, "count": 1}


@pytest.mark.parametrize(
    ("options", "status", "problem"),
    [
        ({}, 422, "metadata.graph_id"),
        ({"graph_id": "nobody"}, 422, "nobody"),
        ({"graph_id": "asking", "as_node": "nowhere"}, 400, "nowhere"),
        ({"graph_id": "asking", "values": {"log": 5}}, 422, "supersteps"),
        ({"graph_id": "asking", "command": {"goto": "nowhere"}}, 422, "nowhere"),
        ({"graph_id": "asking", "command": {"update": {"log": [1]}}}, 422, "values or a command"),
        ({"graph_id": "asking", "command": {"resume": 1}, "values": None}, 422, "new thread"),
        ({"graph_id": "function", "command": {"goto": "x"}}, 422, "command"),
        ({"graph_id": "function", "values": [1]}, 422, "expected an object"),
    ],
)
async def test_where_one_superstep_does_not_fit_nothing_is_created(
    client: Client, options: dict[str, Any], status: int, problem: str
) -> None:
    graph_id = options.get("graph_id")
    good = {"values": {"log": ["in"]}, "as_node": "first"}
    bad = {"values": {"log": ["x"]}, "as_node": "first", **options}
    with pytest.raises(APIStatusError, match=problem) as refused:
        await client.threads.create(
            thread_id=UNKNOWN,
            graph_id=graph_id,
            supersteps=[{"updates": [good]}, {"updates": [bad]}],
        )
    assert refused.value.status_code == status
    with pytest.raises(NotFoundError):
        await client.threads.get(UNKNOWN)
    assert await client.threads.search() == []


@pytest.mark.parametrize("graph_id", ["asking", "function"])
async def test_supersteps_leave_a_thread_that_exists_as_it_is(
    client: Client, graph_id: str
) -> None:
    before = await client.threads.create(thread_id=UNKNOWN)
    options = {
        "thread_id": UNKNOWN,
        "graph_id": graph_id,
        "supersteps": [{"updates": [{"values": {"log": ["in"]}, "as_node": "first"}]}],
    }
    with pytest.raises(ConflictError):
        await client.threads.create(**options)
    assert await client.threads.create(if_exists="do_nothing", **options) == before
    assert await client.threads.get(UNKNOWN) == before


# ------------------------------------------------------------------ search and count


async def test_search_by_values(client: Client) -> None:
    empty = (await client.threads.create())["thread_id"]
    one = await turn(client, "function", {"user": {"name": "ann", "tags": ["x", "y"]}})
    two = await turn(client, "function", {"user": {"name": "bob", "tags": []}, "count": 0})
    asked = await turn(client, "asking", {"log": ["in"]})
    talk = await turn(client, "agent", said("a"))

    async def found(values: Any, **more: Any) -> list[str]:
        threads = await client.threads.search(values=values, **more)
        ids = [thread["thread_id"] for thread in threads]
        assert await client.threads.count(values=values, **more) == len(ids)
        return ids

    assert await found({"count": 1}) == [two, one]
    assert await found({"user": {"name": "ann"}}) == [one]
    assert await found({"user": {"tags": ["y"]}}) == [one]
    assert await found({"user": {"tags": []}}) == [two, one]
    assert await found({"count": True}) == []
    assert await found({"log": ["first"]}) == [asked]
    assert await found({"log": ["first"]}, status="idle") == []
    assert await found({"messages": [{"type": "ai", "content": "a.1"}]}) == [talk]
    assert await found({"messages": [{"type": "ai", "tool_calls": []}]}) == [talk]
    assert await found({"nothing": None}) == []
    assert await found({"count": 1}, metadata={"graph_id": "function"}) == [two, one]
    everything = [thread["thread_id"] for thread in await client.threads.search()]
    assert everything == [talk, asked, two, one, empty]


@pytest.mark.parametrize("kind", ["thread_id", "status", "created_at", "updated_at"])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_search_in_any_order_and_in_pages(client: Client, kind: str, order: str) -> None:
    made = [await turn(client, "function", {"n": n}) for n in range(2)]
    made += [await turn(client, "asking", {"log": [n]}) for n in range(2)]
    made += [(await client.threads.create(metadata={"n": n}))["thread_id"] for n in range(2)]
    await client.threads.update(made[0], metadata={"late": True})
    options = {"sort_by": kind, "sort_order": order}
    whole = await client.threads.search(**options)
    keys = [(thread[kind], thread["thread_id"]) for thread in whole]
    expected = sorted(keys, key=lambda key: key[1])
    expected.sort(key=lambda key: key[0], reverse=order == "desc")
    assert keys == expected
    pages = [await client.threads.search(limit=2, offset=n, **options) for n in (0, 2, 4, 6)]
    assert [thread for page in pages for thread in page] == whole
    ids = [made[3], made[1], UNKNOWN]
    found = await client.threads.search(ids=ids, **options)
    assert [thread["thread_id"] for thread in found] == [
        thread_id for _, thread_id in keys if thread_id in ids
    ]


async def test_search_with_select_and_extract(client: Client) -> None:
    talk = await turn(client, "agent", said("a"))
    empty = (await client.threads.create(metadata={"a.b": 1, "deep": [{"x": 1}, {"x": 2}]}))[
        "thread_id"
    ]
    extract = {
        "last": "values.messages[-1].content",
        "first": "values.messages[0].type",
        "texts": "values.messages[*].content",
        "beyond": "values.messages[7].content",
        "no list": "values.messages.content",
        "graph": "metadata.graph_id",
        "deep": "metadata.deep[*].x",
        "status": "status",
        "nothing": "error.message",
        "one": "metadata.deep[-2]",
    }
    of_empty, of_talk = await client.threads.search(
        select=["thread_id", "metadata"], extract=extract
    )
    assert of_talk.keys() == {"thread_id", "metadata", "extracted"}
    assert (of_talk["thread_id"], of_empty["thread_id"]) == (talk, empty)
    assert of_talk["extracted"] == {
        "last": "a.2",
        "first": "human",
        "texts": answered("a"),
        "beyond": None,
        "no list": None,
        "graph": "agent",
        "deep": [],
        "status": "idle",
        "nothing": None,
        "one": None,
    }
    assert of_empty["extracted"] == {
        **dict.fromkeys(("last", "first", "beyond", "no list", "graph", "nothing")),
        "texts": [],
        "deep": [1, 2],
        "status": "idle",
        "one": {"x": 1},
    }
    (whole, _) = await client.threads.search(ids=[talk, empty], sort_order="asc")
    shown = await client.threads.search(
        ids=[talk], extract={"values": "values", "all": "values.messages"}
    )
    assert shown[0]["extracted"]["values"] == whole["values"]
    assert shown[0]["extracted"]["all"] == whole["values"]["messages"]
    with pytest.raises(UnprocessableEntityError, match="extract"):
        await client.threads.search(extract={str(n): "values.a" for n in range(11)})
    for path in ("values[", "values.", "messages[0]", "values[1].", "values[--1]", "values.[0]"):
        with pytest.raises(UnprocessableEntityError, match="alias"):
            await client.threads.search(extract={"alias": path})


async def test_a_state_without_channels_is_searched_and_read_too(client: Client) -> None:
    listed = await turn(client, "listed", [{"role": "human", "content": "a"}])
    (found,) = await client.threads.search(extract={"last": "values[-1].content"})
    assert found["extracted"] == {"last": "a.1"}
    assert await client.threads.search(values={"messages": []}) == []
    assert await client.threads.count(metadata={"graph_id": "listed"}) == 1
    assert found["thread_id"] == listed


# ------------------------------------------------------------------ copy and prune


@pytest.mark.parametrize("graph", ["asking", "agent", "function"])
async def test_a_copy_has_state_and_values_at_once(client: Client, graph: str) -> None:
    given = said("a") if graph == "agent" else {"log": ["in"]}
    thread_id = await turn(client, graph, given)
    copy = await client.threads.copy(thread_id)
    before = await client.threads.get(thread_id)
    for same in ("values", "metadata", "status", "interrupts", "error"):
        assert copy[same] == before[same]
    state = await client.threads.get_state(copy["thread_id"])
    assert state["values"] == (await client.threads.get_state(thread_id))["values"]
    assert await client.runs.list(copy["thread_id"]) == []
    history = await client.threads.get_history(copy["thread_id"], limit=100)
    originals = await client.threads.get_history(thread_id, limit=100)
    assert len(history) > 1
    for same in ("values", "next", "checkpoint_id", "parent_checkpoint_id"):
        assert [each[same] for each in history] == [each[same] for each in originals]
    for same in ("source", "step", "graph_id"):
        assert [each["metadata"][same] for each in history] == [
            each["metadata"][same] for each in originals
        ]
    before_last = await client.threads.get_state(
        copy["thread_id"], checkpoint=history[1]["checkpoint"]
    )
    assert before_last["values"] == originals[1]["values"]
    await client.threads.delete(thread_id)
    assert (await client.threads.get(copy["thread_id"]))["values"] == before["values"]
    with pytest.raises(NotFoundError):
        await client.threads.copy(thread_id)


async def test_prune_deletes_threads(client: Client, gates: Gates) -> None:
    gates.close("a:0")
    made = [(await client.threads.create())["thread_id"] for _ in range(3)]
    run = await client.runs.create(made[0], "agent", input=said("a"))
    await gates["a:0"].reached()
    assert await client.threads.prune([made[0], UNKNOWN, made[1], made[0]]) == {"pruned_count": 2}
    gates.open()
    assert [thread["thread_id"] for thread in await client.threads.search()] == [made[2]]
    with pytest.raises(NotFoundError):
        await client.runs.get(made[0], run["run_id"])
    assert await client.threads.prune(made[:2]) == {"pruned_count": 0}
    assert await client.threads.prune([]) == {"pruned_count": 0}


@pytest.mark.parametrize("graph", ["asking", "agent", "function", "nested", "failing"])
async def test_prune_keeps_the_newest_state_as_it_is(client: Client, graph: str) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    for text in ("a", "b"):
        given = said(text) if graph == "agent" else {"log": [text]}
        await soon(client.runs.wait(thread_id, graph, input=given, raise_error=False))
    before = await client.threads.get(thread_id)
    state = await client.threads.get_state(thread_id, subgraphs=True)
    history = await client.threads.get_history(thread_id)
    assert len(history) > 2
    for count in (1, 1):
        pruned = await client.threads.prune([thread_id, UNKNOWN], strategy="keep_latest")
        assert pruned == {"pruned_count": count}
    after = await client.threads.get(thread_id)
    assert {**after, "updated_at": None} == {**before, "updated_at": None}
    assert await client.threads.get_state(thread_id, subgraphs=True) == state
    assert await client.threads.get_history(thread_id) == history[:1]
    gone = await client.threads.get_state(thread_id, checkpoint=history[1]["checkpoint"])
    assert (gone["values"], gone["checkpoint"]["checkpoint_id"]) == (
        {},
        history[1]["checkpoint_id"],
    )
    assert len(await client.runs.list(thread_id)) == 2
    copied = await client.threads.copy(thread_id)
    assert (await client.threads.get_state(copied["thread_id"]))["values"] == state["values"]


@pytest.mark.parametrize("graph", ["asking", "function"])
async def test_a_pruned_thread_goes_on(client: Client, graph: str) -> None:
    thread_id = await turn(client, graph, {"log": ["a"]})
    await client.threads.prune([thread_id], strategy="keep_latest")
    (oldest,) = await client.threads.get_history(thread_id)
    await soon(client.runs.wait(thread_id, graph, input={"log": ["b"]}))
    history = await client.threads.get_history(thread_id)
    assert len(history) > 2
    assert history[-1]["checkpoint"] == oldest["checkpoint"]
    assert history[-1]["values"] == oldest["values"]


async def test_prune_leaves_a_busy_thread_alone(client: Client, gates: Gates) -> None:
    thread_id = await turn(client, "agent", said("a"))
    gates.close("b:0")
    run = await client.runs.create(thread_id, "agent", input=said("b"))
    await gates["b:0"].reached()
    idle = await turn(client, "agent", said("c"))
    pruned = await client.threads.prune([thread_id, idle], strategy="keep_latest")
    assert pruned == {"pruned_count": 1}
    gates.open()
    values = await soon(client.runs.join(thread_id, run["run_id"]))
    assert heard(values) == answered("a", "b")
    assert len(await client.threads.get_history(thread_id)) > 4


# ------------------------------------------------------------------ states and history


@pytest.mark.parametrize("graph", ["asking", "function"])
async def test_get_state_by_checkpoint(client: Client, graph: str) -> None:
    thread_id = await turn(client, graph, {"log": ["a"]})
    for state in await client.threads.get_history(thread_id):
        checkpoint = state["checkpoint"]
        shown = await client.threads.get_state(thread_id, checkpoint=checkpoint)
        by_id = await client.threads.get_state(
            thread_id, checkpoint_id=checkpoint["checkpoint_id"], subgraphs=True
        )
        assert (shown["values"], shown["checkpoint"]) == (state["values"], checkpoint)
        assert by_id["values"] == state["values"]
    for odd in (UNKNOWN, "nonsense"):
        empty = await client.threads.get_state(thread_id, checkpoint_id=odd)
        assert (empty["values"], empty["checkpoint_id"]) == ({}, odd)
    with pytest.raises(NotFoundError):
        await client.threads.get_state(UNKNOWN)
    chosen = await client.threads.get_state(thread_id, select=["values.log", "next"])
    assert chosen.keys() == {"values", "next"}


@pytest.mark.parametrize("graph", ["asking", "function"])
async def test_get_history_before_and_by_metadata(client: Client, graph: str) -> None:
    thread_id = await turn(client, graph, {"log": ["a"]})
    first_run = (await client.runs.list(thread_id))[0]["run_id"]
    await turn(client, graph, {"log": ["b"]}, thread_id)
    history = await client.threads.get_history(thread_id, limit=100)
    newer, middle, older = history[: len(history) - 2], history[-2], history[-1]
    checkpoint = middle["checkpoint"]
    named = (
        checkpoint["checkpoint_id"],
        checkpoint,
        {"checkpoint_id": checkpoint["checkpoint_id"]},
        {"configurable": checkpoint},
    )
    for before in named:
        assert await client.threads.get_history(thread_id, before=before) == [older]
    assert len(newer) == len(await client.threads.get_history(thread_id, limit=len(newer)))
    of_run = await client.threads.get_history(thread_id, metadata={"run_id": first_run})
    assert of_run == [state for state in history if state["metadata"]["run_id"] == first_run]
    assert 0 < len(of_run) < len(history)
    inputs = await client.threads.get_history(thread_id, metadata={"source": "input"})
    assert len(inputs) == 2
    steps = {"step": middle["metadata"]["step"], "source": middle["metadata"]["source"]}
    assert await client.threads.get_history(thread_id, metadata=steps) == [middle]
    assert await client.threads.get_history(thread_id, metadata={"nothing": 1}) == []
    assert await client.threads.get_history(thread_id, checkpoint=checkpoint) == [middle]
    with pytest.raises(NotFoundError):
        await client.threads.get_history(thread_id, before=UNKNOWN)
    with pytest.raises(NotFoundError):
        await client.threads.get_history(UNKNOWN)
    for limit in (0, 1001):
        with pytest.raises(UnprocessableEntityError, match="limit"):
            await client.threads.get_history(thread_id, limit=limit)


# ------------------------------------------------------------------ updates


@pytest.mark.parametrize("graph", ["asking", "function"])
async def test_update_state(client: Client, graph: str) -> None:
    thread_id = await turn(client, graph, {"log": ["a"]})
    before = await client.threads.get_state(thread_id)
    answer = await client.threads.update_state(thread_id, {"last": "x", "unknown key": 1})
    state = await client.threads.get_state(thread_id)
    assert answer["checkpoint"] == state["checkpoint"]
    assert state["values"]["last"] == "x"
    assert state["parent_checkpoint"] == before["checkpoint"]
    assert state["metadata"]["source"] == "update"
    await client.threads.update_state(thread_id, None, as_node="__end__")
    ended = await client.threads.get_state(thread_id)
    assert (ended["values"], ended["next"]) == (state["values"], [])
    assert (await client.threads.get(thread_id))["status"] == "idle"
    for call in (
        client.threads.update_state(UNKNOWN, {}),
        client.threads.get_state(UNKNOWN, checkpoint_id=UNKNOWN),
    ):
        with pytest.raises(NotFoundError):
            await call


async def test_a_failed_function_is_idle_again_as_of_its_end(client: Client) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    await soon(client.runs.wait(thread_id, "function", input=7, raise_error=False))
    assert (await client.threads.get(thread_id))["status"] == "error"
    await client.threads.update_state(thread_id, None, as_node="__end__")
    assert (await client.threads.get(thread_id))["status"] == "idle"


async def test_forks_and_copies_of_functions_are_refused_by_name(client: Client) -> None:
    thread_id = await turn(client, "function", {"log": ["a"]})
    history = await client.threads.get_history(thread_id)
    with pytest.raises(UnprocessableEntityError, match="checkpoint_id"):
        await client.threads.update_state(thread_id, {"a": 1}, checkpoint=history[-1]["checkpoint"])
    for node in ("__input__", "__copy__"):
        with pytest.raises(UnprocessableEntityError, match="as_node"):
            await client.threads.update_state(thread_id, {"a": 1}, as_node=node)
    assert await client.threads.get_history(thread_id) == history


@pytest.mark.parametrize("graph_id", ["asking", "function"])
async def test_of_many_that_create_a_thread_with_supersteps_one_does(
    client: Client, graph_id: str
) -> None:
    async def create(n: int, if_exists: str) -> list[int] | str:
        steps = [
            {"updates": [{"values": {"log": [n]}, "as_node": "first"}]},
            {"updates": [{"values": {"last": str(n)}, "as_node": "first"}]},
        ]
        try:
            made = await client.threads.create(
                thread_id=UNKNOWN, graph_id=graph_id, supersteps=steps, if_exists=if_exists
            )
        except ConflictError:
            return "refused"
        return logged(made["values"])

    found = await soon(asyncio.gather(*(create(n, "raise") for n in range(6))))
    (winner,) = [each for each in found if each != "refused"]
    assert len(winner) == 1
    again = await soon(asyncio.gather(*(create(n, "do_nothing") for n in range(6, 9))))
    assert again == [winner] * 3
    state = await client.threads.get_state(UNKNOWN)
    assert state["values"] == {"log": winner, "last": str(winner[0])}
    assert len(await client.threads.get_history(UNKNOWN)) == 2
