"""What a run gets of its assistant: config, context and metadata under its own. Its own values win."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..domain.assistant import SYSTEM_METADATA

if TYPE_CHECKING:
    from ..domain.assistant_ports import AssistantRow
    from ..domain.values import Json, JsonObject


def merged(
    assistant: AssistantRow, metadata: JsonObject, kwargs: JsonObject
) -> tuple[JsonObject, JsonObject]:
    """Return the metadata and the kwargs of a run, on top of what its assistant's config and context have."""
    of_config = _object(assistant.config, "metadata")
    return {**of_config, **metadata}, _merged_kwargs(assistant, kwargs)


def _merged_kwargs(assistant: AssistantRow, kwargs: JsonObject) -> JsonObject:
    """Return what the run is asked for, on top of what its assistant has.

    Configs are merged key by key; of their `configurable` and `metadata`, each key by itself. A graph may look for its settings
    in the configurable or in the context, and a run brings one of the two: what it brings wins over the assistant's in both.
    """
    if not assistant.config and not assistant.context:
        return kwargs
    config, context = _object(kwargs, "config"), _object(kwargs, "context")
    configurable = _object(config, "configurable")
    brought = {**configurable, **context}
    base = _object(assistant.config, "configurable")
    merged: JsonObject = {**assistant.config, **config}
    if base or configurable:
        merged["configurable"] = {**base, **_among(brought, base), **configurable}
    metadata = {**_object(assistant.config, "metadata"), **_object(config, "metadata")}
    if metadata:
        merged["metadata"] = metadata
    given = {**assistant.context, **_among(brought, assistant.context), **context}
    whole: JsonObject = {**kwargs}
    if merged:
        whole["config"] = merged
    if given:
        whole["context"] = given
    return whole


def recorded_metadata(assistant: AssistantRow) -> JsonObject | None:
    """Return the assistant's metadata as they are recorded with the run; None, if they are what every default one has."""
    return None if assistant.metadata == SYSTEM_METADATA else assistant.metadata


def _among(values: JsonObject, names: JsonObject) -> JsonObject:
    return {name: value for name, value in values.items() if name in names}


def _object(content: JsonObject, name: str) -> JsonObject:
    found: Json = content.get(name)
    return found if isinstance(found, dict) else {}
