"""Runs on temporary threads under crashes, hand-overs and late writes; and what happens if their steps are recorded."""

import asyncio
from collections import Counter

import pytest

from tests.support.engine import (
    Database,
    Gates,
    Rogue,
    answered,
    chat,
    heard,
    registry,
    said,
    soon,
    write,
)
from tests.support.stateless import ROWS, rows
from threadfold import Engine
from threadfold.app import attempts
from threadfold.app.recording import Recorder
from threadfold.domain.errors import RunNotFoundError, StaleAttemptError
from threadfold.domain.graph_ports import RunContext

pytestmark = pytest.mark.anyio


@pytest.fixture
def gates() -> Gates:
    return Gates()


async def types_of(engine: Engine) -> list[str]:
    return [each.event.type for each in await engine._ports.store.read_log(limit=100_000)]


async def test_a_run_that_is_lost_with_its_process_starts_again_from_its_input(
    database: Database, gates: Gates
) -> None:
    gates.close("a:1")
    killed = await database.mortal(registry(chat(gates)))
    view = await killed.engine.submit_run(None, "agent", input=said("a"))
    await gates["a:1"].reached()
    await killed.kill()
    async with database.engine(registry(chat(gates))) as engine:
        joining = asyncio.create_task(engine.join_run(view.row.thread_id, view.row.run_id))
        await gates["a:1"].reached(2)
        gates.open()
        assert heard((await soon(joining)).values) == answered("a")
        assert await rows(engine) == [*ROWS[:3], "RunStarted", *ROWS[3:]]
        with pytest.raises(RunNotFoundError):
            await engine.get_run(view.row.thread_id, view.row.run_id)


async def test_a_run_whose_attempts_are_used_up_fails_and_leaves_no_thread(
    database: Database, gates: Gates
) -> None:
    gates.close("a:0")
    for count in range(1, 4):
        killed = await database.mortal(registry(chat(gates)))
        if count == 1:
            await killed.engine.submit_run(None, "agent", input=said("a"))
        await gates["a:0"].reached(count)
        await killed.kill()
    async with database.engine(registry(chat(gates))) as engine:
        types = await rows(engine)
    assert types == [*ROWS[:3], "RunStarted", "RunStarted", "RunFailed", "ThreadDeleted"]


async def test_a_run_that_is_handed_over_is_gone_on_with(database: Database, gates: Gates) -> None:
    gates.close("a:1")
    async with database.engine(registry(chat(gates))) as engine:
        await engine.submit_run(None, "agent", input=said("a"))
        await gates["a:1"].reached()
    gates.open()
    async with database.engine(registry(chat(gates))) as engine:
        types = await rows(engine)
    assert types == [*ROWS[:3], "RunHandedOver", "RunStarted", *ROWS[3:]]


async def test_another_process_says_that_it_does_not_have_the_result(
    database: Database, gates: Gates
) -> None:
    gates.close("a:1")
    async with (
        database.engine(registry(chat(gates))) as one,
        database.engine(registry(chat(gates)), worker_slots=0) as two,
    ):
        view = await one.submit_run(None, "agent", input=said("a"))
        await gates["a:1"].reached()
        joining = asyncio.create_task(two.join_run(view.row.thread_id, view.row.run_id))
        while not two._hub.has_listeners(view.row.thread_id):  # noqa: ASYNC110
            await asyncio.sleep(0)
        await two._executor.load(view.row.thread_id)
        gates.open()
        result = await soon(joining)
        assert result.error is not None
        assert result.error.error == "ResultNotKept"


async def test_late_steps_of_a_cancelled_run_go_nowhere(database: Database) -> None:
    begun, go_on, seen = asyncio.Event(), asyncio.Event(), list[BaseException]()

    async def stubborn(context: RunContext) -> None:
        await context.record(write("first"))
        begun.set()
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue
        for late in (context.record(write("late")), context.record_result("x", 1)):
            try:
                await late
            except StaleAttemptError as error:
                seen.append(error)

    async with database.engine(registry(Rogue(stubborn)), grace_seconds=0) as engine:
        view = await engine.submit_run(None, "agent")
        await soon(begun.wait())
        await engine.cancel_run(view.row.thread_id, view.row.run_id)
        assert await rows(engine) == [*ROWS[:3], "RunInterrupted", "ThreadDeleted"]
        go_on.set()
        while len(seen) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        while engine._hub.held:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert len(await types_of(engine)) == 5


async def test_runs_without_a_thread_run_beside_each_other(
    database: Database, gates: Gates
) -> None:
    for number in range(5):
        gates.close(f"{number}:1")
    async with database.engine(registry(chat(gates))) as engine:
        views = [
            await engine.submit_run(None, "agent", input=said(f"{number}")) for number in range(5)
        ]
        for number in range(5):
            await gates[f"{number}:1"].reached()
        joining = [
            asyncio.create_task(engine.join_run(view.row.thread_id, view.row.run_id))
            for view in views
        ]
        gates.open()
        for number, join in enumerate(joining):
            assert heard((await soon(join)).values) == answered(f"{number}")
        assert Counter(await rows(engine)) == dict.fromkeys(ROWS, 5)


async def test_a_recorder_that_records_the_steps_is_caught(
    database: Database, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Recording(Recorder):
        """The planted fault: runs on temporary threads are recorded like all others."""

        def __init__(self, lease, thread, executor, hub, settings, **ports) -> None:
            super().__init__(lease, executor, settings, is_sync=False, **ports)

    monkeypatch.setattr(attempts, "TemporaryRecorder", Recording)
    monkeypatch.setattr(Recording, "hold", None, raising=False)
    async with database.engine(registry(chat(gates))) as engine:
        await engine.submit_run(None, "agent", input=said("a"))
        types = await rows(engine)
    assert types != ROWS
    assert "StepRecorded" in types
