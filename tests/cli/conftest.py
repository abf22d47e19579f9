"""A database in which a run was rolled back, and `threadfold` as a process."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from typer.testing import CliRunner

from tests.support.engine import Database, Gates, chat, join, registry, said, submit, until_heard
from threadfold.app.cli import app

COMMAND = (sys.executable, "-m", "threadfold.app.cli")


@dataclass(frozen=True)
class Audited:
    """What the log tells of: `a` was rolled back by `b`; `c` failed."""

    store: str
    thread_id: str
    a: str
    b: str
    c: str


async def told(path: Path) -> Audited:
    gates = Gates()
    engine = Database(path).engine(registry(chat(gates)))

    @engine.graph("broken")
    async def broken(state):
        raise ValueError("no such luck\x1b[31m")

    async with engine:
        thread_id = (await engine.create_thread()).thread_id
        gates.close("a:1")
        a = await submit(engine, thread_id, "a")
        await gates["a:1"].reached()
        await until_heard(engine, thread_id, "a.1")
        b = await submit(engine, thread_id, "b", "rollback")
        await join(engine, thread_id, b)
        view = await engine.submit_run(thread_id, "broken", input=said("c"))
        await join(engine, thread_id, view.row.run_id)
    return Audited(f"sqlite:///{path}", thread_id, a, b, view.row.run_id)


@pytest.fixture
def audited(tmp_path: Path) -> Audited:
    return asyncio.run(told(tmp_path / "log.db"))


@dataclass
class Server:
    process: subprocess.Popen[str]
    url: str

    def stop(self) -> int:
        """Tell the server to stop, and return its exit code."""
        self.process.terminate()
        return self.process.wait(30)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Give what starts `threadfold serve`; whatever still runs at the end is killed."""
    with ExitStack() as stack:

        def started(*options: str, errors: IO | None = None, **environment: str) -> Server:
            return stack.enter_context(serving(tmp_path, *options, errors=errors, **environment))

        yield started


@contextmanager
def serving(
    folder: Path, *options: str, errors: IO | None = None, **environment: str
) -> Iterator[Server]:
    with subprocess.Popen(  # noqa: S603 - our own command
        [*COMMAND, "serve", *options],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            greeting = process.stdout.readline()
            found = re.search(r"http://\S+", greeting)
            assert found, f"no address in {greeting!r}"
            yield Server(process, found[0])
        finally:
            process.kill()


def refused(folder: Path, *command: str, **environment: str) -> str:
    """Run a command in a folder that must fail, and return the one line that it says why in."""
    with contextlib.chdir(folder):
        result = CliRunner().invoke(app, command, env=environment)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line
