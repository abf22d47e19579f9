"""What a function gives becomes steps: updates by node, in order, with the reducers of its state."""

import math
import threading
import uuid
from dataclasses import dataclass
from functools import partial, wraps

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, RemoveMessage
from pydantic import BaseModel

from tests.graphs.fakes import RealIds, Recording
from threadfold.domain.changes import Replace, Splice
from threadfold.domain.errors import (
    ConfigurationError,
    InvalidInputError,
    NotJsonError,
    ReducerError,
    StaleAttemptError,
    UnknownMessageError,
)
from threadfold.infrastructure.graphs.functions import (
    Custom,
    FunctionGraph,
    MessageChunk,
    Update,
)

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


async def ran(function, **fields):
    return await Recording().run(FunctionGraph("agent", function), **fields)


# ------------------------------------------------------------------ kinds of functions


async def test_each_update_of_a_generator_is_one_step_by_the_node_of_the_functions_name():
    async def chat(state, run):
        yield {"messages": ("ai", "one")}
        yield Update("tools", {"count": 1})
        yield Update(node="tools", values={})

    recording = await ran(chat, given=HELLO)
    assert recording.nodes == ["__start__", "chat", "tools", "tools"]
    assert [step.source for step in recording.steps] == ["input", "loop", "loop", "loop"]
    assert {step.next for step in recording.steps} == {("chat",)}
    assert recording.contents == ["hello", "one"]
    assert recording.values["count"] == 1


async def test_the_update_that_a_coroutine_returns_is_one_step():
    async def chat(state, run):
        return {"count": len(state["messages"])}

    recording = await ran(chat, given=HELLO)
    assert recording.nodes == ["__start__", "chat"]
    assert recording.values["count"] == 1


async def test_a_function_that_returns_nothing_leaves_the_input_alone():
    async def chat(state):
        return None

    assert (await ran(chat, given=HELLO)).nodes == ["__start__"]


async def test_a_sync_function_runs_in_a_thread_of_its_own():
    def chat(state, run):
        return {"thread": threading.current_thread().name, "count": len(state["messages"])}

    recording = await ran(chat, given=HELLO)
    assert recording.values["thread"] != threading.current_thread().name
    assert recording.values["count"] == 1


async def test_what_a_sync_function_raises_is_raised():
    def chat(state):
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        await ran(chat)


async def test_a_sync_function_may_return_what_can_be_awaited_or_iterated():
    async def chat(state):
        yield {"count": 1}

    async def answer(state):
        return {"count": 2}

    @wraps(chat)
    def wrapped(state):
        return chat(state)

    recording = await ran(wrapped)
    assert (recording.nodes, recording.values) == (["chat"], {"count": 1})
    recording = await ran(lambda state: answer(state))
    assert (recording.nodes, recording.values) == (["agent"], {"count": 2})


async def test_objects_methods_and_partial_functions_can_be_graphs():
    class Agent:
        async def __call__(self, state):
            return {"by": "object"}

        async def chat(self, state, run):
            yield {"by": "method"}

    async def configured(tone, state):
        return {"by": tone}

    assert (await ran(Agent())).nodes == ["agent"]
    assert (await ran(Agent().chat)).values == {"by": "method"}
    recording = await ran(partial(configured, "partial"))
    assert (recording.nodes, recording.values) == (["configured"], {"by": "partial"})


async def test_a_second_parameter_with_a_default_is_no_run_unless_it_is_called_so():
    async def option(state, depth=3):
        return {"depth": depth}

    async def handle(state, run=None):
        return {"thread": run.thread_id}

    assert (await ran(option)).values == {"depth": 3}
    assert (await ran(handle)).values == {"thread": "thread"}


def generator(state):
    yield {}


async def no_parameter():
    return {}


async def keyword_needed(state, run, *, model):
    return {}


class Unsigned:
    __signature__ = "unreadable"

    def __call__(self, state): ...


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (generator, "sync generator"),
        (no_parameter, "agent\\(state, run\\)"),
        (keyword_needed, "agent\\(state, run\\)"),
        (FunctionGraph, "expected a function"),
        (3, "expected a function"),
        (Unsigned(), "signature"),
    ],
)
def test_what_cannot_be_a_graph_is_refused_at_once(function, expected):
    with pytest.raises(ConfigurationError, match=f"graph agent: .*{expected}"):
        FunctionGraph("agent", function)


# ------------------------------------------------------------------ input


async def test_a_run_without_input_has_no_input_step():
    async def chat(state):
        return {"seen": len(state["messages"])}

    state = {"messages": [{"type": "human", "content": "before", "id": "m"}]}
    recording = await ran(chat, state=state)
    assert recording.nodes == ["chat"]
    assert recording.values["seen"] == 1


async def test_an_input_of_no_channels_is_a_step_all_the_same():
    async def chat(state):
        return None

    recording = await ran(chat, given={})
    assert [(step.source, dict(step.changes)) for step in recording.steps] == [("input", {})]


async def test_the_ids_of_a_prepared_input_stay():
    async def chat(state):
        return None

    graph = FunctionGraph("agent", chat)
    prepared = graph.prepare({**HELLO, "n": 1}, RealIds())
    identity = prepared["messages"][0]["id"]
    assert uuid.UUID(identity).version == 4
    assert graph.prepare(prepared, RealIds()) == prepared
    recording = await Recording().run(graph, given=prepared)
    assert recording.values == prepared
    assert recording.messages[0]["id"] == identity


@pytest.mark.parametrize(
    "given", [["a", "list"], "text", {"messages": [{"role": "wizard", "content": ""}]}]
)
async def test_input_that_does_not_fit_is_left_for_the_run_to_fail_on(given):
    async def chat(state):
        return None

    graph = FunctionGraph("agent", chat)
    assert graph.prepare(given, RealIds()) == given
    recording = Recording()
    with pytest.raises(ReducerError):
        await recording.run(graph, given=given)
    assert recording.steps == []


# ------------------------------------------------------------------ the state


async def test_the_state_shows_the_input_and_every_update_so_far():
    seen = []

    async def chat(state, run):
        seen.append((list(state), state["messages"][-1]["content"]))
        yield {"messages": ("ai", "one"), "count": 1}
        seen.append((list(state), state["messages"][-1]["content"]))
        yield {"messages": [RemoveMessage(id=state["messages"][0]["id"])]}
        seen.append((len(state), [message["content"] for message in state["messages"]]))

    await ran(chat, given=HELLO)
    assert seen == [(["messages"], "hello"), (["messages", "count"], "one"), (2, ["one"])]


async def test_the_state_is_a_read_only_mapping():
    async def chat(state):
        assert "count" in state
        assert state.get("messages") is None
        assert dict(state) == {"count": 1}
        assert repr(state) == "ReadOnlyState({'count': 1})"
        with pytest.raises(KeyError):
            state["messages"]
        with pytest.raises(TypeError, match=r"read-only: give an update, \{'count': …\}"):
            state["count"] = 2
        with pytest.raises(TypeError, match="read-only"):
            del state["count"]
        with pytest.raises(AttributeError, match=r"write state\['count'\]"):
            _ = state.count

    await ran(chat, state={"count": 1})


async def test_changing_what_is_in_the_state_in_place_changes_nothing_that_is_recorded():
    async def chat(state, run):
        state["messages"][0]["content"] = "changed"
        state["messages"].append({"type": "human", "content": "slipped in", "id": "x"})
        state["nested"]["list"].append(2)
        yield {"messages": {"role": "ai", "content": "one", "id": "a"}}
        assert [message["content"] for message in state["messages"]] == ["changed", "one"]
        state["messages"][1]["content"] = "changed too"
        yield {"messages": {"role": "ai", "content": "two", "id": "a"}}
        assert state["messages"][1]["content"] == "two"

    state = {
        "messages": [{"type": "human", "content": "hello", "id": "h"}],
        "nested": {"list": [1]},
    }
    recording = await ran(chat, state=state)
    assert recording.contents == ["hello", "two"]
    assert state["nested"] == {"list": [1]}
    assert recording.is_as_recorded()


async def test_changing_an_update_after_it_was_given_changes_nothing():
    async def chat(state, run):
        update = {"tags": ["a"]}
        yield update
        update["tags"].append("b")
        run.config["configurable"]["user"] = "changed"

    config = {"configurable": {"user": "u"}}
    recording = await ran(chat, config=config)
    assert recording.values == {"tags": ["a"]}
    assert recording.is_as_recorded()
    assert config == {"configurable": {"user": "u"}}


async def test_a_list_that_user_code_holds_does_not_grow_under_its_feet():
    async def chat(state, run):
        for message in state["messages"]:
            yield {"messages": ("ai", message["content"])}

    recording = await ran(chat, given=HELLO)
    assert recording.contents == ["hello", "hello"]


async def test_what_was_read_before_is_not_copied_again():
    async def chat(state, run):
        before = state["messages"]
        assert state["messages"] is before
        yield {"messages": ("ai", "one")}
        after = state["messages"]
        assert after[0] is before[0]
        yield {"messages": [{**after[0], "content": "replaced"}]}
        assert state["messages"][1] is after[1]
        assert state["messages"][0]["content"] == "replaced"
        yield {"messages": RemoveMessage(id=after[0]["id"])}
        assert state["messages"][0] is after[1]
        yield {"log": "was a text"}
        assert state["log"] == "was a text"
        yield {"log": ["is a list"]}
        assert state["log"] == ["is a list"]

    await ran(chat, given=HELLO)


# ------------------------------------------------------------------ what is given


async def test_messages_that_only_come_to_the_end_are_a_splice():
    async def chat(state, run):
        yield {"messages": ("ai", "one")}
        yield {"messages": {**state["messages"][0], "content": "changed"}}

    recording = await ran(chat, given=HELLO)
    _, appended, replaced = (step.changes["messages"] for step in recording.steps)
    assert isinstance(appended, Splice)
    assert (appended.at, appended.delete) == (1, 0)
    assert isinstance(replaced, Replace)
    assert recording.contents == ["changed", "one"]


async def test_objects_of_other_libraries_are_recorded_as_json():
    class Point(BaseModel):
        x: int

    @dataclass
    class Pair:
        one: Point
        other: tuple[int, ...]

    call = {"name": "look", "args": {"at": "x"}, "id": "call_1"}

    async def chat(state, run):
        yield {"messages": [HumanMessage("hi"), AIMessage("", tool_calls=[call], id="a")]}
        yield {"pair": Pair(Point(x=1), (2, 3))}

    recording = await ran(chat)
    human, ai = recording.messages
    assert (human["type"], human["content"]) == ("human", "hi")
    assert ai["tool_calls"] == [{**call, "type": "tool_call"}]
    assert recording.values["pair"] == {"one": {"x": 1}, "other": [2, 3]}
    assert recording.steps[0].update == {"messages": [human, ai]}


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"n": math.nan}, "chat.n"),
        ({"deep": [{"raw": b"\xff"}]}, "chat.deep[0].raw"),
        ({"thing": object()}, "chat.thing"),
        (Update("tools", {"thing": object()}), "tools.thing"),
        (Custom({"thing": object()}), "chat.custom.thing"),
        ({1: "key"}, "chat"),
    ],
)
async def test_what_json_cannot_hold_is_named_by_node_and_key(value, where):
    async def chat(state):
        return value

    recording = Recording()
    with pytest.raises(NotJsonError) as caught:
        await recording.run(FunctionGraph("agent", chat))
    assert caught.value.where == where
    assert recording.steps == []


@pytest.mark.parametrize("value", [None, [], "text", 3, object(), AIMessage("hi")])
async def test_a_generator_that_yields_anything_else_fails_saying_what_was_expected(value):
    async def chat(state):
        yield value

    expected = r"chat gave .*; expected a dict of channels, Update"
    with pytest.raises(InvalidInputError, match=expected):
        await ran(chat)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("", {}), "expected the name of a node"),
        ((None, {}), "expected the name of a node"),
        (("tools", []), "expected a dict of channels by tools, got list"),
    ],
)
def test_an_update_names_a_node_and_gives_channels(arguments, expected):
    with pytest.raises(InvalidInputError, match=expected):
        Update(*arguments)


async def test_an_update_that_is_refused_is_raised_at_its_yield_and_the_function_may_go_on():
    async def chat(state, run):
        try:
            yield {"messages": RemoveMessage(id="nobody")}
        except UnknownMessageError as error:
            yield {"caught": error.message_id}
        yield {"went": "on"}

    assert (await ran(chat)).values == {"caught": "nobody", "went": "on"}


async def test_a_function_that_ends_at_a_refused_update_has_handled_it():
    async def chat(state, run):
        try:
            yield {"n": math.inf}
        except NotJsonError:
            return

    assert (await ran(chat)).values == {}


async def test_a_refused_update_shows_the_line_that_gave_it():
    async def chat(state, run):
        yield {"n": math.inf}

    with pytest.raises(NotJsonError) as caught:
        await ran(chat)
    assert chat.__code__ in [entry.frame.code.raw for entry in caught.traceback]


async def test_what_the_function_raises_is_raised_and_what_it_gave_before_stands():
    async def chat(state, run):
        yield {"count": 1}
        raise LookupError("lost")

    recording = Recording()
    with pytest.raises(LookupError, match="lost"):
        await recording.run(FunctionGraph("agent", chat))
    assert recording.values == {"count": 1}


async def test_custom_data_and_chunks_are_emitted_and_change_nothing():
    async def chat(state, run):
        yield Custom({"progress": 0.5})
        yield MessageChunk(AIMessageChunk("Hel", id="m"))
        yield MessageChunk({"role": "assistant", "content": "lo", "id": "m"}, {"tags": ["a"]})
        yield MessageChunk({"type": "tool", "content": "x", "id": "t"}, {"langgraph_node": "tools"})

    recording = await ran(chat)
    assert recording.steps == []
    (custom, data), *chunks = recording.parts
    assert (custom, data) == ("custom", {"progress": 0.5})
    assert [mode for mode, _ in chunks] == ["messages"] * 3
    first, second, third = (part for _, part in chunks)
    assert [first[0]["type"], second[0]["type"]] == ["AIMessageChunk"] * 2
    assert [first[0]["content"], second[0]["content"]] == ["Hel", "lo"]
    assert second[0].keys() <= first[0].keys()
    assert [part[1] for part in (first, second, third)] == [
        {"langgraph_node": "chat"},
        {"langgraph_node": "chat", "tags": ["a"]},
        {"langgraph_node": "tools"},
    ]
    assert third[0]["type"] == "tool"


@pytest.mark.parametrize("message", ["Hel", {"content": "Hel"}, {"content": "x", "id": 3}])
async def test_a_chunk_needs_the_id_of_its_message(message):
    async def chat(state):
        yield MessageChunk(message)

    with pytest.raises(InvalidInputError, match=r"chat\.message: expected .* the id"):
        await ran(chat)


# ------------------------------------------------------------------ updates from outside


def test_an_update_from_outside_is_reduced_like_one_of_the_graph():
    async def chat(state):
        return None

    graph = FunctionGraph("agent", chat)
    old = {"messages": [{"type": "human", "content": "hello", "id": "h"}]}
    update, changes = graph.update(old, {"messages": ("ai", "hi"), "n": 1}, RealIds())
    assert update["messages"][0]["content"] == "hi"
    assert changes["messages"] == Splice(1, 0, update["messages"])
    assert changes["n"] == Replace(1)
    assert graph.update(old, None, RealIds()) == ({}, {})
    with pytest.raises(ReducerError, match="expected an object of channels, got list"):
        graph.update(old, [1], RealIds())
    with pytest.raises(UnknownMessageError):
        graph.update(old, {"messages": {"role": "remove", "id": "x"}}, RealIds())


def test_any_node_may_be_named_and_nothing_runs_after_one():
    async def chat(state):
        return None

    graph = FunctionGraph("agent", chat)
    assert graph.nodes is None
    assert graph.next_after("chat", {}) == ()
    assert (graph.graph_id, graph.node) == ("agent", "chat")
    assert graph.renamed("other").graph_id == "other"


# ------------------------------------------------------------------ the fence


async def test_a_fenced_generator_is_closed_and_cannot_go_on():
    seen = []

    async def chat(state, run):
        try:
            yield {"n": 1}
            yield {"n": 2}
            seen.append("went on")
        except StaleAttemptError:
            seen.append("caught")
        finally:
            seen.append("closed")

    recording = Recording(steps_max=1)
    with pytest.raises(StaleAttemptError):
        await recording.run(FunctionGraph("agent", chat))
    assert seen == ["closed"]
    assert recording.values == {"n": 1}
