"""Routes of the server itself, and a plain answer for the calls of the SDKs that it does not have yet."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ... import __version__
from . import support
from .responses import JsonResponse

router = APIRouter(tags=["system"])

NOT_YET = (
    ("PATCH", "/threads/{thread_id}/state"),
    ("POST", "/threads/{thread_id}/commands"),
    ("POST", "/threads/{thread_id}/stream/events"),
    ("PUT", "/store/items"),
    ("GET", "/store/items"),
    ("DELETE", "/store/items"),
    ("POST", "/store/items/search"),
    ("POST", "/store/namespaces"),
    ("POST", "/runs/crons"),
    ("POST", "/threads/{thread_id}/runs/crons"),
    ("POST", "/runs/crons/search"),
    ("POST", "/runs/crons/count"),
    ("GET", "/runs/crons/{cron_id}"),
    ("PATCH", "/runs/crons/{cron_id}"),
    ("DELETE", "/runs/crons/{cron_id}"),
    ("POST", "/ui/{assistant_id}"),
)
"""Calls of the official SDKs. What they are is no secret to a caller: each is refused by name."""


@router.get("/ok")
async def ok() -> Response:
    """Say that the server is there."""
    return JsonResponse({"ok": True})


@router.get("/info")
async def info(request: Request) -> Response:
    """Say what this server is, and what it can do."""
    flags = {
        "assistants": True,
        "crons": False,
        "store": False,
        "langsmith": False,
        "langsmith_tracing_replicas": False,
        "strict_resume": False,
    }
    host = {"kind": "self-hosted", "name": "threadfold"}
    content = {"version": __version__, "langgraph_py_version": None, "flags": flags, "host": host}
    matrix = support.rows(request.app.openapi(), NOT_YET)
    return JsonResponse({**content, "support": support.compact(matrix)})


async def _not_yet(request: Request) -> Response:
    template = request.scope["route"].path
    raise HTTPException(404, f"{request.method} {template} is not supported yet")


for _method, _path in NOT_YET:
    router.add_api_route(_path, _not_yet, methods=[_method], include_in_schema=False)
