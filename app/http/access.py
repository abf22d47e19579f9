"""What is told of each request: a line in the log, a measurement, a span, and an id that goes through all of them. Plain ASGI."""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar
from time import perf_counter
from typing import TYPE_CHECKING
from uuid import uuid4

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from prometheus_client import Histogram
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

REQUEST_ID = "X-Request-ID"
_SAFE = re.compile(r"[A-Za-z0-9._:-]{1,128}")
"""Of a caller's own id for its request: what may go into logs and headers as it is."""

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
QUIET = frozenset({"/ok", "/metrics"})
"""Asked every few seconds by machines: they stand in no log."""

request_id: ContextVar[str | None] = ContextVar("threadfold_request_id", default=None)
"""The id of the request that is being answered."""


class Access:
    """Tells of each request when its last byte is sent, and answers with its id.

    The route is told as the app has it (`/threads/{thread_id}`), never as it was asked for: ids are no label, and no secret of a
    path is logged.
    """

    def __init__(self, app: ASGIApp, *, requests: Histogram | None = None) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, perf_counter()
        identity = _given(scope) or uuid4().hex
        token = request_id.set(identity)

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = identity
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            self._tell(scope, status, perf_counter() - began)
            request_id.reset(token)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        found = scope.get("route")
        route = found.path if found is not None else "unknown"
        method = scope["method"] if scope["method"] in METHODS else "other"
        if self._requests is not None:
            self._requests.labels(method, route, str(status)).observe(seconds)
        if route not in QUIET:
            fields = {"method": method, "route": route, "status": status}
            told = {**fields, "seconds": round(seconds, 6), **_ids(scope)}
            logger.info("%s %s %s", method, route, status, extra=told)


def _ids(scope: Scope) -> dict[str, str]:
    given: dict[str, object] = scope.get("path_params") or {}
    return {name: str(given[name])[:64] for name in ("thread_id", "run_id") if name in given}


def _given(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if _SAFE.fullmatch(text) else None
    return None
