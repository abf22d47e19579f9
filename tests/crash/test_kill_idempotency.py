"""`threadfold serve` is killed while clients ask again and again under keys: each key makes one run, and one answer (I15)."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.crash.test_kill_server import free_port, start
from tests.support.engine import said
from tests.support.engine_crashes import Place, ended, kill
from threadfold.infrastructure.log.opening import open_store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

KILLS = 3
CLIENTS = 8
REQUESTS = 25


async def ask(raw: httpx.AsyncClient, key: str) -> list[Any]:
    """Ask until there was an answer, then once more; return both answers."""
    asked = {"assistant_id": "agent", "input": said(key)}
    answers: list[Any] = []
    while len(answers) < 2:
        try:
            answer = await raw.post("/runs", json=asked, headers={"Idempotency-Key": key})
        except httpx.HTTPError:
            await asyncio.sleep(0.01)  # It is being started again.
            continue
        if answer.status_code == 200:
            answers.append(answer.json())
        else:
            assert answer.status_code in {409, 503}, answer.text
    return answers


async def test_each_key_makes_one_run_over_kills(tmp_path: Path) -> None:
    place, port = Place(tmp_path), free_port()
    process = await start(place, port)
    done = 0

    async def talk(number: int) -> None:
        nonlocal done
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as raw:
            for count in range(REQUESTS):
                first, second = await ask(raw, f"{number}-{count}")
                assert first == second
                done += 1

    talking = [asyncio.create_task(talk(number)) for number in range(CLIENTS)]
    for count in range(1, KILLS + 1):
        while done < count * CLIENTS * REQUESTS // (KILLS + 2):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.001)
        kill(process)
        assert (await ended(process))[0] == -signal.SIGKILL
        process = await start(place, port)
    await asyncio.wait_for(asyncio.gather(*talking), 60)
    process.send_signal(signal.SIGTERM)
    code, errors = await ended(process)
    assert code == 0, errors
    store = open_store(f"sqlite:///{place.database}")
    await store.open()
    log = await store.read_log(limit=1_000_000)
    await store.close()
    types = [recorded.event.type for recorded in log]
    assert types.count("RunAccepted") == CLIENTS * REQUESTS
    # Whatever a kill cut off, nothing but these is there.
    assert set(types) <= {
        *("ThreadCreated", "RunAccepted", "RunStarted", "RunSucceeded", "ThreadDeleted"),
        "RunHandedOver",
    }
    assert types.count("RunSucceeded") == types.count("ThreadDeleted")
