"""The checkpointer: LangGraph's `BaseCheckpointSaver` over a thread's log. It keeps nothing that the log does not have."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any, TypeVar

from langgraph.checkpoint.base import BaseCheckpointSaver

from ...domain.commands import DeleteThread, HideCheckpoints
from ...domain.copying import copied
from .delta_history import delta_channel_history
from .heads import LiveHead, LiveHeads
from .reading import Reader, config_of
from .recalling import RecallingCodec
from .selecting import Selection
from .writing import HeadMovedError, PutCheckpoint, configurable, is_opening, writes_command

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Collection,
        Coroutine,
        Iterator,
        Mapping,
        Sequence,
    )

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        DeltaChannelHistory,
    )

    from ...domain.graph_ports import CheckpointLog
    from ...domain.saved import SavedCheckpoint
    from ...domain.thread import Thread
    from .values import ValueCodec

T = TypeVar("T")


class CheckpointSaver(BaseCheckpointSaver[Any]):
    """Saves graphs' checkpoints as events of their threads.

    `run` is the run's id and attempt that it is bound to: what it records is fenced, and goes with the run when that is rolled
    back. Unbound, it is refused while a run of the engine is in flight in the thread.
    """

    def __init__(
        self,
        log: CheckpointLog,
        codec: ValueCodec,
        *,
        run: tuple[str, int] | None = None,
        heads: LiveHeads | None = None,
    ) -> None:
        super().__init__()
        self._log = log
        self._codec = codec
        self._run = run
        self._heads = heads or LiveHeads()
        self._own: dict[str, str] = {}
        """Of a bound one: the newest checkpoint that it put, by namespace."""
        self._own_roots: set[str] = set()
        self.is_at_rest = False
        """Of a bound one: the graph's newest checkpoint is its own, starts no node, and nothing was written after it."""

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> CheckpointSaver:
        """Return one that also takes these types; it shares all else with this one."""
        clone = copy.copy(self)
        clone.__dict__["_codec"] = RecallingCodec(self._codec.types.with_allowlist(extra_allowlist))
        return clone

    def get_next_version(self, current: Any, channel: None) -> Any:  # noqa: ANN401 - as LangGraph has it
        """Return the version after `current`; threads that were imported may have texts, and go on with texts."""
        del channel
        if current is None:
            return 1
        if isinstance(current, str):
            return f"{int(current.split('.')[0]) + 1:032}.{0:016}"
        return int(current) + 1

    # ------------------------------------------------------------------ reading

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that the config names, or the newest of its namespace."""
        named = configurable(config)
        thread_id, ns = str(named["thread_id"]), str(named.get("checkpoint_ns") or "")
        checkpoint_id = named.get("checkpoint_id")
        if self._is_fresh(ns, named):
            return None
        thread, found = await self._find(thread_id, ns, checkpoint_id, named)
        return None if found is None else self._read(thread_id, thread, found)

    async def _find(
        self, thread_id: str, ns: str, checkpoint_id: str | None, named: Mapping[str, Any]
    ) -> tuple[Thread, SavedCheckpoint | None]:
        thread = await self._log.thread(thread_id)
        saved = thread.state.saved
        if checkpoint_id:
            found = saved.find(ns, str(checkpoint_id))
        else:
            found = saved.latest(ns)
            if found is None and ns not in saved.heads:
                root = saved.heads.get("")
                above = named.get("checkpoint_map", {}).get("")
                if ":" not in ns or (root is not None and root.checkpoint_id == above):
                    return thread, None  # Heads of living namespaces are always there.
        if found is None and not saved.is_complete:
            thread = await self._log.whole(thread_id)
            saved = thread.state.saved
            found = saved.find(ns, str(checkpoint_id)) if checkpoint_id else saved.latest(ns)
        return thread, found

    def _is_fresh(self, ns: str, named: Mapping[str, Any]) -> bool:
        """Say whether the namespace is that of a call that this very run just made: nothing can be there yet."""
        if ":" not in ns or ns in self._own or named.get("checkpoint_id"):
            return False
        return named.get("checkpoint_map", {}).get("") in self._own_roots

    def _read(self, thread_id: str, thread: Thread, found: SavedCheckpoint) -> CheckpointTuple:
        head = thread.state.saved.heads.get(found.ns)
        live = self._heads.get(thread_id, found.ns)
        is_head = head is not None and head.checkpoint_id == found.checkpoint_id
        if is_head and (live is None or live.checkpoint_id != found.checkpoint_id):
            live = LiveHead(found.checkpoint_id, frozenset(found.channels))
        reader = Reader(thread_id, thread, self._codec, live)
        result = reader.tuple_of(found)
        if is_head:
            own = LiveHead(found.checkpoint_id, frozenset(found.channels), reader.lists)
            self._heads.put(thread_id, found.ns, own)
        return result

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield checkpoints, newest first, of one thread or of all; the filter's keys are those of the metadata."""
        for each in await self._listed(config, filter, before, limit):
            yield each

    async def _listed(
        self,
        config: RunnableConfig | None,
        filter: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> list[CheckpointTuple]:
        named = {} if config is None else configurable(config)
        selection = Selection(named, filter, before, limit)
        thread_ids = await self._log.thread_ids() if config is None else [str(named["thread_id"])]
        found: list[CheckpointTuple] = []
        for thread_id in thread_ids:
            thread = await self._log.thread(thread_id)
            chosen = selection.of(thread, self._reader(thread_id, thread))
            if chosen is None:
                thread = await self._log.whole(thread_id)
                chosen = selection.of(thread, self._reader(thread_id, thread)) or []
            found += chosen
            if limit is not None and len(found) >= limit:
                return found[:limit]
        return found

    def _reader(self, thread_id: str, thread: Thread) -> Reader:
        return Reader(thread_id, thread, self._codec, self._heads.get(thread_id, ""))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return the writes of channels that store only what is written to them, back to a stored value."""
        if not channels:
            return {}
        named = configurable(config)
        thread_id, ns = str(named["thread_id"]), str(named.get("checkpoint_ns") or "")
        thread, target = await self._find(thread_id, ns, named.get("checkpoint_id"), named)
        if target is not None and not thread.state.saved.is_complete:
            thread = await self._log.whole(thread_id)
        return delta_channel_history(self._reader(thread_id, thread), thread, target, channels)

    # ------------------------------------------------------------------ writing

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Record a checkpoint after the one that the config names; return the config that names it."""
        put = self._prepared(config, checkpoint, metadata, new_versions)
        try:
            await self._record(put)
        except HeadMovedError:
            put.tell_in_full()
            await self._record(put)
        self._heads.put(put.thread_id, put.ns, put.head)
        return config_of(put.thread_id, put.ns, checkpoint["id"])

    async def _record(self, put: PutCheckpoint) -> None:
        if put.forked_from is not None:
            thread, parent = await self._find(put.thread_id, put.ns, put.forked_from, {})
            if parent is not None:
                put.take_unchanged(parent, thread.items)
        await self._log.record(put.thread_id, [put.intent()])

    def _prepared(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> PutCheckpoint:
        """Encode the checkpoint now, and keep its place as the newest of its namespace."""
        named = configurable(config)
        thread_id, ns = str(named["thread_id"]), str(named.get("checkpoint_ns") or "")
        parent_id = named.get("checkpoint_id")
        live = self._heads.get(thread_id, ns)
        if live is None or live.checkpoint_id != parent_id:
            live = self._stored_head(thread_id, ns, parent_id)
        newest = self._newest(thread_id, ns)
        put = PutCheckpoint(
            config,
            checkpoint,
            metadata,
            new_versions,
            codec=self._codec,
            parent=live,
            is_fork=newest != parent_id or (live is None and parent_id is not None),
            run=self._run,
        )
        if self._run is not None:
            self._own[ns] = checkpoint["id"]
            if not ns:
                self._own_roots.add(checkpoint["id"])
                self.is_at_rest = not any(map(is_opening, checkpoint["channel_values"].items()))
            self._heads.put(thread_id, ns, put.head)
        return put

    def _newest(self, thread_id: str, ns: str) -> str | None:
        own = self._own.get(ns)
        if own is not None:
            return own
        thread = self._log.peek(thread_id)
        head = None if thread is None else thread.state.saved.heads.get(ns)
        return None if head is None else head.checkpoint_id

    def _stored_head(self, thread_id: str, ns: str, parent_id: str | None) -> LiveHead | None:
        """Return what the log has of the parent, if it is the newest of its namespace: its names, but no live objects."""
        thread = self._log.peek(thread_id)
        head = None if thread is None else thread.state.saved.heads.get(ns)
        if head is None or head.checkpoint_id != parent_id:
            return None
        return LiveHead(head.checkpoint_id, frozenset(head.channels))

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Record what a task wrote, to wait on the checkpoint that the config names."""
        command = writes_command(
            config, writes, task_id, task_path, codec=self._codec, run=self._run
        )
        if not command.ns and command.checkpoint_id == self._own.get(""):
            self.is_at_rest = False
        await self._log.record(command.thread_id, [command])

    # ------------------------------------------------------------------ managing

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread with all that it holds, if it is there."""
        thread = await self._log.thread(thread_id)
        self._heads.drop(thread_id)
        if thread.is_present:
            await self._log.record(thread_id, [DeleteThread(thread_id=thread_id)])

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Take all that these runs saved out of sight, in all threads. What others built on it keeps its values."""
        wanted = tuple(map(str, run_ids))
        if not wanted:
            return
        for thread_id in await self._log.thread_ids():
            thread = await self._log.whole(thread_id)
            if thread.state.saved.has_any_of(frozenset(wanted)):
                self._heads.drop(thread_id)
                hide = HideCheckpoints(thread_id=thread_id, run_ids=wanted)
                await self._log.record(thread_id, [hide])

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints and writes of a thread, as they are, to another one. Runs are not copied."""
        source = await self._log.whole(source_thread_id)
        if source.state.saved.heads:
            events = await self._log.events(source_thread_id)
            await self._log.record(target_thread_id, copied(source, events, target_thread_id))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Take all checkpoints but the latest of each namespace (`keep_latest`), or all (`delete`), out of sight."""
        if strategy not in ("keep_latest", "delete"):
            message = f"strategy: expected 'keep_latest' or 'delete', got {strategy!r}"
            raise ValueError(message)
        for thread_id in thread_ids:
            self._heads.drop(thread_id)
            keep = "latest" if strategy == "keep_latest" else "none"
            hide = HideCheckpoints(thread_id=thread_id, keep=keep)
            await self._log.record(thread_id, [hide])

    # ------------------------------------------------------------------ the same for code that is not async

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work comes to; it is called from a thread beside the event loop that the log belongs to."""
        loop = self._log.loop
        if loop is None or not loop.is_running():
            work.close()
            message = "the engine is closed"
            raise RuntimeError(message)
        try:
            is_own = asyncio.get_running_loop() is loop
        except RuntimeError:
            is_own = False
        if is_own:
            work.close()
            message = "called from the event loop itself: use the async methods there (ainvoke, aget_state, …)"
            raise RuntimeError(message)
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return what `aget_tuple` does."""
        return self._wait(self.aget_tuple(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield what `alist` does."""
        yield from self._wait(self._listed(config, filter, before, limit))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what `aget_delta_channel_history` does."""
        return self._wait(self.aget_delta_channel_history(config=config, channels=channels))

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Do what `aput` does."""
        return self._wait(self.aput(config, checkpoint, metadata, new_versions))

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Do what `aput_writes` does."""
        self._wait(self.aput_writes(config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        """Do what `adelete_thread` does."""
        self._wait(self.adelete_thread(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Do what `adelete_for_runs` does."""
        self._wait(self.adelete_for_runs(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Do what `acopy_thread` does."""
        self._wait(self.acopy_thread(source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Do what `aprune` does."""
        self._wait(self.aprune(thread_ids, strategy=strategy))
