"""The `eventsourcing` library's way to our recorders: set `PERSISTENCE_MODULE` to a class here.

The environment variables are those of the library's own SQLite module: `SQLITE_DBNAME`,
`SQLITE_LOCK_TIMEOUT`, `ORIGINATOR_ID_TYPE` and `CREATE_TABLE`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.utils import resolve_topic, strtobool

from .memory import MemoryLog
from .recorder import (
    LogAggregateRecorder,
    LogApplicationRecorder,
    LogProcessRecorder,
    LogTrackingRecorder,
    SQLTableRecorder,
    SQLTrackingRecorder,
)
from .sql_log import SQLLog
from .sqlite import SQLiteDatabase, SQLiteSettings

if TYPE_CHECKING:
    from eventsourcing.persistence import AggregateRecorder
    from eventsourcing.utils import Environment, EnvType

    from .recorder import IdType


class MemoryFactory(InfrastructureFactory[LogTrackingRecorder]):
    """Recorders over logs in memory, each over one of its own."""

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """Return a recorder of aggregates' events."""
        return LogAggregateRecorder(MemoryLog())

    def application_recorder(self) -> LogApplicationRecorder:
        """Return a recorder with a notification log."""
        return LogApplicationRecorder(MemoryLog())

    def tracking_recorder(
        self, tracking_recorder_class: type[LogTrackingRecorder] | None = None
    ) -> LogTrackingRecorder:
        """Return a recorder of progress, or a view that is one."""
        topic = self.env.get(self.TRACKING_RECORDER_TOPIC)
        chosen = tracking_recorder_class or (resolve_topic(topic) if topic else LogTrackingRecorder)
        return chosen(MemoryLog())

    def process_recorder(self) -> LogProcessRecorder:
        """Return a recorder of events together with progress."""
        return LogProcessRecorder(MemoryLog())


class SQLiteFactory(InfrastructureFactory[SQLTrackingRecorder]):
    """Recorders over one SQLite file, which the engine may have open too."""

    SQLITE_DBNAME = "SQLITE_DBNAME"
    SQLITE_LOCK_TIMEOUT = "SQLITE_LOCK_TIMEOUT"
    ORIGINATOR_ID_TYPE = "ORIGINATOR_ID_TYPE"
    CREATE_TABLE = "CREATE_TABLE"

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        name = self.env.get(self.SQLITE_DBNAME)
        if not name:
            keys = ", ".join(self.env.create_keys(self.SQLITE_DBNAME))
            raise OSError(f"The path of the SQLite file is missing; set one of {keys}")
        self._id_type: IdType = self._read_id_type()
        settings = SQLiteSettings(busy_seconds=self._read_lock_timeout())
        self.log = SQLLog(SQLiteDatabase(Path(name.removeprefix("file:")), settings))
        self._is_open = False

    def _read_id_type(self) -> IdType:
        id_type = self.env.get(self.ORIGINATOR_ID_TYPE, "uuid").lower()
        if id_type not in {"uuid", "text"}:
            raise OSError(f"{self.ORIGINATOR_ID_TYPE} is {id_type!r}; it has to be uuid or text")
        return cast("IdType", id_type)

    def _read_lock_timeout(self) -> float:
        seconds = (self.env.get(self.SQLITE_LOCK_TIMEOUT) or "").strip()
        try:
            return float(seconds) if seconds else SQLiteSettings().busy_seconds
        except ValueError:
            raise OSError(
                f"{self.SQLITE_LOCK_TIMEOUT} is {seconds!r}; it has to be a number"
            ) from None

    def _opened(self) -> SQLLog:
        if not self._is_open:
            self.log.open(with_migration=self._may_create())
            self._is_open = True
        return self.log

    def _may_create(self) -> bool:
        return bool(strtobool(self.env.get(self.CREATE_TABLE) or "yes"))

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """Return a recorder of the log's events, or of another purpose's, in a table of their own."""
        log = self._opened()
        if purpose == "events":
            return LogAggregateRecorder(log, self._id_type)
        recorder = SQLTableRecorder(log, f"stored_{purpose}", self._id_type)
        if self._may_create():
            recorder.create_table()
        return recorder

    def application_recorder(self) -> LogApplicationRecorder:
        """Return a recorder with a notification log."""
        return LogApplicationRecorder(self._opened(), self._id_type)

    def tracking_recorder(
        self, tracking_recorder_class: type[SQLTrackingRecorder] | None = None
    ) -> SQLTrackingRecorder:
        """Return a recorder of progress, or a view that is one."""
        topic = self.env.get(self.TRACKING_RECORDER_TOPIC)
        chosen = tracking_recorder_class or (resolve_topic(topic) if topic else SQLTrackingRecorder)
        return chosen(self._opened())

    def process_recorder(self) -> LogProcessRecorder:
        """Return a recorder of events together with progress."""
        return LogProcessRecorder(self._opened(), self._id_type)

    def close(self) -> None:
        """Finish what was inserted, and disconnect."""
        self.log.close()
