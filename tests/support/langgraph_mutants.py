"""Faulty savers, each with one bug that savers are prone to. The comparison with LangGraph's own must catch every one."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

from langgraph.checkpoint.base import WRITES_IDX_MAP

from threadfold import ThreadfoldSaver
from threadfold.domain import decisions, saved, saved_fold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from typing import TypeAlias

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
    )
    from pytest import MonkeyPatch  # noqa: PT013 - a type

    Plant: TypeAlias = Callable[[MonkeyPatch], type[ThreadfoldSaver]]

PLANTS: dict[str, Plant] = {}
"""Faults by name; each is planted by calling it, and gives the class to use."""


def planted(plant: Plant) -> Plant:
    """Note a fault that has to change something else than the saver's methods."""
    PLANTS[plant.__name__] = plant
    return plant


def faulty(kind: type[ThreadfoldSaver]) -> type[ThreadfoldSaver]:
    """Note a saver with a fault in its methods."""
    PLANTS[kind.__name__] = lambda _: kind
    return kind


class Altered(ThreadfoldSaver):
    """Lets what it is given be altered on the way in."""

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        own = copy.copy(checkpoint)
        own["channel_values"] = dict(checkpoint["channel_values"])
        config = await self.altered(config, own, new_versions)
        return await super().aput(config, own, metadata, new_versions)

    async def altered(
        self, config: RunnableConfig, checkpoint: Checkpoint, new_versions: ChannelVersions
    ) -> RunnableConfig:
        """Alter the checkpoint, which may be written to, or return another config."""
        del checkpoint, new_versions
        return config


@faulty
class LosesTheVersionsSeen(Altered):
    async def altered(self, config: Any, checkpoint: Any, new_versions: Any) -> Any:
        checkpoint["versions_seen"] = {}
        return config


@faulty
class LosesTheUpdatedChannels(Altered):
    async def altered(self, config: Any, checkpoint: Any, new_versions: Any) -> Any:
        checkpoint["updated_channels"] = None
        return config


@faulty
class LosesWhatTheCallerSaidOfItsRun(Altered):
    async def altered(self, config: Any, checkpoint: Any, new_versions: Any) -> Any:
        return {**config, "metadata": {}}


@faulty
class HangsEachCheckpointOnTheNewest(Altered):
    async def altered(self, config: Any, checkpoint: Any, new_versions: Any) -> Any:
        newest = await self.aget_tuple(_unnamed(config))
        if newest is None:
            return config
        place = {**config["configurable"], "checkpoint_id": newest.checkpoint["id"]}
        return {**config, "configurable": place}


class TellsDifferencesToTheNewest(Altered):
    async def altered(self, config: Any, checkpoint: Any, new_versions: Any) -> Any:
        newest = await self.aget_tuple(_unnamed(config))
        if newest is not None:
            held = newest.checkpoint["channel_values"]
            own = checkpoint["channel_values"]
            own |= {name: held[name] for name in own if name in held and name not in new_versions}
        return config


class Trusting(Altered):
    """Remembers what objects looked like when they came first; the objects are kept, so that no other has their identity."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._known: dict[int, tuple[Any, Any]] = {}

    def first(self, value: Any) -> Any:
        """Return the object as it was when it came first."""
        return self._known.setdefault(id(value), (value, copy.deepcopy(value)))[1]


@faulty
class TakesTheSameContainerForUnchanged(Trusting):
    async def altered(self, config: Any, checkpoint: Any, new_versions: Any) -> Any:
        own = checkpoint["channel_values"]
        own |= {name: self.first(value) for name, value in own.items() if isinstance(value, dict)}
        return config


@faulty
class TakesTheSameMessageForUnchanged(Trusting):
    async def altered(self, config: Any, checkpoint: Any, new_versions: Any) -> Any:
        own = checkpoint["channel_values"]
        if "messages" in own:
            own["messages"] = [self.first(message) for message in own["messages"]]
        return config


@faulty
class LosesTheOrderOfTasks(ThreadfoldSaver):
    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        await super().aput_writes(config, writes, task_id)


@faulty
class DropsWritesThatComeBeforeTheirCheckpoint(ThreadfoldSaver):
    """Knows a checkpoint when it is stored: never at once, so that what is given right after it comes too early."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._stored: set[str] = set()

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        config = await super().aput(config, checkpoint, metadata, new_versions)
        self._stored.add(checkpoint["id"])
        return config

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        if config["configurable"]["checkpoint_id"] in self._stored:
            await super().aput_writes(config, writes, task_id, task_path)


@faulty
class KeepsTheFirstOfSpecialWrites(ThreadfoldSaver):
    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        found = await self.aget_tuple(config)
        held = {write[:2] for write in (found and found.pending_writes) or []}
        kept = [
            write
            for write in writes
            if write[0] not in WRITES_IDX_MAP or (task_id, write[0]) not in held
        ]
        if kept:
            await super().aput_writes(config, kept, task_id, task_path)


@faulty
class EncodesWritesLate(ThreadfoldSaver):
    """Stores writes when someone reads, as they are by then."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._late: list[tuple[Any, ...]] = []

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        self._late.append((config, writes, task_id, task_path))

    async def _put_late(self) -> None:
        late = self._late[:]
        self._late.clear()  # In place: copies of the saver share the list.
        for given in late:
            await super().aput_writes(*given)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        await self._put_late()
        return await super().aget_tuple(config)

    async def alist(self, config: Any, **options: Any) -> AsyncIterator[CheckpointTuple]:
        await self._put_late()
        async for one in super().alist(config, **options):
            yield one


@faulty
class ForgetsTheMemoryOfSubgraphs(ThreadfoldSaver):
    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        ns = config["configurable"].get("checkpoint_ns", "")
        return None if ns and ":" not in ns else await super().aget_tuple(config)


@faulty
class ListsAlsoWhatIsNewer(ThreadfoldSaver):
    async def alist(self, config: Any, **options: Any) -> AsyncIterator[CheckpointTuple]:
        async for one in super().alist(config, **{**options, "before": None}):
            yield one


@planted
def keeps_the_last_of_plain_writes(monkeypatch: MonkeyPatch) -> type[ThreadfoldSaver]:
    deciding, folding = decisions.record_writes, saved.with_writes

    def emptied(held: saved.Saved, key: Any, places: set[tuple[str, int]]) -> saved.Saved:
        slots = held.writes.get(key, {})
        kept = {slot: write for slot, write in slots.items() if slot not in places or slot[1] < 0}
        return held.changed(writes={**held.writes, key: kept})

    def decided(command: Any, thread: Any) -> Any:
        places = {(command.task_id, idx) for idx, _, _ in command.writes}
        held = emptied(thread.state.saved, (command.ns, command.checkpoint_id), places)
        return deciding(command, thread.changed(state=thread.state.changed(saved=held)))

    def folded(held: saved.Saved, event: Any, *rest: Any) -> saved.Saved:
        head = held.heads.get(event.ns)
        key = (event.ns, event.checkpoint_id or (head.checkpoint_id if head else ""))
        places = {
            (event.task_id, at if one.idx is None else one.idx)
            for at, one in enumerate(event.writes)
        }
        return folding(emptied(held, key, places), event, *rest)

    monkeypatch.setattr(decisions, "record_writes", decided)
    monkeypatch.setattr(saved_fold, "with_writes", folded)
    return ThreadfoldSaver


@planted
def tells_differences_to_the_newest_instead_of_the_parent(
    monkeypatch: MonkeyPatch,
) -> type[ThreadfoldSaver]:
    takes_what_is_live_on_a_fork(monkeypatch)
    return TellsDifferencesToTheNewest


@planted
def takes_what_is_live_on_a_fork(monkeypatch: MonkeyPatch) -> type[ThreadfoldSaver]:
    from threadfold.infrastructure.langgraph.writing import PutCheckpoint

    monkeypatch.setattr(PutCheckpoint, "take_unchanged", lambda *_: None)
    return ThreadfoldSaver


@planted
def takes_no_version_for_a_value(monkeypatch: MonkeyPatch) -> type[ThreadfoldSaver]:
    from threadfold.infrastructure.langgraph import writing

    monkeypatch.setattr(writing, "unchanged", lambda *_: ())
    return ThreadfoldSaver


@planted
def takes_no_version_for_a_value_on_a_fork(monkeypatch: MonkeyPatch) -> type[ThreadfoldSaver]:
    from threadfold.infrastructure.langgraph import writing

    taking = writing.PutCheckpoint.take_unchanged

    def taken(put: Any, parent: Any, items: Any) -> None:
        told = put._command.changes.keys()
        channels = {name: value for name, value in parent.channels.items() if name in told}
        taking(put, parent.changed(channels=channels), items)

    monkeypatch.setattr(writing.PutCheckpoint, "take_unchanged", taken)
    return ThreadfoldSaver


@planted
def takes_the_log_for_the_order_across_namespaces(
    monkeypatch: MonkeyPatch,
) -> type[ThreadfoldSaver]:
    from threadfold.infrastructure.langgraph.selecting import Selection

    def older(self: Any, held: saved.Saved) -> Any:
        everything = list(held.newest_first())
        ids = [each.checkpoint_id for each in everything]
        start = ids.index(self._before) + 1 if self._before in ids else 0
        return [each for each in everything[start:] if self._ns is None or each.ns == self._ns]

    monkeypatch.setattr(Selection, "_older", older)
    return ThreadfoldSaver


def _unnamed(config: RunnableConfig) -> RunnableConfig:
    held = {key: value for key, value in config["configurable"].items() if key != "checkpoint_id"}
    return cast("RunnableConfig", {"configurable": held})
