"""What a graph streams reaches its followers under the names of the wire, as JSON, whatever the graph gives."""

import json
import operator
import re
from typing import Annotated, Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from tests.support.typed_values import Basket
from threadfold.infrastructure.langgraph.compiled import compiled
from threadfold.infrastructure.langgraph.showing import shown
from threadfold.infrastructure.langgraph.streaming import asked_of, stream
from threadfold.infrastructure.langgraph.types import TypeRegistry


class Log(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]


CONFIG = {"configurable": {"thread_id": "thread"}}


async def parts_of(graph, given, config=None, **kwargs):
    """Run the graph, and return what is emitted: names and data, all of it JSON."""
    parts: list[tuple[str, Any]] = []
    found = compiled(graph)
    assert found is not None
    await stream(
        found,
        given,
        config or CONFIG,
        asked_of(kwargs),
        lambda name, data: parts.append((name, json.loads(json.dumps(data, allow_nan=False)))),
    )
    return parts


def names(parts):
    return [name for name, _ in parts]


def two_steps():
    async def one(state):
        get_stream_writer()({"progress": 1})
        return {"log": ["one"]}

    async def two(state):
        return {"log": ["two"]}

    builder = StateGraph(Log)
    builder.add_sequence([one, two])
    builder.add_edge(START, "one")
    return builder.compile(checkpointer=InMemorySaver())


# ------------------------------------------------------------------ modes


async def test_values_are_what_is_streamed_unless_something_else_is_asked_for():
    parts = await parts_of(two_steps(), {"log": ["in"]})
    assert parts == [
        ("values", {"log": ["in"]}),
        ("values", {"log": ["in", "one"]}),
        ("values", {"log": ["in", "one", "two"]}),
    ]


async def test_only_the_modes_asked_for_are_streamed():
    parts = await parts_of(two_steps(), {"log": []}, stream_mode=["updates", "custom"])
    assert parts == [
        ("custom", {"progress": 1}),
        ("updates", {"one": {"log": ["one"]}}),
        ("updates", {"two": {"log": ["two"]}}),
    ]


async def test_one_mode_may_be_asked_for_without_a_list():
    parts = await parts_of(two_steps(), {"log": []}, stream_mode="custom")
    assert parts == [("custom", {"progress": 1})]


async def test_checkpoints_tasks_and_debug_parts_have_langgraphs_shape():
    parts = await parts_of(two_steps(), {"log": []}, stream_mode=["checkpoints", "tasks", "debug"])
    checkpoints = [data for name, data in parts if name == "checkpoints"]
    assert len(checkpoints) == 4
    assert all(
        set(each) == {"config", "parent_config", "values", "metadata", "next", "tasks"}
        for each in checkpoints
    )
    assert checkpoints[-1]["values"] == {"log": ["one", "two"]}
    assert not any(
        "__pregel" in key for each in checkpoints for key in each["config"]["configurable"]
    )
    tasks = [data for name, data in parts if name == "tasks"]
    assert [(each["name"], "result" in each) for each in tasks] == [
        ("one", False),
        ("one", True),
        ("two", False),
        ("two", True),
    ]
    debug = {data["type"] for name, data in parts if name == "debug"}
    assert debug == {"checkpoint", "task", "task_result"}


async def test_message_chunks_come_with_the_metadata_of_their_node():
    model = GenericFakeChatModel(messages=iter([AIMessage("two words", id="m1")]))

    async def talk(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("talk", talk).add_edge(START, "talk").compile()
    parts = await parts_of(
        graph, {"messages": [HumanMessage("hi")]}, stream_mode=["messages-tuple", "messages"]
    )
    assert names(parts) == ["messages"] * len(parts)
    chunks, metadata = zip(*(data for _, data in parts), strict=True)
    assert "".join(chunk["content"] for chunk in chunks) == "two words"
    assert {chunk["type"] for chunk in chunks} == {"AIMessageChunk"}
    assert {chunk["id"] for chunk in chunks} == {"m1"}
    assert all(
        {"tool_calls", "usage_metadata", "response_metadata"} <= set(each) for each in chunks
    )
    assert {each["langgraph_node"] for each in metadata} == {"talk"}
    assert {each["langgraph_step"] for each in metadata} == {1}


async def test_events_are_those_of_langchain_and_the_other_modes_come_beside_them():
    parts = await parts_of(two_steps(), {"log": ["in"]}, stream_mode=["events", "values"])
    assert [data for name, data in parts if name == "values"][-1] == {"log": ["in", "one", "two"]}
    events = [data for name, data in parts if name == "events"]
    assert events[0]["event"] == "on_chain_start"
    assert events[-1]["event"] == "on_chain_end"
    assert {event["name"] for event in events} >= {"LangGraph", "one", "two"}
    # What the graph itself streams is there once, as parts.
    streamed = [event for event in events if event["event"] == "on_chain_stream"]
    assert "LangGraph" not in {event["name"] for event in streamed}


async def test_values_show_what_nodes_changed_in_place():
    async def one(state):
        state["log"][0]["deep"]["key"] = "changed"
        state["log"][1].content = "changed too"
        return {"log": [1]}

    builder = StateGraph(Log).add_node(one).add_edge(START, "one")
    given = {"log": [{"deep": {"key": "as it was"}}, HumanMessage("as it was", id="m")]}
    parts = await parts_of(builder, given)
    (_, before), (_, after) = parts
    assert (before["log"][0], before["log"][1]["content"]) == (
        {"deep": {"key": "as it was"}},
        "as it was",
    )
    assert (after["log"][0], after["log"][1]["content"]) == (
        {"deep": {"key": "changed"}},
        "changed too",
    )


async def test_nothing_is_emitted_while_nobody_follows():
    parts, followers = [], iter([False, True, False])
    graph = compiled(two_steps())
    assert graph is not None
    await stream(
        graph,
        {"log": []},
        CONFIG,
        asked_of({}),
        lambda *part: parts.append(part),
        is_followed=lambda: next(followers),
    )
    assert parts == [("values", {"log": ["one"]})]


async def test_objects_of_classes_that_may_be_stored_are_streamed_as_states_show_them():
    builder = StateGraph(Log)
    builder.add_node("one", lambda state: {"log": [Basket(1)]})
    builder.add_edge(START, "one")
    found, types = compiled(builder), TypeRegistry().extended(Basket)
    assert found is not None
    parts: list[Any] = []
    emit: Any = lambda _, data: parts.append(data)  # noqa: E731
    asked = asked_of({"stream_mode": ["values", "updates"]})
    await stream(found, {"log": []}, CONFIG, asked, emit, types=types)
    expected = shown(Basket(1), types)
    assert parts == [{"log": []}, {"one": {"log": [expected]}}, {"log": [expected]}]


# ------------------------------------------------------------------ subgraphs


def with_child():
    async def inside(state):
        get_stream_writer()("from inside")
        return {"log": ["inside"]}

    child = StateGraph(Log).add_node("inside", inside).add_edge(START, "inside").compile()
    builder = StateGraph(Log).add_node("child", child).add_edge(START, "child")
    return builder.compile(checkpointer=InMemorySaver())


async def test_parts_of_subgraphs_carry_their_namespace_in_their_name():
    parts = await parts_of(
        with_child(), {"log": []}, stream_mode=["updates", "custom"], stream_subgraphs=True
    )
    inner, update, outer = parts
    assert re.fullmatch(r"custom\|child:[0-9a-f-]{36}", inner[0])
    assert inner[1] == "from inside"
    assert update == (inner[0].replace("custom", "updates"), {"inside": {"log": ["inside"]}})
    assert outer == ("updates", {"child": {"log": ["inside"]}})


async def test_subgraphs_are_silent_unless_asked_for():
    parts = await parts_of(with_child(), {"log": []}, stream_mode=["updates"])
    assert parts == [("updates", {"child": {"log": ["inside"]}})]


# ------------------------------------------------------------------ interrupts


def asking():
    async def ask(state):
        return {"log": [interrupt({"question": "sure?"})]}

    builder = StateGraph(Log).add_node("ask", ask).add_edge(START, "ask")
    return builder.compile(checkpointer=InMemorySaver())


async def test_a_question_stands_in_updates_and_values():
    graph = asking()
    parts = await parts_of(graph, {"log": []}, stream_mode=["values", "updates"])
    ((question,), last) = (data["__interrupt__"] for _, data in parts[-2:])
    assert question == last[0]
    assert question["value"] == {"question": "sure?"}
    assert set(question) == {"value", "id"}
    assert names(parts) == ["values", "updates", "values"]
    answered = await parts_of(graph, Command(resume="yes"), stream_mode=["updates"])
    assert answered == [("updates", {"ask": {"log": ["yes"]}})]
