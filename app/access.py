"""What one caller reaches: whose threads, and under whose name. The one rule that reads and writes of a caller go by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..domain.events import ThreadCopied, ThreadCreated
from ..domain.thread import EMPTY_THREAD
from .containment import contains
from .metadata_filters import EVERYTHING, MetadataFilter

if TYPE_CHECKING:
    from ..domain.events import ThreadEvent
    from ..domain.thread import Thread
    from ..domain.values import Json, JsonObject
    from .users import User


@dataclass(frozen=True, slots=True)
class Access:
    """A caller's reach.

    `filter` and `within` are what the metadata of a thread must hold; any other thread is, for the caller, not there. `stamp` is
    written into the metadata of every thread that is created under this access, over what its creator asked for.
    """

    user: User | None = None
    filter: MetadataFilter = EVERYTHING
    within: JsonObject = field(default_factory=dict[str, "Json"])
    stamp: JsonObject = field(default_factory=dict[str, "Json"])

    @property
    def actor(self) -> str | None:
        """Whose doing it is, as the log says."""
        return None if self.user is None else self.user.identity

    @property
    def is_bounded(self) -> bool:
        """Whether there may be anything that the caller does not reach."""
        return bool(self.filter.conditions or self.within)

    def sees(self, metadata: JsonObject) -> bool:
        """Say whether something with these metadata is within reach."""
        return self.filter.matches(metadata) and contains(metadata, self.within)

    def hides(self, thread: Thread) -> bool:
        """Say whether the thread is there, and out of reach."""
        return thread.is_present and not self.sees(thread.metadata)

    def shown(self, thread: Thread) -> Thread:
        """Return the thread as the caller has it: one out of reach, and what is left of a deleted one, is not there."""
        return thread if self.sees(thread.metadata) else EMPTY_THREAD

    def stamped(self, event: ThreadEvent) -> ThreadEvent:
        """Return the event as it is to be recorded."""
        if self.stamp and isinstance(event, ThreadCreated | ThreadCopied):
            return event.model_copy(update={"metadata": {**event.metadata, **self.stamp}})
        return event
