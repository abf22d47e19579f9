"""Runs and how they ended as wire objects, for those who ask for them and for those who are called: made of views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .users import user_id_of

if TYPE_CHECKING:
    from datetime import datetime

    from ..domain.events import RunError
    from .views import RunResult, RunView

DEFAULT_STREAM_MODES = ["values"]

CHECKPOINT_KEYS = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")


def timestamp(moment: datetime) -> str:
    """Return a moment in ISO 8601, with microseconds and `+00:00`."""
    return moment.isoformat(timespec="microseconds")


def run_object(view: RunView) -> dict[str, Any]:
    """Return a run."""
    row = view.row
    metadata = view.metadata
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
        "user_id": user_id_of(given, view.actor),
    }
    durability = given.get("durability")
    if durability is None:
        durability = "exit" if given.get("checkpoint_during") is False else "async"
    return {
        "input": view.input,
        "command": given.get("command"),
        "config": {
            **config,
            "configurable": {**(config.get("configurable") or {}), **_started_from(view), **own},
            "metadata": metadata,
        },
        "context": given.get("context") or {},
        "stream_mode": given.get("stream_mode") or DEFAULT_STREAM_MODES,
        "interrupt_before": given.get("interrupt_before"),
        "interrupt_after": given.get("interrupt_after"),
        "webhook": given.get("webhook"),
        "feedback_keys": None,
        "temporary": view.is_temporary,
        "subgraphs": given.get("stream_subgraphs") is True,
        "resumable": given.get("stream_resumable") is True,
        "checkpoint_during": durability != "exit",
        "durability": durability,
    }


def _started_from(view: RunView) -> dict[str, Any]:
    """Return the checkpoint that the run was told to start from, if it was."""
    given = view.accepted.kwargs
    checkpoint: Any = given.get("checkpoint") or {}
    named = {name: checkpoint[name] for name in CHECKPOINT_KEYS if checkpoint.get(name)}
    if given.get("checkpoint_id"):
        named.setdefault("checkpoint_id", given["checkpoint_id"])
    return named


def result_object(result: RunResult) -> Any:  # noqa: ANN401 - a graph's values may be anything
    """Return what a waiter gets: the values and the questions that the graph stopped at, or why there are none."""
    error = error_object(result.error)
    if error is not None:
        return {"__error__": error}
    return values_object(result)


def values_object(result: RunResult) -> Any:  # noqa: ANN401 - a graph's values may be anything
    """Return the values that a run ended with, and the questions that its graph stopped at."""
    values: Any = result.state_values.to_encode()
    if result.interrupts and isinstance(values, dict):
        return {**cast("dict[str, Any]", values), "__interrupt__": list(result.interrupts)}
    return values


def error_object(error: RunError | None) -> dict[str, Any] | None:
    """Return what went wrong, as class and message."""
    return None if error is None else {"error": error.error, "message": error.message}
