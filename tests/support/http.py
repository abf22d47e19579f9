"""The server on a real socket in the test's own event loop, and the clients that users have: the SDKs and curl."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import uvicorn
from langgraph_sdk.errors import APIStatusError

from tests.support.engine import said, soon
from threadfold.app.http.application import create_app
from threadfold.app.serving import bound_socket, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from langgraph_sdk.client import LangGraphClient, SyncLangGraphClient

    from tests.support.javascript import Node
    from threadfold import Engine

TICK_SECONDS = 0.005


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(engine: Engine) -> AsyncIterator[str]:
    """Serve an engine over HTTP, and give the address."""
    bound = bound_socket("127.0.0.1", 0)
    config = uvicorn.Config(
        create_app(engine),
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        log_level="critical",
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        while not server.started:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(TICK_SECONDS)
        yield url_of(bound)
    finally:
        server.should_exit = server.force_exit = True
        await serving


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody is told of, such as a server's hearing that its client has left."""

    async def look() -> None:
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(TICK_SECONDS)

    await soon(look())


# ------------------------------------------------------------------ clients


class RefusedError(Exception):
    """The server refused a call."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


class Caller(Protocol):
    """What a user of any of the clients does with threads and runs."""

    async def create_thread(self) -> str: ...

    async def create(self, thread_id: str, text: str, **options: Any) -> str:
        """Create a run; raises RefusedError."""
        ...

    async def wait(
        self, thread_id: str, text: str, graph: str = "agent", **options: Any
    ) -> dict[str, Any]: ...

    async def join(self, thread_id: str, run_id: str) -> dict[str, Any]: ...

    async def get(self, thread_id: str, run_id: str) -> dict[str, Any]: ...

    async def list(self, thread_id: str) -> list[dict[str, Any]]: ...

    async def state(self, thread_id: str) -> dict[str, Any]: ...


class AsyncCaller:
    """The Python SDK, async."""

    def __init__(self, client: LangGraphClient) -> None:
        self._client = client

    async def create_thread(self) -> str:
        return (await self._client.threads.create())["thread_id"]

    async def create(self, thread_id: str, text: str, **options: Any) -> str:
        options.setdefault("input", said(text, role="user"))
        with _refusals():
            run = await self._client.runs.create(thread_id, "agent", **options)
        return run["run_id"]

    async def wait(
        self, thread_id: str, text: str, graph: str = "agent", **options: Any
    ) -> dict[str, Any]:
        with _refusals():
            return await self._client.runs.wait(
                thread_id, graph, input=said(text, role="user"), raise_error=False, **options
            )

    async def join(self, thread_id: str, run_id: str) -> dict[str, Any]:
        with _refusals():
            return await self._client.runs.join(thread_id, run_id)

    async def get(self, thread_id: str, run_id: str) -> dict[str, Any]:
        with _refusals():
            return await self._client.runs.get(thread_id, run_id)

    async def list(self, thread_id: str) -> list[dict[str, Any]]:
        return await self._client.runs.list(thread_id)

    async def state(self, thread_id: str) -> dict[str, Any]:
        return await self._client.threads.get_state(thread_id)


class SyncCaller:
    """The Python SDK, sync, in threads: its calls block."""

    def __init__(self, client: SyncLangGraphClient) -> None:
        self._client = client

    async def create_thread(self) -> str:
        return (await asyncio.to_thread(self._client.threads.create))["thread_id"]

    async def create(self, thread_id: str, text: str, **options: Any) -> str:
        options.setdefault("input", said(text, role="user"))
        with _refusals():
            run = await asyncio.to_thread(self._client.runs.create, thread_id, "agent", **options)
        return run["run_id"]

    async def wait(
        self, thread_id: str, text: str, graph: str = "agent", **options: Any
    ) -> dict[str, Any]:
        with _refusals():
            return await asyncio.to_thread(
                self._client.runs.wait,
                thread_id,
                graph,
                input=said(text, role="user"),
                raise_error=False,
                **options,
            )

    async def join(self, thread_id: str, run_id: str) -> dict[str, Any]:
        with _refusals():
            return await asyncio.to_thread(self._client.runs.join, thread_id, run_id)

    async def get(self, thread_id: str, run_id: str) -> dict[str, Any]:
        with _refusals():
            return await asyncio.to_thread(self._client.runs.get, thread_id, run_id)

    async def list(self, thread_id: str) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._client.runs.list, thread_id)

    async def state(self, thread_id: str) -> dict[str, Any]:
        return await asyncio.to_thread(self._client.threads.get_state, thread_id)


class RawCaller:
    """curl; where there is none, requests written by hand."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._request = self._by_curl if shutil.which("curl") else self._by_hand

    async def create_thread(self) -> str:
        return (await self._call("POST", "/threads", {}))["thread_id"]

    async def create(self, thread_id: str, text: str, **options: Any) -> str:
        body = {"assistant_id": "agent", "input": said(text, role="user"), **options}
        return (await self._call("POST", f"/threads/{thread_id}/runs", body))["run_id"]

    async def wait(
        self, thread_id: str, text: str, graph: str = "agent", **options: Any
    ) -> dict[str, Any]:
        body = {"assistant_id": graph, "input": said(text, role="user"), **options}
        return await self._call("POST", f"/threads/{thread_id}/runs/wait", body)

    async def join(self, thread_id: str, run_id: str) -> dict[str, Any]:
        return await self._call("GET", f"/threads/{thread_id}/runs/{run_id}/join")

    async def get(self, thread_id: str, run_id: str) -> dict[str, Any]:
        return await self._call("GET", f"/threads/{thread_id}/runs/{run_id}")

    async def list(self, thread_id: str) -> list[dict[str, Any]]:
        return await self._call("GET", f"/threads/{thread_id}/runs")

    async def state(self, thread_id: str) -> dict[str, Any]:
        return await self._call("GET", f"/threads/{thread_id}/state")

    async def _call(self, method: str, path: str, body: object = None) -> Any:
        status, content = await self._request(method, path, body)
        answer = json.loads(content)
        if status >= 400:
            raise RefusedError(status, answer["detail"])
        return answer

    async def _by_curl(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        given = () if body is None else ("--json", json.dumps(body))
        process = await asyncio.create_subprocess_exec(
            *("curl", "--silent", "--show-error", "--request", method, *given),
            *("--write-out", "\n%{http_code}", self._url + path),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        content, _, status = output.rpartition(b"\n")
        return int(status), content

    async def _by_hand(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        def call() -> tuple[int, bytes]:
            url = httpx.URL(self._url)
            connection = http.client.HTTPConnection(url.host, url.port or 80)
            try:
                given = None if body is None else json.dumps(body)
                connection.request(method, path, given, {"Content-Type": "application/json"})
                response = connection.getresponse()
                return response.status, response.read()
            finally:
                connection.close()

        return await asyncio.to_thread(call)


class JavaScriptCaller:
    """The JavaScript SDK, in node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def create_thread(self) -> str:
        return (await self._call("threads", "create"))["thread_id"]

    async def create(self, thread_id: str, text: str, **options: Any) -> str:
        return (await self._call("runs", "create", thread_id, "agent", _payload(text, options)))[
            "run_id"
        ]

    async def wait(
        self, thread_id: str, text: str, graph: str = "agent", **options: Any
    ) -> dict[str, Any]:
        payload = {**_payload(text, options), "raiseError": False}
        return await self._call("runs", "wait", thread_id, graph, payload)

    async def join(self, thread_id: str, run_id: str) -> dict[str, Any]:
        return await self._call("runs", "join", thread_id, run_id)

    async def get(self, thread_id: str, run_id: str) -> dict[str, Any]:
        return await self._call("runs", "get", thread_id, run_id)

    async def list(self, thread_id: str) -> list[dict[str, Any]]:
        return await self._call("runs", "list", thread_id)

    async def state(self, thread_id: str) -> dict[str, Any]:
        return await self._call("threads", "getState", thread_id)

    async def _call(self, *call: object) -> Any:
        answer = await self._node.call(*call)
        if "error" in answer:
            raise RefusedError(answer["status"], answer["error"])
        return answer.get("result")


def _payload(text: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return options in the JavaScript SDK's spelling."""

    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(word.title() for word in rest)

    return {
        "input": said(text, role="user"),
        **{camel(name): value for name, value in options.items()},
    }


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except APIStatusError as error:
        raise RefusedError(error.status_code, error.message) from error
    except httpx.HTTPStatusError as error:
        response = error.response
        raise RefusedError(response.status_code, response.json()["detail"]) from error
