"""Processes that tests of stores start, to kill them or to let them write at the same time.

Run as `python -m tests.support.store_processes ROLE ARGUMENTS`; each line that a process prints is one
that the test waits for.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.appends import acceptance, append, run_row, start
from threadfold.domain.errors import VersionConflictError
from threadfold.domain.events import ThreadPatched
from threadfold.infrastructure.log.opening import open_store
from threadfold.infrastructure.log.sqlite import SQLiteSettings

ROOT = Path(__file__).resolve().parents[2]
QUICK = SQLiteSettings(synchronous="OFF", poll_seconds=0.05)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def process(role: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a role in a process of its own, and end it with the block."""
    command = [sys.executable, "-m", f"{__spec__.name}", role, *map(str, arguments)]
    with subprocess.Popen(  # noqa: S603 - this module itself
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        try:
            yield started
        finally:
            if started.poll() is None:
                started.kill()


async def crash_at(url: str, point: str, count: int) -> None:
    """Append from several tasks; the `count`-th time that `point` is reached, die there."""
    reached = 0
    is_armed = False

    def crash_point(name: str) -> None:
        nonlocal reached
        if is_armed and name == point:
            reached += 1
            if reached == count:
                os.kill(os.getpid(), signal.SIGKILL)

    store = open_store(url, sqlite=QUICK, crash_point=crash_point)
    await store.open()
    is_armed = True

    async def write(thread_id: str) -> None:
        for version in range(0, 2000, 2):
            await store.append(
                acceptance(
                    thread_id, version, f"{thread_id}-{version}-a", f"{thread_id}-{version}-b"
                )
            )
            say(f"{thread_id} {version + 2}")

    await asyncio.gather(*(write(f"t{number}") for number in range(8)))


async def write_many(url: str, name: str, count: int) -> None:
    """Append to a thread of one's own and to one that all share, as fast as it goes."""
    store = open_store(url, sqlite=QUICK)
    await store.open()
    say("ready")
    sys.stdin.readline()
    for number in range(count):
        await store.append(append(name, number))
        while True:
            head = await store.head_version("shared")
            try:
                patched = ThreadPatched(metadata={"by": name, "number": number})
                await store.append(append("shared", head, patched))
                break
            except VersionConflictError:
                continue
    await store.close()


async def hold_lease(url: str, thread_id: str) -> None:
    """Take a lease, say so, and do nothing until killed."""
    store = open_store(url, sqlite=QUICK, holder=f"holder-of-{thread_id}")
    await store.open()
    await store.append(acceptance(thread_id, 0, "r1"))
    await store.append(start(thread_id, 1, run_row(thread_id, "r1"), store.holder))
    say("held")
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await store.close()


async def open_and_close(url: str) -> None:
    """Open at the same moment as others do."""
    say("ready")
    sys.stdin.readline()
    store = open_store(url, sqlite=QUICK)
    await store.open()
    await store.append(append(f"t{os.getpid()}", 0))
    await store.close()
    say("done")


def main(role: str, url: str, *arguments: str) -> None:
    match role, arguments:
        case "crash_at", (point, count):
            asyncio.run(crash_at(url, point, int(count)))
        case "write_many", (name, count):
            asyncio.run(write_many(url, name, int(count)))
        case "hold_lease", (thread_id,):
            asyncio.run(hold_lease(url, thread_id))
        case "open_and_close", ():
            asyncio.run(open_and_close(url))
        case _:
            raise SystemExit(f"no such role: {role} {arguments}")


if __name__ == "__main__":
    main(*sys.argv[1:])
