"""Assistants: a graph with a config, a context and metadata, in numbered versions. Events, fold and decisions of one.

Names, fields and defaults of the events are the storage format, as those in `events.py` are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, assert_never, get_args

from pydantic import Field

from .deltas import Object
from .errors import (
    AssistantExistsError,
    AssistantNotFoundError,
    AssistantVersionNotFoundError,
    DefaultAssistantError,
    InvalidInputError,
)
from .events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .values import Json, JsonObject

UNTITLED = "Untitled"
"""The name of an assistant that was given none."""

SYSTEM_METADATA: Mapping[str, str] = MappingProxyType({"created_by": "system"})
"""The metadata of the assistant that every graph has from the start."""

_STREAM = re.compile(r"assistant:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PREFIX = "assistant:"


def stream_of(assistant_id: str) -> str:
    """Return the name under which an assistant's events stand in the log, where threads have their ids."""
    return _PREFIX + assistant_id


def assistant_id_of(stream: str) -> str:
    """Return the id of the assistant whose events stand under this name."""
    return stream.removeprefix(_PREFIX)


def require_thread_id(name: str) -> None:
    """Raise InvalidInputError if the name is that of an assistant's events: no thread may be called so."""
    if name.startswith(_PREFIX) and _STREAM.fullmatch(name):
        raise InvalidInputError(f"thread_id: {name} is the name of an assistant's events")


# ------------------------------------------------------------------ events


class AssistantCreated(Event):
    """The assistant exists, in version 1; after an AssistantDeleted, it exists anew."""

    type: Literal["AssistantCreated"] = "AssistantCreated"
    graph_id: str
    name: str = UNTITLED
    description: str | None = None
    config: Object = Field(default_factory=dict)
    context: Object = Field(default_factory=dict)
    metadata: Object = Field(default_factory=dict)


class AssistantPatched(Event):
    """There is a new version, which differs in what is not None; keys of the metadata were set (shallow merge)."""

    type: Literal["AssistantPatched"] = "AssistantPatched"
    graph_id: str | None = None
    name: str | None = None
    description: str | None = None
    config: Object | None = None
    context: Object | None = None
    metadata: Object | None = None


class AssistantVersionSet(Event):
    """This version is the one that runs get from now on, and that the next version starts from."""

    type: Literal["AssistantVersionSet"] = "AssistantVersionSet"
    version: int


class AssistantDeleted(Event):
    """The assistant is gone with all its versions; its id may be created again."""

    type: Literal["AssistantDeleted"] = "AssistantDeleted"


AssistantEvent: TypeAlias = Annotated[
    AssistantCreated | AssistantPatched | AssistantVersionSet | AssistantDeleted,
    Field(discriminator="type"),
]

AssistantEvents: TypeAlias = tuple[AssistantEvent, ...]

ASSISTANT_EVENT_CLASSES: Mapping[str, type[Event]] = MappingProxyType(
    {kind.__name__: kind for kind in get_args(get_args(AssistantEvent)[0])}
)


@dataclass(frozen=True, slots=True)
class RecordedAssistantEvent:
    """An event with its envelope. `head` counts the assistant's events from 1, without holes.

    It is what a thread's version is; the versions of an assistant are something else. All else is as in `RecordedEvent`.
    """

    assistant_id: str
    head: int
    position: int
    recorded_at: datetime
    event: AssistantEvent
    actor: str | None = None


# ------------------------------------------------------------------ fold


@dataclass(frozen=True, slots=True)
class AssistantVersion:
    """What an assistant was in one of its versions."""

    version: int
    graph_id: str
    name: str
    description: str | None
    config: JsonObject
    context: JsonObject
    metadata: JsonObject
    created_at: datetime


_NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Assistant:
    """An assistant as its events have it. `head` is the number of the last one; `latest` the version that counts."""

    head: int = 0
    versions: tuple[AssistantVersion, ...] = ()
    latest: AssistantVersion | None = None
    created_at: datetime = _NEVER
    updated_at: datetime = _NEVER

    def version(self, number: int) -> AssistantVersion | None:
        """Return one of the versions."""
        return self.versions[number - 1] if 1 <= number <= len(self.versions) else None


NO_ASSISTANT = Assistant()


def evolve(assistant: Assistant, recorded: RecordedAssistantEvent) -> Assistant:
    """Apply one event. Never raises, never judges."""
    at, event = recorded.recorded_at, recorded.event
    after = replace(assistant, head=recorded.head, updated_at=at)
    match event:
        case AssistantCreated():
            first = AssistantVersion(
                version=1,
                graph_id=event.graph_id,
                name=event.name,
                description=event.description,
                config=event.config,
                context=event.context,
                metadata=event.metadata,
                created_at=at,
            )
            return replace(after, versions=(first,), latest=first, created_at=at)
        case AssistantPatched():
            before = assistant.latest
            if before is None:
                return after
            latest = _patched(before, event, len(assistant.versions) + 1, at)
            return replace(after, versions=(*assistant.versions, latest), latest=latest)
        case AssistantVersionSet(version=number):
            return replace(after, latest=assistant.version(number) or assistant.latest)
        case AssistantDeleted():
            return Assistant(head=recorded.head, updated_at=at)
        case _:
            assert_never(event)


def fold(
    events: Iterable[RecordedAssistantEvent], assistant: Assistant = NO_ASSISTANT
) -> Assistant:
    """Apply events in order."""
    for recorded in events:
        assistant = evolve(assistant, recorded)
    return assistant


def _patched(
    before: AssistantVersion, event: AssistantPatched, version: int, at: datetime
) -> AssistantVersion:
    changes = {
        name: value
        for name in ("graph_id", "name", "description", "config", "context")
        if (value := getattr(event, name)) is not None
    }
    metadata = {**before.metadata, **(event.metadata or {})}
    return replace(before, **changes, metadata=metadata, version=version, created_at=at)


# ------------------------------------------------------------------ commands


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAssistant:
    """Make an assistant. `is_default`: the id is that of an assistant which a graph has from the start."""

    assistant_id: str
    graph_id: str
    name: str = UNTITLED
    description: str | None = None
    config: JsonObject = field(default_factory=dict[str, "Json"])
    context: JsonObject = field(default_factory=dict[str, "Json"])
    metadata: JsonObject = field(default_factory=dict[str, "Json"])
    if_exists: Literal["raise", "do_nothing"] = "raise"
    is_default: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchAssistant:
    """Make a new version, which differs from the latest in what is not None; metadata are merged.

    `default_graph_id` is the graph whose assistant it is from the start: that one is stored when it is first changed.
    """

    assistant_id: str
    graph_id: str | None = None
    name: str | None = None
    description: str | None = None
    config: JsonObject | None = None
    context: JsonObject | None = None
    metadata: JsonObject | None = None
    default_graph_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAssistantVersion:
    """Make a version the latest."""

    assistant_id: str
    version: int
    default_graph_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteAssistant:
    """Take the assistant away, unless a graph has it from the start."""

    assistant_id: str
    default_graph_id: str | None = None


AssistantCommand: TypeAlias = (
    CreateAssistant | PatchAssistant | SetAssistantVersion | DeleteAssistant
)


# ------------------------------------------------------------------ decisions


def default_created(graph_id: str) -> AssistantCreated:
    """Return what the assistant that a graph has from the start would have begun with."""
    return AssistantCreated(graph_id=graph_id, name=graph_id, metadata=dict(SYSTEM_METADATA))


def decide(command: AssistantCommand, assistant: Assistant) -> AssistantEvents:
    """Return what the command comes to on the assistant as it stands.

    Raises:
        AssistantExistsError: it is to be created, and is there.
        AssistantNotFoundError: it is to be changed or deleted, and is not there.
        AssistantVersionNotFoundError: it has no such version.
        DefaultAssistantError: it is to be deleted, and a graph has it from the start.
    """
    match command:
        case CreateAssistant():
            return _create(command, assistant)
        case PatchAssistant():
            return _patch(command, assistant)
        case SetAssistantVersion():
            return _set_version(command, assistant)
        case DeleteAssistant(assistant_id=assistant_id, default_graph_id=graph_id):
            if graph_id is not None:
                raise DefaultAssistantError(assistant_id=assistant_id, graph_id=graph_id)
            if assistant.latest is None:
                raise AssistantNotFoundError(assistant_id=assistant_id)
            return (AssistantDeleted(),)
        case _:
            assert_never(command)


def _create(command: CreateAssistant, assistant: Assistant) -> AssistantEvents:
    if assistant.latest is not None or command.is_default:
        if command.if_exists == "do_nothing":
            return ()
        raise AssistantExistsError(assistant_id=command.assistant_id)
    created = AssistantCreated(
        graph_id=command.graph_id,
        name=command.name,
        description=command.description,
        config=command.config,
        context=command.context,
        metadata=command.metadata,
    )
    return (created,)


def _patch(command: PatchAssistant, assistant: Assistant) -> AssistantEvents:
    created: AssistantEvents = ()
    if assistant.latest is None:
        if command.default_graph_id is None:
            raise AssistantNotFoundError(assistant_id=command.assistant_id)
        created = (default_created(command.default_graph_id),)
    patched = AssistantPatched(
        graph_id=command.graph_id,
        name=command.name,
        description=command.description,
        config=command.config,
        context=command.context,
        metadata=command.metadata,
    )
    return (*created, patched)


def _set_version(command: SetAssistantVersion, assistant: Assistant) -> AssistantEvents:
    if assistant.latest is None and command.default_graph_id is None:
        raise AssistantNotFoundError(assistant_id=command.assistant_id)
    latest = 1 if assistant.latest is None else assistant.latest.version
    if command.version == latest:
        return ()
    if assistant.version(command.version) is None:
        raise AssistantVersionNotFoundError(
            assistant_id=command.assistant_id, version=command.version
        )
    return (AssistantVersionSet(version=command.version),)
