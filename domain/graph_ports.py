"""What the engine and graphs need of each other: what a runner gets, what it gives, and the port that it implements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime
    from typing import Literal

    from .changes import ChannelChange, GraphEnd
    from .commands import Command
    from .events import RecordedEvent
    from .ports import Ids
    from .thread import Thread
    from .values import Json, JsonObject


Intent: TypeAlias = "Command | Callable[[Thread, datetime], Command | None]"
"""A command, or what makes one (or none) of the newest thread and the time; it is called again for each decision."""


class CheckpointLog(Protocol):
    """A door to threads' logs for a checkpointer. Everything recorded through one door keeps its order."""

    @property
    def loop(self) -> Any:  # noqa: ANN401 - the domain knows of no event loops
        """The event loop that the log lives on, for callers in other threads; None before it was used."""
        ...

    async def thread(self, thread_id: str) -> Thread:
        """Return the thread as it stands, with all that was recorded through this door before."""
        ...

    def peek(self, thread_id: str) -> Thread | None:
        """Return the thread as this process saw it last, if it has; what is queued is not in it."""
        ...

    async def whole(self, thread_id: str) -> Thread:
        """Return the thread with every checkpoint that the log holds, also those that a fold leaves out to save memory."""
        ...

    async def events(self, thread_id: str) -> Sequence[RecordedEvent]:
        """Return the thread's events, those of rolled-back runs included."""
        ...

    async def thread_ids(self) -> Sequence[str]:
        """Return the ids of all threads, the one changed last first."""
        ...

    async def record(self, thread_id: str, intents: Sequence[Intent]) -> None:
        """Record these, all or nothing, after what was recorded before.

        At a door that queues, it returns when they are queued, at others when they are durable.

        Raises:
            StaleAttemptError: the door is a run's, and the run's attempt is fenced.
            RefusedError: another of its subclasses says why not.
            StoreError: the store is away.
        """
        ...


class RunLog(CheckpointLog, Protocol):
    """The attempt's own door to its thread's log: fenced, and queued."""

    @property
    def thread_id(self) -> str:
        """The thread's id."""
        ...

    @property
    def run_id(self) -> str:
        """The run's id."""
        ...

    @property
    def attempt(self) -> int:
        """The attempt's number, from 1."""
        ...

    def post(self, intents: Sequence[Intent]) -> None:
        """Queue these, from any thread, without waiting; what the fence refuses is dropped without a word."""
        ...

    def before_stop(self, tell: Callable[[], Sequence[Intent]]) -> None:
        """Have `tell` called before a decision that may stop the run: what it returns is recorded before that."""
        ...

    async def flush(self) -> None:
        """Return when what was recorded is durable, or refused. Raises as `record` does."""
        ...


class GraphFailed(Exception):  # noqa: N818 - it carries an error, and what stood when it was raised
    """The graph's code raised `error`; `end` is what stood then. For runners alone: no caller ever sees it."""

    def __init__(self, error: BaseException, end: GraphEnd) -> None:
        super().__init__(str(error))
        self.error = error
        self.end = end


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a graph runner gets to run one attempt.

    `record` takes one step, in order; it is fenced, and durable at the latest when the run's end is (with durability sync:
    when it returns). `emit` hands a part that is no
    event of the thread to whoever streams the run. `state` holds the values that the run starts on;
    they share the fold's objects, so a runner hands copies to the user's code, and changes nothing
    in them.
    """

    thread_id: str
    run_id: str
    attempt: int
    graph_id: str
    assistant_id: str
    has_input: bool
    input: Json
    state: Mapping[str, Json]
    config: JsonObject
    context: JsonObject
    results: Mapping[str, Json]
    record: Callable[[StepWrite], Awaitable[None]]
    record_result: Callable[[str, Json], Awaitable[None]]
    emit: Callable[[str, Json], None]
    is_followed: Callable[[], bool]
    """Says whether anybody would get what is emitted now."""
    ids: Ids
    kwargs: JsonObject
    """All that the run was given beside its input: command, interrupt_before, stream_mode, durability, …"""
    log: RunLog
    caller: Mapping[str, object] = field(default_factory=dict[str, object])
    """What the graph finds of whoever asked for the run in its `config["configurable"]`; recorded nowhere."""
    hold: Callable[[Callable[[], GraphEnd]], None] | None = None
    """Of a run that nothing is kept of, checkpoints neither: takes what says how it stands so far. None: all is recorded."""


@dataclass(frozen=True, slots=True)
class StepWrite:
    """One step as a runner gives it: the node's update, and what it does to each channel."""

    node: str
    source: Literal["input", "loop"]
    next: tuple[str, ...]
    update: JsonObject | None
    changes: Mapping[str, ChannelChange]


class GraphRunner(Protocol):
    """Runs one kind of graph."""

    @property
    def graph_id(self) -> str:
        """The name that the graph is registered under."""
        ...

    @property
    def nodes(self) -> frozenset[str] | None:
        """Names that `as_node` may take; None if any."""
        ...

    @property
    def is_typed(self) -> bool:
        """Whether `prepare` returns input in typed form (`typed.py`), and values are in that form too."""
        ...

    def prepare(self, input: Json, ids: Ids) -> Json:
        """Return a run's input in stored form, messages with ids.

        What does not fit is left for the run to fail on.
        """
        ...

    async def run(self, context: RunContext) -> GraphEnd | None:
        """Run one attempt to its end, and say what stands then; None: nothing but what was recorded.

        Raises what the user's code raises, itself or in a GraphFailed, or StaleAttemptError at the fence.
        """
        ...


@dataclass(frozen=True, slots=True)
class GraphSchemas:
    """JSON schemas of what a graph takes, gives and keeps; None where it has none, or one that JSON cannot tell."""

    input: JsonObject | None = None
    output: JsonObject | None = None
    state: JsonObject | None = None
    config: JsonObject | None = None
    context: JsonObject | None = None


class DescribedGraph(Protocol):
    """A runner whose graph can be shown. If a graph is made for each use, the methods raise what making it raises."""

    async def drawable(self, *, xray: int | bool = False) -> JsonObject:
        """Return its nodes and edges; with `xray`, subgraphs are drawn in (so many levels of them, if it is a number)."""
        ...

    async def schemas(self) -> GraphSchemas:
        """Return the JSON schemas of what it takes, gives and keeps."""
        ...

    async def subgraphs(
        self, *, namespace: str | None = None, recurse: bool = False
    ) -> Mapping[str, GraphSchemas]:
        """Return the schemas of its subgraphs by namespace, of the one named or of all."""
        ...


class ReducingGraph(GraphRunner, Protocol):
    """A runner whose state is the thread's channels: an update from outside goes through its reducers."""

    def update(
        self, values: Mapping[str, Json], update: Json, ids: Ids
    ) -> tuple[JsonObject, Mapping[str, ChannelChange]]:
        """Apply the graph's reducers: return the update in canonical form, and what it changes.

        Raises:
            InvalidInputError: the update does not fit the graph's channels.
        """
        ...

    def next_after(self, node: str | None, values: Mapping[str, Json]) -> tuple[str, ...]:
        """Return what would run next, had `node` just given these values."""
        ...
