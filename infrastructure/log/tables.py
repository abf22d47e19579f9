"""The tables of a log in a database, in SQLAlchemy Core, for every dialect. No statements here.

`migrations/` makes these tables; a test holds the two together. Moments are whole microseconds since
1970, so that both dialects keep them exactly and sort them alike.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    null,
    text,
    true,
)

METADATA = MetaData()

_ROWID = BigInteger().with_variant(Integer, "sqlite")
"""On SQLite only a column of type INTEGER is the rowid itself."""

events = Table(
    "events",
    METADATA,
    # Numbered by the writer under its lock, never by a sequence: a sequence leaves holes, and gives
    # out numbers in another order than that of the commits, so that a follower would miss events.
    Column("position", _ROWID, primary_key=True, autoincrement=False),
    Column("originator_id", Text, nullable=False),
    Column("originator_version", BigInteger, nullable=False),
    Column("topic", Text, nullable=False),
    Column("state", LargeBinary, nullable=False),
    UniqueConstraint("originator_id", "originator_version", name="events_thread"),
)

runs = Table(
    "runs",
    METADATA,
    Column("thread_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("is_hidden", Boolean, nullable=False),
    Column("assistant_id", Text, nullable=False),
    Column("graph_id", Text, nullable=False),
    Column("multitask_strategy", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("accepted_version", BigInteger, nullable=False),
    Column("ended_version", BigInteger),
    # The run id goes first: this index also finds a run whose thread is not known.
    PrimaryKeyConstraint("run_id", "thread_id", name="runs_pk"),
    sqlite_with_rowid=False,
)

# Literal, here and in queries: a database proves by their text that it may use a partial index.
IN_FLIGHT = text("status IN ('pending', 'running')")

Index("runs_of_thread", runs.c.thread_id, runs.c.created_at)
Index("runs_in_flight", runs.c.due_at, sqlite_where=IN_FLIGHT, postgresql_where=IN_FLIGHT)

threads = Table(
    "threads",
    METADATA,
    Column("thread_id", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("is_present", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("has_in_flight", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("state_updated_at", BigInteger, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("expires_at", BigInteger),
    # Snapshots at or below this version may hold payloads that were erased.
    Column("erased_version", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("thread_id", name="threads_pk"),
    sqlite_with_rowid=False,
)

PRESENT = threads.c.is_present.is_(true())

Index("threads_present", threads.c.updated_at, sqlite_where=PRESENT, postgresql_where=PRESENT)

EXPIRING = threads.c.expires_at.is_not(null())

Index("threads_expiring", threads.c.expires_at, sqlite_where=EXPIRING, postgresql_where=EXPIRING)

assistants = Table(
    "assistants",
    METADATA,
    Column("assistant_id", Text, nullable=False),
    Column("graph_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("config", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("assistant_id", name="assistants_pk"),
    sqlite_with_rowid=False,
)

holders = Table(
    "holders",
    METADATA,
    Column("holder", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("holder", name="holders_pk"),
    sqlite_with_rowid=False,
)

leases = Table(
    "leases",
    METADATA,
    Column("thread_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("holder", Text, nullable=False),
    PrimaryKeyConstraint("thread_id", "run_id", "attempt", name="leases_pk"),
    sqlite_with_rowid=False,
)

snapshots = Table(
    "snapshots",
    METADATA,
    Column("thread_id", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("schema", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("thread_id", name="snapshots_pk"),
)

erasures = Table(
    "erasures",
    METADATA,
    Column("id", _ROWID, primary_key=True, autoincrement=True),
    Column("thread_id", Text, nullable=False),
    # Null: the whole thread.
    Column("run_id", Text),
    Column("from_version", BigInteger, nullable=False),
    Column("upto_version", BigInteger, nullable=False),
)

# What runs emitted: batches of parts in order of their places. Gone with the run, and after a time.
stream_parts = Table(
    "stream_parts",
    METADATA,
    Column("thread_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("thread_id", "version", "seq", name="stream_parts_pk"),
)

Index(
    "stream_parts_of_run",
    stream_parts.c.run_id,
    stream_parts.c.thread_id,
    stream_parts.c.attempt,
    stream_parts.c.seq,
)

tracking = Table(
    "tracking",
    METADATA,
    Column("application_name", Text, nullable=False),
    Column("notification_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("application_name", name="tracking_pk"),
    sqlite_with_rowid=False,
)

answers = Table(
    "answers",
    METADATA,
    Column("scope", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("headers", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("scope", "key", name="answers_pk"),
)

Index("answers_expiring", answers.c.expires_at)

deliveries = Table(
    "deliveries",
    METADATA,
    Column("delivery_id", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Null: it is dead.
    Column("due_at", BigInteger),
    Column("tries", Integer, nullable=False),
    Column("error", Text, nullable=False),
    PrimaryKeyConstraint("delivery_id", name="deliveries_pk"),
)

Index("deliveries_due", deliveries.c.due_at)


def stored_events_table(name: str) -> Table:
    """Return a table of events beside the log, as `eventsourcing` keeps its own snapshots in."""
    return Table(
        name,
        MetaData(),
        Column("originator_id", Text, nullable=False),
        Column("originator_version", BigInteger, nullable=False),
        Column("topic", Text, nullable=False),
        Column("state", LargeBinary, nullable=False),
        PrimaryKeyConstraint("originator_id", "originator_version", name=f"{name}_pk"),
    )
