"""Resumable streams: whatever a client has seen of one, it can go on from there, and gets the rest, each event once."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from langgraph_sdk import get_client as get_remote_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError, UnprocessableEntityError

from tests.support.engine import Database, Gates, soon
from tests.support.http import served
from tests.support.streaming_agents import (
    KINDS,
    MODES,
    asked,
    first_told,
    require_rising,
    resumed,
    speakers,
    streamed,
    told,
)
from threadfold import Engine, get_client

pytestmark = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    async with database.engine(speakers(gates)) as engine:
        yield engine


@pytest.fixture
async def thread_id(client: LangGraphClient) -> str:
    return (await client.threads.create())["thread_id"]


def run_of(events: list) -> str:
    return events[0][2]["run_id"]


# ------------------------------------------------------------------ after the run


async def test_a_stream_cut_at_every_event_goes_on_there(
    client: LangGraphClient, thread_id: str, kind: str
) -> None:
    await streamed(client, kind, thread_id)
    whole = await streamed(client, kind, thread_id)
    require_rising(whole)
    assert {name.partition("|")[0].partition("/")[0] for _, name, _ in whole} >= {
        *("metadata", "values", "updates", "custom", "messages", "checkpoints"),
    }
    # Nothing is lost for being emitted shortly before something else, or before the end.
    custom = [data for _, name, data in whole if name.startswith("custom")]
    assert custom[1:] == (["half", "done"] if kind == "function" else ["half"])
    run_id = run_of(whole)
    for beginning in ("-1", "0"):
        assert await resumed(client, kind, thread_id, run_id, beginning) == whole
    for at, (event_id, _, _) in enumerate(whole, 1):
        assert await resumed(client, kind, thread_id, run_id, event_id) == whole[at:], at


async def test_it_goes_on_over_a_socket_and_after_the_engine_was_opened_anew(
    tmp_path, gates: Gates, kind: str
) -> None:
    database = Database(tmp_path / "log.db")
    async with (
        database.engine(speakers(gates)) as engine,
        served(engine) as url,
        get_remote_client(url=url) as client,
    ):
        thread_id = (await client.threads.create())["thread_id"]
        await streamed(client, kind, thread_id)
        whole = await streamed(client, kind, thread_id)
        require_rising(whole)
        await streamed(client, kind, thread_id)
    async with (
        database.engine(speakers(gates)) as engine,
        served(engine) as url,
        get_remote_client(url=url) as client,
    ):
        for at, (event_id, _, _) in enumerate(whole, 1):
            assert await resumed(client, kind, thread_id, run_of(whole), event_id) == whole[at:]


async def test_other_modes_than_at_first_tell_the_same_in_their_events(
    client: LangGraphClient, thread_id: str, kind: str
) -> None:
    whole = await streamed(client, kind, thread_id)
    for mode in MODES[kind]:
        found = await resumed(client, kind, thread_id, run_of(whole), "-1", stream_mode=[mode])
        events = {"messages": "messages/", "messages-tuple": "messages"}
        name = events.get(mode, mode)
        wanted = [
            event
            for event in whole
            if event[1] == "metadata"
            or (
                event[1].startswith(name)
                if mode == "messages"
                else event[1].partition("|")[0] == name
            )
        ]
        assert found == wanted, mode


# ------------------------------------------------------------------ while it runs


@pytest.mark.parametrize("where", ["in process", "socket"])
async def test_a_client_that_was_cut_while_the_run_goes_on_gets_the_rest(
    engine: Engine, gates: Gates, kind: str, where: str
) -> None:
    async with served(engine) as url:
        opened = get_remote_client(url=url) if where == "socket" else get_client(engine)
        async with opened as client:
            thread_id = (await client.threads.create())["thread_id"]
            gates.close("middle")
            stream = client.runs.stream(thread_id, kind, **asked(kind))
            begun = await first_told(stream, 8)
            run_id = run_of(begun)
            going_on = [
                asyncio.create_task(resumed(client, kind, thread_id, run_id, event_id))
                for event_id, _, _ in [("-1", "", None), *begun]
            ]
            heard = [
                await first_told(
                    client.runs.join_stream(
                        thread_id, run_id, last_event_id=event_id, stream_mode=MODES[kind]
                    ),
                    1,
                )
                for event_id, _, _ in begun[:-1]
            ]
            assert [each[0] for each in heard] == begun[1:]
            gates.open()
            whole = await soon(going_on[0])
            require_rising(whole)
            assert whole[:8] == begun
            for at, each in enumerate(going_on):
                assert await soon(each) == whole[at:]


async def test_who_does_not_say_what_it_has_seen_gets_what_comes(
    client: LangGraphClient, thread_id: str, gates: Gates, kind: str
) -> None:
    gates.close("middle")
    run = await client.runs.create(thread_id, kind, **asked(kind))
    run_id = run["run_id"]
    await soon(gates["middle"].reached())
    stream = client.runs.join_stream(thread_id, run_id, stream_mode=MODES[kind])
    first = await soon(anext(stream))
    assert first.event == "metadata"
    gates.open()
    rest = await told(stream)
    require_rising([(first.id, "", None), *rest])
    whole = await resumed(client, kind, thread_id, run_id, "-1")
    assert 0 < len(rest) < len(whole)
    assert whole[-len(rest) :] == rest
    assert await resumed(client, kind, thread_id, run_id, first.id) == rest
    assert await told(client.runs.join_stream(thread_id, run_id)) == []


async def test_another_process_tells_the_same_while_the_run_goes_on(
    database: Database, engine: Engine, gates: Gates, client: LangGraphClient, kind: str
) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    gates.close("middle")
    here = asyncio.create_task(streamed(client, kind, thread_id))
    await soon(gates["middle"].reached())
    [run] = await client.runs.list(thread_id)
    run_id = run["run_id"]
    async with (
        database.engine(speakers(gates), worker_slots=0) as other,
        get_client(other) as reader,
    ):
        stream = reader.runs.join_stream(
            thread_id, run_id, last_event_id="-1", stream_mode=MODES[kind]
        )
        begun = [await soon(anext(stream)) for _ in range(8)]
        gates.open()
        there = [(part.id, part.event, part.data) for part in begun] + await told(stream)
        assert there == await soon(here)
        for at, (event_id, _, _) in enumerate(there, 1):
            assert await resumed(reader, kind, thread_id, run_id, event_id) == there[at:]


async def test_a_run_that_another_process_executes_is_streamed_as_it_goes(
    database: Database, engine: Engine, gates: Gates, kind: str
) -> None:
    async with (
        database.engine(speakers(gates), worker_slots=0) as other,
        get_client(other) as client,
    ):
        thread_id = (await client.threads.create())["thread_id"]
        whole = await streamed(client, kind, thread_id)
        require_rising(whole)
        assert whole[-1][1] in {"custom", "values", "checkpoints", "debug"}
        assert await resumed(client, kind, thread_id, run_of(whole), "-1") == whole


# ------------------------------------------------------------------ what is refused, and what is gone


@pytest.mark.parametrize("given", ["x", "1", "-2", "1-1", "0" * 12, "0" * 12 + "-1-1"])
async def test_what_is_no_id_is_refused(
    client: LangGraphClient, thread_id: str, kind: str, given: str
) -> None:
    whole = await streamed(client, kind, thread_id)
    with pytest.raises(UnprocessableEntityError, match="Last-Event-ID"):
        await resumed(client, kind, thread_id, run_of(whole), given)


async def test_nothing_is_stored_for_runs_that_did_not_ask_for_it(
    engine: Engine, client: LangGraphClient, thread_id: str, kind: str
) -> None:
    whole = await streamed(client, kind, thread_id, stream_resumable=False)
    assert {event_id for event_id, _, _ in whole} <= {None, ""}
    assert await engine._ports.store.read_stream(thread_id) == ()


@pytest.mark.parametrize("way", ["double text", "cancel", "delete", "delete thread"])
async def test_the_stored_stream_goes_with_its_run(
    engine: Engine, client: LangGraphClient, gates: Gates, thread_id: str, kind: str, way: str
) -> None:
    kept = await streamed(client, kind, thread_id)
    gates.close("middle")
    going = asyncio.create_task(streamed(client, kind, thread_id))
    await soon(gates["middle"].reached(2))
    run_id = (await client.runs.list(thread_id))[0]["run_id"]
    store = engine._ports.store
    await engine._worker.flush(thread_id)
    assert await store.read_stream(thread_id, run_id)
    if way == "double text":
        await client.runs.create(thread_id, kind, **asked(kind, multitask_strategy="rollback"))
    elif way == "cancel":
        await client.runs.cancel(thread_id, run_id, action="rollback")
    elif way == "delete":
        await client.runs.delete(thread_id, run_id)
    else:
        await client.threads.delete(thread_id)
    told_of = await soon(going)
    require_rising(told_of)
    assert told_of[-1][1] == "error"
    assert told_of[-1][2]["error"] == "RunRolledBack"
    assert await store.read_stream(thread_id, run_id) == ()
    with pytest.raises(NotFoundError):
        await resumed(client, kind, thread_id, run_id, told_of[0][0])
    gates.open()
    if way == "delete thread":
        assert await store.read_stream(thread_id) == ()
        return
    assert await resumed(client, kind, thread_id, run_of(kept), "-1") == kept
    # Later events of the thread have greater ids than all that was ever told.
    later = await streamed(client, kind, thread_id)
    require_rising([*kept, *told_of, *later])
    await client.runs.delete(thread_id, run_of(kept))
    assert await store.read_stream(thread_id, run_of(kept)) == ()


async def test_a_failed_run_tells_its_error_again(
    engine: Engine, client: LangGraphClient, thread_id: str, kind: str
) -> None:
    del kind

    @engine.graph("fails")
    async def fails(state):
        yield {"count": 1}
        raise ZeroDivisionError("no luck")

    whole = await told(client.runs.stream(thread_id, "fails", input={}, stream_resumable=True))
    assert whole[-1][1:] == ("error", {"error": "ZeroDivisionError", "message": "no luck"})
    for at, (event_id, _, _) in enumerate(whole, 1):
        rest = client.runs.join_stream(thread_id, run_of(whole), last_event_id=event_id)
        assert await told(rest) == whole[at:]
