"""What a user can see of a thread, in a form that is easy to compare. Bookkeeping is left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from threadfold.domain.channels import decode_object, read_values

if TYPE_CHECKING:
    from threadfold.domain.channels import Items
    from threadfold.domain.state import State
    from threadfold.domain.thread import Run, Thread


def text(value: object) -> str:
    """Write a value as JSON text: unlike Python, that tells 1, 1.0 and True apart."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def visible(thread: Thread) -> dict[str, Any]:
    """Return what a user can see.

    Not in it: versions, item numbers, `base`, `holder`, and when the thread was last touched.
    """
    last = thread.last_run
    return {
        "is_present": thread.is_present,
        "status": thread.status,
        "metadata": text(thread.metadata),
        **visible_state(thread.state, thread.items),
        "runs": [visible_run(run, thread.items) for run in thread.in_order()],
        "next_run": (run := thread.next_run()) and run.run_id,
        "active": thread.active,
        "last_run": last and (last.run_id, last.status, last.ended_at),
    }


def visible_state(state: State, items: Items) -> dict[str, Any]:
    """Return what a user can see of a state."""
    checkpoint = state.checkpoint
    return {
        "values": {name: text(v) for name, v in read_values(state.channels, items).items()},
        "checkpoint": checkpoint
        and (
            checkpoint.checkpoint_id,
            checkpoint.step,
            checkpoint.source,
            checkpoint.node,
            checkpoint.run_id,
            checkpoint.attempt,
            checkpoint.parent_id,
            checkpoint.created_at,
        ),
        "next": state.next,
        "tasks": [task.model_dump() for task in state.tasks],
        "error": state.error and (state.error.error, state.error.message),
        "is_erased": state.is_erased,
        # Logs from before there was such a field have no cancelled runs.
        **({"stopped_run": state.stopped_run} if state.stopped_run else {}),
    }


def visible_run(run: Run, items: Items) -> dict[str, Any]:
    """Return what a user can see of a run in flight, and what its graph is given."""
    accepted = run.accepted
    given = accepted.raw_input
    hidden = {"input", "raw_input", "first_item", "items", "erased_items", "is_typed"}
    if accepted.assistant_metadata is None:
        hidden.add("assistant_metadata")  # As in logs from before there was such a field.
    if accepted.input is not None:
        given = read_values(decode_object(accepted.input), items)
    return {
        "run_id": run.run_id,
        "status": run.status,
        "attempt": run.attempt,
        "handed_over": run.handed_over,
        "input": text(given),
        "created_at": run.created_at,
        "due_at": run.due_at,
        "started_at": run.started_at,
        "results": text(dict(run.results)),
        "accepted": accepted.model_dump(exclude=hidden),
    }


def complete(thread: Thread) -> dict[str, Any]:
    """Return all that a thread value holds, but for items that nothing refers to and the history."""
    return {
        **visible(thread),
        "version": thread.version,
        "next_item": thread.next_item,
        "holder": thread.holder,
        "ttl": (thread.ttl, thread.expires_at, thread.pruned_version),
        "times": (thread.created_at, thread.updated_at, thread.state_updated_at),
        "checkpoint_version": thread.state.checkpoint and thread.state.checkpoint.version,
        "base": thread.base and visible_state(thread.base, thread.items),
        "channels": {name: repr(channel) for name, channel in thread.state.channels.items()},
        "run_items": [run.items for run in thread.runs.values()],
        "accepted": [text(run.accepted.model_dump(mode="json")) for run in thread.runs.values()],
        "run_versions": [run.accepted_version for run in thread.runs.values()],
    }


def portrait(thread: Thread) -> str:
    """Return everything that can be reached from a thread value, as text.

    Two portraits of one value differ if anything in it was changed in between.
    """
    parts = [repr(thread)]
    for state in (thread.state, thread.base):
        while state is not None:
            parts.append(repr((state.depth, state)))
            state = state.parent
    return "\n".join(parts)
