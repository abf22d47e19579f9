"""A log in an SQLite file: its connections and the writer's session. No statements here.

WAL, so that readers never wait for the writer; `BEGIN IMMEDIATE`, so that a transaction that has read
can also write; the driver in autocommit mode, so that no transaction begins behind our back.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from eventsourcing.persistence import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    PersistenceError,
    ProgrammingError,
)
from sqlalchemy import create_engine, exc
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import QueuePool

from .schema import migrate
from .statements import Statements
from .thread_keys import thread_id_of, thread_key

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from sqlalchemy import Engine, PoolProxiedConnection

    from .codec import LogRow
    from .planning import Plan

HEADS_MAX = 50_000
"""Of how many threads a session remembers where they stand."""

_ERRORS: tuple[tuple[type[Exception], type[PersistenceError]], ...] = (
    (sqlite3.IntegrityError, IntegrityError),
    (sqlite3.OperationalError, OperationalError),
    (sqlite3.DataError, DataError),
    (sqlite3.InternalError, InternalError),
    (sqlite3.NotSupportedError, NotSupportedError),
    (sqlite3.ProgrammingError, ProgrammingError),
    (sqlite3.InterfaceError, InterfaceError),
    (sqlite3.DatabaseError, DatabaseError),
)


class _LibraryErrors:
    """Raises the driver's and SQLAlchemy's errors as those of `eventsourcing.persistence`.

    A class, because a generator would cost as much as one of the statements that it surrounds.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, exc.TimeoutError):
            raise OperationalError("No connection became free in time") from error
        if isinstance(error, exc.DBAPIError):
            raise _library_error(error.orig or error) from error
        if isinstance(error, sqlite3.Error | exc.SQLAlchemyError):
            raise _library_error(error) from error


def _library_error(error: BaseException) -> PersistenceError:
    for kind, mapped in _ERRORS:
        if isinstance(error, kind):
            return mapped(str(error))
    return PersistenceError(str(error))


LIBRARY_ERRORS = _LibraryErrors()


@dataclass(frozen=True, slots=True)
class SQLiteSettings:
    """How the file is opened. `synchronous` below FULL lets a power failure take acknowledged events."""

    synchronous: Literal["OFF", "NORMAL", "FULL", "EXTRA"] = "FULL"
    busy_seconds: float = 5.0
    """How long to wait for another process's transaction."""
    readers_max: int = 4
    wal_bytes_kept: int = 64 * 1024 * 1024
    """To what size a large write-ahead log is cut back."""
    poll_seconds: float = 1.0
    """How often followers look for what other processes appended."""


@cache
def _statements() -> Statements:
    """Return the statements for SQLite; to compile them takes as long as to open a file."""
    return Statements(sqlite.dialect(paramstyle="qmark"), sqlite.insert, thread_key, thread_id_of)


def _keyed(event: LogRow) -> tuple[Any, ...]:
    return event[0], thread_key(event[1]), *event[2:]


class SQLiteDatabase:
    """Connections to one file: readers from a pool, one for the writer."""

    def __init__(self, path: Path, settings: SQLiteSettings) -> None:
        self.path = path
        self._settings = settings
        self._engine: Engine = create_engine(
            "sqlite+pysqlite://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=settings.readers_max,
            max_overflow=0,
            pool_timeout=30.0,
            pool_reset_on_return=None,
        )
        self.statements = _statements()
        self.poll_seconds: float | None = settings.poll_seconds
        self._peek_connection: sqlite3.Connection | None = None
        self._peeking = Lock()
        self._is_closed = False

    def _connect(self) -> sqlite3.Connection:
        if self._is_closed:
            raise OperationalError(f"{self.path} is closed")
        settings = self._settings
        connection = sqlite3.connect(
            self.path,
            timeout=settings.busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.execute(f"PRAGMA synchronous = {settings.synchronous}")
        connection.execute(f"PRAGMA journal_size_limit = {settings.wal_bytes_kept}")
        return connection

    def open(self) -> None:
        """Make the file if there is none, and bring its tables up to date.

        Raises:
            StoreVersionError: a newer version of the program made the tables.
            PersistenceError: the file cannot be opened, or it is no database.
        """
        with LIBRARY_ERRORS:
            self._enter_wal_mode()
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                try:
                    migrate(connection)
                    connection.exec_driver_sql("COMMIT")
                except BaseException:
                    connection.exec_driver_sql("ROLLBACK")
                    raise

    def _enter_wal_mode(self) -> None:
        """Switch a new file to WAL.

        SQLite does not wait for a lock here: of two processes that open a new file at once, one
        is turned away at once, and has to try again.
        """
        deadline = time.monotonic() + self._settings.busy_seconds
        connection = self._connect()
        try:
            while True:
                try:
                    connection.execute("PRAGMA journal_mode = WAL")
                except sqlite3.OperationalError as error:
                    is_busy = error.sqlite_errorcode in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
                    if not is_busy or time.monotonic() >= deadline:
                        raise
                    time.sleep(0.005)
                else:
                    return
        finally:
            connection.close()

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a query, as it stands when asked."""
        with LIBRARY_ERRORS, self._reader() as connection:
            return connection.execute(sql, parameters).fetchall()

    def read_each(self, sql: str, parameters: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the rows of a query for each of many parameters, one after the other."""
        with LIBRARY_ERRORS, self._reader() as connection:
            return [
                row for values in parameters for row in connection.execute(sql, values).fetchall()
            ]

    @contextmanager
    def _reader(self) -> Generator[sqlite3.Connection]:
        proxied: PoolProxiedConnection = self._engine.raw_connection()
        try:
            driver: Any = proxied.driver_connection
            yield driver
        finally:
            proxied.close()

    def connect_writer(self) -> SQLiteSession:
        """Return a session on a connection of its own."""
        with LIBRARY_ERRORS:
            connection = self._connect()
            # Bytes that a row gives up are overwritten: an erasure has to take them off the disk.
            connection.execute("PRAGMA secure_delete = ON")
            return SQLiteSession(connection, self.statements)

    def scrub(self) -> None:
        """Write the log of changes back and cut it off: it holds rows as they were before.

        A reader that stands in the way for long puts this off to the next time.
        """
        with LIBRARY_ERRORS:
            connection = self._connect()
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()

    def peek(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a query, on a connection that never waits for a lock."""
        # `close` comes from another thread: to close a connection that is in use crashes the process.
        with LIBRARY_ERRORS, self._peeking:
            connection = self._peek_connection
            if connection is None:
                connection = self._peek_connection = self._connect()
                connection.execute("PRAGMA busy_timeout = 0")
            return connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """Close the readers' connections; those in use are closed when they come back."""
        self._is_closed = True
        self._engine.dispose()
        with self._peeking:
            connection, self._peek_connection = self._peek_connection, None
        if connection is not None:
            connection.close()


class SQLiteSession:
    """The writer's connection, and the log as seen from inside its transaction.

    It remembers where threads stand, for as long as nobody else has changed the file.
    """

    def __init__(self, connection: sqlite3.Connection, statements: Statements) -> None:
        self._connection = connection
        self._statements = statements
        self._execute = connection.cursor().execute
        self._data_version: object = None
        self._heads: dict[str, int] = {}
        self._position: int | None = None
        self._plan: Plan | None = None

    @property
    def ledger(self) -> SQLiteSession:
        """What stands in the log: the session itself knows."""
        return self

    def begin(self) -> None:
        """Take the file's write lock, waiting for other processes."""
        self._plan = None
        with LIBRARY_ERRORS:
            self._execute("BEGIN IMMEDIATE")
            # Changes only with commits of other connections, in this process or another one.
            data_version = self._execute("PRAGMA data_version").fetchone()
        if data_version != self._data_version or len(self._heads) > HEADS_MAX:
            self._heads.clear()
            self._position = None
            self._data_version = data_version

    def commit(self) -> None:
        """Make durable what was written."""
        with LIBRARY_ERRORS:
            self._execute("COMMIT")
        if self._plan is not None:
            self._heads.update(self._plan.heads)
            if self._plan.head_position is not None:
                self._position = self._plan.head_position

    def rollback(self) -> None:
        """Undo what was written. Some errors make SQLite do so by itself."""
        self._plan = None
        with LIBRARY_ERRORS:
            if self._connection.in_transaction:
                self._execute("ROLLBACK")

    def close(self) -> None:
        """Disconnect, undoing a transaction that is open."""
        try:
            self._connection.close()
        except sqlite3.Error:
            return

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Execute a statement of a task."""
        with LIBRARY_ERRORS:
            return self._execute(sql, parameters).fetchall()

    def write(self, plan: Plan) -> None:
        """Write the plan's rows, each table's in as few statements as can be."""
        sql = self._statements
        self._plan = plan
        with LIBRARY_ERRORS:
            for thread_id, run_id in plan.hidden:
                if run_id is None:
                    self._execute(sql.hide_runs_of_thread, (thread_id,))
                else:
                    self._execute(sql.hide_run, (thread_id, run_id))
            for bulk, rows in (
                (sql.insert_events, [_keyed(event) for event in plan.events]),
                (sql.upsert_threads, list(plan.threads.values())),
                (sql.upsert_runs, list(plan.runs.values())),
                (sql.upsert_leases, list(plan.leases.values())),
            ):
                if rows:
                    for text, parameters in bulk.parts(rows):
                        self._execute(text, parameters)
            for dropped in plan.dropped:
                self._execute(*sql.streams.of_dropped(*dropped))
            for lease in plan.releases:
                self._execute(sql.delete_lease, lease)
            for tracking in plan.trackings.items():
                self._execute(sql.upsert_tracking, tracking)
            self._write_kept(plan)
            for erasure in plan.erasures:
                thread_id, upto = erasure.thread_id, erasure.upto_version
                row = (thread_id, erasure.run_id, erasure.from_version, upto)
                self._execute(sql.insert_erasure, row)
                self._execute(sql.mark_erased, (upto, thread_id))
                self._execute(sql.delete_snapshot, (thread_id, erasure.from_version))

    def _write_kept(self, plan: Plan) -> None:
        for assistant_id, assistant in plan.assistants.items():
            if assistant is None:
                self._execute(self._statements.delete_assistant, (assistant_id,))
            else:
                self._execute(self._statements.upsert_assistant, assistant)
        sql = self._statements.kept
        for answer in plan.answers.values():
            self._execute(sql.upsert_answer, answer)
        for delivery in plan.deliveries:
            self._execute(sql.insert_delivery, delivery)

    def holds(self, plan: Plan) -> bool:
        """Return whether the log has the plan's events, each in its place and with the same bytes."""
        with LIBRARY_ERRORS:
            return bool(plan.events) and all(
                self._execute(self._statements.select_version, event[1:3]).fetchone() == event
                for event in map(_keyed, plan.events)
            )

    def head_position(self) -> int:
        """Return the position of the newest event."""
        if self._position is not None:
            return self._position
        return self._number(self._statements.head_position)

    def head_version(self, thread_id: str) -> int:
        """Return the thread's newest version."""
        head = self._heads.get(thread_id)
        if head is not None:
            return head
        return self._number(self._statements.head_version, (thread_key(thread_id),))

    def has_version(self, thread_id: str, version: int) -> bool:
        """Return whether an event stands there."""
        key = (thread_key(thread_id), version)
        return self._first(self._statements.select_version, key) is not None

    def has_run(self, thread_id: str, run_id: str) -> bool:
        """Return whether the run has a row, hidden or not."""
        return self._first(self._statements.has_run, (run_id, thread_id)) is not None

    def tracking_position(self, application_name: str) -> int | None:
        """Return how far the application has come."""
        row = self._first(self._statements.tracking_position, (application_name,))
        return None if row is None else row[0]

    def answer_expiry(self, scope: str, key: str) -> int | None:
        """Return when the answer that is kept under the key expires."""
        row = self._first(self._statements.kept.answer_expiry, (scope, key))
        return None if row is None else row[0]

    def _number(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        with LIBRARY_ERRORS:
            return self._execute(sql, parameters).fetchone()[0] or 0

    def _first(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        with LIBRARY_ERRORS:
            return self._execute(sql, parameters).fetchone()
