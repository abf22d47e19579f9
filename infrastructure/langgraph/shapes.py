"""Shapes: what a live object looked like when it was known to equal its stored form, kept so that comparing is cheap."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from uuid import UUID

import orjson

from .messages import MESSAGE_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    GetFields = Callable[[Any], Any]


class Shape(NamedTuple):
    """What is compared to tell whether an element of a list was changed in place."""

    state: object
    """Equals the element's `__dict__` (None if it has none) for as long as the element is unchanged."""
    extra: object = None
    """The element's own container of extra fields: it is empty for as long as the element is unchanged."""
    numbers: GetFields | None = None
    """Returns the fields with numbers in them: Python says that 1 == True == 1.0, so that `state` is not enough for them."""


class _Anything:
    """Equals everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # pyright: ignore[reportAssignmentType] - what equals everything has no hash


OPAQUE: Final = Shape(_Anything())
"""The shape of what can change out of our sight, or comes back otherwise than it was stored (with lists for tuples): it is
always suspected."""

FIXED: Final = Shape(None)
"""The shape of what cannot change."""

_FIXED_TYPES = frozenset(
    {str, int, float, bool, type(None), bytes, complex, Decimal, UUID}
    | {date, datetime, time, timedelta}
)
_FIELD_COUNTS: dict[type, int] = {cls: len(cls.model_fields) for cls in MESSAGE_CLASSES.values()}
_PLAIN_OPTIONS = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS

_type: Callable[[object], type[Any]] = type


def shape_of(element: Any) -> Shape:  # noqa: ANN401 - of any class
    """Return an element's shape as it is now. It shares no container with the element, except the one for extra fields."""
    kind = _type(element)
    if kind not in _FIELD_COUNTS:
        return FIXED if kind in _FIXED_TYPES else OPAQUE
    extra = element.__pydantic_extra__
    state: dict[str, Any] = element.__dict__.copy()
    if extra or extra is None or len(state) != _FIELD_COUNTS[kind]:
        return OPAQUE
    numeric: list[str] = []
    try:
        for name, value in state.items():
            kind = _type(value)
            if kind is str or value is None:
                continue
            if (kind is dict or kind is list) and not value:
                state[name] = kind()
                continue
            has_numbers: list[bool] = []
            state[name] = _copied(value, has_numbers)
            if has_numbers:
                numeric.append(name)
    except (_OpaqueError, RecursionError):
        return OPAQUE
    return Shape(state, extra, _getter(*numeric) if numeric else None)


class _OpaqueError(Exception):
    """A part that cannot be compared cheaply."""


def _copied(value: Any, has_numbers: list[bool]) -> object:  # noqa: ANN401
    """Return the value with all its containers copied; take a note if there is a number somewhere."""
    kind = _type(value)
    if kind is str or value is None:
        return value
    if kind is dict:
        items = cast("dict[Any, Any]", value).copy().items()
        return {_text(key): _copied(item, has_numbers) for key, item in items}
    if kind is list:
        return [_copied(item, has_numbers) for item in value]
    if kind is int or kind is float or kind is bool:
        has_numbers.append(True)
        return value
    raise _OpaqueError


def _text(key: object) -> object:
    if type(key) is not str:  # As a key too, 1 is True.
        raise _OpaqueError
    return key


@cache
def _getter(*names: str) -> GetFields:
    return cast("GetFields", itemgetter(*names))


class Watch:
    """The shapes of all elements of a list, arranged so that one comparison, in C, takes in all of them."""

    __slots__ = ("_content", "_extras", "_numbers", "_opaque", "_states")

    def __init__(self, shapes: Sequence[Shape] = ()) -> None:
        self._states: list[object] = [shape.state for shape in shapes]
        self._extras: list[object] = [shape.extra for shape in shapes]
        self._opaque = {at for at, shape in enumerate(shapes) if shape is OPAQUE}
        self._numbers = {at: shape.numbers for at, shape in enumerate(shapes) if shape.numbers}
        self._content: bytes | None = (
            None  # Of the fields with numbers, in their order there; None if not known yet.
        )

    def shape(self, at: int) -> Shape:
        """Return what the element at this place is compared with."""
        return Shape(self._states[at], self._extras[at], self._numbers.get(at))

    def put(self, at: int, shape: Shape) -> None:
        """Compare the element at this place with another shape from now on."""
        if shape is OPAQUE and at in self._opaque:
            return
        self._states[at] = shape.state
        self._extras[at] = shape.extra
        self._opaque.discard(at)
        if self._numbers.pop(at, None) or shape.numbers:
            self._content = None
        if shape is OPAQUE:
            self._opaque.add(at)
        elif shape.numbers:
            self._numbers[at] = shape.numbers

    def spliced(self, at: int, delete: int, shapes: Sequence[Shape]) -> Watch:
        """Return the watch of a list in which some elements give way to others."""
        stop, shift = at + delete, len(shapes) - delete
        new, watch = Watch(shapes), Watch()
        watch._states = [*self._states[:at], *new._states, *self._states[stop:]]
        watch._extras = [*self._extras[:at], *new._extras, *self._extras[stop:]]
        if at == len(self._states):
            watch._opaque = self._opaque.copy()
            watch._numbers = self._numbers.copy()
            added = _written(new._states, new._numbers) if new._numbers else b"[]"
            if self._content is not None and added is not None:
                watch._content = self._content[:-1] + b"," * (len(added) > 2) + added[1:]
        else:
            for old in self._opaque:
                if not at <= old < stop:
                    watch._opaque.add(old if old < at else old + shift)
            for old, get in self._numbers.items():
                if not at <= old < stop:
                    watch._numbers[old if old < at else old + shift] = get
        watch._opaque.update(old + at for old in new._opaque)
        watch._numbers.update((old + at, get) for old, get in new._numbers.items())
        return watch

    def suspects(self, elements: Sequence[Any]) -> list[int]:
        """Return the places of the elements that may have been changed in place; all others were not."""
        try:
            states = [element.__dict__ for element in elements]
        except AttributeError:  # Not only messages.
            states = [*map(getattr, elements, repeat("__dict__"), repeat(None))]
        found = self._opaque.copy()
        if not _equal(self._states, states):
            pairs = enumerate(zip(self._states, states, strict=True))
            found.update(at for at, (one, other) in pairs if not _equal(one, other))
        if any(self._extras):
            found.update(at for at, extra in enumerate(self._extras) if extra)
        if self._numbers:
            found.update(self._other_numbers(states))
        return sorted(found)

    def _other_numbers(self, states: Sequence[object]) -> Iterator[int]:
        """Yield the places where other numbers stand than did, were they equal ones."""
        if self._content is None:
            self._content = _written(self._states, self._numbers)
        now = _written(states, self._numbers)
        if now is None or now != self._content:
            for at, get in self._numbers.items():
                content = _written(self._states, {at: get})
                if content is None or content != _written(states, {at: get}):
                    yield at


def is_alike(shape: Shape, element: Any) -> bool:  # noqa: ANN401 - of any class
    """Say whether one element still looks like its shape."""
    state, extra, numbers = shape
    if numbers is not None:
        return not Watch([shape]).suspects([element])
    return not extra and shape is not OPAQUE and _equal(state, getattr(element, "__dict__", None))


def _equal(one: object, other: object) -> bool:
    try:
        return one == other
    except Exception:  # noqa: BLE001 - what user code has put there may not even be comparable
        return False


def _written(states: Sequence[Any], numbers: Mapping[int, GetFields]) -> bytes | None:
    """Return the fields with numbers as bytes that tell 1, 1.0 and True apart; None if something else stands there."""
    try:
        fields = [get(states[at]) for at, get in numbers.items()]
        return orjson.dumps(fields, option=_PLAIN_OPTIONS)
    except (TypeError, KeyError):
        return None
