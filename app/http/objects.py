"""What the SDKs get: runs, threads, states, checkpoints and assistants as wire objects, made of views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from ...domain.checkpoint_times import full_time
from ...domain.events import Task
from ...domain.state import Checkpoint, State
from ..extraction import Path
from ..graph_states import GraphState, TaskState
from ..run_objects import (
    CHECKPOINT_KEYS,
    DEFAULT_STREAM_MODES,
    error_object,
    result_object,
    run_object,
    timestamp,
)
from ..views import StateView, ThreadView, checkpoint_metadata

__all__ = ["DEFAULT_STREAM_MODES", "error_object", "result_object", "run_object"]

THREAD_FIELDS = frozenset(
    {
        "thread_id", "created_at", "updated_at", "state_updated_at", "metadata", "status",
        "config", "values", "interrupts", "error",
    }
)  # fmt: skip
RUN_FIELDS = frozenset(
    {
        "run_id", "thread_id", "assistant_id", "status", "metadata", "kwargs",
        "multitask_strategy", "created_at", "updated_at", "langsmith_session_name",
    }
)  # fmt: skip
STATE_FIELDS = frozenset(
    {
        "values", "next", "tasks", "metadata", "created_at", "checkpoint", "parent_checkpoint",
        "interrupts", "checkpoint_id", "parent_checkpoint_id",
    }
)  # fmt: skip


def picked(content: dict[str, Any], fields: frozenset[str] | None) -> dict[str, Any]:
    """Return these fields of an object; None: all."""
    if fields is None:
        return content
    return {name: value for name, value in content.items() if name in fields}


# ------------------------------------------------------------------ threads


def thread_object(view: ThreadView) -> dict[str, Any]:
    """Return a thread. `interrupts` and `error` are there once a run has ended, or the values are by no run of its own."""
    content: dict[str, Any] = {
        "thread_id": view.thread_id,
        "created_at": timestamp(view.created_at),
        "updated_at": timestamp(view.updated_at),
        "state_updated_at": timestamp(view.state_updated_at),
        "metadata": view.metadata,
        "status": view.status,
        "config": {},
        "values": None if view.state_values is None else view.state_values.to_encode(),
    }
    is_at_rest = view.state_values is not None and view.status != "busy"
    if view.has_ended_run or view.tasks or view.error is not None or is_at_rest:
        content["interrupts"] = {
            task.id: list(task.interrupts) for task in view.tasks if task.interrupts
        }
        content["error"] = error_object(view.error)
    return content


def ttl_object(view: ThreadView) -> dict[str, Any] | None:
    """Return how long a thread lives without a change; `expires_at` is null while a run is in flight."""
    if view.ttl is None:
        return None
    return {
        "strategy": view.ttl.strategy,
        "ttl_minutes": view.ttl.minutes,
        "expires_at": None if view.expires_at is None else timestamp(view.expires_at),
    }


def found_thread(
    view: ThreadView, fields: frozenset[str] | None, paths: Mapping[str, Path]
) -> dict[str, Any]:
    """Return these fields of a thread, and what the paths lead to."""
    whole = thread_object(view)
    content = picked(whole, fields)
    if not paths:
        return content
    found = {alias: path.read(whole, view.state_values) for alias, path in paths.items()}
    return {**content, "extracted": found}


# ------------------------------------------------------------------ states


def checkpoint_reference(thread_id: str, checkpoint_id: str | None) -> dict[str, Any] | None:
    """Return a checkpoint as the SDKs name it."""
    if checkpoint_id is None:
        return None
    return {"thread_id": thread_id, "checkpoint_ns": "", "checkpoint_id": checkpoint_id}


def named_reference(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what a graph names a checkpoint by, as the SDKs know it."""
    if config is None:
        return None
    return {name: config[name] for name in CHECKPOINT_KEYS if name in config}


def state_reference(view: StateView) -> dict[str, Any] | None:
    """Return the name of the state's checkpoint."""
    if view.told is not None:
        return named_reference(view.told.config)
    return checkpoint_reference(view.thread_id, view.state.checkpoint_id)


def state_object(view: StateView) -> dict[str, Any]:
    """Return a state; that of an empty thread has null for all that comes from a checkpoint."""
    if view.told is not None:
        shown = _told_object(view.told, view.values_to_encode())
        return {**shown, "metadata": _saved_metadata(view)}
    checkpoint, state = view.checkpoint, view.state
    tasks = task_objects(state)
    content: dict[str, Any] = {
        "values": view.values_to_encode(),
        "next": list(state.next),
        "tasks": tasks,
        "metadata": None,
        "created_at": None,
        "checkpoint": None,
        "parent_checkpoint": None,
        "interrupts": [entry for task in tasks for entry in task["interrupts"]],
        "checkpoint_id": None,
        "parent_checkpoint_id": None,
    }
    if checkpoint is None:
        return content
    thread_id, saved = view.thread_id, view.saved
    if saved is None:
        metadata = checkpoint_metadata(checkpoint, thread_id, view.metadata)
        created_at = timestamp(checkpoint.created_at)
    else:
        metadata = _saved_metadata(view)
        created_at = full_time(saved.ts, saved.checkpoint_id)
    return {
        **content,
        "metadata": metadata,
        "created_at": created_at,
        "checkpoint": checkpoint_reference(thread_id, checkpoint.checkpoint_id),
        "parent_checkpoint": checkpoint_reference(thread_id, checkpoint.parent_id),
        "checkpoint_id": checkpoint.checkpoint_id,
        "parent_checkpoint_id": checkpoint.parent_id,
    }


def _told_object(told: GraphState, values: object) -> dict[str, Any]:
    """Return a state as its graph tells it, of the thread itself or of an open task's subgraph."""
    parent = named_reference(told.parent_config)
    return {
        "values": values,
        "next": list(told.next),
        "tasks": [_told_task(task) for task in told.tasks],
        "metadata": told.metadata,
        "created_at": told.created_at,
        "checkpoint": named_reference(told.config),
        "parent_checkpoint": parent,
        "interrupts": list(told.interrupts),
        "checkpoint_id": told.config.get("checkpoint_id"),
        "parent_checkpoint_id": None if parent is None else parent.get("checkpoint_id"),
    }


def _told_task(task: TaskState) -> dict[str, Any]:
    return {
        "id": task.id,
        "name": task.name,
        "path": task.path,
        "error": task.error,
        "interrupts": list(task.interrupts),
        "checkpoint": named_reference(task.checkpoint),
        "state": None if task.state is None else _told_object(task.state, task.state.values),
        "result": task.result,
    }


def _saved_metadata(view: StateView) -> dict[str, Any]:
    """Return what the graph said of its checkpoint, with what the thread is known by."""
    own = view.own_metadata
    known = view.metadata
    if "run_id" not in own:
        known = {name: known[name] for name in ("graph_id", "assistant_id") if name in known}
    return {**known, **own, "thread_id": view.thread_id}


def unknown_state_object(thread_id: str, named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the empty state that an unknown checkpoint has, as the SDKs expect it."""
    checkpoint_id, ns = named.get("checkpoint_id") or "", named.get("checkpoint_ns") or ""
    return {
        "values": {},
        "next": [],
        "tasks": [],
        "metadata": None,
        "created_at": None,
        "checkpoint": {
            "thread_id": thread_id,
            "checkpoint_ns": ns,
            "checkpoint_id": checkpoint_id,
        },
        "parent_checkpoint": None,
        "interrupts": [],
        "checkpoint_id": checkpoint_id,
        "parent_checkpoint_id": None,
    }


def task_id(checkpoint: Checkpoint | None, node: str) -> str:
    """Return the id of the work that a node has to do after a checkpoint: always the same one."""
    after = checkpoint.checkpoint_id if checkpoint is not None else ""
    return str(uuid5(NAMESPACE_OID, f"{after}/{node}"))


def task_objects(state: State) -> list[dict[str, Any]]:
    """Return what stands open: the tasks that a run left, or those that come next."""
    tasks = state.tasks or tuple(
        Task(id=task_id(state.checkpoint, node), name=node) for node in state.next
    )
    return [
        {
            "id": task.id,
            "name": task.name,
            "path": ["__pregel_pull", task.name],
            "error": task.error,
            "interrupts": list(task.interrupts),
            "checkpoint": None,
            "state": None,
            "result": None,
        }
        for task in tasks
    ]
