"""The worker: starts the runs that may start, in slots; stops code that the log has fenced; takes up runs of dead processes.

It never decides what becomes of a run. It reacts to committed events, and every start is a command under the thread's version.
Order at a rollback, interrupt, time-out, delete or shutdown, always the same: the decision is appended, which fences the
attempt; its code is cancelled; the next run starts when that code has stopped or the grace time is over.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from ..domain.commands import StartRun
from ..domain.errors import RefusedError, StoreError
from ..domain.events import RunStarted
from .attempts import Attempt
from .draining import hand_over
from .hub import Committed
from .lines import Lines
from .places import Place, last_moments
from .recovery import Recovery, is_lost
from .waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ..domain.commands import Command, SubmitRun
    from ..domain.ports import Clock, EventStore, Ids, Lease, TaskHandle, Tasks
    from ..domain.thread import Run, Thread
    from .answers import Keep
    from .attempts import Runners
    from .checkpoint_logs import WholeThreads
    from .deciding import Outcome
    from .executor import Executor
    from .hub import Hub, Notice
    from .settings import Settings

logger = logging.getLogger(__name__)


class Worker:
    """Runs graphs. `holder` is this process's name in leases."""

    def __init__(
        self,
        store: EventStore,
        executor: Executor,
        hub: Hub,
        runners: Runners,
        wholes: WholeThreads,
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
        self._places: dict[str, Place] = {}
        self.lines = Lines[str]()
        self._wholes = wholes
        self._attempts: set[Attempt] = set()
        """Those whose code has not stopped, also where nobody waits for it any more."""
        self._ready: dict[str, None] = {}
        self._lost: dict[str, tuple[str, int]] = {}
        self._slots_free = settings.worker_slots
        self._is_open = False
        self._forget: Callable[[], None] | None = None
        self._watch: TaskHandle | None = None
        self._recovery = Recovery(
            store, executor, settings, holder=holder, clock=clock, has=self._has, found=self._found
        )

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Take up what stands in the log, then react to what comes."""
        self._is_open = True
        self._forget = self._hub.listen(self._on_notice)
        await self._recovery.recover()
        self._watch = self._tasks.start(self._recovery.watch(), "watch leases")

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
        await wait_for(
            running, self._settings.shutdown_seconds, clock=self._clock, tasks=self._tasks
        )
        for attempt in running:
            if not attempt.is_stopped:
                await hand_over(attempt, self._executor)
        if self._forget is not None:
            self._forget()
        for place in self._places.values():
            if place.timer is not None:
                place.timer.cancel()
        # Handing over has cancelled the code. What does not stop is fenced, and its lease lapses with this process.
        await wait_for(running, self._settings.grace_seconds, clock=self._clock, tasks=self._tasks)
        for attempt in {*running, *self._attempts}:
            attempt.abandon()

    async def flush(self, thread_id: str, run_id: str | None = None) -> None:
        """Return when the steps that the thread's run (or this run, if it is that) has finished so far are in the log."""
        place = self._places.get(thread_id)
        attempt = None if place is None else place.attempt
        if attempt is not None and run_id in (None, attempt.run_id):
            await attempt.flush()

    @property
    def slots(self) -> tuple[int, int]:
        """Runs that could start here at once, and attempts that outlived their grace time and have not stopped."""
        placed = {place.attempt for place in self._places.values()}
        return self._slots_free, len(self._attempts - placed)

    def _has(self, lease: Lease) -> bool:
        place = self._places.get(lease.thread_id)
        return place is not None and (place.holds_slot or place.attempt is not None)

    def _found(self, thread_id: str, thread: Thread, lost: tuple[str, int] | None) -> None:
        """Consider a thread that has runs in flight; `lost` is the attempt that its process died with."""
        if lost is not None:
            self._lost[thread_id] = lost
        self._consider(thread_id, thread)

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
        if lost is not None and not is_lost(thread, lost):
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

    def _give_up(self, place: Place) -> None:
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
        place = self._places.setdefault(thread_id, Place())
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
            place = self._places.setdefault(thread_id, Place())
            if place.holds_slot:
                if place.fenced_until is None:
                    continue  # It is being started already.
                self._slots_free += 1  # Fenced code that does not stop holds no slot.
            place.holds_slot = True
            place.attempt, place.fenced_until = None, None
            self._slots_free -= 1
            place.starting = self._tasks.start(self._start(thread_id, place), f"start {thread_id}")

    async def _start(self, thread_id: str, place: Place) -> None:
        attempt: Attempt | None = None
        try:
            attempt = await self._begin(thread_id, place)
        except RefusedError:
            pass  # Another process was first, or the run is gone; whatever stands now is considered below.
        except Exception:
            logger.exception("could not start a run of thread %s; trying again", thread_id)
            place.not_before = self._clock.monotonic() + self._settings.poll_seconds
        self._started(thread_id, place, attempt)

    def _started(self, thread_id: str, place: Place, attempt: Attempt | None) -> None:
        """Run the attempt, or give its slot back if there is none; then react to what was committed meanwhile."""
        place.starting = None
        if attempt is None:
            self._give_back(place)
        else:
            place.attempt = attempt
            self._attempts.add(attempt)
            attempt.start(lambda: self._stopped(place, attempt))
        thread = self._executor.cached(thread_id)
        if thread is not None:
            self._react(thread_id, thread)
        self._tidy(thread_id)

    async def submit(
        self, thread_id: str, command: SubmitRun, executor: Executor, keep: Keep[Outcome] | None
    ) -> Outcome:
        """Execute the command; a run that may start at once in a free slot is accepted and started in one append.

        `executor` is the caller's, who may not reach every thread; `keep` makes the answer that is kept with what is appended.
        """
        await last_moments(self._places.get(thread_id), self._executor.cached(thread_id))
        place = self._claimed(thread_id)
        if place is None:
            return await executor.execute(thread_id, command, keep=keep)
        outcome = executor.begin(
            thread_id, command, lambda thread, now: self._first(command, thread, now),
            holder=self._holder, keep=keep,
        )  # fmt: skip
        place.starting = self._tasks.start(
            self._submitted(thread_id, place, outcome), f"submit {command.run_id}"
        )
        return await asyncio.shield(outcome)

    async def _submitted(
        self, thread_id: str, place: Place, outcome: asyncio.Future[Outcome]
    ) -> None:
        attempt: Attempt | None = None
        with suppress(Exception):  # It is the caller's.
            attempt = self._attempt_of(thread_id, await outcome)
        self._started(thread_id, place, attempt)

    def _claimed(self, thread_id: str) -> Place | None:
        """Take a slot for a run that is about to be accepted, if it is sure to be the only one that wants to start."""
        thread = self._executor.cached(thread_id)
        place = self._places.get(thread_id)
        is_free = self._is_open and self._slots_free > 0 and not self._ready
        if not is_free or thread is None or thread.runs or thread.holder not in ("", self._holder):
            return None
        if place is not None and (place.holds_slot or place.attempt is not None):
            return None
        place = self._places.setdefault(thread_id, Place())
        place.holds_slot = True
        self._slots_free -= 1
        return place

    def _first(self, command: SubmitRun, thread: Thread, now: datetime) -> Command | None:
        run = thread.next_run()
        if run is None or run.run_id != command.run_id or run.attempt or run.due_at > now:
            return None
        if thread.holder not in ("", self._holder):
            return None  # Another process was here meanwhile; its code may still run.
        return self._command(command.thread_id, thread, now, None)

    async def _begin(self, thread_id: str, place: Place) -> Attempt | None:
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
        return self._attempt_of(thread_id, outcome)

    def _attempt_of(self, thread_id: str, outcome: Outcome) -> Attempt | None:
        """Return the attempt that these events start, if they do."""
        run = outcome.thread.runs.get(outcome.thread.active or "")
        started = [e.event for e in outcome.events if isinstance(e.event, RunStarted)]
        if run is None or run.status != "running" or not started:
            return None
        return Attempt(
            thread_id, outcome.thread, run, self._holder,
            executor=self._executor, hub=self._hub, runners=self._runners,
            wholes=self._wholes, store=self._store, settings=self._settings,
            clock=self._clock, ids=self._ids, tasks=self._tasks,
        )  # fmt: skip

    def _command(
        self, thread_id: str, thread: Thread, now: datetime, lost: tuple[str, int] | None
    ) -> Command:
        run = thread.next_run()
        if lost is not None and is_lost(thread, lost):
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

    async def _seconds_for_others(self, thread_id: str, place: Place) -> float:
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

    def _stopped(self, place: Place, attempt: Attempt) -> None:
        """The attempt's code has stopped, and its end is in the log, or it was fenced."""
        self._attempts.discard(attempt)
        if place.attempt is not attempt:
            return  # It outlived its grace time; its place has gone to another attempt since.
        place.attempt, place.fenced_until = None, None
        self._give_back(place)
        thread = self._executor.cached(attempt.thread_id) if self._is_open else None
        if thread is not None:
            self._consider(attempt.thread_id, thread)
        self._tidy(attempt.thread_id)

    def _give_back(self, place: Place) -> None:
        if place.holds_slot:
            place.holds_slot = False
            self._slots_free += 1
            self._dispatch()

    def _tidy(self, thread_id: str) -> None:
        place = self._places.get(thread_id)
        if place and not place.holds_slot and place.attempt is None and place.timer is None:
            del self._places[thread_id]
