"""A long fuzzing of the server by its own OpenAPI document, other cases each time. How many: THREADFOLD_SOAK_CASES."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.fuzzing import budget, fuzzed

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings(
        "ignore::hypothesis.errors.HypothesisDeprecationWarning", "ignore::ResourceWarning"
    ),
]

CASES = int(os.environ.get("THREADFOLD_SOAK_CASES", "20000"))
AT_ONCE = 50


def test_nothing_breaks_what_the_document_says(say: Callable[[str], None]) -> None:
    """No 5xx, and no answer that the document does not know; a failure says how to make the call again."""
    with fuzzed() as fuzz:
        while fuzz.tally.cases < CASES:
            fuzz.singles(budget(AT_ONCE, is_fixed=False))
            fuzz.chains(budget(AT_ONCE, steps=20, is_fixed=False))
            fuzz.clear()
            say(f"{fuzz.tally.cases} cases, {len(fuzz.tally.served)} calls went well")
        assert fuzz.tally.served == fuzz.tally.labels
