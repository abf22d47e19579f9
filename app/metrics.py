"""Prometheus metrics of one engine: what this process wrote and runs, and what is in flight in the whole store."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ..domain.ends import end_status
from ..domain.events import RunAccepted, RunEnded, RunRolledBack, RunStarted

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from datetime import datetime

    from ..domain.events import RecordedEvent

REMEMBERED_MAX = 10_000
"""Runs whose acceptance is remembered until they start; those that are put off for long make room for others."""

FAST = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
"""Bounds in seconds, for what should take milliseconds."""

SLOW = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 20.0, 60.0, 300.0, 1200.0, 3600.0)
"""Bounds in seconds, for what takes as long as a graph does."""

GROUPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

NAMESPACE = "threadfold"


class Metrics:
    """An `Observer` that counts. Times are seconds; each engine has a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, namespace=NAMESPACE, registry=self.registry)
        gauge = partial(Gauge, namespace=NAMESPACE, registry=self.registry)
        histogram = partial(Histogram, namespace=NAMESPACE, registry=self.registry)
        self._accepted = counter("runs_accepted", "Runs accepted by this process.", ["strategy"])
        self._ended = counter(
            "runs_ended", "Runs whose end this process wrote, by how they ended.", ["status"]
        )
        self.in_flight = gauge(
            "runs_in_flight", "Runs of the whole store that have not ended.", ["status"]
        )
        self._wait = histogram(
            "run_queue_seconds",
            "From the moment when a run is due to its first start.",
            buckets=SLOW,
        )
        self._rollback = histogram(
            "rollback_seconds",
            "From the acceptance of a run that rolls others back to its start.",
            buckets=FAST,
        )
        self._attempt = histogram(
            "attempt_seconds", "How long the code of an attempt runs.", ["graph_id"], buckets=SLOW
        )
        self._running = gauge("attempts_running", "Attempts whose code runs here.")
        self.fenced = gauge(
            "attempts_fenced", "Attempts that outlived their grace time: fenced, and not stopped."
        )
        self.slots_free = gauge("worker_slots_free", "Runs that could start here at once.")
        self.streams = gauge("streams_open", "Responses that follow a run or a thread.")
        self._append = histogram(
            "append_seconds", "From a decision to its being durable.", buckets=FAST
        )
        self._group = histogram(
            "append_group_size", "Writes that shared one transaction.", buckets=GROUPS
        )
        self._commit = histogram("commit_seconds", "How long a group of writes took.", buckets=FAST)
        self.requests = histogram(
            "http_request_seconds",
            "How long requests took, streams to their last byte.",
            ["method", "route", "status"],
            buckets=SLOW,
        )
        self._accepted_at: OrderedDict[str, tuple[datetime, bool]] = OrderedDict()

    def appended(self, events: Sequence[RecordedEvent], seconds: float) -> None:
        """Count what became of runs."""
        self._append.observe(seconds)
        rolls_back = any(isinstance(recorded.event, RunRolledBack) for recorded in events)
        for recorded in events:
            event = recorded.event
            match event:
                case RunAccepted():
                    self._accepted.labels(event.multitask_strategy).inc()
                    self._remember(event, recorded, rolls_back=rolls_back)
                case RunStarted():
                    self._start(event, recorded)
                case RunEnded():
                    self._ended.labels(end_status(event)).inc()
                case RunRolledBack():
                    self._ended.labels("rolled_back").inc()
                case _:
                    pass

    def _remember(self, event: RunAccepted, recorded: RecordedEvent, *, rolls_back: bool) -> None:
        if event.after_seconds:
            return  # It waits because it was asked to.
        self._accepted_at[event.run_id] = (recorded.recorded_at, rolls_back)
        if len(self._accepted_at) > REMEMBERED_MAX:
            self._accepted_at.popitem(last=False)

    def _start(self, event: RunStarted, recorded: RecordedEvent) -> None:
        found = self._accepted_at.pop(event.run_id, None)
        if found is None:
            return
        accepted_at, rolls_back = found
        seconds = (recorded.recorded_at - accepted_at).total_seconds()
        self._wait.observe(seconds)
        if rolls_back:
            self._rollback.observe(seconds)

    def group_written(self, size: int, seconds: float) -> None:
        """Count a transaction."""
        self._group.observe(size)
        self._commit.observe(seconds)

    @contextmanager
    def attempt(self, thread_id: str, run_id: str, attempt: int, graph_id: str) -> Generator[None]:
        """Measure an attempt's code."""
        del thread_id, run_id, attempt
        with self._running.track_inprogress(), self._attempt.labels(graph_id).time():
            yield
