"""What tests of the engine work with: databases to open it on, gates for agents, a clock that stands still."""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from threadfold.app.bootstrap import Ports
from threadfold.app.engine import Engine
from threadfold.app.hub import Committed
from threadfold.app.settings import Settings
from threadfold.domain.changes import Splice
from threadfold.domain.errors import RunNotFoundError
from threadfold.domain.graph_ports import StepWrite
from threadfold.domain.ports import Lease
from threadfold.infrastructure.graphs.functions import FunctionGraph
from threadfold.infrastructure.graphs.registry import GraphRegistry
from threadfold.infrastructure.log.memory import MemoryHolding, MemoryLog
from threadfold.infrastructure.log.opening import open_store
from threadfold.infrastructure.log.sqlite import SQLiteSettings
from threadfold.infrastructure.log.store import LogStore
from threadfold.infrastructure.work.system import (
    AsyncioTask,
    AsyncioTasks,
    SystemClock,
    SystemIds,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from pathlib import Path

    from threadfold.app.hub import Notice
    from threadfold.app.views import RunResult, RunView
    from threadfold.domain.graph_ports import RunContext
    from threadfold.domain.ports import Clock, EventStore, Ids, Tasks
    from threadfold.domain.strategies import MultitaskStrategy
    from threadfold.domain.thread import Thread
    from threadfold.domain.values import Json

PATIENCE_SECONDS = 30.0
"""How long a test waits for what must happen; reached only by a test that fails."""


# ------------------------------------------------------------------ databases


@dataclass
class Database:
    """A place for a log, on which engines are opened: one after the other, or several at once."""

    path: Path | None = None
    log: MemoryLog = field(default_factory=MemoryLog)
    opened: int = 0
    prefix: str = ""
    """Of the names of holders; several processes on one file need one each."""

    @property
    def kind(self) -> str:
        return "memory" if self.path is None else "sqlite"

    def store(self, settings: Settings | None = None, **options: Any) -> LogStore:
        """Return a store on this log, as a process of its own would have it."""
        settings = settings or Settings()
        self.opened += 1
        holder = f"{self.prefix}process-{self.opened}"
        if self.path is None:
            return counted(LogStore(self.log, MemoryHolding(self.log, holder)))
        return counted(
            open_store(
                f"sqlite:///{self.path}",
                holder=holder,
                lease_seconds=settings.lease_seconds,
                sqlite=SQLiteSettings(
                    synchronous=settings.synchronous, poll_seconds=settings.poll_seconds
                ),
                group_max=settings.group_commit_max,
                **options,
            )
        )

    def engine(
        self,
        registry: GraphRegistry | None = None,
        *,
        clock: Clock | None = None,
        ids: Ids | None = None,
        tasks: Tasks | None = None,
        store: Callable[[EventStore], EventStore] | None = None,
        crash_point: Callable[[str], None] | None = None,
        **settings: Any,
    ) -> Engine:
        """Return an engine that is not started yet. `store` may wrap the store that it gets."""
        chosen = settings_for_tests(**settings)
        opened = self.store(chosen, **({"crash_point": crash_point} if crash_point else {}))
        ports = Ports(
            store=opened if store is None else store(opened),
            clock=clock or SystemClock(),
            ids=ids or SystemIds(),
            tasks=tasks or AsyncioTasks(),
            holder=opened.holder,
        )
        return Engine(ports, settings=chosen, registry=registry)

    async def mortal(self, registry: GraphRegistry | None = None, **settings: Any) -> Mortal:
        """Return an engine that has started, and can be killed."""
        tasks, stores = MortalTasks(), list[MortalStore]()

        def mortal(store: EventStore) -> EventStore:
            stores.append(MortalStore(store))
            return cast("EventStore", stores[0])

        engine = self.engine(registry, tasks=tasks, store=mortal, **settings)
        await engine.start()
        return Mortal(engine, tasks, stores[0])


@dataclass
class Work:
    """How much a store was asked for, and how much of it is done."""

    begun: int = 0
    done: int = 0


def counted(store: LogStore) -> LogStore:
    """Return the store, which counts its work for `quiet`."""
    work = _WORK[store] = Work()

    def counting(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            work.begun += 1
            try:
                return await method(*args, **kwargs)
            finally:
                work.done += 1

        return wrapped

    for name in ("_read", "_do"):
        setattr(store, name, counting(getattr(store, name)))
    return store


_WORK: WeakKeyDictionary[LogStore, Work] = WeakKeyDictionary()


def is_idle() -> bool:
    """Say whether no store has anything left to do."""
    return all(work.begun == work.done for work in _WORK.values())


class MortalTasks(AsyncioTasks):
    """Tasks that end all together, as those of a killed process do."""

    is_dead = False

    def start(self, work: Coroutine[Any, Any, None], name: str) -> AsyncioTask:
        if self.is_dead:
            work.close()
            return super().start(asyncio.sleep(0), name)
        return super().start(work, name)

    async def kill(self) -> None:
        self.is_dead = True
        for _ in range(
            10
        ):  # Code that swallows its cancellation stays where it is, and is never heard of again.
            for task in [task for task in self._running if not task.done()]:
                task.cancel()
            await asyncio.sleep(0)


class MortalStore:
    """A store that does not answer any more once its process is dead."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self.is_dead = False

    def __getattr__(self, name: str) -> Any:
        return self._never if self.is_dead else getattr(self._store, name)

    async def _never(self, *_: object, **__: object) -> None:
        await asyncio.get_running_loop().create_future()

    async def kill(self) -> None:
        self.is_dead = True
        await self._store.close()


@dataclass
class Mortal:
    """An engine that can be killed: it stops where it is, and puts nothing in order."""

    engine: Engine
    tasks: MortalTasks
    store: MortalStore

    async def kill(self) -> None:
        await self.store.kill()
        await self.tasks.kill()


def settings_for_tests(**settings: Any) -> Settings:
    """Return settings under which nothing is slow, and nothing depends on how fast it is."""
    defaults = {"poll_seconds": 0.02, "shutdown_seconds": 0.0, "synchronous": "NORMAL"}
    return Settings(**{**defaults, **settings})


# ------------------------------------------------------------------ time


class StillClock:
    """A clock that a test moves. A sleep of no time only lets others run."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        self._elapsed = 0.0
        self._sleeping: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleeping, (self._elapsed + seconds, self._count, woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let time pass: who sleeps is woken in order, each at its time."""
        end = self._elapsed + seconds
        while self._sleeping and self._sleeping[0][0] <= end:
            at, _, woken = heapq.heappop(self._sleeping)
            self._set(at)
            if not woken.done():
                woken.set_result(None)
                await asyncio.sleep(0)
        self._set(end)
        await asyncio.sleep(0)

    def _set(self, elapsed: float) -> None:
        self._now += timedelta(seconds=elapsed - self._elapsed)
        self._elapsed = elapsed


# ------------------------------------------------------------------ gates


class Gate:
    """A place in an agent's code: closed, it holds whoever comes; a test can wait until somebody has come."""

    def __init__(self) -> None:
        self.arrivals = 0
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._arrived = asyncio.Event()

    def close(self) -> None:
        self._is_open.clear()

    def open(self) -> None:
        self._is_open.set()

    async def pass_(self) -> None:
        self.arrivals += 1
        self._arrived.set()
        await self._is_open.wait()

    async def reached(self, times: int = 1) -> None:
        while self.arrivals < times:
            self._arrived.clear()
            await soon(self._arrived.wait())


class Gates:
    """Gates by name, open unless a test closes them."""

    def __init__(self) -> None:
        self._gates: defaultdict[str, Gate] = defaultdict(Gate)

    def __getitem__(self, name: str) -> Gate:
        return self._gates[name]

    def close(self, *names: str) -> None:
        for name in names:
            self[name].close()

    def open(self, *names: str) -> None:
        for name in names or tuple(self._gates):
            self[name].open()


# ------------------------------------------------------------------ agents


def said(*texts: str, role: str = "human") -> dict[str, list[dict[str, str]]]:
    """Return an input or an update of messages."""
    return {"messages": [{"role": role, "content": text} for text in texts]}


def heard(values: Mapping[str, Json] | None) -> list[str]:
    """Return the texts of all messages."""
    messages = cast("list[dict[str, str]]", (values or {}).get("messages", []))
    return [message["content"] for message in messages]


def humans(values: Mapping[str, Json] | None) -> list[str]:
    """Return the texts of the messages that callers sent."""
    messages = cast("list[dict[str, str]]", (values or {}).get("messages", []))
    return [message["content"] for message in messages if message["type"] == "human"]


def answered(*texts: str) -> list[str]:
    """Return the texts that stand after the chat agent has answered all of these."""
    return [said for text in texts for said in (text, f"{text}.1", f"{text}.2")]


def chat(gates: Gates, graph_id: str = "agent") -> FunctionGraph:
    """Return an agent that answers `text` with `text.1` and `text.2`; gates stand at `text:0`, `text:1` and `text:2`."""

    async def agent(state):
        text = state["messages"][-1]["content"]
        await gates[f"{text}:0"].pass_()
        yield {**said(f"{text}.1", role="ai"), "last": text}
        await gates[f"{text}:1"].pass_()
        yield said(f"{text}.2", role="ai")
        await gates[f"{text}:2"].pass_()

    return FunctionGraph(graph_id, agent)


class Rogue(FunctionGraph):
    """A graph that is given the bare context: nothing stands between its code and the engine."""

    def __init__(
        self, code: Callable[[RunContext], Awaitable[None]], graph_id: str = "agent"
    ) -> None:
        async def agent(state):
            del state

        super().__init__(graph_id, agent)
        self._code = code

    async def run(self, context: RunContext) -> None:
        await self._code(context)


def write(text: str, channel: str = "said") -> StepWrite:
    """Return a step that appends a text to a list."""
    change = Splice(at=0, delete=0, values=[text])
    return StepWrite(
        node="rogue",
        source="loop",
        next=("rogue",),
        update={channel: [text]},
        changes={channel: change},
    )


def registry(*graphs: FunctionGraph) -> GraphRegistry:
    return GraphRegistry(graphs)


# ------------------------------------------------------------------ asking


async def submit(
    engine: Engine,
    thread_id: str,
    text: str,
    strategy: MultitaskStrategy = "enqueue",
    **options: Any,
) -> str:
    """Submit a message, and return the run's id."""
    view = await engine.submit_run(
        thread_id, "agent", input=said(text), multitask_strategy=strategy, **options
    )
    return view.row.run_id


async def soon(work: Awaitable[Any]) -> Any:
    """Await what must happen."""
    return await asyncio.wait_for(work, PATIENCE_SECONDS)


async def until(engine: Engine, thread_id: str, condition: Callable[[Thread], bool]) -> Thread:
    """Wait for a committed thread that meets the condition, and return the first one that does."""
    found: asyncio.Future[Thread] = asyncio.get_running_loop().create_future()

    def check(thread: Thread) -> None:
        if not found.done() and condition(thread):
            found.set_result(thread)

    def on_notice(notice: Notice) -> None:
        if isinstance(notice, Committed):
            check(notice.thread)

    forget = engine._hub.listen(on_notice, thread_id)
    try:
        check(await engine._executor.load(thread_id))
        return await soon(found)
    finally:
        forget()


QUIET_ROUNDS = 3
"""Rounds in which nobody asks any store for anything, before everything is taken to have happened."""

QUIET_ROUNDS_MAX = 300
"""Under a real clock something may happen again and again by itself."""


async def quiet(engine: Engine) -> None:
    """Let everything happen that happens by itself, without time passing."""
    rounds, begun = 0, -1
    for _ in range(QUIET_ROUNDS_MAX):
        for _ in range(20):
            await asyncio.sleep(0)
        # The store answers in order, so whatever was being written is written now.
        await engine._ports.store.head_position()
        await engine._ports.store.release_lease(Lease("", "", 0, ""))
        before, begun = begun, sum(work.begun for work in _WORK.values())
        rounds = rounds + 1 if is_idle() and begun <= before + 2 else 0
        if rounds == QUIET_ROUNDS:
            return


async def pass_time(engine: Engine, clock: StillClock, seconds: float) -> None:
    """Let time pass, and a moment more: what is accepted while the clock stands still is due microseconds apart."""
    await quiet(engine)
    await clock.advance(seconds)
    await quiet(engine)
    await clock.advance(0.001)
    await quiet(engine)


async def until_heard(engine: Engine, thread_id: str, text: str) -> Thread:
    """Wait until a message stands in the state."""
    return await until(engine, thread_id, lambda thread: text in heard(thread.values()))


async def until_idle(engine: Engine, thread_id: str) -> Thread:
    """Wait until nothing is in flight."""
    return await until(engine, thread_id, lambda thread: not thread.runs)


async def join(engine: Engine, thread_id: str, run_id: str) -> RunResult:
    return await soon(engine.join_run(thread_id, run_id))


async def status_of(engine: Engine, thread_id: str, run_id: str) -> str:
    """Return the run's status, or `gone`."""
    try:
        return (await engine.get_run(thread_id, run_id)).row.status
    except RunNotFoundError:
        return "gone"


async def listed(engine: Engine, thread_id: str) -> list[tuple[str, str]]:
    """Return the visible runs, newest first: the message, and the status."""
    views = await engine.queries.list_runs(thread_id, limit=1000)
    return [(message_of(view), view.row.status) for view in views]


def message_of(view: RunView) -> str:
    return humans(cast("dict[str, Json]", view.input))[0]
