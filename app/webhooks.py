"""Calls the webhooks of runs that have ended: what has to be called stands in the log's database, and is tried until it arrives.

At least once, each under an id that stays the same. Runs never wait for it.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson

from ..domain.errors import StoreError

if TYPE_CHECKING:
    from datetime import datetime

    from ..domain.kept_ports import Caller, CallFailure, Delivery
    from ..domain.ports import Clock, EventStore, Ids, TaskHandle, Tasks
    from .hub import Hub
    from .settings import Settings

logger = logging.getLogger(__name__)

CALLS_AT_ONCE = 16
RETRY_SECONDS_MAX = 3600.0
CLAIM_SECONDS = 5.0
"""How much longer than a call may take its delivery is left alone by others."""


class Webhooks:
    """Makes the calls that are due, a few at a time."""

    def __init__(
        self,
        store: EventStore,
        hub: Hub,
        caller: Caller,
        settings: Settings,
        *,
        clock: Clock,
        ids: Ids,
        tasks: Tasks,
    ) -> None:
        self._store = store
        self._hub = hub
        self._caller = caller
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._tasks = tasks
        self._calling: dict[str, TaskHandle] = {}
        self._working: TaskHandle | None = None
        self._has_more = False
        self._is_open = False

    def start(self) -> None:
        """Begin to call, also what an earlier process has left."""
        self._is_open = True
        self._hub.on_posted = self._wake
        self._wake()

    async def stop(self) -> None:
        """Stop calling. What was not answered is due again at once, for whoever comes next."""
        if not self._is_open:
            return
        self._is_open = False
        self._hub.on_posted = None
        if self._working is not None:
            self._working.cancel()
            await self._working.wait()
        for delivery_id, call in tuple(self._calling.items()):
            call.cancel()
            await call.wait()
            if self._calling.pop(delivery_id, None) is not None:
                await self._settle(delivery_id, self._clock.now(), "the process stopped")

    async def look(self) -> None:
        """See whether calls are due, those of other processes too."""
        if await self._store.list_deliveries(due_before=self._clock.now(), limit=1):
            self._wake()

    def _wake(self) -> None:
        self._has_more = True
        if self._is_open and (self._working is None or self._working.done()):
            self._working = self._tasks.start(self._work(), "call webhooks")

    async def _work(self) -> None:
        """Call all that is due now."""
        while self._has_more:
            self._has_more = False
            free = CALLS_AT_ONCE - len(self._calling)
            if free <= 0:
                return  # The first call that is over comes back here.
            now = self._clock.now()
            until = now + timedelta(seconds=self._settings.webhook_timeout_seconds + CLAIM_SECONDS)
            try:
                claimed = await self._store.claim_deliveries(now, until, limit=free)
            except StoreError:
                logger.exception("could not look for webhooks to call; trying again")
                return
            for delivery in claimed:
                self._calling[delivery.delivery_id] = self._tasks.start(
                    self._call(delivery), f"webhook of run {delivery.run_id}"
                )
            if len(claimed) == free:
                self._has_more = True

    async def _call(self, delivery: Delivery) -> None:
        failure = await self._caller.post(
            delivery.url,
            *self._signed(delivery, self._clock.now()),
            timeout_seconds=self._settings.webhook_timeout_seconds,
        )
        await self._answered(delivery, failure)
        self._calling.pop(delivery.delivery_id, None)
        self._wake()

    async def _answered(self, delivery: Delivery, failure: CallFailure | None) -> None:
        if failure is None:
            try:
                await self._store.finish_delivery(delivery.delivery_id)
            except StoreError:
                logger.exception("webhook %s is called again", delivery.delivery_id)
            return
        is_last = failure.is_final or delivery.tries >= self._settings.webhook_tries_max
        logger.warning(
            "webhook %s of run %s: %s (try %d%s)",
            delivery.delivery_id,
            delivery.run_id,
            failure.reason,
            delivery.tries,
            ", given up" if is_last else "",
        )
        due_at = None if is_last else self._clock.now() + self._pause(delivery.tries)
        await self._settle(delivery.delivery_id, due_at, failure.reason)

    async def _settle(self, delivery_id: str, due_at: datetime | None, reason: str) -> None:
        try:
            await self._store.settle_delivery(delivery_id, due_at, reason)
        except StoreError:
            logger.exception("webhook %s is tried again", delivery_id)

    def _pause(self, tries: int) -> timedelta:
        base = self._settings.webhook_retry_seconds * 2.0 ** min(tries - 1, 32)
        seconds = min(base, RETRY_SECONDS_MAX)
        return timedelta(seconds=seconds * self._ids.uniform(0.75, 1.0))

    def _signed(self, delivery: Delivery, now: datetime) -> tuple[bytes, dict[str, str]]:
        """Return the body with the time of this try, and the headers."""
        sent_at = orjson.dumps(now.isoformat(timespec="microseconds"))
        body = delivery.body[:-1] + b',"webhook_sent_at":' + sent_at + b"}"
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "threadfold",
            "X-Threadfold-Delivery": delivery.delivery_id,
        }
        if self._settings.webhook_secret is not None:
            secret = self._settings.webhook_secret.get_secret_value().encode()
            at = str(int(now.timestamp()))
            mac = hmac.new(secret, at.encode() + b"." + body, hashlib.sha256).hexdigest()
            headers["X-Threadfold-Signature"] = f"t={at},v1={mac}"
        return body, headers
