"""The values of a state, made when somebody asks: as JSON to work with, or as the bytes of an answer that are made only once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from ..domain.channels import copied_object, read_channel
from ..domain.saved_fold import ROOT
from ..domain.shared_list import SharedList
from ..domain.state import read_state
from ..domain.stored_items import StoredItems
from ..domain.typed import MESSAGE_DEFAULTS, message_of, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..domain.channels import Channel, Channels, Items
    from ..domain.state import State
    from ..domain.values import Json, JsonObject


BLOCK = 64
"""Elements of a list whose text is made, and kept, as one."""


class ShownBlocks:
    """The text of lists' elements as readers see them, block by block: made once, and shared by all who read the same items.

    States of a thread differ in their last few messages, so that they have nearly all of it in common.
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[int, ...], orjson.Fragment] = {}

    def of(self, numbers: Iterable[int], items: Items) -> list[Any]:
        """Return the elements of a list for orjson; those of a whole block are one piece of text, commas and all."""
        wanted = tuple(numbers)
        whole = len(wanted) - len(wanted) % BLOCK
        if len(self._texts) > 2 * (len(items) // BLOCK) + BLOCK:
            self._texts.clear()  # Of lists that have changed in the middle.
        blocks = [self._text(wanted[at : at + BLOCK], items) for at in range(0, whole, BLOCK)]
        return [*blocks, *map(_shown, items.pick(wanted[whole:]))]

    def _text(self, block: tuple[int, ...], items: Items) -> orjson.Fragment:
        text = self._texts.get(block)
        if text is None:
            array = orjson.dumps([*map(_shown, items.pick(block))])
            text = self._texts[block] = orjson.Fragment(array[1:-1])
        return text


def _shown(value: Json) -> Json:
    """Return what `plain` does, with containers that nobody may change: of messages, faster."""
    message = message_of(value)
    defaults = None if message is None else MESSAGE_DEFAULTS.get(message[0])
    if message is None or defaults is None:
        return plain(value)
    fields = message[1]
    shown = {**defaults, **fields}
    for name, held in fields.items():
        if type(held) is dict or type(held) is list:
            shown[name] = plain(held)
    return shown


@dataclass(frozen=True, slots=True)
class StateValues:
    """What readers see of a state's channels."""

    state: State
    items: Items

    def __repr__(self) -> str:
        """Return what readers see: beside it, the items hold what was rolled back."""
        return f"StateValues({self.read()!r})"

    def read(self) -> JsonObject:
        """Return the values, theirs to change."""
        return copied_object(read_state(self.state, self.items))

    def to_encode(self) -> Any:  # noqa: ANN401 - what orjson takes
        """Return the values for orjson; what is text already stays that. Of a graph without channels, its one value."""
        state = self.state
        if state.is_typed:
            shown = encodable(state.channels, self.items)
            return shown[ROOT] if shown.keys() == {ROOT} else shown
        values = {name: self._stored(channel) for name, channel in state.channels.items()}
        return values[ROOT] if values.keys() == {ROOT} else values

    # ------------------------------------------------------------------ in part

    @property
    def is_bare(self) -> bool:
        """Whether the values are those of a graph without channels: one value, of any kind."""
        return self.state.is_typed and [*self.state.channels] == [ROOT]

    def shown(self) -> Json:
        """Return the values as `to_encode` shows them. They share the fold's objects: never change them."""
        values = read_state(self.state, self.items)
        return values[ROOT] if self.is_bare else values

    def channel(self, name: str) -> list[Json]:
        """Return the value of one channel, shared like that, as the one element of a list; none if there is no such channel."""
        if name not in self.state.channels:
            return []
        value = read_channel(self.state.channels[name], self.items)
        return [plain(value) if self.state.is_typed else value]

    def element(self, name: str, at: int) -> list[Json]:
        """Return one element of a channel's list, without reading the others; none if it is not there."""
        channel = self.state.channels.get(name)
        if not isinstance(channel, SharedList):
            (value,) = self.channel(name) or [None]
            found = value if isinstance(value, list) else []
            return [found[at]] if -len(found) <= at < len(found) else []
        if not -len(channel) <= at < len(channel):
            return []
        (value,) = self.items.pick([channel[at % len(channel)]])
        return [plain(value) if self.state.is_typed else value]

    def _stored(self, channel: Channel) -> Any:  # noqa: ANN401 - what orjson takes
        items = self.items
        if not isinstance(items, StoredItems) or not isinstance(channel, SharedList):
            return read_channel(channel, items)
        found = items.unread(channel)
        return [orjson.Fragment(item) if isinstance(item, bytes) else item for item in found]


def encodable(channels: Channels, items: Items) -> dict[str, Any]:
    """Return channels in typed form for orjson, as readers see them."""
    blocks = items.note(ShownBlocks)
    return {
        name: blocks.of(channel, items)
        if isinstance(channel, SharedList)
        else plain(read_channel(channel, items))
        for name, channel in channels.items()
    }
