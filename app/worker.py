"""The worker: starts the runs that may start, in slots; stops code that the log has fenced; takes up runs of dead processes.

It never decides what becomes of a run. It reacts to committed events, and every start is a command under the thread's version.
Order at a rollback, interrupt, time-out, delete or shutdown, always the same: the decision is appended, which fences the
attempt; its code is cancelled; the next run starts when that code has stopped or the grace time is over.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
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
    from .executor import Executor
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
    starting: TaskHandle | None = None
    not_before: float = 0.0
    """Monotonic time before which nothing is started: another process's code still runs, or the store is away."""
    others_until: float | None = None
    """Monotonic time at which the grace time of another process's fenced code is over."""
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
        for place in tuple(self._places.values()):
            if place.starting is not None:
                await place.starting.wait()
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
        ids = dict.fromkeys(row.thread_id for row in rows)
        threads = {thread_id: await self._executor.load(thread_id) for thread_id in ids}
        # Asked last: a lease is granted together with its RunStarted, so that of a run that is seen running is there.
        alive, dead = await self._leases()
        for thread_id, thread in threads.items():
            active = thread.runs.get(thread.active or "")
            if active is not None and active.status == "running":
                current = (active.run_id, active.attempt)
                if current not in alive:
                    self._lost[thread_id] = current
            self._consider(thread_id, self._executor.cached(thread_id) or thread)
        for lease in dead:
            await self._executor.release(lease)

    async def _leases(self) -> tuple[set[tuple[str, int]], list[Lease]]:
        """Return the attempts whose processes live, and the leases of those whose processes do not."""
        alive: set[tuple[str, int]] = set()
        dead: list[Lease] = []
        for held in await self._store.list_leases():
            lease = held.lease
            if held.is_alive and (lease.holder != self._holder or self._has(lease)):
                alive.add((lease.run_id, lease.attempt))
            else:
                dead.append(lease)
        return alive, dead

    def _has(self, lease: Lease) -> bool:
        place = self._places.get(lease.thread_id)
        return place is not None and (place.holds_slot or place.attempt is not None)

    async def _watch_leases(self) -> None:
        """Look for runs of processes that died, soon after; now and then also for runs that nobody was told of."""
        everything_at = self._clock.monotonic() + self._settings.lease_seconds / 2
        while True:
            await self._clock.sleep(
                min(self._settings.poll_seconds, self._settings.lease_seconds / 2)
            )
            try:
                _, dead = await self._leases()
                if dead or self._clock.monotonic() >= everything_at:
                    await self.recover()
                    everything_at = self._clock.monotonic() + self._settings.lease_seconds / 2
            except StoreError:
                logger.exception("could not look for lost runs; trying again")

    # ------------------------------------------------------------------ reacting

    def _on_notice(self, notice: Notice) -> None:
        if isinstance(notice, Committed):
            self._react(notice.thread_id, notice.thread)

    def _react(self, thread_id: str, thread: Thread) -> None:
        """Stop the code that runs here if the log has fenced it; start what may start."""
        place = self._places.get(thread_id)
        attempt = place.attempt if place is not None else None
        is_stale = attempt is not None and not (
            attempt.is_active_in(thread) or attempt.is_code_done
        )
        if place is not None and attempt is not None and is_stale and place.fenced_until is None:
            grace = self._settings.grace_seconds
            place.fenced_until = self._clock.monotonic() + grace
            attempt.cancel()
            # Its slot is given back then, also if nothing waits for the thread.
            self._consider_in(thread_id, grace)
        self._consider(thread_id, thread)

    def _consider(self, thread_id: str, thread: Thread) -> None:
        """Make the thread ready if a run of it may start now; else see to it that it is considered again in time."""
        place = self._places.get(thread_id)
        if place is not None:
            self._give_up(place)
        lost = self._lost.get(thread_id)
        if lost is not None and not _is_lost(thread, lost):
            del self._lost[thread_id]
            lost = None
        run = thread.next_run()
        if not self._is_open or (run is None and lost is None):
            self._ready.pop(thread_id, None)
            return
        wait = self._seconds_to_wait(thread_id, thread, run)
        if wait is None:
            return
        if wait > 0:
            self._consider_in(thread_id, wait)
            return
        self._ready[thread_id] = None
        self._dispatch()

    def _give_up(self, place: _Place) -> None:
        """Leave fenced code that has outlived its grace time to itself: it holds no slot, and nothing waits for it."""
        if place.fenced_until is not None and self._clock.monotonic() >= place.fenced_until:
            place.attempt, place.fenced_until = None, None
            self._give_back(place)

    def _seconds_to_wait(self, thread_id: str, thread: Thread, run: Run | None) -> float | None:
        """Return how long the thread's next run must wait; None: until code that runs here has stopped by itself."""
        place = self._places.get(thread_id)
        left = 0.0
        if place is not None:
            left = place.not_before - self._clock.monotonic()
            if place.attempt is not None and not place.attempt.is_code_done:
                if place.fenced_until is None:
                    return None
                left = max(left, place.fenced_until - self._clock.monotonic())
        if run is None:
            return left
        # A clock that was set back, or another machine's that is ahead, holds nothing up.
        now = max(self._clock.now(), thread.updated_at)
        return max(left, (run.due_at - now).total_seconds())

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
        try:
            self._consider(thread_id, await self._executor.load(thread_id))
        except StoreError:
            logger.exception("could not read thread %s; trying again", thread_id)
            self._consider_in(thread_id, self._settings.poll_seconds)
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
            place.starting = self._tasks.start(self._start(thread_id, place), f"start {thread_id}")

    async def _start(self, thread_id: str, place: _Place) -> None:
        attempt: Attempt | None = None
        try:
            attempt = await self._begin(thread_id, place)
        except RefusedError:
            pass  # Another process was first, or the run is gone; whatever stands now is considered below.
        except Exception:
            logger.exception("could not start a run of thread %s; trying again", thread_id)
            place.not_before = self._clock.monotonic() + self._settings.poll_seconds
        place.starting = None
        if attempt is None:
            self._give_back(place)
        else:
            place.attempt = attempt
            attempt.start(lambda: self._stopped(place, attempt))
        thread = self._executor.cached(thread_id)
        if thread is not None:  # What was committed meanwhile found no code here.
            self._react(thread_id, thread)
        self._tidy(thread_id)

    async def _begin(self, thread_id: str, place: _Place) -> Attempt | None:
        """Record the start of what may start; None if it must wait, or if it came to an end instead."""
        wait = await self._seconds_for_others(thread_id, place)
        if wait > 0:
            place.not_before = self._clock.monotonic() + wait
            return None
        place.others_until = None
        lost = self._lost.pop(thread_id, None)
        outcome = await self._executor.execute(
            thread_id, lambda thread, now: self._command(thread_id, thread, now, lost),
            holder=self._holder,
        )  # fmt: skip
        run = outcome.thread.runs.get(outcome.thread.active or "")
        if run is None or run.status != "running" or not outcome.events:
            return None
        return Attempt(
            thread_id, outcome.thread, run, self._holder,
            executor=self._executor, hub=self._hub, runners=self._runners, settings=self._settings,
            clock=self._clock, ids=self._ids, tasks=self._tasks,
        )  # fmt: skip

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

    async def _seconds_for_others(self, thread_id: str, place: _Place) -> float:
        """Return how long to wait for another process whose code still runs on the thread, though it is fenced."""
        thread = self._executor.cached(thread_id) or await self._executor.load(thread_id)
        if thread.holder in ("", self._holder):
            return 0
        held = await self._store.list_leases(thread_id)
        if not any(lease.is_alive and lease.lease.holder != self._holder for lease in held):
            return 0
        now = self._clock.monotonic()
        if place.others_until is None:
            place.others_until = now + self._settings.grace_seconds
        return min(place.others_until - now, self._settings.poll_seconds / 5)

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
