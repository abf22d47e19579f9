"""Code that swallows its cancellation."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from threadfold.domain.errors import StaleAttemptError

from .engine import Rogue, humans, write

if TYPE_CHECKING:
    from threadfold.domain.graph_ports import RunContext


class Zombie:
    """Code that swallows its cancellation, and writes on as long as it is let."""

    def __init__(self, graph_id: str = "agent") -> None:
        self._graph_id = graph_id
        self.began: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.cancelled: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.awake = asyncio.Event()
        self.refused = 0

    def graph(self) -> Rogue:
        return Rogue(self._run, self._graph_id)

    async def _run(self, context: RunContext) -> None:
        text = humans(context.input)[0]
        await context.record(write(f"{text}.1"))
        if not text.startswith("zombie"):
            return
        self.began[context.run_id].set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled[context.run_id].set()
        await self.awake.wait()
        for work in (
            lambda: context.record(write(f"{text} is back")),
            lambda: context.record_result("late", text),
            lambda: context.record(write(f"{text} is back again")),
        ):
            try:
                await work()
                await asyncio.sleep(0)
            except StaleAttemptError:
                self.refused += 1
        with pytest.raises(StaleAttemptError):
            context.emit("custom", text)


def said_by_rogue(values: Any) -> list[str]:
    """Return what stands of bare code in a state."""
    return list((values or {}).get("said", []))
