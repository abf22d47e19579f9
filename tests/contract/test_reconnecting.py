"""A client whose connection breaks reconnects by itself, at the answer's `Location`, and its user notices nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langgraph_sdk import get_client as get_remote_client
from langgraph_sdk._async import http as async_http
from langgraph_sdk._sync import http as sync_http

from tests.support.engine import Database, Gates, soon
from tests.support.http import served, until
from tests.support.sdk_clients import connected
from tests.support.streaming_agents import KINDS, asked, require_rising, speakers, told
from threadfold import Engine
from threadfold.app.http import following
from threadfold.app.http.following import Following


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    async with database.engine(speakers(gates)) as engine:
        yield engine


@pytest.fixture
def responses(monkeypatch: pytest.MonkeyPatch) -> list[Following]:
    """Collect the responses that are being sent, so that they can be cut."""
    found: list[Following] = []
    real = Following.__call__

    async def call(self, *args) -> None:
        found.append(self)
        await real(self, *args)

    monkeypatch.setattr(following.Following, "__call__", call)
    return found


@pytest.mark.parametrize("kind", KINDS)
async def test_a_broken_stream_is_taken_up_again_by_the_client_itself(
    engine: Engine, gates: Gates, responses: list[Following], kind: str
) -> None:
    gates.close("middle")
    async with served(engine) as url, get_remote_client(url=url) as client:
        thread_id = (await client.threads.create())["thread_id"]
        stream = client.runs.stream(thread_id, kind, **asked(kind))
        reading = asyncio.create_task(told(stream))
        await soon(gates["middle"].reached())
        responses[0].cut()
        gates.open()
        events = await soon(reading)
        assert len(responses) == 2
        require_rising(events)
        again = client.runs.join_stream(
            thread_id,
            events[0][2]["run_id"],
            last_event_id="-1",
            stream_mode=asked(kind)["stream_mode"],
        )
        assert await told(again) == events


@pytest.mark.parametrize("call", ["wait", "join", "wait without a thread"])
@pytest.mark.parametrize("client_kind", ["socket", "sync"])
async def test_a_broken_wait_is_taken_up_again_by_the_client_itself(
    engine: Engine,
    gates: Gates,
    responses: list[Following],
    monkeypatch: pytest.MonkeyPatch,
    client_kind: str,
    call: str,
) -> None:
    for module in (async_http, sync_http):
        monkeypatch.setattr(module, "_reconnect_delay", lambda *_, **__: 0)
    monkeypatch.setenv("NO_PROXY", "*")
    gates.close("middle")
    async with connected(client_kind, engine) as client:
        thread_id = (await client.threads.create())["thread_id"]
        given = {"input": asked("function")["input"]}
        if call == "join":
            run = await client.runs.create(thread_id, "function", **given)
            work = client.runs.join(thread_id, run["run_id"])
        else:
            place = thread_id if call == "wait" else None
            work = client.runs.wait(place, "function", **given)
        waiting = asyncio.ensure_future(work)
        await soon(gates["middle"].reached())
        await until(lambda: len(responses) == 1)

        async def broken() -> dict[str, Any]:
            responses[0].cut()
            await until(lambda: len(responses) == 2)
            gates.open()
            return await soon(waiting)

        with pytest.warns(UserWarning, match="attempting reconnect"):
            values = await broken()
        assert [message["content"] for message in values["messages"][1:]] == ["whole", "token"]
        if call != "wait without a thread":
            assert values == (await client.threads.get_state(thread_id))["values"]
            assert len(await client.runs.list(thread_id)) == 1
