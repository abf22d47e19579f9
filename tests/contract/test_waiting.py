"""Waiting for a run: `wait` and `join`, whatever becomes of the run meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError

from tests.support.engine import Gates, answered, heard, said, soon
from tests.support.http import Caller, RefusedError, until
from threadfold import Engine
from threadfold.app.http import following


@pytest.fixture
async def raw(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=10) as raw:
        yield raw


async def held_run(client: LangGraphClient, gates: Gates) -> tuple[str, str]:
    """Return a thread, and its run, which is held before `a.2`."""
    gates.close("a:1")
    thread_id = (await client.threads.create())["thread_id"]
    run_id = (await client.runs.create(thread_id, "agent", input=said("a")))["run_id"]
    await gates["a:1"].reached()
    return thread_id, run_id


def body(text: str, **fields) -> dict:
    return {"assistant_id": "agent", "input": said(text), **fields}


async def test_wait_and_join_give_the_final_values(caller: Caller) -> None:
    thread_id = await caller.create_thread()
    values = await caller.wait(thread_id, "a")
    assert heard(values) == answered("a")
    (run,) = await caller.list(thread_id)
    assert run["status"] == "success"
    assert await caller.join(thread_id, run["run_id"]) == values


async def test_both_say_where_to_go_on_when_the_connection_is_lost(
    raw: httpx.AsyncClient, client: LangGraphClient
) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    response = await raw.post(f"/threads/{thread_id}/runs/wait", json=body("a"))
    (run,) = await client.runs.list(thread_id)
    path = f"/threads/{thread_id}/runs/{run['run_id']}"
    assert response.headers["Content-Location"] == path
    assert response.headers["Location"] == f"{path}/join"
    assert response.headers["Content-Type"] == "application/json"
    joined = await raw.get(f"{path}/join")
    assert joined.headers["Location"] == f"{path}/join"
    assert joined.json() == response.json()


async def test_headers_come_at_once_and_line_feeds_while_the_run_goes_on(
    raw: httpx.AsyncClient,
    client: LangGraphClient,
    gates: Gates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "HEARTBEAT_SECONDS", 0.01)
    gates.close("a:1")
    thread_id = (await client.threads.create())["thread_id"]
    async with raw.stream("POST", f"/threads/{thread_id}/runs/wait", json=body("a")) as response:
        assert response.status_code == 200
        chunks = response.aiter_raw()
        assert await soon(anext(chunks)) == b"\n"
        assert await soon(anext(chunks)) == b"\n"
        gates.open()
        rest = b"".join([chunk async for chunk in chunks])
    assert heard(json.loads(rest)) == answered("a")


async def test_a_run_that_is_interrupted_gives_the_values_as_they_stand(
    caller: Caller, gates: Gates
) -> None:
    gates.close("a:1")
    thread_id = await caller.create_thread()
    waiting = asyncio.create_task(caller.wait(thread_id, "a"))
    await gates["a:1"].reached()
    (run,) = await caller.list(thread_id)
    joining = asyncio.create_task(caller.join(thread_id, run["run_id"]))
    await caller.create(thread_id, "b", multitask_strategy="interrupt")
    assert heard(await soon(waiting)) == ["a", "a.1"]
    assert heard(await soon(joining))[:2] == ["a", "a.1"]


async def test_a_run_that_is_rolled_back_is_said_to_be(caller: Caller, gates: Gates) -> None:
    gates.close("a:1")
    thread_id = await caller.create_thread()
    waiting = asyncio.create_task(caller.wait(thread_id, "a"))
    await gates["a:1"].reached()
    (run,) = await caller.list(thread_id)
    second = await caller.create(thread_id, "b", multitask_strategy="rollback")
    result = await soon(waiting)
    assert result["__error__"]["error"] == "RunRolledBack"
    assert run["run_id"] in result["__error__"]["message"]
    with pytest.raises(RefusedError) as refusal:
        await caller.join(thread_id, run["run_id"])
    assert refusal.value.status == 404
    await soon(caller.join(thread_id, second))


@pytest.mark.parametrize("is_running", [True, False])
async def test_joins_under_way_hear_of_a_rollback(
    client: LangGraphClient, gates: Gates, engine: Engine, *, is_running: bool
) -> None:
    thread_id, run_id = await held_run(client, gates)
    if not is_running:
        run_id = (await client.runs.create(thread_id, "agent", input=said("q")))["run_id"]
    joining = asyncio.create_task(client.runs.join(thread_id, run_id))
    await until(lambda: engine._hub.has_listeners(thread_id))
    await client.runs.create(thread_id, "agent", input=said("b"), multitask_strategy="rollback")
    assert (await soon(joining))["__error__"]["error"] == "RunRolledBack"


async def test_a_run_that_fails_says_why(engine: Engine, caller: Caller) -> None:
    @engine.graph("broken")
    async def broken(state, run):
        yield {"messages": [{"role": "ai", "content": "before"}]}
        raise ValueError("no such luck")

    thread_id = await caller.create_thread()
    error = {"error": "ValueError", "message": "no such luck"}
    values = await caller.wait(thread_id, "a", "broken")
    assert values == {"__error__": error}


async def test_the_sdk_raises_for_a_failed_run(engine: Engine, client: LangGraphClient) -> None:
    @engine.graph("broken")
    async def broken(state, run):
        raise ValueError("no such luck")

    thread_id = (await client.threads.create())["thread_id"]
    with pytest.raises(Exception, match="ValueError: no such luck"):
        await client.runs.wait(thread_id, "broken", input=said("a"))
    (run,) = await client.runs.list(thread_id)
    error = {"error": "ValueError", "message": "no such luck"}
    assert run["status"] == "error"
    assert await client.runs.join(thread_id, run["run_id"]) == {"__error__": error}
    thread = await client.threads.get(thread_id)
    assert (thread["status"], thread["error"]) == ("error", error)


async def test_an_unknown_run_cannot_be_joined(client: LangGraphClient) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    for asked in (thread_id, "01a00000-0000-7000-8000-000000000000"):
        with pytest.raises(httpx.HTTPStatusError) as refusal:
            await client.runs.join(asked, "01a00000-0000-7000-8000-000000000000")
        assert refusal.value.response.status_code == 404


# ------------------------------------------------------------------ clients that leave


@pytest.mark.parametrize("call", ["wait", "stream"])
@pytest.mark.parametrize(
    ("on_disconnect", "status"), [("cancel", "interrupted"), (None, "success")]
)
async def test_a_client_that_leaves_cancels_its_run_only_if_it_said_so(
    raw: httpx.AsyncClient,
    client: LangGraphClient,
    engine: Engine,
    gates: Gates,
    call: str,
    on_disconnect: str | None,
    status: str,
) -> None:
    gates.close("a:1")
    thread_id = (await client.threads.create())["thread_id"]
    given = body("a", on_disconnect=on_disconnect)
    async with raw.stream("POST", f"/threads/{thread_id}/runs/{call}", json=given) as response:
        run_id = response.headers["Content-Location"].rpartition("/")[2]
        await gates["a:1"].reached()
    await until(lambda: not engine._hub.has_listeners(thread_id))
    if on_disconnect is None:
        gates.open()
    await soon(client.runs.join(thread_id, run_id))
    assert (await client.runs.get(thread_id, run_id))["status"] == status


@pytest.mark.parametrize("call", ["join", "stream"])
@pytest.mark.parametrize("cancels", [True, False])
async def test_a_joiner_that_leaves_cancels_the_run_only_if_it_said_so(
    raw: httpx.AsyncClient,
    client: LangGraphClient,
    engine: Engine,
    gates: Gates,
    call: str,
    *,
    cancels: bool,
) -> None:
    thread_id, run_id = await held_run(client, gates)
    path = f"/threads/{thread_id}/runs/{run_id}/{call}"
    async with raw.stream("GET", path, params={"cancel_on_disconnect": cancels}) as response:
        assert response.status_code == 200
    await until(lambda: not engine._hub.has_listeners(thread_id))
    if not cancels:
        gates.open()
    await soon(client.runs.join(thread_id, run_id))
    status = "interrupted" if cancels else "success"
    assert (await client.runs.get(thread_id, run_id))["status"] == status


async def test_in_process_too_a_client_that_leaves_is_noticed(
    client: LangGraphClient, engine: Engine, gates: Gates
) -> None:
    gates.close("a:1")
    thread_id = (await client.threads.create())["thread_id"]
    waiting = asyncio.create_task(
        client.runs.wait(thread_id, "agent", input=said("a"), on_disconnect="cancel")
    )
    await gates["a:1"].reached()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: not engine._hub.has_listeners(thread_id))
    (run,) = await client.runs.list(thread_id)
    await soon(client.runs.join(thread_id, run["run_id"]))
    assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "interrupted"


# ------------------------------------------------------------------ cancelling


@pytest.mark.parametrize("wait", [True, False])
async def test_cancel_interrupts_and_keeps_the_work(
    client: LangGraphClient, gates: Gates, *, wait: bool
) -> None:
    thread_id, run_id = await held_run(client, gates)
    answer = await client.runs.cancel(thread_id, run_id, wait=wait)
    assert (heard(answer) == ["a", "a.1"]) if wait else (answer is None)
    assert (await client.runs.get(thread_id, run_id))["status"] == "interrupted"
    assert heard((await client.threads.get_state(thread_id))["values"]) == ["a", "a.1"]
    assert (await client.threads.get(thread_id))["status"] == "interrupted"


@pytest.mark.parametrize("wait", [True, False])
async def test_cancel_with_rollback_leaves_nothing(
    client: LangGraphClient, gates: Gates, *, wait: bool
) -> None:
    thread_id, run_id = await held_run(client, gates)
    answer = await client.runs.cancel(thread_id, run_id, wait=wait, action="rollback")
    assert answer == ({} if wait else None)
    with pytest.raises(NotFoundError):
        await client.runs.get(thread_id, run_id)
    assert (await client.threads.get_state(thread_id))["values"] == {}
    assert (await client.threads.get(thread_id))["status"] == "idle"


async def test_what_has_ended_or_is_unknown_cannot_be_cancelled(client: LangGraphClient) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread_id, "agent", input=said("a"))
    (run,) = await client.runs.list(thread_id)
    with pytest.raises(NotFoundError, match="No matching runs to cancel"):
        await client.runs.cancel(thread_id, run["run_id"])
    with pytest.raises(NotFoundError, match="No runs found to cancel"):
        await client.runs.cancel(thread_id, thread_id)


async def test_many_runs_are_cancelled_by_id_or_by_status(
    client: LangGraphClient, gates: Gates
) -> None:
    thread_id, first = await held_run(client, gates)
    second = (await client.runs.create(thread_id, "agent", input=said("b")))["run_id"]
    await client.runs.cancel_many(thread_id=thread_id, run_ids=[second])
    assert (await client.runs.get(thread_id, second))["status"] == "interrupted"
    await client.runs.cancel_many(status="running")
    assert (await client.runs.get(thread_id, first))["status"] == "interrupted"
    with pytest.raises(NotFoundError, match="No runs found to cancel"):
        await client.runs.cancel_many(status="all")
    for given in ({}, {"thread_id": thread_id, "run_ids": [second], "status": "all"}):
        with pytest.raises(httpx.HTTPStatusError) as refusal:
            await client.runs.cancel_many(**given)
        assert refusal.value.response.status_code == 422


@pytest.mark.parametrize("how", ["by status", "by id", "by id, backwards"])
async def test_a_run_does_not_start_because_the_one_before_it_is_cancelled_with_it(
    client: LangGraphClient, gates: Gates, how: str
) -> None:
    thread_id, first = await held_run(client, gates)
    rest = [
        (await client.runs.create(thread_id, "agent", input=said(text)))["run_id"] for text in "bc"
    ]
    runs = [first, *rest]
    if how == "by status":
        await client.runs.cancel_many(status="all")
    else:
        order = runs if how == "by id" else runs[::-1]
        await client.runs.cancel_many(thread_id=thread_id, run_ids=order)
    for run_id in runs:
        assert (await client.runs.get(thread_id, run_id))["status"] == "interrupted"
    assert (gates["b:0"].arrivals, gates["c:0"].arrivals) == (0, 0)
    assert heard((await client.threads.get_state(thread_id))["values"]) == ["a", "a.1"]


async def test_a_pending_run_that_is_deleted_never_runs(
    client: LangGraphClient, gates: Gates
) -> None:
    thread_id, first = await held_run(client, gates)
    second = (await client.runs.create(thread_id, "agent", input=said("b")))["run_id"]
    await client.runs.delete(thread_id, second)
    with pytest.raises(NotFoundError):
        await client.runs.get(thread_id, second)
    with pytest.raises(NotFoundError):
        await client.runs.delete(thread_id, second)
    gates.open()
    assert heard(await soon(client.runs.join(thread_id, first))) == answered("a")
