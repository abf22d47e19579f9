"""The agent of the demo: agent, tool, agent, with ids that every attempt makes alike."""

import asyncio

import pytest

from tests.graphs.fakes import Recording
from threadfold.infrastructure.graphs.functions import FunctionGraph
from threadfold.infrastructure.graphs.weather import agent

AT_ONCE = {"configurable": {"delay_seconds": 0}}


def asked(content):
    return {"messages": [{"role": "user", "content": content}]}


async def test_the_agent_asks_its_tool_and_says_what_it_said():
    graph = FunctionGraph("agent", agent)
    recording = await Recording().run(
        graph, given=asked("What's the weather in sf?"), config=AT_ONCE
    )
    assert recording.nodes == ["__start__", "agent", "tools", "agent"]
    human, question, result, answer = recording.messages
    assert [entry["type"] for entry in recording.messages] == ["human", "ai", "tool", "ai"]
    (call,) = question["tool_calls"]
    assert call["args"] == {"place": "sf"}
    assert call["id"].startswith("call_")
    assert result["tool_call_id"] == call["id"]
    assert answer["content"] == "The weather in sf: It's 60 degrees and foggy."
    assert len({entry["id"] for entry in (human, question, result, answer)}) == 4


async def test_the_answer_is_streamed_under_the_id_that_it_gets():
    recording = await Recording().run(
        FunctionGraph("agent", agent), given=asked("nyc"), config=AT_ONCE
    )
    chunks = [chunk for _, (chunk, _) in recording.parts]
    answer = recording.messages[-1]
    assert "".join(chunk["content"] for chunk in chunks) == answer["content"]
    assert {chunk["id"] for chunk in chunks} == {answer["id"]}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("What is the weather in NYC?", "NYC"),
        ("and for New York", "New York"),
        ("how about Reykjavik?!", "Reykjavik"),
        ("sf", "sf"),
        ([{"type": "text", "text": "weather in"}, {"type": "text", "text": "Oslo?"}], "Oslo"),
        (["weather in Rome", {"type": "image_url", "image_url": "x"}], "Rome"),
        ("", "an unnamed place"),
    ],
)
async def test_it_understands_where(content, place):
    recording = await Recording().run(
        FunctionGraph("agent", agent), given=asked(content), config=AT_ONCE
    )
    assert recording.contents[-1].startswith(f"The weather in {place}: It's ")


async def test_the_last_human_message_is_answered_and_none_is_no_error():
    graph = FunctionGraph("agent", agent)
    state = {"messages": [{"type": "human", "content": "weather in sf?", "id": "old"}]}
    recording = await Recording().run(graph, state=state, given=asked("in nyc?"), config=AT_ONCE)
    assert recording.contents[-1] == "The weather in nyc: It's 90 degrees and sunny."
    recording = await Recording().run(graph, config=AT_ONCE)
    assert len(recording.messages) == 3


async def test_a_later_attempt_makes_the_same_messages():
    graph = FunctionGraph("agent", agent)
    one = await Recording().run(graph, given=asked("sf"), config=AT_ONCE)
    other = await Recording().run(
        graph, given=asked("sf"), config=AT_ONCE, attempt=2, results=one.results
    )
    assert other.messages[1:] == one.messages[1:]
    assert other.results == {}
    third = await Recording(run_id="another").run(graph, given=asked("sf"), config=AT_ONCE)
    assert {entry["id"] for entry in third.messages}.isdisjoint(
        entry["id"] for entry in one.messages
    )


async def test_it_takes_its_time_so_that_it_can_be_double_texted():
    recording = Recording()
    config = {"configurable": {"delay_seconds": 60}}
    context = recording.context(FunctionGraph("agent", agent), given=asked("sf"), config=config)
    task = asyncio.ensure_future(FunctionGraph("agent", agent).run(context))
    for _ in range(10):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recording.nodes == ["__start__"]
