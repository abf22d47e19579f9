"""A process's place among those that hold leases in one log: shows its own life, judges the others'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..work.leases import LeaseKeeper

if TYPE_CHECKING:
    from ..work.leases import HolderLocks
    from .log import Log


class Holding(Protocol):
    """What the store needs to know of holders."""

    @property
    def holder(self) -> str:
        """The name of this process."""
        ...

    def start(self) -> None:
        """Show life from now on."""
        ...

    def stop(self) -> None:
        """Show life no more; leases that were not released are free then."""
        ...

    def is_alive(self, holder: str, expires_at: int | None) -> bool:
        """Return whether a holder that showed life up to then may still write."""
        ...


class ProcessHolding:
    """A holder among processes on one database: a row that is renewed, and a lock if there are any."""

    def __init__(
        self, log: Log, holder: str, *, lease_seconds: float, locks: HolderLocks | None
    ) -> None:
        self.holder = holder
        self._log = log
        self._locks = locks
        self._keeper = LeaseKeeper(self._renew, lease_seconds=lease_seconds)

    def _renew(self, expires_at: int) -> None:
        self._log.call(self._log.tasks.renew_holder(self.holder, expires_at))

    def start(self) -> None:
        """Take the lock before the row says that this process lives; clear away dead ones' traces."""
        if self._locks is not None:
            self._locks.hold(self.holder)
        try:
            self._keeper.start()
            self._clear()
        except BaseException:
            self.stop()
            raise

    def _clear(self) -> None:
        for holder, expires_at in self._log.list_holders():
            if not self.is_alive(holder, expires_at):
                self._log.call(self._log.tasks.remove_holder(holder))
        if self._locks is not None:
            for holder in self._locks.holders():
                if self._locks.is_dead(holder):
                    self._locks.remove(holder)

    def stop(self) -> None:
        """Take back the row, then the lock."""
        self._keeper.stop()
        try:
            self._log.call(self._log.tasks.remove_holder(self.holder))
        finally:
            if self._locks is not None:
                self._locks.release()

    def is_alive(self, holder: str, expires_at: int | None) -> bool:
        """Return whether the holder may still write."""
        if not self._keeper.is_current(expires_at):
            return False
        return self._locks is None or not self._locks.is_dead(holder)
