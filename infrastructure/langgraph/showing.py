"""Any Python value as JSON for readers to look at: leniently, and never read back. What is stored is made in `values.py`."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections import deque
from collections.abc import Mapping, Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from langgraph.types import Interrupt
from pydantic import BaseModel

from ...domain.values import INTEGER_MAX, INTEGER_MIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...domain.values import Json, JsonObject

DEPTH_MAX = 100
"""Nesting that is shown; what lies deeper is shown as Python shows it."""

DECIMAL_DIGITS_MAX = 18
"""Decimals that are larger, or nearer to 0, are shown as text."""

REPR_MAX = 10_000
"""Characters of an object that has no other form than its `repr`."""


def shown(value: object) -> Json:
    """Return the value as JSON: messages and models as objects of all their fields, sets as lists, bytes as base64.

    What has no such form is shown by its `repr`. Nothing raises, not even objects whose own code does.
    """
    return _shown(value, frozenset())


def shown_interrupt(interrupt: Interrupt[Any]) -> JsonObject:
    """Return a question that a graph asks, as readers know it."""
    result: JsonObject = {"value": shown(interrupt.value), "id": interrupt.id}
    if isinstance(interrupt.response_schema, dict):
        result["response_schema"] = shown(interrupt.response_schema)
    return result


def _shown(value: object, inside: frozenset[int]) -> Json:
    """`inside` are the containers that the value is in: one that contains itself ends there."""
    kind = type(value)
    if kind is str:
        return _text(cast("str", value))
    if value is None or kind is bool:
        return cast("Json", value)
    if kind is int:
        number = cast("int", value)
        return number if INTEGER_MIN <= number <= INTEGER_MAX else str(number)
    if kind is float:
        return cast("float", value) if math.isfinite(cast("float", value)) else None
    if id(value) in inside or len(inside) >= DEPTH_MAX:
        return _described(value)
    inside |= {id(value)}
    if kind is dict:
        return _object(cast("dict[object, object]", value), inside)
    if kind is list or kind is tuple:
        return [_shown(each, inside) for each in cast("list[object]", value)]
    try:
        return _foreign(value, inside)
    except Exception:  # noqa: BLE001 - properties and serializers of the user's own objects
        return _described(value)


def _foreign(value: object, inside: frozenset[int]) -> Json:
    if isinstance(value, Interrupt):
        return shown_interrupt(cast("Interrupt[Any]", value))
    if isinstance(value, BaseModel):
        return _shown(value.model_dump(warnings=False), inside)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _shown(getattr(value, field.name), inside) for field in fields}
    for kinds, form in _FORMS:
        if isinstance(value, kinds):
            return form(value, inside)
    return _described(value)


def _object(value: Mapping[object, object], inside: frozenset[int]) -> JsonObject:
    return {_key(key): _shown(each, inside) for key, each in value.items()}


def _key(key: object) -> str:
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return _text(key)
    if isinstance(key, bool) or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    if isinstance(key, int | float | UUID | PurePath):
        return str(key)
    return key.isoformat() if isinstance(key, date | time) else _described(key)


def _text(value: str) -> str:
    if value.isascii():
        return str.__str__(value)
    return value.encode(errors="backslashreplace").decode()


def _described(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a user's own __repr__
        text = object.__repr__(value)
    return _text(text if len(text) <= REPR_MAX else f"{text[:REPR_MAX]}...")


def _listed(value: object, inside: frozenset[int]) -> Json:
    return [_shown(each, inside) for each in cast("Iterable[object]", value)]


def _named_tuple(value: object, inside: frozenset[int]) -> Json:
    names = getattr(type(value), "_fields", None)
    if names is None:
        return _listed(value, inside)
    pairs = zip(cast("tuple[str, ...]", names), cast("tuple[object, ...]", value), strict=True)
    return {name: _shown(each, inside) for name, each in pairs}


def _bytes(value: object, inside: frozenset[int]) -> Json:
    del inside
    return base64.b64encode(bytes(cast("bytes", value))).decode()


def _decimal(value: object, inside: frozenset[int]) -> Json:
    number = cast("Decimal", value)
    if not number.is_finite() or abs(number.adjusted()) > DECIMAL_DIGITS_MAX:
        return str(number)
    return _shown(int(number) if number == number.to_integral_value() else float(number), inside)


_FORMS: tuple[tuple[type | tuple[type, ...], Callable[[Any, frozenset[int]], Json]], ...] = (
    (Enum, lambda value, inside: _shown(value.value, inside)),
    (str, lambda value, _: _text(value)),
    (int, lambda value, inside: _shown(int(value), inside)),
    (float, lambda value, inside: _shown(float(value), inside)),
    (tuple, _named_tuple),
    (Mapping, _object),
    ((list, deque, AbstractSet), _listed),
    ((bytes, bytearray, memoryview), _bytes),
    ((datetime, date, time), lambda value, _: value.isoformat()),
    (timedelta, lambda value, _: value.total_seconds()),
    (Decimal, _decimal),
    ((UUID, PurePath), lambda value, _: str(value)),
)
"""How values of these kinds are shown, the first that fits."""
