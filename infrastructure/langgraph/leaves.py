"""Values of Python's own types in typed JSON and back, except containers: numbers, text, times, paths and the like."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import SecretBytes, SecretStr, networks
from pydantic_core import TzInfo

from ...domain.typed import TAG
from ...domain.values import INTEGER_MAX, INTEGER_MIN
from .coding import Refusal, tagged

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import PurePath

    from ...domain.values import Json
    from .coding import Reader, Writer

WriteValue: TypeAlias = Callable[[Any, "Writer", int], "Json"]
ReadPayload: TypeAlias = Callable[[list["Json"], "Reader"], object]

# ------------------------------------------------------------------ text and numbers


def write_text(value: str) -> Json:
    """Write text; what UTF-8 cannot hold is escaped."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return tagged("text", value.encode("unicode_escape").decode("ascii"))
    return value


def write_integer(value: int) -> Json:
    """Write an integer; what 64 bits cannot hold becomes text."""
    if INTEGER_MIN <= value <= INTEGER_MAX:
        return value
    # Python refuses to turn thousands of digits to decimal text and back; hexadecimal ones it takes.
    return tagged("int", str(value) if value.bit_length() < 4_000 else hex(value))


def write_float(value: float) -> Json:
    """Write a number; those that are none in JSON become text."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return tagged("float", "NaN")
    return tagged("float", "Infinity" if value > 0 else "-Infinity")


def _write_complex(value: complex, writer: Writer, depth: int) -> Json:
    del writer, depth
    return tagged("complex", write_float(value.real), write_float(value.imag))


def _read_complex(payload: list[Json], reader: Reader) -> complex:
    real, imaginary = (cast("float", reader.read(part)) for part in payload[1:3])
    return complex(real, imaginary)


def _read_text(payload: list[Json], reader: Reader) -> str:
    del reader
    return cast("str", payload[1]).encode("ascii").decode("unicode_escape")


# ------------------------------------------------------------------ times


def _zone(value: tzinfo | None, writer: Writer, depth: int) -> Json:
    """Return what a zone adds to the offset in the text; None if the offset says it all."""
    if value is None or type(value) is TzInfo:  # Pydantic's own knows an offset and nothing else.
        return None
    # Not every version of Python reads an offset's fractions of a second.
    if type(value) is timezone and _name(value) is None and not _offset(value).microseconds:
        return None
    return writer.write(value, depth + 2)


def _offset(value: timezone | TzInfo) -> timedelta:
    return cast("timedelta", value.utcoffset(None))


def _name(value: timezone) -> str | None:
    """Return the name that a fixed offset was given; None if it names itself by its offset."""
    name = value.tzname(None)
    return None if name == timezone(_offset(value)).tzname(None) else name


def _write_zone(value: ZoneInfo, writer: Writer, depth: int) -> Json:
    del writer, depth
    if value.key is None:  # pyright: ignore[reportUnnecessaryComparison] - one from a file has none
        raise Refusal("a time zone without a name")
    return tagged("zone", value.key)


def _write_timezone(value: timezone | TzInfo, writer: Writer, depth: int) -> Json:
    del writer, depth
    offset = timezone(_offset(value))
    text = time.min.replace(tzinfo=offset).isoformat().removeprefix(time.min.isoformat())
    name = _name(value) if isinstance(value, timezone) else None
    return tagged("timezone", text) if name is None else tagged("timezone", text, name)


def _read_timezone(payload: list[Json], reader: Reader) -> object:
    del reader
    text = cast("str", payload[1])
    hours, minutes, seconds = (text[1:] + ":0").split(":")[:3]
    seconds, _, fraction = seconds.partition(".")
    size = timedelta(0, int(seconds), int(fraction or 0), 0, int(minutes), int(hours))
    offset = -size if text.startswith("-") else size
    return timezone(offset, *cast("list[str]", payload[2:3]))


def _write_moment(value: datetime | time, writer: Writer, depth: int) -> Json:
    tag = "datetime" if isinstance(value, datetime) else "time"
    zone = _zone(value.tzinfo, writer, depth)
    # A time of day has no offset where its zone has rules: the text is that of the bare time then.
    rest: tuple[Json, ...] = (zone, 1) if value.fold else (zone,) if zone is not None else ()
    return tagged(tag, value.isoformat(), *rest)


def _read_moment(payload: list[Json], reader: Reader) -> object:
    kind = datetime if payload[0] == "datetime" else time
    moment: datetime | time = kind.fromisoformat(cast("str", payload[1]))
    if len(payload) > 2 and payload[2] is not None:
        moment = moment.replace(tzinfo=cast("tzinfo", reader.read(payload[2])))
    return moment.replace(fold=1) if len(payload) > 3 else moment


def _write_date(value: date, writer: Writer, depth: int) -> Json:
    del writer, depth
    return tagged("date", value.isoformat())


def _write_timedelta(value: timedelta, writer: Writer, depth: int) -> Json:
    del writer, depth
    return tagged("timedelta", value.days, value.seconds, value.microseconds)


# ------------------------------------------------------------------ what is made from its text

_ADDRESSES: Mapping[str, type] = {
    cls.__name__: cls
    for cls in (IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network)
}
_URLS: Mapping[str, type] = {
    name: cls
    for name in networks.__all__
    if isinstance(cls := getattr(networks, name), type)
    and cls.__module__ == networks.__name__
    and (name.endswith(("Url", "Dsn")))
}
_PATHS: Mapping[str, type[PurePath]] = {
    "PurePosixPath": PurePosixPath,
    "PureWindowsPath": PureWindowsPath,
    "PosixPath": PosixPath,
    "WindowsPath": WindowsPath,
}
_SECRETS: Mapping[str, type] = {"SecretStr": SecretStr, "SecretBytes": SecretBytes}


def _text_writer(*names: str) -> WriteValue:
    def write(value: object, writer: Writer, depth: int) -> Json:
        del writer, depth
        return {TAG: [*names, str(value)]}

    return write


def _text_reader(make: Callable[[str], object]) -> ReadPayload:
    def read(payload: list[Json], reader: Reader) -> object:
        del reader
        return make(cast("str", payload[1]))

    return read


def _class_reader(classes: Mapping[str, type]) -> ReadPayload:
    def read(payload: list[Json], reader: Reader) -> object:
        return classes[cast("str", payload[1])](reader.read(payload[2]))

    return read


def _path_writer(name: str) -> WriteValue:
    def write(value: PurePath, writer: Writer, depth: int) -> Json:
        del writer, depth
        return tagged("path", name, write_text(str(value)))

    return write


def _read_path(payload: list[Json], reader: Reader) -> object:
    text = cast("str", reader.read(payload[2]))
    name = cast("str", payload[1])
    try:
        return _PATHS[name](text)
    except NotImplementedError:  # Of the other operating system: it has no files here.
        return _PATHS[f"Pure{name}"](text)


def _secret_writer(name: str) -> WriteValue:
    def write(value: SecretStr | SecretBytes, writer: Writer, depth: int) -> Json:
        return tagged("secret", name, writer.write(value.get_secret_value(), depth + 2))

    return write


def _write_pattern(value: re.Pattern[Any], writer: Writer, depth: int) -> Json:
    return tagged("regex", writer.write(value.pattern, depth + 2), value.flags & ~re.DEBUG)


def _read_pattern(payload: list[Json], reader: Reader) -> object:
    try:
        return re.compile(cast("str", reader.read(payload[1])), cast("int", payload[2]))
    except re.error as error:
        raise ValueError(str(error)) from error


def _write_bytes(value: bytes | bytearray, writer: Writer, depth: int) -> Json:
    del writer, depth
    return tagged(type(value).__name__, base64.b64encode(value).decode("ascii"))


def _write_range(value: range, writer: Writer, depth: int) -> Json:
    del writer, depth
    return tagged("range", *map(write_integer, (value.start, value.stop, value.step)))


def _read_range(payload: list[Json], reader: Reader) -> object:
    return range(*(cast("int", reader.read(part)) for part in payload[1:4]))


# ------------------------------------------------------------------ the tables

WRITE_LEAF: Mapping[type, WriteValue] = {
    bytes: _write_bytes,
    bytearray: _write_bytes,
    complex: _write_complex,
    datetime: _write_moment,
    time: _write_moment,
    date: _write_date,
    timedelta: _write_timedelta,
    timezone: _write_timezone,
    TzInfo: _write_timezone,
    ZoneInfo: _write_zone,
    range: _write_range,
    re.Pattern: _write_pattern,
    Decimal: _text_writer("decimal"),
    Fraction: _text_writer("fraction"),
    UUID: _text_writer("uuid"),
    **{cls: _text_writer("address", name) for name, cls in _ADDRESSES.items()},
    **{cls: _text_writer("url", name) for name, cls in _URLS.items()},
    **{cls: _path_writer(name) for name, cls in _PATHS.items()},
    **{cls: _secret_writer(name) for name, cls in _SECRETS.items()},
}
"""How values of these classes, not of their subclasses, are written."""

READ_LEAF: Mapping[str, ReadPayload] = {
    "text": _read_text,
    "int": _text_reader(lambda text: int(text, 0)),
    "float": _text_reader(float),
    "bytes": _text_reader(base64.b64decode),
    "bytearray": _text_reader(lambda text: bytearray(base64.b64decode(text))),
    "complex": _read_complex,
    "datetime": _read_moment,
    "time": _read_moment,
    "date": _text_reader(date.fromisoformat),
    "timedelta": lambda payload, _: timedelta(*cast("list[int]", payload[1:4])),
    "timezone": _read_timezone,
    "zone": _text_reader(ZoneInfo),
    "range": _read_range,
    "regex": _read_pattern,
    "decimal": _text_reader(Decimal),
    "fraction": _text_reader(Fraction),
    "uuid": _text_reader(UUID),
    "address": _class_reader(_ADDRESSES),
    "url": _class_reader(_URLS),
    "path": _read_path,
    "secret": _class_reader(_SECRETS),
}
"""How each tag of a leaf is read."""
