"""What Alembic runs to migrate: always on the connection that the log was opened with."""

from __future__ import annotations

from alembic import context

# The transaction is the caller's: it has to span the look at the version and all steps from there.
context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
