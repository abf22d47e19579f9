"""What a graph that is a function looks like from outside: its drawing, and the JSON schemas of its state."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from pydantic import TypeAdapter

from ...domain.graph_ports import GraphSchemas

if TYPE_CHECKING:
    from ...domain.values import Json, JsonObject

logger = logging.getLogger(__name__)

START, END = "__start__", "__end__"


def drawing(node: str, function: object) -> JsonObject:
    """Return the nodes and edges of a graph of one node, in the form that LangGraph draws its graphs in."""
    inner = getattr(function, "func", function)
    path = [*str(getattr(inner, "__module__", "")).split("."), node]
    nodes: list[Json] = [
        _end_node(START),
        {"id": node, "type": "runnable", "data": {"id": [*path], "name": node}},
        _end_node(END),
    ]
    edges: list[Json] = [{"source": START, "target": node}, {"source": node, "target": END}]
    return {"nodes": nodes, "edges": edges}


def _end_node(name: str) -> JsonObject:
    return {"id": name, "type": "schema", "data": name}


def state_schemas(state_type: object) -> GraphSchemas:
    """Return the schemas of a state's type; a type that JSON Schema cannot tell, and no type, have none."""
    if state_type is None:
        return GraphSchemas()
    try:
        schema = TypeAdapter(cast("Any", state_type)).json_schema()
    except Exception as error:
        logger.debug("no JSON schema can be made of %r", state_type, exc_info=error)
        return GraphSchemas()
    return GraphSchemas(input=schema, output=schema, state=schema)
