"""Who holds leases: a process's sign of life, and how others see it. No lease is granted here.

A process shows life in two ways. It renews a row, from a thread of its own: a graph that blocks the
event loop must not lose its lease. And it holds an OS lock on a file of its own, which the kernel
frees when the process dies, so that its leases count as free at once.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Protocol

from eventsourcing.persistence import PersistenceError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: leases of a dead process lapse
    fcntl = None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

logger = logging.getLogger(__name__)

_MICROSECONDS = 1_000_000


class HolderLocks(Protocol):
    """The lock that each process holds on its name while it lives."""

    def hold(self, holder: str) -> None:
        """Take the lock of this process, for as long as it lives."""
        ...

    def release(self) -> None:
        """Give the lock back."""
        ...

    def is_dead(self, holder: str) -> bool:
        """Return whether the process is known to be gone."""
        ...

    def remove(self, holder: str) -> None:
        """Clear away what a dead process left."""
        ...

    def holders(self) -> Iterable[str]:
        """Return the names that left a trace here, dead or alive."""
        ...


class FileLocks:
    """Locks on files in one folder: `<holder>.lock`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None
        self._path: Path | None = None

    def hold(self, holder: str) -> None:
        """Take the lock of this process, for as long as it lives."""
        self._folder.mkdir(exist_ok=True)
        path = self._path = self._folder / f"{holder}.lock"
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Between the two calls another process may have taken the file for a dead one's.
            if self._is_same_file(descriptor, path):
                self._descriptor = descriptor
                return
            os.close(descriptor)

    @staticmethod
    def _is_same_file(descriptor: int, path: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None and self._path is not None:
            with suppress(OSError):
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = None

    def is_dead(self, holder: str) -> bool:
        """Return whether nobody holds the lock; False where files cannot be locked."""
        if fcntl is None:
            return False
        try:
            descriptor = os.open(self._folder / f"{holder}.lock", os.O_RDWR)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def remove(self, holder: str) -> None:
        """Delete a dead process's file."""
        with suppress(OSError):
            (self._folder / f"{holder}.lock").unlink()

    def holders(self) -> Iterable[str]:
        """Return whose files are here."""
        return [path.stem for path in self._folder.glob("*.lock")]


class LeaseKeeper:
    """Shows that this process lives, from a thread of its own, until it is stopped.

    `renew` writes up to when, in microseconds since 1970. If that fails for as long as a lease lasts,
    others take this process for dead, and rightly so: it could not record a step either.
    """

    def __init__(
        self,
        renew: Callable[[int], object],
        *,
        lease_seconds: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._renew = renew
        self._lease_seconds = lease_seconds
        self._now = now
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="threadfold-leases", daemon=True)

    def start(self) -> None:
        """Renew once, then go on doing so."""
        self._renew_once()
        self._thread.start()

    def stop(self) -> None:
        """Renew no more."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def is_current(self, expires_at: int | None) -> bool:
        """Return whether a holder that showed life up to then counts as alive."""
        return expires_at is not None and expires_at > self._now() * _MICROSECONDS

    def _renew_once(self) -> None:
        self._renew(int((self._now() + self._lease_seconds) * _MICROSECONDS))

    def _run(self) -> None:
        while not self._stopped.wait(self._lease_seconds / 3):
            try:
                self._renew_once()
            except PersistenceError as error:
                logger.warning("The leases of this process could not be renewed: %s", error)
