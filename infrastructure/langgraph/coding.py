"""What the parts of the codec share: the two directions as ports, refusals that know their path, the tagged form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ...domain.errors import NotJsonError, UnregisteredTypeError
from ...domain.typed import TAG
from ...domain.values import DEPTH_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...domain.errors import InvalidInputError
    from ...domain.values import Json, JsonObject


class Writer(Protocol):
    """Turns values into typed JSON. `depth` counts the JSON containers around the value."""

    @property
    def hashable(self) -> Writer:
        """The writer for what must stay hashable, keys and elements of sets: it keeps tuples."""
        ...

    def write(self, value: object, depth: int) -> Json:
        """Return the value in typed JSON; raises Refusal."""
        ...

    def name_of(self, cls: type) -> str:
        """Return the name that a class is stored under; raises Refusal if nobody registered it."""
        ...


class Reader(Protocol):
    """Turns typed JSON back into values."""

    def read(self, value: Json) -> object:
        """Return a new object for what was written."""
        ...

    def class_of(self, name: str) -> type:
        """Return the class that was stored under this name; raises UnregisteredTypeError."""
        ...


class Refusal(Exception):  # noqa: N818 - it becomes an error of the domain at the codec's door
    """A value that is not stored. The containers around it add their part of the path on the way out."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path: list[str] = []

    def at(self, part: str) -> None:
        """Extend the path by one part further out."""
        self.path.append(part)

    def place(self, where: str) -> str:
        """Return the path to the value, from `where` on."""
        return where + "".join(reversed(self.path))

    def error(self, where: str) -> InvalidInputError:
        """Return the domain's error for it."""
        return NotJsonError(where=self.place(where), problem=self.problem)


class UnregisteredRefusal(Refusal):
    """An object of a class that is not registered; `problem` is the class's name."""

    def error(self, where: str) -> InvalidInputError:
        """Return the domain's error for it."""
        return UnregisteredTypeError(where=self.place(where), name=self.problem)


def name_of(cls: type) -> str:
    """Return the name that a class has in stored values."""
    return f"{cls.__module__}:{cls.__qualname__}"


def tagged(*payload: Json) -> JsonObject:
    """Return the tagged form of a value."""
    return {TAG: [*payload]}


def check(depth: int) -> None:
    """Refuse a container with this many others around it, if that is too many."""
    if depth >= DEPTH_MAX:
        raise Refusal(f"nested deeper than {DEPTH_MAX} levels")


def write_elements(values: Iterable[object], writer: Writer, depth: int) -> list[Json]:
    """Write a list's elements; the list itself stands at `depth`."""
    check(depth)
    result: list[Json] = []
    try:
        for value in values:
            result.append(writer.write(value, depth + 1))  # noqa: PERF401 - its length tells where a refusal was
    except Refusal as refusal:
        refusal.at(f"[{len(result)}]")
        raise
    return result


def write_fields(
    values: Iterable[tuple[str, object]], writer: Writer, depth: int, *, dot: str = "."
) -> JsonObject:
    """Write named parts; the object that holds them stands at `depth`."""
    check(depth)
    result: JsonObject = {}
    name = ""
    try:
        for name, value in values:
            result[name] = writer.write(value, depth + 1)
    except Refusal as refusal:
        refusal.at(f"{dot}{name}")
        raise
    return result
