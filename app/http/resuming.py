"""Streams that are taken up again: from the event that a client has seen last, from the beginning, or from now on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request

from ..engine import Engine
from ..streams import Follower
from ..views import RunView
from .following import Source
from .modes import BEGIN, Frames
from .objects import DEFAULT_STREAM_MODES
from .problems import UnprocessableError

_EVENT_ID = re.compile(r"[0-9]{12}-[0-9]{8}-[0-9]{6}", re.ASCII)
_BEGINNINGS = frozenset({"0", "-1"})


def is_resumable(view: RunView) -> bool:
    """Say whether the run's stream is stored, and its events have ids."""
    return view.accepted.kwargs.get("stream_resumable") is True


def own_modes(view: RunView) -> list[str]:
    """Return the modes that the run was created with."""
    modes: Any = view.accepted.kwargs.get("stream_mode")
    if isinstance(modes, str):
        return [modes]
    return modes or DEFAULT_STREAM_MODES


def last_event_id(request: Request) -> str | None:
    """Return the id after which a client wants to go on; None if it did not say."""
    text = request.headers.get("last-event-id", "").strip()
    if not text:
        return None
    if text in _BEGINNINGS:
        return BEGIN
    if not _EVENT_ID.fullmatch(text):
        raise UnprocessableError(
            "Last-Event-ID: expected the id of an event, or -1 for the beginning"
        )
    return text


async def resumed(
    engine: Engine, follower: Follower, view: RunView, modes: Sequence[str], after: str | None
) -> tuple[Source, Frames]:
    """Return what a response needs to go on after an event, or from now on if that is None."""
    if view.is_temporary or (after is None and not is_resumable(view)):
        thread = await engine.queries.thread_of_runs(view.row.thread_id)
        return follower, Frames(view, modes, thread)
    # What was told before is gone through also if it is not told again: chunks are put together, and messages known.
    reader = engine.replays.run(follower, view, is_replaying=True)
    frames = Frames(view, modes, has_ids=is_resumable(view), after=after or BEGIN)
    if after is None:
        async for part in reader.skipped():
            frames.of(part)
        frames.joined_at = reader.place
    return reader, frames
