"""The newest checkpoint of each namespace as live objects, so that a turn need not decode or encode what it did not touch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .live import LiveList

HEADS_MAX = 256
"""Namespaces whose live objects are kept, those used last."""


@dataclass(frozen=True, slots=True)
class LiveHead:
    """A checkpoint that was put or read last: the names of its channels, and its lists as live objects."""

    checkpoint_id: str
    names: frozenset[str]
    lists: dict[str, LiveList] = field(default_factory=dict["str", "LiveList"])


class LiveHeads:
    """Heads by thread and namespace. May be used from many threads."""

    def __init__(self, heads_max: int = HEADS_MAX) -> None:
        self._heads: OrderedDict[tuple[str, str], LiveHead] = OrderedDict()
        self._heads_max = heads_max
        self._lock = threading.Lock()

    def get(self, thread_id: str, ns: str) -> LiveHead | None:
        """Return the head of a namespace, if it is here."""
        with self._lock:
            head = self._heads.get((thread_id, ns))
            if head is not None:
                self._heads.move_to_end((thread_id, ns))
            return head

    def put(self, thread_id: str, ns: str, head: LiveHead) -> None:
        """Keep a head; those of a subgraph's single call go first when there is no room."""
        with self._lock:
            self._heads[thread_id, ns] = head
            self._heads.move_to_end((thread_id, ns), last=":" not in ns)
            while len(self._heads) > self._heads_max:
                self._heads.popitem(last=False)

    def drop(self, thread_id: str) -> None:
        """Forget a thread."""
        with self._lock:
            for key in [key for key in self._heads if key[0] == thread_id]:
                del self._heads[key]
