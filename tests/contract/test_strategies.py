"""Each strategy as each client sees it, with a run in flight. The rules themselves are tested in tests/domain."""

import pytest

from tests.support.engine import Gates, answered, heard, soon
from tests.support.http import Caller, RefusedError


async def busy_thread(caller: Caller, gates: Gates) -> tuple[str, str]:
    """Return a thread, and its run, which has written `a` and `a.1` and is held before `a.2`."""
    gates.close("a:1")
    thread_id = await caller.create_thread()
    run_id = await caller.create(thread_id, "a")
    await gates["a:1"].reached()
    return thread_id, run_id


async def messages(caller: Caller, thread_id: str) -> list[str]:
    return heard((await caller.state(thread_id))["values"])


async def runs(caller: Caller, thread_id: str) -> list[tuple[str, str]]:
    return [(run["run_id"], run["status"]) for run in await caller.list(thread_id)]


@pytest.mark.parametrize("options", [{}, {"multitask_strategy": "enqueue"}])
async def test_enqueue_is_the_default_and_waits_for_the_run_before(
    caller: Caller, gates: Gates, options: dict
) -> None:
    thread_id, first = await busy_thread(caller, gates)
    second = await caller.create(thread_id, "b", **options)
    assert (await caller.get(thread_id, second))["status"] == "pending"
    gates.open()
    assert heard(await soon(caller.join(thread_id, second))) == answered("a", "b")
    assert await runs(caller, thread_id) == [(second, "success"), (first, "success")]


async def test_reject_refuses_and_leaves_no_trace(caller: Caller, gates: Gates) -> None:
    thread_id, first = await busy_thread(caller, gates)
    with pytest.raises(RefusedError) as refusal:
        await caller.create(thread_id, "b", multitask_strategy="reject")
    assert refusal.value.status == 409
    assert refusal.value.detail == (
        "Thread is already running a task. Wait for it to finish or choose a different "
        "multitask strategy."
    )
    with pytest.raises(RefusedError) as refusal:
        await caller.wait(thread_id, "b", multitask_strategy="reject")
    assert refusal.value.status == 409
    gates.open()
    await soon(caller.join(thread_id, first))
    assert await messages(caller, thread_id) == answered("a")
    assert await runs(caller, thread_id) == [(first, "success")]


async def test_interrupt_keeps_what_was_done(caller: Caller, gates: Gates) -> None:
    thread_id, first = await busy_thread(caller, gates)
    second = await caller.create(thread_id, "b", multitask_strategy="interrupt")
    assert (await caller.get(thread_id, first))["status"] == "interrupted"
    gates.open()
    await soon(caller.join(thread_id, second))
    assert await messages(caller, thread_id) == ["a", "a.1", *answered("b")]
    assert await runs(caller, thread_id) == [(second, "success"), (first, "interrupted")]


async def test_rollback_leaves_only_the_new_run(caller: Caller, gates: Gates) -> None:
    thread_id, first = await busy_thread(caller, gates)
    queued = await caller.create(thread_id, "q")
    third = await caller.create(thread_id, "b", multitask_strategy="rollback")
    for run_id in (first, queued):
        with pytest.raises(RefusedError) as refusal:
            await caller.get(thread_id, run_id)
        assert refusal.value.status == 404
    gates.open()
    await soon(caller.join(thread_id, third))
    assert await messages(caller, thread_id) == answered("b")
    assert await runs(caller, thread_id) == [(third, "success")]


@pytest.mark.parametrize("strategy", ["enqueue", "reject", "interrupt", "rollback"])
async def test_with_nothing_in_flight_every_strategy_is_a_plain_run(
    caller: Caller, strategy: str
) -> None:
    thread_id = await caller.create_thread()
    await caller.wait(thread_id, "a")
    values = await caller.wait(thread_id, "b", multitask_strategy=strategy)
    assert heard(values) == answered("a", "b")
