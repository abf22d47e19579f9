"""Supersteps that a thread begins with: updates as callers give them, in the words of the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langgraph.types import StateUpdate

from ...domain.errors import InvalidInputError, UnknownNodeError
from .run_config import command_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ...domain.values import Json, JsonObject
    from .values import ValueCodec


def state_updates(
    supersteps: Sequence[Sequence[JsonObject]], nodes: Collection[str], codec: ValueCodec
) -> list[list[StateUpdate]]:
    """Return the updates of each superstep.

    Raises:
        InvalidInputError: one has both values and a command, or answers an interrupt.
        UnknownNodeError: one is by a node that the graph does not have.
    """
    return [[_state_update(update, nodes, codec) for update in step] for step in supersteps]


def _state_update(update: JsonObject, nodes: Collection[str], codec: ValueCodec) -> StateUpdate:
    as_node = update.get("as_node")
    if as_node is not None and as_node not in nodes:
        raise UnknownNodeError(node=str(as_node))
    command = command_of(update)
    values = update.get("values")
    if command is None:
        return StateUpdate(_decoded(values, codec), cast("str | None", as_node))
    if values is not None:
        raise InvalidInputError("supersteps: an update takes values or a command, not both")
    if command.resume is not None:
        raise InvalidInputError("supersteps: nothing waits for an answer in a new thread")
    return StateUpdate(cast("Any", command), cast("str | None", as_node))


def _decoded(values: Json, codec: ValueCodec) -> Any:  # noqa: ANN401 - whatever the graph's state is
    return codec.decode(codec.encode(values, "values"))
