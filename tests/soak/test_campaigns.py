"""The long campaigns: the same laws as in the tests, held many more times. Each prints what it showed."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.crash.test_kill import kill_again_and_again
from tests.support.engine import Database, registry
from tests.support.engine_crashes import Place, attempts
from tests.support.engine_laws import assert_consistent
from tests.support.engine_machine import EngineAgreesWithOracle
from tests.support.engine_stepping import SteppingTasks, seed_flow, traveller

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.soak]

FLOWS = int(os.environ.get("THREADFOLD_SOAK_FLOWS", "100000"))
KILLS = int(os.environ.get("THREADFOLD_SOAK_KILLS", "200"))
SEQUENCES = int(os.environ.get("THREADFOLD_SOAK_SEQUENCES", "2000"))
KILLS_A_FILE = 20
"""After so many, everything is let come to its end and looked at."""


async def test_rollbacks_at_every_moment_leave_nothing() -> None:
    """Seed flows, the rollback placed at every point in turn where any code of the engine gives way."""
    began, flows, met, rounds = time.monotonic(), 0, 0, 0
    while flows < FLOWS:
        options: dict[str, Any] = {"kwargs": {"durability": ("async", "sync")[rounds % 2]}}
        retention = ("keep", "erase")[rounds // 2 % 2]
        tasks = SteppingTasks(is_holding=bool(rounds // 4 % 2))
        async with Database().engine(
            registry(traveller()), tasks=tasks, retention=retention, poll_seconds=60.0
        ) as engine:
            point, is_reached = 1, True
            while is_reached:
                flow = await seed_flow(engine, tasks, point, **options)
                flows, met, is_reached = flows + 1, met + flow.is_met, flow.is_reached
                point += 1
            if rounds % 50 == 0:
                await assert_consistent(engine, is_settled=True)
        rounds += 1
    seconds = time.monotonic() - began
    print(  # noqa: T201 - what a campaign shows
        f"\n{flows} seed flows in {seconds:.0f} s, {met} met the first run in flight, 0 leaks"
    )


async def test_servers_killed_at_any_moment_lose_nothing(tmp_path: Path) -> None:
    accepted, kills = 0, 0
    while kills < KILLS:
        folder = tmp_path / str(kills)
        folder.mkdir()
        place = Place(folder)
        count = min(KILLS_A_FILE, KILLS - kills)
        await kill_again_and_again(place, count, f"soak-{kills}")
        log = await place.finish()
        kills += count
        accepted += len(place.read("accepted"))
        assert max(attempts(log)) > 1
    print(f"\n{kills} kills, {accepted} acknowledged runs, each ended exactly once")  # noqa: T201


TestEngineAgreesWithOracle = EngineAgreesWithOracle.TestCase
TestEngineAgreesWithOracle.pytestmark = [pytest.mark.soak]
TestEngineAgreesWithOracle.settings = settings(
    max_examples=SEQUENCES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
