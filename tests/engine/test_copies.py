"""Copies of functions' threads: the state and the whole history, whatever happened before."""

from typing import Any

import pytest

from tests.support.engine import (
    Database,
    Gates,
    answered,
    chat,
    heard,
    join,
    registry,
    submit,
    until_heard,
)
from threadfold import Engine
from threadfold.domain.state import CHECKPOINTS_KEPT_MIN


async def seen(engine: Engine, thread_id: str) -> list[Any]:
    """Return what can be seen of the history, but for times and runs."""
    return [
        (each.values, each.next, each.state.checkpoint_id, each.state.step)
        for each in await engine.queries.history(thread_id, limit=1000)
    ]


@pytest.mark.parametrize("updates", [0, 3, 3 * CHECKPOINTS_KEPT_MIN])
async def test_a_copy_has_the_whole_history_also_after_a_restart(
    database: Database, updates: int
) -> None:
    graphs = registry(chat(Gates()))
    async with database.engine(graphs, snapshot_events_min=20) as engine:
        await engine.create_thread("t", metadata={"graph_id": "agent"})
        for n in range(updates):
            await engine.update_state("t", {"n": n, f"k{n % 3}": [n]})
        await join(engine, "t", await submit(engine, "t", "a"))
        original = await seen(engine, "t")
        copy_id = (await engine.copy_thread("t")).thread_id
        assert len(original) == updates + 3
        assert await seen(engine, copy_id) == original
        of_copy = (await engine.copy_thread(copy_id)).thread_id
        assert await seen(engine, of_copy) == original
        await engine.delete_thread("t")
    async with database.engine(graphs) as engine:
        assert await seen(engine, copy_id) == original
        await join(engine, copy_id, await submit(engine, copy_id, "b"))
        history = await seen(engine, copy_id)
        assert history[3:] == original
        assert heard(history[0][0]) == answered("a", "b")


async def test_a_copy_has_no_state_of_a_run_in_flight_of_a_rolled_back_one_or_that_was_pruned(
    database: Database,
) -> None:
    gates = Gates()
    async with database.engine(registry(chat(gates))) as engine:
        await engine.create_thread("t")
        await join(engine, "t", await submit(engine, "t", "pruned"))
        await engine.threads.prune(["t"], strategy="keep_latest")
        gates.close("gone:1", "held:1")
        run_id = await submit(engine, "t", "gone")
        await until_heard(engine, "t", "gone.1")
        await engine.cancel_run("t", run_id, action="rollback")
        await join(engine, "t", await submit(engine, "t", "kept"))
        original = await seen(engine, "t")
        await submit(engine, "t", "held")
        await until_heard(engine, "t", "held.1")
        copy_id = (await engine.copy_thread("t")).thread_id
        gates.open()
        assert await seen(engine, copy_id) == original
        assert [heard(values) for values, *_ in original] == [
            answered("pruned", "kept"),
            answered("pruned", "kept")[:-1],
            answered("pruned", "kept")[:-2],
            answered("pruned"),
        ]


async def test_copying_a_long_thread_stores_each_message_once(database: Database) -> None:
    graphs = registry(chat(Gates()))
    async with database.engine(graphs) as engine:
        await engine.create_thread("t")
        for n in range(20):
            await join(engine, "t", await submit(engine, "t", f"{n}"))
        copy_id = (await engine.copy_thread("t")).thread_id
        source, copy = await engine.queries.thread("t"), await engine.queries.thread(copy_id)
        assert len(copy.items) <= len(source.items)
