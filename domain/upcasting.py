"""The schema version each event is written in, and how older ones become that one. No bytes here.

An event's first schema version is 1. When a field changes its meaning, add the event to `VERSIONS`
with the next number, a function from the old fields to the new ones to `UPCASTERS`, and a recorded
log to `tests/histories`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias, get_args

from .assistant import ASSISTANT_EVENT_CLASSES
from .errors import UnreadableEventError
from .events import Event, ThreadEvent

Upcaster: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""From an event's fields in one schema version to the next. May change the dict that it gets."""

EVENT_CLASSES: Mapping[str, type[Event]] = MappingProxyType(
    {kind.__name__: kind for kind in get_args(get_args(ThreadEvent)[0])}
    | dict(ASSISTANT_EVENT_CLASSES)
)

VERSIONS: Mapping[str, int] = MappingProxyType({})
"""The current schema version of each event that is past version 1."""

UPCASTERS: Mapping[tuple[str, int], Upcaster] = MappingProxyType({})
"""By event and the version that the function starts from."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The stored forms that can be read, and the one of each event that is written."""

    classes: Mapping[str, type[Event]] = field(default_factory=lambda: EVENT_CLASSES)
    versions: Mapping[str, int] = field(default_factory=lambda: VERSIONS)
    upcasters: Mapping[tuple[str, int], Upcaster] = field(default_factory=lambda: UPCASTERS)

    def version(self, name: str) -> int:
        """Return the schema version in which the event is written."""
        return self.versions.get(name, 1)

    def path(self, name: str, version: int) -> tuple[type[Event], tuple[Upcaster, ...]]:
        """Return the event's class, and what leads from fields of this version to the class's own.

        Raises:
            UnreadableEventError: no such event, or a version that this program does not know.
        """
        if name not in self.classes or not 1 <= version <= self.version(name):
            raise UnreadableEventError(name=f"{name}.{version}")
        steps = range(version, self.version(name))
        return self.classes[name], tuple(self.upcasters[name, step] for step in steps)


SCHEMA = Schema()
