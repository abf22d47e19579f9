"""What the SDKs get: runs, threads, states, checkpoints and assistants as wire objects, made of views."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_OID, uuid5

from ...domain.events import RunError, Task
from ...domain.state import Checkpoint, State
from ..views import RunResult, RunView, StateView, ThreadView
from .responses import timestamp

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

DEFAULT_STREAM_MODES = ["values"]

_SYSTEM = {"created_by": "system"}
"""The metadata of the assistants that every graph has from the start, and so of every run."""


def picked(content: dict[str, Any], fields: frozenset[str] | None) -> dict[str, Any]:
    """Return these fields of an object; None: all."""
    if fields is None:
        return content
    return {name: value for name, value in content.items() if name in fields}


# ------------------------------------------------------------------ threads


def thread_object(view: ThreadView) -> dict[str, Any]:
    """Return a thread. `interrupts` and `error` are there once a run has ended."""
    content: dict[str, Any] = {
        "thread_id": view.thread_id,
        "created_at": timestamp(view.created_at),
        "updated_at": timestamp(view.updated_at),
        "state_updated_at": timestamp(view.state_updated_at),
        "metadata": view.metadata,
        "status": view.status,
        "config": {},
        "values": view.values,
    }
    if view.has_ended_run:
        content["interrupts"] = {
            task.id: list(task.interrupts) for task in view.tasks if task.interrupts
        }
        content["error"] = error_object(view.error)
    return content


def error_object(error: RunError | None) -> dict[str, Any] | None:
    """Return what went wrong, as class and message."""
    return None if error is None else {"error": error.error, "message": error.message}


# ------------------------------------------------------------------ states


def checkpoint_reference(thread_id: str, checkpoint_id: str | None) -> dict[str, Any] | None:
    """Return a checkpoint as the SDKs name it."""
    if checkpoint_id is None:
        return None
    return {"thread_id": thread_id, "checkpoint_ns": "", "checkpoint_id": checkpoint_id}


def state_object(view: StateView) -> dict[str, Any]:
    """Return a state; that of an empty thread has null for all that comes from a checkpoint."""
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
    thread_id = view.thread_id
    return {
        **content,
        "metadata": checkpoint_metadata(checkpoint, thread_id, view.metadata),
        "created_at": timestamp(checkpoint.created_at),
        "checkpoint": checkpoint_reference(thread_id, checkpoint.checkpoint_id),
        "parent_checkpoint": checkpoint_reference(thread_id, checkpoint.parent_id),
        "checkpoint_id": checkpoint.checkpoint_id,
        "parent_checkpoint_id": checkpoint.parent_id,
    }


def unknown_state_object(thread_id: str, checkpoint_id: str) -> dict[str, Any]:
    """Return the empty state that an unknown checkpoint has, as the SDKs expect it."""
    return {
        "values": {},
        "next": [],
        "tasks": [],
        "metadata": None,
        "created_at": None,
        "checkpoint": checkpoint_reference(thread_id, checkpoint_id),
        "parent_checkpoint": None,
        "interrupts": [],
        "checkpoint_id": checkpoint_id,
        "parent_checkpoint_id": None,
    }


def checkpoint_metadata(
    checkpoint: Checkpoint, thread_id: str, thread_metadata: dict[str, Any]
) -> dict[str, Any]:
    """Return where a checkpoint came from: a run's step, or an update from outside."""
    own: dict[str, Any] = {
        "source": checkpoint.source,
        "step": checkpoint.step,
        "parents": {},
        "thread_id": thread_id,
    }
    if checkpoint.run_id is None:
        graph = {
            name: thread_metadata[name]
            for name in ("graph_id", "assistant_id")
            if name in thread_metadata
        }
        return {**graph, **own}
    run = {"run_id": checkpoint.run_id, "run_attempt": checkpoint.attempt}
    return {**thread_metadata, **own, **run}


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


# ------------------------------------------------------------------ runs


def run_object(view: RunView) -> dict[str, Any]:
    """Return a run."""
    row = view.row
    metadata = {**_SYSTEM, **view.metadata}
    return {
        "run_id": row.run_id,
        "thread_id": row.thread_id,
        "assistant_id": row.assistant_id,
        "status": row.status,
        "metadata": metadata,
        "kwargs": _kwargs(view, metadata),
        "multitask_strategy": row.multitask_strategy,
        "created_at": timestamp(row.created_at),
        "updated_at": timestamp(row.updated_at),
        "langsmith_session_name": None,
    }


def _kwargs(view: RunView, metadata: dict[str, Any]) -> dict[str, Any]:
    row, given = view.row, view.accepted.kwargs
    config: Any = given.get("config") or {}
    own = {
        "run_id": row.run_id,
        "thread_id": row.thread_id,
        "graph_id": row.graph_id,
        "assistant_id": row.assistant_id,
    }
    return {
        "input": view.input,
        "command": None,
        "config": {
            **config,
            "configurable": {**(config.get("configurable") or {}), **own},
            "metadata": metadata,
        },
        "context": given.get("context") or {},
        "stream_mode": given.get("stream_mode") or DEFAULT_STREAM_MODES,
        "interrupt_before": None,
        "interrupt_after": None,
        "webhook": None,
        "feedback_keys": None,
        "temporary": False,
        "subgraphs": False,
        "resumable": False,
        "checkpoint_during": True,
        "durability": given.get("durability") or "async",
    }


def result_object(result: RunResult) -> dict[str, Any]:
    """Return what a waiter gets: the values, or why there are none."""
    error = error_object(result.error)
    return result.values if error is None else {"__error__": error}
