"""The gate before every route: who calls is known before anything is looked at, or the answer is 401."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..problems import problem
from .handlers import UNAUTHORIZED, Handlers
from .keys import ApiKeys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.routing import BaseRoute

PUBLIC_PATHS = frozenset({"/ok", "/info", "/docs", "/docs/oauth2-redirect", "/openapi.json"})
"""What anybody may read: that the server lives, what it can do, and how it is called. Nothing of anybody's."""


class Gate:
    """Lets requests pass whose callers are known. The user, if handlers say who it is, is `request.state.user`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: ApiKeys,
        handlers: Handlers | None,
        routes: Sequence[BaseRoute],
    ) -> None:
        self._app = app
        self._keys = keys
        self._handlers = handlers
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan" or _is_public(scope):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # There are no web sockets here; one is closed by not being taken up.
        try:
            receive = await self._admitted(scope, receive)
        except HTTPException as refused:
            headers = dict(refused.headers or {})
            await problem(refused.status_code, str(refused.detail), headers)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _admitted(self, scope: Scope, receive: Receive) -> Receive:
        """Return what the app reads the request from; raises HTTPException."""
        headers = dict(cast("list[tuple[bytes, bytes]]", scope["headers"]))
        if self._keys and not self._keys.admits(headers):
            raise HTTPException(401, UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
        handlers = self._handlers
        if handlers is None:
            return receive
        asked = handlers.asks
        body = b""
        if asked & {"body", "request"}:
            body, receive = await _read(receive)
        known: dict[str, object] = {
            "path": scope["path"],
            "method": scope["method"],
            "headers": headers,
            "authorization": _text(headers.get(b"authorization")),
            "query_params": dict(Request(scope).query_params),
        }
        if "path_params" in asked:
            known["path_params"] = _path_params(self._routes, scope)
        if "body" in asked:
            known["body"] = _json(body)
        if "request" in asked:
            known["request"] = Request(dict(scope), _again(body, receive))
        user = await handlers.user(known)
        scope.setdefault("state", {})["user"] = user
        return _again(body, receive) if asked & {"body", "request"} else receive


def _is_public(scope: Scope) -> bool:
    if scope["type"] != "http":
        return False
    if scope["method"] == "OPTIONS":  # A preflight comes without credentials, and asks for nothing.
        return any(name == b"access-control-request-method" for name, _ in scope["headers"])
    return scope["method"] in ("GET", "HEAD") and scope["path"] in PUBLIC_PATHS


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """Read the whole body; what counts its bytes stands before the gate."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    return b"".join(parts), receive


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what gives the body once more, and then what comes after it."""
    is_given = False

    async def replayed() -> Message:
        nonlocal is_given
        if not is_given:
            is_given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replayed


def _path_params(routes: Sequence[BaseRoute], scope: Scope) -> Mapping[str, Any]:
    partial: Mapping[str, Any] = {}
    for route in routes:
        match, found = route.matches(scope)
        if match is Match.FULL:
            return found["path_params"]
        partial = partial or found.get("path_params", {})
    return partial


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
