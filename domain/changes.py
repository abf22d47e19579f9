"""What changes: a channel, as a runner tells it, and what stands when a graph has stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .events import Task
    from .values import Json


@dataclass(frozen=True, slots=True)
class Replace:
    """The channel's new value as a whole; what differs is found by comparing contents."""

    value: Json


@dataclass(frozen=True, slots=True)
class Splice:
    """The channel's list changes here only: `delete` elements from `at` on give way to `values`."""

    at: int
    delete: int
    values: Sequence[Json]


ChannelChange: TypeAlias = Replace | Splice


@dataclass(frozen=True, slots=True)
class GraphEnd:
    """What stands when a graph has stopped by itself: it is recorded with the run's end.

    `values` are all channels that readers see, in the form that they are stored in; None if those of the newest checkpoint are
    right. `names`, if given, are the channels that readers see: others are left out.
    """

    next: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    values: Mapping[str, Json] | None = None
    names: frozenset[str] | None = None
