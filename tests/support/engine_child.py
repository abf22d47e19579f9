"""A server process that can be killed: `python -m tests.support.engine_child DATABASE ACKS JOB [options]`.

It opens an engine on a file and does its job; each fact that the engine has acknowledged is written to the file ACKS, right
after the acknowledgement, with one system call: what stands there was promised before the process died.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from threadfold.domain.errors import RunNotFoundError, StoreError, ThreadBusyError
from threadfold.domain.events import RunStarted
from threadfold.domain.strategies import STRATEGIES
from threadfold.infrastructure.graphs.functions import FunctionGraph
from threadfold.infrastructure.log.writer import GroupWriter

from .engine import Database, registry, said

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadfold.app.engine import Engine
    from threadfold.app.hub import Notice

CLIENTS = 6
THREADS = 8
STEPS = 4


class Acks:
    """Facts that were acknowledged, in a file that survives the process."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, fact: str, *words: object) -> None:
        os.write(self._descriptor, json.dumps([fact, *words]).encode() + b"\n")


def read_acks(path: Path) -> list[list[str]]:
    """Return the facts; the last line may be cut short."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def busy(acks: Acks | None = None, seconds: float = 0.002) -> FunctionGraph:
    """Return an agent of a few steps, each of which is acknowledged when it is durable."""

    async def agent(state, run):
        text = state["messages"][-1]["content"]
        looked_up = await run.step("look up", _look_up, text)
        if acks is not None:
            acks.write("result", run.thread_id, run.run_id, looked_up)
        for step in range(1, STEPS + 1):
            yield said(f"{text}.{step} of attempt {run.attempt}", role="ai")
            if acks is not None:  # Durability is sync: what was yielded is on the disk.
                acks.write(
                    "step", run.thread_id, run.run_id, f"{text}.{step} of attempt {run.attempt}"
                )
            await asyncio.sleep(seconds)

    return FunctionGraph("agent", agent)


async def _look_up(text: str) -> str:
    await asyncio.sleep(0)
    return f"looked up {text}"


def patient() -> FunctionGraph:
    """Return an agent whose first attempt never ends, and writes on whatever happens to it."""

    async def agent(state, run):
        yield said(f"attempt {run.attempt}", role="ai")
        while run.attempt == 1:
            await asyncio.sleep(0.01)
            yield {"beat": time.monotonic()}
        yield said(f"end of attempt {run.attempt}", role="ai")

    return FunctionGraph("agent", agent)


# ------------------------------------------------------------------ jobs


async def load(engine: Engine, acks: Acks, chance: random.Random) -> None:
    """Do what many callers do at once, until killed."""
    names = (f"thread-{number}" for number in itertools.cycle(range(THREADS)))
    for thread_id in itertools.islice(names, THREADS):
        await engine.create_thread(thread_id, if_exists="do_nothing")
        acks.write("thread", thread_id)
    await asyncio.gather(*(_client(engine, acks, chance, number) for number in range(CLIENTS)))


async def _client(engine: Engine, acks: Acks, chance: random.Random, number: int) -> None:
    for count in itertools.count():
        thread_id = f"thread-{chance.randrange(THREADS)}"
        strategy = chance.choice((*STRATEGIES, "enqueue", "enqueue"))
        run_id, text = engine.new_run_id(), f"{os.getpid()}-{number}-{count}"
        acks.write("asked", thread_id, run_id)
        try:
            await engine.submit_run(
                thread_id,
                "agent",
                input=said(text),
                multitask_strategy=strategy,
                run_id=run_id,
                kwargs={"durability": "sync"},
            )
            acks.write("accepted", thread_id, run_id, text)
        except ThreadBusyError:
            acks.write("refused", thread_id, run_id)
            continue
        except StoreError:
            return  # The engine is being closed.
        if chance.random() < 0.7:
            with suppress(RunNotFoundError, StoreError):  # It is gone already, or the engine is.
                result = await engine.join_run(thread_id, run_id)
                acks.write("ended", thread_id, run_id, result.status)


async def serve(engine: Engine, acks: Acks, chance: random.Random) -> None:
    """Only execute what others accept, until killed."""
    del engine, acks, chance
    await asyncio.Event().wait()


async def submit_one(engine: Engine, acks: Acks, chance: random.Random) -> None:
    """Accept one run, and wait."""
    del chance
    await engine.create_thread("thread", if_exists="do_nothing")
    view = await engine.submit_run("thread", "agent", input=said("go"))
    acks.write("accepted", "thread", view.row.run_id, "go")
    await asyncio.Event().wait()


JOBS = {"load": load, "serve": serve, "submit-one": submit_one}


# ------------------------------------------------------------------ faults


def acknowledge_before_commit() -> None:
    """The mutant: callers are answered while the commit is still to come."""
    real = GroupWriter._finish

    def finish(self: GroupWriter, works: object, answer_all: Callable[[object], object]) -> object:
        early: list[object] = []

        def commit(*rest: object) -> object:
            session, plan, outcomes = rest
            early.append(outcomes)
            answer_all(outcomes)
            time.sleep(0.05)  # The callers go on before anything is on the disk.
            return real_commit(session, plan, outcomes)

        real_commit = self._commit
        self._commit = commit  # type: ignore[method-assign]
        try:
            return real(self, works, lambda outcomes: None if early else answer_all(outcomes))
        finally:
            self._commit = real_commit  # type: ignore[method-assign]

    GroupWriter._finish = finish  # type: ignore[method-assign]


def crash_at(point: str, times: int) -> Callable[[str], None]:
    """Return a crash point that kills this process when it comes there for the n-th time."""
    left = itertools.count(times, -1)

    def crash_point(name: str) -> None:
        if name == point and next(left) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    return crash_point


# ------------------------------------------------------------------ the process


async def main(options: argparse.Namespace) -> None:
    acks = Acks(options.acks)
    settings = json.loads(options.settings)
    graph = patient() if options.agent == "patient" else busy(acks)
    crash_point = None
    if options.crash:
        point, _, times = options.crash.partition(":")
        crash_point = crash_at(point, int(times))
    database = Database(options.database)
    database.prefix = f"{os.getpid()}-"
    engine = database.engine(registry(graph), crash_point=crash_point, **settings)
    asked_at = time.monotonic()

    def on_notice(notice: Notice) -> None:
        for recorded in getattr(notice, "events", ()):
            if isinstance(recorded.event, RunStarted):
                acks.write("first start", os.getpid(), time.monotonic() - asked_at)
                forget()
                return

    forget = engine._hub.listen(on_notice)
    work: asyncio.Task[None] | None = None
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    async with engine:
        acks.write("open", os.getpid(), time.monotonic() - asked_at)
        work = asyncio.create_task(JOBS[options.job](engine, acks, random.Random(options.seed)))  # noqa: S311
        telling = asyncio.create_task(told.wait())
        await asyncio.wait([work, telling], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        work.cancel()
    acks.write("closed", os.getpid())


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("database", type=Path)
    parser.add_argument("acks", type=Path)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--agent", choices=["busy", "patient"], default="busy")
    parser.add_argument("--settings", default="{}")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--crash", default="")
    parser.add_argument("--mutant", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    chosen = parse()
    if chosen.mutant:
        acknowledge_before_commit()
    asyncio.run(main(chosen))
