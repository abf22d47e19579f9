"""Routes of runs that have no thread of their own."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import cast

import orjson
from fastapi import APIRouter
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from . import models
from .attaching import followed, joined, streamed, streamed_again, waited, waited_again
from .creating import Wanted, created, wanted
from .documentation import TEXTS, YES_OR_NO, documented
from .once import REPLAYED, Call, call_of, keeping, once
from .requests import engine_of, flag, read_body, read_json, run_id_of, values
from .responses import JsonResponse
from .resuming import last_event_id

router = APIRouter(tags=["runs"])

_BATCH: TypeAdapter[list[models.StatelessRunCreate]] = TypeAdapter(models.Batch)


@router.post("/runs", openapi_extra=documented(body=models.StatelessRunCreate))
async def create_run(request: Request) -> Response:
    """Accept a run; it is executed in the background, and gone with its end."""
    engine = engine_of(request)
    asked = _wanted(await read_body(request, models.StatelessRunCreate))

    async def decide(call: Call | None) -> Response:
        view = await asked.submit(engine, None, keep=keeping(call, created))
        content, headers = created(view)
        return JsonResponse(content, headers=headers)

    return await once(request, decide)


@router.post("/runs/wait", openapi_extra=documented(body=models.StatelessRunCreate))
async def wait_for_new_run(request: Request) -> Response:
    """Accept a run, and return the values that it ends with."""
    engine = engine_of(request)
    asked = _wanted(await read_body(request, models.StatelessRunCreate))
    return await once(
        request, partial(waited, engine, asked, None), partial(waited_again, engine, path="")
    )


@router.post("/runs/stream", openapi_extra=documented(body=models.StatelessRunCreate))
async def stream_new_run(request: Request) -> Response:
    """Accept a run, and stream what it does as server-sent events."""
    engine = engine_of(request)
    asked = _wanted(await read_body(request, models.StatelessRunCreate))
    return await once(
        request, partial(streamed, engine, asked, None), partial(streamed_again, engine, path="")
    )


@router.post("/runs/batch", openapi_extra=documented(schema=_BATCH.json_schema()))
async def create_runs(request: Request) -> Response:
    """Accept many runs; they are answered in their order. If one of them cannot be, none is."""
    engine = engine_of(request)
    bodies = _BATCH.validate_python(await read_json(request))
    asked = [_wanted(body) for body in bodies]
    for each in asked:
        await each.check(engine)
    call = await call_of(request)
    if call is None:
        found = await asyncio.gather(*(_accepted(request, each, None) for each in asked))
    else:
        async with call.answers.lock(call.asked):
            parts = (_accepted(request, each, call.part(at)) for at, each in enumerate(asked))
            found = await asyncio.gather(*parts)
    is_replayed = bool(found) and all(was_there for _, was_there in found)
    runs = [orjson.Fragment(run) if isinstance(run, bytes) else run for run, _ in found]
    return JsonResponse(runs, headers=REPLAYED if is_replayed else {})


def _wanted(body: models.StatelessRunCreate) -> Wanted:
    """Return the run that a body asks for."""
    command = body.command
    if isinstance(command, dict) and cast("dict[str, object]", command).get("resume") is not None:
        raise HTTPException(400, "command.resume: a run without a thread has nothing to resume")
    return wanted(body)


async def _accepted(request: Request, asked: Wanted, call: Call | None) -> tuple[object, bool]:
    """Return one run of a batch, and whether it was accepted under the batch's key before."""
    if call is not None:
        kept = await call.answers.find(call.asked)
        if kept is not None:
            return kept.body, True
    try:
        view = await asked.submit(engine_of(request), None, keep=keeping(call, created))
    except Exception:
        kept = None if call is None else await call.answers.find(call.asked)
        if kept is None:
            raise
        return kept.body, True
    return created(view)[0], False


@router.get(
    "/runs/{run_id}/join",
    openapi_extra=documented("run_id", query={"cancel_on_disconnect": YES_OR_NO}),
)
async def join_run(request: Request) -> Response:
    """Wait for the run's end, and return the values that it ended with."""
    run_id, engine = run_id_of(request), engine_of(request)
    cancels = flag(request, "cancel_on_disconnect")
    thread_id = (await engine.queries.find_run(run_id)).row.thread_id
    headers = {"Location": f"/runs/{run_id}/join"}
    return await joined(engine, thread_id, run_id, headers, cancels=cancels)


@router.get(
    "/runs/{run_id}/stream",
    openapi_extra=documented(
        "run_id", query={"stream_mode": TEXTS, "cancel_on_disconnect": YES_OR_NO}
    ),
)
async def stream_run(request: Request) -> Response:
    """Stream what the run does from now on."""
    run_id, engine = run_id_of(request), engine_of(request)
    cancels = flag(request, "cancel_on_disconnect")
    modes = models.named_stream_modes(values(request, "stream_mode"))
    thread_id = (await engine.queries.find_run(run_id)).row.thread_id
    headers = {"Location": f"/runs/{run_id}/stream"}
    return await followed(
        engine, thread_id, run_id, modes, headers, cancels=cancels, after=last_event_id(request)
    )
