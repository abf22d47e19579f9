"""What checkpointers saved in a thread: checkpoints by namespace, and the writes that wait on them. The fold's side only.

A thread keeps the newest checkpoint of each living namespace, and a window of the newest ones of all; the log has them all, and a
fold with `EVERYTHING` keeps them. How they become events is in `saved_encoding.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from .channels import apply, decode
from .shared_list import SharedList
from .value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from .channels import Channel, Channels
    from .deltas import ChannelVersion, Range
    from .events import CheckpointRecorded, CheckpointsHidden, RecordedEvent, WritesRecorded
    from .values import JsonObject

WINDOW_MIN = 64
"""At least so many of the newest checkpoints are kept, if there are so many."""

Versions: TypeAlias = "Mapping[str, ChannelVersion]"
Slot: TypeAlias = tuple[str, int]
"""A task's id, and the place among its writes; special kinds of writes have places below 0."""

CheckpointKey: TypeAlias = tuple[str, str]
"""A namespace, and the id of a checkpoint in it."""


class Write(NamedTuple):
    """What a task wrote to a channel."""

    task_id: str
    idx: int
    channel: str
    value: Channel
    task_path: str
    run_id: str | None

    @property
    def order(self) -> tuple[str, str, int]:
        """Writes of a checkpoint are applied in this order."""
        return (self.task_path, self.task_id, self.idx)


@dataclass(frozen=True)
class SavedCheckpoint(Value):
    """A checkpoint as a checkpointer gave it, its values as channels of the fold.

    `run_id` is the engine's run that saved it, `version` the place of its event in the log. `metadata` holds what the graph said
    of it, `source` and `step` apart.
    """

    ns: str
    checkpoint_id: str
    parent_id: str | None
    version: int
    recorded_at: datetime
    run_id: str | None
    source: str
    step: int
    channels: Channels
    versions: Versions
    seen: Mapping[str, Versions]
    updated: tuple[str, ...] | None
    ts: int | str
    format: int
    extra: JsonObject
    metadata: JsonObject
    is_hidden: bool = False

    @property
    def made_by(self) -> str | None:
        """What the graph called the run that saved it."""
        run_id = self.metadata.get("run_id")
        return run_id if isinstance(run_id, str) else self.run_id


@dataclass(frozen=True)
class Saved(Value):
    """All that checkpointers saved, as far as it is kept.

    `heads` has the checkpoint of each living namespace that was recorded last, hidden or not: differences are told to it.
    `recent` has checkpoints of all namespaces, oldest first; all of them if `is_complete`. `owned` are the numbers of the items
    that the events brought in which made this: what is saved next may refer to them.
    """

    heads: Mapping[str, SavedCheckpoint] = field(default_factory=dict[str, SavedCheckpoint])
    recent: SharedList[SavedCheckpoint] = field(default_factory=SharedList[SavedCheckpoint])
    writes: Mapping[CheckpointKey, Mapping[Slot, Write]] = field(
        default_factory=dict["CheckpointKey", "Mapping[Slot, Write]"]
    )
    owned: tuple[Range, ...] = ()
    is_complete: bool = True
    keeps_all: bool = False
    version: int = 0

    def latest(self, ns: str) -> SavedCheckpoint | None:
        """Return the newest checkpoint of a namespace that is in sight, if it is kept."""
        head = self.heads.get(ns)
        if head is not None and not head.is_hidden:
            return head
        return next(self.newest_first(ns), None)

    def find(self, ns: str, checkpoint_id: str) -> SavedCheckpoint | None:
        """Return a checkpoint in sight by its id, if it is kept."""
        head = self.heads.get(ns)
        if head is not None and head.checkpoint_id == checkpoint_id and not head.is_hidden:
            return head
        found = (each for each in self.newest_first(ns) if each.checkpoint_id == checkpoint_id)
        return next(found, None)

    def newest_first(self, ns: str | None = None) -> Iterator[SavedCheckpoint]:
        """Yield the checkpoints in sight that are kept, of one namespace or of all."""
        recent = self.recent
        seen: set[CheckpointKey] = set()
        for at in range(len(recent) - 1, -1, -1):
            saved = recent[at]
            if saved.is_hidden or (ns is not None and saved.ns != ns):
                continue
            key = (saved.ns, saved.checkpoint_id)
            if key not in seen:  # One that was recorded again stands as it was recorded last.
                seen.add(key)
                yield saved

    def writes_on(self, ns: str, checkpoint_id: str) -> list[Write]:
        """Return the writes that wait on a checkpoint, in the order in which they are applied."""
        slots = self.writes.get((ns, checkpoint_id))
        return sorted(slots.values(), key=lambda write: write.order) if slots else []

    def has_any_of(self, run_ids: frozenset[str]) -> bool:
        """Say whether one of these runs saved something that is kept and in sight."""
        if any(each.made_by in run_ids for each in self.newest_first()):
            return True
        writes = (write for slots in self.writes.values() for write in slots.values())
        return any(write.run_id in run_ids for write in writes)

    def with_items(self, *ranges: Range) -> Saved:
        """Return this with more items of its own."""
        owned = list(self.owned)
        for start, stop in ranges:
            if start == stop or (owned and owned[-1][0] <= start and stop <= owned[-1][1]):
                continue
            if any(first <= start and stop <= end for first, end in owned):
                continue
            if owned and owned[-1][1] == start:
                owned[-1] = (owned[-1][0], stop)
            else:
                owned.append((start, stop))
        return self.changed(owned=tuple(owned))


NOTHING_SAVED = Saved()
EVERYTHING = Saved(keeps_all=True)
"""Nothing saved yet, and nothing will ever be left out: where a fold begins that needs all checkpoints."""


def has_version_of(checkpoint: SavedCheckpoint, versions: Versions, name: str) -> bool:
    """Say whether a channel has, among these versions, the one that it has in the checkpoint: then it has its value, too."""
    version = versions.get(name)
    return version is not None and checkpoint.versions.get(name) == version


# ------------------------------------------------------------------ the fold


def with_checkpoint(
    saved: Saved, event: CheckpointRecorded, recorded: RecordedEvent, run_items: Range
) -> tuple[Saved, SavedCheckpoint]:
    """Return what is saved after a checkpoint, and the checkpoint itself."""
    head = saved.heads.get(event.ns)
    parent = None if event.is_fork else head
    parent_step = parent.step if parent is not None else -2
    checkpoint = SavedCheckpoint(
        ns=event.ns,
        checkpoint_id=event.checkpoint_id,
        parent_id=event.parent_id if parent is None else parent.checkpoint_id,
        version=recorded.version,
        recorded_at=recorded.recorded_at,
        run_id=event.run_id,
        source=event.source,
        step=parent_step + 1 if event.step is None else event.step,
        channels=apply({} if parent is None else parent.channels, event.deltas),
        versions=_versions(parent, event),
        seen=_seen(parent, event),
        updated=_updated(event),
        ts=event.ts,
        format=event.format,
        extra=event.extra,
        metadata=_metadata(saved, event),
    )
    heads = dict(saved.heads)
    if event.ns == "":
        # The namespaces of subgraph calls go with the step they were made in: the next step's have other names. Those made on
        # this very checkpoint may have been recorded before it (durability "exit").
        heads = {
            ns: each
            for ns, each in heads.items()
            if ":" not in ns or _is_made_on(each, event.checkpoint_id)
        }
    heads[event.ns] = checkpoint
    after = saved.changed(
        heads=heads,
        recent=saved.recent.extended([checkpoint]),
        version=recorded.version,
    )
    own = (event.first_item, event.first_item + len(event.items))
    after = after.with_items(run_items, own)
    if not saved.keeps_all and len(after.recent) >= 2 * WINDOW_MIN:
        after = _windowed(after)
    return after, checkpoint


def with_writes(
    saved: Saved, event: WritesRecorded, recorded: RecordedEvent, run_items: Range
) -> Saved:
    """Return what is saved after a task's writes."""
    checkpoint_id = event.checkpoint_id
    if checkpoint_id is None:
        head = saved.heads.get(event.ns)
        checkpoint_id = head.checkpoint_id if head is not None else ""
    key = (event.ns, checkpoint_id)
    slots = dict(saved.writes.get(key, {}))
    for place, write in enumerate(event.writes):
        idx = place if write.idx is None else write.idx
        slot = (event.task_id, idx)
        if idx < 0 or slot not in slots:
            slots[slot] = Write(
                event.task_id,
                idx,
                write.channel,
                decode(write.value),
                event.task_path,
                event.run_id or event.by_run_id,
            )
    own = (event.first_item, event.first_item + len(event.items))
    after = saved.with_items(run_items, own)
    return after.changed(writes={**saved.writes, key: slots}, version=recorded.version)


def hidden(saved: Saved, event: CheckpointsHidden, version: int) -> Saved:
    """Return what is saved after checkpoints were taken out of sight."""
    gone = set[CheckpointKey]()
    if event.keep == "others":
        runs = set(event.run_ids)
        gone.update((each.ns, each.checkpoint_id) for each in saved.recent if each.made_by in runs)
        gone.update(
            (each.ns, each.checkpoint_id) for each in saved.heads.values() if each.made_by in runs
        )
    else:
        gone.update((each.ns, each.checkpoint_id) for each in saved.recent)
        gone.update((each.ns, each.checkpoint_id) for each in saved.heads.values())
        if event.keep == "latest":
            kept = {ns: saved.latest(ns) for ns, _ in gone}
            gone -= {(ns, each.checkpoint_id) for ns, each in kept.items() if each is not None}

    def turned(each: SavedCheckpoint) -> SavedCheckpoint:
        return each.changed(is_hidden=True) if (each.ns, each.checkpoint_id) in gone else each

    return saved.changed(
        heads={ns: turned(each) for ns, each in saved.heads.items()},
        recent=SharedList(map(turned, saved.recent)),
        writes=_remaining_writes(saved, event, gone),
        version=version,
    )


def _remaining_writes(
    saved: Saved, event: CheckpointsHidden, gone: set[CheckpointKey]
) -> dict[CheckpointKey, Mapping[Slot, Write]]:
    """Leave out the writes of hidden runs, but for those that a checkpoint in sight was made of, be it by way of hidden ones."""
    runs = set(event.run_ids)
    parents = _ancestors(saved, gone)
    remaining: dict[CheckpointKey, Mapping[Slot, Write]] = {}
    for key, slots in saved.writes.items():
        if event.keep == "others" and key not in parents:
            slots = {slot: write for slot, write in slots.items() if write.run_id not in runs}
        if slots:
            remaining[key] = slots
    return remaining


def _ancestors(saved: Saved, gone: set[CheckpointKey]) -> set[CheckpointKey]:
    """Return the checkpoints that those which stay in sight descend from."""
    parents = {(each.ns, each.checkpoint_id): each.parent_id for each in saved.recent}
    found: set[CheckpointKey] = set()
    for each in saved.newest_first():
        if (each.ns, each.checkpoint_id) in gone:
            continue
        above = each.parent_id
        while above is not None and (each.ns, above) not in found:
            found.add((each.ns, above))
            above = parents.get((each.ns, above))
    return found


def _windowed(saved: Saved) -> Saved:
    """Leave out the oldest checkpoints, and the writes on those that nobody can name any more: the log has them."""
    recent = saved.recent.slice(len(saved.recent) - WINDOW_MIN, len(saved.recent))
    kept = {(each.ns, each.checkpoint_id) for each in (*recent, *saved.heads.values())}
    dropped = {
        (each.ns, each.checkpoint_id)
        for each in saved.recent.slice(0, len(saved.recent) - WINDOW_MIN)
    } - kept
    return saved.changed(
        recent=SharedList(recent),
        writes={key: slots for key, slots in saved.writes.items() if key not in dropped},
        is_complete=False,
    )


def _is_made_on(checkpoint: SavedCheckpoint, root_id: str) -> bool:
    """Say whether a subgraph's checkpoint belongs to a call that was made on this checkpoint of the graph itself."""
    parents = checkpoint.metadata.get("parents")
    return isinstance(parents, dict) and parents.get("") == root_id


def _versions(parent: SavedCheckpoint | None, event: CheckpointRecorded) -> Versions:
    if event.versions is not None:
        return event.versions
    versions: Versions = {} if parent is None else parent.versions
    version = event.version
    if version is None:
        return versions
    return {**versions, **dict.fromkeys(event.bumped, version)}


def _seen(parent: SavedCheckpoint | None, event: CheckpointRecorded) -> Mapping[str, Versions]:
    if parent is None or event.is_seen_whole:
        return event.seen
    if not event.saw and not event.seen:
        return parent.seen
    seen = dict(parent.seen)
    for node in event.saw:
        before = seen.get(node, {})
        seen[node] = {name: parent.versions.get(name, version) for name, version in before.items()}
    seen.update(event.seen)
    return seen


def _updated(event: CheckpointRecorded) -> tuple[str, ...] | None:
    if not event.has_updated:
        return None
    if event.updated is not None:
        return event.updated
    consumed = set(event.consumed)
    return tuple(sorted(name for name in event.bumped if name not in consumed))


def known_metadata(saved: Saved, ns: str, *, is_fork: bool) -> JsonObject:
    """Return the metadata that a checkpoint's own are told as the difference to."""
    head = None if is_fork else saved.heads.get(ns)
    head = head or saved.heads.get("")
    return head.metadata if head is not None else {}


def _metadata(saved: Saved, event: CheckpointRecorded) -> JsonObject:
    known = known_metadata(saved, event.ns, is_fork=event.is_fork)
    if event.metadata is None:
        return known
    changed = apply({"metadata": known}, {"metadata": event.metadata})
    return cast("JsonObject", changed["metadata"])
