"""Lines in which callers wait who must be served one at a time, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K", bound=Hashable)


class Lines(Generic[K]):
    """A line for each key, for as long as somebody is in it: as many as there may be keys, none is kept."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[K, asyncio.Lock] = WeakValueDictionary()

    def of(self, key: K) -> asyncio.Lock:
        """Return the key's line; it lets in one at a time, first come, first served."""
        # Most lines are empty. To make a lock that is not needed now and then costs less than to look twice.
        return self._locks.setdefault(key, asyncio.Lock())
