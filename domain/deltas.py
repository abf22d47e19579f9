"""Deltas: the stored effects on a channel, and the stored forms of values. Part of the storage format, as `events.py` is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from .values import Json, JsonObject

Value: TypeAlias = Annotated[Json, SkipValidation]
"""A JSON value that `values.canonical` made: checked where it came in, not again at each read."""

Object: TypeAlias = Annotated[JsonObject, SkipValidation]

Range: TypeAlias = tuple[int, int]
"""Items by number: from the first up to, not including, the second."""


class Fact(BaseModel):
    """Base of all stored forms: immutable, compared by value."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class SetValue(Fact):
    """The channel holds `value` from now on."""

    op: Literal["set"]
    value: Value


class SetItem(Fact):
    """The channel holds the item of this number (a long string) from now on."""

    op: Literal["item"]
    item: int


class SetList(Fact):
    """The channel is a list of exactly these items from now on."""

    op: Literal["list"]
    items: tuple[Range, ...] = ()


class SpliceList(Fact):
    """In the channel's list, `delete` elements from `at` on give way to these items."""

    op: Literal["splice"]
    at: int
    delete: int = 0
    items: tuple[Range, ...] = ()


class MergeObject(Fact):
    """In the channel's object, these keys are set, and those removed; nested objects likewise."""

    op: Literal["merge"]
    value: Object = Field(default_factory=dict)
    nested: Mapping[str, MergeObject] = Field(default_factory=dict)
    remove: tuple[str, ...] = ()


class DropChannel(Fact):
    """The channel has no value from now on."""

    op: Literal["drop"]


class SetNested(Fact):
    """The channel holds a value with items inside it from now on.

    In `value`, `{"$items": [[1, 4], …]}` stands for a list of these items, and `{"$item": 5}` for one.
    """

    op: Literal["nested"]
    value: Value


Delta: TypeAlias = Annotated[
    SetValue | SetItem | SetList | SpliceList | MergeObject | DropChannel | SetNested,
    Field(discriminator="op"),
]
Encoded: TypeAlias = Annotated[SetValue | SetItem | SetList | SetNested, Field(discriminator="op")]
"""A whole value, by itself: inline, or as references to items."""

ChannelVersion: TypeAlias = int | float | str
"""A checkpointer's number of a channel's change; strings stand in threads that were imported."""
