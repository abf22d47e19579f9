"""The app: an engine behind the routes that the SDKs know."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from ... import __version__
from ..engine import Engine
from . import assistants, problems, runs, stateless, system, threads
from .following import Following
from .limits import BodyLimit


def create_app(engine: Engine) -> FastAPI:
    """Return the ASGI app that serves an engine.

    Its lifespan starts the engine, unless it is open already, and then closes it too: who opens it closes it.
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
    app.state.engine = engine
    app.state.following = set[Following]()
    app.add_middleware(BodyLimit, bytes_max=engine.settings.body_bytes_max)
    problems.install(app)
    for module in (
        runs,
        stateless,
        threads,
        system,
        assistants,
    ):  # The busiest first: each is asked in turn.
        app.include_router(module.router)
    return app


def cut(app: FastAPI) -> None:
    """End the responses that still follow runs: a server that stops does not wait for runs that others will finish."""
    following: set[Following] = app.state.following
    for response in tuple(following):
        response.cut()
