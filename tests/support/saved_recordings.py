"""Scenarios of recorded logs (`recordings.py`) in which checkpointers save: graphs at work, and programs beside the engine."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Literal

from threadfold.domain.changes import GraphEnd, Replace, Splice
from threadfold.domain.channels import read_values
from threadfold.domain.commands import (
    CopyThread,
    FailRun,
    HandOverRun,
    HideCheckpoints,
    RecordCheckpoint,
    RecordToolCall,
    RecordWrites,
    StartRun,
    SubmitRun,
    SucceedRun,
)
from threadfold.domain.copying import copied
from threadfold.domain.events import RunError, Task
from threadfold.domain.thread import FULL_THREAD, fold

from .driver import START, TICK, Driver
from .saved_values import SPECIAL, message

if TYPE_CHECKING:
    from datetime import datetime

    from threadfold.domain.changes import ChannelChange
    from threadfold.domain.saved import SavedCheckpoint
    from threadfold.domain.strategies import MultitaskStrategy
    from threadfold.domain.values import Json, JsonObject

UUID_EPOCH = START.replace(year=1582, month=10, day=15)
LONG = "A long text, an item of its own. " * 7
TASK = "task1"
SUB = f"tools:{TASK}"


def checkpoint_id_at(at: datetime) -> str:
    """Return a UUID of version 6, as graphs make them."""
    ticks = (at - UUID_EPOCH) // (TICK / 1000) * 10
    return str(uuid.UUID(f"{ticks >> 12:012x}6{ticks & 0xFFF:03x}8000000000000001"))


class Graph:
    """A graph that saves checkpoints in a thread, for a run's attempt or beside the engine."""

    def __init__(self, story: Driver, run_id: str | None = None, attempt: int = 0) -> None:
        self._story = story
        self._run_id = run_id
        self._attempt = attempt

    @property
    def messages(self) -> list[Json]:
        """What was said in the newest checkpoint of the graph itself."""
        saved = self._story.thread.state.saved.latest("")
        values = {} if saved is None else read_values(saved.channels, self._story.thread.items)
        said = values.get("messages")
        return said if isinstance(said, list) else []

    def put(
        self,
        changes: JsonObject,
        *,
        drops: tuple[str, ...] = (),
        ns: str = "",
        after: str | None = None,
        by: str = "agent",
        source: Literal["input", "loop", "update", "fork"] = "loop",
        by_run_id: str | None = None,
        has_texts: bool = False,
    ) -> str:
        """Save a checkpoint after the newest one (or the one named), and return its id; versions may be texts."""
        story, saved = self._story, self._story.thread.state.saved
        parent = saved.latest(ns) if after is None else saved.find(ns, after)
        is_next = parent is None or parent is saved.heads.get(ns)
        old = {} if parent is None else read_values(parent.channels, story.thread.items)
        new = {name: each for name, each in {**old, **changes}.items() if name not in drops}
        changed = changes if is_next else new
        number = _number(parent) + 1
        version = f"{number:032}.0.5" if has_texts else number
        versions = {} if parent is None else dict(parent.versions)
        seen = {} if parent is None else dict(parent.seen)
        at = story.now + TICK / 4
        checkpoint_id = checkpoint_id_at(at)
        story.execute(
            RecordCheckpoint(
                thread_id="t1",
                run_id=self._run_id,
                attempt=self._attempt,
                ns=ns,
                checkpoint_id=checkpoint_id,
                parent_id=parent and parent.checkpoint_id,
                source=source,
                step=-1 if parent is None else parent.step + 1,
                changes={
                    name: _change(old.get(name) if is_next else None, value)
                    for name, value in changed.items()
                },
                kept=frozenset(new) - changed.keys(),
                versions={**versions, **dict.fromkeys((*changes, *drops), version)},
                seen={**seen, by: versions},
                updated=tuple(sorted(changes)),
                ts=(at + TICK / 8).isoformat(),
                format=4,
                extra={},
                metadata=self._metadata(ns, by_run_id),
            )
        )
        return checkpoint_id

    def write(self, *writes: tuple[str, Json], ns: str = "", by_run_id: str | None = None) -> None:
        """Save what a task wrote after the newest checkpoint."""
        newest = self._story.thread.state.saved.latest(ns)
        self._story.execute(
            RecordWrites(
                thread_id="t1",
                run_id=self._run_id,
                attempt=self._attempt,
                by_run_id=by_run_id,
                ns=ns,
                checkpoint_id="" if newest is None else newest.checkpoint_id,
                task_id=TASK,
                task_path="~__pregel_pull, tools",
                writes=tuple(
                    (SPECIAL.get(channel, place), channel, value)
                    for place, (channel, value) in enumerate(writes)
                ),
            )
        )

    def call(self, status: Literal["started", "finished", "failed"], result: Json = None) -> None:
        """Say what became of the tool call."""
        self._story.execute(
            RecordToolCall(
                thread_id="t1",
                run_id=self._run_id or "",
                attempt=self._attempt,
                call_id="call0",
                name="book",
                task=SUB,
                status=status,
                result=result,
            )
        )

    def succeed(self, end: GraphEnd) -> None:
        """Come to the end, and say what stands then."""
        run_id = self._run_id or ""
        succeed = SucceedRun(thread_id="t1", run_id=run_id, attempt=self._attempt, end=end)
        self._story.execute(succeed)

    def _metadata(self, ns: str, by_run_id: str | None) -> JsonObject:
        root = self._story.thread.state.saved.latest("")
        parents: JsonObject = {"": root.checkpoint_id} if ns and root is not None else {}
        named: JsonObject = {} if by_run_id is None else {"run_id": by_run_id}
        return {"parents": parents, **named}


def _number(checkpoint: SavedCheckpoint | None) -> int:
    versions = () if checkpoint is None else checkpoint.versions.values()
    return max((int(str(version).split(".")[0]) for version in versions), default=0)


def _change(old: Json, new: Json) -> ChannelChange:
    if isinstance(old, list) and isinstance(new, list) and new[: len(old)] == old:
        return Splice(len(old), 0, new[len(old) :])
    return Replace(new)


# ------------------------------------------------------------------ scenarios


def ask(
    story: Driver, run_id: str, content: str, strategy: MultitaskStrategy = "enqueue"
) -> JsonObject:
    """Send an input in typed form, and return it."""
    given: JsonObject = {"messages": [message(f"{run_id}-in", content, "human")]}
    story.execute(
        SubmitRun(
            thread_id="t1",
            run_id=run_id,
            assistant_id="fe096781-5601-53d2-b2f6-0d3403f7e9ca",
            graph_id="agent",
            input=given,
            multitask_strategy=strategy,
            if_not_exists="create",
            is_typed=True,
        )
    )
    return given


def begin(story: Driver, run_id: str, attempt: int = 1) -> Graph:
    """Start an attempt."""
    story.execute(
        StartRun(thread_id="t1", run_id=run_id, attempt=attempt, holder="p1", now=story.now)
    )
    return Graph(story, run_id, attempt)


def until_it_asks(story: Driver) -> None:
    """Let a run's graph call a tool, in a subgraph, that stops with a question."""
    given = ask(story, "r1", "book a flight to Rome")
    graph = begin(story, "r1")
    graph.put({"__start__": given}, source="input", by="__input__")
    graph.put({**given, "branch:to:agent": None}, drops=("__start__",), by="__start__")
    booking = message(
        "ai1", "Rome?", tool_calls=[{"id": "call0", "name": "book", "args": {"n": 1}}]
    )
    graph.write(("messages", [booking]), ("document", LONG))
    said = [*graph.messages, booking]
    graph.put(
        {"messages": said, "document": LONG, "notes": {"a": 1, "b": {"c": True}}},
        drops=("branch:to:agent",),
    )
    graph.call("started")
    graph.put({"messages": said, "docs": ["short"]}, ns=SUB, source="input")
    graph.put({"done": 1.0}, ns=SUB)
    question: Json = [{"$": ["interrupt", {"ask": booking}, "i1"]}]
    graph.write(("__interrupt__", question), ns=SUB)
    graph.write(("__interrupt__", question))
    stops = Task(id=TASK, name="tools", interrupts=({"id": "i1", "value": {"ask": "sure?"}},))
    graph.succeed(GraphEnd(next=("tools",), tasks=(stops,)))


def checkpoints_of_a_graph(story: Driver) -> None:
    """A tool that asks, and is answered in the next run: checkpoints of two namespaces share their messages and texts."""
    until_it_asks(story)
    ask(story, "r2", "yes")
    graph = begin(story, "r2")
    graph.write(("__resume__", [True]))
    booked = message("tool1", "Booked: Rome", "tool", tool_call_id="call0")
    graph.call("finished", booked)
    said = [*graph.messages, booked]
    graph.put({"messages": said, "notes": {"a": True, "b": {"c": True}}}, by="tools")
    kept: JsonObject = {"messages": said, "document": LONG, "sum": {"of": said, "n": 2**63}}
    graph.succeed(GraphEnd(values=kept))


def checkpoints_rolled_back(story: Driver) -> None:
    """A run answers in place of the question, fails a tool call and goes on; a second message rolls all of that back."""
    until_it_asks(story)
    ask(story, "r2", "no")
    graph = begin(story, "r2")
    graph.write(("__interrupt__", [{"$": ["interrupt", "once more?", "i2"]}]))
    graph.write(("__resume__", [False]))
    graph.call("failed", message("tool1", "Refused", "tool", tool_call_id="call0"))
    graph.put({"messages": [*graph.messages, message("ai2", "Not booked")]}, by="tools")
    given = ask(story, "r3", "to Oslo", "rollback")
    graph = begin(story, "r3")
    graph.put({"__start__": given}, source="input", by="__input__")
    said = [*graph.messages, *_messages(given), message("ai2", "Oslo it is")]
    graph.put({"messages": said}, drops=("__start__",), by="__start__")
    graph.succeed(GraphEnd(names=frozenset({"messages"})))


def checkpoints_of_three_attempts(story: Driver) -> None:
    """A lost process and a hand-over: later attempts go on from the newest checkpoint; an interrupt cancels the tool call."""
    given = ask(story, "r1", "work hard")
    begin(story, "r1")  # Lost before it saved anything.
    graph = begin(story, "r1", 2)
    graph.put({**given, "branch:to:tools": None}, source="input", by="__start__")
    graph.call("started")
    graph.write(("messages", [message("ai1", "half done")]))
    story.execute(HandOverRun(thread_id="t1", run_id="r1", attempt=2))
    graph = begin(story, "r1", 3)
    graph.write(("__scheduled__", None), ("__error__", {"$": ["error", "builtins:OSError", "no"]}))
    ask(story, "r2", "stop", "interrupt")
    graph = begin(story, "r2")
    graph.put({"messages": [*graph.messages, message("ai2", "Stopped")]}, source="input")
    error = RunError(error="OSError", message="no")
    end = GraphEnd(next=("tools",))
    story.execute(FailRun(thread_id="t1", run_id="r2", attempt=1, error=error, end=end))


def checkpoints_without_the_engine(story: Driver) -> None:
    """A checkpointer alone: forks, versions that are texts, and checkpoints that are taken out of sight in every way."""
    graph = Graph(story)
    first = graph.put(
        {"messages": [message("m0", "hello")], "doc": LONG}, source="input", by_run_id="g1"
    )
    graph.write(("messages", [message("m1", "one")]), ("n", 2), by_run_id="g1")
    graph.put({"messages": [*graph.messages, message("m1", "one")], "n": 2}, by_run_id="g2")
    graph.put({"n": 1.0}, after=first, source="fork", by_run_id="g3")
    graph.put({"n": True}, by_run_id="g3", has_texts=True)
    graph.put({"inner": {"said": [message("m0", "hello")], "doc": LONG}}, ns="kept", by_run_id="g2")
    story.execute(HideCheckpoints(thread_id="t1", run_ids=("g2", "g1")))
    graph.put({"n": None}, by_run_id="g4", has_texts=True)
    story.execute(HideCheckpoints(thread_id="t1", keep="latest"))
    graph.write(("n", 5), by_run_id="g5")
    story.execute(HideCheckpoints(thread_id="t1", keep="none"))
    graph.put({"messages": [message("m0", "hello")]}, source="input", by_run_id="g6")


def checkpoints_in_a_copy(story: Driver) -> None:
    """A copy has the checkpoints and the writes of its source, and goes on by itself."""
    source = Driver()
    checkpoints_without_the_engine(source)
    standing = fold(source.log, FULL_THREAD)
    for command in copied(standing, source.log, "t1"):
        assert not callable(command)
        story.execute(command)
    story.execute(
        CopyThread(
            thread_id="t1", source_thread_id="t0", source=source.thread, has_checkpoints=True
        )
    )
    given = ask(story, "r1", "and now?")
    graph = begin(story, "r1")
    said = [*graph.messages, *_messages(given)]
    graph.put({"messages": said}, source="input", by="__start__")
    graph.succeed(GraphEnd())


def _messages(given: JsonObject) -> list[Any]:
    messages = given["messages"]
    return messages if isinstance(messages, list) else []


SAVED_SCENARIOS = (
    checkpoints_of_a_graph,
    checkpoints_rolled_back,
    checkpoints_of_three_attempts,
    checkpoints_without_the_engine,
    checkpoints_in_a_copy,
)
