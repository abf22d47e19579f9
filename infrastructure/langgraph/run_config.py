"""From what a caller asked of a run to what LangGraph takes: config, context, commands, breakpoints. Nothing runs here."""

from __future__ import annotations

import dataclasses
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from langgraph.types import Command, Send
from pydantic import BaseModel
from typing_extensions import is_typeddict

from ...domain.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_core.runnables import RunnableConfig

    from ...domain.graph_ports import RunContext
    from ...domain.values import Json, JsonObject
    from .compiled import CompiledGraph

OWN_KEYS = frozenset({"thread_id", "run_id", "graph_id", "assistant_id", "run_attempt"})
"""Keys of a config that say which run this is: a caller's are left out."""

PASSED_ON = ("tags", "run_name", "max_concurrency", "recursion_limit")
"""What else of a caller's config LangGraph knows, and is handed on as it is."""

CHECKPOINT_KEYS = ("checkpoint_ns", "checkpoint_id", "checkpoint_map")

Breakpoints: TypeAlias = Literal["*"] | list[str] | None


def runnable_config(context: RunContext) -> RunnableConfig:
    """Return the config that the run's graph is called with.

    A caller's `configurable` and `metadata` go through, without keys that are LangGraph's own (`__…`), a server's
    (`langgraph_auth_…`) or name another run. Who the caller is, the engine says.
    """
    given = context.config
    own: JsonObject = {
        "thread_id": context.thread_id,
        "run_id": context.run_id,
        "graph_id": context.graph_id,
        "assistant_id": context.assistant_id,
    }
    # A graph may look in either; who gave one meant both.
    configurable = _mine(context.kwargs.get("context")) | _mine(given.get("configurable"))
    configurable |= own | _checkpoint(context.kwargs)
    configurable |= cast("JsonObject", context.caller)
    if context.kwargs.get("strict_resume"):
        configurable["__pregel_strict_resume"] = True
    metadata = _mine(given.get("metadata")) | own | {"run_attempt": context.attempt}
    config: dict[str, Any] = {name: given[name] for name in PASSED_ON if given.get(name)}
    config |= {"configurable": configurable, "metadata": metadata}
    with suppress(
        ValueError
    ):  # Otherwise a name of a library's own; what traces the run makes an id.
        config["run_id"] = uuid.UUID(context.run_id)
    return cast("RunnableConfig", config)


def run_context(graph: CompiledGraph, context: RunContext) -> object:
    """Return the context that the run's graph is called with, None if there is none.

    A graph that has a schema for it gets the keys that it names of a `configurable`, too, which the caller or the assistant gave.
    """
    schema = graph.context_schema
    if schema is None:
        return context.context or None
    names = _field_names(schema)
    configurable = _mine(context.config.get("configurable"))
    found = {name: value for name, value in configurable.items() if name in names}
    if context.context:
        return found | context.context
    if is_typeddict(schema):
        return found or None
    try:
        return schema(**found)
    except Exception:  # noqa: BLE001 - it has fields that nobody gave: the graph runs without, as LangGraph has it
        return None


def command_of(kwargs: Mapping[str, Json]) -> Command[Any] | None:
    """Return the command that the run was asked for, if it was.

    Raises:
        InvalidInputError: a `goto` names neither a node nor what to send to one.
    """
    given = kwargs.get("command")
    if not isinstance(given, dict) or all(value is None for value in given.values()):
        return None
    return Command(
        resume=given.get("resume"),
        update=_update(given.get("update")),
        goto=_goto(given.get("goto")),
    )


def breakpoints(kwargs: Mapping[str, Json], name: str) -> Breakpoints:
    """Return the nodes before or after which the run stops: `"*"` is all, None those that the graph has by itself."""
    given = kwargs.get(name)
    named = given if isinstance(given, list) else [given]
    if "*" in named:
        return "*"
    return [node for node in named if isinstance(node, str)] or None


def durability(kwargs: Mapping[str, Json]) -> Literal["sync", "async", "exit"]:
    """Return when checkpoints are written: with each step, beside the next one, or only at the end."""
    given = kwargs.get("durability")
    if given in ("sync", "exit"):
        return given
    if given is None and kwargs.get("checkpoint_during") is False:
        return "exit"
    return "async"


# ------------------------------------------------------------------ parts


def _mine(given: Json) -> JsonObject:
    """Leave out the keys that a caller may not set."""
    if not isinstance(given, dict):
        return {}
    return {
        name: value
        for name, value in given.items()
        if name not in OWN_KEYS and not name.startswith(("__", "langgraph_auth_"))
    }


def _checkpoint(kwargs: Mapping[str, Json]) -> JsonObject:
    """Return the checkpoint that the run starts from, if one was named."""
    given = kwargs.get("checkpoint")
    found: JsonObject = {}
    if isinstance(given, dict):
        found = {name: given[name] for name in CHECKPOINT_KEYS if given.get(name)}
    identity = kwargs.get("checkpoint_id")
    if identity and "checkpoint_id" not in found:
        found["checkpoint_id"] = identity
    return found


def _field_names(schema: type[Any]) -> frozenset[str]:
    if issubclass(schema, BaseModel):
        return frozenset(schema.model_fields)
    if dataclasses.is_dataclass(schema):
        return frozenset(field.name for field in dataclasses.fields(schema) if field.init)
    return frozenset(getattr(schema, "__annotations__", {}))


def _update(given: Json) -> object:
    """Return a command's update; pairs of a channel and a value become tuples again, which JSON does not have."""
    if isinstance(given, list) and all(map(_is_pair, given)):
        return [tuple(cast("list[Json]", pair)) for pair in given]
    return given


def _is_pair(given: Json) -> bool:
    return isinstance(given, list) and len(given) == 2 and isinstance(given[0], str)


def _goto(given: Json) -> Sequence[Send | str]:
    targets = given if isinstance(given, list) else [] if given is None else [given]
    return [_target(target) for target in targets]


def _target(given: Json) -> Send | str:
    if isinstance(given, str):
        return given
    node = given.get("node") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(node, str):
        problem = 'command.goto: expected the name of a node, or {"node": …, "input": …}, or a list of them'
        raise InvalidInputError(problem)
    return Send(node, given.get("input"))
