"""The worker: starts the runs that may start, in slots; stops code that the log has fenced; takes up runs of dead processes.

It never decides what becomes of a run. It reacts to committed events, and every start is a command under the thread's version.
Order at a rollback, interrupt, time-out, delete or shutdown, always the same: the decision is appended, which fences the
attempt; its code is cancelled; the next run starts when that code has stopped or the grace time is over.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from ..domain.commands import HandOverRun, StartRun
from ..domain.errors import RefusedError, StoreError
from .attempts import Attempt
from .hub import Committed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ..domain.commands import Command
    from ..domain.ports import Clock, EventStore, Ids, Lease, TaskHandle, Tasks
    from ..domain.thread import Run, Thread
    from .attempts import Runners
    from .executor import Executor, Outcome
    from .hub import Hub, Notice
    from .settings import Settings

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Place:
    """What the worker knows of one thread: the code it runs there, and what it waits for."""

    attempt: Attempt | None = None
    fenced_until: float | None = None
    """Monotonic time at which the grace time of a fenced attempt is over."""
    holds_slot: bool = False
    timer: TaskHandle | None = None
    timer_at: float = field(default=float("inf"))


class Worker:
    """Runs graphs. `holder` is this process's name in leases."""

    def __init__(
        self,
        store: EventStore,
        executor: Executor,
        hub: Hub,
        runners: Runners,
        settings: Settings,
        *,
        holder: str,
        clock: Clock,
        ids: Ids,
        tasks: Tasks,
    ) -> None:
        self._store = store
        self._executor = executor
        self._hub = hub
        self._runners = runners
        self._settings = settings
        self._holder = holder
        self._clock = clock
        self._ids = ids
        self._tasks = tasks
        self._places: dict[str, _Place] = {}
        self._ready: dict[str, None] = {}
        self._lost: dict[str, tuple[str, int]] = {}
        self._slots_free = settings.worker_slots
        self._is_open = False
        self._forget: Callable[[], None] | None = None
        self._watch: TaskHandle | None = None

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Take up what stands in the log, then react to what comes."""
        self._is_open = True
        self._forget = self._hub.listen(self._on_notice)
        await self.recover()
        self._watch = self._tasks.start(self._watch_leases(), "watch leases")

    async def stop(self) -> None:
        """Start nothing more; wait for running code, then hand over what still runs. Loses nothing."""
        self._is_open = False
        self._ready.clear()
        if self._watch is not None:
            self._watch.cancel()
        running = [place.attempt for place in self._places.values() if place.attempt]
        await self._wait_for(running, self._settings.shutdown_seconds)
        for attempt in running:
            if not attempt.is_stopped:
                await self._hand_over(attempt)
        if self._forget is not None:
            self._forget()
        for place in self._places.values():
            if place.timer is not None:
                place.timer.cancel()
        # Handing over has cancelled the code. What does not stop is fenced, and its lease lapses with this process.
        await self._wait_for(running, self._settings.grace_seconds)
        for attempt in running:
            attempt.abandon()

    async def _wait_for(self, attempts: list[Attempt], seconds: float) -> None:
        """Wait until the code of all these attempts has stopped, but no longer than this."""
        if all(attempt.is_stopped for attempt in attempts):
            return
        waiting = self._tasks.start(_all(attempts), "wait for running code")
        alarm = self._tasks.start(self._cancel_after(waiting, seconds), "end of waiting")
        await waiting.wait()
        alarm.cancel()

    async def _cancel_after(self, waiting: TaskHandle, seconds: float) -> None:
        await self._clock.sleep(seconds)
        waiting.cancel()

    async def _hand_over(self, attempt: Attempt) -> None:
        command = HandOverRun(
            thread_id=attempt.thread_id, run_id=attempt.run_id, attempt=attempt.number
        )
        try:
            await self._executor.execute(attempt.thread_id, command)
        except (RefusedError, StoreError):
            logger.info("run %s ended before it could be handed over", attempt.run_id)

    async def flush(self, thread_id: str) -> None:
        """Return when the steps that the thread's run has finished so far are in the log."""
        place = self._places.get(thread_id)
        if place is not None and place.attempt is not None:
            await place.attempt.flush()

    @property
    def slots_free(self) -> int:
        """Runs that could start at once."""
        return self._slots_free

    # ------------------------------------------------------------------ recovery

    async def recover(self) -> None:
        """Take up every run in flight that nobody executes: pending ones, and those of processes that died."""
        rows = await self._store.list_runs_in_flight()
        if not rows:
            return
        alive = {
            (held.lease.run_id, held.lease.attempt)
            for held in await self._store.list_leases()
            if held.is_alive and (held.lease.holder != self._holder or self._has(held.lease))
        }
        for thread_id in dict.fromkeys(row.thread_id for row in rows):
            thread = await self._executor.load(thread_id)
            active = thread.runs.get(thread.active or "")
            if active is not None and active.status == "running":
                if (active.run_id, active.attempt) not in alive:
                    self._lost[thread_id] = (active.run_id, active.attempt)
            self._consider(thread_id, thread)

    def _has(self, lease: Lease) -> bool:
        place = self._places.get(lease.thread_id)
        return place is not None and (place.holds_slot or place.attempt is not None)

    async def _watch_leases(self) -> None:
        """Look now and then for runs of other processes that died, or that nobody was told of."""
        while True:
            await self._clock.sleep(self._settings.lease_seconds / 2)
            try:
                await self.recover()
            except StoreError:
                logger.exception("could not look for lost runs; trying again")

    # ------------------------------------------------------------------ reacting

    def _on_notice(self, notice: Notice) -> None:
        if not isinstance(notice, Committed):
            return
        place = self._places.get(notice.thread_id)
        if place is not None and place.attempt is not None and place.fenced_until is None:
            attempt = place.attempt
            if not attempt.is_active_in(notice.thread) and not attempt.is_code_done:
                place.fenced_until = self._clock.monotonic() + self._settings.grace_seconds
                attempt.cancel()
        self._consider(notice.thread_id, notice.thread)

    def _consider(self, thread_id: str, thread: Thread) -> None:
        """Make the thread ready if a run of it may start now; else see to it that it is considered again in time."""
        lost = self._lost.get(thread_id)
        if lost is not None and not _is_lost(thread, lost):
            del self._lost[thread_id]
            lost = None
        run = thread.next_run()
        if not self._is_open or (run is None and lost is None):
            self._ready.pop(thread_id, None)
            return
        wait = self._seconds_to_wait(thread_id, run)
        if wait is None:
            return
        if wait > 0:
            self._consider_in(thread_id, wait)
            return
        self._ready[thread_id] = None
        self._dispatch()

    def _seconds_to_wait(self, thread_id: str, run: Run | None) -> float | None:
        """Return how long the thread's next run must wait; None: until code that runs here has stopped by itself."""
        place = self._places.get(thread_id)
        if place is not None and place.attempt is not None and not place.attempt.is_code_done:
            if place.fenced_until is None:
                return None
            left = place.fenced_until - self._clock.monotonic()
            if left > 0:
                return left
        if run is None:
            return 0
        return (run.due_at - self._clock.now()).total_seconds()

    def _consider_in(self, thread_id: str, seconds: float) -> None:
        at = self._clock.monotonic() + seconds
        place = self._places.setdefault(thread_id, _Place())
        if place.timer is not None:
            if place.timer_at <= at:
                return
            place.timer.cancel()
        place.timer_at = at
        place.timer = self._tasks.start(self._alarm(thread_id, seconds), f"timer {thread_id}")

    async def _alarm(self, thread_id: str, seconds: float) -> None:
        await self._clock.sleep(seconds)
        place = self._places.get(thread_id)
        if place is not None:
            place.timer, place.timer_at = None, float("inf")
        await self._reconsider(thread_id)

    async def _reconsider(self, thread_id: str) -> None:
        self._consider(thread_id, await self._executor.load(thread_id))
        self._tidy(thread_id)

    # ------------------------------------------------------------------ starting

    def _dispatch(self) -> None:
        while self._slots_free > 0 and self._ready:
            thread_id = next(iter(self._ready))
            del self._ready[thread_id]
            place = self._places.setdefault(thread_id, _Place())
            if place.holds_slot:
                if place.fenced_until is None:
                    continue  # It is being started already.
                self._slots_free += 1  # Fenced code that does not stop holds no slot.
            place.holds_slot = True
            place.attempt, place.fenced_until = None, None
            self._slots_free -= 1
            self._tasks.start(self._start(thread_id, place), f"start {thread_id}")

    async def _start(self, thread_id: str, place: _Place) -> None:
        outcome: Outcome | None = None
        try:
            wait = await self._seconds_for_others(thread_id)
            if wait > 0:
                self._consider_in(thread_id, wait)
            else:
                lost = self._lost.pop(thread_id, None)
                outcome = await self._executor.execute(
                    thread_id, lambda thread, now: self._command(thread_id, thread, now, lost),
                    actor=f"worker:{self._holder}", holder=self._holder,
                )  # fmt: skip
        except RefusedError:
            pass  # Another process was first, or the run is gone; whatever stands now is considered below.
        except StoreError:
            logger.exception("could not start a run of thread %s; trying again", thread_id)
            self._consider_in(thread_id, self._settings.poll_seconds)
        run = None if outcome is None else outcome.thread.runs.get(outcome.thread.active or "")
        if outcome is None or run is None or run.status != "running" or not outcome.events:
            self._give_back(place)
            self._tidy(thread_id)
            thread = self._executor.cached(thread_id)
            if thread is not None and outcome is not None:
                self._consider(thread_id, thread)
            return
        attempt = Attempt(
            thread_id, outcome.thread, run, self._holder,
            executor=self._executor, hub=self._hub, runners=self._runners, settings=self._settings,
            clock=self._clock, ids=self._ids, tasks=self._tasks,
        )  # fmt: skip
        place.attempt = attempt
        attempt.start(lambda: self._stopped(place, attempt))
        newest = self._executor.cached(thread_id)
        if newest is not None and not attempt.is_active_in(newest):  # Fenced before it was here.
            self._on_notice(Committed(thread_id, (), newest, newest))

    def _command(
        self, thread_id: str, thread: Thread, now: datetime, lost: tuple[str, int] | None
    ) -> Command:
        run = thread.next_run()
        if lost is not None and _is_lost(thread, lost):
            run = thread.runs[lost[0]]
        run_id, attempt = (run.run_id, run.attempt + 1) if run is not None else ("", 0)
        return StartRun(
            thread_id=thread_id,
            run_id=run_id,
            attempt=attempt,
            holder=self._holder,
            now=now,
            attempts_max=self._settings.attempts_max,
        )

    async def _seconds_for_others(self, thread_id: str) -> float:
        """Return how long to wait for another process whose code still runs on the thread, though it is fenced."""
        thread = self._executor.cached(thread_id) or await self._executor.load(thread_id)
        if thread.holder in ("", self._holder):
            return 0
        held = await self._store.list_leases(thread_id)
        if not any(lease.is_alive and lease.lease.holder != self._holder for lease in held):
            return 0
        over_at = thread.updated_at + timedelta(seconds=self._settings.grace_seconds)
        left = (over_at - self._clock.now()).total_seconds()
        return min(left, self._settings.poll_seconds / 5)

    # ------------------------------------------------------------------ stopping

    def _stopped(self, place: _Place, attempt: Attempt) -> None:
        """The attempt's code has stopped, and its end is in the log, or it was fenced."""
        if place.attempt is not attempt:
            return  # It outlived its grace time; its place has gone to another attempt since.
        place.attempt, place.fenced_until = None, None
        self._give_back(place)
        if self._is_open:
            thread = self._executor.cached(attempt.thread_id)
            if thread is not None:
                self._consider(attempt.thread_id, thread)
        self._tidy(attempt.thread_id)

    def _give_back(self, place: _Place) -> None:
        if place.holds_slot:
            place.holds_slot = False
            self._slots_free += 1
            self._dispatch()

    def _tidy(self, thread_id: str) -> None:
        place = self._places.get(thread_id)
        if place and not place.holds_slot and place.attempt is None and place.timer is None:
            del self._places[thread_id]


def _is_lost(thread: Thread, lost: tuple[str, int]) -> bool:
    run = thread.runs.get(lost[0])
    return run is not None and run.status == "running" and run.attempt == lost[1]


async def _all(attempts: list[Attempt]) -> None:
    for attempt in attempts:
        await attempt.wait()
