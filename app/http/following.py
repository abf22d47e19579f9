"""Responses that last as long as a run: JSON for waiters, server-sent events for streams.

One task looks out for the client's leaving; the response itself wakes for the run's parts, for that, and every five seconds to
show that the connection lives. Whatever ends the response, nothing of it goes on listening.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import ClassVar

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ...domain.errors import RefusedError, StoreError
from ..replaying import Reader
from ..streams import Follower, RunPart
from ..views import RunResult
from .modes import Frames
from .objects import result_object
from .responses import encoded

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0

BODY_BYTES = 64 * 1024
"""What is put together to be sent at once."""

Source = Follower | Reader
"""Where a response takes a run's parts from."""

OnGone = Callable[[], Awaitable[None]]


@contextmanager
def held(follower: Follower) -> Generator[Follower]:
    """Enter a follower that a response takes over; only if the block raises, it is left again here."""
    follower.__enter__()
    try:
        yield follower
    except BaseException:
        follower.__exit__()
        raise


class Following(Response):
    """Base: starts at once, beats while the run goes on, and ends with it.

    Takes over a follower that was entered before the run was submitted or found in flight. `on_gone` is called if the client
    leaves before the end; a server that stops calls nothing.
    """

    beat: ClassVar[bytes]

    def __init__(
        self, follower: Source, *, headers: Mapping[str, str], on_gone: OnGone | None
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(headers)
        self._follower = follower
        self._on_gone = on_gone
        self._is_gone = False
        self._is_beat_due = False
        self._timer: asyncio.TimerHandle | None = None

    def first(self) -> bytes:
        """Return what is sent before anything has happened."""
        return b""

    async def of(self, part: RunPart) -> bytes:
        """Return what is sent for a part."""
        raise NotImplementedError

    def is_last(self, part: RunPart) -> bool:
        """Say whether the response ends with this part."""
        return isinstance(part, RunResult)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until the run has ended, the client has gone, or the server stops."""
        open_ones: set[Following] = scope["app"].state.following
        open_ones.add(self)
        watch = asyncio.create_task(self._watch(receive), name="watch for the client's leaving")
        try:
            await self._send_all(send)
        except OSError:  # A server's other way to say that the client has gone.
            self._is_gone = True
        finally:
            open_ones.discard(self)
            watch.cancel()
            if self._timer is not None:
                self._timer.cancel()
            self._follower.__exit__()
        if self._is_gone and self._on_gone is not None:
            try:
                await self._on_gone()
            except (RefusedError, StoreError, HTTPException) as error:
                logger.info("nothing to do for a client that has gone: %s", error)

    def cut(self) -> None:
        """End the response as a broken connection would, so that its client knows to ask again."""
        self._is_gone, self._on_gone = True, None
        self._follower.wake()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        body, is_last = self.first(), False
        self._beat_later()
        while not self._is_gone:
            if self._follower.is_behind:
                self.cut()  # It may follow the run again; what it missed is not kept anywhere.
                return
            for part in await self._follower.take():
                is_last = self.is_last(part)
                body += await self.of(part)
                if len(body) > BODY_BYTES and not is_last:
                    body = await self._send(send, body)
                    if self._is_gone:
                        return
            if self._is_beat_due:
                body = body or self.beat
                self._is_beat_due = False
            if body or is_last:
                body = await self._send(send, body, is_last=is_last)
            if is_last:
                return
            await self._follower.wait()

    async def _send(self, send: Send, body: bytes, *, is_last: bool = False) -> bytes:
        """Send a piece of the body; return what is left to send: nothing."""
        self._follower.is_stuck = True
        await send({"type": "http.response.body", "body": body, "more_body": not is_last})
        self._follower.is_stuck = False
        return b""

    def _beat_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_SECONDS, self._on_beat)

    def _on_beat(self) -> None:
        self._is_beat_due = True
        self._follower.wake()
        self._beat_later()

    async def _watch(self, receive: Receive) -> None:
        kind = ""
        while kind != "http.disconnect":
            with suppress(
                HTTPException
            ):  # A body that nobody asked for may be as large as it likes.
                kind = (await receive())["type"]
        self._is_gone = True
        self._follower.wake()


class WaitResponse(Following):
    """JSON of a run's outcome, behind as many line feeds as the waiting took beats."""

    media_type = "application/json"
    beat = b"\n"

    async def of(self, part: RunPart) -> bytes:
        """Return the outcome; all else is of no interest."""
        return encoded(result_object(part)) if isinstance(part, RunResult) else b""


class StreamResponse(Following):
    """Server-sent events of a run."""

    media_type = "text/event-stream"
    beat = b": heartbeat\r\n\r\n"

    def __init__(
        self,
        follower: Source,
        frames: Frames,
        *,
        headers: Mapping[str, str],
        on_gone: OnGone | None,
    ) -> None:
        uncached = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(follower, headers={**headers, **uncached}, on_gone=on_gone)
        self._frames = frames

    def first(self) -> bytes:
        """Return the event that names the run."""
        return self._frames.started()

    async def of(self, part: RunPart) -> bytes:
        """Return the events of the modes that were asked for."""
        return self._frames.of(part)
