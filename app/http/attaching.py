"""Answers of runs that were accepted: waiting for one, or streaming it, from its beginning or from where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import orjson
from starlette.responses import Response

from ...domain.errors import RunNotFoundError
from ...domain.kept_ports import KeptAnswer
from ..engine import Engine
from ..views import RunView
from .creating import Wanted, created, path_of
from .following import OnGone, StreamResponse, WaitResponse, held
from .modes import Frames
from .objects import DEFAULT_STREAM_MODES, result_object
from .once import REPLAYED, Call, keeping
from .responses import JsonResponse
from .resuming import is_resumable, own_modes, resumed


async def waited(
    engine: Engine, wanted: Wanted, thread_id: str | None, call: Call | None
) -> Response:
    """Accept a run, and return the values that it ends with."""
    run_id, place = engine.new_run_id(), thread_id or engine.new_thread_id()
    with held(engine.follow_run(place, run_id, is_streaming=False)) as follower:
        keep = keeping(call, created)
        view = await wanted.submit(engine, thread_id, run_id, keep, new_thread_id=place)
        return WaitResponse(
            follower,
            headers=_headers(view, "join", is_stateless=thread_id is None),
            on_gone=_on_gone(engine, view, wanted),
        )


async def streamed(
    engine: Engine, wanted: Wanted, thread_id: str | None, call: Call | None
) -> Response:
    """Accept a run, and stream what it does."""
    run_id, place = engine.new_run_id(), thread_id or engine.new_thread_id()
    with held(engine.follow_run(place, run_id)) as follower:
        keep = keeping(call, created)
        view = await wanted.submit(engine, thread_id, run_id, keep, new_thread_id=place)
        has_ids = is_resumable(view)
        return StreamResponse(
            engine.replays.run(follower, view) if has_ids else follower,
            Frames(view, wanted.body.stream_mode or DEFAULT_STREAM_MODES, has_ids=has_ids),
            headers=_headers(view, "stream", is_stateless=thread_id is None),
            on_gone=_on_gone(engine, view, wanted),
        )


def _headers(view: RunView, way: str, *, is_stateless: bool) -> dict[str, str]:
    path = path_of(view)
    place = f"/runs/{view.row.run_id}" if is_stateless else path
    return {"Location": f"{place}/{way}", "Content-Location": path}


def _on_gone(engine: Engine, view: RunView, wanted: Wanted) -> OnGone | None:
    if wanted.body.on_disconnect != "cancel":
        return None
    return partial(engine.cancel_run, view.row.thread_id, view.row.run_id)


# ------------------------------------------------------------------ runs that are there


async def joined(
    engine: Engine, thread_id: str, run_id: str, headers: Mapping[str, str], *, cancels: bool
) -> Response:
    """Wait for a run's end, and return the values that it ended with. Raises RunNotFoundError."""
    with held(engine.follow_run(thread_id, run_id, is_streaming=False)) as follower:
        result = await engine.attach(thread_id, run_id)
        if result is None:
            on_gone = partial(engine.cancel_run, thread_id, run_id) if cancels else None
            return WaitResponse(follower, headers=headers, on_gone=on_gone)
    follower.__exit__()
    return JsonResponse(result_object(result), headers=headers)


async def followed(
    engine: Engine,
    thread_id: str,
    run_id: str,
    modes: Sequence[str],
    headers: Mapping[str, str],
    *,
    cancels: bool,
    after: str | None = None,
) -> Response:
    """Stream what a run does from now on, or after an event; one that has ended has nothing more to tell from now on.

    Raises:
        RunNotFoundError: there is no such run.
    """
    with held(engine.follow_run(thread_id, run_id)) as follower:
        result = await engine.attach(thread_id, run_id)
        if result is None or after is not None:
            view = await engine.get_run(thread_id, run_id)
            stream = await resumed(engine, follower, view, modes or own_modes(view), after)
            on_gone = partial(engine.cancel_run, thread_id, run_id) if cancels else None
            return StreamResponse(*stream, headers=headers, on_gone=on_gone)
    follower.__exit__()
    return Response(b"", headers=dict(headers), media_type=StreamResponse.media_type)


# ------------------------------------------------------------------ asked again


async def waited_again(engine: Engine, kept: KeptAnswer, path: str) -> Response:
    """Answer a wait that was answered before: wait for the same run. `path` is where such runs are found by their ids."""
    thread_id, run_id, headers = _place(kept, path, "join")
    try:
        return await joined(engine, thread_id, run_id, headers, cancels=False)
    except RunNotFoundError:
        gone = await engine.queries.rolled_back_result(thread_id, run_id)
        if gone is None:
            raise
        return JsonResponse(result_object(gone), headers=headers)


async def streamed_again(engine: Engine, kept: KeptAnswer, path: str) -> Response:
    """Answer a stream that was answered before: follow the same run from now on."""
    thread_id, run_id, headers = _place(kept, path, "stream")
    return await followed(engine, thread_id, run_id, (), headers, cancels=False)


def _place(kept: KeptAnswer, path: str, way: str) -> tuple[str, str, dict[str, str]]:
    run = orjson.loads(kept.body)
    thread_id, run_id = str(run["thread_id"]), str(run["run_id"])
    headers = {
        "Location": f"{path.format(thread_id=thread_id)}/runs/{run_id}/{way}",
        "Content-Location": f"/threads/{thread_id}/runs/{run_id}",
        **REPLAYED,
    }
    return thread_id, run_id, headers
