"""Typed JSON: the stored form of values that JSON alone cannot hold, and what readers see of it.

A value is plain JSON, or a *tagged* one: `{"$": [tag, …]}`, an object with that one key. Whoever writes plain JSON has no
key `"$"` in it; an object that has one is written as `["dict", …]`. The tags, and what `plain` shows for each:

    message   type, fields           a chat message; fields that hold their default are left out    all its fields
    object    class, fields, more    an object of a class that somebody registered; `more` may hold  its fields
                                     `set`, `extra`, `private`: what pydantic knows of a model
    derived   class, base, fields    an object of a registered subclass of str, dict, …             what the base shows
    enum      class, name, value     a member of an enumeration                                     its value, or its name
    error     class, repr, …         an exception; with its arguments if it can be built again      its repr
    class     name                   a class itself                                                 its name
    send      node, arg, timeout     interrupt   value, id, schema                                  an object
    command   fields                 those of its four fields that were given                       all four
    snapshot  value                  the whole value of a channel that otherwise stores its writes  the value
    dict, ordered, counter  pairs    default    factory, pairs    objects with keys of any kind     an object; of a key, its JSON
    tuple  elements                  deque      elements, maxlen                                    a list
    set, frozenset  elements         they have no order                                             a list, in order
    datetime  text, zone, fold       time       text, zone, fold     date, timezone, zone  text     text (ISO 8601)
    timedelta days, seconds, microseconds                                                           seconds
    int, fraction, uuid  text        regex  pattern, flags                                          the text
    float     text                   a number that JSON has not: NaN, or one that is infinite       null
    decimal   text                                                                                  a number; if it is too
                                                                                                    large or small, the text
    bytes, bytearray  base64         path, address, url  class, text                                the text
    text      escaped text           text that UTF-8 cannot hold                                    with `?` for that
    complex   real, imaginary        range  start, stop, step                                       a list
    secret    class, value           what its owner does not want to see in a log                   asterisks

A class stands there as `module:qualified name`. Fields, elements and arguments are typed JSON again. Nothing in here makes
Python objects; `infrastructure/langgraph/values.py` does. Streams show live objects alike: `infrastructure/langgraph/showing.py`.
"""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from .values import INTEGER_MAX, INTEGER_MIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .values import Json, JsonObject

TAG = "$"
"""The one key of a tagged value."""

SECRET_SHOWN = "**********"  # noqa: S105 - what stands for one

SECRET_FIELD = "_secret_value"  # noqa: S105 - pydantic's name for it
"""Objects that keep something in here are secrets, of whatever class."""

DECIMAL_DIGITS_MAX = 18
"""Decimals that are larger, or nearer to 0, are shown as text."""

# ------------------------------------------------------------------ messages


def _new_message(kind: str) -> JsonObject:
    """Return a message's fields with their defaults, in containers of their own."""
    fields: JsonObject = {
        "content": "",
        "additional_kwargs": {},
        "response_metadata": {},
        "type": kind,
        "name": None,
        "id": None,
    }
    if kind == "human":
        return fields
    if kind in _WITH_CALLS:
        fields["tool_calls"] = []
        fields["invalid_tool_calls"] = []
        fields["usage_metadata"] = None
        if kind == "AIMessageChunk":
            fields["tool_call_chunks"] = []
            fields["chunk_position"] = None
    elif kind in _RESULTS:
        fields["tool_call_id"] = ""
        fields["artifact"] = None
        fields["status"] = "success"
    elif kind in _WITH_ROLE:
        fields["role"] = ""
    return fields


_WITH_CALLS = frozenset({"ai", "AIMessageChunk"})
_RESULTS = frozenset({"tool", "ToolMessageChunk"})
_WITH_ROLE = frozenset({"chat", "ChatMessageChunk"})

MESSAGE_TYPES = (
    *("human", "ai", "system", "tool", "function", "chat", "remove"),
    *("HumanMessageChunk", "AIMessageChunk", "SystemMessageChunk", "ToolMessageChunk"),
    *("FunctionMessageChunk", "ChatMessageChunk"),
)

MESSAGE_DEFAULTS: Mapping[str, JsonObject] = {kind: _new_message(kind) for kind in MESSAGE_TYPES}
"""What a message holds where its stored fields say nothing. Part of the storage format: defaults
never change here, whatever those of the classes do."""


def typed_message(kind: str, fields: Mapping[str, Json]) -> JsonObject:
    """Return the typed form of a message, given all or some of its fields in typed JSON."""
    defaults = MESSAGE_DEFAULTS.get(kind) or _new_message(kind)
    kept = {
        name: value
        for name, value in fields.items()
        if name not in defaults
        or type(value) is not type(defaults[name])
        or value != defaults[name]
    }
    return {TAG: ["message", kind, kept]}


def message_of(value: Json) -> tuple[str, JsonObject] | None:
    """Return a typed message's type and its stored fields; None for anything else."""
    if type(value) is not dict or len(value) != 1:
        return None
    payload = value.get(TAG)
    if type(payload) is not list or len(payload) != 3 or payload[0] != "message":
        return None
    kind, fields = payload[1], payload[2]
    return (kind, fields) if isinstance(kind, str) and isinstance(fields, dict) else None


def is_message(value: Json) -> bool:
    """Tell whether the value is a typed message."""
    return message_of(value) is not None


def identity(value: Json) -> str | None:
    """Return a typed message's id; None if it has none, or for anything else."""
    message = message_of(value)
    found = message and message[1].get("id")
    return found if isinstance(found, str) else None


# ------------------------------------------------------------------ what readers see


def plain(value: Json) -> Json:
    """Return what readers see of a value: JSON without tags.

    A value without any tag comes back itself; a part without any is shared with the result. Never raises:
    an unknown tag shows what it carries.
    """
    if type(value) is dict:
        return _untagged(value) if TAG in value and len(value) == 1 else plain_object(value)
    return _plain_list(value) if type(value) is list else value


def plain_object(values: JsonObject) -> JsonObject:
    """Return what readers see of each value of an object, whatever its keys are: channels, say."""
    changed: JsonObject | None = None
    for key, item in values.items():
        if type(item) is dict or type(item) is list:
            shown = plain(item)
            if shown is not item:
                if changed is None:
                    changed = values.copy()
                changed[key] = shown
    return values if changed is None else changed


def _plain_list(values: list[Json]) -> list[Json]:
    for at, item in enumerate(values):
        if type(item) is dict or type(item) is list:
            shown = plain(item)
            if shown is not item:
                return [*values[:at], shown, *map(plain, values[at + 1 :])]
    return values


def _untagged(value: JsonObject) -> Json:
    payload = value[TAG]
    if type(payload) is not list or not payload or type(payload[0]) is not str:
        return value  # Not of this grammar: somebody's own object, from where nothing is typed.
    show = _SHOWN.get(payload[0], _show_rest)
    try:
        return show(payload)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        return _show_rest(payload)


def _show_rest(payload: list[Json]) -> Json:
    rest: list[Json] = [plain(part) for part in payload[1:]]
    return rest[0] if len(rest) == 1 else rest


def _show_message(payload: list[Json]) -> Json:
    kind = cast("str", payload[1])
    message = _new_message(kind)
    for name, item in cast("JsonObject", payload[2]).items():
        message[name] = item if type(item) is str else plain(item)
    return message


def _show_object(payload: list[Json]) -> Json:
    fields = cast("JsonObject", payload[2])
    if SECRET_FIELD in fields:
        return SECRET_SHOWN
    shown = plain_object(fields)
    if len(payload) > 3:
        more = cast("JsonObject", payload[3])
        shown = shown | plain_object(cast("JsonObject", more.get("extra", {})))
    return shown


def _show_enum(payload: list[Json]) -> Json:
    return plain(payload[3]) if len(payload) > 3 else payload[2]


def _show_elements(payload: list[Json]) -> Json:
    return [plain(element) for element in cast("list[Json]", payload[1])]


def _show_set(payload: list[Json]) -> Json:
    """Show elements in an order of what is shown: whoever has the set itself has them in another one."""
    return sorted(map(plain, cast("list[Json]", payload[1])), key=_rank)


def _rank(shown: Json) -> tuple[str, float, str]:
    text = json.dumps(shown, ensure_ascii=False)
    if type(shown) is int or type(shown) is float:
        return ("", shown, text)
    return (type(shown).__name__, 0, text)


def _show_pairs(pairs: Json) -> Json:
    return {_key(key): plain(item) for key, item in cast("list[list[Json]]", pairs)}


def _key(key: Json) -> str:
    """Return a key of any kind as JSON text, as `json.dumps` writes keys."""
    shown = plain(key)
    return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)


def _show_text(payload: list[Json]) -> Json:
    escaped = cast("str", payload[1]).encode("ascii").decode("unicode_escape")
    return escaped.encode("utf-8", "replace").decode()


def _show_duration(payload: list[Json]) -> Json:
    days, seconds, microseconds = cast("list[int]", payload[1:])
    return timedelta(days, seconds, microseconds).total_seconds()


def _show_decimal(payload: list[Json]) -> Json:
    number = Decimal(cast("str", payload[1]))
    if not number.is_finite() or abs(number.adjusted()) > DECIMAL_DIGITS_MAX:
        return str(number)
    if number != number.to_integral_value():
        return float(number)
    return int(number) if INTEGER_MIN <= number <= INTEGER_MAX else str(int(number))


def _show_send(payload: list[Json]) -> Json:
    shown: JsonObject = {"node": plain(payload[1]), "arg": plain(payload[2])}
    if len(payload) > 3:
        shown["timeout"] = plain(payload[3])
    return shown


def _show_interrupt(payload: list[Json]) -> Json:
    shown: JsonObject = {"value": plain(payload[1]), "id": plain(payload[2])}
    schema = plain(payload[3]) if len(payload) > 3 else None
    if isinstance(schema, dict):  # And not the class that it was made from.
        shown["response_schema"] = schema
    return shown


def _show_command(payload: list[Json]) -> Json:
    fields: JsonObject = {"graph": None, "update": None, "resume": None, "goto": []}
    return fields | plain_object(cast("JsonObject", payload[1]))


def _first(payload: list[Json]) -> Json:
    return plain(payload[1])


def _second(payload: list[Json]) -> Json:
    return plain(payload[2])


_SHOWN: dict[str, Callable[[list[Json]], Json]] = {
    "message": _show_message,
    "object": _show_object,
    "derived": _second,
    "enum": _show_enum,
    "error": _second,
    "send": _show_send,
    "interrupt": _show_interrupt,
    "command": _show_command,
    "snapshot": _first,
    **dict.fromkeys(("tuple", "deque"), _show_elements),
    **dict.fromkeys(("set", "frozenset"), _show_set),
    **dict.fromkeys(("dict", "ordered", "counter"), lambda payload: _show_pairs(payload[1])),
    "default": lambda payload: _show_pairs(payload[2]),
    **dict.fromkeys(("datetime", "date", "time", "timezone", "regex"), _first),
    **dict.fromkeys(("path", "address", "url"), _second),
    "timedelta": _show_duration,
    "float": lambda payload: None,
    "decimal": _show_decimal,
    "text": _show_text,
    "secret": lambda payload: SECRET_SHOWN,
}
"""Tags that show something else than all they carry."""
