"""What channels that store their writes alone are rebuilt from: equal to what LangGraph's own saver gives, for the same calls."""

from __future__ import annotations

import asyncio
import operator
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from hypothesis import given, settings
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from tests.support.langgraph_graphs import extended
from tests.support.langgraph_puts import NAMESPACES, Put, Tree, Writes, named, trees
from tests.support.langgraph_savers import SERDE
from tests.support.langgraph_values import TYPES
from threadfold import ThreadfoldSaver

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from langchain_core.runnables import RunnableConfig

    from tests.support.langgraph_graphs import Graph, Saver

THREAD: Any = {"configurable": {"thread_id": "t"}}
ASKED = [["log"], ["log", "other"], ["other", "plain", "log"], ["branch:to:a", "never"]]


async def assert_same_histories(tree: Tree, mine: Saver, reference: Saver) -> None:
    """Ask both for each checkpoint, for the newest of each namespace and for one that is not there."""
    names: list[tuple[str, str | None]] = [*tree.names(), *((ns, None) for ns in NAMESPACES)]
    for ns, name in [*names, ("", "1f000000-0000-6fff-8000-ffffffffffff")]:
        config = named(tree.thread_id, ns, name)
        for channels in ASKED:
            seen = await mine.aget_delta_channel_history(config=config, channels=channels)
            expected = await reference.aget_delta_channel_history(config=config, channels=channels)
            assert seen == expected, (ns, name, channels)


@settings(max_examples=60)
@given(calls=trees())
def test_random_trees_have_the_history_that_the_reference_gives(calls: list[Put | Writes]) -> None:
    async def play() -> None:
        tree, reference = Tree(), InMemorySaver(serde=SERDE)
        async with ThreadfoldSaver("memory://", types=TYPES) as mine:
            for call in calls:
                await tree.play(call, mine, reference)
            await assert_same_histories(tree, mine, reference)

    asyncio.run(play())


async def test_a_saver_is_asked_for_several_channels_or_for_none(saver: ThreadfoldSaver) -> None:
    config = named("nobody", "")
    assert await saver.aget_delta_channel_history(config=config, channels=[]) == {}
    assert (
        await asyncio.to_thread(saver.get_delta_channel_history, config=config, channels=[]) == {}
    )
    nothing = {"a": {"writes": []}, "b": {"writes": []}}
    assert await saver.aget_delta_channel_history(config=config, channels=["a", "b"]) == nothing


CALLS = [
    Put(ns=0, parent=-1, changes=((0, 1), (1, 3)), is_snapshot=True),
    Writes(ns=0, checkpoint=0, task=2, path=2, writes=(("log", 1), ("other", 1), ("log", 2))),
    Writes(ns=0, checkpoint=0, task=1, path=3, writes=(("log", 3),)),
    Writes(ns=0, checkpoint=0, task=3, path=0, writes=(("log", 4),)),
    Put(ns=0, parent=0, changes=((0, -1), (1, -1))),
    Writes(ns=0, checkpoint=0, task=1, path=1, writes=(("log", 5),)),
    Put(ns=0, parent=0, changes=((0, -1), (1, 5))),
    Put(ns=0, parent=1, changes=((0, -1),)),
    Writes(ns=0, checkpoint=0, task=0, path=1, writes=(("log", 6),)),
]
"""A stored value with its own writes by three tasks, a step without one, and two branches."""


async def test_the_history_begins_at_the_nearest_stored_value_with_its_own_writes(
    saver: ThreadfoldSaver,
) -> None:
    tree, reference = Tree(), InMemorySaver(serde=SERDE)
    for call in CALLS:
        await tree.play(call, saver, reference)
    (_, first), (_, second), (_, third), (_, _) = tree.names()
    history = await saver.aget_delta_channel_history(
        config=named("thread", "", third), channels=["log", "other"]
    )
    held = await saver.aget_tuple(named("thread", "", first))
    assert held is not None
    assert history["log"]["seed"] == held.checkpoint["channel_values"]["log"]
    assert [write[2][0] for write in history["log"]["writes"]] == ["w4", "w2", "w2", "w3", "w6"]
    assert [write[2][0] for write in history["other"]["writes"]] == ["w2"]
    second_history = await saver.aget_delta_channel_history(
        config=named("thread", "", second), channels=["log"]
    )
    assert [write[2][0] for write in second_history["log"]["writes"]] == ["w4", "w2", "w2", "w3"]
    await assert_same_histories(tree, saver, reference)
    seen = await asyncio.to_thread(
        saver.get_delta_channel_history,
        config=named("thread", "", third),
        channels=["log", "other"],
    )
    assert seen == history


# ------------------------------------------------------------------ graphs with such channels


class Journal(TypedDict, total=False):
    log: Annotated[list[str], DeltaChannel(extended, snapshot_frequency=4)]
    plain: Annotated[list[str], operator.add]


def journalling(saver: Saver) -> Graph:
    """Compile a graph of two steps a run, the second of two nodes at once."""

    def writer(name: str) -> Any:
        async def write(state: Journal) -> Journal:
            text = f"{name} {len(state['log'])}"
            return {"log": [text], "plain": [text]}

        return write

    builder = StateGraph(Journal)
    for name in ("first", "left", "right"):
        builder.add_node(name, writer(name))
    builder.add_edge(START, "first")
    builder.add_edge("first", "left")
    builder.add_edge("first", "right")
    return builder.compile(checkpointer=saver)


async def turns(graph: Graph, names: Iterable[str], durability: Any = "async") -> None:
    """Run the graph once for each name, which is the run's id."""
    for name in names:
        config: RunnableConfig = {"configurable": {"thread_id": "t"}, "metadata": {"run_id": name}}
        await graph.ainvoke({"log": [name], "plain": [name]}, config, durability=durability)


async def values(graph: Graph) -> Any:
    return (await graph.aget_state(THREAD)).values


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_graph_finds_the_value_again_at_every_moment(
    durability: str, saver: ThreadfoldSaver
) -> None:
    mine, reference = journalling(saver), journalling(InMemorySaver(serde=SERDE))
    histories = []
    for graph in (mine, reference):
        await turns(graph, [f"run {at}" for at in range(6)], durability)
        history = [state async for state in graph.aget_state_history(THREAD)]
        await graph.aupdate_state(history[3].config, {"log": ["fork"]}, as_node="left")
        await graph.ainvoke({"log": ["after"]}, THREAD, durability=durability)
        histories.append([state.values async for state in graph.aget_state_history(THREAD)])
    assert histories[0] == histories[1]
    assert "fork" in histories[0][0]["log"]


@pytest.mark.parametrize(
    "gone", [["run 2"], ["run 0", "run 3"], ["run 1", "run 2", "run 3", "run 4"]]
)
async def test_runs_deleted_from_the_middle_leave_the_values_that_were_built_on_them(
    gone: list[str], saver: ThreadfoldSaver
) -> None:
    mine, reference = journalling(saver), journalling(InMemorySaver(serde=SERDE))
    for graph in (mine, reference):
        await turns(graph, [f"run {at}" for at in range(6)])
    before = [state async for state in mine.aget_state_history(THREAD)]
    await saver.adelete_for_runs(gone)

    after = [state async for state in mine.aget_state_history(THREAD)]
    kept = [state for state in before if state.metadata["run_id"] not in gone]
    assert [(state.config, state.values, state.next) for state in after] == [
        (state.config, state.values, state.next) for state in kept
    ]
    assert await values(mine) == await values(reference)
    for graph in (mine, reference):
        await turns(graph, ["run 7"])
    assert await values(mine) == await values(reference)
    assert len((await values(mine))["log"]) == 7 * 4


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_what_was_deleted_or_pruned_stays_so_after_a_restart(
    kind: str, tmp_path: Path
) -> None:
    reference = journalling(InMemorySaver(serde=SERDE))
    url = "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/log.db"
    names = [f"run {at}" for at in range(6)]
    await turns(reference, names)
    async with ThreadfoldSaver(url) as saver:
        await turns(journalling(saver), names)
        await saver.adelete_for_runs(["run 3"])
        await saver.aprune(["t"], strategy="keep_latest")
        if kind == "sqlite":
            await saver.aclose()
        graph = journalling(saver)
        assert len([one async for one in saver.alist(THREAD)]) == 1
        assert await values(graph) == await values(reference)
        await turns(graph, ["run 7"])
        await turns(reference, ["run 7"])
        assert await values(graph) == await values(reference)
        assert len([one async for one in saver.alist(THREAD)]) == 5
