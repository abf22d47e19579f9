"""What channels that store only what is written to them contributed along a checkpoint's ancestors.

The rules are those of LangGraph's `BaseCheckpointSaver.get_delta_channel_history`. Ancestors that were taken out of sight count:
what was built on them keeps its values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langgraph.checkpoint.base import DeltaChannelHistory, PendingWrite

    from ...domain.saved import Saved, SavedCheckpoint
    from ...domain.thread import Thread
    from .reading import Reader


def delta_channel_history(
    reader: Reader, thread: Thread, target: SavedCheckpoint | None, channels: Sequence[str]
) -> dict[str, DeltaChannelHistory]:
    """Return, by channel, the writes of the target's ancestors (oldest first), from the nearest stored value on."""
    saved = thread.state.saved
    collected: dict[str, list[list[PendingWrite]]] = {name: [] for name in channels}
    seeds: dict[str, object] = {}
    for ancestor in _ancestors(saved, target):
        writes = saved.writes_on(ancestor.ns, ancestor.checkpoint_id)
        for name in collected.keys() - seeds.keys():
            own = [write for write in writes if write.channel == name]
            collected[name].append(reader.writes(own))
            if name in ancestor.channels:
                seeds[name] = reader.value(ancestor.channels[name])
        if len(seeds) == len(collected):
            break
    result: dict[str, DeltaChannelHistory] = {}
    for name, parts in collected.items():
        entry: DeltaChannelHistory = {
            "writes": [write for part in reversed(parts) for write in part]
        }
        if name in seeds:
            entry["seed"] = seeds[name]
        result[name] = entry
    return result


def _ancestors(saved: Saved, target: SavedCheckpoint | None) -> Iterator[SavedCheckpoint]:
    if target is None or target.parent_id is None:
        return
    by_id = {each.checkpoint_id: each for each in saved.recent if each.ns == target.ns}
    seen: set[str] = set()
    wanted = target.parent_id
    while wanted is not None and wanted in by_id and wanted not in seen:
        seen.add(wanted)
        yield by_id[wanted]
        wanted = by_id[wanted].parent_id
