"""What an import moves from another checkpoint database into the log, and the two ports that it moves it between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from .errors import ConfigurationError, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .saved import CheckpointKey, Slot


class SourceError(ConfigurationError):
    """The database to import from is not there, or is none that can be read."""


class NotImportableError(EngineError):
    """A thread cannot be imported as it is; the others can."""

    thread_id: str

    def __init__(self, reason: str, *, thread_id: str, key: CheckpointKey | None = None) -> None:
        where = f"thread {thread_id}"
        if key is not None:
            ns, checkpoint_id = key
            where += f", checkpoint {checkpoint_id}" + (f" of {ns}" if ns else "")
        super().__init__(f"{where}: {reason}", thread_id=thread_id)


@dataclass(frozen=True, slots=True)
class Held:
    """What one side holds at a key: the checkpoint itself, or only writes to it, and which ones."""

    has_checkpoint: bool = False
    slots: frozenset[Slot] = frozenset()
    bytes: int = 0
    """What reading it takes, about; for a source only."""

    @property
    def has_replaceable(self) -> bool:
        """Whether there are writes in slots where the last one stands, not the first."""
        return any(idx < 0 for _, idx in self.slots)


Holdings: TypeAlias = "Mapping[CheckpointKey, Held]"
"""What one side holds of a thread."""


@dataclass(frozen=True, slots=True)
class TaskWrites:
    """What one task wrote, each with the index and the channel that it was written under."""

    task_id: str
    task_path: str
    writes: tuple[tuple[int, str, object], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One checkpoint of a source with the writes to it, as live values."""

    key: CheckpointKey
    checkpoint: Mapping[str, object] | None = None
    """None where there are only writes: a graph was stopped before it saved the checkpoint."""
    parent_id: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])
    writes: tuple[TaskWrites, ...] = ()


@dataclass(slots=True)
class Counts:
    """How many there are."""

    threads: int = 0
    checkpoints: int = 0
    writes: int = 0

    def add(self, holdings: Holdings) -> None:
        """Count one thread more."""
        self.threads += bool(holdings)
        self.checkpoints += sum(held.has_checkpoint for held in holdings.values())
        self.writes += sum(len(held.slots) for held in holdings.values())


class ImportSource(Protocol):
    """A database of checkpoints as it stood when it was opened. Nothing in it is changed; one call at a time."""

    def counts(self, thread_ids: Sequence[str] = ()) -> Counts:
        """Count everything, or what there is of these threads."""
        ...

    def thread_ids(self) -> Iterator[str]:
        """Yield the ids of all threads, in order."""
        ...

    def holdings(self, thread_id: str) -> Holdings:
        """Return what there is of a thread; no value is read for that."""
        ...

    def read(self, thread_id: str, keys: Mapping[CheckpointKey, bool]) -> list[Record]:
        """Return these of the thread's records, in this order; without the checkpoint itself where that is not asked for.

        Raises:
            NotImportableError: a value in them cannot be read back; says which and why.
        """
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


class ImportTarget(Protocol):
    """The log, as far as an import needs it."""

    async def holdings(self, thread_id: str) -> Holdings:
        """Return what stands of a thread: nothing of what was rolled back or deleted."""
        ...

    async def recorded(self, thread_id: str) -> Holdings:
        """Return what the log's events have recorded of a thread, whatever stands of it: they are read for this."""
        ...

    async def differing(self, thread_id: str, records: Sequence[Record]) -> list[Record]:
        """Return the records without what the thread holds just so already; those of which nothing is left are left out.

        What stands in a slot of a number below 0 may have been replaced, so there it is the value that counts.
        """
        ...

    async def write(self, thread_id: str, records: Sequence[Record]) -> None:
        """Record these in this order, durably, and all or nothing.

        Raises:
            NotImportableError: they cannot be stored; says which and why.
        """
        ...
