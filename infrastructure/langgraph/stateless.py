"""Runs of a graph without a checkpointer: nothing is kept but what they come to, for as long as somebody waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ...domain.changes import GraphEnd
from ...domain.errors import StaleAttemptError
from ...domain.events import Task
from ...domain.graph_ports import GraphFailed
from .closing import brings_input
from .compiled import message_channels
from .inputs import ROOT
from .pairing import arriving_in, plan_of, without
from .run_config import breakpoints, run_context
from .showing import shown, shown_interrupt
from .streaming import asked_of, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.runtime import RunControl
    from langgraph.types import Interrupt

    from ...domain.graph_ports import RunContext
    from ...domain.values import JsonObject
    from .compiled import CompiledGraph
    from .types import TypeRegistry
    from .values import ValueCodec

INTERRUPT = "__interrupt__"
PRIVATE = "__pregel_"


def sound_input(graph: CompiledGraph, given: object) -> object:
    """Return a run's input without results that answer no tool call: there is no history that could hold the call."""
    if not brings_input(given):
        return given
    for name in message_channels(graph):
        arriving = arriving_in(given, name)
        if arriving is not None:
            given = without(given, name, plan_of([], arriving, ()).strays)
    return given


class StatelessRun:
    """One attempt of a run of a graph that is bound to no checkpointer."""

    def __init__(self, graph: CompiledGraph, codec: ValueCodec, context: RunContext) -> None:
        self._graph = graph
        self._types = codec.types
        self._context = context
        self._seen: object = None

    async def run(self, given: object, config: RunnableConfig, control: RunControl) -> GraphEnd:
        """Run it to its end, and say what it came to: the values that it streamed last, and the questions that it stopped at.

        Raises GraphFailed with what the graph's code raised, or StaleAttemptError at the fence.
        """
        context = self._context
        hold = cast("Callable[[Callable[[], GraphEnd]], None]", context.hold)
        hold(self._end)
        try:
            await stream(
                self._graph,
                given,
                config,
                asked_of(context.kwargs),
                context.emit,
                context.is_followed,
                self._types,
                self._take,
                context=run_context(self._graph, context),
                interrupt_before=breakpoints(context.kwargs, "interrupt_before"),
                interrupt_after=breakpoints(context.kwargs, "interrupt_after"),
                control=control,
            )
        except StaleAttemptError:
            raise
        except Exception as error:
            raise GraphFailed(error, self._end()) from error
        return self._end()

    def _take(self, payload: object) -> None:
        self._seen = payload

    def _end(self) -> GraphEnd:
        seen = self._seen
        if not isinstance(seen, dict):
            values: JsonObject = {} if seen is None else {ROOT: shown(seen, self._types)}
            return GraphEnd(values=values)
        held = cast("dict[str, Any]", seen)
        asked = cast("Sequence[Interrupt[Any]]", held.get(INTERRUPT, ()))
        questions = tuple(map(shown_interrupt, asked))
        return GraphEnd(
            values=_shown(held, self._types),
            # Who asked is not known: nothing is kept that could tell, or that could be resumed.
            tasks=(Task(id=INTERRUPT, name=INTERRUPT, interrupts=questions),) if questions else (),
        )


def _shown(values: dict[str, Any], types: TypeRegistry | None) -> JsonObject:
    return {
        str(name): shown(value, types)
        for name, value in values.items()
        if name != INTERRUPT and not str(name).startswith(PRIVATE)
    }
