"""What a run's webhook is told: the call is written with the run's end, and made later (`webhooks.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from ..domain.events import RunEnded, RunRolledBack
from ..domain.kept_ports import Delivery
from .queries import run_view
from .results import result_of
from .rows import run_rows
from .run_objects import error_object, run_object, values_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..domain.events import RecordedEvent
    from ..domain.ports import Ids
    from ..domain.thread import Thread
    from .hub import Hub


class Posting:
    """Finds the calls that an append brings about."""

    def __init__(self, hub: Hub, *, ids: Ids) -> None:
        self._hub = hub
        self._ids = ids

    def deliveries(
        self,
        thread_id: str,
        before: Thread,
        planned: Iterable[RecordedEvent],
        threads: Iterable[Thread],
    ) -> Sequence[Delivery]:
        """Return the calls that these events bring about: one for each run with a webhook that they end, rolled back or not."""
        found: list[Delivery] = []
        for recorded, thread in zip(planned, threads, strict=True):
            event = recorded.event
            if isinstance(event, RunEnded | RunRolledBack) and event.run_id in before.runs:
                url = before.runs[event.run_id].accepted.kwargs.get("webhook")
                if isinstance(url, str):
                    body = _body(thread_id, event.run_id, before, recorded, thread, self._hub)
                    found.append(
                        Delivery(
                            delivery_id=self._ids.message_id(),
                            thread_id=thread_id,
                            run_id=event.run_id,
                            url=url,
                            body=body,
                            created_at=recorded.recorded_at,
                            due_at=recorded.recorded_at,
                        )
                    )
            before = thread
        return found


def _body(
    thread_id: str, run_id: str, before: Thread, recorded: RecordedEvent, thread: Thread, hub: Hub
) -> bytes:
    (row,) = run_rows(thread_id, before, thread, [recorded])
    run = before.runs[run_id]
    view = run_view(row, run.accepted, run.actor, before)
    result = result_of(run_id, recorded, thread, hub)
    is_gone = result.status == "rolled_back"
    content: dict[str, Any] = {
        **run_object(view),
        "event": "run.rolled_back" if is_gone else "run.ended",
        "values": None if is_gone else values_object(result),
        "error": error_object(result.error),
    }
    return orjson.dumps(content)
