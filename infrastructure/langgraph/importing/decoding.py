"""Decodes the values in LangGraph's checkpoint databases, exactly or not at all. It imports no module that a database names.

The bytes are those of LangGraph's JsonPlusSerializer. It reads what it cannot rebuild as plain data instead, with no more than a
warning; for an import that would be a loss nobody sees, so here it is an error.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from collections import deque
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import ormsgpack
from langchain_core import messages
from langchain_core.documents import Document
from langgraph import types as graph_types
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import (
    _DeltaSnapshot,  # pyright: ignore[reportPrivateUsage] - databases hold it, and it has no other name
)
from langgraph.store import base as store_types

from .recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Builder: TypeAlias = Callable[..., object]
    Name: TypeAlias = tuple[str, str]

OPTIONS = ormsgpack.OPT_NON_STR_KEYS

SINGLE, POSITIONAL, KEYWORDS, METHOD, PYDANTIC_V1, PYDANTIC_V2, ARRAY, DELTA_SNAPSHOT = range(8)
"""The kinds of extensions, as they are stored."""

KNOWN_BYTES_MAX = 8 << 20

KNOWN_TYPES: tuple[type, ...] = (
    *(datetime, date, time, timedelta, timezone, ZoneInfo),
    *(UUID, Decimal, set, frozenset, deque),
    *(ipaddress.IPv4Address, ipaddress.IPv4Interface, ipaddress.IPv4Network),
    *(ipaddress.IPv6Address, ipaddress.IPv6Interface, ipaddress.IPv6Network),
    *(messages.BaseMessage, messages.BaseMessageChunk),
    *(messages.HumanMessage, messages.HumanMessageChunk),
    *(messages.AIMessage, messages.AIMessageChunk),
    *(messages.SystemMessage, messages.SystemMessageChunk),
    *(messages.ChatMessage, messages.ChatMessageChunk),
    *(messages.ToolMessage, messages.ToolMessageChunk),
    *(messages.FunctionMessage, messages.FunctionMessageChunk),
    *(messages.RemoveMessage, Document),
    *(graph_types.TimeoutPolicy, graph_types.Interrupt, graph_types.Command),
    *(graph_types.StateSnapshot, graph_types.PregelTask, graph_types.Overwrite),
    *(store_types.Item, store_types.GetOp),
)
"""Types that need not be named to be read back: those that LangGraph itself takes for harmless."""


class UndecodableError(Exception):
    """A value cannot be read back as what it was. `channel` is where it stood, if that is known."""

    def __init__(self, reason: str, *, channel: str | None = None) -> None:
        super().__init__(reason if channel is None else f"channel {channel}: {reason}")
        self.reason = reason


class _Raw(NamedTuple):
    """An extension as it is stored."""

    code: int
    data: bytes


class Decoder:
    """Reads values back. `types` are the classes that may be rebuilt, besides the known ones."""

    def __init__(self, types: Iterable[type] = ()) -> None:
        self._builders: dict[Name, Builder] = dict(_known_builders())
        self._builders.update(((kind.__module__, kind.__name__), kind) for kind in types)
        self._problem: UndecodableError | None = None
        # Checkpoints have most of their objects in common with the one before: each is made once. Nobody changes them here.
        self._known = Recent[tuple[int, bytes], object](KNOWN_BYTES_MAX)
        self._serializer = JsonPlusSerializer(
            __unpack_ext_hook__=self._extension,
            allowed_json_modules=[(*module.split("."), name) for module, name in self._builders],
        )

    def value(self, kind: str | None, data: bytes | None, *, channel: str | None = None) -> object:
        """Return one value.

        Raises:
            UndecodableError: says what is in the way.
        """
        try:
            return self._decoded(kind, b"" if data is None else data)
        except UndecodableError as error:
            raise UndecodableError(error.reason, channel=channel) from error

    def checkpoint(self, kind: str | None, data: bytes | None) -> dict[str, Any]:
        """Return a checkpoint that is stored as a whole.

        Raises:
            UndecodableError: names the channel where it can.
        """
        try:
            found = self._decoded(kind, b"" if data is None else data)
        except UndecodableError:
            if kind == "msgpack" and data is not None:
                self._blame(data)
            raise
        if not isinstance(found, dict):
            raise UndecodableError("what is stored there is no checkpoint")
        return cast("dict[str, Any]", found)

    def _decoded(self, kind: str | None, data: bytes) -> object:
        if kind == "json":
            self._check_json(data)
        elif kind is not None and "+" in kind:
            raise UndecodableError(f"it is encrypted ({kind}), and no key is known here")
        elif kind == "pickle":
            raise UndecodableError("it is pickled, and reading that would run code of its own")
        self._problem = None
        try:
            return self._serializer.loads_typed((kind or "", data))
        except Exception as error:
            problem = self._problem or UndecodableError(f"it cannot be read back: {error}")
            raise problem from error

    def _blame(self, data: bytes) -> None:
        """Decode a checkpoint channel by channel, so that the error can name one."""
        try:
            raw = ormsgpack.unpackb(data, ext_hook=_Raw, option=OPTIONS)
            values = raw["channel_values"].items()
        except (ValueError, LookupError, TypeError, AttributeError):
            return  # It is no checkpoint at all.
        for channel, value in values:
            packed = ormsgpack.packb(value, default=_as_stored, option=OPTIONS)
            self.value("msgpack", packed, channel=channel)

    # -------------------------------------------------------------- msgpack

    def _extension(self, code: int, data: bytes) -> object:
        key = (code, data)
        known = self._known.get(key)
        if known is not None:
            return known
        try:
            made = self._rebuilt(code, data)
        except UndecodableError as error:
            self._problem = error  # The decoder passes on that something was raised, not what.
            raise
        self._known.put(key, made, len(data))
        return made

    def _rebuilt(self, code: int, data: bytes) -> object:
        stored: Any = ormsgpack.unpackb(data, ext_hook=self._extension, option=OPTIONS)
        if code == DELTA_SNAPSHOT:
            return _DeltaSnapshot(stored)
        if code == ARRAY:
            return _array(*stored)
        if code not in {SINGLE, POSITIONAL, KEYWORDS, METHOD, PYDANTIC_V1, PYDANTIC_V2}:
            raise UndecodableError(f"an extension of kind {code} is unknown")
        module, name, argument = stored[:3]
        build = self._builder(module, name)
        if code == METHOD:
            if build is not datetime or stored[3] != "fromisoformat":
                raise UndecodableError(f"{module}:{name} was to be made by its {stored[3]}")
            return datetime.fromisoformat(argument)
        try:
            return _built(build, code, argument)
        except Exception as error:
            raise UndecodableError(
                f"{module}:{name} does not take what is stored of it: {error}"
            ) from error

    def _builder(self, module: str, name: str) -> Builder:
        build = self._builders.get((module, name))
        if build is None:
            raise UndecodableError(
                f"it holds a {module}:{name}; name that class with --types {module}:{name}"
            )
        return build

    # -------------------------------------------------------------- JSON

    def _check_json(self, data: bytes) -> None:
        """See that all classes in JSON of before msgpack are known: others would be left as they are, silently."""

        def check(found: dict[str, Any]) -> dict[str, Any]:
            if found.get("lc") == 2 and found.get("type") == "constructor":
                *module, name = cast("list[str]", found.get("id") or [""])
                self._builder(".".join(module), name)
            return found

        try:
            json.loads(data, object_hook=check)
        except ValueError as error:
            raise UndecodableError(f"it is no JSON: {error}") from error


def _known_builders() -> Iterator[tuple[Name, Builder]]:
    for kind in KNOWN_TYPES:
        yield (kind.__module__, kind.__name__), kind
    # Where Path lives, and which one it was, depends on who wrote it.
    for module in ("pathlib", "pathlib._local"):
        for name in ("Path", "PosixPath", "WindowsPath"):
            yield (module, name), Path
    yield ("re", "compile"), re.compile
    yield ("langgraph.types", "Send"), _send


def _send(
    node: str, argument: object, timeout: graph_types.TimeoutPolicy | None = None
) -> graph_types.Send:
    if timeout is None:
        return graph_types.Send(node, argument)
    return graph_types.Send(node, argument, timeout=timeout)


def _array(kind: str, shape: list[int], order: str, data: bytes) -> object:
    try:
        numpy: Any = import_module("numpy")  # Only who stored an array needs it.
    except ImportError as error:
        raise UndecodableError("it holds a numpy array, and numpy is not installed") from error
    return numpy.frombuffer(data, dtype=numpy.dtype(kind)).reshape(shape, order=order)


def _built(build: Builder, code: int, argument: Any) -> object:  # noqa: ANN401 - whatever was stored
    if code == SINGLE:
        return build(argument)
    if code == POSITIONAL:
        return build(*argument)
    if code == KEYWORDS:
        return _from_fields(build, argument)
    try:
        return build(**argument)
    except Exception:  # noqa: BLE001 - it comes from the user's validators
        without_checks = getattr(build, "model_construct" if code == PYDANTIC_V2 else "construct")
        # What is stored may be older than they are; it is the user's to judge, as with LangGraph's own savers.
        return without_checks(**argument)


def _from_fields(build: Builder, fields: Mapping[str, object]) -> object:
    """Rebuild a dataclass, a named tuple or the like, whose stored fields are all it has."""
    if not dataclasses.is_dataclass(build):
        return build(**fields)
    names = {field.name: field.init for field in dataclasses.fields(build)}
    if names.keys() != fields.keys() or all(names.values()):
        return cast("Builder", build)(**fields)
    # Some of its fields are no parameters; their values are stored all the same.
    made: object = object.__new__(cast("type[object]", build))
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def _as_stored(value: object) -> ormsgpack.Ext:
    if isinstance(value, _Raw):
        return ormsgpack.Ext(value.code, value.data)
    raise TypeError(f"{type(value)} is not stored so")
