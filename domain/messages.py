"""Chat messages: their one stored form, upsert and removal by id. Nothing of channels or threads.

The form and the rules of upsert are those of LangChain messages and LangGraph's `add_messages`.
"""

from __future__ import annotations

import json
from operator import itemgetter
from typing import TYPE_CHECKING, cast

from .errors import NotJsonError, ReducerError, UnknownMessageError
from .values import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .values import Json, JsonObject

REMOVE_ALL = "__remove_all__"
"""The id of a removal that clears everything before it."""

_TYPES = {
    "user": "human",
    "human": "human",
    "assistant": "ai",
    "ai": "ai",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "remove": "remove",
    "function": "function",
}


def normalize(update: Json, new_id: Callable[[], str], channel: str = "messages") -> list[Json]:
    """Return an update of a message channel as messages in their stored form, each with an id.

    Takes a message or a list of them; a message is an object with `role` or `type`, a `[role,
    content]` pair, or a text (human).

    Raises:
        ReducerError: names the channel and what is wrong with which message.
    """
    updates = update if isinstance(update, list) and not _is_pair(update) else [update]
    return [_message(entry, new_id, f"{channel}[{at}]") for at, entry in enumerate(updates)]


def _is_pair(value: Sequence[Json]) -> bool:
    return (
        len(value) == 2
        and isinstance(value[0], str)
        and value[0] in _TYPES
        and isinstance(value[1], str)
    )


def _message(entry: Json, new_id: Callable[[], str], where: str) -> JsonObject:
    if isinstance(entry, str):
        entry = {"type": "human", "content": entry}
    elif isinstance(entry, list) and _is_pair(entry):
        entry = {"role": entry[0], "content": entry[1]}
    if not isinstance(entry, dict):
        problem = f"expected a message (an object with role and content), got {_shown(entry)}"
        raise ReducerError(channel=where, problem=problem)
    named, kind = _kind(entry)
    if kind is None:
        problem = f"expected a role or type of {', '.join(_TYPES)}, got {_shown(named)}"
        raise ReducerError(channel=where, problem=problem)
    identity = entry.get("id")
    if identity is not None and not isinstance(identity, str):
        raise ReducerError(channel=where, problem=f"expected a text as id, got {_shown(identity)}")
    if kind == "remove":
        if not identity:
            raise ReducerError(channel=where, problem="a removal needs the id of a message")
        return {"type": "remove", "id": identity}
    return _complete(kind, entry, identity or new_id(), where)


def _kind(entry: JsonObject) -> tuple[Json, str | None]:
    """Return what the entry calls itself, and the type that this means."""
    named: Json = None
    for named in (entry.get("type"), entry.get("role", entry.get("type"))):
        if isinstance(named, str) and named in _TYPES:
            return named, _TYPES[named]
    return named, None


def _complete(kind: str, entry: JsonObject, identity: str, where: str) -> JsonObject:
    content = entry.get("content")
    if content is None and kind == "ai":
        content = ""
    if not isinstance(content, str | list):
        problem = f"expected a text or a list of parts as content, got {_shown(content)}"
        raise ReducerError(channel=where, problem=problem)
    message: JsonObject = {
        "content": content,
        "additional_kwargs": {},
        "response_metadata": {},
        "type": kind,
        "name": None,
        "id": identity,
    }
    if kind == "ai":
        message |= {"tool_calls": [], "invalid_tool_calls": [], "usage_metadata": None}
    elif kind == "tool":
        if not isinstance(entry.get("tool_call_id"), str):
            raise ReducerError(channel=where, problem="a tool message needs a tool_call_id")
        message |= {"tool_call_id": "", "artifact": None, "status": "success"}
    message |= {
        key: value for key, value in entry.items() if key not in {"role", "type", "id", "content"}
    }
    if kind == "ai":
        message["tool_calls"] = _tool_calls(message["tool_calls"], f"{where}.tool_calls")
    return message


def _tool_calls(calls: Json, where: str) -> list[Json]:
    """Bring tool calls into LangChain's form, also those in OpenAI's."""
    if calls is None:
        return []
    if not isinstance(calls, list):
        raise ReducerError(channel=where, problem=f"expected a list, got {_shown(calls)}")
    result: list[Json] = []
    for at, call in enumerate(calls):
        if not isinstance(call, dict):
            problem = f"expected an object, got {_shown(call)}"
            raise ReducerError(channel=f"{where}[{at}]", problem=problem)
        function = call.get("function")
        if isinstance(function, dict):
            arguments = _arguments(function.get("arguments") or "{}", f"{where}[{at}]")
            call = {"name": function.get("name"), "args": arguments, "id": call.get("id")}
        result.append({"name": None, "args": {}, "id": None, **call, "type": "tool_call"})
    return result


def _arguments(arguments: Json, where: str) -> Json:
    if not isinstance(arguments, str):
        return arguments
    try:
        # Python reads more than JSON has: NaN, lone surrogates, integers of any length.
        return canonical(json.loads(arguments), where)
    except (ValueError, RecursionError, NotJsonError) as error:
        problem = f"expected JSON as arguments, got {_shown(arguments)}"
        raise ReducerError(channel=where, problem=problem) from error


def _shown(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def upsert(old: Sequence[Json], update: Sequence[Json]) -> list[Json] | None:
    """Apply a normalized update: unknown ids append, known ones replace in place, removals delete.

    Returns the new list, or None if the update only appends (the common case, which needs no new
    list).

    Raises:
        UnknownMessageError: a removal names no message of the list.
    """
    messages = cast("Sequence[JsonObject]", update)
    for at in range(len(messages) - 1, -1, -1):
        if messages[at]["type"] == "remove" and messages[at]["id"] == REMOVE_ALL:
            kept = messages[at + 1 :]
            result = upsert([], kept)
            return [*kept] if result is None else result
    if _only_appends(old, messages):
        return None
    places = {identity: at for at, entry in enumerate(old) if (identity := _id(entry)) is not None}
    changed: list[Json] | None = None
    removed: set[str] = set()
    length = len(old)
    for count, message in enumerate(messages):
        identity = cast("str", message["id"])
        place = places.get(identity)
        is_removal = message["type"] == "remove"
        if is_removal and place is None:
            raise UnknownMessageError(message_id=identity)
        if place is None:
            places[identity] = length
            length += 1
            if changed is not None:
                changed.append(message)
            continue
        if changed is None:
            changed = [*old, *messages[:count]]
        if is_removal:
            removed.add(identity)
        else:
            removed.discard(identity)
            changed[place] = message
    return changed and [entry for entry in changed if _id(entry) not in removed]


def _only_appends(old: Sequence[Json], messages: Sequence[JsonObject]) -> bool:
    """Say whether all messages are new, by one pass over the old ids that runs in C: threads are long."""
    identities = {cast("str", message["id"]) for message in messages if message["type"] != "remove"}
    if len(identities) < len(messages):  # A removal, or an id twice.
        return False
    try:
        return identities.isdisjoint(map(_get_id, cast("Sequence[JsonObject]", old)))
    except (KeyError, TypeError):  # Some old entry is no message.
        return False


_get_id = itemgetter("id")


def _id(entry: Json) -> str | None:
    identity = entry.get("id") if isinstance(entry, dict) else None
    return identity if isinstance(identity, str) else None
