"""What LangGraph puts, as commands: values encoded when they are given, since nodes may change them later."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from langgraph.checkpoint.base import WRITES_IDX_MAP, get_checkpoint_metadata

from ...domain.changes import Replace
from ...domain.channels import read_channel
from ...domain.commands import RecordCheckpoint, RecordWrites
from ...domain.saved import has_version_of
from ...domain.saved_fold import BRANCH, JOIN, SENDS
from ...domain.values import same
from .containers import is_snapshot
from .heads import LiveHead
from .live import LiveList
from .private import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence, Set
    from datetime import datetime

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata

    from ...domain.changes import ChannelChange
    from ...domain.channels import Items
    from ...domain.graph_ports import Intent
    from ...domain.saved import SavedCheckpoint, Versions
    from ...domain.thread import Thread
    from ...domain.values import JsonObject
    from .values import ValueCodec

CHECKPOINT_KEYS = frozenset(
    {"v", "id", "ts", "channel_values", "channel_versions", "versions_seen", "updated_channels"}
)


OPENING_PREFIXES = (BRANCH, JOIN, "__start__", "start:")


class HeadMovedError(Exception):
    """The namespace's newest checkpoint is no longer the one that the changes were told to: they are to be told in full."""


def configurable(config: RunnableConfig) -> dict[str, Any]:
    """Return what a config names threads and checkpoints in."""
    return config.get("configurable") or {}


def run_id_in(config: RunnableConfig) -> str | None:
    """Return what the graph calls its run."""
    metadata = cast("Mapping[str, object]", config.get("metadata") or {})
    for named in (metadata.get("run_id"), configurable(config).get("run_id")):
        if named is not None:
            return str(named)
    return None


class PutCheckpoint:
    """A checkpoint that is to be recorded, and its head when it is.

    `parent` is what is known of its parent: with it, only what changed is told. The values are encoded here and now.
    """

    def __init__(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
        *,
        codec: ValueCodec,
        parent: LiveHead | None,
        is_fork: bool,
        run: tuple[str, int] | None,
    ) -> None:
        named = configurable(config)
        self._checkpoint = cast("dict[str, Any]", checkpoint)
        self._codec = codec
        self._parent = parent
        self._is_fork = is_fork
        self._new_versions = new_versions
        self._lists: dict[str, LiveList] = {}
        changes = self._changes()
        self.head = LiveHead(
            checkpoint["id"], frozenset(self._checkpoint["channel_values"]), self._lists
        )
        # LangGraph takes texts and numbers of a config along, so also whose run it is.
        whole = get_checkpoint_metadata(config, metadata)
        told = {name: value for name, value in whole.items() if not name.startswith(PRIVATE)}
        step, source = told.pop("step", None), told.pop("source", "")
        run_id, attempt = run or (None, 1)
        updated = checkpoint.get("updated_channels")
        extra = {
            key: value
            for key, value in self._checkpoint.items()
            if key not in CHECKPOINT_KEYS and not (key == "pending_sends" and not value)
        }
        self._command = RecordCheckpoint(
            thread_id=str(named["thread_id"]),
            run_id=run_id,
            attempt=attempt,
            ns=str(named.get("checkpoint_ns") or ""),
            checkpoint_id=checkpoint["id"],
            parent_id=named.get("checkpoint_id"),
            source=str(source),
            step=step if isinstance(step, int) else -1,
            changes=changes,
            kept=frozenset(self._checkpoint["channel_values"]) - changes.keys(),
            versions=dict(checkpoint["channel_versions"]),
            seen={node: dict(seen) for node, seen in checkpoint["versions_seen"].items()},
            updated=None if updated is None else tuple(updated),
            ts=checkpoint["ts"],
            format=checkpoint["v"],
            extra=cast("JsonObject", codec.encode(extra, "checkpoint")),
            metadata=cast("JsonObject", codec.encode(told, "metadata")),
        )

    @property
    def thread_id(self) -> str:
        """The thread's id."""
        return self._command.thread_id

    @property
    def ns(self) -> str:
        """The namespace."""
        return self._command.ns

    @property
    def forked_from(self) -> str | None:
        """The parent that it takes unchanged values from, if it is told in full and has any."""
        is_taking = self._is_fork and not self._new_versions.keys() >= self._command.versions.keys()
        return self._command.parent_id if is_taking else None

    def take_unchanged(self, parent: SavedCheckpoint, items: Items) -> None:
        """Let what has the parent's version have its value.

        What is live may have been changed in place since: then it is no longer what the version says.
        """
        changes = dict(self._command.changes)
        versions = self._command.versions
        for name, change in self._command.changes.items():
            if name in self._new_versions or name not in parent.channels:
                continue
            stored = read_channel(parent.channels[name], items)
            is_same_version = has_version_of(parent, versions, name)
            if is_same_version and not (isinstance(change, Replace) and same(change.value, stored)):
                changes[name] = Replace(stored)
                self._lists.pop(name, None)
        told = changes.keys() | self._new_versions.keys()
        for name in unchanged(parent, told, versions, items):
            changes[name] = Replace(read_channel(parent.channels[name], items))
        self._command = replace(self._command, changes=changes)

    def intent(self) -> Intent:
        """Return what records it; it raises HeadMovedError when it is carried out, if it has to be told in full."""
        command, is_fork = self._command, self._is_fork

        def decided(thread: Thread, now: datetime) -> RecordCheckpoint:
            del now
            head = thread.state.saved.heads.get(command.ns)
            newest = None if head is None else head.checkpoint_id
            is_retry = newest == command.checkpoint_id
            if not is_fork and not is_retry and newest != command.parent_id:
                raise HeadMovedError
            if is_fork or is_retry or head is None:
                return command
            told = command.kept | command.changes.keys() | self._new_versions.keys()
            kept = unchanged(head, told, command.versions, thread.items)
            return replace(command, kept=command.kept.union(kept))

        return decided

    def tell_in_full(self) -> None:
        """Make it one that is recorded whatever the newest checkpoint is."""
        self._is_fork = True
        changes = self._changes()
        self._command = replace(self._command, changes=changes, kept=frozenset[str]())

    def _changes(self) -> dict[str, ChannelChange]:
        values = cast("dict[str, object]", self._checkpoint["channel_values"])
        parent = None if self._is_fork else self._parent
        names = frozenset[str]() if parent is None else parent.names
        changes: dict[str, ChannelChange] = {}
        for name, value in values.items():
            before = self._parent.lists.get(name) if self._parent is not None else None
            if name in names and name not in self._new_versions:
                if before is not None:
                    self._lists[name] = before
                continue
            change = self._change(name, value, before)
            if change is not None:
                changes[name] = change
        return changes

    def _change(self, name: str, value: object, before: LiveList | None) -> ChannelChange | None:
        """Return what becomes of a channel; None if it turns out to be as it was."""
        if type(value) is not list:
            return Replace(self._codec.encode(value, name))
        new = cast("list[object]", value)

        if before is None:
            live = LiveList.of(new, self._codec, name)
            self._lists[name] = live
            return Replace(live.values)
        change, live = before.change_to(new, self._codec, name)
        self._lists[name] = live
        return Replace(live.values) if self._is_fork else change


def unchanged(
    parent: SavedCheckpoint, told: Set[str], versions: Versions, items: Items
) -> Iterator[str]:
    """Yield the channels that store only what is written to them, and whose whole value the parent has, in the same version.

    Graphs do not tell it again. What is written on the parent later is none of a checkpoint's that came before.
    """
    for name in parent.channels.keys() - told:
        if has_version_of(parent, versions, name) and is_snapshot(
            read_channel(parent.channels[name], items)
        ):
            yield name


def writes_command(
    config: RunnableConfig,
    writes: Sequence[tuple[str, object]],
    task_id: str,
    task_path: str,
    *,
    codec: ValueCodec,
    run: tuple[str, int] | None,
    slots: Sequence[int] | None = None,
) -> RecordWrites:
    """Return the command that records a task's writes; `slots` are their places, if they are not those in the list."""
    named = configurable(config)
    run_id, attempt = run or (None, 1)
    places = range(len(writes)) if slots is None else slots
    return RecordWrites(
        thread_id=str(named["thread_id"]),
        run_id=run_id,
        attempt=attempt,
        by_run_id=run_id_in(config) if run is None else None,
        ns=str(named.get("checkpoint_ns") or ""),
        checkpoint_id=str(named["checkpoint_id"]),
        task_id=task_id,
        task_path=task_path,
        writes=tuple(
            (
                WRITES_IDX_MAP.get(channel, at) if slots is None else at,
                channel,
                codec.encode(value, channel),
            )
            for at, (channel, value) in zip(places, writes, strict=True)
        ),
    )


def is_opening(channel: tuple[str, object]) -> bool:
    """Say whether a checkpoint's channel may start a node."""
    name, value = channel
    return name.startswith(OPENING_PREFIXES) or (name == SENDS and bool(value))
