"""The in-process client: responses stream, leaving is noticed, and the engine is opened and closed with it."""

import asyncio

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.support.engine import Database, Gates, answered, heard, said, soon
from tests.support.http import until
from threadfold import Engine, get_client
from threadfold.app.client import EngineTransport
from threadfold.app.http.application import create_app


async def test_who_starts_the_engine_closes_it(database: Database) -> None:
    engine = database.engine()
    async with get_client(engine) as client:
        assert not engine.is_open
        await asyncio.gather(*(client.threads.create() for _ in range(5)))
        assert engine.is_open
    assert not engine.is_open


async def test_an_engine_that_was_open_stays_open(database: Database) -> None:
    async with database.engine() as engine:
        async with get_client(engine) as client:
            await client.threads.create()
        assert engine.is_open


async def test_parts_come_while_the_run_goes_on(client: LangGraphClient, gates: Gates) -> None:
    gates.close("a:0", "a:1")
    thread_id = (await client.threads.create())["thread_id"]
    stream = client.runs.stream(thread_id, "agent", input=said("a"))
    assert (await soon(anext(stream))).event == "metadata"
    assert heard((await soon(anext(stream))).data) == ["a"]
    gates.open("a:0")
    assert heard((await soon(anext(stream))).data) == ["a", "a.1"]
    gates.open()
    assert [heard(part.data) async for part in stream] == [answered("a")]


async def test_many_requests_go_side_by_side(client: LangGraphClient) -> None:
    async def turn() -> list[str]:
        thread_id = (await client.threads.create())["thread_id"]
        return heard(await client.runs.wait(thread_id, "agent", input=said("a")))

    turns = await soon(asyncio.gather(*(turn() for _ in range(20))))
    assert turns == [answered("a")] * 20


async def app_of(transport: EngineTransport, app) -> httpx.AsyncClient:
    transport._app = app
    return httpx.AsyncClient(transport=transport, base_url="http://x")


@pytest.fixture
async def transport(engine: Engine) -> EngineTransport:
    return EngineTransport(engine)


async def test_a_slow_reader_slows_the_app_down(transport: EngineTransport) -> None:
    sent = 0

    async def app(scope, receive, send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    async with await app_of(transport, app) as client, client.stream("GET", "/") as response:
        for _ in range(10):
            await asyncio.sleep(0)
        assert sent < 100
        assert len(b"".join([chunk async for chunk in response.aiter_raw()])) == 1000


async def test_an_app_that_fails_in_the_middle_is_a_broken_connection(
    transport: EngineTransport,
) -> None:
    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise ZeroDivisionError

    async with await app_of(transport, app) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/")


async def test_an_app_that_answers_nothing_is_a_broken_connection(
    transport: EngineTransport,
) -> None:
    async def app(scope, receive, send) -> None:
        assert (await receive())["type"] == "http.request"

    async with await app_of(transport, app) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/")


async def test_bodies_that_come_in_parts_arrive_whole(transport: EngineTransport) -> None:
    async def app(scope, receive, send) -> None:
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"]})

    async def parts():
        yield b"a"
        yield b"b"

    async with await app_of(transport, app) as client:
        assert (await client.post("/", content=parts())).content == b"ab"


async def test_the_app_hears_when_its_client_leaves(transport: EngineTransport) -> None:
    heard_of: list[str] = []

    async def app(scope, receive, send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        heard_of.append((await receive())["type"])

    client = await app_of(transport, app)
    async with client.stream("GET", "/"):
        pass
    await until(lambda: heard_of == ["http.disconnect"])
    await client.aclose()


async def test_who_stops_waiting_for_an_answer_has_left_too(transport: EngineTransport) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def app(scope, receive, send) -> None:
        await receive()
        asked.set()
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    async with await app_of(transport, app) as client:
        asking = asyncio.create_task(client.get("/"))
        await soon(asked.wait())
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await soon(left.wait())


@pytest.mark.parametrize("was_open", [True, False])
async def test_a_server_opens_and_closes_its_engine_unless_it_was_open(
    database: Database, *, was_open: bool
) -> None:
    engine = database.engine()
    if was_open:
        await engine.start()
    app = create_app(engine)
    async with app.router.lifespan_context(app):
        assert engine.is_open
    assert engine.is_open is was_open
    await engine.close()
