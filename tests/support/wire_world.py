"""What clients who race each other over HTTP have in common: a server with agents that can be held, and a client of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from httpx import HTTPStatusError

from threadfold.infrastructure.graphs.registry import GraphRegistry

from .engine import Database, Gates, chat, heard, said, soon
from .engine_laws import assert_consistent
from .langgraph_agents import asking
from .scripted_agents import Script, prebuilt
from .sdk_clients import connected
from .stateless import until_over
from .streaming_agents import function
from .zombies import Zombie

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from threadfold import Engine


Seen = Counter[str]

MOMENTS = 60
"""So many different moments are met, one after the other; a call takes some dozen rounds of the loop."""

LISTED_MAX = 100


@dataclass
class World:
    """A server, a client of it over a socket, and agents that can be held."""

    engine: Engine
    client: Any
    gates: Gates
    zombie: Zombie
    script: Script

    async def thread(self) -> str:
        return (await self.client.threads.create())["thread_id"]

    async def submit(self, thread_id: str, text: str, strategy: str = "enqueue") -> str:
        """Create a run of the chat agent, and return its id."""
        run = await self.client.runs.create(
            thread_id, "agent", input=said(text), multitask_strategy=strategy
        )
        return run["run_id"]

    async def held(self, thread_id: str, text: str, at: int = 1) -> str:
        """Create a run that is held at a gate, and return its id when it is there."""
        self.gates.close(f"{text}:{at}")
        run_id = await self.submit(thread_id, text)
        await self.gates[f"{text}:{at}"].reached()
        return run_id

    async def stubborn(self, thread_id: str) -> str:
        """Create a run whose code swallows its cancellation, and return its id when the code is there."""
        run = await self.client.runs.create(
            thread_id, "zombie", input=said("zombie"), durability="sync"
        )
        await soon(self.zombie.began[run["run_id"]].wait())
        return run["run_id"]

    async def status(self, thread_id: str, run_id: str) -> str:
        found = await answer(self.client.runs.get(thread_id, run_id))
        return "gone" if found == 404 else found["status"]

    async def stands(self, thread_id: str) -> list[str]:
        """Return the messages of a thread that is idle, having checked that all ways to it agree."""
        thread = await self.client.threads.get(thread_id)
        state = await self.client.threads.get_state(thread_id)
        assert (thread["status"], thread.get("error")) == ("idle", None)
        assert (thread["values"] or {}) == state["values"]
        return heard(state["values"])

    async def join(self, thread_id: str, run_id: str) -> dict[str, Any]:
        return await soon(self.client.runs.join(thread_id, run_id))

    async def waits_or_stood(self, thread_id: str, run_id: str) -> Any:
        """Join a run, which may be over: its values then, or 404 if it is gone."""
        return await answer(self.client.runs.join(thread_id, run_id))


@asynccontextmanager
async def racing(database: Database, **settings: Any) -> AsyncIterator[World]:
    """Give a server with all agents of the races; whatever they did, the log is in order at the end."""
    gates, zombie, script = Gates(), Zombie("zombie"), Script()
    graphs = GraphRegistry((chat(gates), zombie.graph(), function(gates)))
    graphs.add_graph("asking", asking(gates))
    graphs.add_graph("tools", prebuilt(script))
    options: dict[str, Any] = {"grace_seconds": 0.01, **settings}
    async with database.engine(graphs, **options) as engine:
        async with connected("socket", engine) as client:
            yield World(engine, client, gates, zombie, script)
            gates.open()
        await until_over(engine)
        await assert_consistent(engine, is_settled=True)


async def answer(work: Awaitable[Any]) -> Any:
    """Return what a call gives, or the status with which it is refused."""
    try:
        return await soon(work)
    except HTTPStatusError as error:
        return error.response.status_code


async def at_once(*works: Awaitable[Any]) -> list[Any]:
    return list(await asyncio.gather(*(answer(work) for work in works)))


async def moment(number: int) -> None:
    """Let some rounds of the loop pass, more with each number, and from a point on few again."""
    for _ in range(2 * (number % MOMENTS)):
        await asyncio.sleep(0)


def is_rolled_back(values: Any) -> bool:
    return values["__error__"]["error"] == "RunRolledBack"


def texts_of(run: dict[str, Any]) -> list[str]:
    """Return the messages that a run was created with."""
    return [message["content"] for message in run["kwargs"]["input"]["messages"]]
