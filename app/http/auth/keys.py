"""API keys: what a caller sends against what the settings hold, without a word of either."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping

HEADER = b"x-api-key"
BEARER = "bearer "


class ApiKeys:
    """The keys that open the server. Only their digests are held; comparing takes the same time, whatever is sent."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def admits(self, headers: Mapping[bytes, bytes]) -> bool:
        """Say whether `x-api-key` or `Authorization: Bearer …` holds one of the keys."""
        sent = [headers.get(HEADER, b"")]
        authorization = headers.get(b"authorization", b"")
        if authorization[: len(BEARER)].lower() == BEARER.encode():
            sent.append(authorization[len(BEARER) :].strip())
        # All are compared, also after one has matched.
        found = [
            hmac.compare_digest(_digest(text), digest) for text in sent for digest in self._digests
        ]
        return any(found)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
