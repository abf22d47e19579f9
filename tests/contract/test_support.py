"""The support matrix tells the truth: of everything that the SDKs can send, and of what the server makes of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx
import jsonschema_rs
import pytest
from langgraph_sdk import schema
from langgraph_sdk._async.runs import RunsClient
from langgraph_sdk._async.threads import ThreadsClient
from pydantic import create_model

import tests.support.javascript_calls as javascript
import tests.support.sdk_calls as python
from tests.support.engine import Database, Gates, chat, join, registry, submit
from tests.support.reading import reading
from tests.support.sdk_calls import IDS, TELLING
from tests.support.support_matrix import (
    COMMAND,
    OURS,
    PAGE,
    all_calls,
    key,
    matrix,
    missing,
    page,
    unsent,
)
from threadfold import Engine
from threadfold.app.client import BASE_URL, EngineTransport
from threadfold.app.http import creating, models, runs
from threadfold.app.http.answers import ANSWERS
from threadfold.app.http.application import create_app
from threadfold.app.http.examples import EXAMPLES
from threadfold.app.http.support import ANY_CALL, Row, body_fields, compact, operations
from threadfold.app.http.system import NOT_YET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from threadfold.app.http.answers import Call

pytestmark = pytest.mark.anyio

APP = create_app(Engine("memory://"))
MATRIX = matrix(APP)
OPERATIONS = dict(operations(APP.openapi()))
CALLS = sorted(OPERATIONS)

SENT_AT_ONCE = {"after_seconds": [0], "stream_mode": ["values"]}
"""Values of a supported field with which a call comes to its end, instead of those in TELLING."""

FRAMEWORKS_HEADERS = {
    "origin", "host", "accept", "accept-encoding", "content-type", "content-length", "access-control-request-method",
    "access-control-request-headers", "access-control-request-private-network", "vary", "x-forwarded-proto", "connection",
    "content-encoding", "expect", "cookie",
}  # fmt: skip

FREE = {"input", "values", "langsmith_tracer", "feedback_keys"}
"""Fields that take any JSON, so that no value of theirs is wrong."""


# ------------------------------------------------------------------ complete


@pytest.mark.xdist_group("javascript")
def test_everything_that_the_sdks_can_send_is_in_the_matrix() -> None:
    assert missing(MATRIX, all_calls()) == []


@pytest.mark.xdist_group("javascript")
def test_every_row_is_sent_by_an_sdk_or_marked_as_our_own() -> None:
    assert unsent(MATRIX, all_calls(), OURS) == []
    known = {key(row) for row in MATRIX}
    refused = {key(row)[:2] for row in MATRIX if row.where == "call" and row.standing == "refused"}
    assert [entry for entry in OURS if entry not in known and entry[:2] not in refused] == []


@pytest.mark.xdist_group("javascript")
def test_every_parameter_of_the_sdks_changes_what_is_sent_or_is_known_not_to() -> None:
    """A parameter that the reflection gives no telling value would hide its field."""
    for seen in all_calls():
        client_only = (
            javascript.CLIENT_ONLY if seen.sdk == "javascript" else python.client_only(seen)
        )
        assert seen.untold <= client_only, (seen.sdk, seen.name)


@pytest.mark.xdist_group("javascript")
def test_the_page_shows_the_matrix() -> None:
    assert PAGE.read_text() == page(MATRIX, all_calls()), f"`{COMMAND}` writes it again"


@pytest.fixture
async def http(gates: Gates) -> AsyncIterator[httpx.AsyncClient]:
    """Give a plain client on an engine in this process."""
    async with Database(None).engine(registry(chat(gates))) as engine, client_of(engine) as client:
        yield client


def client_of(engine: Engine) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=BASE_URL, transport=EngineTransport(engine), timeout=30)


async def test_info_shows_the_matrix(http: httpx.AsyncClient) -> None:
    content = (await http.get("/info")).json()
    assert content["support"] == json.loads(json.dumps(compact(MATRIX)))
    assert content["support"]["POST /store/namespaces"] == "refused"
    assert (
        "body.multitask_strategy"
        in content["support"]["POST /threads/{thread_id}/runs"]["supported"]
    )


def test_values_of_the_sdks_types_hold_all_that_those_have() -> None:
    for name, value in python.TYPES.items():
        assert value.keys() == getattr(schema, name).__annotations__.keys()


# ------------------------------------------------------------------ true


@dataclass
class World:
    """A server with threads whose run has ended, unless it is to be cancelled, so that a path leads somewhere."""

    engine: Engine
    http: httpx.AsyncClient

    async def send(self, call: Call, *fields: tuple[Row, Any]) -> tuple[int, str]:
        """Make a call as it is usual, with these fields; return the status and the detail, if there is one."""
        method, path = call
        body = next(iter(EXAMPLES.get(call, {}).values()), None)
        query: dict[str, Any] = {}
        headers: dict[str, str] = {}
        for row, value in fields:
            match row.where:
                case "body" if isinstance(body, list):
                    body = [{**entry, **placed(row, value)} for entry in body]
                case "body":
                    body = {**(body or {}), **placed(row, value)}
                case "query":
                    query[row.name] = value
                case _:
                    headers[row.name] = str(value)
        url = path.format_map(await self._ids(path))
        request = self.http.build_request(method, url, json=body, params=query, headers=headers)
        response = await self.http.send(request, stream=True)
        try:
            if call in ANSWERS and ANSWERS[call].is_endless and response.status_code == 200:
                return 200, ""
            content = await response.aread()
        finally:
            await response.aclose()
        if response.status_code < 400:
            return response.status_code, ""
        return response.status_code, json.loads(content)["detail"]

    async def _ids(self, path: str) -> dict[str, str]:
        thread_id = (await self.engine.create_thread()).thread_id
        run_id = await submit(self.engine, thread_id, "A")
        if not path.endswith("/cancel"):
            await join(self.engine, thread_id, run_id)
        assistant_id = self.engine.graphs.resolve("agent")[0]
        return {**IDS, "thread_id": thread_id, "run_id": run_id, "assistant_id": assistant_id}


@pytest.fixture
async def world(gates: Gates) -> AsyncIterator[World]:
    async with Database(None).engine(registry(chat(gates))) as engine, client_of(engine) as client:
        yield World(engine, client)


def fields_of(call: Call) -> list[Row]:
    """Return a call's fields. Parts of fields only if they are refused: their own models check the others."""
    found = [row for row in MATRIX if row.call == call and row.where != "call"]
    return [row for row in found if "." not in row.name or row.standing == "refused"]


def schema_of(row: Row) -> dict[str, Any]:
    operation = OPERATIONS[row.call]
    if row.where == "body":
        return body_fields(operation)[row.name]
    found = [entry["schema"] for entry in operation["parameters"] if entry["name"] == row.name]
    return found[0]


def fitting(row: Row) -> Any:
    """Return a value that a field may hold, and that is not its default."""
    values = SENT_AT_ONCE.get(row.name, TELLING.get(row.name, []))
    shape = schema_of(row)
    values = [
        *values,
        "true",
        *listed(shape),
        f"told-{row.name}",
        True,
        1,
        {"key": "value"},
        ["told"],
    ]
    for value in values:
        if jsonschema_rs.is_valid(shape, value):
            return value
    raise AssertionError(row)


def listed(schema: Any) -> list[Any]:
    """Return the values that a schema lists, here or further in."""
    if isinstance(schema, list):
        return [value for entry in schema for value in listed(entry)]
    if not isinstance(schema, dict):
        return []
    inner = [value for entry in schema.values() for value in listed(entry)]
    return [value for value in schema.get("enum", []) if value] + inner


def unfitting(row: Row) -> list[Any]:
    """Return values that a field may not hold."""
    candidates: list[Any] = ["\x00told", 7.5, {"checkpoint_id": 7}, [7.5], True]
    if row.where == "query":
        candidates = ["told"]
    shape = schema_of(row)
    return [value for value in candidates if not jsonschema_rs.is_valid(shape, value)]


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
async def test_what_is_supported_is_not_refused(call: Call, world: World) -> None:
    for row in fields_of(call):
        if row.standing != "refused":
            status, detail = await world.send(call, (row, fitting(row)))
            assert status < 500
            assert "not supported" not in detail, row
    status, detail = await world.send(call)
    assert status < 400 or "not supported" not in detail


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
async def test_what_is_refused_is_named(call: Call, world: World) -> None:
    for row in fields_of(call):
        if row.standing == "refused":
            status, detail = await world.send(call, (row, telling(row)))
            name = row.name.partition("=")[0].rpartition(".")[2]
            assert (status, name in detail, "not supported" in detail) == (422, True, True), row


def placed(row: Row, value: Any) -> dict[str, Any]:
    """Return a body's field with a value, which may be that of a part of it."""
    name, _, part = row.name.partition("=")[0].partition(".")
    return {name: {**TELLING[name][0], part: value} if part else value}


def telling(row: Row) -> Any:
    value = row.name.partition("=")[2]
    if value:
        return value
    return TELLING.get(row.name, [f"told-{row.name}"])[0]


@pytest.mark.parametrize("call", NOT_YET, ids=" ".join)
async def test_calls_that_are_refused_are_named(call: Call, world: World) -> None:
    assert await world.send(call) == (404, f"{call[0]} {call[1]} is not supported yet")


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
async def test_a_wrong_value_of_any_field_is_refused_by_name(call: Call, world: World) -> None:
    """What knows a field's type knows the field."""
    for row in fields_of(call):
        if row.where != "body" or "=" in row.name or "." in row.name:
            continue
        if row.standing == "refused" and row.path.startswith("/runs"):
            continue  # Whatever it holds, as the test above has it.
        wrong = unfitting(row)
        assert wrong or row.name in FREE, row
        for value in wrong:
            status, detail = await world.send(call, (row, value))
            assert (status, row.name in detail) == (422, True), (row, value, detail)


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
async def test_nothing_is_accepted_and_silently_ignored(
    call: Call, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await ignored(call, world, monkeypatch) == []


async def ignored(call: Call, world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Say which supported fields of a call no code reads, and which are read that the matrix does not know."""
    with reading(monkeypatch) as read:
        if call == ("POST", "/runs/batch"):
            read.body(models.StatelessRunCreate)  # Its body is a list of them.
        for row in fields_of(call):
            if row.standing != "refused":
                await world.send(call, (row, fitting(row)))
    known = {key(row)[2:]: row.standing for row in MATRIX if row.call in (call, ANY_CALL)}
    of_call = {key(row)[2:] for row in fields_of(call) if row.standing == "supported"}
    found = [f"{where} {name} is not read" for where, name in of_call - read.fields]
    for where, name in read.fields & known.keys():
        if known[where, name] == "meaningless":
            found.append(f"{where} {name} is read, and said to be meaningless")
    for where, name in read.fields - known.keys():
        if (where, name) not in {("header", header) for header in FRAMEWORKS_HEADERS}:
            found.append(f"{where} {name} is read, and not in the matrix")
    return sorted(found)


# ------------------------------------------------------------------ planted faults


def test_a_new_method_of_an_sdk_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def archive(self, thread_id: str, *, reason: str | None = None) -> Any:
        return await self.http.post(f"/threads/{thread_id}/archive", json={"reason": reason})

    monkeypatch.setattr(ThreadsClient, "archive", archive, raising=False)
    assert missing(MATRIX, python.python_calls()) == [
        "python threads.archive: there is no POST /threads/{}/archive"
    ]


def test_a_new_parameter_of_an_sdk_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def get(self, thread_id: str, run_id: str, *, depth: int = 0, mood: str = "") -> Any:
        return await self.http.get(f"/threads/{thread_id}/runs/{run_id}", params={"depth": depth})

    monkeypatch.setattr(RunsClient, "get", get)
    calls = python.python_calls()
    assert missing(MATRIX, calls) == [
        "python runs.get: GET /threads/{}/runs/{} knows nothing of query 'depth'"
    ]
    (seen,) = [seen for seen in calls if seen.sdk == "python" and seen.name == "runs.get"]
    assert seen.untold - python.client_only(seen) == {"mood"}


@pytest.mark.xdist_group("javascript")
def test_a_new_method_and_a_new_option_of_the_javascript_sdk_are_noticed() -> None:
    extra = """
        const threads = Object.getPrototypeOf(client.threads), runs = Object.getPrototypeOf(client.runs);
        threads.archive = function (threadId) {
            return this.fetch(`/threads/${threadId}/archive`, { method: "POST", json: {} });
        };
        runs.get = function (threadId, runId, options) {
            const params = { depth: options?.recursionDepth };
            return this.fetch(`/threads/${threadId}/runs/${runId}`, { params, mood: options?.mood });
        };
    """
    calls = javascript.javascript_calls(extra)
    assert missing(MATRIX, calls) == [
        "javascript runs.get: GET /threads/{}/runs/{} knows nothing of query 'depth'",
        "javascript threads.archive: there is no POST /threads/{}/archive",
    ]
    (seen,) = [seen for seen in calls if seen.name == "runs.get"]
    assert seen.untold - javascript.CLIENT_ONLY == {"mood"}


@pytest.mark.xdist_group("javascript")
def test_a_field_that_a_model_has_lost_is_noticed() -> None:
    lost = [row for row in MATRIX if (*row.call, row.name) != ("POST", "/threads", "metadata")]
    problems = missing(lost, all_calls())
    assert problems
    assert all("POST /threads knows nothing of body 'metadata'" in text for text in problems)


async def test_a_field_that_a_model_has_lost_is_no_longer_checked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same fault in the server: the page still names the field, and the model does not."""
    call = ("POST", "/threads/{thread_id}/runs")
    fields = {
        name: (field.annotation, field)
        for name, field in models.RunCreate.model_fields.items()
        if name != "on_disconnect"
    }
    monkeypatch.setattr(models, "RunCreate", create_model("Lossy", __base__=models.Body, **fields))
    (row,) = [row for row in fields_of(call) if row.name == "on_disconnect"]
    status, _ = await world.send(call, (row, unfitting(row)[0]))
    assert status != 422


async def test_a_refused_field_that_is_silently_accepted_is_noticed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"ttl": {"ttl": 5, "refresh_on_read": True}}
    refused = await world.http.post("/threads", json=body)
    assert refused.status_code == 422
    assert "refresh_on_read" in refused.text

    def lossy(model: Any, content: dict[str, Any]) -> Any:
        ttl = {name: value for name, value in content["ttl"].items() if name != "refresh_on_read"}
        return model.__pydantic_validator__.validate_python({**content, "ttl": ttl})

    monkeypatch.setattr(models.Body, "model_validate", classmethod(lossy))
    assert (await world.http.post("/threads", json=body)).status_code < 400


async def test_a_supported_field_that_no_code_reads_is_noticed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("POST", "/threads/{thread_id}/runs")

    class Blind:
        def __init__(self, body: Any) -> None:
            self._body = body

        def __getattr__(self, name: str) -> Any:
            return None if name == "if_not_exists" else getattr(self._body, name)

    def forgetful(body: Any) -> Any:
        found = creating.wanted(body)
        whole = models.RunCreate.model_construct(**{**body.__dict__, "if_not_exists": None})
        return replace(found, body=Blind(whole))

    monkeypatch.setattr(runs, "wanted", forgetful)
    assert await ignored(call, world, monkeypatch) == ["body if_not_exists is not read"]


def test_rows_are_about_one_thing_each() -> None:
    keys = [key(row) for row in MATRIX]
    assert len(keys) == len(set(keys))
    assert replace(MATRIX[0], standing="supported").call == MATRIX[0].call
