"""From intents to an append: the events that are decided, and all that has to become durable together with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ..domain.decisions import decide
from ..domain.events import RecordedEvent, RunAccepted, RunRolledBack, RunStarted
from ..domain.ports import Append, Lease
from ..domain.thread import evolve
from .rows import hidden_runs, hides_all, run_rows, thread_row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ..domain.events import Events
    from ..domain.graph_ports import Intent
    from ..domain.ports import Delivery
    from ..domain.thread import Thread
    from .answers import Keep
    from .settings import Settings


Post: TypeAlias = (
    "Callable[[str, Thread, Sequence[RecordedEvent], Sequence[Thread]], Sequence[Delivery]]"
)
"""Says which calls of webhooks these events of a thread bring about, given the thread before and after each of them."""


def no_post(*_: object) -> Sequence[Delivery]:
    """Bring about none."""
    return ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to: the events that were appended, and the thread before and after them."""

    events: tuple[RecordedEvent, ...]
    before: Thread
    thread: Thread


@dataclass(frozen=True, slots=True)
class Envelope:
    """What goes with a command's events into their append; `keep` makes the answer that is kept, of what they come to."""

    actor: str | None
    holder: str | None
    release: Lease | None
    keep: Keep[Outcome] | None


class Appends:
    """Makes appends."""

    def __init__(self, settings: Settings, post: Post) -> None:
        self._settings = settings
        self._post = post

    def planned(
        self,
        thread_id: str,
        before: Thread,
        threads: Sequence[Thread],
        planned: Sequence[RecordedEvent],
        envelope: Envelope,
    ) -> Append:
        """Return the append of these events; `threads` is the thread as it will stand after each of them."""
        events, after = tuple(recorded.event for recorded in planned), threads[-1]
        keep = envelope.keep
        return Append(
            thread_id=thread_id,
            expected_version=before.version,
            events=events,
            recorded_at=planned[0].recorded_at,
            thread=thread_row(thread_id, after),
            runs=run_rows(thread_id, before, after, planned),
            hide_runs=hidden_runs(planned),
            accepts=frozenset(e.run_id for e in events if isinstance(e, RunAccepted)),
            lease=_lease(thread_id, events, envelope.holder),
            release=envelope.release,
            erase_runs=self._erased(events),
            erase_thread=hides_all(planned),
            actor=envelope.actor,
            answer=None if keep is None else keep(Outcome(tuple(planned), before, after)),
            deliveries=self._post(thread_id, before, planned, threads),
        )

    def _erased(self, events: Events) -> tuple[str, ...]:
        if self._settings.retention == "keep":
            return ()
        return tuple(event.run_id for event in events if isinstance(event, RunRolledBack))


def decided(
    thread_id: str, thread: Thread, intents: Sequence[Intent], now: datetime, envelope: Envelope
) -> tuple[list[RecordedEvent], list[Thread]]:
    """Decide intent by intent; return the events with their places, and the thread as it will stand after each."""
    planned: list[RecordedEvent] = []
    threads: list[Thread] = []
    for intent in intents:
        command = intent(thread, now) if callable(intent) else intent
        for event in () if command is None else decide(command, thread):
            recorded = RecordedEvent(thread_id, thread.version + 1, 0, now, event, envelope.actor)
            planned.append(recorded)
            thread = evolve(thread, recorded)
            threads.append(thread)
    return planned, threads


def _lease(thread_id: str, events: Events, holder: str | None) -> Lease | None:
    for event in events:
        if isinstance(event, RunStarted) and holder is not None:
            return Lease(thread_id, event.run_id, event.attempt, holder)
    return None
