"""Long threads, made quickly: the commands of whole turns go through the engine's own loop, without a worker."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

from threadfold.app.engine import Engine
from threadfold.app.settings import Settings
from threadfold.domain.changes import Replace, Splice
from threadfold.domain.commands import RecordStep, StartRun, SubmitRun, SucceedRun
from threadfold.infrastructure.work.system import SystemIds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from threadfold.app.executor import Intent
    from threadfold.domain.changes import ChannelChange
    from threadfold.domain.thread import Thread
    from threadfold.domain.values import JsonObject

IDS = SystemIds()
NEVER = 10**9


@asynccontextmanager
async def opened(path: Path, **settings: Any) -> AsyncIterator[Engine]:
    """Give an engine on a file, that starts no runs, and syncs only as far as a crash of the process needs."""
    options: dict[str, Any] = {"worker_slots": 0, "synchronous": "NORMAL", **settings}
    async with Engine(f"sqlite:///{path}", settings=Settings(**options)) as engine:
        yield engine


class Turns:
    """Turns of one thread: a person's message, steps of work, the answer."""

    def __init__(self, *, content_bytes: int, steps: int = 0) -> None:
        self._random = Random(content_bytes)  # noqa: S311 - text, not secrets
        self._content_bytes = content_bytes
        self._steps = steps
        self._messages = 0

    @property
    def events(self) -> int:
        """How many events one turn is: accepted, started, input, steps, answer, succeeded."""
        return 5 + self._steps

    def message(self, kind: str) -> JsonObject:
        """Return a fresh message in its stored form."""
        self._messages += 1
        message: JsonObject = {
            "content": self._random.randbytes((self._content_bytes + 1) // 2).hex(),
            "additional_kwargs": {},
            "response_metadata": {},
            "type": kind,
            "name": None,
            "id": IDS.message_id(),
        }
        if kind == "ai":
            message |= {"tool_calls": [], "invalid_tool_calls": [], "usage_metadata": None}
        return message

    def begin(self, thread_id: str, run_id: str, asked: JsonObject) -> Iterator[Intent]:
        """Return what accepts and starts a run."""
        yield SubmitRun(
            thread_id=thread_id,
            run_id=run_id,
            assistant_id="agent",
            graph_id="agent",
            input={"messages": [asked]},
            timeout_seconds=3600,
        )
        yield lambda _, now: StartRun(
            thread_id=thread_id, run_id=run_id, attempt=1, holder="", now=now
        )

    def finish(self, thread_id: str, run_id: str, asked: JsonObject) -> Iterator[Intent]:
        """Return what does the run's work, and ends it."""
        at, source = self._messages - 1, "input"
        yield self.work(thread_id, run_id, {"messages": [asked]}, at, source)
        for number in range(self._steps):
            yield self.work(thread_id, run_id, {"progress": number})
        yield self.work(thread_id, run_id, {"messages": [self.message("ai")]}, at + 1)
        yield SucceedRun(thread_id=thread_id, run_id=run_id, attempt=1)

    def work(
        self, thread_id: str, run_id: str, update: JsonObject, at: int = 0, source: str = "loop"
    ) -> RecordStep:
        """Return a step; lists are put in at this place, all else is set."""
        changes: dict[str, ChannelChange] = {
            name: Splice(at, 0, value) if isinstance(value, list) else Replace(value)
            for name, value in update.items()
        }
        return RecordStep(
            thread_id=thread_id,
            run_id=run_id,
            attempt=1,
            checkpoint_id=IDS.checkpoint_id(),
            node="agent" if source == "loop" else "__start__",
            source=source,  # type: ignore[arg-type]
            next=("agent",),
            update=update,
            changes=changes,
        )

    async def play(self, engine: Engine, thread_id: str, count: int) -> Thread:
        """Play so many turns; each turn's end is in one append with the beginning of the next."""
        execute = engine._executor.execute
        run_id, asked = IDS.run_id(), self.message("human")
        await execute(thread_id, *self.begin(thread_id, run_id, asked))
        for _ in range(count - 1):
            ends = self.finish(thread_id, run_id, asked)
            done = list(ends)
            run_id, asked = IDS.run_id(), self.message("human")
            await execute(thread_id, *done, *self.begin(thread_id, run_id, asked))
        outcome = await execute(thread_id, *self.finish(thread_id, run_id, asked))
        return outcome.thread


async def snapshot(engine: Engine, thread_id: str, thread: Thread) -> None:
    """Write a snapshot now, and return when it is stored."""
    await engine._executor._snapshot(thread_id, thread)


async def settled(engine: Engine) -> None:
    """Return when no snapshot is being written."""
    while engine._executor._snapshotting:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
