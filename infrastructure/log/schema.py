"""Brings a database's tables up to this program's version of them. No data is read here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from ...domain.errors import StoreVersionError

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = "0001"
"""The newest revision in `migrations/versions`; held by a test."""


def current_revision(connection: Connection) -> str | None:
    """Return the revision that the tables are at, None if there are none."""
    return MigrationContext.configure(connection).get_current_revision()


def migrate(connection: Connection) -> None:
    """Make the tables, or bring older ones up to date.

    Runs in the caller's transaction, which must keep all other writers out from its beginning: of two
    processes that open a new database at once, the second finds everything done.

    Raises:
        StoreVersionError: the tables were made by a newer version of the program.
    """
    revision = current_revision(connection)
    if revision == HEAD:
        return
    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise StoreVersionError(
            f"The database's tables are at revision {revision}, which is newer than this version "
            f"of the program knows (it knows {HEAD}): upgrade the program"
        )
    command.upgrade(config, "head")
