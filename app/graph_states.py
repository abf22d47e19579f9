"""Graphs that tell of their own states: what such a runner does beside running, and what it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..domain.graph_ports import CheckpointLog, GraphRunner
    from ..domain.values import Json, JsonObject


class TaskState(Protocol):
    """A task of the step that comes next. `state` is that of its subgraph; `checkpoint` names where that stands."""

    @property
    def id(self) -> str: ...  # noqa: D102 - as the class says
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def path(self) -> Json: ...  # noqa: D102
    @property
    def error(self) -> str | None: ...  # noqa: D102
    @property
    def interrupts(self) -> Sequence[JsonObject]: ...  # noqa: D102
    @property
    def result(self) -> Json: ...  # noqa: D102
    @property
    def state(self) -> GraphState | None: ...  # noqa: D102
    @property
    def checkpoint(self) -> JsonObject | None: ...  # noqa: D102


class GraphState(Protocol):
    """A state as the graph itself tells it. `config` names its checkpoint, `parent_config` the one before.

    `names` are the channels that have a value; None, if the state is no object of channels.
    """

    @property
    def names(self) -> Sequence[str] | None: ...  # noqa: D102
    @property
    def values(self) -> Json: ...  # noqa: D102
    def value(self, name: str) -> Json: ...  # noqa: D102
    @property
    def next(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def tasks(self) -> Sequence[TaskState]: ...  # noqa: D102
    @property
    def metadata(self) -> JsonObject | None: ...  # noqa: D102
    @property
    def created_at(self) -> str | None: ...  # noqa: D102
    @property
    def config(self) -> JsonObject: ...  # noqa: D102
    @property
    def parent_config(self) -> JsonObject | None: ...  # noqa: D102
    @property
    def interrupts(self) -> Sequence[JsonObject]: ...  # noqa: D102


class StatefulGraph(Protocol):
    """A runner whose graph keeps checkpoints in the thread's log, and tells and changes states by them."""

    async def get_state(
        self,
        log: CheckpointLog,
        thread_id: str,
        *,
        checkpoint: Mapping[str, Json] | None = None,
        subgraphs: bool = False,
    ) -> GraphState:
        """Return the newest state, or that at the checkpoint named; one that is not there has no metadata."""
        ...

    async def history(
        self,
        log: CheckpointLog,
        thread_id: str,
        *,
        limit: int | None = None,
        before: str | None = None,
        filter: Mapping[str, Json] | None = None,
        checkpoint: Mapping[str, Json] | None = None,
    ) -> Sequence[GraphState]:
        """Return states, newest first."""
        ...

    async def update_state(
        self,
        log: CheckpointLog,
        thread_id: str,
        values: Json,
        *,
        as_node: str | None = None,
        checkpoint: Mapping[str, Json] | None = None,
    ) -> JsonObject:
        """Change the state as if `as_node` had given these values; return what names the new checkpoint."""
        ...

    async def apply_supersteps(
        self, log: CheckpointLog, thread_id: str, supersteps: Sequence[Sequence[JsonObject]]
    ) -> None:
        """Change the state superstep by superstep: each is a list of updates with `values` or `command`, and `as_node`."""
        ...


def stateful(runner: GraphRunner) -> StatefulGraph | None:
    """Return the runner as one that tells of its graph's states, if it is one."""
    return cast("StatefulGraph", runner) if hasattr(runner, "get_state") else None
