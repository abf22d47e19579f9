"""The stored streams of runs, in a database: reads, and work for the log's writer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...domain.ports import StreamBatch
from .streams import SWEPT_AT_ONCE, is_running

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .statements import Statements
    from .writer import Session, Task


class SQLStreams:
    """Stored streams in a database. Its methods of writing return what to submit to the log's writer."""

    def __init__(
        self, statements: Statements, read: Callable[[str, Sequence[Any]], Sequence[Any]]
    ) -> None:
        self._sql = statements
        self._read = read

    def write(self, batch: StreamBatch) -> Task:
        """Store the batch behind the thread's newest event, if its attempt is the running one."""
        sql, thread_id, run_id = self._sql, batch.thread_id, batch.run_id

        def task(session: Session) -> int | None:
            rows = session.execute(sql.select_run, (run_id, thread_id))
            if not rows or not is_running(rows[0], batch.attempt):
                return None
            key = (run_id, thread_id, batch.attempt, batch.seq)
            if stored := session.execute(sql.streams.select_stored, key):
                return stored[0][0]  # A commit that looked as if it had failed.
            version = session.execute(sql.head_version, (sql.key_of(thread_id),))[0][0]
            values = (batch.attempt, version, batch.seq, batch.count, batch.body)
            session.execute(sql.streams.insert, (thread_id, run_id, *values))
            return version

        return task

    def delete(self, keys: Sequence[tuple[str, str]]) -> Task:
        """Delete the streams of these runs."""

        def task(session: Session) -> None:
            for key in keys:
                session.execute(self._sql.streams.delete_of_run, key)

        return task

    def read(
        self, thread_id: str, run_id: str | None, after: tuple[int, int], upto: int, limit: int
    ) -> list[StreamBatch]:
        """Return batches in order of place."""
        version, seq = after
        place = (thread_id, version, version, version, seq + 1, upto)
        sql = self._sql.streams
        if run_id is None:
            rows = self._read(sql.select_of_thread, (*place, limit, 0))
        else:
            rows = self._read(sql.select_of_run, (*place, run_id, limit, 0))
        return [StreamBatch(*row) for row in rows]

    def list_ended(self, before: int) -> list[tuple[str, str]]:
        """Return some of the runs that have a stored stream, and ended before a moment in microseconds."""
        rows = self._read(self._sql.streams.select_ended, (before, SWEPT_AT_ONCE, 0))
        return [(thread_id, run_id) for thread_id, run_id in rows]
