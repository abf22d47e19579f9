"""Who calls: what an authentication handler returned, in one form; and whose the runs in flight are. Nothing is stored here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from ..domain.channels import copied

if TYPE_CHECKING:
    from ..domain.thread import Run, Thread
    from ..domain.values import Json, JsonObject

CALLERS_MAX = 10_000
"""Runs in flight whose callers are known in full."""


class User:
    """A caller, with attributes and as a mapping, as handlers and graphs expect either.

    What the handler returned beside the four fields that all users have is there under its own names.
    """

    def __init__(self, identity: str, given: object = None) -> None:
        self._given = given
        found = _field(given, "permissions", ())
        permissions = [found] if isinstance(found, str) else cast("Iterable[object]", found or ())
        self._own: dict[str, Any] = {
            "identity": identity,
            "display_name": str(_field(given, "display_name", None) or identity),
            "is_authenticated": bool(_field(given, "is_authenticated", True)),  # noqa: FBT003
            "permissions": [str(permission) for permission in permissions],
        }

    @property
    def identity(self) -> str:
        """Who it is: the actor of what is recorded."""
        return self._own["identity"]

    @property
    def display_name(self) -> str:
        """The name for people."""
        return self._own["display_name"]

    @property
    def is_authenticated(self) -> bool:
        """Whether the handler knows the caller."""
        return self._own["is_authenticated"]

    @property
    def permissions(self) -> list[str]:
        """What the handler says that the caller may do."""
        return self._own["permissions"]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the handler's own user has
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401
        if key in self._own:
            return self._own[key]
        found = _field(self._given, key, _MISSING)
        if found is _MISSING:
            raise KeyError(key)
        return found

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and (
            key in self._own or _field(self._given, key, _MISSING) is not _MISSING
        )

    def __iter__(self) -> Iterator[str]:
        given, more = self._given, ()
        if isinstance(given, Mapping):
            more = tuple(cast("Mapping[str, object]", given))
        return iter(dict.fromkeys((*self._own, *more)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def get(self, key: str, default: object = None) -> Any:  # noqa: ANN401
        """Return a field, or the default."""
        return self[key] if key in self else default  # noqa: SIM401 - this is what that would call

    def keys(self) -> list[str]:
        """Return the names of the fields, so that `dict(user)` works."""
        return list(iter(self))

    def __repr__(self) -> str:
        return f"User({self.identity!r})"  # Without the rest: it may hold a token.


_MISSING = object()


def _field(given: object, name: str, default: object) -> object:
    if isinstance(given, Mapping):
        return cast("Mapping[str, object]", given).get(name, default)
    if given is None or isinstance(given, str) or name.startswith("_"):
        return default
    return getattr(given, name, default)


class Callers:
    """The callers of the runs that this process accepted and that are in flight.

    The log knows only their identities (the actor of each acceptance). What else is known of them lasts as long as the process:
    a run that is taken up after that, or by another process, goes on with the identity alone.
    """

    def __init__(self) -> None:
        self._users: OrderedDict[str, User] = OrderedDict()

    def accepted(self, run_ids: Iterable[str], user: User) -> None:
        """Remember whose these runs are."""
        for run_id in run_ids:
            self._users[run_id] = user
            if len(self._users) > CALLERS_MAX:
                self._users.popitem(last=False)

    def settle(self, before: Thread, after: Thread) -> None:
        """Forget those of runs that have ended."""
        if self._users:
            for run_id in before.runs:
                if run_id not in after.runs:
                    self._users.pop(run_id, None)

    def of(self, run: Run) -> User | None:
        """Return the run's caller; None if nobody is named."""
        user = self._users.get(run.run_id)
        return user if user is not None or run.actor is None else User(run.actor)


def auth_fields(user: User | None, kwargs: JsonObject) -> dict[str, object]:
    """Return what a graph finds of its caller in `config["configurable"]`; `kwargs` are those of its run."""
    if user is None:
        return {}
    return {
        "langgraph_auth_user": user,
        "langgraph_auth_user_id": user.identity,
        "langgraph_auth_permissions": list(user.permissions),
        "user_id": copied(user_id_of(kwargs, user.identity)),
    }


def user_id_of(kwargs: JsonObject, actor: str | None) -> Json:
    """Return whom a run is for: whom its caller or its assistant names, else who the caller is, as far as that is known.

    A server that is a user of its own names those whom it asks for. So this is no proof of who calls.
    """
    config = kwargs.get("config")
    configurable = config.get("configurable") if isinstance(config, dict) else None
    for named in (configurable, kwargs.get("context")):
        found = named.get("user_id") if isinstance(named, dict) else None
        if found is not None and found != "":
            return found
    return actor or ""
