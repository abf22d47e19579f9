"""The core neither needs nor imports LangGraph."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """
import asyncio, importlib, pkgutil, sys

for name in ("langgraph", "langgraph.graph", "langgraph.checkpoint", "langchain", "psycopg"):
    sys.modules[name] = None  # Importing it fails, as where it is not installed.

import threadfold
from threadfold import Engine

OF_THE_EXTRA = ("threadfold.infrastructure.langgraph", "threadfold.app.checkpointer")
for package in ("domain", "infrastructure", "app"):
    module = importlib.import_module(f"threadfold.{package}")
    for found in pkgutil.walk_packages(module.__path__, f"threadfold.{package}."):
        if not found.name.startswith(OF_THE_EXTRA) and "migrations" not in found.name:
            importlib.import_module(found.name)


async def main():
    engine = Engine("memory://")

    @engine.graph("echo")
    async def echo(state, run):
        return {"said": "hello"}

    async with engine:
        thread = await engine.create_thread()
        run = await engine.submit_run(thread.thread_id, "echo", input={})
        result = await engine.join_run(thread.thread_id, run.row.run_id)
        print(result.status)


asyncio.run(main())
try:
    threadfold.ThreadfoldSaver
except ImportError as error:
    print(error)
"""


def test_everything_but_the_extra_works_without_langgraph() -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == [
        "success",
        'ThreadfoldSaver needs LangGraph: pip install "threadfold[langgraph]"',
    ]
