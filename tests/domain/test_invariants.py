"""`docs/invariants.md` is complete, and every test that it names is there."""

import re
from pathlib import Path

import pytest

from tests.support import laws, saved_laws
from tests.support.saved_keeping_laws import old_states_keep_what_was_saved

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "invariants.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def test_the_invariants_are_numbered_without_holes() -> None:
    rows = re.findall(r"^\| I(\d+) \|.*\| (.+) \|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 18))
    for number, proof in rows:
        assert "`tests/" in proof or "not proven yet" in proof, f"I{number} names no proof"


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_each_proof_that_is_named_is_there(path: str, name: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    assert not name or f"def {name}(" in source


def test_each_law_is_named() -> None:
    of_pairs = (laws.the_fold_never_changes_an_old_state, old_states_keep_what_was_saved)
    for law in (*laws.LAWS, *saved_laws.LAWS, *of_pairs):
        assert re.match(r"I\d+", law.__doc__ or ""), f"{law.__name__} cites no invariant"
