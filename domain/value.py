"""Frozen values that are changed often: a changed copy costs the copy of a dict, not a call of `__init__`."""

from __future__ import annotations

from typing import Any, Self


class Value:
    """Base of frozen dataclasses without slots."""

    def changed(self, **changes: Any) -> Self:  # noqa: ANN401 - the fields' own types
        """Return a copy with these fields changed; as `dataclasses.replace`, for one tenth of its time."""
        copy = object.__new__(type(self))
        fields = copy.__dict__
        fields.update(self.__dict__)
        fields.update(changes)
        return copy
