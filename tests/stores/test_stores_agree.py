"""Memory and SQLite take the same appends, refuse the same ones, and then hold the same."""

import asyncio
import tempfile
from functools import cache
from pathlib import Path

from eventsourcing.persistence import IntegrityError, StoredEvent, Tracking
from eventsourcing.popo import POPOProcessRecorder
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.appends import append, run_row
from threadfold.domain.errors import StoreError
from threadfold.domain.events import ResultRecorded
from threadfold.domain.ports import Lease, StoredSnapshot
from threadfold.infrastructure.log.memory import MemoryLog
from threadfold.infrastructure.log.opening import open_store
from threadfold.infrastructure.log.recorder import LogProcessRecorder
from threadfold.infrastructure.log.sqlite import SQLiteDatabase, SQLiteSettings

THREADS = ("t1", "t2")
RUNS = ("r1", "r2", "r3")

thread_ids = st.sampled_from(THREADS)
run_ids = st.sampled_from(RUNS)
statuses = st.sampled_from(("pending", "running", "success", "rolled_back"))


@cache
def empty_database() -> bytes:
    """Return the bytes of a file with all tables: to make them anew for each example is slow."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        SQLiteDatabase(path, SQLiteSettings()).open()
        return path.read_bytes()


class StoresAgree(RuleBasedStateMachine):
    """Any sequence of calls leaves every store in the state of the reference store."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "log.db"
        path.write_bytes(empty_database())
        quick = SQLiteSettings(synchronous="OFF")
        self.model = open_store("memory://", holder="me")
        self.subject = open_store(f"sqlite:///{path}", holder="me", sqlite=quick)
        self.runner.run(self.model.open())
        self.runner.run(self.subject.open())

    def teardown(self) -> None:
        self.runner.run(self.subject.close())
        self.runner.close()
        self.folder.cleanup()

    def outcome(self, store, method: str, *args, **kwargs):
        """Return what the store answers, or with which error it refuses."""
        try:
            return self.runner.run(getattr(store, method)(*args, **kwargs))
        except StoreError as error:
            return type(error), str(error)

    def both(self, method: str, *args, **kwargs):
        answer = self.outcome(self.subject, method, *args, **kwargs)
        assert answer == self.outcome(self.model, method, *args, **kwargs)
        return answer

    @rule(
        thread_id=thread_ids,
        stale=st.sampled_from((0, 0, 0, 0, -1, 1, 3)),
        count=st.integers(1, 3),
        rows=st.dictionaries(run_ids, statuses, max_size=2),
        accepts=st.booleans(),
        with_lease=st.booleans(),
        release=st.booleans(),
        hide=st.lists(run_ids, max_size=1),
        erase=st.sampled_from((None, None, "run", "thread")),
    )
    def append(
        self, thread_id, stale, count, rows, accepts, with_lease, release, hide, erase
    ) -> None:
        head = self.runner.run(self.model.head_version(thread_id))
        expected = max(head + stale, 0)
        made = append(
            thread_id,
            expected,
            *(
                ResultRecorded(run_id=RUNS[n], attempt=1, name="x", result=[n])
                for n in range(count)
            ),
            runs=[
                run_row(
                    thread_id,
                    run_id,
                    expected + 1,
                    status=status,
                    is_hidden=status == "rolled_back",
                )
                for run_id, status in rows.items()
            ],
            accepts=frozenset(rows) if accepts else frozenset(),
            lease=Lease(thread_id, "r1", expected, "me") if with_lease else None,
            release=Lease(thread_id, "r1", expected - 1, "me") if release else None,
            hide_runs=hide,
            erase_runs=["r1"] if erase == "run" else [],
            erase_thread=erase == "thread",
        )
        self.both("append", made)

    @rule(thread_id=thread_ids, version=st.integers(1, 6))
    def write_snapshot(self, thread_id, version) -> None:
        self.both("write_snapshot", StoredSnapshot(thread_id, version, 1, bytes([version])))

    @precondition(lambda self: self.runner.run(self.model.list_leases()))
    @rule(data=st.data())
    def release_lease(self, data) -> None:
        leases = self.runner.run(self.model.list_leases())
        self.both("release_lease", data.draw(st.sampled_from(leases)).lease)

    @rule()
    def erase(self) -> None:
        self.both("erase_pending")

    @rule(
        thread_id=thread_ids,
        after=st.integers(0, 5),
        upto=st.none() | st.integers(0, 5),
        limit=st.none() | st.integers(0, 3),
    )
    def read_pages(self, thread_id, after, upto, limit) -> None:
        self.both("read_thread", thread_id, after=after, upto=upto, limit=limit)
        self.both("read_run", thread_id, [after, 2, 9])
        self.both("read_log", after=after, limit=limit or 500)
        self.both("list_runs", thread_id, limit=1, offset=after, with_hidden=True)
        self.both("list_threads", limit=1, offset=after)

    @invariant()
    def same_streams(self) -> None:
        for thread_id in THREADS:
            for method in ("read_thread", "head_version", "get_thread", "read_snapshot"):
                self.both(method, thread_id)
            self.both("list_runs", thread_id)
            self.both("list_leases", thread_id)

    @invariant()
    def same_log(self) -> None:
        for method in ("read_log", "head_position", "list_runs_in_flight", "list_leases"):
            self.both(method)
        log = self.runner.run(self.subject.read_log())
        assert [event.position for event in log] == list(range(1, len(log) + 1))


StoresAgree.TestCase.settings = settings(max_examples=25, stateful_step_count=15)
TestStoresAgree = StoresAgree.TestCase


class RecordersAgree(RuleBasedStateMachine):
    """Our recorder answers as the library's own, which shares no line with it."""

    def __init__(self) -> None:
        super().__init__()
        self.subject = LogProcessRecorder(MemoryLog(), "text")
        self.oracle = POPOProcessRecorder()
        self.heads = dict.fromkeys(THREADS, 0)

    def both(self, method: str, *args, **kwargs):
        def outcome(recorder):
            try:
                return getattr(recorder, method)(*args, **kwargs)
            except IntegrityError:
                return IntegrityError

        answer = outcome(self.subject)
        assert answer == outcome(self.oracle)
        return answer

    @rule(
        thread_id=thread_ids,
        # The library's own recorder lists an originator's events as inserted, so they rise here.
        steps=st.lists(st.integers(0, 2), max_size=3),
        position=st.none() | st.integers(1, 5),
    )
    def insert(self, thread_id, steps, position) -> None:
        version = self.heads[thread_id]
        events = []
        for step in steps:
            version += step
            events.append(StoredEvent(thread_id, version, f"topic{step}", b"state"))
        tracking = None if position is None else Tracking("upstream", position)
        if not (events or tracking):
            return
        if self.both("insert_events", events, tracking=tracking) is not IntegrityError:
            self.heads[thread_id] = version

    @rule(
        thread_id=thread_ids,
        gt=st.none() | st.integers(-1, 4),
        lte=st.none() | st.integers(0, 5),
        desc=st.booleans(),
        limit=st.none() | st.integers(1, 3),
    )
    def select_events(self, thread_id, gt, lte, desc, limit) -> None:
        self.both("select_events", thread_id, gt=gt, lte=lte, desc=desc, limit=limit)

    @rule(
        start=st.none() | st.integers(0, 5),
        stop=st.none() | st.integers(0, 8),
        limit=st.integers(1, 4),
        topics=st.lists(st.sampled_from(("topic0", "topic1", "topic2")), max_size=2),
        inclusive=st.booleans(),
    )
    def select_notifications(self, start, stop, limit, topics, inclusive) -> None:
        self.both("select_notifications", start, limit, stop, topics, inclusive_of_start=inclusive)

    @invariant()
    def same_ends(self) -> None:
        self.both("max_notification_id")
        self.both("max_tracking_id", "upstream")


RecordersAgree.TestCase.settings = settings(max_examples=50, stateful_step_count=20)
TestRecordersAgree = RecordersAgree.TestCase
