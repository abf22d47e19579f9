"""Long campaigns on the engine: the same laws as in `tests/engine` and `tests/crash`, many more times over.

How long: THREADFOLD_SOAK_FLOWS, THREADFOLD_SOAK_EXAMPLES, THREADFOLD_SOAK_KILLS and THREADFOLD_SOAK_REPETITIONS.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

import tests.crash.test_kill as crashes
import tests.engine.test_races as races
import tests.engine.test_worker as worker
from tests.support.engine import Database, registry
from tests.support.engine_crashes import Place, attempts
from tests.support.engine_laws import assert_consistent
from tests.support.engine_machine import EngineAgreesWithOracle
from tests.support.engine_stepping import SteppingTasks, seed_flow, traveller

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.soak, pytest.mark.anyio]

FLOWS = int(os.environ.get("THREADFOLD_SOAK_FLOWS", "100000"))
EXAMPLES = int(os.environ.get("THREADFOLD_SOAK_EXAMPLES", "2000"))
KILLS = int(os.environ.get("THREADFOLD_SOAK_KILLS", "200"))
REPETITIONS = int(os.environ.get("THREADFOLD_SOAK_REPETITIONS", "1000"))

FLOWS_OF_ONE_ENGINE = 1_000
KILLS_OF_ONE_LOG = 25


async def test_no_flow_leaks_wherever_its_rollback_comes(
    say: Callable[[str], None], tmp_path: Path
) -> None:
    """Every flow has its rollback at another point, under other settings; one in fifty is on a file."""
    seed = os.environ.get("THREADFOLD_SOAK_SEED", str(time.time_ns()))
    say(f"THREADFOLD_SOAK_SEED={seed}")
    chance = random.Random(seed)  # noqa: S311 - choices, not secrets
    began, met, flows = time.monotonic(), 0, 0
    while flows < FLOWS:
        is_on_disk = chance.random() < 0.02
        count = min(FLOWS - flows, FLOWS_OF_ONE_ENGINE // (10 if is_on_disk else 1))
        database = Database(tmp_path / f"{flows}.db" if is_on_disk else None)
        met += await _flows(database, chance, count)
        flows += count
    seconds = time.monotonic() - began
    say(
        f"{flows} flows in {seconds:.0f} s, {flows / seconds:.0f} a second; "
        f"in {met} the rollback met a run in flight; 0 leaks"
    )


async def _flows(database: Database, chance: random.Random, count: int) -> int:
    tasks = SteppingTasks(is_holding=chance.random() < 0.5)
    options: dict[str, Any] = {
        "retention": chance.choice(["keep", "erase"]),
        "snapshot_events_min": chance.choice([1, 500]),
        "grace_seconds": chance.choice([0.0, 5.0]),
        "poll_seconds": 60.0,
    }
    met, last = 0, 8
    async with database.engine(registry(traveller()), tasks=tasks, **options) as engine:
        for _ in range(count):
            point = chance.randrange(1, last + 2)
            durability = chance.choice(["async", "sync"])
            flow = await seed_flow(engine, tasks, point, kwargs={"durability": durability})
            met += flow.is_met
            last = max(last, point) if flow.is_reached else max(8, point - 1)
        await assert_consistent(engine, is_settled=True)
    return met


@pytest.mark.parametrize("anyio_backend", [None])
def test_the_engine_agrees_with_a_naive_thread(
    say: Callable[[str], None], anyio_backend: None
) -> None:
    del anyio_backend
    began = time.monotonic()
    run_state_machine_as_test(
        EngineAgreesWithOracle,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    say(f"{EXAMPLES} sequences of up to 50 rules in {time.monotonic() - began:.0f} s")


async def test_nothing_is_lost_in_many_kills(say: Callable[[str], None], tmp_path: Path) -> None:
    began, done = time.monotonic(), 0
    facts, needed = 0, Counter[int]()
    while done < KILLS:
        folder = tmp_path / str(done)
        folder.mkdir()
        place = Place(folder)
        kills = min(KILLS_OF_ONE_LOG, KILLS - done)
        await crashes.kill_again_and_again(place, kills, time.time_ns())
        needed += attempts(await place.finish())
        facts += len(place.acks.read_text().splitlines())
        done += kills
    say(
        f"{done} kills in {time.monotonic() - began:.0f} s; {facts} acknowledged facts, 0 lost; "
        f"runs by attempts: {dict(sorted(needed.items()))}"
    )


RACES: list[Callable[..., Any]] = [
    lambda database: races.test_twenty_callers_at_once(database, "mixed", 1),
    lambda database: races.test_twenty_callers_at_once(database, "mixed", 2),
    lambda database: races.test_twenty_callers_at_once(database, "rollback", 2),
    lambda database: races.test_a_run_met_at_its_last_moment_is_kept_whole_or_not_at_all(
        database, "rollback"
    ),
    races.test_a_cancel_and_a_rollback_at_once_end_a_run_once,
    races.test_a_thread_deleted_while_callers_come,
    lambda database: races.test_a_caller_cancelled_in_the_middle_of_a_submission_corrupts_nothing(
        database, "rollback"
    ),
    lambda database: races.test_late_writes_of_a_displaced_run_leave_nothing(database, "rollback"),
    worker.test_a_run_that_lives_is_not_taken_for_lost,
]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_races_many_times_over(
    kind: str, say: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    monkeypatch.setattr(races, "REPETITIONS", 100)
    for count in range(max(1, REPETITIONS // 100)):
        for at, race in enumerate(RACES):
            await race(Database(None if kind == "memory" else tmp_path / f"{count}-{at}.db"))
    say(f"{len(RACES)} races, {REPETITIONS} times each, in {time.monotonic() - began:.0f} s")
