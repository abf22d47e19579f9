"""What conversations of LangGraph graphs take on the disk, with our saver and with LangGraph's own: database and write-ahead log.

A thread is measured as it grows: the saver is closed, the log moved into the database, the files counted, the saver opened again.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from .harness import Row, exponent, folder, show_bytes
from .langgraph_graphs import (
    HOSTED,
    OURS,
    OURS_EXIT,
    SQLITE,
    SQLITE_DELTAS,
    Talk,
    Texts,
    consulting,
    file,
    talking,
    thread,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .langgraph_graphs import Saver

EXPONENT_MAX = 1.02
TURN_BYTES_MAX = 1200
OUR_SAVERS = (OURS, OURS_EXIT, HOSTED)
DELTAS_GOALS = {OURS.name: 10, OURS_EXIT.name: 15, HOSTED.name: 10}
PLAIN_GOAL = 1000
FORKS_EACH = 10
THREAD_ID = "0199e5c4-7a3e-7c51-9d2f-3b8a6e0c4d17"
"""A UUID, as threads have them on the wire: it stands in every row."""

LENGTHS = (10, 50, 100, 200, 500, 1000, 2000)
LENGTHS_QUICK = (10, 20, 40)
SQUARE = (100, 300, 500)
SQUARE_QUICK = (10, 20, 30)
"""What grows with the square of the turns is measured at these three, which say what it is at any."""


@dataclass(frozen=True)
class Size:
    """A thread's bytes on the disk, and those of its messages as JSON."""

    turns: int
    total: int
    messages: int

    @property
    def limit(self) -> int:
        return 2 * self.messages + TURN_BYTES_MAX * self.turns


@dataclass(frozen=True)
class Story:
    """What is talked. `in_deltas`: the lengths at which DeltaChannel is measured, if not at all of them."""

    name: str
    graph: Callable[..., Any]
    forks_each: int = 0
    in_deltas: Sequence[int] = ()


TALK = Story("talk", talking)
STORIES = (
    TALK,
    # A subgraph answers with the whole conversation, which its parent's writes then hold at each turn.
    Story("subgraph", consulting, in_deltas=(50, 100, 150)),
    Story("forks", talking, forks_each=FORKS_EACH),
)


def rows(*, quick: bool) -> list[Row]:
    """Measure, and return the lines of the table."""
    lengths, square = (LENGTHS_QUICK, SQUARE_QUICK) if quick else (LENGTHS, SQUARE)
    result: list[Row] = []
    parts: list[Row] = []
    with folder() as path:
        for story in STORIES:
            grow = partial(_grown, path, story)
            ours = {saver: grow(saver, lengths) for saver in OUR_SAVERS}
            in_deltas = grow(SQLITE_DELTAS, lengths if quick else story.in_deltas or lengths)
            for saver, sizes in ours.items():
                what = f"{story.name}, {saver.name}"
                result += _growth(what, sizes)
                is_first = story is TALK and saver is OURS
                result += [_turn(what, size) for size in (sizes if is_first else sizes[-1:])]
                result.append(_against(story, saver.name, sizes[-1], in_deltas))
                parts += _parts(what, file(path, saver, story.name), lengths[-1])
            if story is TALK:
                plain = grow(SQLITE, square)
                result += [_plain(saver.name, sizes[-1], plain) for saver, sizes in ours.items()]
    return result + parts


# ------------------------------------------------------------------ measuring


def _grown(path: Path, story: Story, saver: Saver, lengths: Sequence[int]) -> list[Size]:
    """Talk; return what the thread takes at each length."""
    return asyncio.run(_grow(file(path, saver, story.name), story, saver, lengths))


async def _grow(path: Path, story: Story, saver: Saver, lengths: Sequence[int]) -> list[Size]:
    texts = Texts()
    talk = Talk(texts, forks_each=story.forks_each)
    sizes: list[Size] = []
    for length in lengths:
        async with saver.opened(path) as opened:
            graph = story.graph(opened, texts, has_deltas=saver.has_deltas)
            while talk.turns < length:
                result = await talk.take(graph, thread(THREAD_ID), saver.durability)
            assert story.forks_each or len(result["messages"]) == 2 * length
        sizes.append(Size(length, bytes_on_disk(path), talk.messages_bytes))
    return sizes


def bytes_on_disk(path: Path) -> int:
    """Move the write-ahead log into the database; return what the two take."""
    with closing(sqlite3.connect(path)) as connection:
        is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not is_busy
    places = [path, path.with_name(f"{path.name}-wal")]
    return sum(place.stat().st_size for place in places if place.exists())


def by_square(sizes: Sequence[Size], turns: int) -> float:
    """Return the bytes at so many turns, by the parabola through three measured points."""
    total = 0.0
    for size in sizes:
        others = [other.turns for other in sizes if other is not size]
        share = 1.0
        for other in others:
            share *= (turns - other) / (size.turns - other)
        total += share * size.total
    return total


# ------------------------------------------------------------------ what it says


def _growth(what: str, sizes: Sequence[Size]) -> list[Row]:
    """Return how the total grows, from the first length on and from the last but two on."""
    result: list[Row] = []
    for part in (sizes, sizes[-3:]):
        slope = exponent([(size.turns, size.total) for size in part])
        lengths = f"{part[0].turns} to {part[-1].turns:,} turns"
        result.append(
            Row(
                f"{what}: growth of the total, {lengths}, exponent",
                measured=f"{slope:.3f}",
                goal=f"≤ {EXPONENT_MAX}",
                is_met=slope <= EXPONENT_MAX,
            )
        )
    return result


def _turn(what: str, size: Size) -> Row:
    """Return what a turn takes, at a length."""
    shown = (size.total / size.turns, size.messages / size.turns)
    return Row(
        f"{what}, {size.turns:,} turns: bytes a turn / its two messages as JSON",
        measured=" / ".join(map(show_bytes, shown)),
        ratio=f"{size.total / size.messages:.2f}",
        goal=f"≤ {show_bytes(size.limit / size.turns)}",
        is_met=size.total <= size.limit,
    )


def _against(story: Story, name: str, ours: Size, theirs: Sequence[Size]) -> Row:
    """Compare with DeltaChannel and durability exit, at the last length."""
    what = f"{story.name}, {ours.turns:,} turns: {SQLITE_DELTAS.name} / {name}"
    total: float = theirs[-1].total
    if theirs[-1].turns != ours.turns:
        total = by_square(theirs, ours.turns)
        what += f" (extrapolated from {_lengths(theirs)} turns, by the square)"
    return _ratio(what, total, ours, DELTAS_GOALS[name])


def _plain(name: str, ours: Size, theirs: Sequence[Size]) -> Row:
    what = (
        f"{TALK.name}, {ours.turns:,} turns: {SQLITE.name} as it comes / {name} "
        f"(extrapolated from {_lengths(theirs)} turns, by the square)"
    )
    return _ratio(what, by_square(theirs, ours.turns), ours, PLAIN_GOAL)


def _lengths(sizes: Sequence[Size]) -> str:
    return ", ".join(f"{size.turns:,}" for size in sizes)


def _ratio(what: str, theirs: float, ours: Size, goal: float) -> Row:
    ratio = theirs / ours.total
    return Row(
        what,
        measured=f"{show_bytes(theirs)} / {show_bytes(ours.total)}",
        ratio=f"{ratio:,.1f}",
        goal=f"≥ {goal:,}",
        is_met=ratio >= goal,
    )


# ------------------------------------------------------------------ where the bytes are

PAYLOADS = """
    SELECT topic, count(*), sum(length(state)) FROM events
    GROUP BY topic HAVING sum(length(state)) >= ? ORDER BY 3 DESC
"""
PAGES = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name HAVING sum(pgsize) >= ? ORDER BY 2 DESC"
PART_BYTES_MIN = 16
"""What takes less a turn is not worth a line."""


def _parts(what: str, path: Path, turns: int) -> list[Row]:
    """Return what a turn's bytes are made of: payloads by kind of event, then pages by table and index."""
    least = (PART_BYTES_MIN * turns,)
    with closing(sqlite3.connect(path)) as connection:
        payloads = connection.execute(PAYLOADS, least).fetchall()
        pages = connection.execute(PAGES, least).fetchall()
    return [
        Row(
            f"{what}: `{topic}`, {count / turns:.2f} of them a turn, bytes a turn",
            show_bytes(size / turns),
        )
        for topic, count, size in payloads
    ] + [
        Row(f"{what}: pages of `{name}`, bytes a turn", show_bytes(size / turns))
        for name, size in pages
    ]
