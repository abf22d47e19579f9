"""Graphs that are plain functions: `agent(state, run)`, async or not, or an async generator. No LangGraph here."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from ...domain.changes import Replace
from ...domain.errors import ConfigurationError, InvalidInputError, ReducerError
from ...domain.graph_ports import StepWrite
from ...domain.reducers import Schema, applied, messages
from ...domain.tool_calls import provider_valid
from ...domain.values import canonical
from .appearance import drawing, state_schemas
from .authoring import Custom, MessageChunk, RunHandle, Update, streamed
from .read_only_state import ReadOnlyState
from .state_types import annotated_state, is_state_type, schema_of
from .threads import Threads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ...domain.changes import ChannelChange
    from ...domain.graph_ports import GraphSchemas, RunContext
    from ...domain.ports import Ids
    from ...domain.values import Json, JsonObject

__all__ = [
    "AgentFunction",
    "Custom",
    "FunctionGraph",
    "MessageChunk",
    "ReadOnlyState",
    "RunHandle",
    "Update",
]

AgentFunction: TypeAlias = "Callable[..., object]"
"""`agent(state)` or `agent(state, run)`: async generator function, async function or plain function."""

INPUT_NODE = "__start__"
"""The node that a run's input counts as."""

_END = object()


# ------------------------------------------------------------------ the runner


class FunctionGraph:
    """Runs a function as a graph of one node; the port's `GraphRunner`.

    The state's type is `state`, or the annotation of the function's first parameter. Its fields are the channels. Without
    one, any name is a channel: `messages` is upserted by id, each other one holds its last value. With `closes_tool_calls`, new
    input closes the tool calls that a stopped run left without a result, so that model providers accept the history.

    Raises:
        ConfigurationError: the function or the state's type cannot be used as such.
    """

    def __init__(
        self,
        graph_id: str,
        function: AgentFunction,
        *,
        state: object = None,
        threads: Threads | None = None,
        closes_tool_calls: bool = True,
    ) -> None:
        self._closes_tool_calls = closes_tool_calls
        self._graph_id = graph_id
        self._function = function
        self._state = state
        self._threads = threads or Threads()
        try:
            parameters = _parameters(function)
            self._takes_run = len(parameters) > 1
            self._state_type = _state_type(function, parameters[0], state)
            self.schema = Schema() if self._state_type is None else schema_of(self._state_type)
        except ConfigurationError as error:
            raise ConfigurationError(f"graph {graph_id}: {error}") from error
        self.node = _node_name(function, graph_id)
        """The node that the function's own updates are by: its name."""

    @property
    def graph_id(self) -> str:
        """The graph's name."""
        return self._graph_id

    @property
    def nodes(self) -> frozenset[str] | None:
        """None: an `Update` may name any node, so any may be named from outside."""
        return None

    @property
    def is_typed(self) -> bool:
        """False: values are JSON, as they are."""
        return False

    def renamed(self, graph_id: str, threads: Threads | None = None) -> FunctionGraph:
        """Return the same graph under another id, and perhaps with other threads."""
        threads = threads or self._threads
        return FunctionGraph(
            graph_id,
            self._function,
            state=self._state,
            threads=threads,
            closes_tool_calls=self._closes_tool_calls,
        )

    def prepare(self, input: Json, ids: Ids) -> Json:
        """Return a run's input in stored form, messages with ids.

        Input that does not fit comes back unchanged, and the run that gets it fails with the reason.
        """
        if not isinstance(input, dict):
            return input
        try:
            return {**input, **self.schema.normalized(input, ids.message_id)}
        except InvalidInputError:
            return input

    async def run(self, context: RunContext) -> None:
        """Run one attempt to its end; raises what the function raises, or StaleAttemptError at the fence."""
        handle = RunHandle(context, self._threads)
        attempt = _Attempt(
            context, self.schema, self.node, closes_tool_calls=self._closes_tool_calls
        )
        if context.has_input and context.input is not None:
            await attempt.take_input(context.input)
        arguments = (attempt.view, handle) if self._takes_run else (attempt.view,)
        given = await self._threads.call(self._function, *arguments)
        if isinstance(given, AsyncGenerator):
            await attempt.take_all(cast("AsyncGenerator[object, None]", given))
        elif given is not None:
            await attempt.take(given)
        _raise_if_cancelled()

    def update(
        self, values: Mapping[str, Json], update: Json, ids: Ids
    ) -> tuple[JsonObject, Mapping[str, ChannelChange]]:
        """Apply the graph's reducers to an update from outside; names that are no channels are left out.

        Raises:
            InvalidInputError: the update does not fit the graph's channels.
        """
        given = {} if update is None else canonical(update, "values")
        normalized = self.schema.normalized(given, ids.message_id)
        return normalized, self.schema.changes(values, normalized)

    def next_after(self, node: str | None, values: Mapping[str, Json]) -> tuple[str, ...]:
        """Return nothing: a function runs as a whole, so nothing ever stands open behind a node."""
        del node, values
        return ()

    # ------------------------------------------------------------------ what the graph is

    async def drawable(self, *, xray: int | bool = False) -> JsonObject:
        """Return its one node, between where it starts and where it ends."""
        del xray
        return drawing(self.node, self._function)

    async def schemas(self) -> GraphSchemas:
        """Return the JSON schemas of its state, which are those of what it takes and gives, too."""
        return state_schemas(self._state_type)

    async def subgraphs(
        self, *, namespace: str | None = None, recurse: bool = False
    ) -> Mapping[str, GraphSchemas]:
        """Return nothing: a function has no subgraphs."""
        del namespace, recurse
        return {}


class _Attempt:
    """The values of one attempt, and the recording of what changes them."""

    def __init__(
        self, context: RunContext, schema: Schema, node: str, *, closes_tool_calls: bool
    ) -> None:
        self._context = context
        self._closes_tool_calls = closes_tool_calls
        self._schema = schema
        self._node = node
        self._values = dict(context.state)
        # Neither the context's values nor those put here later are ever changed in place, or handed out.
        self.view = ReadOnlyState(self._values)

    async def take_input(self, given: Json) -> None:
        """Record the input; messages that have an id keep it. Tool calls that a stopped run left open are closed before it."""
        update = self._schema.normalized(given, self._context.ids.message_id)
        changes = self._schema.changes(self._values, update)
        if self._closes_tool_calls:
            changes |= self._closed(changes)
        await self._write(INPUT_NODE, "input", update, changes)

    def _closed(self, changes: Mapping[str, ChannelChange]) -> dict[str, ChannelChange]:
        """Return what becomes of the message channels whose history a model provider would refuse."""
        closed: dict[str, ChannelChange] = {}
        for name, reducer in self._schema.reducers.items():
            before = self._values.get(name)
            change = changes.get(name)
            after = before if change is None else applied(before, change)
            if reducer is messages and isinstance(after, list):
                old = before if isinstance(before, list) else []
                sound = provider_valid(old, after, self._context.ids.message_id)
                if sound is not None:
                    closed[name] = Replace(sound)
        return closed

    async def take_all(self, stream: AsyncGenerator[object, None]) -> None:
        """Take what the generator yields. An update that is refused, and a cancellation, are raised at its `yield`."""
        async with aclosing(stream):
            given = await _yielded(anext(stream))
            while given is not _END:
                try:
                    await self.take(given)
                except InvalidInputError as error:
                    given = await _yielded(stream.athrow(error))
                except asyncio.CancelledError as error:
                    given = await _yielded(stream.athrow(error))
                    _raise_if_cancelled()  # It may go on only if it was some time limit of its own.
                else:
                    given = await _yielded(anext(stream))

    async def take(self, given: object) -> None:
        """Record an update, or hand on a part of the stream."""
        _raise_if_cancelled()
        match given:
            case Update(node=node, values=values):
                await self._take_update(node, values)
            case Mapping():
                await self._take_update(self._node, cast("Mapping[str, object]", given))
            case Custom(data=data):
                self._context.emit("custom", canonical(data, f"{self._node}.custom"))
            case MessageChunk():
                self._context.emit("messages", streamed(given, self._node))
            case _:
                raise InvalidInputError(
                    f"{self._node} gave {_shown(given)}; expected a dict of channels, "
                    "Update(node, values), Custom(data) or MessageChunk(message)"
                )

    async def _take_update(self, node: str, values: Mapping[str, object]) -> None:
        update = canonical(values, node)
        names = self._schema.names
        if names is not None and isinstance(update, dict):
            for name in update:
                if name not in names:
                    known = ", ".join(sorted(names)) or "none"
                    raise ReducerError(
                        channel=f"{node}.{name}", problem=f"no such channel; the state has {known}"
                    )
        await self._record(
            node, "loop", self._schema.normalized(update, self._context.ids.message_id)
        )

    async def _record(
        self, node: str, source: Literal["input", "loop"], update: JsonObject
    ) -> None:
        await self._write(node, source, update, self._schema.changes(self._values, update))

    async def _write(
        self,
        node: str,
        source: Literal["input", "loop"],
        update: JsonObject,
        changes: Mapping[str, ChannelChange],
    ) -> None:
        await self._context.record(
            StepWrite(node=node, source=source, next=(self._node,), update=update, changes=changes)
        )
        for name, change in changes.items():
            self._values[name] = applied(self._values.get(name), change)


async def _yielded(yielding: Awaitable[object]) -> object:
    try:
        return await yielding
    except StopAsyncIteration:
        return _END


def _raise_if_cancelled() -> None:
    """Stop code that caught its cancellation and goes on."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


# ------------------------------------------------------------------ helpers


def _parameters(function: object) -> list[inspect.Parameter]:
    """Return the one or two parameters that the function is called with."""
    if isinstance(function, type) or not callable(function):
        raise ConfigurationError(f"expected a function agent(state, run), got {_shown(function)}")
    if inspect.isgeneratorfunction(function):
        problem = "a sync generator would block the event loop: write `async def` before it"
        raise ConfigurationError(problem)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the signature of {function!r} cannot be read") from error
    positional = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    # A second parameter with a default is some option of the author's, unless it is called `run`.
    taken = [
        parameter
        for parameter in positional[:2]
        if parameter in positional[:1]
        or parameter.name == "run"
        or parameter.default is parameter.empty
    ]
    try:
        signature.bind(*taken)
    except TypeError:
        taken = []
    if not taken:
        problem = f"expected the parameters agent(state) or agent(state, run), got {signature}"
        raise ConfigurationError(problem)
    return taken


def _state_type(function: AgentFunction, parameter: inspect.Parameter, state: object) -> object:
    """Return the type of the graph's state, None if it has none."""
    if state is not None:
        return state
    annotation = annotated_state(function, parameter)
    return annotation if is_state_type(annotation) else None


def _node_name(function: object, graph_id: str) -> str:
    name = getattr(getattr(function, "func", function), "__name__", "")
    return name if name.isidentifier() else graph_id


def _shown(value: object) -> str:
    text = repr(value)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return f"{text} ({type(value).__name__})"
