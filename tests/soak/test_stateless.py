"""A long campaign of runs without a thread, over HTTP: whatever becomes of them, their rows are all that grows.

How many: THREADFOLD_SOAK_STATELESS.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import time
from collections import Counter
from contextlib import closing
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import pytest
from httpx import HTTPStatusError

from tests.soak.test_crowds import memory_of
from tests.support.engine import Database, Gates, answered, chat, heard, registry, said, soon
from tests.support.engine_laws import whole_log
from tests.support.sdk_clients import connected, without_surroundings
from tests.support.stateless import ROWS, assert_put_away, until_put_away

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from threadfold import Engine

pytestmark = [pytest.mark.soak, pytest.mark.anyio]

RUNS = int(os.environ.get("THREADFOLD_SOAK_STATELESS", "10000"))

AT_ONCE = 10
STAGES = 5
BATCH = 4
TEXTS = 100
"""So many different ones: the agent of the tests keeps its gates for each."""

SECRET = "the quick brown fox " * 20

GROWTH_MAX = 16 * 1024 * 1024
"""What may be added to the memory of the process between the first stage and the last, in bytes.

A part of it is bounded, and not yet full after the first stage: the store remembers the keys of the threads that it met last.
"""

FLATNESS_MAX = 1.05
"""By how much a stage may take more bytes a run than the one before."""


class Callers:
    """What users do with runs that have no thread, through the official client."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.ends: Counter[str] = Counter()
        self.late = 0
        self.ways: list[Callable[[str], Awaitable[None]]] = [
            self.wait,
            self.stream,
            self.create_and_join,
            self.batch,
            self.fail,
            self.interrupt,
            self.roll_back,
        ]

    async def wait(self, text: str) -> None:
        values = await self._client.runs.wait(None, "agent", input=said(text))
        assert heard(values) == answered(text)
        self.ends["RunSucceeded"] += 1

    async def stream(self, text: str) -> None:
        stream = self._client.runs.stream(
            None, "agent", input=said(text), stream_mode=["values", "updates"]
        )
        parts = [part async for part in stream]
        assert heard(parts[-1].data) == answered(text)
        self.ends["RunSucceeded"] += 1

    async def create_and_join(self, text: str) -> None:
        run = await self._client.runs.create(None, "agent", input=said(text))
        await self._join(run, text)

    async def batch(self, text: str) -> None:
        one = {"assistant_id": "agent", "input": said(text)}
        runs = await self._client.runs.create_batch([one] * BATCH)
        await asyncio.gather(*(self._join(run, text) for run in runs))

    async def _join(self, run: dict[str, Any], text: str) -> None:
        """Get a run's values; who comes too late finds nothing of it."""
        self.ends["RunSucceeded"] += 1
        try:
            values = await self._client.runs.join(run["thread_id"], run["run_id"])
        except HTTPStatusError as error:
            if error.response.status_code != 404:
                raise
            self.late += 1
        else:
            assert heard(values) == answered(text)

    async def fail(self, text: str) -> None:
        values = await self._client.runs.wait(None, "bad", input=said(text), raise_error=False)
        assert values == {"__error__": {"error": "ValueError", "message": "no"}}
        self.ends["RunFailed"] += 1

    async def interrupt(self, text: str) -> None:
        assert [*await self._cancelled(text, "interrupt")][-1] != "error"
        self.ends["RunInterrupted"] += 1

    async def roll_back(self, text: str) -> None:
        assert [*await self._cancelled(text, "rollback")][-1] == "error"
        self.ends["RunRolledBack"] += 1

    async def _cancelled(self, text: str, action: str) -> list[str]:
        """Cancel a run in the middle of its stream, and return the names of its events."""
        created: list[Any] = []
        stream = self._client.runs.stream(
            None,
            "endless",
            input=said(text),
            stream_mode=["updates"],
            on_run_created=created.append,
        )
        names: list[str] = []
        async for part in stream:
            names.append(part.event)
            if part.event == "updates":
                (run,) = created
                await self._client.runs.cancel(run["thread_id"], run["run_id"], action=action)
        return names


def hosting(database: Database) -> Engine:
    """Return an engine with an agent that answers, one that fails, and one that never ends."""
    # A place of a cancelled run is kept for the grace time.
    engine = database.engine(registry(chat(Gates())), grace_seconds=1)

    @engine.graph("bad")
    async def bad(state):
        yield said("so far", role="ai")
        raise ValueError("no")

    @engine.graph("endless")
    async def endless(state):
        yield said("so far", role="ai")
        await asyncio.Event().wait()

    return engine


async def test_runs_without_a_thread_leave_their_rows_and_nothing_grows_but_those(
    say: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_surroundings(monkeypatch)
    path = tmp_path / "log.db"
    sizes, memories, seconds = [0], list[int](), 0.0
    counts = [0]
    async with hosting(Database(path)) as engine:
        async with connected("socket", engine) as client:
            callers = Callers(client)
            for stage in range(STAGES):
                began = time.perf_counter()
                await soon_all(callers, RUNS * (stage + 1) // STAGES)
                seconds += time.perf_counter() - began
                await until_put_away(engine)
                sizes.append(bytes_of(path))
                counts.append(callers.ends.total())
                gc.collect()
                memories.append(memory_of(os.getpid()))
            assert await client.threads.search(limit=1000) == []
            assert await client.threads.count() == 0
        await assert_put_away(engine, SECRET)
        assert_rows(await whole_log(engine._ports.store), callers.ends)
        assert_tables(path, callers.ends.total())
    assert_no_file_holds_it(tmp_path)

    each = [
        (sizes[at + 1] - sizes[at]) / (counts[at + 1] - counts[at]) for at in range(len(sizes) - 1)
    ]
    growth = memories[-1] - memories[0]
    say(
        f"{counts[-1]} runs without a thread in {seconds:.0f} s, {counts[-1] / seconds:.0f} a second; "
        f"{dict(callers.ends)}, {callers.late} joiners came too late; {sizes[-1] / counts[-1]:.0f} bytes a run "
        f"(by stage: {', '.join(f'{size:.0f}' for size in each)}); memory after each stage: "
        f"{', '.join(f'{memory / 1024 / 1024:.1f}' for memory in memories)} MiB"
    )
    # The first stage has the empty tables in it.
    assert all(after <= FLATNESS_MAX * before for before, after in pairwise(each))
    assert growth <= GROWTH_MAX


async def soon_all(callers: Callers, count: int) -> None:
    """Let callers come, some at once, until there have been so many runs."""
    turn = 0

    async def caller() -> None:
        nonlocal turn
        while callers.ends.total() < count:
            way = callers.ways[turn % len(callers.ways)]
            turn += 1
            await soon(way(f"{SECRET}{turn % TEXTS}"))

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))


def assert_rows(log: Any, ends: Counter[str]) -> None:
    """Assert that each run has its row of each kind, and that there are no others."""
    ordered = sorted(log, key=lambda recorded: (recorded.thread_id, recorded.version))
    found: Counter[str] = Counter()
    for _, recorded in groupby(ordered, key=lambda recorded: recorded.thread_id):
        types = [each.event.type for each in recorded]
        assert types == [*ROWS[:3], types[3], ROWS[4]]
        found[types[3]] += 1
    assert found == ends


def assert_no_file_holds_it(folder: Path) -> None:
    """Assert that no payload is in the files, and not even in the parts of them that are free again."""
    files = [file for file in folder.glob("log.db*") if file.is_file()]
    assert files
    for file in files:
        assert SECRET.encode() not in file.read_bytes()


def assert_tables(path: Path, runs: int) -> None:
    """Assert that the tables hold nothing of runs that are over but what says that they were."""
    with closing(sqlite3.connect(path)) as connection:

        def count(table: str) -> int:
            return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608

        assert count("events") == len(ROWS) * runs
        assert count("runs") == runs
        visible = connection.execute("SELECT count(*) FROM runs WHERE NOT is_hidden").fetchone()[0]
        assert visible == 0
        for table in (
            *("snapshots", "stream_parts", "leases", "erasures"),
            *("answers", "deliveries"),
        ):
            assert count(table) == 0, table


def bytes_of(path: Path) -> int:
    """Return how many bytes of a database are in use, written to the file or still in its log."""
    with closing(sqlite3.connect(path)) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * size
