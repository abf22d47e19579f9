"""Hosts LangGraph graphs in the engine: runs them on a thread's log, and reads and changes their states there."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from langgraph.errors import InvalidUpdateError
from langgraph.runtime import RunControl

from ...domain.errors import InvalidInputError, StaleAttemptError, UnknownNodeError
from ...domain.graph_ports import GraphFailed
from .closing import Closing, brings_input
from .compiled import bound, message_channels
from .graph_objects import GraphSource
from .heads import LiveHeads
from .inputs import with_messages
from .partial import PartialRecorder, channel_of
from .recalling import RecallingCodec
from .run_config import breakpoints, command_of, durability, run_context, runnable_config
from .saver import CheckpointSaver
from .schemas import drawable, schema_types, schemas_of, subgraph_schemas
from .starting import Starting
from .stateless import StatelessRun, sound_input
from .states import end_at_rest, graph_end, graph_state
from .stopping import until_stopped
from .streaming import asked_of, stream
from .supersteps import state_updates
from .tool_recording import ToolRecorder
from .types import TypeRegistry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence

    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from ...domain.changes import GraphEnd
    from ...domain.graph_ports import CheckpointLog, GraphSchemas, RunContext
    from ...domain.ports import Ids
    from ...domain.values import Json, JsonObject
    from .compiled import CompiledGraph
    from .graph_objects import Access
    from .starting import Start
    from .states import GraphState
    from .values import ValueCodec

    AnySaver: TypeAlias = BaseCheckpointSaver[Any]
    Savers: TypeAlias = Callable[[CheckpointLog, ValueCodec, tuple[str, int] | None], AnySaver]
    """Makes the checkpointer of a run, or of no run: on a log, with a codec."""

logger = logging.getLogger(__name__)


NAMES_OF_UPDATES = frozenset({"__end__", "__copy__", "__input__"})
"""What an update from outside may be by, beside the graph's nodes."""


def langgraph_runner(
    graph_id: str,
    found: object,
    *,
    closes_tool_calls: bool = True,
    keeps_partial_messages: bool = False,
    types: Sequence[type[Any]] = (),
) -> LangGraphRunner:
    """Return the runner of what was named as a graph; raises ConfigurationError if it is none."""
    return LangGraphRunner(
        graph_id,
        GraphSource(found),
        closes_tool_calls=closes_tool_calls,
        keeps_partial_messages=keeps_partial_messages,
        types=types,
    )


class LangGraphRunner:
    """Runs one LangGraph graph; the port's `GraphRunner`.

    `types` are classes that its state may hold beside those that its schemas name; what is of another class is refused when it
    is written.
    """

    def __init__(
        self,
        graph_id: str,
        source: GraphSource,
        *,
        closes_tool_calls: bool = True,
        keeps_partial_messages: bool = False,
        types: Sequence[type[Any]] = (),
        savers: Savers | None = None,
    ) -> None:
        self._graph_id = graph_id
        self._source = source
        self._closes_tool_calls = closes_tool_calls
        self._keeps_partial_messages = keeps_partial_messages
        self._heads = LiveHeads()
        self._savers = savers or self._saver
        self._types = TypeRegistry().with_schema(*types)
        self._codec: ValueCodec = RecallingCodec(self._types)
        self._channels: frozenset[str] | None = None
        self._nodes: frozenset[str] | None = None
        if source.fixed is not None:
            self._codec = self._learn(source.fixed)
            self._nodes = frozenset(source.fixed.nodes) | NAMES_OF_UPDATES

    @property
    def graph_id(self) -> str:
        """The graph's name."""
        return self._graph_id

    @property
    def nodes(self) -> frozenset[str] | None:
        """The names that `as_node` may take; None if each use has a graph of its own."""
        return self._nodes

    @property
    def is_typed(self) -> bool:
        """True: what is stored may be of any class that the graph's states have."""
        return True

    # ------------------------------------------------------------------ runs

    def prepare(self, input: Json, ids: Ids) -> Json:
        """Return a run's input in stored form, messages with ids.

        A factory's graph is not known before its first use; its input is given ids when it runs.
        """
        given = with_messages(input, self._channels or (), ids.message_id)
        return self._codec.encode(given, "input")

    async def run(self, context: RunContext) -> GraphEnd:
        """Run one attempt to its end, and say what stands then.

        Raises GraphFailed with what the graph's code raised, NothingToResumeError, or StaleAttemptError at the fence. A
        cancellation is raised when the code has unwound: it does not go on to its next step.
        """
        config = runnable_config(context)
        if context.hold is not None:
            return await self._run_stateless(config, context)
        async with self._graph(
            "threads.create_run", context.log, (context.run_id, context.attempt), config, context
        ) as (graph, saver, codec):
            control = RunControl()
            return await until_stopped(self._run(graph, saver, codec, context, control), control)

    async def _run_stateless(self, config: RunnableConfig, context: RunContext) -> GraphEnd:
        """Run an attempt without a checkpointer."""
        told = context.context or None
        async with self._source.graph("threads.create_run", config, told) as graph:
            codec = self._codec if graph is self._source.fixed else self._learn(graph)
            run, control = StatelessRun(bound(graph, None), codec, context), RunControl()
            given = self._given(codec, context)
            if self._closes_tool_calls:
                given = sound_input(graph, given)
            return await until_stopped(run.run(given, config, control), control)

    async def _run(
        self,
        graph: CompiledGraph,
        saver: AnySaver,
        codec: ValueCodec,
        context: RunContext,
        control: RunControl,
    ) -> GraphEnd:
        config = runnable_config(context)
        config["callbacks"] = self._callbacks(graph, codec, context)
        given = self._given(codec, context)
        error: Exception | None = None
        try:
            start = await Starting(graph, saver, context, config, given).start()
            if self._closes_tool_calls and brings_input(start.given):
                closing = Closing(graph, saver, codec, context.log, context.thread_id, context.ids)
                start = await closing.before(start)
            if not start.is_over:
                await self._stream(graph, start, codec, context, control)
        except StaleAttemptError:
            raise
        except Exception as raised:  # noqa: BLE001 - raised below, with what stands then
            error = raised
        try:
            end = await self._end(graph, saver, codec, context)
        except Exception:
            if error is None:
                raise
            # Whatever it is, the user wants to hear of what came first.
            logger.exception("run %s: its end cannot be told", context.run_id)
            raise error from None
        if error is not None:
            raise GraphFailed(error, end) from error
        return end

    def _callbacks(
        self, graph: CompiledGraph, codec: ValueCodec, context: RunContext
    ) -> list[BaseCallbackHandler]:
        """Return what hears of what happens within a step."""
        handlers: list[BaseCallbackHandler] = [
            ToolRecorder(context.log, codec, context.ids.message_id)
        ]
        channel = channel_of(message_channels(graph)) if self._keeps_partial_messages else None
        if channel is not None and durability(context.kwargs) != "exit":
            handlers.append(PartialRecorder(context.log, codec, channel))
        return handlers

    def _given(self, codec: ValueCodec, context: RunContext) -> object:
        """Return the run's command, or else its input, which was given ids unless its graph was not known then."""
        command = command_of(context.kwargs)
        if command is not None or not context.has_input:
            return command
        given = codec.decode_input(context.input)
        return with_messages(cast("Json", given), self._channels or (), context.ids.message_id)

    async def _stream(
        self,
        graph: CompiledGraph,
        start: Start,
        codec: ValueCodec,
        context: RunContext,
        control: RunControl,
    ) -> None:
        await stream(
            graph,
            start.given,
            start.config,
            asked_of(context.kwargs),
            context.emit,
            context.is_followed,
            codec.types,
            context=run_context(graph, context),
            interrupt_before=breakpoints(context.kwargs, "interrupt_before"),
            interrupt_after=breakpoints(context.kwargs, "interrupt_after"),
            durability=durability(context.kwargs),
            control=control,
        )

    async def _end(
        self, graph: CompiledGraph, saver: AnySaver, codec: ValueCodec, context: RunContext
    ) -> GraphEnd:
        at_rest = end_at_rest(graph)
        if at_rest is not None and isinstance(saver, CheckpointSaver) and saver.is_at_rest:
            return at_rest  # As most runs end. Asking the graph would take as long as a step.
        snapshot = await graph.aget_state(_thread_config(context.thread_id))
        saved = (await context.log.thread(context.thread_id)).state.saved
        head = saved.latest("")
        waiting = [] if head is None else saved.writes_on("", head.checkpoint_id)
        return graph_end(graph, snapshot, waiting, codec)

    # ------------------------------------------------------------------ states

    async def get_state(
        self,
        log: CheckpointLog,
        thread_id: str,
        *,
        checkpoint: Mapping[str, Json] | None = None,
        subgraphs: bool = False,
    ) -> GraphState:
        """Return the state of a thread, or at the checkpoint named by `checkpoint_id` and `checkpoint_ns`."""
        async with self._graph("threads.read", log) as (graph, _, codec):
            config = _thread_config(thread_id, checkpoint)
            snapshot = await graph.aget_state(config, subgraphs=subgraphs)
            return graph_state(snapshot, codec.types)

    async def history(
        self,
        log: CheckpointLog,
        thread_id: str,
        *,
        limit: int | None = None,
        before: str | None = None,
        filter: Mapping[str, Json] | None = None,
        checkpoint: Mapping[str, Json] | None = None,
    ) -> list[GraphState]:
        """Return the states of a thread, newest first."""
        async with self._graph("threads.read", log) as (graph, _, codec):
            states = graph.aget_state_history(
                _thread_config(thread_id, checkpoint),
                filter=dict(filter) if filter else None,
                before=_thread_config(thread_id, {"checkpoint_id": before}) if before else None,
                limit=limit,
            )
            return [graph_state(snapshot, codec.types) async for snapshot in states]

    async def update_state(
        self,
        log: CheckpointLog,
        thread_id: str,
        values: Json,
        *,
        as_node: str | None = None,
        checkpoint: Mapping[str, Json] | None = None,
    ) -> JsonObject:
        """Change the state as if `as_node` had given these values; return the config that names the new checkpoint.

        Raises:
            UnknownNodeError: the graph has no such node.
            InvalidInputError: the values do not fit the graph's channels, or it cannot be told which node they are by.
        """
        async with self._graph("threads.update", log) as (graph, _, codec):
            is_own = not (checkpoint or {}).get("checkpoint_ns")  # Else a subgraph's, which tells.
            if as_node is not None and is_own and as_node not in NAMES_OF_UPDATES | {*graph.nodes}:
                raise UnknownNodeError(node=as_node)
            given = codec.decode(codec.encode(values, "values"))
            with _refusals("values"):
                config = await graph.aupdate_state(
                    _thread_config(thread_id, checkpoint), given, as_node
                )
            return cast("JsonObject", dict(config.get("configurable", {})))

    async def apply_supersteps(
        self, log: CheckpointLog, thread_id: str, supersteps: Sequence[Sequence[JsonObject]]
    ) -> None:
        """Change the state superstep by superstep; raises what `update_state` does."""
        async with self._graph("threads.update", log) as (graph, _, codec):
            steps = state_updates(supersteps, NAMES_OF_UPDATES | {*graph.nodes}, codec)
            with _refusals("supersteps"):
                await graph.abulk_update_state(_thread_config(thread_id), steps)

    async def close_tool_calls(self, log: CheckpointLog, thread_id: str, ids: Ids) -> None:
        """Make the messages of a thread sound, as a run with new input would find them."""
        async with self._graph("threads.update", log) as (graph, saver, codec):
            await Closing(graph, saver, codec, log, thread_id, ids).close()

    # ------------------------------------------------------------------ what the graph is

    async def schemas(self) -> GraphSchemas:
        """Return the JSON schemas of what the graph takes, gives and keeps."""
        async with self._source.graph("assistants.read") as graph:
            return schemas_of(graph)

    async def subgraphs(
        self, *, namespace: str | None = None, recurse: bool = False
    ) -> dict[str, GraphSchemas]:
        """Return the schemas of its subgraphs by namespace, of the one named or of all."""
        async with self._source.graph("assistants.read") as graph:
            return subgraph_schemas(graph, namespace=namespace, recurse=recurse)

    async def drawable(self, *, xray: int | bool = False) -> JsonObject:
        """Return its nodes and edges; with `xray`, subgraphs are drawn in."""
        async with self._source.graph("assistants.read") as graph:
            return await drawable(graph, xray=xray)

    # ------------------------------------------------------------------ parts

    @asynccontextmanager
    async def _graph(
        self,
        access: Access,
        log: CheckpointLog,
        run: tuple[str, int] | None = None,
        config: RunnableConfig | None = None,
        context: RunContext | None = None,
    ) -> AsyncGenerator[tuple[CompiledGraph, AnySaver, ValueCodec]]:
        """Enter with the graph bound to a checkpointer on the log, and the codec of its types."""
        told = None if context is None else context.context or None
        async with self._source.graph(access, config, told) as graph:
            codec = self._codec if graph is self._source.fixed else self._learn(graph)
            saver = self._savers(log, codec, run)
            yield bound(graph, saver), saver, codec

    def _learn(self, graph: CompiledGraph) -> ValueCodec:
        """Take up which channels hold messages, and return a codec of the graph's types."""
        self._channels = message_channels(graph)
        return RecallingCodec(self._types.with_schema(*schema_types(graph)))

    def _saver(
        self, log: CheckpointLog, codec: ValueCodec, run: tuple[str, int] | None
    ) -> AnySaver:
        return CheckpointSaver(log, codec, run=run, heads=self._heads)


@contextmanager
def _refusals(what: str) -> Generator[None]:
    try:
        yield
    except (InvalidUpdateError, ValueError, TypeError, NotImplementedError) as error:
        raise InvalidInputError(f"{what}: {error}") from error


def _thread_config(thread_id: str, checkpoint: Mapping[str, Json] | None = None) -> RunnableConfig:
    named = {name: value for name, value in (checkpoint or {}).items() if value}
    return {"configurable": {"checkpoint_ns": "", **named, "thread_id": thread_id}}
