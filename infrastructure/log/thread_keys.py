"""Thread ids as the log's table of events holds them in SQLite: a UUID as its sixteen bytes, all else as text.

Each event has its thread's id twice, in its row and in the index: the bytes are less than half of the text.
"""

from __future__ import annotations

from binascii import Error as NotHexadecimal, a2b_hex, b2a_hex
from functools import lru_cache
from typing import TypeAlias

ThreadKey: TypeAlias = "str | bytes"

_LENGTH = 36
_REMEMBERED = 16_384


@lru_cache(_REMEMBERED)
def thread_key(thread_id: str) -> ThreadKey:
    """Return the sixteen bytes of a UUID in its canonical form, lower-case with hyphens; any other id as it is."""
    if len(thread_id) != _LENGTH:
        return thread_id
    try:
        key = a2b_hex(thread_id.replace("-", ""))
    except (NotHexadecimal, ValueError):
        return thread_id
    # An id that is only nearly a UUID has to come back as it was.
    return key if _canonical(key) == thread_id else thread_id


@lru_cache(_REMEMBERED)
def thread_id_of(key: ThreadKey) -> str:
    """Return the id that the key stands for."""
    return key if isinstance(key, str) else _canonical(key)


def _canonical(key: bytes) -> str:
    digits = b2a_hex(key).decode()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
