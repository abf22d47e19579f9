"""One decision: intents, a thread and whoever is behind them make events with their places. Nothing is written here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from ..domain.commands import CopyThread, CreateThread
from ..domain.decisions import decide
from ..domain.errors import ThreadExistsError, ThreadNotFoundError
from ..domain.events import RecordedEvent, RunStarted
from ..domain.ports import Lease
from ..domain.thread import EMPTY_THREAD, Thread, evolve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ..domain.events import Events
    from ..domain.graph_ports import Intent
    from .access import Access
    from .answers import Keep


@dataclass(frozen=True, slots=True)
class Envelope:
    """What goes with a command's events into their append, and who is behind them."""

    actor: str | None
    holder: str | None
    release: Lease | None
    access: Access | None = None
    keep: Keep[Outcome] | None = None
    """Makes the answer that is kept with them, of what they come to."""

    @property
    def by(self) -> str | None:
        """Whose doing it is, as the log says."""
        if self.actor is None and self.access is not None:
            return self.access.actor
        return self.actor


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to: the events that were appended, and the thread before and after them."""

    events: tuple[RecordedEvent, ...]
    before: Thread
    thread: Thread


def decided(
    thread_id: str, thread: Thread, intents: Sequence[Intent], now: datetime, envelope: Envelope
) -> tuple[list[RecordedEvent], list[Thread]]:
    """Decide intent by intent; return the events with their places, and the thread as it will stand after each.

    Whether the thread is within reach is decided here too, on the version that the append will hold to: nobody can slip in
    between the look at a thread's owner and what is done to it.
    """
    access, by = envelope.access, envelope.by
    if access is not None and access.hides(thread):
        _refuse_hidden(thread_id, intents, now)
    planned: list[RecordedEvent] = []
    threads: list[Thread] = []
    for intent in intents:
        command = intent(thread, now) if callable(intent) else intent
        for event in () if command is None else decide(command, thread):
            if access is not None:
                event = access.stamped(event)
            recorded = RecordedEvent(thread_id, thread.version + 1, 0, now, event, by)
            planned.append(recorded)
            thread = evolve(thread, recorded)
            threads.append(thread)
    return planned, threads


def _refuse_hidden(thread_id: str, intents: Sequence[Intent], now: datetime) -> NoReturn:
    """Refuse what is asked of a thread out of reach in the words in which it is refused of one that is not there.

    Only its id is taken, which no server can hide from someone who wants to create that very thread.
    """
    intent = intents[0]
    command = intent(EMPTY_THREAD, now) if callable(intent) else intent
    if isinstance(command, CreateThread | CopyThread):
        raise ThreadExistsError(thread_id=thread_id)
    if command is not None:
        decide(command, EMPTY_THREAD)
    raise ThreadNotFoundError(thread_id=thread_id)


def lease_of(thread_id: str, events: Events, holder: str | None) -> Lease | None:
    """Return the lease that is granted with these events, if one is."""
    for event in events:
        if isinstance(event, RunStarted) and holder is not None:
            return Lease(thread_id, event.run_id, event.attempt, holder)
    return None
