"""Every call of `client.runs`, async and sync, in process and over a socket: what each promises, line by line."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable
from typing import Any
from uuid import UUID

import httpx
import pytest
from langgraph_sdk._async.runs import RunsClient
from langgraph_sdk._sync.runs import SyncRunsClient

from tests.support.engine import Database, Gates, answered, chat, heard, registry, said, soon
from tests.support.http import served, until
from tests.support.langgraph_agents import asking
from tests.support.sdk_clients import KINDS, Client, clients, stream_of
from threadfold import Engine

UNKNOWN = "01a00000-0000-7000-8000-000000000000"
AGENT = "fe096781-5601-53d2-b2f6-0d3403f7e9ca"
STRATEGIES = ["reject", "enqueue", "interrupt", "rollback"]

SHOWN_HERE = {
    "cancel", "cancel_many", "create", "create_batch", "delete", "get", "join", "join_stream", "list", "stream", "wait",
}  # fmt: skip


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    """Give an engine with the chat agent, one that fails, and one that asks."""
    graphs = registry(chat(gates))
    graphs.add_graph("asking", asking(gates))
    async with database.engine(graphs) as engine:

        @engine.graph("broken")
        async def broken(state):
            yield {"messages": [{"role": "ai", "content": "so far"}]}
            raise ValueError("no such luck")

        yield engine


client = clients(KINDS)


@pytest.fixture
async def thread_id(client: Client) -> str:
    return (await client.threads.create())["thread_id"]


@pytest.fixture
async def raw(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with served(engine) as url, httpx.AsyncClient(base_url=url, timeout=10) as raw:
        yield raw


async def told(client: Client, call: str, *args: Any, **options: Any) -> list[tuple[str, Any]]:
    """Return all events of a stream."""

    async def collected() -> list[tuple[str, Any]]:
        return [(part.event, part.data) async for part in stream_of(client, call, *args, **options)]

    return await soon(collected())


async def refusal(work: Awaitable[Any]) -> tuple[int, str]:
    """Return the status and the detail with which a call is refused."""
    with pytest.raises(httpx.HTTPStatusError) as refused:
        await soon(work)
    response = refused.value.response
    return response.status_code, response.json()["detail"]


async def held(client: Client, gates: Gates, thread_id: str, text: str = "a", **more: Any) -> str:
    """Create a run that is held before its second answer, and return its id."""
    gates.close(f"{text}:1")
    run = await client.runs.create(thread_id, "agent", input=said(text), **more)
    await gates[f"{text}:1"].reached()
    return run["run_id"]


async def statuses(client: Client, thread_id: str) -> list[str]:
    return [run["status"] for run in await client.runs.list(thread_id)]


async def texts(client: Client, thread_id: str) -> list[str]:
    return heard((await client.threads.get_state(thread_id))["values"])


@pytest.mark.parametrize("kind", [RunsClient, SyncRunsClient])
def test_no_call_of_the_clients_is_forgotten(kind: type) -> None:
    calls = {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}
    assert calls == SHOWN_HERE


# ------------------------------------------------------------------ create


async def test_a_run_has_an_id_in_time_order_and_the_default_strategy(
    client: Client, thread_id: str, gates: Gates
) -> None:
    gates.close("a:0")
    created: list[Any] = []
    runs = [
        await client.runs.create(thread_id, "agent", input=said("a"), on_run_created=created.append)
        for _ in range(3)
    ]
    ids = [run["run_id"] for run in runs]
    assert ids == sorted(ids)
    assert {UUID(run_id).version for run_id in ids} == {7}
    assert {run["multitask_strategy"] for run in runs} == {"enqueue"}
    assert {run["status"] for run in runs} == {"pending"}
    assert created == [{"run_id": run_id, "thread_id": thread_id} for run_id in ids]


async def test_metadata_of_assistant_thread_config_and_run_come_together(
    client: Client, engine: Engine
) -> None:
    made = await engine.assistants.create("agent", metadata={"a": "assistant", "who": "assistant"})
    assistant_id = made.assistant_id
    thread = await client.threads.create(metadata={"t": "thread", "who": "thread"})
    reserved = {"thread_id": 1, "run_id": 2, "cron_id": 3, "assistant_id": 4, "graph_id": 5}
    own = {"__secret__": 6, "langgraph_auth_user": 7}
    run = await client.runs.create(
        thread["thread_id"],
        assistant_id,
        input=said("a"),
        metadata={"r": "run", "who": "run", **reserved, **own},
        config={
            "metadata": {"c": "config", "who": "config", **reserved, **own},
            "configurable": {"mine": 1, "thread_id": 2, "run_id": 3, **own},
        },
    )
    assert run["metadata"] == {
        "a": "assistant",
        "t": "thread",
        "c": "config",
        "r": "run",
        "who": "run",
        "graph_id": "agent",
        "assistant_id": assistant_id,
    }
    assert run["kwargs"]["config"]["configurable"] == {
        "mine": 1,
        "thread_id": thread["thread_id"],
        "run_id": run["run_id"],
        "graph_id": "agent",
        "assistant_id": assistant_id,
        "user_id": "",
    }
    run = await client.runs.create(
        thread["thread_id"], assistant_id, input=said("b"), context={"mine": 1, **own}
    )
    assert run["kwargs"]["context"] == {"mine": 1}
    # The first run of a thread says in it which graph it is of.
    assert (await client.threads.get(thread["thread_id"]))["metadata"] == {
        "t": "thread",
        "who": "thread",
        "graph_id": "agent",
        "assistant_id": assistant_id,
    }


@pytest.mark.parametrize("call", ["create", "wait", "stream"])
async def test_what_cannot_be_run_is_refused_and_nothing_is_created(
    client: Client, thread_id: str, call: str
) -> None:
    def ask(thread_id: str | None, assistant_id: str, **options: Any) -> Awaitable[Any]:
        if call == "stream":
            return told(client, "stream", thread_id, assistant_id, **options)
        return getattr(client.runs, call)(thread_id, assistant_id, **options)

    not_found = (404, "Thread or assistant not found.")
    assert await refusal(ask(UNKNOWN, "agent")) == not_found
    assert await refusal(ask(UNKNOWN, "agent", if_not_exists="reject")) == not_found
    assert await refusal(ask(thread_id, UNKNOWN)) == not_found
    for thread, assistant, status, detail in (
        (thread_id, "nobody", 422, "Invalid assistant: 'nobody'"),
        (thread_id, "", 422, "assistant_id"),
        ("nonsense", "agent", 422, "Invalid thread ID: must be a UUID"),
    ):
        found = await refusal(ask(thread, assistant))
        assert (found[0], found[1][: len(detail)]) == (status, detail)
    both = {"config": {"configurable": {"a": 1}}, "context": {"b": 2}}
    assert (await refusal(ask(thread_id, "agent", **both)))[0] == 400
    assert (await refusal(ask(None, "agent", command={"resume": 1})))[0] == 400
    for option in ("multitask_strategy", "if_not_exists", "durability", "stream_mode"):
        if option == "stream_mode" and call == "wait":
            continue
        status, detail = await refusal(ask(thread_id, "agent", **{option: "nonsense"}))
        assert (status, detail.startswith(option)) == (422, True)
    assert await client.runs.list(thread_id) == []
    assert await client.threads.count() == 1


async def test_a_thread_is_made_where_the_run_says_so(client: Client) -> None:
    options: dict[str, Any] = {"input": said("a"), "if_not_exists": "create"}
    values = await soon(client.runs.wait(UNKNOWN, AGENT, **options))
    assert heard(values) == answered("a")
    (run,) = await client.runs.list(UNKNOWN)
    assert run["assistant_id"] == AGENT


# ------------------------------------------------------------------ list and get


async def test_runs_are_listed_ten_at_a_time_newest_first(
    client: Client, thread_id: str, gates: Gates
) -> None:
    ids = [await held(client, gates, thread_id)]
    ids += [
        (await client.runs.create(thread_id, "agent", input=said(f"{n}")))["run_id"]
        for n in range(11)
    ]
    ids.reverse()

    async def listed(**query: Any) -> list[str]:
        return [run["run_id"] for run in await client.runs.list(thread_id, **query)]

    assert await listed() == ids[:10]
    assert await listed(limit=3, offset=8) == ids[8:11]
    assert await listed(limit=1000) == ids
    assert await listed(offset=12) == []
    assert await listed(status="running") == ids[-1:]
    assert await listed(status="pending", limit=2, offset=9) == ids[9:11]
    assert await listed(status="nonsense") == []
    (chosen,) = await client.runs.list(thread_id, select=["run_id", "status"], limit=1)
    assert chosen == {"run_id": ids[0], "status": "pending"}
    assert (await refusal(client.runs.list(thread_id, select=["colour"])))[0] == 422
    for limit in (0, 1001, -1):
        assert (await refusal(client.runs.list(thread_id, limit=limit)))[0] == 422
    assert (await refusal(client.runs.list(UNKNOWN)))[0] == 404


async def test_a_run_is_found_on_its_own_thread_only(client: Client, thread_id: str) -> None:
    run = await client.runs.create(thread_id, "agent", input=said("a"))
    await soon(client.runs.join(thread_id, run["run_id"]))
    assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "success"
    other = (await client.threads.create())["thread_id"]
    for thread, run_id in ((other, run["run_id"]), (UNKNOWN, run["run_id"]), (thread_id, UNKNOWN)):
        assert await refusal(client.runs.get(thread, run_id)) == (404, "Not Found")
        assert await refusal(client.runs.delete(thread, run_id)) == (404, "Run not found")
        assert (await refusal(client.runs.join(thread, run_id)))[0] == 404
        assert (await refusal(told(client, "join_stream", thread, run_id)))[0] == 404
        assert (await refusal(client.runs.cancel(thread, run_id)))[0] == 404
    no_runs = (404, "No runs found to cancel.")
    assert await refusal(client.runs.cancel(other, run["run_id"])) == no_runs
    invalid = (422, "Invalid run ID: must be a UUID")
    for call in (client.runs.get, client.runs.join, client.runs.cancel, client.runs.delete):
        assert await refusal(call(thread_id, "nonsense")) == invalid


# ------------------------------------------------------------------ wait, join, stream


async def test_a_question_is_told_to_all_who_wait(client: Client, thread_id: str) -> None:
    values = await soon(client.runs.wait(thread_id, "asking", input={"log": ["in"]}))
    (question,) = values["__interrupt__"]
    assert question["value"] == {"question": "name?"}
    (run,) = await client.runs.list(thread_id)
    assert run["status"] == "success"
    assert (await client.threads.get(thread_id))["status"] == "interrupted"
    assert await soon(client.runs.join(thread_id, run["run_id"])) == values
    events = await told(client, "stream", thread_id, "asking", input={"log": ["in"]})
    assert events[-1][1]["__interrupt__"][0]["value"] == {"question": "name?"}


async def test_a_failure_is_told_to_all_who_wait(client: Client, thread_id: str) -> None:
    error = {"error": "ValueError", "message": "no such luck"}
    with pytest.raises(Exception, match="ValueError: no such luck"):
        await soon(client.runs.wait(thread_id, "broken", input=said("a")))
    options: dict[str, Any] = {"input": said("a"), "raise_error": False}
    assert await soon(client.runs.wait(thread_id, "broken", **options)) == {"__error__": error}
    (run, _) = await client.runs.list(thread_id)
    assert run["status"] == "error"
    assert await soon(client.runs.join(thread_id, run["run_id"])) == {"__error__": error}
    events = await told(client, "stream", thread_id, "broken", input=said("a"))
    assert [name for name, _ in events] == ["metadata", "values", "values", "error"]
    assert events[-1][1] == error
    thread = await client.threads.get(thread_id)
    assert (thread["status"], thread["error"]) == ("error", error)
    # What comes after it is a plain run, on what stands.
    await soon(client.runs.wait(thread_id, "agent", input=said("b")))
    thread = await client.threads.get(thread_id)
    assert (thread["status"], thread["error"]) == ("idle", None)


async def test_a_stream_is_told_in_the_modes_asked_for(
    client: Client, thread_id: str, gates: Gates
) -> None:
    created: list[Any] = []
    modes = ["updates", "values"]
    options: dict[str, Any] = {"input": said("a"), "stream_mode": modes}
    events = await told(
        client, "stream", thread_id, "agent", on_run_created=created.append, **options
    )
    names = ["metadata", "values", *["updates", "values"] * 2]
    assert [name for name, _ in events] == names
    assert created == [{"run_id": events[0][1]["run_id"], "thread_id": thread_id}]
    assert heard(events[-1][1]) == answered("a")
    options |= {"stream_resumable": True}
    gates.close("b:1")
    options["input"] = said("b")
    run_id = (await client.runs.create(thread_id, "agent", **options))["run_id"]
    for given, expected in (
        (None, {"metadata", *modes}),
        ("updates", {"metadata", "updates"}),
        (modes, {"metadata", *modes}),
    ):
        reading = asyncio.create_task(
            told(client, "join_stream", thread_id, run_id, stream_mode=given, last_event_id="-1")
        )
        gates.open()
        assert {name for name, _ in await soon(reading)} == expected


# ------------------------------------------------------------------ cancel and delete


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_a_run_is_cancelled_and_the_queue_goes_on_at_once(
    client: Client, thread_id: str, gates: Gates, action: Any, *, wait: bool
) -> None:
    await soon(client.runs.wait(thread_id, "agent", input=said("z")))
    first = await held(client, gates, thread_id)
    gates.close("b:0")
    second = (await client.runs.create(thread_id, "agent", input=said("b")))["run_id"]
    third = (await client.runs.create(thread_id, "agent", input=said("c")))["run_id"]
    options: dict[str, Any] = {"action": action, "wait": wait}
    # One that waits never runs.
    waited = await soon(client.runs.cancel(thread_id, third, **options))
    assert (waited is None) is not wait
    left = ["a", "a.1"] if action == "interrupt" else []
    values = await soon(client.runs.cancel(thread_id, first, **options))
    assert heard(values) == ([*answered("z"), *left] if wait else [])
    await gates["b:0"].reached()
    assert (await client.runs.get(thread_id, second))["status"] == "running"
    gates.open()
    values = await soon(client.runs.join(thread_id, second))
    assert heard(values) == [*answered("z"), *left, *answered("b")]
    for run_id in (first, third):
        # Who asks later: nothing more is told of the one, and the other is not there.
        if action == "interrupt":
            assert (await client.runs.get(thread_id, run_id))["status"] == "interrupted"
            assert await told(client, "join_stream", thread_id, run_id) == []
            assert heard(await soon(client.runs.join(thread_id, run_id)))[:3] == answered("z")
        else:
            assert (await refusal(client.runs.get(thread_id, run_id)))[0] == 404
            assert (await refusal(told(client, "join_stream", thread_id, run_id)))[0] == 404
            assert (await refusal(client.runs.join(thread_id, run_id)))[0] == 404
        status, detail = await refusal(client.runs.cancel(thread_id, run_id, **options))
        assert status == 404
        assert detail.startswith("No ")
    assert (await client.threads.get(thread_id))["status"] == "idle"
    assert await texts(client, thread_id) == heard(values)


async def test_a_thread_tells_that_its_last_run_was_stopped_until_another_one_ends(
    client: Client, thread_id: str, gates: Gates
) -> None:
    async def seen() -> tuple[str, Any]:
        thread = await client.threads.get(thread_id)
        (found,) = await client.threads.search(ids=[thread_id])
        assert (found["status"], found["error"]) == (thread["status"], thread["error"])
        return thread["status"], thread["error"]

    run_id = await held(client, gates, thread_id)
    await soon(client.runs.cancel(thread_id, run_id, wait=True))
    stopped = {
        "error": "UserInterrupt",
        "message": f"interrupt requested via POST /threads/{thread_id}/runs/{run_id}/cancel",
    }
    assert await seen() == ("interrupted", stopped)
    other = await held(client, gates, thread_id, "b")
    await soon(client.runs.cancel(thread_id, other, action="rollback", wait=True))
    assert await seen() == ("interrupted", stopped)
    # A run that never ran leaves nothing, nor does one that another one displaces.
    gates.close("c:0")
    await client.runs.create(thread_id, "agent", input=said("c"))
    await gates["c:0"].reached()
    waiting = (await client.runs.create(thread_id, "agent", input=said("d")))["run_id"]
    await soon(client.runs.cancel(thread_id, waiting, wait=True))
    gates.open()
    strategy = {"multitask_strategy": "interrupt"}
    await soon(client.runs.wait(thread_id, "agent", input=said("e"), **strategy))
    assert await seen() == ("idle", None)


async def test_a_cancel_is_answered_with_its_status_and_where_the_run_is(
    gates: Gates, raw: httpx.AsyncClient
) -> None:
    thread_id = (await raw.post("/threads", json={})).json()["thread_id"]
    runs = f"/threads/{thread_id}/runs"
    for count, (query, status, after) in enumerate(
        (
            ("", 202, "interrupted"),
            ("?wait=0&action=interrupt", 202, "interrupted"),
            ("?wait=1&action=nonsense", 200, "interrupted"),
            ("?wait=true", 200, "interrupted"),
            ("?wait=1&action=rollback", 200, None),
            ("?action=rollback", 202, None),
        ),
        1,
    ):
        gates.close("a:1")
        # Nothing is in flight any more, whatever was cancelled before.
        asked = {"assistant_id": "agent", "input": said("a"), "multitask_strategy": "reject"}
        path = f"{runs}/{(await raw.post(runs, json=asked)).json()['run_id']}"
        await gates["a:1"].reached(count)
        answer = await soon(raw.post(f"{path}/cancel{query}"))
        assert answer.status_code == status
        assert bool(answer.content) is (status == 200)
        assert answer.headers.get("Content-Location") == (path if status == 200 else None)
        found = await raw.get(path)
        assert (found.status_code, found.json().get("status")) == (200 if after else 404, after)


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_many_runs_are_cancelled_by_id_or_by_status(
    client: Client, gates: Gates, raw: httpx.AsyncClient, action: Any
) -> None:
    async def filled() -> tuple[str, list[str]]:
        gates["a:1"].arrivals = 0
        thread_id = (await client.threads.create())["thread_id"]
        ids = [await held(client, gates, thread_id)]
        for text in ("b", "c"):
            run = await client.runs.create(thread_id, "agent", input=said(text))
            ids.append(run["run_id"])
        return thread_id, ids

    async def stood(thread_id: str, ids: list[str]) -> list[str]:
        found: list[str] = []
        for run_id in ids:
            answer = await raw.get(f"/threads/{thread_id}/runs/{run_id}")
            found.append("gone" if answer.status_code == 404 else answer.json()["status"])
        return found

    ended = "interrupted" if action == "interrupt" else "gone"
    cancel = client.runs.cancel_many
    one, of_one = await filled()
    two, of_two = await filled()
    # Those of another thread, and those that are nowhere, are left out.
    given = [of_one[2], of_two[1], UNKNOWN]
    assert await cancel(thread_id=one, run_ids=given, action=action) is None
    assert await stood(one, of_one) == ["running", "pending", ended]
    assert await stood(two, of_two) == ["running", "pending", "pending"]
    await cancel(status="pending", action=action)
    assert await stood(one, of_one) == ["running", ended, ended]
    assert await stood(two, of_two) == ["running", ended, ended]
    three, of_three = await filled()
    await cancel(status="all", action=action)
    for thread_id, ids in ((one, of_one), (two, of_two), (three, of_three)):
        assert await stood(thread_id, ids) == [ended] * 3
        assert await texts(client, thread_id) == (["a", "a.1"] if ended == "interrupted" else [])
    four, of_four = await filled()
    gates.close("b:0")
    await cancel(status="running", action=action)
    await gates["b:0"].reached()
    assert await stood(four, of_four) == [ended, "running", "pending"]
    for nothing in (
        {"thread_id": one, "run_ids": of_one},
        {"thread_id": one, "run_ids": [UNKNOWN]},
    ):
        assert await refusal(cancel(**nothing)) == (404, "No runs found to cancel.")
    for wrong in (
        {},
        {"thread_id": one},
        {"run_ids": of_one},
        {"status": "all", "thread_id": one, "run_ids": of_one},
        {"status": "success"},
        {"thread_id": "nonsense", "run_ids": of_one},
        {"thread_id": one, "run_ids": ["nonsense"]},
    ):
        assert (await refusal(cancel(**wrong)))[0] == 422


async def test_a_run_that_is_deleted_stops_and_leaves_nothing(
    client: Client, thread_id: str, gates: Gates
) -> None:
    await soon(client.runs.wait(thread_id, "agent", input=said("z")))
    (done,) = await client.runs.list(thread_id)
    first = await held(client, gates, thread_id)
    gates.close("b:0")
    second = (await client.runs.create(thread_id, "agent", input=said("b")))["run_id"]
    third = (await client.runs.create(thread_id, "agent", input=said("c")))["run_id"]
    for run_id in (third, first):
        assert await client.runs.delete(thread_id, run_id) is None
        assert (await refusal(client.runs.get(thread_id, run_id)))[0] == 404
        assert await refusal(client.runs.delete(thread_id, run_id)) == (404, "Run not found")
    await gates["b:0"].reached()
    gates.open()
    assert heard(await soon(client.runs.join(thread_id, second))) == answered("z", "b")
    # One that has ended is hidden; its work stays.
    await client.runs.delete(thread_id, done["run_id"])
    assert [run["run_id"] for run in await client.runs.list(thread_id)] == [second]
    assert await texts(client, thread_id) == answered("z", "b")


@pytest.mark.parametrize("by", ["ids", "status"])
@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_of_many_that_are_cancelled_none_starts(
    client: Client, thread_id: str, gates: Gates, action: Any, by: str
) -> None:
    given: dict[str, Any] = {"action": action, "status": "all"}
    for number in range(5):
        gates.close("b:0")
        texts_of_all = [f"a{number}", *"bbbbb"]
        ids = [await held(client, gates, thread_id, texts_of_all[0])]
        for text in texts_of_all[1:]:
            run = await client.runs.create(thread_id, "agent", input=said(text))
            ids.append(run["run_id"])
        if by == "ids":
            given = {"action": action, "thread_id": thread_id, "run_ids": ids}
        await soon(client.runs.cancel_many(**given))
    assert gates["b:0"].arrivals == 0
    left = await texts(client, thread_id)
    assert left == (
        [] if action == "rollback" else [t for n in range(5) for t in (f"a{n}", f"a{n}.1")]
    )


# ------------------------------------------------------------------ several runs of a thread


@pytest.mark.parametrize("call", ["create", "wait", "stream"])
async def test_reject_refuses_every_way_to_create_a_run(
    client: Client, thread_id: str, gates: Gates, call: str
) -> None:
    options: dict[str, Any] = {"input": said("b"), "multitask_strategy": "reject"}

    def ask() -> Awaitable[Any]:
        if call == "stream":
            return told(client, "stream", thread_id, "agent", **options)
        return getattr(client.runs, call)(thread_id, "agent", **options)

    busy = (
        409,
        "Thread is already running a task. Wait for it to finish or choose a different "
        "multitask strategy.",
    )
    first = await held(client, gates, thread_id)
    assert await refusal(ask()) == busy
    gates.open()
    await soon(client.runs.join(thread_id, first))
    # One that is put off is in flight as well.
    await client.runs.create(thread_id, "agent", input=said("later"), after_seconds=3600)
    assert await refusal(ask()) == busy
    assert await statuses(client, thread_id) == ["pending", "success"]
    assert await texts(client, thread_id) == answered("a")


@pytest.mark.parametrize("strategy", STRATEGIES[1:])
async def test_a_run_that_is_put_off_is_overtaken_and_counts_as_in_flight(
    client: Client, thread_id: str, strategy: Any
) -> None:
    options: dict[str, Any] = {"input": said("later"), "after_seconds": 3600}
    later = await client.runs.create(thread_id, "agent", **options)
    assert (await client.threads.get(thread_id))["status"] == "busy"
    values = await soon(
        client.runs.wait(thread_id, "agent", input=said("now"), multitask_strategy=strategy)
    )
    assert heard(values) == answered("now")
    if strategy == "rollback":
        assert (await refusal(client.runs.get(thread_id, later["run_id"])))[0] == 404
    else:
        found = await client.runs.get(thread_id, later["run_id"])
        assert found["status"] == ("pending" if strategy == "enqueue" else "interrupted")
    thread = await client.threads.get(thread_id)
    assert thread["status"] == ("busy" if strategy == "enqueue" else "idle")


@pytest.mark.parametrize("ending", ["fails", "cancel", "delete"])
async def test_a_queued_run_starts_on_what_the_one_before_it_left(
    client: Client, thread_id: str, gates: Gates, ending: str
) -> None:
    if ending == "fails":
        gates.close("a:0")
        await held(client, gates, thread_id, "y")
        await client.runs.create(thread_id, "broken", input=said("a"))
    else:
        first = await held(client, gates, thread_id)
    last = (await client.runs.create(thread_id, "agent", input=said("b")))["run_id"]
    if ending == "fails":
        gates.open()
        before = [*answered("y"), "a", "so far"]
    else:
        await getattr(client.runs, ending)(thread_id, first)
        before = ["a", "a.1"] if ending == "cancel" else []
    assert heard(await soon(client.runs.join(thread_id, last))) == [*before, *answered("b")]
    thread = await client.threads.get(thread_id)
    assert (thread["status"], thread["error"]) == ("idle", None)


async def test_a_run_that_is_rolled_back_on_a_question_brings_it_back(
    client: Client, thread_id: str, gates: Gates
) -> None:
    values = await soon(client.runs.wait(thread_id, "asking", input={"log": ["in"]}))
    (question,) = values["__interrupt__"]
    before = await client.threads.get_state(thread_id)
    gates.close("first")
    run = await client.runs.create(thread_id, "asking", input={"log": ["new"]})
    await gates["first"].reached(2)
    assert (await client.threads.get(thread_id))["status"] == "busy"
    await soon(client.runs.cancel(thread_id, run["run_id"], action="rollback", wait=True))
    gates.open()
    assert await client.threads.get_state(thread_id) == before
    thread = await client.threads.get(thread_id)
    assert (thread["status"], thread["error"]) == ("interrupted", None)
    assert [*thread["interrupts"].values()] == [[question]]
    resumed = await soon(client.runs.wait(thread_id, "asking", command={"resume": "bob"}))
    assert resumed["log"] == ["in", "first", "answer bob", "last"]


# ------------------------------------------------------------------ streams and connections


@pytest.mark.parametrize("cancels", [True, False])
@pytest.mark.parametrize("call", ["stream", "join_stream"])
async def test_a_client_that_leaves_its_stream_takes_the_run_along_if_it_said_so(
    client: Client, engine: Engine, thread_id: str, gates: Gates, call: str, *, cancels: bool
) -> None:
    if call == "stream":
        gates.close("a:1")
        asked: dict[str, Any] = {"input": said("a")}
        if cancels:
            asked["on_disconnect"] = "cancel"
        parts = stream_of(client, "stream", thread_id, "agent", **asked)
    else:
        run_id = await held(client, gates, thread_id)
        parts = stream_of(client, "join_stream", thread_id, run_id, cancel_on_disconnect=cancels)
    first = await soon(anext(parts))
    await gates["a:1"].reached()
    await soon(parts.aclose())
    await until(lambda: not engine._hub.has_listeners(thread_id))
    if not cancels:
        gates.open()
    run_id = first.data["run_id"]
    await soon(client.runs.join(thread_id, run_id))
    expected = "interrupted" if cancels else "success"
    assert (await client.runs.get(thread_id, run_id))["status"] == expected


async def test_a_stream_that_is_over_is_that_of_a_run_that_is(raw: httpx.AsyncClient) -> None:
    """Clients take a clean end for a broken connection while the run is said to be in flight."""
    for strategy in ("interrupt", "rollback", None) * 8:
        thread_id = (await raw.post("/threads", json={})).json()["thread_id"]
        body: dict[str, Any] = {"assistant_id": "agent", "input": said("a")}
        path = f"/threads/{thread_id}/runs"
        async with raw.stream("POST", f"{path}/stream", json=body) as response:
            run_path = response.headers["Content-Location"]
            if strategy is not None:
                more = {**body, "multitask_strategy": strategy}
                await raw.post(path, json=more)
            await response.aread()
        found = await raw.get(run_path)
        assert found.status_code == 404 or found.json()["status"] in ("success", "interrupted")


async def test_runs_without_a_thread_can_be_created_many_at_once(client: Client) -> None:
    asked: Any = [
        {"assistant_id": "agent", "input": said(f"{n}"), "metadata": {"n": n}} for n in range(5)
    ]
    runs = await soon(client.runs.create_batch(asked))
    assert [run["metadata"]["n"] for run in runs] == [0, 1, 2, 3, 4]
    assert (await refusal(client.runs.create_batch([*asked, {"assistant_id": "x"}])))[0] == 422
