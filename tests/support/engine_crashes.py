"""Killing server processes, and checking afterwards that every promise was kept."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadfold.domain.events import (
    ResultRecorded,
    RunAccepted,
    RunEnded,
    RunRolledBack,
    RunStarted,
    StepRecorded,
    ThreadCreated,
)
from threadfold.domain.thread import end_status

from .engine import Database, registry, soon, until_idle
from .engine_child import busy, read_acks
from .engine_laws import assert_consistent

if TYPE_CHECKING:
    from threadfold.domain.events import RecordedEvent

ROOT = Path(__file__).resolve().parents[2]
CHILD_SETTINGS: dict[str, Any] = {
    "synchronous": "FULL",
    "shutdown_seconds": 0.0,
    "grace_seconds": 1.0,
}


@dataclass
class Place:
    """A file for the log, and one for what was acknowledged."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def database(self) -> Path:
        return self.folder / "log.db"

    @property
    def acks(self) -> Path:
        return self.folder / "acks.jsonl"

    def read(self, fact: str) -> list[list[str]]:
        """Return what was acknowledged of this kind."""
        return [words for kind, *words in read_acks(self.acks) if kind == fact]

    async def start(self, job: str, *options: str, **settings: Any) -> asyncio.subprocess.Process:
        """Start a server process."""
        chosen = {**CHILD_SETTINGS, **self.settings, **settings}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.engine_child",
            str(self.database),
            str(self.acks),
            job,
            "--settings",
            json.dumps(chosen),
            *options,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=asyncio.subprocess.PIPE,
        )

    async def acknowledged(self, fact: str, count: int = 1, *, of: int | None = None) -> list[str]:
        """Wait until so many facts of this kind were acknowledged, perhaps by one process; return the last of them."""
        async with asyncio.timeout(60):
            while True:
                found = [words for words in self.read(fact) if of is None or words[0] == of]
                if len(found) >= count:
                    return found[count - 1]
                await asyncio.sleep(0.005)

    async def finish(self) -> list[RecordedEvent]:
        """Take everything up that is left, let it come to its end, and check all promises."""
        database = Database(self.database, prefix="heir-")
        async with database.engine(registry(busy()), poll_seconds=0.05) as engine:
            for row in await engine._ports.store.list_threads(limit=10_000):
                await until_idle(engine, row.thread_id)
            log = await assert_consistent(engine, is_settled=True)
        self.assert_kept(log)
        return log

    # ------------------------------------------------------------------ promises

    def assert_kept(self, log: list[RecordedEvent]) -> None:
        """No acknowledged fact is missing from the log, and nothing is there that nobody asked for."""
        found = _Found()
        for recorded in log:
            found.take(recorded)
        assert {words[0] for words in self.read("thread")} <= found.threads
        for _, run_id, _ in self.read("accepted"):
            assert found.accepted[run_id] == 1, f"run {run_id} was acknowledged, and is not there"
        for _, run_id, text in [*self.read("step"), *self.read("result")]:
            assert (run_id, text) in found.said, f"{text!r} was acknowledged, and is not there"
        for _, run_id, status in self.read("ended"):
            assert found.ends[run_id] == [status], (
                f"{status} was acknowledged as the end of {run_id}"
            )
        assert all(len(ends) == 1 for ends in found.ends.values())
        assert set(found.ends) == set(found.accepted)
        asked = {words[1] for words in self.read("asked")}
        assert not asked or set(found.accepted) <= asked
        for _, run_id in self.read("refused"):
            assert run_id not in found.accepted


class _Found:
    """What the log holds of the facts that can be acknowledged."""

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.accepted: Counter[str] = Counter()
        self.ends: defaultdict[str, list[str]] = defaultdict(list)
        self.said: set[tuple[str, str]] = set()

    def take(self, recorded: RecordedEvent) -> None:
        match recorded.event:
            case ThreadCreated():
                self.threads.add(recorded.thread_id)
            case RunAccepted(run_id=run_id):
                self.accepted[run_id] += 1
            case StepRecorded(run_id=run_id, items=items):
                self.said |= {(run_id, str(i["content"])) for i in items if isinstance(i, dict)}
            case ResultRecorded(run_id=run_id, result=result):
                self.said.add((run_id, str(result)))
            case RunEnded(run_id=run_id):
                self.ends[run_id].append(end_status(recorded.event))
            case RunRolledBack(run_id=run_id):
                self.ends[run_id].append("rolled_back")
            case _:
                pass


def kill(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGKILL)


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str]:
    """Wait for the process's end; return how it ended, and what it complained of."""
    _, errors = await soon(process.communicate())
    return process.returncode or 0, (errors or b"").decode()


def attempts(log: list[RecordedEvent]) -> Counter[int]:
    """Return how many runs needed how many attempts."""
    last: dict[str, int] = {}
    for recorded in log:
        if isinstance(recorded.event, RunStarted):
            last[recorded.event.run_id] = recorded.event.attempt
    return Counter(last.values())
