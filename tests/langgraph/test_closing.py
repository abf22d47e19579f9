"""I16: what is closed when new input comes in, where, and in what words; and when nothing is closed."""

import asyncio
import contextlib
import json
from typing import Annotated, Any

import orjson
import pytest
from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import _messages_delta_reducer as delta_reducer, add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from tests.support.engine import Database, MortalStore, MortalTasks, join, quiet, soon
from tests.support.scripted_agents import (
    GO,
    RESULTS,
    Script,
    ScriptedModel,
    Talk,
    hosting,
    looping,
    prebuilt,
    registry,
    remembering,
    talking,
    told,
    tool_node,
    tools_of,
)
from threadfold.domain.calls import calls_in
from threadfold.domain.errors import ConfigurationError, StaleAttemptError
from threadfold.domain.events import CheckpointRecorded, RunAccepted, ToolCallRecorded
from threadfold.domain.ports import Append, EventStore
from threadfold.domain.shared_list import SharedList
from threadfold.domain.snapshots import from_snapshot, to_snapshot
from threadfold.domain.tool_calls import (
    CANCELLED,
    NEVER_STARTED,
    NOT_REPORTED,
    OUTCOME_UNKNOWN,
    RESULT_NOT_KEPT,
)
from threadfold.infrastructure.graphs.loading import load_graphs
from threadfold.infrastructure.langgraph.closing import is_sound_channel


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def calling(*names: str, id: str = "a") -> dict[str, Any]:
    calls = [{"id": f"{name}-{id}", "name": name, "args": {}} for name in names]
    return {"type": "ai", "content": "", "id": id, "tool_calls": calls}


def result(call_id: str, text: str = "by hand") -> dict[str, Any]:
    return {"type": "tool", "content": text, "tool_call_id": call_id, "id": f"r-{call_id}"}


async def contents(talk: Talk) -> list[str]:
    return [message["content"].strip() for message in await talk.history()]


async def mended(talk: Talk) -> int:
    """Return how many checkpoints runs put that are no steps of theirs."""
    recorded = await talk.events(CheckpointRecorded)
    return sum(each.source == "update" and each.run_id is not None for each in recorded)


async def stop(talk: Talk, point: str = "one tool finished") -> None:
    """Leave a run behind that was cancelled at the point."""
    await talk.engine.cancel_run("t", await talk.go_to(point))
    talk.script.gates.open()
    await quiet(talk.engine)


# ------------------------------------------------------------------ when nothing is closed


async def test_a_sound_history_is_never_touched():
    async with talking("prebuilt") as talk:
        for text in (GO, "a", GO, "more"):
            await join(talk.engine, "t", await talk.submit(text))
        await talk.goes_on()
        assert await mended(talk) == 0


@pytest.mark.parametrize("kind", ["prebuilt", "hand_built"])
async def test_a_run_without_input_carries_out_the_open_calls(kind):
    async with talking(kind) as talk:
        await stop(talk)
        ended = await talk.run()
        assert ended.status == "success"
        assert await talk.results() == RESULTS
        assert await mended(talk) == 0
        await talk.goes_on()


async def test_an_answer_goes_to_the_tool_that_asked():
    @tool
    async def one() -> str:
        """Ask somebody."""
        return f"they said {interrupt('what?')}"

    script = Script(rounds=(("one",),))
    async with hosting(looping(script, ToolNode([one])), script) as talk:
        await talk.run({"messages": [user(GO)]})
        ended = await talk.run(command={"resume": "yes"})
        assert ended.status == "success"
        assert await talk.results() == {"one": "they said yes"}
        assert await mended(talk) == 0


async def test_new_input_instead_of_an_answer_closes_the_call_that_asked():
    @tool
    async def one() -> str:
        """Ask somebody."""
        return interrupt("what?")

    script = Script(rounds=(("one",),))
    async with hosting(looping(script, ToolNode([one])), script) as talk:
        await talk.run({"messages": [user(GO)]})
        await talk.goes_on()
        assert await talk.results() == {"one": OUTCOME_UNKNOWN}
        assert (await talk.thread()).state.tasks == ()


async def test_a_command_that_goes_elsewhere_closes_nothing():
    async with talking("hand_built") as talk:
        await stop(talk)
        ended = await talk.run(command={"goto": "tools"})
        assert ended.status == "success"
        assert await mended(talk) == 0


async def test_an_update_from_outside_may_supply_the_results():
    async with talking("hand_built") as talk:
        await stop(talk)
        supplied = {"messages": [result("one-1"), result("two-1")]}
        await talk.engine.update_state("t", supplied, as_node="tools")
        await talk.goes_on()
        assert await mended(talk) == 0
        assert (await contents(talk))[2:4] == ["by hand", "by hand"]


async def test_calls_that_come_with_the_input_stay_open():
    script = Script()
    builder = (
        StateGraph(MessagesState).add_node("tools", tool_node(script)).add_edge(START, "tools")
    )
    async with hosting(builder, script) as talk:
        ended = await talk.run({"messages": [user("a"), calling("one")]})
        assert ended.status == "success"
        assert await contents(talk) == ["a", "", RESULTS["one"]]
        assert await mended(talk) == 0


async def test_it_can_be_switched_off():
    script = Script()
    async with hosting(prebuilt(script), script, closes_tool_calls=False) as talk:
        await stop(talk)
        ended = await talk.run({"messages": [user("more")]})
        assert ended.error is not None
        assert ended.error.error == "ProviderError"
        assert await mended(talk) == 0
        assert await talk.events(ToolCallRecorded)  # The audit has them all the same.


async def test_a_graph_without_messages_costs_nothing():
    async def count(state):
        return {"count": state.get("count", 0) + 1}

    builder = StateGraph(dict).add_node(count).add_edge(START, "count")
    async with hosting(builder, Script()) as talk:
        for _ in range(2):
            assert (await talk.run({"count": 1})).status == "success"
        assert await mended(talk) == 0


# ------------------------------------------------------------------ in what words


async def test_a_call_before_which_the_run_stopped_was_never_started():
    async with talking("hand_built") as talk:
        await talk.run({"messages": [user(GO)]}, interrupt_before=["tools"])
        await talk.goes_on()
        assert await talk.results() == {"one": NEVER_STARTED, "two": NEVER_STARTED}


async def test_nobody_says_never_started_of_tools_that_nobody_hears_of():
    script = Script(rounds=(("one",),))

    async def tools(state):
        await script.use("one")

    async with hosting(looping(script, tools), script) as talk:
        script.gates.close("tool one")
        run_id = await talk.send({"messages": [user(GO)]})
        await script.gates["tool one"].reached()
        await talk.engine.cancel_run("t", run_id)
        await talk.goes_on()
        assert await talk.results() == {"one": NOT_REPORTED}


@pytest.mark.parametrize("kind", ["prebuilt", "hand_built"])
async def test_a_call_that_was_started_again_and_then_lost_is_not_told_as_cancelled(kind):
    database, script = Database(), Script()
    mortal = await database.mortal(registry(kind, script))
    talk = Talk(kind, mortal.engine, script)
    await stop(talk)
    script.gates.close("tool two")
    before = script.gates["tool two"].arrivals
    await talk.send()
    await script.gates["tool two"].reached(before + 1)
    await quiet(mortal.engine)
    await mortal.engine._worker.flush("t")
    await mortal.kill()
    async with database.engine(registry(kind, script), attempts_max=1) as engine:
        talk = Talk(kind, engine, script)
        await talk.goes_on()
        assert await talk.results() == told("one tool finished", OUTCOME_UNKNOWN)


async def test_a_tool_that_failed_is_told_as_that():
    @tool
    async def one() -> str:
        """Fail."""
        raise ValueError("boom")

    script = Script(rounds=(("one",),))
    async with hosting(looping(script, ToolNode([one])), script) as talk:
        assert (await talk.run({"messages": [user(GO)]})).status == "error"
        await talk.goes_on()
        assert await talk.results() == {"one": "The tool call failed: ValueError: boom"}


async def test_a_tool_that_failed_once_and_worked_the_next_time_has_its_result():
    script = Script(rounds=(("one", "two"),))
    failures: list[int] = []

    @tool
    async def one() -> str:
        """Fail once."""
        if not failures:
            failures.append(1)
            raise ValueError("boom")
        return "worked"

    @tool
    async def two() -> str:
        """Wait."""
        return await script.use("two")

    async with hosting(looping(script, ToolNode([one, two])), script) as talk:
        script.gates.close("tool two")
        assert (await talk.run({"messages": [user(GO)]})).status == "error"
        run_id = await talk.send()
        await script.gates["tool two"].reached(2)
        await quiet(talk.engine)
        await talk.engine.cancel_run("t", run_id)
        await talk.goes_on()
        assert await talk.results() == {"one": "worked", "two": CANCELLED}


async def test_a_tool_that_gives_a_command_has_the_message_in_it():
    @tool
    async def one(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Give a command."""
        message = {"type": "tool", "content": "other", "tool_call_id": "other"}
        own = add_messages([], [{**message, "content": "in it", "tool_call_id": tool_call_id}])
        return Command(update={"messages": own})

    @tool
    async def two() -> str:
        """Wait."""
        return await script.use("two")

    script = Script(rounds=(("one", "two"),))
    async with hosting(looping(script, ToolNode([one, two])), script) as talk:
        script.gates.close("tool two")
        run_id = await talk.send({"messages": [user(GO)]})
        await script.gates["tool two"].reached()
        await quiet(talk.engine)
        await talk.engine.cancel_run("t", run_id)
        await talk.goes_on()
        texts = [m["content"] for m in await talk.history() if m["type"] == "tool"]
        assert texts == ["in it", CANCELLED]


@pytest.mark.parametrize("is_sync_node", [True, False])
async def test_tools_of_sync_code_are_heard_of_too(is_sync_node):
    script = Script(rounds=(("one", "two"),))
    entered: list[int] = []

    @tool
    def one() -> str:
        """Work in a thread."""
        return "from a thread"

    @tool
    def two() -> str:
        """Stop in a thread."""
        entered.append(2)
        raise StopHereError

    by_name = {"one": one, "two": two}

    def tools(state: MessagesState):
        return {"messages": [by_name[call["name"]].invoke(call) for call in _calls(state)]}

    async def tools_on_the_loop(state: MessagesState):
        return tools(state)

    node = tools if is_sync_node else tools_on_the_loop
    async with hosting(looping(script, node), script) as talk:
        assert (await talk.run({"messages": [user(GO)]})).status == "error"
        assert entered == [2]
        await talk.goes_on()
        assert await talk.results() == {
            "one": "from a thread",
            "two": "The tool call failed: StopHereError: ",
        }


class StopHereError(Exception):
    """What a tool raises."""


def _calls(state: Any) -> list[Any]:
    return [{**call, "type": "tool_call"} for call in state["messages"][-1].tool_calls]


OUTPUTS: dict[str, tuple[Any, str]] = {
    "a list": (lambda mine: [mine, ToolMessage("other", tool_call_id="other")], "mine"),
    "a command": (lambda mine: Command(update={"other": 1, "messages": [mine]}), "mine"),
    "pairs": (lambda mine: Command(update=[("messages", mine)]), "mine"),
    "several commands": (lambda mine: [Command(goto="x"), Command(update=[mine])], "mine"),
    "nothing": (lambda mine: Command(goto="x"), RESULT_NOT_KEPT),
    "another's": (lambda mine: ToolMessage("other", tool_call_id="other"), RESULT_NOT_KEPT),
    "what cannot be stored": (
        lambda mine: mine.model_copy(update={"additional_kwargs": {"odd": object()}}),
        RESULT_NOT_KEPT,
    ),
}


@pytest.mark.parametrize("output", OUTPUTS)
async def test_whatever_a_tool_gives_its_answer_is_found_in_it(output):
    given, expected = OUTPUTS[output]

    @tool
    async def one(tool_call_id: Annotated[str, InjectedToolCallId]) -> Any:
        """Give something."""
        return given(ToolMessage("mine", tool_call_id=tool_call_id))

    async def tools(state):
        for call in _calls(state):
            await one.ainvoke(call)
        await script.gates["tools"].pass_()

    script = Script(rounds=(("one",),))
    async with hosting(looping(script, tools), script) as talk:
        script.gates.close("tools")
        run_id = await talk.send({"messages": [user(GO)]})
        await script.gates["tools"].reached()
        await quiet(talk.engine)
        await talk.engine.cancel_run("t", run_id)
        await talk.goes_on()
        texts = [m["content"] for m in await talk.history() if m["type"] == "tool"]
        assert texts == [expected]


async def test_a_tool_that_is_called_without_saying_for_which_call_tells_nothing():
    @tool
    async def one() -> str:
        """Fail."""
        raise StopHereError

    async def tools(state):
        await one.ainvoke({})

    script = Script(rounds=(("one",),))
    async with hosting(looping(script, tools), script) as talk:
        assert (await talk.run({"messages": [user(GO)]})).status == "error"
        await talk.goes_on()
        assert await talk.results() == {"one": NOT_REPORTED}
        assert await talk.events(ToolCallRecorded) == []


async def test_calls_of_one_id_are_told_apart():
    async with talking("hand_built") as talk:
        talk.script.is_repeating_ids = True
        assert (await join(talk.engine, "t", await talk.submit(GO))).status == "success"
        await talk.run({"messages": [user(GO)]}, interrupt_before=["tools"])
        await talk.goes_on()
        texts = [m["content"] for m in await talk.history() if m["type"] == "tool"]
        assert texts == [*RESULTS.values(), NEVER_STARTED, NEVER_STARTED]


async def test_calls_of_one_id_in_one_run_are_told_apart():
    async with talking("hand_built") as talk:
        talk.script.is_repeating_ids = True
        talk.script.gates.close("tool three")
        run_id = await talk.submit(GO)
        await talk.script.gates["tool three"].reached()
        await talk.engine.cancel_run("t", run_id)
        await talk.goes_on()
        texts = [m["content"] for m in await talk.history() if m["type"] == "tool"]
        assert texts == [RESULTS["one"], RESULTS["two"], CANCELLED]


async def test_calls_of_one_id_of_which_the_later_was_never_started_are_told_apart():
    async with talking("hand_built") as talk:
        talk.script.is_repeating_ids = True
        for given in ({"messages": [user(GO)]}, None):
            await talk.run(given, interrupt_before=["tools"])
        await talk.goes_on()
        texts = [m["content"] for m in await talk.history() if m["type"] == "tool"]
        assert texts == [RESULTS["one"], RESULTS["two"], NEVER_STARTED]


# ------------------------------------------------------------------ where


async def test_it_is_closed_directly_after_the_call_also_if_others_have_spoken_since():
    async with talking("hand_built") as talk:
        await stop(talk)
        said = {"messages": [user("by the way"), {"role": "assistant", "content": "hm"}]}
        await talk.engine.update_state("t", said, as_node="talk")
        await talk.goes_on()
        assert await contents(talk) == [
            GO, "round 0", RESULTS["one"], CANCELLED, "by the way", "hm", "more", "answer to more",
        ]  # fmt: skip


async def test_results_that_stand_further_down_come_to_their_call_and_strays_are_left_out():
    async with talking("hand_built") as talk:
        told_ = [user("a"), calling("one", "two"), user("b"), result("two-a"), result("zzz")]
        await talk.run({"messages": [user("hi")]})
        await talk.engine.update_state("t", {"messages": told_}, as_node="talk")
        await talk.goes_on()
        assert (await contents(talk))[2:] == [
            "a", "", NOT_REPORTED, "by hand", "b", "more", "answer to more",
        ]  # fmt: skip


async def test_messages_keep_their_ids_and_are_stored_once():
    async with talking("prebuilt") as talk:
        await stop(talk)
        before = [message["id"] for message in await talk.history()]
        size = len((await talk.thread()).items)
        await talk.goes_on()
        after = [message["id"] for message in await talk.history()]
        assert after[:2] == before
        assert len(set(after)) == len(after)
        # The closing, the input, and the answer are new; the result was there since the tool had it.
        assert len((await talk.thread()).items) - size == 3


async def test_a_run_from_an_earlier_checkpoint_finds_it_closed_there():
    async with talking("hand_built") as talk:
        await stop(talk)
        head = (await talk.thread()).state.saved.latest("")
        assert head is not None
        await join(talk.engine, "t", await talk.submit("something else"))
        run_id = await talk.send({"messages": [user("more")]}, checkpoint_id=head.checkpoint_id)
        await talk.goes_on(run_id)
        assert await contents(talk) == [
            GO, "round 0", RESULTS["one"], CANCELLED, "more", "answer to more",
        ]  # fmt: skip


async def test_a_run_from_a_very_old_checkpoint_finds_it_closed_there():
    async with talking("hand_built") as talk:
        await stop(talk)
        head = (await talk.thread()).state.saved.latest("")
        assert head is not None
        while (await talk.thread()).state.saved.is_complete:
            await join(talk.engine, "t", await talk.submit("something else"))
        run_id = await talk.send({"messages": [user("more")]}, checkpoint_id=head.checkpoint_id)
        await talk.goes_on(run_id)
        assert await contents(talk) == [
            GO, "round 0", RESULTS["one"], CANCELLED, "more", "answer to more",
        ]  # fmt: skip


async def test_a_checkpoint_of_a_subgraph_is_no_place_to_begin():
    script = Script()
    echo = StateGraph(MessagesState).add_node("echo", lambda state: {}).add_edge(START, "echo")
    builder = remembering(script).add_node("echo", echo.compile()).add_edge("agent", "echo")
    async with hosting(builder, script) as talk:
        await stop(talk)
        (inner,) = [
            head for ns, head in (await talk.thread()).state.saved.heads.items() if ns == "agent"
        ]
        named = {"checkpoint_ns": "agent", "checkpoint_id": inner.checkpoint_id}
        await talk.goes_on(await talk.send({"messages": [user("more")]}, checkpoint=named))
        assert await talk.results() == told("one tool finished", CANCELLED)


@pytest.mark.parametrize("value", [[], None, "text"])
def test_a_channel_that_is_no_list_of_items_is_looked_at_whole(value):
    items = SharedList[Any]()
    assert is_sound_channel(value, items)
    stray = {"$": ["message", "tool", {"tool_call_id": "1"}]}
    assert not is_sound_channel([stray], items)


async def test_a_copy_of_a_thread_knows_of_calls_what_its_source_knew():
    async with talking("prebuilt") as talk:
        await stop(talk)
        copy = await talk.engine.copy_thread("t")
        view = await talk.engine.submit_run(
            copy.thread_id, "agent", input={"messages": [user("more")]}
        )
        ended = await join(talk.engine, copy.thread_id, view.row.run_id)
        assert (ended.status, talk.script.refusals) == ("success", [])
        texts = [message["content"] for message in ended.values["messages"]]
        assert texts[2:] == [RESULTS["one"], CANCELLED, "more", "answer to more"]
        recorded = await talk.engine._ports.store.read_thread(copy.thread_id)
        known = {call.name: call for call in calls_in(recorded).values()}
        assert (known["one"].is_finished, known["two"].is_cancelled) == (True, True)


class Typed(BaseModel):
    messages: Annotated[list[AnyMessage], add_messages] = []


class Deltas(TypedDict):
    messages: Annotated[list[AnyMessage], DeltaChannel(delta_reducer)]


@pytest.mark.parametrize("state", [Typed, Deltas])
async def test_states_of_other_kinds_are_closed_too(state):
    script = Script(rounds=(("one", "two"),))
    async with hosting(looping(script, tool_node(script), state), script) as talk:
        await stop(talk)
        await talk.goes_on()
        assert await talk.results() == told("one tool finished", CANCELLED)
        await join(talk.engine, "t", await talk.submit(GO))
        await talk.goes_on()


# ------------------------------------------------------------------ what comes with the input


async def test_results_that_come_with_the_input_are_no_reason_to_close():
    async with talking("hand_built") as talk:
        await talk.run({"messages": [user(GO)]}, interrupt_before=["tools"])
        supplied = [result("one-1"), result("two-1"), user("more")]
        await talk.goes_on(await talk.send({"messages": supplied}))
        assert await mended(talk) == 0
        assert (await contents(talk))[2:5] == ["by hand", "by hand", "more"]


async def test_what_the_input_does_not_answer_is_closed():
    async with talking("hand_built") as talk:
        await talk.run({"messages": [user(GO)]}, interrupt_before=["tools"])
        await talk.goes_on(await talk.send({"messages": [result("two-1"), user("more")]}))
        assert (await contents(talk))[2:5] == [NEVER_STARTED, "by hand", "more"]


@pytest.mark.parametrize(("calls", "texts"), [
    (["two-1", "one-1"], ["by hand", "by hand"]),
    (["two-1"], [NEVER_STARTED, "by hand"]),
    (["one-1", "zzz"], ["by hand", NEVER_STARTED]),
])  # fmt: skip
async def test_a_result_that_comes_too_late_in_the_input_comes_to_its_call(calls, texts):
    async with talking("hand_built") as talk:
        await talk.run({"messages": [user(GO)]}, interrupt_before=["tools"])
        supplied = [user("more"), *map(result, calls)]
        await talk.goes_on(await talk.send({"messages": supplied}))
        assert (await contents(talk))[2:5] == [*texts, "more"]
        ids = [message["id"] for message in await talk.history()]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("channel", ["messages", "__root__"])
async def test_a_result_in_the_input_that_answers_nothing_is_left_out(channel):
    script = Script()
    model = ScriptedModel(script=script)

    async def talk_(state):
        is_root = isinstance(state, list)
        answer = [await model.ainvoke(state if is_root else state["messages"])]
        return answer if is_root else {"messages": answer}

    schema: Any = MessagesState if channel == "messages" else Annotated[list, add_messages]
    builder = StateGraph(schema).add_node("talk", talk_).add_edge(START, "talk")
    async with hosting(builder, script) as talk:
        for text in ("a", "b"):
            given: Any = [result("late"), user(text)]
            ended = await talk.run({"messages": given} if channel == "messages" else given)
            assert (ended.status, ended.error) == ("success", None)
        assert script.refusals == []
        assert [len(shown) for shown in script.shown] == [1, 3]
        (first, _) = await talk.events(RunAccepted)
        assert "late" in str(first)  # What was sent is in the audit.


async def test_input_that_replaces_the_history_finds_nothing_to_close():
    async with talking("hand_built") as talk:
        await stop(talk)
        removal = {"type": "remove", "content": "", "id": "__remove_all__"}
        await talk.goes_on(await talk.send({"messages": [removal, user("more")]}))
        assert await contents(talk) == ["more", "answer to more"]
        assert await mended(talk) == 0


async def test_input_that_replaces_a_message_by_its_id_counts_as_what_it_becomes():
    async with talking("hand_built") as talk:
        await talk.run({"messages": [user(GO)]}, interrupt_before=["tools"])
        (_, call) = await talk.history()
        words = {"type": "ai", "content": "never mind", "id": call["id"]}
        await talk.goes_on(await talk.send({"messages": [words, user("more")]}))
        assert await contents(talk) == [GO, "never mind", "more", "answer to more"]
        assert await mended(talk) == 0


# ------------------------------------------------------------------ rollback and crashes


async def test_a_rollback_takes_the_repair_along():
    async with talking("hand_built") as talk:
        await stop(talk)
        before = await contents(talk)
        talk.script.gates.close("model 0")
        run_id = await talk.submit("more")
        await talk.script.gates["model 0"].reached(2)
        assert CANCELLED in await contents(talk)
        await talk.engine.cancel_run("t", run_id, action="rollback")
        await quiet(talk.engine)
        assert await contents(talk) == before
        talk.script.gates.open()
        await talk.run()  # The open calls can still be carried out.
        assert await talk.results() == RESULTS
        await talk.goes_on()


class Dying(MortalStore):
    """A store whose process dies when a checkpoint of this source is about to be written for the n-th time."""

    source = "input"
    left = 0
    _died: Any = None

    def __getattr__(self, name: str) -> Any:
        real = super().__getattr__(name)
        return self._append(real) if name == "append" and not self.is_dead else real

    def _append(self, real: Any) -> Any:
        async def append(append: Append) -> Any:
            for event in append.events:
                if isinstance(event, CheckpointRecorded) and event.source == self.source:
                    self.left -= 1
                    if self.left == 0:
                        self.is_dead = True
                        self._died.set()
            return await (self._never() if self.is_dead else real(append))

        return append


@pytest.mark.parametrize(
    ("source", "count", "written"), [("update", 1, 0), ("update", 2, 1), ("input", 1, 2)]
)
async def test_a_crash_between_the_repair_and_the_input_repairs_once_and_loses_nothing(
    source, count, written
):
    database, script = Database(), Script()
    tasks, stores = MortalTasks(), []

    def dying(store: EventStore) -> Any:
        stores.append(Dying(store))
        return stores[0]

    engine = database.engine(registry("prebuilt", script), tasks=tasks, store=dying)
    await engine.start()
    talk = Talk("prebuilt", engine, script)
    await stop(talk)
    (store,) = stores
    store.source, store.left, store._died = source, count, asyncio.Event()
    run_id = await talk.send({"messages": [user("more")]}, durability="sync")
    await soon(store._died.wait())
    await store.kill()
    await tasks.kill()
    async with database.engine(registry("prebuilt", script)) as engine:
        talk = Talk("prebuilt", engine, script)
        await talk.goes_on(run_id)
        assert await contents(talk) == [
            GO, "round 0", RESULTS["one"], CANCELLED, "more", "answer to more",
        ]  # fmt: skip
        assert await mended(talk) == (2 if written != 1 else 3)


async def test_a_fenced_attempt_starts_no_tools():
    script = Script(rounds=(("one",),))
    (one, *_) = tools_of(script)
    raised: list[Exception] = []

    async def tools(state):
        with contextlib.suppress(asyncio.CancelledError):
            await script.gates["tools"].pass_()
        try:
            await one.ainvoke(_calls(state)[0])
        except StaleAttemptError as error:
            raised.append(error)
            raise

    async with hosting(looping(script, tools), script) as talk:
        script.gates.close("tools")
        await talk.send({"messages": [user(GO)]})
        await script.gates["tools"].reached()
        await talk.goes_on(await talk.submit("more", "interrupt"))
        assert script.done == []
        assert len(raised) == 1
        assert await talk.results() == {"one": NOT_REPORTED}


async def test_what_a_fenced_attempt_finishes_is_not_heard_of():
    script = Script(rounds=(("one",),))

    @tool
    async def one() -> str:
        """Go on although it was told to stop."""
        with contextlib.suppress(asyncio.CancelledError):
            await script.gates["tool one"].pass_()
        script.done.append("one")
        return "too late"

    async with hosting(looping(script, ToolNode([one])), script) as talk:
        script.gates.close("tool one")
        await talk.send({"messages": [user(GO)]})
        await script.gates["tool one"].reached()
        run_id = await talk.submit("more", "interrupt")
        await join(talk.engine, "t", run_id)
        assert script.done == ["one"]
        await talk.goes_on(run_id)
        assert await talk.results() == {"one": CANCELLED}


# ------------------------------------------------------------------ what is recorded


async def test_a_snapshot_knows_what_the_log_knows_of_calls():
    async with talking("hand_built") as talk:
        await stop(talk)
        thread = await talk.thread()
        stored = orjson.loads(orjson.dumps(to_snapshot(thread)))
        assert from_snapshot(stored).state.calls == thread.state.calls
        assert {call.is_cancelled for call in thread.state.calls.values()} == {True, False}


async def test_an_erased_rollback_leaves_no_result():
    async with talking("hand_built", retention="erase") as talk:
        await talk.go_to("one tool finished")
        await talk.goes_on(await talk.submit("more", "rollback"))
        await quiet(talk.engine)
        calls = await talk.events(ToolCallRecorded)
        assert {call.status for call in calls} == {"started", "finished"}
        assert all(call.result is None and not call.items for call in calls)
        assert RESULTS["one"] not in str(await talk.engine.queries.log("t"))


async def test_what_a_tool_gives_may_be_nothing_that_can_be_stored():
    @tool(response_format="content_and_artifact")
    async def one() -> tuple[str, Any]:
        """Give something odd beside the text."""
        return "the text", object()

    @tool
    async def two() -> str:
        """Wait."""
        return await script.use("two")

    script = Script(rounds=(("one", "two"),))
    async with hosting(looping(script, ToolNode([one, two])), script) as talk:
        script.gates.close("tool two")
        run_id = await talk.send({"messages": [user(GO)]})
        await script.gates["tool two"].reached()
        await quiet(talk.engine)
        await talk.engine.cancel_run("t", run_id)
        await talk.goes_on()
        assert await talk.results() == {"one": "the text", "two": CANCELLED}


def test_a_configuration_switches_it_off(tmp_path):
    (tmp_path / "switched.py").write_text("def agent(state): return state\n")
    config = tmp_path / "langgraph.json"

    def load(**entry: Any) -> Any:
        entry["path"] = "./switched.py:agent"
        config.write_text(json.dumps({"graphs": {"agent": entry}}))
        return load_graphs(config).runner("agent")

    assert load()._closes_tool_calls
    assert not load(closes_tool_calls=False)._closes_tool_calls
    assert not load(closes_tool_calls=False).renamed("other")._closes_tool_calls
    with pytest.raises(ConfigurationError, match="closes_tool_calls: expected true"):
        load(closes_tool_calls="no")
