"""What every benchmark is made of: sides that are timed in turns, medians, rows of the table.

A figure by itself says more about the machine than about the code, and the machine changes from one second to the next. So
what is compared is timed in turns within one run, A B B A A B …, and the median of the turns' ratios is what counts.
"""

from __future__ import annotations

import gc
import math
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence


@dataclass(frozen=True)
class Row:
    """One line of the table. `is_met` is None where nothing was promised."""

    what: str
    measured: str
    ratio: str = ""
    goal: str = ""
    is_met: bool | None = None

    @property
    def verdict(self) -> str:
        if self.is_met is None:
            return ""
        return "met" if self.is_met else "**missed**"


@dataclass(frozen=True)
class Turns:
    """The seconds of each side, turn by turn."""

    seconds: Mapping[str, Sequence[float]]

    def median(self, side: str) -> float:
        return median(self.seconds[side])

    def percentile(self, side: str, share: float) -> float:
        return percentile(self.seconds[side], share)

    def ratio(self, side: str, base: str) -> float:
        """Return how often `base` took the time of `side`: 1 as fast, 0.5 half as fast."""
        pairs = zip(self.seconds[base], self.seconds[side], strict=True)
        return median(base_seconds / side_seconds for base_seconds, side_seconds in pairs)


async def in_turns(
    sides: Mapping[str, Callable[[], Awaitable[float]]], *, turns: int, warm: int = 1
) -> Turns:
    """Have each side do its work once a turn, in an order that is reversed from turn to turn.

    A side returns the seconds that count: what it does before and after is not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(-warm, turns):
        names = list(sides) if turn % 2 else list(reversed(sides))
        for name in names:
            gc.collect()  # No side pays for what another one left behind.
            took = await sides[name]()
            if turn >= 0:
                seconds[name].append(took)
    return Turns(seconds)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = perf_counter()
    work()
    return perf_counter() - started


async def timed_async(work: Awaitable[object]) -> float:
    """Return the seconds that it takes until the work is done."""
    started = perf_counter()
    await work
    return perf_counter() - started


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the line through the points that fits best, both axes logarithmic."""
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    above = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return above / sum((x - x_mean) ** 2 for x in xs)


@contextmanager
def folder() -> Iterator[Path]:
    """Give a folder on a real disk: in one that lives in memory, fsync would cost nothing."""
    path = Path(tempfile.mkdtemp(prefix="threadfold-bench-", dir=disk()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def disk() -> Path:
    """Return the checkout's build folder, which lies on a disk wherever the checkout does."""
    path = Path(__file__).parents[2] / "build" / "bench"
    path.mkdir(parents=True, exist_ok=True)
    return path


# ------------------------------------------------------------------ how figures are written


def show_seconds(seconds: float) -> str:
    """Write a time with three digits that count and the unit that fits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_three(seconds / size)} {unit}"
    return f"{_three(seconds / 1e-6)} µs"


def show_rate(rate: float) -> str:
    """Write a rate a second."""
    return f"{round(rate):,}/s"


def show_bytes(count: float) -> str:
    """Write a size."""
    for unit, size in (("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{_three(count / size)} {unit}"
    return f"{count:.0f} B"


def _three(value: float) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}"


def at_least(ratio: float, goal: float) -> bool:
    """Say whether a ratio, as it is shown, reaches the goal."""
    return round(ratio, 2) >= goal
