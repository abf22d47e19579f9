"""Reads the databases of LangGraph's SqliteSaver and AsyncSqliteSaver."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ....domain.importing import Counts, Held, Record, SourceError
from .decoding import UndecodableError
from .records import WriteRow, by_time, placed, task_writes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ....domain.importing import Holdings
    from ....domain.saved import CheckpointKey, Slot
    from .decoding import Decoder

CHECKPOINT_COLUMNS = {
    *("thread_id", "checkpoint_ns", "checkpoint_id", "parent_checkpoint_id"),
    *("type", "checkpoint", "metadata"),
}
WRITE_COLUMNS = {
    *("thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx", "channel", "type", "value"),
}

NEXT_THREAD = """
SELECT min(thread_id) FROM (
    SELECT min(thread_id) AS thread_id FROM checkpoints WHERE thread_id >= ?
    UNION ALL SELECT min(thread_id) FROM writes WHERE thread_id >= ?
)
"""


class SQLiteSource:
    """A database file, opened read-only, as it stood at the first look."""

    def __init__(self, path: Path, decoder: Decoder) -> None:
        """Open the file.

        Raises:
            SourceError: it is not there, or it is not one of theirs.
        """
        if not path.is_file():
            raise SourceError(f"There is no database at {path}.")
        self._path = path
        self._decoder = decoder
        # Used by one thread after the other; autocommit, so that the transaction is ours.
        self._connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._connection.execute("BEGIN")
            self._path_column = self._checked()
        except sqlite3.Error as error:
            self.close()
            raise SourceError(f"{path} cannot be read: {error}.") from error
        except SourceError:
            self.close()
            raise

    def _checked(self) -> str:
        """See that it is one of theirs; return the SQL for a write's path, which older ones do not have."""
        checkpoints, writes = self._columns("checkpoints"), self._columns("writes")
        if "thread_ts" in checkpoints:
            raise SourceError(
                f"{self._path} was written by langgraph before 0.2, in a form that cannot be read any more."
            )
        if not (checkpoints >= CHECKPOINT_COLUMNS and writes >= WRITE_COLUMNS):
            raise SourceError(
                f"{self._path} holds no checkpoints of LangGraph: "
                "a SqliteSaver has the tables checkpoints and writes."
            )
        return "task_path" if "task_path" in writes else "''"

    def _columns(self, table: str) -> set[str]:
        return {name for (name,) in self._rows("SELECT name FROM pragma_table_info(?)", table)}

    def _rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise SourceError(f"{self._path} cannot be read: {error}.") from error

    def counts(self, thread_ids: Sequence[str] = ()) -> Counts:
        """Count everything, or what there is of these threads."""
        chosen = "" if not thread_ids else " WHERE thread_id IN (SELECT value FROM json_each(?))"
        given = [json.dumps(list(thread_ids))] * bool(thread_ids)
        numbers = [
            self._rows(f"SELECT count(*) FROM {table}{chosen}", *given)[0][0]  # noqa: S608 - our own names
            for table in (
                "(SELECT thread_id FROM checkpoints UNION SELECT thread_id FROM writes)",
                "checkpoints",
                "writes",
            )
        ]
        return Counts(*numbers)

    def thread_ids(self) -> Iterator[str]:
        """Yield the ids of all threads, in order."""
        start = ""
        while True:
            # Each is found by the index, so that there may be more of them than fit into memory.
            found = self._rows(NEXT_THREAD, start, start)[0][0]
            if found is None:
                return
            yield found
            start = f"{found}\0"  # What sorts right after it.

    def holdings(self, thread_id: str) -> Holdings:
        """Return what there is of a thread; no value is read for that."""
        sizes: dict[CheckpointKey, int] = {}
        slots: defaultdict[CheckpointKey, set[Slot]] = defaultdict(set)
        found = self._rows(
            "SELECT checkpoint_ns, checkpoint_id, length(checkpoint) + ifnull(length(metadata), 0) "
            "FROM checkpoints WHERE thread_id = ?",
            thread_id,
        )
        for ns, checkpoint_id, size in found:
            sizes[ns, checkpoint_id] = size
        checkpoints = set(sizes)
        found = self._rows(
            "SELECT checkpoint_ns, checkpoint_id, task_id, idx, ifnull(length(value), 0) "
            "FROM writes WHERE thread_id = ?",
            thread_id,
        )
        for ns, checkpoint_id, task_id, idx, size in found:
            key = (ns, checkpoint_id)
            slots[key].add((task_id, idx))
            sizes[key] = sizes.get(key, 0) + size
        return {
            key: Held(key in checkpoints, frozenset(slots[key]), sizes[key])
            for key in sorted(sizes, key=by_time)
        }

    def read(self, thread_id: str, keys: Mapping[CheckpointKey, bool]) -> list[Record]:
        """Return these of the thread's records, in this order; the checkpoint itself where it is asked for."""

        def record(key: CheckpointKey, *, is_whole: bool) -> Record:
            make = partial(self._record, thread_id, key, is_whole=is_whole)
            return placed(thread_id, key, make)

        return [record(key, is_whole=is_whole) for key, is_whole in keys.items()]

    def _record(self, thread_id: str, key: CheckpointKey, *, is_whole: bool) -> Record:
        where = "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
        writes = self._rows(
            f"SELECT {self._path_column}, task_id, idx, channel, type, value FROM writes {where}",  # noqa: S608
            *(thread_id, *key),
        )
        made = task_writes((WriteRow(*row) for row in writes), self._decoder)
        if not is_whole:
            return Record(key, writes=made)
        found = self._rows(
            f"SELECT parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints {where}",  # noqa: S608
            *(thread_id, *key),
        )
        for parent_id, kind, data, metadata in found:
            return Record(
                key,
                self._decoder.checkpoint(kind, data),
                parent_id or None,
                _metadata(metadata),
                made,
            )
        return Record(key, writes=made)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _metadata(stored: str | bytes | None) -> dict[str, object]:
    try:
        found: object = {} if stored is None else json.loads(stored)
    except ValueError as error:
        raise UndecodableError(f"its metadata is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise UndecodableError("its metadata is no object")
    return cast("dict[str, object]", found)
