"""Encoding of what checkpointers save: values in typed form to items and deltas. Only decisions do this.

Every message and every long string is an item, also deep inside a value: inputs, pending writes, forks and whole states that are
handed to subgraphs refer to what the thread has already, so that no event grows with the thread.
"""

from __future__ import annotations

import json
from operator import is_
from typing import TYPE_CHECKING, TypeAlias

from .changes import Splice
from .channels import ranges_of, read_channel
from .deltas import DropChannel, SetItem, SetList, SetNested, SetValue, SpliceList
from .encoding import REFERENCE_CHARACTERS, STRING_ITEM_CHARACTERS_MIN, merge_between
from .shared_list import SharedList
from .typed import identity, is_message
from .values import same

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .changes import ChannelChange
    from .channels import Channel, Channels, Items
    from .deltas import Delta, Encoded, Range
    from .saved import Saved
    from .values import Json

Key: TypeAlias = tuple[str, str]
"""What an item is known by: a kind, and a text of that kind."""

MARKERS = frozenset({"$items", "$item"})
"""Keys that stand for references; an object of the user's that has one of them is an item, which nobody looks into."""

CONTENT_KEY_CHARACTERS_MAX = 10_000
"""What has no id is looked up by its content only up to this length."""

CANDIDATES_MAX = 16
"""Of items with one id, so many are looked at: a message that grows as it is streamed has many contents."""


class ItemIndex:
    """Finds items by what they are known by, the newest first. One is shared by all lists of one array."""

    def __init__(self) -> None:
        self._newest: dict[Key, int] = {}
        self._older: dict[Key, list[int]] = {}
        self._upto = 0

    def find(self, key: Key, items: Items) -> Sequence[int]:
        """Return the numbers of the newest items known by this key; some may be behind the end of `items`."""
        for number in range(self._upto, len(items)):
            own = _key(items[number])
            if own is not None:
                before = self._newest.get(own)
                if before is not None:
                    self._older.setdefault(own, []).append(before)
                self._newest[own] = number
        self._upto = max(self._upto, len(items))
        newest = self._newest.get(key)
        if newest is None:
            return ()
        return (newest, *self._older.get(key, ())[:-CANDIDATES_MAX:-1])


class SharingEncoder:
    """Turns typed values into items and deltas for ONE event; finds what the thread holds already.

    It refers to items that the saved state owns and to the run's own (`run_items`), and to no others: those may be erased.
    """

    def __init__(self, items: Items, saved: Saved, run_items: Range = (0, 0)) -> None:
        self.first_item = len(items)
        self.added: list[Json] = []
        self._items = items
        self._index = items.note(ItemIndex)
        self._owned = (*saved.owned, run_items)
        self._own: dict[Key, list[int]] = {}
        self._next = 0

    def value(self, value: Json) -> Encoded:
        """Encode a value as a whole."""
        if isinstance(value, list):
            ranges = self._ranges(value)
            if ranges is not None:
                return SetList(op="list", items=ranges)
        if isinstance(value, str):
            if len(value) > STRING_ITEM_CHARACTERS_MIN:
                return SetItem(op="item", item=self._item(value))
            return SetValue(op="set", value=value)
        if not isinstance(value, dict | list):
            return SetValue(op="set", value=value)
        if is_message(value):
            return SetItem(op="item", item=self._item(value))
        nested = self._nested(value)
        if nested is value:
            return SetValue(op="set", value=value)
        return SetNested(op="nested", value=nested)

    def deltas(
        self, channels: Channels, changes: Mapping[str, ChannelChange], kept: Iterable[str]
    ) -> dict[str, Delta]:
        """Encode what really changes; a channel that is neither changed nor kept is dropped."""
        result: dict[str, Delta] = {}
        for name, change in changes.items():
            is_known = name in channels
            delta = self._delta(channels[name], change) if is_known else self._first(change)
            if delta is not None:
                result[name] = delta
        for name in channels.keys() - changes.keys() - set(kept):
            result[name] = DropChannel(op="drop")
        return result

    # ------------------------------------------------------------------ deltas

    def _first(self, change: ChannelChange) -> Encoded:
        return self.value([*change.values] if isinstance(change, Splice) else change.value)

    def _delta(self, old: Channel, change: ChannelChange) -> Delta | None:
        if isinstance(change, Splice):
            if isinstance(old, SharedList):
                return self._splice(change.at, change.delete, change.values)
            before = read_channel(old, self._items)
            kept = before if isinstance(before, list) else []
            stop = change.at + change.delete
            return self.value([*kept[: change.at], *change.values, *kept[stop:]])
        new = change.value
        if isinstance(old, SharedList) and isinstance(new, list) and self._are_leaves(new):
            return self._list(old, new)
        before = read_channel(old, self._items)
        if same(before, new):
            return None
        encoded = self.value(new)
        if isinstance(encoded, SetValue) and isinstance(new, dict) and isinstance(old, dict):
            return merge_between(old, new)
        return encoded

    def _list(self, old: SharedList[int], new: list[Json]) -> Delta | None:
        before = self._items.pick(old)
        shorter = min(len(before), len(new))
        start = _same_objects(before, new)
        while start < shorter and same(before[start], new[start]):
            start += 1
        tail = 0
        while tail < shorter - start and same(before[-1 - tail], new[-1 - tail]):
            tail += 1
        stop = len(before) - tail
        return self._splice(start, stop - start, new[start : len(new) - tail])

    def _splice(self, at: int, delete: int, values: Sequence[Json]) -> Delta | None:
        if not values and not delete:
            return None
        numbers = [self._item(value) for value in values]
        return SpliceList(op="splice", at=at, delete=delete, items=ranges_of(numbers))

    # ------------------------------------------------------------------ items

    def _ranges(self, values: list[Json]) -> tuple[Range, ...] | None:
        """Return a list's elements as items; None if one of them holds items itself."""
        runs = self._runs(values)
        if not all(number is not None or _is_leaf(values[at]) for at, _, number in runs):
            return None
        ranges: list[Range] = []
        for at, stop, known in runs:
            number = self._item(values[at]) if known is None else known
            end = number + stop - at
            if known is not None:
                self._next = end
            if ranges and ranges[-1][1] == number:
                ranges[-1] = (ranges[-1][0], end)
            else:
                ranges.append((number, end))
        return tuple(ranges)

    def _are_leaves(self, values: list[Json]) -> bool:
        """Say whether each element is an item as a whole; what is an item already is one."""
        return all(
            number is not None or _is_leaf(values[at]) for at, _, number in self._runs(values)
        )

    def _runs(self, values: list[Json]) -> list[tuple[int, int, int | None]]:
        """Split a list: stretches that the thread holds in this order, by their first item's number, and single others."""
        runs: list[tuple[int, int, int | None]] = []
        at = 0
        while at < len(values):
            number = self._held(values[at])
            stop = at + 1 if number is None else self._run_end(values, at, number)
            runs.append((at, stop, number))
            at = stop
        return runs

    def _held(self, value: Json) -> int | None:
        """Return the number of the item that is this very object."""
        if not isinstance(value, dict | str):
            return None
        number = self._next
        if not (0 < number < self.first_item and self._items[number] is value):
            key = _key(value)
            known = () if key is None else self._index.find(key, self._items)
            number = next((each for each in known if self._is_at(each, value)), None)
            if number is None:
                return None
        return number if self._may_refer_to(number) else None

    def _is_at(self, number: int, value: Json) -> bool:
        return number < self.first_item and self._items[number] is value

    def _run_end(self, values: list[Json], at: int, number: int) -> int:
        """Return up to where the elements from `at` on are the items from `number` on."""
        limit = next(stop for start, stop in self._owned if start <= number < stop)
        limit = at + min(limit, self.first_item) - number
        stop, width = at + 1, 16
        while stop < min(limit, len(values)):
            end = min(stop + width, limit, len(values))
            held = self._items.slice(stop - at + number, end - at + number)
            count = _same_objects(held, values[stop:end])
            stop += count
            if count < len(held):
                break
            width *= 2
        return stop

    def _nested(self, value: Json) -> Json:
        """Return the value with references in place of what are items; itself, if there are none."""
        if isinstance(value, str):
            if len(value) > STRING_ITEM_CHARACTERS_MIN:
                return {"$item": self._item(value)}
            return value
        if isinstance(value, list):
            is_list_of_objects = bool(value) and set(map(type, value)) == {dict}
            ranges = self._ranges(value) if is_list_of_objects else None
            if ranges is not None:
                return {"$items": [list(each) for each in ranges]}
            nested = [self._nested(each) for each in value]
            is_same = all(one is other for one, other in zip(nested, value, strict=True))
            return value if is_same else nested
        if not isinstance(value, dict):
            return value
        if is_message(value) or not MARKERS.isdisjoint(value):
            return {"$item": self._item(value)}
        fields = {name: self._nested(each) for name, each in value.items()}
        return value if all(fields[name] is value[name] for name in value) else fields

    def _item(self, value: Json) -> int:
        expected = self._next
        if (
            0 < expected < self.first_item
            and self._items[expected] is value
            and self._may_refer_to(expected)
        ):
            self._next = expected + 1
            return expected
        number = self._find(value)
        if number is None:
            number = self.first_item + len(self.added)
            self.added.append(value)
            key = _key(value)
            if key is not None:
                self._own.setdefault(key, []).append(number)
        self._next = number + 1
        return number

    def _find(self, value: Json) -> int | None:
        key = _key(value)
        if key is None:
            return None
        for number in self._own.get(key, ()):
            if same(self.added[number - self.first_item], value):
                return number
        for number in self._index.find(key, self._items):
            is_ours = number < self.first_item and self._may_refer_to(number)
            if is_ours and same(self._items[number], value):
                return number
        return None

    def _may_refer_to(self, number: int) -> bool:
        return any(start <= number < stop for start, stop in self._owned)


def _key(value: Json) -> Key | None:
    """What an item can be looked up by: a long string itself, a message its id, all else its content."""
    if isinstance(value, str):
        # The text itself: a copy would take as much room again.
        return ("s", value) if len(value) > STRING_ITEM_CHARACTERS_MIN else None
    if isinstance(value, dict):
        known = identity(value)
        if known is None and isinstance(own := value.get("id"), str):
            known = own
        if known is not None:
            return "i", known
    if value is None or isinstance(value, bool | int | float):
        return None
    text = json.dumps(value, sort_keys=True)
    return ("c", text) if REFERENCE_CHARACTERS < len(text) <= CONTENT_KEY_CHARACTERS_MAX else None


def _is_leaf(value: Json) -> bool:
    """Say whether an element of a list is an item as a whole: it holds no messages but itself."""
    return not isinstance(value, dict | list) or is_message(value) or not _holds_items(value)


def _holds_items(value: Json) -> bool:
    if isinstance(value, list):
        return any(map(_holds_items, value)) or _is_list_of_objects(value)
    if isinstance(value, dict):
        return is_message(value) or any(map(_holds_items, value.values()))
    return False


def _is_list_of_objects(value: list[Json]) -> bool:
    """Say whether this looks like a list of messages in their plain form."""
    return len(value) > 1 and all(isinstance(each, dict) and "content" in each for each in value)


def _same_objects(one: Sequence[object], other: Sequence[object]) -> int:
    """Return how many of the same objects stand at the start of both."""
    alike = [*map(is_, one, other)]
    return alike.index(False) if False in alike else len(alike)
