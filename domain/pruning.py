"""What of a thread's history is in sight after it was pruned, and when its time to live is over. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from .events import TimeToLive
    from .state import State


class _Thread(Protocol):
    """What of a thread is looked at here; the thread itself is above this module."""

    @property
    def version(self) -> int: ...
    @property
    def is_present(self) -> bool: ...
    @property
    def updated_at(self) -> datetime: ...
    @property
    def ttl(self) -> TimeToLive | None: ...
    @property
    def pruned_version(self) -> int: ...
    @property
    def state(self) -> State: ...
    @property
    def runs(self) -> Mapping[str, object]: ...


def expiry_of(thread: _Thread) -> datetime | None:
    """Return when the thread's time to live is over: counted from its last change, and not while a run is in flight.

    One that keeps the newest state is over once, and again after the next change.
    """
    if thread.ttl is None or thread.runs or not thread.is_present:
        return None
    if thread.ttl.strategy == "keep_latest" and thread.pruned_version == thread.version:
        return None
    return thread.updated_at + timedelta(minutes=thread.ttl.minutes)


def has_older_states(thread: _Thread) -> bool:
    """Say whether there are states in sight beside the newest ones."""
    state = thread.state
    if not state.is_typed:
        checkpoint = state.checkpoint
        if checkpoint is None or checkpoint.parent_id is None:
            return False
        return checkpoint.version > thread.pruned_version
    if state.saved.version <= thread.pruned_version:
        return False
    if not state.saved.is_complete:
        return True  # Those that are not kept here may be in sight.
    seen: set[str] = set()
    for each in state.saved.newest_first():
        if each.ns in seen:
            return True
        seen.add(each.ns)
    return False
