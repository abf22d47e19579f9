"""What was made lately, to be had again: a cache of a bounded size that costs next to nothing to keep."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps what was put or asked for last, up to a size: of two generations the older is dropped when the newer is full."""

    def __init__(self, size_max: int) -> None:
        self._half = size_max // 2
        self._size = 0
        self._new: dict[K, tuple[V, int]] = {}
        self._old: dict[K, tuple[V, int]] = {}

    def get(self, key: K) -> V | None:
        """Return what was put under the key, if it is still here."""
        found = self._new.get(key)
        if found is None:
            found = self._old.get(key)
            if found is None:
                return None
            self.put(key, *found)
        return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value of this size."""
        if self._size + size > self._half:
            self._old, self._new, self._size = self._new, {}, 0
        self._new[key] = (value, size)
        self._size += size
