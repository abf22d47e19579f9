"""Plans that hypothesis makes up: graphs whose outcome does not hang on who is faster, and what is done with them.

Races of LangGraph itself are left out. One node of a graph may fail, and stands alone in its step or beside nodes that do
nothing but return, and before it: a failure cancels its neighbours wherever they are. One node alone may change the state in
place. No node of such a graph is deferred: that lets nodes of several layers run in one step. Where the state is changed in
place, the run waits for each checkpoint: LangGraph gives a checkpoint to the saver when the one before is stored, and the
next step may run already; joins change a set of theirs like that, too. A subgraph has no loop, and no two nodes of one step
that remove messages: the limit of steps, and what is removed twice, are failures. On a file, whose answers come in any order,
no Send leads to a subgraph: several tasks would count its calls.
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from hypothesis import strategies as st

from .langgraph_graphs import Deed, GraphRecipe, NodeRecipe, simple
from .langgraph_operations import (
    Call,
    Change,
    Goto,
    Invoke,
    Look,
    Operation,
    Plan,
    Restart,
    Resume,
    Special,
    Update,
    UpdateBulk,
    UpdateNested,
)

MUTATING = ("mutate", "mutate_message")
SINGLE = ("set", "overwrite", "relog")
"""Deeds that two nodes of one step may not both do."""

LATE = 60
"""So often a node yields that all others of its step are done when it acts."""

deeds = st.sampled_from([deed for deed in get_args(Deed) if deed not in MUTATING + SINGLE])
numbers = st.integers(0, 63)


def several_deeds(
    *, is_alone: bool, is_top: bool
) -> st.SearchStrategy[tuple[tuple[Deed, int], ...]]:
    """Make what a node does; alone in its step it may write what has one writer."""
    chosen = deeds if is_top or is_alone else deeds.filter(lambda deed: deed != "unsay")
    chosen = chosen | st.sampled_from(SINGLE) if is_alone else chosen
    return st.lists(st.tuples(chosen, numbers), max_size=3).map(tuple)


@st.composite
def nodes(
    draw: st.DrawFn, *, is_alone: bool, is_last: bool, is_top: bool, depth: int, asks_max: int
) -> NodeRecipe:
    """Make a node that never fails and leaves the state as it was given."""
    kind = "plain"
    inner = None
    if depth and draw(st.integers(0, 3)) == 0:
        kind = draw(st.sampled_from(["stateless", "stateful", "called"]))
        inner = draw(graphs(asks_max, depth=depth - 1, layers_max=2, width_max=2, is_top=False))
    links = ["end"] if is_last else ["edge", "edge", "route", "send", "goto", "end"]
    is_compiled = kind in ("stateless", "stateful")
    return NodeRecipe(
        deeds=draw(several_deeds(is_alone=is_alone, is_top=is_top)),
        link=draw(st.sampled_from([link for link in links if link != "goto" or not is_compiled])),
        targets=draw(st.integers(0, 7)),
        yields=draw(st.integers(0, 3)),
        asks=min(
            draw(st.sampled_from([0, 0, 0, 0, 1, 2])), asks_max if kind == "plain" else asks_max - 1
        ),
        kind=kind,
        inner=inner,
        is_deferred=is_top and not is_compiled and draw(st.integers(0, 9)) == 0,
    )


@st.composite
def graphs(
    draw: st.DrawFn,
    asks_max: int,
    *,
    depth: int = 1,
    layers_max: int = 3,
    width_max: int = 3,
    is_top: bool = True,
) -> GraphRecipe:
    """Make a graph of layers, a few of them with a loop or with breakpoints."""
    count = draw(st.integers(1, layers_max))
    layers: list[tuple[NodeRecipe, ...]] = []
    for at in range(count):
        width = draw(st.sampled_from(range(1, width_max + 1)))
        # Several tasks of one step may be of the same node: as subgraphs they would share one memory, or wait for a saver whose
        # answers may come in any order, and with them what the tasks do.
        is_sent_to = bool(at) and any(node.link == "send" for node in layers[-1])
        made = nodes(
            is_alone=width == 1 and not is_sent_to,
            is_last=at == count - 1,
            is_top=is_top,
            depth=0 if is_sent_to else depth,
            asks_max=asks_max,
        )
        layer = tuple(draw(made) for _ in range(width))
        layers.append(layer)
    breakpoints = st.lists(st.integers(0, 5), max_size=1).map(tuple)
    return GraphRecipe(
        layers=tuple(layers),
        joins=tuple(draw(st.integers(0, 3)) == 0 for _ in range(count - 1)),
        loops_until=draw(st.sampled_from([0, 0, 0, 2])) if is_top else 0,
        interrupt_before=draw(breakpoints) if is_top and draw(st.integers(0, 3)) == 0 else (),
        interrupt_after=draw(breakpoints) if is_top and draw(st.integers(0, 3)) == 0 else (),
    )


@st.composite
def spiced(draw: st.DrawFn, graph: GraphRecipe, spice: str) -> GraphRecipe:
    """Let one node fail now and then, or change the state in place; then none is deferred."""
    layers = tuple(
        tuple(replace(node, is_deferred=False) for node in layer) for layer in graph.layers
    )
    graph = replace(graph, layers=layers)
    at = draw(st.integers(0, len(graph.layers) - 1))
    first, *others = graph.layers[at]
    if at and any(node.link == "send" for node in graph.layers[at - 1]):
        return graph  # It may be several tasks of one step.
    if first.inner:
        if others or spice == "mutate":
            return graph
        first = replace(first, inner=draw(spiced(first.inner, spice)))
    elif any(node.inner for node in others):
        return graph
    elif spice == "mutate":
        made = tuple((deed, draw(numbers)) for deed in draw(st.permutations(MUTATING)))
        first = replace(first, deeds=(*made, *first.deeds))
    else:
        tries = draw(st.sampled_from([1, 2]))
        yields = LATE if others else first.yields
        fails_every = draw(st.integers(1, 3))
        first = replace(first, fails_every=fails_every, tries=tries, asks=0, yields=yields)
        others = [replace(node, asks=0) for node in others]
    layers = (*graph.layers[:at], (first, *others), *graph.layers[at + 1 :])
    return replace(graph, layers=layers)


def is_mutating(graph: GraphRecipe, mutating: tuple[str, ...] = MUTATING) -> bool:
    """Tell whether state changes in place in the graph or in one inside it: by a node, or by the set of who came to a join."""
    return any(graph.joins) or any(
        any(deed in mutating for deed, _ in node.deeds)
        or (node.inner and is_mutating(node.inner, mutating))
        for layer in graph.layers
        for node in layer
    )


def without_logs(graph: GraphRecipe) -> GraphRecipe:
    """Return the graph without writes to the channel that stores only what is written to it."""

    def without(node: NodeRecipe) -> NodeRecipe:
        deeds = tuple(deed for deed in node.deeds if deed[0] not in ("log", "relog"))
        return replace(node, deeds=deeds, inner=node.inner and without_logs(node.inner))

    return replace(graph, layers=tuple(tuple(map(without, layer)) for layer in graph.layers))


changes = st.builds(
    Change, st.lists(st.integers(0, 7), min_size=1, max_size=3, unique=True).map(tuple), numbers
)
places = st.none() | st.integers(0, 12)


@st.composite
def calls(draw: st.DrawFn, *, durabilities: list[str]) -> Call:
    """Make the way to call a run; most are plain."""
    call = Call(durability=draw(st.sampled_from(durabilities)))
    if draw(st.integers(0, 2)):
        return call
    return replace(
        call,
        run=draw(st.integers(0, 2)),
        interrupt_before=draw(st.sampled_from([0, 0, 1, 2, 3, 4])),
        interrupt_after=draw(st.sampled_from([0, 0, 1, 2, 3, 4])),
        at=draw(places),
        tenant=draw(st.sampled_from(["", "acme"])),
    )


def operations(durabilities: list[str], *, may_mix: bool) -> st.SearchStrategy[Operation]:
    """Make one operation; those that move a run on are the most likely.

    `may_mix` allows what lets nodes of two layers run in one step.
    """
    way = calls(durabilities=durabilities)
    updates = st.tuples(changes, numbers)
    invokes = st.builds(Invoke, changes, way)
    resumes = st.builds(Resume, numbers, st.sampled_from([0, 0, 0, 1, 2, 3, 7]), way)
    gotos = st.builds(Goto, st.integers(0, 5), st.none() | changes, way)
    return st.one_of(
        invokes,
        gotos if may_mix else invokes,
        resumes,
        resumes,
        st.builds(Invoke, st.none(), way),
        st.builds(Update, changes, st.integers(0, 6), places),
        st.builds(Update, changes, st.integers(1, 6), st.integers(1, 12)),
        st.builds(
            UpdateBulk,
            st.lists(updates.map(lambda one: (one,)), min_size=1, max_size=3).map(tuple),
            places,
        ),
        st.builds(
            Special, st.sampled_from(["__copy__", "__end__", "__input__"]), st.none() | changes, places
        ),
        st.builds(UpdateNested, changes),
        st.builds(
            Look, st.none() | st.integers(0, 5), places,
            st.sampled_from(["", "loop", "input", "update"]), st.booleans(),
        ),
        st.builds(Restart),
    )  # fmt: skip


@st.composite
def plans(
    draw: st.DrawFn,
    *,
    size: int = 8,
    spice: str | None = None,
    is_serial: bool = False,
    is_for_sqlite: bool = False,
) -> Plan:
    """Make a plan that begins with an input; a serial one has single nodes one after the other.

    `spice`: "fail", "mutate", "" for neither, None for any. LangGraph's saver on SQLite has traits of
    its own: a second answer to a task is lost when it comes with the task's output, what a run changed in place is stored under
    the version that it had, an id that LangGraph gives a message comes into its writes, and what is written late on a checkpoint
    shows in all its children, where a channel stores only what is written to it.
    """
    depth, width_max = (0, 1) if is_serial else (1, 3)
    asks_max = 1 if is_for_sqlite else 2
    graph = draw(graphs(asks_max, depth=depth, width_max=width_max))
    graph = replace(without_logs(graph) if is_for_sqlite else graph, gives_ids=is_for_sqlite)
    if spice is None:  # In threads, what changes in place is a race.
        spice = draw(st.sampled_from(["", "", "fail", "" if is_serial else "mutate"]))
    graph = draw(spiced(graph, spice)) if spice else graph
    waits = ["sync"] if is_for_sqlite else ["sync", "sync", "exit"]
    # What is to be removed twice is refused by its reducer when the channel is half changed.
    mutating = (*MUTATING, "unsay") if is_for_sqlite else MUTATING
    durabilities = waits if is_mutating(graph, mutating) else ["async", "sync", "exit"]
    first: Invoke = draw(st.builds(Invoke, changes, calls(durabilities=durabilities)))
    if spice == "mutate":
        first = replace(first, change=Change((0, 1, 5), draw(numbers)))
    made = operations(durabilities, may_mix=not spice)
    return Plan(graph, (first, *draw(st.lists(made, min_size=2, max_size=size))))


ASKING = simple(NodeRecipe((("say", 0),), asks=2), NodeRecipe((("add", 1),), link="end"))
REMEMBERING = simple(
    NodeRecipe((), link="end", kind="stateful", inner=simple(NodeRecipe((), "end", asks=1)))
)
CHANGING = simple(
    NodeRecipe((("mutate", 0), ("mutate_message", 0))),
    NodeRecipe((("mutate", 4), ("mutate_message", 0)), link="end"),
)
HALF_DONE = GraphRecipe(
    (
        (NodeRecipe((), targets=3),),
        (NodeRecipe((("add", 1),), link="end"), NodeRecipe((), link="end", asks=1)),
    )
)
WIDE = GraphRecipe(
    (
        (NodeRecipe((), targets=255),),
        tuple(NodeRecipe((("add", at),), link="end") for at in range(8)),
    )
)
JOINING = GraphRecipe(
    (
        (NodeRecipe((), asks=1), NodeRecipe((("add", 1),))),
        (NodeRecipe((), link="end"),),
    ),
    joins=(True,),
)
LOGGING = simple(NodeRecipe((("relog", 0),), link="end", fails_every=2), loops_until=2)
INPUT = Change((0, 2, 5), 1)
SAID = Change((0,), 0)
LAST = Change((4,), 1)
WAITING = Call("sync")

NOTABLE = [
    # Two questions of one task: the second takes the place of the first.
    Plan(ASKING, (Invoke(INPUT), Resume(9), Resume(10), Invoke(INPUT), Resume(9), Restart(), Resume(10))),
    # A subgraph's checkpoint is stored before its parent's, although it is the younger of the two.
    Plan(REMEMBERING, (Invoke(INPUT, Call("exit")), Invoke(None, Call("exit")), Invoke(None, Call(at=10)))),
    # Two nodes change the same objects in place, one step after the other.
    Plan(CHANGING, (Invoke(INPUT, WAITING), Invoke(None, Call("sync", at=1)), Invoke(INPUT, WAITING))),
    # A task that is done runs again on the same checkpoint: what it wrote first stays.
    Plan(
        HALF_DONE,
        (
            Invoke(INPUT, Call(interrupt_after=1)), Update(INPUT, 1), Invoke(None),
            Invoke(None, Call(at=0)), Resume(9),
        ),
    ),
    # Tasks in such number, time and again, that no chance has their ids in the order of their paths.
    Plan(WIDE, (Invoke(INPUT), Invoke(INPUT))),
    # LangGraph changes the set of who came to a join in place; of a fork, it is stored as it was in the parent.
    Plan(JOINING, (Update(INPUT, 1), Invoke(INPUT), Invoke(None, Call("exit", at=1)), Update(INPUT, 1))),
    # Runs that are refused at once: LangGraph does not wait until what it gave is stored, and who reads sees it all the same.
    Plan(ASKING, (Invoke(INPUT), Goto(1, LAST), Goto(1, LAST), Goto(1, LAST))),
    # What a task that failed wrote at last, on a checkpoint that has another child meanwhile, is none of that child's …
    Plan(LOGGING, (Invoke(SAID), Special("__end__"), Resume(1, call=Call(at=1)))),
    # … nor of a fork's.
    Plan(LOGGING, (Invoke(SAID), Special("__end__"), Update(SAID, at=1), Resume(1, call=Call(at=2)))),
]  # fmt: skip
"""Plans that show what is easily got wrong; some of them showed a fault once."""
