"""Channels: the values of a thread as items, and how a recorded delta changes them.

The fold's side: total, no judging. How values become items and deltas is in `encoding.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, assert_never, cast

from .deltas import (
    Delta,
    DropChannel,
    Encoded,
    MergeObject,
    SetItem,
    SetList,
    SetNested,
    SetValue,
    SpliceList,
)
from .shared_list import SharedList
from .values import Json, JsonObject

if TYPE_CHECKING:
    from .deltas import Range


@dataclass(frozen=True, slots=True)
class ItemNumber:
    """A channel that holds one item: a long string."""

    number: int


@dataclass(frozen=True, slots=True)
class Nested:
    """A channel that holds a value with references to items inside it (`SetNested`)."""

    value: Json


Channel: TypeAlias = Json | ItemNumber | SharedList[int] | Nested
"""A channel in the fold: a list of item numbers, one number, references inside a value, all else inline."""

Channels: TypeAlias = Mapping[str, Channel]
Items: TypeAlias = SharedList[Json]


# ------------------------------------------------------------------ reading


def read_channel(channel: Channel, items: Items) -> Json:
    """Return the channel's value. It shares the fold's objects: never change it."""
    if isinstance(channel, SharedList):
        return items.pick(channel)
    if isinstance(channel, ItemNumber):
        return items[channel.number]
    if isinstance(channel, Nested):
        return _resolved(channel.value, items)
    return channel


def _resolved(value: Json, items: Items) -> Json:
    if isinstance(value, list):
        return [_resolved(element, items) for element in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        match value:
            case {"$items": ranges}:
                return items.pick(numbers_in(cast("Sequence[Range]", ranges)))
            case {"$item": number}:
                return items[cast("int", number)]
            case _:
                pass
    return {key: _resolved(element, items) for key, element in value.items()}


def numbers_of(channel: Channel) -> Iterator[int]:
    """Yield the numbers of all items that the channel refers to."""
    if isinstance(channel, SharedList):
        yield from channel
    elif isinstance(channel, ItemNumber):
        yield channel.number
    elif isinstance(channel, Nested):
        yield from _nested_numbers(channel.value)


def _nested_numbers(value: Json) -> Iterator[int]:
    if isinstance(value, list):
        for element in value:
            yield from _nested_numbers(element)
    elif isinstance(value, dict):
        match value:
            case {"$items": ranges} if len(value) == 1:
                yield from numbers_in(cast("Sequence[Range]", ranges))
            case {"$item": number} if len(value) == 1:
                yield cast("int", number)
            case _:
                for element in value.values():
                    yield from _nested_numbers(element)


def encoded_channel(channel: Channel) -> Encoded:
    """Return the stored form of a channel as a whole."""
    if isinstance(channel, SharedList):
        return SetList(op="list", items=ranges_of(list(channel)))
    if isinstance(channel, ItemNumber):
        return SetItem(op="item", item=channel.number)
    if isinstance(channel, Nested):
        return SetNested(op="nested", value=channel.value)
    return SetValue(op="set", value=channel)


def read_values(channels: Channels, items: Items) -> JsonObject:
    """Return all values by channel. They share the fold's objects: never change them."""
    return {name: read_channel(channel, items) for name, channel in channels.items()}


def decode(encoded: Encoded) -> Channel:
    """Return the channel that an encoded value stands for."""
    match encoded:
        case SetValue(value=value):
            return value
        case SetItem(item=number):
            return ItemNumber(number)
        case SetList(items=ranges):
            return SharedList(numbers_in(ranges))
        case SetNested(value=value):
            return Nested(value)
        case _:
            assert_never(encoded)


def decode_object(encoded: Mapping[str, Encoded]) -> dict[str, Channel]:
    """Decode each value of an object."""
    return {name: decode(value) for name, value in encoded.items()}


def numbers_in(ranges: Sequence[Range]) -> list[int]:
    """Return the numbers that the ranges stand for, in order."""
    numbers: list[int] = []
    for start, stop in ranges:
        numbers.extend(range(start, stop))
    return numbers


def ranges_of(numbers: Sequence[int]) -> tuple[Range, ...]:
    """Write item numbers as ranges, in their order."""
    ranges: list[Range] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
    return tuple(ranges)


# ------------------------------------------------------------------ applying


def apply(channels: Channels, deltas: Mapping[str, Delta]) -> Channels:
    """Return the channels with these deltas applied; the old ones stay as they are."""
    if not deltas:
        return channels
    result = dict(channels)
    for name, delta in deltas.items():
        match delta:
            case SpliceList(at=at, delete=delete, items=ranges):
                old = result.get(name)
                base = old if isinstance(old, SharedList) else SharedList[int]()
                result[name] = base.spliced(at, delete, numbers_in(ranges))
            case MergeObject():
                old = result.get(name)
                result[name] = _merge(old if isinstance(old, dict) else {}, delta)
            case DropChannel():
                result.pop(name, None)
            case SetValue() | SetItem() | SetList() | SetNested():
                result[name] = decode(delta)
            case _:
                assert_never(delta)
    return result


def _merge(old: JsonObject, delta: MergeObject) -> JsonObject:
    result: JsonObject = {**old, **delta.value}
    for key, nested in delta.nested.items():
        inner = old.get(key)
        result[key] = _merge(inner if isinstance(inner, dict) else {}, nested)
    for key in delta.remove:
        result.pop(key, None)
    return result


# ------------------------------------------------------------------ copying


def copied(values: Json) -> Json:
    """Return a deep copy of a JSON value, for code that may change what it gets."""
    if isinstance(values, dict):
        return {key: copied(value) for key, value in values.items()}
    if isinstance(values, list):
        return [copied(value) for value in values]
    return values


def copied_object(values: Mapping[str, Json]) -> dict[str, Json]:
    """Return a deep copy of an object."""
    return cast("dict[str, Json]", copied(dict(values)))
