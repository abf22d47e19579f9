"""How requests are read: bodies, ids and query parameters; whatever is wrong with them is a 422 that says what."""

from __future__ import annotations

import re
from typing import TypeVar, cast
from uuid import UUID

import orjson
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request

from ..engine import Engine
from .auth.door import Door
from .problems import INVALID_JSON, UnprocessableError

T = TypeVar("T", bound=BaseModel)

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")
YES = frozenset({"1", "true", "yes", "on"})
NO = frozenset({"", "0", "false", "no", "off"})

LIMIT_MAX = 1000
OFFSET_MAX = 2**53


def engine_of(request: Request) -> Engine:
    """Return the engine as the request's caller has it: with authentication, what is another's is not there."""
    return door_of(request).engine_for(request)


def door_of(request: Request) -> Door:
    """Return what the app knows of who may call."""
    return cast("Door", request.app.state.door)


async def read_json(request: Request) -> object:
    """Return the body's JSON, whatever content type it claims to have."""
    try:
        body = await request.body()
    except ClientDisconnect:
        raise UnprocessableError(INVALID_JSON) from None  # Nobody is there to read this.
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnprocessableError(INVALID_JSON) from None


async def read_body(request: Request, model: type[T]) -> T:
    """Return the body as the model has it; raises pydantic's ValidationError, which the app answers with 422."""
    content = await read_json(request)
    if not isinstance(content, dict):
        raise UnprocessableError("The request body must be a JSON object")
    return model.model_validate(cast("dict[str, object]", content))


def uuid_of(text: str, what: str) -> str:
    """Return a UUID in its one usual form. `what` names it in the refusal: "thread", "run", …."""
    if _UUID.fullmatch(text):
        return text
    try:
        # int() in there takes the digits of other scripts too.
        return str(UUID(text if text.isascii() else ""))
    except ValueError:
        raise UnprocessableError(f"Invalid {what} ID: must be a UUID") from None


def thread_id_of(request: Request) -> str:
    """Return the thread's id from the path."""
    return uuid_of(request.path_params["thread_id"], "thread")


def run_id_of(request: Request) -> str:
    """Return the run's id from the path."""
    return uuid_of(request.path_params["run_id"], "run")


def number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """Return a whole number from the query."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not _WHOLE_NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise UnprocessableError(f"{name}: expected a whole number from {low} to {high}")
    return int(text)


def flag(request: Request, name: str) -> bool:
    """Return a yes or no from the query; no if it is absent."""
    text = request.query_params.get(name, "").lower()
    if text not in YES | NO:
        raise UnprocessableError(f"{name}: expected true or false")
    return text in YES


def values(request: Request, name: str) -> list[str]:
    """Return a parameter's values: repeated, or one JSON array, as the JavaScript SDK writes it."""
    found: list[str] = []
    for text in request.query_params.getlist(name):
        if not text.startswith("["):
            found.append(text)
            continue
        try:
            content = orjson.loads(text)
        except orjson.JSONDecodeError:
            content = None
        if not isinstance(content, list):
            raise UnprocessableError(f"{name}: expected names, or a JSON array of names")
        found.extend(str(entry) for entry in cast("list[object]", content))
    return [text for text in found if text]


def selected(fields: list[str], known: frozenset[str]) -> frozenset[str] | None:
    """Return the fields to answer with; None: all."""
    for name in fields:
        if name not in known:
            raise UnprocessableError(f"select: {name!r} is no field; there are {_listed(known)}")
    return frozenset(fields) or None


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


def pagination(offset: int, returned: int, *, has_more: bool) -> dict[str, str]:
    """Return the headers of a page: the total as far as it is known, and where the next page begins."""
    end = offset + returned
    headers = {"X-Pagination-Total": str(end + has_more)}
    if has_more:
        headers["X-Pagination-Next"] = str(end)
    return headers
