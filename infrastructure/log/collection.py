"""Pauses of the garbage collector while many events are read. Nothing here is garbage before it is given away."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

ROWS_MIN = 200
"""Fewer rows are not worth a pause."""

_lock = Lock()
_pauses = 0


@contextmanager
def paused_collection(rows: int) -> Generator[None]:
    """Pause it, unless there are few rows: parsing 10,000 of them takes three times as long with it.

    It is one switch for the whole process, so pauses of several threads are counted. A collector that was off before stays off.
    """
    if rows < ROWS_MIN or not _begin():
        yield
        return
    try:
        yield
    finally:
        _end()


def _begin() -> bool:
    global _pauses
    with _lock:
        if _pauses == 0 and not gc.isenabled():
            return False
        _pauses += 1
        gc.disable()
        return True


def _end() -> None:
    global _pauses
    with _lock:
        _pauses -= 1
        if _pauses == 0:
            gc.enable()
