"""What the event store and the library's recorders need of a log; SQL and memory each have one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...domain.assistant_ports import AssistantRow
    from ...domain.ports import Lease, RunRow, StoredSnapshot, StreamBatch, ThreadRow
    from .codec import LogRow
    from .planning import Erasure, Write
    from .rows import Values
    from .writer import Job, Task

UNLIMITED = 2**62
"""As a limit or an upper bound: none."""


class Tasks(Protocol):
    """Work for the writer that is no append. Each method returns what to submit."""

    def write_snapshot(self, snapshot: StoredSnapshot) -> Task:
        """Replace the thread's snapshot, unless it is older or may hold erased payloads."""
        ...

    def release_lease(self, lease: Lease) -> Task:
        """Delete the lease."""
        ...

    def sweep_answers(self, now: int) -> Task:
        """Delete the answers that have expired; their number is the outcome."""
        ...

    def claim_deliveries(self, now: int, until: int, limit: int) -> Task:
        """Put due deliveries off, counting a try; the outcome is their rows as they stand then."""
        ...

    def settle_delivery(self, delivery_id: str, due_at: int | None, error: str) -> Task:
        """Write that a try has failed; a delivery that is not due again loses its body."""
        ...

    def finish_delivery(self, delivery_id: str) -> Task:
        """Delete the delivery."""
        ...

    def renew_holder(self, holder: str, expires_at: int) -> Task:
        """Say that the holder shows life, up to a moment in microseconds."""
        ...

    def remove_holder(self, holder: str) -> Task:
        """Count the holder as dead."""
        ...

    def erase(
        self, erasure_id: int, rewritten: Sequence[tuple[str, bytes, int]], next_version: int | None
    ) -> Task:
        """Overwrite events, given as topic, state, position, and note where to go on; None: done."""
        ...


class Streams(Protocol):
    """Stored streams of runs. Methods that write return what to submit."""

    def write(self, batch: StreamBatch) -> Task:
        """Store the batch behind the thread's newest event, whose version is the outcome; None if its attempt is fenced."""
        ...

    def delete(self, keys: Sequence[tuple[str, str]]) -> Task:
        """Delete the streams of runs, given by thread and run."""
        ...

    def read(
        self, thread_id: str, run_id: str | None, after: tuple[int, int], upto: int, limit: int
    ) -> Sequence[StreamBatch]:
        """Return batches in order of place, of one run or of all."""
        ...

    def list_ended(self, before: int) -> Sequence[tuple[str, str]]:
        """Return some of the runs that have a stored stream, and ended before a moment in microseconds."""
        ...


class Log(Protocol):
    """An append-only log with its projections; raises errors of `eventsourcing.persistence`.

    All methods may be called from any thread, except `peek_version`.
    """

    @property
    def is_blocking(self) -> bool:
        """Whether reads wait for a disk, so that an event loop must not call them."""
        ...

    @property
    def poll_seconds(self) -> float | None:
        """How often to look for what other processes appended; None if there are none."""
        ...

    @property
    def tasks(self) -> Tasks:
        """Work that is no append."""
        ...

    @property
    def streams(self) -> Streams:
        """The stored streams of runs."""
        ...

    def open(self) -> None:
        """Connect, and bring the tables up to date."""
        ...

    def close(self) -> None:
        """Finish what was submitted, then disconnect."""
        ...

    def submit(self, job: Job) -> None:
        """Take work for the writer; the job's waiter gets the outcome."""
        ...

    def call(self, work: Write | Task) -> object:
        """Have work done, and return its outcome."""
        ...

    def scrub(self) -> None:
        """See to it that what was erased is not left in the log's files either."""
        ...

    def listen(self, listener: Callable[[], None]) -> None:
        """Call this, in any thread, after each commit of this process that added events."""
        ...

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Call it no more."""
        ...

    def head_position(self) -> int:
        """Return the newest position, 0 for an empty log."""
        ...

    def head_version(self, thread_id: str) -> int:
        """Return the thread's newest version, 0 if it has no event."""
        ...

    def peek_version(self, thread_id: str) -> int | None:
        """Return the newest version if that takes no waiting; from one thread only."""
        ...

    def thread_rows(
        self,
        thread_id: str,
        *,
        after: int = 0,
        upto: int = UNLIMITED,
        limit: int = UNLIMITED,
        is_backwards: bool = False,
    ) -> Sequence[LogRow]:
        """Return a thread's events with `after < version <= upto`, in order of version."""
        ...

    def version_rows(self, thread_id: str, versions: Sequence[int]) -> Sequence[LogRow]:
        """Return the events at these versions that exist, in order."""
        ...

    def log_rows(
        self,
        *,
        after: int = 0,
        upto: int = UNLIMITED,
        limit: int = UNLIMITED,
        topics: Sequence[str] = (),
    ) -> Sequence[LogRow]:
        """Return events with `after < position <= upto`, in order of position."""
        ...

    def tracking_position(self, application_name: str) -> int | None:
        """Return how far the application has come in the log that it follows."""
        ...

    def get_run(self, thread_id: str, run_id: str) -> RunRow | None:
        """Return the run's row, hidden or not."""
        ...

    def find_run(self, run_id: str) -> RunRow | None:
        """Return the run's row; of several threads', the one created last."""
        ...

    def list_runs(
        self, thread_id: str, *, status: str | None, limit: int, offset: int, with_hidden: bool
    ) -> Sequence[RunRow]:
        """Return the thread's runs, newest first."""
        ...

    def list_runs_in_flight(self, *, status: str | None) -> Sequence[RunRow]:
        """Return pending and running runs in order of due time."""
        ...

    def get_thread(self, thread_id: str) -> ThreadRow | None:
        """Return the thread's row."""
        ...

    def list_threads(self, *, limit: int, offset: int) -> Sequence[ThreadRow]:
        """Return the present threads, newest first."""
        ...

    def list_expiring(self, *, limit: int) -> Sequence[ThreadRow]:
        """Return the threads that are to expire, the next one first."""
        ...

    def list_assistants(self, matches: Callable[[AssistantRow], bool]) -> Sequence[AssistantRow]:
        """Return the assistants that match."""
        ...

    def get_snapshot(self, thread_id: str) -> StoredSnapshot | None:
        """Return the thread's snapshot."""
        ...

    def list_leases(self, thread_id: str | None) -> Sequence[tuple[Lease, int | None]]:
        """Return leases, each with the moment up to which its holder has shown life."""
        ...

    def list_holders(self) -> Sequence[tuple[str, int]]:
        """Return the processes that hold or held leases, and up to when they have shown life."""
        ...

    def find_answer(self, scope: str, key: str) -> Values | None:
        """Return the row of an answer."""
        ...

    def list_deliveries(self, *, due_before: int | None, limit: int) -> Sequence[Values]:
        """Return rows of deliveries: those that are due by then, in that order, or all, the oldest first."""
        ...

    def list_erasures(self, *, limit: int) -> Sequence[tuple[int, Erasure]]:
        """Return what is still to be erased, oldest first."""
        ...
