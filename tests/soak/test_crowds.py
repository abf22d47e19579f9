"""A crowd of bad guests: idle sockets, readers that do not read, a client that never ends its request. Others must not feel it.

How many: THREADFOLD_SOAK_IDLE, THREADFOLD_SOAK_READERS and THREADFOLD_SOAK_CALLS.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.cli.conftest import Server, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.soak]

IDLE = int(os.environ.get("THREADFOLD_SOAK_IDLE", "500"))
READERS = int(os.environ.get("THREADFOLD_SOAK_READERS", "200"))
CALLS = int(os.environ.get("THREADFOLD_SOAK_CALLS", "1500"))

TALKERS = 4
GROWTH_MAX = 200 * 1024 * 1024
"""What the crowd may take of the server's memory, in bytes: about a quarter of a megabyte a head."""

AGENTS = """
import asyncio
from threadfold import Custom

async def instant(state, run):
    return {"answer": "done"}

async def talker(state, run):
    while True:
        yield Custom({"text": "x" * 2000})
        await asyncio.sleep(0.02)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "agents.py").write_text(AGENTS)
    graphs = {name: f"./agents.py:{name}" for name in ("instant", "talker")}
    (tmp_path / "langgraph.json").write_text(json.dumps({"graphs": graphs}))
    with serving(tmp_path, "--port", "0", THREADFOLD_SHUTDOWN_SECONDS="0") as started:
        yield started


def memory_of(process_id: int) -> int:
    """Return the bytes that a process has in memory."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measured(url: str, calls: int) -> list[float]:
    """Return how long calls of one well-behaved client took, sorted."""
    times: list[float] = []
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        thread_id = client.post("/threads", json={}).json()["thread_id"]
        for number in range(calls):
            if number % 50 == 0:
                thread_id = client.post("/threads", json={}).json()["thread_id"]
            began = time.perf_counter()
            answer = client.post(
                f"/threads/{thread_id}/runs/wait", json={"assistant_id": "instant", "input": {}}
            )
            times.append(time.perf_counter() - began)
            assert answer.json() == {"answer": "done"}
    return sorted(times)


def share(times: list[float], part: float) -> float:
    return times[min(int(len(times) * part), len(times) - 1)]


class Crowd:
    """Guests that take and give nothing, for as long as the `with` lasts."""

    def __init__(self, url: str, runs: list[tuple[str, str]]) -> None:
        where = urlsplit(url)
        self._address = (str(where.hostname), int(where.port or 80))
        self._runs = runs
        self._sockets: list[socket.socket] = []
        self._loris = threading.Thread(target=self._dawdle, daemon=True)
        self._is_over = threading.Event()

    def __enter__(self) -> Crowd:
        for _ in range(IDLE):
            self._connect()
        for number in range(READERS):
            thread_id, run_id = self._runs[number % len(self._runs)]
            path = f"/threads/{thread_id}/runs/{run_id}/stream?stream_mode=custom"
            reader = self._connect(receives=4096)
            reader.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self._loris.start()
        return self

    def _connect(self, *, receives: int | None = None) -> socket.socket:
        made = socket.socket()
        if receives is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        made.connect(self._address)
        self._sockets.append(made)
        return made

    def _dawdle(self) -> None:
        """Send one header, a letter at a time."""
        slow = self._connect()
        slow.sendall(b"POST /threads HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        while not self._is_over.wait(0.2):
            with contextlib.suppress(OSError):
                slow.sendall(b"a")

    def __exit__(self, *_: Any) -> None:
        self._is_over.set()
        self._loris.join()
        for each in self._sockets:
            each.close()


def test_a_crowd_of_bad_guests_slows_nobody_down_and_takes_bounded_memory(
    server: Server, say: Callable[[str], None]
) -> None:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        runs: list[tuple[str, str]] = []
        for _ in range(TALKERS):
            thread_id = client.post("/threads", json={}).json()["thread_id"]
            run = client.post(
                f"/threads/{thread_id}/runs", json={"assistant_id": "talker", "input": {}}
            ).json()
            runs.append((thread_id, run["run_id"]))
        measured(server.url, 100)
        alone = measured(server.url, CALLS)
        before = memory_of(server.process.pid)
        with Crowd(server.url, runs):
            crowded = measured(server.url, CALLS)
            growth = memory_of(server.process.pid) - before
        alone = sorted([*alone, *measured(server.url, CALLS)])
        for thread_id, run_id in runs:
            status = client.get(f"/threads/{thread_id}/runs/{run_id}").json()["status"]
            assert status == "running"  # Nobody who does not read has stopped or held up a run.
            client.post(f"/threads/{thread_id}/runs/{run_id}/cancel")
    ratio = share(crowded, 0.99) / share(alone, 0.99)
    say(
        f"{IDLE} idle sockets, {READERS} readers that do not read, one slow request: runs.wait p50 "
        f"{share(crowded, 0.5) * 1000:.1f} ms (alone {share(alone, 0.5) * 1000:.1f}), p99 "
        f"{share(crowded, 0.99) * 1000:.1f} ms (alone {share(alone, 0.99) * 1000:.1f}): {ratio:.2f} times; "
        f"memory +{growth / 1024 / 1024:.0f} MiB"
    )
    assert ratio <= 2
    assert growth <= GROWTH_MAX
