"""The server process: a socket, uvicorn, and a stop that loses nothing. Routes are not here."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

import uvicorn

from ..domain.errors import ConfigurationError
from .http.application import create_app, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import FrameType

    from fastapi import FastAPI

    from .engine import Engine

BACKLOG = 2048
LAST_RESORT_SECONDS = 5.0
"""How much longer than it should take a stop may take, before requests are broken off."""


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; port 0 is any free one.

    Raises:
        ConfigurationError: the port is taken, or the host is not one of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{host}: cannot be resolved: {error}") from error
    try:
        if sys.platform != "win32":  # There it would let two servers share a port.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        reason = error.strerror or str(error)
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {reason}. Choose another port with --port."
        ) from error
    return bound


def is_local(bound: socket.socket) -> bool:
    """Say whether only programs on this machine can reach a socket."""
    return ip_address(bound.getsockname()[0]).is_loopback


def url_of(bound: socket.socket) -> str:
    """Return the address of a socket as a URL."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(engine: Engine, bound: socket.socket, on_started: Callable[[], None]) -> None:
    """Serve an engine until the process is told to stop (SIGTERM, SIGINT), then stop in good order.

    No new connection is taken from then on. Running code gets `shutdown_seconds` to finish, and its waiters and streams
    their ends; what is not done by then is handed over, and responses that wait for it are broken off.
    """
    with bound:  # Also if the app cannot be made.
        async with engine:
            await _Server(engine, create_app(engine), on_started).serve(sockets=[bound])


class _Server(uvicorn.Server):
    """uvicorn's server, stopping together with the engine behind it."""

    def __init__(self, engine: Engine, app: FastAPI, on_started: Callable[[], None]) -> None:
        settings = engine.settings
        stop_seconds = settings.shutdown_seconds + settings.grace_seconds + LAST_RESORT_SECONDS
        super().__init__(
            uvicorn.Config(
                app,
                http="auto",
                loop="none",
                ws="none",
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                timeout_graceful_shutdown=int(stop_seconds) + 1,
            )
        )
        self._engine = engine
        self._app = app
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        draining = asyncio.create_task(self._drain_and_cut(), name="drain")
        await super().shutdown(sockets)
        await draining

    async def _drain_and_cut(self) -> None:
        await self._engine.drain()
        await asyncio.sleep(0)  # What the drain brought to an end is being sent.
        cut(self._app)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take the signals to stop, without raising them again at the end: a stop in good order ends with 0."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)

        def stop(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.handle_exit, number, frame)

        before = {number: signal.signal(number, stop) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run(main: Coroutine[None, None, None]) -> None:
    """Run a coroutine on the fastest event loop that there is."""
    if sys.platform == "win32":
        asyncio.run(main)
    else:
        import uvloop  # noqa: PLC0415 - there is none on Windows

        uvloop.run(main)
