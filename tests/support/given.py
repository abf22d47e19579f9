"""Given events, when a command comes, then these events follow: the form of all domain tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from threadfold.domain.decisions import decide
from threadfold.domain.thread import fold

from .driver import recorded
from .visible import visible

if TYPE_CHECKING:
    from threadfold.domain.commands import Command
    from threadfold.domain.errors import RefusedError
    from threadfold.domain.events import ThreadEvent
    from threadfold.domain.thread import Thread


def given(*events: ThreadEvent) -> Given:
    """Start from the thread that these events fold to."""
    return Given(events)


@dataclass(frozen=True)
class Given:
    """A log."""

    events: tuple[ThreadEvent, ...]

    @property
    def thread(self) -> Thread:
        """The fold of the log."""
        return fold(recorded(self.events))

    def when(self, command: Command) -> When:
        """Let the command come."""
        return When(self, command)


@dataclass(frozen=True)
class When:
    """A log, and a command that comes on top of it."""

    given: Given
    command: Command

    def then(self, *expected: ThreadEvent) -> Given:
        """Expect exactly these events; return the log with them."""
        assert expected, "then_nothing() says that nothing follows"
        assert decide(self.command, self.given.thread) == expected
        return Given((*self.given.events, *expected))

    def then_nothing(self) -> Given:
        """Expect that the log says it already."""
        assert decide(self.command, self.given.thread) == ()
        return self.given

    def then_raises(self, kind: type[RefusedError], match: str | None = None) -> RefusedError:
        """Expect a refusal of exactly this kind, and that the thread is as it was."""
        thread = self.given.thread
        before = visible(thread)
        with pytest.raises(kind, match=match) as caught:
            decide(self.command, thread)
        assert type(caught.value) is kind
        assert visible(thread) == before
        return caught.value

    def then_thread(self) -> Thread:
        """Return the thread after whatever follows."""
        log = recorded((*self.given.events, *decide(self.command, self.given.thread)))
        return fold(log)
