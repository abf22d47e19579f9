"""What a log in memory is asked to do that is no append."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .rows import DELIVERY_COLUMNS, claimed, settled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...domain.ports import Lease, StoredSnapshot
    from .planning import Erasure
    from .rows import Values
    from .writer import Session, Task

_CREATED_AT, _DUE_AT = DELIVERY_COLUMNS.index("created_at"), DELIVERY_COLUMNS.index("due_at")


class MemoryTables:
    """What the tasks of a log in memory work on."""

    def __init__(self) -> None:
        self.leases: dict[tuple[str, str, int], Lease] = {}
        self.holders: set[str] = set()
        self.snapshots: dict[str, StoredSnapshot] = {}
        self.erased_versions: dict[str, int] = {}
        self.erasures: dict[int, Erasure] = {}
        self.answers: dict[Values, Values] = {}
        self.deliveries: dict[str, Values] = {}

    def rewrite(self, topic: str, state: bytes, position: int) -> None:
        """Overwrite an event's payload."""
        raise NotImplementedError


class MemoryTasks:
    """Work on the log that is no append. It needs no session: the log is at hand."""

    def __init__(self, log: MemoryTables) -> None:
        self._log = log

    def write_snapshot(self, snapshot: StoredSnapshot) -> Task:
        """Replace the thread's snapshot, unless it is older or may hold erased payloads."""

        def task(_: Session) -> None:
            log, thread_id = self._log, snapshot.thread_id
            held = log.snapshots.get(thread_id)
            void = max(log.erased_versions.get(thread_id, 0), held.version if held else 0)
            if snapshot.version > void:
                log.snapshots[thread_id] = snapshot

        return task

    def release_lease(self, lease: Lease) -> Task:
        """Forget the lease."""
        key = (lease.thread_id, lease.run_id, lease.attempt)
        return lambda _: self._log.leases.pop(key, None)

    def renew_holder(self, holder: str, expires_at: int) -> Task:
        """Count the holder as alive until it is removed."""
        return lambda _: self._log.holders.add(holder)

    def remove_holder(self, holder: str) -> Task:
        """Count the holder as dead."""
        return lambda _: self._log.holders.discard(holder)

    def erase(
        self,
        erasure_id: int,
        rewritten: Iterable[tuple[str, bytes, int]],
        next_version: int | None,
    ) -> Task:
        """Overwrite events, and note where to go on."""

        def task(_: Session) -> None:
            for row in rewritten:
                self._log.rewrite(*row)
            if next_version is None:
                self._log.erasures.pop(erasure_id, None)
            elif erasure_id in self._log.erasures:
                erasure = self._log.erasures[erasure_id]
                self._log.erasures[erasure_id] = replace(erasure, from_version=next_version)

        return task

    def sweep_answers(self, now: int) -> Task:
        """Forget the answers that have expired."""

        def task(_: Session) -> int:
            answers = self._log.answers
            expired = [key for key, row in answers.items() if row[-1] <= now]
            for key in expired:
                del answers[key]
            return len(expired)

        return task

    def claim_deliveries(self, now: int, until: int, limit: int) -> Task:
        """Put due deliveries off, counting a try."""

        def task(_: Session) -> list[Values]:
            deliveries = self._log.deliveries
            rows = [
                claimed(row, until) for row in listed_deliveries(deliveries.values(), now, limit)
            ]
            deliveries.update((row[0], row) for row in rows)
            return rows

        return task

    def settle_delivery(self, delivery_id: str, due_at: int | None, error: str) -> Task:
        """Note that a try has failed; a delivery that is not due again loses its body."""

        def task(_: Session) -> None:
            row = self._log.deliveries.get(delivery_id)
            if row is not None:
                self._log.deliveries[delivery_id] = settled(row, due_at, error)

        return task

    def finish_delivery(self, delivery_id: str) -> Task:
        """Forget the delivery."""
        return lambda _: self._log.deliveries.pop(delivery_id, None)


def listed_deliveries(rows: Iterable[Values], due_before: int | None, limit: int) -> list[Values]:
    """Return deliveries: those that are due by then, in that order, or all, the oldest first."""
    if due_before is None:
        return sorted(rows, key=lambda row: (row[_CREATED_AT], row[0]))[:limit]
    due = [row for row in rows if row[_DUE_AT] is not None and row[_DUE_AT] <= due_before]
    return sorted(due, key=lambda row: (row[_DUE_AT], row[0]))[:limit]
