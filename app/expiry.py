"""Ends threads whose time to live is over. It sleeps until the next one's is, and is woken when an earlier one appears."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from ..domain.commands import ExpireThread
from ..domain.errors import EngineError, StoreError
from .hub import Committed
from .many import execute_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ..domain.graph_ports import Intent
    from ..domain.ports import Clock, EventStore, TaskHandle, Tasks, ThreadRow
    from ..domain.thread import Thread
    from .executor import Executor
    from .hub import Hub, Notice
    from .settings import Settings

logger = logging.getLogger(__name__)

THREADS_AT_ONCE = 256
"""Threads that are looked at together: memory does not grow with how many are over."""

SLEEP_SECONDS_MAX = 3600.0
"""The longest sleep: the clock of the day may be set while the other one, that sleeps go by, runs on."""

MARGIN = timedelta(milliseconds=1)
"""Slept longer than needed, so that nobody wakes a moment too early."""

STUCK_SECONDS = 60.0
"""How long a thread that could not be ended is left alone."""


class Expiry:
    """Ends threads in time. Several processes may do so on one store: only one of them finds a thread still there."""

    def __init__(
        self,
        store: EventStore,
        executor: Executor,
        hub: Hub,
        settings: Settings,
        *,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._store = store
        self._executor = executor
        self._hub = hub
        self._settings = settings
        self._clock = clock
        self._tasks = tasks
        self._forget: Callable[[], None] | None = None
        self._timer: TaskHandle | None = None
        self._wakes_at: datetime | None = None
        self._is_sweeping = False
        self._heard_of: datetime | None = None
        """The earliest end that was heard of during a sweep."""

    def start(self) -> None:
        """End what is over already, then react to what comes."""
        self._forget = self._hub.listen(self._on_notice)
        self._wake_at(self._clock.now())

    def stop(self) -> None:
        """End nothing more; what is being ended is ended whole."""
        if self._forget is not None:
            self._forget()
            self._forget = None
        if self._timer is not None:
            self._timer.cancel()

    def _on_notice(self, notice: Notice) -> None:
        if not isinstance(notice, Committed) or notice.thread.ttl is None:
            return
        at = notice.thread.expires_at
        if at is None:
            return
        if self._is_sweeping:
            self._heard_of = at if self._heard_of is None else min(at, self._heard_of)
        elif self._wakes_at is None or at < self._wakes_at:
            self._wake_at(at)

    def _wake_at(self, at: datetime) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = at
        self._timer = self._tasks.start(self._sweep_at(at), "expiry of threads")

    async def _sweep_at(self, at: datetime) -> None:
        left = (at + MARGIN - self._clock.now()).total_seconds()
        await self._clock.sleep(min(max(left, 0), SLEEP_SECONDS_MAX))
        self._is_sweeping = True
        try:
            again_at = await self._sweep()
        except StoreError:
            logger.exception("could not look for threads whose time is over; trying again")
            again_at = self._clock.now() + timedelta(seconds=self._settings.poll_seconds)
        except Exception:
            logger.exception("looking for threads whose time is over went wrong; trying again")
            again_at = self._clock.now() + timedelta(seconds=STUCK_SECONDS)
        finally:
            self._is_sweeping = False
        self._timer, self._wakes_at = None, None
        if again_at is not None and self._forget is not None:
            self._wake_at(again_at)

    async def _sweep(self) -> datetime | None:
        """End what is over; return when to look again, None if nothing is going to end."""
        before: Sequence[ThreadRow] = ()
        while True:
            self._heard_of = None
            rows = await self._store.list_expiring(limit=THREADS_AT_ONCE)
            now = self._clock.now()
            due = [row for row in rows if row.expires_at is not None and row.expires_at <= now]
            if due == before and due:
                return now + timedelta(seconds=STUCK_SECONDS)
            if not due:
                ends = [at for at in (self._heard_of, *(row.expires_at for row in rows)) if at]
                return min(ends, default=None)
            await self._end(due)
            before = due

    async def _end(self, due: Sequence[ThreadRow]) -> None:
        found = await execute_all(
            self._executor, self._tasks, {row.thread_id: _ended(row.thread_id) for row in due}
        )
        for thread_id, outcome in found.items():
            if isinstance(outcome, EngineError):
                logger.warning("could not end thread %s in time: %s", thread_id, outcome)


def _ended(thread_id: str) -> Intent:
    def intent(thread: Thread, now: datetime) -> ExpireThread:
        del thread
        return ExpireThread(thread_id=thread_id, now=now)

    return intent
