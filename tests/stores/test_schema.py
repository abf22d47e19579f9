"""The tables: made by the migrations as `tables.py` has them, and refused when they are newer."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from tests.support.appends import append
from threadfold.domain.errors import StoreUnavailableError, StoreVersionError
from threadfold.infrastructure.log import schema, tables

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def execute(path: Path, sql: str) -> list:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql).fetchall()


def definitions(path: Path) -> set:
    sql = "SELECT type, name, tbl_name, sql FROM sqlite_master"
    return {row for row in execute(path, sql) if row[1] != "alembic_version"}


async def test_the_migrations_make_the_tables_that_the_code_names(
    sqlite_url, opening, path: Path, tmp_path: Path
) -> None:
    store = await opening(sqlite_url)
    await store.close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.METADATA) == []
    engine.dispose()
    # The comparison does not see everything: partial indexes, WITHOUT ROWID.
    direct = create_engine(f"sqlite:///{tmp_path}/direct.db")
    tables.METADATA.create_all(direct)
    direct.dispose()
    assert {row[1] for row in definitions(path)} >= {"events", "runs_in_flight", "threads"}

    def texts(rows: set) -> set:
        return {(row[1], " ".join((row[3] or "").split())) for row in rows}

    made = {row for row in definitions(path) if "alembic" not in row[1]}
    assert texts(made) == texts(definitions(tmp_path / "direct.db"))


def test_the_head_that_the_code_names_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


async def test_a_file_is_opened_again_as_it_was_left(sqlite_url, opening, path: Path) -> None:
    store = await opening(sqlite_url)
    await store.append(append("t", 0))
    await store.close()
    before = definitions(path)
    store = await opening(sqlite_url)
    assert await store.head_version("t") == 1
    assert definitions(path) == before


async def test_a_newer_schema_is_refused_and_left_alone(sqlite_url, opening, path: Path) -> None:
    store = await opening(sqlite_url)
    await store.append(append("t", 0))
    await store.close()
    execute(path, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreVersionError, match="9999"):
        await opening(sqlite_url)
    execute(path, "UPDATE alembic_version SET version_num = '0001'")
    store = await opening(sqlite_url)
    assert await store.head_version("t") == 1


async def test_a_migration_that_breaks_off_leaves_nothing(
    sqlite_url, opening, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = schema.command.upgrade

    def upgrade_and_fail(*args) -> None:
        real(*args)
        raise sqlite3.OperationalError("the disk is full")

    monkeypatch.setattr(schema.command, "upgrade", upgrade_and_fail)
    with pytest.raises(StoreUnavailableError, match="the disk is full"):
        await opening(sqlite_url)
    assert execute(path, "SELECT * FROM sqlite_master") == []
    monkeypatch.undo()
    await opening(sqlite_url)


@pytest.fixture
def diary(path: Path) -> None:
    path.write_bytes(b"Dear diary, today was quiet. " * 100)


@pytest.mark.usefixtures("diary")
async def test_a_file_that_is_no_database_is_an_error(sqlite_url, opening) -> None:
    with pytest.raises(StoreUnavailableError, match="not a database"):
        await opening(sqlite_url)


async def test_a_folder_may_have_any_name(tmp_path: Path, opening) -> None:
    (tmp_path / "100%s of %(here)s?x=1#").mkdir()
    await opening(f"sqlite:///{tmp_path}/100%s of %(here)s?x=1#/log.db")


async def test_the_newest_event_and_runs_in_flight_are_found_through_indexes(
    sqlite_url, opening, path: Path
) -> None:
    store = await opening(sqlite_url)
    statements = store._log.database.statements

    def plan(sql: str) -> str:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            values = (None,) * sql.count("?")
            rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
        return "; ".join(row[-1] for row in rows)

    for sql, index in (
        (statements.head_version, "COVERING INDEX"),
        (statements.select_thread, "INDEX sqlite_autoindex_events_1"),
        (statements.select_log, "INTEGER PRIMARY KEY"),
        (statements.list_runs_in_flight, "INDEX runs_in_flight"),
        (statements.list_runs, "INDEX runs_of_thread"),
        (statements.find_run, "PRIMARY KEY (run_id=?)"),
        (statements.list_threads, "INDEX threads_present"),
    ):
        assert index in plan(sql), sql
