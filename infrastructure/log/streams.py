"""The stored streams of runs: batches of what they emitted, in a database and in memory. What is in a batch is not known here."""

from __future__ import annotations

from bisect import insort
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import and_, bindparam, delete, or_, select

from ...domain.ports import StreamBatch
from .tables import runs, stream_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import RLock

    from .rows import Values
    from .writer import Session, Task

SWEPT_AT_ONCE = 100
"""Runs whose streams one transaction deletes at most: other writers wait no longer than for these."""

_BATCH = ("thread_id", "run_id", "attempt", "version", "seq", "count", "body")
_PLACE = attrgetter("version", "seq")


class StreamStatements:
    """What is executed on the table of stored streams."""

    def __init__(self, prepare: Callable[..., str], insert_into: Callable[..., str]) -> None:
        columns = stream_parts.c
        of_thread = columns.thread_id == bindparam("thread_id")
        of_run = columns.run_id == bindparam("run_id")
        after = or_(
            columns.version > bindparam("after"),
            and_(
                columns.version == bindparam("at"),
                columns.seq + columns.count > bindparam("first"),
            ),
        )
        of_place = (
            select(*(columns[name] for name in _BATCH))
            .where(of_thread)
            .where(columns.version >= bindparam("from"))
            .where(after)
            .where(columns.version <= bindparam("upto"))
            .order_by(columns.version, columns.seq)
            .limit(bindparam("limit"))
            .offset(bindparam("offset"))
        )
        place = ("thread_id", "from", "after", "at", "first")
        page = ("limit", "offset")
        self.select_of_thread = prepare(of_place, *place, "upto", *page)
        self.select_of_run = prepare(of_place.where(of_run), *place, "upto", "run_id", *page)
        self.insert = insert_into(stream_parts, *_BATCH)
        self.select_stored = prepare(
            select(columns.version)
            .where(of_run, of_thread)
            .where(columns.attempt == bindparam("attempt"), columns.seq == bindparam("seq")),
            "run_id",
            "thread_id",
            "attempt",
            "seq",
        )
        self.delete_of_thread = prepare(delete(stream_parts).where(of_thread), "thread_id")
        self.delete_of_run = prepare(
            delete(stream_parts).where(of_thread).where(of_run), "thread_id", "run_id"
        )
        self.select_ended = prepare(
            select(runs.c.thread_id, runs.c.run_id)
            .distinct()
            .select_from(
                stream_parts.join(
                    runs,
                    and_(
                        runs.c.run_id == stream_parts.c.run_id,
                        runs.c.thread_id == stream_parts.c.thread_id,
                    ),
                )
            )
            .where(runs.c.ended_version.is_not(None))
            .where(runs.c.updated_at < bindparam("before"))
            .limit(bindparam("limit"))
            .offset(bindparam("offset")),
            "before",
            *page,
        )

    def of_dropped(self, thread_id: str, run_id: str | None) -> tuple[str, Sequence[str]]:
        """Return what deletes the stored stream of a run, or of all the thread's runs."""
        if run_id is None:
            return self.delete_of_thread, (thread_id,)
        return self.delete_of_run, (thread_id, run_id)


def is_running(run: Sequence[Any], attempt: int) -> bool:
    """Say whether a run's row lets this attempt write: the fence."""
    _, _, status, is_hidden, *_ = run
    return status == "running" and not is_hidden and run[10] == attempt


class HeldRows(Protocol):
    """What stored streams in memory need of their log."""

    @property
    def lock(self) -> RLock:
        """Keeps writers out."""
        ...

    def run_values(self, thread_id: str, run_id: str) -> Values | None:
        """Return the values of a run's row."""
        ...

    def head_version(self, thread_id: str) -> int:
        """Return the thread's newest version."""
        ...


class MemoryStreams:
    """Stored streams of a log in memory."""

    def __init__(self, log: HeldRows) -> None:
        self._log = log
        self._of_threads: dict[str, list[StreamBatch]] = {}

    def write(self, batch: StreamBatch) -> Task:
        """Store the batch behind the thread's newest event, if its attempt is the running one."""
        thread_id = batch.thread_id

        def task(_: Session) -> int | None:
            run = self._log.run_values(thread_id, batch.run_id)
            if run is None or not is_running(run, batch.attempt):
                return None
            for held in reversed(self._of_threads.get(thread_id, ())):
                if (held.run_id, held.attempt) == (batch.run_id, batch.attempt):
                    if held.seq >= batch.seq:
                        return held.version
                    break
            version = self._log.head_version(thread_id)
            placed = StreamBatch(
                thread_id, batch.run_id, batch.attempt, version, batch.seq, batch.count, batch.body
            )
            insort(self._of_threads.setdefault(thread_id, []), placed, key=_PLACE)
            return version

        return task

    def delete(self, keys: Sequence[tuple[str, str]]) -> Task:
        """Delete the streams of these runs."""

        def task(_: Session) -> None:
            for key in keys:
                self.drop(*key)

        return task

    def drop(self, thread_id: str, run_id: str | None) -> None:
        """Delete the stream of a run, or of all the thread's runs."""
        held = self._of_threads.pop(thread_id, [])
        kept = [batch for batch in held if run_id is not None and batch.run_id != run_id]
        if kept:
            self._of_threads[thread_id] = kept

    def read(
        self, thread_id: str, run_id: str | None, after: tuple[int, int], upto: int, limit: int
    ) -> list[StreamBatch]:
        """Return batches in order of place."""
        with self._log.lock:
            held = list(self._of_threads.get(thread_id, ()))
        found = [
            batch
            for batch in held
            if (batch.version, batch.seq + batch.count - 1) > after
            and batch.version <= upto
            and run_id in {None, batch.run_id}
        ]
        return found[:limit]

    def list_ended(self, before: int) -> list[tuple[str, str]]:
        """Return the runs that have a stored stream, and ended before a moment in microseconds."""
        with self._log.lock:
            held = [batch for batches in self._of_threads.values() for batch in batches]
        keys = dict.fromkeys((batch.thread_id, batch.run_id) for batch in held)
        found: list[tuple[str, str]] = []
        for key in keys:
            run = self._log.run_values(*key)
            if run is not None and run[12] is not None and run[9] < before:
                found.append(key)
        return found[:SWEPT_AT_ONCE]
