"""The official clients, async and sync, in process and over a socket, called alike."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from langgraph_sdk import get_client as get_remote_client, get_sync_client
from langgraph_sdk.client import LangGraphClient

from tests.support.http import served
from threadfold import get_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator

    from threadfold import Engine

ASYNC_KINDS = ["in-process", "socket"]
KINDS = [*ASYNC_KINDS, "sync"]


class Calls:
    """A part of the sync client (threads, runs), whose calls are awaited: they block a thread."""

    def __init__(self, part: Any) -> None:
        self.part = part

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.part, name)

        def call(*args: Any, **options: Any) -> Awaitable[Any]:
            return asyncio.to_thread(method, *args, **options)

        return call


class AwaitedClient:
    """The sync client, with calls that are awaited. Streams are not among them: see `stream_of`."""

    def __init__(self, client: Any) -> None:
        self.assistants = Calls(client.assistants)
        self.threads = Calls(client.threads)
        self.runs = Calls(client.runs)
        self.http = Calls(client.http)


Client: TypeAlias = LangGraphClient | AwaitedClient


@asynccontextmanager
async def connected(kind: str, engine: Engine) -> AsyncIterator[Client]:
    """Give a client of one of the kinds, whose calls are awaited."""
    async with AsyncExitStack() as stack:
        if kind == "in-process":
            yield await stack.enter_async_context(get_client(engine))
            return
        url = await stack.enter_async_context(served(engine))
        if kind == "socket":
            yield await stack.enter_async_context(get_remote_client(url=url))
        else:
            yield AwaitedClient(stack.enter_context(get_sync_client(url=url)))


def stream_of(client: Client, call: str, *args: Any, **options: Any) -> AsyncGenerator[Any]:
    """Give the parts of a stream of `client.runs`. Who closes it leaves the stream."""
    if isinstance(client, AwaitedClient):
        return _awaited(getattr(client.runs.part, call)(*args, **options))
    return getattr(client.runs, call)(*args, **options)


async def _awaited(parts: Generator[Any]) -> AsyncGenerator[Any]:
    try:
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            yield part
    finally:
        await asyncio.to_thread(parts.close)


def without_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep keys and proxies of the machine that the tests run on away from the clients."""
    for name in ("LANGGRAPH_API_KEY", "LANGSMITH_API_KEY", "LANGCHAIN_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


def clients(kinds: list[str]) -> Any:
    """Return a fixture: a client of each of these kinds, on the test's `engine`."""

    @pytest.fixture(params=kinds)
    async def client(
        request: pytest.FixtureRequest, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Client]:
        without_surroundings(monkeypatch)
        async with connected(request.param, engine) as client:
            yield client

    return client
