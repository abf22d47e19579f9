"""What of the SDKs' calls this server supports: the matrix behind `/info` and docs/support.md.

It is read off the routes and their models, as `/openapi.json` shows them; only what code cannot tell stands here by hand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .answers import Call

Standing = Literal["supported", "refused", "meaningless"]
Where = Literal["call", "body", "query", "header"]

STANDING = "x-support"
"""What a field's schema says of itself; without it, a field is supported."""

REFUSES = "x-refuses"
"""Values that the SDKs know of a field, and that are refused."""

ANY_CALL: Call = ("*", "*")

CREATING_RUNS = (
    *(f"/threads/{{thread_id}}/runs{more}" for more in ("", "/wait", "/stream")),
    *(f"/runs{more}" for more in ("", "/wait", "/stream", "/batch")),
)

_WITHOUT_THREAD: dict[str, Standing] = {
    "thread_id": "refused",
    "checkpoint": "refused",
    "checkpoint_id": "refused",
    "if_not_exists": "meaningless",
}

HEADERS: dict[Call, dict[str, Standing]] = {
    ("PATCH", "/threads/{thread_id}"): {"Prefer": "supported"},
    ("GET", "/threads/{thread_id}/runs/{run_id}/stream"): {"Last-Event-ID": "supported"},
    ("GET", "/threads/{thread_id}/stream"): {"Last-Event-ID": "supported"},
    ("GET", "/runs/{run_id}/stream"): {"Last-Event-ID": "supported"},
    **{("POST", path): {"Idempotency-Key": "supported"} for path in ("/threads", *CREATING_RUNS)},
    ANY_CALL: {"X-API-Key": "supported", "X-Request-ID": "supported"},
}
"""Headers that mean something, or that an SDK sends as if they did. Those of any call are read before there is a route."""

FIELDS: dict[Call, dict[str, Standing]] = {
    ("POST", "/threads/{thread_id}/runs"): {
        "on_completion": "meaningless",
        "on_disconnect": "meaningless",  # Nobody is connected to a run in the background.
    },
    ("POST", "/threads/{thread_id}/runs/wait"): {"on_completion": "meaningless"},
    ("POST", "/threads/{thread_id}/runs/stream"): {"on_completion": "meaningless"},
    ("POST", "/runs"): {**_WITHOUT_THREAD, "on_disconnect": "meaningless"},
    ("POST", "/runs/batch"): {**_WITHOUT_THREAD, "on_disconnect": "meaningless"},
    ("POST", "/runs/wait"): _WITHOUT_THREAD,
    ("POST", "/runs/stream"): _WITHOUT_THREAD,
}
"""Fields of bodies that mean something to other calls with the same model."""


@dataclass(frozen=True, order=True)
class Row:
    """How a call, or a field of one, stands."""

    method: str
    path: str
    where: Where
    name: str
    standing: Standing

    @property
    def call(self) -> Call:
        """The call that it is about."""
        return (self.method, self.path)


def rows(document: Mapping[str, Any], refused: Collection[Call]) -> list[Row]:
    """Return the matrix: what an OpenAPI document describes, and calls that are refused as a whole."""
    found = [Row(*call, "call", "", "refused") for call in refused]
    for call, operation in operations(document):
        found.append(Row(*call, "call", "", "supported"))
        found += (Row(*call, *field) for field in _fields(call, operation))
    found += (Row(*ANY_CALL, "header", *entry) for entry in HEADERS[ANY_CALL].items())
    return sorted(found)


def operations(document: Mapping[str, Any]) -> Iterator[tuple[Call, dict[str, Any]]]:
    """Yield the calls that an OpenAPI document describes."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield (method.upper(), path), operation


def _fields(call: Call, operation: Mapping[str, Any]) -> Iterator[tuple[Where, str, Standing]]:
    for parameter in operation.get("parameters", ()):
        match parameter["in"]:
            case "query" | "header" as where:
                yield where, parameter["name"], _standing(parameter["schema"])
            case _:
                continue
    of_call = FIELDS.get(call, {})
    for name, schema in body_fields(operation).items():
        standing = of_call.get(name) or _standing(schema)
        yield "body", name, standing
        for value in schema.get(REFUSES, ()):
            yield "body", f"{name}={value}", "refused"
        if standing == "supported":
            for part, of_part in _parts(schema).items():
                yield "body", f"{name}.{part}", _standing(of_part)


def body_fields(operation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schemas of the body's fields; of the entries' if the body is a list."""
    body = operation.get("requestBody")
    schema: dict[str, Any] = {} if body is None else body["content"]["application/json"]["schema"]
    return schema.get("items", schema).get("properties", {})


def _parts(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schemas of what an object has inside, or each object of a list."""
    found: dict[str, Any] = dict(schema.get("properties", {}))
    choices = [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())]
    for choice in choices:
        found |= _parts(choice)
    return found


def _standing(schema: Mapping[str, Any]) -> Standing:
    return schema.get(STANDING, "supported")


def compact(matrix: Iterable[Row]) -> dict[str, Any]:
    """Return the matrix as `/info` shows it: by call, its fields by how they stand, or that the call is refused."""
    found: dict[str, Any] = {}
    for row in matrix:
        call = f"{row.method} {row.path}"
        if row.where == "call":
            found.setdefault(call, "refused" if row.standing == "refused" else {})
        else:
            of_call = found.setdefault(call, {})
            of_call.setdefault(row.standing, []).append(f"{row.where}.{row.name}")
    order = get_args(Standing)
    return {
        call: content
        if isinstance(content, str)
        else {standing: content[standing] for standing in order if standing in content}
        for call, content in found.items()
    }
