"""The official SDK's client on an engine in the same process: no server, no socket, and responses that really stream.

httpx's own ASGI transport hands a response over when it is complete, so that a stream would come all at once, and a wait would
never show that its client has left.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

import httpx
from langgraph_sdk.client import LangGraphClient

from .http.application import create_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, MutableMapping
    from typing import Any

    from starlette.types import ASGIApp, Message

    from .engine import Engine

logger = logging.getLogger(__name__)

BASE_URL = "http://threadfold"
CHUNKS_MAX = 64
"""Chunks of a response that wait for their reader, before the app has to."""


def get_client(
    engine: Engine, *, api_key: str | None = None, headers: Mapping[str, str] | None = None
) -> LangGraphClient:
    """Return the official async client for an engine.

    If the engine has an `auth` or API keys, they hold here too: `api_key` and `headers` go with every request.

    The engine is started at the first call, unless it is open by then. Who starts it closes it: closing a client that
    started its engine (`await client.aclose()`, or leaving `async with`) closes the engine too.
    """
    transport = EngineTransport(engine)
    sent = {**(headers or {}), **({} if api_key is None else {"x-api-key": api_key})}
    return LangGraphClient(
        httpx.AsyncClient(base_url=BASE_URL, transport=transport, timeout=None, headers=sent)  # noqa: S113
    )


class EngineTransport(httpx.AsyncBaseTransport):
    """Carries httpx's requests to an engine's app on the same event loop. The app hears when a response is closed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._app: ASGIApp = create_app(engine)
        self._opening = asyncio.Lock()
        self._has_opened = False
        self._exchanges: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response as soon as it starts; its body comes as the app sends it."""
        if not self._engine.is_open:
            await self._open()
        exchange = _Exchange(await request.aread())
        task = asyncio.create_task(
            exchange.run(self._app, _scope(request)), name=f"{request.method} {request.url.path}"
        )
        self._exchanges.add(task)
        task.add_done_callback(self._exchanges.discard)
        try:
            status, headers = await asyncio.shield(exchange.started)
        except asyncio.CancelledError:
            exchange.leave()
            raise
        return httpx.Response(status, headers=headers, stream=_Body(exchange))

    async def _open(self) -> None:
        async with self._opening:
            if not self._engine.is_open:
                await self._engine.start()
                self._has_opened = True

    async def aclose(self) -> None:
        """Wait for requests that are still being answered, and close the engine if it was started here."""
        if self._exchanges:
            await asyncio.wait(self._exchanges)
        if self._has_opened:
            self._has_opened = False
            await self._engine.close()


class _Exchange:
    """One request and its response, between the app's task and the reader's."""

    def __init__(self, body: bytes) -> None:
        self.started: asyncio.Future[tuple[int, list[tuple[bytes, bytes]]]] = (
            asyncio.get_running_loop().create_future()
        )
        self._request: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        self._chunks: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._has_left = asyncio.Event()
        self._is_complete = False
        self._error: BaseException | None = None

    async def run(self, app: ASGIApp, scope: MutableMapping[str, Any]) -> None:
        """Have the app answer; an error of its own ends the body as a broken connection would."""
        try:
            await app(scope, self._receive, self._send)
        except Exception as error:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            self._error = error
        finally:
            if not self.started.done():
                message = "The app ended without a response"
                self.started.set_exception(httpx.RemoteProtocolError(message))
            self._has_left.set()
            self._changed.set()

    def leave(self) -> None:
        """Say that nobody reads the response any more."""
        self._has_left.set()
        self._changed.set()
        self.started.cancel()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        while True:
            while self._chunks:
                yield self._chunks.popleft()
                self._changed.set()
            if self._is_complete:
                return
            if self._has_left.is_set():
                raise httpx.RemoteProtocolError("The response ended early") from self._error
            self._changed.clear()
            await self._changed.wait()

    async def _receive(self) -> Message:
        if self._request:
            return self._request.pop()
        await self._has_left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if not self.started.done():
                self.started.set_result((message["status"], message["headers"]))
            return
        while len(self._chunks) >= CHUNKS_MAX and not self._has_left.is_set():
            self._changed.clear()
            await self._changed.wait()
        if message.get("body"):
            self._chunks.append(message["body"])
        self._is_complete = not message.get("more_body", False)
        self._changed.set()


class _Body(httpx.AsyncByteStream):
    """The body of a response, as httpx reads it."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._exchange.chunks():
            yield chunk

    async def aclose(self) -> None:
        self._exchange.leave()


def _scope(request: httpx.Request) -> MutableMapping[str, Any]:
    url = request.url
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.split(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 0),
        "server": (url.host, url.port or 80),
        "state": {},
    }
