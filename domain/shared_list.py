"""An immutable list whose extensions share its memory. Nothing of threads here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")
N = TypeVar("N")


class SharedList(Generic[T]):
    """A list value: a growing array that many lists share, and the length that is this list's own.

    Only the list that ends where the array ends may grow it in place; any other extension copies
    first, or two continuations of one old value would see each other's elements. Appending is
    O(added); a splice in the middle is O(n).
    """

    __slots__ = ("_array", "_length", "_notes")

    def __init__(self, values: Iterable[T] = ()) -> None:
        self._array: list[T] = list(values)
        self._length = len(self._array)
        self._notes: dict[type, object] = {}

    def _sharing(self, array: list[T], length: int) -> SharedList[T]:
        result: SharedList[T] = type(self).__new__(type(self))
        result._array = array
        result._length = length
        result._notes = self._notes if array is self._array else {}
        return result

    def note(self, kind: Callable[[], N]) -> N:
        """Return what was made of the array's elements, one of each kind: made at first use, and shared with the array.

        It may know of elements behind this list's end.
        """
        key = cast("type", kind)
        note = self._notes.get(key)
        if note is None:
            note = self._notes[key] = kind()
        return cast("N", note)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        array = self._array
        if len(array) == self._length:
            return iter(array[:])
        return iter(array[: self._length])

    def __getitem__(self, at: int) -> T:
        if not 0 <= at < self._length:
            raise IndexError(at)
        return self._array[at]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SharedList):
            return NotImplemented
        others = cast("SharedList[object]", other)
        if self._length != others._length:
            return False
        if self._array is others._array:
            return True
        return self._array[: self._length] == others._array[: others._length]

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"SharedList({self._array[: self._length]!r})"

    def slice(self, start: int, stop: int) -> list[T]:
        """Return the elements from `start` up to `stop` as a list of its own."""
        return self._array[start : min(stop, self._length)]

    def pick(self, places: Iterable[int]) -> list[T]:
        """Return the elements at these places, which must be places of this list."""
        return list(map(self._array.__getitem__, places))

    def extended(self, values: Sequence[T]) -> SharedList[T]:
        """Return this list with `values` behind it."""
        if not values:
            return self
        array = self._array
        if len(array) != self._length:
            array = array[: self._length]
        array.extend(values)
        return self._sharing(array, self._length + len(values))

    def spliced(self, at: int, delete: int, values: Sequence[T]) -> SharedList[T]:
        """Return this list with `delete` elements from `at` on replaced by `values`."""
        if at >= self._length:
            return self.extended(values)
        if at + delete >= self._length and not values:
            return self._sharing(self._array, at)
        array = self._array[: self._length]
        array[at : at + delete] = values
        return self._sharing(array, len(array))
