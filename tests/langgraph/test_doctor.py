"""The doctor finds threads that a provider would refuse, and mends them by appending; what waits for somebody is left alone."""

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage, convert_to_messages
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from typer.testing import CliRunner

from tests.langgraph.test_closing import Deltas, calling, contents, result, stop, user
from tests.support.engine import Database, Gates, heard, join, quiet, said
from tests.support.scripted_agents import (
    GO,
    Script,
    Talk,
    hand_built,
    hosting,
    looping,
    refusal,
    registry,
    talking,
    told,
    tool_node,
)
from threadfold import ThreadfoldSaver
from threadfold.app.checkpoint_logs import DirectLog
from threadfold.app.cli import app
from threadfold.app.engine import Engine
from threadfold.domain.commands import RecordWrites
from threadfold.domain.errors import (
    ContentionError,
    InvalidInputError,
    ThreadBusyError,
    ThreadNotFoundError,
)
from threadfold.domain.events import CheckpointRecorded, StateUpdated
from threadfold.domain.tool_calls import CANCELLED, NOT_REPORTED, STOPPED
from threadfold.infrastructure.graphs.registry import GraphRegistry
from threadfold.infrastructure.langgraph.saver import CheckpointSaver


async def kinds(engine: Engine, **options: Any) -> list[tuple[str, str]]:
    found = await engine.doctor.examine("t", **options)
    return [(finding.kind, finding.severity) for finding in found.findings]


@asynccontextmanager
async def left_open(point: str = "one tool finished", kind: str = "hand_built"):
    """Enter with a thread on which a run was cancelled in its tools."""
    async with talking(kind) as talk:
        await stop(talk, point)
        yield talk


# ------------------------------------------------------------------ what is found


async def test_a_sound_thread_has_nothing():
    async with talking("prebuilt") as talk:
        await talk.goes_on()
        assert await kinds(talk.engine) == []
        version = (await talk.thread()).version
        assert not (await talk.engine.doctor.repair("t")).is_broken
        assert (await talk.thread()).version == version


async def test_a_thread_that_is_not_there_is_none():
    async with talking("prebuilt") as talk:
        for ask in (talk.engine.doctor.examine, talk.engine.doctor.repair):
            with pytest.raises(ThreadNotFoundError):
                await ask("nobody")


async def test_calls_that_were_cut_off_are_broken():
    async with left_open("no tool finished") as talk:
        found = await talk.engine.doctor.examine("t")
        assert found.is_broken
        assert [(f.kind, f.place) for f in found.findings] == [("open_call", "messages")] * 2
        assert "one-1 of one" in found.findings[0].what
        assert CANCELLED in found.findings[0].what


async def test_a_subgraph_with_a_history_of_its_own_is_looked_at_too():
    async with left_open(kind="remembering") as talk:
        found = await talk.engine.doctor.examine("t")
        assert {f.place for f in found.findings} == {"agent: messages"}
        assert not (await talk.engine.doctor.repair("t")).is_broken
        await talk.goes_on()


async def test_calls_of_a_run_at_work_wait():
    async with talking("prebuilt") as talk:
        run_id = await talk.go_to("no tool finished")
        assert set(await kinds(talk.engine)) == {("open_call", "waiting")}
        with pytest.raises(ThreadBusyError):
            await talk.engine.doctor.repair("t")
        talk.script.gates.open()
        await join(talk.engine, "t", run_id)
        assert await kinds(talk.engine) == []


@pytest.mark.parametrize("stops", [{"interrupt_before": ["tools"]}, {}])
async def test_a_question_and_a_breakpoint_wait_and_are_left_alone(stops):
    script = Script(rounds=(("one",),))

    async def tools(state):
        call = state["messages"][-1].tool_calls[0]
        answer = "no question" if stops else interrupt("sure?")
        return {"messages": [ToolMessage(answer, tool_call_id=call["id"], name="one")]}

    async with hosting(looping(script, tools), script) as talk:
        await talk.run({"messages": [user(GO)]}, **stops)
        assert await kinds(talk.engine) == [("open_call", "waiting")]
        version = (await talk.thread()).version
        await talk.engine.doctor.repair("t", talk.engine.graphs.runner("agent"))
        assert (await talk.thread()).version == version
        ended = await (talk.run() if stops else talk.run(command={"resume": "yes"}))
        assert ended.status == "success"
        assert await kinds(talk.engine) == []


@pytest.mark.parametrize(("given", "severities"), [
    ([calling("one", "two"), result("one-a")], ["waiting"]),
    ([result("zzz")], ["broken"]),
    ([calling("one"), user("b")], ["broken"]),
])  # fmt: skip
async def test_only_calls_at_the_end_can_wait(given, severities):
    engine = Database().engine()
    gates = Gates()
    gates.close("agent")

    @engine.graph("agent", closes_tool_calls=False)
    async def agent(state):
        yield {"messages": given}
        await gates["agent"].pass_()

    async with engine:
        view = await engine.submit_run("t", "agent", input={}, if_not_exists="create")
        await gates["agent"].reached()
        await quiet(engine)
        assert [severity for _, severity in await kinds(engine)] == severities
        gates.open()
        await join(engine, "t", view.row.run_id)


class Meddling:
    """A graph that somebody writes beside, so many times."""

    nodes = None

    def __init__(self, engine: Engine, times: int) -> None:
        self.engine, self.times = engine, times

    async def close_tool_calls(self, *_: Any) -> None:
        if self.times:
            self.times -= 1
            await self.engine.patch_thread("t", {"left": self.times})


async def test_a_write_beside_it_has_the_doctor_look_again():
    async with left_open() as talk:
        graph: Any = Meddling(talk.engine, 2)
        assert not (await talk.engine.doctor.repair("t", graph)).is_broken
        assert graph.times == 0
        await talk.goes_on()


async def test_a_thread_that_never_stands_still_is_given_up():
    async with talking("hand_built", contention_seconds=1e-6) as talk:
        await stop(talk)
        graph: Any = Meddling(talk.engine, 1000)
        with pytest.raises(ContentionError):
            await talk.engine.doctor.repair("t", graph)


async def test_strays_and_results_in_the_wrong_place_are_found():
    async with talking("hand_built") as talk:
        await talk.run({"messages": [user("hi")]})
        wrong = [calling("one", "two"), result("one-a"), user("b"), result("two-a"), result("zzz")]
        await talk.engine.update_state("t", {"messages": wrong}, as_node="talk")
        assert sorted(await kinds(talk.engine)) == [
            ("late_result", "broken"), ("stray_result", "broken"),
        ]  # fmt: skip
        assert not (await talk.engine.doctor.repair("t")).is_broken
        assert (await contents(talk))[2:] == ["", "by hand", "by hand", "b"]
        await talk.goes_on()


async def test_a_node_that_the_graph_does_not_have_any_more_is_found_and_dropped(tmp_path):
    database, script = Database(tmp_path / "log.db"), Script()
    async with database.engine(registry("hand_built", script)) as engine:
        await Talk("any", engine, script).run({"messages": [user("a")]}, interrupt_before=["talk"])
    graphs = GraphRegistry()

    async def other(state: MessagesState):
        return {"messages": [AIMessage("other")]}

    builder = StateGraph(MessagesState).add_node(other).add_edge(START, "other")
    runner = graphs.add_graph("agent", builder)
    async with database.engine(graphs) as engine:
        assert await kinds(engine) == []
        assert await kinds(engine, graph=runner) == [("unknown_node", "broken")]
        assert not (await engine.doctor.repair("t", runner)).is_broken
        talk = Talk("any", engine, script)
        assert (await talk.thread()).state.next == ()
        assert heard((await talk.run({"messages": [user("b")]})).values) == ["a", "b", "other"]


async def test_writes_that_wait_on_nothing_are_harmless():
    async with talking("prebuilt") as talk:
        await talk.goes_on()
        write = RecordWrites(
            thread_id="t", run_id=None, attempt=0, by_run_id=None, ns="", checkpoint_id="gone",
            task_id="task", task_path="", writes=((0, "messages", None),),
        )  # fmt: skip
        await talk.engine._executor.execute("t", write)
        assert await kinds(talk.engine) == [("lost_writes", "harmless")]
        assert not (await talk.engine.doctor.examine("t")).is_broken


# ------------------------------------------------------------------ how it is mended


@pytest.mark.parametrize("has_graph", [True, False])
@pytest.mark.parametrize("kind", ["prebuilt", "hand_built", "nested", "remembering"])
@pytest.mark.parametrize("point", ["no tool finished", "one tool finished", "all tools finished"])
async def test_a_mended_thread_is_sound_and_goes_on(kind, point, has_graph):
    async with left_open(point, kind) as talk:
        graph = talk.engine.graphs.runner("agent") if has_graph else None
        before = await talk.engine.queries.log("t")
        assert not (await talk.engine.doctor.repair("t", graph)).is_broken
        log = await talk.engine.queries.log("t")
        assert log[: len(before)] == before
        new = [each.event for each in log[len(before) :]]
        assert all(isinstance(each, CheckpointRecorded) and each.run_id is None for each in new)
        # What has finished leads on, and so does a subgraph that was mended; the tools stand open no more.
        assert set((await talk.thread()).state.next) <= {"agent", "model"}
        assert refusal(convert_to_messages(await talk.history())) is None
        await talk.goes_on()
        assert await talk.results() == told(point, CANCELLED)


@pytest.mark.parametrize("kind", ["prebuilt", "hand_built", "remembering"])
async def test_a_mended_thread_does_not_carry_out_what_was_closed(kind):
    async with left_open("no tool finished", kind) as talk:
        await talk.engine.doctor.repair("t")
        done = len(talk.script.done)
        await talk.run()
        assert len(talk.script.done) == done


async def test_what_was_broken_elsewhere_is_mended(tmp_path):
    path = tmp_path / "log.db"
    calls = [{"id": "one-a", "name": "one", "args": {}}]
    wrong = {"messages": [HumanMessage("a"), AIMessage("", tool_calls=calls)]}
    config: Any = {"configurable": {"thread_id": "t"}}
    graph = hand_built(Script())
    async with ThreadfoldSaver(f"sqlite:///{path}") as saver:
        await graph.compile(checkpointer=saver).aupdate_state(config, wrong, as_node="talk")
    async with Database(path).engine() as engine:
        assert await kinds(engine) == [("open_call", "broken")]
        await engine.doctor.repair("t")
    async with ThreadfoldSaver(f"sqlite:///{path}") as saver:
        state = await graph.compile(checkpointer=saver).aget_state(config)
        assert refusal(state.values["messages"]) is None
        assert state.values["messages"][-1].content == NOT_REPORTED
        assert state.next == ()


async def test_an_imported_thread_goes_on_with_versions_of_its_own_kind():
    script = Script()
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t"}}
    other = hand_built(script).compile(checkpointer=saver, interrupt_before=["tools"])
    await other.ainvoke({"messages": [HumanMessage(GO)]}, config)
    (found,) = [each for each in saver.list(config) if each.metadata.get("step") == 1]
    async with talking("hand_built") as talk:
        runner: Any = talk.engine.graphs.runner("agent")
        log = DirectLog(talk.engine._executor, talk.engine._wholes)
        own = CheckpointSaver(log, runner._codec)
        named: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        await own.aput(named, found.checkpoint, found.metadata, {})
        assert await kinds(talk.engine) == [("open_call", "broken")] * 2
        await talk.engine.doctor.repair("t")
        head = (await talk.thread()).state.saved.latest("")
        assert head is not None
        assert {type(version) for version in head.versions.values()} == {str}
        assert max(head.versions.values()) == head.versions["messages"]
        await talk.goes_on()


@pytest.mark.parametrize("update", [{"count": 7}, {"messages": [AIMessage("7")]}])
async def test_what_only_the_graph_can_take_over_is_refused_without_it(update):
    script = Script(rounds=(("one", "two"),))

    class Counting(MessagesState):
        count: int

    async def count(state):
        return update

    builder = looping(script, tool_node(script), Counting)
    builder.add_node(count).add_edge("talk", "count")
    async with hosting(builder, script) as talk:
        await stop(talk, "no tool finished")
        with pytest.raises(InvalidInputError, match=next(iter(update))):
            await talk.engine.doctor.repair("t")
        await talk.engine.doctor.repair("t", talk.engine.graphs.runner("agent"))
        assert "7" in str((await talk.thread()).values())
        await talk.goes_on()


async def test_a_channel_that_keeps_only_what_was_written_is_mended_by_its_graph():
    script = Script(rounds=(("one",),))
    async with hosting(looping(script, tool_node(script), Deltas), script) as talk:
        await talk.run({"messages": [user(GO)]}, interrupt_before=["tools"])
        await talk.engine.update_state("t", {"messages": [user("b")]}, as_node="talk")
        runner: Any = talk.engine.graphs.runner("agent")
        assert not (await talk.engine.doctor.repair("t", runner)).is_broken
        await talk.goes_on()


async def test_a_thread_of_a_function_is_mended_too():
    engine = Database().engine()
    gates = Gates()

    @engine.graph("agent", closes_tool_calls=False)
    async def agent(state):
        await gates["agent"].pass_()
        return {"messages": [calling("one"), user("b"), result("zzz")]}

    async with engine:
        view = await engine.submit_run("t", "agent", input=said("a"), if_not_exists="create")
        await engine.join_run("t", view.row.run_id)
        assert await kinds(engine) == [("open_call", "broken"), ("stray_result", "broken")]
        assert not (await engine.doctor.repair("t")).is_broken
        thread = await engine.get_thread("t")
        assert heard(thread.values) == ["a", "", STOPPED, "b"]
        events = [each.event for each in await engine.queries.log("t")]
        assert isinstance(events[-1], StateUpdated)
        view = await engine.submit_run("t", "agent", input=said("c"))
        assert (await engine.join_run("t", view.row.run_id)).status == "success"


# ------------------------------------------------------------------ the command

AGENT = """
from langgraph.graph import START, MessagesState, StateGraph

def talk(state: MessagesState):
    return {"messages": ["hello"]}

agent = StateGraph(MessagesState).add_node(talk).add_edge(START, "talk")
"""


def run(store: str, *options: str, thread: str = "t") -> Any:
    command = ["doctor", thread, "--store", store, *options]
    return CliRunner().invoke(app, command, env={"COLUMNS": "200", "NO_COLOR": "1"})


@pytest.fixture
def store(tmp_path: Path) -> str:
    async def leave_open() -> None:
        script = Script()
        database = Database(tmp_path / "log.db")
        async with database.engine(registry("hand_built", script)) as engine:
            await stop(Talk("hand_built", engine, script))

    asyncio.run(leave_open())
    return f"sqlite:///{tmp_path / 'log.db'}"


def test_the_command_says_what_is_broken_and_mends_it(store):
    found = run(store)
    assert found.exit_code == 1
    assert "broken" in found.stdout
    assert "two-1 of two" in found.stdout
    assert "--repair" in found.stderr
    mended = run(store, "--repair")
    assert mended.exit_code == 0
    assert "Mended at version" in mended.stdout
    again = run(store)
    assert (again.exit_code, again.stdout.strip()) == (0, "Thread t is sound.")


def test_the_command_speaks_json(store):
    told = json.loads(run(store, "--json").stdout)
    assert (told["thread_id"], told["is_broken"], told["is_mended"]) == ("t", True, False)
    assert {each["kind"] for each in told["findings"]} == {"open_call"}
    told = json.loads(run(store, "--json", "--repair").stdout)
    assert (told["is_broken"], told["is_mended"]) == (False, True)


def test_the_command_takes_the_graph_from_a_configuration(store, tmp_path):
    (tmp_path / "agent_of_doctor.py").write_text(AGENT)
    config = tmp_path / "langgraph.json"
    config.write_text(json.dumps({"graphs": {"other": "./agent_of_doctor.py:agent"}}))
    found = run(store, "--config", str(config))
    assert "node" not in found.stdout  # The graph that ran on the thread is not in there.
    config.write_text(json.dumps({"graphs": {"agent": "./agent_of_doctor.py:agent"}}))
    assert "the node tools" in run(store, "--config", str(config)).stdout
    config.write_text(json.dumps({"graphs": {"other": "./agent_of_doctor.py:agent"}}))
    found = run(store, "--config", str(config), "--graph", "other")
    assert "the node tools, which its graph does not have" in found.stdout
    assert run(store, "--config", str(config), "--graph", "other", "--repair").exit_code == 0
    assert run(store, "--config", str(config), "--graph", "nobody").exit_code == 1


def test_the_command_knows_only_threads_that_are_there(store):
    found = run(store, thread="nobody")
    assert found.exit_code == 1
    assert "nobody" in found.stderr
