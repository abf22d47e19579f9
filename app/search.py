"""Searching threads by what their rows hold: ids, status and metadata. Not by their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..domain.ports import EventStore, ThreadRow
    from ..domain.values import Json, JsonObject

ThreadOrder: TypeAlias = Literal[
    "thread_id", "status", "created_at", "updated_at", "state_updated_at"
]

ALL = 2**53
"""As a limit: no limit."""


@dataclass(frozen=True, slots=True)
class ThreadFilter:
    """What the threads looked for have in common; None: anything goes."""

    metadata: JsonObject | None = None
    status: str | None = None
    ids: frozenset[str] | None = None

    @property
    def is_open(self) -> bool:
        """Whether every thread matches."""
        return not self.metadata and self.status is None and self.ids is None

    def matches(self, row: ThreadRow) -> bool:
        """Say whether a thread is among those looked for."""
        if self.ids is not None and row.thread_id not in self.ids:
            return False
        if self.status is not None and row.status != self.status:
            return False
        return not self.metadata or contains(row.metadata, self.metadata)


def contains(whole: Json, part: Json) -> bool:
    """Say whether `whole` has all that `part` has: keys of objects, elements of lists in any order, equal values."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(
            any(contains(entry, wanted) for entry in whole) for wanted in part
        )
    # Python alone says that 1 == True.
    return whole == part and isinstance(whole, bool) == isinstance(part, bool)


async def find_threads(
    store: EventStore,
    where: ThreadFilter,
    *,
    order: ThreadOrder = "updated_at",
    is_descending: bool = True,
    limit: int = 10,
    offset: int = 0,
) -> Sequence[ThreadRow]:
    """Return the rows of matching threads."""
    if where.is_open and order == "updated_at" and is_descending:
        return await store.list_threads(limit=limit, offset=offset)
    rows = [row for row in await store.list_threads(limit=ALL) if where.matches(row)]
    rows.sort(key=lambda row: (getattr(row, order), row.thread_id), reverse=is_descending)
    return rows[offset : offset + limit]
