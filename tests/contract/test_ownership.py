"""Two users, every route, every kind of id of the other one: nothing is found, nothing changes, no byte gets out."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.auth import (
    Call,
    Estate,
    ask,
    calls_of,
    engine_with,
    estate_of,
    masked,
    owners,
    raw_client,
    routes_of,
    snapshot_of,
)
from tests.support.engine import said
from threadfold.app.http.auth.gate import PUBLIC_PATHS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.engine import Database, Gates
    from threadfold import Engine

pytestmark = pytest.mark.anyio

WITHOUT_THREAD = {
    "GET /metrics",
    "POST /ui/{assistant_id}",
    "POST /threads",
    "POST /threads/search",
    "POST /threads/count",
    "POST /threads/prune",
    "POST /runs",
    "POST /runs/stream",
    "POST /runs/wait",
    "POST /runs/batch",
    "POST /runs/cancel",
    "GET /runs/{run_id}/join",
    "GET /runs/{run_id}/stream",
    "POST /assistants",
    "POST /assistants/search",
    "POST /assistants/count",
    "GET /assistants/{assistant_id}",
    "PATCH /assistants/{assistant_id}",
    "DELETE /assistants/{assistant_id}",
    "GET /assistants/{assistant_id}/graph",
    "GET /assistants/{assistant_id}/schemas",
    "GET /assistants/{assistant_id}/subgraphs",
    "GET /assistants/{assistant_id}/subgraphs/{namespace}",
    "POST /assistants/{assistant_id}/versions",
    "POST /assistants/{assistant_id}/latest",
    "PUT /store/items",
    "GET /store/items",
    "DELETE /store/items",
    "POST /store/items/search",
    "POST /store/namespaces",
    "POST /runs/crons",
    "POST /runs/crons/search",
    "POST /runs/crons/count",
    "GET /runs/crons/{cron_id}",
    "PATCH /runs/crons/{cron_id}",
    "DELETE /runs/crons/{cron_id}",
}
"""Routes whose path names no thread. One that is added is added here too, when it is known to give nothing away."""

PUBLIC = {f"{method} {path}" for path in (*PUBLIC_PATHS, "/redoc") for method in ("GET", "HEAD")}


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    async with engine_with(database, owners(), gates) as engine:
        yield engine
        gates.open()


def missing_like(estate: Estate) -> Estate:
    """Return ids of the same kinds that there are not."""
    fresh = [str(uuid.uuid4()) for _ in range(5)]
    return Estate("nobody", *fresh)


def given_by(estate: Estate) -> dict[str, list[str]]:
    return {
        "thread_id": [estate.thread_id],
        "run_id": estate.run_ids,
        "checkpoint_id": [estate.checkpoint_id],
        "assistant_id": ["fe096781-5601-53d2-b2f6-0d3403f7e9ca"],
    }


def assert_nothing_of(estate: Estate, call: Call, text: str, headers: str) -> None:
    sent = f"{call.path} {call.body}"
    for mark in [*estate.marks, *(each for each in estate.ids if each not in sent)]:
        assert mark not in text, (str(call), text)
        assert mark not in headers, (str(call), headers)


async def test_another_users_ids_are_not_there_on_any_route(engine: Engine, gates: Gates) -> None:
    ann = await estate_of(engine, gates, "ann")
    missing = missing_like(ann)
    before = await snapshot_of(engine, ann)
    seen: set[str] = set()
    async with raw_client(engine, "bob") as bob:
        for method, template, schema in routes_of(engine):
            name = f"{method} {template}"
            if name in PUBLIC:
                continue
            seen.add(name)
            if "{thread_id}" not in template:
                assert name in WITHOUT_THREAD, f"{name}: is anything of a user's in its answers?"
            theirs = list(calls_of(method, template, schema, given_by(ann)))
            nobodys = list(calls_of(method, template, schema, given_by(missing)))
            for call, other in zip(theirs, nobodys, strict=True):
                response = await ask(bob, call)
                assert response.status_code != 500, str(call)
                assert_nothing_of(ann, call, response.text, str(response.headers))
                assert await snapshot_of(engine, ann) == before, str(call)
                if "{thread_id}" not in template:
                    continue
                assert response.status_code in (404, 405), (str(call), response.text)
                if isinstance(call.body, dict) and call.body.get("if_not_exists") == "create":
                    continue  # A thread that is not there would be created: see below.
                like = masked(await ask(bob, other), missing.ids)
                assert masked(response, ann.ids) == like, str(call)
    assert "GET /threads/{thread_id}/runs/{run_id}/stream" in seen
    assert len(seen) > 40


async def test_another_users_run_without_a_thread_is_not_there(
    engine: Engine, gates: Gates
) -> None:
    gates.close("ann-alone:1")
    async with raw_client(engine, "ann") as ann, raw_client(engine, "bob") as bob:
        body = {"assistant_id": "agent", "input": said("ann-alone")}
        waiting = asyncio.create_task(ann.post("/runs/wait", json=body))
        await gates["ann-alone:1"].reached()
        [(thread_id, run_id)] = await engine.queries.list_in_flight()
        assert (await ann.get(f"/threads/{thread_id}/runs/{run_id}")).status_code == 200
        missing = str(uuid.uuid4())
        for path in ("/runs/{}/join", "/runs/{}/stream"):
            refused = await bob.get(path.format(run_id))
            assert refused.status_code == 404
            assert masked(refused, [run_id]) == masked(
                await bob.get(path.format(missing)), [missing]
            )
        for way in ("", "/join", "/stream"):
            refused = await bob.get(f"/threads/{thread_id}/runs/{run_id}{way}")
            assert refused.status_code == 404
        assert (await bob.post("/runs/cancel", json={"status": "all"})).status_code == 404
        assert (await bob.post(f"/threads/{thread_id}/runs/{run_id}/cancel")).status_code == 404
        gates.open("ann-alone:1")
        assert "ann-alone" in (await waiting).text


async def test_a_key_of_another_user_stands_for_nothing(engine: Engine, gates: Gates) -> None:
    del gates
    key = {"Idempotency-Key": "the-same"}
    body = {"metadata": {"note": "n"}}
    async with raw_client(engine, "ann") as ann, raw_client(engine, "bob") as bob:
        first = (await ann.post("/threads", json=body, headers=key)).json()
        again = await ann.post("/threads", json=body, headers=key)
        assert again.json() == first
        assert again.headers["Idempotency-Replayed"] == "true"
        other = await bob.post("/threads", json=body, headers=key)
        assert "Idempotency-Replayed" not in other.headers
        assert other.json()["thread_id"] != first["thread_id"]
        assert other.json()["metadata"]["owner"] == "bob"


async def test_resumable_streams_and_thread_streams_are_their_owners(
    engine: Engine, gates: Gates
) -> None:
    del gates
    body = {"assistant_id": "agent", "input": said("ann-own"), "stream_resumable": True}
    async with raw_client(engine, "ann") as ann, raw_client(engine, "bob") as bob:
        thread_id = (await ann.post("/threads", json={})).json()["thread_id"]
        told = await ann.post(f"/threads/{thread_id}/runs/stream", json=body)
        assert told.status_code == 200
        assert "ann-own" in told.text
        path = told.headers["Location"]
        again = await ann.get(path, headers={"Last-Event-ID": "-1"})
        assert "ann-own" in again.text
        for refused in (path, f"/threads/{thread_id}/stream"):
            answer = await bob.get(refused, headers={"Last-Event-ID": "-1"})
            assert answer.status_code == 404


async def test_ids_of_both_users_cannot_be_mixed(engine: Engine, gates: Gates) -> None:
    ann = await estate_of(engine, gates, "ann")
    bob = await estate_of(engine, gates, "bob")
    before = await snapshot_of(engine, ann)
    mixed = {**given_by(ann), "thread_id": [bob.thread_id]}
    async with raw_client(engine, "bob") as client:
        for method, template, schema in routes_of(engine):
            if "{run_id}" not in template or "{thread_id}" not in template:
                continue
            for call in calls_of(method, template, schema, mixed):
                response = await ask(client, call)
                assert response.status_code in (404, 405), (str(call), response.text)
                assert_nothing_of(ann, call, response.text, str(response.headers))
        answer = await client.post(f"/threads/{bob.thread_id}/state/{ann.checkpoint_id}", json={})
        assert answer.status_code == 405
        state = await client.get(f"/threads/{bob.thread_id}/state/{ann.checkpoint_id}")
        assert state.json()["values"] == {}
        for body in (
            {"thread_id": bob.thread_id, "run_ids": ann.run_ids},
            {"thread_id": ann.thread_id, "run_ids": bob.run_ids},
            {"thread_id": ann.thread_id, "run_ids": ann.run_ids},
        ):
            answer = await client.post("/runs/cancel", json=body)
            assert answer.status_code == 404
    assert await snapshot_of(engine, ann) == before


async def test_nobody_gets_anywhere_without_saying_who_they_are(
    engine: Engine, gates: Gates
) -> None:
    ann = await estate_of(engine, gates, "ann")
    before = await snapshot_of(engine, ann)
    async with raw_client(engine) as nobody:
        for method, template, schema in routes_of(engine):
            for call in calls_of(method, template, schema, given_by(ann)):
                response = await ask(nobody, call)
                if template in PUBLIC_PATHS:
                    assert response.status_code == 200
                else:
                    assert response.status_code == 401, str(call)
                    assert response.json() == {"detail": "Who are you?"} or method == "HEAD"
                assert_nothing_of(ann, call, response.text, str(response.headers))
    assert await snapshot_of(engine, ann) == before


async def test_lists_counts_and_bulk_calls_are_about_ones_own(engine: Engine, gates: Gates) -> None:
    ann = await estate_of(engine, gates, "ann")
    async with raw_client(engine, "bob") as bob:
        assert (await bob.post("/threads/search", json={})).json() == []
        assert (await bob.post("/threads/search", json={"ids": [ann.thread_id]})).json() == []
        assert (await bob.post("/threads/count", json={})).json() == 0
        assert (await bob.post("/runs/cancel", json={"status": "all"})).status_code == 404
    mine = await estate_of(engine, gates, "bob")
    before = await snapshot_of(engine, ann)
    async with raw_client(engine, "bob") as bob:
        for asked in ({}, {"metadata": {"owner": "ann"}}, {"metadata": {"note": "ann-note"}}):
            found = (await bob.post("/threads/search", json=asked)).json()
            expected = [] if asked else [mine.thread_id]
            assert [thread["thread_id"] for thread in found] == expected
            assert (await bob.post("/threads/count", json=asked)).json() == len(expected)
        page = await bob.post("/threads/search", json={"limit": 1})
        assert page.headers["X-Pagination-Total"] == "1"
        assert "X-Pagination-Next" not in page.headers
        taken = {"thread_id": ann.thread_id, "metadata": {"note": "mine"}}
        for if_exists in ("raise", "do_nothing"):
            answer = await bob.post("/threads", json={**taken, "if_exists": if_exists})
            assert answer.status_code == 409
            assert answer.json() == {"detail": f"Thread with ID {ann.thread_id} already exists"}
        # His own are stopped, hers go on.
        assert (await bob.post("/runs/cancel", json={"status": "all"})).status_code == 204
        assert (await bob.post("/runs/cancel", json={"status": "all"})).status_code == 404
    assert await snapshot_of(engine, ann) == before
    async with raw_client(engine, "root") as root:
        found = (await root.post("/threads/search", json={})).json()
        assert {thread["thread_id"] for thread in found} == {ann.thread_id, mine.thread_id}
        answer = await root.get(f"/threads/{ann.thread_id}/runs/{ann.done}")
        assert "ann-secret" in answer.text


async def test_another_users_assistants_are_not_there(engine: Engine) -> None:
    async with raw_client(engine, "ann") as ann, raw_client(engine, "bob") as bob:
        made = await ann.post("/assistants", json={"graph_id": "agent", "name": "private"})
        there = made.json()["assistant_id"]
        thread_id = (await bob.post("/threads", json={})).json()["thread_id"]
        calls: list[tuple[str, str, dict[str, object] | None]] = [
            ("GET", f"/assistants/{there}", None),
            ("PATCH", f"/assistants/{there}", {"name": "mine"}),
            ("DELETE", f"/assistants/{there}", None),
            ("GET", f"/assistants/{there}/graph", None),
            ("GET", f"/assistants/{there}/schemas", None),
            ("GET", f"/assistants/{there}/subgraphs", None),
            ("POST", f"/assistants/{there}/versions", {}),
            ("POST", f"/assistants/{there}/latest", {"version": 1}),
            ("POST", f"/threads/{thread_id}/runs", {"assistant_id": there, "input": {}}),
        ]
        for method, path, body in calls:
            answer = await bob.request(method, path, json=body)
            assert answer.status_code == 404, (method, path, answer.text)
            assert "private" not in answer.text
        taken = await bob.post("/assistants", json={"graph_id": "agent", "assistant_id": there})
        assert taken.status_code == 409
        quiet = {"graph_id": "agent", "assistant_id": there, "if_exists": "do_nothing"}
        assert (await bob.post("/assistants", json=quiet)).status_code == 409
        for client, count in ((ann, 2), (bob, 1)):
            assert len((await client.post("/assistants/search", json={})).json()) == count
            assert (await client.post("/assistants/count", json={})).json() == count
        kept = (await ann.get(f"/assistants/{there}")).json()
        assert (kept["name"], kept["version"], kept["metadata"]["owner"]) == ("private", 1, "ann")
        patched = await ann.patch(f"/assistants/{there}", json={"metadata": {"owner": "bob"}})
        assert patched.json()["metadata"]["owner"] == "ann"
