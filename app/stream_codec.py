"""How a run's emitted parts are written down: what the conversation holds already is named there, not told again.

A state that is streamed after each step holds the whole conversation each time. So every element of a list that is worth it is
numbered when it first comes: those of the state that the attempt began with, then those of the parts themselves. Whatever of
that comes again is a range of numbers. Elements are told apart by their JSON, to the byte. What the attempt began with is
derived from the log by readers; the batch says what it must come to, so that nothing is ever put together of something else.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, cast

import orjson

from ..domain.state import read_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..domain.thread import Thread
    from ..domain.values import Json

Part = tuple[str, "Json"]
"""A mode, and what was emitted in it."""

BYTES_MIN = 64
"""Of an element's JSON, from which on it is numbered."""

_LIST, _PLAIN = "$list", "$plain"
"""Keys of what stands for a list with numbered elements, and for what is to be taken as it is."""

_NEW, _OTHER = "n", "v"
"""In such a list a range of numbers is a list of two; an element that gets its number, or none, stands in an object."""

_CHUNKS = "messages"
"""The mode whose parts are new each time."""

DEPTH_MAX = 24
"""Levels down to which elements are looked for."""

HEAVY_ELEMENTS = 500
"""A conversation of so many elements takes a while to go through."""

KNOWN_MAX = 50_000
"""Objects whose numbers are remembered without looking into them."""

LOST = ""
"""In place of a mode: so many parts are not there."""


def base_elements(thread: Thread) -> Iterator[Json]:
    """Yield the elements of lists in the state that an attempt began with, in an order that the log alone decides."""
    values = read_state(thread.state, thread.items)
    for name in sorted(values):
        value = values[name]
        if isinstance(value, list):
            yield from value


def _text_of(element: Json) -> bytes | None:
    """Return the element's JSON if it is worth a number."""
    if not isinstance(element, dict | str):
        return None
    text = orjson.dumps(element)
    return text if len(text) >= BYTES_MIN else None


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=16).digest()


class _Base:
    """The numbered elements that an attempt began with, and what tells them from all others."""

    def __init__(self, thread: Thread) -> None:
        self.elements: list[Json] = []
        self.digests: list[bytes] = []
        check = blake2b(digest_size=8)
        for element in base_elements(thread):
            text = _text_of(element)
            if text is not None:
                self.elements.append(element)
                self.digests.append(_digest(text))
                check.update(self.digests[-1])
        self.check = check.hexdigest()


class BatchWriter:
    """Writes the batches of one attempt, in order. `thread` is as it stood when the attempt began."""

    def __init__(self, thread: Thread) -> None:
        base = _Base(thread)
        self._base: Json = [thread.version, len(base.digests), base.check]
        self._numbers = {digest: number for number, digest in enumerate(base.digests)}
        self._count = len(base.digests)
        self._known: dict[int, tuple[Json, int]] = {}

    @property
    def is_heavy(self) -> bool:
        """Whether the conversation is so long that to write a part takes a while."""
        return self._count > HEAVY_ELEMENTS

    def write(self, parts: Iterable[Part]) -> bytes:
        """Return a batch's body."""
        written = [
            [mode, data if mode.startswith(_CHUNKS) else self._written(data)]
            for mode, data in parts
        ]
        return orjson.dumps([self._base, written])

    def _written(self, value: Json, depth: int = 0) -> Json:
        if not isinstance(value, list | dict):
            return value
        if depth > DEPTH_MAX or _LIST in value or _PLAIN in value:
            return {_PLAIN: value}
        if isinstance(value, list):
            return self._list(value, depth + 1)
        return {key: self._written(held, depth + 1) for key, held in value.items()}

    def _list(self, elements: list[Json], depth: int) -> Json:
        entries: list[Json] = []
        has_numbers = False
        for element in elements:
            number, is_new = self._number(element)
            has_numbers = has_numbers or number is not None
            last = entries[-1] if entries else None
            if number is None or is_new:
                entries.append({_NEW if is_new else _OTHER: self._written(element, depth)})
            elif isinstance(last, list) and last[1] == number:
                last[1] = number + 1
            else:
                entries.append([number, number + 1])
        if has_numbers:
            return {_LIST: entries}
        return [cast("dict[str, Json]", entry)[_OTHER] for entry in entries]

    def _number(self, element: Json) -> tuple[int | None, bool]:
        """Return the element's number, and whether it has only now got it."""
        held = self._known.get(id(element))
        if held is not None:
            return held[1], False
        text = _text_of(element)
        if text is None:
            return None, False
        digest = _digest(text)
        number = self._numbers.get(digest)
        is_new = number is None
        if number is None:
            number = self._numbers[digest] = self._count
            self._count += 1
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[id(element)] = (element, number)  # Held, so that no other object gets its id.
        return number, is_new


_MISSING: Final[Json] = {"missing": True}
"""Stands, as this very object, for an element that could not be derived."""


class BatchReader:
    """Reads the batches of one attempt, in order, from the first."""

    def __init__(self) -> None:
        self._elements: list[Json] | None = None
        self._base: _Base | None = None
        self._is_missing = False

    def base_version(self, body: bytes) -> int | None:
        """Return which version of the thread `begin` has to be given before this batch can be read; None: it has it."""
        if self._elements is not None:
            return None
        (version, count, _), _ = orjson.loads(body)
        return version if count else None

    def begin(self, thread: Thread) -> None:
        """Take the thread as it stood when the attempt began."""
        self._base = _Base(thread)

    def read(self, body: bytes) -> list[Part]:
        """Return the parts of a batch; those that cannot be put together as they were are `LOST`."""
        (_, count, check), written = orjson.loads(body)
        if self._elements is None:
            base = self._base
            is_same = base is not None and (len(base.elements), base.check) == (count, check)
            self._elements = list(base.elements) if base and is_same else [_MISSING] * count
            self._base = None
        return [self._part(mode, data) for mode, data in written]

    def _part(self, mode: str, written: Json) -> Part:
        if mode.startswith(_CHUNKS) or mode == LOST:
            return mode, written
        self._is_missing = False
        data = self._read(written)
        return (LOST, 1) if self._is_missing else (mode, data)

    def _read(self, written: Json) -> Json:
        if isinstance(written, list):
            return [self._read(entry) for entry in written]
        if not isinstance(written, dict):
            return written
        if _LIST in written:
            return self._list(cast("list[Json]", written[_LIST]))
        if _PLAIN in written:
            return written[_PLAIN]
        return {key: self._read(held) for key, held in written.items()}

    def _list(self, entries: list[Json]) -> list[Json]:
        known = cast("list[Json]", self._elements)
        elements: list[Json] = []
        for entry in entries:
            if isinstance(entry, list):
                start, stop = cast("list[int]", entry)
                found = known[start:stop]
                lacks = len(found) < stop - start or any(each is _MISSING for each in found)
                self._is_missing = self._is_missing or lacks
                elements += found
            elif isinstance(entry, dict):
                elements.append(
                    self._new(entry[_NEW]) if _NEW in entry else self._read(entry[_OTHER])
                )
        return elements

    def _new(self, written: Json) -> Json:
        """Return an element that gets its number here, before those in it, also if it cannot be put together."""
        known = cast("list[Json]", self._elements)
        number, was_missing = len(known), self._is_missing
        known.append(_MISSING)
        self._is_missing = False
        element = self._read(written)
        if not self._is_missing:
            known[number] = element
        self._is_missing = self._is_missing or was_missing
        return element
