"""What callers may ask of a run beside its input, and how they name checkpoints.

What has the wrong shape, or what a graph of this kind cannot honour, is refused by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard, cast

from ..domain.errors import InvalidInputError
from .graph_states import stateful

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from ..domain.graph_ports import GraphRunner
    from ..domain.values import Json, JsonObject

STREAM_MODES = (
    "values",
    "updates",
    "messages",
    "messages-tuple",
    "custom",
    "checkpoints",
    "tasks",
    "debug",
    "events",
)
LANGGRAPH_STREAM_MODES = frozenset({"tasks", "debug", "events"})
"""Modes that only graphs of LangGraph's have anything to say in."""

END = "__end__"
SHOWN_MAX = 80
OF_CALLERS = "langgraph_auth_"
"""How keys of a config begin that say who asked for the run."""


class OptionError(InvalidInputError):
    """A field does not hold what it may hold, or nothing that this graph could honour."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")


def accepted_options(
    runner: GraphRunner, given: Json, metadata: JsonObject, kwargs: JsonObject
) -> JsonObject:
    """Return what a run of this graph is asked for, without fields that ask for nothing.

    `given` is its input. `metadata` are the run's own: a graph that keeps checkpoints gets them into those.

    Raises:
        InvalidInputError: a field has the wrong shape, contradicts another one, or cannot be honoured by this graph.
    """
    kwargs = _unsigned(kwargs)
    asked = {name: value for name, value in kwargs.items() if not is_nothing(value)}
    if "checkpoint_during" in kwargs:
        asked |= _saving(kwargs)
    _check_modes(runner, asked)
    if "stream_resumable" in asked:
        _check_flag("stream_resumable", asked["stream_resumable"])
    if stateful(runner) is None:
        _refuse_all(asked)
        return asked
    for name, check in _CHECKS.items():
        if name in asked:
            check(name, asked[name], runner.nodes)
    if "command" in asked and not is_nothing(given):
        raise OptionError("command", "a run takes an input or a command, not both")
    return _with_metadata(asked, metadata) if metadata else asked


def resumes(kwargs: Mapping[str, Json]) -> bool:
    """Say whether the run answers what stands open in its thread now, not at some older checkpoint."""
    command, checkpoint = kwargs.get("command"), kwargs.get("checkpoint")
    named = checkpoint.get("checkpoint_id") if isinstance(checkpoint, dict) else None
    if named or kwargs.get("checkpoint_id"):
        return False
    return isinstance(command, dict) and command.get("resume") is not None


def named_checkpoint(
    checkpoint: Mapping[str, object] | None, checkpoint_id: object, thread_id: str
) -> JsonObject:
    """Return the name of a checkpoint in a thread, empty for the newest one; raises InvalidInputError."""
    given = cast("JsonObject", dict(checkpoint or {}))
    _check_checkpoint("checkpoint", given)
    if str(given.get("thread_id") or thread_id).lower() != thread_id.lower():
        raise OptionError("checkpoint.thread_id", f"expected {thread_id}, the thread that is asked")
    if checkpoint_id is not None and not isinstance(checkpoint_id, str):
        raise _unexpected("checkpoint_id", "a text", checkpoint_id)
    if checkpoint_id and "checkpoint_id" not in given:
        given["checkpoint_id"] = checkpoint_id
    return {name: given[name] for name in _CHECKPOINT if given.get(name)}


def _unsigned(kwargs: JsonObject) -> JsonObject:
    """Leave out what only a server says of a run's caller: it is never stored, whoever gives it."""
    found = dict(kwargs)
    if "context" in found:
        found["context"] = _without_caller(found["context"])
    config = found.get("config")
    if isinstance(config, dict):
        found["config"] = {
            name: _without_caller(value) if name in ("configurable", "metadata") else value
            for name, value in config.items()
        }
    return found


def _without_caller(content: Json) -> Json:
    if not isinstance(content, dict):
        return content
    return {name: value for name, value in content.items() if not name.startswith(OF_CALLERS)}


def _with_metadata(asked: JsonObject, metadata: JsonObject) -> JsonObject:
    config = asked.get("config")
    config = config if isinstance(config, dict) else {}
    known = config.get("metadata")
    whole = {**(known if isinstance(known, dict) else {}), **metadata}
    return {**asked, "config": {**config, "metadata": whole}}


# ------------------------------------------------------------------ functions

_NOT_OF_FUNCTIONS = {
    "command": "a function has no point at which it could be resumed or sent elsewhere",
    "interrupt_before": "a function has no nodes to stop at",
    "interrupt_after": "a function has no nodes to stop at",
    "stream_subgraphs": "a function has no subgraphs",
    "checkpoint": "a function cannot start from an older state",
    "checkpoint_id": "a function cannot start from an older state",
}


def _refuse_all(asked: JsonObject) -> None:
    for name, why in _NOT_OF_FUNCTIONS.items():
        if name in asked:
            raise OptionError(name, f"only for LangGraph graphs: {why}")
    if asked.get("durability") == "exit":
        problem = "only for LangGraph graphs: a function's steps are always saved as it goes on"
        raise OptionError("durability", f"exit is {problem}")
    if asked.get("checkpoint_during") is False:
        problem = "only for LangGraph graphs: a function's steps are always saved as it goes on"
        raise OptionError("checkpoint_during", f"false is {problem}")


# ------------------------------------------------------------------ LangGraph's graphs


def _saving(kwargs: JsonObject) -> JsonObject:
    """Return the older way to say when checkpoints are saved, if it does not contradict the newer one."""
    during, durability = kwargs["checkpoint_during"], kwargs.get("durability")
    if during is None:
        return {}
    if not isinstance(during, bool):
        raise _unexpected("checkpoint_during", "true or false", during)
    if durability is not None and (durability != "exit") != during:
        raise OptionError("checkpoint_during", f"contradicts durability {_shown(durability)}")
    return {"checkpoint_during": during}


def _check_modes(runner: GraphRunner, asked: JsonObject) -> None:
    given = asked.get("stream_mode")
    if given is None:
        return
    for mode in given if isinstance(given, list) else [given]:
        if mode not in STREAM_MODES:
            raise _unexpected("stream_mode", f"some of {', '.join(STREAM_MODES)}", mode)
        if mode in LANGGRAPH_STREAM_MODES and stateful(runner) is None:
            raise OptionError("stream_mode", f"{mode} is only for LangGraph graphs")


def _check_command(field: str, command: Json, nodes: Collection[str] | None) -> None:
    if not isinstance(command, dict):
        raise _unexpected(field, "an object with resume, update or goto", command)
    for name in command:
        if name not in ("resume", "update", "goto"):
            raise OptionError(
                f"{field}.{name}", "there is no such field; there are resume, update and goto"
            )
    update = command.get("update")
    if not (update is None or isinstance(update, dict) or _is_pairs(update)):
        expected = "an object of channels, or a list of pairs of a channel and a value"
        raise _unexpected(f"{field}.update", expected, update)
    goto = command.get("goto")
    for target in goto if isinstance(goto, list) else [] if goto is None else [goto]:
        node = target.get("node") if isinstance(target, dict) else target
        if not isinstance(node, str):
            expected = 'the name of a node, or {"node": …, "input": …}, or a list of them'
            raise _unexpected(f"{field}.goto", expected, target)
        _check_node(f"{field}.goto", node, nodes)


def checked_command(field: str, command: Json, nodes: Collection[str] | None) -> None:
    """Raise InvalidInputError if this is neither a command of the graph nor nothing."""
    if not is_nothing(command):
        _check_command(field, command, nodes)


def _check_stops(field: str, stops: Json, nodes: Collection[str] | None) -> None:
    if stops == "*":
        return
    if not _is_texts(stops):
        raise _unexpected(field, 'a list of names of nodes, or "*"', stops)
    for node in stops:
        _check_node(field, node, nodes)


def _check_node(field: str, node: str, nodes: Collection[str] | None) -> None:
    if nodes is not None and node not in nodes and node != END:
        known = ", ".join(sorted(name for name in nodes if not name.startswith("__")))
        raise OptionError(field, f"the graph has no node {_shown(node)}; there are {known}")


_CHECKPOINT = ("checkpoint_id", "checkpoint_ns", "checkpoint_map")


def _check_checkpoint(field: str, checkpoint: Json, _: object = None) -> None:
    if not isinstance(checkpoint, dict):
        raise _unexpected(field, "an object with checkpoint_id, checkpoint_ns or both", checkpoint)
    for name in ("thread_id", "checkpoint_id", "checkpoint_ns"):
        value = checkpoint.get(name)
        if value is not None and not isinstance(value, str):
            raise _unexpected(f"{field}.{name}", "a text", value)
    of_parents = checkpoint.get("checkpoint_map")
    if of_parents is None:
        return
    if not isinstance(of_parents, dict) or not _is_texts(list(of_parents.values())):
        expected = "an object of checkpoint ids by namespace"
        raise _unexpected(f"{field}.checkpoint_map", expected, of_parents)


def _check_text(field: str, value: Json, _: object = None) -> None:
    if not isinstance(value, str):
        raise _unexpected(field, "a text", value)


def _check_flag(field: str, value: Json, _: object = None) -> None:
    if not isinstance(value, bool):
        raise _unexpected(field, "true or false", value)


def _check_durability(field: str, value: Json, _: object = None) -> None:
    if value not in ("sync", "async", "exit"):
        raise _unexpected(field, "sync, async or exit", value)


_CHECKS: dict[str, Callable[[str, Json, Collection[str] | None], None]] = {
    "command": _check_command,
    "interrupt_before": _check_stops,
    "interrupt_after": _check_stops,
    "checkpoint": _check_checkpoint,
    "checkpoint_id": _check_text,
    "stream_subgraphs": _check_flag,
    "strict_resume": _check_flag,
    "durability": _check_durability,
}


# ------------------------------------------------------------------ parts


def is_nothing(value: object) -> bool:
    """Say whether a field asks for nothing: it is empty, or holds only what is. Zero asks for something."""
    if isinstance(value, dict):
        return all(entry is None for entry in cast("dict[str, object]", value).values())
    return value is None or value is False or value in ("", [])


def _is_texts(value: Json | Iterable[Json]) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _is_pairs(value: Json) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in value
    )


def _unexpected(field: str, expected: str, value: object) -> OptionError:
    return OptionError(field, f"expected {expected}, got {_shown(value)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"
