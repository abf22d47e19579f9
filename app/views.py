"""What readers get: plain values of threads, runs and states, in the words of the wire. Made from folds and rows only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from ..domain.channels import copied_object, read_channel, read_values
from ..domain.shared_list import SharedList
from ..domain.stored_items import StoredItems

if TYPE_CHECKING:
    from datetime import datetime

    from ..domain.channels import Channel, Items
    from ..domain.events import RunAccepted, RunError, Task
    from ..domain.ports import RunRow, ThreadStatus
    from ..domain.thread import Checkpoint, State, Thread
    from ..domain.values import Json, JsonObject


@dataclass(frozen=True, slots=True)
class ThreadView:
    """A thread as its fold has it; `values` is None before anything was written to it."""

    thread_id: str
    created_at: datetime
    updated_at: datetime
    state_updated_at: datetime
    metadata: JsonObject
    status: ThreadStatus
    values: JsonObject | None
    error: RunError | None
    tasks: tuple[Task, ...]
    has_ended_run: bool
    version: int


@dataclass(frozen=True, slots=True)
class StateView:
    """A state of a thread: the values, what stands open, and the checkpoint it came from (None: an empty thread)."""

    thread_id: str
    state: State
    items: Items
    metadata: JsonObject
    """The thread's metadata, as it stands now."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Where the state came from."""
        return self.state.checkpoint

    @property
    def values(self) -> JsonObject:
        """The values of all channels, as a copy."""
        return copied_object(read_values(self.state.channels, self.items))

    def values_to_encode(self) -> dict[str, Any]:
        """Return the values for orjson: what was not parsed since it was stored stays the JSON text that it is."""
        return {name: self._to_encode(channel) for name, channel in self.state.channels.items()}

    def _to_encode(self, channel: Channel) -> Any:  # noqa: ANN401 - what orjson takes
        items = self.items
        if not isinstance(items, StoredItems) or not isinstance(channel, SharedList):
            return read_channel(channel, items)
        found = items.unread(channel)
        return [orjson.Fragment(item) if isinstance(item, bytes) else item for item in found]


@dataclass(frozen=True, slots=True)
class RunView:
    """A run: its row, what was accepted, its input as it was given, its metadata with what it takes over from the thread."""

    row: RunRow
    accepted: RunAccepted
    input: Json
    metadata: JsonObject


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended, with the thread's values as they stood at that moment.

    `status` is `rolled_back` for a run that is gone; `error` is set for a run that failed or took too long.
    """

    run_id: str
    status: str
    values: JsonObject
    error: RunError | None
    next: tuple[str, ...]


def thread_view(thread_id: str, thread: Thread) -> ThreadView:
    """Return what a reader of the thread sees."""
    return ThreadView(
        thread_id=thread_id,
        created_at=thread.created_at,
        updated_at=thread.updated_at,
        state_updated_at=thread.state_updated_at,
        metadata=thread.metadata,
        status=thread.status,
        values=thread.values() if thread.has_values else None,
        error=thread.state.error,
        tasks=thread.state.tasks,
        has_ended_run=thread.last_run is not None,
        version=thread.version,
    )
