"""The laws of what checkpointers save hold for whatever they do. The laws themselves stand in `tests/support/saved_laws.py`.

`THREADFOLD_HYPOTHESIS_PROFILE=soak` tries much longer.
"""

from hypothesis import given

from tests.support import saved_keeping_laws, saved_laws
from tests.support.saved_strategies import worlds
from tests.support.saved_world import SavedWorld


@given(worlds())
def test_the_laws_hold(world: SavedWorld) -> None:
    """I1, I4, I6 to I9, I13, I15: each law names its own. They share their worlds, since those take the longest to make."""
    for law in saved_laws.LAWS:
        law(world)


@given(worlds(max_size=24), worlds(max_size=10))
def test_old_states_keep_what_was_saved(world: SavedWorld, other: SavedWorld) -> None:
    """I2: also where two futures share one past."""
    saved_keeping_laws.old_states_keep_what_was_saved(world, other)
