"""The same graphs and the same operations on our saver and on LangGraph's own: what comes of it is the same.

`tests/soak` tries many more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.langgraph_agreement import assert_agree
from tests.support.langgraph_mutants import PLANTS
from tests.support.langgraph_plans import NOTABLE, plans
from tests.support.langgraph_savers import in_memory_saver, sqlite_saver, threadfold_saver
from threadfold.domain import saved

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.langgraph_operations import Plan

pytestmark = pytest.mark.slow

UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


@settings(max_examples=40, derandomize=True, suppress_health_check=UNHURRIED)
@given(plan=plans())
def test_in_memory_we_agree_with_the_saver_in_memory(plan: Plan) -> None:
    assert_agree(plan, threadfold_saver(), in_memory_saver)


@settings(max_examples=25, derandomize=True, suppress_health_check=UNHURRIED)
@given(plan=plans())
def test_on_a_file_we_agree_with_the_saver_in_memory(plan: Plan, tmp_path: Path) -> None:
    assert_agree(
        plan, threadfold_saver(tmp_path / "log.db", snapshot_events_min=5), in_memory_saver
    )


@settings(max_examples=15, derandomize=True, suppress_health_check=UNHURRIED)
@given(plan=plans(is_for_sqlite=True))
def test_on_a_file_we_agree_with_the_saver_on_a_file(plan: Plan, tmp_path: Path) -> None:
    mine = threadfold_saver(tmp_path / "log.db")
    assert_agree(plan, mine, sqlite_saver(tmp_path / "reference.db"))


@pytest.mark.parametrize("kind", ["memory", "file"])
@settings(max_examples=10, derandomize=True, suppress_health_check=UNHURRIED)
@given(plan=plans(is_serial=True))
def test_by_the_methods_that_are_not_async_we_agree_as_well(
    plan: Plan, kind: str, tmp_path: Path
) -> None:
    mine = threadfold_saver(tmp_path / "log.db" if kind == "file" else None)
    assert_agree(plan, mine, in_memory_saver, is_sync=True)


@settings(max_examples=25, derandomize=True, suppress_health_check=UNHURRIED)
@given(plan=plans())
def test_what_is_no_longer_kept_in_memory_is_found_in_the_log(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "WINDOW_MIN", 3)
    assert_agree(plan, threadfold_saver(), in_memory_saver)


@pytest.mark.parametrize("plan", NOTABLE, ids=range(len(NOTABLE)))
def test_we_agree_on_what_is_easily_got_wrong(plan: Plan, tmp_path: Path) -> None:
    assert_agree(plan, threadfold_saver(), in_memory_saver)
    assert_agree(plan, threadfold_saver(tmp_path / "log.db"), in_memory_saver)


@pytest.mark.parametrize("name", PLANTS)
def test_a_faulty_saver_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty = threadfold_saver(kind=PLANTS[name](monkeypatch))

    def compare() -> None:
        for plan in NOTABLE:
            assert_agree(plan, faulty, in_memory_saver)

    with pytest.raises(AssertionError, match="expected"):
        compare()
