"""Reducers: how an update and a channel's old value make the new one; never called in replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

from . import messages as message_rules
from .changes import Replace, Splice
from .channels import copied
from .errors import InvalidInputError, ReducerError
from .values import Json, JsonObject, canonical

if TYPE_CHECKING:
    from .changes import ChannelChange

Reducer: TypeAlias = Callable[[Json, Json], Json]
"""(old value or None, update) -> new value. May be any callable; gets private copies."""


def append(old: Json, update: Json) -> Json:
    """Concatenate two lists; a value that is no list is appended as one element."""
    before = old if isinstance(old, list) else [] if old is None else [old]
    return [*before, *(update if isinstance(update, list) else [update])]


def messages(old: Json, update: Json) -> Json:
    """Upsert chat messages by id; `update` must be normalized (see `Schema.normalized`)."""
    before = old if isinstance(old, list) else []
    added = update if isinstance(update, list) else [update]
    result = message_rules.upsert(before, added)
    return [*before, *added] if result is None else result


@dataclass(frozen=True, slots=True)
class Schema:
    """A graph's channels: their names (None: any name goes) and reducers (none: last value)."""

    names: frozenset[str] | None = None
    reducers: Mapping[str, Reducer] = field(default_factory=lambda: {"messages": messages})

    def normalized(self, update: Json, new_id: Callable[[], str]) -> JsonObject:
        """Return an update in stored form, messages with ids; unknown channels are left out.

        Raises:
            ReducerError: the update is no object, or a message in it is none.
        """
        if not isinstance(update, dict):
            shown = type(update).__name__
            raise ReducerError(
                channel="update", problem=f"expected an object of channels, got {shown}"
            )
        result: JsonObject = {}
        for name, value in update.items():
            if self.names is not None and name not in self.names:
                continue
            is_messages = self.reducers.get(name) is messages
            result[name] = message_rules.normalize(value, new_id, name) if is_messages else value
        return result

    def changes(self, values: Mapping[str, Json], update: JsonObject) -> dict[str, ChannelChange]:
        """Apply the reducers to a normalized update of `values`, which stay as they are."""
        return {name: self._change(name, values.get(name), value) for name, value in update.items()}

    def _change(self, name: str, old: Json, value: Json) -> ChannelChange:
        reducer = self.reducers.get(name)
        if reducer is None:
            return Replace(value)
        if reducer is messages and isinstance(old, list) and isinstance(value, list):
            result = message_rules.upsert(old, value)
            return Splice(len(old), 0, value) if result is None else Replace(result)
        if reducer is append and isinstance(old, list):
            return Splice(len(old), 0, value if isinstance(value, list) else [value])
        return Replace(self._called(name, reducer, old, value))

    def _called(self, name: str, reducer: Reducer, old: Json, value: Json) -> Json:
        try:
            return canonical(reducer(copied(old), copied(value)), name)
        except InvalidInputError:
            raise
        except Exception as error:
            problem = f"its reducer raised {type(error).__name__}: {error}"
            raise ReducerError(channel=name, problem=problem) from error


def applied(old: Json, change: ChannelChange) -> Json:
    """Return a channel's new value as plain JSON."""
    if isinstance(change, Replace):
        return change.value
    before = cast("list[Json]", old) if isinstance(old, list) else []
    return [*before[: change.at], *change.values, *before[change.at + change.delete :]]
