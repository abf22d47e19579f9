"""`Idempotency-Key`: the same request twice is one, whoever asks, however often, and whatever became of it (I15)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError

from tests.contract.test_stateless import ROWS, rows
from tests.support.engine import Database, Gates, answered, chat, heard, registry, said, soon
from tests.support.http import served
from threadfold import Engine, get_client
from threadfold.domain.ports import Append
from threadfold.infrastructure.work.system import SystemClock

if TYPE_CHECKING:
    from threadfold.domain.kept_ports import KeptAnswer

KEY = {"Idempotency-Key": "k"}


@pytest.fixture
async def raw(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=30) as raw:
        yield raw


def body(text: str, **fields: Any) -> dict[str, Any]:
    return {"assistant_id": "agent", "input": said(text), **fields}


async def accepted(engine: Engine) -> int:
    """Return how many runs were ever accepted."""
    log = await engine._ports.store.read_log(limit=100_000)
    return sum(recorded.event.type == "RunAccepted" for recorded in log)


async def test_a_thread_and_a_run_are_made_once_and_answered_alike(
    raw: httpx.AsyncClient, engine: Engine
) -> None:
    made = [await raw.post("/threads", json={"metadata": {"a": 1}}, headers=KEY) for _ in range(3)]
    assert len({answer.content for answer in made}) == 1
    replayed = [answer.headers.get("Idempotency-Replayed") for answer in made]
    assert replayed == [None, "true", "true"]
    thread_id = made[0].json()["thread_id"]
    path = f"/threads/{thread_id}/runs"
    runs = [await raw.post(path, json=body("a"), headers=KEY) for _ in range(3)]
    assert len({answer.content for answer in runs}) == 1
    locations = {answer.headers["Content-Location"] for answer in runs}
    assert locations == {f"{path}/{runs[0].json()['run_id']}"}
    assert await accepted(engine) == 1
    # The order of fields is no difference; without a key, or with another one, it is another request.
    turned = dict(reversed(body("a").items()))
    assert (await raw.post(path, json=turned, headers=KEY)).content == runs[0].content
    for headers in ({}, {"Idempotency-Key": "other"}):
        assert (
            "Idempotency-Replayed"
            not in (await raw.post(path, json=body("a"), headers=headers)).headers
        )
    assert await accepted(engine) == 3


async def test_another_body_under_the_same_key_is_refused(
    client: LangGraphClient, engine: Engine
) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    await client.runs.create(thread_id, "agent", input=said("a"), headers=KEY)
    with pytest.raises(ConflictError):
        await client.runs.create(thread_id, "agent", input=said("b"), headers=KEY)
    assert await accepted(engine) == 1
    # A key counts at one route only.
    other = (await client.threads.create())["thread_id"]
    await client.runs.create(other, "agent", input=said("b"), headers=KEY)
    assert await accepted(engine) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "\x7f"])
async def test_a_key_that_is_none_is_refused(client: LangGraphClient, key: str) -> None:
    answer = await client.http.client.post("/threads", json={}, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("Idempotency-Key")


async def test_the_sync_client_is_answered_alike(url: str, engine: Engine) -> None:
    def work() -> list[Any]:
        with get_sync_client(url=url) as client:
            return [
                client.runs.create(None, "agent", input=said("a"), headers=KEY) for _ in range(3)
            ]

    first, *others = await asyncio.to_thread(work)
    assert others == [first, first]
    assert await rows(engine) == ROWS


@pytest.mark.parametrize("strategy", ["enqueue", "reject", "interrupt", "rollback"])
@pytest.mark.parametrize("way", ["", "/wait", "/stream"])
async def test_fifty_equal_requests_at_once_make_one_run(
    raw: httpx.AsyncClient, client: LangGraphClient, engine: Engine, gates: Gates, way, strategy
) -> None:
    gates.close("a:1")
    thread_id = (await client.threads.create())["thread_id"]
    asked = body("a", multitask_strategy=strategy)
    posts = [
        asyncio.create_task(raw.post(f"/threads/{thread_id}/runs{way}", json=asked, headers=KEY))
        for _ in range(50)
    ]
    await gates["a:1"].reached()
    gates.open()
    answers = await soon(asyncio.gather(*posts))
    assert {answer.status_code for answer in answers} == {200}
    flags = Counter(answer.headers.get("Idempotency-Replayed") for answer in answers)
    assert flags == {None: 1, "true": 49}
    if way == "/wait":
        assert all(heard(answer.json()) == answered("a") for answer in answers)
    elif not way:
        assert len({answer.content for answer in answers}) == 1
    assert await accepted(engine) == 1
    state = await client.threads.get_state(thread_id)
    assert heard(state["values"]) == answered("a")


async def test_a_replay_after_a_rollback_is_answered_alike_and_the_run_stays_gone(
    raw: httpx.AsyncClient, client: LangGraphClient, engine: Engine, gates: Gates
) -> None:
    gates.close("a:1")
    thread_id = (await client.threads.create())["thread_id"]
    path = f"/threads/{thread_id}/runs"
    first = await raw.post(path, json=body("a"), headers=KEY)
    waiting = asyncio.create_task(raw.post(f"{path}/wait", json=body("w"), headers=KEY))
    await gates["a:1"].reached()
    while len(await client.runs.list(thread_id)) < 2:  # noqa: ASYNC110 - it is in the queue soon
        await asyncio.sleep(0.001)
    await client.runs.create(thread_id, "agent", input=said("b"), multitask_strategy="rollback")
    assert (await soon(waiting)).json()["__error__"]["error"] == "RunRolledBack"
    again = await raw.post(path, json=body("a"), headers=KEY)
    assert (again.content, again.headers["Idempotency-Replayed"]) == (first.content, "true")
    with pytest.raises(NotFoundError):
        await client.runs.get(thread_id, first.json()["run_id"])
    waited = await raw.post(f"{path}/wait", json=body("w"), headers=KEY)
    assert waited.json()["__error__"]["error"] == "RunRolledBack"
    streamed = await raw.post(f"{path}/stream", json=body("w"), headers=KEY)
    assert "Idempotency-Replayed" not in streamed.headers  # Another route.
    assert await accepted(engine) == 4
    gates.open()


async def test_replays_attach_to_the_run_and_to_its_end(
    raw: httpx.AsyncClient, client: LangGraphClient, engine: Engine, gates: Gates
) -> None:
    gates.close("a:1")
    thread_id = (await client.threads.create())["thread_id"]
    path = f"/threads/{thread_id}/runs"
    async with raw.stream("POST", f"{path}/stream", json=body("a"), headers=KEY) as first:
        run_path = first.headers["Content-Location"]
        await gates["a:1"].reached()
        async with raw.stream("POST", f"{path}/stream", json=body("a"), headers=KEY) as again:
            assert again.headers["Content-Location"] == run_path
            assert again.headers["Location"] == f"{run_path}/stream"
            gates.open()
            assert b"a.2" in await again.aread()
        assert b"a.1" in await first.aread()
    assert (await raw.post(f"{path}/stream", json=body("a"), headers=KEY)).content == b""
    assert await accepted(engine) == 1


async def test_a_refused_request_keeps_nothing(
    client: LangGraphClient, engine: Engine, gates: Gates
) -> None:
    gates.close("a:1")
    thread_id = (await client.threads.create())["thread_id"]
    await client.runs.create(thread_id, "agent", input=said("a"))
    await gates["a:1"].reached()
    asked = {"input": said("b"), "multitask_strategy": "reject", "headers": KEY}
    with pytest.raises(ConflictError):
        await client.runs.create(thread_id, "agent", **asked)
    gates.open()
    (run,) = await client.runs.list(thread_id)
    await client.runs.join(thread_id, run["run_id"])
    await client.runs.create(thread_id, "agent", **asked)
    assert await accepted(engine) == 2


async def test_a_batch_is_made_once_also_if_only_a_part_of_it_was(
    raw: httpx.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [body(f"{number}") for number in range(10)]
    store, append = engine._ports.store, engine._ports.store.append

    async def failing(planned: Append) -> Any:
        answer = planned.answer
        if answer is not None and answer.scope.endswith(("#3", "#7")):
            raise ValueError("no power")
        return await append(planned)

    monkeypatch.setattr(store, "append", failing)
    broken = await raw.post("/runs/batch", json=asked, headers=KEY)
    assert broken.status_code == 500
    monkeypatch.setattr(store, "append", append)
    first = await raw.post("/runs/batch", json=asked, headers=KEY)
    assert "Idempotency-Replayed" not in first.headers
    second = await raw.post("/runs/batch", json=asked, headers=KEY)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.json() == first.json()
    assert Counter(await rows(engine)) == dict.fromkeys(ROWS, 10)
    other = await raw.post("/runs/batch", json=asked[:5], headers=KEY)
    assert other.status_code == 409


async def test_answers_outlive_a_restart_and_another_process_knows_them(
    database: Database, gates: Gates
) -> None:
    async with database.engine(registry(chat(gates))) as one, get_client(one) as client:
        run = await client.runs.create(None, "agent", input=said("a"), headers=KEY)
        async with database.engine(registry(chat(gates))) as two, get_client(two) as other:
            assert await other.runs.create(None, "agent", input=said("a"), headers=KEY) == run
        await rows(one)
    async with database.engine(registry(chat(gates))) as three, get_client(three) as client:
        assert await client.runs.create(None, "agent", input=said("a"), headers=KEY) == run
        assert await rows(three) == ROWS


async def test_two_processes_that_are_asked_at_once_make_one_run(
    database: Database, gates: Gates
) -> None:
    async with (
        database.engine(registry(chat(gates))) as one,
        database.engine(registry(chat(gates))) as two,
        get_client(one) as first,
        get_client(two) as second,
    ):
        for number in range(20):
            runs = await soon(
                asyncio.gather(
                    *(
                        client.runs.create(
                            None,
                            "agent",
                            input=said("a"),
                            headers={"Idempotency-Key": f"{number}"},
                        )
                        for client in (first, second) * 3
                    )
                )
            )
            assert len({run["run_id"] for run in runs}) == 1
        assert Counter(await rows(one)) == dict.fromkeys(ROWS, 20)


async def test_answers_expire_and_are_swept(database: Database, gates: Gates) -> None:
    class Moved(SystemClock):
        ahead = timedelta()

        def now(self) -> Any:
            return super().now() + self.ahead

    clock = Moved()
    engine = database.engine(registry(chat(gates)), clock=clock)
    async with engine, get_client(engine) as client:
        first = await client.threads.create(headers=KEY)
        clock.ahead = timedelta(hours=23)
        assert await client.threads.create(headers=KEY) == first
        assert await engine._ports.store.sweep_answers(clock.now()) == 0
        clock.ahead = timedelta(hours=25)
        second = await client.threads.create(headers=KEY)
        assert second["thread_id"] != first["thread_id"]
        assert await client.threads.create(headers=KEY) == second
        clock.ahead = timedelta(hours=50)
        assert await engine._ports.store.sweep_answers(clock.now()) == 1
        assert await client.threads.create(headers=KEY) != second


# ------------------------------------------------------------------ planted faults


async def many_at_once(engine: Engine) -> int:
    """Ask the same of an engine twenty times at once, and return how many runs came of it."""
    async with served(engine) as url, httpx.AsyncClient(base_url=url, timeout=30) as raw:
        await asyncio.gather(*(raw.post("/runs", json=body("a"), headers=KEY) for _ in range(20)))
    return await accepted(engine)


async def crash_before_the_second_append(database: Database, gates: Gates) -> int:
    """Ask, be killed after the first append, ask again; return how many runs came of it."""
    killed = await database.mortal(registry(chat(gates)))
    store, append = killed.engine._ports.store, killed.engine._ports.store.append
    done = asyncio.Event()

    async def last(planned: Append) -> Any:
        recorded = await append(planned)
        done.set()
        await killed.store._never()
        return recorded

    store.append = last  # type: ignore[attr-defined]
    async with get_client(killed.engine) as client:
        asking = asyncio.create_task(
            client.runs.create(None, "agent", input=said("a"), headers=KEY)
        )
        await soon(done.wait())
        await killed.kill()
        asking.cancel()
        await asyncio.wait([asking])
    async with database.engine(registry(chat(gates))) as engine, get_client(engine) as client:
        await client.runs.create(None, "agent", input=said("a"), headers=KEY)
        return await accepted(engine)


async def test_a_crash_between_the_commit_and_the_answer_makes_no_second_run(
    database: Database, gates: Gates
) -> None:
    assert await crash_before_the_second_append(database, gates) == 1


async def test_a_key_that_is_stored_in_another_append_is_caught(
    database: Database, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.appends import thread_row
    from threadfold.app.appends import Appends
    from threadfold.app.executor import Executor

    planned, committed = Appends.planned, Executor._committed
    late: dict[int, KeptAnswer] = {}

    def without_answer(self: Appends, *args: Any) -> Append:
        import dataclasses

        append = planned(self, *args)
        bare = dataclasses.replace(append, answer=None)
        if append.answer is not None:
            late[id(bare)] = append.answer
        return bare

    def then_answer(self: Executor, append: Append, *args: Any) -> Any:
        answer = late.pop(id(append), None)
        if answer is not None:
            row = thread_row("keys", 0)
            after = Append("keys", 0, (), append.recorded_at, row, answer=answer)
            self._begun(self._store.append(after), "late")
        return committed(self, append, *args)

    monkeypatch.setattr(Appends, "planned", without_answer)
    monkeypatch.setattr(Executor, "_committed", then_answer)
    assert await crash_before_the_second_append(database, gates) == 2


async def test_a_key_that_is_only_looked_up_first_is_caught(
    database: Database, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threadfold.app.answers import Answers
    from threadfold.infrastructure.log.planning import Planner

    monkeypatch.setattr(Answers, "lock", lambda *_: asyncio.Lock())
    async with database.engine(registry(chat(gates))) as engine:
        assert await many_at_once(engine) == 1
    monkeypatch.setattr(Planner, "_is_taken", lambda *_: False)
    clean = database.path.with_name("other.db") if database.path else None
    async with Database(clean).engine(registry(chat(gates))) as engine:
        assert await many_at_once(engine) > 1
