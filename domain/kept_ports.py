"""Answers that are kept under the keys of their requests, and calls of webhooks: what the store keeps of them, and who calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from .values import JsonObject


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a request with an `Idempotency-Key` was answered: whoever asks the same again under that key gets it again.

    `scope` is who asked, and at which route; `digest` is that of the body. `expires_at` ends it.
    """

    scope: str
    key: str
    digest: str
    status: int
    body: bytes
    headers: JsonObject
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """A call of a run's webhook, to be made at least once; its id is the same at every try.

    `due_at` is when it is tried next; None: it is dead, and `error` says why. Then it has no `body` any more.
    """

    delivery_id: str
    thread_id: str
    run_id: str
    url: str
    body: bytes
    created_at: datetime
    due_at: datetime | None
    tries: int = 0
    error: str = ""


class KeptStore(Protocol):
    """Their part of the store's port (`ports.py`)."""

    async def find_answer(self, scope: str, key: str) -> KeptAnswer | None:
        """Return the answer that is kept under a key, also one that has expired."""
        ...

    async def sweep_answers(self, now: datetime) -> int:
        """Forget the answers that have expired; return how many they were."""
        ...

    async def list_deliveries(
        self, *, due_before: datetime | None = None, limit: int = 100
    ) -> tuple[Delivery, ...]:
        """Return deliveries, oldest first: all of them, dead ones too, or those that are due by then, the most urgent first."""
        ...

    async def claim_deliveries(
        self, now: datetime, until: datetime, *, limit: int
    ) -> tuple[Delivery, ...]:
        """Return deliveries to be tried now; to everybody else they are not due before `until`. It counts as a try."""
        ...

    async def settle_delivery(self, delivery_id: str, due_at: datetime | None, error: str) -> None:
        """Say that a try has failed: it is due again then, or (None) it is dead."""
        ...

    async def finish_delivery(self, delivery_id: str) -> None:
        """Say that it has arrived: it is forgotten."""
        ...


@dataclass(frozen=True, slots=True)
class CallFailure:
    """Why a call did not arrive; `is_final` if another try would not either."""

    reason: str
    is_final: bool = False


class Caller(Protocol):
    """Calls addresses that users name."""

    def refusal(self, url: str) -> str | None:
        """Return why this is no address that may be called, as far as that can be told without asking anybody."""
        ...

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float
    ) -> CallFailure | None:
        """Post JSON; return None if it has arrived."""
        ...
