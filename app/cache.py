"""Folded threads in memory: a bounded cache in front of the log. It moves only after a commit."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..domain.thread import Thread


class ThreadCache:
    """The newest thread values, least recently used first out.

    Bounded by threads and by the size of all of them together (items and events, the two things that a value grows with).
    Threads that `is_held` names are never put out: somebody in this process waits for their next event.
    """

    def __init__(
        self,
        *,
        threads_max: int,
        size_max: int,
        is_held: Callable[[str, Thread], bool],
        on_drop: Callable[[str], object],
    ) -> None:
        self._threads: OrderedDict[str, Thread] = OrderedDict()
        self._threads_max = threads_max
        self._size_max = size_max
        self._size = 0
        self._is_held = is_held
        self._on_drop = on_drop

    def __len__(self) -> int:
        return len(self._threads)

    def get(self, thread_id: str) -> Thread | None:
        """Return the thread, if it is here."""
        thread = self._threads.get(thread_id)
        if thread is not None:
            self._threads.move_to_end(thread_id)
        return thread

    def put(self, thread_id: str, thread: Thread) -> None:
        """Keep a thread that was read or committed; an older value never replaces a newer one."""
        old = self._threads.get(thread_id)
        if old is not None:
            if old.version > thread.version:
                return
            self._size -= _size(old)
        self._threads[thread_id] = thread
        self._threads.move_to_end(thread_id)
        self._size += _size(thread)
        if len(self._threads) > self._threads_max or self._size > self._size_max:
            self._shrink()

    def drop(self, thread_id: str) -> None:
        """Forget a thread; it is read from the log next time."""
        thread = self._threads.pop(thread_id, None)
        if thread is not None:
            self._size -= _size(thread)
            self._on_drop(thread_id)

    def _shrink(self) -> None:
        """Put out a tenth more than needed, so that not every put has to look for candidates."""
        threads_max, size_max = self._threads_max * 0.9, self._size_max * 0.9
        newest = next(reversed(self._threads))
        for thread_id, thread in list(self._threads.items()):
            if len(self._threads) <= threads_max and self._size <= size_max:
                return
            if thread_id != newest and not self._is_held(thread_id, thread):
                self.drop(thread_id)


def _size(thread: Thread) -> int:
    return 1 + len(thread.items) + len(thread.runs)
