"""Tool calls and their results: what model providers accept as a history, and how one that was cut off becomes so again.

Providers refuse a history in which an assistant's tool call is not directly followed by its result, or in which a result answers
no call. A run that was stopped, timed out or crashed in the middle of a tool call leaves just that behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

from .values import Json, JsonObject

Messages: TypeAlias = Sequence[Json]

STOPPED = "The tool call was stopped before its result was known."


def is_provider_valid(messages: Messages) -> bool:
    """Say whether every tool call is directly followed by its result, and every result answers a call before it.

    It is asked at each input, of histories of any length: one quick look at each message, a closer one only at calls.
    """
    tools = [at for at, message in enumerate(messages) if _is_tool(message)]
    calling = [
        at
        for at, message in enumerate(messages)
        if isinstance(message, dict) and message.get("tool_calls")
    ]
    answered = 0
    for at in calling:
        wanted = _calls(messages[at])
        results = messages[at + 1 : at + 1 + len(wanted)]
        if {_answered(result) for result in results if _is_tool(result)} != wanted.keys():
            return False
        answered += len(wanted)
    return answered == len(tools)


def provider_valid(
    before: Messages, after: Messages, new_id: Callable[[], str]
) -> list[Json] | None:
    """Return `after`, a history that a new input has been added to, with the calls of `before` closed; None if it is sound.

    Each open call gets its result directly after it: one that stands further down if there is one, else a tool message that says
    that it was stopped. Results without a call are left out. Calls that came with the input itself stay open: the graph is meant
    to carry them out.
    """
    if is_provider_valid(after):
        return None
    old = {id(message) for message in before}
    results = {
        _answered(message): message for message in after if _is_tool(message) and _answered(message)
    }
    closed: list[Json] = []
    for message in after:
        if _is_tool(message):
            continue  # It stands after its call, or it has none.
        closed.append(message)
        for call_id, name in _calls(message).items():
            result = results.pop(call_id, None)
            if result is not None:
                closed.append(result)
            elif id(message) in old:
                closed.append(_stopped(call_id, name, new_id()))
    return None if closed == list(after) else closed


def _is_tool(message: Json) -> bool:
    return isinstance(message, dict) and message.get("type") == "tool"


def _answered(message: Json) -> str:
    call_id = message.get("tool_call_id") if isinstance(message, dict) else None
    return call_id if isinstance(call_id, str) else ""


def _calls(message: Json) -> dict[str, str]:
    """Return the ids of a message's tool calls, each with the tool's name."""
    if not isinstance(message, dict) or message.get("type") != "ai":
        return {}
    calls = message.get("tool_calls")
    found: dict[str, str] = {}
    for call in calls if isinstance(calls, list) else ():
        fields = cast("Mapping[str, Json]", call if isinstance(call, dict) else {})
        call_id, name = fields.get("id"), fields.get("name")
        if isinstance(call_id, str):
            found[call_id] = name if isinstance(name, str) else ""
    return found


def _stopped(call_id: str, name: str, message_id: str) -> JsonObject:
    return {
        "content": STOPPED,
        "additional_kwargs": {},
        "response_metadata": {},
        "type": "tool",
        "name": name,
        "id": message_id,
        "tool_call_id": call_id,
        "artifact": None,
        "status": "error",
    }
