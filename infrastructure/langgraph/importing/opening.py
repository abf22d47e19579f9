"""Opens the two ends of an import. The one place that knows what may be imported from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ....domain.importing import SourceError
from .decoding import Decoder
from .sqlite_source import SQLiteSource
from .target import LogTarget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ....domain.importing import ImportSource, ImportTarget
    from ..saver import CheckpointSaver

SCHEMES = "postgresql://…, sqlite:///FILE, or the path of a file"


def open_source(url: str, types: Iterable[type] = ()) -> ImportSource:
    """Return the checkpoint database that a URL, or the path of a file, names. It is opened read-only.

    Objects of these types are read back as such, besides those that LangGraph knows by itself.

    Raises:
        SourceError: it is not there, or it is none that LangGraph's savers wrote.
    """
    scheme, separator, rest = url.partition("://")
    decoder = Decoder(types)
    if not separator:
        return SQLiteSource(Path(url), decoder)
    if scheme == "sqlite":
        return SQLiteSource(Path(rest.removeprefix("/")), decoder)
    if scheme.partition("+")[0] in {"postgresql", "postgres"}:
        try:
            from .postgres_source import PostgresSource  # noqa: PLC0415 - needs a driver
        except ImportError as error:
            raise SourceError(
                'To read from PostgreSQL, its driver is needed: pip install "psycopg[binary]"'
            ) from error
        return PostgresSource(f"postgresql://{rest}", decoder)
    raise SourceError(f"{url!r} names no database that can be imported; use {SCHEMES}")


def target_of(saver: CheckpointSaver) -> ImportTarget:
    """Return the log that a saver saves to, as an import needs it."""
    return LogTarget(saver._log, saver._codec)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
