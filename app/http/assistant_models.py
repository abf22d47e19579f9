"""What the SDKs send about assistants, as pydantic models. Fields that they do not know are ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from .models import Body, Limit, Object, Offset, RunConfig

VERSION_MAX = 2**53

TEXT_MAX = 10_000
"""Characters of a name or a description."""

Text = Annotated[str, Field(max_length=TEXT_MAX)]


class AssistantContent(Body):
    """What assistants are created with, and what of them can be changed."""

    config: RunConfig | None = None
    context: Object | None = None
    metadata: Object | None = None
    name: Text | None = None
    description: Text | None = None

    def config_object(self) -> dict[str, Any] | None:
        """Return the config without fields that hold nothing; None if there is none."""
        return None if self.config is None else self.config.model_dump(exclude_none=True)


class AssistantPatch(AssistantContent):
    """PATCH /assistants/{assistant_id}."""

    graph_id: Annotated[str, Field(min_length=1)] | None = None


class AssistantCreate(AssistantContent):
    """POST /assistants."""

    graph_id: Annotated[str, Field(min_length=1)]
    assistant_id: str | None = None
    if_exists: Literal["raise", "do_nothing"] | None = None


class AssistantLatest(Body):
    """POST /assistants/{assistant_id}/latest."""

    version: Annotated[int, Field(ge=1, le=VERSION_MAX)]


class AssistantVersions(Body):
    """POST /assistants/{assistant_id}/versions."""

    metadata: Object | None = None
    limit: Limit | None = None
    offset: Offset | None = None


class AssistantCount(Body):
    """POST /assistants/count."""

    metadata: Object | None = None
    graph_id: str | None = None
    name: str | None = None


class AssistantSearch(AssistantCount):
    """POST /assistants/search."""

    limit: Limit | None = None
    offset: Offset | None = None
    sort_by: Literal["assistant_id", "graph_id", "name", "created_at", "updated_at"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[str] | None = None
