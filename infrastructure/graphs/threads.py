"""Calls of user code, sync or async, from the event loop. Nothing of graphs here."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")

THREADS_MAX = 64
"""Sync calls at once, those included whose run was fenced: a thread can't be stopped from outside."""


class Threads:
    """Runs sync functions in threads of their own, so that none blocks the event loop; above the maximum they wait.

    The threads are daemons: one that never ends does not keep the process from ending.
    """

    def __init__(self, threads_max: int = THREADS_MAX) -> None:
        self._places = asyncio.Semaphore(threads_max)
        self.running = 0
        """Threads that run at this moment."""

    async def call(
        self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
    ) -> object:
        """Call the function, in a thread if it is sync, and await what it returns if that can be awaited.

        A cancelled call of a sync function raises when the thread has ended, or at the second cancellation.
        """
        if is_async(function):
            result = function(*args, **kwargs)
        else:
            context = contextvars.copy_context()
            result = await self._in_thread(lambda: context.run(function, *args, **kwargs))
        return await result if inspect.isawaitable(result) else result

    async def _in_thread(self, call: Callable[[], object]) -> object:
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        results: list[object] = []
        errors: list[BaseException] = []

        def end() -> None:
            self.running -= 1
            self._places.release()
            if not ended.done():
                ended.set_result(None)

        def work() -> None:
            try:
                results.append(call())
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                errors.append(error)
            with contextlib.suppress(RuntimeError):  # The loop may be closed by now.
                loop.call_soon_threadsafe(end)

        self.running += 1
        try:
            threading.Thread(target=work, name="threadfold-sync", daemon=True).start()
        except RuntimeError:
            end()
            raise
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            # Until the thread has ended, the run's code has not stopped.
            await ended
            raise
        if errors:
            raise errors[0]
        return results[0]


def is_async(function: Callable[..., Any]) -> bool:
    """Say whether a call returns at once, with something to await or to iterate."""
    return _is_async(function) or _is_async(getattr(function, "__call__", None))  # noqa: B004


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
