"""Moves: what clients, workers and crashes do to a thread, as data that hypothesis can draw and shrink.

A move becomes a command only when it meets a thread, so that most sequences make sense; some moves
are wrong on purpose (late writes, starts out of turn, retries), and must be refused.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from threadfold.domain.changes import Replace
from threadfold.domain.commands import (
    CancelRun,
    CopyThread,
    CreateThread,
    DeleteRun,
    DeleteThread,
    FailRun,
    HandOverRun,
    PatchThread,
    PruneThread,
    RecordResult,
    RecordStep,
    StartRun,
    SubmitRun,
    SucceedRun,
    TimeOutRun,
    UpdateState,
)
from threadfold.domain.errors import RefusedError
from threadfold.domain.events import RunError
from threadfold.domain.reducers import Schema, append, applied, messages

from .driver import Driver

if TYPE_CHECKING:
    from collections.abc import Iterable

    from threadfold.domain.changes import ChannelChange
    from threadfold.domain.commands import Command
    from threadfold.domain.strategies import MultitaskStrategy
    from threadfold.domain.values import Json, JsonObject

ERROR = RunError(error="ValueError", message="boom")


def window(old: Json, update: Json) -> Json:
    """Keep the newest four: trims in front and appends behind, in one step."""
    before = old if isinstance(old, list) else []
    return [*before, *(update if isinstance(update, list) else [update])][-4:]


def reversing(old: Json, update: Json) -> Json:
    """Turn the list round with each update."""
    before = old if isinstance(old, list) else []
    return [*(update if isinstance(update, list) else [update]), *reversed(before)]


def merging(old: Json, update: Json) -> Json:
    """Merge objects; None takes a key away."""
    before = old if isinstance(old, dict) else {}
    added = update if isinstance(update, dict) else {"value": update}
    return {key: value for key, value in {**before, **added}.items() if value is not None}


SCHEMA = Schema(
    reducers={
        "messages": messages,
        "log": append,
        "window": window,
        "reversed": reversing,
        "merged": merging,
    }
)
"""The channels of the graphs in these tests; all others hold their last value."""


class World:
    """What stands around a thread: ids that are made, and the moves so far."""

    def __init__(self) -> None:
        self.driver = Driver()
        self.refused: list[tuple[Command, RefusedError]] = []
        self._count: Counter[str] = Counter()

    def new_id(self, kind: str) -> str:
        """Make an id."""
        self._count[kind] += 1
        return f"{kind}{self._count[kind]}"

    def normalized(self, update: Json) -> JsonObject:
        """Bring an update into its stored form."""
        return SCHEMA.normalized(update, lambda: self.new_id("made"))

    def play(self, moves: Iterable[Move]) -> World:
        """Make the moves, one after the other."""
        for move in moves:
            self.make(move)
        return self

    def make(self, move: Move) -> None:
        """Make one move; note it if it is refused."""
        command = move.command(self)
        if command is None:
            return
        try:
            self.driver.execute(command)
        except RefusedError as error:
            self.refused.append((command, error))

    @property
    def running(self) -> tuple[str, int] | None:
        """The attempt that may write now."""
        thread = self.driver.thread
        run = thread.runs.get(thread.active or "")
        return (run.run_id, run.attempt) if run and run.status == "running" else None

    def fork(self) -> World:
        """Return a world that goes on from here on its own."""
        twin = World()
        twin.driver = self.driver.fork()
        twin._count = self._count.copy()
        return twin


def play(moves: Iterable[Move]) -> World:
    """Make the moves on an empty thread."""
    return World().play(moves)


# ------------------------------------------------------------------ clients


@dataclass(frozen=True)
class Submit:
    """A user sends an input, or (`retry_of`) sends one of the earlier requests again."""

    strategy: MultitaskStrategy
    input: Json
    after_seconds: float = 0
    retry_of: int | None = None

    def command(self, world: World) -> Command | None:
        accepted = world.driver.accepted
        is_retry = self.retry_of is not None and bool(accepted)
        run_id = accepted[(self.retry_of or 0) % len(accepted)] if is_retry else world.new_id("r")
        given = world.normalized(self.input) if isinstance(self.input, dict) else self.input
        return SubmitRun(
            thread_id="t1",
            run_id=run_id,
            assistant_id="a1",
            graph_id="agent",
            input=given,
            multitask_strategy=self.strategy,
            after_seconds=self.after_seconds,
            if_not_exists="create",
            runs_in_flight_max=6,
        )


@dataclass(frozen=True)
class Cancel:
    """A user cancels one of the runs in flight."""

    which: int
    action: Literal["interrupt", "rollback"]

    def command(self, world: World) -> Command | None:
        run_id = _one_of([*world.driver.thread.runs], self.which)
        return run_id and CancelRun(thread_id="t1", run_id=run_id, action=self.action)


@dataclass(frozen=True)
class Remove:
    """A user deletes a run, whatever has become of it."""

    which: int

    def command(self, world: World) -> Command | None:
        run_id = _one_of(world.driver.accepted, self.which)
        is_ended = run_id in world.driver.ended
        return run_id and DeleteRun(thread_id="t1", run_id=run_id, is_ended=is_ended)


@dataclass(frozen=True)
class Update:
    """A user changes the state from outside."""

    values: JsonObject
    next: tuple[str, ...] = ()

    def command(self, world: World) -> Command | None:
        update = world.normalized(self.values)
        changes = changes_of(world, update)
        if changes is None:
            return None
        return UpdateState(
            thread_id="t1",
            checkpoint_id=world.new_id("c"),
            as_node="human",
            next=self.next,
            update=update,
            changes=changes,
        )


@dataclass(frozen=True)
class Patch:
    """A user sets metadata."""

    metadata: JsonObject

    def command(self, world: World) -> Command | None:
        return PatchThread(thread_id="t1", metadata=self.metadata)


@dataclass(frozen=True)
class Create:
    """A user creates the thread."""

    if_exists: Literal["raise", "do_nothing"]

    def command(self, world: World) -> Command | None:
        return CreateThread(thread_id="t1", metadata={"made": 1}, if_exists=self.if_exists)


@dataclass(frozen=True)
class Drop:
    """A user deletes the thread."""

    def command(self, world: World) -> Command | None:
        return DeleteThread(thread_id="t1")


@dataclass(frozen=True)
class Prune:
    """A user, or the end of its time to live, leaves the thread its newest state only."""

    def command(self, world: World) -> Command | None:
        return PruneThread(thread_id="t1")


@dataclass(frozen=True)
class Copy:
    """A user copies a thread here: one that is as this one was earlier."""

    which: int

    def command(self, world: World) -> Command | None:
        steps = world.driver.steps
        if not steps or world.driver.thread.is_present:
            return None
        source = steps[self.which % len(steps)].after
        return CopyThread(thread_id="t1", source_thread_id="t0", source=source)


# ------------------------------------------------------------------ workers


@dataclass(frozen=True)
class Start:
    """A worker starts the run whose turn it is, waiting until it is due if `is_patient`."""

    is_patient: bool = True

    def command(self, world: World) -> Command | None:
        driver = world.driver
        run = driver.thread.next_run()
        if run is None:
            return None
        if self.is_patient:
            driver.now = max(driver.now, run.due_at)
        return _start(world, run.run_id, run.attempt + 1)


@dataclass(frozen=True)
class StartAny:
    """A worker takes some run in flight, or one that was there, without asking whose turn it is."""

    which: int
    attempt: int

    def command(self, world: World) -> Command | None:
        run_id = _one_of(world.driver.accepted, self.which)
        return run_id and _start(world, run_id, self.attempt)


@dataclass(frozen=True)
class Crash:
    """The process of the running attempt is lost, and another takes its run."""

    def command(self, world: World) -> Command | None:
        return world.running and _start(world, world.running[0], world.running[1] + 1)


def _start(world: World, run_id: str, attempt: int) -> Command:
    return StartRun(
        thread_id="t1", run_id=run_id, attempt=attempt, holder="p1", now=world.driver.now
    )


@dataclass(frozen=True)
class Work:
    """The running attempt takes a step; `as_whole`: its runner hands over whole new values."""

    update: JsonObject
    next: tuple[str, ...] = ()
    is_input: bool = False
    as_whole: bool = False

    def command(self, world: World) -> Command | None:
        return world.running and self.by(world, *world.running)

    def by(self, world: World, run_id: str, attempt: int) -> Command | None:
        update = world.normalized(self.update)
        changes = changes_of(world, update, as_whole=self.as_whole)
        if changes is None:
            return None
        return RecordStep(
            thread_id="t1",
            run_id=run_id,
            attempt=attempt,
            checkpoint_id=world.new_id("c"),
            node="" if self.is_input else "node",
            source="input" if self.is_input else "loop",
            next=self.next,
            update=update,
            changes=changes,
        )


@dataclass(frozen=True)
class Result:
    """The running attempt records a result."""

    name: str
    value: Json

    def command(self, world: World) -> Command | None:
        return world.running and self.by(world, *world.running)

    def by(self, world: World, run_id: str, attempt: int) -> Command | None:
        return RecordResult(
            thread_id="t1", run_id=run_id, attempt=attempt, name=self.name, result=self.value
        )


@dataclass(frozen=True)
class End:
    """The running attempt ends, or is given up in good order."""

    how: Literal["success", "error", "timeout", "hand_over"]

    def command(self, world: World) -> Command | None:
        return world.running and self.by(world, *world.running)

    def by(self, world: World, run_id: str, attempt: int) -> Command | None:
        match self.how:
            case "success":
                return SucceedRun(thread_id="t1", run_id=run_id, attempt=attempt)
            case "error":
                return FailRun(thread_id="t1", run_id=run_id, attempt=attempt, error=ERROR)
            case "timeout":
                return TimeOutRun(thread_id="t1", run_id=run_id, attempt=attempt, timeout_seconds=3)
            case "hand_over":
                return HandOverRun(thread_id="t1", run_id=run_id, attempt=attempt)


@dataclass(frozen=True)
class Late:
    """Some attempt that once started writes now, whether it is the active one or a zombie."""

    which: int
    write: Work | Result | End

    def command(self, world: World) -> Command | None:
        attempts = world.driver.attempts
        if not attempts:
            return None
        return self.write.by(world, *attempts[self.which % len(attempts)])


@dataclass(frozen=True)
class Wait:
    """Time passes."""

    seconds: float

    def command(self, world: World) -> Command | None:
        world.driver.now += timedelta(seconds=self.seconds)
        return None


Move: TypeAlias = (
    Submit
    | Cancel
    | Remove
    | Update
    | Patch
    | Create
    | Drop
    | Prune
    | Copy
    | Start
    | StartAny
    | Crash
    | Work
    | Result
    | End
    | Late
    | Wait
)


def _one_of(ids: list[str], which: int) -> str | None:
    return ids[which % len(ids)] if ids else None


def changes_of(
    world: World, update: JsonObject, *, as_whole: bool = False
) -> dict[str, ChannelChange] | None:
    """Apply the reducers to what stands; None if the update does not fit it (an unknown removal)."""
    values = world.driver.thread.values()
    try:
        changes = SCHEMA.changes(values, update)
    except RefusedError:
        return None
    if not as_whole:
        return changes
    return {name: Replace(applied(values.get(name), change)) for name, change in changes.items()}
