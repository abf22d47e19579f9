"""Routes of assistants: those that graphs have from the start, and those that were made."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ...domain.assistant import AssistantVersion
from ...domain.assistant_ports import AssistantRow
from ...domain.errors import GraphNotFoundError
from ...domain.graph_ports import GraphRunner, GraphSchemas
from ..assistant_search import AssistantFilter
from ..graph_views import drawing_of, schemas_of, subgraphs_of
from . import assistant_models as models
from .documentation import TEXT, YES_OR_NO, documented
from .objects import picked
from .problems import UnprocessableError
from .requests import engine_of, flag, pagination, read_body, selected, uuid_of
from .responses import JsonResponse, timestamp

router = APIRouter(tags=["assistants"])

FIELDS = frozenset(
    {
        "assistant_id", "graph_id", "config", "context", "metadata", "name", "description",
        "version", "created_at", "updated_at",
    }
)  # fmt: skip

XRAY_MAX = 100
"""Levels of subgraphs that a drawing may be asked for."""

# ------------------------------------------------------------------ changing


@router.post("/assistants", openapi_extra=documented(body=models.AssistantCreate))
async def create_assistant(request: Request) -> Response:
    """Make an assistant of a graph, with a config, a context and metadata of its own."""
    body = await read_body(request, models.AssistantCreate)
    _check_one_of_both(body)
    assistant_id = body.assistant_id and uuid_of(body.assistant_id, "assistant")
    try:
        row = await engine_of(request).assistants.create(
            body.graph_id,
            assistant_id=assistant_id or None,
            name=body.name,
            description=body.description,
            config=body.config_object(),
            context=body.context,
            metadata=body.metadata,
            if_exists=body.if_exists or "raise",
        )
    except GraphNotFoundError as error:
        raise _no_graph(error) from error
    return JsonResponse(assistant_object(row))


@router.patch(
    "/assistants/{assistant_id}",
    openapi_extra=documented("assistant_id", body=models.AssistantPatch),
)
async def patch_assistant(request: Request) -> Response:
    """Make a new version, which is the latest one then; `metadata` are merged, other fields replaced."""
    assistant_id = _assistant_id(request)
    body = await read_body(request, models.AssistantPatch)
    _check_one_of_both(body)
    try:
        row = await engine_of(request).assistants.patch(
            assistant_id,
            graph_id=body.graph_id,
            name=body.name,
            description=body.description,
            config=body.config_object(),
            context=body.context,
            metadata=body.metadata,
        )
    except GraphNotFoundError as error:
        raise _no_graph(error) from error
    return JsonResponse(assistant_object(row))


@router.delete(
    "/assistants/{assistant_id}",
    openapi_extra=documented("assistant_id", query={"delete_threads": YES_OR_NO}),
)
async def delete_assistant(request: Request) -> Response:
    """Delete an assistant with all its versions, and with `delete_threads` the threads that began with it."""
    assistant_id = _assistant_id(request)
    with_threads = flag(request, "delete_threads")
    await engine_of(request).assistants.delete(assistant_id, with_threads=with_threads)
    return Response(status_code=204)


@router.post(
    "/assistants/{assistant_id}/latest",
    openapi_extra=documented("assistant_id", body=models.AssistantLatest),
)
async def set_latest_assistant(request: Request) -> Response:
    """Make a version the one that runs get."""
    assistant_id = _assistant_id(request)
    body = await read_body(request, models.AssistantLatest)
    row = await engine_of(request).assistants.set_latest(assistant_id, body.version)
    return JsonResponse(assistant_object(row))


def _check_one_of_both(body: models.AssistantContent) -> None:
    if body.context and body.config is not None and body.config.configurable:
        detail = "Cannot specify both configurable and context. Prefer setting context alone."
        raise HTTPException(400, detail)


def _no_graph(error: GraphNotFoundError) -> HTTPException:
    return HTTPException(404, f"Graph '{error.graph_id}' not found")


# ------------------------------------------------------------------ reading


@router.post("/assistants/search", openapi_extra=documented(body=models.AssistantSearch))
async def search_assistants(request: Request) -> Response:
    """Find assistants by metadata, graph and name."""
    body = await read_body(request, models.AssistantSearch)
    fields = selected(body.select or [], FIELDS)
    offset = body.offset or 0
    rows, has_more = await engine_of(request).assistants.search(
        _filter(body),
        order=body.sort_by or "created_at",
        is_descending=body.sort_order != "asc",
        limit=body.limit or 10,
        offset=offset,
    )
    return JsonResponse(
        [picked(assistant_object(row), fields) for row in rows],
        headers=pagination(offset, len(rows), has_more=has_more),
    )


@router.post("/assistants/count", openapi_extra=documented(body=models.AssistantCount))
async def count_assistants(request: Request) -> Response:
    """Count assistants by metadata, graph and name."""
    body = await read_body(request, models.AssistantCount)
    return JsonResponse(await engine_of(request).assistants.count(_filter(body)))


def _filter(body: models.AssistantCount) -> AssistantFilter:
    return AssistantFilter(metadata=body.metadata, graph_id=body.graph_id, name=body.name)


@router.get("/assistants/{assistant_id}", openapi_extra=documented("assistant_id"))
async def get_assistant(request: Request) -> Response:
    """Return an assistant by its UUID."""
    row = await engine_of(request).assistants.get(_assistant_id(request))
    return JsonResponse(assistant_object(row))


@router.post(
    "/assistants/{assistant_id}/versions",
    openapi_extra=documented("assistant_id", body=models.AssistantVersions),
)
async def list_assistant_versions(request: Request) -> Response:
    """Return the assistant's versions, newest first."""
    assistant_id = _assistant_id(request)
    body = await read_body(request, models.AssistantVersions)
    versions = await engine_of(request).assistants.versions(
        assistant_id, metadata=body.metadata, limit=body.limit or 10, offset=body.offset or 0
    )
    return JsonResponse([version_object(assistant_id, version) for version in versions])


# ------------------------------------------------------------------ graphs


@router.get(
    "/assistants/{assistant_id}/graph",
    openapi_extra=documented("assistant_id", query={"xray": TEXT}),
)
async def get_assistant_graph(request: Request) -> Response:
    """Return the nodes and edges of the assistant's graph; `xray`: true, or how many levels of subgraphs to draw in."""
    xray = _xray(request)
    return JsonResponse(await drawing_of((await _graph(request))[1], xray=xray))


@router.get("/assistants/{assistant_id}/schemas", openapi_extra=documented("assistant_id"))
async def get_assistant_schemas(request: Request) -> Response:
    """Return the JSON schemas of what the assistant's graph takes, gives and keeps."""
    graph_id, runner = await _graph(request)
    return JsonResponse(schemas_object(graph_id, await schemas_of(runner)))


@router.get(
    "/assistants/{assistant_id}/subgraphs",
    openapi_extra=documented("assistant_id", query={"recurse": YES_OR_NO}),
)
async def get_assistant_subgraphs(request: Request) -> Response:
    """Return the schemas of the graph's subgraphs, by namespace."""
    return await _subgraphs(request, None)


@router.get(
    "/assistants/{assistant_id}/subgraphs/{namespace}",
    openapi_extra=documented("assistant_id", "namespace", query={"recurse": YES_OR_NO}),
)
async def get_assistant_subgraph(request: Request) -> Response:
    """Return the schemas of one of the graph's subgraphs, by namespace."""
    return await _subgraphs(request, request.path_params["namespace"])


async def _subgraphs(request: Request, namespace: str | None) -> Response:
    recurse = flag(request, "recurse")
    graph_id, runner = await _graph(request)
    found = await subgraphs_of(runner, namespace=namespace, recurse=recurse)
    return JsonResponse({name: schemas_object(graph_id, each) for name, each in found.items()})


async def _graph(request: Request) -> tuple[str, GraphRunner]:
    """Return the graph of the assistant in the path, which may be called by its graph's name here, too."""
    engine = engine_of(request)
    row = await engine.assistants.get(request.path_params["assistant_id"])
    return row.graph_id, engine.graphs.runner(row.graph_id)


def _xray(request: Request) -> int | bool:
    text = request.query_params.get("xray", "")
    if text.isascii() and text.isdigit() and text not in {"0", "1"}:
        if len(text) < 5 and int(text) <= XRAY_MAX:
            return int(text)
        raise UnprocessableError(f"xray: expected true, false or a number up to {XRAY_MAX}")
    return flag(request, "xray") and (1 if text == "1" else True)


# ------------------------------------------------------------------ objects


def _assistant_id(request: Request) -> str:
    return uuid_of(request.path_params["assistant_id"], "assistant")


def assistant_object(row: AssistantRow) -> dict[str, Any]:
    """Return an assistant."""
    return {
        "assistant_id": row.assistant_id,
        "graph_id": row.graph_id,
        "config": row.config,
        "context": row.context,
        "metadata": row.metadata,
        "name": row.name,
        "description": row.description,
        "version": row.version,
        "created_at": timestamp(row.created_at),
        "updated_at": timestamp(row.updated_at),
    }


def version_object(assistant_id: str, version: AssistantVersion) -> dict[str, Any]:
    """Return a version of an assistant."""
    return {
        "assistant_id": assistant_id,
        "graph_id": version.graph_id,
        "config": version.config,
        "context": version.context,
        "metadata": version.metadata,
        "name": version.name,
        "description": version.description,
        "version": version.version,
        "created_at": timestamp(version.created_at),
    }


def schemas_object(graph_id: str, schemas: GraphSchemas) -> dict[str, Any]:
    """Return what a graph takes, gives and keeps."""
    return {
        "graph_id": graph_id,
        "input_schema": schemas.input,
        "output_schema": schemas.output,
        "state_schema": schemas.state,
        "config_schema": schemas.config,
        "context_schema": schemas.context,
    }
