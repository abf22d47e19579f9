"""Several decisions in a row, each on what the one before it made. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..domain.decisions import decide
from ..domain.events import RecordedEvent, RunStarted
from ..domain.ports import Lease
from ..domain.thread import evolve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ..domain.events import Events
    from ..domain.graph_ports import Intent
    from ..domain.thread import Thread


def decided(
    thread_id: str, thread: Thread, intents: Sequence[Intent], now: datetime, actor: str | None
) -> tuple[list[RecordedEvent], list[Thread]]:
    """Decide intent by intent; return the events with their places, and the thread as it will stand after each."""
    planned: list[RecordedEvent] = []
    threads: list[Thread] = []
    for intent in intents:
        command = intent(thread, now) if callable(intent) else intent
        for event in () if command is None else decide(command, thread):
            recorded = RecordedEvent(thread_id, thread.version + 1, 0, now, event, actor)
            planned.append(recorded)
            thread = evolve(thread, recorded)
            threads.append(thread)
    return planned, threads


def lease_of(thread_id: str, events: Events, holder: str | None) -> Lease | None:
    """Return the lease that goes with the events: that of a run which they start, for the process that takes it."""
    for event in events:
        if isinstance(event, RunStarted) and holder is not None:
            return Lease(thread_id, event.run_id, event.attempt, holder)
    return None
