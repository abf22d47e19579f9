"""Rows of the projections to tuples of their tables' columns and back. No statements here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from ...domain.assistant_ports import AssistantRow
from ...domain.kept_ports import Delivery, KeptAnswer
from ...domain.ports import RunRow, ThreadRow
from .codec import from_microseconds, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

Values: TypeAlias = tuple[Any, ...]

RUN_COLUMNS = (
    "thread_id",
    "run_id",
    "status",
    "is_hidden",
    "assistant_id",
    "graph_id",
    "multitask_strategy",
    "created_at",
    "due_at",
    "updated_at",
    "attempt",
    "accepted_version",
    "ended_version",
)

THREAD_COLUMNS = (
    "thread_id",
    "version",
    "is_present",
    "status",
    "has_in_flight",
    "created_at",
    "updated_at",
    "state_updated_at",
    "metadata",
    "expires_at",
)


ASSISTANT_COLUMNS = (
    "assistant_id",
    "graph_id",
    "name",
    "description",
    "config",
    "context",
    "metadata",
    "version",
    "created_at",
    "updated_at",
)


def run_values(row: RunRow) -> Values:
    """Return the row as its table holds it, in the order of `RUN_COLUMNS`."""
    return (
        row.thread_id,
        row.run_id,
        row.status,
        row.is_hidden,
        row.assistant_id,
        row.graph_id,
        row.multitask_strategy,
        to_microseconds(row.created_at),
        to_microseconds(row.due_at),
        to_microseconds(row.updated_at),
        row.attempt,
        row.accepted_version,
        row.ended_version,
    )


def is_hidden(values: Values) -> bool:
    """Say whether a run's values have it hidden."""
    return bool(values[3])


def hidden_run(values: Values) -> Values:
    """Return a run's values with the run hidden."""
    at = RUN_COLUMNS.index("is_hidden")
    return (*values[:at], True, *values[at + 1 :])


def run_row(values: Sequence[Any]) -> RunRow:
    """Return what `run_values` was given."""
    return RunRow(
        thread_id=values[0],
        run_id=values[1],
        status=values[2],
        is_hidden=bool(values[3]),
        assistant_id=values[4],
        graph_id=values[5],
        multitask_strategy=values[6],
        created_at=from_microseconds(values[7]),
        due_at=from_microseconds(values[8]),
        updated_at=from_microseconds(values[9]),
        attempt=values[10],
        accepted_version=values[11],
        ended_version=values[12],
    )


def thread_values(row: ThreadRow) -> Values:
    """Return the row as its table holds it, in the order of `THREAD_COLUMNS`."""
    return (
        row.thread_id,
        row.version,
        row.is_present,
        row.status,
        row.has_in_flight,
        to_microseconds(row.created_at),
        to_microseconds(row.updated_at),
        to_microseconds(row.state_updated_at),
        orjson.dumps(row.metadata).decode(),
        None if row.expires_at is None else to_microseconds(row.expires_at),
    )


def thread_row(values: Sequence[Any]) -> ThreadRow:
    """Return what `thread_values` was given."""
    return ThreadRow(
        thread_id=values[0],
        version=values[1],
        is_present=bool(values[2]),
        status=values[3],
        has_in_flight=bool(values[4]),
        created_at=from_microseconds(values[5]),
        updated_at=from_microseconds(values[6]),
        state_updated_at=from_microseconds(values[7]),
        metadata=orjson.loads(values[8]),
        expires_at=None if values[9] is None else from_microseconds(values[9]),
    )


def assistant_values(row: AssistantRow) -> Values:
    """Return the row as its table holds it, in the order of `ASSISTANT_COLUMNS`."""
    return (
        row.assistant_id,
        row.graph_id,
        row.name,
        row.description,
        orjson.dumps(row.config).decode(),
        orjson.dumps(row.context).decode(),
        orjson.dumps(row.metadata).decode(),
        row.version,
        to_microseconds(row.created_at),
        to_microseconds(row.updated_at),
    )


def assistant_row(values: Sequence[Any]) -> AssistantRow:
    """Return what `assistant_values` was given."""
    return AssistantRow(
        assistant_id=values[0],
        graph_id=values[1],
        name=values[2],
        description=values[3],
        config=orjson.loads(values[4]),
        context=orjson.loads(values[5]),
        metadata=orjson.loads(values[6]),
        version=values[7],
        created_at=from_microseconds(values[8]),
        updated_at=from_microseconds(values[9]),
    )


ANSWER_COLUMNS = ("scope", "key", "digest", "status", "body", "headers", "expires_at")

DELIVERY_COLUMNS = (
    "delivery_id",
    "thread_id",
    "run_id",
    "url",
    "body",
    "created_at",
    "due_at",
    "tries",
    "error",
)


def answer_values(kept: KeptAnswer) -> Values:
    """Return the answer as its table holds it, in the order of `ANSWER_COLUMNS`."""
    return (
        kept.scope,
        kept.key,
        kept.digest,
        kept.status,
        kept.body,
        orjson.dumps(kept.headers).decode(),
        to_microseconds(kept.expires_at),
    )


def kept_answer(values: Sequence[Any]) -> KeptAnswer:
    """Return what `answer_values` was given."""
    scope, key, digest, status, body, headers, expires_at = values
    return KeptAnswer(
        scope, key, digest, status, body, orjson.loads(headers), from_microseconds(expires_at)
    )


def delivery_values(delivery: Delivery) -> Values:
    """Return the delivery as its table holds it, in the order of `DELIVERY_COLUMNS`."""
    return (
        delivery.delivery_id,
        delivery.thread_id,
        delivery.run_id,
        delivery.url,
        delivery.body,
        to_microseconds(delivery.created_at),
        None if delivery.due_at is None else to_microseconds(delivery.due_at),
        delivery.tries,
        delivery.error,
    )


def delivery(values: Sequence[Any]) -> Delivery:
    """Return what `delivery_values` was given."""
    identity, thread_id, run_id, url, body, created_at, due_at, tries, error = values
    return Delivery(
        delivery_id=identity,
        thread_id=thread_id,
        run_id=run_id,
        url=url,
        body=body,
        created_at=from_microseconds(created_at),
        due_at=None if due_at is None else from_microseconds(due_at),
        tries=tries,
        error=error,
    )


def claimed(values: Values, until: int) -> Values:
    """Return a delivery's values, put off until then, with one more try."""
    due, tries = DELIVERY_COLUMNS.index("due_at"), DELIVERY_COLUMNS.index("tries")
    return (*values[:due], until, values[tries] + 1, *values[tries + 1 :])


def settled(values: Values, due_at: int | None, error: str) -> Values:
    """Return a delivery's values after a try that failed; without another one, it has no body any more."""
    body = b"" if due_at is None else values[4]
    return (*values[:4], body, values[5], due_at, values[7], error)
