"""Long threads: the state, the history and a rollback, with the folded thread in memory (warm) or only on disk (cold)."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from threadfold.app.http.objects import state_object
from threadfold.app.http.responses import encoded
from threadfold.domain.commands import SubmitRun

from .building import IDS, NEVER, Turns as Story, opened, settled, snapshot
from .harness import Row, folder, in_turns_async, show_bytes, show_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from threadfold.app.engine import Engine

    from .harness import Turns

STATES = 10
MS = 1e-3


def rows(*, quick: bool) -> list[Row]:
    """Measure, and return the lines of the table."""
    times = 5 if quick else 15
    with folder() as path:
        talk = asyncio.run(_talk(path / "talk.db", turns=100 if quick else 2000, times=times))
        long = asyncio.run(_long(path / "long.db", turns=100 if quick else 10_000, times=times))
    return [*talk, *long]


async def _build(path: Path, story: Story, turns: int, *, tail: int) -> str:
    """Make a thread with a snapshot that is `tail` events old."""
    turns_after = tail // story.events
    async with opened(path, snapshot_events_min=NEVER) as engine:
        thread_id = (await engine.create_thread()).thread_id
        thread = await story.play(engine, thread_id, turns - turns_after)
        await snapshot(engine, thread_id, thread)
        await story.play(engine, thread_id, turns_after)
    return thread_id


# ------------------------------------------------------------------ reading


async def _state(engine: Engine, thread_id: str) -> bytes:
    return encoded(state_object(await engine.queries.get_state(thread_id)))


async def _history(engine: Engine, thread_id: str) -> bytes:
    views = await engine.queries.history(thread_id, limit=STATES)
    return encoded([state_object(view) for view in views])


def _reads(path: Path, thread_id: str, warm: Engine) -> dict[str, Callable[[], Awaitable[float]]]:
    def read(work: Callable[[Engine, str], Awaitable[object]], engine: Engine | None):
        async def turn() -> float:
            if engine is not None:
                return await _timed(work(engine, thread_id))
            async with opened(path, snapshot_events_min=NEVER) as fresh:
                return await _timed(work(fresh, thread_id))

        return turn

    async def load(engine: Engine, thread_id: str) -> None:
        await engine._executor.load(thread_id)

    async def views(engine: Engine, thread_id: str) -> None:
        await engine.queries.history(thread_id, limit=STATES)

    return {
        f"{name}, {kind}": read(work, engine)
        for name, work in (("load", load), ("state", _state), ("views", views), ("history", _history))
        for kind, engine in (("cold", None), ("warm", warm))
    }


async def _timed(work: Awaitable[object]) -> float:
    started = perf_counter()
    await work
    return perf_counter() - started


async def _talk(path: Path, *, turns: int, times: int) -> list[Row]:
    """A long conversation, as people have it."""
    story = Story(content_bytes=500)
    thread_id = await _build(path, story, turns, tail=250)
    async with opened(path) as warm:
        size = len(await _state(warm, thread_id))
        history_size = len(await _history(warm, thread_id))
        await settled(warm)
        taken = await in_turns_async(_reads(path, thread_id, warm), turns=times)
    what = f"{turns:,} turns, state as JSON ({show_bytes(size)})"
    history = f"{turns:,} turns, newest {STATES} states"
    as_json = f"{history} as JSON ({show_bytes(history_size)})"
    return [
        _row(f"{what}, cold, snapshot 250 events old", taken, "state, cold", 5 * MS),
        _row(f"{what}, warm", taken, "state, warm", 1 * MS),
        _row(f"{history}, cold", taken, "views, cold", 10 * MS),
        _row(f"{history}, warm", taken, "views, warm", 10 * MS),
        _row(f"{as_json}, cold", taken, "history, cold"),
        _row(f"{as_json}, warm", taken, "history, warm"),
    ]


async def _long(path: Path, *, turns: int, times: int) -> list[Row]:
    """A thread with very many events, and the same questions."""
    story = Story(content_bytes=100, steps=5)
    thread_id = await _build(path, story, turns, tail=1000)
    async with opened(path) as warm:
        await _state(warm, thread_id)
        await settled(warm)
        sides = _reads(path, thread_id, warm)
        short_id = (await warm.create_thread()).thread_id
        await Story(content_bytes=100, steps=5).play(warm, short_id, 2)
        rollback = await in_turns_async(
            {
                "long": lambda: _roll_back(warm, thread_id),
                "short": lambda: _roll_back(warm, short_id),
            },
            turns=2 * times,
        )
        await settled(warm)
        taken = await in_turns_async(
            {name: sides[name] for name in sides if not name.startswith("history")},
            turns=max(5, times // 3),
        )
    what = f"{turns * story.events:,} events"
    ratio = rollback.ratio("long", "short")
    return [
        _row(f"{what}: load, cold, snapshot 1,000 events old", taken, "load, cold"),
        _row(f"{what}: load, warm", taken, "load, warm"),
        _row(f"{what}: state as JSON, cold", taken, "state, cold"),
        _row(f"{what}: state as JSON, warm", taken, "state, warm"),
        _row(f"{what}: newest {STATES} states, cold", taken, "views, cold"),
        _row(f"{what}: newest {STATES} states, warm", taken, "views, warm"),
        Row(
            f"{what}: rollback of a run of 10 steps / the same in a thread of 2 turns",
            measured=" / ".join(show_seconds(rollback.median(name)) for name in ("long", "short")),
            ratio=f"{ratio:.2f}",
            goal="≥ 0.8",
            is_met=ratio >= 0.8,
        ),
    ]


async def _roll_back(engine: Engine, thread_id: str) -> float:
    """Time the command that displaces a run that has taken ten steps, until it is durable."""
    execute, run_id, story = engine._executor.execute, IDS.run_id(), Story(content_bytes=100)
    asked = story.message("human")
    await execute(thread_id, *story.begin(thread_id, run_id, asked))
    work = [story.work(thread_id, run_id, {"progress": number}) for number in range(STATES)]
    await execute(thread_id, *work)
    displacing = SubmitRun(
        thread_id=thread_id,
        run_id=IDS.run_id(),
        assistant_id="agent",
        graph_id="agent",
        multitask_strategy="rollback",
    )
    seconds = await _timed(execute(thread_id, displacing))
    await engine.cancel_run(thread_id, displacing.run_id, action="rollback")
    return seconds


def _row(what: str, taken: Turns, side: str, goal: float | None = None) -> Row:
    seconds = taken.median(side)
    return Row(
        what,
        measured=show_seconds(seconds),
        goal="" if goal is None else f"≤ {show_seconds(goal)}",
        is_met=None if goal is None else seconds <= goal,
    )
