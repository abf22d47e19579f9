"""How objects of a registered class are taken apart and made again, by the kind of class; which classes those are: `types.py`.

Objects are made without their `__init__`, validators or `__post_init__`: they come back as they were, whatever those do.
"""

from __future__ import annotations

import dataclasses
import sys
from enum import Enum
from functools import cached_property
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, Protocol, cast

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typing_extensions import is_protocol, is_typeddict

from ...domain.errors import UnreadableValueError
from .coding import Refusal, name_of, tagged, write_fields
from .derived import derived_base
from .raised import ErrorForm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...domain.values import Json, JsonObject
    from .coding import Reader, Writer

_set = object.__setattr__
_tuple: Any = tuple


class Form(Protocol):
    """Takes objects of one class apart and makes them again."""

    tag: str
    name: str
    cls: type[Any]

    def write(self, value: Any, writer: Writer, depth: int, /) -> Json:  # noqa: ANN401 - of the class
        """Return an object in typed JSON."""
        ...

    def read(self, payload: list[Json], reader: Reader, /) -> object:
        """Return a new object for what was written, of this class or of one that had its name then."""
        ...


def form_of(cls: type[Any]) -> Form | None:
    """Return the form for a class; None if objects of such a class cannot be stored."""
    if is_typeddict(cls):
        return None  # Its objects are dicts, and know nothing of it.
    if issubclass(cls, Enum):
        return EnumForm(cls)
    if issubclass(cls, BaseModel):
        return ModelForm(cls)
    if issubclass(cls, BaseException):
        return ErrorForm(cls)
    if is_legacy_model(cls):
        return LegacyModelForm(cls)
    if is_named_tuple(cls):
        return NamedTupleForm(cls)
    if derived_base(cls) is not None:
        return DerivedForm(cls)
    return ObjectForm(cls) if _is_plain(cls) else None


def is_named_tuple(cls: type[Any]) -> bool:
    """Say whether this is a class of named tuples."""
    return issubclass(cls, tuple) and isinstance(getattr(cast("Any", cls), "_fields", None), tuple)


def _is_plain(cls: type[Any]) -> bool:
    """Say whether objects of the class are made of nothing but attributes, and some can be."""
    if cls.__module__ == "builtins" or is_protocol(cls):
        return False
    try:
        object.__new__(cls)
    except TypeError:  # An abstract class, or one that keeps something outside of Python's sight.
        return False
    return all(base is object or base.__flags__ & _IS_HEAP_TYPE for base in cls.__mro__)


_IS_HEAP_TYPE = 1 << 9
"""CPython's flag of classes that were made at run time; those in C mostly were not."""


# ------------------------------------------------------------------ pydantic


class ModelForm:
    """Models of pydantic: fields, what of them was set, extra fields, private attributes."""

    tag = "object"

    def __init__(self, cls: type[BaseModel]) -> None:
        self.cls: type[BaseModel] = cls
        self.name = name_of(cls)

    def write(self, value: BaseModel, writer: Writer, depth: int, /) -> Json:
        """Return the model in typed JSON."""
        state = value.__dict__
        names = [name for name in type(value).model_fields if name in state]
        fields = write_fields([(name, state[name]) for name in names], writer, depth + 2)
        extra = value.__pydantic_extra__ or {}
        private = value.__pydantic_private__
        more: JsonObject = {}
        if value.__pydantic_fields_set__ != fields.keys() | extra.keys():
            more["set"] = [*sorted(value.__pydantic_fields_set__)]
        if extra:
            more["extra"] = write_fields(extra.copy().items(), writer, depth + 3)
        if private is not None:
            more["private"] = write_fields(private.copy().items(), writer, depth + 3)
        return _tagged_object(self.name, fields, more)

    def read(self, payload: list[Json], reader: Reader, /) -> object:
        """Return a new model; fields that the class has got since then have their defaults."""
        cls = self.cls
        stored, more = _object_of(payload)
        state: dict[str, object] = {}
        for name, field in cls.model_fields.items():
            if name in stored:
                state[name] = reader.read(stored[name])
            elif not field.is_required():
                state[name] = field.get_default(call_default_factory=True, validated_data=state)
        extra = _read_fields(more.get("extra"), reader)
        names = more.get("set", [*stored, *extra])
        model = cls.__new__(cls)
        _set(model, "__dict__", state)
        _set(model, "__pydantic_fields_set__", set(cast("list[str]", names)))
        takes_extra = cls.model_config.get("extra") == "allow"
        _set(model, "__pydantic_extra__", extra if takes_extra else None)
        _set(model, "__pydantic_private__", self._private(more.get("private"), reader))
        return model

    def _private(self, stored: Json, reader: Reader) -> dict[str, object] | None:
        attributes = self.cls.__private_attributes__
        if not attributes:
            return None
        private = {name: value.get_default() for name, value in attributes.items()}
        private |= _read_fields(stored, reader)
        return {name: value for name, value in private.items() if value is not PydanticUndefined}


def is_legacy_model(cls: type[Any]) -> bool:
    """Say whether this is a model of pydantic's first version, which only those import who use it."""
    legacy = sys.modules.get("pydantic.v1.main")
    return legacy is not None and issubclass(cls, legacy.BaseModel)


class LegacyModelForm:
    """Models of `pydantic.v1`, by the state that they give to `copy`."""

    tag = "object"

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls
        self.name = name_of(cls)

    def write(self, value: Any, writer: Writer, depth: int, /) -> Json:  # noqa: ANN401 - no type without an import
        """Return the model in typed JSON."""
        state: Mapping[str, Any] = value.__getstate__()
        fields = write_fields(state["__dict__"].copy().items(), writer, depth + 2)
        more: JsonObject = {}
        if state["__fields_set__"] != fields.keys():
            more["set"] = [*sorted(state["__fields_set__"])]
        if private := state["__private_attribute_values__"]:
            more["private"] = write_fields(private.items(), writer, depth + 3)
        return _tagged_object(self.name, fields, more)

    def read(self, payload: list[Json], reader: Reader, /) -> object:
        """Return a new model."""
        stored, more = _object_of(payload)
        model: Any = cast("Any", self.cls).__new__(self.cls)
        state = _read_fields(stored, reader)
        model.__setstate__(
            {
                "__dict__": state,
                "__fields_set__": set(cast("list[str]", more.get("set", [*stored]))),
                "__private_attribute_values__": _read_fields(more.get("private"), reader),
            }
        )
        return model


# ------------------------------------------------------------------ what is made of attributes


class Attributes:
    """The attributes that objects of a class have: in `__dict__` and in slots, set or not."""

    def __init__(self, cls: type[Any]) -> None:
        members = [member for base in reversed(cls.__mro__) for member in vars(base).items()]
        # Types made in C have such descriptors too, for what nobody can set.
        slotted = [base for base in reversed(cls.__mro__) if "__slots__" in vars(base)]
        self._slots = {
            name: member
            for base in slotted
            for name, member in vars(base).items()
            if isinstance(member, MemberDescriptorType)
        }
        # Computed from the others, and `typing` leaves a note there of how the class was called.
        self._left_out = {"__orig_class__"} | {
            name for name, member in members if isinstance(member, cached_property)
        }

    def of(self, value: object) -> list[tuple[str, object]]:
        """Return the attributes that are set."""
        found: list[tuple[str, object]] = []
        for name, slot in self._slots.items():
            try:
                found.append((name, slot.__get__(value, type(value))))
            except AttributeError:  # A slot that was never filled.
                continue
        own: dict[str, object] = getattr(value, "__dict__", {})
        found += [item for item in own.copy().items() if item[0] not in self._left_out]
        return found

    def give(self, value: object, attributes: Mapping[str, object]) -> None:
        """Set attributes, past whatever forbids it; those that the class has no place for any more are left out."""
        own: dict[str, object] | None = getattr(value, "__dict__", None)
        for name, attribute in attributes.items():
            if name in self._slots:
                self._slots[name].__set__(value, attribute)
            elif own is not None:
                own[name] = attribute


class ObjectForm:
    """Dataclasses, and classes that keep all they know in attributes."""

    tag = "object"

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls
        self.name = name_of(cls)
        self._attributes = Attributes(cls)
        fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
        self._makers = {field.name: maker for field in fields if (maker := _default_maker(field))}

    def write(self, value: object, writer: Writer, depth: int, /) -> Json:
        """Return the object in typed JSON."""
        return tagged(
            "object", self.name, write_fields(self._attributes.of(value), writer, depth + 2)
        )

    def read(self, payload: list[Json], reader: Reader, /) -> object:
        """Return a new object; fields that a dataclass has got since then have their defaults."""
        stored, _ = _object_of(payload)
        value: object = object.__new__(self.cls)
        missing = {
            name: make()
            for name, make in self._makers.items()
            if name not in stored and not hasattr(value, name)
        }
        self._attributes.give(value, {**missing, **_read_fields(stored, reader)})
        return value


def _default_maker(field: dataclasses.Field[Any]) -> Callable[[], object] | None:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory
    if field.default is not dataclasses.MISSING:
        return lambda: field.default
    return None


class NamedTupleForm:
    """Named tuples, by the names of their fields."""

    tag = "object"

    def __init__(self, cls: type[Any]) -> None:
        self.cls: Any = cls
        self.name = name_of(cls)

    def write(self, value: tuple[object, ...], writer: Writer, depth: int, /) -> Json:
        """Return the tuple in typed JSON."""
        fields = zip(self.cls._fields, _tuple.__iter__(value), strict=True)
        return tagged("object", self.name, write_fields(fields, writer, depth + 2))

    def read(self, payload: list[Json], reader: Reader, /) -> object:
        """Return a new tuple; fields that the class has got since then have their defaults."""
        stored = _read_fields(_object_of(payload)[0], reader)
        known: dict[str, object] = {**self.cls._field_defaults, **stored}
        return _tuple.__new__(self.cls, [known[name] for name in self.cls._fields])


class DerivedForm:
    """Subclasses of Python's own data types: what the base holds, and attributes."""

    tag = "derived"

    def __init__(self, cls: type[Any]) -> None:
        base = derived_base(cls)
        assert base is not None  # noqa: S101 - for the type checker: form_of has asked
        self.cls = cls
        self.name = name_of(cls)
        self._base = base
        self._attributes = Attributes(cls)

    def write(self, value: object, writer: Writer, depth: int, /) -> Json:
        """Return the object in typed JSON."""
        held = writer.write(self._base.held(value), depth + 2)
        attributes = write_fields(self._attributes.of(value), writer, depth + 2)
        if attributes:
            return tagged("derived", self.name, held, attributes)
        return tagged("derived", self.name, held)

    def read(self, payload: list[Json], reader: Reader, /) -> object:
        """Return a new object."""
        value = self._base.make(self.cls, cast("Any", reader.read(payload[2])))
        if len(payload) > 3:
            self._attributes.give(value, _read_fields(payload[3], reader))
        return value


class EnumForm:
    """Members of an enumeration, by name; combined flags, and names that are gone, by value."""

    tag = "enum"

    def __init__(self, cls: type[Enum]) -> None:
        self.cls: type[Enum] = cls
        self.name = name_of(cls)

    def write(self, value: Enum, writer: Writer, depth: int, /) -> Json:
        """Return the member in typed JSON."""
        name = cast("str | None", value.name)  # Some combined flags have none.
        try:
            shown = writer.write(value.value, depth + 2)
        except Refusal:  # A function, say. The name is enough to find it.
            return tagged("enum", self.name, name)
        return tagged("enum", self.name, name, shown)

    def read(self, payload: list[Json], reader: Reader, /) -> object:
        """Return the member."""
        member = self.cls.__members__.get(cast("str", payload[2]))
        return self.cls(reader.read(payload[3])) if member is None else member


# ------------------------------------------------------------------ payloads


def _tagged_object(name: str, fields: JsonObject, more: JsonObject) -> JsonObject:
    return tagged("object", name, fields, more) if more else tagged("object", name, fields)


def _object_of(payload: list[Json]) -> tuple[JsonObject, JsonObject]:
    """Return the fields of a stored object, and what more is known of it."""
    fields = payload[2]
    more = payload[3] if len(payload) > 3 else {}
    if not isinstance(fields, dict) or not isinstance(more, dict):
        raise UnreadableValueError(problem=f"an object of the class {payload[1]} without fields")
    return fields, more


def _read_fields(fields: Json, reader: Reader) -> dict[str, object]:
    if fields is None:
        return {}
    return {name: reader.read(item) for name, item in cast("JsonObject", fields).items()}
