"""`client.threads` of the official clients, async and sync, called alike."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from langgraph_sdk import get_client as get_remote_client, get_sync_client

from tests.support.http import served
from threadfold import get_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from threadfold import Engine

KINDS = ["in-process", "socket", "sync"]


class Calls:
    """A part of a client (threads, runs), whose calls are awaited; those of the sync client block a thread."""

    def __init__(self, part: Any, *, is_sync: bool) -> None:
        self._part = part
        self._is_sync = is_sync

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._part, name)
        if not self._is_sync:
            return method

        def call(*args: Any, **options: Any) -> Awaitable[Any]:
            return asyncio.to_thread(method, *args, **options)

        return call


class Client:
    """A client with calls that are awaited."""

    def __init__(self, client: Any, *, is_sync: bool) -> None:
        self.threads = Calls(client.threads, is_sync=is_sync)
        self.runs = Calls(client.runs, is_sync=is_sync)
        self.http = Calls(client.http, is_sync=is_sync)


@asynccontextmanager
async def client_of(kind: str, engine: Engine) -> AsyncIterator[Client]:
    """Give a client of one of the kinds."""
    async with AsyncExitStack() as stack:
        if kind == "in-process":
            client = await stack.enter_async_context(get_client(engine))
            yield Client(client, is_sync=False)
            return
        url = await stack.enter_async_context(served(engine))
        if kind == "socket":
            remote = await stack.enter_async_context(get_remote_client(url=url))
            yield Client(remote, is_sync=False)
        else:
            yield Client(stack.enter_context(get_sync_client(url=url)), is_sync=True)
