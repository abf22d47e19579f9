"""The demo: the real server in a process of its own, the official SDK, and a second message that rolls back the first one's run.

It checks what it shows; whatever deviates makes it fail.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
from langgraph_sdk import get_client
from rich.rule import Rule

from ..domain.errors import ConfigurationError, EngineError
from . import audit
from .engine import Engine
from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from rich.console import Console

FIRST = "what's the weather in sf?"
SECOND = "what's the weather in nyc?"
START_SECONDS = 30.0
STOP_SECONDS = 15.0


class DemoError(EngineError):
    """The demo did not come out as it has to."""


async def run_demo(console: Console, *, keep: Path | None, pause_seconds: float) -> None:
    """Run the demo.

    Raises:
        DemoError: what came out is not what the strategy promises.
        ConfigurationError: the server could not be started.
    """
    with tempfile.TemporaryDirectory(prefix="threadfold-demo-") as folder:
        store = f"sqlite:///{keep or Path(folder) / 'demo.db'}"
        async with _server(store) as url:
            thread_id = await _double_text(console, url, pause_seconds)
        await _show_log(console, store, thread_id)
    if keep is not None:
        console.print(f"\nThe database is kept. See: threadfold log {thread_id} --store {store}")


async def _double_text(console: Console, url: str, pause_seconds: float) -> str:
    """Send two messages, the second one while the first is being answered."""
    client = get_client(url=url, api_key=None)
    async with client:
        thread_id: str = (await client.threads.create())["thread_id"]
        first = await client.runs.create(thread_id, "agent", input=_asking(FIRST))
        if pause_seconds:
            await asyncio.sleep(pause_seconds)
        second = await client.runs.create(
            thread_id, "agent", input=_asking(SECOND), multitask_strategy="rollback"
        )
        runs: Any = client.runs  # The SDK's own annotations are incomplete here.
        await runs.join(thread_id, second["run_id"])
        state = await client.threads.get_state(thread_id)
        values = cast("dict[str, Any]", state["values"])
        console.print(Rule("the conversation, after both messages"))
        _print_conversation(console, values["messages"])
        _check_conversation(values["messages"])

        console.print(Rule("the run that was rolled back"))
        try:
            await client.runs.get(thread_id, first["run_id"])
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            console.print(f"GET /threads/…/runs/{first['run_id']} -> {status}")
            _expect(status == 404, f"expected 404 for the rolled-back run, got {status}")
        else:
            raise DemoError("The demo deviates: the rolled-back run is still there")
    return thread_id


def _asking(question: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}]}


def _print_conversation(console: Console, messages: list[dict[str, Any]]) -> None:
    try:
        from langchain_core.messages import convert_to_messages  # noqa: PLC0415 - an extra
    except ImportError as error:
        needed = "The demo prints with langchain-core: pip install 'threadfold[demo]'"
        raise ConfigurationError(needed) from error
    for message in convert_to_messages(messages):
        console.print(message.pretty_repr(), markup=False, highlight=False)


def _check_conversation(messages: list[dict[str, Any]]) -> None:
    kinds = [message["type"] for message in messages]
    _expect(kinds == ["human", "ai", "tool", "ai"], f"expected one turn, got {kinds}")
    human, call, result, answer = messages
    _expect(human["content"] == SECOND, f"expected the second message, got {human['content']!r}")
    _expect(len(call["tool_calls"]) == 1, "expected one tool call")
    _expect(
        result["tool_call_id"] == call["tool_calls"][0]["id"], "expected the tool call's result"
    )
    _expect("nyc" in answer["content"], f"expected an answer on nyc, got {answer['content']!r}")


def _expect(is_so: bool, otherwise: str) -> None:  # noqa: FBT001 - a condition
    if not is_so:
        raise DemoError(f"The demo deviates: {otherwise}")


async def _show_log(console: Console, store: str, thread_id: str) -> None:
    async with Engine(store, settings=Settings(worker_slots=0)) as engine:
        log = await engine.queries.log(thread_id)
    console.print(Rule("the audit log: nothing is lost, and replay sees the second run only"))
    console.print(audit.log_table(thread_id, log))
    undone = audit.undone_runs(log)
    _expect(len(undone) == 1, f"expected one tombstone, got {len(undone)}")


# ------------------------------------------------------------------ the server


@asynccontextmanager
async def _server(store: str) -> AsyncGenerator[str]:
    """Start `threadfold serve` with the weather agent on a free port; yield its address."""
    command = (sys.executable, "-m", "threadfold.app.cli", "serve", "--demo-agent", "--port", "0")
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *command, "--store", store, stdout=asyncio.subprocess.PIPE, stderr=errors
        )
        try:
            yield await _address(process)
        except (httpx.TransportError, ConfigurationError) as error:
            errors.seek(0)
            told = errors.read().decode(errors="replace").strip()
            raise ConfigurationError(f"The demo's server failed: {told or error}") from error
        finally:
            if process.returncode is None:
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()


async def _address(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        raise ConfigurationError("it has no output")
    try:
        greeting = (await asyncio.wait_for(process.stdout.readline(), START_SECONDS)).decode()
    except TimeoutError as error:
        raise ConfigurationError(f"it did not start within {START_SECONDS:g} s") from error
    for word in greeting.split():
        if word.startswith("http://"):
            return word
    raise ConfigurationError("it did not start")
