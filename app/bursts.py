"""Many small records of one thread as few appends: what comes while one is being written shares the next one."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..domain.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from ..domain.graph_ports import Intent
    from ..domain.ports import Tasks


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is to be recorded, all or nothing, and the future, of any loop, that is to hear of it."""

    intents: Sequence[Intent]
    done: asyncio.Future[None]


class Bursts:
    """Records intents of a thread in the order in which they are given, those that wait together as one.

    It belongs to the event loop that `take` is called on. An entry that is refused, or that cannot be decided, harms no other:
    each of the burst is then recorded by itself.
    """

    def __init__(
        self, record: Callable[[str, Sequence[Intent]], Awaitable[None]], tasks: Tasks
    ) -> None:
        self._record = record
        self._tasks = tasks
        self._waiting: dict[str, list[_Entry]] = {}

    def take(self, thread_id: str, intents: Sequence[Intent], done: asyncio.Future[None]) -> None:
        """Record these after all that was given before. No intents: tell when that is through."""
        waiting = self._waiting.get(thread_id)
        if waiting is not None:
            waiting.append(_Entry(intents, done))
            return
        self._waiting[thread_id] = [_Entry(intents, done)]
        self._tasks.start(self._drain(thread_id), f"record {thread_id}")

    async def settled(self, thread_id: str) -> None:
        """Return when all that was given so far is recorded, or refused."""
        if thread_id in self._waiting:
            done = asyncio.get_running_loop().create_future()
            self.take(thread_id, (), done)
            await done

    async def _drain(self, thread_id: str) -> None:
        try:
            while entries := self._waiting[thread_id]:
                self._waiting[thread_id] = []
                await self._together(thread_id, entries)
        finally:
            _tell(self._waiting.pop(thread_id), asyncio.CancelledError())

    async def _together(self, thread_id: str, entries: Sequence[_Entry]) -> None:
        intents = [intent for entry in entries for intent in entry.intents]
        try:
            if intents:
                await self._record(thread_id, intents)
        except asyncio.CancelledError as error:
            _tell(entries, error)
            raise
        except BaseException as error:  # noqa: BLE001 - handed to whose it is, whatever it is
            if len(entries) == 1 or isinstance(error, StoreError):
                _tell(entries, error)
                return
            for entry in entries:
                await self._together(thread_id, [entry])
        else:
            _tell(entries, None)


def _tell(entries: Iterable[_Entry], error: BaseException | None) -> None:
    """Let each hear of it on its own loop; who has gone meanwhile need not."""
    told: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for entry in entries:
        told.setdefault(entry.done.get_loop(), []).append(entry.done)
    here = asyncio.get_running_loop()
    for loop, futures in told.items():
        if loop is here:
            _settle(futures, error)
            continue
        with contextlib.suppress(RuntimeError):  # That loop is closed.
            loop.call_soon_threadsafe(_settle, futures, error)


def _settle(futures: Iterable[asyncio.Future[None]], error: BaseException | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        elif isinstance(error, asyncio.CancelledError):
            future.cancel()
        else:
            future.set_exception(error)
