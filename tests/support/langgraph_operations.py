"""What users do with a compiled graph and its threads, as data; and subjects: a saver with a graph, on which it is done.

An operation names checkpoints, nodes and questions by number, modulo how many there are, so that it means the same on every
subject whatever the ids are.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END
from langgraph.types import Command, StateUpdate

from .langgraph_graphs import Built, GraphRecipe, identified
from .langgraph_model import Shown
from .langgraph_values import LONG, value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from langchain_core.runnables import RunnableConfig
    from langgraph.types import StateSnapshot

    from .langgraph_graphs import Graph, Saver

Durability = Literal["sync", "async", "exit"]

STEPS_MAX = 12
"""LangGraph's own limit for a run; reaching it is an outcome like any other."""


@dataclass(frozen=True)
class Change:
    """A new input, or an update from outside: one thing for each number, and its content."""

    kinds: tuple[int, ...]
    pick: int = 0

    def content(self, mark: str) -> dict[str, Any]:
        """Make the input; each time new objects."""
        parts: list[dict[str, Any]] = [
            {"messages": [HumanMessage(f"{mark} asks. {LONG * (self.pick % 2)}", id=f"h-{mark}")]},
            {
                "messages": [
                    {"role": "user", "content": f"{mark} says"},
                    ("ai", mark),
                    AIMessage(mark),
                ]
            },
            {"items": [mark, value(self.pick)]},
            {"table": {mark: value(self.pick), "k1": None}},
            {"last": value(self.pick)},
            {"doc": {"marks": [mark], "deep": {"value": value(self.pick)}}},
            {"ranks": [self.pick]},
            {"log": [mark, value(self.pick)]},
        ]
        content: dict[str, Any] = {}
        for kind in self.kinds:
            content |= parts[kind % len(parts)]
        return content


@dataclass(frozen=True)
class Call:
    """How a run is called."""

    durability: Durability = "async"
    run: int = 0
    """The number of the run id in the metadata; 0 for none."""
    interrupt_before: int = 0
    """The number of a node, from 1; 0 for what the graph was compiled with."""
    interrupt_after: int = 0
    at: int | None = None
    """The checkpoint that the run starts from, newest first; None for the newest, without naming it."""
    tenant: str = ""


@dataclass(frozen=True)
class Invoke:
    """A new input, or none: go on."""

    change: Change | None
    call: Call = Call()


@dataclass(frozen=True)
class Resume:
    """An answer: to the one open question, or by the questions' ids to those that the mask chooses."""

    answer: int
    mask: int = 0
    call: Call = Call()


@dataclass(frozen=True)
class Goto:
    """A Command that sends the run to a node, and may bring an update."""

    node: int
    change: Change | None = None
    call: Call = Call()


@dataclass(frozen=True)
class Update:
    """An update of the state by hand, as some node or none."""

    change: Change
    node: int = 0
    """From 1; 0 leaves it to LangGraph."""
    at: int | None = None


@dataclass(frozen=True)
class UpdateBulk:
    """Supersteps of updates: each names its change and its node."""

    supersteps: tuple[tuple[tuple[Change, int], ...], ...]
    at: int | None = None


@dataclass(frozen=True)
class Special:
    """The updates with a meaning of their own."""

    node: Literal["__copy__", "__end__", "__input__"]
    change: Change | None = None
    at: int | None = None


@dataclass(frozen=True)
class UpdateNested:
    """An update inside the first subgraph that is open."""

    change: Change


@dataclass(frozen=True)
class Look:
    """A part of the history."""

    limit: int | None = None
    before: int | None = None
    source: str = ""
    nested: bool = False


@dataclass(frozen=True)
class Restart:
    """Close the saver and open it again; a saver that lives in memory goes on."""


Operation: TypeAlias = (
    "Invoke | Resume | Goto | Update | UpdateBulk | Special | UpdateNested | Look | Restart"
)


@dataclass(frozen=True)
class Plan:
    """A graph and what is done with it."""

    graph: GraphRecipe
    operations: tuple[Operation, ...]


@dataclass
class Subject:
    """One saver with its graph; `opened` gives the saver, and again after each closing."""

    name: str
    recipe: GraphRecipe
    opened: Callable[[], Awaitable[Saver]]
    closed: Callable[[Saver], Awaitable[None]] | None = None
    is_lasting: bool = True
    """Whether it finds all again that it held when it was closed."""
    thread_id: str = "thread"
    is_sync: bool = False
    """Whether the graph is called by its sync methods, from threads."""
    built: Built = field(init=False)
    saver: Saver = field(init=False)
    graph: Graph = field(init=False)
    marks: Counter[str] = field(default_factory=Counter)

    async def open(self) -> Subject:
        """Open the saver and compile the graph."""
        self.built = Built(self.recipe, is_sync=self.is_sync)
        self.saver = await self.opened()
        self.graph = self.built.compile(self.saver)
        return self

    async def close(self) -> None:
        """Close the saver for good."""
        if self.closed:
            await self.closed(self.saver)

    async def restart(self) -> None:
        """Close the saver and go on with another one on the same storage."""
        if self.closed and self.is_lasting:
            await self.closed(self.saver)
            self.saver = await self.opened()
            self.graph = self.built.compile(self.saver)

    # ------------------------------------------------------------------ operations

    async def play(self, operation: Operation) -> Any:
        """Do it; return what came of it, shown: the result, or the error that LangGraph raised."""
        self.marks["operations"] += 1
        try:
            result = await _PLAYS[type(operation)](self, operation)
        except Exception as error:  # noqa: BLE001 - what is raised is an outcome, to be the same for each saver
            return _raised(error)
        return Shown().value(result)

    @property
    def mark(self) -> str:
        """Return a text that tells this operation's content from others'."""
        return f"op{self.marks['operations']}"

    @property
    def config(self) -> RunnableConfig:
        """Return what names the thread, and no checkpoint."""
        return {"configurable": {"thread_id": self.thread_id}}

    async def history(self, **options: Any) -> list[StateSnapshot]:
        """List the thread's snapshots, newest first."""
        if self.is_sync:
            return await asyncio.to_thread(self._history_now, options)
        return [state async for state in self.graph.aget_state_history(self.config, **options)]

    def _history_now(self, options: dict[str, Any]) -> list[StateSnapshot]:
        return list(self.graph.get_state_history(self.config, **options))

    async def at(self, at: int | None) -> RunnableConfig:
        """Return what names a checkpoint by its number, newest first."""
        history = await self.history() if at is not None else []
        return history[at % len(history)].config if at is not None and history else self.config

    async def run(self, given: Any, call: Call) -> Any:
        """Run the graph."""
        base = await self.at(call.at)
        metadata: dict[str, Any] = {"flag": True}
        if call.run:
            metadata["run_id"] = f"run-{call.run}"
        config: RunnableConfig = {
            "configurable": {
                **base["configurable"],
                **({"tenant": call.tenant} if call.tenant else {}),
            },
            "metadata": metadata,
            "recursion_limit": STEPS_MAX,
        }
        nodes: dict[str, Any] = {}
        if call.interrupt_before:
            nodes["interrupt_before"] = [self.node(call.interrupt_before - 1)]
        if call.interrupt_after:
            nodes["interrupt_after"] = [self.node(call.interrupt_after - 1)]
        if self.is_sync:
            return await asyncio.to_thread(
                self.graph.invoke, given, config, durability=call.durability, **nodes
            )
        return await self.graph.ainvoke(given, config, durability=call.durability, **nodes)

    def node(self, number: int) -> str:
        """Return a node's name by its number."""
        names = self.recipe.names
        return names[number % len(names)]

    def content(self, change: Change | None, place: str = "") -> dict[str, Any] | None:
        """Make a change's content for this operation."""
        content = change and change.content(self.mark + place)
        return identified(content) if self.is_sync or self.recipe.gives_ids else content

    # ------------------------------------------------------------------ what must be equal

    async def shown(self) -> dict[str, Any]:
        """Show the head of the thread, through the graph and through the saver."""
        try:
            state = Shown().snapshot(await self.graph.aget_state(self.config, subgraphs=True))
        except Exception as error:  # noqa: BLE001 - as above; a reducer may refuse what is pending
            state = _raised(error)
        tuples = Shown()
        head = await self.saver.aget_tuple(self.config)
        newest = {"configurable": {**self.config["configurable"], "checkpoint_ns": ""}}
        held = [tuples.tuple(one) async for one in self.saver.alist(newest, limit=3)]
        return {"state": state, "tuples": held, "head": head and tuples.tuple(head)}

    async def shown_whole(self) -> dict[str, Any]:
        """Show every checkpoint of the thread, through the graph and through the saver."""
        shown = Shown()
        held = [one async for one in self.saver.alist(self.config)]
        try:
            history: list[Any] = [shown.snapshot(state) for state in await self.history()]
        except Exception as error:  # noqa: BLE001 - as above
            history = _raised(error)
        return {"history": history, "tuples": Shown().namespaces(held)}


def _raised(error: Exception) -> list[Any]:
    return ["raised", type(error).__name__, Shown().text(str(error).split("\n")[0])]


async def _invoke(subject: Subject, operation: Invoke) -> Any:
    return await subject.run(subject.content(operation.change), operation.call)


async def _resume(subject: Subject, operation: Resume) -> Any:
    answer: Any = value(operation.answer)
    if operation.mask or subject.recipe.is_contested:
        state = await subject.graph.aget_state(await subject.at(operation.call.at))
        asked = sorted(state.interrupts, key=lambda one: repr(one.value))
        chosen = [one.id for at, one in enumerate(asked) if operation.mask >> at & 1]
        if operation.mask or not asked:  # If nobody has asked yet, who asks first would take it.
            answer = {name: [value(operation.answer), at] for at, name in enumerate(chosen)}
    return await subject.run(Command(resume=answer), operation.call)


async def _goto(subject: Subject, operation: Goto) -> Any:
    update = subject.content(operation.change)
    return await subject.run(
        Command(goto=subject.node(operation.node), update=update), operation.call
    )


async def _update(subject: Subject, operation: Update) -> Any:
    as_node = subject.node(operation.node - 1) if operation.node else None
    config = await subject.at(operation.at)
    values = subject.content(operation.change)
    if subject.is_sync:
        return await asyncio.to_thread(subject.graph.update_state, config, values, as_node)
    return await subject.graph.aupdate_state(config, values, as_node)


async def _update_bulk(subject: Subject, operation: UpdateBulk) -> Any:
    supersteps = [
        [
            StateUpdate(subject.content(change, f".{step}.{at}"), subject.node(node))
            for at, (change, node) in enumerate(superstep)
        ]
        for step, superstep in enumerate(operation.supersteps)
    ]
    return await subject.graph.abulk_update_state(await subject.at(operation.at), supersteps)


async def _special(subject: Subject, operation: Special) -> Any:
    values: Any = None if operation.node == END else subject.content(operation.change)
    if operation.node == "__copy__":
        values = [(values, subject.node(0))] if values else None
    config = await subject.at(operation.at)
    return await subject.graph.aupdate_state(config, values, operation.node)


async def _update_nested(subject: Subject, operation: UpdateNested) -> Any:
    state = await subject.graph.aget_state(subject.config, subgraphs=True)
    for task in state.tasks:
        # One that has not begun fails when it was updated, and what is beside it is cancelled: a race.
        if getattr(task.state, "metadata", None):
            return await subject.graph.aupdate_state(
                task.state.config, subject.content(operation.change)
            )
    return "nothing is open"


async def _look(subject: Subject, operation: Look) -> Any:
    options: dict[str, Any] = {"limit": operation.limit}
    if operation.before is not None:
        options["before"] = await subject.at(operation.before)
    if operation.source:
        options["filter"] = {"source": operation.source}
    shown = Shown()
    if operation.nested:
        held = [
            one async for one in subject.saver.alist(subject.config, filter=options.get("filter"))
        ]
        return shown.namespaces(held)
    return [shown.snapshot(state) for state in await subject.history(**options)]


async def _restart(subject: Subject, operation: Restart) -> None:
    del operation
    await subject.restart()


_PLAYS: dict[type[Any], Callable[[Subject, Any], Awaitable[Any]]] = {
    Invoke: _invoke,
    Resume: _resume,
    Goto: _goto,
    Update: _update,
    UpdateBulk: _update_bulk,
    Special: _special,
    UpdateNested: _update_nested,
    Look: _look,
    Restart: _restart,
}
