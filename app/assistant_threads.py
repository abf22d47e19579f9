"""The threads that an assistant takes along when it is deleted: those whose first run was of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from ..domain.commands import DeleteThread
from ..domain.errors import ThreadNotFoundError
from .search import ThreadFilter, ThreadSearch

if TYPE_CHECKING:
    from ..domain.ports import EventStore
    from .executor import Executor

DeleteThreads: TypeAlias = Callable[[str], Awaitable[None]]
"""Deletes the threads of an assistant, by its id, as far as whoever asks for it may."""


def began_with(assistant_id: str) -> ThreadFilter:
    """Return what finds the threads whose first run was of this assistant."""
    return ThreadFilter(metadata={"assistant_id": assistant_id})


def deleting(store: EventStore, executor: Executor) -> DeleteThreads:
    """Return what deletes those threads that this store shows and this executor reaches."""
    return partial(_delete, store, executor)


async def _delete(store: EventStore, executor: Executor, assistant_id: str) -> None:
    for row in await ThreadSearch(store, executor).rows(began_with(assistant_id)):
        with suppress(ThreadNotFoundError):  # Somebody else was quicker, or it was given away.
            await executor.execute(row.thread_id, DeleteThread(thread_id=row.thread_id))
