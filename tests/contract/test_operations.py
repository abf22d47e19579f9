"""What operators and browsers see of the server: metrics, logs, spans, request ids, and which pages may call it."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.auth import engine_with, estate_of, owners, raw_client
from tests.support.engine import Database, Gates, chat, join, registry, submit
from tests.support.http import served
from threadfold import Engine, get_client
from threadfold.app import logs
from threadfold.app.http.access import request_id
from threadfold.app.http.auth import guarded, rules
from threadfold.app.metrics import Metrics
from threadfold.app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio


@pytest.fixture
async def http(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    """Give a plain client on a socket."""
    async with served(engine) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


async def samples(http: httpx.AsyncClient) -> dict[tuple[str, tuple[str, ...]], float]:
    answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (
            sample.name.removeprefix("threadfold_"),
            tuple(sorted(sample.labels.values())),
        ): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_runs_are_counted_by_strategy_and_by_how_they_ended(
    engine: Engine, gates: Gates, http: httpx.AsyncClient
) -> None:
    thread_id = (await engine.create_thread()).thread_id
    gates["A:0"].close()
    await submit(engine, thread_id, "A")
    await gates["A:0"].reached()
    found = await samples(http)
    assert found["runs_in_flight", ("running",)] == 1
    assert found["attempts_running", ()] == 1
    await join(engine, thread_id, await submit(engine, thread_id, "B", "rollback"))
    found = await samples(http)
    assert found["runs_accepted_total", ("enqueue",)] == 1
    assert found["runs_accepted_total", ("rollback",)] == 1
    assert found["runs_ended_total", ("rolled_back",)] == 1
    assert found["runs_ended_total", ("success",)] == 1
    assert found["run_queue_seconds_count", ()] == 2
    assert found["rollback_seconds_count", ()] == 1
    assert 0 <= found["rollback_seconds_sum", ()] < 30
    assert found["runs_in_flight", ("running",)] == found["runs_in_flight", ("pending",)] == 0
    assert found["append_seconds_count", ()] >= 4


async def test_runs_in_flight_are_counted_by_what_they_do(
    engine: Engine, gates: Gates, http: httpx.AsyncClient
) -> None:
    thread_id = (await engine.create_thread()).thread_id
    gates["A:0"].close()
    await submit(engine, thread_id, "A")
    await gates["A:0"].reached()
    await submit(engine, thread_id, "B")
    await submit(engine, thread_id, "C")
    found = await samples(http)
    assert found["runs_in_flight", ("running",)] == 1
    assert found["runs_in_flight", ("pending",)] == 2
    await join(engine, thread_id, await submit(engine, thread_id, "D", "interrupt"))
    found = await samples(http)
    assert found["runs_ended_total", ("interrupted",)] == 3
    assert found["runs_ended_total", ("success",)] == 1
    assert found["runs_in_flight", ("running",)] == found["runs_in_flight", ("pending",)] == 0


async def test_requests_are_measured_by_route_and_never_by_id(http: httpx.AsyncClient) -> None:
    thread_id = (await http.post("/threads", json={})).json()["thread_id"]
    await http.get(f"/threads/{thread_id}")
    await http.get("/no/such/route")
    found = await samples(http)
    assert found["http_request_seconds_count", ("/threads/{thread_id}", "200", "GET")] == 1
    assert found["http_request_seconds_count", ("404", "GET", "unknown")] == 1
    assert not any(thread_id in label for _, labels in found for label in labels)


async def test_groups_of_writes_are_measured(tmp_path: Any) -> None:
    async with Engine(f"sqlite:///{tmp_path}/log.db") as engine, served(engine) as url:
        await engine.create_thread()
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            found = await samples(http)
    assert found["append_group_size_count", ()] == found["commit_seconds_count", ()] >= 1


async def test_who_wants_no_metrics_has_none(database: Database) -> None:
    async with database.engine(registry(), metrics=False) as engine, served(engine) as url:
        assert engine.metrics is None
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            assert (await http.get("/metrics")).status_code == 404


async def the_same_figures(database: Database, gates: Gates) -> None:
    async with engine_with(database, owners(), gates) as engine:
        ann = await estate_of(engine, gates, "ann")
        for user in ("ann", "bob", "root"):
            async with raw_client(engine, user) as http:
                found = await samples(http)
                told = (await http.get("/metrics")).text
            in_flight = [found["runs_in_flight", (status,)] for status in ("pending", "running")]
            assert in_flight == [1, 1], user
            assert not any(each in told for each in [*ann.ids, *ann.marks])
        gates.open()


async def test_figures_are_those_of_the_whole_server_whoever_asks(
    database: Database, gates: Gates
) -> None:
    await the_same_figures(database, gates)


async def test_figures_that_are_bounded_are_caught(
    monkeypatch: pytest.MonkeyPatch, gates: Gates
) -> None:
    monkeypatch.setattr(guarded, "OPEN", rules.OPEN - {"queries.count_in_flight"})
    with pytest.raises(AssertionError, match="bob"):
        await the_same_figures(Database(), gates)


async def test_figures_are_for_users_who_may_search_threads(database: Database) -> None:
    auth = owners()

    @auth.on.threads.search
    async def search(ctx: Any, value: Any) -> bool:
        return ctx.user.identity != "bob"

    async with engine_with(database, auth) as engine:
        for user, status in ((None, 401), ("bob", 403), ("ann", 200)):
            async with raw_client(engine, user) as http:
                assert (await http.get("/metrics")).status_code == status


# ------------------------------------------------------------------ logs


async def test_each_request_has_an_id_and_a_line_in_the_log(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="threadfold.app.http.access")
    given = await http.post("/threads", json={}, headers={"X-Request-ID": "mine-1"})
    assert given.headers["X-Request-ID"] == "mine-1"
    made = await http.get("/threads/x", headers={"X-Request-ID": "two lines\tno"})
    assert len(made.headers["X-Request-ID"]) == 32
    await http.get("/ok")
    told = [vars(record) for record in caplog.records if record.name.endswith("access")]
    assert [(line["method"], line["route"], line["status"]) for line in told] == [
        ("POST", "/threads", 200),
        ("GET", "/threads/{thread_id}", 422),
    ]
    assert all(0 <= line["seconds"] < 30 for line in told)


def test_the_log_is_text_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    token = request_id.set("r-1")
    try:
        for kind in ("json", "text"):
            root.handlers[:] = []
            logs.configure(kind)
            logging.getLogger("x").warning("it is %s", "so", extra={"thread_id": "t"})
    finally:
        request_id.reset(token)
        root.handlers[:] = before
        root.setLevel(level)  # Set otherwise, loggers would remember the old one.
    as_json, as_text = capsys.readouterr().err.splitlines()
    told = json.loads(as_json)
    assert told.pop("time")
    assert told == {
        "level": "WARNING",
        "logger": "x",
        "message": "it is so",
        "thread_id": "t",
        "request_id": "r-1",
    }
    assert as_text.endswith("WARNING x: it is so")


# ------------------------------------------------------------------ browsers

PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}


@pytest.mark.parametrize(
    ("origins", "origin", "is_allowed"),
    [
        ("", "http://localhost:3000", True),
        ("", "https://127.0.0.1", True),
        ("", "http://localhost.evil.org", False),
        ("", "https://evil.org", False),
        ("https://a.org, https://b.org", "https://b.org", True),
        ("https://a.org", "http://localhost:3000", False),
        ("*", "https://evil.org", True),
    ],
)
async def test_pages_of_these_origins_may_call(
    database: Database,
    origins: str,
    origin: str,
    is_allowed: bool,  # noqa: FBT001
) -> None:
    async with (
        database.engine(registry(), cors_origins=origins) as engine,
        served(engine) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        asked = await http.options("/threads", headers={"Origin": origin, **PREFLIGHT})
        answer = await http.post("/threads", json={}, headers={"Origin": origin})
    for each in (asked, answer):
        allowed = each.headers.get("Access-Control-Allow-Origin")
        assert (allowed in (origin, "*")) == is_allowed
        assert "Access-Control-Allow-Credentials" not in each.headers
    if is_allowed:
        exposed = answer.headers["Access-Control-Expose-Headers"]
        for name in ("Content-Location", "Location", "X-Pagination-Total", "X-Pagination-Next"):
            assert name in exposed


async def test_a_browser_may_read_where_a_stream_is_and_why_a_request_was_refused(
    engine: Engine, http: httpx.AsyncClient
) -> None:
    thread_id = (await engine.create_thread()).thread_id
    origin = {"Origin": "http://localhost:3000"}
    body = {"assistant_id": "agent", "input": {"messages": [{"role": "user", "content": "A"}]}}
    streamed = await http.post(f"/threads/{thread_id}/runs/stream", json=body, headers=origin)
    refused = await http.post("/threads/search", json={"limit": 0}, headers=origin)
    large = await http.post("/threads", content=b" " * 9_000_000, headers=origin)
    assert (streamed.status_code, refused.status_code, large.status_code) == (200, 422, 413)
    for answer in (streamed, refused, large):
        assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"


# ------------------------------------------------------------------ spans


async def test_an_attempt_is_a_span_and_what_a_graph_traces_is_part_of_it() -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

    from threadfold.app.observing import Several
    from threadfold.app.tracing import Traces

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")

    async def agent(state: Any, run: Any) -> dict[str, Any]:
        del run
        with tracer.start_as_current_span("inner"):
            if state.get("fails"):
                raise ValueError("no")
        return {"done": True}

    engine = Engine("memory://", settings=Settings(traces=False))
    engine.graph("agent")(agent)
    engine._executor.observer = Several([engine._executor.observer, Traces(tracer)])
    async with engine:
        thread_id = (await engine.create_thread()).thread_id
        first = await engine.submit_run(thread_id, "agent", input={})
        await join(engine, thread_id, first.row.run_id)
        second = await engine.submit_run(thread_id, "agent", input={"fails": True})
        await join(engine, thread_id, second.row.run_id)
    spans = {span.name: span for span in exporter.get_finished_spans()[:2]}
    attributes = spans["run"].attributes
    assert attributes is not None
    assert attributes["threadfold.thread_id"] == thread_id
    assert attributes["threadfold.run_id"] == first.row.run_id
    parent = spans["inner"].parent
    assert parent is not None
    assert parent.span_id == spans["run"].context.span_id
    failed = exporter.get_finished_spans()[-1]
    assert failed.status.description == "ValueError"
    assert all(not event.attributes for event in failed.events if event.name == "exception")


async def test_the_client_in_process_sees_the_same_app(database: Database, gates: Gates) -> None:
    async with database.engine(registry(chat(gates))) as engine, get_client(engine) as client:
        assert "threadfold_runs_accepted" in (await client.http.client.get("/metrics")).text


def test_the_manual_names_all_metrics_and_no_others() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    told = set(re.findall(r"^\| `threadfold_(\w+)", manual, re.MULTILINE))
    assert {name.removesuffix("_total") for name in told} == {
        family.name.removeprefix("threadfold_") for family in Metrics().registry.collect()
    }
