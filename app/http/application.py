"""The app: an engine behind the routes that the SDKs know."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from ... import __version__
from ..engine import Engine
from . import assistants, cors, openapi, problems, runs, stateless, system, thread_streams, threads
from .access import Access
from .auth.door import Door
from .auth.gate import Gate
from .following import Following
from .limits import BodyLimit

MODULES = (runs, stateless, threads, thread_streams, system, assistants)
"""Those that have routes, the busiest first: each is asked in turn."""


def create_app(engine: Engine) -> FastAPI:
    """Return the ASGI app that serves an engine.

    Its lifespan starts the engine, unless it is open already, and then closes it too: who opens it closes it. Callers are
    asked who they are if the engine has an `auth`, or its settings `api_keys`.

    Raises:
        ConfigurationError: the `auth` cannot be used.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        del app
        if engine.is_open:
            yield
            return
        async with engine:
            yield

    app = FastAPI(
        title="Threadfold",
        version=__version__,
        description="Agent threads on an event log, for the official LangGraph SDKs.",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    # Routes have no other way to the engine than this door, see `requests.engine_of`.
    app.state.door = door = Door(engine)
    app.state.following = set[Following]()
    if not door.is_open:
        # The innermost: what it refuses gets the headers of all others, and what it reads is bounded.
        routes = [route for module in MODULES for route in module.router.routes]
        app.add_middleware(Gate, keys=door.keys, handlers=door.handlers, routes=routes)
    # The last one added sees a request first.
    app.add_middleware(BodyLimit, bytes_max=engine.settings.body_bytes_max)
    cors.install(app, engine.settings.cors_origins)
    app.add_middleware(Access, requests=engine.metrics.requests if engine.metrics else None)
    problems.install(app)
    for module in MODULES:
        app.include_router(module.router)
    openapi.install(app)
    if engine.metrics is not None:
        from .metrics import metrics  # noqa: PLC0415 - what it needs takes long to import

        app.add_api_route("/metrics", metrics, include_in_schema=False)
    return app


def cut(app: FastAPI) -> None:
    """End the responses that still follow runs: a server that stops does not wait for runs that others will finish."""
    following: set[Following] = app.state.following
    for response in tuple(following):
        response.cut()
