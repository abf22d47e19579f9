"""Threads whose time to live is over: on a clock that the test moves, over restarts, in races, with several processes."""

import asyncio
from typing import Any

import pytest

from tests.support.engine import (
    Database,
    Gates,
    StillClock,
    answered,
    chat,
    heard,
    join,
    pass_time,
    quiet,
    registry,
    said,
    submit,
    until,
)
from threadfold import Engine
from threadfold.app import expiry
from threadfold.app.search import ThreadFilter
from threadfold.domain.errors import ThreadNotFoundError
from threadfold.domain.events import CheckpointsHidden, ThreadDeleted

MINUTE = 60.0


def opened(database: Database, graphs: Any = None, **settings: Any) -> Engine:
    """Return an engine that does next to nothing by itself: hours pass in these tests."""
    return database.engine(graphs, **{"poll_seconds": 1e7, "lease_seconds": 1e7, **settings})


async def present(engine: Engine) -> set[str]:
    """Return the ids of all threads."""
    views, _ = await engine.queries.search_threads(ThreadFilter(), limit=1000)
    return {view.thread_id for view in views}


async def events(engine: Engine, thread_id: str, kind: type) -> int:
    log = await engine.queries.log(thread_id)
    return sum(isinstance(recorded.event, kind) for recorded in log)


async def test_each_thread_ends_when_its_time_is_over(database: Database) -> None:
    clock = StillClock()
    async with opened(database, clock=clock) as engine:
        await quiet(engine)
        await engine.threads.create("late", ttl=3)
        await engine.threads.create("soon", ttl=1)
        await engine.threads.create("never")
        await engine.threads.create("kept", ttl={"ttl": 1, "strategy": "keep_latest"})
        await pass_time(engine, clock, 0.9 * MINUTE)
        assert await present(engine) == {"late", "soon", "never", "kept"}
        await pass_time(engine, clock, 0.2 * MINUTE)
        assert await present(engine) == {"late", "never", "kept"}
        with pytest.raises(ThreadNotFoundError):
            await engine.get_thread("soon")
        await pass_time(engine, clock, 2 * MINUTE)
        assert await present(engine) == {"never", "kept"}
        assert await events(engine, "soon", ThreadDeleted) == 1
        again = await engine.threads.create("soon")
        assert again.ttl is None
        await pass_time(engine, clock, 1e6)
        assert await present(engine) == {"never", "kept", "soon"}


async def test_every_change_begins_the_time_anew(database: Database) -> None:
    clock = StillClock()
    async with opened(database, clock=clock) as engine:
        await engine.threads.create("t", ttl=1)
        for n in range(4):
            await pass_time(engine, clock, 0.7 * MINUTE)
            await engine.patch_thread("t", {"n": n})
        await pass_time(engine, clock, 0.7 * MINUTE)
        await engine.threads.patch("t", ttl=2)
        await pass_time(engine, clock, 1.9 * MINUTE)
        assert await present(engine) == {"t"}
        await pass_time(engine, clock, 0.2 * MINUTE)
        assert await present(engine) == set()


async def test_keeping_the_newest_state_changes_nothing_of_it(database: Database) -> None:
    clock = StillClock()
    async with opened(database, registry(chat(Gates())), clock=clock) as engine:
        await engine.threads.create("t", ttl={"ttl": 1, "strategy": "keep_latest"})
        for round_, text in enumerate("ab", 1):
            run_id = await submit(engine, "t", text)
            await join(engine, "t", run_id)
            before = await engine.queries.get_state("t")
            assert len(await engine.queries.history("t")) == (3 if round_ == 1 else 4)
            await pass_time(engine, clock, 1.1 * MINUTE)
            assert await events(engine, "t", CheckpointsHidden) == round_
            after = await engine.queries.get_state("t")
            assert (after.values, after.checkpoint) == (before.values, before.checkpoint)
            assert len(await engine.queries.history("t")) == 1
            # Nothing changes, so nothing more happens.
            await pass_time(engine, clock, 1000 * MINUTE)
            assert await events(engine, "t", CheckpointsHidden) == round_
        assert heard(after.values) == answered("a", "b")


async def test_a_run_in_flight_holds_the_end_up(database: Database) -> None:
    clock, gates = StillClock(), Gates()
    gates.close("a:1")
    async with opened(
        database, registry(chat(gates)), clock=clock, run_timeout_seconds=None
    ) as engine:
        await engine.threads.create("t", ttl=1)
        await pass_time(engine, clock, 0.9 * MINUTE)
        run_id = await submit(engine, "t", "a")
        await gates["a:1"].reached()
        await pass_time(engine, clock, 100 * MINUTE)
        assert await present(engine) == {"t"}
        gates.open()
        assert heard((await join(engine, "t", run_id)).values) == answered("a")
        await pass_time(engine, clock, 0.9 * MINUTE)
        assert await present(engine) == {"t"}
        await pass_time(engine, clock, 0.2 * MINUTE)
        assert await present(engine) == set()


async def test_what_was_over_while_no_engine_ran_ends_at_the_start(database: Database) -> None:
    clock = StillClock()
    async with opened(database, clock=clock) as engine:
        for n in range(5):
            await engine.threads.create(f"over-{n}", ttl=1)
        await engine.threads.create("late", ttl=10)
    await clock.advance(5 * MINUTE)
    async with opened(database, clock=clock) as engine:
        await clock.advance(0.01)
        await quiet(engine)
        await clock.advance(0.01)
        await quiet(engine)
        assert await present(engine) == {"late"}
        await pass_time(engine, clock, 6 * MINUTE)
        assert await present(engine) == set()


async def test_an_engine_without_a_worker_ends_nothing(database: Database) -> None:
    clock = StillClock()
    async with opened(database, clock=clock, worker_slots=0) as engine:
        await engine.threads.create("t", ttl=1)
        await pass_time(engine, clock, 10 * MINUTE)
        assert await present(engine) == {"t"}


async def test_many_threads_end_in_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "THREADS_AT_ONCE", 7)
    clock = StillClock()
    async with opened(database, clock=clock) as engine:
        for n in range(60):
            await engine.threads.create(f"t{n}", ttl=1 if n % 3 else 20)
        await pass_time(engine, clock, 1.1 * MINUTE)
        assert await present(engine) == {f"t{n}" for n in range(0, 60, 3)}
        await pass_time(engine, clock, 20 * MINUTE)
        assert await present(engine) == set()


async def test_several_engines_end_a_thread_once(database: Database) -> None:
    clock = StillClock()
    async with (
        opened(database, clock=clock, poll_seconds=10) as one,
        opened(database, clock=clock, poll_seconds=10) as two,
        opened(database, clock=clock, poll_seconds=10) as three,
    ):
        engines = (one, two, three)
        for n in range(10):
            await engines[n % 3].threads.create(f"delete-{n}", ttl=1)
            keep = {"ttl": 1, "strategy": "keep_latest"}
            await engines[n % 3].threads.create(f"keep-{n}", ttl=keep)
        for _ in range(4):
            await pass_time(one, clock, MINUTE)
            await quiet(two)
            await quiet(three)
        for engine in engines:
            assert await present(engine) == {f"keep-{n}" for n in range(10)}
        for n in range(10):
            assert await events(one, f"delete-{n}", ThreadDeleted) == 1
            assert await events(one, f"keep-{n}", CheckpointsHidden) == 1


@pytest.mark.parametrize("repetition", range(30))
async def test_a_run_that_comes_as_the_time_is_over_runs_whole_or_is_refused(
    database: Database, repetition: int
) -> None:
    """One append decides: the thread is gone before the run, or stays until the run has ended."""
    clock = StillClock()
    async with opened(database, registry(chat(Gates())), clock=clock) as engine:
        await engine.threads.create("t", ttl=1)
        await quiet(engine)
        await clock.advance(MINUTE - 0.01)

        async def run() -> list[str]:
            for _ in range(repetition % 6):
                await asyncio.sleep(0)
            view = await engine.submit_run("t", "agent", input=said("a"))
            return heard((await join(engine, "t", view.row.run_id)).values)

        running = asyncio.ensure_future(run())
        for _ in range(repetition // 6):
            await asyncio.sleep(0)
        await clock.advance(0.02)
        try:
            assert await running == answered("a")
        except ThreadNotFoundError:
            assert await present(engine) == set()
        else:
            thread = await until(engine, "t", lambda thread: not thread.runs)
            assert (thread.is_present, heard(thread.values())) == (True, answered("a"))


async def test_an_end_that_fails_is_tried_again_later_and_holds_no_other_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = StillClock()
    async with opened(database, clock=clock) as engine:
        for name in ("a", "b", "c"):
            await engine.threads.create(name, ttl=1)
        tries, execute = [], engine._executor.execute

        async def failing(thread_id: str, *intents: Any, **options: Any) -> Any:
            if thread_id == "b" and not options.get("is_asked"):
                tries.append(thread_id)
                raise ThreadNotFoundError(thread_id=thread_id)
            return await execute(thread_id, *intents, **options)

        monkeypatch.setattr(engine._executor, "execute", failing)
        await pass_time(engine, clock, 1.1 * MINUTE)
        assert await present(engine) == {"b"}
        count = len(tries)
        assert count <= 3
        await pass_time(engine, clock, expiry.STUCK_SECONDS / 2)
        assert len(tries) == count
        monkeypatch.undo()
        await pass_time(engine, clock, expiry.STUCK_SECONDS)
        assert await present(engine) == set()


async def test_nobody_looks_again_and_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two ends the store is not asked, but once an hour."""
    clock = StillClock()
    async with opened(database, clock=clock) as engine:
        await engine.threads.create("t", ttl=600)
        await quiet(engine)
        asked, list_expiring = [], engine._ports.store.list_expiring

        async def counted(*, limit: int) -> Any:
            asked.append(limit)
            return await list_expiring(limit=limit)

        monkeypatch.setattr(engine._ports.store, "list_expiring", counted)
        for n in range(20):
            await engine.patch_thread("t", {"n": n})
            await pass_time(engine, clock, MINUTE)
        assert len(asked) <= 2
        for _ in range(12):
            await pass_time(engine, clock, 3600)
        assert len(asked) <= 16
        assert await present(engine) == set()


# ------------------------------------------------------------------ planted faults


async def test_a_time_to_live_that_runs_on_during_a_run_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mutant "do not look at the runs" deletes a busy thread, and the test above fails."""
    from threadfold.domain import pruning, thread as threads

    def careless(thread: Any) -> Any:
        return pruning.expiry_of(thread.changed(runs={}))

    monkeypatch.setattr(threads, "expiry_of", careless)
    with pytest.raises((AssertionError, ThreadNotFoundError)):
        await test_a_run_in_flight_holds_the_end_up(Database())


async def test_a_sweep_that_prunes_again_and_again_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mutant "forget that it was pruned" records the same thing for ever."""
    from threadfold.domain import pruning, thread as threads

    def forgetful(thread: Any) -> Any:
        return pruning.expiry_of(thread.changed(pruned_version=0))

    monkeypatch.setattr(threads, "expiry_of", forgetful)
    with pytest.raises(AssertionError):
        await test_keeping_the_newest_state_changes_nothing_of_it(Database())
