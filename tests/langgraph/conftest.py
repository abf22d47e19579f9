"""Savers that are closed at a test's end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.langgraph_values import TYPES
from threadfold import ThreadfoldSaver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Opener = Callable[..., ThreadfoldSaver]


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Return what makes savers of the same store or others; each is closed in the end."""
    savers: list[ThreadfoldSaver] = []

    def make(url: str, **options: object) -> ThreadfoldSaver:
        savers.append(ThreadfoldSaver(url, **{"types": TYPES, **options}))  # type: ignore[arg-type]
        return savers[-1]

    yield make
    for saver in savers:
        saver.close()


@pytest.fixture(params=["memory", "sqlite"])
def saver(request: pytest.FixtureRequest, tmp_path: Path, opened: Opener) -> ThreadfoldSaver:
    """Return a saver on each kind of store."""
    return opened("memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/log.db")
