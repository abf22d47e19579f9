"""An engine with a gated agent, on each kind of database, and each kind of client on it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from langgraph_sdk import get_client as get_remote_client, get_sync_client
from langgraph_sdk.client import LangGraphClient

from tests.support.engine import Database, Gates, chat, registry
from tests.support.http import (
    AsyncCaller,
    Caller,
    JavaScriptCaller,
    RawCaller,
    SyncCaller,
    served,
)
from tests.support.javascript import Node
from tests.support.sdk_clients import without_surroundings
from threadfold import Engine, get_client


@pytest.fixture(params=["memory", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return Database(None if request.param == "memory" else tmp_path / "log.db")


@pytest.fixture
def gates() -> Gates:
    return Gates()


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    """Give a started engine with the chat agent."""
    async with database.engine(registry(chat(gates))) as engine:
        yield engine


@pytest.fixture
async def url(engine: Engine) -> AsyncIterator[str]:
    """Serve the engine on a socket."""
    async with served(engine) as url:
        yield url


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[LangGraphClient]:
    """Give the official client, in process."""
    async with get_client(engine) as client:
        yield client


@pytest.fixture(scope="module")
async def node_process() -> AsyncIterator[Node]:
    """Start node once for all tests of a module."""
    node = await Node.start("")
    yield node
    await node.close()


@pytest.fixture
def node(node_process: Node, url: str) -> Node:
    """Give the JavaScript client, in node, on a socket."""
    node_process.client = {"apiUrl": url}
    return node_process


CALLERS = [
    "in-process",
    "socket",
    "sync",
    "curl",
    pytest.param("javascript", marks=pytest.mark.xdist_group("javascript")),
]


@pytest.fixture(params=CALLERS)
async def caller(
    request: pytest.FixtureRequest, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Caller]:
    """Give each client in turn."""
    without_surroundings(monkeypatch)
    async with AsyncExitStack() as stack:
        if request.param == "in-process":
            yield AsyncCaller(await stack.enter_async_context(get_client(engine)))
            return
        url = await stack.enter_async_context(served(engine))
        match request.param:
            case "socket":
                yield AsyncCaller(await stack.enter_async_context(get_remote_client(url=url)))
            case "sync":
                yield SyncCaller(stack.enter_context(get_sync_client(url=url)))
            case "curl":
                yield RawCaller(url)
            case _:
                node = await Node.start(url)
                stack.push_async_callback(node.close)
                yield JavaScriptCaller(node)
