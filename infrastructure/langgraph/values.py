"""The codec between the values of LangGraph's channels and typed JSON. Its grammar: `domain/typed.py`; never any pickle.

Everything comes back as it was, of its own class and with the same content, but for tuples: they come back as lists, as
LangGraph's own serializer has it (only in sets and in keys they stay tuples).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ...domain.errors import NotJsonError, UnreadableValueError, UnregisteredTypeError
from ...domain.typed import TAG
from ...domain.values import DEPTH_MAX
from .coding import (
    Refusal,
    UnregisteredRefusal,
    check,
    name_of,
    tagged,
    write_elements,
)
from .containers import (
    BASIC_CLASSES,
    READ_CONTAINER,
    WRITE_CONTAINER,
    write_class,
    write_pairs,
    write_tuple,
)
from .forms import form_of
from .leaves import READ_LEAF, WRITE_LEAF, write_float, write_integer, write_text
from .messages import MESSAGE_CLASSES, message_writer, read_message
from .raised import StoredError, read_error, write_unknown_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...domain.values import Json, JsonObject
    from .leaves import WriteValue
    from .shapes import Shape
    from .types import TypeRegistry

_WRITE: dict[type, WriteValue] = {
    **WRITE_LEAF,
    **WRITE_CONTAINER,
    **{cls: message_writer(kind) for kind, cls in MESSAGE_CLASSES.items()},
    StoredError: write_unknown_error,
}
_READ = {**READ_LEAF, **READ_CONTAINER}
_type: Callable[[object], type[Any]] = type
_TAG_DEPTH_MAX = DEPTH_MAX - 1
"""A tag takes two containers."""

_BASIC_NAMES = {cls: name for name, cls in BASIC_CLASSES.items()}


class ValueCodec:
    """Writes values as typed JSON, and makes them again. Keeps no state but its registry: any thread may use it."""

    def __init__(self, types: TypeRegistry) -> None:
        self.types = types
        self._coder = _Coder(types)

    def recalled(self, value: object) -> tuple[object, Shape, Json] | None:
        """Return what is known of an object that looks as it did when it was encoded: itself, its shape, its form."""
        del value

    def remember(self, value: object, shape: Shape, stored: Json) -> None:
        """Take a note for `recalled`."""

    def decode_input(self, value: Json) -> object:
        """Return what `decode` does."""
        return self.decode(value)

    def encode(self, value: object, where: str) -> Json:
        """Return the value in typed JSON, in containers of its own.

        Raises:
            UnregisteredTypeError: it holds an object of a class that nobody registered; names the place (`where`, a
                channel's name, extended by the path within the value) and the class.
            NotJsonError: it holds what cannot be stored at all (a function, a cycle, …); names the place.
        """
        try:
            return self._coder.write(value, 0)
        except Refusal as refusal:
            raise refusal.error(where) from refusal
        except RecursionError as error:
            raise NotJsonError(where=where, problem="what is nested this deep") from error

    def decode(self, value: Json) -> object:
        """Return a new object for what was encoded; nothing in it is shared with `value`, or with other results.

        Raises:
            UnregisteredTypeError: it names a class that is not registered here. Nothing is imported to look for it.
            UnreadableValueError: its form is unknown, or does not fit its class any more.
        """
        if type(value) is str:
            return value
        try:
            return self._coder.read(value)
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise UnreadableValueError(problem=problem) from error
        except RecursionError as error:
            raise UnreadableValueError(problem="it is nested too deep") from error


class _Coder:
    """Both directions, by the class of a value and by the tag of a payload."""

    def __init__(self, types: TypeRegistry, outer: _Coder | None = None) -> None:
        self._types = types
        self._writers = _WRITE.copy()
        self.hashable: _Coder = self
        if outer is None:
            self._writers[tuple] = write_elements
            self.hashable = _Coder(types, self)
        else:
            self._writers[tuple] = write_tuple

    def write(self, value: Any, depth: int) -> Json:  # noqa: ANN401 - of any class
        kind = _type(value)
        if kind is str:
            return value if value.isascii() else write_text(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return write_integer(value)
        if kind is float:
            return write_float(value)
        if kind is dict:
            return self._write_object(value, depth)
        if kind is list:
            return write_elements(value, self, depth)
        if depth >= _TAG_DEPTH_MAX:
            check(DEPTH_MAX)
        write = self._writers.get(kind) or self._writer_for(kind, value)
        return write(value, self, depth)

    def _write_object(self, value: dict[Any, Any], depth: int) -> Json:
        check(depth)
        result: JsonObject = {}
        write = self.write
        items = value.copy().items()  # User code may be changing it at this moment.
        key: Any = None
        try:
            for key, item in items:
                if type(key) is not str or key == TAG or not _is_text(key):
                    break
                result[key] = write(item, depth + 1)
            else:
                return result
        except Refusal as refusal:
            refusal.at(f".{key}")
            raise
        return tagged("dict", write_pairs(items, self, depth + 2))

    def _writer_for(self, kind: type, value: object) -> WriteValue:
        form = self._types.form_of(kind)
        if form is not None:
            self._writers[kind] = form.write
            return form.write
        if isinstance(value, BaseException):
            return write_unknown_error
        if isinstance(value, type):
            return write_class
        if form_of(kind) is not None:
            raise UnregisteredRefusal(name_of(kind))
        raise Refusal(f"a value of type {kind.__qualname__}")

    def name_of(self, cls: type) -> str:
        if cls in _BASIC_NAMES:
            return _BASIC_NAMES[cls]
        form = self._types.form_of(cls)
        if form is None:
            raise UnregisteredRefusal(name_of(cls))
        return form.name

    def read(self, value: Json) -> object:
        kind = type(value)
        if kind is dict:
            fields = cast("JsonObject", value)
            if TAG in fields:
                return self._read_tagged(fields[TAG])
            read = self.read
            return {key: item if type(item) is str else read(item) for key, item in fields.items()}
        if kind is list:
            return [*map(self.read, cast("list[Json]", value))]
        return value

    def _read_tagged(self, payload: Json) -> object:
        if not isinstance(payload, list):
            raise UnreadableValueError(problem="the tag of a value is missing")
        tag = payload[0]
        if tag == "message":
            return read_message(payload, self)
        read = _READ.get(cast("str", tag))
        if read is not None:
            return read(payload, self)
        if tag in {"object", "derived", "enum", "error"}:
            return self._read_object(payload)
        raise UnreadableValueError(problem=f"its tag is {tag!r}, which is not known here")

    def _read_object(self, payload: list[Json]) -> object:
        name = cast("str", payload[1])
        form = self._types.form_named(name)
        if payload[0] == "error":
            return read_error(payload, self, form)
        if form is None:
            raise UnregisteredTypeError(where="A stored value", name=name)
        if form.tag != payload[0]:
            raise UnreadableValueError(problem=f"the class {name} was of another kind")
        return form.read(payload, self)

    def class_of(self, name: str) -> type:
        found = BASIC_CLASSES.get(name)
        if found is not None:
            return found
        form = self._types.form_named(name)
        if form is None:
            raise UnregisteredTypeError(where="A stored value", name=name)
        return form.cls


def _is_text(key: str) -> bool:
    """Say whether UTF-8 can hold a key."""
    return key.isascii() or type(write_text(key)) is str
