"""What the server says of itself in `/openapi.json`, and that it holds under a short fuzzing; a long one is in the soak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import jsonschema_rs
import pytest

from tests.support.engine import Gates, said, submit
from threadfold import Engine
from threadfold.app.client import BASE_URL, EngineTransport
from threadfold.app.http.answers import ANSWERS
from threadfold.app.http.application import create_app
from threadfold.app.http.examples import EXAMPLES
from threadfold.app.http.schemas import COMPONENTS
from threadfold.app.http.support import operations
from threadfold.app.http.system import NOT_YET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

DOCUMENT = create_app(Engine("memory://")).openapi()
OPERATIONS = dict(operations(DOCUMENT))


@pytest.fixture
async def http(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    """Give a plain client on an engine in this process."""
    transport = EngineTransport(engine)
    async with httpx.AsyncClient(base_url=BASE_URL, transport=transport, timeout=30) as client:
        yield client


def valid(schema: Any, value: Any) -> bool:
    """Say whether a value fits a schema of the document."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return jsonschema_rs.validator_for(whole).is_valid(value)


# ------------------------------------------------------------------ the document


def test_every_call_says_what_it_answers() -> None:
    assert OPERATIONS.keys() <= ANSWERS.keys()
    assert OPERATIONS.keys() | set(NOT_YET) >= ANSWERS.keys()


def test_every_call_has_a_summary_and_a_description() -> None:
    for call, operation in OPERATIONS.items():
        assert operation["summary"], call
        assert operation["description"], call


def test_every_body_has_examples_that_fit() -> None:
    with_body = {call for call, operation in OPERATIONS.items() if "requestBody" in operation}
    assert with_body <= EXAMPLES.keys()
    assert with_body | set(NOT_YET) >= EXAMPLES.keys()
    for call in with_body:
        content = OPERATIONS[call]["requestBody"]["content"]["application/json"]
        for name, example in content["examples"].items():
            assert valid(content["schema"], example["value"]), (call, name)


def test_examples_of_parameters_fit() -> None:
    for call, operation in OPERATIONS.items():
        for parameter in operation["parameters"]:
            if "example" in parameter:
                assert valid(parameter["schema"], parameter["example"]), (call, parameter["name"])


def test_examples_of_answers_fit() -> None:
    for name, schema in COMPONENTS.items():
        for example in schema.get("examples", []):
            assert valid({"$ref": f"#/components/schemas/{name}"}, example), name


def test_streams_and_waits_are_described_as_what_they_are() -> None:
    path = "/threads/{thread_id}/runs"
    stream = OPERATIONS["POST", f"{path}/stream"]["responses"]["200"]
    assert set(stream["content"]) == {"text/event-stream"}
    assert set(stream["headers"]) == {"Location", "Content-Location"}
    wait = OPERATIONS["POST", f"{path}/wait"]["responses"]["200"]
    assert "line feed" in wait["description"]


def test_what_is_made_is_linked_to_its_uses() -> None:
    links = OPERATIONS["POST", "/threads"]["responses"]["200"]["links"]
    linked = {link["operationId"] for link in links.values()}
    for call in (("GET", "/threads/{thread_id}"), ("POST", "/threads/{thread_id}/runs")):
        assert OPERATIONS[call]["operationId"] in linked


# ------------------------------------------------------------------ what was found


async def test_a_wrong_wait_of_a_cancel_stops_nothing(
    engine: Engine, gates: Gates, http: httpx.AsyncClient
) -> None:
    """The parameter is read before anything is done."""
    thread_id = (await engine.create_thread()).thread_id
    gates["A:0"].close()
    run_id = await submit(engine, thread_id, "A")
    await gates["A:0"].reached()
    answer = await http.post(f"/threads/{thread_id}/runs/{run_id}/cancel?wait=maybe")
    assert answer.status_code == 422
    assert (await http.get(f"/threads/{thread_id}/runs/{run_id}")).json()["status"] == "running"
    gates.open()


async def test_answers_fit_their_schemas(http: httpx.AsyncClient) -> None:
    def check(call: tuple[str, str], answer: httpx.Response) -> Any:
        described = OPERATIONS[call]["responses"][str(answer.status_code)]
        content = answer.json()
        assert valid(described["content"]["application/json"]["schema"], content), content
        return content

    thread = check(("POST", "/threads"), await http.post("/threads", json={}))
    path = f"/threads/{thread['thread_id']}"
    body = {"assistant_id": "agent", "input": said("A")}
    run = check(("POST", "/threads/{thread_id}/runs"), await http.post(f"{path}/runs", json=body))
    await http.get(f"{path}/runs/{run['run_id']}/join")
    check(("GET", "/threads/{thread_id}"), await http.get(path))
    check(("GET", "/threads/{thread_id}/state"), await http.get(f"{path}/state"))
    states = check(
        ("POST", "/threads/{thread_id}/history"),
        await http.post(f"{path}/history", json={"limit": 10}),
    )
    assert len(states) > 2
    check(("GET", "/threads/{thread_id}"), await http.get("/threads/x"))
