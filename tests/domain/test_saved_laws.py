"""The laws of what checkpointers save hold for whatever they do. The laws themselves stand in `tests/support/saved_laws.py`."""

from collections.abc import Callable

import pytest
from hypothesis import given

from tests.support import saved_laws
from tests.support.saved_moves import SavedWorld
from tests.support.saved_strategies import worlds

pytestmark = pytest.mark.soak  # Not quick enough yet for every run.


@pytest.mark.parametrize("law", saved_laws.LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable[[SavedWorld], None]) -> None:
    """I1, I4, I6 to I9, I13, I15: each law names its own."""
    given(worlds())(law)()


def test_old_states_keep_what_was_saved() -> None:
    """I2: also where two futures share one past."""
    given(worlds(), worlds(max_size=10))(saved_laws.old_states_keep_what_was_saved)()
