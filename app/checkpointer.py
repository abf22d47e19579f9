"""The checkpointer by itself: LangGraph graphs on any store, with no engine and no server around them.

One of the places that name adapters: it is there only with the extra `threadfold[langgraph]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from ..infrastructure.langgraph.recalling import RecallingCodec
from ..infrastructure.langgraph.saver import CheckpointSaver
from ..infrastructure.langgraph.types import TypeRegistry
from .bootstrap import default_ports
from .bursts import Bursts
from .checkpoint_logs import DirectLog, WholeThreads
from .executor import Executor
from .hub import Hub
from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from ..domain.events import RecordedEvent
    from ..domain.graph_ports import Intent
    from ..domain.thread import Thread

T = TypeVar("T")


class ThreadfoldSaver(CheckpointSaver):
    """Saves graphs' checkpoints as events in a store: `graph.compile(checkpointer=ThreadfoldSaver("sqlite:///agents.db"))`.

    It opens at first use, and may be used from any thread and any event loop. What was put is durable when the put returns.
    `types` are classes whose objects may be saved beside the ones known from the start (messages, datetimes, …), or whole
    state schemas, whose fields name such classes.

    Raises:
        ConfigurationError: the URL names no store.
    """

    def __init__(
        self,
        store: str = "sqlite:///threadfold.db",
        *,
        types: Iterable[type] = (),
        settings: Settings | None = None,
    ) -> None:
        self._home = _Home(store, settings or Settings())
        registry = TypeRegistry().with_schema(*types)
        super().__init__(_HomeLog(self._home), RecallingCodec(registry))

    def close(self) -> None:
        """Finish what was begun, and close the store. Using it again opens it again, but for `memory://`, which is gone."""
        self._home.close()

    async def aclose(self) -> None:
        """Do what `close` does."""
        await asyncio.to_thread(self._home.close)

    def __enter__(self) -> Self:
        self._home.loop()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._home.loop)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


class _Home:
    """An event loop in a thread of its own, and the store that lives on it: callers come from any thread or loop."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._settings = settings
        self._url = url
        self._ports = default_ports(url, settings)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._log: DirectLog | None = None
        self._bursts: Bursts | None = None

    @property
    def bursts(self) -> Bursts:
        """What records in the log; it is opened, if it is not."""
        while self._bursts is None:
            self.loop()
        return self._bursts

    @property
    def log(self) -> DirectLog:
        """The log; it is opened, if it is not."""
        while self._log is None:
            self.loop()
        return self._log

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop; it is started, and the store opened, if they are not."""
        loop = self._loop
        if loop is not None:
            return loop
        with self._lock:
            return self._loop or self._start()

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="threadfold saver", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(), loop).result()
        except BaseException:
            _stop(loop, thread)
            raise
        self._loop, self._thread = loop, thread
        return loop

    async def _open(self) -> None:
        ports = self._ports
        await ports.store.open()
        executor = Executor(
            ports.store, Hub(), self._settings, clock=ports.clock, ids=ports.ids, tasks=ports.tasks
        )
        executor.seen_position = await ports.store.head_position()
        self._log = DirectLog(executor, WholeThreads(ports.store, executor))
        self._bursts = Bursts(self._log.record, ports.tasks)

    def close(self) -> None:
        """Close the store and stop the loop, if they are open."""
        with self._lock:
            loop, thread = self._loop, self._thread
            if loop is None or thread is None:
                return
            self._loop, self._thread, self._log, self._bursts = None, None, None, None
            try:
                asyncio.run_coroutine_threadsafe(self._shut(), loop).result()
            finally:
                _stop(loop, thread)
            self._ports = default_ports(self._url, self._settings)

    async def _shut(self) -> None:
        """Let what was begun in the background (a snapshot, an erasure) come to its end, then close the store."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)
        await self._ports.store.close()

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work comes to, carried out at home."""
        loop = self.loop()
        if asyncio.get_running_loop() is loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    with contextlib.suppress(RuntimeError):
        loop.close()


class _HomeLog:
    """The `CheckpointLog` of a saver by itself: every call goes to its home.

    Who reads a thread sees what was given before to be recorded in it: LangGraph does not wait for the last writes of a run
    that fails.
    """

    def __init__(self, home: _Home) -> None:
        self._home = home

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the log lives on."""
        return self._home.loop()

    async def thread(self, thread_id: str) -> Thread:
        """Return the thread as the log has it now."""
        return await self._home.call(self._settled(thread_id, self._home.log.thread))

    def peek(self, thread_id: str) -> Thread | None:
        """Return the thread as this process saw it last."""
        return self._home.log.peek(thread_id)

    async def whole(self, thread_id: str) -> Thread:
        """Return the thread with every checkpoint that the log holds."""
        return await self._home.call(self._settled(thread_id, self._home.log.whole))

    async def events(self, thread_id: str) -> Sequence[RecordedEvent]:
        """Return the thread's events."""
        return await self._home.call(self._home.log.events(thread_id))

    async def thread_ids(self) -> Sequence[str]:
        """Return the ids of all threads, the one changed last first."""
        return await self._home.call(self._home.log.thread_ids())

    async def record(self, thread_id: str, intents: Sequence[Intent]) -> None:
        """Record these durably, all or nothing, together with what others give meanwhile."""
        home, here = self._home.loop(), asyncio.get_running_loop()
        take, done = self._home.bursts.take, here.create_future()
        if here is home:
            take(thread_id, intents, done)
        else:
            home.call_soon_threadsafe(take, thread_id, intents, done)
        await done

    async def _settled(
        self, thread_id: str, read: Callable[[str], Coroutine[Any, Any, Thread]]
    ) -> Thread:
        await self._home.bursts.settled(thread_id)
        return await read(thread_id)
