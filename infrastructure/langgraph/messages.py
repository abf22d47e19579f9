"""Messages of langchain-core in typed JSON and back: the hot path, so that every line of it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)

from ...domain.typed import MESSAGE_DEFAULTS, TAG
from .coding import Refusal, check

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...domain.values import Json, JsonObject
    from .coding import Reader, Writer

MESSAGE_CLASSES: dict[str, type[BaseMessage]] = {
    "human": HumanMessage,
    "ai": AIMessage,
    "system": SystemMessage,
    "tool": ToolMessage,
    "function": FunctionMessage,
    "chat": ChatMessage,
    "remove": RemoveMessage,
    "HumanMessageChunk": HumanMessageChunk,
    "AIMessageChunk": AIMessageChunk,
    "SystemMessageChunk": SystemMessageChunk,
    "ToolMessageChunk": ToolMessageChunk,
    "FunctionMessageChunk": FunctionMessageChunk,
    "ChatMessageChunk": ChatMessageChunk,
}
"""The classes that are stored by their `type`. Subclasses of them are registered like any other class."""

_MISSING = object()
_set = object.__setattr__


def message_writer(kind: str) -> Callable[[Any, Writer, int], Json]:
    """Return what writes the messages of one class.

    A message that a field's default says all about is written without the field: that, and not what its maker set, is
    what `model_fields_set` says of it afterwards.
    """
    get_default = MESSAGE_DEFAULTS[kind].get

    def write_message(message: BaseMessage, writer: Writer, depth: int) -> Json:
        check(depth + 2)
        fields: JsonObject = {}
        name = ""
        try:
            for name, value in message.__dict__.items():
                default = get_default(name, _MISSING)
                if value is default or (type(value) is type(default) and value == default):
                    continue
                if type(value) is str and value.isascii():
                    fields[name] = value
                else:
                    fields[name] = writer.write(value, depth + 3)
            if message.__pydantic_extra__:
                for name, value in message.__pydantic_extra__.items():
                    fields[name] = writer.write(value, depth + 3)
        except Refusal as refusal:
            refusal.at(f".{name}")
            raise
        return {TAG: ["message", kind, fields]}

    return write_message


class _Template:
    """What all messages of one class begin with: their fields in order, with their defaults."""

    __slots__ = ("cls", "fields", "lists", "objects")

    def __init__(self, kind: str) -> None:
        cls = MESSAGE_CLASSES[kind]
        known = MESSAGE_DEFAULTS[kind]
        self.cls = cls
        self.fields: dict[str, object] = {}
        for name, field in cls.model_fields.items():
            # The table is the storage format; a field that came with a later version has its own default.
            default = known[name] if name in known else field.get_default(call_default_factory=True)
            self.fields[name] = default
        self.objects = [name for name, value in self.fields.items() if value == {}]
        self.lists = [name for name, value in self.fields.items() if value == []]


_TEMPLATES = {kind: _Template(kind) for kind in MESSAGE_CLASSES}


def read_message(payload: list[Json], reader: Reader) -> BaseMessage:
    """Return a new message for what was written, made without validation."""
    template = _TEMPLATES[cast("str", payload[1])]
    known = template.fields
    stored = cast("JsonObject", payload[2])
    fields = known.copy()
    extra: dict[str, object] = {}
    for name, value in stored.items():
        restored = value if type(value) is str else reader.read(value)
        if name in known:
            fields[name] = restored
        else:
            extra[name] = restored
    for name in template.objects:
        if name not in stored:
            fields[name] = {}
    for name in template.lists:
        if name not in stored:
            fields[name] = []
    message = template.cls.__new__(template.cls)
    _set(message, "__dict__", fields)
    _set(message, "__pydantic_fields_set__", set(stored))
    _set(message, "__pydantic_extra__", extra)
    _set(message, "__pydantic_private__", None)
    return message
