"""One command on each of many threads: some of them at once, so that they share the log's transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..domain.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..domain.graph_ports import Intent
    from ..domain.ports import Tasks
    from .executor import Executor, Outcome

AT_ONCE = 32


async def execute_all(
    executor: Executor, tasks: Tasks, intents: Mapping[str, Intent]
) -> dict[str, Outcome | EngineError]:
    """Return what the intent on each thread came to, or why it was refused. One does not hinder another."""
    found: dict[str, Outcome | EngineError] = {}

    async def execute(thread_id: str, intent: Intent) -> None:
        try:
            found[thread_id] = await executor.execute(thread_id, intent)
        except EngineError as error:
            found[thread_id] = error

    waiting = list(intents.items())
    for at in range(0, len(waiting), AT_ONCE):
        started = [
            tasks.start(execute(thread_id, intent), f"execute {thread_id}")
            for thread_id, intent in waiting[at : at + AT_ONCE]
        ]
        for task in started:
            await task.wait()
    return found
