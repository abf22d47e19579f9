"""The registry of classes whose objects may be stored: those known from the start, and those that the user names.

A class is found by its stored name in here and nowhere else: nothing is ever imported because a stored value says so.
"""

from __future__ import annotations

import sys
from copy import copy
from typing import TYPE_CHECKING, Self

from langchain_core.agents import (
    AgentAction,
    AgentActionMessageLog,
    AgentFinish,
    AgentStep,
)
from langchain_core.documents import Document
from langchain_core.documents.base import Blob
from langchain_core.messages import BaseMessage, BaseMessageChunk
from langchain_core.messages.base import TextAccessor
from langgraph import errors as langgraph_errors
from langgraph.store.base import Item, SearchItem
from langgraph.types import (
    Overwrite,
    PregelTask,
    StateSnapshot,
    StateUpdate,
    TimeoutPolicy,
)

from ...domain.errors import ConfigurationError
from .annotations import classes_in
from .coding import name_of
from .containers import BASIC_CLASSES, WRITE_CONTAINER
from .forms import form_of
from .leaves import WRITE_LEAF
from .messages import MESSAGE_CLASSES
from .raised import BASIC_ERRORS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .forms import Form

KNOWN_CLASSES: tuple[type, ...] = (
    *(BaseMessage, BaseMessageChunk, TextAccessor, Document, Blob),
    *(AgentAction, AgentActionMessageLog, AgentStep, AgentFinish),
    *(Overwrite, TimeoutPolicy, StateUpdate, PregelTask, StateSnapshot, Item, SearchItem),
    *BASIC_ERRORS,
    *(
        error
        for error in vars(langgraph_errors).values()
        if isinstance(error, type)
        and issubclass(error, BaseException)
        and error.__module__ == langgraph_errors.__name__
    ),
)
"""What agents put into their state beside messages and Python's own types."""

_NATIVE = frozenset(
    {*MESSAGE_CLASSES.values(), *WRITE_LEAF, *WRITE_CONTAINER, *BASIC_CLASSES.values()}
)
"""What is stored without being registered."""


class TypeRegistry:
    """Which classes may be stored, by their name `module:qualified name`."""

    def __init__(self) -> None:
        self._by_name = _KNOWN_BY_NAME.copy()
        self._by_class = _KNOWN_BY_CLASS.copy()
        self._allowed: frozenset[tuple[str, str]] = frozenset()

    def add(self, cls: type) -> None:
        """Register one class. A later one of the same name takes its place at reading.

        Raises:
            ConfigurationError: objects of such a class cannot be stored.
        """
        if not self.include(cls):
            raise ConfigurationError(f"Objects of the class {name_of(cls)} cannot be stored")

    def add_all(self, classes: Iterable[type]) -> None:
        """Register each of the classes."""
        for cls in classes:
            self.add(cls)

    def extended(self, *classes: type) -> Self:
        """Return a copy that has these classes too."""
        copied = self._copied()
        copied.add_all(classes)
        return copied

    def with_schema(self, *schemas: object) -> Self:
        """Return a copy that has all classes that these types name.

        Each may be a class that is to be stored, or a state's schema: TypedDicts, dataclasses and models are searched for
        what their annotations name, to any depth. Annotations that cannot be resolved, and classes whose objects
        cannot be stored, are passed over: they show when such an object is written.
        """
        copied = self._copied()
        for cls in classes_in(*schemas):
            copied.include(cls)
        return copied

    def with_allowlist(self, allowlist: Collection[tuple[str, ...] | type]) -> Self:
        """Return a registry that has these classes too, named as LangGraph does when it compiles a graph.

        It gives pairs of module and name, where a nested class has no more than its own name. The same registry comes back if
        it has them all.
        """
        classes = [entry for entry in allowlist if isinstance(entry, type)]
        pairs = {(entry[0], entry[-1]) for entry in allowlist if isinstance(entry, tuple)}
        classes += [cls for pair in pairs if (cls := _loaded(*pair)) is not None]
        new = [cls for cls in classes if cls not in self._by_class and cls not in _NATIVE]
        pairs -= {(cls.__module__, cls.__name__) for cls in classes}
        if not new and pairs <= self._allowed:
            return self
        copied = self._copied(pairs)
        for cls in new:
            copied.include(cls)
        return copied

    def form_of(self, cls: type) -> Form | None:
        """Return the form for a class; None if it is not registered."""
        form = self._by_class.get(cls)
        if form is None and (cls.__module__, cls.__name__) in self._allowed and self.include(cls):
            return self._by_class[cls]
        return form

    def form_named(self, name: str) -> Form | None:
        """Return the form for the class of this stored name; None if no such class is registered."""
        form = self._by_name.get(name)
        if form is None:
            module, _, qualname = name.partition(":")
            if (module, qualname.rpartition(".")[2]) in self._allowed:
                cls = _loaded(module, qualname)
                if cls is not None and self.include(cls):
                    return self._by_name.get(name)
        return form

    def _copied(self, allowed: Iterable[tuple[str, str]] = ()) -> Self:
        copied = copy(self)
        copied.__dict__.update(
            _by_name=self._by_name.copy(),
            _by_class=self._by_class.copy(),
            _allowed=self._allowed.union(allowed),
        )
        return copied

    def include(self, cls: type) -> bool:
        """Register one class if its objects can be stored; say whether they can."""
        if cls in _NATIVE or cls in self._by_class:
            return True
        form = form_of(cls)
        if form is None:
            return False
        self._by_class[cls] = form
        self._by_name[form.name] = form
        return True


def _loaded(module: str, qualname: str) -> type | None:
    """Return a class of a module that somebody has imported; a module that imports what it is asked for is not asked."""
    found: object = sys.modules.get(module)
    for name in qualname.split("."):
        found = vars(found).get(name) if hasattr(found, "__dict__") else None
    return found if isinstance(found, type) else None


_KNOWN = [form for cls in KNOWN_CLASSES if (form := form_of(cls)) is not None]
_KNOWN_BY_NAME = {form.name: form for form in _KNOWN}
_KNOWN_BY_CLASS: dict[type, Form] = {form.cls: form for form in _KNOWN}
