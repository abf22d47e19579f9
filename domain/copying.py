"""Copies of threads: the decision, and the commands that record a thread's checkpoints anew in another one. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .changes import Replace, Splice
from .channels import decode, encoded_channel, numbers_in, read_channel, read_values
from .checkpoint_times import full_time
from .commands import CreateThread, HideCheckpoints, RecordCheckpoint, RecordWrites, UpdateState
from .deltas import SpliceList
from .encoding import Encoder
from .errors import ThreadExistsError, ThreadNotFoundError
from .events import (
    CheckpointRecorded,
    CheckpointsHidden,
    CopiedCall,
    ThreadCopied,
    WritesRecorded,
)
from .saved_encoding import SharingEncoder
from .shared_list import SharedList
from .values import same

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .changes import ChannelChange
    from .channels import Channels, Items
    from .commands import CopyThread
    from .deltas import Encoded
    from .events import Events, PendingWrite, RecordedEvent
    from .graph_ports import Intent
    from .saved import SavedCheckpoint, Write
    from .state import State, ToolCall
    from .thread import Thread
    from .values import JsonObject


def copy_thread(command: CopyThread, thread: Thread) -> Events:
    """Create the thread with what stands in the source, its run in flight left out."""
    source = command.source
    if not source.is_present:
        raise ThreadNotFoundError(thread_id=command.source_thread_id)
    if thread.is_present and not command.has_checkpoints:
        raise ThreadExistsError(thread_id=command.thread_id)
    state = source.state if source.base is None else source.base
    values = read_values(state.channels, source.items)
    calls: tuple[CopiedCall, ...] = ()
    if command.has_checkpoints:
        encoder = SharingEncoder(thread.items, thread.state.saved)
        channels = _channels(values, thread, encoder)
        calls = tuple(_call(call, source, encoder) for call in state.calls.values())
    else:
        encoder = Encoder(thread.next_item, thread.items)
        channels = encoder.object(values)
    checkpoint = state.checkpoint
    return (
        ThreadCopied(
            source_thread_id=command.source_thread_id,
            source_version=source.version,
            metadata=source.metadata,
            first_item=encoder.first_item,
            items=tuple(encoder.added),
            channels=channels,
            checkpoint_id=checkpoint.checkpoint_id if checkpoint else None,
            step=checkpoint.step if checkpoint else -2,
            next=state.next,
            tasks=state.tasks,
            error=state.error,
            calls=calls,
        ),
    )


def _call(call: ToolCall, source: Thread, encoder: SharingEncoder) -> CopiedCall:
    """Return what is known of a tool call: it may stand open in the copy too, and is closed by what is known of it."""
    fields: dict[str, Any] = call._asdict()
    if call.result is not None:
        fields["result"] = encoder.value(read_channel(call.result, source.items))
    return CopiedCall(**fields)


def _channels(values: JsonObject, thread: Thread, encoder: SharingEncoder) -> dict[str, Encoded]:
    """Return what readers see in a copy, by what its checkpoints brought in already."""
    known = thread.state.channels
    return {
        name: encoded_channel(known[name])
        if name in known and same(read_channel(known[name], thread.items), value)
        else encoder.value(value)
        for name, value in values.items()
    }


# ------------------------------------------------------------------ what a function went through


def copied_states(states: Sequence[tuple[State, Items]], target_id: str) -> list[Intent]:
    """Return what records in `target_id` the states that a function's thread went through, oldest first."""
    intents: list[Intent] = [CreateThread(thread_id=target_id)]
    before: Channels = {}
    for state, items in states:
        checkpoint = state.checkpoint
        if checkpoint is None:
            continue
        intents.append(
            UpdateState(
                thread_id=target_id,
                checkpoint_id=checkpoint.checkpoint_id,
                as_node=checkpoint.node or None,
                next=state.next,
                update=None,
                changes=_changes(before, state.channels, items),
                source=checkpoint.source,
                step=checkpoint.step,
            )
        )
        before = state.channels
    return intents


def _changes(before: Channels, after: Channels, items: Items) -> dict[str, ChannelChange]:
    """Return what changed, a list that has only grown by what came to it."""
    changes: dict[str, ChannelChange] = {}
    for name, channel in after.items():
        old = before.get(name)
        if name in before and old is channel:
            continue
        if isinstance(old, SharedList) and isinstance(channel, SharedList):
            count = len(old)
            if channel.slice(0, count) == old.slice(0, count):
                added = items.pick(channel.slice(count, len(channel)))
                if added:
                    changes[name] = Splice(count, 0, added)
                continue
        changes[name] = Replace(read_channel(channel, items))
    return changes


# ------------------------------------------------------------------ what a checkpointer saved


def copied(source: Thread, events: Iterable[RecordedEvent], target_id: str) -> list[Intent]:
    """Return what records in `target_id` all that stands in the source, a thread with every checkpoint.

    What was rolled back, or is of a run that the source is shown without, stands in the events, and not in the source.
    """
    saved = source.state.saved
    by_version = {each.version: each for each in saved.recent}
    heads: dict[str, str] = {}
    intents: list[Intent] = []
    for recorded in events:
        event = recorded.event
        match event:
            case CheckpointRecorded() if recorded.version in by_version:
                checkpoint = by_version[recorded.version]
                is_next = not event.is_fork and heads.get(event.ns) == checkpoint.parent_id
                intents.append(_checkpoint(source, event, checkpoint, target_id, is_next=is_next))
                heads[event.ns] = checkpoint.checkpoint_id
            case WritesRecorded():
                command = _writes(source, event, heads.get(event.ns), target_id)
                if command is not None:
                    intents.append(command)
            case CheckpointsHidden(keep=keep, run_ids=run_ids):
                hide = HideCheckpoints(thread_id=target_id, keep=keep, run_ids=run_ids)
                intents.append(hide)
            case _:
                pass
    return intents


def _checkpoint(
    source: Thread,
    event: CheckpointRecorded,
    checkpoint: SavedCheckpoint,
    target_id: str,
    *,
    is_next: bool,
) -> RecordCheckpoint:
    items = source.items
    changes: dict[str, ChannelChange] = {}
    names = (
        event.deltas.keys() & checkpoint.channels.keys() if is_next else checkpoint.channels.keys()
    )
    for name in names:
        delta = event.deltas.get(name)
        if is_next and isinstance(delta, SpliceList):
            values = items.pick(numbers_in(delta.items))
            changes[name] = Splice(delta.at, delta.delete, values)
        else:
            changes[name] = Replace(read_channel(checkpoint.channels[name], items))
    metadata = dict(checkpoint.metadata)
    if checkpoint.run_id is not None:
        metadata.setdefault("run_id", checkpoint.run_id)
    return RecordCheckpoint(
        thread_id=target_id,
        run_id=None,
        attempt=0,
        ns=checkpoint.ns,
        checkpoint_id=checkpoint.checkpoint_id,
        parent_id=checkpoint.parent_id,
        source=checkpoint.source,
        step=checkpoint.step,
        changes=changes,
        kept=frozenset(checkpoint.channels) - changes.keys(),
        versions=checkpoint.versions,
        seen=checkpoint.seen,
        updated=checkpoint.updated,
        ts=full_time(checkpoint.ts, checkpoint.checkpoint_id),
        format=checkpoint.format,
        extra=checkpoint.extra,
        metadata=metadata,
    )


def _writes(
    source: Thread, event: WritesRecorded, head: str | None, target_id: str
) -> RecordWrites | None:
    checkpoint_id = event.checkpoint_id or head
    slots = source.state.saved.writes.get((event.ns, checkpoint_id or ""), {})
    standing: list[tuple[int, PendingWrite]] = []
    for place, write in enumerate(event.writes):
        idx = place if write.idx is None else write.idx
        stands = slots.get((event.task_id, idx))
        if stands is not None and _is_of(stands, event, write):
            standing.append((idx, write))
    if checkpoint_id is None or not standing:
        return None
    return RecordWrites(
        thread_id=target_id,
        run_id=None,
        attempt=0,
        by_run_id=event.run_id or event.by_run_id,
        ns=event.ns,
        checkpoint_id=checkpoint_id,
        task_id=event.task_id,
        task_path=event.task_path,
        writes=tuple(
            (idx, write.channel, read_channel(decode(write.value), source.items))
            for idx, write in standing
        ),
    )


def _is_of(stands: Write, event: WritesRecorded, write: PendingWrite) -> bool:
    """Say whether the write that stands in a slot is the event's: another one may have come before it, or after it."""
    return (
        stands.run_id == (event.run_id or event.by_run_id)
        and stands.channel == write.channel
        and stands.value == decode(write.value)
    )
