"""Containment of JSON in JSON: what searches and filters go by. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..domain.values import Json


def contains(whole: Json, part: Json) -> bool:
    """Say whether `whole` has all that `part` has: keys of objects, elements of lists in any order, equal values."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(
            any(contains(entry, wanted) for entry in whole) for wanted in part
        )
    # Python alone says that 1 == True.
    return whole == part and isinstance(whole, bool) == isinstance(part, bool)
