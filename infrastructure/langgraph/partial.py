"""Keeps what a model had streamed of an answer when its run was stopped, for graphs that ask for it.

It waits on the checkpoint that the model was called at, as a write that LangGraph knows nothing of, until a run brings new input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from ...domain.channels import read_channel
from ...domain.commands import RecordWrites

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from langchain_core.messages import BaseMessage

    from ...domain.graph_ports import Intent, RunLog
    from ...domain.saved import SavedCheckpoint
    from ...domain.thread import Thread
    from .values import ValueCodec

PARTIAL = "__partial__"
"""The channel of the write, and its task."""

PARTIAL_IDX = -100
"""The slot of the write: below 0, where the last one stands."""

NO_STREAM = frozenset({"nostream", "langsmith:nostream"})
"""Tags of model calls whose words are not for the user."""


def channel_of(names: frozenset[str]) -> str | None:
    """Return the channel that a graph's model speaks in, out of those that hold messages; None if that is not clear."""
    if "messages" in names:
        return "messages"
    return next(iter(names)) if len(names) == 1 else None


class PartialRecorder(AsyncCallbackHandler):
    """A callback handler that gathers what models stream, and records it when the run is about to be stopped.

    Only models that the graph's own nodes call: what is said in a subgraph is not said in the graph's channel.
    """

    run_inline = True

    def __init__(self, log: RunLog, codec: ValueCodec, channel: str) -> None:
        self._log = log
        self._codec = codec
        self._channel = channel
        self._streaming: dict[UUID, list[AIMessageChunk]] = {}
        log.before_stop(self._tell)

    @property
    def ignore_agent(self) -> bool:
        """True: it is not called for what it has no use for."""
        return True

    @property
    def ignore_chain(self) -> bool:
        """True, likewise."""
        return True

    @property
    def ignore_retriever(self) -> bool:
        """True, likewise."""
        return True

    async def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: object,
    ) -> None:
        """Listen to this call, if a node of the graph itself makes it, for the user to hear."""
        del serialized, messages, kwargs
        namespace = str((metadata or {}).get("langgraph_checkpoint_ns") or "|")
        if "|" not in namespace and NO_STREAM.isdisjoint(tags or ()):
            self._streaming[run_id] = []

    async def on_llm_new_token(
        self, token: object, *, chunk: object = None, run_id: UUID, **kwargs: object
    ) -> None:
        """Gather a part of the answer."""
        del token, kwargs
        heard = self._streaming.get(run_id)
        if heard is None or not isinstance(chunk, ChatGenerationChunk):
            return
        if isinstance(chunk.message, AIMessageChunk):
            heard.append(chunk.message)

    async def on_llm_end(self, response: object, *, run_id: UUID, **kwargs: object) -> None:
        """Forget the call: its answer is the node's now."""
        del response, kwargs
        self._streaming.pop(run_id, None)

    async def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: object) -> None:
        """Forget the call."""
        del error, kwargs
        self._streaming.pop(run_id, None)

    # ------------------------------------------------------------------ recording

    def _tell(self) -> Sequence[Intent]:
        said = [_message(chunks) for chunks in self._streaming.values() if chunks]
        found = [message for message in said if message.content]
        value = self._codec.encode([[self._channel, message] for message in found], PARTIAL)

        def recorded(thread: Thread, now: datetime) -> RecordWrites | None:
            del now
            head = thread.state.saved.latest("")
            if head is None or (not found and not _is_there(head, thread)):
                return None
            return RecordWrites(
                thread_id=self._log.thread_id,
                run_id=self._log.run_id,
                attempt=self._log.attempt,
                by_run_id=None,
                ns="",
                checkpoint_id=head.checkpoint_id,
                task_id=PARTIAL,
                task_path="",
                writes=((PARTIAL_IDX, PARTIAL, value),),
            )

        return [recorded]


def partial_messages(
    thread: Thread, head: SavedCheckpoint, codec: ValueCodec
) -> dict[str, list[BaseMessage]]:
    """Return the messages that wait on a checkpoint to be kept, by channel."""
    found: dict[str, list[BaseMessage]] = {}
    for write in thread.state.saved.writes_on(head.ns, head.checkpoint_id):
        if write.channel == PARTIAL:
            value = codec.decode(read_channel(write.value, thread.items))
            for channel, message in cast("list[tuple[str, BaseMessage]]", value):
                found.setdefault(channel, []).append(message)
    return found


def _is_there(head: SavedCheckpoint, thread: Thread) -> bool:
    slots = thread.state.saved.writes.get((head.ns, head.checkpoint_id), {})
    return (PARTIAL, PARTIAL_IDX) in slots


def _message(chunks: Sequence[AIMessageChunk]) -> AIMessage:
    """Return what was said, as a message: its words alone, for calls and thoughts that are cut off are refused by providers."""
    text = "".join(str(chunk.text) for chunk in chunks)
    identity = next((chunk.id for chunk in chunks if chunk.id), None)
    return AIMessage(text, id=identity, response_metadata={"partial": True})
