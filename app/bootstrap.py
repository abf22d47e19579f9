"""The one place that names adapters: from a URL and settings to ports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..infrastructure.graphs.authoring import Custom, MessageChunk, RunHandle, Update
from ..infrastructure.graphs.functions import FunctionGraph
from ..infrastructure.graphs.read_only_state import ReadOnlyState
from ..infrastructure.graphs.registry import GraphRegistry
from ..infrastructure.log.opening import open_store
from ..infrastructure.log.sqlite import SQLiteSettings
from ..infrastructure.work.calling import HttpCaller
from ..infrastructure.work.system import AsyncioTasks, SystemClock, SystemIds

if TYPE_CHECKING:
    from ..domain.ports import Caller, Clock, EventStore, Ids, Tasks
    from .settings import Settings

__all__ = [
    "Custom",
    "FunctionGraph",
    "GraphRegistry",
    "MessageChunk",
    "Ports",
    "ReadOnlyState",
    "RunHandle",
    "Update",
    "default_caller",
    "default_ports",
]


@dataclass(frozen=True, slots=True)
class Ports:
    """All that an engine needs of the world."""

    store: EventStore
    clock: Clock
    ids: Ids
    tasks: Tasks
    holder: str
    """This process's name in leases."""
    caller: Caller | None = None
    """Calls webhooks; None: the real one."""


def default_caller(settings: Settings) -> Caller:
    """Return what calls webhooks over HTTP."""
    return HttpCaller(allows_private=settings.webhook_allows_private)


def default_ports(url: str, settings: Settings) -> Ports:
    """Return the real ones: the store that the URL names, the system's clock, ids and tasks."""
    store = open_store(
        url,
        lease_seconds=settings.lease_seconds,
        sqlite=SQLiteSettings(synchronous=settings.synchronous, poll_seconds=settings.poll_seconds),
        group_max=settings.group_commit_max,
    )
    return Ports(store, SystemClock(), SystemIds(), AsyncioTasks(), store.holder)
