"""Exceptions in typed JSON and back: exactly if their class is known, else as one that says what the original said of itself."""

from __future__ import annotations

import asyncio
import builtins
from typing import TYPE_CHECKING, Any, cast

from ...domain.typed import TAG
from .coding import Refusal, name_of, tagged, write_elements
from .leaves import write_text

if TYPE_CHECKING:
    from ...domain.values import Json
    from .coding import Reader, Writer

BASIC_ERRORS: tuple[type[BaseException], ...] = (
    *(
        error
        for error in vars(builtins).values()
        if isinstance(error, type) and issubclass(error, BaseException)
    ),
    asyncio.CancelledError,
)
"""Exceptions that need no registering."""


class StoredError(Exception):
    """Stands for an exception of a class that is not known here, or that could not be taken apart."""

    def __init__(self, name: str, shown: str) -> None:
        super().__init__(name, shown)
        self.name = name
        self.shown = shown

    def __repr__(self) -> str:
        return self.shown

    def __str__(self) -> str:
        return self.shown


def write_unknown_error(value: BaseException, writer: Writer, depth: int) -> Json:
    """Write any exception, by its class's name and its repr."""
    del writer, depth
    if isinstance(value, StoredError):
        return tagged("error", value.name, write_text(value.shown))
    return tagged("error", name_of(type(value)), write_text(_repr(value)))


def _repr(value: BaseException) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - an exception must be recorded, however broken
        return f"{type(value).__name__}(<{type(error).__name__} in its repr>)"


class ErrorForm:
    """Exceptions of a known class: what they were made from, and attributes."""

    tag = "error"

    def __init__(self, cls: type[BaseException]) -> None:
        self.cls: type[BaseException] = cls
        self.name = name_of(cls)
        # The nearest class that is not Python code: it knows what has to be kept, and makes it again.
        self._base: Any = next(base for base in cls.__mro__ if base.__module__ == "builtins")

    def write(self, value: BaseException, writer: Writer, depth: int, /) -> Json:
        """Return the exception in typed JSON."""
        _, arguments, *rest = self._base.__reduce__(value)
        try:
            # Its repr shows tuples, so they stay tuples.
            payload: list[Json] = [write_elements(arguments, writer.hashable, depth + 2)]
            if rest and rest[0]:
                payload.append(writer.hashable.write(rest[0], depth + 2))
        except Refusal:
            return write_unknown_error(value, writer, depth)
        return {TAG: ["error", self.name, write_text(_repr(value)), *payload]}

    def read(self, payload: list[Json], reader: Reader, /) -> BaseException:
        """Return a new exception, made without its own `__init__`."""
        arguments = cast("list[Any]", reader.read(payload[3]))
        error: BaseException = self._base.__new__(self.cls, *arguments)
        self._base.__init__(error, *arguments)
        if len(payload) > 4:
            error.__setstate__(cast("dict[str, Any]", reader.read(payload[4])))
        return error


def read_error(payload: list[Json], reader: Reader, form: object) -> BaseException:
    """Return an exception for what was written, of its own class if that has a form today."""
    name, shown = cast("str", payload[1]), cast("str", reader.read(payload[2]))
    if len(payload) < 4 or not isinstance(form, ErrorForm):
        return StoredError(name, shown)
    try:
        return form.read(payload, reader)
    except (TypeError, ValueError, AttributeError):  # The class takes other arguments today.
        return StoredError(name, shown)
