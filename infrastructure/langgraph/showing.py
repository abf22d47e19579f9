"""Any Python value as JSON for readers to look at: as a state shows it once it is stored. What is stored is made in `values.py`.

Values are written as the codec writes them, and shown as `plain` shows that. What the codec refuses is shown here all the
same, leniently: this is for streams, which must not fail for what a graph has in it.
"""

from __future__ import annotations

import base64
import dataclasses
from collections import defaultdict, deque
from collections.abc import Mapping, Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeAlias, cast, get_args
from uuid import UUID

from pydantic import BaseModel, PlainSerializer, SecretBytes, SecretStr, WrapSerializer

from ...domain.typed import SECRET_FIELD, SECRET_SHOWN, TAG, plain
from .coding import name_of, tagged, write_elements, write_fields
from .containers import BASIC_CLASSES, WRITE_CONTAINER, write_class, write_pairs
from .derived import derived_base
from .forms import (
    Attributes,
    DerivedForm,
    EnumForm,
    LegacyModelForm,
    ModelForm,
    NamedTupleForm,
    ObjectForm,
    form_of,
)
from .leaves import WRITE_LEAF, write_float, write_integer, write_text
from .messages import MESSAGE_CLASSES, message_writer
from .raised import write_unknown_error
from .types import TypeRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from enum import Enum

    from langgraph.types import Interrupt

    from ...domain.values import Json, JsonObject

    _Write: TypeAlias = Callable[[Any, "_LenientWriter", int], Json]

REPR_MAX = 10_000
"""Characters of an object that has no other form than its `repr`."""

CLASSES_MAX = 4_096
"""Classes of which it is remembered how their objects are shown."""


def shown(value: object, types: TypeRegistry | None = None) -> Json:
    """Return the value as JSON; for all that can be stored, what `plain` makes of its stored form.

    `types` are the classes that may be stored. It matters for objects that are nothing but attributes: those of other classes
    are shown by their `repr`, as is all else that has no form. Nothing raises, not even objects whose own code does.

    A model that says itself what others see of it (excluded fields, serializers of its own) is asked, stored or not: what
    it hides stays out of streams.
    """
    if type(value) is str and value.isascii():
        return value
    writer = _LenientWriter(_KNOWN if types is None else types)
    try:
        return plain(writer.write(value, 0))
    except RecursionError:  # The caller is deep inside of something already.
        return plain(writer.described(value))


def shown_interrupt(interrupt: Interrupt[Any]) -> JsonObject:
    """Return a question that a graph asks, as readers know it."""
    return cast("JsonObject", shown(interrupt))


_KNOWN = TypeRegistry()


class _LenientWriter:
    """Writes one value, in typed JSON: what the codec would write, as far as readers see it, and text for all it refuses."""

    def __init__(self, types: TypeRegistry) -> None:
        self.doubts = 0
        """How often something was written that the codec refuses, or would without more classes."""
        self._types = types
        self._inside: set[int] = set()
        """The containers that the value is in: one that contains itself ends there."""

    @property
    def hashable(self) -> _LenientWriter:
        return self  # Readers see tuples as lists anyway.

    def write(self, value: Any, depth: int) -> Json:  # noqa: ANN401 - of any class
        kind = cast("type[Any]", type(value))
        if kind is str:
            return value if value.isascii() else write_text(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return write_integer(value)
        if kind is float:
            return write_float(value)
        if id(value) in self._inside:
            return self.described(value)
        self._inside.add(id(value))
        try:
            if kind is dict:
                return self._write_object(value, depth)
            if kind is list or kind is tuple:
                return write_elements(value, self, depth)
            return self._writer_for(kind)(value, self, depth)
        except Exception:  # noqa: BLE001 - the user's own objects, and what is nested too deep
            return self.described(value)
        finally:
            self._inside.discard(id(value))

    def name_of(self, cls: type) -> str:
        if cls not in _BASIC and self._types.form_of(cls) is None:
            self.doubts += 1
        return name_of(cls)

    def described(self, value: object) -> Json:
        """Return what Python says of a value."""
        self.doubts += 1
        try:
            text = object.__repr__(value) if _is_discreet(value) else repr(value)
        except Exception:  # noqa: BLE001 - a user's own __repr__
            text = object.__repr__(value)
        return write_text(text if len(text) <= REPR_MAX else f"{text[:REPR_MAX]}...")

    def _write_object(self, value: dict[Any, object], depth: int) -> Json:
        fields = value.copy()  # User code may be changing it at this moment.
        if all(type(key) is str and key != TAG and _is_text(key) for key in fields):
            return write_fields(fields.items(), self, depth)
        return _write_items(fields, self, depth)

    def _writer_for(self, kind: type[Any]) -> _Write:
        native = _NATIVE.get(kind)
        if native is not None:
            return native
        is_registered = self._types.form_of(kind) is not None
        if not is_registered and not issubclass(kind, BaseException | type):
            self.doubts += 1
        return _writer_of(kind, is_registered=is_registered)


# ------------------------------------------------------------------ by class


def _is_text(key: str) -> bool:
    """Say whether UTF-8 can hold a key."""
    return key.isascii() or type(write_text(key)) is str


def _write_secret(value: object, writer: object, depth: int) -> Json:
    """Write a secret without taking it out."""
    del value, writer, depth
    return SECRET_SHOWN


def _write_items(value: Mapping[object, object], writer: _LenientWriter, depth: int) -> Json:
    return tagged("dict", write_pairs(list(value.items()), writer, depth + 2))


_NATIVE: dict[type[Any], _Write] = {
    **WRITE_LEAF,
    **WRITE_CONTAINER,
    **{cls: message_writer(kind) for kind, cls in MESSAGE_CLASSES.items()},
    defaultdict: _write_items,  # Its factory may be anything, and is not shown.
    **dict.fromkeys((SecretStr, SecretBytes), _write_secret),
}
_BASIC = frozenset(BASIC_CLASSES.values())


@lru_cache(CLASSES_MAX)
def _writer_of(kind: type[Any], *, is_registered: bool) -> _Write:
    """Return what writes the objects of a class that the codec does not know by itself."""
    if issubclass(kind, BaseException):
        return write_unknown_error
    if issubclass(kind, type):
        return write_class
    form = form_of(kind)
    match form:
        case EnumForm():
            return _write_member
        case ModelForm():
            return _write_dumped if _hides(kind) else _write_model
        case LegacyModelForm():
            return _write_legacy
        case NamedTupleForm():
            return form.write
        case DerivedForm():
            return _derived_writer(kind)
        case ObjectForm() if is_registered:
            return form.write
        case _ if dataclasses.is_dataclass(kind):
            return _dataclass_writer(kind)
        case _:
            return _foreign_writer(kind)


def _write_member(value: Enum, writer: _LenientWriter, depth: int) -> Json:
    """Write the member's value, or its name where the codec does not store the value."""
    doubts = writer.doubts
    written = writer.write(value.value, depth + 2)
    name = cast("str | None", value.name)  # Some combined flags have none.
    return written if writer.doubts == doubts or name is None else name


def _write_model(value: BaseModel, writer: _LenientWriter, depth: int) -> Json:
    """Write a model's fields, not its private attributes."""
    state = value.__dict__
    names = [name for name in type(value).model_fields if name in state]
    fields = write_fields([(name, state[name]) for name in names], writer, depth + 2)
    extra = write_fields((value.__pydantic_extra__ or {}).copy().items(), writer, depth + 3)
    return _write_fields(fields, extra)


def _write_fields(fields: JsonObject, extra: JsonObject | None = None) -> Json:
    return tagged("object", "", fields, {"extra": extra or {}})


def _write_dumped(value: BaseModel, writer: _LenientWriter, depth: int) -> Json:
    return writer.write(value.model_dump(warnings=False), depth)


def _write_legacy(value: Any, writer: _LenientWriter, depth: int) -> Json:  # noqa: ANN401 - no type without an import
    known: dict[str, Any] = value.__fields__
    hidden = {name for name, field in known.items() if field.field_info.exclude}
    state: dict[str, object] = value.__dict__
    fields = [item for item in state.copy().items() if item[0] not in hidden]
    return _write_fields(write_fields(fields, writer, depth + 2))


def _derived_writer(kind: type[Any]) -> _Write:
    base = derived_base(kind)
    assert base is not None  # noqa: S101 - for the type checker: form_of has asked
    return lambda value, writer, depth: writer.write(base.held(value), depth + 2)


def _dataclass_writer(kind: type[Any]) -> _Write:
    """Return what writes a dataclass that nobody registered: its fields, but not what else it has got for its own use."""
    attributes = Attributes(kind)
    names = {field.name for field in dataclasses.fields(kind)}

    def write(value: object, writer: _LenientWriter, depth: int) -> Json:
        fields = [item for item in attributes.of(value) if item[0] in names]
        return _write_fields(write_fields(fields, writer, depth + 2))

    return write


# ------------------------------------------------------------------ what models hide


def _is_discreet(value: object) -> bool:
    """Say whether this is a model that hides something: that stands in its `repr`."""
    return isinstance(value, BaseModel) and _hides(type(value))


@lru_cache(CLASSES_MAX)
def _hides(cls: type[BaseModel]) -> bool:
    """Say whether a model has a say in how its fields are shown."""
    own = cls.__pydantic_decorators__
    return (
        bool(own.field_serializers or own.model_serializers)
        or cls.model_dump is not BaseModel.model_dump
        or any(
            field.exclude
            or getattr(field, "exclude_if", None) is not None
            or any(map(_serializes, (*field.metadata, field.annotation)))
            for field in cls.model_fields.values()
        )
    )


def _serializes(part: object) -> bool:
    """Say whether an annotation, or what it is made of, has a serializer that is not pydantic's own."""
    if isinstance(part, PlainSerializer | WrapSerializer):
        return True
    kind = cast("type[Any]", part if isinstance(part, type) else type(part))
    if hasattr(kind, "__get_pydantic_core_schema__") and not issubclass(kind, BaseModel):
        return not kind.__module__.startswith("pydantic")
    return any(map(_serializes, get_args(part)))


# ------------------------------------------------------------------ what nobody can store


def _foreign_writer(kind: type[Any]) -> _Write:
    found = next((write for kinds, write in _FOREIGN if issubclass(kind, kinds)), None)
    return _write_foreign if found is None else found


def _write_foreign(value: object, writer: _LenientWriter, depth: int) -> Json:
    del depth
    if SECRET_FIELD in getattr(value, "__dict__", ()):
        return SECRET_SHOWN
    return writer.described(value)


def _write_listed(value: Iterable[object], writer: _LenientWriter, depth: int) -> Json:
    return write_elements(list(value), writer, depth)


def _like(show: Callable[[Any], Json]) -> _Write:
    return lambda value, writer, depth: show(value)


_FOREIGN: tuple[tuple[tuple[type[Any], ...], _Write], ...] = (
    ((str,), _like(lambda value: write_text(str.__str__(value)))),
    ((int,), _like(lambda value: write_integer(int(value)))),
    ((float,), _like(lambda value: write_float(float(value)))),
    ((Mapping,), _write_items),
    ((list, tuple, deque, AbstractSet), _write_listed),
    ((bytes, bytearray, memoryview), _like(lambda value: base64.b64encode(value).decode())),
    ((datetime, date, time), _like(lambda value: value.isoformat())),
    ((timedelta,), _like(lambda value: value.total_seconds())),
    ((Decimal, Fraction, UUID, PurePath), _like(lambda value: write_text(str(value)))),
)
"""How values of kinds are shown that only resemble those the codec knows, the first that fits."""
