"""The stream mode `events`: what LangChain tells of a graph's runnables, alone and beside the graph's own modes."""

from collections.abc import AsyncIterator

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import UnprocessableEntityError

from tests.support.engine import Database, Gates
from tests.support.streaming_agents import asked, require_rising, resumed, speakers, streamed, told
from threadfold import Engine


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    async with database.engine(speakers(gates)) as engine:
        yield engine


FIELDS = {"event", "name", "run_id", "tags", "metadata", "data", "parent_ids"}


async def test_events_tell_what_runnables_do(client: LangGraphClient) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    events = await streamed(client, "langgraph", thread_id, stream_mode=["events"])
    require_rising(events)
    assert {name for _, name, _ in events[1:]} == {"events"}
    kinds = {data["event"] for _, _, data in events[1:]}
    assert kinds >= {"on_chain_start", "on_chain_end", "on_chat_model_stream"}
    for _, _, data in events[1:]:
        assert set(data) >= FIELDS
    run_id = events[0][2]["run_id"]
    for at in range(0, len(events), 5):
        rest = await resumed(
            client, "langgraph", thread_id, run_id, events[at][0], stream_mode=["events"]
        )
        assert rest == events[at + 1 :]


async def test_they_come_beside_the_other_modes_as_these_come_alone(
    client: LangGraphClient,
) -> None:
    found = []
    for modes in (["values", "updates"], ["values", "updates", "events"]):
        thread_id = (await client.threads.create())["thread_id"]
        given = asked("langgraph", stream_mode=modes)
        given["input"]["messages"][0]["id"] = "m"
        events = await told(client.runs.stream(thread_id, "langgraph", **given))
        found.append([(name, data) for _, name, data in events[1:] if name != "events"])
    alone, beside = ([name.partition("|")[0] for name, _ in each] for each in found)
    assert alone == beside
    assert [data for name, data in found[0] if name == "values"] == [
        data for name, data in found[1] if name == "values"
    ]


async def test_functions_have_none(client: LangGraphClient) -> None:
    thread_id = (await client.threads.create())["thread_id"]
    with pytest.raises(UnprocessableEntityError, match="events is only for LangGraph graphs"):
        await streamed(client, "function", thread_id, stream_mode=["events"])
