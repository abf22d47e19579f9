"""The event store that the engine sees, over a log. Nothing here knows which kind of log it is.

Appends go to the log's writer, and return when they are durable. Reads run in a few threads, so that
the event loop never waits for a disk; those of a log in memory are done on the spot.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, cast

from ...domain.errors import StoreUnavailableError
from ...domain.events import RecordedEvent
from ...domain.ports import HeldLease
from .codec import to_microseconds
from .compression import compressed, expanded, uncompressed
from .erasure import next_chunk
from .kept_assistants import AssistantsOfLog
from .kept_streams import StreamsOfLog
from .log import UNLIMITED
from .planning import Erasure, Write
from .rows import (
    answer_values,
    delivery,
    delivery_values,
    kept_answer,
    run_values,
    thread_values,
)
from .subscriptions import LogSubscription

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ...domain.kept_ports import Delivery, KeptAnswer
    from ...domain.ports import Append, Lease, LogEntry, RunRow, StoredSnapshot, ThreadRow
    from .rows import Values
    from .writer import Task

ERASURES_AT_ONCE = 64


class LogStore(AssistantsOfLog, StreamsOfLog):
    """The `EventStore` over a log. See `domain/ports.py` for what each method promises."""

    # ---------------------------------------------------------------- events

    async def append(self, append: Append) -> tuple[RecordedEvent, ...]:
        """Write all or nothing; return when it is durable."""
        before = cast("int", await self._do(self._prepared(append)))
        version = append.expected_version
        return tuple(
            RecordedEvent(
                append.thread_id,
                version + count,
                before + count,
                append.recorded_at,
                event,
                append.actor,
            )
            for count, event in enumerate(append.events, 1)
        )

    def _prepared(self, append: Append) -> Write:
        lease, release = append.lease, append.release
        return Write(
            events=self._codec.rows(
                append.thread_id,
                append.expected_version,
                append.events,
                append.recorded_at,
                append.actor,
            ),
            thread_id=append.thread_id,
            expected_version=append.expected_version,
            thread=thread_values(append.thread),
            runs=[run_values(run) for run in append.runs],
            accepts=append.accepts,
            lease=lease and (lease.thread_id, lease.run_id, lease.attempt, lease.holder),
            release=release and (release.thread_id, release.run_id, release.attempt),
            hide_runs=[(append.thread_id, run_id) for run_id in _hidden(append)],
            erasures=_erasures(append),
            answer=append.answer and answer_values(append.answer),
            at=to_microseconds(append.recorded_at),
            deliveries=[delivery_values(each) for each in append.deliveries],
        )

    async def read_thread(
        self, thread_id: str, *, after: int = 0, upto: int | None = None, limit: int | None = None
    ) -> tuple[RecordedEvent, ...]:
        """Read a thread's events with `after < version <= upto`, in order, at most `limit`."""
        return await self._read(
            lambda: self._of_threads(
                self._log.thread_rows(
                    thread_id,
                    after=after,
                    upto=UNLIMITED if upto is None else upto,
                    limit=UNLIMITED if limit is None else limit,
                )
            )
        )

    async def read_run(self, thread_id: str, versions: Sequence[int]) -> tuple[RecordedEvent, ...]:
        """Read the events at these versions, in order; those that do not exist are left out."""
        return await self._read(
            lambda: self._of_threads(self._log.version_rows(thread_id, versions))
        )

    async def read_log(self, *, after: int = 0, limit: int = 500) -> tuple[LogEntry, ...]:
        """Read events of all threads and assistants with `position > after`, in order of position."""
        return await self._read(lambda: self._decoded(self._log.log_rows(after=after, limit=limit)))

    async def head_position(self) -> int:
        """Return the newest position, 0 for an empty log."""
        return await self._read(self._log.head_position)

    def subscribe(self, *, after: int = 0) -> LogSubscription:
        """Follow the whole log from just after a position."""
        self._check_open()
        if self._signal is None:
            raise StoreUnavailableError("The store is not open yet")
        return LogSubscription(
            self._read_batch, self._signal, after=after, poll_seconds=self._log.poll_seconds
        )

    async def _read_batch(self, after: int, limit: int) -> Sequence[LogEntry]:
        return await self.read_log(after=after, limit=limit)

    # ---------------------------------------------------------------- projections and snapshots

    async def get_run(self, thread_id: str, run_id: str) -> RunRow | None:
        """Return the run's row, hidden or not."""
        return await self._read(self._log.get_run, thread_id, run_id)

    async def find_run(self, run_id: str) -> RunRow | None:
        """Return the row of a run whose thread is not known; of several, the one created last."""
        return await self._read(self._log.find_run, run_id)

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
        return tuple(
            await self._read(
                self._log.list_runs,
                thread_id,
                status=status,
                limit=limit,
                offset=offset,
                with_hidden=with_hidden,
            )
        )

    async def list_runs_in_flight(self, *, status: str | None = None) -> tuple[RunRow, ...]:
        """Return every pending or running run of all threads, in order of due time."""
        return tuple(await self._read(self._log.list_runs_in_flight, status=status))

    async def get_thread(self, thread_id: str) -> ThreadRow | None:
        """Return the thread's row, also of a deleted thread."""
        return await self._read(self._log.get_thread, thread_id)

    async def list_threads(self, *, limit: int = 100, offset: int = 0) -> tuple[ThreadRow, ...]:
        """Return the present threads, newest `updated_at` first."""
        return tuple(await self._read(self._log.list_threads, limit=limit, offset=offset))

    async def list_expiring(self, *, limit: int) -> tuple[ThreadRow, ...]:
        """Return the threads that are to expire, the next one first."""
        return tuple(await self._read(self._log.list_expiring, limit=limit))

    async def read_snapshot(self, thread_id: str) -> StoredSnapshot | None:
        """Return the thread's newest snapshot."""
        return await self._read(self._get_snapshot, thread_id)

    def _get_snapshot(self, thread_id: str) -> StoredSnapshot | None:
        stored = self._log.get_snapshot(thread_id)
        return stored and replace(stored, body=expanded(stored.body))

    async def write_snapshot(self, snapshot: StoredSnapshot) -> None:
        """Replace the thread's snapshot, unless a newer one is there or it was erased meanwhile."""
        if self._codec.is_compressing:
            body = await self._read(compressed, snapshot.body)
        else:
            body = uncompressed(snapshot.body)
        await self._do(self._log.tasks.write_snapshot(replace(snapshot, body=body)))

    # ---------------------------------------------------------------- leases and erasures

    async def list_leases(self, thread_id: str | None = None) -> tuple[HeldLease, ...]:
        """Return the leases that were not released, of one thread or of all."""
        return await self._read(self._held_leases, thread_id)

    def _held_leases(self, thread_id: str | None) -> tuple[HeldLease, ...]:
        is_alive = cache(self._holding.is_alive)
        return tuple(
            HeldLease(lease, is_alive(lease.holder, expires_at))
            for lease, expires_at in self._log.list_leases(thread_id)
        )

    async def release_lease(self, lease: Lease) -> None:
        """Say that the attempt's code has stopped; unknown leases are ignored."""
        await self._do(self._log.tasks.release_lease(lease))

    async def find_answer(self, scope: str, key: str) -> KeptAnswer | None:
        """Return the answer that is kept under a key, also one that has expired."""
        row = await self._read(self._log.find_answer, scope, key)
        return None if row is None else kept_answer(row)

    async def sweep_answers(self, now: datetime) -> int:
        """Forget the answers that have expired; return how many they were."""
        return cast("int", await self._do(self._log.tasks.sweep_answers(to_microseconds(now))))

    async def list_deliveries(
        self, *, due_before: datetime | None = None, limit: int = 100
    ) -> tuple[Delivery, ...]:
        """Return deliveries, oldest first: all of them, or those that are due by then, the most urgent first."""
        due = None if due_before is None else to_microseconds(due_before)
        rows = await self._read(self._log.list_deliveries, due_before=due, limit=limit)
        return tuple(map(delivery, rows))

    async def claim_deliveries(
        self, now: datetime, until: datetime, *, limit: int
    ) -> tuple[Delivery, ...]:
        """Return due deliveries that are to be tried now."""
        at, again = to_microseconds(now), to_microseconds(until)
        rows = await self._do(self._log.tasks.claim_deliveries(at, again, limit))
        return tuple(map(delivery, cast("list[Values]", rows)))

    async def settle_delivery(self, delivery_id: str, due_at: datetime | None, error: str) -> None:
        """Say that a try has failed: it is due again then, or (None) it is dead."""
        again = None if due_at is None else to_microseconds(due_at)
        await self._do(self._log.tasks.settle_delivery(delivery_id, again, error))

    async def finish_delivery(self, delivery_id: str) -> None:
        """Say that it has arrived: it is forgotten."""
        await self._do(self._log.tasks.finish_delivery(delivery_id))

    async def erase_pending(self) -> int:
        """Carry out the erasures that appends have asked for; return how many were overwritten."""
        count = 0
        while found := await self._read(self._log.list_erasures, limit=ERASURES_AT_ONCE):
            works: list[Task] = []
            for erasure_id, erasure in found:
                read = await self._read(next_chunk, self._log, self._codec, erasure)
                works.append(self._log.tasks.erase(erasure_id, *read))
                count += len(read[0])
            # Written at once, they share a transaction.
            await asyncio.gather(*map(self._do, works))
        if count:
            await self._read(self._log.scrub)
        return count


def _hidden(append: Append) -> Sequence[str | None]:
    return [None] if append.erase_thread else append.hide_runs


def _erasures(append: Append) -> list[Erasure]:
    if not append.erase_thread and not append.erase_runs:
        return []
    upto = append.expected_version + len(append.events)
    if append.erase_thread:
        return [Erasure(append.thread_id, None, 1, upto)]
    accepted = {run.run_id: run.accepted_version for run in append.runs}
    return [
        Erasure(append.thread_id, run_id, accepted.get(run_id, 1), upto)
        for run_id in append.erase_runs
    ]
