"""What a checkpointer sees of a thread, in a form that is easy to compare. What users see is in `visible.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from threadfold.domain.channels import read_channel, read_values
from threadfold.domain.checkpoint_times import full_time

from .visible import text, visible

if TYPE_CHECKING:
    from threadfold.domain.channels import Items
    from threadfold.domain.saved import Saved, SavedCheckpoint
    from threadfold.domain.state import State
    from threadfold.domain.thread import Thread


def seen_checkpoint(each: SavedCheckpoint, items: Items) -> dict[str, Any]:
    """Return what a checkpointer gets back of a checkpoint."""
    return {
        "key": (each.ns, each.checkpoint_id),
        "parent_id": each.parent_id,
        "run": (each.run_id, each.made_by),
        "place": (each.source, each.step, full_time(each.ts, each.checkpoint_id), each.format),
        "values": {name: text(value) for name, value in read_values(each.channels, items).items()},
        "versions": text(dict(each.versions)),
        "seen": text({node: dict(versions) for node, versions in each.seen.items()}),
        "updated": each.updated,
        "extra": text(each.extra),
        "metadata": text(each.metadata),
        "is_hidden": each.is_hidden,
    }


def seen_writes(saved: Saved, key: tuple[str, str], items: Items) -> list[tuple[Any, ...]]:
    """Return what a checkpointer gets back of the writes on a checkpoint."""
    return [
        (w.task_id, w.idx, w.channel, text(read_channel(w.value, items)), w.task_path, w.run_id)
        for w in saved.writes_on(*key)
    ]


def seen_calls(state: State, items: Items) -> dict[str, Any]:
    """Return what is known of tool calls."""
    return {
        call_id: (*call._replace(result=None), text(read_channel(call.result, items)))
        for call_id, call in state.calls.items()
    }


def seen_state(state: State, items: Items) -> dict[str, Any]:
    """Return all that a checkpointer can get of a state."""
    saved = state.saved
    return {
        "checkpoints": [seen_checkpoint(each, items) for each in saved.newest_first()],
        "heads": {ns: seen_checkpoint(each, items) for ns, each in saved.heads.items()},
        "writes": {
            key: writes for key in saved.writes if (writes := seen_writes(saved, key, items))
        },
        "calls": seen_calls(state, items),
    }


def seen(thread: Thread) -> dict[str, Any]:
    """Return all that a user and a checkpointer can see of a thread, and what it would go back to."""
    base = thread.base and seen_state(thread.base, thread.items)
    return {**visible(thread), **seen_state(thread.state, thread.items), "base": base}
