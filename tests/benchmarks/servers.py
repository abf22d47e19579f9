"""Servers in processes of their own, and the official SDK's clients on them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from langgraph_sdk import get_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from langgraph_sdk.client import LangGraphClient

HERE = Path(__file__).parent
SERVE = (sys.executable, "-m", "threadfold.app.cli", "serve")
NOBODY = "00000000-0000-0000-0000-000000000000"
"""A thread's id for the app that does nothing."""

URL = re.compile(r"http://[\w.]+:\d+")


@asynccontextmanager
async def engine_client(folder: Path) -> AsyncIterator[LangGraphClient]:
    """Serve the benchmarks' graphs with all defaults, on a file in this folder, and give a client."""
    config = folder / "langgraph.json"
    graphs = {name: f"{HERE / 'agents.py'}:{name}" for name in ("instant", "held")}
    config.write_text(json.dumps({"graphs": graphs}))
    options = ("--config", str(config), "--store", f"sqlite:///{folder}/log.db", "--port", "0")
    with _process([*SERVE, *options], folder / "server.txt") as url:
        async with get_client(url=url) as client:
            yield client


@asynccontextmanager
async def noop_client(folder: Path) -> AsyncIterator[LangGraphClient]:
    """Serve the app that does nothing, and give a client."""
    with _process([sys.executable, str(HERE / "noop.py")], folder / "noop.txt") as url:
        async with get_client(url=url) as client:
            yield client


@contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[str]:
    """Start a server, and give its address once it listens. What it logs is shown if it never does."""
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,  # noqa: S603
    ):
        assert process.stdout is not None
        try:
            addresses = (found[0] for line in process.stdout if (found := URL.search(line)))
            url = next(addresses, None)
            if url is None:
                raise SystemExit(f"the server ended before it listened:\n{log.read_text()}")
            yield url
        finally:
            process.terminate()
