"""The job that all of this is for: a second message rolls the first one's run back, and only the second turn stands."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from langchain_core.messages import convert_to_messages

from tests.support.engine import Database, Gates, registry, soon
from tests.support.http import Caller, RefusedError
from threadfold import Engine, get_client
from threadfold.infrastructure.graphs import weather
from threadfold.infrastructure.graphs.functions import FunctionGraph


def asking(place: str, role: str = "user") -> dict:
    return {"messages": [{"role": role, "content": f"what's the weather in {place}?"}]}


def assert_only_nyc(messages: list[dict]) -> None:
    human, call, result, answer = messages
    assert [entry["type"] for entry in messages] == ["human", "ai", "tool", "ai"]
    assert human["content"] == "what's the weather in nyc?"
    assert call["tool_calls"][0]["name"] == "get_weather"
    assert call["tool_calls"][0]["args"] == {"place": "nyc"}
    assert result["tool_call_id"] == call["tool_calls"][0]["id"]
    assert result["content"] == "It's 90 degrees and sunny."
    assert "sunny" in answer["content"]
    assert not answer["tool_calls"]
    assert "sf" not in str(messages)


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    """Give an engine with the weather agent, held by a gate after each of its steps."""

    async def agent(state, run):
        await gates["start"].pass_()
        step = 0
        async for part in weather.agent(state, run):
            yield part
            step += 1
            await gates[f"step {step}"].pass_()

    async with database.engine(registry(FunctionGraph("agent", agent))) as engine:
        yield engine


@pytest.mark.parametrize("role", ["user", "human"])
@pytest.mark.parametrize("held_at", ["start", "step 1", "step 2", None])
async def test_the_second_message_replaces_the_first_however_far_its_run_has_come(
    caller: Caller, gates: Gates, held_at: str | None, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weather, "DELAY_SECONDS", 0)
    thread_id = await caller.create_thread()
    gates.close(held_at or "step 3")
    first = await caller.create(thread_id, "", input=asking("sf", role))
    if held_at is not None:  # Else the second message follows at once.
        await gates[held_at].reached()
    second = await caller.create(
        thread_id, "", input=asking("nyc", role), multitask_strategy="rollback"
    )
    gates.open()

    joined = await soon(caller.join(thread_id, second))
    state = await caller.state(thread_id)
    assert_only_nyc(state["values"]["messages"])
    assert joined == state["values"]
    assert state["next"] == []
    with pytest.raises(RefusedError) as refusal:
        await caller.get(thread_id, first)
    assert refusal.value.status == 404
    assert [run["run_id"] for run in await caller.list(thread_id)] == [second]


@pytest.mark.slow
async def test_the_job_as_users_type_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weather, "DELAY_SECONDS", 1.0)
    engine = database.engine()
    engine.graph("agent")(weather.agent)
    async with engine, get_client(engine) as client:
        thread = await client.threads.create()
        first = await client.runs.create(
            thread["thread_id"],
            "agent",
            input={"messages": [{"role": "human", "content": "what's the weather in sf?"}]},
        )
        await asyncio.sleep(2)
        second = await client.runs.create(
            thread["thread_id"],
            "agent",
            input={"messages": [{"role": "human", "content": "what's the weather in nyc?"}]},
            multitask_strategy="rollback",
        )
        await client.runs.join(thread["thread_id"], second["run_id"])
        state = await client.threads.get_state(thread["thread_id"])
        messages = convert_to_messages(state["values"]["messages"])
        assert_only_nyc(state["values"]["messages"])
        assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
        with pytest.raises(httpx.HTTPStatusError) as refusal:
            await client.runs.get(thread["thread_id"], first["run_id"])
        assert refusal.value.response.status_code == 404
