"""Answers that are kept under the `Idempotency-Key` of their request, so that the same request twice is one.

An answer is stored in the append that it belongs to: it is there if and only if that stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from ..domain.errors import KeyReusedError
from ..domain.kept_ports import KeptAnswer
from .lines import Lines

if TYPE_CHECKING:
    import asyncio

    from ..domain.ports import Clock, EventStore
    from ..domain.values import JsonObject
    from .settings import Settings

_T = TypeVar("_T")

Keep: TypeAlias = Callable[[_T], KeptAnswer | None]
"""Makes the answer that is kept, of what a command comes to; None: there is nothing to keep."""

SWEEP_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A request under a key: who asked for it at which route, and the digest of its body."""

    scope: str
    key: str
    digest: str


class Answers:
    """Finds answers that were kept, and forgets those that have expired."""

    def __init__(self, store: EventStore, settings: Settings, *, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._lines = Lines[tuple[str, str]]()
        self._swept_at = float("-inf")

    def lock(self, asked: Asked) -> asyncio.Lock:
        """Return what is held while the request is decided: in this process, the same one asked again waits for the first."""
        return self._lines.of((asked.scope, asked.key))

    async def find(self, asked: Asked) -> KeptAnswer | None:
        """Return the answer to this request, if it is kept. Raises KeyReusedError if that was another one."""
        kept = await self._store.find_answer(asked.scope, asked.key)
        if kept is None or kept.expires_at <= self._clock.now():
            return None
        if kept.digest != asked.digest:
            raise KeyReusedError(key=asked.key)
        return kept

    def kept(self, asked: Asked, status: int, body: bytes, headers: JsonObject) -> KeptAnswer:
        """Return an answer, to be kept for as long as the settings say."""
        seconds = timedelta(seconds=self._settings.idempotency_seconds)
        expires_at = self._clock.now() + seconds
        return KeptAnswer(asked.scope, asked.key, asked.digest, status, body, headers, expires_at)

    async def sweep(self) -> None:
        """Forget what has expired, now and then."""
        now = self._clock.monotonic()
        if now >= self._swept_at + SWEEP_SECONDS:
            self._swept_at = now
            await self._store.sweep_answers(self._clock.now())
