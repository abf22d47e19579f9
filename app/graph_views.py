"""What an assistant's graph looks like: its drawing, its schemas, its subgraphs. Nothing of assistants themselves."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar, cast

from ..domain.errors import EngineError, InvalidInputError
from ..domain.graph_ports import GraphSchemas

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..domain.graph_ports import DescribedGraph, GraphRunner
    from ..domain.values import JsonObject

logger = logging.getLogger(__name__)

T = TypeVar("T")


async def drawing_of(runner: GraphRunner, *, xray: int | bool = False) -> JsonObject:
    """Return the graph's nodes and edges; raises InvalidInputError if it cannot be made or drawn."""
    return await _told(runner, lambda graph: graph.drawable(xray=xray), {"nodes": [], "edges": []})


async def schemas_of(runner: GraphRunner) -> GraphSchemas:
    """Return the JSON schemas of what the graph takes, gives and keeps; raises InvalidInputError if it cannot be made."""
    return await _told(runner, lambda graph: graph.schemas(), GraphSchemas())


async def subgraphs_of(
    runner: GraphRunner, *, namespace: str | None = None, recurse: bool = False
) -> Mapping[str, GraphSchemas]:
    """Return the schemas of the graph's subgraphs by namespace; raises InvalidInputError if it cannot be made."""
    return await _told(
        runner, lambda graph: graph.subgraphs(namespace=namespace, recurse=recurse), {}
    )


async def _told(
    runner: GraphRunner, ask: Callable[[DescribedGraph], Awaitable[T]], otherwise: T
) -> T:
    """Ask the graph; a runner of the user's own need not know how to tell."""
    if not hasattr(runner, "drawable"):
        return otherwise
    try:
        return await ask(cast("DescribedGraph", runner))
    except EngineError as error:
        raise _cannot(runner, error) from error
    except Exception as error:
        logger.exception("graph %s cannot be described", runner.graph_id)
        raise _cannot(runner, error) from error


def _cannot(runner: GraphRunner, error: Exception) -> InvalidInputError:
    reason = f"{type(error).__name__}: {error}"
    return InvalidInputError(f"The graph '{runner.graph_id}' cannot be described: {reason}")
