"""JSON values: the one form in which user data enters events. No channels here."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Set as AbstractSet
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias, cast

from pydantic import BaseModel, JsonValue
from pydantic_core import PydanticSerializationError, to_jsonable_python

from .errors import NotJsonError

if TYPE_CHECKING:
    from collections.abc import Sequence

Json: TypeAlias = JsonValue
JsonObject: TypeAlias = dict[str, JsonValue]

DEPTH_MAX = 200
"""Nesting that a value may have; decoders of other languages give up not far above it."""

INTEGER_MAX = 2**64 - 1
INTEGER_MIN = -(2**63)


def canonical(value: object, where: str = "value") -> Json:
    """Return a private copy of `value` in JSON's own types, sharing no container with it.

    Tuples become lists; pydantic models, dataclasses, sets, datetimes, UUIDs and enums take the
    form that pydantic gives them in JSON.

    Raises:
        NotJsonError: names the place (`where`, extended by keys and indexes) of what JSON cannot
            hold.
    """
    return _canonical(value, where, 0)


def _canonical(value: object, where: str, depth: int) -> Json:
    kind = type(value)
    if kind is str:
        return _text(cast("str", value), where)
    if value is None or kind is bool:
        return cast("Json", value)
    if kind is int:
        return _integer(cast("int", value), where)
    if kind is float:
        return _number(cast("float", value), where)
    if depth >= DEPTH_MAX:
        raise NotJsonError(where=where, problem=f"nested deeper than {DEPTH_MAX} levels")
    if kind is dict:
        return _object(cast("Mapping[object, object]", value), where, depth)
    if kind is list or kind is tuple:
        items = cast("Sequence[object]", value)
        return [_canonical(item, f"{where}[{at}]", depth + 1) for at, item in enumerate(items)]
    return _foreign(value, where, depth)


def _text(value: str, where: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise NotJsonError(where=where, problem="text with a lone surrogate") from error
    return value


def _integer(value: int, where: str) -> int:
    if not INTEGER_MIN <= value <= INTEGER_MAX:
        raise NotJsonError(where=where, problem="an integer of more than 64 bits")
    return value


def _number(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise NotJsonError(where=where, problem=f"the number {value}")
    return value


def _object(value: Mapping[object, object], where: str, depth: int) -> JsonObject:
    result: JsonObject = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise NotJsonError(where=where, problem=f"the key {key!r}, which is no string")
        name = str.__str__(key)  # An enum's own text is not its value.
        result[_text(name, where)] = _canonical(item, f"{where}.{name}", depth + 1)
    return result


def _foreign(value: object, where: str, depth: int) -> Json:
    """Values of other types: read their content, then check it like any other."""
    problem = f"a value of type {type(value).__name__}"
    try:
        content = _content(value)
    except (PydanticSerializationError, ValueError, AttributeError, TypeError) as error:
        raise NotJsonError(where=where, problem=problem) from error
    if content is None:
        raise NotJsonError(where=where, problem=problem)
    return _canonical(content, where, depth + 1)


def _content(value: object) -> object:
    """Return what the value is made of, in types nearer to JSON's; None if nobody can tell."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseModel):
        return value.model_dump()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    if isinstance(value, list | tuple | AbstractSet):
        return list(cast("Sequence[object]", value))
    if isinstance(value, bytes | bytearray):  # Those that happen to be text would come back as it.
        return None
    content = to_jsonable_python(value)
    return content if isinstance(content, str | int | float) else None


def same(one: Json, other: Json) -> bool:
    """Compare as JSON does: Python alone says that 1 == True == 1.0."""
    if one is other:
        return True
    if one != other:
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return all(map(same, one, other))
    if type(one) is float and one == 0.0:  # JSON tells -0.0 from 0.0.
        return type(other) is float and math.copysign(1, one) == math.copysign(1, other)
    return type(one) is type(other)
