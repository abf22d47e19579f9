"""From the body of a request to a run that is accepted: what callers may set, and what they may not."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException

from ...domain.errors import AssistantNotFoundError, ThreadNotFoundError
from ..answers import Keep
from ..engine import Engine
from ..views import RunView
from . import models
from .objects import DEFAULT_STREAM_MODES, run_object

RESERVED = frozenset({"thread_id", "run_id", "assistant_id", "cron_id"})
"""Keys of a run's metadata that callers cannot set."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run as a body asks for it."""

    body: models.RunCreate
    metadata: dict[str, Any]
    kwargs: dict[str, Any]

    async def check(self, engine: Engine) -> None:
        """Raise what it would be refused with, on a thread of its own."""
        with _not_found():
            await engine.submissions.check(
                self.body.assistant_id,
                input=self.body.input,
                metadata=self.metadata,
                kwargs=self.kwargs,
                is_stateless=self.body.on_completion != "keep",
            )

    async def submit(
        self,
        engine: Engine,
        thread_id: str | None,
        run_id: str | None = None,
        keep: Keep[RunView] | None = None,
        *,
        new_thread_id: str | None = None,
    ) -> RunView:
        """Have it accepted, on a thread or on one of its own, which gets the new id."""
        body = self.body
        with _not_found():
            return await engine.submissions.submit(
                thread_id or new_thread_id or engine.new_thread_id(),
                body.assistant_id,
                input=body.input,
                multitask_strategy=body.multitask_strategy or "enqueue",
                run_id=run_id or engine.new_run_id(),
                after_seconds=body.after_seconds or 0,
                timeout_seconds=None,
                metadata=self.metadata,
                kwargs=self.kwargs,
                if_not_exists="create" if thread_id is None else body.if_not_exists or "reject",
                is_stateless=thread_id is None and body.on_completion != "keep",
                keep=keep,
            )


@contextmanager
def _not_found() -> Generator[None]:
    """Tell the same of a thread and of an assistant that is not there."""
    try:
        yield
    except (ThreadNotFoundError, AssistantNotFoundError) as error:
        raise HTTPException(404, "Thread or assistant not found.") from error


def wanted(body: models.RunCreate) -> Wanted:
    """Return the run that a body asks for."""
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
    own = {key: metadata[key] for key in _stripped(metadata) if key not in RESERVED}
    return Wanted(body, own, kwargs)


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


def created(view: RunView) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what the creation of a run is answered: the run, and the headers that say where it is."""
    return run_object(view), {"Content-Location": path_of(view)}


def path_of(view: RunView) -> str:
    """Return where a run is."""
    return f"/threads/{view.row.thread_id}/runs/{view.row.run_id}"
