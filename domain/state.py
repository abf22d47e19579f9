"""A thread's state: what a run's steps build, and what a rollback puts back. No runs here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from .value import Value

if TYPE_CHECKING:
    from datetime import datetime

    from .channels import Channel, Channels
    from .events import RunError, Task

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


@dataclass(frozen=True)
class State(Value):
    """What a rollback puts back: the channels, what stands open, the error, and where it came from."""

    channels: Channels = field(default_factory=dict[str, "Channel"])
    checkpoint: Checkpoint | None = None
    parent: State | None = field(default=None, compare=False, repr=False)
    depth: int = field(default=0, compare=False, repr=False)
    next: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    error: RunError | None = None
    is_erased: bool = False

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
