"""Makes records of rows, the same for every database that LangGraph's savers write to."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from ....domain.importing import NotImportableError, TaskWrites
from .decoding import UndecodableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from ....domain.saved import CheckpointKey
    from .decoding import Decoder

    Value = TypeVar("Value")


class WriteRow(NamedTuple):
    """One write as it is stored. Sorted, they are in the order in which a graph applies them."""

    task_path: str
    task_id: str
    idx: int
    channel: str
    kind: str | None
    data: bytes | None


def task_writes(rows: Iterable[WriteRow], decoder: Decoder) -> tuple[TaskWrites, ...]:
    """Return the writes on a checkpoint, in order, task by task."""
    found: list[TaskWrites] = []
    in_order = sorted(rows, key=lambda row: (row.task_path, row.task_id, row.idx))
    for (path, task_id), group in groupby(in_order, lambda row: (row.task_path, row.task_id)):
        writes = tuple(
            (row.idx, row.channel, decoder.value(row.kind, row.data, channel=row.channel))
            for row in group
        )
        found.append(TaskWrites(task_id, path, writes))
    return tuple(found)


def placed(thread_id: str, key: CheckpointKey, make: Callable[[], Value]) -> Value:
    """Return what `make` makes of a checkpoint's rows; if they cannot be decoded, say where that is."""
    try:
        return make()
    except UndecodableError as error:
        raise NotImportableError(str(error), thread_id=thread_id, key=key) from error


def by_time(key: CheckpointKey) -> tuple[str, str]:
    """Sort keys as the checkpoints were made: their ids begin with the time."""
    ns, checkpoint_id = key
    return (checkpoint_id, ns)
