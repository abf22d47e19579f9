"""The log, its projections, leases, snapshots, erasures and tracking."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROWID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("position", _ROWID, primary_key=True, autoincrement=False),
        sa.Column("originator_id", sa.Text, nullable=False),
        sa.Column("originator_version", sa.BigInteger, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("originator_id", "originator_version", name="events_thread"),
    )
    _create_projections()
    _create_assistants()
    _create_leases()
    op.create_table(
        "snapshots",
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("schema", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("thread_id", name="snapshots_pk"),
    )
    op.create_table(
        "erasures",
        sa.Column("id", _ROWID, primary_key=True, autoincrement=True),
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("from_version", sa.BigInteger, nullable=False),
        sa.Column("upto_version", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "stream_parts",
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("thread_id", "version", "seq", name="stream_parts_pk"),
    )
    op.create_index(
        "stream_parts_of_run", "stream_parts", ["run_id", "thread_id", "attempt", "seq"]
    )
    op.create_table(
        "tracking",
        sa.Column("application_name", sa.Text, nullable=False),
        sa.Column("notification_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("application_name", name="tracking_pk"),
        sqlite_with_rowid=False,
    )
    _create_answers()


def _create_answers() -> None:
    op.create_table(
        "answers",
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name="answers_pk"),
    )
    op.create_index("answers_expiring", "answers", ["expires_at"])
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.Text, nullable=False),
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", name="deliveries_pk"),
    )
    op.create_index("deliveries_due", "deliveries", ["due_at"])


def _create_projections() -> None:
    op.create_table(
        "runs",
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("is_hidden", sa.Boolean, nullable=False),
        sa.Column("assistant_id", sa.Text, nullable=False),
        sa.Column("graph_id", sa.Text, nullable=False),
        sa.Column("multitask_strategy", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("accepted_version", sa.BigInteger, nullable=False),
        sa.Column("ended_version", sa.BigInteger),
        sa.PrimaryKeyConstraint("run_id", "thread_id", name="runs_pk"),
        sqlite_with_rowid=False,
    )
    in_flight = sa.text("status IN ('pending', 'running')")
    op.create_index("runs_of_thread", "runs", ["thread_id", "created_at"])
    op.create_index(
        "runs_in_flight", "runs", ["due_at"], sqlite_where=in_flight, postgresql_where=in_flight
    )
    op.create_table(
        "threads",
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("is_present", sa.Boolean, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("has_in_flight", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("state_updated_at", sa.BigInteger, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("erased_version", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("thread_id", name="threads_pk"),
        sqlite_with_rowid=False,
    )
    present = sa.column("is_present", sa.Boolean).is_(sa.true())
    op.create_index(
        "threads_present",
        "threads",
        ["updated_at"],
        sqlite_where=present,
        postgresql_where=present,
    )
    expiring = sa.column("expires_at", sa.BigInteger).is_not(sa.null())
    op.create_index(
        "threads_expiring",
        "threads",
        ["expires_at"],
        sqlite_where=expiring,
        postgresql_where=expiring,
    )


def _create_assistants() -> None:
    op.create_table(
        "assistants",
        sa.Column("assistant_id", sa.Text, nullable=False),
        sa.Column("graph_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("assistant_id", name="assistants_pk"),
        sqlite_with_rowid=False,
    )


def _create_leases() -> None:
    op.create_table(
        "holders",
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("holder", name="holders_pk"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "leases",
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("thread_id", "run_id", "attempt", name="leases_pk"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for table in (
        "deliveries",
        "answers",
        "tracking",
        "stream_parts",
        "erasures",
        "snapshots",
        "leases",
        "holders",
        "assistants",
        "threads",
        "runs",
        "events",
    ):
        op.drop_table(table)
