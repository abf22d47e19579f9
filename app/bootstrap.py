"""The one place that names adapters: from a URL and settings to ports."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..infrastructure.graphs.authoring import Custom, MessageChunk, RunHandle, Update
from ..infrastructure.graphs.functions import FunctionGraph
from ..infrastructure.graphs.read_only_state import ReadOnlyState
from ..infrastructure.graphs.registry import GraphRegistry
from ..infrastructure.log.opening import open_store
from ..infrastructure.log.sqlite import SQLiteSettings
from ..infrastructure.work.calling import HttpCaller
from ..infrastructure.work.system import AsyncioTasks, SystemClock, SystemIds
from .observing import Nobody, Several, observer_of

if TYPE_CHECKING:
    from ..domain.kept_ports import Caller
    from ..domain.ports import Clock, EventStore, Ids, Observer, Tasks
    from .metrics import Metrics
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
    "ports_of",
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
    observer: Observer = field(default_factory=Nobody)
    caller: Caller | None = None
    """Calls webhooks; None: the real one."""


def default_caller(settings: Settings) -> Caller:
    """Return what calls webhooks over HTTP."""
    return HttpCaller(allows_private=settings.webhook_allows_private)


def default_ports(url: str, settings: Settings, observer: Observer | None = None) -> Ports:
    """Return the real ones: the store that the URL names, the system's clock, ids and tasks."""
    observer = observer or Nobody()
    store = open_store(
        url,
        on_group=observer.group_written,
        lease_seconds=settings.lease_seconds,
        sqlite=SQLiteSettings(synchronous=settings.synchronous, poll_seconds=settings.poll_seconds),
        group_max=settings.group_commit_max,
    )
    return Ports(store, SystemClock(), SystemIds(), AsyncioTasks(), store.holder, observer)


def ports_of(store: str | Ports, settings: Settings, metrics: Metrics | None) -> Ports:
    """Return an engine's ports, which tell its metrics and traces too."""
    observer = observer_of(metrics, settings)
    if isinstance(store, str):
        return default_ports(store, settings, observer)
    return replace(store, observer=Several([store.observer, observer]))
