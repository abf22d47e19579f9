"""Searching assistants by what their rows hold: metadata, graph and name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from .containment import contains

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..domain.assistant_ports import AssistantRow
    from ..domain.values import JsonObject

AssistantOrder: TypeAlias = Literal["assistant_id", "graph_id", "name", "created_at", "updated_at"]


@dataclass(frozen=True, slots=True)
class AssistantFilter:
    """What the assistants looked for have in common; None: anything goes. `name` is a part of theirs, in any case."""

    metadata: JsonObject | None = None
    graph_id: str | None = None
    name: str | None = None
    is_seen: Callable[[AssistantRow], bool] | None = None
    """Says which are within the reach of who looks for them; None: all."""

    def matches(self, row: AssistantRow) -> bool:
        """Say whether an assistant is among those looked for."""
        if self.graph_id is not None and row.graph_id != self.graph_id:
            return False
        if self.name and self.name.lower() not in row.name.lower():
            return False
        return self.has_metadata(row.metadata) and (self.is_seen is None or self.is_seen(row))

    def has_metadata(self, metadata: JsonObject) -> bool:
        """Say whether these metadata hold all that are looked for."""
        return not self.metadata or contains(metadata, self.metadata)
