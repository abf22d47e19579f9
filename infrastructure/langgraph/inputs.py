"""A run's input in stored form: messages typed, and with ids, from the moment on when the run is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from langchain_core.messages import BaseMessage, convert_to_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ...domain.values import Json

ROOT = "__root__"
"""The one channel of a graph whose state is no object of channels."""

ROLES = frozenset({"user", "human", "assistant", "ai", "system", "developer"})


def with_messages(given: Json, channels: Collection[str], new_id: Callable[[], str]) -> object:
    """Return the input with messages, each with an id, in the channels that hold messages.

    What is no message stays as it is, with all else in its channel, for the run to fail on.
    """
    if ROOT in channels:
        return _messages(given, new_id)
    if not isinstance(given, dict):
        return given
    return {
        name: _messages(value, new_id) if name in channels else value
        for name, value in given.items()
    }


def _messages(given: Json, new_id: Callable[[], str]) -> object:
    if given is None or (isinstance(given, dict) and "__overwrite__" in given):
        return given
    entries = given if isinstance(given, list) and not _is_pair(given) else [given]
    try:
        messages = [_message(entry) for entry in entries]
    except Exception:  # noqa: BLE001 - LangChain raises many kinds, and the run will raise it again
        return given
    for message in messages:
        if not message.id:
            message.id = new_id()
    return messages


def _message(entry: Json) -> BaseMessage:
    pair = tuple(cast("list[str]", entry)) if _is_pair(entry) else entry
    (message,) = convert_to_messages([cast("str", pair)])
    return message


def _is_pair(given: Json) -> bool:
    """Say whether this is a tuple of role and text, which JSON has no other form for."""
    if not isinstance(given, list) or len(given) != 2:
        return False
    role, text = given
    return isinstance(role, str) and role in ROLES and isinstance(text, str | list)
