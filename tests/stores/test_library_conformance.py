"""The `eventsourcing` library's own test cases, run on our recorders.

Its case classes are reached through their modules: imported by name, pytest would collect them too.
"""

from pathlib import Path
from typing import ClassVar

import pytest
from eventsourcing.persistence import ProcessRecorder, Tracking, TrackingRecorder
from eventsourcing.tests import (
    application as application_cases,
    persistence as cases,
    projection as projection_cases,
)
from eventsourcing.utils import Environment, get_topic

from tests.support.appends import START, accepted
from threadfold.infrastructure.log.codec import CODEC
from threadfold.infrastructure.log.factories import MemoryFactory, SQLiteFactory
from threadfold.infrastructure.log.planning import Write
from threadfold.infrastructure.log.recorder import (
    LogAggregateRecorder,
    LogApplicationRecorder,
    LogProcessRecorder,
    LogTrackingRecorder,
    SQLTrackingRecorder,
)

opened: list[SQLiteFactory] = []


class Factory(SQLiteFactory):
    """Closed after the test also where the library's test forgets to."""

    def __init__(self, env) -> None:
        super().__init__(env)
        opened.append(self)


class OnSQLite:
    """Gives each test a file of its own, named in the environment as the library's users do it."""

    env: ClassVar[dict[str, str]]

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        self.path = tmp_path / "log.db"
        type(self).env = {
            "PERSISTENCE_MODULE": get_topic(Factory),
            "SQLITE_DBNAME": f"file:{self.path}",
            # A projection with events of its own is an application of its own, with its own log.
            "COUNTERS_SQLITE_DBNAME": str(tmp_path / "counters.db"),
        }
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)
        yield
        while opened:
            opened.pop().close()

    def factory(self) -> Factory:
        return Factory(Environment(env=self.env))


class OnMemory:
    """Gives each test a log of its own."""

    env: ClassVar[dict[str, str]] = {"PERSISTENCE_MODULE": get_topic(MemoryFactory)}

    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)

    def factory(self) -> MemoryFactory:
        return MemoryFactory(Environment(env=dict(self.env)))


class CreatesAggregateRecorder:
    def create_recorder(self):
        return self.factory().aggregate_recorder()


class CreatesApplicationRecorder:
    EXPECT_CONTIGUOUS_NOTIFICATION_IDS = True

    def create_recorder(self):
        return self.factory().application_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class CreatesTrackingRecorder:
    def create_recorder(self) -> TrackingRecorder:
        return self.factory().tracking_recorder()


class CreatesProcessRecorder:
    def create_recorder(self) -> ProcessRecorder:
        return self.factory().process_recorder()


class TestSQLiteAggregateRecorder(
    OnSQLite, CreatesAggregateRecorder, cases.AggregateRecorderTestCase
):
    pass


class TestSQLiteSnapshotRecorder(OnSQLite, cases.AggregateRecorderTestCase):
    def create_recorder(self):
        return self.factory().aggregate_recorder(purpose="snapshots")


class TestSQLiteApplicationRecorder(
    OnSQLite, CreatesApplicationRecorder, cases.ApplicationRecorderTestCase
):
    pass


class TestSQLiteTrackingRecorder(OnSQLite, CreatesTrackingRecorder, cases.TrackingRecorderTestCase):
    pass


class TestSQLiteProcessRecorder(OnSQLite, CreatesProcessRecorder, cases.ProcessRecorderTestCase):
    pass


class TestSQLiteNonInterleaving(
    OnSQLite, CreatesApplicationRecorder, cases.NonInterleavingNotificationIDsBaseCase
):
    test_insert_subscribe = None


class TestMemoryAggregateRecorder(
    OnMemory, CreatesAggregateRecorder, cases.AggregateRecorderTestCase
):
    pass


class TestMemoryApplicationRecorder(
    OnMemory, CreatesApplicationRecorder, cases.ApplicationRecorderTestCase
):
    pass


class TestMemoryTrackingRecorder(OnMemory, CreatesTrackingRecorder, cases.TrackingRecorderTestCase):
    pass


class TestMemoryProcessRecorder(OnMemory, CreatesProcessRecorder, cases.ProcessRecorderTestCase):
    pass


class TestMemoryNonInterleaving(
    OnMemory, CreatesApplicationRecorder, cases.NonInterleavingNotificationIDsBaseCase
):
    test_insert_subscribe = None


class ExpectedRecorders:
    def setUp(self) -> None:
        self.env = Environment(name="TestCase", env=dict(type(self).env))
        super().setUp()

    def expected_aggregate_recorder_class(self):
        return LogAggregateRecorder

    def expected_application_recorder_class(self):
        return LogApplicationRecorder

    def expected_process_recorder_class(self):
        return LogProcessRecorder


class SQLiteView(SQLTrackingRecorder):
    pass


class MemoryView(LogTrackingRecorder):
    pass


class TestSQLiteFactory(OnSQLite, ExpectedRecorders, cases.InfrastructureFactoryTestCase):
    def expected_factory_class(self):
        return Factory

    def expected_tracking_recorder_class(self):
        return SQLTrackingRecorder

    def tracking_recorder_subclass(self):
        return SQLiteView


class TestMemoryFactory(OnMemory, ExpectedRecorders, cases.InfrastructureFactoryTestCase):
    def expected_factory_class(self):
        return MemoryFactory

    def expected_tracking_recorder_class(self):
        return LogTrackingRecorder

    def tracking_recorder_subclass(self):
        return MemoryView


class TestSQLiteExampleApplication(OnSQLite, application_cases.ExampleApplicationTestCase):
    expected_factory_topic = get_topic(Factory)


class TestMemoryExampleApplication(OnMemory, application_cases.ExampleApplicationTestCase):
    expected_factory_topic = get_topic(MemoryFactory)


# It looks at a deprecated name to see the warning, which is an error here.
tolerant = pytest.mark.filterwarnings("default:'log' is deprecated:DeprecationWarning")


@tolerant
class TestSQLiteApplication(OnSQLite, application_cases.ApplicationTestCase):
    pass


@tolerant
class TestMemoryApplication(OnMemory, application_cases.ApplicationTestCase):
    pass


class SQLiteCounters(SQLTrackingRecorder, projection_cases.EventCountersView):
    """A materialised view in a table of its own, in the log's database."""

    def __init__(self, log) -> None:
        super().__init__(log)
        log.call(
            lambda session: session.execute(
                "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, count INTEGER)"
            )
        )

    def _count(self, name: str) -> int:
        sql = "SELECT count FROM counters WHERE name = ?"
        rows = self.sql_log.database.read(sql, (name,))
        return rows[0][0] if rows else 0

    def _increment(self, tracking: Tracking, name: str) -> None:
        sql = (
            "INSERT INTO counters VALUES (?, 1)"
            " ON CONFLICT (name) DO UPDATE SET count = counters.count + 1"
        )
        self.transact(tracking, lambda session: session.execute(sql, (name,)))

    def get_created_event_counter(self) -> int:
        return self._count("created")

    def get_subsequent_event_counter(self) -> int:
        return self._count("subsequent")

    def incr_created_event_counter(self, tracking: Tracking) -> None:
        self._increment(tracking, "created")

    def incr_subsequent_event_counter(self, tracking: Tracking) -> None:
        self._increment(tracking, "subsequent")


class TestSQLiteView(OnSQLite, projection_cases.EventCountersViewTestCase):
    def construct_event_counters_view(self):
        return self.factory().tracking_recorder(SQLiteCounters)


class TestSQLiteProjection(OnSQLite, projection_cases.AggregateEventCountersProjectionTestCase):
    view_class = SQLiteCounters


class TestSQLiteEventSourcedProjection(OnSQLite, projection_cases.EventSourcedProjectionTestCase):
    pass


class TestMemoryEventSourcedProjection(OnMemory, projection_cases.EventSourcedProjectionTestCase):
    pass


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({}, "SQLITE_DBNAME"),
        ({"SQLITE_DBNAME": "log.db", "ORIGINATOR_ID_TYPE": "number"}, "uuid or text"),
        ({"SQLITE_DBNAME": "log.db", "SQLITE_LOCK_TIMEOUT": "long"}, "has to be a number"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(env: dict, message: str) -> None:
    with pytest.raises(OSError, match=message):
        SQLiteFactory(Environment(env=env))


def test_the_engines_events_are_there_for_the_librarys_recorders(tmp_path: Path) -> None:
    factory = SQLiteFactory(
        Environment(
            env={
                "SQLITE_DBNAME": str(tmp_path / "log.db"),
                "SQLITE_LOCK_TIMEOUT": "3",
                "ORIGINATOR_ID_TYPE": "text",
            }
        )
    )
    recorder = factory.application_recorder()
    event = accepted("r1")
    rows = CODEC.rows("any text", 0, [event], START)
    factory.log.call(Write(events=rows, thread_id="any text", expected_version=0))
    [notification] = recorder.select_notifications(None, 10)
    assert notification.originator_id == "any text"
    assert CODEC.from_stored_event(notification, notification.id).event == event
    assert recorder.select_events("any text") == [
        CODEC.to_stored_event(CODEC.from_stored_event(notification, 1))
    ]
    factory.close()
