"""OpenTelemetry spans of attempts, if the package is installed. What a graph traces itself becomes part of its attempt's span."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..domain.events import RunFailed, RunInterrupted, RunRolledBack, RunTimedOut

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from opentelemetry.trace import Span, Tracer

    from ..domain.events import RecordedEvent

TRACER = "threadfold"


def can_trace() -> bool:
    """Say whether OpenTelemetry is installed."""
    return find_spec("opentelemetry") is not None and find_spec("opentelemetry.trace") is not None


class Traces:
    """An `Observer` that makes a span `run` for each attempt, as long as its code runs.

    How the run ended stands in it as an event, unless it was stopped from elsewhere after its code had ended.
    """

    def __init__(self, tracer: Tracer | None = None) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - an extra

        self._trace = trace
        self._tracer = tracer or trace.get_tracer(TRACER)
        self._spans: dict[str, Span] = {}

    def appended(self, events: Sequence[RecordedEvent], seconds: float) -> None:
        """Note in a run's span what became of it."""
        del seconds
        for recorded in events:
            event = recorded.event
            if isinstance(event, RunFailed | RunTimedOut | RunInterrupted | RunRolledBack):
                span = self._spans.get(event.run_id)
                if span is not None:
                    span.add_event(type(event).__name__, {"threadfold.version": recorded.version})

    def group_written(self, size: int, seconds: float) -> None:
        """Do nothing: a transaction serves many."""

    @contextmanager
    def attempt(self, thread_id: str, run_id: str, attempt: int, graph_id: str) -> Generator[None]:
        """Make a span of an attempt's code."""
        attributes = {
            "threadfold.thread_id": thread_id,
            "threadfold.run_id": run_id,
            "threadfold.attempt": attempt,
            "threadfold.graph_id": graph_id,
        }
        with self._tracer.start_as_current_span(
            "run", attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            self._spans[run_id] = span
            try:
                yield
            except asyncio.CancelledError:
                span.add_event("cancelled")
                raise
            except BaseException as error:
                status = self._trace.Status(self._trace.StatusCode.ERROR, type(error).__name__)
                span.set_status(status)
                raise
            finally:
                if self._spans.get(run_id) is span:
                    del self._spans[run_id]
