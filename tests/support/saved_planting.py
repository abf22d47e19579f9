"""How bugs are planted in what becomes of checkpoints, and how a law is tried on them. The bugs are in `saved_*_mutants.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from _pytest.outcomes import Failed
from hypothesis import given

from threadfold.domain import thread as fold

from . import laws
from .saved_keeping_laws import old_states_keep_what_was_saved
from .saved_strategies import worlds
from .saved_world import played
from .searching import same_each_time
from .strategies import histories

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

    from threadfold.domain.events import RecordedEvent
    from threadfold.domain.saved import Saved
    from threadfold.domain.thread import Thread

    from .saved_moves import SavedMove

    Plant: TypeAlias = Callable[[pytest.MonkeyPatch], None]
    Law: TypeAlias = Callable[..., None]

EXAMPLES_MAX = 1_000
"""So many worlds are drawn to break a law. A bug that takes more than some ten comes with an example of its own."""


@dataclass(frozen=True)
class Mutant:
    """A bug, the law that must catch it, and moves that it is caught on; without any, they are searched for."""

    plant: Plant
    law: Law
    example: Sequence[SavedMove]

    def __str__(self) -> str:
        return f"{self.plant.__name__}-{self.law.__name__}"

    def is_caught(self, examples: int = EXAMPLES_MAX) -> bool:
        """Say whether the law fails. The example is played here: what it comes to depends on what is planted."""
        try:
            if self.example:
                self.law(played(self.example))
            else:
                searched(self.law, examples)
        except (AssertionError, Failed, LookupError):  # Or the fold itself falls over.
            return True
        return False


def searched(law: Law, examples: int) -> None:
    """Try a law on worlds: the same ones each time, and no effort to make them small."""
    drawn = [worlds(min_size=12)]
    if law is old_states_keep_what_was_saved:
        drawn.append(worlds(max_size=10))
    elif law in laws.LAWS:
        drawn = [histories(min_size=20)]
    tried = same_each_time(examples)(given(*drawn)(law))
    tried()


@dataclass
class Mutants:
    """The bugs of one module, in order."""

    all: list[Mutant] = field(default_factory=list[Mutant])

    def caught_by(
        self, *catching: Law, example: Sequence[SavedMove] = ()
    ) -> Callable[[Plant], Plant]:
        """Note a bug with the laws that must catch it."""

        def register(plant: Plant) -> Plant:
            self.all.extend(Mutant(plant, law, example) for law in catching)
            return plant

        return register


def folding(
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Any],
    wrong: Callable[[Saved, Saved], Saved],
) -> None:
    """Let what is saved be something else after one kind of event: (before, right after)."""
    right = fold._applied

    def applied(thread: Thread, recorded: RecordedEvent, items: Any) -> Thread:
        after = right(thread, recorded, items)
        if not isinstance(recorded.event, kind):
            return after
        state = after.state
        return after.changed(state=state.changed(saved=wrong(thread.state.saved, state.saved)))

    monkeypatch.setattr(fold, "_applied", applied)
