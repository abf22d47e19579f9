"""What a worker knows of each thread that it has to do with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..domain.ports import TaskHandle
    from ..domain.thread import Thread
    from .attempts import Attempt


@dataclass(slots=True)
class Place:
    """What the worker knows of one thread: the code it runs there, and what it waits for."""

    attempt: Attempt | None = None
    fenced_until: float | None = None
    """Monotonic time at which the grace time of a fenced attempt is over."""
    holds_slot: bool = False
    starting: TaskHandle | None = None
    not_before: float = 0.0
    """Monotonic time before which nothing is started: another process's code still runs, or the store is away."""
    others_until: float | None = None
    """Monotonic time at which the grace time of another process's fenced code is over."""
    timer: TaskHandle | None = None
    timer_at: float = field(default=float("inf"))


async def last_moments(place: Place | None, thread: Thread | None) -> None:
    """Let code stop whose end is in the log already: whoever joined it hears of that a moment before it has stopped."""
    if place is None or place.attempt is None or thread is None or thread.runs:
        return
    if place.attempt.is_code_done:
        await place.attempt.wait()
