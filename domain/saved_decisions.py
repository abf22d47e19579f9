"""Decisions on what checkpointers record, checkpoints, writes, tool calls, and on what is pruned. Pure, and safe to retry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .changes import Replace
from .channels import read_channel
from .checkpoint_times import short_time
from .deltas import SetValue
from .encoding import merge_between
from .events import (
    CheckpointRecorded,
    CheckpointsHidden,
    Events,
    PendingWrite,
    ThreadCreated,
    ThreadDeleted,
    ToolCallRecorded,
    WritesRecorded,
)
from .fencing import fenced, require_idle, require_present
from .pruning import has_older_states
from .saved import known_metadata
from .saved_encoding import SharingEncoder
from .values import same

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .changes import GraphEnd
    from .channels import Channels
    from .commands import (
        ExpireThread,
        HideCheckpoints,
        PruneThread,
        RecordCheckpoint,
        RecordToolCall,
        RecordWrites,
    )
    from .deltas import Delta, Range
    from .saved import SavedCheckpoint, Versions
    from .state import ToolCall
    from .thread import Run, Thread


def record_checkpoint(command: RecordCheckpoint, thread: Thread) -> Events:
    """Record a checkpoint, as the difference to the newest of its namespace if that is its parent."""
    run_items, created = _allowed(command.run_id, command.attempt, thread)
    saved = thread.state.saved
    head = saved.heads.get(command.ns)
    if (
        head is not None
        and head.checkpoint_id == command.checkpoint_id
        and _is_retry(head, command)
    ):
        return ()
    is_fork = (None if head is None else head.checkpoint_id) != command.parent_id
    parent = None if is_fork else head
    changed = _changed_versions(parent, command.versions)
    encoder = SharingEncoder(thread.items, saved, run_items)
    channels: Channels = {} if parent is None else parent.channels
    deltas = encoder.deltas(channels, command.changes, command.kept)
    recorded = CheckpointRecorded(
        checkpoint_id=command.checkpoint_id,
        run_id=command.run_id,
        attempt=command.attempt,
        ns=command.ns,
        is_fork=is_fork,
        parent_id=command.parent_id if is_fork else None,
        source=command.source,
        step=None if command.step == _next_step(parent) else command.step,
        deltas=deltas,
        **_versions(changed, command),
        **_seen(parent, command),
        **_updated(changed, command),
        ts=short_time(command.ts, command.checkpoint_id),
        format=command.format,
        extra=command.extra,
        metadata=_metadata(command, thread, is_fork=is_fork),
        first_item=encoder.first_item,
        items=tuple(encoder.added),
    )
    return (*created, recorded)


def record_writes(command: RecordWrites, thread: Thread) -> Events:
    """Record what a task wrote, in slots: from 0 on the first write stands, in others the last."""
    run_items, created = _allowed(command.run_id, command.attempt, thread)
    saved = thread.state.saved
    slots = saved.writes.get((command.ns, command.checkpoint_id), {})
    encoder = SharingEncoder(thread.items, saved, run_items)
    writes: list[PendingWrite] = []
    last = {idx: at for at, (idx, _, _) in enumerate(command.writes)}
    for at, (idx, channel, value) in enumerate(command.writes):
        stands = slots.get((command.task_id, idx))
        if idx < 0 and at < last[idx]:
            continue  # A later one takes its slot. Recorded again, it would be in the place of that.
        if stands is not None:
            if idx >= 0:
                continue
            if stands.channel == channel and same(read_channel(stands.value, thread.items), value):
                continue
        encoded = encoder.value(value)
        told = None if idx == len(writes) else idx
        writes.append(PendingWrite(idx=told, channel=channel, value=encoded))
    if not writes:
        return ()
    head = saved.heads.get(command.ns)
    is_head = head is not None and head.checkpoint_id == command.checkpoint_id
    recorded = WritesRecorded(
        run_id=command.run_id,
        attempt=command.attempt,
        by_run_id=command.by_run_id,
        ns=command.ns,
        checkpoint_id=None if is_head else command.checkpoint_id,
        task_id=command.task_id,
        task_path=command.task_path,
        writes=tuple(writes),
        first_item=encoder.first_item,
        items=tuple(encoder.added),
    )
    return (*created, recorded)


def hide_checkpoints(command: HideCheckpoints, thread: Thread) -> Events:
    """Take checkpoints out of sight; nothing happens to a thread that has none."""
    if not thread.is_present or not thread.state.saved.heads:
        return ()
    require_idle(thread)
    return (CheckpointsHidden(keep=command.keep, run_ids=command.run_ids),)


def prune_thread(command: PruneThread, thread: Thread) -> Events:
    """Take all states but the newest out of sight, while nothing is in flight; nothing happens if there are none."""
    require_present(command.thread_id, thread)
    require_idle(thread)
    return (CheckpointsHidden(keep="latest"),) if has_older_states(thread) else ()


def expire_thread(command: ExpireThread, thread: Thread) -> Events:
    """Do what the time to live says; nothing happens if it is not over, as while a run is in flight."""
    expires_at = thread.expires_at
    if thread.ttl is None or expires_at is None or expires_at > command.now:
        return ()
    if thread.ttl.strategy == "delete":
        return (ThreadDeleted(),)
    # Recorded also if there is nothing to hide: it says that this time to live is over.
    return (CheckpointsHidden(keep="latest"),)


def record_tool_call(command: RecordToolCall, thread: Thread) -> Events:
    """Record what became of a tool call; a retry changes nothing. What finished and is called again has its result until then."""
    run = fenced(command.run_id, command.attempt, thread)
    known = thread.state.calls.get(command.call_id)
    if known is not None and known.task == command.task and _is_told(known, command, thread):
        return ()
    encoder = SharingEncoder(thread.items, thread.state.saved, run.items)
    result = None if command.result is None else encoder.value(command.result)
    return (
        ToolCallRecorded(
            run_id=command.run_id,
            attempt=command.attempt,
            call_id=command.call_id,
            name=command.name,
            task=command.task,
            status=command.status,
            result=result,
            first_item=encoder.first_item,
            items=tuple(encoder.added),
        ),
    )


def _is_told(known: ToolCall, command: RecordToolCall, thread: Thread) -> bool:
    """Say whether what is known of a call says what the command says, or more."""
    if command.status == "started":
        is_at_work = known.run_id == command.run_id and not known.is_cancelled
        return not known.is_failed if known.is_finished else is_at_work
    return (
        known.is_finished
        and known.is_failed == (command.status == "failed")
        and same(read_channel(known.result, thread.items), command.result)
    )


def end_view(end: GraphEnd, run: Run, thread: Thread) -> dict[str, Any]:
    """Return the fields of a run's end that bring what readers see in line with what the graph says it is."""
    state = thread.state
    encoder = SharingEncoder(thread.items, state.saved, run.items)
    deltas: dict[str, Delta] = {}
    if end.values is not None:
        changes = {name: Replace(value) for name, value in end.values.items()}
        deltas = encoder.deltas(state.channels, changes, ())
    elif end.names is not None:
        deltas = encoder.deltas(state.channels, {}, state.channels.keys() & end.names)
    return {
        "deltas": deltas,
        "first_item": encoder.first_item,
        "items": tuple(encoder.added),
    }


# ------------------------------------------------------------------ parts


def _allowed(run_id: str | None, attempt: int, thread: Thread) -> tuple[Range, Events]:
    """Return the items that the writer brought, and what else has to happen; raises, if it may not write."""
    if run_id is not None:
        return fenced(run_id, attempt, thread).items, ()
    require_idle(thread)
    return (0, 0), () if thread.is_present else (ThreadCreated(),)


def _is_retry(head: SavedCheckpoint, command: RecordCheckpoint) -> bool:
    """Say whether the newest checkpoint is this very one, recorded before."""
    return (
        not head.is_hidden
        and head.parent_id == command.parent_id
        and head.versions == command.versions
        and head.step == command.step
        and head.source == command.source
    )


def _next_step(parent: SavedCheckpoint | None) -> int:
    return -1 if parent is None else parent.step + 1


def _alike(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def _changed_versions(parent: SavedCheckpoint | None, versions: Versions) -> dict[str, Any] | None:
    """Return the versions that differ from the parent's; None, if they cannot be told by one number."""
    if parent is None:
        return None
    before = parent.versions
    if before.keys() - versions.keys():
        return None
    changed = {
        name: version for name, version in versions.items() if not _alike(before.get(name), version)
    }
    first = next(iter(changed.values()), None)
    return changed if all(_alike(first, each) for each in changed.values()) else None


def _versions(changed: dict[str, Any] | None, command: RecordCheckpoint) -> dict[str, Any]:
    if changed is None:
        return {"versions": dict(command.versions)}
    if not changed:
        return {}
    return {"version": next(iter(changed.values())), "bumped": tuple(changed)}


def _seen(parent: SavedCheckpoint | None, command: RecordCheckpoint) -> dict[str, Any]:
    whole = command.seen
    if parent is None:
        return {"seen": whole}
    if parent.seen.keys() - whole.keys():
        return {"seen": whole, "is_seen_whole": True}
    saw: list[str] = []
    seen: dict[str, Versions] = {}
    for node, versions in whole.items():
        before = parent.seen.get(node)
        if before is not None and _same_versions(before, versions):
            continue
        if before is not None and _same_versions(_at_parent(before, parent), versions):
            saw.append(node)
        else:
            seen[node] = versions
    return {"saw": tuple(saw), "seen": seen}


def _at_parent(before: Versions, parent: SavedCheckpoint) -> Versions:
    return {name: parent.versions.get(name, version) for name, version in before.items()}


def _same_versions(one: Versions, other: Versions) -> bool:
    if one != other:
        return False
    if list(one) == list(other):  # As a rule: then their types are compared in one go.
        return [*map(type, one.values())] == [*map(type, other.values())]
    return all(_alike(version, other[name]) for name, version in one.items())


def _updated(changed: dict[str, Any] | None, command: RecordCheckpoint) -> dict[str, Any]:
    if command.updated is None:
        return {"has_updated": False}
    changed = changed or {}
    updated = set(command.updated)
    if updated <= changed.keys() and tuple(sorted(updated)) == command.updated:
        return {"consumed": tuple(name for name in changed if name not in updated)}
    return {"updated": command.updated}


def _metadata(command: RecordCheckpoint, thread: Thread, *, is_fork: bool) -> Delta | None:
    known: Mapping[str, Any] = known_metadata(thread.state.saved, command.ns, is_fork=is_fork)
    if same(dict(known), command.metadata):
        return None
    if not known:
        return SetValue(op="set", value=command.metadata)
    return merge_between(dict(known), command.metadata)
