"""The one thread that writes a log: it takes what waits, and commits it as a group.

Each write of a group stands or falls by itself, and is answered only after the commit. No SQL here: a
session, made by the database's own module, knows the statements.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from eventsourcing.persistence import OperationalError, PersistenceError

from .planning import Planner, Write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .planning import Ledger, Plan

logger = logging.getLogger(__name__)

Waiter: TypeAlias = "asyncio.Future[Any] | Future[Any]"

CRASH_POINTS = ("before_commit", "after_commit", "before_ack")
"""Where `crash_point` is called, for tests that kill the process there."""


class Session(Protocol):
    """The writer's own connection. Errors are those of `eventsourcing.persistence`."""

    @property
    def ledger(self) -> Ledger:
        """The log as seen from inside the transaction."""
        ...

    def begin(self) -> None:
        """Start a transaction that keeps all other writers out."""
        ...

    def write(self, plan: Plan) -> None:
        """Write the plan's rows."""
        ...

    def commit(self) -> None:
        """Make durable what was written."""
        ...

    def rollback(self) -> None:
        """Undo what was written."""
        ...

    def holds(self, plan: Plan) -> bool:
        """Return whether the log has the plan's events, each in its place and with the same bytes."""
        ...

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Execute a statement of a task, and return its rows."""
        ...

    def close(self) -> None:
        """Disconnect; never raises."""
        ...


Task: TypeAlias = "Callable[[Session], Any]"
"""Work in a transaction of the writer's that is no append. May be run again after an error."""


@dataclass(slots=True, eq=False)
class Job:
    """A write or a task, and who waits for it."""

    work: Write | Task
    waiter: Waiter


def _no_crash(_point: str) -> None:
    """Go on: what production does at a crash point."""


class GroupWriter:
    """Writes in order of submission, many at a time, over one session.

    `on_commit` is called in the writer's thread after each commit that added events, `on_group` after each group with its size
    and the seconds that it took.
    """

    def __init__(
        self,
        connect: Callable[[], Session],
        *,
        group_max: int = 256,
        queue_max: int = 20_000,
        on_commit: Callable[[], None] = lambda: None,
        crash_point: Callable[[str], None] = _no_crash,
        on_group: Callable[[int, float], None] | None = None,
    ) -> None:
        self._on_group = on_group
        self._connect = connect
        self._group_max = group_max
        self._queue_max = queue_max
        self._on_commit = on_commit
        self._crash_point = crash_point
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = Lock()
        self._writing = Lock()
        self._closing = Event()
        self._has_group = False
        self._has_news = False
        self._session: Session | None = None
        self._thread = Thread(target=self._run, name="threadfold-writer", daemon=True)

    def start(self) -> None:
        """Connect, then take work."""
        self._session = self._connect()
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Take the job; its waiter is told when it is done.

        Raises:
            OperationalError: the writer is closed, or too much is waiting; the job was not taken.
        """
        with self._lock:
            if self._closing.is_set():
                raise OperationalError("The log is closed")
            if self._queue.qsize() >= self._queue_max:
                raise OperationalError(f"{self._queue_max} writes are waiting already")
            self._queue.put(job)

    def call(self, work: Write | Task) -> object:
        """Do the work and return its outcome; for threads other than an event loop's.

        If nothing else is being written, the calling thread does it itself: to hand it over and to be
        woken takes as long as half a commit.
        """
        is_idle = self._queue.empty() and not self._has_group
        if is_idle and self._writing.acquire(blocking=False):
            try:
                if not self._closing.is_set():
                    return _result(self._finish([work], lambda _: None)[0])
            finally:
                self._writing.release()
        waiter: Future[object] = Future()
        self.submit(Job(work, waiter))
        return waiter.result()

    def close(self) -> None:
        """Finish what was taken, then disconnect."""
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
            self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        is_open = True
        while is_open:
            group, is_open = self._next_group()
            if group:
                # Or callers that write by themselves could get in first, again and again.
                self._has_group = True
                waiters = [job.waiter for job in group]
                with self._writing:
                    self._has_group = False
                    self._finish([job.work for job in group], partial(_answer_all, waiters))
        self._disconnect()

    def _finish(
        self, works: Sequence[Write | Task], answer_all: Callable[[Sequence[Any]], object]
    ) -> Sequence[Any]:
        """Write a group; whatever happens, there is an answer for each of its works."""
        began = perf_counter()
        try:
            outcomes = self._outcomes(works)
            self._crash_point("before_ack")
        except Exception as error:
            logger.exception("A group of writes broke off")
            outcomes = [error] * len(works)
            self._disconnect()
        answer_all(outcomes)
        if self._on_group is not None:
            self._on_group(len(works), perf_counter() - began)
        if self._has_news:
            self._has_news = False
            self._on_commit()
        return outcomes

    def _next_group(self) -> tuple[list[Job], bool]:
        """Wait for work, then take all that is there up to the bound; False after the last."""
        job = self._queue.get()
        group: list[Job] = []
        while job is not None:
            group.append(job)
            if len(group) >= self._group_max:
                return group, True
            try:
                job = self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _outcomes(self, works: Sequence[Write | Task]) -> list[Any]:
        """Write a group; return each work's result or error."""
        try:
            session = self._session = self._session or self._connect()
            session.begin()
        except PersistenceError as error:
            self._disconnect()
            return [error] * len(works)
        try:
            plan, outcomes = self._perform(session, works)
        except Exception as error:  # noqa: BLE001 - whatever it is, only one of the works has it
            return self._after_error(session, works, error)
        return self._commit(session, plan, outcomes)

    def _perform(self, session: Session, works: Sequence[Write | Task]) -> tuple[Plan, list[Any]]:
        """Do all work of the group in the transaction that is open: appends first, then tasks."""
        plan = Planner(session.ledger).plan([work for work in works if isinstance(work, Write)])
        session.write(plan)
        planned = iter(plan.outcomes)
        return plan, [next(planned) if isinstance(work, Write) else work(session) for work in works]

    def _after_error(
        self, session: Session, works: Sequence[Write | Task], error: Exception
    ) -> list[Any]:
        """Undo all, then do each work in a transaction of its own, so that only a bad one fails."""
        try:
            session.rollback()
        except PersistenceError:
            self._disconnect()
        if len(works) == 1:
            return [error]
        return [outcome for work in works for outcome in self._outcomes([work])]

    def _commit(self, session: Session, plan: Plan, outcomes: list[Any]) -> list[Any]:
        try:
            self._crash_point("before_commit")
            session.commit()
            self._crash_point("after_commit")
        except Exception as error:  # noqa: BLE001 - nothing is known now, whatever was raised
            logger.warning("A commit failed; looking whether it stands: %s", error)
            if not self._stands(plan, error):
                lost = OperationalError(f"The commit failed: {error}")
                return [outcome if isinstance(outcome, Exception) else lost for outcome in outcomes]
        self._has_news = self._has_news or bool(plan.events)
        return outcomes

    def _stands(self, plan: Plan, error: Exception) -> bool:
        """Return whether a commit that failed took effect, as a new connection sees the log.

        The group was one transaction, so its events tell for all of it. As long as the database does
        not answer, neither does this: a wrong answer is worse than a late one. Only closing ends it.
        """
        pause_seconds = 0.01
        while True:
            self._disconnect()
            try:
                session = self._session = self._connect()
                return session.holds(plan)
            except PersistenceError:
                if self._closing.wait(pause_seconds):
                    logger.exception("Whether the commit stands is not known: %s", error)
                    return False
                pause_seconds = min(pause_seconds * 2, 1.0)

    def _disconnect(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def _result(outcome: object) -> object:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _answer_all(waiters: Sequence[Waiter], outcomes: Sequence[Any]) -> None:
    """Tell the waiters of a group; each event loop is woken once."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[tuple[Waiter, Any]]] = defaultdict(list)
    for waiter, outcome in zip(waiters, outcomes, strict=True):
        if isinstance(waiter, asyncio.Future):
            by_loop[waiter.get_loop()].append((waiter, outcome))
        else:
            answer(waiter, outcome)
    for loop, answers in by_loop.items():
        try:
            loop.call_soon_threadsafe(_answer_in_loop, answers)
        except RuntimeError:
            logger.debug("An event loop closed before its writes were answered")


def _answer_in_loop(answers: Sequence[tuple[Waiter, object]]) -> None:
    for waiter, outcome in answers:
        answer(waiter, outcome)


def answer(waiter: Waiter, outcome: object) -> None:
    """Tell a waiter the result or the error, in its own thread; nothing if it has gone."""
    if waiter.done():
        return  # Cancelled meanwhile; the write stands all the same.
    if isinstance(outcome, Exception):
        waiter.set_exception(outcome)
    else:
        waiter.set_result(outcome)
