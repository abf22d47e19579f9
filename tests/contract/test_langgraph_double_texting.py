"""A second message on a LangGraph thread, with each strategy, wherever the first one's run stands."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError

from tests.support.engine import Database, Gates, StillClock, answered, heard, humans, said, soon
from tests.support.langgraph_agents import hosting
from threadfold import Engine, get_client

MOMENTS = ["a:0", "a:1", "a:2"]
"""Before the first step, between the steps, and before the end."""

DONE = {"a:0": ["a"], "a:1": ["a", "a.1"], "a:2": ["a", "a.1", "a.2"]}
"""What stands of the first message's run at each of them."""

OPEN = {"a:0": "one", "a:1": "two", "a:2": "three"}
"""Which node is held there."""


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    async with hosting(database, gates) as engine:
        yield engine


@pytest.fixture
async def thread_id(client: LangGraphClient) -> str:
    """Give a thread that a turn was made on."""
    thread_id = (await client.threads.create())["thread_id"]
    await soon(client.runs.wait(thread_id, "agent", input=said("pre")))
    return thread_id


async def held(client: LangGraphClient, thread_id: str, gates: Gates, moment: str) -> str:
    """Run the first message up to a moment, and hold it there."""
    gates.close(moment)
    run = await client.runs.create(thread_id, "agent", input=said("a"), durability="sync")
    await gates[moment].reached()
    return run["run_id"]


async def second(client: LangGraphClient, thread_id: str, gates: Gates, strategy: str) -> list[str]:
    """Send the second message, and return what stands when its run has ended."""
    run = await client.runs.create(thread_id, "agent", input=said("b"), multitask_strategy=strategy)
    gates.open()
    values = await soon(client.runs.join(thread_id, run["run_id"]))
    state = await client.threads.get_state(thread_id)
    thread = await client.threads.get(thread_id)
    assert values == state["values"] == thread["values"]
    assert (thread["status"], state["next"], state["tasks"]) == ("idle", [], [])
    return heard(values)


async def history_is_a_chain(client: LangGraphClient, thread_id: str) -> int:
    """Return how many states there are, having checked that each follows from the one before."""
    history = await client.threads.get_history(thread_id, limit=100)
    parents = [state["parent_checkpoint_id"] for state in history]
    assert parents == [*(state["checkpoint_id"] for state in history[1:]), None]
    return len(history)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_rollback_leaves_the_second_turn_alone(
    client: LangGraphClient, thread_id: str, gates: Gates, moment: str
) -> None:
    first = await held(client, thread_id, gates, moment)
    assert heard((await client.threads.get_state(thread_id))["values"])[3:] == DONE[moment]
    stands = await second(client, thread_id, gates, "rollback")
    assert stands == answered("pre", "b")
    assert await history_is_a_chain(client, thread_id) == 10
    with pytest.raises(NotFoundError):
        await client.runs.get(thread_id, first)
    again = await soon(client.runs.wait(thread_id, "agent", input=said("c")))
    assert heard(again) == answered("pre", "b", "c")


@pytest.mark.parametrize("moment", MOMENTS)
async def test_interrupt_keeps_the_finished_steps(
    client: LangGraphClient, thread_id: str, gates: Gates, moment: str
) -> None:
    first = await held(client, thread_id, gates, moment)
    stands = await second(client, thread_id, gates, "interrupt")
    assert stands == [*answered("pre"), *DONE[moment], *answered("b")]
    assert (await client.runs.get(thread_id, first))["status"] == "interrupted"
    await history_is_a_chain(client, thread_id)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_enqueue_runs_on_what_the_first_leaves(
    client: LangGraphClient, thread_id: str, gates: Gates, moment: str
) -> None:
    first = await held(client, thread_id, gates, moment)
    stands = await second(client, thread_id, gates, "enqueue")
    assert stands == answered("pre", "a", "b")
    assert (await client.runs.get(thread_id, first))["status"] == "success"
    assert await history_is_a_chain(client, thread_id) == 15


@pytest.mark.parametrize("moment", MOMENTS)
async def test_reject_leaves_the_first_alone(
    client: LangGraphClient, thread_id: str, gates: Gates, moment: str
) -> None:
    first = await held(client, thread_id, gates, moment)
    with pytest.raises(ConflictError, match="already running"):
        await client.runs.create(thread_id, "agent", input=said("b"), multitask_strategy="reject")
    gates.open()
    assert heard(await soon(client.runs.join(thread_id, first))) == answered("pre", "a")
    assert len(await client.runs.list(thread_id)) == 2


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_cancelled_run_can_be_gone_on_with(
    client: LangGraphClient, thread_id: str, gates: Gates, moment: str
) -> None:
    first = await held(client, thread_id, gates, moment)
    await client.runs.cancel(thread_id, first, wait=True)
    state = await client.threads.get_state(thread_id)
    assert heard(state["values"])[3:] == DONE[moment]
    assert state["next"] == [OPEN[moment]]
    assert (await client.threads.get(thread_id))["status"] == "interrupted"
    gates.open()
    assert heard(await soon(client.runs.wait(thread_id, "agent"))) == answered("pre", "a")


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_cancel_by_rollback_leaves_what_stood_before(
    client: LangGraphClient, thread_id: str, gates: Gates, moment: str
) -> None:
    before = await client.threads.get_state(thread_id)
    first = await held(client, thread_id, gates, moment)
    await client.runs.cancel(thread_id, first, action="rollback", wait=True)
    gates.open()
    assert await client.threads.get_state(thread_id) == before
    assert (await client.threads.get(thread_id))["status"] == "idle"


async def test_twenty_messages_at_once_leave_the_last_ones_turn(
    client: LangGraphClient, thread_id: str, gates: Gates
) -> None:
    await held(client, thread_id, gates, "a:1")
    runs = await asyncio.gather(
        *(
            client.runs.create(
                thread_id, "agent", input=said(f"m{number}"), multitask_strategy="rollback"
            )
            for number in range(20)
        )
    )
    gates.open()
    created = sorted(runs, key=lambda run: run["created_at"])
    values = await soon(client.runs.join(thread_id, created[-1]["run_id"]))
    (last,) = humans(values)[1:]
    assert heard(values) == answered("pre", last)
    assert [run["run_id"] for run in (await client.runs.list(thread_id))[:-1]] == [
        created[-1]["run_id"]
    ]
    assert await history_is_a_chain(client, thread_id) == 10


async def test_what_is_streamed_of_a_run_that_is_interrupted_just_ends(
    client: LangGraphClient, thread_id: str, gates: Gates
) -> None:
    gates.close("a:1")
    stream = client.runs.stream(thread_id, "agent", input=said("a"), stream_mode="updates")
    seen = [(await soon(anext(stream))).event for _ in range(2)]
    assert seen == ["metadata", "updates"]
    assert "b.2" in await second(client, thread_id, gates, "interrupt")
    assert [part.event async for part in stream] == []


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("stop", ["interrupt", "cancel"])
async def test_a_run_that_saves_only_at_its_exit_leaves_its_finished_steps_too(
    client: LangGraphClient, thread_id: str, gates: Gates, moment: str, stop: str
) -> None:
    gates.close(moment)
    run = await client.runs.create(thread_id, "agent", input=said("a"), durability="exit")
    await gates[moment].reached()
    queued = await client.runs.create(thread_id, "agent", input=said("later"), after_seconds=600)
    await client.runs.cancel(thread_id, queued["run_id"], wait=True)
    assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "running"
    if stop == "interrupt":
        stands = await second(client, thread_id, gates, "interrupt")
        assert stands == [*answered("pre"), *DONE[moment], *answered("b")]
    else:
        await client.runs.cancel(thread_id, run["run_id"], wait=True)
        await goes_on(client, thread_id, gates, moment)
    assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "interrupted"


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("durability", ["exit", "async"])
async def test_a_run_that_takes_too_long_leaves_its_finished_steps(
    database: Database, gates: Gates, moment: str, durability: str
) -> None:
    clock = StillClock()
    async with hosting(database, gates, clock=clock) as engine, get_client(engine) as client:
        thread_id = (await client.threads.create())["thread_id"]
        await soon(client.runs.wait(thread_id, "agent", input=said("pre")))
        gates.close(moment)
        view = await engine.submit_run(
            thread_id,
            "agent",
            input=said("a"),
            kwargs={"durability": durability},
            timeout_seconds=60,
        )
        await gates[moment].reached()
        await clock.advance(61)
        values = await soon(client.runs.join(thread_id, view.row.run_id))
        assert values["__error__"]["error"] == "TimeoutError"
        assert (await client.runs.get(thread_id, view.row.run_id))["status"] == "timeout"
        await goes_on(client, thread_id, gates, moment)


async def goes_on(client: LangGraphClient, thread_id: str, gates: Gates, moment: str) -> None:
    """Check what a stopped run has left, and that it can be gone on with."""
    state = await client.threads.get_state(thread_id)
    assert heard(state["values"])[3:] == DONE[moment]
    assert state["next"] == [OPEN[moment]]
    gates.open()
    assert heard(await soon(client.runs.wait(thread_id, "agent"))) == answered("pre", "a")


async def test_rollback_of_a_run_that_saves_only_at_its_exit_leaves_nothing_of_it(
    client: LangGraphClient, thread_id: str, gates: Gates
) -> None:
    gates.close("a:1")
    await client.runs.create(thread_id, "agent", input=said("a"), durability="exit")
    await gates["a:1"].reached()
    assert await second(client, thread_id, gates, "rollback") == answered("pre", "b")
