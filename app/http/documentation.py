"""What `/docs` shows of a route beyond its name: the parts of the request, which the handlers read themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel

from .requests import LIMIT_MAX, NO, OFFSET_MAX, YES

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "format": "uuid"}
LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}
OFFSET: Schema = {"type": "integer", "minimum": 0, "maximum": OFFSET_MAX}
YES_OR_NO: Schema = {"enum": sorted(YES | NO), "default": "false"}
TEXTS: Schema = {"type": "array", "items": TEXT}

PATHS = {"thread_id": ID, "run_id": ID, "assistant_id": ID}


def documented(
    *path: str,
    body: type[BaseModel] | None = None,
    schema: Schema | None = None,
    query: Mapping[str, Schema] | None = None,
) -> Schema:
    """Return the `openapi_extra` of a route: its path and query parameters, and its body or that one's schema."""
    parameters = [
        _parameter(name, "path", PATHS.get(name, TEXT), is_required=True) for name in path
    ]
    parameters += [_parameter(name, "query", kind) for name, kind in (query or {}).items()]
    extra: Schema = {"parameters": parameters}
    if body is not None:
        schema = body.model_json_schema()
    if schema is not None:
        definitions = schema.pop("$defs", {})
        content = {"application/json": {"schema": _inlined(schema, definitions)}}
        extra["requestBody"] = {"required": True, "content": content}
    return extra


def _parameter(name: str, where: str, schema: Schema, *, is_required: bool = False) -> Schema:
    return {"name": name, "in": where, "required": is_required, "schema": schema}


def _inlined(schema: object, definitions: Schema) -> object:
    """Put definitions where they are referred to: an operation has no place for them."""
    if isinstance(schema, list):
        return [_inlined(entry, definitions) for entry in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        return schema
    content = cast("Schema", schema)
    reference = content.get("$ref")
    if isinstance(reference, str):
        return _inlined(definitions[reference.rpartition("/")[2]], definitions)
    return {name: _inlined(entry, definitions) for name, entry in content.items()}
