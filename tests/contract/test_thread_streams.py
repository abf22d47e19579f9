"""Thread streams: all runs of a thread, for as long as it is there, and from any event on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langgraph_sdk import get_client as get_remote_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError, UnprocessableEntityError

from tests.support.engine import Database, Gates, soon
from tests.support.http import served
from tests.support.streaming_agents import (
    KINDS,
    Event,
    asked,
    require_rising,
    speakers,
    streamed,
    told,
)
from threadfold import Engine, get_client

ALL = ["run_modes", "lifecycle", "state_update"]


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    async with database.engine(speakers(gates)) as engine:
        yield engine


@pytest.fixture
async def thread_id(client: LangGraphClient) -> str:
    return (await client.threads.create())["thread_id"]


def is_done(event: Event, run_id: str) -> bool:
    return event[1:] == ("metadata", {"status": "run_done", "run_id": run_id})


async def until_done(stream: Any, *run_ids: str) -> list[Event]:
    """Return the events up to the end of the last of these runs, and leave the stream."""
    left, found = set(run_ids), list[Event]()

    async def collect() -> None:
        async for part in stream:
            found.append((part.id, part.event, part.data))
            left.difference_update([run_id for run_id in left if is_done(found[-1], run_id)])
            if not left:
                return

    try:
        await soon(collect())
    finally:
        await stream.aclose()
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["in process", "socket"])
async def test_a_thread_stream_cut_at_every_event_goes_on_there(
    engine: Engine, thread_id: str, kind: str, where: str
) -> None:
    async with served(engine) as url:
        opened = get_remote_client(url=url) if where == "socket" else get_client(engine)
        async with opened as client:
            runs = [await streamed(client, kind, thread_id) for _ in range(2)]
            run_ids = [run[0][2]["run_id"] for run in runs]

            async def read(after: str) -> list[Event]:
                stream = await client.threads.join_stream(
                    thread_id, last_event_id=after, stream_mode="run_modes"
                )
                return await until_done(stream, run_ids[1])

            whole = await read("-1")
            require_rising(whole)
            # It tells what the runs' own streams told, with the same ids but for those of the beginning.
            own = [event for event in whole if "run_done" not in str(event[2])]
            assert [event[1:] for event in own] == [event[1:] for run in runs for event in run]
            told_ids = {event[0] for event in whole}
            assert {event[0] for run in runs for event in run[1:]} <= told_ids
            for at, (event_id, _, _) in enumerate(whole[:-1], 1):
                assert await read(event_id) == whole[at:], at


@pytest.mark.parametrize("kind", KINDS)
async def test_a_thread_stream_tells_of_runs_as_they_go_whatever_created_them(
    engine: Engine, client: LangGraphClient, gates: Gates, thread_id: str, kind: str
) -> None:
    stream = await client.threads.join_stream(thread_id)
    reading = asyncio.ensure_future(anext(stream))
    await heard(engine, thread_id)
    gates.close("middle")
    first = await client.runs.create(thread_id, kind, **asked(kind))
    second = await client.runs.create(thread_id, kind, **asked(kind, stream_resumable=False))
    begun = await soon(reading)
    assert (begun.event, begun.data) == ("metadata", {"run_id": first["run_id"], "attempt": 1})
    gates.open()
    events = await until_done(stream, first["run_id"], second["run_id"])
    require_rising([(begun.id, "", None), *events])
    starts = [
        data["run_id"] for _, name, data in events if name == "metadata" and "attempt" in data
    ]
    assert starts == [second["run_id"]]
    at = next(at for at, event in enumerate(events) if is_done(event, first["run_id"]))
    assert {"values", "updates", "custom", "messages"} <= {name for _, name, _ in events[:at]}
    assert {"values", "updates", "custom", "messages"} <= {name for _, name, _ in events[at:]}


async def heard(engine: Engine, thread_id: str) -> None:
    """Return when somebody listens to a thread."""
    while not engine._hub.is_followed(thread_id):  # noqa: ASYNC110 - nobody is told of that
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_that_is_rolled_back_is_taken_back_and_replayed_to_nobody_else(
    engine: Engine, client: LangGraphClient, gates: Gates, thread_id: str, kind: str
) -> None:
    gates.close("middle")
    stream = await client.threads.join_stream(thread_id)
    reading = asyncio.ensure_future(anext(stream))
    await heard(engine, thread_id)
    run_id = (await client.runs.create(thread_id, kind, **asked(kind)))["run_id"]
    begun = await soon(reading)
    waiting = (await client.runs.create(thread_id, kind, **asked(kind)))["run_id"]
    await client.runs.cancel(
        thread_id, waiting, action="rollback"
    )  # Nobody has seen anything of it.
    await soon(gates["middle"].reached())
    await client.runs.cancel(thread_id, run_id, action="rollback")
    events = [(begun.id, begun.event, begun.data), *await until_done(stream, run_id)]
    require_rising(events)
    _, name, data = events[-2]
    assert name == "error"
    assert (data["error"], data["run_id"]) == ("RunRolledBack", run_id)
    assert waiting not in str(events)
    gates.open()
    kept = (await streamed(client, kind, thread_id))[0][2]["run_id"]
    known = await client.threads.join_stream(thread_id, last_event_id=events[3][0])
    again = await until_done(known, kept)
    assert again[:2] == events[-2:]
    new = await client.threads.join_stream(thread_id, last_event_id="-1")
    fresh = await until_done(new, kept)
    assert run_id not in str(fresh)
    assert fresh == again[2:]


@pytest.mark.parametrize("kind", KINDS)
async def test_state_updates_tell_the_state_and_lifecycle_only_beginnings_and_ends(
    client: LangGraphClient, thread_id: str, kind: str
) -> None:
    run_id = (await streamed(client, kind, thread_id))[0][2]["run_id"]
    message = {"role": "human", "content": "from outside", "id": "x"}
    await client.threads.update_state(thread_id, {"messages": [message]})
    state = await client.threads.get_state(thread_id)
    last = (await streamed(client, kind, thread_id))[0][2]["run_id"]

    async def read(*modes: Any) -> list[Event]:
        stream = await client.threads.join_stream(
            thread_id, last_event_id="-1", stream_mode=[*modes, "lifecycle"]
        )
        return await until_done(stream, last)

    names = [name for _, name, _ in await read()]
    assert names == ["metadata"] * 4
    updates = [data for _, name, data in await read("state_update") if name == "state_update"]
    assert [data["thread_id"] for data in updates] == [thread_id] * 2
    assert updates[1]["state"]["values"] == state["values"]
    ended = updates[0]["state"]
    assert ended["values"]["messages"] == state["values"]["messages"][:-1]
    assert run_id


async def test_a_thread_stream_ends_with_its_thread(
    engine: Engine, client: LangGraphClient, gates: Gates, thread_id: str
) -> None:
    gates.close("middle")
    stream = await client.threads.join_stream(thread_id)
    reading = asyncio.ensure_future(anext(stream))
    await heard(engine, thread_id)
    run_id = (await client.runs.create(thread_id, "function", **asked("function")))["run_id"]
    await soon(reading)
    await client.threads.delete(thread_id)
    events = await told(stream)
    assert [name for _, name, _ in events[-2:]] == ["error", "metadata"]
    assert is_done(events[-1], run_id)
    # Nothing of it comes back under its id.
    await client.threads.create(thread_id=thread_id)
    gates.open()
    kept = (await streamed(client, "function", thread_id))[0][2]["run_id"]
    again = await until_done(
        await client.threads.join_stream(thread_id, last_event_id="0", stream_mode=ALL), kept
    )
    assert again[0][1:] == ("metadata", {"run_id": kept, "attempt": 1})
    assert again[0][0] > events[-1][0]


async def test_another_process_tells_a_thread_the_same(
    database: Database, engine: Engine, client: LangGraphClient, gates: Gates, thread_id: str
) -> None:
    async with (
        database.engine(speakers(gates), worker_slots=0) as other,
        get_client(other) as there,
    ):
        stream = await there.threads.join_stream(thread_id)
        reading = asyncio.ensure_future(anext(stream))
        await heard(other, thread_id)
        run_id = (await streamed(client, "langgraph", thread_id))[0][2]["run_id"]
        first = await soon(reading)
        found = [(first.id, first.event, first.data), *await until_done(stream, run_id)]
    replayed = await client.threads.join_stream(thread_id, last_event_id="-1")
    assert await until_done(replayed, run_id) == found


async def test_threads_and_modes_that_are_not_there_are_refused(
    client: LangGraphClient, thread_id: str
) -> None:
    with pytest.raises(NotFoundError):
        await told(await client.threads.join_stream("00000000-0000-4000-8000-000000000000"))
    wrong: Any = ["values"]
    with pytest.raises(UnprocessableEntityError, match="stream_mode"):
        await told(await client.threads.join_stream(thread_id, stream_mode=wrong))
    with pytest.raises(UnprocessableEntityError, match="Last-Event-ID"):
        await told(await client.threads.join_stream(thread_id, last_event_id="x"))
