"""Threads, runs, states and assistants as the SDKs get them."""

import re
from datetime import datetime, timedelta

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import (
    BadRequestError,
    ConflictError,
    NotFoundError,
    UnprocessableEntityError,
)

from tests.support.engine import Gates, answered, heard, said, soon
from threadfold import Engine, Update

UNKNOWN = "01a00000-0000-7000-8000-000000000000"
AGENT = "fe096781-5601-53d2-b2f6-0d3403f7e9ca"
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")


@pytest.fixture
async def thread_id(client: LangGraphClient) -> str:
    return (await client.threads.create())["thread_id"]


async def held_run(client: LangGraphClient, gates: Gates, thread_id: str) -> str:
    gates.close("a:1")
    run = await client.runs.create(thread_id, "agent", input=said("a"))
    await gates["a:1"].reached()
    return run["run_id"]


# ------------------------------------------------------------------ threads


async def test_a_new_thread_is_idle_and_empty(client: LangGraphClient) -> None:
    thread = await client.threads.create(metadata={"owner": "Zoë"})
    created_at = thread["created_at"]
    assert TIMESTAMP.fullmatch(created_at)
    assert thread == {
        "thread_id": thread["thread_id"],
        "created_at": created_at,
        "updated_at": created_at,
        "state_updated_at": created_at,
        "metadata": {"owner": "Zoë"},
        "status": "idle",
        "config": {},
        "values": None,
    }
    assert thread["thread_id"][14] == "7"  # A UUIDv7: ids sort by time.
    assert await client.threads.get(thread["thread_id"]) == thread


async def test_a_thread_that_exists_is_refused_or_left_as_it_is(client: LangGraphClient) -> None:
    first = await client.threads.create(thread_id=UNKNOWN.upper(), metadata={"a": 1})
    assert first["thread_id"] == UNKNOWN
    with pytest.raises(ConflictError, match=f"Thread with ID {UNKNOWN} already exists"):
        await client.threads.create(thread_id=UNKNOWN)
    again = await client.threads.create(
        thread_id=UNKNOWN, metadata={"b": 2}, if_exists="do_nothing"
    )
    assert again == first


async def test_a_thread_shows_what_became_of_its_runs(
    client: LangGraphClient, gates: Gates, thread_id: str
) -> None:
    run_id = await held_run(client, gates, thread_id)
    busy = await client.threads.get(thread_id)
    assert busy["status"] == "busy"
    assert busy["metadata"] == {"graph_id": "agent", "assistant_id": AGENT}
    assert "error" not in busy
    gates.open()
    values = await soon(client.runs.join(thread_id, run_id))
    thread = await client.threads.get(thread_id)
    assert thread["status"] == "idle"
    assert thread["values"] == values
    assert (thread["interrupts"], thread["error"]) == ({}, None)
    assert thread["updated_at"] > busy["updated_at"] > busy["created_at"]


async def test_metadata_is_merged_key_by_key(client: LangGraphClient, thread_id: str) -> None:
    await client.threads.update(thread_id, metadata={"a": 1, "b": {"c": 1}})
    thread = await client.threads.update(thread_id, metadata={"b": {"d": 2}})
    assert thread is not None
    assert thread["metadata"] == {"a": 1, "b": {"d": 2}}
    assert await client.threads.update(thread_id, metadata={"e": 3}, return_minimal=True) is None
    assert (await client.threads.get(thread_id))["metadata"]["e"] == 3
    with pytest.raises(NotFoundError):
        await client.threads.update(UNKNOWN, metadata={})


async def test_a_deleted_thread_is_gone_and_its_run_stops(
    client: LangGraphClient, gates: Gates, thread_id: str
) -> None:
    run_id = await held_run(client, gates, thread_id)
    await client.threads.delete(thread_id)
    for call in (
        client.threads.get(thread_id),
        client.threads.get_state(thread_id),
        client.threads.get_history(thread_id),
        client.threads.delete(thread_id),
        client.runs.list(thread_id),
        client.runs.get(thread_id, run_id),
    ):
        with pytest.raises(NotFoundError):
            await call
    thread = await client.threads.create(thread_id=thread_id)
    assert thread["values"] is None
    assert await client.runs.list(thread_id) == []


async def test_a_copy_has_what_stands_without_the_run_in_flight(
    client: LangGraphClient, gates: Gates, thread_id: str
) -> None:
    await client.runs.wait(thread_id, "agent", input=said("z"))
    await held_run(client, gates, thread_id)
    copy = await client.threads.copy(thread_id)
    assert copy["thread_id"] != thread_id
    assert copy["status"] == "idle"
    assert heard(copy["values"]) == answered("z")
    assert await client.runs.list(copy["thread_id"]) == []
    with pytest.raises(NotFoundError):
        await client.threads.copy(UNKNOWN)


async def test_threads_are_searched_by_what_they_hold(
    client: LangGraphClient, gates: Gates
) -> None:
    made = [
        (await client.threads.create(metadata={"n": n, "deep": {"tags": ["x", f"t{n}"]}}))[
            "thread_id"
        ]
        for n in range(5)
    ]
    await held_run(client, gates, made[1])

    async def found(**query) -> list[str]:
        return [thread["thread_id"] for thread in await client.threads.search(**query)]

    newest_first = [made[1], made[4], made[3], made[2], made[0]]
    assert await found() == newest_first
    assert await found(limit=2, offset=1) == newest_first[1:3]
    assert await found(metadata={"n": 3}) == [made[3]]
    assert await found(metadata={"deep": {"tags": ["t2"]}}) == [made[2]]
    assert await found(metadata={"n": True}) == []
    assert await found(status="busy") == [made[1]]
    assert await found(ids=[made[0], UNKNOWN]) == [made[0]]
    assert await found(sort_by="created_at", sort_order="asc") == made
    assert await found(sort_by="thread_id", sort_order="desc", limit=1) == [made[-1]]
    (chosen,) = await client.threads.search(limit=1, select=["thread_id", "status"])
    assert chosen == {"thread_id": made[1], "status": "busy"}
    assert await client.threads.count() == 5
    assert await client.threads.count(metadata={"deep": {"tags": ["x"]}}, status="idle") == 4


async def test_pages_say_where_the_next_one_begins(url: str, client: LangGraphClient) -> None:
    for _ in range(3):
        await client.threads.create()
    async with httpx.AsyncClient(base_url=url) as raw:
        first = await raw.post("/threads/search", json={"limit": 2})
        last = await raw.post("/threads/search", json={"limit": 2, "offset": 2})
    assert first.headers["X-Pagination-Total"] == "3"
    assert first.headers["X-Pagination-Next"] == "2"
    assert last.headers["X-Pagination-Total"] == "3"
    assert "X-Pagination-Next" not in last.headers


# ------------------------------------------------------------------ states


async def test_an_empty_thread_has_an_empty_state(client: LangGraphClient, thread_id: str) -> None:
    assert await client.threads.get_state(thread_id) == {
        "values": {},
        "next": [],
        "tasks": [],
        "metadata": None,
        "created_at": None,
        "checkpoint": None,
        "parent_checkpoint": None,
        "interrupts": [],
        "checkpoint_id": None,
        "parent_checkpoint_id": None,
    }
    assert await client.threads.get_history(thread_id) == []


async def test_a_state_says_where_it_came_from(client: LangGraphClient, thread_id: str) -> None:
    await client.threads.update(thread_id, metadata={"owner": "Zoë"})
    await client.runs.wait(thread_id, "agent", input=said("a"))
    (run,) = await client.runs.list(thread_id)
    state = await client.threads.get_state(thread_id)
    assert heard(state["values"]) == answered("a")
    assert (state["next"], state["tasks"], state["interrupts"]) == ([], [], [])
    assert TIMESTAMP.fullmatch(state["created_at"])
    checkpoint_id = state["checkpoint_id"]
    assert state["checkpoint"] == {
        "thread_id": thread_id,
        "checkpoint_ns": "",
        "checkpoint_id": checkpoint_id,
    }
    assert checkpoint_id[14] == "6"  # A UUIDv6: ids sort by time.
    assert state["parent_checkpoint"]["checkpoint_id"] == state["parent_checkpoint_id"]
    assert state["metadata"] == {
        "owner": "Zoë",
        "graph_id": "agent",
        "assistant_id": AGENT,
        "thread_id": thread_id,
        "run_id": run["run_id"],
        "run_attempt": 1,
        "source": "loop",
        "step": 1,
        "parents": {},
    }


async def test_the_history_is_a_chain_without_what_was_rolled_back(
    client: LangGraphClient, gates: Gates, thread_id: str
) -> None:
    await client.runs.wait(thread_id, "agent", input=said("z"))
    before = await client.threads.get_history(thread_id)
    gone = await held_run(client, gates, thread_id)
    run = await client.runs.create(
        thread_id, "agent", input=said("b"), multitask_strategy="rollback"
    )
    gates.open()
    await soon(client.runs.join(thread_id, run["run_id"]))
    history = await client.threads.get_history(thread_id)
    assert [state["metadata"]["source"] for state in history] == [
        *("loop", "loop", "input"),
        *("loop", "loop", "input"),
    ]
    assert gone not in [state["metadata"]["run_id"] for state in history]
    parents = [state["parent_checkpoint_id"] for state in history]
    assert parents == [*(state["checkpoint_id"] for state in history[1:]), None]
    assert [state["checkpoint_id"] for state in history[3:]] == [
        state["checkpoint_id"] for state in before
    ]

    page = await client.threads.get_history(thread_id, limit=2, before=history[1]["checkpoint_id"])
    assert page == history[2:4]
    assert page == await client.threads.get_history(
        thread_id, limit=2, before=history[1]["checkpoint"]
    )
    with pytest.raises(NotFoundError):
        await client.threads.get_history(thread_id, before=UNKNOWN)


async def test_the_history_can_be_read_by_get_too(
    url: str, client: LangGraphClient, thread_id: str
) -> None:
    await client.runs.wait(thread_id, "agent", input=said("z"))
    history = await client.threads.get_history(thread_id)
    path = f"/threads/{thread_id}/history"
    async with httpx.AsyncClient(base_url=url) as raw:
        assert (await raw.get(path)).json() == history[:1]
        assert (await raw.get(path, params={"limit": 10})).json() == history
        before = {"limit": 1, "before": history[0]["checkpoint_id"]}
        assert (await raw.get(path, params=before)).json() == history[1:2]
        # The JavaScript SDK names a checkpoint by its config.
        before = {"before": {"configurable": history[0]["checkpoint"]}}
        assert (await raw.post(path, json=before)).json() == history[1:2]


async def test_an_earlier_state_is_read_by_its_checkpoint(
    client: LangGraphClient, thread_id: str
) -> None:
    await client.runs.wait(thread_id, "agent", input=said("a"))
    newest, earlier, _ = await client.threads.get_history(thread_id)
    by_id = await client.threads.get_state(thread_id, checkpoint_id=earlier["checkpoint_id"])
    by_checkpoint = await client.threads.get_state(thread_id, checkpoint=earlier["checkpoint"])
    assert by_id == by_checkpoint == earlier
    assert heard(by_id["values"]) == ["a", "a.1"]
    assert by_id["next"] == ["agent"]
    assert [task["name"] for task in by_id["tasks"]] == ["agent"]
    without_id = {**earlier["checkpoint"], "checkpoint_id": None}
    assert await client.threads.get_state(thread_id, checkpoint=without_id) == newest


@pytest.mark.parametrize("checkpoint_id", [UNKNOWN, "no-uuid-at-all"])
async def test_an_unknown_checkpoint_has_an_empty_state(
    client: LangGraphClient, thread_id: str, checkpoint_id: str
) -> None:
    state = await client.threads.get_state(thread_id, checkpoint_id=checkpoint_id)
    assert state["values"] == {}
    assert state["checkpoint"]["checkpoint_id"] == checkpoint_id
    assert state["created_at"] is None


async def test_parts_of_a_state_can_be_chosen(client: LangGraphClient, thread_id: str) -> None:
    await client.runs.wait(thread_id, "agent", input=said("a"))
    assert await client.threads.get_state(thread_id, select=["next"]) == {"next": []}
    chosen = await client.threads.get_state(thread_id, select=["values.last", "next"])
    assert chosen == {"next": [], "values": {"last": "a"}}
    (first,) = await client.threads.get_history(thread_id, limit=1, select=["values"])
    assert set(first) == {"values"}
    with pytest.raises(UnprocessableEntityError, match="select"):
        await client.threads.get_state(thread_id, select=["nonsense"])


async def test_the_state_is_updated_from_outside(client: LangGraphClient, thread_id: str) -> None:
    with pytest.raises(BadRequestError, match="no graph"):
        await client.threads.update_state(thread_id, said("too soon"))
    await client.runs.wait(thread_id, "agent", input=said("a"))
    before = await client.threads.get_state(thread_id)
    answer = await client.threads.update_state(thread_id, said("more"), as_node="agent")
    state = await client.threads.get_state(thread_id)
    assert heard(state["values"]) == [*answered("a"), "more"]
    assert answer["checkpoint"] == state["checkpoint"]
    assert state["parent_checkpoint"] == before["checkpoint"]
    assert state["metadata"] == {
        "graph_id": "agent",
        "assistant_id": AGENT,
        "thread_id": thread_id,
        "source": "update",
        "step": 2,
        "parents": {},
    }
    removal = {"messages": [{"type": "remove", "id": "unknown"}]}
    with pytest.raises(BadRequestError, match="doesn't exist"):
        await client.threads.update_state(thread_id, removal)
    with pytest.raises(UnprocessableEntityError):
        await client.threads.update_state(thread_id, [{"messages": []}])
    await client.threads.update_state(thread_id, None)
    assert heard((await client.threads.get_state(thread_id))["values"]) == heard(state["values"])


async def test_a_busy_thread_is_not_updated_from_outside(
    client: LangGraphClient, gates: Gates, thread_id: str
) -> None:
    await held_run(client, gates, thread_id)
    with pytest.raises(ConflictError):
        await client.threads.update_state(thread_id, said("more"))


# ------------------------------------------------------------------ runs


async def test_a_new_run_is_pending_and_says_what_it_was_given(
    client: LangGraphClient, gates: Gates, thread_id: str
) -> None:
    gates.close("a:0")
    created = []
    run = await client.runs.create(
        thread_id,
        "agent",
        input=said("a"),
        metadata={"own": 1, "run_id": "stripped"},
        config={
            "tags": ["t"],
            "recursion_limit": 7,
            "configurable": {"user": "Zoë", "__secret": 1, "langgraph_auth_user": 1},
            "metadata": {"from": "config"},
        },
        stream_mode=["updates", "values"],
        multitask_strategy="rollback",
        on_run_created=created.append,
    )
    run_id = run["run_id"]
    assert created == [{"run_id": run_id, "thread_id": thread_id}]
    metadata = {
        "created_by": "system",
        "graph_id": "agent",
        "assistant_id": AGENT,
        "from": "config",
        "own": 1,
    }
    assert TIMESTAMP.fullmatch(run["created_at"])
    (message,) = run["kwargs"].pop("input")["messages"]
    assert message["content"] == "a"
    assert message["id"]
    assert run == {
        "run_id": run_id,
        "thread_id": thread_id,
        "assistant_id": AGENT,
        "status": "pending",
        "metadata": metadata,
        "kwargs": {
            "command": None,
            "config": {
                "tags": ["t"],
                "recursion_limit": 7,
                "configurable": {
                    "user": "Zoë",
                    "run_id": run_id,
                    "thread_id": thread_id,
                    "graph_id": "agent",
                    "assistant_id": AGENT,
                    "user_id": "",
                },
                "metadata": metadata,
            },
            "context": {},
            "stream_mode": ["updates", "values"],
            "interrupt_before": None,
            "interrupt_after": None,
            "webhook": None,
            "feedback_keys": None,
            "temporary": False,
            "subgraphs": False,
            "resumable": False,
            "checkpoint_during": True,
            "durability": "async",
        },
        "multitask_strategy": "rollback",
        "created_at": run["created_at"],
        "updated_at": run["created_at"],
        "langsmith_session_name": None,
    }
    await gates["a:0"].reached()
    now = await client.runs.get(thread_id, run_id)
    assert now["status"] == "running"
    assert now["updated_at"] >= run["updated_at"]


async def test_the_graph_gets_its_config_and_context(
    engine: Engine, client: LangGraphClient, thread_id: str
) -> None:
    @engine.graph("echo")
    async def echo(state, run):
        yield Update("echo", {"config": run.config, "context": run.context})

    values = await client.runs.wait(
        thread_id, "echo", input={}, config={"configurable": {"a": 1, "__b": 2}}
    )
    assert values["config"]["configurable"] == {"a": 1}
    values = await client.runs.wait(thread_id, "echo", input={}, context={"c": 3})
    assert values["context"] == {"c": 3}
    both = {"config": {"configurable": {"a": 1}}, "context": {"c": 3}}
    with pytest.raises(BadRequestError, match="configurable and context"):
        await client.runs.create(thread_id, "echo", input={}, **both)


async def test_runs_are_listed_newest_first(
    client: LangGraphClient, gates: Gates, thread_id: str
) -> None:
    ids = []
    for text in ("x", "y", "z"):
        await client.runs.wait(thread_id, "agent", input=said(text))
        ids.insert(0, (await client.runs.list(thread_id, limit=1))[0]["run_id"])
    ids.insert(0, await held_run(client, gates, thread_id))

    async def listed(**query) -> list[str]:
        return [run["run_id"] for run in await client.runs.list(thread_id, **query)]

    assert await listed() == ids
    assert await listed(limit=2, offset=1) == ids[1:3]
    assert await listed(status="running") == ids[:1]
    assert await listed(status="success", limit=1) == ids[1:2]
    assert await listed(status="nonsense") == []
    chosen = await client.runs.list(thread_id, select=["run_id", "status"], limit=1)
    assert chosen == [{"run_id": ids[0], "status": "running"}]
    with pytest.raises(NotFoundError):
        await client.runs.list(UNKNOWN)


async def test_a_finished_run_that_is_deleted_is_hidden_and_leaves_its_work(
    client: LangGraphClient, thread_id: str
) -> None:
    values = await client.runs.wait(thread_id, "agent", input=said("a"))
    (run,) = await client.runs.list(thread_id)
    await client.runs.delete(thread_id, run["run_id"])
    assert await client.runs.list(thread_id) == []
    assert (await client.threads.get_state(thread_id))["values"] == values


async def test_a_run_needs_a_thread_and_a_graph(client: LangGraphClient, thread_id: str) -> None:
    with pytest.raises(NotFoundError, match="Thread or assistant not found"):
        await client.runs.create(UNKNOWN, "agent", input=said("a"))
    with pytest.raises(NotFoundError, match="Thread or assistant not found"):
        await client.runs.create(thread_id, UNKNOWN, input=said("a"))
    with pytest.raises(UnprocessableEntityError, match="Invalid assistant: 'nobody'"):
        await client.runs.create(thread_id, "nobody", input=said("a"))
    run = await client.runs.create(UNKNOWN, AGENT, input=said("a"), if_not_exists="create")
    assert heard(await soon(client.runs.join(UNKNOWN, run["run_id"]))) == answered("a")
    with pytest.raises(NotFoundError):
        await client.runs.get(thread_id, run["run_id"])  # A run of another thread.


async def test_a_run_can_be_put_off(client: LangGraphClient, thread_id: str) -> None:
    run = await client.runs.create(thread_id, "agent", input=said("later"), after_seconds=3600)
    assert run["status"] == "pending"
    values = await client.runs.wait(thread_id, "agent", input=said("now"))
    assert heard(values) == answered("now")
    listed = await client.runs.list(thread_id)
    created = [datetime.fromisoformat(entry["created_at"]) for entry in listed]
    assert created[0] - created[1] < timedelta(seconds=3600)
    assert (await client.threads.get(thread_id))["status"] == "busy"


async def test_a_full_queue_refuses(
    database, gates: Gates, client: LangGraphClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.engine import chat, registry
    from threadfold import get_client

    async with (
        database.engine(registry(chat(gates)), runs_in_flight_max=2) as engine,
        get_client(engine) as client,
    ):
        thread_id = (await client.threads.create())["thread_id"]
        gates.close("a:0")
        for _ in range(2):
            await client.runs.create(thread_id, "agent", input=said("a"))
        with pytest.raises(httpx.HTTPStatusError) as refusal:
            await client.runs.create(thread_id, "agent", input=said("a"))
        assert refusal.value.response.status_code == 429
        assert refusal.value.response.headers["Retry-After"]


# ------------------------------------------------------------------ assistants


async def test_every_graph_has_an_assistant(engine: Engine, client: LangGraphClient) -> None:
    engine.graph("other")(lambda state: {})
    assistant = await client.assistants.get(AGENT)
    created_at = assistant["created_at"]
    assert TIMESTAMP.fullmatch(created_at)
    assert assistant == {
        "assistant_id": AGENT,
        "graph_id": "agent",
        "config": {},
        "context": {},
        "metadata": {"created_by": "system"},
        "name": "agent",
        "description": None,
        "version": 1,
        "created_at": created_at,
        "updated_at": created_at,
    }
    found = await client.assistants.search(sort_by="name", sort_order="asc")
    assert [entry["graph_id"] for entry in found] == ["agent", "other"]
    assert await client.assistants.search(graph_id="agent") == [assistant]
    assert await client.assistants.search(metadata={"created_by": "user"}) == []
    page = await client.assistants.search(limit=1, response_format="object", select=["name"])
    assert page["next"] == "1"
    assert set(page["assistants"][0]) == {"name"}
    assert await client.assistants.count() == 2
    assert await client.assistants.count(name="oth") == 1
    with pytest.raises(NotFoundError):
        await client.assistants.get(UNKNOWN)
    with pytest.raises(UnprocessableEntityError, match="Invalid assistant ID: must be a UUID"):
        await client.assistants.get("agent")


# ------------------------------------------------------------------ the server


async def test_the_server_says_what_it_is(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as raw:
        assert (await raw.get("/ok")).json() == {"ok": True}
        info = (await raw.get("/info")).json()
        assert info["flags"]["assistants"] is True
        assert set(info) == {"version", "langgraph_py_version", "flags", "host", "support"}
        assert (await raw.get("/docs")).status_code == 200
        paths = (await raw.get("/openapi.json")).json()["paths"]
    schema = paths["/threads/{thread_id}/runs"]["post"]["requestBody"]["content"]
    assert "assistant_id" in schema["application/json"]["schema"]["required"]
