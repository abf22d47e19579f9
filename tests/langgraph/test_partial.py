"""What a model had streamed when its run was stopped is kept, where the graph asks for it, and comes before the next input."""

from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessageChunk, AnyMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.retrievers import BaseRetriever
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from tests.langgraph.test_closing import contents, mended, user
from tests.support.engine import Database, StillClock, join, pass_time, quiet
from tests.support.scripted_agents import (
    AGENTS,
    GO,
    RESULTS,
    ProviderError,
    Script,
    ScriptedModel,
    Talk,
    hosting,
)
from threadfold.domain.events import WritesRecorded
from threadfold.infrastructure.graphs.registry import GraphRegistry
from threadfold.infrastructure.langgraph.partial import PARTIAL

KEPT = [GO, "round 0", "more", "answer to more"]
LOST = [GO, "more", "answer to more"]


@asynccontextmanager
async def keeping(kind: str = "prebuilt", **settings: Any):
    script = Script()
    graphs = GraphRegistry()
    graphs.add_graph("agent", AGENTS[kind](script), keeps_partial_messages=True)
    async with Database().engine(graphs, **settings) as engine:
        yield Talk(kind, engine, script)


@pytest.mark.parametrize("kind", ["prebuilt", "hand_built"])
async def test_an_interrupt_keeps_what_was_said(kind):
    async with keeping(kind) as talk:
        await talk.go_to("while the model streams")
        await talk.goes_on(await talk.submit("more", "interrupt"))
        assert await contents(talk) == KEPT
        kept = (await talk.history())[1]
        assert kept["type"] == "ai"
        assert kept["response_metadata"] == {"partial": True}
        assert kept["tool_calls"] == []
        assert kept["id"] == talk.script.shown[1][1].id == "streamed-1"


async def test_a_cancel_keeps_what_was_said_until_the_next_message():
    async with keeping() as talk:
        await talk.engine.cancel_run("t", await talk.go_to("while the model streams"))
        assert await contents(talk) == [GO]
        await talk.goes_on()
        assert await contents(talk) == KEPT


async def test_a_time_out_keeps_what_was_said():
    clock = StillClock()
    async with keeping(clock=clock) as talk:
        first = await talk.go_to("while the model streams", timeout_seconds=60)
        await pass_time(talk.engine, clock, 61)
        assert (await join(talk.engine, "t", first)).status == "timeout"
        talk.script.gates.open()
        second = await talk.submit("more")
        await pass_time(talk.engine, clock, 1)
        await talk.goes_on(second)
        assert await contents(talk) == KEPT


async def test_a_rollback_keeps_nothing():
    async with keeping() as talk:
        await talk.go_to("while the model streams")
        await talk.goes_on(await talk.submit("more", "rollback"))
        assert await contents(talk) == ["more", "answer to more"]


async def test_a_rollback_of_the_run_that_took_it_up_puts_it_back():
    async with keeping() as talk:
        await talk.engine.cancel_run("t", await talk.go_to("while the model streams"))
        talk.script.gates.open()
        talk.script.gates.close("model 0")
        run_id = await talk.submit("other")
        await talk.script.gates["model 0"].reached(2)
        await talk.engine.cancel_run("t", run_id, action="rollback")
        await talk.goes_on()
        assert await contents(talk) == KEPT


async def test_it_comes_after_the_results_of_the_round_before():
    async with keeping() as talk:
        await talk.go_to("while it streams again")
        await talk.goes_on(await talk.submit("more", "interrupt"))
        assert (await contents(talk))[2:] == [
            RESULTS["one"], RESULTS["two"], "round 1", "more", "answer to more",
        ]  # fmt: skip


async def test_a_run_without_input_has_the_model_answer_anew():
    async with keeping() as talk:
        await talk.engine.cancel_run("t", await talk.go_to("while the model streams"))
        talk.script.gates.open()
        ended = await talk.run()
        assert ended.status == "success"
        await talk.goes_on()
        assert (await contents(talk)).count("round 0") == 1
        assert await mended(talk) == 0


async def test_what_was_said_to_the_end_is_not_said_twice():
    async with keeping() as talk:
        talk.script.gates.close("streaming 0")
        first = await talk.submit(GO)
        await talk.script.gates["streaming 0"].reached()
        await talk.engine._worker.flush("t")  # As before a decision that does not come to pass.
        talk.script.gates.open()
        assert (await join(talk.engine, "t", first)).status == "success"
        await talk.goes_on()
        assert (await contents(talk)).count("round 0") == 1


async def test_a_later_decision_takes_back_what_is_no_longer_being_said():
    async with keeping() as talk:
        talk.script.gates.close("streaming 0")
        await talk.submit(GO)
        await talk.script.gates["streaming 0"].reached()
        for _ in range(2):
            await talk.engine._worker.flush("t")
        writes = [each for each in await talk.events(WritesRecorded) if each.task_id == PARTIAL]
        assert len(writes) == 1
        talk.script.gates.close("after one")
        talk.script.gates.open("streaming 0")
        await talk.script.gates["after one"].reached()
        await talk.goes_on(await talk.submit("more", "interrupt"))
        assert (await contents(talk)).count("round 0") == 1


@pytest.mark.parametrize("kind", ["prebuilt", "hand_built"])
async def test_nothing_is_kept_where_nobody_asked(kind):
    script = Script()
    async with hosting(AGENTS[kind](script), script) as talk:
        await talk.go_to("while the model streams")
        await talk.goes_on(await talk.submit("more", "interrupt"))
        assert await contents(talk) == LOST


async def test_nothing_is_kept_of_a_model_that_does_not_stream():
    async with keeping() as talk:
        talk.script.gates.close("model 0")
        await talk.send({"messages": [user(GO)]})
        await talk.script.gates["model 0"].reached()
        await talk.goes_on(await talk.submit("more", "interrupt"))
        assert await contents(talk) == LOST


async def test_nothing_is_kept_where_steps_are_not():
    async with keeping() as talk:
        talk.script.gates.close("streaming 0")
        await talk.submit(GO, durability="exit")
        await talk.script.gates["streaming 0"].reached()
        await talk.goes_on(await talk.submit("more", "interrupt"))
        assert "round 0" not in await contents(talk)


async def test_nothing_is_kept_of_what_is_not_for_the_user():
    script = Script()
    model = ScriptedModel(script=script)

    async def think(state: MessagesState):
        await model.with_config(tags=["nostream"]).ainvoke(state["messages"])
        return {}

    inner = StateGraph(MessagesState).add_node("talk", _talk(model)).add_edge(START, "talk")
    nodes: dict[str, Any] = {"think": think, "inner": inner.compile()}
    for name, node in nodes.items():
        builder = StateGraph(MessagesState).add_node(name, node).add_edge(START, name)
        async with hosting(builder, script, keeps_partial_messages=True) as talk:
            script.gates.close("streaming 0")
            arrivals = script.gates["streaming 0"].arrivals
            await talk.send(
                {"messages": [user(GO)]}, stream_mode=["messages"], stream_subgraphs=True
            )
            await talk.script.gates["streaming 0"].reached(arrivals + 1)
            run_id = await talk.submit("more", "interrupt")
            script.gates.open()
            await join(talk.engine, "t", run_id)
            assert "round 0" not in await contents(talk)


def _talk(model: ScriptedModel) -> Any:
    async def talk(state: MessagesState):
        return {"messages": [await model.ainvoke(state["messages"])]}

    return talk


class Thinking(ScriptedModel):
    """A model whose parts are lists of blocks, as some providers have them."""

    async def _astream(self, messages: Any, *_: Any, **__: Any) -> Any:
        number = self.script.look(messages)
        blocks: list[Any] = [
            {"type": "thinking", "thinking": "hm", "index": 0},
            {"type": "text", "text": "so far ", "index": 1},
            {"type": "text", "text": "so good", "index": 1},
            {"type": "input_json_delta", "partial_json": "{", "index": 2},
        ]
        for block in blocks:
            yield ChatGenerationChunk(message=AIMessageChunk([block]))
        await self.script.gates[f"streaming {number}"].pass_()


async def test_only_words_are_kept():
    script = Script()
    builder = StateGraph(MessagesState).add_node("talk", _talk(Thinking(script=script)))
    async with hosting(
        builder.add_edge(START, "talk"), script, keeps_partial_messages=True
    ) as talk:
        await talk.engine.cancel_run("t", await talk.go_to("while the model streams"))
        script.gates.open()
        await quiet(talk.engine)
        await join(talk.engine, "t", await talk.submit("more"))
        (_, kept, _, *_) = await talk.history()
        assert kept["content"] == "so far so good"
        assert kept["id"]


class Two(MessagesState):
    """A state with two histories."""

    notes: Annotated[list[AnyMessage], add_messages]
    more: Annotated[list[AnyMessage], add_messages]


class Notes(TypedDict):
    """A state with two histories, none of the usual name."""

    notes: Annotated[list[AnyMessage], add_messages]
    talk: Annotated[list[AnyMessage], add_messages]


@pytest.mark.parametrize(("state", "is_kept"), [(Two, True), (Notes, False)])
async def test_it_must_be_clear_where_the_model_speaks(state, is_kept):
    script = Script()
    model = ScriptedModel(script=script)

    async def talk_(state):
        return {"notes": [await model.ainvoke(state["notes"])]}

    builder = StateGraph(state).add_node("talk", talk_).add_edge(START, "talk")
    async with hosting(builder, script, keeps_partial_messages=True) as talk:
        script.gates.close("streaming 0")
        given = {"notes": [user(GO)]}
        first = await talk.send(given, stream_mode=["messages"])
        await script.gates["streaming 0"].reached()
        await talk.engine.cancel_run("t", first)
        script.gates.open()
        await talk.run({"notes": [user("more")]})
        assert len(await talk.history("messages")) == is_kept


class Finding(BaseRetriever):
    """Finds nothing."""

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Any]:
        return []


async def test_a_model_that_fails_has_said_nothing_and_all_else_is_not_listened_to():
    script = Script()
    model = ScriptedModel(script=script)

    async def talk_(state: MessagesState):
        await Finding().ainvoke("?")
        failing = model.with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
        with pytest.raises(ProviderError):
            await failing.ainvoke([ToolMessage("stray", tool_call_id="1")])
        script.refusals.clear()
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState).add_node("talk", talk_).add_edge(START, "talk")
    async with hosting(builder, script, keeps_partial_messages=True) as talk:
        script.gates.close("streaming 0")
        await talk.submit("x")
        await script.gates["streaming 0"].reached()
        await talk.goes_on(await talk.submit("more", "interrupt"))
        assert await contents(talk) == ["x", "answer to x", "more", "answer to more"]
