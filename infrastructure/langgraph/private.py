"""What a run's config says of its caller, left out of what LangGraph streams: configs of checkpoints, and metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PRIVATE = ("__pregel_", "langgraph_auth_")
"""How keys of a config begin that are nobody's business but the run's own."""


def public_part(mode: str, payload: object) -> object:
    """Return a part of the stream as others may see it. What is not concerned is the same object."""
    match mode:
        case "checkpoints":
            return _checkpoint(payload)
        case "debug":
            return _with(payload, "payload", _checkpoint)
        case "messages" if isinstance(payload, tuple | list):
            return [_named(entry) for entry in cast("Sequence[object]", payload)]
        case _:
            return payload


def public_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event of LangChain's as others may see it."""
    return {name: _named(value) if name == "metadata" else value for name, value in event.items()}


def _checkpoint(payload: object) -> object:
    for name in ("config", "parent_config"):
        payload = _with(payload, name, _config)
    return _with(payload, "tasks", _tasks)


def _tasks(tasks: object) -> object:
    if not isinstance(tasks, list | tuple):
        return tasks
    # The state of a task with a subgraph is the config that names it, or that subgraph's own checkpoint.
    return [_with(task, "state", _state) for task in cast("Sequence[object]", tasks)]


def _state(state: object) -> object:
    return _config(_checkpoint(state))


def _config(config: object) -> object:
    return _with(config, "configurable", _named)


def _named(content: object) -> object:
    if not isinstance(content, dict):
        return content
    given = cast("dict[object, object]", content)
    if not any(str(key).startswith(PRIVATE) for key in given):
        return given
    return {key: value for key, value in given.items() if not str(key).startswith(PRIVATE)}


def _with(content: object, name: str, change: Any) -> object:  # noqa: ANN401 - one of the functions here
    if not isinstance(content, dict) or name not in content:
        return cast("object", content)
    given = cast("dict[object, object]", content)
    return {**given, name: change(given[name])}
