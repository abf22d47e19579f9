"""Who in this process wants to hear of new events: the worker, waiters and streams. Nothing is stored or awaited here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ..domain.thread import evolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..domain.changes import GraphEnd
    from ..domain.events import RecordedEvent
    from ..domain.thread import Thread
    from ..domain.values import Json


@dataclass(frozen=True, slots=True)
class Committed:
    """Events of one thread that were committed, and the thread as it stands after them.

    `before` is the thread as it stood before them. Notices of one thread come in order of version, without a gap: a listener
    that registered when it saw version v gets everything after v, though it may get some of what it saw again.
    """

    thread_id: str
    events: tuple[RecordedEvent, ...]
    before: Thread
    thread: Thread
    threads: tuple[Thread, ...] = ()
    """The thread as it stood after each of the events, where that is known."""

    def steps(self) -> Iterator[tuple[RecordedEvent, Thread]]:
        """Yield each event with the thread as it stood right after it."""
        if self.threads:
            yield from zip(self.events, self.threads, strict=True)
            return
        thread = self.before
        for recorded in self.events:
            thread = evolve(thread, recorded)
            yield recorded, thread


@dataclass(frozen=True, slots=True)
class Emitted:
    """Data of a run that is no event of its thread: tokens, custom data."""

    thread_id: str
    run_id: str
    attempt: int
    mode: str
    data: Json
    place: tuple[int, int] = (0, 0)
    """After which version of the thread it came, and as which part of its attempt: rising, over attempts too."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What a run without a thread of its own did: an event that stands in no log, and the thread as it would stand after it."""

    thread_id: str
    recorded: RecordedEvent
    thread: Thread


@dataclass(slots=True)
class Held:
    """What a run without a thread of its own has come to so far, and the end that it is about to record."""

    thread: Thread
    end: RecordedEvent | None = None
    so_far: Callable[[], GraphEnd] | None = None
    """Says how it stands, of a graph that does not tell by its steps."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing more will come: the engine was closed."""


Notice: TypeAlias = Committed | Emitted | Folded | Closed
Listener: TypeAlias = Callable[[Notice], None]


class Hub:
    """Calls listeners at once, in the order in which they registered. They must be quick and must not raise."""

    def __init__(self) -> None:
        self._everyone: list[Listener] = []
        self._by_thread: dict[str, list[Listener]] = {}
        self._followed: Counter[str] = Counter()
        self.held: dict[str, Held] = {}
        """By temporary thread: what the runs on them that this process executes have come to."""
        self.on_posted: Callable[[], None] | None = None
        """Called when an append has left calls of webhooks to be made."""

    def publish(self, notice: Committed | Emitted | Folded) -> None:
        """Tell all listeners of the notice's thread."""
        for listener in self._everyone:
            listener(notice)
        for listener in tuple(self._by_thread.get(notice.thread_id, ())):
            listener(notice)

    def close(self) -> None:
        """Tell those who listen to one thread that nothing more will come."""
        for listeners in tuple(self._by_thread.values()):
            for listener in tuple(listeners):
                listener(Closed())

    def has_listeners(self, thread_id: str) -> bool:
        """Say whether anybody listens to this thread in particular."""
        return thread_id in self._by_thread

    def is_followed(self, thread_id: str) -> bool:
        """Say whether anybody who listens to this thread wants to hear of what is emitted."""
        return self._followed[thread_id] > 0

    def listen(
        self, listener: Listener, thread_id: str | None = None, *, is_following: bool = False
    ) -> Callable[[], None]:
        """Register a listener, for one thread or for all; return what takes it off again.

        One that `is_following` wants to hear of what is emitted; others may be spared it.
        """
        listeners = (
            self._everyone if thread_id is None else self._by_thread.setdefault(thread_id, [])
        )
        listeners.append(listener)
        if thread_id is not None and is_following:
            self._followed[thread_id] += 1

        def forget() -> None:
            if listener in listeners:
                listeners.remove(listener)
                if thread_id is not None and is_following:
                    self._followed[thread_id] -= 1
                    self._followed += Counter()  # Those at zero are left out.
            if thread_id is not None and not listeners:
                self._by_thread.pop(thread_id, None)

        return forget
