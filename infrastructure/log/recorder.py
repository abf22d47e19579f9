"""The `eventsourcing` library's recorders over a log: its applications and projections run on ours.

They are views: what they insert goes through the same writer, into the same rows, as the engine's own
appends, and in the order of the same positions. The library says originator, notification id and
tracking where this package says thread, position and how far a follower has come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, cast
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    IntegrityError,
    ListenNotifySubscription,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Tracking,
    TrackingRecorder,
)

from .log import UNLIMITED
from .planning import Write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .log import Log
    from .sql_log import SQLLog
    from .writer import Session

IdType: TypeAlias = Literal["uuid", "text"]
"""What the library's applications take for ids. In the log they are text, UUIDs with hyphens."""

_BEFORE_ALL = -UNLIMITED


class LogAggregateRecorder(AggregateRecorder):
    """Events by originator."""

    def __init__(self, log: Log, id_type: IdType = "uuid") -> None:
        self.log = log
        self._to_id: Callable[[str], UUID | str] = UUID if id_type == "uuid" else str

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        tracking: Tracking | None = None,
        **_: object,
    ) -> Sequence[int] | None:
        """Write all events or none; return None, as the library asks of this kind of recorder.

        Raises:
            IntegrityError: one of the versions is taken.
        """
        self._insert(stored_events, tracking)
        return None

    def _insert(
        self, stored_events: Sequence[StoredEvent], tracking: Tracking | None
    ) -> Sequence[int]:
        if not stored_events and tracking is None:
            return []
        rows = [
            (str(stored.originator_id), stored.originator_version, stored.topic, stored.state)
            for stored in stored_events
        ]
        before = cast("int", self.log.call(Write(events=rows, tracking=tracking)))
        return range(before + 1, before + 1 + len(rows))

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return the originator's events, in order of version."""
        rows = self.log.thread_rows(
            str(originator_id),
            after=_BEFORE_ALL if gt is None else gt,
            upto=UNLIMITED if lte is None else lte,
            limit=UNLIMITED if limit is None else limit,
            is_backwards=desc,
        )
        return [StoredEvent(self._to_id(row[1]), *row[2:]) for row in rows]


class LogApplicationRecorder(LogAggregateRecorder, ApplicationRecorder):
    """Events by originator, and all of them in one sequence."""

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        tracking: Tracking | None = None,
        **_: object,
    ) -> Sequence[int] | None:
        """Write all events or none; return their positions.

        Raises:
            IntegrityError: one of the versions is taken.
        """
        return list(self._insert(stored_events, tracking))

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Return events in order of position."""
        after = 0 if start is None else start - int(inclusive_of_start)
        rows = self.log.log_rows(
            after=after, upto=UNLIMITED if stop is None else stop, limit=limit, topics=topics
        )
        return [Notification(self._to_id(row[1]), *row[2:], id=row[0]) for row in rows]

    def max_notification_id(self) -> int | None:
        """Return the newest position, None for an empty log."""
        return self.log.head_position() or None

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> LogNotificationSubscription:
        """Follow the log, for as long as the subscription's `with` lasts."""
        return LogNotificationSubscription(self, gt, topics)


class LogNotificationSubscription(ListenNotifySubscription[LogApplicationRecorder]):
    """The library's subscription: woken by appends of this process, and looking for others'."""

    def __init__(
        self, recorder: LogApplicationRecorder, gt: int | None, topics: Sequence[str]
    ) -> None:
        # Before the pulling thread starts, or an append in between would wake nobody.
        self._log = recorder.log
        super().__init__(recorder, gt, topics)
        self._log.listen(self._has_been_notified.set)
        # What was appended before the log was listened to.
        self._has_been_notified.set()

    def stop(self) -> None:
        """End the iteration."""
        super().stop()
        self._log.unlisten(self._has_been_notified.set)

    def _loop_on_pull(self) -> None:
        try:
            while not self._has_been_stopped:
                self._pull()
                self._has_been_notified.wait(self._log.poll_seconds)
        except BaseException as error:  # noqa: BLE001 - it is raised where the events are awaited
            self._thread_error = self._thread_error or error
            self.stop()


class LogTrackingRecorder(TrackingRecorder):
    """How far each application has come in the log that it follows."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def insert_tracking(self, tracking: Tracking) -> None:
        """Record progress.

        Raises:
            IntegrityError: the application has come as far already.
        """
        self.log.call(Write(tracking=tracking))

    def max_tracking_id(self, application_name: str) -> int | None:
        """Return how far the application has come, None if it has not begun."""
        return self.log.tracking_position(application_name)


class LogProcessRecorder(LogTrackingRecorder, LogApplicationRecorder, ProcessRecorder):
    """Both, so that events and the progress that brought them forth are recorded together."""

    def __init__(self, log: Log, id_type: IdType = "uuid") -> None:
        LogApplicationRecorder.__init__(self, log, id_type)


class SQLTrackingRecorder(LogTrackingRecorder):
    """Base of materialised views in the log's database: a view's rows and its progress go together."""

    def __init__(self, log: SQLLog) -> None:
        super().__init__(log)
        self.sql_log = log

    def transact(self, tracking: Tracking, change: Callable[[Session], object]) -> None:
        """Change the view and record progress in one transaction.

        Raises:
            IntegrityError: the application has come as far already; the view is unchanged.
        """
        sql = self.sql_log.database.statements

        def task(session: Session) -> None:
            last = session.ledger.tracking_position(tracking.application_name)
            if last is not None and last >= tracking.notification_id:
                raise IntegrityError(f"{tracking.application_name} has processed {last} already")
            change(session)
            row = (tracking.application_name, tracking.notification_id)
            session.execute(sql.upsert_tracking, row)

        self.log.call(task)


class SQLTableRecorder(AggregateRecorder):
    """Events of one purpose in a table beside the log, such as the library's snapshots."""

    def __init__(self, log: SQLLog, name: str, id_type: IdType = "uuid") -> None:
        self._log = log
        self._sql = log.database.statements.of_side_table(name)
        self._to_id: Callable[[str], UUID | str] = UUID if id_type == "uuid" else str

    def create_table(self) -> None:
        """Make the table, unless it is there."""
        self._log.call(lambda session: session.execute(self._sql.create))

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **_: object
    ) -> Sequence[int] | None:
        """Write all events or none; return None.

        Raises:
            IntegrityError: one of the versions is taken.
        """

        def task(session: Session) -> None:
            for stored in stored_events:
                originator_id = str(stored.originator_id)
                row = (originator_id, stored.originator_version, stored.topic, stored.state)
                session.execute(self._sql.insert, row)

        self._log.call(task)
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return the originator's events, in order of version."""
        after = _BEFORE_ALL if gt is None else gt
        upto = UNLIMITED if lte is None else lte
        rows = self._log.database.read(
            self._sql.select_backwards if desc else self._sql.select,
            (str(originator_id), after, upto, UNLIMITED if limit is None else limit, 0),
        )
        return [StoredEvent(self._to_id(row[0]), *row[1:]) for row in rows]
