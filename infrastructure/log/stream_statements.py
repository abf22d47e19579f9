"""The statements of stored streams, for one dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sqlalchemy import and_, bindparam, delete, or_, select

from .tables import runs, stream_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ClauseElement, Table

_BATCH = ("thread_id", "run_id", "attempt", "version", "seq", "count", "body")


class Preparing(Protocol):
    """What makes texts of statements for one dialect."""

    def prepare(self, statement: ClauseElement, *names: str) -> str:
        """Return the statement's text, whose parameters go in the order of `names`."""
        ...

    def insert_into(self, table: Table, *names: str) -> str:
        """Return an insert of these columns."""
        ...


class StreamStatements:
    """What is executed on the table of stored streams."""

    def __init__(self, statements: Preparing) -> None:
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
        self.select_of_thread = statements.prepare(of_place, *place, "upto", *page)
        self.select_of_run = statements.prepare(
            of_place.where(of_run), *place, "upto", "run_id", *page
        )
        self.insert = statements.insert_into(stream_parts, *_BATCH)
        self.select_stored = statements.prepare(
            select(columns.version)
            .where(of_run, of_thread)
            .where(columns.attempt == bindparam("attempt"), columns.seq == bindparam("seq")),
            "run_id",
            "thread_id",
            "attempt",
            "seq",
        )
        self.delete_of_thread = statements.prepare(
            delete(stream_parts).where(of_thread), "thread_id"
        )
        self.delete_of_run = statements.prepare(
            delete(stream_parts).where(of_thread).where(of_run), "thread_id", "run_id"
        )
        self.select_ended = statements.prepare(
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
