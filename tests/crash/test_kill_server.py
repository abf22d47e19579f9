"""`threadfold serve` under the official SDK's load, killed and started again: no answer that was given is taken back."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.errors import APIStatusError

from tests.support.engine import said
from tests.support.engine_child import Acks
from tests.support.engine_crashes import ROOT, Place, ended, kill
from threadfold.domain.strategies import STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph_sdk.client import LangGraphClient

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

KILLS = 3
CLIENTS = 4

AGENT = """
import asyncio

async def agent(state):
    for step in range(4):
        yield {"messages": [{"role": "ai", "content": f"step {step}"}]}
        await asyncio.sleep(0.002)
"""


async def start(place: Place, port: int) -> asyncio.subprocess.Process:
    """Start the server, and return when it answers."""
    (place.folder / "agent.py").write_text(AGENT)
    config = place.folder / "langgraph.json"
    config.write_text(json.dumps({"graphs": {"agent": "./agent.py:agent"}}))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "threadfold.app.cli", "serve", "--config", str(config)),
        *("--store", f"sqlite:///{place.database}", "--port", str(port)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert b"http://" in await process.stdout.readline()
    return process


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


async def talk(url: str, acks: Acks, thread_ids: list[str], number: int) -> None:
    """Be a client that never gives up, until cancelled."""
    chance = random.Random(number)  # noqa: S311 - choices, not secrets
    async with get_client(url=url) as client:
        for count in itertools.count():
            with suppress(httpx.HTTPError, APIStatusError):
                # It is being started again; or the thread is busy, or the run was rolled back.
                await _one_run(client, acks, chance, thread_ids, f"{number}-{count}")


async def _one_run(
    client: LangGraphClient, acks: Acks, chance: random.Random, thread_ids: list[str], text: str
) -> None:
    thread_id = chance.choice(thread_ids)
    strategy: Any = chance.choice([*STRATEGIES, "enqueue"])
    run = await client.runs.create(
        thread_id, "agent", input=said(text), multitask_strategy=strategy
    )
    acks.write("accepted", thread_id, run["run_id"], text)
    await client.runs.join(thread_id, run["run_id"])
    seen = await client.runs.get(thread_id, run["run_id"])
    if seen["status"] not in {"pending", "running"}:
        acks.write("ended", thread_id, run["run_id"], seen["status"])


@pytest.mark.filterwarnings("ignore:Request failed, attempting reconnect:UserWarning")
async def test_the_server_keeps_every_answer_over_being_killed(tmp_path: Path) -> None:
    place, port = Place(tmp_path), free_port()
    url = f"http://127.0.0.1:{port}"
    acks = Acks(place.acks)
    process = await start(place, port)
    async with get_client(url=url) as client:
        thread_ids = [(await client.threads.create())["thread_id"] for _ in range(4)]
    for thread_id in thread_ids:
        acks.write("thread", thread_id)
    talking = [
        asyncio.create_task(talk(url, acks, thread_ids, number)) for number in range(CLIENTS)
    ]
    for count in range(KILLS):
        before = len(place.read("accepted"))
        await place.acknowledged("accepted", before + 10 + 7 * count)
        kill(process)
        assert (await ended(process))[0] == -signal.SIGKILL
        process = await start(place, port)
    await place.acknowledged("ended", len(place.read("ended")) + 5)
    for task in talking:
        task.cancel()
    await asyncio.wait(talking)
    assert all(task.cancelled() for task in talking)
    process.send_signal(signal.SIGTERM)
    code, errors = await ended(process)
    assert code == 0, errors
    log: list[Any] = await place.finish()
    assert len(place.read("accepted")) > 10 * KILLS
    assert log
