"""Which checkpoints of a thread a listing asks for. In a namespace the log's order decides what is newer, not the ids' clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .writing import configurable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import CheckpointTuple

    from ...domain.saved import Saved, SavedCheckpoint
    from ...domain.thread import Thread
    from .reading import Reader


class Selection:
    """What `list` was asked for: a namespace or all, one checkpoint or all, older than one, with this metadata."""

    def __init__(
        self,
        named: Mapping[str, Any],
        wanted: Mapping[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> None:
        self._ns: str | None = named.get("checkpoint_ns")
        self._checkpoint_id: str | None = named.get("checkpoint_id")
        self._wanted = dict(wanted or {})
        self._before: str | None = (
            None if before is None else configurable(before).get("checkpoint_id")
        )
        self._limit = limit

    def of(self, thread: Thread, reader: Reader) -> list[CheckpointTuple] | None:
        """Return those of a thread, newest first; None, if checkpoints may be among them that the thread does not keep."""
        found: list[CheckpointTuple] = []
        if self._limit is not None and self._limit <= 0:
            return found
        saved = thread.state.saved
        for checkpoint in self._older(saved):
            if not self._matches(checkpoint, reader):
                continue
            found.append(reader.tuple_of(checkpoint))
            if len(found) == self._limit or self._checkpoint_id is not None:
                return found
        return found if saved.is_complete else None

    def _older(self, saved: Saved) -> Iterator[SavedCheckpoint]:
        """Yield the checkpoints before the one that is named, or all."""
        if self._before is None:
            yield from saved.newest_first(self._ns)
            return
        before = self._before
        everything = list(saved.newest_first())
        ids = [each.checkpoint_id for each in everything]
        at = ids.index(before) if before in ids else None
        if at is None and not saved.is_complete:
            return
        own = None if at is None else everything[at].ns
        for place, each in enumerate(everything):
            if self._ns is not None and each.ns != self._ns:
                continue
            # A subgraph's checkpoints may be recorded before older ones of its parent: there the ids alone tell.
            is_older = each.checkpoint_id < before
            if at is not None and each.ns == own:
                is_older = place > at
            if is_older:
                yield each

    def _matches(self, checkpoint: SavedCheckpoint, reader: Reader) -> bool:
        if self._checkpoint_id is not None and checkpoint.checkpoint_id != self._checkpoint_id:
            return False
        if not self._wanted:
            return True
        metadata = cast("Mapping[str, object]", reader.metadata(checkpoint))
        return all(metadata.get(key) == value for key, value in self._wanted.items())
