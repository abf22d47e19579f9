"""Planted bugs in what becomes of checkpoints: each must be caught by a law, or the law proves nothing."""

from collections.abc import Callable

import pytest

from tests.support import saved_fold_mutants, saved_item_mutants, saved_keeping_laws, saved_laws
from tests.support.saved_planting import Mutant

MUTANTS = [*saved_fold_mutants.MUTANTS.all, *saved_item_mutants.MUTANTS.all]
LAWS = [*saved_laws.LAWS, saved_keeping_laws.old_states_keep_what_was_saved]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_planted_bug_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as planted:
        mutant.plant(planted)
        assert mutant.is_caught()


def test_nothing_is_caught_where_no_bug_was_planted() -> None:
    for mutant in MUTANTS:
        assert not mutant.is_caught(examples=2)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_each_law_catches_a_bug(law: Callable[..., None]) -> None:
    assert law in {mutant.law for mutant in MUTANTS}
