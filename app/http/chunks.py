"""Messages that come in chunks, put together as the SDKs show them: texts, content blocks, tool calls, usage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydantic_core import from_json

from ...domain.values import Json, JsonObject

CHUNK = "Chunk"
"""How the types of chunks end: `AIMessageChunk`."""

CHUNK_TYPES: Mapping[str, str] = {
    "AIMessageChunk": "ai",
    "HumanMessageChunk": "human",
    "SystemMessageChunk": "system",
    "ToolMessageChunk": "tool",
    "FunctionMessageChunk": "function",
    "ChatMessageChunk": "chat",
}
KEPT_TEXTS = frozenset({"type", "id", "index", "name"})
"""Texts of a content block or a tool call that later chunks repeat; all others they continue."""

ONLY_OF_CHUNKS = ("tool_call_chunks", "chunk_position")


def is_chunk(message: JsonObject) -> bool:
    """Say whether the message is one of several parts."""
    return str(message.get("type") or "").endswith(CHUNK)


def joined(before: JsonObject | None, chunk: JsonObject) -> JsonObject:
    """Return the chunk that stands for all up to this one."""
    if before is None:
        return chunk
    merged = {**before}
    for name, value in chunk.items():
        if name == "content":
            merged[name] = _content(before.get(name), value)
        elif name == "tool_call_chunks":
            merged[name] = _blocks(_list(before.get(name)), _list(value))
        elif name == "usage_metadata" and before.get(name) is not None:
            merged[name] = _summed(before.get(name), value)
        elif name in ("additional_kwargs", "response_metadata"):
            merged[name] = {**_dict(before.get(name)), **_dict(value)}
        elif value not in (None, [], {}, ""):
            merged[name] = value
    return merged


def message_of(chunk: JsonObject) -> JsonObject:
    """Return the message that the chunks make so far, its tool calls as far as they can be read."""
    kind = str(chunk.get("type") or "")
    message = {name: value for name, value in chunk.items() if name not in ONLY_OF_CHUNKS}
    message["type"] = CHUNK_TYPES.get(kind, kind)
    calls = _list(chunk.get("tool_call_chunks"))
    if calls:
        found = [(_dict(call), _arguments(_dict(call).get("args"))) for call in calls]
        message["tool_calls"] = [
            {
                "name": call.get("name") or "",
                "args": args,
                "id": call.get("id"),
                "type": "tool_call",
            }
            for call, args in found
            if args is not None
        ]
        message["invalid_tool_calls"] = [
            {
                "name": call.get("name"),
                "args": call.get("args"),
                "id": call.get("id"),
                "error": None,
                "type": "invalid_tool_call",
            }
            for call, args in found
            if args is None
        ]
    return message


def _arguments(text: Json) -> JsonObject | None:
    """Return the arguments that a text holds the beginning of; None if it is no object."""
    if not text:
        return {}
    try:
        found: object = from_json(str(text), allow_partial="trailing-strings")
    except ValueError:
        return None
    return cast("JsonObject", found) if isinstance(found, dict) else None


def _content(before: Json, more: Json) -> Json:
    if isinstance(before, list) or isinstance(more, list):
        return _blocks(_parts(before), _parts(more))
    return f"{before or ''}{more or ''}"


def _parts(content: Json) -> list[Json]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def _blocks(before: list[Json], more: list[Json]) -> list[Json]:
    """Return the blocks; those that carry the same index are one."""
    blocks = list(before)
    places = {
        str(block["index"]): at
        for at, block in enumerate(blocks)
        if isinstance(block, dict) and block.get("index") is not None
    }
    for block in more:
        index = block.get("index") if isinstance(block, dict) else None
        at = places.get(str(index)) if index is not None else None
        if at is None:
            if index is not None:
                places[str(index)] = len(blocks)
            blocks.append(block)
        else:
            blocks[at] = _continued(_dict(blocks[at]), _dict(block))
    return blocks


def _continued(before: JsonObject, more: JsonObject) -> JsonObject:
    result = {**before}
    for name, value in more.items():
        known = before.get(name)
        if isinstance(known, str) and isinstance(value, str) and name not in KEPT_TEXTS:
            result[name] = known + value
        elif isinstance(known, dict) and isinstance(value, dict):
            result[name] = _continued(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            result[name] = [*known, *value]
        elif value not in (None, ""):
            result[name] = value
    return result


def _summed(before: Json, more: Json) -> Json:
    """Return counts added up, however deep they lie."""
    if isinstance(before, dict) and isinstance(more, dict):
        return {name: _summed(before.get(name), more.get(name)) for name in {**before, **more}}
    if isinstance(before, int) and isinstance(more, int):
        return before + more
    return before if more is None else more


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _dict(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
