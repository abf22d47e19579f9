"""A graph's own stream, part by part, as what followers of its run get. How parts become server-sent events is not here."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from .live import LiveList
from .private import public_event, public_part
from .showing import shown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

    from langchain_core.runnables import RunnableConfig

    from ...domain.values import Json
    from .compiled import CompiledGraph
    from .types import TypeRegistry
    from .values import ValueCodec

MODES = frozenset({"values", "updates", "custom", "messages", "checkpoints", "tasks", "debug"})
"""The modes that LangGraph streams by itself."""

VALUES = "values"

EVENTS = "events"
"""What happens inside the graph's runnables; LangChain's own stream, which holds LangGraph's."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the followers of a run want of its stream: these modes of LangGraph, of its subgraphs too or not."""

    modes: tuple[str, ...]
    has_events: bool
    has_subgraphs: bool


def asked_of(kwargs: Mapping[str, Json]) -> Asked:
    """Return what was asked for: the modes named, `values` if none were; those that nobody knows are left out."""
    given = kwargs.get("stream_mode")
    named: Sequence[Json] = given if isinstance(given, list) else [given or "values"]
    modes = ["messages" if mode == "messages-tuple" else mode for mode in named]
    return Asked(
        modes=tuple(
            dict.fromkeys(mode for mode in modes if isinstance(mode, str) and mode in MODES)
        ),
        has_events=EVENTS in modes,
        has_subgraphs=kwargs.get("stream_subgraphs") is True,
    )


async def stream(
    graph: CompiledGraph,
    given: object,
    config: RunnableConfig,
    asked: Asked,
    emit: Callable[[str, Json], None],
    is_followed: Callable[[], bool] = lambda: True,
    types: TypeRegistry | None = None,
    hold: Callable[[object], None] | None = None,
    **options: object,
) -> None:
    """Run the graph to its end, and emit the parts that were asked for as they come, while somebody follows the run.

    `hold` gets the graph's values whenever they are new, followed or not.

    A part's name is its mode, followed by the namespace of the subgraph that it is of: `updates|child:<task id>`. Objects of
    `types` are shown as states show them.
    """
    modes = asked.modes if hold is None else tuple(dict.fromkeys((*asked.modes, VALUES)))
    options |= {"stream_mode": list(modes), "subgraphs": asked.has_subgraphs}
    parts = _Parts(asked, emit, types, is_followed, hold)
    if asked.has_events:
        events = graph.astream_events(given, config, version="v2", **options)
        async with aclosing(_generator(events)) as stream:
            async for event in stream:
                parts.take_event(event)
        return
    async with aclosing(_generator(graph.astream(given, config, **options))) as stream:
        async for part in stream:
            parts.take(part)


def _generator(stream: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    return cast("AsyncGenerator[Any, None]", stream)


class _Parts:
    """Emits a run's parts. A list is shown anew only where it changed: states are long, and come after each step."""

    def __init__(
        self,
        asked: Asked,
        emit: Callable[[str, Json], None],
        types: TypeRegistry | None,
        is_followed: Callable[[], bool],
        hold: Callable[[object], None] | None,
    ) -> None:
        self._is_followed = is_followed
        self._hold = hold
        self._asked = asked
        self._emit = emit
        self._types = types
        self._showing = cast("ValueCodec", _Showing(types))
        self._lists: dict[tuple[str, str], LiveList] = {}

    def take(self, part: tuple[Any, ...]) -> None:
        """Emit a part of LangGraph's stream."""
        namespace = cast("tuple[str, ...]", part[0] if self._asked.has_subgraphs else ())
        mode, payload = part[-2:]
        if mode == VALUES and self._hold is not None:
            if not namespace:
                self._hold(payload)
            if VALUES not in self._asked.modes:
                return
        if not self._is_followed():
            return
        name = "|".join((mode, *namespace))
        if mode == "values" and type(payload) is dict:
            values = cast("dict[object, object]", payload)
            self._emit(name, {str(key): self._value(name, key, values[key]) for key in values})
        else:
            self._emit(name, shown(public_part(mode, payload), self._types))

    def take_event(self, event: dict[str, Any]) -> None:
        """Emit an event of LangChain's; what the graph itself streams comes inside of those of the run itself."""
        is_own = not event["parent_ids"]
        if is_own and event["event"] == "on_chain_stream":
            self.take(event["data"]["chunk"])
        elif self._is_followed():
            self._emit(EVENTS, shown(public_event(event), self._types))

    def _value(self, name: str, key: object, value: object) -> Json:
        if type(value) is not list:
            return shown(value, self._types)
        before = self._lists.get((name, str(key))) or LiveList([])
        _, live = before.change_to(cast("list[object]", value), self._showing, "")
        self._lists[name, str(key)] = live
        return live.values


class _Showing:
    """Shows elements where a `LiveList` would have them encoded."""

    def __init__(self, types: TypeRegistry | None) -> None:
        self._types = types

    def encode(self, value: object, where: str) -> Json:
        del where
        return shown(value, self._types)

    def recalled(self, value: object) -> None:
        """Return nothing: what was shown is not kept."""
