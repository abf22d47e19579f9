"""Long threads: the state, the history and a rollback, with the folded thread in memory (warm) or only on disk (cold)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from threadfold.app.http.objects import state_object
from threadfold.app.http.responses import encoded
from threadfold.domain.commands import SubmitRun

from .building import IDS, NEVER, Turns as Story, opened, snapshot
from .harness import (
    Row,
    at_least,
    folder,
    in_turns,
    show_bytes,
    show_seconds,
    timed_async,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from threadfold.app.engine import Engine

    from .harness import Turns

STATES = 10
STEPS = 10
GOAL_SAME = 0.8
MS = 1e-3
TALK_TAIL, LONG_TAIL = 250, 1000
"""How many events old the snapshot is: half of what it may become in these threads."""


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


async def _views(engine: Engine, thread_id: str) -> None:
    await engine.queries.history(thread_id, limit=STATES)


async def _load(engine: Engine, thread_id: str) -> None:
    await engine._executor.load(thread_id)


def _reads(
    path: Path, thread_id: str, warm: Engine, **works: Callable[[Engine, str], Awaitable[object]]
) -> dict[str, Callable[[], Awaitable[float]]]:
    """Give each kind of read twice: by a new engine, and by one that has the thread in memory."""

    async def cold(work: Callable[[Engine, str], Awaitable[object]]) -> float:
        async with opened(path, snapshot_events_min=NEVER) as fresh:
            return await timed_async(work(fresh, thread_id))

    sides: dict[str, Callable[[], Awaitable[float]]] = {}
    for name, work in works.items():
        sides[f"{name}, cold"] = partial(cold, work)
        sides[f"{name}, warm"] = lambda work=work: timed_async(work(warm, thread_id))
    return sides


async def _talk(path: Path, *, turns: int, times: int) -> list[Row]:
    """A long conversation, as people have it."""
    thread_id = await _build(path, Story(content_bytes=500), turns, tail=TALK_TAIL)
    async with opened(path, snapshot_events_min=NEVER) as warm:
        size = len(await _state(warm, thread_id))
        history_size = len(await _history(warm, thread_id))
        taken = await _states(path, thread_id, warm, times)
        fresh = await _histories(path, thread_id, warm, times)
    what = f"{turns:,} turns: state as JSON ({show_bytes(size)})"
    history = f"{turns:,} turns: newest {STATES} states"
    as_json = f"{history} as JSON ({show_bytes(history_size)})"
    return [
        _row(f"{what}, cold, snapshot {TALK_TAIL} events old", taken, "state, cold", 5 * MS),
        _row(f"{what}, warm", taken, "state, warm", 1 * MS),
        _row(f"{history}, cold, snapshot fresh", fresh, "views, cold", 10 * MS),
        _row(f"{history}, warm", fresh, "views, warm", 10 * MS),
        _row(f"{as_json}, cold", fresh, "history, cold"),
        _row(f"{as_json}, warm", fresh, "history, warm"),
    ]


async def _states(path: Path, thread_id: str, warm: Engine, times: int) -> Turns:
    return await in_turns(_reads(path, thread_id, warm, load=_load, state=_state), turns=times)


async def _histories(path: Path, thread_id: str, warm: Engine, times: int) -> Turns:
    """With a snapshot at the thread's head, so that none of the history can come from the events behind it."""
    await snapshot(warm, thread_id, await warm._executor.load(thread_id))
    sides = _reads(path, thread_id, warm, views=_views, history=_history)
    return await in_turns(sides, turns=times)


async def _long(path: Path, *, turns: int, times: int) -> list[Row]:
    """A thread with very many events, and the same questions."""
    story = Story(content_bytes=100, steps=5)
    thread_id = await _build(path, story, turns, tail=LONG_TAIL)
    async with opened(path, snapshot_events_min=NEVER) as warm:
        short_id = (await warm.create_thread()).thread_id
        await Story(content_bytes=100, steps=5).play(warm, short_id, 2)
        taken = await _states(path, thread_id, warm, times)
        fresh = await _histories(path, thread_id, warm, 3)
        rollback = await in_turns(
            {
                "long": lambda: _roll_back(warm, thread_id),
                "short": lambda: _roll_back(warm, short_id),
            },
            turns=2 * times,
        )
    what = f"{turns * story.events:,} events"
    ratio = rollback.ratio("long", "short")
    return [
        _row(f"{what}: fold, cold, snapshot {LONG_TAIL:,} events old", taken, "load, cold"),
        _row(f"{what}: fold, warm", taken, "load, warm"),
        _row(
            f"{what}: state as JSON, cold, snapshot {LONG_TAIL:,} events old", taken, "state, cold"
        ),
        _row(f"{what}: state as JSON, warm", taken, "state, warm"),
        _row(f"{what}: newest {STATES} states, cold, snapshot fresh", fresh, "views, cold"),
        _row(f"{what}: newest {STATES} states, warm", fresh, "views, warm"),
        Row(
            f"{what}: rollback of a run of {STEPS} steps / the same in a thread of 2 turns",
            measured=" / ".join(show_seconds(rollback.median(name)) for name in ("long", "short")),
            ratio=f"{ratio:.2f}",
            goal=f"≥ {GOAL_SAME}",
            is_met=at_least(ratio, GOAL_SAME),
        ),
    ]


async def _roll_back(engine: Engine, thread_id: str) -> float:
    """Time the command that displaces a run that has taken ten steps, until it is durable."""
    execute, run_id, story = engine._executor.execute, IDS.run_id(), Story(content_bytes=100)
    asked = story.message("human")
    await execute(thread_id, *story.begin(thread_id, run_id, asked))
    work = [story.work(thread_id, run_id, {"progress": number}) for number in range(STEPS)]
    await execute(thread_id, *work)
    displacing = SubmitRun(
        thread_id=thread_id,
        run_id=IDS.run_id(),
        assistant_id="agent",
        graph_id="agent",
        multitask_strategy="rollback",
    )
    seconds = await timed_async(execute(thread_id, displacing))
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
