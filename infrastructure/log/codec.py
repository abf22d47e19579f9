"""Events to stored bytes and back. No SQL here, and nothing about where the bytes lie.

A stored event is a topic, `<type>.<schema version>`, and a state, `{"at": microseconds, "by": actor,
…fields}`. Fields that hold their default are left out, and so is the type: the topic has it. It is compressed, as a rule.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import orjson
from eventsourcing.persistence import StoredEvent
from pydantic_core import PydanticUndefined

from ...domain.assistant import (
    ASSISTANT_EVENT_CLASSES,
    AssistantEvent,
    RecordedAssistantEvent,
    assistant_id_of,
    stream_of,
)
from ...domain.deltas import Fact
from ...domain.errors import UnreadableEventError
from ...domain.events import RecordedEvent, ThreadEvent
from ...domain.upcasting import SCHEMA
from .compression import compressed, expanded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...domain.ports import LogEntry
    from ...domain.upcasting import Schema, Upcaster

EventRow: TypeAlias = tuple[str, int, str, bytes]
"""thread_id, version, topic, state: what StoredEvent holds, without the cost of one."""

LogRow: TypeAlias = tuple[int, str, int, str, bytes]
"""An EventRow with its position in front."""

_Reader: TypeAlias = "tuple[Callable[..., LogEntry], Callable[[Any], Any], tuple[Upcaster, ...]]"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_Shape: TypeAlias = tuple[tuple[str, ...], tuple[tuple[str, object], ...]]
"""Of a kind of fact: the fields that are always stored, and the others with their defaults."""

_shapes: dict[type[Fact], _Shape] = {}


def to_microseconds(moment: datetime) -> int:
    """Return the moment as whole microseconds since 1970, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """Return the moment in UTC, exactly."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _recorded_assistant_event(stream: str, *rest: Any) -> RecordedAssistantEvent:  # noqa: ANN401 - as its class has it
    return RecordedAssistantEvent(assistant_id_of(stream), *rest)


def _shape_of(kind: type[Fact]) -> _Shape:
    defaults = {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in kind.model_fields.items()
        if name != "type"
    }
    required = (name for name, default in defaults.items() if default is PydanticUndefined)
    optional = (item for item in defaults.items() if item[1] is not PydanticUndefined)
    shape = _shapes[kind] = tuple(required), tuple(optional)
    return shape


def _fields(fact: Fact) -> dict[str, object]:
    kind = type(fact)
    required, optional = _shapes.get(kind) or _shape_of(kind)
    values = fact.__dict__
    fields = {name: values[name] for name in required}
    for name, default in optional:
        value = values[name]
        if value is not default and value != default:
            fields[name] = value
    return fields


def _plain(value: object) -> object:
    """Give orjson what it does not know in terms of what it does."""
    if isinstance(value, Fact):
        return _fields(value)
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, object]", value))
    raise TypeError(f"a stored event cannot hold a {type(value).__name__}")


def _dumps(envelope: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(envelope, default=_plain)
    except orjson.JSONEncodeError:
        # orjson gives up at 254 levels, and a merge of deep objects has several for each of theirs.
        text = json.dumps(envelope, default=_plain, ensure_ascii=False, allow_nan=False)
        return text.encode()


def readable(state: bytes) -> bytes:
    """Return an event's stored state as the JSON that it is; raises UnreadableEventError."""
    try:
        return expanded(state)
    except ValueError as error:
        raise UnreadableEventError(name=str(error)) from error


class EventCodec:
    """Writes events in the current schema versions, and reads them in all that there ever were."""

    def __init__(self, schema: Schema = SCHEMA, *, is_compressing: bool = True) -> None:
        self._schema = schema
        self.is_compressing = is_compressing
        self._topics = {
            kind: f"{name}.{schema.version(name)}" for name, kind in schema.classes.items()
        }
        self._readers: dict[str, _Reader] = {}

    def topic(self, event: ThreadEvent | AssistantEvent) -> str:
        """Return the topic that the event is stored under."""
        return self._topics[type(event)]

    def topics_of(self, *names: str) -> frozenset[str]:
        """Return all topics, also old ones, under which these events may stand."""
        return frozenset(
            f"{name}.{version}"
            for name in names
            for version in range(1, self._schema.version(name) + 1)
        )

    def encode(
        self,
        event: ThreadEvent | AssistantEvent,
        recorded_at: datetime,
        actor: str | None = None,
    ) -> bytes:
        """Return the state that is stored for the event."""
        return self._encode(event, to_microseconds(recorded_at), actor)

    def _encode(self, event: ThreadEvent | AssistantEvent, at: int, actor: str | None) -> bytes:
        by = {} if actor is None else {"by": actor}
        text = _dumps({"at": at, **by, **_fields(event)})
        return compressed(text) if self.is_compressing else text

    def rows(
        self,
        thread_id: str,
        after: int,
        events: Iterable[ThreadEvent | AssistantEvent],
        recorded_at: datetime,
        actor: str | None = None,
    ) -> list[EventRow]:
        """Return the rows of events that follow version `after`."""
        at, topics = to_microseconds(recorded_at), self._topics
        return [
            (thread_id, version, topics[type(event)], self._encode(event, at, actor))
            for version, event in enumerate(events, after + 1)
        ]

    def decode(self, row: LogRow) -> LogEntry:
        """Read a row of the log.

        Raises:
            UnreadableEventError: the event or its schema version is unknown here.
        """
        position, thread_id, version, topic, state = row
        reader = self._readers.get(topic)
        if reader is None:
            reader = self._reader(topic)
        recorded, validate, upcasters = reader
        fields = orjson.loads(readable(state))
        at, actor = fields.pop("at"), fields.pop("by", None)
        for upcast in upcasters:
            fields = upcast(fields)
        at = _EPOCH + timedelta(microseconds=at)
        return recorded(thread_id, version, position, at, validate(fields), actor)

    def _reader(self, topic: str) -> _Reader:
        name, _, version = topic.rpartition(".")
        if not version.isdecimal():
            raise UnreadableEventError(name=topic)
        kind, upcasters = self._schema.path(name, int(version))
        recorded = _recorded_assistant_event if name in ASSISTANT_EVENT_CLASSES else RecordedEvent
        reader = (recorded, kind.__pydantic_validator__.validate_python, upcasters)
        self._readers[topic] = reader
        return reader

    def to_stored_event(self, recorded: LogEntry) -> StoredEvent:
        """Return the event in the form of the `eventsourcing` library."""
        if isinstance(recorded, RecordedEvent):
            originator_id, version = recorded.thread_id, recorded.version
        else:
            originator_id, version = stream_of(recorded.assistant_id), recorded.head
        return StoredEvent(
            originator_id=originator_id,
            originator_version=version,
            topic=self.topic(recorded.event),
            state=self.encode(recorded.event, recorded.recorded_at, recorded.actor),
        )

    def from_stored_event(self, stored: StoredEvent, position: int) -> LogEntry:
        """Read an event in the form of the `eventsourcing` library."""
        thread_id = str(stored.originator_id)
        return self.decode(
            (position, thread_id, stored.originator_version, stored.topic, stored.state)
        )


CODEC = EventCodec()
PLAIN = EventCodec(is_compressing=False)
"""For stores that have no use for smaller rows."""
