"""The log as what an import writes to: records become the same events as what a saver is given, many of them in one append."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from ....domain.channels import read_channel
from ....domain.errors import InvalidInputError, UnregisteredTypeError
from ....domain.events import CheckpointRecorded, ThreadDeleted, WritesRecorded
from ....domain.importing import Held, NotImportableError
from ....domain.shared_list import SharedList
from ....domain.typed import is_message
from ....domain.values import same
from ..writing import HeadMovedError, writes_command
from .puts import FlatList, ImportedPut, Newest, SharingCodec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from langchain_core.runnables import RunnableConfig

    from ....domain.channels import Channels
    from ....domain.commands import RecordWrites
    from ....domain.graph_ports import CheckpointLog, Intent
    from ....domain.importing import Holdings, Record, TaskWrites
    from ....domain.saved import CheckpointKey, Slot, Write
    from ....domain.thread import Thread
    from ..values import ValueCodec


class LogTarget:
    """Imports into a log. It works on one thread after the other: `holdings` begins with a thread."""

    def __init__(self, log: CheckpointLog, codec: ValueCodec) -> None:
        self._log = log
        self._types = codec.types
        self._codec = SharingCodec(codec.types)
        self._thread: Thread | None = None
        self._newest: dict[str, Newest] = {}
        """The newest checkpoint of each living namespace, in the log or on its way there."""

    async def holdings(self, thread_id: str) -> Holdings:
        """Return what stands of a thread: nothing of what was rolled back or deleted."""
        thread = self._thread = await self._log.whole(thread_id)
        self._codec = SharingCodec(self._types)
        saved = thread.state.saved
        if thread.state.channels and not saved.heads:
            raise NotImportableError(
                "the log has a thread of this id that is none of LangGraph's", thread_id=thread_id
            )
        self._newest = {
            ns: Newest(head.checkpoint_id, frozenset(head.channels), _lists(thread, head.channels))
            for ns, head in saved.heads.items()
        }
        checkpoints = _checkpoints(thread)
        return {
            key: Held(key in checkpoints, frozenset(saved.writes.get(key, ())))
            for key in checkpoints | saved.writes.keys()
        }

    async def recorded(self, thread_id: str) -> Holdings:
        """Return what the log's events have recorded of a thread, whatever stands of it: they are read for this."""
        checkpoints: set[CheckpointKey] = set()
        slots: defaultdict[CheckpointKey, set[Slot]] = defaultdict(set)
        newest: dict[str, str] = {}
        for recorded in await self._log.events(thread_id):
            match recorded.event:
                case CheckpointRecorded(ns=ns, checkpoint_id=checkpoint_id):
                    checkpoints.add((ns, checkpoint_id))
                    newest[ns] = checkpoint_id
                case WritesRecorded(ns=ns, checkpoint_id=named, task_id=task_id, writes=writes):
                    own = slots[ns, newest.get(ns, "") if named is None else named]
                    own.update(
                        (task_id, place if write.idx is None else write.idx)
                        for place, write in enumerate(writes)
                    )
                case ThreadDeleted():
                    checkpoints.clear()
                    slots.clear()
                case _:
                    pass
        return {
            key: Held(key in checkpoints, frozenset(slots[key]))
            for key in checkpoints | slots.keys()
        }

    async def differing(self, thread_id: str, records: Sequence[Record]) -> list[Record]:
        """Return the records without what the thread holds just so already; those of which nothing is left are left out."""
        thread = self._thread or await self._log.whole(thread_id)
        saved = thread.state.saved
        checkpoints = _checkpoints(thread)
        found: list[Record] = []
        for record in records:
            is_new = record.checkpoint is not None and record.key not in checkpoints
            slots = saved.writes.get(record.key, {})
            writes = tuple(self._new_writes(thread, record, slots))
            if is_new or writes:
                checkpoint = record.checkpoint if is_new else None
                found.append(replace(record, checkpoint=checkpoint, writes=writes))
        return found

    def _new_writes(
        self, thread: Thread, record: Record, slots: Mapping[Slot, Write]
    ) -> Iterator[TaskWrites]:
        for task in record.writes:
            new: list[tuple[int, str, object]] = []
            for idx, channel, value in task.writes:
                stands = slots.get((task.task_id, idx))
                if stands is not None and (
                    idx >= 0
                    or same(
                        read_channel(stands.value, thread.items),
                        self._codec.encode(value, channel),
                    )
                ):
                    continue
                new.append((idx, channel, value))
            if new:
                yield replace(task, writes=tuple(new))

    async def write(self, thread_id: str, records: Sequence[Record]) -> None:
        """Record these in this order, durably, and all or nothing."""
        intents: list[Intent] = []
        for record in records:
            try:
                intents.extend(self._intents(thread_id, record))
            except InvalidInputError as error:
                reason = str(error)
                if isinstance(error, UnregisteredTypeError):
                    reason = f"{error.where}: it holds a {error.name}; name that class with --types {error.name}"
                raise NotImportableError(reason, thread_id=thread_id, key=record.key) from error
        try:
            await self._log.record(thread_id, intents)
        except HeadMovedError as error:
            raise NotImportableError(
                "somebody else writes to it while it is imported", thread_id=thread_id
            ) from error

    def _intents(self, thread_id: str, record: Record) -> Iterator[Intent]:
        if record.checkpoint is not None:
            yield self._put(thread_id, record).intent()
        for task in record.writes:
            yield self._writes(thread_id, record.key, task)

    def _put(self, thread_id: str, record: Record) -> ImportedPut:
        ns, _ = record.key
        config = _config(thread_id, ns, record.parent_id)
        put = ImportedPut(config, record, self._newest.get(ns), self._codec)
        if not ns:  # As the log has it: the namespaces of subgraph calls go with the step they were made in.
            self._newest = {name: each for name, each in self._newest.items() if ":" not in name}
        self._newest[ns] = put.newest
        return put

    def _writes(self, thread_id: str, key: CheckpointKey, task: TaskWrites) -> RecordWrites:
        return writes_command(
            _config(thread_id, *key),
            [(channel, value) for _, channel, value in task.writes],
            task.task_id,
            task.task_path,
            codec=self._codec,
            run=None,
            slots=[idx for idx, _, _ in task.writes],
        )


def _checkpoints(thread: Thread) -> set[CheckpointKey]:
    saved = thread.state.saved
    return {(each.ns, each.checkpoint_id) for each in (*saved.recent, *saved.heads.values())}


def _lists(thread: Thread, channels: Channels) -> dict[str, FlatList]:
    lists = {
        name: thread.items.pick(channel)
        for name, channel in channels.items()
        if isinstance(channel, SharedList)
    }
    return {
        name: FlatList([], values)
        for name, values in lists.items()
        if all(not isinstance(each, dict | list) or is_message(each) for each in values)
    }


def _config(thread_id: str, ns: str, checkpoint_id: str | None) -> RunnableConfig:
    named = {"thread_id": thread_id, "checkpoint_ns": ns}
    if checkpoint_id is not None:
        named["checkpoint_id"] = checkpoint_id
    return {"configurable": named}
