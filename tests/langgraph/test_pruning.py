"""Pruned threads of graphs whose checkpoints do not hold their values: what stands, and what comes after, is what it would be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from tests.support.engine import Database, join
from tests.support.langgraph_graphs import extended
from threadfold.domain.events import CheckpointsHidden
from threadfold.domain.saved import WINDOW_MIN
from threadfold.infrastructure.graphs.registry import GraphRegistry

if TYPE_CHECKING:
    from pathlib import Path

    from threadfold import Engine


class Deltas(TypedDict, total=False):
    """A log of which checkpoints hold the writes alone, mostly."""

    log: Annotated[list[Any], DeltaChannel(extended, snapshot_frequency=100)]
    last: str


def graphs() -> GraphRegistry:
    async def one(state: Deltas) -> Deltas:
        return {"log": [f"one of {len(state['log'])}"], "last": "one"}

    async def two(state: Deltas) -> Deltas:
        return {"log": [f"two of {len(state['log'])}"], "last": "two"}

    registry = GraphRegistry()
    registry.add_graph("deltas", StateGraph(Deltas).add_sequence([one, two]).add_edge(START, "one"))
    return registry


async def turn(engine: Engine, thread_id: str, text: str) -> None:
    run = await engine.submit_run(
        thread_id, "deltas", input={"log": [text]}, if_not_exists="create"
    )
    await join(engine, thread_id, run.row.run_id)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_values_that_are_made_of_older_writes_outlive_pruning(
    kind: str, tmp_path: Path
) -> None:
    database = Database(None if kind == "memory" else tmp_path / "log.db")
    async with database.engine(graphs()) as engine:
        for thread_id in ("pruned", "plain"):
            for text in "abc":
                await turn(engine, thread_id, text)
        before = await engine.queries.get_state("pruned")
        assert await engine.threads.prune(["pruned"], strategy="keep_latest") == 1
        after = await engine.queries.get_state("pruned")
        (only,) = await engine.queries.history("pruned")
        assert after.values == only.values == before.values
        assert after.next == before.next
        copy_id = (await engine.copy_thread("pruned")).thread_id
        assert (await engine.queries.get_state(copy_id)).values == before.values
    async with database.engine(graphs()) as engine:
        for thread_id in ("pruned", "plain", copy_id):
            await turn(engine, thread_id, "d")
        plain = await engine.queries.get_state("plain")
        for thread_id in ("pruned", copy_id):
            state = await engine.queries.get_state(thread_id)
            assert state.values == plain.values
            assert len(await engine.queries.history(thread_id)) == 5
        assert len(plain.values["log"]) == 12


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_of_a_long_thread_no_older_state_is_left_in_sight(kind: str, tmp_path: Path) -> None:
    """More checkpoints than a thread is held with, and once more after a restart from a snapshot."""
    database = Database(None if kind == "memory" else tmp_path / "log.db")

    async def pruned(engine: Engine) -> tuple[int, list[Any]]:
        log = await engine.queries.log("t")
        count = sum(isinstance(recorded.event, CheckpointsHidden) for recorded in log)
        return count, [
            view.state.checkpoint_id for view in await engine.queries.history("t", limit=1000)
        ]

    async with database.engine(graphs(), snapshot_events_min=50) as engine:
        for n in range(2 * WINDOW_MIN // 4 + 5):
            await turn(engine, "t", f"{n}")
        before = await engine.queries.get_state("t")
        history = (await pruned(engine))[1]
        assert len(history) > 2 * WINDOW_MIN
        for _ in range(2):
            assert await engine.threads.prune(["t"], strategy="keep_latest") == 1
            assert await pruned(engine) == (1, history[:1])
        assert (await engine.queries.get_state("t")).values == before.values
    async with database.engine(graphs()) as engine:
        assert await pruned(engine) == (1, history[:1])
        assert (await engine.queries.get_state("t")).values == before.values
        assert await engine.threads.prune(["t"], strategy="keep_latest") == 1
        assert await pruned(engine) == (1, history[:1])
        await turn(engine, "t", "more")
        assert (await pruned(engine))[1][-1:] == history[:1]
        assert await engine.threads.prune(["t"], strategy="keep_latest") == 1
        count, left = await pruned(engine)
        assert (count, len(left)) == (2, 1)
