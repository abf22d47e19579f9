"""What was measured, as a table in the terminal and in docs/benchmarks.md; and on which machine."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import sys
from datetime import UTC, datetime
from statistics import median
from tempfile import NamedTemporaryFile
from time import perf_counter
from typing import TYPE_CHECKING

from .harness import disk, show_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .harness import Row

HEADINGS = ("what", "goal", "ratio", "measured", "")


def say(text: str) -> None:
    """Write to the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def machine() -> str:
    """Return what the figures depend on."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"fsync of one page {show_seconds(_fsync_seconds())}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            names = (
                line.partition(":")[2].strip() for line in info if line.startswith("model name")
            )
            return next(names, platform.machine())
    except OSError:
        return platform.processor() or platform.machine()


def _fsync_seconds() -> float:
    """Return the median time of an fsync on the disk where the benchmarks keep their files."""
    seconds: list[float] = []
    with NamedTemporaryFile(dir=disk()) as file:
        for _ in range(200):
            file.write(bytes(4096))
            file.flush()
            started = perf_counter()
            os.fsync(file.fileno())
            seconds.append(perf_counter() - started)
    return median(seconds)


def _cells(row: Row) -> tuple[str, ...]:
    return (row.what, row.goal, row.ratio, row.measured, row.verdict)


def plain(rows: Sequence[Row]) -> str:
    """Return the rows in columns."""
    lines = [HEADINGS, *map(_cells, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table of Markdown."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rewrite(page: Path, name: str, heading: str, rows: Sequence[Row]) -> None:
    """Put a group's table in its place in the page, between two comments that name the group."""
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    part = f"{begin}\n### {heading}\n\n{table(rows)}\n\n{machine()}.\n{end}"
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not place.search(text):
        raise SystemExit(f"{page} has no place for {name}: expected {begin} and {end}")
    page.write_text(place.sub(lambda _: part, text), encoding="utf-8")
