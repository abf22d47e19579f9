"""An agent that knows the weather, offline: agent, tool, agent. It shows what a function graph is made of."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import TYPE_CHECKING, Any

from .functions import MessageChunk, ReadOnlyState, RunHandle, Update

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DELAY_SECONDS = 0.5
"""How long each step takes, if `config.configurable.delay_seconds` does not say: long enough to be double-texted."""


async def agent(state: ReadOnlyState, run: RunHandle) -> AsyncIterator[object]:
    """Answer the last human message: have a tool called for the weather, then say what it said."""
    delay = float(run.config.get("configurable", {}).get("delay_seconds", DELAY_SECONDS))
    place = asked_place(state.get("messages", []))

    await asyncio.sleep(delay)
    call_id = f"call_{made_id(run, 'call').hex[:24]}"
    call = {"name": "get_weather", "args": {"place": place}, "id": call_id}
    question = {"type": "ai", "content": "", "tool_calls": [call]}
    yield {"messages": [{**question, "id": f"lc_run--{made_id(run, 'question')}"}]}

    await asyncio.sleep(delay)
    weather = await run.step("get_weather", get_weather, place)
    result = {"type": "tool", "name": "get_weather", "content": weather, "tool_call_id": call_id}
    yield Update("tools", {"messages": [{**result, "id": str(made_id(run, "result"))}]})

    await asyncio.sleep(delay)
    answer = f"The weather in {place}: {state['messages'][-1]['content']}"
    answer_id = f"lc_run--{made_id(run, 'answer')}"
    for token in re.findall(r"\S+\s*", answer):
        yield MessageChunk({"content": token, "id": answer_id})
    yield {"messages": [{"type": "ai", "content": answer, "id": answer_id}]}


async def get_weather(place: str) -> str:
    """Return the current weather of a place."""
    if place.lower() in {"sf", "san francisco"}:
        return "It's 60 degrees and foggy."
    if place.lower() in {"nyc", "new york", "new york city"}:
        return "It's 90 degrees and sunny."
    return "It's 75 degrees and clear."


def asked_place(messages: list[dict[str, Any]]) -> str:
    """Return the place that the last human message asks about."""
    contents: list[Any] = [entry["content"] for entry in messages if entry["type"] == "human"]
    content = contents[-1] if contents else ""
    if not isinstance(content, str):
        # A list of parts: texts, and objects of which some have a text.
        parts: list[Any] = [{"text": part} if isinstance(part, str) else part for part in content]
        content = " ".join(part.get("text") or "" for part in parts)
    text = content.strip().rstrip("?!. ")
    return re.split(r"\b(?:in|for|about)\s+", text, flags=re.IGNORECASE)[-1] or "an unnamed place"


def made_id(run: RunHandle, what: str) -> uuid.UUID:
    """Return an id that every attempt of the run makes alike."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{run.run_id}/{what}")
