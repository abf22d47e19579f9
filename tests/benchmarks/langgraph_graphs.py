"""Graphs and talks that the benchmarks of the LangGraph saver have in common: ours and its peers run exactly the same ones.

Texts are random words of their own, so that no text stands in a database because another one does. Messages carry no ids of
their own, as people write them: LangGraph gives them out when it first sees a message.
"""

from __future__ import annotations

import operator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from random import Random
from string import ascii_lowercase
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import orjson
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import _messages_delta_reducer, add_messages

import threadfold
from threadfold.app.http.objects import state_object
from threadfold.app.http.responses import encoded
from threadfold.domain.errors import ThreadNotFoundError

from .building import settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

TEXT_BYTES = 500
WORDS = 4096
WORD_MIN = 2


class Talking(TypedDict):
    """A conversation, as nearly every graph keeps it."""

    messages: Annotated[list[BaseMessage], add_messages]


class TalkingInDeltas(TypedDict):
    """The same with LangGraph's own remedy for long conversations, which the graph's author has to ask for."""

    messages: Annotated[list[BaseMessage], DeltaChannel(_messages_delta_reducer)]


class Counting(TypedDict):
    """Hardly anything: what is timed is not the state but the step."""

    progress: Annotated[int, operator.add]


# ------------------------------------------------------------------ savers


@dataclass(frozen=True)
class Saver:
    """A way to keep checkpoints. `opened` gives it on a database, or with no database, in memory."""

    name: str
    opened: Callable[[Path], AbstractAsyncContextManager[Any]]
    durability: str = "async"
    has_deltas: bool = False


class Forgetful(BaseCheckpointSaver[int]):
    """A saver that saves nothing: what a graph pays for having a saver at all, whichever it is."""

    def get_next_version(self, current: int | None, channel: None) -> int:
        del channel
        return (current or 0) + 1

    def get_tuple(self, config: Any) -> None:
        del config

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        del metadata, new_versions
        named = config["configurable"]
        place = {name: named[name] for name in ("thread_id", "checkpoint_ns")}
        return {"configurable": {**place, "checkpoint_id": checkpoint["id"]}}

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        del config, writes, task_id, task_path

    async def aget_tuple(self, config: Any) -> None:
        self.get_tuple(config)

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: Any, writes: Any, task_id: str, task_path: str = ""
    ) -> None:
        self.put_writes(config, writes, task_id, task_path)


@asynccontextmanager
async def _nowhere(path: Path) -> AsyncIterator[Any]:
    del path
    yield Forgetful()


@asynccontextmanager
async def _ours_in_memory(path: Path) -> AsyncIterator[Any]:
    del path
    async with threadfold.ThreadfoldSaver("memory://") as saver:
        yield saver


@asynccontextmanager
async def _ours_on_sqlite(path: Path) -> AsyncIterator[Any]:
    async with threadfold.ThreadfoldSaver(f"sqlite:///{path}") as saver:
        yield saver


@asynccontextmanager
async def _hosted_in_memory(path: Path) -> AsyncIterator[Any]:
    del path
    async with threadfold.Engine("memory://") as engine:
        yield engine


@asynccontextmanager
async def _hosted_on_sqlite(path: Path) -> AsyncIterator[Any]:
    async with threadfold.Engine(f"sqlite:///{path}") as engine:
        yield engine
        await settled(engine)


@asynccontextmanager
async def _in_memory(path: Path) -> AsyncIterator[Any]:
    del path
    yield InMemorySaver()


@asynccontextmanager
async def _on_sqlite(path: Path) -> AsyncIterator[Any]:
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        yield saver


@asynccontextmanager
async def _on_sqlite_sync(path: Path) -> AsyncIterator[Any]:
    with SqliteSaver.from_conn_string(str(path)) as saver:
        yield saver


FORGETFUL = Saver("saver that saves nothing", _nowhere)
OURS_MEMORY = Saver("ours, memory", _ours_in_memory)
OURS = Saver("ours, SQLite", _ours_on_sqlite)
OURS_EXIT = Saver("ours, SQLite, exit", _ours_on_sqlite, durability="exit")
HOSTED_MEMORY = Saver("our engine, memory", _hosted_in_memory)
HOSTED = Saver("our engine, SQLite", _hosted_on_sqlite)
HOSTED_EXIT = Saver("our engine, SQLite, exit", _hosted_on_sqlite, durability="exit")
IN_MEMORY = Saver("InMemorySaver", _in_memory)
SQLITE = Saver("AsyncSqliteSaver", _on_sqlite)
SQLITE_SYNC = Saver("SqliteSaver", _on_sqlite_sync)
SQLITE_DELTAS = Saver(
    "AsyncSqliteSaver, DeltaChannel, exit", _on_sqlite, durability="exit", has_deltas=True
)


def file(path: Path, saver: Saver, what: str = "") -> Path:
    """Return where a saver keeps its database."""
    letters = "".join(letter if letter.isalnum() else "-" for letter in f"{what} {saver.name}")
    return path / f"{letters.strip('-')}.db"


# ------------------------------------------------------------------ texts


@cache
def _words() -> Sequence[str]:
    random = Random(WORDS)  # noqa: S311 - text, not secrets
    return [
        "".join(random.choices(ascii_lowercase, k=random.randint(WORD_MIN, 9)))
        for _ in range(WORDS)
    ]


class Texts:
    """Fresh texts of exactly so many bytes, the same ones in each run."""

    def __init__(self, seed: int = 0, size: int = TEXT_BYTES) -> None:
        self._random = Random(seed)  # noqa: S311 - text, not secrets
        self._size = size

    def text(self) -> str:
        """Return words, the last one cut off."""
        count = self._size // (WORD_MIN + 1) + 1
        return " ".join(self._random.choices(_words(), k=count))[: self._size]

    def asked(self) -> dict[str, list[BaseMessage]]:
        """Return what a person asks next, as the input of a turn."""
        return {"messages": [HumanMessage(self.text())]}


def messages_bytes(messages: Sequence[Any]) -> int:
    """Return how many bytes the messages are as JSON, as a server shows them."""
    return len(orjson.dumps(list(map(_shown, messages))))


def _shown(message: Any) -> Any:
    return message.model_dump(mode="json") if isinstance(message, BaseMessage) else message


# ------------------------------------------------------------------ graphs


def talking(saver: Any, texts: Texts, *, has_deltas: bool = False) -> Any:
    """Give a graph of one node, which answers with a fresh text."""
    return _compiled(_talking(texts, has_deltas=has_deltas), saver)


def consulting(saver: Any, texts: Texts, *, has_deltas: bool = False) -> Any:
    """Give the same with a subgraph that gets the whole conversation at each turn, and answers."""
    builder: Any = StateGraph(TalkingInDeltas if has_deltas else Talking)
    builder.add_node("expert", _talking(texts, has_deltas=has_deltas).compile())
    builder.add_edge(START, "expert")
    return _compiled(builder, saver)


def _talking(texts: Texts, *, has_deltas: bool) -> Any:
    async def answer(state: Any) -> dict[str, Any]:
        del state
        return {"messages": [AIMessage(texts.text())]}

    builder: Any = StateGraph(TalkingInDeltas if has_deltas else Talking)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    return builder


def counting(saver: Any, steps: int, *, is_async: bool = True) -> Any:
    """Give a chain of nodes that take no time."""

    async def step_async(state: Any) -> dict[str, int]:
        del state
        return {"progress": 1}

    def step(state: Any) -> dict[str, int]:
        del state
        return {"progress": 1}

    builder: Any = StateGraph(Counting)
    last = START
    for number in range(steps):
        name = f"step{number}"
        builder.add_node(name, step_async if is_async else step)
        builder.add_edge(last, name)
        last = name
    return _compiled(builder, saver)


def _compiled(builder: Any, saver: Any) -> Any:
    if isinstance(saver, threadfold.Engine):
        return Hosted(saver, builder.compile())
    return builder.compile(checkpointer=saver)


class Hosted:
    """A graph that an engine runs, called like a compiled graph."""

    def __init__(self, engine: threadfold.Engine, graph: Any) -> None:
        self._engine = engine
        self._graph_id = f"graph{len(engine.graphs.graph_ids)}"
        engine.add_graph(self._graph_id, graph)

    async def ainvoke(self, asked: Any, config: Any, *, durability: str = "async") -> Any:
        """Have a run, and return the values that it ends with."""
        named = dict(config["configurable"])
        thread_id = named.pop("thread_id")
        options: dict[str, Any] = {"durability": durability}
        if named:
            options["checkpoint"] = named
        given = {name: _typed(value) for name, value in asked.items()}
        run = await self._engine.submit_run(
            thread_id, self._graph_id, input=given, kwargs=options, if_not_exists="create"
        )
        result = await self._engine.join_run(thread_id, run.row.run_id)
        assert result.error is None
        return _Values(result)

    async def aget_state(self, config: Any) -> Any:
        """Return the newest state as JSON, and its config; None for a thread that is not there."""
        thread_id = config["configurable"]["thread_id"]
        try:
            state = await self._engine.queries.get_state(thread_id)
        except ThreadNotFoundError:
            return None
        assert state.checkpoint is not None
        named = {"thread_id": thread_id, "checkpoint_id": state.checkpoint.checkpoint_id}
        body = encoded(state_object(state))
        return SimpleNamespace(body=body, config={"configurable": named})

    async def aget_state_history(self, config: Any, *, limit: int) -> AsyncIterator[Any]:
        """Yield the newest states, made ready to be written as JSON."""
        thread_id = config["configurable"]["thread_id"]
        for state in await self._engine.queries.history(thread_id, limit=limit):
            yield state_object(state)


@dataclass(frozen=True)
class _Values:
    """What a run ends with. It is made readable when somebody reads it, which takes longer than a turn."""

    result: Any

    def __getitem__(self, name: str) -> Any:
        return self.result.values[name]


def _typed(value: Any) -> Any:
    """Return messages as clients send them."""
    if not isinstance(value, list):
        return value
    return [{"role": "user", "content": message.content} for message in value]


# ------------------------------------------------------------------ talks


def thread(thread_id: str) -> Any:
    """Return the config of a call on a thread."""
    return {"configurable": {"thread_id": thread_id}}


class Talk:
    """A person's turns with a graph, one after the other; each `forks_each`-th one from some turns back."""

    def __init__(self, texts: Texts, *, forks_each: int = 0) -> None:
        self._texts = texts
        self._forks_each = forks_each
        self._place: Any = None
        self._turn_bytes = 0
        self.turns = 0

    @property
    def messages_bytes(self) -> int:
        """How many bytes all messages are as JSON: those of a turn are as many in each."""
        return self.turns * self._turn_bytes

    async def take(self, graph: Any, config: Any, durability: str) -> Any:
        """Have the next turn; return what it ends with."""
        at = self.turns % self._forks_each if self._forks_each else -1
        is_fork = self._forks_each > 0 and at == self._forks_each - 1
        place = self._place if is_fork else config
        result = await graph.ainvoke(self._texts.asked(), place, durability=durability)
        self.turns += 1
        if not self._turn_bytes:
            self._turn_bytes = messages_bytes(result["messages"])
        # From one to four turns back, another number at each fork.
        back = 1 + self.turns // self._forks_each % 4 if self._forks_each else 0
        if back and at == self._forks_each - 2 - back:
            self._place = (await graph.aget_state(config)).config
        return result
