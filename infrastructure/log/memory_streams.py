"""The stored streams of runs in memory."""

from __future__ import annotations

from bisect import insort
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

from ...domain.ports import StreamBatch
from .streams import SWEPT_AT_ONCE, is_running

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import RLock

    from .writer import Session, Task

_PLACE = attrgetter("version", "seq")


class LogInMemory(Protocol):
    """What streams in memory need of their log."""

    lock: RLock

    def run_values(self, thread_id: str, run_id: str) -> Sequence[Any] | None:
        """Return the values of the run's row."""
        ...

    def head_version(self, thread_id: str) -> int:
        """Return the thread's newest version."""
        ...


class MemoryStreams:
    """Stored streams of a log in memory."""

    def __init__(self, log: LogInMemory) -> None:
        self._log = log
        self._of_threads: dict[str, list[StreamBatch]] = {}

    def write(self, batch: StreamBatch) -> Task:
        """Store the batch behind the thread's newest event, if its attempt is the running one."""
        thread_id = batch.thread_id

        def task(_: Session) -> int | None:
            run = self._log.run_values(thread_id, batch.run_id)
            if run is None or not is_running(run, batch.attempt):
                return None
            for held in self._of_threads.get(thread_id, ()):
                if (held.run_id, held.attempt, held.seq) == (
                    batch.run_id,
                    batch.attempt,
                    batch.seq,
                ):
                    return held.version
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
