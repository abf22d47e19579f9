"""The stored form of messages that were encoded lately: one message is put several times, as an input, a write and a channel.

The form is given again only while the message looks as it did then; see `shapes.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import BaseMessage

from .shapes import OPAQUE, Shape, Watch, shape_of
from .values import ValueCodec

if TYPE_CHECKING:
    from ...domain.values import Json
    from .types import TypeRegistry

RECALLED_MAX = 2_048
"""Messages in one of two generations: the younger one becomes the older one when it is full."""

CHARACTERS_MAX = 16_384
"""Longer messages are not recalled: few long ones would hold much memory."""

DEPTH_MAX = 3
"""Messages deeper inside a value are encoded like everything else."""


def _is_text(key: object) -> bool:
    """Say whether it is a key that JSON has as it is."""
    return type(key) is str and (key.isascii() or key == key.encode(errors="replace").decode())


class RecallingCodec(ValueCodec):
    """Encodes as ValueCodec does, but gives the same objects again for messages that it knows. May be used from many threads."""

    def __init__(self, types: TypeRegistry) -> None:
        super().__init__(types)
        self._young: dict[int, tuple[object, Shape, Json]] = {}
        self._old: dict[int, tuple[object, Shape, Json]] = {}

    def with_types(self, types: TypeRegistry) -> RecallingCodec:
        """Return a codec of other types, which recalls nothing yet."""
        return RecallingCodec(types)

    def encode(self, value: object, where: str) -> Json:
        """Return the value in typed JSON; what is recalled in it is shared with earlier results, so change nothing there."""
        return self._encoded(value, where, 0)

    def _encoded(self, value: object, where: str, depth: int) -> Json:
        if isinstance(value, BaseMessage):
            return self._message(value, where)
        if depth < DEPTH_MAX and type(value) is list:
            elements = cast("list[object]", value)
            if any(isinstance(each, BaseMessage) for each in elements):
                return [
                    self._encoded(each, f"{where}[{at}]", depth + 1)
                    for at, each in enumerate(elements)
                ]
            return super().encode(elements, where)
        if depth < DEPTH_MAX and type(value) is dict:
            fields = cast("dict[Any, object]", value)
            if "$" not in fields and all(map(_is_text, fields)):
                return {
                    name: self._encoded(each, f"{where}.{name}", depth + 1)
                    for name, each in fields.items()
                }
            return super().encode(fields, where)
        return super().encode(value, where)

    def _message(self, message: BaseMessage, where: str) -> Json:
        known = self._young.get(id(message)) or self._old.get(id(message))
        if known is not None and known[0] is message and not Watch([known[1]]).suspects([message]):
            return known[2]
        shape = shape_of(message)
        stored = super().encode(message, where)
        content = message.content
        if shape is not OPAQUE and isinstance(content, str) and len(content) <= CHARACTERS_MAX:
            if len(self._young) >= RECALLED_MAX:
                self._old, self._young = self._young, {}
            self._young[id(message)] = (message, shape, stored)
        return stored
