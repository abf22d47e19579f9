"""Long campaigns on the saver: the comparison of `tests/langgraph` with LangGraph's own savers, many more times over.

How long: THREADFOLD_SOAK_PLANS, how many plans each comparison plays; THREADFOLD_SOAK_TREES, how many trees of bare calls.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from langgraph.checkpoint.memory import InMemorySaver

import tests.langgraph.test_checkpoint_calls as calls_of
import tests.langgraph.test_delta_history as delta_history
from tests.support.langgraph_agreement import assert_agree
from tests.support.langgraph_plans import plans
from tests.support.langgraph_puts import Tree, trees
from tests.support.langgraph_savers import SERDE, in_memory_saver, sqlite_saver, threadfold_saver
from tests.support.langgraph_values import TYPES
from threadfold import Settings, ThreadfoldSaver
from threadfold.domain import saved

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.langgraph_operations import Plan
    from tests.support.langgraph_puts import Put, Writes
    from tests.support.langgraph_savers import Contender

pytestmark = pytest.mark.soak

PLANS = int(os.environ.get("THREADFOLD_SOAK_PLANS", "2000"))
TREES = int(os.environ.get("THREADFOLD_SOAK_TREES", "5000"))
RESTART_CALLS = 13


def unhurried(examples: int) -> settings:
    """Return settings for so many examples, whatever time they take."""
    return settings(
        max_examples=examples, deadline=None, print_blob=True, suppress_health_check=[*HealthCheck]
    )


def campaign(
    say: Callable[[str], None],
    name: str,
    mine: Contender,
    reference: Contender = in_memory_saver,
    *,
    is_sync: bool = False,
    **options: Any,
) -> None:
    """Play plans on both until there were enough, and say how many."""
    began, played, operations = time.monotonic(), 0, 0

    @unhurried(PLANS)
    @given(plan=plans(size=14, **options))
    def agree(plan: Plan) -> None:
        nonlocal played, operations
        played, operations = played + 1, operations + len(plan.operations)
        assert_agree(plan, mine, reference, is_sync=is_sync)

    agree()
    seconds = time.monotonic() - began
    say(f"{name}: {played} plans with {operations} operations in {seconds:.0f} s; all agree")


@pytest.mark.parametrize("window", [2, 8, 64])
def test_in_memory_we_agree_with_the_saver_in_memory(
    window: int, say: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "WINDOW_MIN", window)
    campaign(say, f"in memory, {window} checkpoints kept", threadfold_saver())


@pytest.mark.parametrize("events", [1, 10, 500])
def test_on_a_file_we_agree_with_the_saver_in_memory(
    events: int, say: Callable[[str], None], tmp_path: Path
) -> None:
    mine = threadfold_saver(tmp_path / "log.db", snapshot_events_min=events)
    campaign(say, f"on a file, a snapshot after {events} events", mine)


def test_on_a_file_we_agree_with_the_saver_on_a_file(
    say: Callable[[str], None], tmp_path: Path
) -> None:
    mine = threadfold_saver(tmp_path / "log.db")
    their = sqlite_saver(tmp_path / "their.db")
    campaign(say, "file and file", mine, their, is_for_sqlite=True)


@pytest.mark.parametrize("spice", ["fail", "mutate"])
def test_we_agree_where_nodes_fail_or_change_the_state_in_place(
    spice: str, say: Callable[[str], None]
) -> None:
    campaign(say, f"in memory, nodes that {spice}", threadfold_saver(), spice=spice)


def test_by_the_methods_that_are_not_async_we_agree_as_well(
    say: Callable[[str], None], tmp_path: Path
) -> None:
    mine = threadfold_saver(tmp_path / "log.db")
    campaign(say, "on a file, from threads", mine, is_sync=True, is_serial=True)


@pytest.mark.parametrize("window", [2, 64])
def test_trees_of_calls_give_the_same_answers(
    window: int, say: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The saver is closed and opened again on its file now and then."""
    monkeypatch.setattr(saved, "WINDOW_MIN", window)
    began, played = time.monotonic(), 0
    quick = Settings(synchronous="NORMAL", snapshot_events_min=3)
    mine = ThreadfoldSaver(f"sqlite:///{tmp_path}/log.db", types=TYPES, settings=quick)

    async def play(calls: list[Put | Writes]) -> None:
        tree, reference = Tree(thread_id=f"{played}"), InMemorySaver(serde=SERDE)
        for at, call in enumerate(calls):
            await tree.play(call, mine, reference)
            if at % RESTART_CALLS == RESTART_CALLS - 1:
                await mine.aclose()
        await delta_history.assert_same_histories(tree, mine, reference)
        await calls_of.assert_same_answers(tree, mine, reference, is_alone=False)

    @unhurried(TREES)
    @given(calls=trees(40))
    def agree(calls: list[Put | Writes]) -> None:
        nonlocal played
        played += 1
        asyncio.run(play(calls))

    agree()
    mine.close()
    say(f"{window} checkpoints kept: {played} trees in {time.monotonic() - began:.0f} s; all agree")
