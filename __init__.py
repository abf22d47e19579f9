"""Threadfold: an event-sourced engine for agent threads.

This module is the public face. What `__all__` lists is the API; every other name may change. Names are loaded when they are first
used, so that importing the pure domain needs neither a database nor a server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .app.bootstrap import Custom, MessageChunk, ReadOnlyState, RunHandle, Update
    from .app.checkpointer import ThreadfoldSaver
    from .app.client import get_client
    from .app.engine import Engine
    from .app.settings import Settings
    from .domain.reducers import append, messages

__all__ = [
    "Custom",
    "Engine",
    "MessageChunk",
    "ReadOnlyState",
    "RunHandle",
    "Settings",
    "ThreadfoldSaver",
    "Update",
    "__version__",
    "append",
    "get_client",
    "messages",
]

__version__ = "0.1.0"

_HOMES = {
    "Custom": ".app.bootstrap",
    "Engine": ".app.engine",
    "MessageChunk": ".app.bootstrap",
    "ReadOnlyState": ".app.bootstrap",
    "RunHandle": ".app.bootstrap",
    "Settings": ".app.settings",
    "ThreadfoldSaver": ".app.checkpointer",
    "Update": ".app.bootstrap",
    "append": ".domain.reducers",
    "get_client": ".app.client",
    "messages": ".domain.reducers",
}


def __getattr__(name: str) -> object:
    """Load a public name from its home, once."""
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    try:
        value = getattr(import_module(home, __name__), name)
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("langgraph"):
            raise
        message = f'{name} needs LangGraph: pip install "threadfold[langgraph]"'
        raise ImportError(message) from error
    globals()[name] = value
    return value
