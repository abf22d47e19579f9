"""What a graph says of itself: JSON schemas, its drawing, its subgraphs, and the types that its state is made of."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, TypeAdapter, create_model
from typing_extensions import is_typeddict

from ...domain.graph_ports import GraphSchemas
from .code_types import named_types
from .compiled import channel_types, state_schemas_of, subgraphs_of
from .showing import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ...domain.values import JsonObject
    from .compiled import CompiledGraph

logger = logging.getLogger(__name__)


def schemas_of(graph: CompiledGraph) -> GraphSchemas:
    """Return the graph's JSON schemas."""
    return GraphSchemas(
        input=_made(graph.get_input_jsonschema, lambda: _input(graph)),
        output=_made(
            graph.get_output_jsonschema, lambda: _channels(graph, graph.output_channels, "Output")
        ),
        state=_made(
            lambda: _state(graph), lambda: _channels(graph, graph.stream_channels_asis, "State")
        ),
        config=_made(lambda: _config(graph)),
        context=_made(graph.get_context_jsonschema),
    )


async def drawable(graph: CompiledGraph, *, xray: int | bool = False) -> JsonObject:
    """Return the graph's nodes and edges; with `xray`, subgraphs are drawn in (so many levels of them, if it is a number)."""
    drawn = await graph.aget_graph(xray=xray)
    return cast("JsonObject", shown(drawn.to_json()))


def subgraph_schemas(
    graph: CompiledGraph, *, namespace: str | None = None, recurse: bool = False
) -> dict[str, GraphSchemas]:
    """Return the schemas of the graph's subgraphs by namespace, of the one named or of all."""
    found = subgraphs_of(graph, namespace=namespace, recurse=recurse)
    return {name: schemas_of(each) for name, each in found}


def schema_types(graph: CompiledGraph) -> Iterator[object]:
    """Yield the types that the graph's and its subgraphs' states, inputs, outputs and context have, and that its code names."""
    for each in (graph, *(found for _, found in subgraphs_of(graph, recurse=True))):
        yield from state_schemas_of(each)
        if each.context_schema is not None:
            yield each.context_schema
        for name in each.channels:
            yield from channel_types(each, name) or ()
        yield from named_types(each.nodes.values())


def _made(
    make: Callable[[], dict[str, Any] | None],
    otherwise: Callable[[], dict[str, Any] | None] | None = None,
) -> JsonObject | None:
    """Return what is made, or else otherwise; types that JSON Schema cannot tell are no reason to fail."""
    try:
        return cast("JsonObject", make())
    except Exception as error:
        if otherwise is not None:
            return _made(otherwise)
        logger.debug("no JSON schema can be made", exc_info=error)
        return None


def _input(graph: CompiledGraph) -> dict[str, Any]:
    schemas = state_schemas_of(graph)
    names = graph.stream_channels_asis if schemas else graph.input_channels
    return _channels(graph, names, "Input")


def _state(graph: CompiledGraph) -> dict[str, Any]:
    schemas = state_schemas_of(graph)
    if schemas and issubclass(schemas[0], BaseModel):
        return schemas[0].model_json_schema()
    if schemas and is_typeddict(schemas[0]):
        return TypeAdapter[object](schemas[0]).json_schema()
    return _channels(graph, graph.stream_channels_asis, "State")


def _channels(graph: CompiledGraph, names: str | Sequence[str], title: str) -> dict[str, Any]:
    """Return the schema of updates of these channels."""
    name = graph.get_name(title)
    if isinstance(names, str):
        found = channel_types(graph, names)
        kind: Any = found[1] if found else object
        return TypeAdapter(kind).json_schema() | {"title": name}
    fields: dict[str, Any] = {}
    for each in names:
        found = channel_types(graph, each)
        if found is not None:
            fields[each] = (found[1], None)
    return create_model(name, **fields).model_json_schema()


def _config(graph: CompiledGraph) -> dict[str, Any]:
    schema = graph.context_schema
    fields: dict[str, Any] = {} if schema is None else {"configurable": (schema, None)}
    return create_model(graph.get_name("Config"), **fields).model_json_schema()
