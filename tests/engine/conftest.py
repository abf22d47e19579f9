"""The databases that tests of the engine run on."""

from pathlib import Path

import pytest

from tests.support.engine import Database


@pytest.fixture(params=["memory", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return Database(None if request.param == "memory" else tmp_path / "log.db")
