"""Routes of the runs of a thread."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Literal

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ...domain.errors import RefusedError, RunNotFoundError
from ..views import RunResult
from . import models
from .attaching import followed, joined, streamed, streamed_again, waited, waited_again
from .creating import created, wanted
from .documentation import LIMIT, OFFSET, TEXT, TEXTS, YES_OR_NO, documented
from .objects import RUN_FIELDS, picked, run_object
from .once import Call, keeping, once
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
from .resuming import last_event_id

router = APIRouter(tags=["runs"])

_THREAD = "/threads/{thread_id}"

# ------------------------------------------------------------------ creating


@router.post(
    "/threads/{thread_id}/runs", openapi_extra=documented("thread_id", body=models.RunCreate)
)
async def create_run(request: Request) -> Response:
    """Accept a run; it is executed in the background."""
    engine, thread_id = engine_of(request), thread_id_of(request)
    asked = wanted(await read_body(request, models.RunCreate))

    async def decide(call: Call | None) -> Response:
        view = await asked.submit(engine, thread_id, keep=keeping(call, created))
        content, headers = created(view)
        return JsonResponse(content, headers=headers)

    return await once(request, decide)


@router.post(
    "/threads/{thread_id}/runs/wait", openapi_extra=documented("thread_id", body=models.RunCreate)
)
async def wait_for_new_run(request: Request) -> Response:
    """Accept a run, and return the values that it ends with."""
    engine, thread_id = engine_of(request), thread_id_of(request)
    asked = wanted(await read_body(request, models.RunCreate))
    return await once(
        request,
        partial(waited, engine, asked, thread_id),
        partial(waited_again, engine, path=_THREAD),
    )


@router.post(
    "/threads/{thread_id}/runs/stream",
    openapi_extra=documented("thread_id", body=models.RunCreate),
)
async def stream_new_run(request: Request) -> Response:
    """Accept a run, and stream what it does as server-sent events."""
    engine, thread_id = engine_of(request), thread_id_of(request)
    asked = wanted(await read_body(request, models.RunCreate))
    return await once(
        request,
        partial(streamed, engine, asked, thread_id),
        partial(streamed_again, engine, path=_THREAD),
    )


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
    headers = {"Location": f"/threads/{thread_id}/runs/{run_id}/join"}
    return await joined(engine_of(request), thread_id, run_id, headers, cancels=cancels)


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
    headers = {"Location": f"/threads/{thread_id}/runs/{run_id}/stream"}
    return await followed(
        engine_of(request), thread_id, run_id, modes, headers,
        cancels=cancels, after=last_event_id(request),
    )  # fmt: skip


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
        runs = [
            (thread_id, run_id) for run_id in sorted(uuid_of(each, "run") for each in body.run_ids)
        ]
    else:
        raise UnprocessableError("Expected either status, or thread_id and run_ids")
    cancelled = 0
    # The newest first: those that wait would otherwise start, one after the other, as soon as the one before them is stopped.
    for thread_id, run_id in reversed(runs):
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
