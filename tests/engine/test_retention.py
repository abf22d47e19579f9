"""What a rollback leaves of its payloads: all of them under `keep`, for the audit; nothing under `erase`."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.engine import (
    Database,
    Gates,
    answered,
    chat,
    heard,
    join,
    quiet,
    registry,
    submit,
    until_heard,
    until_idle,
)
from tests.support.engine_laws import assert_consistent, whole_log
from threadfold.domain.errors import ErasedError, ThreadNotFoundError
from threadfold.domain.events import RunAccepted, RunRolledBack, StepRecorded
from threadfold.infrastructure.log.compression import expanded

if TYPE_CHECKING:
    from threadfold.app.engine import Engine

pytestmark = pytest.mark.anyio

SECRET = "a-word-that-nobody-else-says"  # noqa: S105


async def cells(database: Database, engine: Engine) -> str:
    """Return everything that the log holds, as text: each cell of each table, or each event and snapshot in memory."""
    if database.path is None:
        log = await whole_log(engine._ports.store)
        held = [repr(recorded) for recorded in log]
        held += [repr(snapshot) for snapshot in database.log.snapshots.values()]
        return "\n".join(held)
    with sqlite3.connect(database.path) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        rows = [
            row
            for (table,) in tables
            for row in connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
        ]
    connection.close()
    return "\n".join(repr([_readable(cell) for cell in row]) for row in rows)


def _readable(cell: object) -> object:
    """Return compressed cells as what they were before: a secret must not hide there. Sixteen bytes are a thread's id."""
    return expanded(cell) if isinstance(cell, bytes) and len(cell) != 16 else cell


async def roll_back(engine: Engine, gates: Gates, *, is_queued: bool) -> tuple[str, str]:
    """Roll a run with a secret back, that runs or waits; return the ids of the thread and of the run."""
    thread_id = (await engine.create_thread()).thread_id
    await join(engine, thread_id, await submit(engine, thread_id, "pre"))
    options: dict[str, Any] = {
        "metadata": {"note": SECRET},
        "kwargs": {"config": {"configurable": {"key": SECRET}}},
    }
    if is_queued:
        gates.close("A:0")
        await submit(engine, thread_id, "A")
        run_id = await submit(engine, thread_id, SECRET, **options)
    else:
        gates.close(f"{SECRET}:1")
        run_id = await submit(engine, thread_id, SECRET, **options)
        await until_heard(engine, thread_id, f"{SECRET}.1")
    await engine.cancel_run(thread_id, run_id, action="rollback")
    gates.open()
    await until_idle(engine, thread_id)
    await quiet(engine)
    await engine._ports.store.erase_pending()
    return thread_id, run_id


@pytest.mark.parametrize("is_queued", [False, True], ids=["running", "queued"])
@pytest.mark.parametrize("retention", ["keep", "erase"])
async def test_the_payloads_of_a_rolled_back_run_are_kept_or_erased_as_the_setting_says(
    database: Database,
    retention: str,
    is_queued: bool,  # noqa: FBT001
) -> None:
    gates = Gates()
    options: dict[str, Any] = {"retention": retention, "snapshot_events_min": 1}
    async with database.engine(registry(chat(gates)), **options) as engine:
        thread_id, run_id = await roll_back(engine, gates, is_queued=is_queued)
        held = await cells(database, engine)
        assert (SECRET in held) == (retention == "keep")
        # The audit says all the same that it was there, and what became of it.
        log = await engine.queries.log(thread_id)
        assert [r.version for r in log] == list(range(1, len(log) + 1))
        of_run = [r.event for r in log if getattr(r.event, "run_id", None) == run_id]
        assert isinstance(of_run[0], RunAccepted)
        assert isinstance(of_run[-1], RunRolledBack)
        before = (await engine.queries.get_state(thread_id)).values
        await assert_consistent(engine, is_settled=True)
    # A fold of what is left says the same.
    async with database.engine(registry(chat(gates)), **options) as engine:
        after = (await engine.queries.get_state(thread_id)).values
        assert after == before
        assert heard(after) == [*answered("pre"), *(answered("A") if is_queued else [])]
        await join(engine, thread_id, await submit(engine, thread_id, "B"))
        await assert_consistent(engine, is_settled=True)


async def test_a_state_inside_an_erased_span_says_that_it_is_erased(database: Database) -> None:
    gates = Gates()
    async with database.engine(registry(chat(gates)), retention="erase") as engine:
        thread_id, run_id = await roll_back(engine, gates, is_queued=False)
        await join(engine, thread_id, await submit(engine, thread_id, "B"))
        log = await engine.queries.log(thread_id)
        for recorded in log:
            is_inside = isinstance(recorded.event, StepRecorded) and recorded.event.run_id == run_id
            if is_inside:
                with pytest.raises(ErasedError):
                    await engine.queries.get_state_at(thread_id, recorded.version)
            else:
                state = await engine.queries.get_state_at(thread_id, recorded.version)
                assert SECRET not in heard(state.values)
        assert heard((await engine.queries.get_state(thread_id)).values) == answered("pre", "B")
        history = await engine.queries.history(thread_id, limit=100)
        assert [heard(view.values)[-1] for view in history] == answered("pre", "B")[::-1]


async def test_under_keep_the_audit_still_shows_every_state(database: Database) -> None:
    gates = Gates()
    async with database.engine(registry(chat(gates)), retention="keep") as engine:
        thread_id, run_id = await roll_back(engine, gates, is_queued=False)
        log = await engine.queries.log(thread_id)
        last = max(
            r.version for r in log if isinstance(r.event, StepRecorded) and r.event.run_id == run_id
        )
        state = await engine.queries.get_state_at(thread_id, last)
        assert heard(state.values) == [*answered("pre"), SECRET, f"{SECRET}.1"]


@pytest.mark.parametrize("retention", ["keep", "erase"])
async def test_a_deleted_thread_leaves_no_payload(database: Database, retention: str) -> None:
    gates = Gates()
    options: dict[str, Any] = {"retention": retention, "snapshot_events_min": 1}
    async with database.engine(registry(chat(gates)), **options) as engine:
        thread_id = (await engine.create_thread(metadata={"note": SECRET})).thread_id
        await join(engine, thread_id, await submit(engine, thread_id, SECRET))
        await engine.update_state(thread_id, {"last": SECRET})
        copy_id = (await engine.copy_thread(thread_id)).thread_id
        versions = len(await engine.queries.log(thread_id))
        copied_versions = len(await engine.queries.log(copy_id))
        gates.close(f"{SECRET}:1")
        await submit(engine, thread_id, SECRET)
        await until_heard(engine, thread_id, f"{SECRET}.1")
        await engine.delete_thread(thread_id)
        await engine.delete_thread(copy_id)
        gates.open()
        await quiet(engine)
        await engine._ports.store.erase_pending()
        assert SECRET not in await cells(database, engine)
        with pytest.raises(ThreadNotFoundError):
            await engine.queries.get_state(thread_id)
        # It never guesses: what was there is erased, not empty.
        with pytest.raises(ErasedError):
            await engine.queries.get_state_at(thread_id, versions)
        with pytest.raises(ErasedError):
            await engine.queries.get_state_at(copy_id, copied_versions)
        again = await engine.create_thread(thread_id)
        assert (again.values, again.metadata) == (None, {})
        await join(engine, thread_id, await submit(engine, thread_id, "new"))
        assert heard((await engine.queries.get_state(thread_id)).values) == answered("new")
        await assert_consistent(engine, is_settled=True)


async def test_an_erasure_that_was_cut_short_is_carried_out_at_the_next_start(
    database: Database,
) -> None:
    gates = Gates()
    gates.close(f"{SECRET}:1")
    first = await database.mortal(registry(chat(gates)), retention="erase")
    thread_id = (await first.engine.create_thread()).thread_id
    run_id = await submit(first.engine, thread_id, SECRET)
    await until_heard(first.engine, thread_id, f"{SECRET}.1")
    await first.engine.cancel_run(thread_id, run_id, action="rollback")
    await first.kill()
    async with database.engine(registry(chat(gates)), retention="erase") as engine:
        assert SECRET not in await cells(database, engine)
        await assert_consistent(engine, is_settled=True)
