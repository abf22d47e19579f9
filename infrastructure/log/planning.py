"""Which writes of a group stand, and which rows they add. Pure: the log is asked through a ledger.

A group is planned as a whole before its first row is written, so that one stale write costs the others
nothing: no savepoint, no retry. All rows of the group then go out in a few bulk statements.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from eventsourcing.persistence import IntegrityError

from ...domain.errors import KeyTakenError, RunIdTakenError, VersionConflictError
from .rows import hidden_run, is_hidden

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventsourcing.persistence import Tracking

    from .codec import EventRow, LogRow
    from .rows import Values


@dataclass(frozen=True, slots=True)
class Erasure:
    """Payloads to take out: of one run, or of the whole thread if `run_id` is None."""

    thread_id: str
    run_id: str | None
    from_version: int
    upto_version: int


@dataclass(slots=True, eq=False)
class Write:
    """One append, ready to be written: rows, and the conditions under which they may be.

    Without an `expected_version` the events bring their own versions, and are refused if one of these
    is taken: that is how the library's recorders insert.
    """

    events: Sequence[EventRow] = ()
    thread_id: str = ""
    expected_version: int | None = None
    thread: Values | None = None
    runs: Sequence[Values] = ()
    accepts: frozenset[str] = frozenset()
    lease: Values | None = None
    release: Values | None = None
    """The key of a lease that is over."""
    hide_runs: Sequence[tuple[str, str | None]] = ()
    """Keys of runs whose rows become hidden; without a run id, all rows of the thread."""
    erasures: Sequence[Erasure] = ()
    tracking: Tracking | None = None
    assistants: Sequence[tuple[str, Values | None]] = ()
    """Rows of assistants by id; None: the assistant is gone."""
    answer: Values | None = None
    """What a request is answered; refused, if one that has not expired `at` stands under its key."""
    at: int = 0
    deliveries: Sequence[Values] = ()


class Ledger(Protocol):
    """What stands in the log, as seen from inside the transaction that adds to it."""

    def head_position(self) -> int:
        """Return the newest position, 0 for an empty log."""
        ...

    def head_version(self, thread_id: str) -> int:
        """Return the thread's newest version, 0 if it has no event."""
        ...

    def has_version(self, thread_id: str, version: int) -> bool:
        """Return whether an event stands at this version."""
        ...

    def has_run(self, thread_id: str, run_id: str) -> bool:
        """Return whether the run has a row, hidden or not."""
        ...

    def tracking_position(self, application_name: str) -> int | None:
        """Return how far the application has come in the log that it follows."""
        ...

    def answer_expiry(self, scope: str, key: str) -> int | None:
        """Return when the answer that is kept under the key expires; None if there is none."""
        ...


Outcome: TypeAlias = int | Exception
"""Of a write: the position before that of its first event, or why it was refused."""


@dataclass(slots=True)
class Plan:
    """All rows that the accepted writes of a group add, in order; of a key's rows the last one."""

    outcomes: list[Outcome] = field(default_factory=list["Outcome"])
    events: list[LogRow] = field(default_factory=list["LogRow"])
    threads: dict[str, Values] = field(default_factory=dict[str, "Values"])
    runs: dict[tuple[str, str], Values] = field(default_factory=dict[tuple[str, str], "Values"])
    leases: dict[Values, Values] = field(default_factory=dict["Values", "Values"])
    releases: list[Values] = field(default_factory=list["Values"])
    """Keys of leases that were granted before this plan."""
    hidden: list[tuple[str, str | None]] = field(default_factory=list[tuple[str, "str | None"]])
    """Runs to hide among the rows from before this plan; its own rows are hidden already."""
    dropped: list[tuple[str, str | None]] = field(default_factory=list[tuple[str, "str | None"]])
    """Runs that are hidden from now on, whose stored streams go; without a run id, those of all the thread's runs."""
    erasures: list[Erasure] = field(default_factory=list[Erasure])
    trackings: dict[str, int] = field(default_factory=dict[str, int])
    answers: dict[Values, Values] = field(default_factory=dict["Values", "Values"])
    deliveries: list[Values] = field(default_factory=list["Values"])
    heads: dict[str, int] = field(default_factory=dict[str, int])
    """The newest version of each thread that was looked at, as it stands after the plan."""
    assistants: dict[str, Values | None] = field(default_factory=dict[str, "Values | None"])
    head_position: int | None = None
    """The newest position after the plan; None if no write was accepted."""


class Planner:
    """Plans one group; knows what the writes before have added."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._plan = Plan()
        self._heads = self._plan.heads

    def plan(self, writes: Sequence[Write]) -> Plan:
        """Return what to write, and each write's outcome once that is committed."""
        for write in writes:
            refusal = self._refusal(write)
            if refusal is None:
                self._accept(write)
            else:
                self._plan.outcomes.append(refusal)
        return self._plan

    def _refusal(self, write: Write) -> Exception | None:
        if write.expected_version is None:
            return self._library_refusal(write)
        if self._head(write.thread_id) != write.expected_version:
            return VersionConflictError(
                thread_id=write.thread_id, expected_version=write.expected_version
            )
        for run_id in write.accepts:
            if self._has_run(write.thread_id, run_id):
                return RunIdTakenError(run_id=run_id)
        if write.answer is not None and self._is_taken(write.answer[:2], write.at):
            return KeyTakenError(key=write.answer[1])
        return None

    def _library_refusal(self, write: Write) -> Exception | None:
        added: dict[str, int] = {}
        for thread_id, version, _, _ in write.events:
            last = added.get(thread_id)
            if last is None:
                last = self._head(thread_id)
            # Above the newest version nothing can be taken; below it there may be holes.
            if version <= last and self._has_version(write, thread_id, version):
                return IntegrityError(f"Version {version} of {thread_id} is recorded already")
            added[thread_id] = max(last, version)
        tracking = write.tracking
        if tracking is not None:
            last = self._tracking_position(tracking.application_name)
            if last is not None and last >= tracking.notification_id:
                return IntegrityError(
                    f"{tracking.application_name} has processed {last} already, "
                    f"which is not before {tracking.notification_id}"
                )
        return None

    def _accept(self, write: Write) -> None:
        plan = self._plan
        before = plan.head_position
        if before is None:
            before = self._ledger.head_position()
        plan.outcomes.append(before)
        plan.events += [
            (position, *event) for position, event in enumerate(write.events, before + 1)
        ]
        plan.head_position = before + len(write.events)
        self._count_versions(write)
        if write.thread is not None:
            plan.threads[write.thread_id] = write.thread
        for run in write.runs:
            plan.runs[run[0], run[1]] = run
            if is_hidden(run):
                plan.dropped.append((run[0], run[1]))
        for hidden in write.hide_runs:
            self._hide(*hidden)
        if write.release is not None and plan.leases.pop(write.release, None) is None:
            plan.releases.append(write.release)
        if write.lease is not None:
            plan.leases[write.lease[:3]] = write.lease
        plan.erasures.extend(write.erasures)
        plan.deliveries.extend(write.deliveries)
        if write.answer is not None:
            plan.answers[write.answer[:2]] = write.answer
        if write.tracking is not None:
            plan.trackings[write.tracking.application_name] = write.tracking.notification_id
        plan.assistants.update(write.assistants)

    def _hide(self, thread_id: str, run_id: str | None) -> None:
        self._plan.hidden.append((thread_id, run_id))
        self._plan.dropped.append((thread_id, run_id))
        for key, run in self._plan.runs.items():
            if key == (thread_id, run_id) or (run_id is None and key[0] == thread_id):
                self._plan.runs[key] = hidden_run(run)

    def _count_versions(self, write: Write) -> None:
        if write.expected_version is not None:
            self._heads[write.thread_id] = write.expected_version + len(write.events)
            return
        for thread_id, version, _, _ in write.events:
            if version > self._head(thread_id):
                self._heads[thread_id] = version

    def _head(self, thread_id: str) -> int:
        head = self._heads.get(thread_id)
        if head is None:
            head = self._heads[thread_id] = self._ledger.head_version(thread_id)
        return head

    def _has_version(self, write: Write, thread_id: str, version: int) -> bool:
        """Return whether the version is taken: in the log, by this group, or twice in this write."""
        times = sum(event[0] == thread_id and event[1] == version for event in write.events)
        return (
            times > 1
            or any(event[1] == thread_id and event[2] == version for event in self._plan.events)
            or self._ledger.has_version(thread_id, version)
        )

    def _has_run(self, thread_id: str, run_id: str) -> bool:
        return (thread_id, run_id) in self._plan.runs or self._ledger.has_run(thread_id, run_id)

    def _is_taken(self, key: Values, at: int) -> bool:
        if key in self._plan.answers:
            return True
        expiry = self._ledger.answer_expiry(*key)
        return expiry is not None and expiry > at

    def _tracking_position(self, application_name: str) -> int | None:
        last = self._plan.trackings.get(application_name)
        if last is None:
            last = self._ledger.tracking_position(application_name)
        return last
