"""From intents to an append: the events that are decided, and all that has to become durable together with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ..domain.events import RunAccepted, RunRolledBack
from ..domain.ports import Append
from .deciding import Outcome, lease_of
from .rows import hidden_runs, hides_all, run_rows, thread_row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..domain.events import Events, RecordedEvent
    from ..domain.kept_ports import Delivery
    from ..domain.thread import Thread
    from .deciding import Envelope
    from .settings import Settings


Post: TypeAlias = (
    "Callable[[str, Thread, Sequence[RecordedEvent], Sequence[Thread]], Sequence[Delivery]]"
)
"""Says which calls of webhooks these events of a thread bring about, given the thread before and after each of them."""


def no_post(*_: object) -> Sequence[Delivery]:
    """Bring about none."""
    return ()


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
            lease=lease_of(thread_id, events, envelope.holder),
            release=envelope.release,
            erase_runs=self._erased(events),
            erase_thread=hides_all(planned),
            actor=envelope.by,
            answer=None if keep is None else keep(Outcome(tuple(planned), before, after)),
            deliveries=self._post(thread_id, before, planned, threads),
        )

    def _erased(self, events: Events) -> tuple[str, ...]:
        if self._settings.retention == "keep":
            return ()
        return tuple(event.run_id for event in events if isinstance(event, RunRolledBack))
