"""Routes of the runs of a thread."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ...domain.errors import (
    AssistantNotFoundError,
    RefusedError,
    RunNotFoundError,
    ThreadNotFoundError,
)
from ..engine import Engine
from ..views import RunResult, RunView
from . import models
from .documentation import LIMIT, OFFSET, TEXT, TEXTS, YES_OR_NO, documented
from .following import OnGone, StreamResponse, WaitResponse, held
from .modes import Frames
from .objects import DEFAULT_STREAM_MODES, RUN_FIELDS, picked, result_object, run_object
from .problems import UnprocessableError
from .requests import (
    LIMIT_MAX,
    OFFSET_MAX,
    engine_of,
    flag,
    number,
    read_body,
    run_id_of,
    selected,
    thread_id_of,
    uuid_of,
    values,
)
from .responses import JsonResponse
from .resuming import is_resumable, last_event_id, own_modes, resumed

router = APIRouter(tags=["runs"])

RESERVED = frozenset({"thread_id", "run_id", "assistant_id", "cron_id"})
"""Keys of a run's metadata that callers cannot set."""


# ------------------------------------------------------------------ creating


@router.post(
    "/threads/{thread_id}/runs", openapi_extra=documented("thread_id", body=models.RunCreate)
)
async def create_run(request: Request) -> Response:
    """Accept a run; it is executed in the background."""
    thread_id = thread_id_of(request)
    body = await read_body(request, models.RunCreate)
    view = await _submitted(engine_of(request), thread_id, body, None)
    return JsonResponse(run_object(view), headers={"Content-Location": _path(view)})


@router.post(
    "/threads/{thread_id}/runs/wait", openapi_extra=documented("thread_id", body=models.RunCreate)
)
async def wait_for_new_run(request: Request) -> Response:
    """Accept a run, and return the values that it ends with."""
    thread_id = thread_id_of(request)
    body = await read_body(request, models.RunCreate)
    engine = engine_of(request)
    run_id = engine.new_run_id()
    with held(engine.follow_run(thread_id, run_id, is_streaming=False)) as follower:
        view = await _submitted(engine, thread_id, body, run_id)
        path = _path(view)
        return WaitResponse(
            follower,
            headers={"Location": f"{path}/join", "Content-Location": path},
            on_gone=_on_gone(engine, view, cancels=body.on_disconnect == "cancel"),
        )


@router.post(
    "/threads/{thread_id}/runs/stream",
    openapi_extra=documented("thread_id", body=models.RunCreate),
)
async def stream_new_run(request: Request) -> Response:
    """Accept a run, and stream what it does as server-sent events."""
    thread_id = thread_id_of(request)
    body = await read_body(request, models.RunCreate)
    engine = engine_of(request)
    run_id = engine.new_run_id()
    with held(engine.follow_run(thread_id, run_id)) as follower:
        view = await _submitted(engine, thread_id, body, run_id)
        path = _path(view)
        modes = body.stream_mode or DEFAULT_STREAM_MODES
        return StreamResponse(
            engine.replays.run(follower, view) if is_resumable(view) else follower,
            Frames(view, modes, has_ids=is_resumable(view)),
            headers={"Location": f"{path}/stream", "Content-Location": path},
            on_gone=_on_gone(engine, view, cancels=body.on_disconnect == "cancel"),
        )


async def _submitted(
    engine: Engine, thread_id: str, body: models.RunCreate, run_id: str | None
) -> RunView:
    config = _config(body)
    if body.context and config.get("configurable"):
        detail = "Cannot specify both configurable and context. Prefer setting context alone."
        raise HTTPException(400, detail)
    kwargs: dict[str, Any] = {}
    if config:
        kwargs["config"] = config
    if body.context:
        kwargs["context"] = _stripped(body.context)
    if body.stream_mode is not None and body.stream_mode != DEFAULT_STREAM_MODES:
        kwargs["stream_mode"] = body.stream_mode
    kwargs |= body.model_dump(include=set(models.OPTIONS), exclude_none=True)
    metadata: dict[str, Any] = {**(config.get("metadata") or {}), **(body.metadata or {})}
    try:
        return await engine.submit_run(
            thread_id,
            body.assistant_id,
            input=body.input,
            multitask_strategy=body.multitask_strategy or "enqueue",
            run_id=run_id,
            after_seconds=body.after_seconds or 0,
            metadata={key: metadata[key] for key in _stripped(metadata) if key not in RESERVED},
            kwargs=kwargs,
            if_not_exists=body.if_not_exists or "reject",
        )
    except (ThreadNotFoundError, AssistantNotFoundError) as error:
        raise HTTPException(404, "Thread or assistant not found.") from error


def _config(body: models.RunCreate) -> dict[str, Any]:
    config = {} if body.config is None else body.config.model_dump(exclude_none=True)
    if "configurable" in config:
        config["configurable"] = _stripped(config["configurable"])
    if "metadata" in config:
        config["metadata"] = _stripped(config["metadata"])
    return config


def _stripped(content: dict[str, Any]) -> dict[str, Any]:
    """Leave out keys that are a server's own: they would reach into the graph's machinery."""
    return {
        key: value
        for key, value in content.items()
        if not key.startswith(("__", "langgraph_auth_"))
    }


def _on_gone(engine: Engine, view: RunView, *, cancels: bool) -> OnGone | None:
    return partial(engine.cancel_run, view.row.thread_id, view.row.run_id) if cancels else None


def _path(view: RunView) -> str:
    return f"/threads/{view.row.thread_id}/runs/{view.row.run_id}"


# ------------------------------------------------------------------ reading


@router.get(
    "/threads/{thread_id}/runs",
    openapi_extra=documented(
        "thread_id",
        query={"limit": LIMIT, "offset": OFFSET, "status": TEXT, "select": TEXTS},
    ),
)
async def list_runs(request: Request) -> Response:
    """Return the thread's runs, newest first, without those that were rolled back."""
    thread_id = thread_id_of(request)
    fields = selected(values(request, "select"), RUN_FIELDS | {"cancel_reason"})
    views = await engine_of(request).queries.list_runs(
        thread_id,
        status=request.query_params.get("status") or None,
        limit=number(request, "limit", 10, 1, LIMIT_MAX),
        offset=number(request, "offset", 0, 0, OFFSET_MAX),
    )
    return JsonResponse([picked(run_object(view), fields) for view in views])


@router.get("/threads/{thread_id}/runs/{run_id}", openapi_extra=documented("thread_id", "run_id"))
async def get_run(request: Request) -> Response:
    """Return a run."""
    view = await engine_of(request).get_run(thread_id_of(request), run_id_of(request))
    return JsonResponse(run_object(view))


@router.get(
    "/threads/{thread_id}/runs/{run_id}/join",
    openapi_extra=documented("thread_id", "run_id", query={"cancel_on_disconnect": YES_OR_NO}),
)
async def join_run(request: Request) -> Response:
    """Wait for the run's end, and return the values that it ended with."""
    thread_id, run_id = thread_id_of(request), run_id_of(request)
    cancels = flag(request, "cancel_on_disconnect")
    engine = engine_of(request)
    with held(engine.follow_run(thread_id, run_id, is_streaming=False)) as follower:
        result = await engine.attach(thread_id, run_id)
        headers = {"Location": f"/threads/{thread_id}/runs/{run_id}/join"}
        if result is None:
            on_gone = partial(engine.cancel_run, thread_id, run_id) if cancels else None
            return WaitResponse(follower, headers=headers, on_gone=on_gone)
    follower.__exit__()
    return JsonResponse(result_object(result), headers=headers)


@router.get(
    "/threads/{thread_id}/runs/{run_id}/stream",
    openapi_extra=documented(
        "thread_id", "run_id", query={"stream_mode": TEXTS, "cancel_on_disconnect": YES_OR_NO}
    ),
)
async def stream_run(request: Request) -> Response:
    """Stream what the run does from now on; one that has ended has nothing more to tell.

    With `Last-Event-ID`, a resumable stream goes on after that event, `-1` or `0` standing for the beginning: at any time, also
    after the run's end.
    """
    thread_id, run_id = thread_id_of(request), run_id_of(request)
    cancels = flag(request, "cancel_on_disconnect")
    modes = models.named_stream_modes(values(request, "stream_mode"))
    after = last_event_id(request)
    engine = engine_of(request)
    headers = {"Location": f"/threads/{thread_id}/runs/{run_id}/stream"}
    with held(engine.follow_run(thread_id, run_id)) as follower:
        result = await engine.attach(thread_id, run_id)
        if result is None or after is not None:
            view = await engine.get_run(thread_id, run_id)
            stream = await resumed(engine, follower, view, modes or own_modes(view), after)
            on_gone = partial(engine.cancel_run, thread_id, run_id) if cancels else None
            return StreamResponse(*stream, headers=headers, on_gone=on_gone)
    follower.__exit__()
    return Response(b"", headers=headers, media_type=StreamResponse.media_type)


# ------------------------------------------------------------------ ending


@router.post(
    "/threads/{thread_id}/runs/{run_id}/cancel",
    openapi_extra=documented("thread_id", "run_id", query={"wait": YES_OR_NO, "action": TEXT}),
)
async def cancel_run(request: Request) -> Response:
    """Stop a run in flight; its work stays (`action=interrupt`) or is gone (`action=rollback`)."""
    thread_id, run_id = thread_id_of(request), run_id_of(request)
    waits = flag(request, "wait")
    engine = engine_of(request)
    with engine.follow_run(thread_id, run_id, is_streaming=False) as follower:
        await engine.cancel_run(thread_id, run_id, action=_action(request))
        if not waits:
            return Response(status_code=202)
        async for part in follower.parts():
            if isinstance(part, RunResult):
                headers = {"Content-Location": f"/threads/{thread_id}/runs/{run_id}"}
                return JsonResponse(part.state_values.to_encode(), headers=headers)
    raise RunNotFoundError(run_id=run_id)


@router.post(
    "/runs/cancel", openapi_extra=documented(body=models.RunsCancel, query={"action": TEXT})
)
async def cancel_runs(request: Request) -> Response:
    """Stop runs in flight: those named of one thread, or all of a status."""
    body = await read_body(request, models.RunsCancel)
    engine = engine_of(request)
    if body.status is not None and body.thread_id is None and not body.run_ids:
        status = None if body.status == "all" else body.status
        runs = await engine.queries.list_in_flight(status)
    elif body.status is None and body.thread_id is not None and body.run_ids:
        thread_id = uuid_of(body.thread_id, "thread")
        runs = [(thread_id, uuid_of(run_id, "run")) for run_id in body.run_ids]
    else:
        raise UnprocessableError("Expected either status, or thread_id and run_ids")
    cancelled = 0
    for thread_id, run_id in runs:
        with suppress(RefusedError):
            await engine.cancel_run(thread_id, run_id, action=_action(request))
            cancelled += 1
    if not cancelled:
        raise HTTPException(404, "No runs found to cancel.")
    return Response(status_code=204)


def _action(request: Request) -> Literal["interrupt", "rollback"]:
    return "rollback" if request.query_params.get("action") == "rollback" else "interrupt"


@router.delete(
    "/threads/{thread_id}/runs/{run_id}", openapi_extra=documented("thread_id", "run_id")
)
async def delete_run(request: Request) -> Response:
    """Delete a run: one in flight is rolled back, an ended one is hidden and its work stays."""
    await engine_of(request).delete_run(thread_id_of(request), run_id_of(request))
    return Response(status_code=204)
