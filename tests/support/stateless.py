"""What is left of runs without a thread, once they are over: their rows, and nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .engine import soon
from .engine_laws import whole_log
from .http import until

if TYPE_CHECKING:
    from threadfold import Engine

ROWS = ["ThreadCreated", "RunAccepted", "RunStarted", "RunSucceeded", "ThreadDeleted"]


async def rows(engine: Engine) -> list[str]:
    """Return the types of all events, in order of position, once nothing is in flight."""
    await until_over(engine)
    return [recorded.event.type for recorded in await whole_log(engine._ports.store)]


async def until_over(engine: Engine) -> None:
    """Wait until nothing is in flight on any thread."""

    async def look() -> None:
        while await engine.queries.list_in_flight():  # noqa: ASYNC110 - of all threads
            await asyncio.sleep(0.005)

    await soon(look())


async def until_put_away(engine: Engine) -> None:
    """Wait until the process has put everything away: the log knows of the last end before."""
    await until_over(engine)
    await until(lambda: not engine._hub.held and not engine._worker._places)
    await until(lambda: not engine._executor._is_erasing)


async def assert_put_away(engine: Engine, secret: str) -> None:
    """Assert that neither store nor memory hold anything of the runs but their rows."""
    await until_put_away(engine)
    store = engine._ports.store
    for recorded in await whole_log(store):
        assert secret not in recorded.event.model_dump_json()
    assert await store.list_threads() == ()
    assert await store.list_leases() == ()
    # Nothing in memory grows with them.
    assert engine._hub.held == {}
    assert engine._hub._by_thread == {}
    assert engine._worker._places == {}
    assert len(engine._worker._attempts) == 0
    # What is looked up again, as other processes' writes are, is in the cache, which is bounded.
    assert engine._executor._snapshots.keys() <= engine._executor._cache._threads.keys()
