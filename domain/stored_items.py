"""Items that are read when somebody asks for them: a thread from a snapshot need not parse all it ever held."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pydantic_core import from_json

from .shared_list import SharedList

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .values import Json


class StoredItems(SharedList["Json"]):
    """A list of items, some of them still JSON text (`bytes`, which no item is). Equal to the list of their values.

    An item is parsed once, at its first reading; the array that many lists share then holds its value, which is the same item.
    """

    __slots__ = ()

    def __getitem__(self, at: int) -> Json:
        return self._read(at, super().__getitem__(at))

    def __iter__(self) -> Iterator[Json]:
        return iter(self.pick(range(self._length)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SharedList) and list(self) == list(cast("SharedList[Json]", other))

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def slice(self, start: int, stop: int) -> list[Json]:
        """Return the items from `start` up to `stop`."""
        return self.pick(range(start, min(stop, self._length)))

    def pick(self, places: Iterable[int]) -> list[Json]:
        """Return the items at these places."""
        wanted = list(places)
        found = super().pick(wanted)
        if bytes not in set(map(type, found)):
            return found
        return [self._read(at, item) for at, item in zip(wanted, found, strict=True)]

    def unread(self, places: Iterable[int]) -> list[Json | bytes]:
        """Return the items at these places, those that were not read yet as their JSON text."""
        return cast("list[Json | bytes]", super().pick(places))

    def _read(self, at: int, item: Json | bytes) -> Json:
        if not isinstance(item, bytes):
            return item
        value = self._array[at] = from_json(item)
        return value
