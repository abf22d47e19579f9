"""Snapshots as bytes: a line of JSON that says what there is, then a line for each item, which need not be parsed to be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from ..domain.snapshots import from_snapshot, to_snapshot

if TYPE_CHECKING:
    from ..domain.thread import Thread


def encode_snapshot(thread: Thread) -> bytes:
    """Return the thread as bytes. JSON as it is written here has no line feed in it, so lines separate."""
    body = to_snapshot(thread)
    segments = body["items"]
    body["items"] = [(first, len(values)) for first, values in segments]
    lines = [orjson.dumps(body)]
    lines += [orjson.dumps(value) for _, values in segments for value in values]
    return b"\n".join(lines)


def decode_snapshot(data: bytes) -> Thread:
    """Return the thread that `encode_snapshot` was given; its items are parsed when they are first read."""
    head, *lines = data.split(b"\n")
    body = orjson.loads(head)
    segments: list[tuple[int, list[bytes]]] = []
    at = 0
    for first, count in body["items"]:
        segments.append((first, lines[at : at + count]))
        at += count
    return from_snapshot({**body, "items": segments})
