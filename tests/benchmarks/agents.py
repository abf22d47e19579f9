"""The graphs that the benchmarks' server runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def instant(state: Any) -> dict[str, str]:
    """Answer at once."""
    return {"answer": f"You asked: {state['question']}"}


async def held(state: Any) -> AsyncIterator[dict[str, Any]]:
    """Take as many steps as the input says, each with a message, then wait until it is stopped."""
    for step in range(state["steps"]):
        yield {"messages": {"role": "assistant", "content": f"What step {step} has found out."}}
        await asyncio.sleep(0)
    await asyncio.Event().wait()
