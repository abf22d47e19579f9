"""Races of clients over a socket, each many times over. What each is about is said with it, in `tests/support/wire_races.py`."""

import os

import pytest

from tests.support.engine import Database
from tests.support.sdk_clients import without_surroundings
from tests.support.wire_endings import ten_threads_roll_back_at_once
from tests.support.wire_races import RACES, Race, racing

REPETITIONS = int(os.environ.get("THREADFOLD_REPETITIONS", "50"))


@pytest.mark.parametrize("race", RACES, ids=str)
async def test_whoever_comes_first_nothing_is_left_of_what_is_gone(
    race: Race, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_surroundings(monkeypatch)
    async with racing(database, **race.settings) as world:
        is_of_ten = race.run is ten_threads_roll_back_at_once
        await race.run(world, REPETITIONS // 10 if is_of_ten else REPETITIONS)
