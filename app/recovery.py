"""Finding what nobody executes: pending runs that no one was told of, and runs whose process died."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..domain.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..domain.ports import Clock, EventStore, Lease
    from ..domain.thread import Thread
    from .executor import Executor
    from .settings import Settings

logger = logging.getLogger(__name__)


class Recovery:
    """Tells a worker what it may take up.

    `has` says whether the worker itself holds to a lease of this process. `found` is told of each thread with runs in flight,
    and of the attempt there that was lost with its process, if one was.
    """

    def __init__(
        self,
        store: EventStore,
        executor: Executor,
        settings: Settings,
        *,
        holder: str,
        clock: Clock,
        has: Callable[[Lease], bool],
        found: Callable[[str, Thread, tuple[str, int] | None], None],
    ) -> None:
        self._store = store
        self._executor = executor
        self._settings = settings
        self._holder = holder
        self._clock = clock
        self._has = has
        self._found = found

    async def recover(self) -> None:
        """Look through all runs in flight once."""
        rows = await self._store.list_runs_in_flight()
        ids = dict.fromkeys(row.thread_id for row in rows)
        threads = {thread_id: await self._executor.load(thread_id) for thread_id in ids}
        # Asked last: a lease is granted together with its RunStarted, so that of a run that is seen running is there.
        alive, dead = await self._leases()
        for thread_id, thread in threads.items():
            active = thread.runs.get(thread.active or "")
            lost: tuple[str, int] | None = None
            if active is not None and active.status == "running":
                current = (active.run_id, active.attempt)
                lost = None if current in alive else current
            self._found(thread_id, self._executor.cached(thread_id) or thread, lost)
        for lease in dead:
            await self._executor.release(lease)

    async def watch(self) -> None:
        """Look for runs of processes that died, soon after; now and then also for runs that nobody was told of."""
        everything_at = self._clock.monotonic() + self._settings.lease_seconds / 2
        while True:
            await self._clock.sleep(
                min(self._settings.poll_seconds, self._settings.lease_seconds / 2)
            )
            try:
                _, dead = await self._leases()
                if dead or self._clock.monotonic() >= everything_at:
                    await self.recover()
                    everything_at = self._clock.monotonic() + self._settings.lease_seconds / 2
            except StoreError:
                logger.exception("could not look for lost runs; trying again")

    async def _leases(self) -> tuple[set[tuple[str, int]], list[Lease]]:
        """Return the attempts whose processes live, and the leases of those whose processes do not."""
        alive: set[tuple[str, int]] = set()
        dead: list[Lease] = []
        for held in await self._store.list_leases():
            lease = held.lease
            if held.is_alive and (lease.holder != self._holder or self._has(lease)):
                alive.add((lease.run_id, lease.attempt))
            else:
                dead.append(lease)
        return alive, dead


def is_lost(thread: Thread, lost: tuple[str, int]) -> bool:
    """Say whether this attempt of this run is still the one that counts, though its process is gone."""
    run = thread.runs.get(lost[0])
    return run is not None and run.status == "running" and run.attempt == lost[1]
