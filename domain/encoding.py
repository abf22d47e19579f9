"""Encoding: how values become items and deltas, by comparing contents. Only decisions do this.

Reducers are not here (`reducers.py`): what they made is compared, so replay never calls them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from .changes import Replace, Splice
from .channels import ItemNumber, decode, numbers_in, ranges_of, read_channel
from .deltas import Encoded, MergeObject, SetItem, SetList, SetValue, SpliceList
from .shared_list import SharedList
from .values import same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .changes import ChannelChange
    from .channels import Channel, Channels, Items
    from .deltas import Delta, Range
    from .events import StateUpdated, StepRecorded
    from .values import Json, JsonObject

    EncodedObject: TypeAlias = dict[str, Encoded]

STRING_ITEM_CHARACTERS_MIN = 200
"""A string longer than this is stored as an item."""

MERGE_DEPTH_MAX = 32
"""Objects nested deeper are set as a whole: a stored merge is twice as deep as what it merges."""

REFERENCE_CHARACTERS = 16
"""What a reference to an item takes, about; a shorter value is cheaper to store again."""


def update_of(event: StepRecorded | StateUpdated) -> EncodedObject:
    """Return what the node gave in this step."""
    return _derived(event.deltas) if event.update is None else dict(event.update)


def _derived(deltas: Mapping[str, Delta]) -> dict[str, Encoded]:
    """Return the update that has just these effects, if each of them adds to a list or sets a value."""
    update: dict[str, Encoded] = {}
    for name, delta in deltas.items():
        match delta:
            case SpliceList(delete=0, items=items):
                update[name] = SetList(op="list", items=items)
            case SetValue() | SetItem() | SetList():
                update[name] = delta
            case _:
                pass
    return update


def _alike(one: EncodedObject, other: EncodedObject) -> bool:
    return one == other and all(
        same(value.value, it.value)
        for value, it in zip(one.values(), map(other.get, one), strict=True)
        if isinstance(value, SetValue) and isinstance(it, SetValue)
    )


class Encoder:
    """Turns values into items and deltas for ONE event.

    New items are numbered from `first_item` on. An item that the same run brought before (`known`,
    by number), or that the channel in question holds, is referred to again instead of being stored
    a second time. Items of other runs in flight are never referred to by content: such a run may be
    rolled back later, and its items erased.
    """

    def __init__(self, first_item: int, items: Items, known: Range = (0, 0)) -> None:
        self.first_item = first_item
        self.added: list[Json] = []
        self._items = items
        self._known = known
        self._expected = known[0]
        self._own: dict[str, int] | None = None
        self._held: dict[str, _Held] = {}

    def object(self, values: Mapping[str, Json]) -> EncodedObject:
        """Encode each value of an object."""
        return {name: self._value(value, self._held.get(name)) for name, value in values.items()}

    def update(
        self, values: Mapping[str, Json] | None, deltas: Mapping[str, Delta]
    ) -> EncodedObject | None:
        """Encode what a node gave, after its `deltas`: mostly of the items that these brought in.

        Returns None where the deltas tell it all (`update_of`), as they do in most steps.
        """
        if values is None:
            return None
        self._expected = self.first_item
        update = self.object(values)
        return None if _alike(update, _derived(deltas)) else update

    def deltas(self, channels: Channels, changes: Mapping[str, ChannelChange]) -> dict[str, Delta]:
        """Encode what really changes; a channel that keeps its content has no delta."""
        result: dict[str, Delta] = {}
        for name, change in changes.items():
            old = channels.get(name)
            delta = self._delta(old, change) if name in channels else self._first(change)
            self._held[name] = _Held(old, delta)
            if delta is not None:
                result[name] = delta
        return result

    def _value(self, value: Json, held: _Held | None = None) -> Encoded:
        if isinstance(value, list):
            numbers = [self._item(element, held) for element in value]
            return SetList(op="list", items=ranges_of(numbers))
        if isinstance(value, str) and len(value) > STRING_ITEM_CHARACTERS_MIN:
            return SetItem(op="item", item=self._item(value, held))
        return SetValue(op="set", value=value)

    def _first(self, change: ChannelChange) -> Delta:
        return self._value(change.value if isinstance(change, Replace) else [*change.values])

    def _delta(self, old: Channel, change: ChannelChange) -> Delta | None:
        if isinstance(change, Splice):
            if isinstance(old, SharedList):
                return self._splice(change.at, change.delete, change.values)
            return self._value([*change.values])
        new = change.value
        if isinstance(new, list):
            return self._list(old, new) if isinstance(old, SharedList) else self._value(new)
        if same(read_channel(old, self._items), new):
            return None
        if isinstance(new, dict) and isinstance(old, dict):
            return merge_between(old, new)
        return self._value(new)

    def _list(self, old: SharedList[int], new: list[Json]) -> Delta | None:
        items, last, new_last = self._items, len(old) - 1, len(new) - 1
        shorter = min(len(old), len(new))
        start = 0
        while start < shorter and same(items[old[start]], new[start]):
            start += 1
        tail = 0
        while tail < shorter - start and same(items[old[last - tail]], new[new_last - tail]):
            tail += 1
        stop = len(old) - tail
        given_way = _Held(SharedList(old.slice(start, stop))) if start < stop else None
        return self._splice(start, stop - start, new[start : len(new) - tail], given_way)

    def _splice(
        self, at: int, delete: int, values: Sequence[Json], held: _Held | None = None
    ) -> Delta | None:
        numbers = [self._item(value, held) for value in values]
        if not numbers and not delete:
            return None
        return SpliceList(op="splice", at=at, delete=delete, items=ranges_of(numbers))

    def _item(self, value: Json, held: _Held | None) -> int:
        number = self._find(value, held)
        if number is None:
            number = self._end
            self.added.append(value)
        return number

    def _find(self, value: Json, held: _Held | None) -> int | None:
        """Find the value among the run's own items and those held: mostly in their order there."""
        expected = self._expected
        start, stop = self._known
        is_own = start <= expected < stop or self.first_item <= expected < self._end
        if is_own and same(self._at(expected), value):
            self._expected += 1
            return expected
        if held and (number := held.next(value, self._at)) is not None:
            return number
        if (number := self._find_own(value)) is not None:
            return number
        return held.find(value, self._at) if held else None

    def _find_own(self, value: Json) -> int | None:
        key = _key(value)
        if key is None:
            return None
        if self._own is None:
            numbers = (*range(*self._known), *range(self.first_item, self._end))
            keys = ((_key(self._at(number)), number) for number in numbers)
            self._own = {key: number for key, number in keys if key is not None}
        number = self._own.setdefault(key, self._end)  # A new value gets the next number.
        return number if number < self._end and same(self._at(number), value) else None

    @property
    def _end(self) -> int:
        return self.first_item + len(self.added)

    def _at(self, number: int) -> Json:
        is_added = number >= self.first_item
        return self.added[number - self.first_item] if is_added else self._items[number]


class _Held:
    """The numbers of the items that a channel holds, after a delta: found in order, or by content.

    The next one is looked at first. A search makes an index of all, so it is left out where most
    values are new.
    """

    def __init__(
        self, channel: Channel, delta: Delta | None = None, *, is_searched: bool = True
    ) -> None:
        self._parts = list(_parts(channel, delta))
        self._next = 0
        self._is_searched = is_searched
        self._places: dict[str, int] | None = None

    def next(self, value: Json, at: Callable[[int], Json]) -> int | None:
        """Return the number behind the one that was found last, if its item is this value."""
        number = self._number(self._next)
        if number is None or not same(at(number), value):
            return None
        self._next += 1
        return number

    def find(self, value: Json, at: Callable[[int], Json]) -> int | None:
        """Return the number of the item that is this value, wherever it stands."""
        key = _content_key(value) if self._is_searched else None
        if key is None:
            return None
        if self._places is None:
            self._places = self._index(at)
        place = self._places.get(key)
        if place is None:
            return None
        self._next = place
        return self.next(value, at)

    def _index(self, at: Callable[[int], Json]) -> dict[str, int]:
        numbers = [
            number for part, start, stop in self._parts for number in part.slice(start, stop)
        ]
        keys = ((_content_key(at(number)), place) for place, number in enumerate(numbers))
        return {key: place for key, place in keys if key is not None}

    def _number(self, place: int) -> int | None:
        for part, start, stop in self._parts:
            if place < stop - start:
                return part[start + place]
            place -= stop - start
        return None


def _parts(channel: Channel, delta: Delta | None) -> Iterator[tuple[SharedList[int], int, int]]:
    """Yield what the channel is made of after the delta, as parts of lists; nothing is copied."""
    if isinstance(delta, SetItem):
        channel = ItemNumber(delta.item)
    elif isinstance(delta, SetList):
        channel = decode(delta)
    if isinstance(channel, ItemNumber):
        channel = SharedList([channel.number])
    if not isinstance(channel, SharedList):
        return
    if not isinstance(delta, SpliceList):
        yield channel, 0, len(channel)
        return
    new = SharedList(numbers_in(delta.items))
    yield channel, 0, min(delta.at, len(channel))
    yield new, 0, len(new)
    yield channel, min(delta.at + delta.delete, len(channel)), len(channel)


def _key(value: Json) -> str | None:
    """What a value can be looked up by: a long string itself, an object with an id by its id."""
    if isinstance(value, str):
        return f"s{value}" if len(value) > STRING_ITEM_CHARACTERS_MIN else None
    if isinstance(value, dict) and isinstance(identity := value.get("id"), str):
        return f"i{identity}"
    return None


def _content_key(value: Json) -> str | None:
    """What any value can be looked up by that is longer than a reference to it."""
    key = _key(value)
    if key is not None:
        return key
    text = json.dumps(value, sort_keys=True)
    return text if len(text) > REFERENCE_CHARACTERS else None


def merge_between(old: JsonObject, new: JsonObject) -> Delta:
    """Return the delta from one object to the other: a merge, or a set where nothing is kept."""
    if not any(key in new for key in old):
        return SetValue(op="set", value=new)
    return _merge_between(old, new, 1)


def _merge_between(old: JsonObject, new: JsonObject, depth: int) -> MergeObject:
    value: JsonObject = {}
    nested: dict[str, MergeObject] = {}
    for key, after in new.items():
        before = old.get(key)
        if key in old and same(before, after):
            continue
        if not isinstance(before, dict) or not isinstance(after, dict) or depth == MERGE_DEPTH_MAX:
            value[key] = after
        elif before and after:
            nested[key] = _merge_between(before, after, depth + 1)
        else:
            value[key] = after
    remove = tuple(key for key in old if key not in new)
    return MergeObject(op="merge", value=value, nested=nested, remove=remove)
