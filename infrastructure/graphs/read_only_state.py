"""What user code sees of a thread's values: a read-only mapping of private copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import is_
from typing import TYPE_CHECKING, Any, NoReturn

from ...domain.channels import copied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...domain.values import Json


class ReadOnlyState(Mapping[str, Any]):
    """The values as they stand: with the run's input and every update so far.

    What it hands out are copies: changing them in place changes nothing that is recorded. A channel is copied when it is
    first asked for; of a list that has changed since, only the elements that are new.
    """

    __slots__ = ("_copies", "_values")

    def __init__(self, values: Mapping[str, Json]) -> None:
        """Show `values`, in which the owner may put other values, but change none in place."""
        self._values = values
        self._copies: dict[str, _Copy] = {}

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a JSON value, for code that knows which
        value = self._values[name]
        copy = self._copies.get(name)
        if copy is None or copy.original is not value:
            copy = self._copies[name] = _copy(value, copy)
        return copy.given

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __repr__(self) -> str:
        return f"ReadOnlyState({dict(self._values)!r})"

    def __setitem__(self, name: str, value: object) -> NoReturn:
        problem = f"the state is read-only: give an update, {{{name!r}: …}}, to change it"
        raise TypeError(problem)

    def __delitem__(self, name: str) -> NoReturn:
        raise TypeError(f"the state is read-only: {name!r} cannot be deleted from it")

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"the state is a mapping: write state[{name!r}]")


@dataclass(frozen=True, slots=True)
class _Copy:
    original: Json
    elements: list[Json]
    """Of a list: the copies of its elements. `given` is a list of its own, which its receiver may change."""
    given: Json


def _copy(value: Json, earlier: _Copy | None) -> _Copy:
    if not isinstance(value, list):
        return _Copy(value, [], copied(value))
    elements = _elements(value, earlier)
    return _Copy(value, elements, list(elements))


def _elements(value: list[Json], earlier: _Copy | None) -> list[Json]:
    if earlier is None or not isinstance(earlier.original, list):
        return [copied(element) for element in value]
    old = earlier.original
    if len(old) <= len(value) and all(map(is_, old, value)):
        return [*earlier.elements, *(copied(element) for element in value[len(old) :])]
    kept = {id(element): copy for element, copy in zip(old, earlier.elements, strict=True)}
    return [kept[id(element)] if id(element) in kept else copied(element) for element in value]
