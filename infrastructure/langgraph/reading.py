"""Checkpoints of the fold as LangGraph's tuples: values decoded, live objects given again where they are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langgraph.checkpoint.base import Checkpoint, CheckpointTuple

from ...domain.channels import read_channel
from ...domain.checkpoint_times import full_time
from ...domain.shared_list import SharedList
from .live import LiveList

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import CheckpointMetadata, PendingWrite

    from ...domain.channels import Channel
    from ...domain.saved import SavedCheckpoint, Write
    from ...domain.thread import Thread
    from .heads import LiveHead
    from .values import ValueCodec


def config_of(thread_id: str, ns: str, checkpoint_id: str) -> RunnableConfig:
    """Return the config that names a checkpoint."""
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": ns,
            "checkpoint_id": checkpoint_id,
        }
    }


class Reader:
    """Makes tuples of one thread's checkpoints. Objects that `live` knows are handed out again, if nobody changed them."""

    def __init__(
        self, thread_id: str, thread: Thread, codec: ValueCodec, live: LiveHead | None = None
    ) -> None:
        self._thread_id = thread_id
        self._items = thread.items
        self._saved = thread.state.saved
        self._codec = codec
        self._live = live
        self._objects: dict[int, object] | None = None
        self.lists: dict[str, LiveList] = {}
        """Of the checkpoint that was read last: its lists, live."""

    def tuple_of(self, checkpoint: SavedCheckpoint) -> CheckpointTuple:
        """Return the checkpoint with the writes that wait on it."""
        ns, checkpoint_id = checkpoint.ns, checkpoint.checkpoint_id
        parent_id = checkpoint.parent_id
        writes = self._saved.writes_on(ns, checkpoint_id)
        return CheckpointTuple(
            config=config_of(self._thread_id, ns, checkpoint_id),
            checkpoint=self._checkpoint(checkpoint),
            metadata=self.metadata(checkpoint),
            parent_config=None if parent_id is None else config_of(self._thread_id, ns, parent_id),
            pending_writes=self.writes(writes),
        )

    def metadata(self, checkpoint: SavedCheckpoint) -> CheckpointMetadata:
        """Return what the graph said of the checkpoint."""
        told = self._codec.decode(checkpoint.metadata)
        # LangGraph itself saves checkpoints that have no source.
        own: dict[str, object] = {"source": checkpoint.source} if checkpoint.source else {}
        own["step"] = checkpoint.step
        return cast("CheckpointMetadata", {**own, **cast("dict[str, Any]", told)})

    def writes(self, writes: list[Write]) -> list[PendingWrite]:
        """Return writes as LangGraph has them."""
        return [(write.task_id, write.channel, self.value(write.value)) for write in writes]

    def value(self, channel: Channel) -> object:
        """Return a channel's value."""
        if isinstance(channel, SharedList):
            return self._decoded(channel)
        return self._codec.decode(read_channel(channel, self._items))

    def _checkpoint(self, checkpoint: SavedCheckpoint) -> Checkpoint:
        updated = checkpoint.updated
        extra = cast("dict[str, Any]", self._codec.decode(checkpoint.extra))
        whole: dict[str, Any] = {
            **extra,
            "v": checkpoint.format,
            "id": checkpoint.checkpoint_id,
            "ts": full_time(checkpoint.ts, checkpoint.checkpoint_id),
            "channel_values": self._values(checkpoint),
            "channel_versions": dict(checkpoint.versions),
            "versions_seen": {node: dict(seen) for node, seen in checkpoint.seen.items()},
            "updated_channels": None if updated is None else list(updated),
        }
        return cast("Checkpoint", whole)

    def _values(self, checkpoint: SavedCheckpoint) -> dict[str, object]:
        live = self._live
        is_live = live is not None and live.checkpoint_id == checkpoint.checkpoint_id
        known = live.lists if live is not None and is_live else {}
        values: dict[str, object] = {}
        self.lists = {}
        for name, channel in checkpoint.channels.items():
            if not isinstance(channel, SharedList):
                values[name] = self._codec.decode(read_channel(channel, self._items))
                continue
            own = known.get(name)
            if own is None and is_live:
                own = LiveList(self._items.pick(channel))
            if own is None:
                values[name] = self._decoded(channel)
                continue
            self.lists[name] = own
            values[name] = own.checked(self._codec)
        return values

    def _decoded(self, channel: SharedList[int]) -> list[object]:
        """Return a list's elements; those that the live lists hold are the same objects."""
        stored = self._items.pick(channel)
        objects = self._known_objects()
        if not objects:
            return [self._codec.decode(each) for each in stored]
        missing = object()
        found = [objects.get(id(each), missing) for each in stored]
        return [
            self._codec.decode(each) if one is missing else one
            for one, each in zip(found, stored, strict=True)
        ]

    def _known_objects(self) -> dict[int, object]:
        """Return live objects by the identity of the item that they stand for."""
        if self._objects is None:
            self._objects = {}
            for live in () if self._live is None else self._live.lists.values():
                self._objects.update(
                    zip(map(id, live.values), live.checked(self._codec), strict=True)
                )
        return self._objects
