"""What a thread takes on the disk: database and write-ahead log after a checkpoint, with projections and snapshots."""

from __future__ import annotations

import asyncio
import sqlite3
from random import Random
from typing import TYPE_CHECKING, Any

import orjson

from threadfold.app.engine import Engine
from threadfold.app.settings import Settings

from .building import settled
from .harness import Row, exponent, folder, show_bytes

if TYPE_CHECKING:
    from pathlib import Path

CONTENT_BYTES = 500
EXPONENT_MAX = 1.02
TURN_BYTES_MAX = 1200


def rows(*, quick: bool) -> list[Row]:
    """Measure, and return the lines of the table."""
    lengths = (10, 30, 100) if quick else (10, 100, 500, 2000)
    with folder() as path:
        sizes = [(turns, *asyncio.run(_size(path / f"{turns}.db", turns))) for turns in lengths]
    slope = exponent([(turns, total) for turns, total, _ in sizes])
    (turns_before, before, _), (turns, last, _) = sizes[-2:]
    slope_last = exponent([(turns_before, before), (turns, last)])
    result = [
        Row(
            f"Growth of the total from {lengths[0]} to {lengths[-1]:,} turns, exponent",
            measured=f"{slope:.3f}",
            goal=f"≤ {EXPONENT_MAX}",
            is_met=slope <= EXPONENT_MAX,
        ),
        Row(
            f"The same from {lengths[-2]} to {lengths[-1]:,} turns",
            measured=f"{slope_last:.3f}",
            goal=f"≤ {EXPONENT_MAX}",
            is_met=slope_last <= EXPONENT_MAX,
        ),
    ]
    for turns, total, messages in sizes:
        limit = 2 * messages + TURN_BYTES_MAX * turns
        result.append(
            Row(
                f"{turns:,} turns: bytes a turn / its two messages as JSON",
                measured=f"{show_bytes(total / turns)} / {show_bytes(messages / turns)}",
                ratio=f"{total / messages:.2f}",
                goal=f"≤ {show_bytes(limit / turns)}",
                is_met=total <= limit,
            )
        )
    return result


async def _size(path: Path, turns: int) -> tuple[int, int]:
    """Talk for so many turns; return the bytes on disk and those of the messages as JSON."""
    random = Random(turns)  # noqa: S311 - text, not secrets

    def text() -> str:
        return random.randbytes(CONTENT_BYTES // 2).hex()

    async def answer(state: Any) -> dict[str, Any]:
        del state
        return {"messages": {"role": "assistant", "content": text()}}

    # Nothing may be lost but at a power cut: it changes the time that this takes, not the bytes.
    async with Engine(f"sqlite:///{path}", settings=Settings(synchronous="NORMAL")) as engine:
        engine.graph("agent")(answer)
        thread_id = (await engine.create_thread()).thread_id
        for _ in range(turns):
            asked = {"messages": {"role": "user", "content": text()}}
            run = await engine.submit_run(thread_id, "agent", input=asked)
            result = await engine.join_run(thread_id, run.row.run_id)
        await settled(engine)
        messages = result.values["messages"]
        assert isinstance(messages, list)
        assert len(messages) == 2 * turns
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(FULL)")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        files = [path, path.with_name(f"{path.name}-wal")]
        total = sum(file.stat().st_size for file in files if file.exists())
    return total, len(orjson.dumps(messages))
