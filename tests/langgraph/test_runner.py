"""LangGraph graphs run in the engine as they do by themselves, and double texting, crashes and rollbacks do them no harm."""

import asyncio
import operator
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import RunControl, Runtime
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from tests.support.engine import (
    Database,
    Gates,
    Mortal,
    MortalStore,
    MortalTasks,
    heard,
    join,
    soon,
    status_of,
    until,
)
from threadfold.app.checkpoint_logs import DirectLog
from threadfold.app.engine import Engine
from threadfold.app.views import RunResult
from threadfold.domain.errors import (
    InvalidInputError,
    NothingToResumeError,
    ThreadBusyError,
    UnknownNodeError,
)
from threadfold.domain.events import RunSucceeded
from threadfold.domain.ports import Append, EventStore
from threadfold.domain.thread import Thread
from threadfold.infrastructure.graphs.registry import GraphRegistry
from threadfold.infrastructure.langgraph.stopping import until_stopped


class Log(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    last: str


# ------------------------------------------------------------------ what the tests work with


@pytest.fixture(params=["memory", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return Database(None if request.param == "memory" else tmp_path / "log.db")


def registry(graph, graph_id="agent", **options) -> GraphRegistry:
    graphs = GraphRegistry()
    graphs.add_graph(graph_id, graph, **options)
    return graphs


@dataclass
class Host:
    """An engine with one graph, and one thread to run it on."""

    engine: Engine
    parts: list[tuple[str, Any]] = field(default_factory=list)

    async def submit(self, given: Any = None, strategy: Any = "enqueue", **kwargs: Any) -> str:
        view = await self.engine.submit_run(
            "t", "agent", input=given, multitask_strategy=strategy, kwargs=kwargs,
            if_not_exists="create",
        )  # fmt: skip
        return view.row.run_id

    async def run(self, given: Any = None, **kwargs: Any) -> RunResult:
        return await join(self.engine, "t", await self.submit(given, **kwargs))

    async def resume(self, answer: Any, **kwargs: Any) -> RunResult:
        return await self.run(command={"resume": answer}, **kwargs)

    @property
    def runner(self) -> Any:
        return self.engine.graphs.runner("agent")

    @property
    def log(self) -> DirectLog:
        return DirectLog(self.engine._executor, self.engine._wholes)

    async def status(self, run_id: str) -> str:
        return await status_of(self.engine, "t", run_id)

    async def thread(self) -> Any:
        return await self.engine._executor.load("t")

    async def values(self) -> Any:
        return (await self.engine.queries.get_state("t")).values

    async def next(self) -> tuple[str, ...]:
        return (await self.thread()).state.next

    async def questions(self) -> list[Any]:
        tasks = (await self.thread()).state.tasks
        return [each["value"] for task in tasks for each in task.interrupts]


@asynccontextmanager
async def hosting(database: Database, graph: Any, **options: Any):
    async with database.engine(registry(graph, **options)) as engine:
        yield Host(engine)


def chain(*nodes, state=Log):
    builder = StateGraph(state)
    builder.add_sequence(nodes)
    builder.add_edge(START, nodes[0].__name__)
    return builder


def step(name, gates: Gates | None = None):
    """Return a node that logs its name, once its gate is open."""

    async def node(state):
        if gates is not None:
            await gates[name].pass_()
        return {"log": [name]}

    node.__name__ = name
    return node


async def ask(state):
    first = interrupt("first?")
    second = interrupt("second?")
    return {"log": [f"{first},{second}"]}


# ------------------------------------------------------------------ turns


async def test_a_turn_runs_the_graph_on_what_the_thread_holds(database):
    async def talk(state: MessagesState):
        return {"messages": [AIMessage(f"answer {len(state['messages'])}")]}

    async with hosting(database, chain(talk, state=MessagesState)) as host:
        await host.run({"messages": [{"role": "user", "content": "one"}]})
        result = await host.run({"messages": [["user", "two"]]})
        assert result.status == "success"
        assert heard(result.values) == ["one", "answer 1", "two", "answer 3"]
        messages = result.values["messages"]
        assert [message["type"] for message in messages] == ["human", "ai"] * 2
        assert all(message["id"] for message in messages)
        assert await host.next() == ()


async def test_messages_have_their_ids_from_acceptance_on(database):
    gates = Gates()
    gates.close("talk")
    async with hosting(database, chain(step("talk", gates), state=MessagesState)) as host:
        run_id = await host.submit({"messages": "hi"})
        await gates["talk"].reached()
        accepted = (await host.thread()).runs[run_id].accepted
        assert accepted.is_typed
        gates.open()
        result = await join(host.engine, "t", run_id)
        (message,) = result.values["messages"]
        assert message["id"] in str(await host.engine.queries.get_run("t", run_id))


async def test_a_state_that_was_left_is_there_after_a_restart(tmp_path):
    database = Database(tmp_path / "log.db")
    async with hosting(database, chain(step("one"))) as host:
        await host.run({"log": ["a"]})
    async with hosting(database, chain(step("one"))) as host:
        assert (await host.run({"log": ["b"]})).values["log"] == ["a", "one", "b", "one"]


async def test_sync_nodes_run_beside_the_event_loop(database):
    def node(state):
        return {"last": threading.current_thread().name}

    async with hosting(database, chain(node)) as host:
        result = await host.run({"log": []})
        assert result.values["last"] != threading.current_thread().name


async def test_subgraphs_keep_their_own_checkpoints(database):
    inner = chain(step("inner_one"), step("inner_two")).compile()
    builder = StateGraph(Log).add_node("child", inner).add_node("after", step("after"))
    builder.add_edge(START, "child").add_edge("child", "after")
    async with hosting(database, builder) as host:
        result = await host.run({"log": ["in"]})
        # The subgraph gives back all that it was given, and the parent's reducer adds it.
        assert result.values["log"] == ["in", "in", "inner_one", "inner_two", "after"]


async def test_fan_out_and_sends_join_again(database):
    async def plan(state):
        return {}

    def spread(state):
        return [Send("work", {"last": str(number)}) for number in range(3)]

    async def work(state):
        return {"log": [f"did {state['last']}"]}

    builder = StateGraph(Log).add_node(plan).add_node(work).add_node("join", step("join"))
    builder.add_edge(START, "plan").add_conditional_edges("plan", spread, ["work"])
    builder.add_edge("work", "join")
    async with hosting(database, builder) as host:
        result = await host.run({"log": []})
        assert sorted(result.values["log"]) == ["did 0", "did 1", "did 2", "join"]


async def test_a_factory_makes_a_graph_for_each_run_and_closes_it_afterwards(database):
    events: list[str] = []

    @asynccontextmanager
    async def factory(config):
        events.append(config["configurable"]["model"])
        yield chain(step("one"))
        events.append("closed")

    async with hosting(database, factory) as host:
        for model in ("small", "large"):
            result = await host.run({"log": []}, config={"configurable": {"model": model}})
            assert result.status == "success"
    assert events == ["small", "closed", "large", "closed"]


async def test_messages_to_a_factorys_graph_are_typed_and_have_ids_too(database):
    seen: list[Any] = []

    def factory():
        async def node(state):
            seen.append(list(state["messages"]))
            return {}

        return chain(node, state=MessagesState)

    async with hosting(database, factory) as host:
        for _ in range(2):
            result = await host.run({"messages": [["user", "hi"]]})
        assert [len(messages) for messages in seen] == [1, 2]
        assert [message.id for message in seen[1]] == [
            message["id"] for message in result.values["messages"]
        ]
        assert all(isinstance(message, HumanMessage) and message.id for message in seen[1])


async def test_a_factory_that_fails_fails_the_run(database):
    def factory():
        raise ValueError("no model today")

    async with hosting(database, factory) as host:
        result = await host.run({"log": []})
        assert result.error is not None
        assert (result.error.error, result.error.message) == ("ValueError", "no model today")


async def test_config_and_context_reach_the_nodes(database):
    @dataclass
    class Options:
        model: str

    seen: list[Any] = []

    async def node(state, runtime: Runtime[Options], config):
        seen.append((runtime.context, config["configurable"], config["tags"]))
        return {}

    builder = StateGraph(Log, context_schema=Options).add_node(node).add_edge(START, "node")
    async with hosting(database, builder) as host:
        run_id = await host.submit({"log": []}, context={"model": "small"}, config={"tags": ["x"]})
        await join(host.engine, "t", run_id)
        ((context, configurable, tags),) = seen
        assert context == Options("small")
        assert configurable["run_id"] == run_id
        assert configurable["thread_id"] == "t"
        assert tags == ["x"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_each_durability_leaves_the_same_state(database, durability):
    async with hosting(database, chain(step("one"), step("two"))) as host:
        result = await host.run({"log": ["a"]}, durability=durability)
        assert result.values["log"] == ["a", "one", "two"]
        result = await host.run({"log": ["b"]}, durability=durability)
        assert result.values["log"] == ["a", "one", "two", "b", "one", "two"]


async def test_a_writer_reaches_the_followers_of_the_run(database):
    async def node(state):
        get_stream_writer()({"progress": 1})
        return {"log": ["done"]}

    async with hosting(database, chain(node)) as host:
        run_id = host.engine.new_run_id()
        with host.engine.follow_run("t", run_id) as follower:
            await host.engine.submit_run(
                "t", "agent", input={"log": []}, run_id=run_id, if_not_exists="create",
                kwargs={"stream_mode": ["custom", "updates"]},
            )  # fmt: skip
            parts = [part async for part in follower.parts()]
        emitted = [(part.mode, part.data) for part in parts if hasattr(part, "mode")]
        assert emitted == [("custom", {"progress": 1}), ("updates", {"node": {"log": ["done"]}})]


# ------------------------------------------------------------------ failures


async def test_a_failing_node_fails_the_run_and_a_run_without_input_tries_it_again(database):
    attempts: list[int] = []

    async def shaky(state):
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("not yet")
        return {"log": ["shaky"]}

    async with hosting(database, chain(step("one"), shaky)) as host:
        result = await host.run({"log": ["in"]})
        assert result.status == "error"
        assert result.error is not None
        assert (result.error.error, result.error.message) == ("ValueError", "not yet")
        assert result.values["log"] == ["in", "one"]
        assert await host.next() == ("shaky",)
        (task,) = (await host.thread()).state.tasks
        assert (task.name, task.error) == ("shaky", "ValueError('not yet')")
        result = await host.run()
        assert result.values["log"] == ["in", "one", "shaky"]
        assert len(attempts) == 2


async def test_the_recursion_limit_fails_the_run(database):
    async def again(state):
        return Command(update={"log": ["again"]}, goto="again")

    builder = StateGraph(Log).add_node("again", again).add_edge(START, "again")
    async with hosting(database, builder) as host:
        result = await host.run({"log": []}, config={"recursion_limit": 3})
        assert result.error is not None
        assert result.error.error == "GraphRecursionError"
        assert result.values["log"] == ["again"] * 3


async def test_input_that_does_not_fit_fails_the_run(database):
    async with hosting(database, chain(step("one"))) as host:
        result = await host.run("no object")
        assert result.status == "error"


class Known(BaseModel):
    text: str


async def test_a_class_that_nobody_registered_is_refused_by_the_name_of_its_channel(database):
    hidden = [type("Hidden", (BaseModel,), {"__module__": __name__})]

    async def one(state):
        return {"last": hidden[0]()}

    async with hosting(database, chain(one)) as host:
        result = await host.run({"log": []})
        assert result.error is not None
        assert result.error.error == "UnregisteredTypeError"
        assert "last" in result.error.message
        assert "Hidden" in result.error.message


async def test_classes_that_the_code_names_or_the_program_registers_are_stored(database):
    also = [type("Also", (BaseModel,), {"__module__": __name__})]

    async def one(state):
        return {"log": [Known(text="a"), also[0]()]}

    async def two(state):
        return {"last": type(state["log"][0]).__name__}

    async with hosting(database, chain(one, two), types=also) as host:
        result = await host.run({"log": []})
        assert result.error is None
        assert result.values["last"] == "Known"
        assert result.values["log"][0] == {"text": "a"}


# ------------------------------------------------------------------ people in the loop


async def test_a_question_waits_for_its_answer(database):
    async with hosting(database, chain(step("one"), ask)) as host:
        result = await host.run({"log": []})
        assert result.status == "success"
        assert await host.questions() == ["first?"]
        assert await host.next() == ("ask",)
        await host.resume("a")
        assert await host.questions() == ["second?"]
        result = await host.resume("b")
        assert result.values["log"] == ["one", "a,b"]
        assert await host.questions() == []


async def test_an_answer_to_nothing_is_refused(database):
    async with hosting(database, chain(step("one"))) as host:
        await host.run({"log": ["a"]})
        with pytest.raises(NothingToResumeError):
            await host.resume("late")
        assert (await host.values())["log"] == ["a", "one"]


async def test_the_second_of_two_answers_fails_when_its_turn_comes(database):
    gates = Gates()

    async def asking(state):
        answer = interrupt("sure?")
        await gates["asking"].pass_()
        return {"log": [answer]}

    async with hosting(database, chain(asking)) as host:
        await host.run({"log": []})
        await started(host, gates, "asking", None, command={"resume": "first"})
        second = await host.submit(command={"resume": "second"})
        gates.open()
        result = await join(host.engine, "t", second)
        assert result.error is not None
        assert result.error.error == "NothingToResumeError"
        assert (await host.values())["log"] == ["first"]


async def test_an_answer_may_name_its_question(database):
    async def left(state):
        return {"log": [f"left {interrupt('left?')}"]}

    async def right(state):
        return {"log": [f"right {interrupt('right?')}"]}

    builder = StateGraph(Log).add_node(left).add_node(right)
    builder.add_edge(START, "left").add_edge(START, "right")
    async with hosting(database, builder) as host:
        await host.run({"log": []})
        tasks = (await host.thread()).state.tasks
        ids = {each["value"]: each["id"] for task in tasks for each in task.interrupts}
        result = await host.resume({ids["right?"]: "now"})
        assert await host.questions() == ["left?"]
        # The answered one is done; its result shows already, although the step is not over.
        assert result.values["log"] == (await host.values())["log"] == ["right now"]
        result = await host.resume({ids["left?"]: "then"})
        assert sorted(result.values["log"]) == ["left then", "right now"]
        with pytest.raises(NothingToResumeError):
            await host.resume({ids["left?"]: "again"})


async def test_an_answer_is_not_given_to_the_next_question_as_well(database):
    async with hosting(database, chain(ask)) as host:
        await host.run({"log": []})
        await host.resume("a")
        await host.run()  # Without input: the open task runs again, and asks again.
        assert await host.questions() == ["second?"]
        assert (await host.resume("b")).values["log"] == ["a,b"]


async def test_a_command_updates_and_goes_to_a_node(database):
    builder = chain(step("one"), step("two"))
    async with hosting(database, builder) as host:
        await host.run({"log": []})
        result = await host.run(command={"update": {"log": ["by hand"]}, "goto": "two"})
        assert result.values["log"] == ["one", "two", "by hand", "two"]
        result = await host.run(command={"goto": {"node": "two", "input": {"log": ["x"]}}})
        assert result.values["log"][-1] == "two"


@pytest.mark.parametrize("stop", [{"interrupt_before": ["two"]}, {"interrupt_after": ["one"]}])
async def test_a_breakpoint_stops_the_run_and_a_run_without_input_goes_on(database, stop):
    async with hosting(database, chain(step("one"), step("two"))) as host:
        result = await host.run({"log": []}, **stop)
        assert result.status == "success"
        assert result.values["log"] == ["one"]
        assert await host.next() == ("two",)
        result = await host.run()
        assert result.values["log"] == ["one", "two"]


async def test_a_run_may_start_from_an_earlier_checkpoint(database):
    async with hosting(database, chain(step("one"), step("two"))) as host:
        await host.run({"log": ["a"]})
        saved = (await host.thread()).state.saved
        before_two = [each for each in saved.newest_first("") if each.step == 1]
        result = await host.run(checkpoint_id=before_two[0].checkpoint_id)
        assert result.values["log"] == ["a", "one", "two"]
        history = list((await host.thread()).state.saved.newest_first(""))
        assert len({each.checkpoint_id for each in history}) > 4


# ------------------------------------------------------------------ double texting


async def started(host: Host, gates: Gates, name: str, given: Any, **kwargs: Any) -> str:
    """Start a run, and return when it is in this node."""
    arrivals = gates[name].arrivals
    gates.close(name)
    run_id = await host.submit(given, **kwargs)
    await gates[name].reached(arrivals + 1)
    return run_id


def two_nodes(gates: Gates):
    return chain(step("one"), step("two", gates), step("three"))


async def test_reject_leaves_the_run_alone(database):
    gates = Gates()
    async with hosting(database, two_nodes(gates)) as host:
        first = await started(host, gates, "two", {"log": ["a"]})
        with pytest.raises(Exception, match="already running"):
            await host.submit({"log": ["b"]}, "reject")
        gates.open()
        result = await join(host.engine, "t", first)
        assert result.values["log"] == ["a", "one", "two", "three"]


async def test_enqueue_runs_on_what_the_first_left(database):
    gates = Gates()
    async with hosting(database, two_nodes(gates)) as host:
        await started(host, gates, "two", {"log": ["a"]})
        second = await host.submit({"log": ["b"]})
        gates.open()
        result = await join(host.engine, "t", second)
        assert result.values["log"] == ["a", "one", "two", "three", "b", "one", "two", "three"]


async def test_interrupt_keeps_the_finished_steps(database):
    gates = Gates()
    async with hosting(database, two_nodes(gates)) as host:
        first = await started(host, gates, "two", {"log": ["a"]})
        second = await host.submit({"log": ["b"]}, "interrupt")
        gates.open()
        result = await join(host.engine, "t", second)
        assert result.values["log"] == ["a", "one", "b", "one", "two", "three"]
        assert await host.status(first) == "interrupted"


async def test_rollback_leaves_nothing_of_the_run(database):
    gates = Gates()
    async with hosting(database, two_nodes(gates)) as host:
        await host.run({"log": ["before"]})
        base = await host.values()
        first = await started(host, gates, "two", {"log": ["a"]})
        second = await host.submit({"log": ["b"]}, "rollback")
        gates.open()
        result = await join(host.engine, "t", second)
        assert result.values["log"] == [*base["log"], "b", "one", "two", "three"]
        assert await host.status(first) == "gone"
        saved = (await host.thread()).state.saved
        assert first not in {each.run_id for each in saved.newest_first()}


async def test_a_node_that_swallows_its_cancellation_does_not_go_on_to_the_next_step(database):
    gates, ran = Gates(), []
    gates.close("two")

    async def two(state):
        try:
            await gates["two"].pass_()
        except asyncio.CancelledError:
            ran.append("swallowed")
        return {"log": ["two"]}

    async def three(state):
        ran.append("three")
        return {"log": ["three"]}

    async with hosting(database, chain(step("one"), two, three)) as host:
        first = await host.submit({"log": ["a"]})
        await gates["two"].reached()
        await host.engine.cancel_run("t", first)
        assert await host.status(first) == "interrupted"
        assert (await host.values())["log"] == ["a", "one"]
        gates.open()
        result = await host.run()  # What stood open runs again, when the old code has stopped.
        assert result.values["log"] == ["a", "one", "two", "three"]
        assert ran == ["swallowed", "three"]


async def test_code_that_is_cancelled_is_asked_to_drain_before():
    gates, ran = Gates(), []
    gates.close("one")

    async def one(state):
        try:
            await gates["one"].pass_()
        except asyncio.CancelledError:
            ran.append("swallowed")
        return {}

    async def two(state):
        ran.append("two")

    graph, control = chain(one, two).compile(), RunControl()
    running = asyncio.ensure_future(
        until_stopped(graph.ainvoke({"log": []}, control=control), control)
    )
    await gates["one"].reached()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(running)
    assert ran == ["swallowed"]


async def test_a_rolled_back_answer_leaves_the_question_and_the_next_answer_counts(database):
    gates = Gates()

    async def asking(state):
        first, second = interrupt("first?"), interrupt("second?")
        await gates["asking"].pass_()
        return {"log": [f"{first},{second}"]}

    async with hosting(database, chain(asking)) as host:
        await host.run({"log": []})
        await host.resume("a")
        gates.close("asking")
        rolled_back = await host.submit(command={"resume": "wrong"})
        await gates["asking"].reached()
        await host.engine.cancel_run("t", rolled_back, action="rollback")
        assert await host.questions() == ["second?"]
        gates.open()
        assert (await host.resume("right")).values["log"] == ["a,right"]


async def test_an_answer_that_was_interrupted_is_replaced_by_the_next_one(database):
    gates = Gates()

    async def asking(state):
        answer = interrupt("sure?")
        await gates["asking"].pass_()
        return {"log": [answer]}

    async with hosting(database, chain(asking)) as host:
        await host.run({"log": []})
        gates.close("asking")
        first = await host.submit(command={"resume": "no"})
        await gates["asking"].reached()
        second = await host.submit(None, "interrupt", command={"resume": "yes"})
        gates.open()
        assert (await join(host.engine, "t", second)).values["log"] == ["yes"]
        assert await host.status(first) == "interrupted"


# ------------------------------------------------------------------ states from outside


async def test_the_state_is_what_the_graph_itself_says_it_is(database):
    async with hosting(database, chain(step("one"), step("two"))) as host:
        await host.run({"log": ["a"]}, interrupt_before=["two"])
        state = await host.engine.queries.get_state("t")
        assert state.values == {"log": ["a", "one"]}
        runner, log = host.runner, host.log
        told = await runner.get_state(log, "t")
        assert (told.values, told.next) == ({"log": ["a", "one"]}, ("two",))
        assert told.metadata["source"] == "loop"
        assert [task.name for task in told.tasks] == ["two"]
        history = await runner.history(log, "t")
        assert [each.values.get("log") for each in history] == [["a", "one"], ["a"], []]
        earlier = await runner.get_state(log, "t", checkpoint=history[1].config)
        assert earlier.values == {"log": ["a"]}
        assert earlier.parent_config == history[2].config
        (newest,) = await runner.history(log, "t", limit=1)
        assert newest.config == told.config
        before = await runner.history(log, "t", before=told.config["checkpoint_id"])
        assert before == history[1:]
        loops = await runner.history(log, "t", filter={"source": "input"})
        assert [each.metadata["step"] for each in loops] == [-1]


async def test_an_update_from_outside_counts_as_the_nodes(database):
    async with hosting(database, chain(step("one"), step("two"))) as host:
        await host.run({"log": ["a"]})
        await host.engine.update_state("t", {"log": ["by hand"]}, as_node="one")
        assert (await host.values())["log"] == ["a", "one", "two", "by hand"]
        result = await host.run()
        assert result.values["log"] == ["a", "one", "two", "by hand", "two"]
        with pytest.raises(UnknownNodeError):
            await host.engine.update_state("t", {"log": []}, as_node="nobody")
        with pytest.raises(InvalidInputError, match="values"):
            await host.engine.update_state("t", ["no", "object"], as_node="one")


async def test_a_state_is_refused_to_outsiders_while_a_run_is_in_flight(database):
    gates = Gates()
    async with hosting(database, two_nodes(gates)) as host:
        await started(host, gates, "two", {"log": ["a"]})
        with pytest.raises(ThreadBusyError):
            await host.engine.update_state("t", {"log": ["by hand"]}, as_node="one")
        gates.open()


async def test_the_state_of_an_open_subgraph_is_told(database):
    inner = chain(step("inner_one"), ask).compile()
    builder = StateGraph(Log).add_node("child", inner).add_edge(START, "child")
    async with hosting(database, builder) as host:
        await host.run({"log": ["in"]})
        assert await host.questions() == ["first?"]
        (task,) = (await host.runner.get_state(host.log, "t")).tasks
        assert task.state is None
        assert task.checkpoint["checkpoint_ns"].startswith("child:")
        (task,) = (await host.runner.get_state(host.log, "t", subgraphs=True)).tasks
        assert task.state.values == {"log": ["in", "inner_one"]}
        assert task.state.next == ("ask",)
        await host.resume("a")
        result = await host.resume("b")
        assert result.values["log"] == ["in", "in", "inner_one", "a,b"]


async def test_a_graph_tells_its_schemas_and_its_drawing(database):
    @dataclass
    class Options:
        model: str = "small"

    inner = chain(step("deep")).compile()
    builder = StateGraph(Log, context_schema=Options).add_node("child", inner)
    builder.add_edge(START, "child")
    async with hosting(database, builder) as host:
        schemas = await host.runner.schemas()
        for schema in (schemas.input, schemas.output, schemas.state):
            assert schema is not None
            assert set(schema["properties"]) == {"log", "last"}
        assert "model" in schemas.context["properties"]
        assert "configurable" in schemas.config["properties"]
        drawn = await host.runner.drawable()
        assert [node["id"] for node in drawn["nodes"]] == ["__start__", "child", "__end__"]
        assert {"source": "__start__", "target": "child"} in drawn["edges"]
        assert "child:deep" in str(await host.runner.drawable(xray=True))
        assert list(await host.runner.subgraphs(recurse=True)) == ["child"]


# ------------------------------------------------------------------ crashes


async def crashed_and_restarted(mortal: Mortal, database: Database, graph: Any) -> Host:
    await mortal.kill()
    engine = database.engine(registry(graph))
    await engine.start()
    return Host(engine)


def has_written(thread: Thread, run_id: str) -> bool:
    slots = thread.state.saved.writes.values()
    return any(write.run_id == run_id for each in slots for write in each.values())


def has_step(thread, step):
    head = thread.state.saved.heads.get("")
    return head is not None and head.step == step


async def test_a_crashed_run_goes_on_from_its_last_checkpoint(tmp_path):
    database, gates, ran = Database(tmp_path / "log.db"), Gates(), []
    gates.close("two")

    async def one(state):
        ran.append("one")
        return {"log": ["one"]}

    async def two(state):
        ran.append("two")
        await gates["two"].pass_()
        return {"log": ["two"]}

    mortal = await database.mortal(registry(chain(one, two)))
    run_id = await Host(mortal.engine).submit({"log": ["in"]})
    await gates["two"].reached()
    await until(mortal.engine, "t", lambda thread: has_step(thread, 1))
    gates.open()
    host = await crashed_and_restarted(mortal, database, chain(one, two))
    try:
        result = await join(host.engine, "t", run_id)
        assert result.values["log"] == ["in", "one", "two"]
        assert ran == ["one", "two", "two"]
    finally:
        await host.engine.close()


@pytest.mark.parametrize("by_name", [False, True])
async def test_an_answer_is_applied_once_although_its_run_crashed(tmp_path, by_name):
    database, gates = Database(tmp_path / "log.db"), Gates()

    async def asking(state):
        first = interrupt("first?")
        await gates["asking"].pass_()
        return {"log": [f"{first},{interrupt('second?')}"]}

    mortal = await database.mortal(registry(chain(asking)))
    host = Host(mortal.engine)
    await host.run({"log": []})
    (task,) = (await host.thread()).state.tasks
    gates.close("asking")
    answer = {task.interrupts[0]["id"]: "a"} if by_name else "a"
    run_id = await host.submit(command={"resume": answer, "update": {"log": ["noted"]}})
    await gates["asking"].reached()
    await until(mortal.engine, "t", lambda thread: has_written(thread, run_id))
    gates.open()
    host = await crashed_and_restarted(mortal, database, chain(asking))
    try:
        await join(host.engine, "t", run_id)
        assert await host.questions() == ["second?"]
        assert (await host.resume("b")).values["log"] == ["noted", "a,b"]
    finally:
        await host.engine.close()


class DiesAtTheEnd(MortalStore):
    """A store whose process dies when it is about to record that a run has ended."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self.died = asyncio.Event()

    async def append(self, append: Append) -> Any:
        if any(isinstance(event, RunSucceeded) for event in append.events):
            self.is_dead = True
            self.died.set()
            await self._never()
        return await self._store.append(append)


@pytest.mark.parametrize("stop", [{"interrupt_before": ["two"]}, {"interrupt_after": "*"}, {}])
async def test_a_run_that_crashed_before_its_end_was_recorded_does_nothing_again(tmp_path, stop):
    database, ran = Database(tmp_path / "log.db"), []

    async def one(state):
        ran.append("one")
        return {"log": ["one"]}

    async def two(state):
        ran.append("two")
        return {"log": ["two"]}

    tasks, stores = MortalTasks(), []

    def dying(store: EventStore) -> Any:
        stores.append(DiesAtTheEnd(store))
        return stores[0]

    engine = database.engine(registry(chain(one, two)), tasks=tasks, store=dying)
    await engine.start()
    run_id = await Host(engine).submit({"log": []}, durability="sync", **stop)
    await soon(stores[0].died.wait())
    expected = ["one"] if stop else ["one", "two"]
    assert ran == expected
    mortal = Mortal(engine, tasks, stores[0])
    host = await crashed_and_restarted(mortal, database, chain(one, two))
    try:
        result = await join(host.engine, "t", run_id)
        assert result.status == "success"
        assert ran == result.values["log"] == expected
        assert await host.next() == (("two",) if stop else ())
    finally:
        await host.engine.close()


async def test_waiting_for_a_run_is_over_when_the_engine_closes(database):
    gates = Gates()
    async with hosting(database, two_nodes(gates)) as host:
        await started(host, gates, "two", {"log": ["a"]})
        gates.open()
        await soon(host.engine.drain())
