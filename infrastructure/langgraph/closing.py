"""Closes the tool calls that a run left open, before new input comes in on top of them: model providers refuse such a history.

What a model was saying when its run was stopped comes into the history then too, if the graph keeps that. What is put is a
checkpoint like one from outside, of the run that brings the input: with its rollback, it is gone too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.types import Command

from ...domain.calls import calls_in
from ...domain.channels import read_channel
from ...domain.checkpoint_times import full_time
from ...domain.shared_list import SharedList
from ...domain.tool_calls import is_sound, outcome, typed_shape
from .compiled import delta_channels, message_channels, reports_tool_calls, subgraphs_of
from .inputs import ROOT
from .pairing import arriving_in, plan_of, without
from .partial import partial_messages
from .run_config import CHECKPOINT_KEYS
from .starting import Start
from .writing import configurable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        BaseCheckpointSaver,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
    )

    from ...domain.channels import Channel, Items
    from ...domain.graph_ports import CheckpointLog
    from ...domain.ports import Ids
    from ...domain.saved import SavedCheckpoint
    from ...domain.state import ToolCall
    from ...domain.thread import Thread
    from ...domain.tool_calls import OpenCall
    from .compiled import CompiledGraph
    from .pairing import Plan
    from .values import ValueCodec

END = "__end__"
"""What an update is by that takes over what has finished, and drops what has not."""


def brings_input(given: object) -> bool:
    """Say whether a run that is called with this brings new input: one that goes on, or answers, closes nothing."""
    return given is not None and not isinstance(given, Command)


class Closing:
    """Makes the message channels of a thread sound. `graph` is bound to `saver`, which is bound to the run, if there is one."""

    def __init__(
        self,
        graph: CompiledGraph,
        saver: BaseCheckpointSaver[Any],
        codec: ValueCodec,
        log: CheckpointLog,
        thread_id: str,
        ids: Ids,
    ) -> None:
        self._graph = graph
        self._saver = saver
        self._codec = codec
        self._log = log
        self._thread_id = thread_id
        self._ids = ids

    async def before(self, start: Start) -> Start:
        """Close what stands open where a run begins that is started like this; return how it is to be started then.

        Results that come with the input count, and those that answer no call are left out of it.
        """
        config, named = start.config, configurable(start.config)
        thread = await self._log.thread(self._thread_id)
        # LangGraph begins at the newest checkpoint where one of a subgraph is named.
        checkpoint_id = None if named.get("checkpoint_ns") else named.get("checkpoint_id")
        await self._close_lasting(thread)
        has_closed, given = await self._close("", self._graph, thread, start.given, checkpoint_id)
        if has_closed:  # The run goes on from what was put, which is the newest.
            kept = {name: each for name, each in named.items() if name not in CHECKPOINT_KEYS}
            config = cast("RunnableConfig", {**config, "configurable": kept})
        return Start(given, config)

    async def close(self) -> bool:
        """Close what stands open now, without a run; return whether anything did."""
        thread = await self._log.thread(self._thread_id)
        has_closed = await self._close_lasting(thread)
        return (await self._close("", self._graph, thread))[0] or has_closed

    async def _close_lasting(self, thread: Thread) -> bool:
        """Close what stands open in subgraphs that keep a history of their own from run to run."""
        namespaces = {ns for ns in thread.state.saved.heads if ns and ":" not in ns}
        has_closed = False
        for ns, graph in subgraphs_of(self._graph, recurse=True) if namespaces else ():
            if ns in namespaces:
                has_closed = (await self._close(ns, graph, thread))[0] or has_closed
        return has_closed

    async def _close(
        self,
        ns: str,
        graph: CompiledGraph,
        thread: Thread,
        given: object = None,
        checkpoint_id: str | None = None,
    ) -> tuple[bool, object]:
        """Close what stands open in a namespace; return whether anything did, and the input without stray results."""
        names = message_channels(graph)
        if not names:
            return False, given
        arriving = {name: arriving_in(given, name) for name in names}
        head = await self._head(thread, ns, checkpoint_id)
        kept = {} if head is None else partial_messages(thread, head, self._codec)
        is_told = not kept and not names & delta_channels(graph)
        if head is not None and is_told and _is_sound(head, thread.items, arriving):
            return False, given
        config = self._config(ns, checkpoint_id)
        plans = await self._plans(graph, config, arriving, kept)
        has_closed = any(plan.entries is not None for plan in plans.values())
        if has_closed:
            # Of what came from elsewhere (an import, a copy, an update) nobody has heard whether it was started.
            is_reported = head is not None and head.run_id is not None and reports_tool_calls(graph)
            close = await self._closer(config, thread, plans.values(), is_reported=is_reported)
            # First what has finished is taken over, and the rest is dropped: results come by this.
            await self._graph.aupdate_state(config, None, END)
            plans = await self._plans(graph, self._config(ns), arriving, kept)
            made = {
                name: plan.made(close) for name, plan in plans.items() if plan.entries is not None
            }
            if made:
                await self._put(self._config(ns), made)
        for name, plan in plans.items():
            given = without(given, name, plan.strays)
        return has_closed, given

    # ------------------------------------------------------------------ looking

    async def _head(
        self, thread: Thread, ns: str, checkpoint_id: str | None
    ) -> SavedCheckpoint | None:
        saved = thread.state.saved
        if checkpoint_id is None:
            return saved.latest(ns)
        found = saved.find(ns, checkpoint_id)
        if found is None and not saved.is_complete:
            found = (await self._log.whole(self._thread_id)).state.saved.find(ns, checkpoint_id)
        return found

    async def _plans(
        self,
        graph: CompiledGraph,
        config: RunnableConfig,
        arriving: Mapping[str, list[BaseMessage] | None],
        kept: Mapping[str, list[BaseMessage]],
    ) -> dict[str, Plan]:
        """Plan for each channel, by the messages at a checkpoint without what waits there to be applied, and those to be kept."""
        found = await self._saver.aget_tuple(config)
        values: Mapping[str, Any] = {} if found is None else found.checkpoint["channel_values"]
        if found is not None and arriving.keys() & delta_channels(graph):
            # The checkpoint holds what was written to them, and not what they are.
            told: object = (await self._graph.aget_state(config)).values
            values = cast("dict[str, Any]", told if isinstance(told, dict) else {ROOT: told})
        return {
            name: plan_of(_messages(values.get(name)), messages, kept.get(name, ()))
            for name, messages in arriving.items()
            if messages is not None
        }

    async def _closer(
        self, config: RunnableConfig, thread: Thread, plans: Iterable[Plan], *, is_reported: bool
    ) -> Callable[[Plan, OpenCall], BaseMessage]:
        """Return what makes the message that closes a call, out of what the log knows of it."""
        tasks: frozenset[str] = frozenset()
        if any(plan.has_repeated for plan in plans):
            snapshot = await self._graph.aget_state(config)
            tasks = frozenset(task.id for task in snapshot.tasks)
        calls = thread.state.calls
        if "checkpoint_id" in configurable(config):  # An older one, perhaps.
            calls = calls_in(await self._log.events(self._thread_id))

        def closed(plan: Plan, call: OpenCall) -> BaseMessage:
            known = calls.get(call.call_id)
            if known is not None and plan.is_repeated(call) and _task(known) not in tasks:
                known = None  # It is of the earlier call.
            if known is not None and known.result is not None:
                stored = read_channel(known.result, thread.items)
                return cast("BaseMessage", self._codec.decode(stored))
            return ToolMessage(
                content=outcome(known, is_reported=is_reported),
                name=call.name,
                id=self._ids.message_id(),
                tool_call_id=call.call_id,
                status="error",
            )

        return closed

    # ------------------------------------------------------------------ writing

    async def _put(self, config: RunnableConfig, made: Mapping[str, list[BaseMessage]]) -> None:
        """Put a checkpoint with these messages after the newest. Nothing else changes, and none of the user's code runs."""
        found = cast("CheckpointTuple", await self._saver.aget_tuple(config))
        versions = cast("dict[str, Any]", found.checkpoint["channel_versions"])
        version = self._saver.get_next_version(max(versions.values(), default=None), None)
        bumped = dict.fromkeys(made, version)
        checkpoint_id = self._ids.checkpoint_id()
        checkpoint = {
            **found.checkpoint,
            "id": checkpoint_id,
            "ts": full_time(0, checkpoint_id),
            "channel_values": {**found.checkpoint["channel_values"], **made},
            "channel_versions": {**versions, **bumped},
            "updated_channels": sorted(made),
        }
        metadata = {
            **found.metadata,
            "source": "update",
            "step": found.metadata.get("step", -1) + 1,
        }
        await self._saver.aput(
            found.config,
            cast("Checkpoint", checkpoint),
            cast("CheckpointMetadata", metadata),
            cast("dict[str, str | int | float]", bumped),
        )

    def _config(self, ns: str, checkpoint_id: str | None = None) -> RunnableConfig:
        """Name a checkpoint. The run is not named: LangGraph would take what it finds of that for the run's own work."""
        named = {"thread_id": self._thread_id, "checkpoint_ns": ns}
        if checkpoint_id is not None:
            named["checkpoint_id"] = checkpoint_id
        return {"configurable": named}


def _messages(value: object) -> list[BaseMessage]:
    return cast("list[BaseMessage]", value) if isinstance(value, list) else []


def _task(call: ToolCall) -> str:
    """Return the id of the graph's own task in which a call was made."""
    return call.task.partition("|")[0].rpartition(":")[2]


# ------------------------------------------------------------------ the quick look


class SoundFront:
    """How many messages at the front of an array are known to be sound by themselves."""

    def __init__(self) -> None:
        self.count = 0


def is_sound_channel(channel: Channel, items: Items) -> bool:
    """Say whether a channel's messages are sound. What was found sound once is not looked at again."""
    if not isinstance(channel, SharedList):
        value = read_channel(channel, items)
        return not isinstance(value, list) or is_sound(map(typed_shape, value))
    front = channel.note(SoundFront)
    start = front.count if front.count <= len(channel) else 0
    if not is_sound(map(typed_shape, items.pick(channel.slice(start, len(channel))))):
        return False
    front.count = max(front.count, len(channel))
    return True


def _is_sound(
    head: SavedCheckpoint, items: Items, arriving: Mapping[str, list[BaseMessage] | None]
) -> bool:
    """Say whether nothing is to be done, and the input does not touch on it, as far as a quick look tells."""
    plain = HumanMessage | SystemMessage
    if not all(isinstance(message, plain) for each in arriving.values() for message in each or ()):
        return False
    names = arriving.keys() & head.channels.keys()
    return all(is_sound_channel(head.channels[name], items) for name in names)
