"""Compiled graphs, as the rest of this package sees them: the one place that knows LangGraph's own classes of them."""

# LangGraph's types are generic in what nobody here knows, and some of its packages are not marked as typed.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from langgraph.channels.base import BaseChannel
from langgraph.channels.delta import DeltaChannel
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph, StateGraph
from langgraph.pregel import Pregel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.types import StateSnapshot, StateUpdate

MESSAGE_MODULES = frozenset({"langgraph.graph.message", "langgraph.pregel._messages"})


class CompiledGraph(Protocol):
    """What is used of a compiled graph."""

    channels: Mapping[str, object]
    nodes: Mapping[str, object]
    input_channels: str | Sequence[str]
    output_channels: str | Sequence[str]
    interrupt_before_nodes: Any
    interrupt_after_nodes: Any
    context_schema: type[Any] | None

    @property
    def stream_channels_asis(self) -> str | Sequence[str]:
        """The channels that readers see; of a single one, its name."""
        ...

    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str:
        """Return its name, as that of something of it."""
        ...

    def get_input_jsonschema(self) -> dict[str, Any]:
        """Return what it takes."""
        ...

    def get_output_jsonschema(self) -> dict[str, Any]:
        """Return what it gives."""
        ...

    def get_context_jsonschema(self) -> dict[str, Any] | None:
        """Return what it takes as context."""
        ...

    async def aget_graph(
        self, config: RunnableConfig | None = None, *, xray: int | bool = False
    ) -> Any:  # noqa: ANN401 - langchain's drawing
        """Return its drawing."""
        ...

    def astream(
        self, input: object, config: RunnableConfig | None = None, **options: object
    ) -> AsyncIterator[Any]:
        """Run it."""
        ...

    def astream_events(
        self, input: object, config: RunnableConfig | None = None, **options: object
    ) -> AsyncIterator[Any]:
        """Run it, telling all that happens inside."""
        ...

    async def aget_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """Return the state at a checkpoint."""
        ...

    def aget_state_history(
        self,
        config: RunnableConfig,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[StateSnapshot]:
        """Yield the states, newest first."""
        ...

    async def aupdate_state(
        self, config: RunnableConfig, values: object, as_node: str | None = None
    ) -> RunnableConfig:
        """Change the state from outside."""
        ...

    async def abulk_update_state(
        self, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]
    ) -> RunnableConfig:
        """Change the state from outside, superstep by superstep."""
        ...


def compiled(found: object) -> CompiledGraph | None:
    """Return a compiled graph as such, and one that can be compiled compiled; None if it is neither.

    Raises what LangGraph does when a graph cannot be compiled.
    """
    if isinstance(found, StateGraph):
        found = cast("StateGraph[Any, Any, Any, Any]", found).compile()
    return cast("CompiledGraph", found) if isinstance(found, Pregel) else None


def bound(graph: CompiledGraph, saver: BaseCheckpointSaver[Any] | None) -> CompiledGraph:
    """Return the graph with this checkpointer, or none, in place of any other."""
    copied = cast("Pregel[Any, Any, Any, Any]", graph).copy({"checkpointer": saver})
    return cast("CompiledGraph", copied)


def subgraphs_of(
    graph: CompiledGraph, *, namespace: str | None = None, recurse: bool = False
) -> Iterator[tuple[str, CompiledGraph]]:
    """Yield the graph's subgraphs that are compiled graphs too, by namespace."""
    parent = cast("Pregel[Any, Any, Any, Any]", graph)
    for name, found in parent.get_subgraphs(namespace=namespace, recurse=recurse):
        if isinstance(found, Pregel):
            yield name, cast("CompiledGraph", found)


def state_schemas_of(graph: CompiledGraph) -> tuple[type[Any], ...]:
    """Return the types of a state graph's states, the graph's own state first; () of graphs made otherwise."""
    if not isinstance(graph, CompiledStateGraph):
        return ()
    builder = graph.builder
    return (
        builder.state_schema,
        *(each for each in builder.schemas if each != builder.state_schema),
    )


def channel_types(graph: CompiledGraph, name: str) -> tuple[Any, Any] | None:
    """Return the types of what a channel holds and of what updates it; None if nothing is kept in it."""
    channel = graph.channels[name]
    if not isinstance(channel, BaseChannel):
        return None
    return channel.ValueType, channel.UpdateType


def message_channels(graph: CompiledGraph) -> frozenset[str]:
    """Return the channels whose reducer is LangGraph's own one for messages."""
    return frozenset(name for name, channel in graph.channels.items() if _takes_messages(channel))


def reports_tool_calls(graph: CompiledGraph) -> bool:
    """Say whether the graph calls its tools so that a callback hears of each of them: by LangGraph's own node for tools."""
    graphs = (graph, *(each for _, each in subgraphs_of(graph, recurse=True)))
    return any(_is_tool_node(node) for each in graphs for node in each.nodes.values())


def delta_channels(graph: CompiledGraph) -> frozenset[str]:
    """Return the channels whose values checkpoints do not hold."""
    return frozenset(
        name for name, channel in graph.channels.items() if isinstance(channel, DeltaChannel)
    )


def _is_tool_node(node: object) -> bool:
    kinds = type(getattr(node, "bound", None)).__mro__
    return any(kind.__name__ == "ToolNode" for kind in kinds)


def _takes_messages(channel: object) -> bool:
    reducer = getattr(channel, "operator", None) or getattr(channel, "reducer", None)
    reducer = getattr(reducer, "func", reducer)  # `add_messages(format=…)` is a partial.
    if reducer is add_messages:
        return True
    module, name = getattr(reducer, "__module__", ""), getattr(reducer, "__name__", "")
    return module in MESSAGE_MODULES and "messages" in name


def is_state_graph(graph: CompiledGraph) -> bool:
    """Say whether it is a compiled StateGraph: which nodes its checkpoints start can be told by their channels' names."""
    return isinstance(graph, CompiledStateGraph)
