"""The handlers of a `langgraph_sdk.Auth`: found, called, and their answers understood, or refused as what they are: defects.

A handler that raises `Auth.exceptions.HTTPException` answers with that. One that fails in any other way, or returns what it may
not, has a defect: the caller gets a plain 500, the log the reason, and nothing is let through.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langgraph_sdk import Auth
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from ....domain.errors import ConfigurationError
from ....domain.values import JsonObject, canonical, same
from ...access import Access
from ...metadata_filters import EVERYTHING, FilterError, MetadataFilter, metadata_filter
from ...users import User

logger = logging.getLogger(__name__)

Handler = Callable[..., Any]
ByAction = dict[tuple[str, str], list[Handler]]

UNAUTHORIZED = "Unauthorized"
FORBIDDEN = "Forbidden"
BROKEN = "The server's authentication handler failed"
BROKEN_RULE = "The server's authorization handler failed"

PARAMETERS = frozenset(
    {
        "request", "body", "path", "method", "path_params", "query_params", "headers", "authorization",
    }
)  # fmt: skip
"""What an authentication handler may ask for, by name."""

RESOURCES = frozenset({"threads", "assistants", "*"})
"""What there is a rule for; other resources are not served yet."""


@dataclass(frozen=True, slots=True)
class Context:
    """`AuthContext` as handlers get it."""

    user: User
    permissions: Sequence[str]
    resource: str
    action: str


class Handlers:
    """The handlers of one `Auth`.

    Raises:
        ConfigurationError: there is no authentication handler, or it asks for what there is not.
    """

    def __init__(self, auth: Auth) -> None:
        # "These are accessed by the API", the SDK says of them: their names are a promise to servers.
        registered: Any = auth
        handler: Handler | None = registered._authenticate_handler  # noqa: SLF001
        if handler is None:
            raise ConfigurationError("auth: nothing is decorated with @auth.authenticate")
        self._authenticate = handler
        self._by_action: ByAction = dict(registered._handlers)  # noqa: SLF001
        self._global: list[Handler] = list(registered._global_handlers)  # noqa: SLF001
        self.asks = _asked_of(self._authenticate)
        """What the authentication handler wants to know of a request."""
        for resource in sorted({resource for resource, _ in self._by_action} - RESOURCES):
            logger.warning("auth.on.%s: not supported yet, and ignored", resource)

    # ------------------------------------------------------------------ who

    async def user(self, known: Mapping[str, object]) -> User:
        """Return who calls; raises HTTPException: 401, what the handler says, or 500 if it is broken."""
        arguments = {name: known[name] for name in self.asks}
        given = await _called(self._authenticate, BROKEN, **arguments)
        if given is None or given is False or given == "":
            raise HTTPException(401, UNAUTHORIZED)
        identity = given if isinstance(given, str) else _identity(given)
        if not isinstance(identity, str):
            logger.error(
                "the authentication handler returned %s, which has no identity",
                type(given).__name__,
            )
            raise HTTPException(500, BROKEN)
        try:
            user = User(identity, given)
        except Exception as error:
            logger.exception("the authentication handler returned a user that cannot be read")
            raise HTTPException(500, BROKEN) from error
        if not identity or not user.is_authenticated:
            raise HTTPException(401, UNAUTHORIZED)
        return user

    # ------------------------------------------------------------------ what

    async def access(self, user: User, resource: str, action: str, value: dict[str, Any]) -> Access:
        """Return what the user reaches with an action; the handler may change `value`.

        Raises:
            HTTPException: 403, what the handler says, or 500 if it is broken.
        """
        handler = self._handler(resource, action)
        if handler is None:
            return Access(user)
        before = canonical(value.get("metadata", {}), "metadata")
        context = Context(user, user.permissions, resource, action)
        answer = await _called(handler, BROKEN_RULE, ctx=context, value=value)
        if answer is False:
            raise HTTPException(403, FORBIDDEN)
        try:
            rule = _rule(answer)
            added = _added(before, value.get("metadata", {}))
        except Exception as error:
            logger.exception("the authorization handler of %s.%s is broken", resource, action)
            raise HTTPException(500, BROKEN_RULE) from error
        stamp = {**added, **rule.equalities()}
        return Access(user, rule, added if action == "search" else {}, stamp)

    def _handler(self, resource: str, action: str) -> Handler | None:
        """Return the most specific one."""
        for key in ((resource, action), (resource, "*"), ("*", action)):
            found = self._by_action.get(key)
            if found:
                return found[-1]
        return self._global[-1] if self._global else None


async def _called(handler: Handler, problem: str, **arguments: object) -> object:
    """Call a handler; one that is not async is called in a thread, since it may block."""
    try:
        is_async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004 - of an object that can be called
        )
        given = handler(**arguments) if is_async else await run_in_threadpool(handler, **arguments)
        return await cast("Awaitable[object]", given) if inspect.isawaitable(given) else given
    except Auth.exceptions.HTTPException as error:
        headers = dict(error.headers or {})
        raise HTTPException(error.status_code, error.detail, headers) from error
    except HTTPException:
        raise  # FastAPI's and Starlette's own, which handlers raise just as well.
    except Exception as error:
        logger.exception("an auth handler failed")
        raise HTTPException(500, problem) from error


def _identity(given: object) -> object:
    if isinstance(given, Mapping):
        return cast("Mapping[str, object]", given).get("identity")
    return getattr(given, "identity", None)


def _rule(answer: object) -> MetadataFilter:
    if answer is None or answer is True:
        return EVERYTHING
    if isinstance(answer, Mapping):
        return metadata_filter(cast("Mapping[str, object]", answer))
    kind = type(answer).__name__
    raise FilterError(f"a handler returns None, True, False or a filter, not a {kind}")


def _added(before: object, after: object) -> JsonObject:
    """Return what a handler put into the metadata."""
    content = canonical({} if after is None else after, "metadata")
    if not isinstance(content, dict):
        raise FilterError(f"metadata must stay an object, not {after!r}")
    old = cast("JsonObject", before)
    return {
        key: value for key, value in content.items() if key not in old or not same(old[key], value)
    }


def _asked_of(handler: Handler) -> frozenset[str]:
    names: set[str] = set()
    for name, parameter in inspect.signature(handler).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name in PARAMETERS and parameter.kind is not parameter.POSITIONAL_ONLY:
            names.add(name)
        elif parameter.default is parameter.empty:
            known = ", ".join(sorted(PARAMETERS))
            raise ConfigurationError(
                f"auth: the authentication handler asks for {name}; there are {known}"
            )
    return frozenset(names)
