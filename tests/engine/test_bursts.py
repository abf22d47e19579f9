"""Records that wait together are one append; one that is refused harms no other; who asks for quiet hears when it is there."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from threading import Thread as OsThread
from typing import TYPE_CHECKING

import pytest

from threadfold.app.bootstrap import default_ports
from threadfold.app.bursts import Bursts
from threadfold.app.checkpoint_logs import DirectLog, WholeThreads
from threadfold.app.executor import Executor
from threadfold.app.hub import Hub
from threadfold.app.settings import Settings
from threadfold.domain.commands import CreateThread, PatchThread
from threadfold.domain.errors import StoreUnavailableError, ThreadNotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from pathlib import Path

    from threadfold.domain.graph_ports import Intent
    from threadfold.domain.ports import EventStore, Tasks


class Recording:
    """Bursts over a real log, which waits at a gate before each append and notes how many commands came in it."""

    def __init__(self, store: EventStore, log: DirectLog, tasks: Tasks) -> None:
        self.store = store
        self._log = log
        self.gate = asyncio.Event()
        self.is_waiting = asyncio.Event()
        self.sizes: list[int] = []
        self.both_wait = asyncio.Event()
        self.bursts = Bursts(self._record, tasks)

    async def _record(self, thread_id: str, intents: Sequence[Intent]) -> None:
        self.sizes.append(len(intents))
        self.is_waiting.set()
        if len(self.sizes) == 2:
            self.both_wait.set()
        await self.gate.wait()
        await self._log.record(thread_id, intents)

    def take(self, *intents: Intent, thread_id: str = "t") -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        self.bursts.take(thread_id, intents, done)
        return done

    async def begin(self) -> None:
        """Create the thread; that append is held at the gate."""
        self.first = self.take(CreateThread(thread_id="t"))
        await self.is_waiting.wait()

    async def metadata(self) -> object:
        return (await self._log.thread("t")).metadata


@pytest.fixture(params=["memory", "sqlite"])
async def recording(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Recording]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/log.db"
    async with opened(url) as result:
        yield result


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Recording]:
    settings = Settings()
    ports = default_ports(url, settings)
    await ports.store.open()
    executor = Executor(
        ports.store, Hub(), settings, clock=ports.clock, ids=ports.ids, tasks=ports.tasks
    )
    log = DirectLog(executor, WholeThreads(ports.store, executor))
    yield Recording(ports.store, log, ports.tasks)
    await ports.store.close()


def patch(**metadata: int) -> PatchThread:
    return PatchThread(thread_id="t", metadata=dict(metadata))


async def test_what_comes_during_an_append_shares_the_next_one_in_order(
    recording: Recording,
) -> None:
    await recording.begin()
    waiting = [recording.take(patch(newest=number)) for number in range(50)]
    assert not any(each.done() for each in waiting)
    recording.gate.set()
    await asyncio.gather(recording.first, *waiting)
    assert recording.sizes == [1, 50]
    assert await recording.metadata() == {"newest": 49}
    entries = await recording.store.read_thread("t")
    assert [entry.version for entry in entries] == [*range(1, 52)]


async def test_one_that_is_refused_harms_no_other(recording: Recording) -> None:
    def refused(*_: object) -> None:
        raise LookupError("mine")

    await recording.begin()
    one, bad, two = (recording.take(each) for each in (patch(one=1), refused, patch(two=2)))
    torn = recording.take(patch(torn=3), refused)
    recording.gate.set()
    await asyncio.gather(one, two)
    for each in (bad, torn):
        with pytest.raises(LookupError, match="mine"):
            await each
    assert await recording.metadata() == {"one": 1, "two": 2}


async def test_threads_do_not_wait_for_each_other(recording: Recording) -> None:
    await recording.begin()
    other = recording.take(CreateThread(thread_id="u"), thread_id="u")
    await recording.both_wait.wait()
    assert recording.sizes == [1, 1]
    recording.gate.set()
    await asyncio.gather(recording.first, other)


async def test_a_refusal_of_the_domain_reaches_who_asked_for_it(recording: Recording) -> None:
    recording.gate.set()
    with pytest.raises(ThreadNotFoundError):
        await recording.take(patch(one=1))
    await recording.take(CreateThread(thread_id="t"))


async def test_who_gives_up_waiting_changes_nothing_for_the_others(recording: Recording) -> None:
    await recording.begin()
    gone, kept = recording.take(patch(gone=1)), recording.take(patch(kept=1))
    gone.cancel()
    recording.gate.set()
    await kept
    assert await recording.metadata() == {"gone": 1, "kept": 1}


async def test_quiet_comes_after_all_that_was_given_before(recording: Recording) -> None:
    await recording.begin()
    before = [recording.take(patch(**{f"n{number}": number})) for number in range(5)]
    quiet = asyncio.ensure_future(recording.bursts.settled("t"))
    await asyncio.sleep(0)
    assert not quiet.done()
    recording.gate.set()
    await quiet
    assert all(each.done() for each in before)
    assert len(await recording.store.read_thread("t")) == 6
    await recording.bursts.settled("t")  # There is nothing to wait for.


async def test_a_store_that_is_away_is_told_to_all_of_the_burst(recording: Recording) -> None:
    await recording.begin()
    waiting = [recording.take(patch(one=1)), recording.take(patch(two=2))]
    await recording.store.close()
    recording.gate.set()
    for each in (recording.first, *waiting):
        with pytest.raises(StoreUnavailableError):
            await each
    assert recording.sizes == [1, 2]


async def test_a_loop_that_ends_lets_go_of_all_that_wait(recording: Recording) -> None:
    await recording.begin()
    waiting = recording.take(patch(one=1))
    for task in asyncio.all_tasks():
        if "Bursts" in repr(task.get_coro()):
            task.cancel()
    for each in (recording.first, waiting):
        with pytest.raises(asyncio.CancelledError):
            await each
    recording.gate.set()
    recording.sizes.clear()
    with pytest.raises(ThreadNotFoundError):
        await recording.take(patch(one=1))  # It goes on with what comes after.


async def test_futures_of_other_loops_hear_of_it_there(recording: Recording) -> None:
    home = asyncio.get_running_loop()
    heard: list[bool] = []

    def elsewhere() -> None:
        async def ask() -> None:
            done = asyncio.get_running_loop().create_future()
            create = CreateThread(thread_id="t", if_exists="do_nothing")
            home.call_soon_threadsafe(recording.bursts.take, "t", [create], done)
            await done
            heard.append(True)

        for _ in range(20):
            asyncio.run(ask())

    recording.gate.set()
    threads = [OsThread(target=elsewhere) for _ in range(4)]
    for thread in threads:
        thread.start()
    await asyncio.to_thread(lambda: [thread.join() for thread in threads])
    assert len(heard) == 80
