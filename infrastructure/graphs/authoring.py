"""What the author of a function graph works with: what a function is given, and what it may give."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ParamSpec, cast

from ...domain.channels import copied, copied_object
from ...domain.errors import ConfigurationError, InvalidInputError
from ...domain.values import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ...domain.graph_ports import RunContext
    from ...domain.values import Json, JsonObject
    from .threads import Threads

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Update:
    """An update of the state by a node other than the function itself."""

    node: str
    values: Mapping[str, Any]

    def __post_init__(self) -> None:
        node, values = cast("object", self.node), cast("object", self.values)
        if not isinstance(node, str) or not node:
            raise InvalidInputError(f"Update: expected the name of a node, got {node!r}")
        if not isinstance(values, Mapping):
            kind = type(values).__name__
            raise InvalidInputError(f"Update: expected a dict of channels by {node}, got {kind}")


@dataclass(frozen=True, slots=True)
class Custom:
    """Data for those who stream the run with mode `custom`. It is no part of the state."""

    data: object


@dataclass(frozen=True, slots=True)
class MessageChunk:
    """A piece of a message, a token as a rule, for those who stream the run with mode `messages`.

    `message` is a message object or a chunk of LangChain's. Its `id` is that of the message which a later update records
    whole: clients put pieces together by it.
    """

    message: object
    metadata: Mapping[str, Any] | None = None


def streamed(given: MessageChunk, node: str) -> Json:
    """Return a chunk as it is streamed: the piece of the message, and what is known of it.

    Raises:
        InvalidInputError: it cannot be told which message it is a piece of.
    """
    message = canonical(given.message, f"{node}.message")
    if not isinstance(message, dict) or not isinstance(message.get("id"), str):
        raise InvalidInputError(
            f"{node}.message: expected an object with the id of the message it is part of"
        )
    kind = message.pop("type", None) or message.get("role")
    message.pop("role", None)
    chunk: JsonObject = {
        "content": "",
        "additional_kwargs": {},
        "response_metadata": {},
        "type": "AIMessageChunk" if kind in (None, "ai", "assistant") else kind,
        "name": None,
        "id": None,
        "tool_calls": [],
        "invalid_tool_calls": [],
        "usage_metadata": None,
        "tool_call_chunks": [],
        **message,
    }
    metadata = canonical(dict(given.metadata or {}), f"{node}.metadata")
    return [chunk, {"langgraph_node": node, **cast("JsonObject", metadata)}]


# ------------------------------------------------------------------ the run


class RunHandle:
    """The run, as its function sees it."""

    def __init__(self, context: RunContext, threads: Threads) -> None:
        self._context = context
        self._threads = threads
        self._times: dict[str, int] = {}

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._context.run_id

    @property
    def thread_id(self) -> str:
        """The id of the run's thread."""
        return self._context.thread_id

    @property
    def attempt(self) -> int:
        """1, or more if the processes of earlier attempts were lost."""
        return self._context.attempt

    @cached_property
    def config(self) -> dict[str, Any]:
        """The run's `config`, as a copy, with its caller (`langgraph_auth_user`, …) in `configurable`, if there is one."""
        config: dict[str, Any] = copied_object(self._context.config)
        if self._context.caller:
            config["configurable"] = {**(config.get("configurable") or {}), **self._context.caller}
        return config

    @cached_property
    def context(self) -> dict[str, Any]:
        """The run's `context`, as a copy."""
        return copied_object(self._context.context)

    def step(
        self, name: str, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Any]:
        """Return the function's result, as JSON; a later attempt of the run gets the same one without a call.

        Sync functions are called in a thread. The result is durable before it is returned. A name that comes again in the
        run is numbered, in the order of the calls: `name`, `name#2`, … What the function raises is not recorded.

        Raises:
            NotJsonError: JSON cannot hold the result.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            message = "run.step() is for async functions: a sync one cannot await it"
            raise ConfigurationError(message) from None
        # Numbered here, not in the coroutine, whose start is up to the event loop.
        return self._step(
            self._numbered(name), lambda: self._threads.call(function, *args, **kwargs)
        )

    async def _step(self, name: str, call: Callable[[], Coroutine[Any, Any, object]]) -> Json:
        results = self._context.results
        if name in results:
            return copied(results[name])
        result = canonical(await call(), name)
        await self._context.record_result(name, result)
        return copied(result)

    def _numbered(self, name: str) -> str:
        times = self._times.get(name, 0) + 1
        self._times[name] = times
        # A name that looks like a numbered one must not become equal to it.
        return name if times == 1 and "#" not in name else f"{name}#{times}"
