"""Makes an event store from its URL. The one place that knows which URLs there are."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from ...domain.errors import ConfigurationError
from ..work.leases import FileLocks
from .codec import CODEC, PLAIN
from .holding import ProcessHolding
from .memory import MemoryHolding, MemoryLog
from .sql_log import SQLLog
from .sqlite import SQLiteDatabase, SQLiteSettings
from .store import LogStore

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMES = "memory://, sqlite:///path/to/file.db"


def open_store(
    url: str,
    *,
    holder: str | None = None,
    lease_seconds: float = 10.0,
    sqlite: SQLiteSettings | None = None,
    group_max: int = 256,
    crash_point: Callable[[str], None] | None = None,
    is_compressing: bool = True,
    on_group: Callable[[int, float], None] | None = None,
) -> LogStore:
    """Return the store that the URL names; `await store.open()` connects it.

    `holder` is this process's name as a holder of leases, unique among processes and their restarts;
    by default one is made up. `sqlite:///name.db` is relative to the working directory, and
    `sqlite:////srv/name.db` is absolute.

    `on_group` is told the size of each group of writes that shared a transaction, and how many seconds it took, in the writer's
    thread. Without `is_compressing`, a database's rows are readable JSON, in two to three times the room.

    Raises:
        ConfigurationError: no such kind of store, or the file cannot be written.
    """
    scheme, separator, rest = url.partition("://")
    name = holder or f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
    if separator and scheme == "memory":
        log = MemoryLog()
        return LogStore(log, MemoryHolding(log, name), codec=PLAIN)
    if separator and scheme == "sqlite":
        path = _sqlite_path(url, rest)
        sql = SQLLog(
            SQLiteDatabase(path, sqlite or SQLiteSettings()),
            group_max=group_max,
            crash_point=crash_point,
            on_group=on_group,
        )
        locks = FileLocks(path.with_name(f"{path.name}.holders"))
        holding = ProcessHolding(sql, name, lease_seconds=lease_seconds, locks=locks)
        return LogStore(sql, holding, codec=CODEC if is_compressing else PLAIN)
    if separator and scheme.partition("+")[0] in {"postgresql", "postgres"}:
        raise ConfigurationError(f"{url}: PostgreSQL is not available yet; use one of {SCHEMES}")
    raise ConfigurationError(f"{url!r} names no store; use one of {SCHEMES}")


def _sqlite_path(url: str, rest: str) -> Path:
    if not rest.startswith("/") or rest == "/":
        raise ConfigurationError(f"{url}: a path has to follow, as in sqlite:///threadfold.db")
    if ":memory:" in rest:
        raise ConfigurationError(f"{url}: a store in memory is memory://")
    path = Path(rest[1:])
    folder = path.parent
    if path.is_dir():
        raise ConfigurationError(f"{url}: {path} is a folder")
    if not folder.is_dir():
        raise ConfigurationError(f"{url}: the folder {folder} does not exist")
    # SQLite writes its log and its locks beside the file, so the folder has to be writable too.
    for needed in (folder, path):
        if needed.exists() and not os.access(needed, os.W_OK):
            raise ConfigurationError(f"{url}: {needed} is not writable")
    return path
