"""States of a thread as a graph itself tells them: what readers see, and what is recorded with a run's end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from langgraph.checkpoint.base import WRITES_IDX_MAP
from langgraph.types import StateSnapshot

from ...domain.changes import GraphEnd
from ...domain.events import Task
from .compiled import delta_channels, is_state_graph
from .inputs import ROOT
from .private import PRIVATE
from .showing import shown, shown_interrupt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.types import PregelTask

    from ...domain.saved import Write
    from ...domain.values import Json, JsonObject
    from .compiled import CompiledGraph
    from .types import TypeRegistry
    from .values import ValueCodec

NO_EFFECT = frozenset({*WRITES_IDX_MAP, "__error_source_node__", "__no_writes__"})
"""Channels of waiting writes that change no value."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task of the step that comes next; `state` is that of its subgraph, or the config that names it."""

    id: str
    name: str
    path: Json
    error: str | None
    interrupts: tuple[JsonObject, ...]
    result: Json
    state: GraphState | None
    checkpoint: JsonObject | None


@dataclass(frozen=True, slots=True)
class GraphState:
    """The state at a checkpoint, as JSON to look at. `config` and `parent_config` name the checkpoint and its parent.

    Its values are shown when somebody asks for them: who has them from the log need not.
    """

    seen: Any
    """The values as the graph gave them."""
    types: TypeRegistry | None
    """The classes that may be stored."""
    next: tuple[str, ...]
    tasks: tuple[TaskState, ...]
    metadata: JsonObject | None
    created_at: str | None
    config: JsonObject
    parent_config: JsonObject | None
    interrupts: tuple[JsonObject, ...]

    @property
    def names(self) -> tuple[str, ...] | None:
        """The channels that have a value; None, if the state is no object of channels."""
        seen = cast("object", self.seen)
        if not isinstance(seen, dict):
            return None
        return tuple(map(str, cast("dict[object, object]", seen)))

    @property
    def values(self) -> Json:
        """The values of all channels."""
        return shown(self.seen, self.types)

    def value(self, name: str) -> Json:
        """Return the value of one channel."""
        return shown(self.seen[name], self.types)


def graph_state(snapshot: StateSnapshot, types: TypeRegistry | None = None) -> GraphState:
    """Return a state as readers see it."""
    metadata = snapshot.metadata
    return GraphState(
        seen=snapshot.values,
        types=types,
        next=snapshot.next,
        tasks=tuple(_task_state(task, types) for task in snapshot.tasks),
        metadata=None if metadata is None else cast("JsonObject", shown(dict(metadata))),
        created_at=snapshot.created_at,
        config=_configurable(snapshot.config) or {},
        parent_config=_configurable(snapshot.parent_config),
        interrupts=tuple(map(shown_interrupt, snapshot.interrupts)),
    )


def graph_end(
    graph: CompiledGraph, snapshot: StateSnapshot, waiting: Sequence[Write], codec: ValueCodec
) -> GraphEnd:
    """Return what stands when a run of the graph has stopped, for the record.

    `waiting` are the writes on the newest checkpoint. Where none of them has an effect yet, the values are those of the
    checkpoint, and need not be told.
    """
    visible = graph.stream_channels_asis
    names, values = None, None
    if isinstance(visible, str):
        values = _encoded(snapshot.values, codec)
    else:
        names = frozenset(visible)
        if delta_channels(graph) or any(write.channel not in NO_EFFECT for write in waiting):
            values = _encoded(snapshot.values, codec)
    return GraphEnd(
        next=snapshot.next,
        tasks=tuple(_recorded(task) for task in snapshot.tasks if _is_open(task, snapshot)),
        values=values,
        names=names,
    )


def end_at_rest(graph: CompiledGraph) -> GraphEnd | None:
    """Return what stands when nothing is open; None, if that has to be asked for."""
    visible = graph.stream_channels_asis
    if isinstance(visible, str) or delta_channels(graph) or not is_state_graph(graph):
        return None
    return GraphEnd(names=frozenset(visible))


def _encoded(values: object, codec: ValueCodec) -> dict[str, Json]:
    told = cast("dict[object, object]", values if isinstance(values, dict) else {ROOT: values})
    return {str(name): codec.encode(value, str(name)) for name, value in told.items()}


def _is_open(task: PregelTask, snapshot: StateSnapshot) -> bool:
    """Say whether the task is still to be done; a snapshot has those of the step that are done as well."""
    if task.error is not None or task.interrupts:
        return True
    return task.name in snapshot.next and task.result is None


def _recorded(task: PregelTask) -> Task:
    interrupts = tuple(map(shown_interrupt, task.interrupts))
    return Task(id=task.id, name=task.name, error=_error(task), interrupts=interrupts)


def _task_state(task: PregelTask, types: TypeRegistry | None) -> TaskState:
    inner = task.state
    return TaskState(
        id=task.id,
        name=task.name,
        path=shown(cast("Any", task).path),
        error=_error(task),
        interrupts=tuple(map(shown_interrupt, task.interrupts)),
        result=shown(task.result, types),
        state=graph_state(inner, types) if isinstance(inner, StateSnapshot) else None,
        checkpoint=None if isinstance(inner, StateSnapshot) else _configurable(inner),
    )


def _error(task: PregelTask) -> str | None:
    error = cast("Any", task.error)
    if error is None:
        return None
    return str(shown(error))  # An exception is shown by its repr, and a stored one is that already.


def _configurable(config: RunnableConfig | dict[str, Any] | None) -> JsonObject | None:
    if config is None:
        return None
    named: dict[str, Any] = config.get("configurable", {})
    found = {name: value for name, value in named.items() if not name.startswith(PRIVATE)}
    return cast("JsonObject", shown(found))
