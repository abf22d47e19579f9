"""Durable appends on SQLite, `synchronous=FULL`, against the driver alone: same tables, same bytes, same fsync."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from eventsourcing.persistence import StoredEvent

from threadfold.app.engine import Engine
from threadfold.app.rows import run_rows, thread_row
from threadfold.app.settings import Settings
from threadfold.domain.commands import CreateThread, PatchThread, SubmitRun
from threadfold.domain.decisions import decide
from threadfold.domain.events import RecordedEvent
from threadfold.domain.ports import Append
from threadfold.domain.thread import EMPTY_THREAD, fold
from threadfold.infrastructure.log.codec import CODEC
from threadfold.infrastructure.log.opening import open_store
from threadfold.infrastructure.log.recorder import LogApplicationRecorder
from threadfold.infrastructure.log.rows import run_values, thread_values
from threadfold.infrastructure.log.sql_log import SQLLog
from threadfold.infrastructure.log.sqlite import SQLiteDatabase, SQLiteSettings
from threadfold.infrastructure.work.system import SystemClock

from .building import IDS
from .harness import Row, at_least, folder, in_turns, show_rate
from .raw_sqlite import RawLog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from threadfold.domain.commands import Command
    from threadfold.infrastructure.log.codec import EventRow
    from threadfold.infrastructure.log.rows import Values

    from .harness import Turns

T = TypeVar("T")

THREADS = 100
TEXT = (
    "What the weather will be like in Reykjavik over the next few days, and whether to pack. " * 3
)
GRAPH = {"graph_id": "agent", "assistant_id": "agent"}
"""What the first run adds to a thread's metadata: here it stands there before."""

GOAL_ALONE, GOAL_GROUP, GOAL_ENGINE = 0.75, 0.75, 0.6


def rows(*, quick: bool) -> list[Row]:
    """Measure, and return the lines of the table."""
    turns = 5 if quick else 15
    with folder() as path:
        alone = asyncio.run(_alone(path, turns=turns, appends=20 if quick else 100))
        groups = asyncio.run(_groups(path, turns=turns, groups=3 if quick else 10))
        engine = asyncio.run(_engine(path, turns=turns, each=2 if quick else 10))
    return [*alone, *groups, *engine]


# ------------------------------------------------------------------ what is appended


class Feed:
    """Rows for appends: one event each, to many threads in turn, at each thread's next version."""

    def __init__(self, command: Callable[[str], Command]) -> None:
        at = SystemClock().now()
        self.ids = [IDS.thread_id() for _ in range(THREADS)]
        created = decide(CreateThread(thread_id=self.ids[0], metadata=GRAPH), EMPTY_THREAD)
        thread = fold([RecordedEvent("", 1, 0, at, created[0])])
        (self.event,) = decide(command(self.ids[0]), thread)
        recorded = RecordedEvent(self.ids[0], 2, 0, at, self.event)
        after = fold([recorded], thread)
        self.at = at
        self.thread = thread_row(self.ids[0], after)
        self._state = CODEC.encode(self.event, at)
        self._topic = CODEC.topic(self.event)
        self._thread_values = thread_values(self.thread)[2:]
        self._run_values = [run_values(run)[2:] for run in run_rows("", thread, after, [recorded])]
        self._numbers = count(THREADS)

    def take(self) -> tuple[EventRow, Values, list[Values]]:
        """Return the next event's row, and those of the projections."""
        version, at = divmod(next(self._numbers), THREADS)
        thread_id = self.ids[at]
        runs = [(thread_id, f"{thread_id}{version}", *values) for values in self._run_values]
        event = (thread_id, version, self._topic, self._state)
        return event, (thread_id, version, *self._thread_values), runs

    def take_append(self) -> Append:
        """Return the same as the store takes it; versions begin at the thread's first."""
        version, at = divmod(next(self._numbers) - THREADS, THREADS)
        thread_id = self.ids[at]
        row = replace(self.thread, thread_id=thread_id, version=version + 1)
        return Append(thread_id, version, (self.event,), self.at, row)


def _patch(thread_id: str) -> Command:
    return PatchThread(thread_id=thread_id, metadata={"note": TEXT})


def _submit(thread_id: str) -> Command:
    return SubmitRun(
        thread_id=thread_id,
        run_id=IDS.run_id(),
        assistant_id="6b6ab1b5-1a2e-52b1-a0f5-9f3a1f3cbd8b",
        graph_id="agent",
        input={"messages": [_message()]},
        timeout_seconds=3600,
        metadata={},
        kwargs={},
    )


def _message() -> dict[str, object]:
    return {"type": "human", "content": TEXT, "id": IDS.message_id()}


# ------------------------------------------------------------------ sides


def _raw(path: Path, feed: Feed, *, events: int, transactions: int, projected: bool):
    log = RawLog(path)

    async def turn() -> float:
        groups = [[feed.take() for _ in range(events)] for _ in range(transactions)]
        started = perf_counter()
        for group in groups:
            if projected:
                runs = [run for _, _, runs in group for run in runs]
                log.append([event for event, _, _ in group], [row for _, row, _ in group], runs)
            else:
                log.append([event for event, _, _ in group])
        return perf_counter() - started

    return turn


def _recorder(path: Path, feed: Feed, *, events: int, transactions: int):
    log = SQLLog(SQLiteDatabase(path, SQLiteSettings()))
    log.open()
    recorder = LogApplicationRecorder(log, "text")

    async def turn() -> float:
        groups = [
            [StoredEvent(*feed.take()[0]) for _ in range(events)] for _ in range(transactions)
        ]
        started = perf_counter()
        for group in groups:
            recorder.insert_events(group)
        return perf_counter() - started

    return turn, log


async def _alone(path: Path, *, turns: int, appends: int) -> list[Row]:
    """One event a transaction."""
    recorder, log = _recorder(path / "alone.db", Feed(_patch), events=1, transactions=appends)
    store = open_store(f"sqlite:///{path}/store.db")
    await store.open()
    feed = Feed(_patch)

    async def through_store() -> float:
        appends_now = [feed.take_append() for _ in range(appends)]
        started = perf_counter()
        for append in appends_now:
            await store.append(append)
        return perf_counter() - started

    sides: dict[str, Callable[[], Awaitable[float]]] = {
        "raw": _raw(path / "1.db", Feed(_patch), events=1, transactions=appends, projected=False),
        "recorder": recorder,
        "raw, both rows": _raw(
            path / "2.db", Feed(_patch), events=1, transactions=appends, projected=True
        ),
        "store": through_store,
    }
    taken = await in_turns(sides, turns=turns)
    log.close()
    await store.close()
    return [
        _row("Append of one event, our recorder / `sqlite3`", taken, "recorder", "raw", appends, GOAL_ALONE),
        _row("Append of one event and its thread's row, our store / `sqlite3`", taken, "store",
             "raw, both rows", appends, GOAL_ALONE),
    ]  # fmt: skip


async def _groups(path: Path, *, turns: int, groups: int) -> list[Row]:
    """A hundred events a transaction."""
    recorder, log = _recorder(path / "groups.db", Feed(_patch), events=THREADS, transactions=groups)
    raw = _raw(path / "3.db", Feed(_patch), events=THREADS, transactions=groups, projected=False)
    taken = await in_turns({"raw": raw, "recorder": recorder}, turns=turns)
    log.close()
    what = "Append of 100 events in one transaction, our recorder / `sqlite3`"
    return [_row(what, taken, "recorder", "raw", groups * THREADS, GOAL_GROUP)]


async def _engine(path: Path, *, turns: int, each: int) -> list[Row]:
    """Commands of a hundred clients at once, each on its own thread; the writer makes groups of them."""
    engine = Engine(f"sqlite:///{path}/engine.db", settings=Settings(worker_slots=0))
    engine.graph("agent")(_agent)
    patched, numbers = [IDS.thread_id() for _ in range(THREADS)], count()
    store, feed = open_store(f"sqlite:///{path}/clients.db"), Feed(_patch)
    await store.open()

    async def appends() -> float:
        rounds = [[feed.take_append() for _ in range(THREADS)] for _ in range(each)]
        by_client = list(zip(*rounds, strict=True))

        async def client(at: int) -> None:
            for append in by_client[at]:
                await store.append(append)

        return await _all(range(THREADS), client)

    async def patches() -> float:
        first = next(numbers) * each
        return await _all(patched, lambda thread_id: _patch_each(engine, thread_id, first, each))

    async def submits() -> float:
        fresh = [IDS.thread_id() for _ in range(THREADS)]
        await asyncio.gather(*(engine.create_thread(name, metadata=GRAPH) for name in fresh))
        return await _all(fresh, lambda thread_id: _submit_each(engine, thread_id, each))

    def raw(name: str, command: Callable[[str], Command]):
        return _raw(path / name, Feed(command), events=THREADS, transactions=each, projected=True)

    async with engine:
        await asyncio.gather(*(engine.create_thread(name) for name in patched))
        sides: dict[str, Callable[[], Awaitable[float]]] = {
            "raw patches": raw("4.db", _patch),
            "patches": patches,
            "appends": appends,
            "raw submits": raw("5.db", _submit),
            "submits": submits,
        }
        taken = await in_turns(sides, turns=turns)
    await store.close()
    count_each = each * THREADS
    return [
        _row("100 clients, `append` of our store / `sqlite3`, 100 a transaction", taken, "appends",
             "raw patches", count_each),
        _row("100 clients, `patch_thread` on 100 threads / `sqlite3`, 100 a transaction", taken,
             "patches", "raw patches", count_each, GOAL_ENGINE),
        _row("100 clients, `submit_run` on 100 threads / `sqlite3`, 100 a transaction", taken,
             "submits", "raw submits", count_each, GOAL_ENGINE),
    ]  # fmt: skip


async def _agent(state: object) -> None:
    del state


async def _all(clients: Iterable[T], client: Callable[[T], Awaitable[None]]) -> float:
    started = perf_counter()
    await asyncio.gather(*map(client, clients))
    return perf_counter() - started


async def _patch_each(engine: Engine, thread_id: str, first: int, each: int) -> None:
    for number in range(first, first + each):
        await engine.patch_thread(thread_id, {"note": f"{number}{TEXT}"})


async def _submit_each(engine: Engine, thread_id: str, each: int) -> None:
    for _ in range(each):
        await engine.submit_run(thread_id, "agent", input={"messages": [_message()]})


def _row(
    what: str, taken: Turns, side: str, base: str, appends: int, goal: float | None = None
) -> Row:
    ratio = taken.ratio(side, base)
    rates = (appends / taken.median(name) for name in (side, base))
    return Row(
        what,
        measured=" / ".join(map(show_rate, rates)),
        ratio=f"{ratio:.2f}",
        goal="" if goal is None else f"≥ {goal}",
        is_met=None if goal is None else at_least(ratio, goal),
    )
