"""Reads the databases of LangGraph's PostgresSaver and AsyncPostgresSaver, with plain SQL: those packages are not needed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

import psycopg
from langgraph.checkpoint.serde.types import TASKS

from ....domain.importing import Counts, Held, Record, SourceError
from .records import WriteRow, by_time, placed, task_writes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from ....domain.importing import Holdings
    from ....domain.saved import CheckpointKey, Slot
    from .decoding import Decoder

    BlobKey: TypeAlias = tuple[str, str, str]
    """Namespace, channel and version."""

CHECKPOINT_COLUMNS = {
    *("thread_id", "checkpoint_ns", "checkpoint_id", "parent_checkpoint_id"),
    *("checkpoint", "metadata"),
}
BLOB_COLUMNS = {"thread_id", "checkpoint_ns", "channel", "version", "type", "blob"}
WRITE_COLUMNS = {
    *("thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx", "channel", "type", "blob"),
}

NO_VALUE: Final = object()

FIRST_VERSION = f"{1:032}.{0:016}"
"""What a channel's version looks like in these databases."""

SENDS_INSIDE = 4
"""From this format on a checkpoint holds the sends to its step itself; before, they were writes on its parent."""

IDS_AT_ONCE = 1000

COLUMNS = """
SELECT attribute.attname FROM pg_attribute AS attribute
WHERE attribute.attrelid = to_regclass(%s) AND attribute.attnum > 0 AND NOT attribute.attisdropped
"""
EVERY_THREAD = """
SELECT thread_id FROM checkpoints UNION SELECT thread_id FROM checkpoint_writes ORDER BY 1
"""
COUNTS = """
SELECT
    (SELECT count(*) FROM (
        SELECT thread_id FROM checkpoints WHERE %(all)s OR thread_id = ANY(%(ids)s)
        UNION SELECT thread_id FROM checkpoint_writes WHERE %(all)s OR thread_id = ANY(%(ids)s)
    ) AS threads),
    (SELECT count(*) FROM checkpoints WHERE %(all)s OR thread_id = ANY(%(ids)s)),
    (SELECT count(*) FROM checkpoint_writes WHERE %(all)s OR thread_id = ANY(%(ids)s))
"""
CHECKPOINT_SIZES = """
SELECT held.checkpoint_ns, held.checkpoint_id,
    pg_column_size(held.checkpoint) + pg_column_size(held.metadata) + coalesce((
        SELECT sum(octet_length(blobs.blob))
        FROM jsonb_each_text(held.checkpoint -> 'channel_versions') AS versions
        JOIN checkpoint_blobs AS blobs
            ON blobs.thread_id = held.thread_id AND blobs.checkpoint_ns = held.checkpoint_ns
            AND blobs.channel = versions.key AND blobs.version = versions.value
    ), 0)
FROM checkpoints AS held WHERE held.thread_id = %s
"""
WRITE_SIZES = """
SELECT checkpoint_ns, checkpoint_id, task_id, idx, octet_length(blob)
FROM checkpoint_writes WHERE thread_id = %s
"""
CHECKPOINTS = """
SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata
FROM checkpoints
WHERE thread_id = %s AND (checkpoint_ns, checkpoint_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""
BLOBS = """
SELECT checkpoint_ns, channel, version, type, blob
FROM checkpoint_blobs
WHERE thread_id = %s AND type <> 'empty'
    AND (checkpoint_ns, channel, version) IN (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]))
"""
WRITES = """
SELECT checkpoint_ns, checkpoint_id, {task_path}, task_id, idx, channel, type, blob
FROM checkpoint_writes
WHERE thread_id = %s AND (checkpoint_ns, checkpoint_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""
WRITES_SINCE_2024 = WRITES.format(task_path="task_path")
WRITES_BEFORE = WRITES.format(task_path="''")


class _Row(NamedTuple):
    """A checkpoint as it is stored: what is not in it are the values that stand in blobs."""

    parent_id: str | None
    checkpoint: dict[str, Any]
    metadata: dict[str, Any]

    @property
    def versions(self) -> Mapping[str, object]:
        return self.checkpoint.get("channel_versions") or {}

    def blobs(self, key: CheckpointKey) -> list[BlobKey]:
        """Return which blobs may hold values of this checkpoint; not all of these need to exist."""
        return [(key[0], channel, str(version)) for channel, version in self.versions.items()]

    @property
    def takes_sends_of(self) -> str | None:
        """The parent whose writes hold the sends to this step, in checkpoints of before."""
        return self.parent_id if self.checkpoint.get("v", 0) < SENDS_INSIDE else None


class _Stored(NamedTuple):
    """A blob that was not decoded yet."""

    kind: str
    data: bytes | None


class PostgresSource:
    """A database, read in one read-only transaction: as it stood at the first look."""

    def __init__(self, url: str, decoder: Decoder) -> None:
        """Connect.

        Raises:
            SourceError: it does not answer, or it is not one of theirs.
        """
        self._decoder = decoder
        self._values: dict[BlobKey, object] = {}
        """Blobs of the checkpoints that were read last: the next ones have most of them in common."""
        self._values_of = ""
        try:
            self._connection = psycopg.connect(url, prepare_threshold=None)
        except psycopg.Error as error:
            raise SourceError(f"The database cannot be reached: {error}") from error
        try:
            self._connection.read_only = True
            self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            # What is read has to be written elsewhere meanwhile, and that may take long.
            self._connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            self._connection.execute("SET LOCAL statement_timeout = 0")
            self._writes_sql = self._checked()
        except psycopg.Error as error:
            self.close()
            raise SourceError(f"The database cannot be read: {error}") from error
        except SourceError:
            self.close()
            raise

    def _checked(self) -> str:
        """See that it is one of theirs; return the SQL for writes, whose path older ones do not have."""
        checkpoints = self._columns("checkpoints")
        if "checkpoint" in checkpoints and "checkpoint_id" not in checkpoints:
            raise SourceError(
                "The database was written by a ShallowPostgresSaver, which keeps no history: "
                "only databases of PostgresSaver and AsyncPostgresSaver can be imported."
            )
        writes = self._columns("checkpoint_writes")
        if not (
            checkpoints >= CHECKPOINT_COLUMNS
            and self._columns("checkpoint_blobs") >= BLOB_COLUMNS
            and writes >= WRITE_COLUMNS
        ):
            raise SourceError(
                "The database holds no checkpoints of LangGraph: a PostgresSaver has the tables "
                "checkpoints, checkpoint_blobs and checkpoint_writes in its search path."
            )
        return WRITES_SINCE_2024 if "task_path" in writes else WRITES_BEFORE

    def _columns(self, table: str) -> set[str]:
        return {name for (name,) in self._rows(COLUMNS, (table,))}

    def _rows(self, sql: str, parameters: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(
                cast("Any", sql), cast("Any", parameters), binary=True
            ).fetchall()
        except psycopg.Error as error:
            raise SourceError(f"The database cannot be read: {error}") from error

    def counts(self, thread_ids: Sequence[str] = ()) -> Counts:
        """Count everything, or what there is of these threads."""
        ((threads, checkpoints, writes),) = self._rows(
            COUNTS, {"all": not thread_ids, "ids": list(thread_ids)}
        )
        return Counts(threads, checkpoints, writes)

    def thread_ids(self) -> Iterator[str]:
        """Yield the ids of all threads, in order; there may be more than fit into memory."""
        with self._connection.cursor(name="threads") as cursor:
            cursor.itersize = IDS_AT_ONCE
            try:
                for (thread_id,) in cursor.execute(EVERY_THREAD):
                    yield thread_id
            except psycopg.Error as error:
                raise SourceError(f"The database cannot be read: {error}") from error

    def holdings(self, thread_id: str) -> Holdings:
        """Return what there is of a thread; no value is read for that."""
        sizes: dict[CheckpointKey, int] = {}
        slots: defaultdict[CheckpointKey, set[Slot]] = defaultdict(set)
        for ns, checkpoint_id, size in self._rows(CHECKPOINT_SIZES, (thread_id,)):
            sizes[ns, checkpoint_id] = int(size)
        checkpoints = set(sizes)
        for ns, checkpoint_id, task_id, idx, size in self._rows(WRITE_SIZES, (thread_id,)):
            key = (ns, checkpoint_id)
            slots[key].add((task_id, idx))
            sizes[key] = sizes.get(key, 0) + size
        return {
            key: Held(key in checkpoints, frozenset(slots[key]), sizes[key])
            for key in sorted(sizes, key=by_time)
        }

    def read(self, thread_id: str, keys: Mapping[CheckpointKey, bool]) -> list[Record]:
        """Return these of the thread's records, in this order; the checkpoint itself where it is asked for."""
        if thread_id != self._values_of:
            self._values, self._values_of = {}, thread_id
        whole = [key for key, is_whole in keys.items() if is_whole]
        rows = {
            (ns, checkpoint_id): _Row(parent_id or None, checkpoint, metadata)
            for ns, checkpoint_id, parent_id, checkpoint, metadata in self._rows(
                CHECKPOINTS, (thread_id, *_transposed(whole, 2))
            )
        }
        # Sends are told twice: as writes of the parent, and as values of the step that they start.
        parents = {(ns, row.takes_sends_of) for (ns, _), row in rows.items() if row.takes_sends_of}
        writes = self._writes(thread_id, {*keys, *parents})
        self._load_blobs(thread_id, {blob for key, row in rows.items() for blob in row.blobs(key)})
        records: list[Record] = []
        for key in keys:
            row = rows.get(key)
            sends = [] if row is None else writes[key[0], row.takes_sends_of or ""]

            def make(
                key: CheckpointKey = key, row: _Row | None = row, sends: list[WriteRow] = sends
            ) -> Record:
                made = task_writes(writes[key], self._decoder)
                if row is None:
                    return Record(key, writes=made)
                checkpoint = self._checkpoint(key, row, sends)
                return Record(key, checkpoint, row.parent_id, row.metadata, made)

            records.append(placed(thread_id, key, make))
        newest = {key[0]: (key, rows[key]) for key in whole if key in rows}
        kept = {blob for key, row in newest.values() for blob in row.blobs(key)}
        self._values = {blob: value for blob, value in self._values.items() if blob in kept}
        return records

    def _writes(
        self, thread_id: str, keys: Collection[CheckpointKey]
    ) -> defaultdict[CheckpointKey, list[WriteRow]]:
        found: defaultdict[CheckpointKey, list[WriteRow]] = defaultdict(list)
        for ns, checkpoint_id, *row in self._rows(
            self._writes_sql, (thread_id, *_transposed(keys, 2))
        ):
            found[ns, checkpoint_id].append(WriteRow(*row))
        return found

    def _load_blobs(self, thread_id: str, needed: set[BlobKey]) -> None:
        """Read those that are not at hand; they are decoded where they are used, so that an error can say where that is."""
        missing = needed - self._values.keys()
        if missing:
            for *blob, kind, data in self._rows(BLOBS, (thread_id, *_transposed(missing, 3))):
                self._values[cast("BlobKey", tuple(blob))] = _Stored(kind, data)

    def _checkpoint(
        self, key: CheckpointKey, row: _Row, sends: Iterable[WriteRow]
    ) -> dict[str, object]:
        values = dict(row.checkpoint.get("channel_values") or {})
        for blob in row.blobs(key):
            channel = blob[1]
            value = self._values.get(blob, NO_VALUE)
            if isinstance(value, _Stored):
                value = self._decoder.value(value.kind, value.data, channel=channel)
                self._values[blob] = value
            if value is not NO_VALUE:
                values[channel] = value
        versions = dict(row.versions)
        sent = [row for row in sends if row.channel == TASKS]
        if sent:
            values[TASKS] = [
                value for task in task_writes(sent, self._decoder) for *_, value in task.writes
            ]
            versions[TASKS] = max(cast("Any", versions.values()), default=FIRST_VERSION)
        return {**row.checkpoint, "channel_values": values, "channel_versions": versions}

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()


def _transposed(rows: Iterable[tuple[str, ...]], columns: int) -> list[list[str]]:
    """Return the rows as columns, which is how SQL takes them."""
    found = [list(column) for column in zip(*rows, strict=True)]
    return found or [[] for _ in range(columns)]
