"""Who calls: API keys and handlers of `langgraph_sdk.Auth`, with the official clients, over a socket and in process."""

from __future__ import annotations

import asyncio
import logging
from copy import copy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import HTTPException as FastAPIError
from langgraph_sdk import Auth, get_client as get_remote_client, get_sync_client
from langgraph_sdk.errors import AuthenticationError, NotFoundError

from tests.support.auth import as_user, engine_with, owners, raw_client
from tests.support.engine import answered, heard, registry, said, until_heard
from tests.support.http import served
from tests.support.sdk_clients import without_surroundings
from threadfold import Engine, Settings, get_client
from threadfold.app.audit import as_json, log_table
from threadfold.domain.errors import ConfigurationError
from threadfold.infrastructure.graphs.functions import FunctionGraph

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.engine import Database, Gates

pytestmark = pytest.mark.anyio

KEYS = "first-key, second-key"


@pytest.fixture(autouse=True)
def _no_keys_around(monkeypatch: pytest.MonkeyPatch) -> None:
    without_surroundings(monkeypatch)


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    async with engine_with(database, owners(), gates) as engine:
        yield engine
        gates.open()


# ------------------------------------------------------------------ the official clients


async def test_two_users_with_the_async_client_in_process(engine: Engine) -> None:
    ann, bob = (get_client(engine, headers=as_user(name)) for name in ("ann", "bob"))
    await _two_users(ann, bob)


async def test_two_users_with_the_async_client_over_a_socket(engine: Engine) -> None:
    async with served(engine) as url:
        clients = [get_remote_client(url=url, headers=as_user(name)) for name in ("ann", "bob")]
        await _two_users(*clients)
        for client in clients:
            await client.aclose()


async def _two_users(ann: Any, bob: Any) -> None:
    thread_id = (await ann.threads.create(metadata={"topic": "x"}))["thread_id"]
    values = await ann.runs.wait(thread_id, "agent", input=said("hi"))
    assert heard(values) == answered("hi")
    run = (await ann.runs.list(thread_id))[0]
    calls = [
        lambda: bob.threads.get(thread_id),
        lambda: bob.threads.update(thread_id, metadata={"owner": "bob"}),
        lambda: bob.threads.delete(thread_id),
        lambda: bob.threads.copy(thread_id),
        lambda: bob.threads.get_state(thread_id),
        lambda: bob.threads.get_history(thread_id),
        lambda: bob.threads.update_state(thread_id, {"last": "x"}),
        lambda: bob.runs.list(thread_id),
        lambda: bob.runs.get(thread_id, run["run_id"]),
        lambda: bob.runs.join(thread_id, run["run_id"]),
        lambda: bob.runs.cancel(thread_id, run["run_id"]),
        lambda: bob.runs.delete(thread_id, run["run_id"]),
        lambda: bob.runs.create(thread_id, "agent", input=said("x")),
        lambda: bob.runs.create(thread_id, "agent", input=said("x"), if_not_exists="create"),
        lambda: bob.runs.wait(thread_id, "agent", input=said("x")),
    ]
    for call in calls:
        with pytest.raises(httpx.HTTPStatusError) as caught:
            await call()
        assert caught.value.response.status_code == 404
    for stream in (
        bob.runs.stream(thread_id, "agent", input=said("x")),
        bob.runs.join_stream(thread_id, run["run_id"]),
    ):
        with pytest.raises(NotFoundError):
            async for _ in stream:
                pass
    assert await bob.threads.search() == []
    assert await bob.threads.count() == 0
    assert [thread["thread_id"] for thread in await ann.threads.search()] == [thread_id]
    assert heard((await ann.threads.get_state(thread_id))["values"]) == answered("hi")
    copy = await ann.threads.copy(thread_id)
    assert copy["metadata"]["owner"] == "ann"
    made = await ann.runs.create("0195f000-0000-7000-8000-000000000001", "agent",
                                 input=said("new"), if_not_exists="create")  # fmt: skip
    assert (await ann.threads.get(made["thread_id"]))["metadata"]["owner"] == "ann"
    with pytest.raises(NotFoundError):
        await bob.threads.get(made["thread_id"])


async def test_two_users_with_the_sync_client(engine: Engine) -> None:
    def both(url: str) -> None:
        with (
            get_sync_client(url=url, headers=as_user("ann")) as ann,
            get_sync_client(url=url, headers=as_user("bob")) as bob,
            get_sync_client(url=url) as nobody,
        ):
            thread_id = ann.threads.create()["thread_id"]
            assert heard(ann.runs.wait(thread_id, "agent", input=said("hi"))) == answered("hi")
            with pytest.raises(NotFoundError):
                bob.threads.get_state(thread_id)
            with pytest.raises(NotFoundError):
                list(bob.runs.stream(thread_id, "agent", input=said("x")))
            with pytest.raises(AuthenticationError, match="Who are you"):
                nobody.threads.get(thread_id)
            assert bob.threads.search() == []

    async with served(engine) as url:
        await asyncio.to_thread(both, url)


# ------------------------------------------------------------------ API keys


async def test_a_key_opens_the_server_and_nothing_else_does(database: Database) -> None:
    async with engine_with(database, None, api_keys=KEYS) as engine, served(engine) as url:
        async with httpx.AsyncClient(base_url=url) as raw:
            bad: list[dict[str, str]] = [
                {},
                {"x-api-key": ""},
                {"x-api-key": "first"},
                {"x-api-key": "first-key, second-key"},
                {"x-api-key": "first-keys"},
                {"Authorization": "Bearer x"},
                {"Authorization": "Basic first-key"},
                {"Authorization": "first-key"},
            ]
            for headers in bad:
                for path in ("/threads/search", "/nowhere", "/runs/batch"):
                    answer = await raw.post(path, json={}, headers=headers)
                    assert answer.status_code == 401, (headers, path)
                    assert answer.json() == {"detail": "Unauthorized"}
            for headers in (
                {"x-api-key": "first-key"},
                {"x-api-key": "second-key"},
                {"authorization": "bearer second-key"},
            ):
                answer = await raw.post("/threads/search", json={}, headers=headers)
                assert answer.status_code == 200, headers
            for path in ("/ok", "/info", "/docs", "/openapi.json"):
                assert (await raw.get(path)).status_code == 200
            preflight = {"Origin": "https://x", "Access-Control-Request-Method": "POST"}
            assert (await raw.options("/threads", headers=preflight)).status_code != 401
            assert (await raw.options("/threads")).status_code == 401
            assert (await raw.post("/ok", json={})).status_code == 401
        client = get_remote_client(url=url, api_key="second-key")
        assert (await client.threads.create())["thread_id"]
        await client.aclose()
        with get_sync_client(url=url, api_key="other") as other, pytest.raises(AuthenticationError):
            await asyncio.to_thread(other.threads.create)
        async with get_client(engine, api_key="first-key") as inside:
            assert await inside.threads.count() == 1
        async with get_client(engine) as inside:
            with pytest.raises(AuthenticationError):
                await inside.threads.count()


async def test_keys_turn_up_nowhere(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with engine_with(database, None, api_keys=KEYS) as engine:
        assert "first-key" not in repr(engine.settings) + engine.settings.model_dump_json()
        async with get_client(engine, api_key="first-key") as client:
            thread_id = (await client.threads.create())["thread_id"]
            await client.runs.wait(thread_id, "agent", input=said("hi"))
        async with raw_client(engine) as raw:
            assert (await raw.get("/threads/x", headers={"x-api-key": "wrong"})).status_code == 401
        events = await engine.queries.log(thread_id)
        assert "-key" not in str([as_json(event, frozenset()) for event in events])
    assert "-key" not in caplog.text
    assert "wrong" not in caplog.text


@pytest.mark.parametrize("given", ["", ",", "a,,b", " "])
def test_a_key_that_is_empty_does_not_leave_the_server_open(given: str) -> None:
    with pytest.raises(ValueError, match="a key is empty"):
        Settings.model_validate({"api_keys": given})


async def test_a_key_and_handlers_are_both_asked(database: Database) -> None:
    async with (
        engine_with(database, owners(), api_keys=KEYS) as engine,
        raw_client(engine, "ann") as raw,
    ):
        assert (await raw.post("/threads", json={})).status_code == 401
        key = {"x-api-key": "first-key"}
        assert (await raw.post("/threads", json={}, headers=key)).status_code == 200
        nobody = {**key, "Authorization": "Bearer nobody"}
        assert (await raw.post("/threads", json={}, headers=nobody)).status_code == 401


# ------------------------------------------------------------------ who calls


def answering(given: object = None, *, raises: BaseException | None = None) -> Auth:
    """Return handlers of which the first returns or raises this."""
    auth = Auth()

    @auth.authenticate
    async def authenticate() -> Any:
        if raises is not None:
            raise raises
        return given

    return auth


async def called(database: Database, auth: Auth, **options: Any) -> httpx.Response:
    async with engine_with(database, auth) as engine, raw_client(engine) as raw:
        return await raw.post("/threads", json={}, **options)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("ann", 200),
        ({"identity": "ann"}, 200),
        ({"identity": "ann", "permissions": None}, 200),
        (SimpleNamespace(identity="ann", permissions=["x"]), 200),
        (Auth.types.StudioUser("ann", is_authenticated=True), 200),
        (Auth.types.StudioUser("ann"), 401),
        ({"identity": "ann", "is_authenticated": False}, 401),
        ({"identity": ""}, 401),
        ("", 401),
        (None, 401),
        (False, 401),
        ({}, 500),
        ({"identity": 7}, 500),
        ({"identity": "ann", "permissions": 7}, 500),
        (7, 500),
        (["ann"], 500),
    ],
)
async def test_what_the_authentication_handler_may_return(
    database: Database, given: object, status: int
) -> None:
    answer = await called(database, answering(given))
    assert answer.status_code == status
    if status != 200:
        expected = {401: "Unauthorized", 500: "The server's authentication handler failed"}
        assert answer.json() == {"detail": expected[status]}


async def test_what_the_authentication_handler_may_raise(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    own = Auth.exceptions.HTTPException(status_code=402, detail="Pay", headers={"X-Why": "money"})
    answer = await called(database, answering(raises=own))
    assert (answer.status_code, answer.json()) == (402, {"detail": "Pay"})
    assert answer.headers["X-Why"] == "money"
    answer = await called(database, answering(raises=Auth.exceptions.HTTPException()))
    assert (answer.status_code, answer.json()) == (401, {"detail": "Unauthorized"})
    answer = await called(database, answering(raises=FastAPIError(418, "tea")))
    assert (answer.status_code, answer.json()) == (418, {"detail": "tea"})
    answer = await called(database, answering(raises=RuntimeError("the password is 1234")))
    assert answer.status_code == 500
    assert "1234" not in answer.text
    assert "the password is 1234" in caplog.text  # Whoever runs the server has to find it.


async def test_the_handler_gets_what_it_asks_for_by_name(database: Database) -> None:
    auth, seen = Auth(), list[dict[str, Any]]()

    @auth.authenticate
    async def authenticate(
        request: Any,
        body: Any,
        path: str,
        method: str,
        path_params: dict[str, str],
        query_params: dict[str, str],
        headers: dict[bytes, bytes],
        authorization: str | None,
        more: str = "default",
    ) -> str:
        again = await request.json() if method == "POST" else None
        seen.append({**locals()})
        return "ann"

    async with (
        engine_with(database, auth) as engine,
        served(engine) as url,
        httpx.AsyncClient(base_url=url) as raw,
    ):
        created = await raw.post("/threads", json={"metadata": {"a": 1}}, headers=as_user("ann"))
        # The body that the handler has read is there for the route too.
        assert created.json()["metadata"] == {"a": 1}
        thread_id = created.json()["thread_id"]
        await raw.get(f"/threads/{thread_id}/runs?limit=3", headers={"X-Tenant": "t"})
        too_much = await raw.post("/threads", content=b" " * (9 << 20))
        assert too_much.status_code == 413
    first, second = seen
    assert first["body"] == first["again"] == {"metadata": {"a": 1}}
    assert (first["path"], first["method"]) == ("/threads", "POST")
    assert first["authorization"] == "Bearer ann-token"
    assert first["more"] == "default"
    assert second["path_params"] == {"thread_id": thread_id}
    assert second["query_params"] == {"limit": "3"}
    assert second["headers"][b"x-tenant"] == b"t"
    assert second["authorization"] is None
    assert second["body"] is None


async def test_a_stream_still_sees_its_client_leave_when_the_handler_reads_bodies(
    database: Database, gates: Gates
) -> None:
    auth = Auth()

    @auth.authenticate
    async def authenticate(body: Any) -> str:
        return "ann"

    gates.close("hi:1")
    async with engine_with(database, auth, gates) as engine, served(engine) as url:
        client = get_remote_client(url=url)
        thread_id = (await client.threads.create())["thread_id"]
        stream = client.runs.stream(thread_id, "agent", input=said("hi"), on_disconnect="cancel")
        await anext(stream)
        await until_heard(engine, thread_id, "hi.1")
        (run,) = await client.runs.list(thread_id)
        await stream.aclose()
        joined = await client.runs.join(thread_id, run["run_id"])
        assert heard(joined) == ["hi", "hi.1"]
        assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "interrupted"
        await client.aclose()


async def test_a_handler_that_is_not_async_does_not_hold_up_the_others(database: Database) -> None:
    auth = Auth()
    loop = asyncio.get_running_loop()

    @auth.authenticate
    def authenticate(authorization: str | None) -> str:
        # Would wait for ever on the event loop itself.
        return asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "ann"), loop).result(10)

    answer = await called(database, auth)
    assert answer.status_code == 200


def test_a_handler_that_asks_for_what_there_is_not_is_refused_at_once() -> None:
    auth = Auth()

    @auth.authenticate
    async def authenticate(cookie: str) -> str:
        return cookie

    with pytest.raises(ConfigurationError, match="asks for cookie"):
        get_client(Engine(auth=auth))
    with pytest.raises(ConfigurationError, match="nothing is decorated"):
        get_client(Engine(auth=Auth()))


# ------------------------------------------------------------------ in whose name


async def test_the_log_says_by_whom(engine: Engine, gates: Gates) -> None:
    gates.close("b:1")
    async with get_client(engine, headers=as_user("ann")) as ann:
        thread_id = (await ann.threads.create())["thread_id"]
        await ann.runs.wait(thread_id, "agent", input=said("a"))
        run = await ann.runs.create(thread_id, "agent", input=said("b"))
        await until_heard(engine, thread_id, "b.1")
    async with get_client(engine, headers=as_user("root")) as root:
        await root.runs.cancel(thread_id, run["run_id"], action="rollback", wait=True)
        await root.threads.update(thread_id, metadata={"seen": True})
        await root.threads.update_state(thread_id, {"last": "fixed"})
    events = await engine.queries.log(thread_id)
    by = {(recorded.event.type, recorded.actor) for recorded in events}
    for name, actor in (
        ("ThreadCreated", "ann"),
        ("RunAccepted", "ann"),
        ("RunRolledBack", "root"),
        ("ThreadPatched", "root"),
        ("StateUpdated", "root"),
        ("StepRecorded", None),
        ("RunSucceeded", None),
    ):
        assert (name, actor) in by
    assert "ann" in as_json(events[0], frozenset()).values()
    assert [column.header for column in log_table(thread_id, events).columns].count("By") == 1


async def test_a_graph_finds_its_caller_and_the_log_does_not_hold_it(
    database: Database, gates: Gates
) -> None:
    found: list[dict[str, Any]] = []

    async def who(state, run):
        found.append(dict(run.config["configurable"]))
        await gates[f"who:{run.attempt}"].pass_()
        return {"last": run.config["configurable"]["langgraph_auth_user"]["identity"]}

    gates.close("who:1")
    graph = FunctionGraph("who", who)
    first = engine_with(database, owners(), gates, graph, grace_seconds=0)
    await first.start()
    async with get_client(first, headers=as_user("ann")) as ann:
        thread_id = (await ann.threads.create())["thread_id"]
        forged = {"configurable": {"langgraph_auth_user_id": "root", "langgraph_auth_user": {}}}
        run = await ann.runs.create(thread_id, "who", input={"x": 1}, config=forged)
        await gates["who:1"].reached()
    user = found[0]["langgraph_auth_user"]
    assert found[0]["langgraph_auth_user_id"] == "ann"
    assert found[0]["langgraph_auth_permissions"] == ["chat"]
    assert (user.identity, user["email"], user.get("nothing"), "email" in user) == (
        "ann", "ann@x", None, True,
    )  # fmt: skip
    assert dict(user)["email"] == "ann@x"
    await first.close()  # The run is handed over.
    gates.open()
    async with engine_with(database, owners(), gates, graph) as second:
        async with get_client(second, headers=as_user("ann")) as ann:
            assert (await ann.runs.join(thread_id, run["run_id"]))["last"] == "ann"
        events = await second.queries.log(thread_id)
    # What the log knows of the caller is who it was.
    again = found[1]
    assert again["langgraph_auth_user"].identity == again["langgraph_auth_user_id"] == "ann"
    assert again["langgraph_auth_permissions"] == []
    shown = str([as_json(event, frozenset()) for event in events])
    assert "langgraph_auth" not in shown
    assert "ann@x" not in shown


async def test_who_the_caller_is_cannot_be_said_by_anybody_else(database: Database) -> None:
    auth = owners()

    @auth.on.threads.create_run
    async def sign(ctx: Any, value: dict[str, Any]) -> None:
        config = value["kwargs"].setdefault("config", {})
        config["configurable"] = {"langgraph_auth_user_id": "root", "tenant": "t"}

    found: list[dict[str, Any]] = []

    async def who(state, run):
        found.append(run.config["configurable"])

    async with engine_with(database, auth, None, FunctionGraph("who", who)) as engine:
        ann = get_client(engine, headers=as_user("ann"))
        thread_id = (await ann.threads.create())["thread_id"]
        await ann.runs.wait(thread_id, "who", input={"x": 1})
        own = {
            "config": {"metadata": {"langgraph_auth_user": 1}},
            "context": {"langgraph_auth_": 1},
        }
        view = await engine.submit_run(thread_id, "who", input={"x": 1}, kwargs=own)
        await engine.join_run(thread_id, view.row.run_id)
        events = await engine.queries.log(thread_id)
    assert (found[0]["tenant"], found[0]["langgraph_auth_user_id"]) == ("t", "ann")
    assert "langgraph_auth" not in str([as_json(event, frozenset()) for event in events])


def user_ids(*runs: Any) -> list[object]:
    return [run["kwargs"]["config"]["configurable"]["user_id"] for run in runs]


async def test_a_run_says_whose_it_is_and_says_so_again_after_a_restart(
    database: Database, gates: Gates
) -> None:
    found: list[object] = []

    async def who(state, run):
        found.append(run.config["configurable"]["user_id"])
        await gates[f"who:{run.attempt}"].pass_()
        return {}

    gates.close("who:1")
    graph = FunctionGraph("who", who)
    first = engine_with(database, owners(), gates, graph, grace_seconds=0)
    await first.start()
    async with get_client(first, headers=as_user("ann")) as ann:
        thread_id = (await ann.threads.create())["thread_id"]
        created = await ann.runs.create(thread_id, "who", input={"x": 1})
        run_id = created["run_id"]
        await gates["who:1"].reached()
        shown = await ann.runs.get(thread_id, run_id)
    await first.close()  # The run is handed over.
    gates.open()
    async with engine_with(database, owners(), gates, graph) as second:
        async with get_client(second, headers=as_user("ann")) as ann:
            await ann.runs.join(thread_id, run_id)
            ended = await ann.runs.get(thread_id, run_id)
            (listed,) = await ann.runs.list(thread_id)
        async with get_client(second, headers=as_user("root")) as root:
            seen = await root.runs.get(thread_id, run_id)
            theirs = await root.runs.create(thread_id, "who", input={"x": 2})
            await root.runs.join(thread_id, theirs["run_id"])
    assert found == ["ann", "ann", "root"]
    assert user_ids(created, shown, ended, listed, seen, theirs) == [*["ann"] * 5, "root"]


async def test_whom_a_run_is_for_may_be_named_and_proves_nothing(database: Database) -> None:
    found: list[tuple[object, object]] = []

    async def who(state, run):
        configurable = run.config["configurable"]
        found.append((copy(configurable["user_id"]), configurable["langgraph_auth_user_id"]))
        if isinstance(configurable["user_id"], list):
            configurable["user_id"].append("b")

    def named(user_id: object) -> dict[str, Any]:
        return {"configurable": {"user_id": user_id}}

    async with engine_with(database, owners(), None, FunctionGraph("who", who)) as engine:
        ann = get_client(engine, headers=as_user("ann"))
        thread_id = (await ann.threads.create())["thread_id"]
        made = await ann.assistants.create("who", config=named("of assistant"))
        asked: list[tuple[str, dict[str, Any]]] = [
            ("who", {"config": named("named")}),
            ("who", {"context": {"user_id": "named"}}),
            ("who", {"config": named("")}),
            ("who", {"config": named(None)}),
            ("who", {"config": named(7)}),
            ("who", {"config": named(["a"])}),
            (made["assistant_id"], {}),
            (made["assistant_id"], {"config": named("named")}),
        ]
        runs: list[Any] = []
        for assistant_id, options in asked:
            run = await ann.runs.create(thread_id, assistant_id, input={}, **options)
            await ann.runs.join(thread_id, run["run_id"])
            runs.append(await ann.runs.get(thread_id, run["run_id"]))
    ids = ["named", "named", "ann", "ann", 7, ["a"], "of assistant", "named"]
    assert found == [(user_id, "ann") for user_id in ids]
    assert user_ids(*runs) == ids


async def test_a_graph_without_authentication_finds_no_caller(database: Database) -> None:
    found: list[dict[str, Any]] = []

    async def who(state, run):
        found.append(run.config)

    async with (
        database.engine(registry(FunctionGraph("who", who))) as engine,
        get_client(engine) as client,
    ):
        thread_id = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread_id, "who", input={"x": 1})
    assert found == [{}]
