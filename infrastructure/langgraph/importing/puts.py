"""A checkpoint on its way from a source into the log, its lists told as the difference to its parent's.

What is told hangs on the contents alone: not on what happens to be in memory, nor on where an import began. But what is the
same object is not looked at twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import BaseMessage

from ....domain.changes import Replace, Splice
from ....domain.typed import identity, is_message
from ....domain.values import same
from ..heads import LiveHead
from ..values import ValueCodec
from ..writing import PutCheckpoint
from .recent import Recent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.runnables import RunnableConfig

    from ....domain.changes import ChannelChange
    from ....domain.importing import Record
    from ....domain.values import Json
    from ..live import LiveList
    from ..types import TypeRegistry

CHARACTERS_MAX = 8 << 20
"""So much text of messages is remembered."""


class SharingCodec(ValueCodec):
    """Gives one JSON object for one message, wherever and however often it comes: then it is compared by a glance."""

    def __init__(self, types: TypeRegistry) -> None:
        super().__init__(types)
        self._by_object: Recent[int, tuple[BaseMessage, Json]] = Recent(CHARACTERS_MAX)
        self._by_id: Recent[str, Json] = Recent(CHARACTERS_MAX)

    def encode(self, value: object, where: str) -> Json:
        """Return the value in typed JSON; the messages in it are shared."""
        if not isinstance(value, BaseMessage):
            return self._shared(super().encode(value, where))
        known = self._by_object.get(id(value))
        if known is not None:
            return known[1]
        made = self._shared(super().encode(value, where))
        self._by_object.put(
            id(value), (value, made), 1
        )  # With the object, so that its id stays its own.
        return made

    def _shared(self, value: Json) -> Json:
        if isinstance(value, list):
            value[:] = map(self._shared, value)
        elif isinstance(value, dict):
            message_id = identity(value)
            if message_id is not None:
                known = self._by_id.get(message_id)
                if known is not None and same(known, value):
                    return known
                self._by_id.put(message_id, value, _size(value))
            elif not is_message(value):
                for name, each in value.items():
                    if isinstance(each, dict | list):
                        value[name] = self._shared(each)
        return value


def _size(value: Json) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_size, value.values()), len(value))
    return sum(map(_size, value), len(value)) if isinstance(value, list) else 1


@dataclass(frozen=True, slots=True)
class FlatList:
    """A list of messages, texts and the like, as objects and as typed JSON. `objects` may be fewer: not all are known."""

    objects: list[object]
    values: list[Json]


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest checkpoint of a namespace: its id, the names of its channels, and those of its lists that are flat."""

    checkpoint_id: str
    names: frozenset[str]
    lists: Mapping[str, FlatList]


class ImportedPut(PutCheckpoint):
    """Records a checkpoint after the newest one of its namespace."""

    def __init__(
        self, config: RunnableConfig, record: Record, newest: Newest | None, codec: SharingCodec
    ) -> None:
        _, checkpoint_id = record.key
        is_fork = (None if newest is None else newest.checkpoint_id) != record.parent_id
        parent = None if is_fork else newest
        self._known: Mapping[str, FlatList] = {} if parent is None else parent.lists
        self._flat: dict[str, FlatList] = {}
        whole: dict[str, Any] = {**(record.checkpoint or {}), "id": checkpoint_id}
        values = cast("dict[str, object]", whole.setdefault("channel_values", {}))
        super().__init__(
            config,
            cast("Any", whole),
            cast("Any", record.metadata),
            # Every channel may be another one: some are changed without a new version.
            {**dict.fromkeys(values, 0), **whole.get("channel_versions", {})},
            codec=codec,
            parent=None if parent is None else LiveHead(parent.checkpoint_id, parent.names),
            is_fork=is_fork,
            run=None,
        )
        self.newest = Newest(checkpoint_id, frozenset(values), self._flat)

    def _change(self, name: str, value: object, before: LiveList | None) -> ChannelChange | None:
        del before
        known = self._known.get(name)
        flat = self._flattened(name, value, known)
        if flat is None:
            return Replace(self._codec.encode(value, name))
        self._flat[name] = flat
        return Replace(flat.values) if known is None else splice_between(known.values, flat.values)

    def _flattened(self, name: str, value: object, known: FlatList | None) -> FlatList | None:
        if type(value) is not list:
            return None
        objects = cast("list[object]", value)
        values: list[Json] = []
        if known is not None:
            values = known.values[: _shared_length(known.objects, objects)]
        for at in range(len(values), len(objects)):
            encoded = self._codec.encode(objects[at], f"{name}[{at}]")
            if isinstance(encoded, dict | list) and not is_message(encoded):
                return None
            values.append(encoded)
        return FlatList(objects, values)


def splice_between(old: list[Json], new: list[Json]) -> Splice | None:
    """Return the smallest splice that makes the new list of the old one; None, if they are the same."""
    shorter = min(len(old), len(new))
    start = 0
    while start < shorter and same(old[start], new[start]):
        start += 1
    tail = 0
    while tail < shorter - start and same(old[-1 - tail], new[-1 - tail]):
        tail += 1
    if start + tail == len(old) == len(new):
        return None
    return Splice(start, len(old) - tail - start, new[start : len(new) - tail])


def _shared_length(old: list[object], new: list[object]) -> int:
    """Return how many objects both lists begin with."""
    for at, (one, other) in enumerate(zip(old, new, strict=False)):
        if one is not other and not (type(one) is str and type(other) is str and one == other):
            return at
    return min(len(old), len(new))
