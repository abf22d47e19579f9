"""The one way from a request to the engine: the bare one where nothing is asked, else the caller's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from starlette.exceptions import HTTPException

from .guarded import guarded
from .handlers import UNAUTHORIZED, Handlers
from .keys import ApiKeys

if TYPE_CHECKING:
    from starlette.requests import Request

    from ...engine import Engine
    from ...users import User


class Door:
    """What an app knows of who may call: from its engine's `auth` and `settings.api_keys`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.keys = ApiKeys(key.get_secret_value() for key in engine.settings.api_keys)
        self.handlers = None if engine.auth is None else Handlers(engine.auth)

    @property
    def is_open(self) -> bool:
        """Whether anybody may call, and has everything."""
        return not self.keys and self.handlers is None

    def engine_for(self, request: Request) -> Engine:
        """Return the engine as the request's caller has it; raises HTTPException if nobody said who that is."""
        if self.handlers is None:
            return self._engine
        known = cast("dict[str, Any]", request.scope.setdefault("state", {}))
        if "engine" not in known:
            user = _user(request)
            known["engine"] = guarded(self._engine, self.handlers, user, request.method)
        return cast("Engine", known["engine"])

    async def require(
        self, request: Request, resource: str, action: str, value: dict[str, object]
    ) -> None:
        """Have the handlers allow what the engine is not asked for. Raises HTTPException."""
        if self.handlers is not None:
            await self.handlers.access(_user(request), resource, action, value)


def _user(request: Request) -> User:
    user = getattr(request.state, "user", None)
    if user is None:
        raise HTTPException(401, UNAUTHORIZED)
    return cast("User", user)
