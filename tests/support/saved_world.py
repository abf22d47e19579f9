"""A thread that checkpointers write to: the commands that were carried out, and what each checkpoint was told in full.

Laws compare what the thread says with what it was told, and never with what was encoded. What checkpointers do is in
`saved_moves.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from threadfold.domain.commands import RecordCheckpoint
from threadfold.domain.errors import RefusedError
from threadfold.domain.thread import FULL_THREAD, evolve

from . import moves as m
from .visible import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from threadfold.domain.commands import Command
    from threadfold.domain.events import Events
    from threadfold.domain.saved import SavedCheckpoint
    from threadfold.domain.thread import Thread
    from threadfold.domain.values import Json, JsonObject

    from .saved_moves import SavedMove

    Texts: TypeAlias = dict[str, str]

NOBODY = (None, 0)
"""Who writes from outside: no run of the engine."""

Writer: TypeAlias = tuple[str | None, int]


class Done(NamedTuple):
    """A command that was not refused, with the thread on both sides of it; `whole`s keep every checkpoint."""

    command: Command
    events: Events
    before: Thread
    after: Thread
    whole_before: Thread
    whole: Thread


class SavedWorld(m.World):
    """A thread that checkpointers write to. `told` has what each checkpoint was given, by the version that recorded it."""

    def __init__(self) -> None:
        super().__init__()
        self.whole: Thread = FULL_THREAD
        self.told: dict[int, Texts] = {}
        self.done: list[Done] = []
        self.moves: list[SavedMove] = []
        self.said: list[Json] = []
        self.full: JsonObject = {}
        """What the checkpoint that is about to be recorded holds."""
        self._upcoming: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"played({self.moves!r})"

    def normalized(self, update: Json) -> JsonObject:
        """Return an input as it is: it is in typed form already."""
        assert isinstance(update, dict)
        return update

    def make(self, move: Any) -> None:
        """Make one move; note it if it is refused."""
        self.moves.append(move)
        command = move.command(self)
        if command is not None:
            self.execute(command)

    def execute(self, command: Command) -> None:
        """Let a command come, on both threads: the one that keeps a window, and the one that keeps everything."""
        before, whole_before = self.driver.thread, self.whole
        try:
            events = self.driver.execute(command)
        except RefusedError as error:
            self.refused.append((command, error))
            return
        for recorded in self.driver.log[before.version :]:
            self.whole = evolve(self.whole, recorded)
        after = self.driver.thread
        if isinstance(command, RecordCheckpoint) and events:
            self.told[after.version] = {name: text(value) for name, value in self.full.items()}
            if self._upcoming.get(command.ns) == command.checkpoint_id:
                del self._upcoming[command.ns]
        self.done.append(Done(command, events, before, after, whole_before, self.whole))

    def next_id(self, ns: str) -> str:
        """Return the id that the next checkpoint of a namespace gets: writes may come before it."""
        if ns not in self._upcoming:
            self._upcoming[ns] = self.new_id("c")
        return self._upcoming[ns]

    def new_message(self, kind: str = "human") -> Json:
        """Return a message that was never said."""
        message_id = self.new_id("fresh")
        fields: JsonObject = {"content": f"This is {message_id}, said once.", "id": message_id}
        self.said.append({"$": ["message", kind, fields]})
        return self.said[-1]

    def in_sight(self, ns: str) -> list[SavedCheckpoint]:
        """Return the checkpoints that a checkpointer finds, newest first."""
        return [*self.whole.state.saved.newest_first(ns)]

    @property
    def writer(self) -> Writer:
        """Who may write now."""
        return self.running or NOBODY

    def at(self, place: int) -> SavedWorld:
        """Return a world that stands where this one stood after so many commands, and goes on on its own."""
        twin = SavedWorld()
        twin.driver = self.driver.fork()
        twin._count = self._count.copy()
        twin.told, twin.said = {**self.told}, [*self.said]
        if place < len(self.done):
            done = self.done[place]
            twin.driver.thread, twin.whole = done.before, done.whole_before
            twin.driver.log = self.driver.log[: done.before.version]
        else:
            twin.whole = self.whole
        return twin


def played(moves: Iterable[SavedMove]) -> SavedWorld:
    """Make the moves on an empty thread."""
    world = SavedWorld()
    for move in moves:
        world.make(move)
    return world
