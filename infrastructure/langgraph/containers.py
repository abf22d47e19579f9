"""Python's own containers and LangGraph's own objects in typed JSON and back; plain lists and dicts are in `values.py`."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, defaultdict, deque
from typing import TYPE_CHECKING, Any, cast

from langgraph.checkpoint.serde.types import _DeltaSnapshot  # pyright: ignore[reportPrivateUsage]
from langgraph.types import Command, Interrupt, Send

from ...domain.typed import TAG
from .coding import Refusal, check, tagged, write_elements, write_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ...domain.values import Json
    from .coding import Reader, Writer
    from .leaves import ReadPayload, WriteValue

# ------------------------------------------------------------------ elements


def write_tuple(value: tuple[object, ...], writer: Writer, depth: int) -> Json:
    """Write a tuple that must stay one: everywhere else it is stored as a list, as LangGraph's serializer does."""
    return tagged("tuple", write_elements(value, writer, depth + 2))


def _write_set(value: set[object] | frozenset[object], writer: Writer, depth: int) -> Json:
    elements = write_elements(list(value), writer.hashable, depth + 2)
    # The order in which a set gives its elements is another in each process: it must not show.
    return tagged(type(value).__name__, sorted(elements, key=_rank))


def _rank(element: Json) -> tuple[str, str]:
    if isinstance(element, str):
        return ("str", element)
    return (type(element).__name__, json.dumps(element, sort_keys=True))


def _write_deque(value: deque[object], writer: Writer, depth: int) -> Json:
    elements = write_elements(list(value), writer, depth + 2)
    return (
        tagged("deque", elements)
        if value.maxlen is None
        else tagged("deque", elements, value.maxlen)
    )


def _read_deque(payload: list[Json], reader: Reader) -> deque[object]:
    maxlen = cast("int", payload[2]) if len(payload) > 2 else None
    return deque(_elements(payload, reader), maxlen)


def _elements(payload: list[Json], reader: Reader) -> list[object]:
    return [reader.read(element) for element in cast("list[Json]", payload[1])]


def _elements_reader(make: Callable[[list[object]], object]) -> ReadPayload:
    return lambda payload, reader: make(_elements(payload, reader))


# ------------------------------------------------------------------ keys of any kind


def write_pairs(items: Iterable[tuple[object, object]], writer: Writer, depth: int) -> list[Json]:
    """Write a mapping as pairs; their list stands at `depth`."""
    check(depth + 1)
    pairs: list[Json] = []
    key: object = None
    try:
        for key, value in items:
            pairs.append([writer.hashable.write(key, depth + 2), writer.write(value, depth + 2)])
    except Refusal as refusal:
        refusal.at(f"[{_shown(key)}]")
        raise
    return pairs


def _shown(key: object) -> str:
    try:
        return repr(key)[:40]
    except Exception:  # noqa: BLE001 - the user's code, or an integer that is too long for text
        return type(key).__name__


def read_pairs(pairs: Json, reader: Reader) -> list[tuple[object, object]]:
    """Return the keys and values of a mapping that was written as pairs."""
    return [
        (reader.read(key), reader.read(value)) for key, value in cast("list[list[Json]]", pairs)
    ]


def _pairs_writer(tag: str) -> WriteValue:
    def write(value: dict[object, object], writer: Writer, depth: int) -> Json:
        return tagged(tag, write_pairs(list(value.items()), writer, depth + 2))

    return write


def _pairs_reader(make: Callable[[list[tuple[Any, Any]]], object]) -> ReadPayload:
    return lambda payload, reader: make(read_pairs(payload[1], reader))


def _write_default(value: defaultdict[object, object], writer: Writer, depth: int) -> Json:
    factory: object = value.default_factory
    if factory is not None and not isinstance(factory, type):
        raise Refusal("a defaultdict whose factory is no class")
    name = None if factory is None else writer.name_of(factory)
    return tagged("default", name, write_pairs(list(value.items()), writer, depth + 2))


def _read_default(payload: list[Json], reader: Reader) -> object:
    name = cast("str | None", payload[1])
    factory = None if name is None else reader.class_of(name)
    return defaultdict(factory, read_pairs(payload[2], reader))


def _make_counter(pairs: list[tuple[Any, Any]]) -> object:
    return Counter(dict(pairs))


# ------------------------------------------------------------------ LangGraph's own


def _write_send(value: Send, writer: Writer, depth: int) -> Json:
    try:
        payload: list[Json] = ["send", writer.write(value.node, depth + 2)]
        payload.append(writer.write(value.arg, depth + 2))
    except Refusal as refusal:
        refusal.at(".arg")
        raise
    if value.timeout is not None:
        payload.append(writer.write(value.timeout, depth + 2))
    return {TAG: payload}


def _read_send(payload: list[Json], reader: Reader) -> Send:
    node = cast("str", reader.read(payload[1]))
    timeout = cast("Any", reader.read(payload[3])) if len(payload) > 3 else None
    return Send(node, reader.read(payload[2]), timeout=timeout)


def _write_interrupt(value: Interrupt[Any], writer: Writer, depth: int) -> Json:
    try:
        payload: list[Json] = ["interrupt", writer.write(value.value, depth + 2)]
    except Refusal as refusal:
        refusal.at(".value")
        raise
    payload.append(writer.write(value.id, depth + 2))
    if value.response_schema is not None:
        payload.append(writer.write(value.response_schema, depth + 2))
    return {TAG: payload}


def _read_interrupt(payload: list[Json], reader: Reader) -> object:
    schema = cast("Any", reader.read(payload[3])) if len(payload) > 3 else None
    asked: Any = reader.read(payload[1])
    return Interrupt(asked, cast("str", reader.read(payload[2])), response_schema=schema)


_COMMAND_DEFAULTS = {"graph": None, "update": None, "resume": None, "goto": ()}


def _write_command(value: Command[Any], writer: Writer, depth: int) -> Json:
    given = [
        (name, part)
        for name, default in _COMMAND_DEFAULTS.items()
        if not _is_default(part := getattr(value, name), default)
    ]
    return tagged("command", write_fields(given, writer, depth + 2))


def _is_default(part: object, default: object) -> bool:
    return part is default or (type(part) is tuple and part == default)


def _read_command(payload: list[Json], reader: Reader) -> object:
    given = cast("Mapping[str, Json]", payload[1])
    return cast("Any", Command)(**{name: reader.read(part) for name, part in given.items()})


def is_snapshot(value: Json) -> bool:
    """Say whether a typed value is the whole one of a channel that stores, as a rule, only what is written to it."""
    tagged = value.get(TAG) if isinstance(value, dict) else None
    return isinstance(tagged, list) and bool(tagged) and tagged[0] == "snapshot"


def _write_snapshot(value: _DeltaSnapshot, writer: Writer, depth: int) -> Json:
    return tagged("snapshot", writer.write(value.value, depth + 2))


# ------------------------------------------------------------------ classes

BASIC_CLASSES: Mapping[str, type] = {
    f"builtins:{cls.__name__}": cls
    for cls in (
        *(bool, int, float, complex, str, bytes, bytearray),
        *(list, dict, tuple, set, frozenset, object, type(None)),
    )
} | {f"collections:{cls.__name__}": cls for cls in (deque, defaultdict, Counter, OrderedDict)}
"""Classes that may stand for themselves in a value, as the factory of a defaultdict does."""


def write_class(value: type, writer: Writer, depth: int) -> Json:
    """Write a class itself."""
    del depth
    return tagged("class", writer.name_of(value))


# ------------------------------------------------------------------ the tables

WRITE_CONTAINER: Mapping[type, WriteValue] = {
    set: _write_set,
    frozenset: _write_set,
    deque: _write_deque,
    OrderedDict: _pairs_writer("ordered"),
    Counter: _pairs_writer("counter"),
    defaultdict: _write_default,
    Send: _write_send,
    Interrupt: _write_interrupt,
    Command: _write_command,
    _DeltaSnapshot: _write_snapshot,
}
"""How values of these classes, not of their subclasses, are written."""

READ_CONTAINER: Mapping[str, ReadPayload] = {
    "tuple": _elements_reader(tuple),
    "set": _elements_reader(set),
    "frozenset": _elements_reader(frozenset),
    "deque": _read_deque,
    "dict": _pairs_reader(dict),
    "ordered": _pairs_reader(OrderedDict),
    "counter": _pairs_reader(_make_counter),
    "default": _read_default,
    "send": _read_send,
    "interrupt": _read_interrupt,
    "command": _read_command,
    "snapshot": lambda payload, reader: _DeltaSnapshot(reader.read(payload[1])),
    "class": lambda payload, reader: reader.class_of(cast("str", payload[1])),
}
"""How each tag of a container, of LangGraph's own objects and of classes is read."""
