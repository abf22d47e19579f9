"""Runs without a thread: what their callers get, and what is left of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIStatusError, NotFoundError

from tests.support.engine import (
    Database,
    Gates,
    answered,
    chat,
    heard,
    registry,
    said,
    soon,
)
from tests.support.javascript import Node
from tests.support.stateless import ROWS, assert_put_away, rows, until_over
from threadfold import Engine, get_client
from threadfold.domain.errors import ThreadExistsError, ThreadNotFoundError
from threadfold.domain.ports import RunRow


@pytest.fixture
async def raw(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=10) as raw:
        yield raw


async def row_of(engine: Engine, run_id: str) -> RunRow:
    row = await engine._ports.store.find_run(run_id)
    assert row is not None
    return row


# ------------------------------------------------------------------ what callers get


async def test_a_wait_gives_the_values_and_leaves_the_five_rows(
    client: LangGraphClient, engine: Engine
) -> None:
    created = []
    values = await client.runs.wait(
        None, "agent", input=said("a"), on_run_created=lambda run: created.append(run)
    )
    assert heard(values) == answered("a")
    assert await rows(engine) == ROWS
    (run,) = created
    assert (await row_of(engine, run["run_id"])).is_hidden


async def test_a_stream_gives_every_part_and_the_same_values(
    client: LangGraphClient, engine: Engine
) -> None:
    parts = [
        part
        async for part in client.runs.stream(
            None, "agent", input=said("a"), stream_mode=["values", "updates"]
        )
    ]
    assert [part.event for part in parts] == [
        *("metadata", "values", "updates", "values", "updates", "values"),
    ]
    assert heard(parts[-1].data) == answered("a")
    assert await rows(engine) == ROWS


async def test_the_sync_client_gets_the_same_over_a_socket(url: str, engine: Engine) -> None:
    def work() -> tuple[list[str], list[str], list[str]]:
        with get_sync_client(url=url) as client:
            values = client.runs.wait(None, "agent", input=said("a"))
            parts = [*client.runs.stream(None, "agent", input=said("b"))]
            run = client.runs.create(None, "agent", input=said("c"))
            batch = client.runs.create_batch([{"assistant_id": "agent", "input": said("d")}])
            assert {"run_id", "status"} <= run.keys() & batch[0].keys()
            return heard(values), heard(parts[-1].data), [run["run_id"], batch[0]["run_id"]]

    waited, streamed, created = await asyncio.to_thread(work)
    assert (waited, streamed) == (answered("a"), answered("b"))
    assert Counter(await rows(engine)) == dict.fromkeys(ROWS, 4)
    assert all([(await row_of(engine, run_id)).is_hidden for run_id in created])


async def test_a_created_run_says_what_it_is(client: LangGraphClient, gates: Gates) -> None:
    gates.close("a:0")
    run = await client.runs.create(
        None, "agent", input=said("a"), metadata={"m": 1}, config={"configurable": {"c": 1}}
    )
    assert (run["status"], run["metadata"]["m"]) == ("pending", 1)
    kwargs = run["kwargs"]
    assert kwargs["temporary"] is True
    configurable = kwargs["config"]["configurable"]
    assert configurable["c"] == 1
    assert configurable["thread_id"] == run["thread_id"]
    assert configurable.keys() >= {"run_id", "graph_id", "assistant_id", "user_id"}
    await gates["a:0"].reached()
    again = await client.runs.get(run["thread_id"], run["run_id"])
    assert again["status"] == "running"
    assert again["kwargs"] == kwargs
    gates.open()


async def test_a_batch_is_answered_in_order_and_each_run_is_one_of_its_own(
    client: LangGraphClient, engine: Engine
) -> None:
    asked = [
        {"assistant_id": "agent", "input": said(f"{n}"), "metadata": {"n": n}} for n in range(20)
    ]
    runs = await client.runs.create_batch(asked)
    assert [run["metadata"]["n"] for run in runs] == [*range(20)]
    assert len({run["thread_id"] for run in runs}) == 20
    assert Counter(await rows(engine)) == dict.fromkeys(ROWS, 20)
    assert await client.runs.create_batch([]) == []


async def test_a_batch_with_one_bad_run_leaves_none(
    client: LangGraphClient, engine: Engine
) -> None:
    good = {"assistant_id": "agent", "input": said("a")}
    bad = [
        {"assistant_id": "nobody"},
        {"assistant_id": "agent", "multitask_strategy": "merge"},
        {"assistant_id": "agent", "command": {"goto": "x"}},
        {"assistant_id": "agent", "webhook": "ftp://example.org"},
    ]
    for each in bad:
        with pytest.raises(APIStatusError) as raised:
            await client.runs.create_batch([good, each])
        assert raised.value.status_code == 422
    for junk in ({}, {"0": good}, "text", 7, None, [7], [None], [[good]]):
        answer = await client.http.client.post("/runs/batch", content=orjson.dumps(junk))
        assert answer.status_code == 422
        assert answer.json()["detail"]
    assert await rows(engine) == []


async def test_an_error_is_told_and_the_thread_is_gone_all_the_same(
    database: Database,
) -> None:
    engine = database.engine()

    @engine.graph("bad")
    async def bad(state):
        yield {"messages": [{"role": "ai", "content": "so far"}]}
        raise ValueError("no")

    async with engine, get_client(engine) as client:
        values = await client.runs.wait(None, "bad", input=said("a"), raise_error=False)
        assert values == {"__error__": {"error": "ValueError", "message": "no"}}
        parts = [part async for part in client.runs.stream(None, "bad", input=said("a"))]
        assert parts[-1].event == "error"
        assert parts[-1].data == {"error": "ValueError", "message": "no"}
        assert Counter(await rows(engine)) == {
            **dict.fromkeys(["ThreadCreated", "RunAccepted", "RunStarted", "ThreadDeleted"], 2),
            "RunFailed": 2,
        }


async def test_kept_runs_leave_a_thread_like_any_other(client: LangGraphClient) -> None:
    created = []
    values = await client.runs.wait(
        None,
        "agent",
        input=said("a"),
        on_completion="keep",
        on_run_created=lambda run: created.append(run),
    )
    thread_id = created[0]["thread_id"]
    assert (await client.threads.get_state(thread_id))["values"] == values
    (run,) = await client.runs.list(thread_id)
    assert run["kwargs"]["temporary"] is False
    assert await client.runs.join(thread_id, run["run_id"]) == values
    assert heard(await client.runs.wait(thread_id, "agent", input=said("b"))) == [
        *answered("a"),
        *answered("b"),
    ]


async def test_a_run_may_be_put_off(client: LangGraphClient, engine: Engine) -> None:
    values = await soon(client.runs.wait(None, "agent", input=said("a"), after_seconds=1))
    assert heard(values) == answered("a")
    assert await rows(engine) == ROWS


# ------------------------------------------------------------------ the way back to a run


async def test_the_location_of_a_stream_exists_and_goes_on_with_the_run(
    raw: httpx.AsyncClient, gates: Gates
) -> None:
    gates.close("a:1")
    body = {"assistant_id": "agent", "input": said("a"), "stream_mode": ["values"]}
    async with raw.stream("POST", "/runs/stream", json=body) as response:
        location = response.headers["Location"]
        run_id = response.headers["Content-Location"].rpartition("/")[2]
        assert location == f"/runs/{run_id}/stream"
        await gates["a:1"].reached()
    async with raw.stream("GET", location) as again:
        assert again.status_code == 200
        gates.open()
        text = (await again.aread()).decode()
    assert text.count("event: values") == 1
    assert "a.2" in text


async def test_joiners_of_a_run_get_its_values_and_later_ones_find_nothing(
    raw: httpx.AsyncClient, client: LangGraphClient, gates: Gates
) -> None:
    gates.close("a:1")
    run = await client.runs.create(None, "agent", input=said("a"))
    paths = [
        f"/runs/{run['run_id']}/join",
        f"/threads/{run['thread_id']}/runs/{run['run_id']}/join",
    ]
    joins = [asyncio.create_task(raw.get(path)) for path in paths * 5]
    await gates["a:1"].reached()
    gates.open()
    for answer in await soon(asyncio.gather(*joins)):
        # One that came too late finds nothing; none may hang, and none may get half of it.
        assert answer.status_code == 404 or heard(answer.json()) == answered("a")
    for path in (*paths, f"/runs/{run['run_id']}/stream"):
        assert (await raw.get(path)).status_code == 404
    for path in ("/runs/7/join", "/runs/7/stream"):
        assert (await raw.get(path)).status_code == 422


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_a_cancelled_run_is_gone_and_its_waiters_are_told(
    client: LangGraphClient, engine: Engine, gates: Gates, action
) -> None:
    gates.close("a:1")
    created: asyncio.Future[dict] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(
        client.runs.wait(
            None,
            "agent",
            input=said("a"),
            raise_error=False,
            on_run_created=lambda run: created.set_result(run),
        )
    )
    run = await soon(created)
    await gates["a:1"].reached()
    await client.runs.cancel(run["thread_id"], run["run_id"], action=action)
    values = await soon(waiting)
    if action == "interrupt":
        assert heard(values) == ["a", "a.1"]
    else:
        assert values["__error__"]["error"] == "RunRolledBack"
    with pytest.raises(NotFoundError):
        await client.runs.get(run["thread_id"], run["run_id"])
    ends = {"interrupt": "RunInterrupted", "rollback": "RunRolledBack"}
    assert await rows(engine) == [*ROWS[:3], ends[action], ROWS[4]]


async def test_a_run_can_be_cancelled_with_waiting_deleted_and_named_among_many(
    client: LangGraphClient, engine: Engine, gates: Gates
) -> None:
    async def begun(text: str) -> tuple[str, str]:
        gates.close(f"{text}:1")
        run = await client.runs.create(None, "agent", input=said(text))
        await gates[f"{text}:1"].reached()
        return run["thread_id"], run["run_id"]

    thread_id, run_id = await begun("a")
    values = await soon(client.runs.cancel(thread_id, run_id, wait=True))
    assert heard(values) == ["a", "a.1"]
    thread_id, run_id = await begun("b")
    await client.runs.delete(thread_id, run_id)
    thread_id, run_id = await begun("c")
    await client.runs.cancel_many(thread_id=thread_id, run_ids=[run_id])
    ends = [each for each in await rows(engine) if each not in ROWS]
    assert ends == ["RunInterrupted", "RunRolledBack", "RunInterrupted"]
    for call in (client.runs.cancel, client.runs.delete, client.runs.join):
        with pytest.raises((NotFoundError, httpx.HTTPStatusError)):
            await call(thread_id, run_id)


@pytest.mark.xdist_group("javascript")
async def test_the_javascript_client_gets_the_same(url: str, engine: Engine) -> None:
    node = await Node.start(url)
    try:
        payload = {"input": said("a")}
        waited = await node.call("runs", "wait", None, "agent", payload)
        assert heard(waited["result"]) == answered("a")
        made = await node.call("runs", "create", None, "agent", payload)
        assert made["result"]["kwargs"]["temporary"] is True
        batch = [{"assistantId": "agent", **payload}, {"assistantId": "agent", **payload}]
        found = await node.call("runs", "createBatch", batch)
        assert len(found["result"]) == 2
    finally:
        await node.close()
    assert Counter(await rows(engine)) == dict.fromkeys(ROWS, 4)


async def test_all_runs_of_a_status_are_cancelled_with_those_without_a_thread(
    client: LangGraphClient, engine: Engine, gates: Gates
) -> None:
    gates.close("a:1")
    await client.runs.create(None, "agent", input=said("a"))
    await gates["a:1"].reached()
    await client.runs.cancel_many(status="all")
    assert await rows(engine) == [*ROWS[:3], "RunInterrupted", ROWS[4]]


async def test_a_client_that_leaves_can_take_its_run_with_it(
    raw: httpx.AsyncClient, engine: Engine, gates: Gates
) -> None:
    gates.close("a:1")
    body = {"assistant_id": "agent", "input": said("a"), "on_disconnect": "cancel"}
    async with raw.stream("POST", "/runs/stream", json=body):
        await gates["a:1"].reached()
    assert await rows(engine) == [*ROWS[:3], "RunInterrupted", ROWS[4]]


# ------------------------------------------------------------------ the thread that is none


async def test_the_temporary_thread_is_never_seen(
    client: LangGraphClient, engine: Engine, gates: Gates
) -> None:
    gates.close("a:1")
    run = await client.runs.create(None, "agent", input=said("a"))
    thread_id = run["thread_id"]
    await gates["a:1"].reached()
    threads = client.threads
    calls = [
        lambda: threads.get(thread_id),
        lambda: threads.update(thread_id, metadata={"a": 1}),
        lambda: threads.delete(thread_id),
        lambda: threads.copy(thread_id),
        lambda: threads.get_state(thread_id),
        lambda: threads.get_history(thread_id),
        lambda: threads.update_state(thread_id, {"a": 1}),
        lambda: client.runs.list(thread_id),
        lambda: client.runs.create(thread_id, "agent", input=said("b")),
    ]
    for _ in range(2):
        for call in calls:
            with pytest.raises(NotFoundError):
                await call()
        assert await threads.search(ids=[thread_id]) == []
        assert await threads.search() == []
        assert await threads.count() == 0
        gates.open()
        await until_over(engine)


async def test_nobody_gets_hold_of_a_temporary_thread_by_its_id(
    client: LangGraphClient, engine: Engine, gates: Gates
) -> None:
    gates.close("a:1")
    run = await client.runs.create(None, "agent", input=said("a"))
    thread_id = run["thread_id"]
    await gates["a:1"].reached()
    with pytest.raises(NotFoundError):
        await client.runs.create(thread_id, "agent", input=said("b"), if_not_exists="create")
    for if_exists in ("raise", "do_nothing"):
        with pytest.raises(ThreadExistsError):
            await engine.create_thread(thread_id, if_exists=if_exists)
    gates.open()
    await until_over(engine)
    # The id is free then, and nothing of the run is in what comes.
    await client.threads.create(thread_id=thread_id)
    assert (await client.threads.get_state(thread_id))["values"] == {}
    with pytest.raises(ThreadNotFoundError):
        await engine.get_thread(run["run_id"])


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("thread_id", "01a1f000-0000-7000-8000-000000000000", 422),
        ("checkpoint_id", "01a1f000-0000-7000-8000-000000000000", 422),
        ("checkpoint", {"checkpoint_id": "01a1f000-0000-7000-8000-000000000000"}, 422),
        ("command", {"resume": 1}, 400),
        ("on_completion", "maybe", 422),
        ("webhook", "not a url", 422),
    ],
)
@pytest.mark.parametrize("path", ["/runs", "/runs/wait", "/runs/stream"])
async def test_what_a_run_without_a_thread_cannot_have_is_refused_by_name(
    client: LangGraphClient, engine: Engine, path: str, field: str, value, status: int
) -> None:
    answer = await client.http.client.post(
        path, content=orjson.dumps({"assistant_id": "agent", field: value})
    )
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(field)
    assert await rows(engine) == []


# ------------------------------------------------------------------ growth


async def test_hundreds_of_runs_leave_their_rows_and_no_payload(
    database: Database, gates: Gates
) -> None:
    secret, count = "the quick brown fox", 200
    engine = database.engine(registry(chat(gates)))
    async with engine, get_client(engine) as client:

        async def run(number: int) -> None:
            values = await client.runs.wait(None, "agent", input=said(f"{secret} {number}"))
            assert len(heard(values)) == 3

        for start in range(0, count, 20):
            await asyncio.gather(*(run(number) for number in range(start, start + 20)))
        assert Counter(await rows(engine)) == dict.fromkeys(ROWS, count)
        await assert_put_away(engine, secret)
    if database.path is not None:
        for file in database.path.parent.glob("log.db*"):
            if file.is_file():
                assert secret.encode() not in file.read_bytes()
