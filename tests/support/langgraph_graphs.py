"""Graphs built from recipes: the same recipe gives as many equal graphs as there are savers to compare.

What a node does depends on its recipe, on the state and on how often it was called, on nothing else. Nodes are asynchronous and
yield a few times before they act, so that the order of what parallel nodes do is the same whatever the saver's speed.
"""

from __future__ import annotations

import asyncio
import operator
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    ToolMessage,
)
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages
from langgraph.types import Command, Overwrite, RetryPolicy, Send, interrupt
from typing_extensions import TypedDict

from .langgraph_values import LONG, value

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

    Graph: TypeAlias = CompiledStateGraph[Any, Any, Any, Any]
    Saver: TypeAlias = BaseCheckpointSaver[Any]


def merged(old: dict[Any, Any], new: dict[Any, Any]) -> dict[Any, Any]:
    """Return both; a key with the value None is dropped."""
    both = {**(old or {}), **(new or {})}
    return {key: held for key, held in both.items() if held is not None}


def newest(old: Any, new: Any) -> Any:
    """Let parallel writers overwrite each other, in the order of their tasks."""
    del old
    return new


def ranked(old: list[int], new: int | list[int]) -> list[int]:
    """Keep the highest five, in order: changes in the middle of a list."""
    added = new if isinstance(new, list) else [new]
    return sorted([*(old or []), *added], reverse=True)[:5]


def extended(old: list[Any], written: Sequence[list[Any]]) -> list[Any]:
    """Append everything that was written, in order."""
    return [*old, *(item for items in written for item in items)]


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    items: Annotated[list[Any], operator.add]
    table: Annotated[dict[Any, Any], merged]
    ranks: Annotated[list[int], ranked]
    doc: Annotated[dict[str, Any], newest]
    log: Annotated[list[Any], DeltaChannel(extended, snapshot_frequency=3)]
    last: Any


class Shared(TypedDict, total=False):
    """What a subgraph gives back: not the lists that would double."""

    messages: Annotated[list[AnyMessage], add_messages]
    table: Annotated[dict[Any, Any], merged]
    last: Any


Deed = Literal[
    "say", "say_anonymous", "say_dict", "say_pair", "call_tool", "unsay", "clear", "edit", "add", "put",
    "drop", "rank", "set", "mutate", "mutate_message", "overwrite", "log", "relog", "nothing",
]  # fmt: skip
Link = Literal["edge", "route", "send", "goto", "end"]
Kind = Literal["plain", "stateless", "stateful", "called"]


@dataclass(frozen=True)
class NodeRecipe:
    """One node: what it does, in this order, and where it sends the run next."""

    deeds: tuple[tuple[Deed, int], ...]
    link: Link = "edge"
    targets: int = 0
    """Which nodes of the next layer it leads to: a bit mask."""
    yields: int = 0
    asks: int = 0
    """How many questions it puts to a human, one after the other."""
    fails_every: int = 0
    """It fails at each call whose number this divides."""
    tries: int = 1
    kind: Kind = "plain"
    inner: GraphRecipe | None = None
    """The subgraph, for each kind but a plain node."""
    is_deferred: bool = False


@dataclass(frozen=True)
class GraphRecipe:
    """Layers of nodes; all tasks of one step are of one layer."""

    layers: tuple[tuple[NodeRecipe, ...], ...]
    joins: tuple[bool, ...] = ()
    """Whether all nodes of a layer together lead to the first of the next (fan-in)."""
    loops_until: int = 0
    """The last layer leads back to the first while the ranks are fewer than this."""
    interrupt_before: tuple[int, ...] = ()
    interrupt_after: tuple[int, ...] = ()
    gives_ids: bool = False
    """Whether each message object has an id from the start."""

    @property
    def names(self) -> list[str]:
        """List the nodes, layer by layer."""
        return [
            f"n{at}{place}" for at, layer in enumerate(self.layers) for place in range(len(layer))
        ]

    def nodes(self) -> list[NodeRecipe]:
        """List all nodes, those of subgraphs too."""
        own = [node for layer in self.layers for node in layer]
        return own + [inner for node in own if node.inner for inner in node.inner.nodes()]

    @property
    def is_contested(self) -> bool:
        """Whether one task asks in a subgraph and another may ask in the same step: who is first hangs on the saver's speed."""
        are_several = sum(node.asks > 0 for node in self.nodes()) > 1
        inside = [node.inner for layer in self.layers for node in layer if node.inner]
        is_inside = any(node.asks for graph in inside for node in graph.nodes())
        return is_inside and (are_several or any(node.link == "send" for node in self.nodes()))

    def layer(self, at: int) -> list[str]:
        """List the nodes of one layer; none after the last."""
        inside = at < len(self.layers)
        return [f"n{at}{place}" for place in range(len(self.layers[at]))] if inside else []


class Built:
    """A recipe's nodes with the memory of how often each was called; compiled with a saver, again and again."""

    def __init__(self, recipe: GraphRecipe, *, is_sync: bool = False) -> None:
        self.recipe = recipe
        self.calls: Counter[str] = Counter()
        self.is_sync = is_sync
        """Whether the nodes are plain functions; then there are no subgraphs."""

    def fitting(self, function: Any) -> Any:
        """Return the node or edge as what it is to be."""
        if not self.is_sync:
            return function

        def plain(state: dict[str, Any]) -> Any:
            return identified(_stepped(function(state)))

        return plain

    def completed(self, update: dict[str, Any]) -> dict[str, Any]:
        """Return what a node gives, its messages with ids if the recipe wants it."""
        return identified(update) if self.recipe.gives_ids else update

    def compile(self, saver: Saver) -> Graph:
        """Compile with the saver; the calls counted so far still count."""
        names = self.recipe.names
        return _builder(self.recipe, self, "").compile(
            checkpointer=saver,
            interrupt_before=[names[at % len(names)] for at in self.recipe.interrupt_before],
            interrupt_after=[names[at % len(names)] for at in self.recipe.interrupt_after],
        )


def identified(update: Any) -> Any:
    """Give message objects ids: in threads it is a race whether they are stored before or after LangGraph does that."""
    for message in update.get("messages") or [] if isinstance(update, dict) else []:
        if isinstance(message, BaseMessage) and message.id is None:
            message.id = f"given-{message.content}"
    return update


def _stepped(work: Coroutine[Any, Any, Any]) -> Any:
    """Return what comes of work that waits for nothing, but may yield."""
    try:
        while True:
            work.send(None)
    except StopIteration as done:
        return done.value


def _builder(recipe: GraphRecipe, built: Built, prefix: str) -> StateGraph[Any]:
    builder: StateGraph[Any] = StateGraph(State, output_schema=Shared if prefix else State)
    for at, layer in enumerate(recipe.layers):
        for name, node in zip(recipe.layer(at), layer, strict=True):
            builder.add_node(
                name,
                built.fitting(_node(name, node, recipe.layer(at + 1), built, prefix)),
                retry_policy=RetryPolicy(
                    initial_interval=0.0, max_attempts=node.tries, jitter=False, retry_on=ValueError
                ),
                defer=node.is_deferred,
            )
    for at, layer in enumerate(recipe.layers[:-1]):
        following = recipe.layer(at + 1)
        for name, node in zip(recipe.layer(at), layer, strict=True):
            _lead(builder, built, name, node, following)
        if at < len(recipe.joins) and recipe.joins[at]:
            builder.add_edge(recipe.layer(at), following[0])
    for name in recipe.layer(0):
        builder.add_edge(START, name)
    last = recipe.layer(len(recipe.layers) - 1)[0]
    if recipe.loops_until:

        async def again(state: State) -> list[str]:
            return recipe.layer(0) if len(state.get("ranks") or []) < recipe.loops_until else [END]

        builder.add_conditional_edges(last, built.fitting(again), [*recipe.layer(0), END])
    return builder


def _chosen(names: list[str], mask: int) -> list[str]:
    return [name for at, name in enumerate(names) if mask >> at & 1]


def _lead(
    builder: StateGraph[Any], built: Built, name: str, node: NodeRecipe, following: list[str]
) -> None:
    chosen = _chosen(following, node.targets) or following[:1]
    if node.link in ("end", "goto"):
        return  # A goto is in what the node returns.
    if node.link == "edge":
        for target in chosen:
            builder.add_edge(name, target)
        return

    async def route(state: State) -> list[str]:
        count = len(state.get("items") or [])
        return [chosen[count % len(chosen)]] if count % 3 else list(chosen)

    async def send(state: State) -> list[Send]:
        payload = {"messages": (state.get("messages") or [])[-1:], "last": state.get("last")}
        # Task after task of the same node: their order is the order of these.
        payload["sender"] = name
        return [Send(chosen[0], {**payload, "index": at}) for at in range(1 + node.targets % 3)]

    leads = built.fitting(send if node.link == "send" else route)
    builder.add_conditional_edges(name, leads, chosen)


def _node(name: str, node: NodeRecipe, following: list[str], built: Built, prefix: str) -> Any:
    inner = node.inner and _builder(node.inner, built, f"{prefix}{name}/")
    if inner is not None and node.kind in ("stateless", "stateful"):
        return inner.compile(checkpointer=True if node.kind == "stateful" else None)
    called = inner and inner.compile()
    full_name = prefix + name

    async def run(state: dict[str, Any]) -> Any:
        for _ in range(node.yields):
            await asyncio.sleep(0)
        built.calls[full_name] += 1
        call = built.calls[full_name]
        index = state.get("index")
        answers = []
        if not index:  # Of tasks that a Send made, the first one alone asks.
            # No two tasks put the same question: LangGraph gathers them from a set.
            question = {"node": full_name, "index": index, "sender": state.get("sender")}
            answers = [interrupt({**question, "question": at}) for at in range(node.asks)]
        if node.fails_every and call % node.fails_every == 0:
            message = f"{full_name} fails at call {call}"
            raise ValueError(message)
        update: dict[str, Any] = {"items": answers} if answers else {}
        for deed, pick in node.deeds:
            done = _done(deed, f"{full_name}.{call}", pick, state)
            for key, new in done.items():
                both = isinstance(update.get(key), list) and isinstance(new, list)
                update[key] = update[key] + new if both else new
        if called is not None:
            update |= await called.ainvoke({"messages": state.get("messages") or [], "last": call})
        update = built.completed(update)
        if node.link == "goto" and following:
            goto = _chosen(following, node.targets) or following[:1]
            return Command(update=update, goto=goto)
        return update or None

    return run


def _done(deed: Deed, mark: str, pick: int, state: dict[str, Any]) -> dict[str, Any]:
    """Return what a deed adds to the update."""
    return (
        _SAYING[deed](mark, pick, state) if deed in _SAYING else _WRITING[deed](mark, pick, state)
    )


_Doing: TypeAlias = "Callable[[str, int, dict[str, Any]], dict[str, Any]]"


def _call_tool(mark: str, pick: int, state: dict[str, Any]) -> dict[str, Any]:
    del state
    args = {"at": pick, "deep": [{"text": LONG, "none": None}] * (pick % 3)}
    call = {"name": "look", "args": args, "id": f"call-{mark}", "type": "tool_call"}
    asked = AIMessage("", id=f"a-{mark}", tool_calls=[call])
    return {"messages": [asked, ToolMessage(LONG, id=f"t-{mark}", tool_call_id=f"call-{mark}")]}


def _unsay(mark: str, pick: int, state: dict[str, Any]) -> dict[str, Any]:
    del mark
    held = [message for message in state.get("messages") or [] if message.id]
    return {"messages": [RemoveMessage(id=held[pick % len(held)].id)]} if held else {}


def _edit(mark: str, pick: int, state: dict[str, Any]) -> dict[str, Any]:
    held = [message for message in state.get("messages") or [] if message.id]
    if not held:
        return {}
    return {"messages": [HumanMessage(f"edited by {mark}", id=held[pick % len(held)].id)]}


def _mutate_message(mark: str, pick: int, state: dict[str, Any]) -> dict[str, Any]:
    held = state.get("messages") or []
    if not held:
        return {}
    message = held[pick % len(held)]
    message.additional_kwargs.setdefault("marks", []).append(mark)
    return {"messages": [message]}


def _mutate(mark: str, pick: int, state: dict[str, Any]) -> dict[str, Any]:
    doc = state.get("doc")
    if doc is None:
        return {}
    doc.setdefault("marks", []).append(mark)
    doc[f"key{pick % 3}"] = {"text": LONG, "value": value(pick)}
    return {"doc": doc}


_SAYING: dict[str, _Doing] = {
    "say": lambda mark, pick, _: {
        "messages": [AIMessage(f"{mark} {LONG * (pick % 2)}", id=f"m-{mark}")]
    },
    "say_anonymous": lambda mark, pick, _: {"messages": [HumanMessage(f"{mark} {pick}")]},
    "say_dict": lambda mark, pick, _: {"messages": [{"role": "user", "content": f"{mark} {pick}"}]},
    "say_pair": lambda mark, _, __: {"messages": [("ai", mark)]},
    "call_tool": _call_tool,
    "unsay": _unsay,
    "clear": lambda mark, _, __: {
        "messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES), HumanMessage(mark, id=f"c-{mark}")]
    },
    "edit": _edit,
    "mutate_message": _mutate_message,
}

_WRITING: dict[str, _Doing] = {
    "add": lambda mark, pick, _: {"items": [mark, value(pick)]},
    "put": lambda mark, pick, _: {"table": {f"k{pick % 4}": [mark, value(pick)]}},
    "drop": lambda _, pick, __: {"table": {f"k{pick % 4}": None}},
    "rank": lambda _, pick, __: {"ranks": pick},
    "set": lambda _, pick, __: {"last": value(pick)},
    "mutate": _mutate,
    "overwrite": lambda mark, pick, _: {"table": Overwrite({mark: value(pick)})},
    "log": lambda mark, pick, _: {"log": [mark, value(pick)]},
    "relog": lambda mark, _, __: {"log": Overwrite([mark])},
    "nothing": lambda _, __, ___: {},
}


def simple(*layers: NodeRecipe, **options: Any) -> GraphRecipe:
    """Return a chain of single nodes."""
    return replace(GraphRecipe(tuple((node,) for node in layers)), **options)
