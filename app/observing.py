"""Observers: nobody, or several at once."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING

from .tracing import Traces, can_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..domain.events import RecordedEvent
    from ..domain.ports import Observer, Surroundings
    from .metrics import Metrics
    from .settings import Settings


class Nobody:
    """The `Observer` of those who want to know nothing."""

    def appended(self, events: Sequence[RecordedEvent], seconds: float) -> None:
        """Do nothing."""

    def group_written(self, size: int, seconds: float) -> None:
        """Do nothing."""

    def attempt(self, thread_id: str, run_id: str, attempt: int, graph_id: str) -> Surroundings:
        """Do nothing."""
        del thread_id, run_id, attempt, graph_id
        return nullcontext()


class Several:
    """The `Observer` that tells others, in the order in which they came."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def appended(self, events: Sequence[RecordedEvent], seconds: float) -> None:
        """Tell all of them."""
        for observer in self._observers:
            observer.appended(events, seconds)

    def group_written(self, size: int, seconds: float) -> None:
        """Tell all of them."""
        for observer in self._observers:
            observer.group_written(size, seconds)

    def attempt(self, thread_id: str, run_id: str, attempt: int, graph_id: str) -> Surroundings:
        """Surround the code with what each of them surrounds it with."""
        stack = ExitStack()
        for observer in self._observers:
            stack.enter_context(observer.attempt(thread_id, run_id, attempt, graph_id))
        return stack


def metrics_of(settings: Settings) -> Metrics | None:
    """Return what counts, if that is wanted."""
    if not settings.metrics:
        return None
    from .metrics import Metrics  # noqa: PLC0415 - what it needs takes long to import

    return Metrics()


def observer_of(metrics: Metrics | None, settings: Settings) -> Observer:
    """Return the one observer that tells all that are wanted."""
    observers: list[Observer] = [] if metrics is None else [metrics]
    if settings.traces and can_trace():
        observers.append(Traces())
    return Several(observers)
