"""LangGraph's public conformance suite for checkpointers: every capability, every test, on each store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES
from langgraph.checkpoint.conformance.report import ProgressCallbacks

from threadfold import ThreadfoldSaver

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

TESTS_BY_CAPABILITY = {
    "put": 17,
    "put_writes": 10,
    "get_tuple": 10,
    "list": 16,
    "delete_thread": 5,
    "delete_for_runs": 7,
    "copy_thread": 8,
    "prune": 8,
}
"""How many tests each has in the release that is pinned: none may be left out, by us or by a detection that fails."""


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_every_public_conformance_test_passes(kind: str, tmp_path: Path) -> None:
    stores = iter(range(100))
    ran: list[tuple[str, str]] = []

    @checkpointer_test(name=f"ThreadfoldSaver on {kind}")
    async def saver() -> AsyncGenerator[ThreadfoldSaver]:
        url = "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/{next(stores)}.db"
        async with ThreadfoldSaver(url) as opened:
            yield opened

    def note(capability: str, test: str, is_passed: bool, told: str | None) -> None:  # noqa: FBT001 - theirs
        assert is_passed, f"{capability}: {test}\n{told}"
        ran.append((capability, test))

    report = await validate(saver, progress=ProgressCallbacks(on_test_result=note))

    assert {capability.value for capability in ALL_CAPABILITIES} == set(TESTS_BY_CAPABILITY)
    assert {name: result.tests_passed for name, result in report.results.items()} == (
        TESTS_BY_CAPABILITY
    )
    assert all(result.detected and result.passed for result in report.results.values())
    assert not any(result.tests_failed + result.tests_skipped for result in report.results.values())
    assert report.conformance_level() == "FULL"
    assert len(set(ran)) == len(ran) == 81
