"""The measure of all appends: the driver alone, on our tables, with statements written by hand. No engine, no checks."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from threadfold.infrastructure.log.rows import RUN_COLUMNS, THREAD_COLUMNS
from threadfold.infrastructure.log.sqlite import SQLiteDatabase, SQLiteSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from threadfold.infrastructure.log.codec import EventRow
    from threadfold.infrastructure.log.rows import Values

INSERT_EVENT = "INSERT INTO events (position, originator_id, originator_version, topic, state) VALUES (?,?,?,?,?)"


def _upsert(table: str, columns: Sequence[str], key: Sequence[str]) -> str:
    places = ",".join("?" * len(columns))
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) "  # noqa: S608 - names of ours
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
    )


UPSERT_THREAD = _upsert("threads", THREAD_COLUMNS, ["thread_id"])
UPSERT_RUN = _upsert("runs", RUN_COLUMNS, ["run_id", "thread_id"])


class RawLog:
    """Appends rows to the tables of a log, durably, one transaction a call."""

    def __init__(self, path: Path) -> None:
        database = SQLiteDatabase(path, SQLiteSettings())
        database.open()
        database.close()
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA synchronous = FULL")
        self._position = 0

    def append(
        self,
        events: Sequence[EventRow],
        threads: Sequence[Values] = (),
        runs: Sequence[Values] = (),
    ) -> None:
        """Write the rows in one transaction."""
        execute, many = self._connection.execute, self._connection.executemany
        first = self._position + 1
        self._position += len(events)
        execute("BEGIN IMMEDIATE")
        if len(events) == 1:
            execute(INSERT_EVENT, (first, *events[0]))
        else:
            many(INSERT_EVENT, [(at, *event) for at, event in enumerate(events, first)])
        if threads:
            many(UPSERT_THREAD, threads)
        if runs:
            many(UPSERT_RUN, runs)
        execute("COMMIT")

    def close(self) -> None:
        self._connection.close()
