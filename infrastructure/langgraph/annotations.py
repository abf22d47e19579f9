"""Which classes the annotations of a state's schema name, to any depth."""

from __future__ import annotations

import dataclasses
import sys
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel
from typing_extensions import Format, get_annotations, is_typeddict

from .forms import is_legacy_model, is_named_tuple

if TYPE_CHECKING:
    from collections.abc import Iterator


def classes_in(*annotations: object) -> list[type]:
    """Return the classes that these types name, each once: in unions, generics and fields, to any depth.

    TypedDicts are searched and left out: their objects are dicts. An annotation that cannot be resolved (a class that only a
    type checker imports, or one of a function's own scope) is passed over.
    """
    search = _Search()
    for annotation in annotations:
        search.look(annotation)
    return search.found


class _Search:
    def __init__(self) -> None:
        self.found: list[type] = []
        self._seen: dict[
            int, object
        ] = {}  # Some types have no hash. They are kept: an id is theirs while they live.

    def look(self, annotation: Any) -> None:  # noqa: ANN401 - whatever stands behind a colon
        if id(annotation) in self._seen:
            return
        self._seen[id(annotation)] = annotation
        for inner in self._parts(annotation):
            self.look(inner)

    def _parts(self, annotation: Any) -> Iterator[object]:  # noqa: ANN401
        origin = get_origin(annotation)
        if origin is Annotated:
            yield get_args(annotation)[0]
        elif origin is Literal or origin is ClassVar:
            return
        elif origin is not None:
            yield origin
            yield from get_args(annotation)
        elif isinstance(annotation, type):
            yield from self._class(cast("type[Any]", annotation))
        elif isinstance(annotation, TypeVar):
            yield annotation.__bound__
            yield from annotation.__constraints__
        elif isinstance(annotation, list | tuple):  # The parameters of a callable.
            yield from cast("list[object]", annotation)
        else:
            yield _aliased(annotation)

    def _class(self, cls: type[Any]) -> Iterator[object]:
        if is_typeddict(cls):
            yield from _hints(cls)
            return
        if cls.__module__ in {"builtins", "typing"}:
            return
        self.found.append(cls)
        if issubclass(cls, BaseModel):
            for field in cls.model_fields.values():
                yield field.annotation
            yield from _hints(cls)  # Private attributes are no fields.
        elif dataclasses.is_dataclass(cls) or is_named_tuple(cls) or is_legacy_model(cls):
            yield from _hints(cls)


def _aliased(annotation: object) -> object:
    """Return what a name for a type stands for: `type X = …`, or `NewType`; None if it is something else."""
    try:
        return getattr(annotation, "__value__", getattr(annotation, "__supertype__", None))
    except NameError:  # It is looked up late, and the name is not there.
        return None


def _hints(cls: type) -> Iterator[object]:
    try:
        yield from get_type_hints(cls, include_extras=True).values()
    except Exception:  # noqa: BLE001 - the user's annotations may do anything; one by one, the others still tell something
        for base in cls.__mro__:
            yield from _single_hints(base)


def _single_hints(cls: type) -> Iterator[object]:
    module = sys.modules.get(cls.__module__)
    for name, annotation in get_annotations(cls, format=Format.FORWARDREF).items():

        def probe() -> None: ...

        probe.__annotations__ = {name: annotation}
        try:
            hints = get_type_hints(probe, vars(module), dict(vars(cls)), include_extras=True)
        except Exception:  # noqa: BLE001 - as above
            hints = {name: annotation}
        yield from hints.values()
