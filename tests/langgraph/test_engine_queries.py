"""States of LangGraph threads by the engine: told by the graph, or by the log alone where the graph is not at hand."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel
from typing_extensions import TypedDict

from tests.support.engine import Database, Gates, join, soon
from tests.support.langgraph_agents import Log, agents
from threadfold import Engine
from threadfold.app.checkpoint_logs import BufferedLog, LogMovedError
from threadfold.app.http.objects import state_object, thread_object
from threadfold.app.http.responses import encoded
from threadfold.app.views import StateView, ThreadView
from threadfold.domain.commands import HideCheckpoints, RecordCheckpoint
from threadfold.domain.errors import (
    CheckpointNotFoundError,
    ContentionError,
    ErasedError,
    GraphNotFoundError,
    InvalidInputError,
    StaleAttemptError,
    ThreadBusyError,
    ThreadNotFoundError,
)
from threadfold.domain.events import CheckpointRecorded, WritesRecorded
from threadfold.infrastructure.graphs.registry import GraphRegistry


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "log.db")


async def run(engine: Engine, graph: str = "asking", given: Any = None, **kwargs: Any) -> Any:
    """Run a graph on the thread `t`, and return how it ended."""
    view = await engine.submit_run("t", graph, input=given, if_not_exists="create", kwargs=kwargs)
    return await join(engine, "t", view.row.run_id)


def wire(view: StateView) -> dict[str, Any]:
    """Return a state as clients get it."""
    return orjson.loads(encoded(state_object(view)))


def thread_wire(view: ThreadView) -> dict[str, Any]:
    """Return a thread as clients get it."""
    return orjson.loads(encoded(thread_object(view)))


def only(graph: Any, name: str = "agent", **options: Any) -> GraphRegistry:
    registry = GraphRegistry()
    registry.add_graph(name, graph, **options)
    return registry


def counter() -> StateGraph:
    async def count(state: Log) -> Log:
        return {"log": [len(state["log"])]}

    return StateGraph(Log).add_node(count).add_edge(START, "count")


def without(content: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in names}


# ------------------------------------------------------------------ told by the log alone


async def test_an_engine_without_the_graph_shows_what_the_log_says(database: Database) -> None:
    async with database.engine(agents(Gates())) as engine:
        await run(engine, given={"log": ["in"]})
        told = await engine.queries.get_state("t")
        history = await engine.queries.history("t", limit=100)
        thread = await engine.get_thread("t")
    async with database.engine() as engine:
        logged = await engine.queries.get_state("t")
        assert logged.told is None
        assert told.told is not None
        assert logged.values == told.values == {"log": ["in", "first"], "last": "first"}
        assert logged.next == told.next == ("ask",)
        seen, known = wire(logged), wire(told)
        # Paths, subgraphs and results are what the graph alone knows.
        assert without(seen, "tasks") == without(known, "tasks")
        assert [task["id"] for task in seen["tasks"]] == [task["id"] for task in known["tasks"]]
        assert seen["tasks"][0]["interrupts"] == known["tasks"][0]["interrupts"]
        assert thread_wire(await engine.get_thread("t")) == thread_wire(thread)

        older = await engine.queries.history("t", limit=100)
        assert [view.state.checkpoint_id for view in older] == [
            view.state.checkpoint_id for view in history
        ]
        assert [wire(view)["metadata"] for view in older] == [
            wire(view)["metadata"] for view in history
        ]
        assert [list(view.next) for view in older] == [list(view.next) for view in history]
        by_id = await engine.queries.get_state("t", history[1].state.checkpoint_id)
        assert by_id.values == history[1].values == {"log": ["in"]}
        inputs = await engine.queries.history("t", metadata={"source": "input"})
        assert [view.own_metadata["step"] for view in inputs] == [-1]
        assert len(await engine.queries.history("t", limit=2)) == 2
        (oldest,) = await engine.queries.history("t", before=history[1].state.checkpoint_id)
        assert oldest.state.checkpoint_id == history[2].state.checkpoint_id
        for unknown in ({"checkpoint_id": "x"}, {"checkpoint_ns": "x:1"}):
            with pytest.raises(CheckpointNotFoundError):
                await engine.queries.get_state("t", checkpoint=unknown)
        with pytest.raises(CheckpointNotFoundError):
            await engine.queries.history("t", before="x")
        with pytest.raises(GraphNotFoundError):
            await engine.update_state("t", {"log": ["x"]})
        copy = await engine.copy_thread("t")
    async with database.engine(agents(Gates())) as engine:
        view = await engine.submit_run(
            copy.thread_id, "asking", kwargs={"command": {"resume": "late"}}
        )
        result = await join(engine, copy.thread_id, view.row.run_id)
        assert result.values["log"][2:] == ["answer late", "last"]


async def test_subgraphs_are_shown_by_the_log_too(database: Database) -> None:
    async with database.engine(agents(Gates())) as engine:
        await run(engine, "nested", {"log": ["in"]})
        (task,) = (await engine.queries.get_state("t", subgraphs=True)).told.tasks
    async with database.engine() as engine:
        ns = task.state.config["checkpoint_ns"]
        view = await engine.queries.get_state("t", checkpoint={"checkpoint_ns": ns})
        assert view.values == task.state.values
        assert view.state.checkpoint_id == task.state.config["checkpoint_id"]
        found = await engine.queries.history("t", checkpoint={"checkpoint_ns": ns})
        assert [list(view.next) for view in found] == [["ask"], ["think"], ["__start__"]]


class Point(BaseModel):
    x: int = 0


async def test_a_class_that_is_not_known_any_more_is_shown_as_json(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    class Shapes(TypedDict, total=False):
        shapes: list[Any]

    def graph(*shapes: Any) -> StateGraph:
        async def draw(state: Shapes) -> Shapes:
            return {"shapes": [*shapes]}

        async def wait(state: Shapes) -> Shapes:
            return {}

        return StateGraph(Shapes).add_sequence([draw, wait]).add_edge(START, "draw")

    async with database.engine(only(graph(Point(x=7)), types=[Point])) as engine:
        await run(engine, "agent", {"shapes": []}, interrupt_before=["wait"])
        told = await engine.queries.get_state("t")
        assert told.values == {"shapes": [{"x": 7}]}
    async with database.engine(only(graph())) as engine:
        with caplog.at_level(logging.WARNING):
            logged = await engine.queries.get_state("t")
        assert logged.told is None
        assert (logged.values, list(logged.next)) == (told.values, ["wait"])
        assert "Point" in caplog.text


async def test_a_factory_that_raises_hides_no_state(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    is_broken = False

    def make() -> StateGraph:
        if is_broken:
            message = "no key"
            raise ValueError(message)
        return counter()

    async with database.engine(only(make)) as engine:
        await run(engine, "agent", {"log": ["in"]}, interrupt_before=["count"])
        is_broken = True
        state = await engine.queries.get_state("t")
        assert (state.values, state.next) == ({"log": ["in"]}, ("count",))
        assert len(await engine.queries.history("t")) == 2
        assert "no key" in caplog.text


# ------------------------------------------------------------------ told by the graph


async def test_a_turn_that_ended_well_is_told_by_the_log_as_the_graph_would_tell_it(
    database: Database,
) -> None:
    async with database.engine(agents(Gates())) as engine:
        await run(engine, given={"log": ["in"]})
        await run(engine, command={"resume": "bob"})
        current = await engine.queries.get_state("t")
        assert current.told is None
        by_id = await engine.queries.get_state("t", current.state.checkpoint_id)
        assert by_id.told is not None
        assert wire(current) == wire(by_id)


async def test_history_reaches_behind_what_the_fold_keeps(database: Database) -> None:
    async with database.engine(only(counter())) as engine:
        for _ in range(60):
            await run(engine, "agent", {"log": ["in"]})
        thread = await engine._executor.load("t")
        assert not thread.state.saved.is_complete
        history = await engine.queries.history("t", limit=1000)
        assert len(history) == 180
        assert [len(view.values["log"]) for view in history[::3]] == [*range(120, 0, -2)]
        oldest = history[-1]
        by_id = await engine.queries.get_state("t", oldest.state.checkpoint_id)
        assert wire(by_id) == wire(oldest)
        rest = await engine.queries.history("t", before=history[-3].state.checkpoint_id)
        assert [view.state.checkpoint_id for view in rest] == [
            view.state.checkpoint_id for view in history[-2:]
        ]
        copy = await engine.copy_thread("t")
        copied = await engine.queries.history(copy.thread_id, limit=1000)
        assert [view.values for view in copied] == [view.values for view in history]
        again = await run(engine, "agent", None, checkpoint_id=history[-2].state.checkpoint_id)
        assert again.values == {"log": ["in", 1]}
    async with database.engine() as engine:
        logged = await engine.queries.history("t", limit=1000)
        assert len(logged) == 182
        (found,) = [
            view for view in logged if view.state.checkpoint_id == oldest.state.checkpoint_id
        ]
        assert found.values == {}


async def test_a_state_can_be_read_at_every_version(database: Database) -> None:
    async with database.engine(agents(Gates())) as engine:
        await run(engine, given={"log": ["in"]})
        seen = [
            (await engine.queries.get_state_at("t", recorded.version)).values
            for recorded in await engine.queries.log("t")
        ]
        assert seen[-1] == {"log": ["in", "first"], "last": "first"}
        assert {"log": ["in"]} in seen


async def test_a_state_inside_an_erased_span_says_that_it_is_erased(database: Database) -> None:
    gates = Gates()
    gates.close("last")
    async with database.engine(agents(gates), retention="erase") as engine:
        await run(engine, given={"log": ["in"]})
        view = await engine.submit_run(
            "t", "asking", kwargs={"command": {"resume": "x"}, "durability": "sync"}
        )
        await gates["last"].reached()
        inside = (await engine.queries.get_state("t")).state
        assert inside.checkpoint is not None
        await engine.cancel_run("t", view.row.run_id, action="rollback")
        await soon(engine._ports.store.erase_pending())
        gates.open()
    async with database.engine(agents(gates)) as engine:
        with pytest.raises(ErasedError):
            await engine.queries.get_state_at("t", inside.checkpoint.version)
        with pytest.raises(CheckpointNotFoundError):
            await engine.queries.get_state("t", inside.checkpoint_id)
        state = await engine.queries.get_state("t")
        assert (state.values["log"], list(state.next)) == (["in", "first"], ["ask"])
        assert (await run(engine, command={"resume": "y"})).values["log"][2] == "answer y"


async def test_nothing_is_told_of_a_thread_that_is_not_there(database: Database) -> None:
    async with database.engine(agents(Gates())) as engine:
        for asked in (
            engine.queries.get_state("t"),
            engine.queries.history("t"),
            engine.update_state("t", {}),
            engine.copy_thread("t"),
        ):
            with pytest.raises(ThreadNotFoundError):
                await asked


# ------------------------------------------------------------------ changes


async def test_an_update_is_one_append(database: Database) -> None:
    async with database.engine(agents(Gates())) as engine:
        await run(engine, given={"log": ["in"]})
        before = len(await engine.queries.log("t"))
        view = await engine.update_state("t", {"log": ["x"]}, as_node="first")
        events = (await engine.queries.log("t"))[before:]
        assert {type(recorded.event) for recorded in events} == {WritesRecorded, CheckpointRecorded}
        assert len({recorded.recorded_at for recorded in events}) == 1
        assert view.values == {"log": ["in", "first", "x"], "last": "first"}


async def test_updates_by_two_processes_at_once_both_count(database: Database) -> None:
    async with (
        database.engine(agents(Gates())) as one,
        database.engine(agents(Gates()), worker_slots=0) as other,
    ):
        await run(one, given={"log": ["in"]})
        updates = [
            engine.update_state("t", {"log": [f"{name}{number}"]}, as_node="first")
            for number in range(5)
            for name, engine in (("a", one), ("b", other))
        ]
        await soon(asyncio.gather(*updates))
        log = (await one.queries.get_state("t")).values["log"]
        assert sorted(log[2:]) == sorted(f"{name}{number}" for name in "ab" for number in range(5))
        history = await other.queries.history("t", limit=100)
        parents = [view.saved.parent_id for view in history]
        assert parents == [*(view.state.checkpoint_id for view in history[1:]), None]


async def test_a_run_in_flight_keeps_others_from_changing_the_state(database: Database) -> None:
    gates = Gates()
    gates.close("first")
    async with database.engine(agents(gates)) as engine:
        await engine.submit_run("t", "asking", input={"log": []}, if_not_exists="create")
        await gates["first"].reached()
        with pytest.raises(ThreadBusyError):
            await engine.update_state("t", {"log": ["x"]})
        gates.open()


async def test_options_are_checked_at_the_engines_door_too(database: Database) -> None:
    async with database.engine(agents(Gates())) as engine:
        for kwargs in (
            {"command": 7},
            {"command": {"goto": "nowhere"}},
            {"interrupt_before": "ask"},
            {"durability": "maybe"},
            {"checkpoint_during": "no"},
            {"stream_mode": ["nonsense"]},
            {"stream_subgraphs": 1},
            {"checkpoint_id": 7},
        ):
            with pytest.raises(InvalidInputError, match=next(iter(kwargs))):
                await run(engine, given=None, **kwargs)
        with pytest.raises(ThreadNotFoundError):
            await engine.get_thread("t")


# ------------------------------------------------------------------ the log that keeps to itself


async def buffered(engine: Engine) -> BufferedLog:
    thread = await engine._executor.load("t")
    return BufferedLog("t", thread, engine._executor, engine._wholes)


def patched(head: Any, checkpoint_id: str) -> RecordCheckpoint:
    return RecordCheckpoint(
        thread_id="t", run_id=None, attempt=0, ns="", checkpoint_id=checkpoint_id,
        parent_id=head.checkpoint_id, source="update", step=head.step + 1, changes={},
        kept=frozenset(head.channels), versions=head.versions, seen=head.seen, updated=(),
        ts=str(head.ts), format=4, extra={}, metadata={},
    )  # fmt: skip


async def test_what_is_recorded_is_seen_through_its_own_door_alone_until_it_is_committed(
    database: Database,
) -> None:
    async with database.engine(only(counter())) as engine:
        for _ in range(50):
            await run(engine, "agent", {"log": ["in"]})
        log = await buffered(engine)
        head = (await log.thread("t")).state.saved.heads[""]
        await log.record("t", [patched(head, "c1")])
        for shown in (await log.thread("t"), await log.whole("t"), log.peek("t")):
            assert shown.state.checkpoint_id == "c1"
        assert len((await log.whole("t")).state.saved.recent) == 151
        assert (await log.events("t"))[-1].event.checkpoint_id == "c1"
        stored = await engine.queries.log("t")
        assert len(await log.events("t")) == len(stored) + 1
        assert (await engine.queries.get_state("t")).state.checkpoint_id == head.checkpoint_id

        await run(engine, "agent", {"log": ["in"]})
        assert (await log.thread("t")).state.checkpoint_id == "c1"
        assert len((await log.whole("t")).state.saved.recent) == 151
        with pytest.raises(LogMovedError):
            await log.commit()

        log = await buffered(engine)
        await log.commit()
        head = (await log.thread("t")).state.saved.heads[""]
        await log.record("t", [patched(head, "c2")])
        await log.commit()
        assert (await engine.queries.get_state("t")).state.checkpoint_id == "c2"


async def test_what_is_refused_is_refused_at_once_and_as_a_whole(database: Database) -> None:
    async with database.engine(only(counter())) as engine:
        await run(engine, "agent", {"log": ["in"]})
        log = await buffered(engine)
        head = (await log.thread("t")).state.saved.heads[""]
        both = [HideCheckpoints(thread_id="t", keep="none"), _of_run(patched(head, "c1"))]
        with pytest.raises(StaleAttemptError):
            await log.record("t", both)
        assert (await log.thread("t")).state.checkpoint_id == head.checkpoint_id
        await log.record("other", [patched_first()])
        assert (await log.thread("other")).state.checkpoint_id == "first"
        assert (await log.whole("other")).state.checkpoint_id == "first"
        assert log.peek("other") is not None
        assert len(await log.events("other")) == 2


def _of_run(command: RecordCheckpoint) -> RecordCheckpoint:
    return replace(command, run_id="nobody", attempt=1)


def patched_first() -> RecordCheckpoint:
    return RecordCheckpoint(
        thread_id="other", run_id=None, attempt=0, ns="", checkpoint_id="first", parent_id=None,
        source="update", step=-1, changes={}, kept=frozenset(), versions={}, seen={}, updated=(),
        ts="", format=4, extra={}, metadata={},
    )  # fmt: skip


async def test_an_update_that_others_always_get_ahead_of_is_given_up(database: Database) -> None:
    class Others:
        """Somebody in another process who writes to the thread whenever this one is about to."""

        engine: Engine | None = None

        async def write(self) -> None:
            if self.engine is not None:
                await self.engine.patch_thread("t", {"seen": await self.count()})

        async def count(self) -> int:
            assert self.engine is not None
            return len(await self.engine.queries.log("t"))

    others = Others()

    async def first(state: Log) -> Log:
        return {"log": ["first"]}

    async def onwards(state: Log) -> str:
        await others.write()
        return END

    graph = StateGraph(Log).add_node(first).add_edge(START, "first")
    graph.add_conditional_edges("first", onwards, [END])
    async with (
        database.engine(only(graph), contention_seconds=0.2) as engine,
        database.engine(worker_slots=0) as other,
    ):
        await run(engine, "agent", {"log": []})
        others.engine = other
        with pytest.raises(ContentionError):
            await engine.update_state("t", {"log": ["x"]}, as_node="first")
        others.engine = None
        view = await engine.update_state("t", {"log": ["y"]}, as_node="first")
        assert view.values["log"] == ["first", "y"]


async def test_a_copy_of_a_long_thread_is_made_beside_the_others_work(database: Database) -> None:
    async with database.engine(only(counter())) as engine:
        for _ in range(130):
            await run(engine, "agent", {"log": ["in"]})
        copy = await engine.copy_thread("t")
        whole = await engine.queries.history("t", limit=1000)
        copied = await engine.queries.history(copy.thread_id, limit=1000)
        assert len(whole) == 390
        assert [without(wire(view), *OF_THE_THREAD) for view in copied] == [
            without(wire(view), *OF_THE_THREAD) for view in whole
        ]


OF_THE_THREAD = ("metadata", "checkpoint", "parent_checkpoint")
"""Fields of a state that name its thread."""
