"""The stored form of messages that were encoded lately: one message is put several times, as an input, a write and a channel.

The form is given again only while the message looks as it did then; see `shapes.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import BaseMessage

from .shapes import OPAQUE, Shape, is_alike, shape_of
from .values import ValueCodec

if TYPE_CHECKING:
    from ...domain.values import Json
    from .types import TypeRegistry

RECALLED_MAX = 8_192
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
                    self._encoded(each, f"{where}[{at}]", depth + 1) if known is None else known[2]
                    for at, (each, known) in enumerate(
                        zip(elements, map(self.recalled, elements), strict=True)
                    )
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
        known = self.recalled(message)
        if known is not None:
            return known[2]
        shape = shape_of(message)
        stored = super().encode(message, where)
        self.remember(message, shape, stored)
        return stored

    def remember(self, value: object, shape: Shape, stored: Json) -> None:
        """Take it that this is a message's form for as long as it has this shape."""
        if shape is OPAQUE or not isinstance(value, BaseMessage):
            return
        content = value.content
        if not isinstance(content, str) or len(content) > CHARACTERS_MAX:
            return
        if len(self._young) >= RECALLED_MAX:
            self._old, self._young = self._young, {}
        self._young[id(value)] = (value, shape, stored)

    def decode_input(self, value: Json) -> object:
        """Return what `decode` does, and remember its messages: they are encoded soon, and are items already."""
        return self._remembered(value, 0)

    def _remembered(self, value: Json, depth: int) -> object:
        if depth < DEPTH_MAX and type(value) is list:
            return [self._remembered(each, depth + 1) for each in value]
        if depth < DEPTH_MAX and type(value) is dict and "$" not in value:
            return {name: self._remembered(each, depth + 1) for name, each in value.items()}
        result = self.decode(value)
        if isinstance(result, BaseMessage):
            self.remember(result, shape_of(result), value)
        return result

    def recalled(self, value: object) -> tuple[object, Shape, Json] | None:
        """Return what is known of a message that still looks as it did: itself, its shape and its form."""
        known = self._young.get(id(value)) or self._old.get(id(value))
        if known is None or known[0] is not value:
            return None
        return known if is_alike(known[1], value) else None
