"""What the server says of itself in `/openapi.json`, and that it holds under a short fuzzing; a long one is in the soak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import jsonschema_rs
import pytest
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup, ServerError
from schemathesis.openapi.checks import JsonSchemaError
from schemathesis.specs.openapi.checks import AcceptedNegativeData

from tests.support.engine import Gates, said, submit
from tests.support.fuzzing import budget, fuzzed
from threadfold import Engine
from threadfold.app.client import BASE_URL, EngineTransport
from threadfold.app.http import models, threads
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


# ------------------------------------------------------------------ fuzzed

# What schemathesis does with Hypothesis, and with requests' connections, is its own affair.
fuzzing = pytest.mark.filterwarnings(
    "ignore::hypothesis.errors.HypothesisDeprecationWarning", "ignore::ResourceWarning"
)


@fuzzing
def test_no_single_call_breaks_what_the_document_says() -> None:
    with fuzzed() as fuzz:
        fuzz.singles(budget(3))
        assert fuzz.tally.labels == {operation.label for operation in fuzz.operations()}


@fuzzing
def test_no_chain_of_calls_breaks_what_the_document_says() -> None:
    with fuzzed() as fuzz:
        fuzz.chains(budget(4, steps=8))
        assert fuzz.tally.served


@fuzzing
@pytest.mark.parametrize("fault", ["a field is missing", "a handler fails", "anything goes"])
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = threads.thread_object
    match fault:
        case "a field is missing":
            monkeypatch.setattr(
                threads, "thread_object", lambda view: {**plain(view), "status": "asleep"}
            )
        case "a handler fails":
            monkeypatch.setattr(threads, "thread_object", lambda view: plain(view)["no such key"])
        case _:
            monkeypatch.setattr(models.ThreadCreate, "__pydantic_validator__", Lax())
    with fuzzed() as fuzz:
        (operation,) = [each for each in fuzz.operations() if each.label == "POST /threads"]
        is_lax = fault == "anything goes"
        mode = GenerationMode.NEGATIVE if is_lax else GenerationMode.POSITIVE
        with pytest.raises((Failure, FailureGroup)) as raised:
            fuzz.single(operation, budget(20), mode)
        found = failures(raised.value)
    assert {
        "a field is missing": JsonSchemaError,
        "a handler fails": ServerError,
        "anything goes": AcceptedNegativeData,
    }[fault] in found


def failures(error: BaseException) -> set[type[BaseException]]:
    """Return the kinds of failures that stand in groups of them."""
    if isinstance(error, BaseExceptionGroup):
        return {kind for part in error.exceptions for kind in failures(part)}
    return {type(error)}


class Lax:
    """Takes any body for an empty one."""

    def validate_python(self, *_: Any, **__: Any) -> models.ThreadCreate:
        return models.ThreadCreate.model_construct()


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


@pytest.mark.parametrize("zero", [0, 0.0])
@pytest.mark.parametrize("name", ["webhook", "interrupt_before", "command", "checkpoint"])
async def test_zero_is_not_nothing(name: str, zero: float, http: httpx.AsyncClient) -> None:
    """It equals False in Python, and a field may be false."""
    thread_id = (await http.post("/threads", json={})).json()["thread_id"]
    body = {"assistant_id": "agent", "input": said("A"), name: zero}
    answer = await http.post(f"/threads/{thread_id}/runs", json=body)
    assert answer.status_code == 422
    assert name in answer.json()["detail"]


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
