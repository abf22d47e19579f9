"""Routes of threads and their states."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ...domain.errors import CheckpointNotFoundError, InvalidInputError
from ..extraction import path_of
from ..search import ThreadFilter
from ..views import StateView, ThreadView
from . import models
from .documentation import LIMIT, TEXT, TEXTS, YES_OR_NO, documented
from .objects import (
    STATE_FIELDS,
    THREAD_FIELDS,
    found_thread,
    picked,
    state_object,
    state_reference,
    thread_object,
    ttl_object,
    unknown_state_object,
)
from .once import Call, keeping, once
from .problems import UnprocessableError
from .requests import (
    LIMIT_MAX,
    engine_of,
    flag,
    number,
    pagination,
    read_body,
    selected,
    thread_id_of,
    uuid_of,
    values,
)
from .responses import JsonResponse

router = APIRouter(tags=["threads"])


# ------------------------------------------------------------------ threads


@router.post("/threads", openapi_extra=documented(body=models.ThreadCreate))
async def create_thread(request: Request) -> Response:
    """Create a thread."""
    body = await read_body(request, models.ThreadCreate)
    thread_id = None if body.thread_id is None else uuid_of(body.thread_id, "thread")

    def created(view: ThreadView) -> tuple[object, dict[str, str]]:
        return thread_object(view), {}

    async def decide(call: Call | None) -> Response:
        view = await engine_of(request).threads.create(
            thread_id,
            metadata=body.metadata,
            if_exists=body.if_exists or "raise",
            ttl=_lifetime(body.ttl),
            supersteps=[
                [update.model_dump() for update in step.updates] for step in body.supersteps or []
            ],
            keep=keeping(call, created),
        )
        return JsonResponse(thread_object(view))

    return await once(request, decide)


@router.post("/threads/search", openapi_extra=documented(body=models.ThreadSearch))
async def search_threads(request: Request) -> Response:
    """Find threads by metadata, values, ids and status, newest first by default; `extract` takes single values out of them."""
    body = await read_body(request, models.ThreadSearch)
    fields = selected(body.select or [], THREAD_FIELDS | {"context"})
    paths = {
        alias: path_of(path, THREAD_FIELDS, alias) for alias, path in (body.extract or {}).items()
    }
    offset = body.offset or 0
    views, has_more = await engine_of(request).queries.search_threads(
        _filter(body, body.ids),
        order=body.sort_by or "updated_at",
        is_descending=body.sort_order != "asc",
        limit=body.limit or 10,
        offset=offset,
    )
    found = [found_thread(view, fields, paths) for view in views]
    return JsonResponse(found, headers=pagination(offset, len(found), has_more=has_more))


@router.post("/threads/count", openapi_extra=documented(body=models.ThreadCount))
async def count_threads(request: Request) -> Response:
    """Count threads by metadata, values and status."""
    body = await read_body(request, models.ThreadCount)
    return JsonResponse(await engine_of(request).queries.count_threads(_filter(body, None)))


def _filter(body: models.ThreadCount, ids: list[str] | None) -> ThreadFilter:
    wanted = None if not ids else frozenset(uuid_of(text, "thread") for text in ids)
    return ThreadFilter(metadata=body.metadata, status=body.status, ids=wanted, values=body.values)


@router.post("/threads/prune", openapi_extra=documented(body=models.ThreadsPrune))
async def prune_threads(request: Request) -> Response:
    """Delete threads, or leave them their newest state only; unknown ones are skipped, and those that would stay busy too."""
    body = await read_body(request, models.ThreadsPrune)
    thread_ids = [uuid_of(text, "thread") for text in body.thread_ids]
    strategy = body.strategy or "delete"
    count = await engine_of(request).threads.prune(thread_ids, strategy=strategy)
    return JsonResponse({"pruned_count": count})


def _lifetime(ttl: models.TimeToLive | None) -> dict[str, Any] | None:
    return None if ttl is None else {"ttl": ttl.ttl, "strategy": ttl.strategy}


@router.get("/threads/{thread_id}", openapi_extra=documented("thread_id", query={"include": TEXT}))
async def get_thread(request: Request) -> Response:
    """Return a thread; with `include=ttl`, also when its time is over."""
    thread_id = thread_id_of(request)
    included = {name.strip() for text in values(request, "include") for name in text.split(",")}
    for name in sorted(included - {"ttl"}):
        raise UnprocessableError(f"include: {name!r} is nothing to include; there is ttl")
    view = await engine_of(request).get_thread(thread_id)
    more = {"ttl": ttl_object(view)} if included else {}
    return JsonResponse({**thread_object(view), **more})


@router.patch(
    "/threads/{thread_id}", openapi_extra=documented("thread_id", body=models.ThreadPatch)
)
async def patch_thread(request: Request) -> Response:
    """Set keys of a thread's metadata, and its time to live; `Prefer: return=minimal` asks for no body."""
    thread_id = thread_id_of(request)
    body = await read_body(request, models.ThreadPatch)
    ttl = _lifetime(body.ttl)
    view = await engine_of(request).threads.patch(thread_id, body.metadata, ttl=ttl)
    if "return=minimal" in request.headers.get("prefer", "").lower():
        return Response(status_code=204)
    return JsonResponse(thread_object(view))


@router.delete("/threads/{thread_id}", openapi_extra=documented("thread_id"))
async def delete_thread(request: Request) -> Response:
    """Delete a thread with all that it holds, and stop its runs."""
    await engine_of(request).delete_thread(thread_id_of(request))
    return Response(status_code=204)


@router.post("/threads/{thread_id}/copy", openapi_extra=documented("thread_id"))
async def copy_thread(request: Request) -> Response:
    """Create a thread with the state that stands in this one, its run in flight left out."""
    view = await engine_of(request).copy_thread(thread_id_of(request))
    return JsonResponse(thread_object(view))


# ------------------------------------------------------------------ states

_STATE_QUERY = {"subgraphs": YES_OR_NO, "select": TEXTS}


@router.get("/threads/{thread_id}/state", openapi_extra=documented("thread_id", query=_STATE_QUERY))
async def get_state(request: Request) -> Response:
    """Return the state as it stands."""
    thread_id = thread_id_of(request)
    subgraphs = flag(request, "subgraphs")
    chosen = _Chosen(values(request, "select"))
    view = await engine_of(request).queries.get_state(thread_id, subgraphs=subgraphs)
    return JsonResponse(chosen.of(state_object(view)))


@router.get(
    "/threads/{thread_id}/state/{checkpoint_id}",
    openapi_extra=documented("thread_id", "checkpoint_id", query=_STATE_QUERY),
)
async def get_state_at(request: Request) -> Response:
    """Return the state of a checkpoint; an unknown one has an empty state."""
    thread_id = thread_id_of(request)
    subgraphs = flag(request, "subgraphs")
    chosen = _Chosen(values(request, "select"))
    named = {"checkpoint_id": request.path_params["checkpoint_id"]}
    return JsonResponse(chosen.of(await _state_at(request, thread_id, named, subgraphs)))


@router.post(
    "/threads/{thread_id}/state/checkpoint",
    openapi_extra=documented("thread_id", body=models.StateAtCheckpoint),
)
async def post_state_at(request: Request) -> Response:
    """Return the state of a checkpoint; an unknown one has an empty state."""
    thread_id = thread_id_of(request)
    body = await read_body(request, models.StateAtCheckpoint)
    chosen = _Chosen(body.select or [])
    named, subgraphs = body.checkpoint.model_dump(), body.subgraphs or False
    return JsonResponse(chosen.of(await _state_at(request, thread_id, named, subgraphs)))


async def _state_at(
    request: Request,
    thread_id: str,
    checkpoint: dict[str, Any],
    subgraphs: bool,  # noqa: FBT001
) -> dict[str, Any]:
    queries = engine_of(request).queries
    try:
        view = await queries.get_state(thread_id, checkpoint=checkpoint, subgraphs=subgraphs)
    except CheckpointNotFoundError:
        return unknown_state_object(thread_id, checkpoint)
    return state_object(view)


@router.post(
    "/threads/{thread_id}/state", openapi_extra=documented("thread_id", body=models.StateUpdate)
)
async def update_state(request: Request) -> Response:
    """Change the state from outside."""
    thread_id = thread_id_of(request)
    body = await read_body(request, models.StateUpdate)
    checkpoint = None if body.checkpoint is None else body.checkpoint.model_dump()
    try:
        view = await engine_of(request).update_state(
            thread_id,
            body.values,
            as_node=body.as_node or None,
            checkpoint=checkpoint,
            checkpoint_id=body.checkpoint_id,
        )
    except InvalidInputError as error:
        # The thread has no graph yet, or the graph does not take the values.
        if type(error) is InvalidInputError:
            raise HTTPException(400, str(error)) from error
        raise
    reference = state_reference(view)
    checkpoint_id = view.state.checkpoint_id
    return JsonResponse(
        {"checkpoint": reference, "configurable": reference, "checkpoint_id": checkpoint_id}
    )


@router.get(
    "/threads/{thread_id}/history",
    openapi_extra=documented("thread_id", query={"limit": LIMIT, "before": TEXT, "select": TEXTS}),
)
async def get_history(request: Request) -> Response:
    """Return states, newest first, without those of rolled-back runs."""
    thread_id = thread_id_of(request)
    limit = number(request, "limit", 1, 1, LIMIT_MAX)
    chosen = _Chosen(values(request, "select"))
    before = request.query_params.get("before") or None
    found = await engine_of(request).queries.history(thread_id, limit=limit, before=before)
    return JsonResponse(_history(found, chosen))


@router.post(
    "/threads/{thread_id}/history", openapi_extra=documented("thread_id", body=models.HistoryQuery)
)
async def post_history(request: Request) -> Response:
    """Return states, newest first, without those of rolled-back runs."""
    thread_id = thread_id_of(request)
    body = await read_body(request, models.HistoryQuery)
    chosen = _Chosen(body.select or [])
    found = await engine_of(request).queries.history(
        thread_id,
        limit=body.limit or 1,
        before=body.before or None,
        metadata=body.metadata,
        checkpoint=None if body.checkpoint is None else body.checkpoint.model_dump(),
    )
    return JsonResponse(_history(found, chosen))


def _history(found: list[StateView], chosen: _Chosen) -> list[dict[str, Any]]:
    return [chosen.of(state_object(view)) for view in found]


class _Chosen:
    """The fields of a state to answer with: names, and `values.<key>` for single keys of the values."""

    def __init__(self, names: list[str]) -> None:
        self._keys = {name.partition(".")[2] for name in names if name.startswith("values.")}
        plain = [name for name in names if not name.startswith("values.")]
        self._fields = selected(plain, STATE_FIELDS) or frozenset[str]()
        self._is_all = not names

    def of(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return what was chosen of a state."""
        if self._is_all:
            return content
        chosen = picked(content, self._fields)
        if self._keys and "values" not in chosen:
            held = content["values"]
            has = isinstance(held, dict)
            chosen["values"] = {key: held[key] for key in self._keys if has and key in held}
        return chosen
