"""A log in a database: its reads, its tasks, and the writer's place. No dialect here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from eventsourcing.persistence import PersistenceError

from ...domain.ports import Lease, StoredSnapshot
from .log import UNLIMITED
from .planning import Erasure
from .rows import assistant_row, claimed, run_row, thread_row
from .sql_streams import SQLStreams
from .writer import GroupWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...domain.assistant_ports import AssistantRow
    from ...domain.ports import RunRow, ThreadRow
    from .codec import LogRow
    from .planning import Write
    from .rows import Values
    from .statements import Statements
    from .writer import Job, Session, Task


class Database(Protocol):
    """Connections to a database."""

    @property
    def statements(self) -> Statements:
        """The log's statements in the database's dialect."""
        ...

    @property
    def poll_seconds(self) -> float | None:
        """How often to look for other processes' appends."""
        ...

    def open(self) -> None:
        """Bring the tables up to date."""
        ...

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a query."""
        ...

    def read_each(self, sql: str, parameters: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the rows of a query for each of many parameters."""
        ...

    def peek(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a query at once, or raise; from one thread only."""
        ...

    def scrub(self) -> None:
        """Clear older copies of overwritten rows from the database's files."""
        ...

    def connect_writer(self) -> Session:
        """Return a session for the writer."""
        ...

    def close(self) -> None:
        """Disconnect the readers."""
        ...


class SQLLog:
    """The `Log` of a database. Reads go to its readers, all writes through one writer thread."""

    is_blocking = True

    def __init__(
        self,
        database: Database,
        *,
        group_max: int = 256,
        crash_point: Callable[[str], None] | None = None,
        on_group: Callable[[int, float], None] | None = None,
    ) -> None:
        self.database = database
        self.tasks = SQLTasks(database.statements)
        self.streams = SQLStreams(database.statements, database.read)
        self._sql = database.statements
        self._listeners: set[Callable[[], None]] = set()
        hooks: dict[str, Any] = {"crash_point": crash_point, "on_group": on_group}
        options = {name: hook for name, hook in hooks.items() if hook is not None}
        self.writer = GroupWriter(
            database.connect_writer, group_max=group_max, on_commit=self._notify, **options
        )

    @property
    def poll_seconds(self) -> float | None:
        """How often to look for other processes' appends."""
        return self.database.poll_seconds

    def open(self, *, with_migration: bool = True) -> None:
        """Bring the tables up to date and start the writer."""
        if with_migration:
            self.database.open()
        self.writer.start()

    def close(self) -> None:
        """Finish what was submitted, and disconnect."""
        self.writer.close()
        self.database.close()

    def submit(self, job: Job) -> None:
        """Take work for the writer."""
        self.writer.submit(job)

    def call(self, work: Write | Task) -> object:
        """Have work done, and return its outcome."""
        return self.writer.call(work)

    def scrub(self) -> None:
        """See to it that what was erased is not left in the database's files either."""
        self.database.scrub()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call this after each commit that added events."""
        self._listeners = {*self._listeners, listener}

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Call this no more."""
        self._listeners = self._listeners - {listener}

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()

    def head_position(self) -> int:
        """Return the newest position."""
        return self.database.read(self._sql.head_position)[0][0] or 0

    def head_version(self, thread_id: str) -> int:
        """Return the thread's newest version."""
        return self.database.read(self._sql.head_version, (self._sql.key_of(thread_id),))[0][0] or 0

    def peek_version(self, thread_id: str) -> int | None:
        """Return the thread's newest version, unless that takes waiting."""
        try:
            return (
                self.database.peek(self._sql.head_version, (self._sql.key_of(thread_id),))[0][0]
                or 0
            )
        except PersistenceError:
            return None

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
        sql = self._sql.select_thread_backwards if is_backwards else self._sql.select_thread
        key = self._sql.key_of(thread_id)
        return self._with_ids(self.database.read(sql, (key, after, upto, limit, 0)))

    def version_rows(self, thread_id: str, versions: Sequence[int]) -> Sequence[LogRow]:
        """Return the events at these versions that exist, in order."""
        key = self._sql.key_of(thread_id)
        keys = [(key, version) for version in sorted(set(versions))]
        return self._with_ids(self.database.read_each(self._sql.select_version, keys))

    def log_rows(
        self,
        *,
        after: int = 0,
        upto: int = UNLIMITED,
        limit: int = UNLIMITED,
        topics: Sequence[str] = (),
    ) -> Sequence[LogRow]:
        """Return events with `after < position <= upto`, in order of position."""
        sql = self._sql.select_log_of_topics(len(topics)) if topics else self._sql.select_log
        return self._with_ids(self.database.read(sql, (after, upto, *topics, limit, 0)))

    def _with_ids(self, rows: Sequence[Any]) -> list[LogRow]:
        id_of = self._sql.id_of
        return [
            (position, id_of(key), version, topic, state)
            for position, key, version, topic, state in rows
        ]

    def tracking_position(self, application_name: str) -> int | None:
        """Return how far the application has come in the log that it follows."""
        rows = self.database.read(self._sql.tracking_position, (application_name,))
        return rows[0][0] if rows else None

    def get_run(self, thread_id: str, run_id: str) -> RunRow | None:
        """Return the run's row, hidden or not."""
        rows = self.database.read(self._sql.select_run, (run_id, thread_id))
        return run_row(rows[0]) if rows else None

    def find_run(self, run_id: str) -> RunRow | None:
        """Return the run's row; of several threads', the one created last."""
        rows = self.database.read(self._sql.find_run, (run_id,))
        return run_row(rows[0]) if rows else None

    def list_runs(
        self, thread_id: str, *, status: str | None, limit: int, offset: int, with_hidden: bool
    ) -> Sequence[RunRow]:
        """Return the thread's runs, newest first."""
        if status is None:
            rows = self.database.read(self._sql.list_runs, (thread_id, with_hidden, limit, offset))
        else:
            rows = self.database.read(
                self._sql.list_runs_of_status, (thread_id, with_hidden, status, limit, offset)
            )
        return [run_row(row) for row in rows]

    def list_runs_in_flight(self, *, status: str | None) -> Sequence[RunRow]:
        """Return pending and running runs in order of due time."""
        rows = map(run_row, self.database.read(self._sql.list_runs_in_flight))
        return [row for row in rows if status is None or row.status == status]

    def get_thread(self, thread_id: str) -> ThreadRow | None:
        """Return the thread's row."""
        rows = self.database.read(self._sql.select_thread_row, (thread_id,))
        return thread_row(rows[0]) if rows else None

    def list_threads(self, *, limit: int, offset: int) -> Sequence[ThreadRow]:
        """Return the present threads, newest first."""
        return [
            thread_row(row) for row in self.database.read(self._sql.list_threads, (limit, offset))
        ]

    def list_expiring(self, *, limit: int) -> Sequence[ThreadRow]:
        """Return the threads that are to expire, the next one first."""
        return [thread_row(row) for row in self.database.read(self._sql.list_expiring, (limit, 0))]

    def list_assistants(self, matches: Callable[[AssistantRow], bool]) -> Sequence[AssistantRow]:
        """Return the assistants that match."""
        rows = map(assistant_row, self.database.read(self._sql.list_assistants))
        return [row for row in rows if matches(row)]

    def get_snapshot(self, thread_id: str) -> StoredSnapshot | None:
        """Return the thread's snapshot."""
        rows = self.database.read(self._sql.select_snapshot, (thread_id,))
        return StoredSnapshot(*rows[0]) if rows else None

    def list_leases(self, thread_id: str | None) -> Sequence[tuple[Lease, int | None]]:
        """Return leases, each with the moment up to which its holder has shown life."""
        if thread_id is None:
            rows = self.database.read(self._sql.list_leases)
        else:
            rows = self.database.read(self._sql.list_leases_of_thread, (thread_id,))
        return [(Lease(*row[:4]), row[4]) for row in rows]

    def list_holders(self) -> Sequence[tuple[str, int]]:
        """Return the processes that hold or held leases, and up to when they have shown life."""
        return self.database.read(self._sql.list_holders)

    def find_answer(self, scope: str, key: str) -> Values | None:
        """Return the row of an answer."""
        rows = self.database.read(self._sql.kept.select_answer, (scope, key))
        return rows[0] if rows else None

    def list_deliveries(self, *, due_before: int | None, limit: int) -> Sequence[Values]:
        """Return rows of deliveries: those that are due by then, in that order, or all, the oldest first."""
        if due_before is None:
            return self.database.read(self._sql.kept.list_deliveries, (limit, 0))
        return self.database.read(self._sql.kept.list_due, (due_before, limit, 0))

    def list_erasures(self, *, limit: int) -> Sequence[tuple[int, Erasure]]:
        """Return what is still to be erased, oldest first."""
        rows = self.database.read(self._sql.select_erasures, (limit, 0))
        return [(row[0], Erasure(*row[1:])) for row in rows]


class SQLTasks:
    """Work for the writer's session that is no append."""

    def __init__(self, statements: Statements) -> None:
        self._sql = statements

    def write_snapshot(self, snapshot: StoredSnapshot) -> Task:
        """Replace the thread's snapshot, unless it is older or may hold erased payloads."""
        thread_id = (snapshot.thread_id,)

        def task(session: Session) -> None:
            for bound in (self._sql.erased_version, self._sql.snapshot_version):
                rows = session.execute(bound, thread_id)
                if rows and rows[0][0] >= snapshot.version:
                    return
            row = (snapshot.thread_id, snapshot.version, snapshot.schema, snapshot.body)
            # Deleted first: an update in place takes new pages before it frees the old ones, and the file grows by them.
            session.execute(self._sql.delete_snapshot, (snapshot.thread_id, 0))
            session.execute(self._sql.upsert_snapshot, row)

        return task

    def release_lease(self, lease: Lease) -> Task:
        """Delete the lease's row."""
        key = (lease.thread_id, lease.run_id, lease.attempt)
        return lambda session: session.execute(self._sql.delete_lease, key)

    def renew_holder(self, holder: str, expires_at: int) -> Task:
        """Write up to when the holder has shown life."""
        return lambda session: session.execute(self._sql.upsert_holder, (holder, expires_at))

    def remove_holder(self, holder: str) -> Task:
        """Delete the holder's row; its leases then count as those of a dead one."""
        return lambda session: session.execute(self._sql.delete_holder, (holder,))

    def sweep_answers(self, now: int) -> Task:
        """Delete the answers that have expired."""
        sql = self._sql.kept

        def task(session: Session) -> int:
            [(count,)] = session.execute(sql.count_expired, (now,))
            session.execute(sql.delete_expired, (now,))
            return count

        return task

    def claim_deliveries(self, now: int, until: int, limit: int) -> Task:
        """Put due deliveries off, counting a try."""
        sql = self._sql.kept

        def task(session: Session) -> list[Values]:
            rows = session.execute(sql.list_due, (now, limit, 0))
            for row in rows:
                session.execute(sql.claim_delivery, (until, row[0]))
            return [claimed(row, until) for row in rows]

        return task

    def settle_delivery(self, delivery_id: str, due_at: int | None, error: str) -> Task:
        """Write that a try has failed; a delivery that is not due again loses its body."""
        sql = self._sql.kept
        if due_at is None:
            return lambda session: session.execute(sql.bury_delivery, (b"", error, delivery_id))
        return lambda session: session.execute(sql.settle_delivery, (due_at, error, delivery_id))

    def finish_delivery(self, delivery_id: str) -> Task:
        """Delete the delivery."""
        return lambda session: session.execute(self._sql.kept.delete_delivery, (delivery_id,))

    def erase(
        self, erasure_id: int, rewritten: Sequence[tuple[str, bytes, int]], next_version: int | None
    ) -> Task:
        """Overwrite events, and note where to go on."""

        def task(session: Session) -> None:
            for row in rewritten:
                session.execute(self._sql.rewrite_event, row)
            if next_version is None:
                session.execute(self._sql.delete_erasure, (erasure_id,))
            else:
                session.execute(self._sql.advance_erasure, (next_version, erasure_id))

        return task
