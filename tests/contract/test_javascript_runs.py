"""`client.runs` of the JavaScript SDK: each of its calls, streams that are resumed and left, and who may call."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.test_reconnecting import responses  # noqa: F401 - a fixture
from tests.support.auth import as_user, engine_with, owners
from tests.support.engine import Database, Gates, answered, chat, heard, said, soon
from tests.support.http import served, until
from tests.support.javascript import JavaScriptError, Node
from tests.support.receiver import receiving
from tests.support.streaming_agents import KINDS, MODES, speakers
from threadfold import Engine
from threadfold.app.http.following import Following

pytestmark = pytest.mark.xdist_group("javascript")

UNKNOWN = "01a00000-0000-7000-8000-000000000000"
BUSY = (
    "Thread is already running a task. Wait for it to finish or choose a different "
    "multitask strategy."
)


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    """Give an engine with the chat agent, agents that tell everything, and one that fails; webhooks may call this machine."""
    graphs = speakers(gates)
    graphs.add(chat(gates))
    options: dict[str, Any] = {"webhook_allows_private": True, "runs_in_flight_max": 3}
    async with database.engine(graphs, **options) as engine:

        @engine.graph("broken")
        async def broken(state):
            yield {"messages": [{"role": "ai", "content": "so far"}]}
            raise ValueError("no such luck")

        yield engine


@pytest.fixture
async def thread_id(node: Node) -> str:
    return (await node.result("threads", "create"))["thread_id"]


async def refused(node: Node, *call: object, **client: object) -> tuple[int, str]:
    with pytest.raises(JavaScriptError) as error:
        await node.result(*call, **client)
    return error.value.status, error.value.detail


async def held(node: Node, gates: Gates, thread_id: str, **options: Any) -> str:
    """Create a run that is held before `a.2`, and return its id."""
    gates.close("a:1")
    payload = {"input": said("a"), **options}
    run = await node.result("runs", "create", thread_id, "agent", payload)
    await gates["a:1"].reached()
    return run["run_id"]


async def status_of(node: Node, thread_id: str, run_id: str) -> str:
    return (await node.result("runs", "get", thread_id, run_id))["status"]


# ------------------------------------------------------------------ each call


async def test_runs_are_created_listed_waited_for_and_deleted(node: Node, thread_id: str) -> None:
    payload = {
        "input": said("a"),
        "metadata": {"own": 1},
        "config": {"tags": ["t"], "recursion_limit": 7, "configurable": {"user": "Zoë"}},
        "streamMode": ["updates"],
        "onRunCreated": True,
    }
    answer = await node.call("runs", "create", thread_id, "agent", payload)
    run = answer["result"]
    run_id = run["run_id"]
    assert answer["created"] == {"run_id": run_id, "thread_id": thread_id}
    assert (run["status"], run["metadata"]["own"]) == ("pending", 1)
    assert run["kwargs"]["config"]["configurable"]["user"] == "Zoë"
    assert (run["kwargs"]["stream_mode"], run["kwargs"]["resumable"]) == (["updates"], False)
    values = await node.result("runs", "join", thread_id, run_id)
    assert heard(values) == answered("a")
    assert (await node.result("runs", "get", thread_id, run_id))["status"] == "success"

    given = {"input": said("b"), "context": {"c": 3}, "onRunCreated": True}
    answer = await node.call("runs", "wait", thread_id, "agent", given)
    assert heard(answer["result"]) == answered("a", "b")
    second = answer["created"]["run_id"]
    given = {"input": said("c"), "onRunCreated": True}
    answer = await node.call("runs", "stream", thread_id, "agent", given)
    assert [part["event"] for part in answer["parts"]] == ["metadata", *["values"] * 3]
    third = answer["created"]["run_id"]
    assert answer["parts"][0]["data"] == {"run_id": third, "attempt": 1}

    async def listed(**options: Any) -> list[str]:
        return [run["run_id"] for run in await node.result("runs", "list", thread_id, options)]

    assert await listed() == [third, second, run_id]
    assert await listed(limit=1, offset=1) == [second]
    assert await listed(status="error") == []
    chosen = await node.result("runs", "list", thread_id, {"limit": 1, "select": ["run_id"]})
    assert chosen == [{"run_id": third}]
    assert await node.result("runs", "delete", thread_id, third) is None
    assert await listed() == [second, run_id]
    for call in ("get", "join", "cancel", "delete", "joinStream"):
        assert (await refused(node, "runs", call, thread_id, third))[0] == 404, call
    again = {"input": said("d"), "ifNotExists": "create"}
    assert heard(await node.result("runs", "wait", UNKNOWN, "agent", again)) == answered("d")


async def test_runs_are_cancelled(node: Node, gates: Gates, thread_id: str) -> None:
    run_id = await held(node, gates, thread_id)
    joining = asyncio.create_task(node.result("runs", "join", thread_id, run_id))
    cancel = ("runs", "cancel", thread_id, run_id, True)
    values = await node.result(*cancel)
    assert heard(values) == heard(await soon(joining)) == ["a", "a.1"]
    assert await status_of(node, thread_id, run_id) == "interrupted"
    assert (await node.result("threads", "get", thread_id))["status"] == "interrupted"
    status, detail = await refused(node, "runs", "cancel", thread_id, run_id)
    assert (status, detail.split(".")[0]) == (404, "No matching runs to cancel")
    assert await refused(node, "runs", "cancel", thread_id, UNKNOWN) == (
        404,
        "No runs found to cancel.",
    )
    gates.close("b:1")
    run = await node.result("runs", "create", thread_id, "agent", {"input": said("b")})
    await gates["b:1"].reached()
    call = ("runs", "cancel", thread_id, run["run_id"], False, "rollback")
    assert await node.result(*call) is None
    assert (await refused(node, "runs", "get", thread_id, run["run_id"]))[0] == 404
    state = await node.result("threads", "getState", thread_id)
    assert heard(state["values"]) == ["a", "a.1"]


async def test_runs_without_a_thread(node: Node, engine: Engine) -> None:
    payload = {"input": said("a"), "onRunCreated": True}
    answer = await node.call("runs", "stream", None, "agent", payload)
    assert heard(answer["parts"][-1]["data"]) == answered("a")
    assert answer["created"]["run_id"] == answer["parts"][0]["data"]["run_id"]
    kept = {**payload, "onCompletion": "keep"}
    answer = await node.call("runs", "wait", None, "agent", kept)
    thread_id = answer["created"]["thread_id"]
    state = await node.result("threads", "getState", thread_id)
    assert state["values"] == answer["result"]
    batch = [{"assistantId": "agent", "input": said(f"{n}"), "metadata": {"n": n}} for n in (1, 2)]
    runs = await node.result("runs", "createBatch", batch)
    assert [run["metadata"]["n"] for run in runs] == [1, 2]
    bad = [*batch, {"assistantId": "nobody"}]
    assert (await refused(node, "runs", "createBatch", bad))[0] == 422


@pytest.mark.parametrize("strategy", ["reject", "enqueue", "interrupt", "rollback"])
async def test_what_becomes_of_the_run_in_flight(
    node: Node, engine: Engine, gates: Gates, thread_id: str, strategy: str
) -> None:
    first = await held(node, gates, thread_id)
    waiting = asyncio.create_task(node.result("runs", "join", thread_id, first))
    await until(lambda: engine._hub.has_listeners(thread_id))
    begun = asyncio.Event()
    streaming = asyncio.create_task(node.parts("runs", "joinStream", thread_id, first, begun=begun))
    await soon(begun.wait())
    payload = {"input": said("b"), "multitaskStrategy": strategy}
    if strategy == "reject":
        for call in ("create", "wait", "stream"):
            assert await refused(node, "runs", call, thread_id, "agent", payload) == (409, BUSY)
        gates.open()
        assert heard(await soon(waiting)) == answered("a")
        assert len(await node.result("runs", "list", thread_id)) == 1
        assert (await soon(streaming))[-1][0] == "values"
        return
    second = (await node.result("runs", "create", thread_id, "agent", payload))["run_id"]
    if strategy == "enqueue":
        gates.open()
        assert heard(await soon(waiting)) == answered("a")
        expected, ended = answered("a", "b"), "values"
    elif strategy == "interrupt":
        assert await status_of(node, thread_id, first) == "interrupted"
        assert heard(await soon(waiting))[:2] == ["a", "a.1"]
        # Its stream just ends: nothing came after its beginning.
        expected, ended = ["a", "a.1", *answered("b")], "metadata"
    else:
        assert (await refused(node, "runs", "get", thread_id, first))[0] == 404
        told = (await soon(waiting))["__error__"]
        assert told["error"] == "RunRolledBack"
        assert first in told["message"]
        expected, ended = answered("b"), "error"
    name, data = (await soon(streaming))[-1]
    assert name == ended
    assert name != "error" or data["error"] == "RunRolledBack"
    assert heard(await node.result("runs", "join", thread_id, second)) == expected
    state = await node.result("threads", "getState", thread_id)
    assert heard(state["values"]) == expected


# ------------------------------------------------------------------ streams


def asked(kind: str, **options: Any) -> dict[str, Any]:
    """Return what a run is created with that tells everything, resumably."""
    return {
        "input": said("hello there"),
        "streamMode": MODES[kind],
        "streamResumable": True,
        **({"streamSubgraphs": True} if kind == "langgraph" else {}),
        **options,
    }


@pytest.mark.parametrize("kind", KINDS)
async def test_streams_cut_at_every_event_go_on_there(
    node: Node, thread_id: str, kind: str
) -> None:
    whole = await node.result("runs", "stream", thread_id, kind, asked(kind))
    ids = [part["id"] for part in whole]
    assert ids == sorted(set(ids))
    run_id = whole[0]["data"]["run_id"]

    async def rest(after: str) -> list[dict[str, Any]]:
        options = {"lastEventId": after, "streamMode": MODES[kind]}
        answer = await node.call("runs", "joinStream", thread_id, run_id, options)
        assert "error" not in answer
        return answer["parts"]

    for at, after in enumerate(["-1", *ids]):
        assert await rest(after) == whole[at:]
    assert await rest("0") == whole
    some = {"lastEventId": "-1", "streamMode": "updates"}
    parts = await node.parts("runs", "joinStream", thread_id, run_id, some)
    assert {name.partition("|")[0] for name, _ in parts} == {"metadata", "updates"}
    assert await node.parts("runs", "joinStream", thread_id, run_id) == []
    wrong = {"lastEventId": "x"}
    assert (await refused(node, "runs", "joinStream", thread_id, run_id, wrong))[0] == 422


@pytest.mark.parametrize("kind", KINDS)
async def test_a_broken_stream_is_taken_up_again_by_the_client_itself(
    node: Node,
    gates: Gates,
    thread_id: str,
    kind: str,
    responses: list[Following],  # noqa: F811
) -> None:
    gates.close("middle")
    reading = asyncio.create_task(node.result("runs", "stream", thread_id, kind, asked(kind)))
    await soon(gates["middle"].reached())
    responses[0].cut()
    gates.open()
    whole = await soon(reading)
    assert len(responses) == 2
    options = {"lastEventId": "-1", "streamMode": MODES[kind]}
    run_id = whole[0]["data"]["run_id"]
    assert await node.result("runs", "joinStream", thread_id, run_id, options) == whole


@pytest.mark.parametrize("kind", KINDS)
async def test_a_thread_stream_tells_of_all_runs_and_goes_on_where_it_was_left(
    node: Node, thread_id: str, kind: str
) -> None:
    runs = [await node.result("runs", "stream", thread_id, kind, asked(kind)) for _ in range(2)]
    told = [(part["event"], part["data"]) for run in runs for part in run]

    async def read(after: str, count: int, **options: Any) -> list[dict[str, Any]]:
        given = {"lastEventId": after, **options}
        answer = await node.call("threads", "joinStream", thread_id, given, leave_after=count)
        assert answer["name"] == "AbortError"
        return answer["parts"][:count]

    count = len(told) + 2
    whole = await read("-1", count, streamMode="run_modes")
    ids = [part["id"] for part in whole]
    assert ids == sorted(set(ids))
    own = [part for part in whole if "run_done" not in str(part["data"])]
    assert [(part["event"], part["data"]) for part in own] == told
    # Every event is cut at with the Python client; and here with a run's own stream.
    for at in range(1, count, count // 6):
        assert await read(ids[at - 1], count - at) == whole[at:]
    states = await read("-1", 3, streamMode=["lifecycle", "state_update"])
    assert {part["event"] for part in states} == {"metadata", "state_update"}
    wrong = {"streamMode": ["nonsense"]}
    assert (await refused(node, "threads", "joinStream", thread_id, wrong))[0] == 422


# ------------------------------------------------------------------ clients that leave


@pytest.mark.parametrize("call", ["wait", "stream"])
@pytest.mark.parametrize(
    ("on_disconnect", "status"), [("cancel", "interrupted"), ("continue", "success")]
)
async def test_a_client_that_leaves_cancels_its_run_only_if_it_said_so(
    node: Node,
    engine: Engine,
    gates: Gates,
    thread_id: str,
    call: str,
    on_disconnect: str,
    status: str,
) -> None:
    gates.close("a:1")
    leave = asyncio.Event()
    payload = {"input": said("a"), "onDisconnect": on_disconnect}
    calling = asyncio.create_task(node.call("runs", call, thread_id, "agent", payload, leave=leave))
    await gates["a:1"].reached()
    leave.set()
    assert (await soon(calling))["name"] == "AbortError"
    await until(lambda: not engine._hub.has_listeners(thread_id))
    if status == "success":
        gates.open()
    (run,) = await node.result("runs", "list", thread_id)
    await node.result("runs", "join", thread_id, run["run_id"])
    assert await status_of(node, thread_id, run["run_id"]) == status


@pytest.mark.parametrize("cancels", [True, False])
async def test_a_joiner_that_leaves_cancels_the_run_only_if_it_said_so(
    node: Node, engine: Engine, gates: Gates, thread_id: str, *, cancels: bool
) -> None:
    run_id = await held(node, gates, thread_id)
    options = {"cancelOnDisconnect": cancels}
    call = ("runs", "joinStream", thread_id, run_id, options)
    assert (await node.call(*call, leave_after=1))["name"] == "AbortError"
    await until(lambda: not engine._hub.has_listeners(thread_id))
    if not cancels:
        gates.open()
    await node.result("runs", "join", thread_id, run_id)
    expected = "interrupted" if cancels else "success"
    assert await status_of(node, thread_id, run_id) == expected


# ------------------------------------------------------------------ errors


async def test_errors_are_shown_as_the_client_shows_them(
    node: Node, gates: Gates, thread_id: str
) -> None:
    error = {"error": "ValueError", "message": "no such luck"}
    with pytest.raises(JavaScriptError) as failed:
        await node.result("runs", "wait", thread_id, "broken", {"input": said("a")})
    assert (failed.value.status, failed.value.message) == (0, "ValueError: no such luck")
    told = await node.result("runs", "wait", thread_id, "broken", {"raiseError": False})
    assert told == {"__error__": error}
    parts = await node.parts("runs", "stream", thread_id, "broken", {"input": said("a")})
    assert parts[-1] == ("error", error)
    thread = await node.result("threads", "get", thread_id)
    assert (thread["status"], thread["error"]) == ("error", error)

    with pytest.raises(JavaScriptError) as unknown:
        await node.result("runs", "get", thread_id, UNKNOWN)
    assert unknown.value.message == 'HTTP 404: {"detail":"Not Found"}'
    for payload, status, detail in (
        ({"streamMode": "tools"}, 422, "stream_mode"),
        ({"multitaskStrategy": "merge"}, 422, "multitask_strategy"),
        ({"webhook": "ftp://example.org"}, 422, "webhook"),
        ({"context": {"a": 1}, "config": {"configurable": {"b": 1}}}, 400, "context"),
        ({"command": {"goto": "x"}}, 422, "command"),
    ):
        answer = await refused(node, "runs", "create", thread_id, "agent", payload)
        assert answer[0] == status
        assert detail in answer[1]
    assert (await refused(node, "runs", "create", thread_id, UNKNOWN, {}))[0] == 404
    assert (await refused(node, "runs", "create", UNKNOWN, "agent", {}))[0] == 404
    assert (await refused(node, "runs", "create", thread_id, "nobody", {}))[0] == 422

    gates.close("a:1")
    for _ in range(3):
        await node.result("runs", "create", thread_id, "agent", {"input": said("a")})
    answer = await refused(node, "runs", "create", thread_id, "agent", {"input": said("a")})
    assert answer[0] == 429


# ------------------------------------------------------------------ webhooks


async def test_a_webhook_is_called(node: Node, thread_id: str) -> None:
    async with receiving() as receiver:
        payload = {"input": said("a"), "webhook": receiver.url}
        values = await node.result("runs", "wait", thread_id, "agent", payload)
        await receiver.arrived(1)
        await node.result("runs", "wait", None, "agent", payload)
        told = [call.content for call in await receiver.arrived(2)]
    assert [each["status"] for each in told] == ["success", "success"]
    assert (told[0]["thread_id"], told[0]["values"]) == (thread_id, values)


# ------------------------------------------------------------------ who calls


async def test_a_key_opens_the_server(node_process: Node, database: Database) -> None:
    async with (
        engine_with(database, None, api_keys="first-key, second-key") as engine,
        served(engine) as url,
    ):
        node = node_process
        node.client = {"apiUrl": url}
        for key in (None, "other", "first"):
            for call in (("threads", "create"), ("runs", "stream", None, "agent", {})):
                assert await refused(node, *call, apiKey=key) == (401, "Unauthorized")
        for key in ("first-key", "second-key"):
            payload = {"input": said("a")}
            values = await node.result("runs", "wait", None, "agent", payload, apiKey=key)
            assert heard(values) == answered("a")


async def test_what_is_another_users_is_not_there(node_process: Node, database: Database) -> None:
    async with engine_with(database, owners()) as engine, served(engine) as url:
        node = node_process
        node.client = {"apiUrl": url}
        ann, bob = ({"defaultHeaders": as_user(name)} for name in ("ann", "bob"))
        thread_id = (await node.result("threads", "create", **ann))["thread_id"]
        payload = {"input": said("hi")}
        values = await node.result("runs", "wait", thread_id, "agent", payload, **ann)
        assert heard(values) == answered("hi")
        (run,) = await node.result("runs", "list", thread_id, **ann)
        ids = thread_id, run["run_id"]
        for call in (
            *(("threads", name, thread_id) for name in ("get", "delete", "copy", "getState")),
            *(("threads", name, thread_id) for name in ("getHistory", "joinStream")),
            ("threads", "update", thread_id, {"metadata": {"owner": "bob"}}),
            ("threads", "updateState", thread_id, {"values": {"last": "x"}}),
            *(("runs", name, thread_id, "agent", payload) for name in ("create", "wait")),
            ("runs", "stream", thread_id, "agent", payload),
            ("runs", "create", thread_id, "agent", {**payload, "ifNotExists": "create"}),
            ("runs", "list", thread_id),
            *(("runs", name, *ids) for name in ("get", "join", "cancel", "delete")),
            ("runs", "joinStream", *ids, {"lastEventId": "-1"}),
        ):
            assert (await refused(node, *call, **bob))[0] == 404, call
        assert await node.result("threads", "search", **bob) == []
        assert await node.result("threads", "count", **bob) == 0
        assert await refused(node, "threads", "search") == (401, "Who are you?")
        (found,) = await node.result("threads", "search", **ann)
        assert (found["thread_id"], heard(found["values"])) == (thread_id, answered("hi"))
