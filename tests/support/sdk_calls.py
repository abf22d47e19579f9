"""What the Python SDK can send, found by calling all that it has: every public method, with each parameter set and left out."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
from langgraph_sdk import get_client, get_sync_client, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

AREAS = ("threads", "runs", "assistants", "store", "crons")

THREAD_ID = "0198d0a4-5c1e-7b1e-9c53-6a0c5e0f2b11"
IDS = {
    "thread_id": THREAD_ID,
    "run_id": "0198d0a4-6d2f-7c2f-8d64-7b1d6f103c22",
    "assistant_id": "fe096781-5601-53d2-b2f6-0d3403f7e9ca",
    "cron_id": "0198d0a4-7e30-7d30-8e75-8c2e70214d33",
    "checkpoint_id": "1f0a5c1e-5b1e-6c53-8001-6a0c5e0f2b11",
    "namespace": "told-namespace",
}
"""What stands in paths, so that a path shows what it is made of."""

CHECKPOINT = {
    "thread_id": IDS["thread_id"],
    "checkpoint_ns": "",
    "checkpoint_id": IDS["checkpoint_id"],
    "checkpoint_map": {},
}
CONFIG = {"tags": ["a"], "recursion_limit": 25, "configurable": {"key": "value"}}
COMMAND = {"resume": "yes", "update": {"a": 1}, "goto": "agent"}
TYPES = {"Checkpoint": CHECKPOINT, "Config": CONFIG, "Command": COMMAND}
"""Values of the SDK's own types, with everything that those have. A test holds that it is everything."""

TELLING: dict[str, list[Any]] = {
    **{name: [value] for name, value in IDS.items()},
    "checkpoint": [CHECKPOINT],
    "before": [IDS["checkpoint_id"], CHECKPOINT, {"configurable": CHECKPOINT}],
    "metadata": [{"key": "value"}],
    "config": [CONFIG],
    "context": [{"key": "value"}],
    "input": [{"messages": []}],
    "values": [{"messages": []}],
    "command": [COMMAND],
    "supersteps": [[{"updates": [{"values": {}, "as_node": "agent"}]}]],
    "ttl": [{"ttl": 5, "strategy": "delete"}, 5],
    "stream_mode": ["updates", ["values", "updates"]],
    "select": [["metadata"]],
    "extract": [{"last": "values.messages[-1]"}],
    "include": [["ttl"]],
    "ids": [[THREAD_ID]],
    "thread_ids": [[THREAD_ID]],
    "run_ids": [[IDS["run_id"]]],
    "strategy": ["keep_latest", "delete"],
    "interrupt_before": [["agent"], "*"],
    "interrupt_after": [["agent"], "*"],
    "feedback_keys": [["good"]],
    "limit": [7],
    "offset": [3],
    "after_seconds": [2],
    "version": [2, "v1", "v2"],
    "end_time": [datetime(2030, 1, 1, tzinfo=UTC)],
    "langsmith_tracing": [{"project_name": "project", "example_id": "example"}],
    "response_format": ["object", "array"],
    "transport": ["sse"],
    "durability": ["sync"],
    "wait": [True],
    "xray": [True, 2],
    "value": [{"key": "value"}],
    "index": [["key"], False],
    "prefix": [["a"]],
    "suffix": [["a"]],
    "namespace_prefix": [["a"]],
    "filter": [{"key": "value"}],
    "headers": [None],
    "params": [None],
    "on_run_created": [None],
}
"""Values that are sent as they are, for parameters that do not take any text. The first is the usual one."""

# Entries of a batch are passed on as they are: what stands in them is what their type has.
TELLING["payloads"] = [
    [{name: TELLING.get(name, [f"told-{name}"])[0] for name in schema.RunCreate.__annotations__}]
]

FLAGS = ("bool", "bool | None")

CLIENT_ONLY = {
    "headers",
    "params",  # A caller's own, passed on as they are.
    "on_run_created",
    "raise_error",
    "response_format",
    "run_start_timeout",
    "transport",
}
"""Parameters that change nothing of what is sent."""

USUAL_HEADERS = {
    "accept", "accept-encoding", "accept-language", "cache-control", "connection", "content-length", "content-type", "host",
    "sec-fetch-mode", "user-agent",
}  # fmt: skip

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""One that we did not give is a thread's: an SDK may make those up itself."""

Field = tuple[str, str]
"""Where in a request a field stands (`body`, `part` of a body's field, `query`, `header`), and its name."""


@dataclass(frozen=True)
class Request:
    """A request as it was sent."""

    method: str
    path: str
    fields: frozenset[Field]
    content: str

    @classmethod
    def of(cls, method: str, url: httpx.URL, headers: Iterable[str], body: bytes) -> Request:
        content = json.loads(body) if body else None
        entries = content if isinstance(content, list) else [content]
        fields = [("query", name) for name in url.params]
        fields += [("header", name) for name in headers if name.lower() not in USUAL_HEADERS]
        fields += [("body", name) for entry in entries if entry is not None for name in entry]
        fields += [("part", name) for entry in entries for name in _parts(entry)]
        path = _UUID.sub(
            lambda found: found[0] if found[0] in IDS.values() else THREAD_ID, url.path
        )
        whole = f"{path}?{url.query.decode()} {body.decode()} {sorted(fields)}"
        return cls(method, path, frozenset(fields), whole)


def _parts(body: dict[str, Any] | None) -> Iterator[str]:
    for name, value in (body or {}).items():
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, dict):
                yield from (f"{name}.{part}" for part in entry)


@dataclass
class Seen:
    """What was seen of a method of an SDK."""

    sdk: str
    area: str
    method: str
    requests: set[Request] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    """Parameters that something of a request hangs on."""
    untold: set[str] = field(default_factory=set)
    """Parameters that change nothing of what is sent."""

    @property
    def name(self) -> str:
        return f"{self.area}.{self.method}"


def template(path: str) -> str:
    """Return a path with names in the place of ids."""
    names = {text: name for name in IDS for text in (IDS[name], f"other-{name}")}
    return "/".join(f"{{{names[part]}}}" if part in names else part for part in path.split("/"))


# ------------------------------------------------------------------ calling everything


def python_calls() -> list[Seen]:
    """Call every public method of both clients."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # They warn of parameters that are on their way out.
        return [*_calls("python", _AsyncClient()), *_calls("python (sync)", _SyncClient())]


class _Recorder:
    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        # Not those that httpx adds of itself.
        self.requests.append(
            Request.of(request.method, request.url, request.headers, request.read())
        )
        if "text/event-stream" in request.headers.get("accept", ""):
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=b"")
        answer = {"items": [], "type": "success", "result": {}, "id": 1, **IDS}
        return httpx.Response(200, json=answer)


class _AsyncClient:
    def __init__(self) -> None:
        self._recorder = _Recorder()
        self.areas = get_client(url="http://server", api_key="key")
        http = self.areas.http
        transport = httpx.MockTransport(self._recorder)
        http.client = httpx.AsyncClient(
            base_url="http://server", headers=http.client.headers, transport=transport
        )

    def requests(self, call: Callable[[], Any]) -> list[Request]:
        """Make a call, and return what it sent."""
        del self._recorder.requests[:]
        asyncio.run(asyncio.wait_for(self._drive(call), 30))
        return self._recorder.requests[:]

    async def _drive(self, call: Callable[[], Any]) -> None:
        # What the SDK makes of an answer that was made up is of no interest here.
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            result = call()
            if inspect.isawaitable(result):
                result = await result
            if hasattr(result, "__aiter__"):
                async for _ in result:
                    pass
            elif hasattr(result, "__aenter__"):
                async with result as session:
                    await session.run.start(input={})
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.05):
                            async for _ in session.events:
                                pass


class _SyncClient:
    def __init__(self) -> None:
        self._recorder = _Recorder()
        self.areas = get_sync_client(url="http://server", api_key="key")
        http = self.areas.http
        transport = httpx.MockTransport(self._recorder)
        http.client = httpx.Client(
            base_url="http://server", headers=http.client.headers, transport=transport
        )

    def requests(self, call: Callable[[], Any]) -> list[Request]:
        """Make a call, and return what it sent."""
        del self._recorder.requests[:]
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            result = call()
            if hasattr(result, "__next__"):
                for _ in result:
                    pass
            elif hasattr(result, "__enter__"):
                with result as session:
                    session.run.start(input={})
                    next(iter(session.events), None)
        return self._recorder.requests[:]


def _calls(sdk: str, client: _AsyncClient | _SyncClient) -> Iterator[Seen]:
    for area in AREAS:
        held = getattr(client.areas, area)
        for name, _ in inspect.getmembers(type(held), inspect.isroutine):
            if not name.startswith("_"):
                seen = Seen(sdk, area, name)
                _explore(client, getattr(held, name), seen)
                yield seen


def _explore(client: _AsyncClient | _SyncClient, method: Callable[..., Any], seen: Seen) -> None:
    """Call a method with everything, with next to nothing, and with each parameter alone, left out, or otherwise."""
    parameters = inspect.signature(method).parameters.values()
    whole = {entry.name: _values(entry)[0] for entry in parameters}
    needed = {entry.name for entry in parameters if entry.default is entry.empty}
    bare = {name: whole[name] for name in whole if name in needed}
    unnamed = [entry.name for entry in parameters if entry.kind is entry.POSITIONAL_ONLY]

    def sent(given: dict[str, Any]) -> frozenset[Request]:
        rest = {name: given[name] for name in given if name not in unnamed}
        call = partial(method, *(given[name] for name in unnamed if name in given), **rest)
        found = frozenset(client.requests(call))
        seen.requests |= found
        return found

    sent(whole), sent(bare)
    for entry in parameters:
        name = entry.name
        others = {other: whole[other] for other in whole if other != name}
        few = {other: bare[other] for other in bare if other != name}
        # Without it, beside all others and beside none; then with each of its values.
        absent: dict[str, Any] = {name: None} if name in needed else {}
        if name in needed and "None" not in str(entry.annotation):
            absent = {name: f"other-{name}"}
        without = sent({**others, **absent}), sent({**few, **absent})
        told = [
            (sent({**others, name: value}), sent({**few, name: value})) != without
            for value in _values(entry)
        ]
        (seen.told if any(told) else seen.untold).add(name)


def _values(entry: inspect.Parameter) -> list[Any]:
    if entry.name in TELLING:
        return TELLING[entry.name]
    if str(entry.annotation) in FLAGS:
        return [True, False]
    return [f"told-{entry.name}"]


def client_only(seen: Seen) -> set[str]:
    """Return the parameters of a method that are known to change nothing of what it sends."""
    more = {
        # Its thread's id is made up by the SDK if it is left out, and the template hides which one it is.
        "threads.stream": {"thread_id"},
        "runs.stream": {"version"},
    }
    return CLIENT_ONLY | more.get(seen.name, set())
