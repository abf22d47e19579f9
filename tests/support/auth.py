"""Users with tokens, the handlers that know them, and clients that call as one of them."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from langgraph_sdk import Auth

from tests.support.engine import Database, Gates, chat, registry, said, until_heard
from threadfold.app.client import BASE_URL, EngineTransport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from threadfold import Engine

TOKENS = {"ann-token": "ann", "bob-token": "bob", "root-token": "root"}
SETTLE_SECONDS = 5.0
"""How long an answer may take that ought to come at once."""


def as_user(name: str) -> dict[str, str]:
    """Return the headers that a user sends."""
    return {"Authorization": f"Bearer {name}-token"}


def users() -> Auth:
    """Return a handler that knows the users, and lets each do everything."""
    auth = Auth()

    @auth.authenticate
    async def authenticate(authorization: str | None) -> dict[str, Any]:
        scheme, _, token = (authorization or "").partition(" ")
        if scheme != "Bearer" or token not in TOKENS:
            raise Auth.exceptions.HTTPException(status_code=401, detail="Who are you?")
        return {"identity": TOKENS[token], "permissions": ["chat"], "email": f"{TOKENS[token]}@x"}

    return auth


def owners() -> Auth:
    """Return handlers under which each user has what it created; root has everything."""
    auth = users()

    @auth.on
    async def own(ctx: Any, value: dict[str, Any]) -> dict[str, str] | None:
        if ctx.user.identity == "root":
            return None
        value.setdefault("metadata", {})["owner"] = ctx.user.identity
        return {"owner": ctx.user.identity}

    return auth


def engine_with(
    database: Database, auth: Auth | None, gates: Gates | None = None, *graphs: Any, **settings: Any
) -> Engine:
    """Return an engine, not started, that asks who calls."""
    engine = database.engine(registry(chat(gates or Gates()), *graphs), **settings)
    engine.auth = auth
    return engine


def raw_client(engine: Engine, user: str | None = None) -> httpx.AsyncClient:
    """Return a bare HTTP client on an engine in this process."""
    headers = {} if user is None else as_user(user)
    transport = EngineTransport(engine)
    return httpx.AsyncClient(base_url=BASE_URL, transport=transport, headers=headers)


# ------------------------------------------------------------------ what a user has


@dataclass
class Estate:
    """A user's thread with a run of each kind, and marks by which its data are known wherever they turn up."""

    user: str
    thread_id: str = ""
    done: str = ""
    running: str = ""
    pending: str = ""
    checkpoint_id: str = ""
    marks: list[str] = field(default_factory=list[str])

    @property
    def run_ids(self) -> list[str]:
        return [self.done, self.running, self.pending]

    @property
    def ids(self) -> list[str]:
        return [self.thread_id, *self.run_ids, self.checkpoint_id]


async def estate_of(engine: Engine, gates: Gates, user: str) -> Estate:
    """Give a user a thread with an ended run, one that stands at a gate, and one that waits."""
    estate = Estate(user, marks=[f"{user}-secret", f"{user}-input", f"{user}-note"])
    gates.close(f"{user}-input-2:1")
    async with raw_client(engine, user) as client:
        created = await client.post("/threads", json={"metadata": {"note": f"{user}-note"}})
        estate.thread_id = created.json()["thread_id"]
        path = f"/threads/{estate.thread_id}"
        for name in ("done", "running", "pending"):
            number = {"done": 1, "running": 2, "pending": 3}[name]
            body = {
                "assistant_id": "agent",
                "input": said(f"{user}-input-{number}"),
                "metadata": {"secret": f"{user}-secret"},
            }
            answer = await client.post(f"{path}/runs", json=body)
            setattr(estate, name, answer.json()["run_id"])
            if name == "done":
                await client.get(f"{path}/runs/{estate.done}/join")
        await until_heard(engine, estate.thread_id, f"{user}-input-2.1")
        state = await client.get(f"{path}/state")
        estate.checkpoint_id = state.json()["checkpoint"]["checkpoint_id"]
    return estate


async def snapshot_of(engine: Engine, estate: Estate) -> object:
    """Return what must not change by what others do."""
    thread = await engine._executor.load(estate.thread_id)
    return thread.version, sorted((run.run_id, run.status) for run in thread.runs.values())


# ------------------------------------------------------------------ every route

VOLATILE = frozenset({"date", "content-length", "x-request-id"})


@dataclass(frozen=True)
class Call:
    """One request."""

    method: str
    template: str
    path: str
    body: object = None

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.body if self.body is not None else ''}"


def routes_of(engine: Engine) -> list[tuple[str, str, dict[str, Any]]]:
    """Return method, template and documented body of every route of the app."""
    from threadfold.app.http.application import create_app

    found: list[tuple[str, str, dict[str, Any]]] = []
    for route in flat(create_app(engine).routes):
        extra = getattr(route, "openapi_extra", None) or {}
        content = extra.get("requestBody", {}).get("content", {}).get("application/json", {})
        # Another kind of route, such as a mount, has no methods: whoever adds one looks here first.
        schema = content.get("schema", {})
        found += [(method, route.path, schema) for method in sorted(route.methods)]
    return found


def flat(routes: Iterable[Any]) -> Iterator[Any]:
    """Yield routes, those of included routers too."""
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is None:
            yield route
        else:
            yield from flat(router.routes)


def calls_of(
    method: str, template: str, schema: dict[str, Any], given: dict[str, list[str]]
) -> Iterator[Call]:
    """Yield calls of a route with every combination of these ids, in the path and in the body."""
    names = re.findall(r"{(\w+)(?::\w+)?}", template)
    for thread_id in given["thread_id"]:
        for run_id in given["run_id"] if "run_id" in names else given["run_id"][:1]:
            known = {
                "thread_id": thread_id,
                "run_id": run_id,
                "checkpoint_id": given["checkpoint_id"][0],
                "assistant_id": given["assistant_id"][0],
                "cron_id": run_id,
                "namespace": "x",
            }
            path = template
            for name in names:
                path = re.sub(rf"{{{name}(:\w+)?}}", known[name], path)
            bodies: list[object] = [None]
            if method in ("POST", "PUT", "PATCH", "DELETE"):
                bodies = bodies_of(template, schema, known, given) or [{}]
            for body in bodies:
                yield Call(method, template, path, body)


def bodies_of(
    template: str, schema: dict[str, Any], known: dict[str, str], given: dict[str, list[str]]
) -> list[object]:
    """Return bodies that a route takes, as far as its schema tells, with ids wherever it has a place for them."""
    properties = schema.get("properties", {})
    hints: dict[str, object] = {
        "thread_id": known["thread_id"],
        "thread_ids": given["thread_id"],
        "ids": given["thread_id"],
        "run_id": known["run_id"],
        "run_ids": given["run_id"],
        "assistant_id": "agent",
        "graph_id": "agent",
        "input": said("stranger"),
        "checkpoint": {"checkpoint_id": known["checkpoint_id"]},
        "values": {"messages": []},
        "metadata": {"note": "stranger"},
        "version": 1,
    }
    required = set(schema.get("required", ()))
    fields = {name for name in properties if name in hints}
    ids_only = fields - {"metadata", "input", "values", "checkpoint"} | required
    least = {name: hints.get(name, "x") for name in required}
    most = {name: hints.get(name, "x") for name in ids_only}
    found: list[object] = [least, most]
    if "if_not_exists" in properties:
        found.append({**least, "if_not_exists": "create"})
        found.append({**least, "if_not_exists": "create", "multitask_strategy": "rollback"})
        found.append({**least, "multitask_strategy": "interrupt"})
    if "metadata" in properties and "/search" not in template and "/count" not in template:
        found.append({**least, "metadata": {"owner": "stranger", "note": "stranger"}})
    if "status" in properties and "run_ids" in properties:
        found.append({"status": "all"})
    if "values" in required or template.endswith("/state"):
        found.append({**least, "values": {"last": "stranger"}})
    return [body for at, body in enumerate(found) if body not in found[:at]]


@dataclass(frozen=True)
class Answer:
    """All of an answer that could tell one thread from another, ids left out."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


async def ask(client: httpx.AsyncClient, call: Call) -> httpx.Response:
    """Send a call, and return the answer with its body, as far as that comes."""
    request = client.build_request(call.method, call.path, json=call.body)
    if call.body is None:
        request = client.build_request(call.method, call.path)
    async with asyncio.timeout(SETTLE_SECONDS):
        response = await client.send(request)
        await response.aread()
    return response


def masked(response: httpx.Response, ids: list[str]) -> Answer:
    """Return what is left of an answer when ids and what always differs are gone."""
    body = response.text
    headers = {k: v for k, v in response.headers.items() if k not in VOLATILE}
    for given in ids:
        body = body.replace(given, "<id>")
        headers = {name: value.replace(given, "<id>") for name, value in headers.items()}
    return Answer(response.status_code, tuple(sorted(headers.items())), body)
