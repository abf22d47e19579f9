"""The laws hold for whatever happens to a thread. The laws themselves stand in `tests/support/laws.py`.

`THREADFOLD_HYPOTHESIS_PROFILE=soak` tries much longer.
"""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given

from tests.support import laws
from tests.support.moves import Move
from tests.support.strategies import histories


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable[[Sequence[Move]], None]) -> None:
    """I1, I2, I4 to I11, I13 to I15: each law names its own."""
    given(histories())(law)()


def test_the_fold_never_changes_an_old_state() -> None:
    """I2: also where two futures share one past."""
    given(histories(), histories(max_size=10))(laws.the_fold_never_changes_an_old_state)()
