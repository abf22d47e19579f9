"""Records tool calls as they happen: a graph's checkpoints tell of them when the step is over, and never if it is cut off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import ToolMessage
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command

from ...domain.commands import RecordToolCall
from ...domain.errors import InvalidInputError, StaleAttemptError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Literal
    from uuid import UUID

    from ...domain.graph_ports import RunLog
    from ...domain.values import Json
    from .values import ValueCodec


class _Call(NamedTuple):
    call_id: str
    name: str
    task: str


class ToolRecorder(AsyncCallbackHandler):
    """A callback handler that records each tool call of a run: when it starts, and its result.

    A tool starts when it is durable that it did, so that what the log does not know of has not happened, and a fenced attempt
    starts none. Only where nobody may wait (sync code in a thread calls the tool), it is on its way.
    """

    run_inline = True
    raise_error = True

    def __init__(self, log: RunLog, codec: ValueCodec, new_id: Callable[[], str]) -> None:
        self._log = log
        self._codec = codec
        self._new_id = new_id
        self._calls: dict[UUID, _Call] = {}

    @property
    def ignore_llm(self) -> bool:
        """True: it is not called for what it has no use for."""
        return True

    @property
    def ignore_chat_model(self) -> bool:
        """True, likewise."""
        return True

    @property
    def ignore_chain(self) -> bool:
        """True, likewise."""
        return True

    @property
    def ignore_retriever(self) -> bool:
        """True, likewise."""
        return True

    async def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: object,
    ) -> None:
        """Record that a tool call starts; tools that no model called are left alone."""
        del input_str
        call_id = kwargs.get("tool_call_id")
        if not isinstance(call_id, str) or not call_id:
            return
        told: Mapping[str, Any] = metadata or {}
        task = told.get("langgraph_checkpoint_ns") or told.get("checkpoint_ns")
        call = _Call(call_id, str((serialized or {}).get("name", "")), str(task or ""))
        self._calls[run_id] = call
        await self._record(call, "started")

    async def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: object) -> None:  # noqa: ANN401 - of any tool
        """Record the result of a tool call: the message that answers it."""
        del kwargs
        call = self._calls.pop(run_id, None)
        if call is not None:
            await self._record(call, "finished", _answer(output, call.call_id))

    async def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: object) -> None:
        """Record that a tool call failed; one that asks a human goes on when it has its answer."""
        del kwargs
        call = self._calls.pop(run_id, None)
        if call is None or isinstance(error, GraphBubbleUp):
            return
        content = f"The tool call failed: {type(error).__name__}: {error}"
        message = ToolMessage(
            content=content, name=call.name, tool_call_id=call.call_id, status="error"
        )
        await self._record(call, "failed", message)

    async def _record(
        self,
        call: _Call,
        status: Literal["started", "finished", "failed"],
        message: ToolMessage | None = None,
    ) -> None:
        log = self._log
        command = RecordToolCall(
            thread_id=log.thread_id,
            run_id=log.run_id,
            attempt=log.attempt,
            call_id=call.call_id,
            name=call.name,
            task=call.task,
            status=status,
            result=self._encoded(message),
        )
        if asyncio.get_running_loop() is not log.loop:
            log.post(
                [command]
            )  # Whoever called the tool here may hold up the log's own loop meanwhile.
            return
        try:
            await log.record(log.thread_id, [command])
            if status == "started":
                await log.flush()
        except StaleAttemptError:
            if status == "started":
                raise

    def _encoded(self, message: ToolMessage | None) -> Json:
        """Return the message in stored form, with the id that it keeps; None if it holds what cannot be stored."""
        if message is None:
            return None
        message.id = message.id or self._new_id()
        for kept in (message, message.model_copy(update={"artifact": None})):
            try:
                return self._codec.encode(kept, "tool call")
            except InvalidInputError:
                continue  # Its step will be refused, and say why: what a tool gives is no reason to fail here.
        return None


def _answer(output: object, call_id: str) -> ToolMessage | None:
    """Return the message that answers the call, out of what its tool gave: a message, a command, or several of them."""
    given = cast("list[object]", output) if isinstance(output, list) else [output]
    for each in given:
        found = [each]
        if isinstance(each, Command):
            found = [
                entry for value in _updated(cast("Command[Any]", each)) for entry in _listed(value)
            ]
        for message in found:
            if isinstance(message, ToolMessage) and message.tool_call_id == call_id:
                return message
    return None


def _updated(command: Command[Any]) -> list[object]:
    """Return what a command gives to channels."""
    update: object = command.update
    if isinstance(update, dict):
        return list(cast("dict[str, object]", update).values())
    return [pair[1] if isinstance(pair, tuple) else pair for pair in _listed(update)]


def _listed(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]
