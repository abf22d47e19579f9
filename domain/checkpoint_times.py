"""The time that a graph gives a checkpoint, told by the time that is in the checkpoint's id: two digits instead of forty."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_UUID_EPOCH = datetime(1582, 10, 15, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

HEX_DIGITS = 32
"""Of a UUID."""


def short_time(ts: str, checkpoint_id: str) -> int | str:
    """Return the text as microseconds after the time in the id, if `full_time` can make the same text of that."""
    at = _time_in(checkpoint_id)
    if at is None:
        return ts
    try:
        moment = datetime.fromisoformat(ts)
    except ValueError:
        return ts
    if moment.tzinfo is None:
        return ts
    after = (moment - at) // _MICROSECOND
    return after if full_time(after, checkpoint_id) == ts else ts


def full_time(ts: int | str, checkpoint_id: str) -> str:
    """Return the text that `short_time` was given."""
    if isinstance(ts, str):
        return ts
    at = _time_in(checkpoint_id) or _UUID_EPOCH
    return (at + timedelta(microseconds=ts)).isoformat()


def _time_in(checkpoint_id: str) -> datetime | None:
    """Return the time in a UUID of version 6, in whole microseconds."""
    digits = checkpoint_id.replace("-", "")
    if len(digits) != HEX_DIGITS or digits[12] != "6":
        return None
    try:
        number = int(digits, 16)
    except ValueError:
        return None
    ticks = (number >> 80) << 12 | (number >> 64) & 0xFFF
    return _UUID_EPOCH + timedelta(microseconds=ticks // 10)
