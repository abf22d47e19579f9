"""What assistants need of the log: their part of the store's port (`ports.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from .assistant import AssistantEvents, RecordedAssistantEvent
    from .values import JsonObject


@dataclass(frozen=True, slots=True)
class AssistantRow:
    """One row of the inline `assistants` projection: an assistant in the version that counts."""

    assistant_id: str
    graph_id: str
    name: str
    description: str | None
    config: JsonObject
    context: JsonObject
    metadata: JsonObject
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class AssistantAppend:
    """Events of one decision on an assistant, with its row as it stands after them.

    Without a row the assistant is gone, and what its events hold has to be erased.
    """

    assistant_id: str
    expected_head: int
    events: AssistantEvents
    recorded_at: datetime
    row: AssistantRow | None
    actor: str | None = None


class AssistantStore(Protocol):
    """Assistants in the log of all threads. The methods may be called concurrently; none blocks the event loop."""

    async def append_assistant(self, append: AssistantAppend) -> tuple[RecordedAssistantEvent, ...]:
        """Write all or nothing; return when it is durable.

        Raises:
            VersionConflictError: the assistant is not at `expected_head`.
            StoreUnavailableError: the write is known not to stand.
        """
        ...

    async def read_assistant(
        self, assistant_id: str, *, after: int = 0
    ) -> tuple[RecordedAssistantEvent, ...]:
        """Read an assistant's events with `head > after`, in order."""
        ...

    async def head_of_assistant(self, assistant_id: str) -> int:
        """Return the number of the assistant's newest event, 0 if it has none; quick, as it is asked at each run."""
        ...

    async def list_assistants(
        self, matches: Callable[[AssistantRow], bool]
    ) -> tuple[AssistantRow, ...]:
        """Return the rows that match, in no particular order; `matches` may be called in any thread."""
        ...
