"""A rollback at every moment of a run's life: at each point, one after the other, where any code of the engine gives way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.engine import Database, registry
from tests.support.engine_laws import assert_consistent
from tests.support.engine_stepping import SteppingTasks, seed_flow, traveller

pytestmark = pytest.mark.anyio

POINTS_MAX = 2_000


@pytest.mark.parametrize("is_holding", [False, True], ids=["going on", "held there"])
@pytest.mark.parametrize("durability", ["async", "sync"])
@pytest.mark.parametrize("retention", ["keep", "erase"])
async def test_a_rollback_at_every_moment_leaves_nothing(
    database: Database,
    retention: str,
    durability: str,
    is_holding: bool,  # noqa: FBT001
) -> None:
    tasks = SteppingTasks(is_holding=is_holding)
    options: dict[str, Any] = {"kwargs": {"durability": durability}}
    met = 0
    async with database.engine(
        registry(traveller()), tasks=tasks, retention=retention, poll_seconds=60.0
    ) as engine:
        for point in range(1, POINTS_MAX):
            flow = await seed_flow(engine, tasks, point, **options)
            met += flow.is_met
            if not flow.is_reached:  # The run had ended before: there is no later moment.
                break
        else:
            raise AssertionError("the run never ends")
        assert met > point / 3
        await assert_consistent(engine, is_settled=True)
