"""Filters on metadata, as authorization handlers return them: pure, and closed where they are not understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from ..domain.values import canonical, same

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..domain.values import Json, JsonObject

Operator: TypeAlias = Literal["$eq", "$contains"]
OPERATORS = ("$eq", "$contains")


class FilterError(ValueError):
    """It is no filter: an operator that there is not, or something that JSON cannot hold."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What one key of the metadata must hold."""

    key: str
    operator: Operator
    value: Json

    def matches(self, metadata: JsonObject) -> bool:
        """Say whether it does; a key that is not there never matches."""
        if self.key not in metadata:
            return False
        held = metadata[self.key]
        if self.operator == "$eq":
            return same(held, self.value)
        if not isinstance(held, list):
            return False
        wanted = self.value if isinstance(self.value, list) else [self.value]
        return all(any(same(entry, value) for entry in held) for value in wanted)


@dataclass(frozen=True, slots=True)
class MetadataFilter:
    """Conditions that must all hold; without any, everything matches."""

    conditions: tuple[Condition, ...] = ()

    def matches(self, metadata: JsonObject) -> bool:
        """Say whether the metadata meet all conditions."""
        return all(condition.matches(metadata) for condition in self.conditions)

    def equalities(self) -> JsonObject:
        """Return what the conditions say outright: the keys that have to be equal to one value."""
        return {entry.key: entry.value for entry in self.conditions if entry.operator == "$eq"}


EVERYTHING = MetadataFilter()


def metadata_filter(given: Mapping[str, object]) -> MetadataFilter:
    """Return the filter that a mapping means: `{"owner": "ann"}`, `{"tags": {"$contains": ["a", "b"]}}`.

    Raises:
        FilterError: it means none.
    """
    try:
        content = cast("JsonObject", canonical(dict(given), "filter"))
    except Exception as error:
        raise FilterError(str(error)) from error
    return MetadataFilter(
        tuple(condition for key, value in content.items() for condition in _conditions(key, value))
    )


def _conditions(key: str, value: Json) -> list[Condition]:
    if key.startswith("$"):
        raise FilterError(f"there is no operator {key} for several keys")
    if not isinstance(value, dict):
        return [Condition(key, "$eq", value)]
    if not value:
        raise FilterError(f"{key}: an empty object names no operator")
    for operator in value:
        if operator not in OPERATORS:
            known = ", ".join(OPERATORS)
            raise FilterError(f"{key}: there is no operator {operator}; there are {known}")
    return [Condition(key, cast("Operator", name), wanted) for name, wanted in value.items()]
