"""Changes of a thread's state from outside: by the reducers of a function's state, or by a graph that does it itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ..domain.commands import UpdateState
from ..domain.errors import (
    CheckpointNotFoundError,
    InvalidInputError,
    ThreadNotFoundError,
    UnknownNodeError,
)
from ..domain.fencing import require_idle
from .checkpoint_logs import BufferedLog, until_unmoved
from .graph_states import stateful
from .options import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ..domain.changes import ChannelChange
    from ..domain.graph_ports import GraphRunner, ReducingGraph
    from ..domain.ports import Clock, Ids
    from ..domain.thread import Thread
    from ..domain.values import Json, JsonObject
    from .attempts import Runners
    from .checkpoint_logs import WholeThreads
    from .executor import Executor
    from .graph_states import StatefulGraph
    from .settings import Settings
    from .states import States


NOT_OF_FUNCTIONS = ("__copy__", "__input__")
"""A function has no point at which an input could wait, and no older state to go back to."""


class Updates:
    """Changes states while nothing is in flight."""

    def __init__(
        self,
        executor: Executor,
        wholes: WholeThreads,
        states: States,
        runners: Runners,
        settings: Settings,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._executor = executor
        self._wholes = wholes
        self._states = states
        self._runners = runners
        self._settings = settings
        self._clock = clock
        self._ids = ids

    async def update(
        self, thread_id: str, values: Json, as_node: str | None, checkpoint: JsonObject
    ) -> JsonObject:
        """Change the state; return the name of the checkpoint that came of it, empty if that is simply the newest.

        Raises:
            ThreadNotFoundError, ThreadBusyError: the thread is not there, or busy.
            CheckpointNotFoundError: what is to be changed is not there.
            InvalidInputError, UnknownNodeError: the change does not fit the graph.
        """

        async def update() -> JsonObject:
            thread = await self._executor.load(thread_id)
            graph = stateful(self._runner(thread_id, thread))
            if graph is None:
                await self._update_function(thread_id, values, as_node, checkpoint)
                return {}
            require_idle(thread)
            return await self._update_graph(graph, thread_id, thread, values, as_node, checkpoint)

        seconds = self._settings.contention_seconds
        return await until_unmoved(update, thread_id, seconds, self._clock)

    async def require_checkpoint(self, thread_id: str, checkpoint: Mapping[str, Json]) -> None:
        """Raise CheckpointNotFoundError if the thread has no such checkpoint."""
        thread = await self._executor.load(thread_id)
        log = BufferedLog(thread_id, thread, self._executor, self._wholes)
        await _require(log, thread_id, thread, checkpoint)

    def _runner(self, thread_id: str, thread: Thread) -> GraphRunner:
        if not thread.is_visible:
            raise ThreadNotFoundError(thread_id=thread_id)
        runner = self._states.runner_of(thread)
        if runner is not None:
            return runner
        graph_id = thread.metadata.get("graph_id")
        if not isinstance(graph_id, str):
            message = f"Thread {thread_id} has no graph ID: run a graph on it first"
            raise InvalidInputError(message, thread_id=thread_id)
        return self._runners.runner(graph_id)

    # ------------------------------------------------------------------ graphs that do it themselves

    async def _update_graph(
        self,
        graph: StatefulGraph,
        thread_id: str,
        thread: Thread,
        values: Json,
        as_node: str | None,
        checkpoint: JsonObject,
    ) -> JsonObject:
        """Let the graph record what it will, and write all of it as one."""
        log = BufferedLog(thread_id, thread, self._executor, self._wholes)
        if "checkpoint_id" in checkpoint:
            await _require(log, thread_id, thread, checkpoint)
        made = await graph.update_state(
            log, thread_id, values, as_node=as_node, checkpoint=checkpoint
        )
        await log.commit()
        return made

    # ------------------------------------------------------------------ functions

    async def _update_function(
        self, thread_id: str, values: Json, as_node: str | None, checkpoint: JsonObject
    ) -> None:
        for name in checkpoint:
            raise OptionError(name, "only for threads of LangGraph graphs")
        if as_node in NOT_OF_FUNCTIONS:
            raise OptionError("as_node", f"{as_node} is only for threads of LangGraph graphs")
        checkpoint_id = self._ids.checkpoint_id()

        def intent(thread: Thread, now: datetime) -> UpdateState:
            del now
            if not thread.is_present or thread.runs or values is None:
                return made(None, {}, ())
            runner = reducing(self._runner(thread_id, thread))
            if as_node is not None and runner.nodes is not None and as_node not in runner.nodes:
                raise UnknownNodeError(node=as_node)
            before = thread.values()
            update, changes = runner.update(before, values, self._ids)
            return made(update, changes, runner.next_after(as_node, before))

        def made(
            update: JsonObject | None, changes: Mapping[str, ChannelChange], after: tuple[str, ...]
        ) -> UpdateState:
            return UpdateState(
                thread_id=thread_id,
                checkpoint_id=checkpoint_id,
                as_node=as_node,
                next=after,
                update=update,
                changes=changes,
            )

        await self._executor.execute(thread_id, intent)


async def _require(
    log: BufferedLog, thread_id: str, thread: Thread, checkpoint: Mapping[str, Json]
) -> None:
    ns, wanted = str(checkpoint.get("checkpoint_ns") or ""), str(checkpoint.get("checkpoint_id"))
    if thread.state.saved.find(ns, wanted) is None:
        whole = await log.whole(thread_id)
        if whole.state.saved.find(ns, wanted) is None:
            raise CheckpointNotFoundError(checkpoint_id=wanted)


def reducing(runner: GraphRunner) -> ReducingGraph:
    """Return the runner as one whose reducers change states; raises InvalidInputError if it has none."""
    if not hasattr(runner, "update"):
        graph_id = runner.graph_id
        message = f"The graph {graph_id} has no reducers: its state cannot be changed from outside"
        raise InvalidInputError(message, graph_id=graph_id)
    return cast("ReducingGraph", runner)
