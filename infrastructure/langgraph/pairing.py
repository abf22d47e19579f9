"""What becomes of a channel's messages so that every tool call has its result: a plan of live messages. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from ...domain.tool_calls import PLAIN, OpenCall, Shape, mended
from .inputs import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Entry: TypeAlias = "int | OpenCall"

REMOVE_ALL = "__remove_all__"
"""The id of a message that stands for the removal of all."""


@dataclass(frozen=True)
class Plan:
    """What becomes of a channel: `entries` are places in `messages` and calls to be closed, None if it stays as it is.

    `strays` are results in the input that answer nothing.
    """

    messages: Sequence[BaseMessage]
    shapes: Sequence[Shape]
    entries: Sequence[Entry] | None = None
    strays: Sequence[BaseMessage] = ()

    @property
    def has_repeated(self) -> bool:
        """Whether a call is to be closed whose id was that of an earlier call too."""
        calls = (each for each in self.entries or () if isinstance(each, OpenCall))
        return any(map(self.is_repeated, calls))

    def is_repeated(self, call: OpenCall) -> bool:
        """Say whether the call's id was that of an earlier call too."""
        return any(call.call_id in shape.calls for shape in self.shapes[: call.at])

    def made(self, close: Callable[[Plan, OpenCall], BaseMessage]) -> list[BaseMessage]:
        """Return the channel's messages as they should be."""
        return [
            close(self, entry) if isinstance(entry, OpenCall) else self.messages[entry]
            for entry in self.entries or ()
        ]


def plan_of(
    there: list[BaseMessage], arriving: list[BaseMessage], kept: Sequence[BaseMessage] = ()
) -> Plan:
    """Plan for the messages that are there, given those that the input brings: what it answers need not be closed.

    `kept` are to follow those that are there.
    """
    stored = len(there)
    there = [*there, *kept]
    count = len(there)
    by_id = {message.id: message for message in arriving if message.id}
    replaced = {at: by_id[each.id] for at, each in enumerate(there) if each.id in by_id}
    gone = {message.id for message in replaced.values()}
    messages = [*there, *(message for message in arriving if message.id not in gone)]
    shapes = [_shape(replaced.get(at, message)) for at, message in enumerate(messages)]

    def is_old(at: int) -> bool:
        return at < count

    sound = mended(shapes, is_old)
    if sound is None:
        return Plan(messages, shapes, None if stored == count else range(count))
    placed = {entry for entry in sound if not isinstance(entry, OpenCall)}
    own = [at for at in range(count, len(messages)) if at in placed]
    front = [entry for entry in sound if isinstance(entry, OpenCall) or entry < count]
    natural = [_shape_at(shapes, entry) for entry in (*front, *own)]
    if mended(natural, lambda at: False) is not None:
        front = _with_answers(sound, shapes, count)  # They come too late in the input itself.
    coming = {**replaced, **dict(enumerate(messages[count:], count))}
    strays = [message for at, message in coming.items() if at not in placed]
    is_same = front == list(range(stored))
    return Plan(messages, shapes, None if is_same else front, strays)


def _with_answers(sound: Sequence[Entry], shapes: Sequence[Shape], count: int) -> list[Entry]:
    """Return the entries that are there, closings, and the results that the input has for calls that are there."""
    front: list[Entry] = []
    is_of_old = False
    for entry in sound:
        if isinstance(entry, OpenCall):
            front.append(entry)
            continue
        if shapes[entry].answers is None:
            is_of_old = entry < count
        if entry < count or (is_of_old and shapes[entry].answers is not None):
            front.append(entry)
    return front


def _shape(message: BaseMessage) -> Shape:
    if isinstance(message, ToolMessage):
        return Shape({}, message.tool_call_id)
    if isinstance(message, AIMessage) and message.tool_calls:
        return Shape({call["id"]: call["name"] for call in message.tool_calls if call["id"]})
    return PLAIN


def _shape_at(shapes: Sequence[Shape], entry: Entry) -> Shape:
    return Shape({}, entry.call_id) if isinstance(entry, OpenCall) else shapes[entry]


# ------------------------------------------------------------------ the input


def arriving_in(given: object, name: str) -> list[BaseMessage] | None:
    """Return the messages that the input brings to a channel; None, if they take the place of all that is there."""
    value: object = given
    if name != ROOT:
        value = cast("dict[str, object]", given).get(name) if isinstance(given, dict) else None
    messages = [each for each in _listed(value) if isinstance(each, BaseMessage)]
    if any(message.id == REMOVE_ALL for message in messages):
        return None
    return messages


def without(given: object, name: str, strays: Sequence[BaseMessage]) -> object:
    """Return the input without these of a channel's messages."""
    if not strays:
        return given
    gone = {id(message) for message in strays}
    if name == ROOT:
        return [each for each in _listed(given) if id(each) not in gone]
    fields = cast("dict[str, object]", given)
    return {**fields, name: [each for each in _listed(fields[name]) if id(each) not in gone]}


def _listed(value: object) -> list[object]:
    if value is None:
        return []
    return cast("list[object]", value) if isinstance(value, list) else [value]
