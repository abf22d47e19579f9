"""Long campaigns of clients over a socket who race each other: those of `tests/contract/test_races.py`, many more times over.

How long: THREADFOLD_SOAK_RACES, by so much each: the number is divided by what a race takes, so that all take about as long.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.engine import Database
from tests.support.sdk_clients import without_surroundings
from tests.support.wire_races import RACES, Race, racing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.soak, pytest.mark.anyio]

REPETITIONS = int(os.environ.get("THREADFOLD_SOAK_RACES", "2000"))


@pytest.mark.parametrize("race", RACES, ids=str)
async def test_whoever_comes_first_nothing_is_left_of_what_is_gone(
    race: Race, say: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_surroundings(monkeypatch)
    repetitions = max(1, REPETITIONS // race.weight)
    began = time.monotonic()
    async with racing(Database(tmp_path / "log.db"), **race.settings) as world:
        seen = await race.run(world, repetitions)
    say(
        f"{race}: {repetitions} times in {time.monotonic() - began:.0f} s; met {dict(sorted(seen.items()))}"
    )
