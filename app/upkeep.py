"""What an engine looks at again and again: what other processes wrote, calls that are due, what has expired."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..domain.errors import StoreError

if TYPE_CHECKING:
    from ..domain.ports import Clock
    from .answers import Answers
    from .executor import Executor
    from .replaying import Replays
    from .settings import Settings
    from .webhooks import Webhooks

logger = logging.getLogger(__name__)


class Upkeep:
    """Looks at them as often as the settings say."""

    def __init__(
        self,
        executor: Executor,
        answers: Answers,
        webhooks: Webhooks,
        replays: Replays,
        settings: Settings,
        *,
        clock: Clock,
    ) -> None:
        self._executor = executor
        self._answers = answers
        self._webhooks = webhooks
        self._replays = replays
        self._settings = settings
        self._clock = clock

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await self._clock.sleep(self._settings.poll_seconds)
            try:
                await self._executor.take_up()
                await self._webhooks.look()
                await self._answers.sweep()
                await self._replays.sweep()
            except StoreError:
                logger.exception("could not look for what other processes wrote; trying again")
