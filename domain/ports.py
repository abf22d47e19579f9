"""What the domain and the engine need of the world; adapters in `infrastructure` implement it. Graphs: `graph_ports.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from .assistant_ports import AssistantStore
from .kept_ports import KeptStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence
    from datetime import datetime

    from .assistant import RecordedAssistantEvent
    from .events import Events, RecordedEvent
    from .kept_ports import Delivery, KeptAnswer
    from .values import JsonObject

RunStatus: TypeAlias = Literal["pending", "running", "error", "success", "timeout", "interrupted"]
ThreadStatus: TypeAlias = Literal["idle", "busy", "interrupted", "error"]
RecordStatus: TypeAlias = Literal[RunStatus, "rolled_back"]


LogEntry: TypeAlias = "RecordedEvent | RecordedAssistantEvent"
"""What stands in the log: events of threads and of assistants, in one order."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One row of the inline `runs` projection.

    Hidden rows (rolled back, deleted) are kept: their ids stay taken.
    """

    thread_id: str
    run_id: str
    status: RecordStatus
    is_hidden: bool
    assistant_id: str
    graph_id: str
    multitask_strategy: str
    created_at: datetime
    due_at: datetime
    updated_at: datetime
    attempt: int
    accepted_version: int
    ended_version: int | None


@dataclass(frozen=True, slots=True)
class ThreadRow:
    """One row of the inline `threads` projection; `version` is the thread's head."""

    thread_id: str
    version: int
    is_present: bool
    status: ThreadStatus
    has_in_flight: bool
    created_at: datetime
    updated_at: datetime
    state_updated_at: datetime
    metadata: JsonObject
    expires_at: datetime | None = None
    """When the time to live is over; None while a run is in flight, and without one."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one process to run one attempt; granted in the transaction of its RunStarted."""

    thread_id: str
    run_id: str
    attempt: int
    holder: str
    """The process that holds it; all of a process's leases are renewed together."""


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease that was not released, and whether its process still shows life."""

    lease: Lease
    is_alive: bool


@dataclass(frozen=True, slots=True)
class Append:
    """Events of one decision, with all that must become durable together with them.

    `runs` and `thread` are the projection rows as they stand after the events; `erase_runs` and
    `erase_thread` name what has to be erased (see `infrastructure/log/erasure.py`), recorded in the
    same transaction and carried out after it.
    """

    thread_id: str
    expected_version: int
    events: Events
    recorded_at: datetime
    thread: ThreadRow
    runs: Sequence[RunRow] = ()
    hide_runs: Sequence[str] = ()
    """Ended runs whose rows become hidden; `erase_thread` hides all rows of the thread's runs."""
    accepts: frozenset[str] = frozenset()
    """Runs among `runs` that this append accepts: their ids must be new in the thread."""
    lease: Lease | None = None
    """Granted with this append."""
    release: Lease | None = None
    """Released with this append: the attempt's code has stopped by itself."""
    erase_runs: Sequence[str] = ()
    erase_thread: bool = False
    actor: str | None = None
    answer: KeptAnswer | None = None
    """What the request that caused this is answered."""
    deliveries: Sequence[Delivery] = ()


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A serialized thread value at a version. Only the newest one of a thread is kept."""

    thread_id: str
    version: int
    schema: int
    body: bytes


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """Parts of a run's stream that were stored together, in serialized form.

    They came after the thread's version `version`, as parts `seq`, `seq + 1`, … of their attempt; `count` is how many.
    """

    thread_id: str
    run_id: str
    attempt: int
    version: int
    seq: int
    count: int
    body: bytes


class StreamParts(Protocol):
    """What runs emitted beside their events, for readers that come later. It goes with its run, and after a time."""

    async def write_stream(
        self, thread_id: str, run_id: str, attempt: int, *, seq: int, count: int, body: bytes
    ) -> int | None:
        """Store a batch durably, and return the thread's newest version at that moment; None if the attempt is fenced.

        The fence, the version and the batch are of one transaction: every event of a greater version is written later. A
        batch that an attempt has stored already, by its `seq`, is not stored again.
        """
        ...

    async def read_stream(
        self,
        thread_id: str,
        run_id: str | None = None,
        *,
        after: tuple[int, int] = (0, 0),
        upto: int | None = None,
        limit: int = 100,
    ) -> tuple[StreamBatch, ...]:
        """Read the batches of a run, or of all the thread's runs, in order of (version, seq).

        Those that hold a part after the place `after`, of versions up to `upto`. Once an event of a version can be read, the
        batches of all versions below it are complete.
        """
        ...

    async def sweep_streams(self, before: datetime) -> int:
        """Delete the batches of runs that ended before this moment; return of how many runs."""
        ...


class Subscription(Protocol):
    """The log from a position on: what is there, then what comes, none missed, none repeated."""

    def __aiter__(self) -> AsyncIterator[Sequence[LogEntry]]:
        """Yield batches in order of position; wait for more at the end of the log."""
        ...

    async def close(self) -> None:
        """End the iteration."""
        ...


class EventStore(AssistantStore, KeptStore, StreamParts, Protocol):
    """An append-only log of all threads, with its inline projections, leases, snapshots and stored streams.

    All methods may be called from one event loop concurrently; none blocks it.
    """

    async def append(self, append: Append) -> tuple[RecordedEvent, ...]:
        """Write all or nothing; return when it is durable.

        The events get the versions `expected_version + 1 …` and the next positions.

        Raises:
            VersionConflictError: the thread is not at `expected_version`.
            RunIdTakenError: a run in `accepts` has a row already.
            KeyTakenError: an answer is kept under the key of `answer` already.
            StoreUnavailableError: the write is known not to stand.
        """
        ...

    async def read_thread(
        self, thread_id: str, *, after: int = 0, upto: int | None = None, limit: int | None = None
    ) -> tuple[RecordedEvent, ...]:
        """Read a thread's events with `after < version <= upto`, in order, at most `limit`."""
        ...

    async def read_run(self, thread_id: str, versions: Sequence[int]) -> tuple[RecordedEvent, ...]:
        """Read the events at these versions, in order; those that do not exist are left out."""
        ...

    async def read_log(self, *, after: int = 0, limit: int = 500) -> tuple[LogEntry, ...]:
        """Read events of all threads and assistants with `position > after`, in order of position."""
        ...

    async def head_version(self, thread_id: str) -> int:
        """Return the thread's newest version, 0 if it has no event."""
        ...

    async def head_position(self) -> int:
        """Return the newest position, 0 for an empty log."""
        ...

    def subscribe(self, *, after: int = 0) -> Subscription:
        """Follow the whole log from just after a position."""
        ...

    async def get_run(self, thread_id: str, run_id: str) -> RunRow | None:
        """Return the run's row, hidden or not."""
        ...

    async def find_run(self, run_id: str) -> RunRow | None:
        """Return the row of a run whose thread is not known; of several, the one created last."""
        ...

    async def list_runs(
        self,
        thread_id: str,
        *,
        status: str | None = None,
        limit: int = 10,
        offset: int = 0,
        with_hidden: bool = False,
    ) -> tuple[RunRow, ...]:
        """Return the thread's visible runs, newest `created_at` first."""
        ...

    async def list_runs_in_flight(self, *, status: str | None = None) -> tuple[RunRow, ...]:
        """Return every pending or running run of all threads, in order of due time."""
        ...

    async def get_thread(self, thread_id: str) -> ThreadRow | None:
        """Return the thread's row, also of a deleted thread (`is_present` tells)."""
        ...

    async def list_threads(self, *, limit: int = 100, offset: int = 0) -> tuple[ThreadRow, ...]:
        """Return the present threads, newest `updated_at` first."""
        ...

    async def list_expiring(self, *, limit: int) -> tuple[ThreadRow, ...]:
        """Return the threads that have an `expires_at`, the earliest first."""
        ...

    async def read_snapshot(self, thread_id: str) -> StoredSnapshot | None:
        """Return the thread's newest snapshot."""
        ...

    async def write_snapshot(self, snapshot: StoredSnapshot) -> None:
        """Replace the thread's snapshot, unless a newer one is there or the thread was erased."""
        ...

    async def list_leases(self, thread_id: str | None = None) -> tuple[HeldLease, ...]:
        """Return the leases that were not released, of one thread or of all."""
        ...

    async def release_lease(self, lease: Lease) -> None:
        """Say that the attempt's code has stopped; unknown leases are ignored."""
        ...

    async def erase_pending(self) -> int:
        """Carry out the erasures that were asked for; return how many payloads were overwritten."""
        ...

    async def open(self) -> None:
        """Connect, migrate the schema, take up the process's place."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, then disconnect; later calls raise StoreUnavailableError."""
        ...


class Clock(Protocol):
    """Time, for everything that is not the operating system's own business."""

    def now(self) -> datetime:
        """Return the time in UTC, with microseconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only rise."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after this many seconds."""
        ...


class Ids(Protocol):
    """Makes ids: rising UUIDv7 for runs, threads and assistants, UUIDv6 for checkpoints, uuid4 for messages."""

    def run_id(self) -> str:
        """Make the id of a run, later ones greater."""
        ...

    def thread_id(self) -> str:
        """Make the id of a thread, later ones greater."""
        ...

    def checkpoint_id(self) -> str:
        """Make the id of a checkpoint, later ones greater."""
        ...

    def assistant_id(self) -> str:
        """Make the id of an assistant."""
        ...

    def message_id(self) -> str:
        """Make the id of a message."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """Return a random number, for jitter."""
        ...


class TaskHandle(Protocol):
    """A task that was started through `Tasks`."""

    def cancel(self) -> None:
        """Ask the task to stop."""
        ...

    def done(self) -> bool:
        """Tell whether the task has stopped."""
        ...

    async def wait(self) -> None:
        """Return when the task has stopped, however it did; never raises its error."""
        ...


class Tasks(Protocol):
    """Starts background tasks."""

    def start(self, work: Coroutine[Any, Any, None], name: str) -> TaskHandle:
        """Start the work; `name` shows up in logs."""
        ...


class Surroundings(Protocol):
    """What is entered before code runs, and left after it."""

    def __enter__(self) -> object:
        """Enter."""
        ...

    def __exit__(self, kind: Any, error: Any, trace: Any, /) -> bool | None:  # noqa: ANN401 - as all of them have it
        """Leave; `error` is what the code raised."""
        ...


class Observer(Protocol):
    """Is told what happens, for metrics and traces. Nothing that it does may raise, wait, or change anything."""

    def appended(self, events: Sequence[RecordedEvent], seconds: float) -> None:
        """Hear of events that this process made durable, and of how long the append took."""
        ...

    def group_written(self, size: int, seconds: float) -> None:
        """Hear of a group of writes that shared a transaction; called in the writer's thread."""
        ...

    def attempt(self, thread_id: str, run_id: str, attempt: int, graph_id: str) -> Surroundings:
        """Surround the code of an attempt."""
        ...
