"""A process with a LangGraph graph that can be killed: `python -m tests.support.langgraph_child DATABASE JOB [THREAD] [EVENTS]`.

`ask` runs twenty threads up to a question and prints their ids. `resume` answers one, and kills its own process as soon as so
many events of the thread are durable; it prints `done` if the run ended before that. `recover` takes up what is left, and prints
how the thread stands.
"""

from __future__ import annotations

import asyncio
import json
import operator
import os
import signal
import sys
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from threadfold import Engine, Settings
from threadfold.app.hub import Committed

THREADS = 20
ANSWER = "yes"


class State(TypedDict):
    said: Annotated[list[str], operator.add]


async def first(state: State) -> dict[str, Any]:
    return {"said": [f"first: {interrupt('the first question')}"]}


async def work(state: State) -> dict[str, Any]:
    return {"said": [f"worked after {len(state['said'])}"]}


async def second(state: State) -> dict[str, Any]:
    return {"said": [f"second: {interrupt('the second question')}"]}


def graph() -> Any:
    """Return a graph that asks, works, and asks again: an answer that is applied twice would answer both questions."""
    return (
        StateGraph(State)
        .add_node(first)
        .add_node(work)
        .add_node(second)
        .add_edge(START, "first")
        .add_edge("first", "work")
        .add_edge("work", "second")
        .compile()
    )


def opened(path: str) -> Engine:
    engine = Engine(f"sqlite:///{path}", settings=Settings(poll_seconds=0.05, lease_seconds=2.0))
    engine.add_graph("asking", graph())
    return engine


async def ask(path: str) -> None:
    async with opened(path) as engine:
        ids: list[str] = []
        for _ in range(THREADS):
            thread = await engine.create_thread()
            run = await engine.submit_run(thread.thread_id, "asking", input={"said": ["hello"]})
            await engine.join_run(thread.thread_id, run.row.run_id)
            ids.append(thread.thread_id)
    print(json.dumps(ids))  # noqa: T201 - what the test reads


async def resume(path: str, thread_id: str, events: int) -> None:
    async with opened(path) as engine:
        before = len(await engine.queries.log(thread_id))

        def on_notice(notice: object) -> None:
            if isinstance(notice, Committed) and notice.thread.version >= before + events:
                os.kill(os.getpid(), signal.SIGKILL)

        engine._hub.listen(on_notice, thread_id)
        run = await engine.submit_run(
            thread_id, "asking", kwargs={"command": {"resume": ANSWER}, "durability": "sync"}
        )
        await engine.join_run(thread_id, run.row.run_id)
    print("done")  # noqa: T201


async def recover(path: str, thread_id: str) -> None:
    async with opened(path) as engine:
        async with asyncio.timeout(60):
            while (await engine.get_thread(thread_id)).status == "busy":  # noqa: ASYNC110 - of lost runs
                await asyncio.sleep(0.02)
        thread = await engine.get_thread(thread_id)
        runs = await engine.queries.list_runs(thread_id)
        told = {
            "said": (thread.values or {}).get("said"),
            "status": thread.status,
            "waiting": [each["value"] for task in thread.tasks for each in task.interrupts],
            "runs": [(run.row.status, run.row.attempt) for run in runs],
        }
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    job, arguments = sys.argv[2], sys.argv[3:]
    if job == "ask":
        asyncio.run(ask(sys.argv[1]))
    elif job == "resume":
        asyncio.run(resume(sys.argv[1], arguments[0], int(arguments[1])))
    else:
        asyncio.run(recover(sys.argv[1], arguments[0]))
