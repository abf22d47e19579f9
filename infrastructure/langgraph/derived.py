"""Subclasses of Python's own data types: what their base holds, taken out and put in past all that the subclass overrides."""

# Unbound methods of generic classes, and nobody here knows what they are generic in.
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Base:
    """A data type that classes may derive from; `held` and `make` are each other's inverse."""

    type: type
    held: Callable[[Any], object]
    """Return what an object holds, as an object of the data type itself."""
    make: Callable[[type, Any], object]
    """Return a new object of a class that holds the same."""


def _whole(cls: type) -> Callable[[Any], object]:
    """Return what takes a copy of a sequence: slices are of the base's own class."""
    return lambda value: cls.__getitem__(value, slice(None))


def _new(base: type) -> Callable[[type, Any], object]:
    return lambda cls, held: base.__new__(cls, held)


def _filled(base: type, fill: Callable[[Any, Any], object]) -> Callable[[type, Any], object]:
    def make(cls: type, held: object) -> object:
        value: object = cast("Any", base).__new__(cls)
        fill(value, held)
        return value

    return make


def _fill_ordered(value: OrderedDict[Any, Any], held: OrderedDict[Any, Any]) -> None:
    for key, item in held.items():
        OrderedDict.__setitem__(value, key, item)


def _counter(value: Counter[Any]) -> object:
    held: Counter[Any] = Counter()
    dict.update(held, dict.items(value))
    return held


def _fill_default(value: defaultdict[Any, Any], held: defaultdict[Any, Any]) -> None:
    defaultdict.__init__(value, held.default_factory, held)


def _fill_deque(value: deque[Any], held: deque[Any]) -> None:
    deque.__init__(value, held, held.maxlen)


def _make_datetime(cls: type, held: datetime) -> object:
    day = (held.year, held.month, held.day)
    moment = (held.hour, held.minute, held.second, held.microsecond, held.tzinfo)
    return datetime.__new__(cls, *day, *moment, fold=held.fold)


def _make_time(cls: type, held: time) -> object:
    moment = (held.hour, held.minute, held.second, held.microsecond, held.tzinfo)
    return time.__new__(cls, *moment, fold=held.fold)


def _make_date(cls: type, held: date) -> object:
    return date.__new__(cls, held.year, held.month, held.day)


def _make_timedelta(cls: type, held: timedelta) -> object:
    return timedelta.__new__(cls, held.days, held.seconds, held.microseconds)


_BASES = (
    Base(str, str.__str__, _new(str)),
    Base(int, int.__int__, _new(int)),
    Base(float, float.__float__, _new(float)),
    Base(complex, complex.__pos__, _new(complex)),
    Base(bytes, _whole(bytes), _new(bytes)),
    Base(bytearray, _whole(bytearray), _filled(bytearray, bytearray.__init__)),
    Base(tuple, _whole(tuple), _new(tuple)),
    Base(list, list[Any].copy, _filled(list, list[Any].extend)),
    Base(set, lambda value: set.__or__(set(), value), _filled(set, set[Any].update)),
    Base(frozenset, lambda value: frozenset.__or__(frozenset(), value), _new(frozenset)),
    Base(
        deque, lambda value: deque(deque.__iter__(value), value.maxlen), _filled(deque, _fill_deque)
    ),
    Base(
        OrderedDict,
        lambda value: OrderedDict(OrderedDict.items(value)),
        _filled(OrderedDict, _fill_ordered),
    ),
    Base(Counter, _counter, _filled(Counter, dict[Any, Any].update)),
    Base(
        defaultdict,
        lambda value: defaultdict(value.default_factory, dict.items(value)),
        _filled(defaultdict, _fill_default),
    ),
    Base(dict, lambda value: dict(dict.items(value)), _filled(dict, dict[Any, Any].update)),
    Base(Decimal, lambda value: Decimal.__new__(Decimal, value), _new(Decimal)),
    Base(datetime, lambda value: _make_datetime(datetime, value), _make_datetime),
    Base(date, lambda value: _make_date(date, value), _make_date),
    Base(time, lambda value: _make_time(time, value), _make_time),
    Base(timedelta, lambda value: _make_timedelta(timedelta, value), _make_timedelta),
)
"""Those that derive from another come before it."""


def derived_base(cls: type) -> Base | None:
    """Return the data type that a class derives from.

    None if it derives from none, if it is one itself, or if only the class itself can make its objects.
    """
    found = next((base for base in _BASES if issubclass(cls, base.type)), None)
    if found is None or found.type is cls or cls.__module__ == "builtins":
        return None
    is_time = issubclass(found.type, date | time | timedelta)
    try:
        found.make(cls, found.type.min if is_time else found.type())
    except TypeError:
        return None
    return found
