"""The stores that every test of the port runs on."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from threadfold.infrastructure.log.opening import open_store
from threadfold.infrastructure.log.sqlite import SQLiteSettings
from threadfold.infrastructure.log.store import LogStore

QUICK = SQLiteSettings(synchronous="OFF", poll_seconds=0.05)
"""For tests that survive no power failure, and follow other processes."""


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/log.db"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/log.db"


@pytest.fixture
async def opening() -> AsyncIterator[Callable[..., object]]:
    """Give a function that opens a store and closes it after the test."""
    async with AsyncExitStack() as stack:

        async def opened(url: str, **settings) -> LogStore:
            store = open_store(url, sqlite=settings.pop("sqlite", QUICK), **settings)
            await store.open()
            stack.push_async_callback(store.close)
            return store

        yield opened


@pytest.fixture
async def store(url: str, opening) -> LogStore:
    return await opening(url)
