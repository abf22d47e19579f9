"""The engine as the routes have it for one request: each call is asked for, and bounded by the answer.

It hands out coroutine functions of the engine and its parts, wrapped, and what is listed as open; nothing else, so that a route
that reaches for something new fails until there is a rule for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from ....domain.errors import ThreadNotFoundError
from ...assistant_threads import began_with
from .rules import OPEN, passed_on, rule_of, shown

if TYPE_CHECKING:
    from inspect import Signature

    from ....domain.events import RecordedEvent
    from ...access import Access
    from ...engine import Engine
    from ...users import User
    from ...views import ThreadView
    from .handlers import Handlers

PACKAGE = __name__.partition(".")[0]


def guarded(engine: Engine, handlers: Handlers, user: User, method: str) -> Engine:
    """Return the engine for one request of a user; `method` is the request's."""
    return cast("Engine", _Guarded(_Asked(engine, handlers, user, method), engine, ""))


class _Asked:
    """What the guarded parts of one request share."""

    def __init__(self, engine: Engine, handlers: Handlers, user: User, method: str) -> None:
        self.engine = engine
        self._handlers = handlers
        self._user = user
        self._method = method

    async def call(self, name: str, signature: Signature, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        """Ask, then call the method on an engine that reaches no further than the answer."""
        rule = rule_of(name, self._method)
        bound = signature.bind(*args, **kwargs)
        if "assistant_id" in bound.arguments and rule.resource == "threads":
            await self._require_assistant(str(bound.arguments["assistant_id"]))
        value = rule.value(bound.arguments)
        access = await self._handlers.access(self._user, rule.resource, rule.action, value)
        passed_on(rule, bound.arguments, value)
        target: Any = self.engine.seen_by(access)
        for part in name.split("."):
            target = getattr(target, part)
        return await target(*bound.args, **bound.kwargs)

    async def _require_assistant(self, assistant_id: str) -> None:
        """Raise AssistantNotFoundError for an assistant that the user may not read; those of graphs are everybody's."""
        graphs = self.engine.graphs
        if graphs.default_graph(graphs.assistant_id(assistant_id)) is not None:
            return
        value = shown("assistant_id")({"assistant_id": assistant_id})
        access = await self._handlers.access(self._user, "assistants", "read", value)
        await self.engine.seen_by(access).assistants.get(assistant_id)

    async def copy_thread(self, thread_id: str) -> ThreadView:
        """Copy: it reads one thread and creates another."""
        value = shown("thread_id")({"thread_id": thread_id})
        source = await self._handlers.access(self._user, "threads", "read", value)
        view = await self.engine.seen_by(source).get_thread(thread_id)
        value = {"metadata": dict(view.metadata)}
        target = await self._handlers.access(self._user, "threads", "create", value)
        both = type(source)(self._user, source.filter, source.within, target.stamp)
        return await self.engine.seen_by(both).copy_thread(thread_id)

    async def delete_assistant(self, assistant_id: str, *, with_threads: bool = False) -> None:
        """Delete an assistant; its threads are asked for as if the user searched them, and deleted one after the other."""
        access = await self._access("assistants.delete", {"assistant_id": assistant_id})
        await self.engine.seen_by(access).assistants.delete(
            assistant_id, with_threads=with_threads, delete_threads=self._delete_threads
        )

    async def _delete_threads(self, assistant_id: str) -> None:
        where = began_with(assistant_id)
        found = self.engine.seen_by(await self._access("queries.thread_ids", {"where": where}))
        ids = await found.queries.thread_ids(where)
        # All are asked for before any is gone: a refusal is that of the whole call.
        reached = [(each, await self._access("delete_thread", {"thread_id": each})) for each in ids]
        for thread_id, access in reached:
            # Some are found, and not theirs to delete; others are gone meanwhile.
            with suppress(ThreadNotFoundError):
                await self.engine.seen_by(access).delete_thread(thread_id)

    async def _access(self, name: str, arguments: dict[str, Any]) -> Access:
        rule = rule_of(name, self._method)
        value = rule.value(arguments)
        return await self._handlers.access(self._user, rule.resource, rule.action, value)

    async def log(
        self, thread_id: str, *, after: int = 0, limit: int | None = None
    ) -> tuple[RecordedEvent, ...]:
        """Return the thread's events, without those of earlier threads of the same id, which may have been others'."""
        value = shown("thread_id")({"thread_id": thread_id})
        access = await self._handlers.access(self._user, "threads", "read", value)
        queries = self.engine.seen_by(access).queries
        since = (await queries.thread(thread_id)).created_at
        while True:
            events = await queries.log(thread_id, after=after, limit=limit)
            own = tuple(recorded for recorded in events if recorded.recorded_at >= since)
            if own or not events:
                return own
            after = events[-1].version


class _Guarded:
    """The engine, or a part of it such as its queries."""

    def __init__(self, asked: _Asked, target: object, prefix: str) -> None:
        self._asked = asked
        self._target = target
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the engine has there
        if name.startswith("_"):
            raise AttributeError(name)
        asked, path = self._asked, self._prefix + name
        if path in _OWN:
            return getattr(asked, _OWN[path])
        found = getattr(self._target, name)
        if path in OPEN:
            return found
        if inspect.iscoroutinefunction(found):
            signature = _signature(cast("Callable[..., object]", getattr(found, "__func__", found)))

            async def call(*args: object, **kwargs: object) -> Any:  # noqa: ANN401
                return await asked.call(path, signature, args, kwargs)

            return call
        if not callable(found) and type(found).__module__.startswith(f"{PACKAGE}.app."):
            return _Guarded(asked, found, f"{path}.")
        raise AttributeError(f"{path}: there is no rule for who may have it")


_OWN = {
    "assistants.delete": "delete_assistant",
    "copy_thread": "copy_thread",
    "queries.log": "log",
}
"""Methods that need more than one answer, or less than the engine's."""


@lru_cache(maxsize=256)
def _signature(function: Callable[..., object]) -> Signature:
    """Return a method's signature without its `self`."""
    whole = inspect.signature(function)
    return whole.replace(parameters=list(whole.parameters.values())[1:])
