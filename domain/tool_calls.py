"""Tool calls and their results: what model providers accept as a history, and how one that was cut off becomes so again.

Providers refuse a history in which an assistant's tool call is not directly followed by its result, or in which a result answers
no call. A run that was stopped, timed out or crashed in the middle of a tool call leaves just that behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from .typed import message_of, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .state import ToolCall
    from .values import Json, JsonObject

    Messages: TypeAlias = Sequence[Json]

STOPPED = "The tool call was stopped before its result was known."
"""What a function graph's model is told: nobody knows when its tools start."""

NEVER_STARTED = "The tool call was never started."
OUTCOME_UNKNOWN = "The tool call was started and its outcome is unknown."
CANCELLED = "The tool call was cancelled."
NOT_REPORTED = "It is not known whether the tool call was started."
RESULT_NOT_KEPT = "The tool call finished, but its result was not kept."

AI_TYPES = frozenset({"ai", "AIMessageChunk"})
TOOL_TYPES = frozenset({"tool", "ToolMessageChunk"})


# ------------------------------------------------------------------ what is seen of a message


class Shape(NamedTuple):
    """What pairing sees of a message: the calls that it makes (ids, with the tools' names), and the call that it answers."""

    calls: Mapping[str, str]
    answers: str | None = None


PLAIN = Shape({})
"""A message that has nothing to do with tools."""


def shape_of(message: Json) -> Shape:
    """Return the shape of a message in the form that readers see."""
    if not isinstance(message, dict):
        return PLAIN
    kind = message.get("type")
    if kind in TOOL_TYPES:
        return Shape({}, _text(message.get("tool_call_id")))
    calls = message.get("tool_calls") if kind in AI_TYPES else None
    return Shape(_named(calls)) if calls else PLAIN


def typed_shape(message: Json) -> Shape:
    """Return the shape of a message in typed form."""
    found = message_of(message)
    if found is None:
        return shape_of(plain(message))  # Of a class of the user's own, perhaps.
    kind, fields = found
    if kind in TOOL_TYPES:
        return Shape({}, _text(fields.get("tool_call_id")))
    calls = fields.get("tool_calls") if kind in AI_TYPES else None
    return Shape(_named(calls)) if calls else PLAIN


def is_sound(shapes: Iterable[Shape]) -> bool:
    """Say whether every call is directly followed by its result, and every result answers a call before it."""
    waiting: set[str] = set()
    for calls, answers in shapes:
        if answers is not None:
            if answers not in waiting:
                return False
            waiting.discard(answers)
        elif waiting:
            return False
        elif calls:
            waiting = set(calls)
    return not waiting


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
        wanted = set(shape_of(messages[at]).calls)
        results = messages[at + 1 : at + 1 + len(wanted)]
        found = (shape_of(result).answers for result in results if _is_tool(result))
        if set(filter(None, found)) != wanted:
            return False
        answered += len(wanted)
    return answered == len(tools)


# ------------------------------------------------------------------ how a history becomes sound


class OpenCall(NamedTuple):
    """A call without a result: of the message `at`, for the tool `name`."""

    at: int
    call_id: str
    name: str


def mended(
    shapes: Sequence[Shape], closes: Callable[[int], bool] = lambda at: True
) -> list[int | OpenCall] | None:
    """Return the history made sound, as places of its messages and calls that are to be closed; None if nothing is to be done.

    The result of a call stands directly after it, also if it stood further down. Results without a call are left out. The open
    calls of messages for which `closes` is false stay open.
    """
    results = _results(shapes)
    sound: list[int | OpenCall] = []
    for at, shape in enumerate(shapes):
        if shape.answers is not None:
            continue  # It stands after its call, or it has none.
        sound.append(at)
        found = results.get(at, {})
        if len(found) == len(shape.calls) or not closes(at):
            sound.extend(sorted(found.values()))
            continue
        for call_id, name in shape.calls.items():
            result = found.get(call_id)
            sound.append(OpenCall(at, call_id, name) if result is None else result)
    return None if sound == list(range(len(shapes))) else sound


def _results(shapes: Sequence[Shape]) -> dict[int, dict[str, int]]:
    """Return the results of each message that calls: of several calls of one id, the newest one before it is answered."""
    results: dict[int, dict[str, int]] = {}
    waiting: dict[str, list[int]] = {}
    for at, (calls, answers) in enumerate(shapes):
        if answers is not None:
            callers = waiting.get(answers)
            if callers:
                results.setdefault(callers.pop(), {})[answers] = at
        for call_id in calls:
            waiting.setdefault(call_id, []).append(at)
    return results


def outcome(call: ToolCall | None, *, is_reported: bool) -> str:
    """Say what the log knows of a call without a result. `is_reported`: a call that it does not know of was never started."""
    if call is None:
        return NEVER_STARTED if is_reported else NOT_REPORTED
    if call.is_finished:
        return RESULT_NOT_KEPT
    return CANCELLED if call.is_cancelled else OUTCOME_UNKNOWN


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
    sound = mended([shape_of(message) for message in after], lambda at: id(after[at]) in old)
    if sound is None:
        return None
    return [
        after[entry] if isinstance(entry, int) else closing_message(entry, STOPPED, new_id())
        for entry in sound
    ]


def closing_message(call: OpenCall, content: str, message_id: str) -> JsonObject:
    """Return the message that closes a call, in the form that readers see."""
    return {
        "content": content,
        "additional_kwargs": {},
        "response_metadata": {},
        "type": "tool",
        "name": call.name,
        "id": message_id,
        "tool_call_id": call.call_id,
        "artifact": None,
        "status": "error",
    }


# ------------------------------------------------------------------ parts


def _is_tool(message: Json) -> bool:
    return isinstance(message, dict) and message.get("type") in TOOL_TYPES


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _named(calls: Json) -> dict[str, str]:
    """Return the ids of a message's tool calls, each with the tool's name."""
    found: dict[str, str] = {}
    for call in calls if isinstance(calls, list) else ():
        fields = cast("Mapping[str, Json]", call if isinstance(call, dict) else {})
        call_id = fields.get("id")
        if isinstance(call_id, str):
            found[call_id] = _text(fields.get("name"))
    return found
