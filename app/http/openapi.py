"""The OpenAPI document: what the routes say of themselves, with answers, examples, headers and links to what comes next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI

from .answers import ANSWERS, Call, responses
from .examples import EXAMPLES, PARAMETERS
from .schemas import COMPONENTS, TEXT
from .support import HEADERS, STANDING, operations

ENDLESS = "x-endless"
"""Marks a call whose answer goes on until the client leaves."""

_MADE: dict[str, dict[str, str]] = {
    "Thread": {"thread_id": "/thread_id"},
    "Run": {"thread_id": "/thread_id", "run_id": "/run_id"},
    "StateUpdated": {
        "thread_id": "/checkpoint/thread_id",
        "checkpoint_id": "/checkpoint/checkpoint_id",
    },
    "Assistant": {"assistant_id": "/assistant_id"},
}
"""Where in what a POST answers the ids are by which it is asked for later."""


def install(app: FastAPI) -> None:
    """Have the app describe itself in full."""
    plain = app.openapi
    described: dict[str, Any] = {}

    def document() -> dict[str, Any]:
        if not described:
            described.update(_described(plain()))
        return described

    app.openapi = document


def _described(document: dict[str, Any]) -> dict[str, Any]:
    document = {**document, "components": {"schemas": COMPONENTS}}
    for call, operation in operations(document):
        operation["parameters"] = [*_parameters(call, operation)]
        operation["responses"] = responses(call, operation)
        _add_examples(call, operation)
        if call in ANSWERS and ANSWERS[call].is_endless:
            operation[ENDLESS] = True
    for call, operation in operations(document):
        _add_links(call, operation, document)
    return document


def _parameters(call: Call, operation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for parameter in operation.get("parameters", ()):
        example = PARAMETERS.get(parameter["name"])
        yield parameter if example is None else {**parameter, "example": example}
    for name, standing in HEADERS.get(call, {}).items():
        schema = TEXT if standing == "supported" else {**TEXT, STANDING: standing}
        yield {"name": name, "in": "header", "required": False, "schema": schema}


def _add_examples(call: Call, operation: Mapping[str, Any]) -> None:
    examples = EXAMPLES.get(call)
    if examples and "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        content["examples"] = {name: {"value": value} for name, value in examples.items()}


def _add_links(call: Call, operation: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    """Link what a POST makes to each call that takes its ids, so that tools find their way through the server."""
    answer = ANSWERS.get(call)
    made = _MADE.get(str((answer.schema if answer and answer.schema else {}).get("$ref", ""))[21:])
    if call[0] != "POST" or answer is None or made is None:
        return
    links = {
        other["operationId"]: {
            "operationId": other["operationId"],
            "parameters": {f"path.{name}": f"$response.body#{made[name]}" for name in made},
        }
        for _, other in operations(document)
        if made.keys() == _path_names(other) and not other.get(ENDLESS)
    }
    if links:
        operation["responses"][str(answer.status)]["links"] = links


def _path_names(operation: Mapping[str, Any]) -> set[str]:
    return {entry["name"] for entry in operation["parameters"] if entry["in"] == "path"}
