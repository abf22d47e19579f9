"""What readers get: plain values of threads, runs and states, in the words of the wire. Made from folds and rows only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ..domain.channels import copied
from ..domain.events import RunError
from ..domain.typed import plain_object
from .state_values import StateValues, encodable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ..domain.channels import Items
    from ..domain.events import RunAccepted, Task, TimeToLive
    from ..domain.ports import RunRow, ThreadStatus
    from ..domain.saved import SavedCheckpoint
    from ..domain.thread import Checkpoint, State, Thread
    from ..domain.values import Json, JsonObject
    from .graph_states import GraphState


@dataclass(frozen=True, slots=True)
class ThreadView:
    """A thread as its fold has it; `values` is None before anything was written to it."""

    thread_id: str
    created_at: datetime
    updated_at: datetime
    state_updated_at: datetime
    metadata: JsonObject
    status: ThreadStatus
    error: RunError | None
    tasks: tuple[Task, ...]
    has_ended_run: bool
    version: int
    state_values: StateValues | None
    ttl: TimeToLive | None = None
    expires_at: datetime | None = None

    @property
    def values(self) -> JsonObject | None:
        """The values of all channels, as a copy."""
        return None if self.state_values is None else self.state_values.read()


@dataclass(frozen=True, slots=True)
class StateView:
    """A state of a thread: the values, what stands open, and the checkpoint it came from (None: an empty thread).

    `state` is what the log says. If a checkpointer saved it, `saved` is its checkpoint, and `told` what the graph makes of that,
    where it was asked.
    """

    thread_id: str
    state: State
    items: Items
    metadata: JsonObject
    """The thread's metadata, as it stands now."""
    saved: SavedCheckpoint | None = None
    told: GraphState | None = None
    is_exact: bool = False
    """Whether the values that the graph told are those of the saved checkpoint, as far as that has them."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Where the state came from."""
        return self.state.checkpoint

    @property
    def values(self) -> JsonObject:
        """The values of all channels, as a copy; of a graph whose state is no object, what it is instead."""
        if self.told is None:
            return StateValues(self.state, self.items).read()
        return cast("JsonObject", copied(self.told.values))

    @property
    def next(self) -> Sequence[str]:
        """The nodes that stand open."""
        return self.state.next if self.told is None else self.told.next

    @property
    def own_metadata(self) -> JsonObject:
        """What the graph said of a checkpoint that it saved; of a function's, where it came from."""
        if self.told is not None:
            return self.told.metadata or {}
        if self.saved is None:
            checkpoint = self.checkpoint
            if checkpoint is None:
                return {}
            return checkpoint_metadata(checkpoint, self.thread_id, self.metadata)
        own: JsonObject = {"source": self.saved.source, "step": self.saved.step}
        return {**own, **plain_object(self.saved.metadata)}

    def values_to_encode(self) -> Any:  # noqa: ANN401 - what orjson takes
        """Return the values for orjson: what is JSON text already stays that."""
        told, saved = self.told, self.saved
        if told is None:
            return StateValues(self.state, self.items).to_encode()
        names = told.names
        if names is None or saved is None or not self.is_exact:
            return told.values
        known = {name: saved.channels[name] for name in names if name in saved.channels}
        shown = encodable(known, self.items)
        return {name: shown[name] if name in shown else told.value(name) for name in names}


@dataclass(frozen=True, slots=True)
class RunView:
    """A run: its row, what was accepted, its input as it was given, its metadata with what it takes over from the thread."""

    row: RunRow
    accepted: RunAccepted
    input: Json
    metadata: JsonObject
    is_temporary: bool = False
    """Whether its thread is there for it alone."""
    actor: str | None = None
    """Who asked for it, as far as that is known."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended, with the thread's values as they stood at that moment.

    `status` is `rolled_back` for a run that is gone; `error` is set for a run that failed or took too long. `interrupts` are the
    questions that its graph stopped at.
    """

    run_id: str
    status: str
    state_values: StateValues
    error: RunError | None
    next: tuple[str, ...]
    interrupts: tuple[JsonObject, ...] = ()
    version: int = 0
    """The version of the event that ended it."""

    @property
    def values(self) -> JsonObject:
        """The thread's values, as a copy."""
        return self.state_values.read()


def _stop(thread_id: str, thread: Thread) -> RunError | None:
    """Return what stopped the run that ended last, if somebody did."""
    run_id = thread.state.stopped_run
    if run_id is None:
        return None
    path = f"/threads/{thread_id}/runs/{run_id}/cancel"
    return RunError(error="UserInterrupt", message=f"interrupt requested via POST {path}")


def thread_view(thread_id: str, thread: Thread) -> ThreadView:
    """Return what a reader of the thread sees."""
    return ThreadView(
        thread_id=thread_id,
        created_at=thread.created_at,
        updated_at=thread.updated_at,
        state_updated_at=thread.state_updated_at,
        metadata=thread.metadata,
        status=thread.status,
        error=thread.state.error or _stop(thread_id, thread),
        tasks=thread.state.tasks,
        has_ended_run=thread.last_run is not None,
        version=thread.version,
        state_values=StateValues(thread.state, thread.items) if thread.has_values else None,
        ttl=thread.ttl,
        expires_at=thread.expires_at,
    )


def checkpoint_metadata(
    checkpoint: Checkpoint, thread_id: str, thread_metadata: JsonObject
) -> JsonObject:
    """Return where a function's checkpoint came from: a run's step, or an update from outside."""
    own: JsonObject = {
        "source": checkpoint.source,
        "step": checkpoint.step,
        "parents": {},
        "thread_id": thread_id,
    }
    if checkpoint.run_id is None:
        graph: JsonObject = {
            name: thread_metadata[name]
            for name in ("graph_id", "assistant_id")
            if name in thread_metadata
        }
        return {**graph, **own}
    run: JsonObject = {"run_id": checkpoint.run_id, "run_attempt": checkpoint.attempt}
    return {**thread_metadata, **own, **run}
