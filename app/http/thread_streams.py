"""The stream of a thread: server-sent events of all its runs, until the thread is deleted or the client goes.

A run's parts come in the modes that it was created with. Every event has an id, so that a client can go on after the last one
that it has seen, with all that the log and the stored streams still know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ...domain.errors import RunNotFoundError
from ...domain.events import (
    CheckpointRecorded,
    RunEnded,
    RunRolledBack,
    RunStarted,
    StateUpdated,
    ThreadDeleted,
)
from ..engine import Engine
from ..hub import Emitted
from ..queries import ended_result
from ..replaying import Reader
from ..streams import Place, RunEvent, RunPart, place_of
from ..views import StateView
from .documentation import TEXTS, documented
from .following import Following, held
from .modes import BEGIN, Event, Frames, event_id, frame
from .objects import state_object
from .problems import UnprocessableError
from .requests import engine_of, thread_id_of, values
from .resuming import last_event_id, own_modes

router = APIRouter(tags=["threads"])

THREAD_MODES = ("run_modes", "lifecycle", "state_update")

_FIRST, _DONE, _STATE = 0, 999_980, 999_981
"""Numbers of a thread's own events among those of a part."""


@dataclass(slots=True)
class _Run:
    """A run that the stream has told of, or that its client knows; without frames, nothing is told of its parts."""

    frames: Frames | None
    is_known: bool


class ThreadFrames:
    """Makes the events of a thread, in the modes asked for; those up to the id `after` are left out."""

    def __init__(
        self, engine: Engine, thread_id: str, modes: frozenset[str], after: str = BEGIN
    ) -> None:
        self._engine = engine
        self._thread_id = thread_id
        self._modes = modes
        self._after = after
        self._runs: dict[str, _Run] = {}

    async def of(self, part: RunPart) -> bytes:
        """Return the events of a part, ready to be sent."""
        if isinstance(part, RunEvent) and isinstance(part.recorded.event, RunStarted):
            return await self._started(part, part.recorded.event)
        if isinstance(part, Emitted):
            return self._of_run(part.run_id, part)
        if isinstance(part, RunEvent):
            return self._of_event(part)
        return b""

    async def _started(self, part: RunEvent, event: RunStarted) -> bytes:
        """Return what tells that a run was started; nothing if it is gone by now."""
        run_id, place = event.run_id, place_of(part)
        run = self._runs.get(run_id)
        if run is None or run.frames is None:
            run = self._runs[run_id] = await self._found(run_id, place)
        if run.frames is None:
            return b""
        run.frames.of(part)
        if self._modes.isdisjoint({"run_modes", "lifecycle"}):
            return b""
        told: Event = (_FIRST, "metadata", {"run_id": run_id, "attempt": event.attempt})
        return self._frames(place, iter([told]))

    async def _found(self, run_id: str, place: Place) -> _Run:
        try:
            view = await self._engine.get_run(self._thread_id, run_id)
        except RunNotFoundError:
            # Whoever has seen it begin has to hear that it is gone.
            return _Run(None, is_known=event_id(place) <= self._after)
        return _Run(Frames(view, own_modes(view), has_ids=True, after=self._after), is_known=True)

    def _of_run(self, run_id: str, part: RunPart) -> bytes:
        run = self._runs.get(run_id)
        if run is None or run.frames is None or "run_modes" not in self._modes:
            return b""
        return run.frames.of(part)

    def _of_event(self, part: RunEvent) -> bytes:
        event = part.recorded.event
        run_id = getattr(event, "run_id", None)
        if isinstance(event, RunEnded | RunRolledBack):
            return self._frames(place_of(part), self._ended(part, event.run_id))
        if isinstance(event, StateUpdated) or (
            isinstance(event, CheckpointRecorded) and run_id is None
        ):
            return self._frames(place_of(part), self._state(part))
        return b"" if run_id is None else self._of_run(run_id, part)

    def _ended(self, part: RunEvent, run_id: str) -> Iterator[Event]:
        """Yield what tells of a run's end; a client that knows of a run that is gone is told to take it back."""
        result = ended_result(run_id, part.recorded, part.thread)
        run = self._runs.pop(run_id, None)
        is_gone = result.status == "rolled_back"
        if run is None or not run.is_known:
            # It never began, or it was gone before anybody could see it.
            if is_gone or run is not None:
                return
        elif "run_modes" in self._modes and result.error is not None:
            # Several runs share the stream: an error has to say whose it is.
            yield _FIRST, "error", {**result.error.model_dump(), "run_id": run_id}
        if not self._modes.isdisjoint({"run_modes", "lifecycle"}):
            yield _DONE, "metadata", {"status": "run_done", "run_id": run_id}
        if run is not None:
            yield from self._state(part)

    def _state(self, part: RunEvent) -> Iterator[Event]:
        thread = part.thread
        if "state_update" not in self._modes or thread.state.is_erased:
            return
        view = StateView(self._thread_id, thread.state, thread.items, thread.metadata)
        told = {"state": state_object(view), "thread_id": self._thread_id}
        yield _STATE, "state_update", told

    def _frames(self, place: Place, events: Iterator[Event]) -> bytes:
        found = [(event_id(place, number), name, data) for number, name, data in events]
        return b"".join([frame(name, data, own) for own, name, data in found if own > self._after])


class ThreadStreamResponse(Following):
    """Server-sent events of a thread."""

    media_type = "text/event-stream"
    beat = b": heartbeat\r\n\r\n"

    def __init__(self, reader: Reader, frames: ThreadFrames) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(reader, headers=headers, on_gone=None)
        self._frames = frames

    async def of(self, part: RunPart) -> bytes:
        """Return the events of a part."""
        return await self._frames.of(part)

    def is_last(self, part: RunPart) -> bool:
        """Say whether the thread is gone."""
        return isinstance(part, RunEvent) and isinstance(part.recorded.event, ThreadDeleted)


@router.get(
    "/threads/{thread_id}/stream",
    openapi_extra=documented("thread_id", query={"stream_modes": TEXTS, "stream_mode": TEXTS}),
)
async def stream_thread(request: Request) -> Response:
    """Stream what all runs of a thread do, from now on or after the event that `Last-Event-ID` names."""
    thread_id = thread_id_of(request)
    modes = _modes(request)
    after = last_event_id(request)
    engine = engine_of(request)
    with held(engine.replays.follow(thread_id)) as follower:
        reader = await engine.replays.thread(follower, thread_id, after=place_in(after))
        frames = ThreadFrames(engine, thread_id, modes, after or BEGIN)
        return ThreadStreamResponse(reader, frames)


def place_in(after: str | None) -> Place | None:
    """Return the place of the part that an event was made of; None if there is no event."""
    if after is None:
        return None
    version, seq, _ = (after or "0-0-0").split("-")
    return int(version), int(seq)


def _modes(request: Request) -> frozenset[str]:
    named = [
        mode.strip()
        for name in ("stream_modes", "stream_mode")
        for text in values(request, name)
        for mode in text.split(",")
    ]
    for mode in named:
        if mode not in THREAD_MODES:
            known = ", ".join(THREAD_MODES)
            raise UnprocessableError(
                f"stream_mode: {mode!r} is none of a thread's; there are {known}"
            )
    return frozenset(named) or frozenset({"run_modes"})
