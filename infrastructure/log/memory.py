"""A log in memory, which behaves like one in a database until the process ends.

It keeps what the tables would hold, in the same form: whatever goes in comes out as a copy. Work is
done when it is submitted, in the caller's thread; the lock is for the library's recorders, which any
thread may call. Several stores may share one log, as processes share a database.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from heapq import nsmallest
from itertools import islice
from threading import RLock
from typing import TYPE_CHECKING, TypeVar, cast

from ...domain.ports import Lease
from .log import UNLIMITED
from .memory_tasks import MemoryTables, MemoryTasks, listed_deliveries
from .planning import Planner, Write
from .rows import assistant_row, hidden_run, run_row, thread_row
from .streams import MemoryStreams
from .writer import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...domain.assistant_ports import AssistantRow
    from ...domain.ports import RunRow, StoredSnapshot, ThreadRow
    from .codec import LogRow
    from .planning import Erasure, Plan
    from .rows import Values
    from .writer import Job, Session, Task

_Row = TypeVar("_Row")

_STATUS, _IS_HIDDEN, _CREATED_AT, _DUE_AT, _ACCEPTED_VERSION = 2, 3, 7, 8, 11
"""Places in the values of a run's row."""

_IS_PRESENT, _UPDATED_AT, _EXPIRES_AT = 2, 6, 9
"""Places in the values of a thread's row."""


class MemoryLog(MemoryTables):
    """The `Log` in memory."""

    is_blocking = False
    poll_seconds: float | None = None

    def __init__(self) -> None:
        super().__init__()
        self.lock = RLock()
        self._listeners: set[Callable[[], None]] = set()
        self._events: list[LogRow] = []
        # Of each thread: (version, position), in order of version.
        self._versions: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        self._threads: dict[str, Values] = {}
        self._expiring: dict[str, int] = {}
        self._runs: defaultdict[str, dict[str, Values]] = defaultdict(dict)
        self._in_flight: set[tuple[str, str]] = set()
        self._threads_of_run: defaultdict[str, set[str]] = defaultdict(set)
        self._trackings: dict[str, int] = {}
        self._assistants: dict[str, Values] = {}
        self._erasures_made = 0
        self.tasks = MemoryTasks(self)
        self.streams = MemoryStreams(self)

    def open(self) -> None:
        """Do nothing: there is nothing to connect to."""

    def close(self) -> None:
        """Do nothing: other stores may share the log, and a later one may go on with it."""

    # ---------------------------------------------------------------- writing

    def submit(self, job: Job) -> None:
        """Do the work and answer its waiter at once."""
        try:
            outcome = self._perform(job.work)
        except Exception as error:  # noqa: BLE001 - it is the waiter's
            outcome = error
        answer(job.waiter, outcome)
        self._notify_of(job.work, outcome)

    def call(self, work: Write | Task) -> object:
        """Do the work and return its outcome."""
        outcome = self._perform(work)
        if isinstance(outcome, Exception):
            raise outcome
        self._notify_of(work, outcome)
        return outcome

    def _perform(self, work: Write | Task) -> object:
        with self.lock:
            if not isinstance(work, Write):
                return work(cast("Session", None))
            plan = Planner(self).plan([work])
            self._write(plan)
            return plan.outcomes[0]

    def _notify_of(self, work: Write | Task, outcome: object) -> None:
        if isinstance(work, Write) and work.events and not isinstance(outcome, Exception):
            for listener in self._listeners:
                listener()

    def _write(self, plan: Plan) -> None:
        for event in plan.events:
            position, thread_id, version, *_ = event
            self._events.append(event)
            insort(self._versions[thread_id], (version, position))
        self._threads.update(plan.threads)
        for thread_id, thread in plan.threads.items():
            if thread[_EXPIRES_AT] is not None:
                self._expiring[thread_id] = thread[_EXPIRES_AT]
            else:
                self._expiring.pop(thread_id, None)
        self._write_runs(plan)
        for dropped in plan.dropped:
            self.streams.drop(*dropped)
        for lease in plan.leases.values():
            self.leases[lease[0], lease[1], lease[2]] = Lease(*lease)
        for thread_id, run_id, attempt in plan.releases:
            self.leases.pop((thread_id, run_id, attempt), None)
        self._trackings.update(plan.trackings)
        self._write_assistants(plan)
        self.answers.update(plan.answers)
        self.deliveries.update((row[0], row) for row in plan.deliveries)
        for erasure in plan.erasures:
            self._erasures_made += 1
            self.erasures[self._erasures_made] = erasure
            self.erased_versions[erasure.thread_id] = erasure.upto_version
            snapshot = self.snapshots.get(erasure.thread_id)
            if snapshot is not None and snapshot.version >= erasure.from_version:
                del self.snapshots[erasure.thread_id]

    def _write_assistants(self, plan: Plan) -> None:
        for assistant_id, assistant in plan.assistants.items():
            if assistant is None:
                self._assistants.pop(assistant_id, None)
            else:
                self._assistants[assistant_id] = assistant

    def _write_runs(self, plan: Plan) -> None:
        for thread_id, hidden_id in plan.hidden:
            found = self._runs[thread_id]
            for run_id in list(found) if hidden_id is None else [hidden_id]:
                if run_id in found:
                    found[run_id] = hidden_run(found[run_id])
        for (thread_id, run_id), run in plan.runs.items():
            self._runs[thread_id][run_id] = run
            self._threads_of_run[run_id].add(thread_id)
            if run[_STATUS] in {"pending", "running"}:
                self._in_flight.add((thread_id, run_id))
            else:
                self._in_flight.discard((thread_id, run_id))

    def rewrite(self, topic: str, state: bytes, position: int) -> None:
        """Overwrite an event's payload."""
        self._events[position - 1] = (*self._events[position - 1][:3], topic, state)

    def scrub(self) -> None:
        """Do nothing: what was overwritten is gone."""

    def listen(self, listener: Callable[[], None]) -> None:
        """Call this after each append."""
        self._listeners = {*self._listeners, listener}

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Call this no more."""
        self._listeners = self._listeners - {listener}

    # ---------------------------------------------------------------- events

    def head_position(self) -> int:
        """Return the newest position."""
        return len(self._events)

    def head_version(self, thread_id: str) -> int:
        """Return the thread's newest version."""
        versions = self._versions.get(thread_id)
        return versions[-1][0] if versions else 0

    def peek_version(self, thread_id: str) -> int | None:
        """Return the thread's newest version."""
        return self.head_version(thread_id)

    def has_version(self, thread_id: str, version: int) -> bool:
        """Return whether an event stands there."""
        return bool(self.version_rows(thread_id, (version,)))

    def thread_rows(
        self,
        thread_id: str,
        *,
        after: int = 0,
        upto: int = UNLIMITED,
        limit: int = UNLIMITED,
        is_backwards: bool = False,
    ) -> Sequence[LogRow]:
        """Return a thread's events with `after < version <= upto`, in order of version."""
        with self.lock:
            versions = self._versions.get(thread_id, [])
            first = bisect_right(versions, (after, UNLIMITED))
            last = bisect_right(versions, (upto, UNLIMITED))
            found = versions[first:last]
            if is_backwards:
                found.reverse()
            return [self._events[position - 1] for _, position in found[:limit]]

    def version_rows(self, thread_id: str, versions: Sequence[int]) -> Sequence[LogRow]:
        """Return the events at these versions that exist, in order."""
        with self.lock:
            there = self._versions.get(thread_id, [])
            rows: list[LogRow] = []
            for version in sorted(set(versions)):
                at = bisect_left(there, (version, 0))
                if at < len(there) and there[at][0] == version:
                    rows.append(self._events[there[at][1] - 1])
            return rows

    def log_rows(
        self,
        *,
        after: int = 0,
        upto: int = UNLIMITED,
        limit: int = UNLIMITED,
        topics: Sequence[str] = (),
    ) -> Sequence[LogRow]:
        """Return events with `after < position <= upto`, in order of position."""
        with self.lock:
            last = min(upto, len(self._events))
            found = (self._events[at] for at in range(max(after, 0), last))
            return list(islice((row for row in found if not topics or row[3] in topics), limit))

    def tracking_position(self, application_name: str) -> int | None:
        """Return how far the application has come in the log that it follows."""
        return self._trackings.get(application_name)

    def answer_expiry(self, scope: str, key: str) -> int | None:
        """Return when the answer that is kept under the key expires."""
        row = self.answers.get((scope, key))
        return None if row is None else row[-1]

    def find_answer(self, scope: str, key: str) -> Values | None:
        """Return the row of an answer."""
        return self.answers.get((scope, key))

    def list_deliveries(self, *, due_before: int | None, limit: int) -> Sequence[Values]:
        """Return rows of deliveries: those that are due by then, in that order, or all, the oldest first."""
        with self.lock:
            return listed_deliveries(self.deliveries.values(), due_before, limit)

    # ---------------------------------------------------------------- projections

    def has_run(self, thread_id: str, run_id: str) -> bool:
        """Return whether the run has a row, hidden or not."""
        return run_id in self._runs.get(thread_id, ())

    def get_run(self, thread_id: str, run_id: str) -> RunRow | None:
        """Return the run's row, hidden or not."""
        values = self._runs.get(thread_id, {}).get(run_id)
        return None if values is None else run_row(values)

    def run_values(self, thread_id: str, run_id: str) -> Values | None:
        """Return the values of the run's row."""
        return self._runs.get(thread_id, {}).get(run_id)

    def find_run(self, run_id: str) -> RunRow | None:
        """Return the run's row; of several threads', the one created last."""
        threads = sorted(self._threads_of_run.get(run_id, ()))
        found = [self._runs[thread_id][run_id] for thread_id in threads]
        return run_row(max(found, key=lambda run: run[_CREATED_AT])) if found else None

    def list_runs(
        self, thread_id: str, *, status: str | None, limit: int, offset: int, with_hidden: bool
    ) -> Sequence[RunRow]:
        """Return the thread's runs, newest first."""
        found = [
            run
            for run in self._runs.get(thread_id, {}).values()
            if (with_hidden or not run[_IS_HIDDEN]) and status in {None, run[_STATUS]}
        ]
        found.sort(key=lambda run: (run[_CREATED_AT], run[_ACCEPTED_VERSION], run[1]), reverse=True)
        return _rows(run_row, found, offset, limit)

    def list_runs_in_flight(self, *, status: str | None) -> Sequence[RunRow]:
        """Return pending and running runs in order of due time."""
        runs = (self._runs[thread_id][run_id] for thread_id, run_id in self._in_flight)
        found = [run for run in runs if status in {None, run[_STATUS]}]
        found.sort(key=lambda run: (run[_DUE_AT], run[0], run[_ACCEPTED_VERSION], run[1]))
        return [run_row(run) for run in found]

    def get_thread(self, thread_id: str) -> ThreadRow | None:
        """Return the thread's row."""
        values = self._threads.get(thread_id)
        return None if values is None else thread_row(values)

    def list_threads(self, *, limit: int, offset: int) -> Sequence[ThreadRow]:
        """Return the present threads, newest first."""
        found = [thread for thread in self._threads.values() if thread[_IS_PRESENT]]
        found.sort(key=lambda thread: (-thread[_UPDATED_AT], thread[0]))
        return _rows(thread_row, found, offset, limit)

    def list_expiring(self, *, limit: int) -> Sequence[ThreadRow]:
        """Return the threads that are to expire, the next one first."""
        found = nsmallest(limit, self._expiring.items(), key=lambda each: (each[1], each[0]))
        return [thread_row(self._threads[thread_id]) for thread_id, _ in found]

    def list_assistants(self, matches: Callable[[AssistantRow], bool]) -> Sequence[AssistantRow]:
        """Return the assistants that match."""
        rows = map(assistant_row, list(self._assistants.values()))
        return [row for row in rows if matches(row)]

    def get_snapshot(self, thread_id: str) -> StoredSnapshot | None:
        """Return the thread's snapshot."""
        return self.snapshots.get(thread_id)

    def list_leases(self, thread_id: str | None) -> Sequence[tuple[Lease, int | None]]:
        """Return leases; in memory no holder's sign of life has a time."""
        found = sorted(self.leases.items())
        return [(lease, None) for key, lease in found if thread_id in {None, key[0]}]

    def list_holders(self) -> Sequence[tuple[str, int]]:
        """Return the holders, who all live."""
        return [(holder, UNLIMITED) for holder in sorted(self.holders)]

    def list_erasures(self, *, limit: int) -> Sequence[tuple[int, Erasure]]:
        """Return what is still to be erased, oldest first."""
        return list(islice(self.erasures.items(), limit))


def _rows(
    make: Callable[[Values], _Row], found: Sequence[Values], offset: int, limit: int
) -> list[_Row]:
    return [make(values) for values in found[offset : offset + limit]]


class MemoryHolding:
    """A holder among the stores that share a log; it lives from `start` to `stop`."""

    def __init__(self, log: MemoryLog, holder: str) -> None:
        self.holder = holder
        self._log = log

    def start(self) -> None:
        """Be alive."""
        self._log.holders.add(self.holder)

    def stop(self) -> None:
        """Be dead."""
        self._log.holders.discard(self.holder)

    def is_alive(self, holder: str, expires_at: int | None) -> bool:
        """Return whether the holder is between `start` and `stop`."""
        return holder in self._log.holders
