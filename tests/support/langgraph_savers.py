"""The savers that are compared: LangGraph's own, and ours on each store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiosqlite
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from threadfold import Settings, ThreadfoldSaver

from .langgraph_operations import Subject
from .langgraph_values import TYPES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeAlias

    from .langgraph_graphs import GraphRecipe, Saver

    Contender: TypeAlias = Callable[[GraphRecipe], Subject]

SERDE = JsonPlusSerializer(
    allowed_msgpack_modules=[(kind.__module__, kind.__qualname__) for kind in TYPES]
)
"""LangGraph's own serialiser, told that our classes may be read."""


def in_memory_saver(recipe: GraphRecipe) -> Subject:
    """Return LangGraph's own saver in memory."""

    async def opened() -> Saver:
        return InMemorySaver(serde=SERDE)

    return Subject("InMemorySaver", recipe, opened)


def sqlite_saver(path: Path) -> Contender:
    """Return LangGraph's own saver on a file."""

    async def opened() -> Saver:
        return AsyncSqliteSaver(await aiosqlite.connect(path), serde=SERDE)

    async def closed(saver: Saver) -> None:
        assert isinstance(saver, AsyncSqliteSaver)
        await saver.conn.close()

    return lambda recipe: Subject("AsyncSqliteSaver", recipe, opened, closed)


def threadfold_saver(
    path: Path | None = None,
    kind: type[ThreadfoldSaver] = ThreadfoldSaver,
    *,
    snapshot_events_min: int = 500,
) -> Contender:
    """Return our saver, on a file or in memory."""
    url = "memory://" if path is None else f"sqlite:///{path}"

    async def opened() -> Saver:
        # Nothing here cuts the power.
        settings = Settings(snapshot_events_min=snapshot_events_min, synchronous="NORMAL")
        return kind(url, types=TYPES, settings=settings)

    async def closed(saver: Saver) -> None:
        assert isinstance(saver, ThreadfoldSaver)
        await saver.aclose()

    def contender(recipe: GraphRecipe) -> Subject:
        return Subject(url, recipe, opened, closed, is_lasting=path is not None)

    return contender
