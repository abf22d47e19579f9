"""What checkpointers saved, as plain data of a snapshot, and back. Each checkpoint stands once, in a table."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from .channels import decode, decode_object, encoded_channel, numbers_of
from .deltas import Encoded
from .saved import Saved, SavedCheckpoint, Write
from .shared_list import SharedList
from .state import ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .channels import Channel
    from .state import State

RECENT_MAX = 10
"""Checkpoints that a snapshot holds beside the newest of each namespace, so that the newest history needs no fold of the log."""

_ENCODED: TypeAdapter[Encoded] = TypeAdapter(Encoded)
_ENCODED_OBJECT: TypeAdapter[dict[str, Encoded]] = TypeAdapter(dict[str, Encoded])


class CheckpointTable:
    """The checkpoints of a snapshot, each once."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str, int, bool], int] = {}
        self.rows: list[dict[str, Any]] = []

    def saved(self, state: State) -> dict[str, Any] | None:
        """Return what is saved in a state, its checkpoints as places in the table; None if nothing is."""
        saved = state.saved
        if not saved.version and not saved.owned and not state.calls:
            return None
        recent = _recent(saved)
        return {
            "heads": [self._place(each) for each in saved.heads.values()],
            "recent": [self._place(each) for each in recent],
            "writes": [
                [*key, [_write(write) for write in slots.values()]]
                for key, slots in saved.writes.items()
            ],
            "owned": [list(each) for each in saved.owned],
            "is_complete": saved.is_complete and len(recent) == len(saved.recent),
            "version": saved.version,
            "calls": [
                [*call._replace(result=_stored(call.result))] for call in state.calls.values()
            ],
        }

    def _place(self, checkpoint: SavedCheckpoint) -> int:
        key = (
            checkpoint.ns,
            checkpoint.checkpoint_id,
            checkpoint.version,
            checkpoint.is_hidden,
        )
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = len(self.rows)
            self.rows.append(_row(checkpoint))
        return place


def saved_from(body: Mapping[str, Any] | None, table: Sequence[SavedCheckpoint]) -> dict[str, Any]:
    """Return the fields of a state that `CheckpointTable.saved` told."""
    if body is None:
        return {}
    saved = Saved(
        heads={head.ns: head for head in (table[int(place)] for place in body["heads"])},
        recent=SharedList([table[int(place)] for place in body["recent"]]),
        writes={
            (ns, checkpoint_id): {(write[0], write[1]): _write_from(write) for write in writes}
            for ns, checkpoint_id, writes in body["writes"]
        },
        owned=tuple((start, stop) for start, stop in body["owned"]),
        is_complete=body["is_complete"],
        version=body["version"],
    )
    calls = (
        ToolCall(call_id, name, is_finished, _channel(result), *more)
        for call_id, name, is_finished, result, *more in body["calls"]
    )
    return {"saved": saved, "calls": {call.call_id: call for call in calls}}


def numbers_saved(state: State) -> Iterator[int]:
    """Yield the numbers of all items that a snapshot has to hold: those that the events after it may refer to are among them."""
    saved = state.saved
    for owned in saved.owned:
        yield from range(*owned)
    for checkpoint in (*saved.heads.values(), *_recent(saved)):
        yield from _numbers(checkpoint.channels.values())
    for slots in saved.writes.values():
        yield from _numbers(write.value for write in slots.values())
    yield from _numbers(call.result for call in state.calls.values())


def _recent(saved: Saved) -> list[SavedCheckpoint]:
    return saved.recent.slice(max(len(saved.recent) - RECENT_MAX, 0), len(saved.recent))


def _numbers(channels: Iterable[Channel]) -> Iterator[int]:
    for channel in channels:
        yield from numbers_of(channel)


def _stored(channel: Channel) -> dict[str, Any]:
    return encoded_channel(channel).model_dump(mode="json")


def _channel(stored: object) -> Channel:
    return decode(_ENCODED.validate_python(stored))


def _write(write: Write) -> list[Any]:
    return [
        write.task_id,
        write.idx,
        write.channel,
        _stored(write.value),
        write.task_path,
        write.run_id,
    ]


def _write_from(row: Sequence[Any]) -> Write:
    return Write(row[0], row[1], row[2], _channel(row[3]), row[4], row[5])


def _row(checkpoint: SavedCheckpoint) -> dict[str, Any]:
    row = dict(checkpoint.__dict__)
    row["recorded_at"] = checkpoint.recorded_at.isoformat()
    row["channels"] = {name: _stored(channel) for name, channel in checkpoint.channels.items()}
    return row


def checkpoint_from(row: Mapping[str, Any]) -> SavedCheckpoint:
    """Return a checkpoint of a snapshot's table."""
    fields = dict(row)
    fields["recorded_at"] = datetime.fromisoformat(fields["recorded_at"])
    fields["channels"] = decode_object(_ENCODED_OBJECT.validate_python(fields["channels"]))
    updated = fields["updated"]
    fields["updated"] = None if updated is None else tuple(updated)
    return SavedCheckpoint(**fields)
