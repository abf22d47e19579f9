"""The statements of a log, written in SQLAlchemy Core and compiled once for a dialect.

Compiled, they run on the driver's own cursor: SQLAlchemy's execution costs several times what SQLite
takes for a statement of this size. Parameters go by place; each entry names their order.
"""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, bindparam, delete, false, func, insert, or_, select, true, update
from sqlalchemy.schema import CreateTable

from .kept_statements import KeptStatements
from .rows import ASSISTANT_COLUMNS, RUN_COLUMNS, THREAD_COLUMNS
from .streams import StreamStatements
from .tables import (
    EXPIRING,
    IN_FLIGHT,
    PRESENT,
    assistants,
    erasures,
    events,
    holders,
    leases,
    runs,
    snapshots,
    stored_events_table,
    threads,
    tracking,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import ClauseElement, Dialect, Table

_EVENT = (
    events.c.position,
    events.c.originator_id,
    events.c.originator_version,
    events.c.topic,
    events.c.state,
)


def _rows(names: Sequence[str], count: int) -> list[dict[str, Any]]:
    return [{name: bindparam(f"{name}_{row}") for name in names} for row in range(count)]


class Bulk:
    """A statement over many rows, executed over as many at a time as a power of two allows.

    One execution of many rows takes less time than many of one, and the driver gives up Python's lock
    and takes it again once in each: with a busy event loop next to it, taking it can be slow.
    """

    SIZES = (64, 32, 16, 8, 4, 2, 1)

    def __init__(self, text: Callable[[int], str]) -> None:
        self._text = cache(text)

    def parts(self, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
        """Yield what to execute, and with which parameters."""
        done = 0
        for size in self.SIZES:
            while len(rows) - done >= size:
                yield self._text(size), list(chain.from_iterable(rows[done : done + size]))
                done += size


class Statements:
    """What the recorder, the writer and the store execute, as texts for one dialect's driver.

    `insert_upsert` is the dialect's own `insert`, which knows `ON CONFLICT`. `key_of` and `id_of` turn a
    thread's id into what the table of events holds for it, and back.
    """

    def __init__(
        self,
        dialect: Dialect,
        insert_upsert: Callable[[Table], Any],
        key_of: Callable[[str], Any] = str,
        id_of: Callable[[Any], str] = str,
    ) -> None:
        self.key_of, self.id_of = key_of, id_of
        self._dialect = dialect
        self._insert = insert_upsert
        self._prepare_events()
        self._prepare_projections()
        self._prepare_assistants()
        self._prepare_leases()
        self._prepare_snapshots()
        self._prepare_erasures()
        self.streams = StreamStatements(self.prepare, self.insert_into)
        self.kept = KeptStatements(self)

    def prepare(self, statement: ClauseElement, *names: str) -> str:
        """Return the statement's text, whose parameters go in the order of `names`."""
        compiled: Any = statement.compile(dialect=self._dialect)
        if tuple(compiled.positiontup or ()) != names:
            raise AssertionError(f"{compiled.positiontup}, not {names}, is the order of {compiled}")
        return str(compiled)

    def text_of(self, definition: ClauseElement) -> str:
        """Return the text of a statement without parameters."""
        return str(definition.compile(dialect=self._dialect))

    def insert_into(self, table: Table, *names: str) -> str:
        """Return an insert of these columns."""
        return self.prepare(insert(table).values({name: bindparam(name) for name in names}), *names)

    def upsert_into(self, table: Table, *names: str) -> str:
        """Return an insert of these columns that replaces them in a row that is there already."""
        return self.upsert_many(table, *names)(1)

    def insert_many(self, table: Table, *names: str) -> Callable[[int], str]:
        """Return what gives the insert of so many rows."""

        def of(count: int) -> str:
            places = [f"{name}_{row}" for row in range(count) for name in names]
            return self.prepare(insert(table).values(_rows(names, count)), *places)

        return of

    def upsert_many(self, table: Table, *names: str) -> Callable[[int], str]:
        """Return what gives the upsert of so many rows, no two with the same key."""
        key = [column.name for column in table.primary_key]

        def of(count: int) -> str:
            places = [f"{name}_{row}" for row in range(count) for name in names]
            statement = self._insert(table).values(_rows(names, count))
            changes = {name: statement.excluded[name] for name in names if name not in key}
            return self.prepare(
                statement.on_conflict_do_update(index_elements=key, set_=changes), *places
            )

        return of

    def _prepare_events(self) -> None:
        of_thread = events.c.originator_id == bindparam("thread_id")
        self.insert_events = Bulk(
            self.insert_many(
                events, "position", "originator_id", "originator_version", "topic", "state"
            )
        )
        self.head_position = self.prepare(select(func.max(events.c.position)))
        self.head_version = self.prepare(
            select(func.max(events.c.originator_version)).where(of_thread), "thread_id"
        )
        self.select_version = self.prepare(
            select(*_EVENT).where(of_thread, events.c.originator_version == bindparam("version")),
            "thread_id",
            "version",
        )
        between = (
            select(*_EVENT)
            .where(of_thread, events.c.originator_version > bindparam("after"))
            .where(events.c.originator_version <= bindparam("upto"))
            .limit(bindparam("limit"))
            .offset(bindparam("offset"))
        )
        names = ("thread_id", "after", "upto", "limit", "offset")
        self.select_thread = self.prepare(between.order_by(events.c.originator_version), *names)
        self.select_thread_backwards = self.prepare(
            between.order_by(events.c.originator_version.desc()), *names
        )
        self.select_log = self.select_log_of_topics(0)
        self.tracking_position = self.prepare(
            select(tracking.c.notification_id).where(
                tracking.c.application_name == bindparam("application_name")
            ),
            "application_name",
        )
        self.upsert_tracking = self.upsert_into(tracking, "application_name", "notification_id")

    def select_log_of_topics(self, count: int) -> str:
        """Return a query of the log for so many topics; 0: for all events."""
        statement = select(*_EVENT).where(
            events.c.position > bindparam("after"), events.c.position <= bindparam("upto")
        )
        topics = [f"topic_{number}" for number in range(count)]
        if topics:
            statement = statement.where(or_(*(events.c.topic == bindparam(t) for t in topics)))
        return self.prepare(
            statement.order_by(events.c.position)
            .limit(bindparam("limit"))
            .offset(bindparam("offset")),
            "after",
            "upto",
            *topics,
            "limit",
            "offset",
        )

    def _prepare_projections(self) -> None:
        run = [runs.c[name] for name in RUN_COLUMNS]
        thread = [threads.c[name] for name in THREAD_COLUMNS]
        by_id = runs.c.run_id == bindparam("run_id")
        of_thread = runs.c.thread_id == bindparam("thread_id")
        page = ("limit", "offset")
        self.upsert_runs = Bulk(self.upsert_many(runs, *RUN_COLUMNS))
        self.upsert_threads = Bulk(self.upsert_many(threads, *THREAD_COLUMNS))
        self.has_run = self.prepare(
            select(runs.c.run_id).where(by_id, of_thread), "run_id", "thread_id"
        )
        self.select_run = self.prepare(select(*run).where(by_id, of_thread), "run_id", "thread_id")
        hide = update(runs).values(is_hidden=true())
        self.hide_run = self.prepare(hide.where(of_thread).where(by_id), "thread_id", "run_id")
        self.hide_runs_of_thread = self.prepare(hide.where(of_thread), "thread_id")
        self.find_run = self.prepare(
            select(*run).where(by_id).order_by(runs.c.created_at.desc(), runs.c.thread_id), "run_id"
        )
        listed = (
            select(*run)
            .where(of_thread)
            .where(or_(runs.c.is_hidden.is_(false()), bindparam("with_hidden", type_=Boolean)))
            .order_by(
                runs.c.created_at.desc(), runs.c.accepted_version.desc(), runs.c.run_id.desc()
            )
            .limit(bindparam("limit"))
            .offset(bindparam("offset"))
        )
        self.list_runs = self.prepare(listed, "thread_id", "with_hidden", *page)
        self.list_runs_of_status = self.prepare(
            listed.where(runs.c.status == bindparam("status")),
            "thread_id",
            "with_hidden",
            "status",
            *page,
        )
        self.list_runs_in_flight = self.prepare(
            select(*run)
            .where(IN_FLIGHT)
            .order_by(runs.c.due_at, runs.c.thread_id, runs.c.accepted_version, runs.c.run_id)
        )
        self.select_thread_row = self.prepare(
            select(*thread).where(threads.c.thread_id == bindparam("thread_id")), "thread_id"
        )
        self.list_threads = self.prepare(
            select(*thread)
            .where(PRESENT)
            .order_by(threads.c.updated_at.desc(), threads.c.thread_id)
            .limit(bindparam("limit"))
            .offset(bindparam("offset")),
            *page,
        )
        self.list_expiring = self.prepare(
            select(*thread)
            .where(EXPIRING)
            .order_by(threads.c.expires_at, threads.c.thread_id)
            .limit(bindparam("limit"))
            .offset(bindparam("offset")),
            *page,
        )

    def _prepare_assistants(self) -> None:
        self.upsert_assistant = self.upsert_into(assistants, *ASSISTANT_COLUMNS)
        self.delete_assistant = self.prepare(
            delete(assistants).where(assistants.c.assistant_id == bindparam("assistant_id")),
            "assistant_id",
        )
        self.list_assistants = self.prepare(
            select(*(assistants.c[name] for name in ASSISTANT_COLUMNS))
        )

    def _prepare_leases(self) -> None:
        held = select(
            leases.c.thread_id,
            leases.c.run_id,
            leases.c.attempt,
            leases.c.holder,
            holders.c.expires_at,
        ).select_from(leases.outerjoin(holders, holders.c.holder == leases.c.holder))
        order = (leases.c.thread_id, leases.c.run_id, leases.c.attempt)
        self.upsert_leases = Bulk(
            self.upsert_many(leases, "thread_id", "run_id", "attempt", "holder")
        )
        self.delete_lease = self.prepare(
            delete(leases)
            .where(leases.c.thread_id == bindparam("thread_id"))
            .where(leases.c.run_id == bindparam("run_id"))
            .where(leases.c.attempt == bindparam("attempt")),
            "thread_id",
            "run_id",
            "attempt",
        )
        self.list_leases = self.prepare(held.order_by(*order))
        self.list_leases_of_thread = self.prepare(
            held.where(leases.c.thread_id == bindparam("thread_id")).order_by(*order), "thread_id"
        )
        self.upsert_holder = self.upsert_into(holders, "holder", "expires_at")
        self.delete_holder = self.prepare(
            delete(holders).where(holders.c.holder == bindparam("holder")), "holder"
        )
        self.list_holders = self.prepare(select(holders.c.holder, holders.c.expires_at))

    def _prepare_snapshots(self) -> None:
        of_thread = snapshots.c.thread_id == bindparam("thread_id")
        columns = ("thread_id", "version", "schema", "body")
        self.select_snapshot = self.prepare(
            select(*(snapshots.c[name] for name in columns)).where(of_thread), "thread_id"
        )
        self.snapshot_version = self.prepare(
            select(snapshots.c.version).where(of_thread), "thread_id"
        )
        self.upsert_snapshot = self.upsert_into(snapshots, *columns)
        self.delete_snapshot = self.prepare(
            delete(snapshots).where(of_thread, snapshots.c.version >= bindparam("from_version")),
            "thread_id",
            "from_version",
        )
        self.erased_version = self.prepare(
            select(threads.c.erased_version).where(threads.c.thread_id == bindparam("thread_id")),
            "thread_id",
        )

    def _prepare_erasures(self) -> None:
        columns = ("thread_id", "run_id", "from_version", "upto_version")
        by_id = erasures.c.id == bindparam("erasure_id")
        self.insert_erasure = self.insert_into(erasures, *columns)
        self.select_erasures = self.prepare(
            select(erasures.c.id, *(erasures.c[name] for name in columns))
            .order_by(erasures.c.id)
            .limit(bindparam("limit"))
            .offset(bindparam("offset")),
            "limit",
            "offset",
        )
        self.advance_erasure = self.prepare(
            update(erasures).values(from_version=bindparam("version")).where(by_id),
            "version",
            "erasure_id",
        )
        self.delete_erasure = self.prepare(delete(erasures).where(by_id), "erasure_id")
        self.mark_erased = self.prepare(
            update(threads)
            .values(erased_version=bindparam("version"))
            .where(threads.c.thread_id == bindparam("of_thread")),
            "version",
            "of_thread",
        )
        self.rewrite_event = self.prepare(
            update(events)
            .values(topic=bindparam("new_topic"), state=bindparam("new_state"))
            .where(events.c.position == bindparam("at")),
            "new_topic",
            "new_state",
            "at",
        )

    def of_side_table(self, name: str) -> SideTableStatements:
        """Return the statements for a table of events beside the log."""
        return SideTableStatements(self, stored_events_table(name))


class SideTableStatements:
    """What is executed on a table of events that has no positions."""

    def __init__(self, statements: Statements, table: Table) -> None:
        columns = ("originator_id", "originator_version", "topic", "state")
        between = (
            select(table)
            .where(table.c.originator_id == bindparam("thread_id"))
            .where(table.c.originator_version > bindparam("after"))
            .where(table.c.originator_version <= bindparam("upto"))
            .limit(bindparam("limit"))
            .offset(bindparam("offset"))
        )
        names = ("thread_id", "after", "upto", "limit", "offset")
        version = table.c.originator_version
        self.create = statements.text_of(CreateTable(table, if_not_exists=True))
        self.insert = statements.insert_into(table, *columns)
        self.select = statements.prepare(between.order_by(version), *names)
        self.select_backwards = statements.prepare(between.order_by(version.desc()), *names)
