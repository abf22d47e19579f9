"""Lists of live objects beside their stored form, checked for what user code does to them in place.

Graphs get the same objects again and again, so that a turn decodes and encodes only what is new in it. User code may change
any of them at any time: before a list is handed out, and when a new one comes back, each object is compared with what it
looked like (`shapes.py`). No object is trusted because nothing should have changed it.
"""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, Any

from ...domain.changes import Splice
from ...domain.values import same
from .shapes import Shape, Watch, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...domain.values import Json
    from .values import ValueCodec


class LiveList:
    """A channel's list, as objects and as typed JSON.

    To whoever holds it, it never changes: `change_to` makes another one, and both may go on, sharing objects. `values` is to be
    read only. Not for several threads at once.
    """

    __slots__ = ("_objects", "_watch", "values")

    def __init__(self, values: list[Json]) -> None:
        """Begin with stored values; objects are made of them when somebody asks."""
        self.values = values
        self._objects: list[object] | None = None
        self._watch = Watch()

    @classmethod
    def of(cls, objects: Iterable[object], codec: ValueCodec, where: str) -> LiveList:
        """Begin with live objects; raises what `ValueCodec.encode` does."""
        return cls([]).change_to(objects, codec, where)[1]

    def __len__(self) -> int:
        return len(self.values)

    def checked(self, codec: ValueCodec) -> list[Any]:
        """Return the live objects in a new list: each as `codec.decode` makes it, and afresh if it may have been changed."""
        objects = self._objects
        if objects is None:
            objects = self._objects = [*map(codec.decode, self.values)]
            shapes = [*map(shape_of, objects)]
            for element, shape, value in zip(objects, shapes, self.values, strict=True):
                codec.remember(element, shape, value)
            self._watch = Watch(shapes)
        else:
            for at in self._watch.suspects(objects):
                objects[at] = codec.decode(self.values[at])
                self._watch.put(at, shape_of(objects[at]))
        return objects.copy()

    def change_to(
        self, objects: Iterable[object], codec: ValueCodec, where: str
    ) -> tuple[Splice | None, LiveList]:
        """Return the smallest splice that turns these values into those of `objects`, and the list of `objects`.

        None stands for no change. Of the objects that were in this list before, only those are encoded again that may have
        been changed in place.

        Raises:
            InvalidInputError: an object cannot be stored; `where` is extended by its index.
        """
        old = [] if self._objects is None else self._objects
        new = [*objects]
        suspects = self._watch.suspects(old)
        start, tail = _shared(old, new)
        stop, shift = len(self.values) - tail, len(new) - len(self.values)

        known = {id(old[at]): at for at in range(start, min(stop, len(old)))}
        for at in suspects:
            known.pop(id(old[at]), None)
        values = self.values[:start]
        shapes: list[Shape] = []
        for at in range(start, stop + shift):
            kept = known.get(id(new[at]))
            if kept is None and (recalled := codec.recalled(new[at])) is not None:
                shapes.append(recalled[1])
                values.append(recalled[2])
            elif kept is None:
                # Its shape is taken first: what changes the object in between shows at the next comparison.
                shapes.append(shape_of(new[at]))
                values.append(codec.encode(new[at], f"{where}[{at}]"))
            else:
                shapes.append(self._watch.shape(kept))
                values.append(self.values[kept])
        values += self.values[stop:]
        watch = self._watch.spliced(start, min(stop, len(old)) - start, shapes)
        changed: list[int] = []
        for before in suspects:
            if start <= before < stop:
                continue
            at = before if before < start else before + shift
            shape, value = shape_of(new[at]), codec.encode(new[at], f"{where}[{at}]")
            if not same(value, self.values[before]):
                watch.put(at, shape)
                values[at] = value
                changed.append(at)
        changed_to = LiveList(values)
        changed_to._objects = new
        changed_to._watch = watch
        return self._splice(values, start, stop, changed), changed_to

    def _splice(
        self, values: list[Json], start: int, stop: int, changed: list[int]
    ) -> Splice | None:
        """Return the smallest splice to `values`, which differ from `start` to `stop` and at the `changed` places."""
        shift = len(values) - len(self.values)
        if changed:
            is_empty = start == stop == stop + shift
            start = changed[0] if is_empty else min(start, changed[0])
            stop = changed[-1] + 1 if is_empty else max(stop, changed[-1] + 1 - shift)
        old = self.values
        while start < min(stop, stop + shift) and same(old[start], values[start]):
            values[start] = old[start]  # One object for one content.
            start += 1
        while start < min(stop, stop + shift) and same(old[stop - 1], values[stop - 1 + shift]):
            values[stop - 1 + shift] = old[stop - 1]
            stop -= 1
        if start == stop == stop + shift:
            return None
        return Splice(at=start, delete=stop - start, values=values[start : stop + shift])


def _shared(old: Sequence[object], new: Sequence[object]) -> tuple[int, int]:
    """Return how many of the same objects stand at the start of both lists, and how many others at their ends."""
    shorter = min(len(old), len(new))
    if all(map(is_, old, new)):
        return shorter, 0
    start = [*map(is_, old, new)].index(False)
    backward = [*map(is_, reversed(old[start:]), reversed(new[start:]))]
    return start, backward.index(False) if False in backward else len(backward)
