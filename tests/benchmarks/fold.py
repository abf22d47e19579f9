"""The cold fold of a thread's log, against the least that anybody could do with the same rows."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import orjson

from threadfold.domain.thread import fold
from threadfold.infrastructure.log.codec import CODEC
from threadfold.infrastructure.log.compression import expanded

from .building import NEVER, Turns, opened
from .harness import Row, at_least, folder, in_turns, show_seconds, timed, timed_async

if TYPE_CHECKING:
    from pathlib import Path

    from threadfold.infrastructure.log.codec import LogRow

    from . import harness

GOAL = 0.5
SELECT = (
    "SELECT position, originator_id, originator_version, topic, state FROM events "
    "WHERE originator_id = ? ORDER BY originator_version"
)


def rows(*, quick: bool) -> list[Row]:
    """Measure, and return the lines of the table."""
    with folder() as path:
        return asyncio.run(_rows(path, turns=100 if quick else 2000, times=5 if quick else 15))


async def _rows(path: Path, *, turns: int, times: int) -> list[Row]:
    thread_id = "thread"
    story = Turns(content_bytes=500)
    async with opened(path / "log.db", snapshot_events_min=NEVER) as engine:
        await engine.create_thread(thread_id)
        thread = await story.play(engine, thread_id, turns)

        async def cold() -> float:
            engine._executor._cache.drop(thread_id)
            return await timed_async(engine._executor.load(thread_id))

        connection = sqlite3.connect(path / "log.db")
        taken_rows = _select(connection, thread_id)
        decoded = [CODEC.decode(row) for row in taken_rows]

        async def bare() -> float:
            return timed(lambda: _bare(_select(connection, thread_id)))

        async def bare_only() -> float:
            return timed(lambda: _bare(taken_rows))

        async def ours_only() -> float:
            return timed(lambda: fold(map(CODEC.decode, taken_rows)))

        async def decode_only() -> float:
            return timed(lambda: [CODEC.decode(row) for row in taken_rows])

        async def fold_only() -> float:
            return timed(lambda: fold(decoded))

        sides = {
            "bare": bare, "cold": cold, "bare only": bare_only, "ours only": ours_only,
            "decode": decode_only, "fold": fold_only,
        }  # fmt: skip
        taken = await in_turns(sides, turns=times)
    what = f"Thread of {thread.version:,} events, no snapshot, "
    return [
        _row(f"{what}`engine.load` / select, `orjson`, bare fold", taken, "cold", "bare", GOAL),
        _row(f"{what}rows in hand: decode and fold / the same, bare", taken, "ours only", "bare only",
             GOAL),
        Row("Of that, decoding an event", _each(taken, "decode", thread.version)),
        Row("Of that, folding an event", _each(taken, "fold", thread.version)),
    ]  # fmt: skip


def _select(connection: sqlite3.Connection, thread_id: str) -> list[LogRow]:
    return connection.execute(SELECT, (thread_id,)).fetchall()


def _bare(log: list[LogRow]) -> list[Any]:
    """Decode, look at the type, take what is new."""
    items: list[Any] = []
    channels: dict[str, Any] = {}
    status = ""
    for _, _, _, topic, state in log:
        event = orjson.loads(expanded(state))
        if topic == "StepRecorded.1":
            items.extend(event.get("items", ()))
            channels.update(event.get("deltas", ()))
        elif topic == "RunAccepted.1":
            items.extend(event.get("items", ()))
            status = "pending"
        elif topic == "RunStarted.1":
            status = "running"
        elif topic == "RunSucceeded.1":
            status = "success"
    assert status == "success"
    return items


def _each(taken: harness.Turns, side: str, events: int) -> str:
    return show_seconds(taken.median(side) / events)


def _row(what: str, taken: harness.Turns, side: str, base: str, goal: float) -> Row:
    ratio = taken.ratio(side, base)
    return Row(
        what,
        measured=" / ".join(show_seconds(taken.median(name)) for name in (side, base)),
        ratio=f"{ratio:.2f}",
        goal=f"≥ {goal}",
        is_met=at_least(ratio, goal),
    )
