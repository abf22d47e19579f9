"""Routes of assistants. Each graph has one from the start; more of them are not supported yet."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..engine import Engine
from ..search import contains
from . import models
from .documentation import documented
from .objects import picked
from .requests import allowed, engine_of, pagination, read_body, selected, uuid_of
from .responses import JsonResponse, timestamp

router = APIRouter(tags=["assistants"])

FIELDS = frozenset(
    {
        "assistant_id", "graph_id", "config", "context", "metadata", "name", "description",
        "version", "created_at", "updated_at",
    }
)  # fmt: skip


@router.post("/assistants/search", openapi_extra=documented(body=models.AssistantSearch))
async def search_assistants(request: Request) -> Response:
    """Find assistants by metadata, graph and name."""
    body = await read_body(request, models.AssistantSearch)
    fields = selected(body.select or [], FIELDS)
    await _ask(request, "search", metadata=body.metadata or {}, graph_id=body.graph_id)
    found = _matching(engine_of(request), body)
    order = body.sort_by or "created_at"
    found.sort(
        key=lambda entry: (entry[order], entry["assistant_id"]), reverse=body.sort_order != "asc"
    )
    offset, limit = body.offset or 0, body.limit or 10
    page = found[offset : offset + limit]
    has_more = len(found) > offset + limit
    return JsonResponse(
        [picked(entry, fields) for entry in page],
        headers=pagination(offset, len(page), has_more=has_more),
    )


@router.post("/assistants/count", openapi_extra=documented(body=models.AssistantCount))
async def count_assistants(request: Request) -> Response:
    """Count assistants by metadata, graph and name."""
    body = await read_body(request, models.AssistantCount)
    await _ask(request, "search", metadata=body.metadata or {}, graph_id=body.graph_id)
    return JsonResponse(len(_matching(engine_of(request), body)))


@router.get("/assistants/{assistant_id}", openapi_extra=documented("assistant_id"))
async def get_assistant(request: Request) -> Response:
    """Return an assistant by its UUID."""
    assistant_id = uuid_of(request.path_params["assistant_id"], "assistant")
    await _ask(request, "read", assistant_id=UUID(assistant_id), metadata={})
    for entry in _all(engine_of(request)):
        if entry["assistant_id"] == assistant_id:
            return JsonResponse(entry)
    raise HTTPException(404, f"Assistant with ID {assistant_id} not found")


async def _ask(request: Request, action: str, **value: object) -> None:
    """Ask whether the caller may. The assistants that graphs have from the start are nobody's own: no filter hides them."""
    await allowed(request, "assistants", action, value)


def _matching(engine: Engine, body: models.AssistantCount) -> list[dict[str, Any]]:
    name = (body.name or "").lower()
    return [
        entry
        for entry in _all(engine)
        if (body.graph_id is None or entry["graph_id"] == body.graph_id)
        and name in entry["name"].lower()
        and contains(entry["metadata"], body.metadata or {})
    ]


def _all(engine: Engine) -> list[dict[str, Any]]:
    created_at = timestamp(engine.created_at)
    return [
        {
            "assistant_id": engine.graphs.resolve(graph_id)[0],
            "graph_id": graph_id,
            "config": {},
            "context": {},
            "metadata": {"created_by": "system"},
            "name": graph_id,
            "description": None,
            "version": 1,
            "created_at": created_at,
            "updated_at": created_at,
        }
        for graph_id in engine.graphs.graph_ids
    ]
