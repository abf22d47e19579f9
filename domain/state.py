"""A thread's state: what a run's steps build, and what a rollback puts back. No runs here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from .channels import decode_object, read_values
from .saved import EVERYTHING, NOTHING_SAVED, Saved
from .typed import plain_object
from .value import Value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from .channels import Channel, Channels, Items
    from .events import RecordedEvent, RunError, Task, ThreadCopied
    from .values import JsonObject

CHECKPOINTS_KEPT_MIN = 64
"""A state reaches at least so many checkpoints back, if there are so many; the log has them all."""


class Checkpoint(NamedTuple):
    """Where a state came from."""

    checkpoint_id: str
    version: int
    created_at: datetime
    source: str
    step: int
    node: str = ""
    run_id: str | None = None
    attempt: int = 0
    parent_id: str | None = None


class ToolCall(NamedTuple):
    """What is known of a tool call beside the messages: that it was started, and what came of it.

    `is_finished`: it has a result, or (`is_failed`) an error in place of one. `is_cancelled`: its run was stopped while it was
    at work. `task` is the namespace of the graph's task that made it, `run_id` the run.
    """

    call_id: str
    name: str
    is_finished: bool
    result: Channel = None
    is_failed: bool = False
    is_cancelled: bool = False
    task: str = ""
    run_id: str = ""


@dataclass(frozen=True)
class State(Value):
    """What a rollback puts back: the channels, what stands open, the error, and where it came from.

    `saved` is what checkpointers saved; with it, the values are in the form of `typed.py`.
    """

    channels: Channels = field(default_factory=dict[str, "Channel"])
    checkpoint: Checkpoint | None = None
    parent: State | None = field(default=None, compare=False, repr=False)
    depth: int = field(default=0, compare=False, repr=False)
    next: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    error: RunError | None = None
    stopped_run: str | None = None
    """The run that ended last, if somebody cancelled it at work."""
    is_erased: bool = False
    saved: Saved = NOTHING_SAVED
    calls: Mapping[str, ToolCall] = field(default_factory=dict[str, ToolCall])

    @property
    def is_typed(self) -> bool:
        """Whether the values are in typed form: a checkpointer wrote them."""
        return bool(self.saved.heads)

    @property
    def checkpoint_id(self) -> str | None:
        """The id of the checkpoint, None if nothing was ever written."""
        return self.checkpoint.checkpoint_id if self.checkpoint else None

    @property
    def step(self) -> int:
        """The number of the checkpoint; the first one ever is -1."""
        return self.checkpoint.step if self.checkpoint else -2

    def followed_by(
        self, checkpoint: Checkpoint, channels: Channels, next_nodes: tuple[str, ...]
    ) -> State:
        """Return the state that a step makes of this one; the error and the tasks are past."""
        parent = self if self.checkpoint is not None else None
        depth = self.depth + 1
        if depth >= 2 * CHECKPOINTS_KEPT_MIN:
            parent, depth = self._shortened(), CHECKPOINTS_KEPT_MIN
        return State(
            channels=channels,
            checkpoint=checkpoint,
            parent=parent,
            depth=depth,
            next=next_nodes,
            is_erased=self.is_erased,
            saved=EVERYTHING if self.saved.keeps_all else NOTHING_SAVED,
        )

    def _shortened(self) -> State:
        """Rebuild the chain of parents with its newest part only: memory does not grow with it."""
        chain: list[State] = []
        link: State | None = self
        while link is not None and len(chain) < CHECKPOINTS_KEPT_MIN:
            chain.append(link)
            link = link.parent
        parent: State | None = None
        for depth, link in enumerate(reversed(chain)):
            parent = link.changed(parent=parent, depth=depth)
        return parent or self


EMPTY_STATE = State()


def copied_state(state: State, event: ThreadCopied, recorded: RecordedEvent) -> State:
    """Return the state that a copy begins with.

    What a checkpointer saved in the source, or the states of a function there, was recorded in `state` just before.
    """
    checkpoint, parent, depth = state.checkpoint, state.parent, state.depth
    if event.checkpoint_id is None:
        checkpoint = None
    elif event.checkpoint_id != state.checkpoint_id:
        version, at = recorded.version, recorded.recorded_at
        checkpoint, parent, depth = (
            Checkpoint(event.checkpoint_id, version, at, "fork", event.step), None, 0,
        )  # fmt: skip
    return State(
        channels=decode_object(event.channels),
        checkpoint=checkpoint,
        parent=parent,
        depth=depth,
        next=event.next,
        tasks=event.tasks,
        error=event.error,  # It may stand without a checkpoint: the run failed before its first step.
        is_erased=event.is_erased,
        saved=state.saved,
    )


def read_state(state: State, items: Items) -> JsonObject:
    """Return the values of all channels as readers see them. They share the fold's objects: never change them."""
    values = read_values(state.channels, items)
    return plain_object(values) if state.is_typed else values
