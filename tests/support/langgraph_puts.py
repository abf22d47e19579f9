"""Trees of checkpoints that are put call by call into several savers, with the same ids, so that their answers must be equal.

Wilder than what LangGraph does itself: forks anywhere, roots beside roots, writes for checkpoints that come later or never, slots
written again, several namespaces, values that a channel stores now and then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from .langgraph_values import LONG, value

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata, CheckpointTuple

    from .langgraph_graphs import Saver

CHANNELS = ("log", "other", "plain", "branch:to:a")
NAMESPACES = ("", "sub", "call:00000000-0000-0000-0000-0000000000aa|deep")
SPECIAL = ("__error__", "__scheduled__", "__interrupt__", "__resume__")
PATHS = ("", "~__pregel_pull, a", "~__pregel_pull, b", "~__pregel_push, 0000000001", "~0")


@dataclass(frozen=True)
class Put:
    """A checkpoint; its parent by number among those of its namespace, newest first; -1 for none."""

    ns: int
    parent: int
    changes: tuple[tuple[int, int], ...]
    """Channels with the number of the new value; below 0: the channel has a new version and stores nothing."""
    is_snapshot: bool = False
    run: int = 0
    updated: int | None = None


@dataclass(frozen=True)
class Writes:
    """Writes for a checkpoint by number, newest first; -1 for the one that is put next."""

    ns: int
    checkpoint: int
    task: int
    path: int
    writes: tuple[tuple[str, int], ...]


class Stored(NamedTuple):
    """What a checkpoint has of a channel: as it was when its version was new."""

    version: int
    pick: int
    is_snapshot: bool

    def value(self) -> Any:
        """Make the value, a new object at each call."""
        made = [f"item{self.pick}", value(self.pick)] if self.pick % 2 else value(self.pick)
        return _DeltaSnapshot(made) if self.is_snapshot and self.pick % 3 else made


def checkpoint_id(at: int) -> str:
    """Return the id of the checkpoint number `at`: they sort as they were made."""
    return f"1f000000-{at >> 16:04x}-6{at & 0xFFF:03x}-8000-{at:012x}"


def named(thread_id: str, ns: str, name: str | None = None) -> RunnableConfig:
    """Return what names a checkpoint, or a namespace."""
    config = {"thread_id": thread_id, "checkpoint_ns": ns}
    return {"configurable": config if name is None else {**config, "checkpoint_id": name}}


@dataclass
class Tree:
    """What a sequence of calls comes to; `played` makes the calls."""

    thread_id: str = "thread"
    made: dict[str, list[tuple[str, dict[str, Stored]]]] = field(default_factory=dict)
    """By namespace: the checkpoints' ids, each with its channels' versions and stored values (absent: no value)."""
    calls: int = 0
    count: int = 0

    async def play(self, call: Put | Writes, *savers: Saver) -> None:
        """Make the call on each saver, with objects of its own."""
        self.calls += 1
        if isinstance(call, Put):
            parent, channels = self._next(call)
            name = checkpoint_id(self.count)
            for saver in savers:
                await self._put(call, saver, name, parent, channels)
            self.made.setdefault(NAMESPACES[call.ns], []).append((name, channels))
        else:
            for saver in savers:
                await self._put_writes(call, saver)

    def _next(self, call: Put) -> tuple[str | None, dict[str, Stored]]:
        self.count += 1
        held = self.made.get(NAMESPACES[call.ns], [])
        parent = held[-1 - call.parent % len(held)] if held and call.parent >= 0 else None
        channels = dict(parent[1]) if parent else {}
        for channel, pick in call.changes:
            # The versions of two branches are never the same: some savers keep values by version.
            channels[CHANNELS[channel]] = Stored(self.calls * 10, pick, call.is_snapshot)
        return parent and parent[0], channels

    async def _put(
        self,
        call: Put,
        saver: Saver,
        name: str,
        parent: str | None,
        channels: dict[str, Stored],
    ) -> None:
        new = {channel: stored.version for channel, stored in channels.items()}
        held = dict(self.made.get(NAMESPACES[call.ns], [])).get(parent or "", {})
        checkpoint: Any = {
            "v": 4,
            "id": name,
            "ts": f"2024-01-01T00:00:00.{self.calls:06}+00:00",
            "channel_values": {
                channel: stored.value() for channel, stored in channels.items() if stored.pick >= 0
            },
            "channel_versions": dict(new),
            "versions_seen": {
                "__input__": {},
                "a": {channel: new[channel] for channel in list(new)[:2]},
            },
            "updated_channels": None if call.updated is None else sorted(new)[: call.updated],
        }
        metadata: CheckpointMetadata = {
            "source": "loop", "step": self.calls - 2, "parents": {"": parent or ""},
            "counters": [self.calls, LONG],
        }  # type: ignore[typeddict-unknown-key]  # fmt: skip
        config = named(self.thread_id, NAMESPACES[call.ns], parent)
        if call.run:
            config["metadata"] = {"run_id": f"run-{call.run}", "user": "u\x00", "none": None}
        changed = {
            channel: version
            for channel, version in new.items()
            if channel not in held or held[channel].version != version
        }
        await saver.aput(config, checkpoint, metadata, changed)  # type: ignore[arg-type]

    async def _put_writes(self, call: Writes, saver: Saver) -> None:
        ns = NAMESPACES[call.ns]
        held = self.made.get(ns, [])
        later = call.checkpoint < 0 or not held
        name = checkpoint_id(self.count + 1) if later else held[-1 - call.checkpoint % len(held)][0]
        writes = [(channel, [f"w{self.calls}", value(pick)]) for channel, pick in call.writes]
        task = f"00000000-0000-0000-0000-{call.task:012}"
        await saver.aput_writes(named(self.thread_id, ns, name), writes, task, PATHS[call.path])

    def names(self) -> list[tuple[str, str]]:
        """List all checkpoints: namespace and id."""
        return [(ns, name) for ns, held in self.made.items() for name, _ in held]


_picks = st.integers(-8, 63)
_ns = st.sampled_from([0, 0, 0, 1, 2])

puts = st.builds(
    Put,
    ns=_ns,
    parent=st.sampled_from([0, 0, 0, 0, 0, 1, 2, 5, -1]),
    changes=st.lists(
        st.tuples(st.integers(0, len(CHANNELS) - 1), _picks),
        max_size=4,
        unique_by=lambda one: one[0],
    ).map(tuple),
    is_snapshot=st.booleans(),
    run=st.integers(0, 2),
    updated=st.none() | st.integers(0, 3),
)
writes = st.builds(
    Writes,
    ns=_ns,
    checkpoint=st.sampled_from([0, 0, 0, 1, 2, -1]),
    task=st.integers(0, 3),
    path=st.integers(0, len(PATHS) - 1),
    writes=st.lists(
        st.tuples(st.sampled_from([*CHANNELS[:3], "log", *SPECIAL]), st.integers(0, 63)),
        min_size=1,
        max_size=3,
    ).map(tuple),
)


def trees(size: int = 20) -> st.SearchStrategy[list[Put | Writes]]:
    """Make calls, as many of each kind, the first a put."""
    return st.tuples(puts, st.lists(puts | writes, max_size=size)).map(
        lambda made: [made[0], *made[1]]
    )


def plain(held: CheckpointTuple | None) -> Any:
    """Return a tuple as data that compares by content."""
    if held is None:
        return None
    checkpoint: Checkpoint = held.checkpoint
    return {
        "config": held.config["configurable"],
        "checkpoint": dict(checkpoint),
        "metadata": dict(held.metadata),
        "parent": held.parent_config and held.parent_config["configurable"],
        "writes": list(held.pending_writes or []),
    }
