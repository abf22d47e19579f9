"""Imports as tests run them, here or in a process that is killed; and what savers and logs hold, to be compared.

Run as `python -m tests.support.importing SOURCE STORE BATCHES`, it kills itself after so many batches; with 0 it says what it
has done, line by line, and is killed from outside.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.import_threads import TYPES, config_of
from threadfold import ThreadfoldSaver
from threadfold.app.importing import import_threads
from threadfold.infrastructure.langgraph.importing.opening import open_source, target_of
from threadfold.infrastructure.log.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.import_threads import Graph, Saver
    from threadfold.app.importing import Report

ROOT = Path(__file__).resolve().parents[2]


def import_into(
    store: str,
    source_url: str,
    *thread_ids: str,
    types: Sequence[type] = TYPES,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Import a database, or some of its threads; return the report."""

    async def work() -> Report:
        source = open_source(source_url, types)
        try:
            async with ThreadfoldSaver(store, types=types) as saver:
                target = target_of(saver)
                return await import_threads(source, target, thread_ids, on_progress=on_progress)
        finally:
            source.close()

    return asyncio.run(work())


def child(*arguments: object) -> list[str]:
    """Return the command that runs this module with these arguments."""
    return [sys.executable, "-m", __spec__.name, *map(str, arguments)]


def killed_after(batches: int, store: str, source_url: str) -> None:
    """Import in a process that kills itself after so many batches."""
    command = child(source_url, store, batches)
    done = subprocess.run(command, cwd=ROOT, check=False)  # noqa: S603 - this module itself
    assert done.returncode == -signal.SIGKILL


# ------------------------------------------------------------------ what is held


def log_of(store: str) -> list[tuple[Any, ...]]:
    """Return all that a log holds, in order, but for the times at which it was recorded."""

    async def work() -> list[tuple[Any, ...]]:
        opened = open_store(store)
        await opened.open()
        found: list[tuple[Any, ...]] = []
        try:
            while batch := await opened.read_log(after=found[-1][0] if found else 0):
                found += [
                    (each.position, each.thread_id, each.version, each.event) for each in batch
                ]
        finally:
            await opened.close()
        return found

    return asyncio.run(work())


def listed(saver: Saver, thread_id: str) -> list[dict[str, Any]]:
    """Return all checkpoints of a thread as a saver lists them, of all namespaces, newest first."""
    found = saver.list({"configurable": {"thread_id": thread_id}})
    return [each._asdict() for each in found]


def states(graph: Graph, thread_id: str) -> list[Any]:
    """Return the state of a thread with those of its subgraphs, and its history."""
    config = config_of(thread_id)
    return [graph.get_state(config, subgraphs=True), *graph.get_state_history(config)]


def came_to(graph: Graph, thread_id: str, given: Any) -> dict[str, Any]:
    """Run a thread; return what stands then, without what is another one in each run."""
    config = config_of(thread_id)
    try:
        result = graph.invoke(given, config)
    except ValueError as error:
        result = repr(error)
    state = graph.get_state(config)
    return {
        "result": _without_ids(result),
        "values": state.values,
        "next": state.next,
        "tasks": [
            (task.name, task.error, [each.value for each in task.interrupts])
            for task in state.tasks
        ],
        "metadata": {key: state.metadata.get(key) for key in ("source", "step")},
    }


def _without_ids(result: Any) -> Any:
    if isinstance(result, dict) and "__interrupt__" in result:
        return {**result, "__interrupt__": [each.value for each in result["__interrupt__"]]}
    return result


def main(source_url: str, store: str, batches: str) -> None:
    left = int(batches)

    def after(_: int) -> None:
        nonlocal left
        left -= 1
        sys.stdout.write("batch\n")
        sys.stdout.flush()
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    import_into(store, source_url, on_progress=after)


if __name__ == "__main__":
    main(*sys.argv[1:])
