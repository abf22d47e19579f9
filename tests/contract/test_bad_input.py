"""Nothing that a client sends, however malformed, gets a 500 or a dropped connection: it gets a 4xx that says what is wrong."""

import asyncio
import json
import re
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.support.engine import Database, Gates, answered, chat, heard, registry, said, soon
from tests.support.http import served
from threadfold import Engine, get_client
from threadfold.app.http.application import create_app
from threadfold.app.http.system import NOT_YET

UNKNOWN = "01a00000-0000-7000-8000-000000000000"
AGENT = "fe096781-5601-53d2-b2f6-0d3403f7e9ca"


@pytest.fixture
async def thread_id(client: LangGraphClient) -> str:
    thread = await client.threads.create()
    await client.runs.wait(thread["thread_id"], "agent", input=said("a"))
    return thread["thread_id"]


@pytest.fixture
async def raw(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=10) as raw:
        yield raw


def detail(response: httpx.Response) -> str:
    """Return what an error says, having checked its form."""
    assert 400 <= response.status_code < 500, response.text
    assert response.headers["Content-Type"] == "application/json"
    (content,) = response.json().values()
    assert isinstance(content, str)
    assert response.json() == {"detail": content}
    return content


WITH_BODY = [
    ("POST", "/threads"),
    ("POST", "/threads/search"),
    ("POST", "/threads/count"),
    ("POST", "/threads/prune"),
    ("PATCH", "/threads/{t}"),
    ("POST", "/threads/{t}/state"),
    ("POST", "/threads/{t}/state/checkpoint"),
    ("POST", "/threads/{t}/history"),
    ("POST", "/threads/{t}/runs"),
    ("POST", "/threads/{t}/runs/wait"),
    ("POST", "/threads/{t}/runs/stream"),
    ("POST", "/runs"),
    ("POST", "/runs/wait"),
    ("POST", "/runs/stream"),
    ("POST", "/runs/cancel"),
    ("POST", "/assistants/search"),
    ("POST", "/assistants/count"),
    ("POST", "/assistants"),
    ("PATCH", "/assistants/{a}"),
    ("POST", "/assistants/{a}/versions"),
    ("POST", "/assistants/{a}/latest"),
]

NOT_JSON = [
    b"",
    b" ",
    b"{",
    b"{'assistant_id': 'agent'}",
    b'{"assistant_id": "agent"',
    b'{"assistant_id": "agent"}}',
    b"\xff\xfe\x00\x01",
    b'{"input": "\xff"}',
    b'{"input": "\\ud800"}',
    b'{"\\udfff": 1}',
    b'{"input": NaN}',
    b'{"input": Infinity}',
    b'{"input": 1e999}',
    b"[" * 100_000,
    b'{"input": ' + b"[" * 2_000 + b"]" * 2_000 + b"}",
    json.dumps({"input": 1}).encode("utf-16"),
]

NO_OBJECTS = [b"null", b"true", b"1", b'"text"', b"[]", b'[{"assistant_id": "agent"}]']


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_a_body_must_be_a_json_object(
    raw: httpx.AsyncClient, thread_id: str, method: str, path: str
) -> None:
    path = path.format(t=thread_id, a=AGENT)
    for content in NOT_JSON:
        response = await raw.request(method, path, content=content)
        assert response.status_code == 422
        assert detail(response) == "Invalid JSON in request body"
    for content in NO_OBJECTS:
        response = await raw.request(method, path, content=content)
        assert (response.status_code, detail(response)) == (
            422,
            "The request body must be a JSON object",
        )


JUNK = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**63,
    2**64,
    10**30,
    -(10**30),
    1e308,
    "",
    "text",
    "\0",
    "\u202e\U0001f600",
    "x" * 10_000,
    [],
    [None],
    [[]],
    ["text", 1],
    {},
    {"": None},
    {"a": {"b": [1, {"c": "d"}]}},
    {"__proto__": 1, "checkpoint_id": 7, "configurable": 7},
]

FIELDS = {
    "/threads": ["thread_id", "metadata", "if_exists", "ttl", "supersteps"],
    "/threads/search": [
        *("metadata", "values", "ids", "status", "limit", "offset", "sort_by", "sort_order"),
        *("select", "extract"),
    ],
    "/threads/count": ["metadata", "values", "status"],
    "/threads/prune": ["thread_ids", "strategy"],
    "/threads/{t}": ["metadata", "ttl"],
    "/threads/{t}/state": ["values", "as_node", "checkpoint", "checkpoint_id"],
    "/threads/{t}/state/checkpoint": ["checkpoint", "subgraphs", "select"],
    "/threads/{t}/history": ["limit", "before", "metadata", "checkpoint", "select"],
    "/threads/{t}/runs": [
        *("assistant_id", "input", "metadata", "config", "context", "stream_mode"),
        *("multitask_strategy", "if_not_exists", "on_disconnect", "on_completion"),
        *("after_seconds", "durability", "checkpoint_during", "strict_resume", "command"),
        *("checkpoint", "checkpoint_id", "interrupt_before", "interrupt_after", "webhook"),
        *("stream_subgraphs", "feedback_keys", "langsmith_tracer"),
        *("unknown_field",),
    ],
    "/runs/cancel": ["thread_id", "run_ids", "status"],
    "/assistants/search": [
        *("metadata", "graph_id", "name", "limit", "offset", "sort_by", "sort_order", "select"),
    ],
    "/assistants/count": ["metadata", "graph_id", "name"],
    "/assistants": [
        *("graph_id", "assistant_id", "config", "context", "metadata", "if_exists", "name"),
        "description",
    ],
    "/assistants/{a}": ["graph_id", "config", "context", "metadata", "name", "description"],
    "/assistants/{a}/versions": ["metadata", "limit", "offset"],
    "/assistants/{a}/latest": ["version"],
}
FIELDS["/runs"] = FIELDS["/runs/wait"] = FIELDS["/runs/stream"] = [
    *FIELDS["/threads/{t}/runs"],
    "thread_id",
]
FIELDS["/threads/{t}/runs/wait"] = FIELDS["/threads/{t}/runs/stream"] = FIELDS["/threads/{t}/runs"]


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_any_value_in_any_field_is_taken_or_refused(
    client: LangGraphClient, thread_id: str, method: str, path: str
) -> None:
    http = client.http.client
    for field in FIELDS[path]:
        for junk in JUNK:
            given = {"assistant_id": "agent"} if "/runs" in path else {"graph_id": "agent"}
            content = json.dumps({**given, field: junk})
            where = path.format(t=thread_id, a=AGENT)
            answer = await soon(http.request(method, where, content=content))
            if answer.status_code >= 400:
                assert detail(answer), (field, junk)
    assert (await http.get("/ok")).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("command", {"resume": 1}),
        ("command", {"goto": "agent"}),
        ("checkpoint", {"checkpoint_id": UNKNOWN}),
        ("checkpoint_id", UNKNOWN),
        ("interrupt_before", "*"),
        ("interrupt_after", ["agent"]),
        ("webhook", "ftp://example.org"),
        ("webhook", "http://127.0.0.1/"),
        ("stream_subgraphs", True),
        ("durability", "exit"),
        ("checkpoint_during", False),
        ("multitask_strategy", "merge"),
        ("if_not_exists", "maybe"),
        ("on_disconnect", "shrug"),
        ("after_seconds", -1),
        ("after_seconds", 1e300),
        ("assistant_id", None),
        ("assistant_id", ""),
        ("metadata", []),
        ("config", "x"),
        ("config", {"configurable": []}),
        ("context", []),
        ("stream_mode", ["values", "nonsense"]),
    ],
)
async def test_a_field_that_cannot_be_honoured_is_refused_by_name(
    client: LangGraphClient, thread_id: str, field: str, value: object
) -> None:
    given = {"assistant_id": "agent", "input": said("b"), field: value}
    for call in ("", "/wait", "/stream"):
        answer = await client.http.client.post(f"/threads/{thread_id}/runs{call}", json=given)
        assert answer.status_code == 422
        assert detail(answer).startswith(field)
    assert len(await client.runs.list(thread_id)) == 1


async def test_fields_may_hold_their_defaults(client: LangGraphClient, thread_id: str) -> None:
    run = await client.runs.create(
        thread_id,
        "agent",
        input=said("b"),
        command={},
        stream_subgraphs=False,
        stream_resumable=False,
        interrupt_before=[],
        interrupt_after=[],
        durability="async",
        on_completion="delete",
        if_not_exists="reject",
        langsmith_tracing={"project_name": "ignored"},
        strict_resume=True,
    )
    await soon(client.runs.join(thread_id, run["run_id"]))
    assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "success"


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/threads", {"ttl": {"strategy": "delete"}}, "ttl.ttl"),
        ("/threads", {"ttl": 0}, "ttl.ttl"),
        ("/threads", {"ttl": True}, "ttl.ttl"),
        ("/threads", {"ttl": {"ttl": -1}}, "ttl.ttl"),
        ("/threads", {"ttl": {"ttl": 1e300}}, "ttl.ttl"),
        ("/threads", {"ttl": {"ttl": 5, "strategy": "forget"}}, "ttl.strategy"),
        ("/threads", {"ttl": {"ttl": 5, "refresh_on_read": True}}, "ttl.refresh_on_read"),
        ("/threads", {"supersteps": [{"updates": []}]}, "supersteps.0.updates"),
        ("/threads", {"supersteps": [{"updates": [{"values": 7}]}]}, "supersteps.0.updates.0"),
        ("/threads", {"supersteps": [{"updates": [{}]}]}, "metadata.graph_id"),
        (
            "/threads",
            {"metadata": {"graph_id": "nobody"}, "supersteps": [{"updates": [{}]}]},
            "Invalid assistant: 'nobody'",
        ),
        (
            "/threads",
            {
                "metadata": {"graph_id": "agent"},
                "supersteps": [{"updates": [{"command": {"goto": "agent"}}]}],
            },
            "supersteps.updates.command",
        ),
        ("/threads/search", {"values": [1]}, "values"),
        ("/threads/count", {"values": "x"}, "values"),
        ("/threads/search", {"extract": ["values.b"]}, "extract"),
        ("/threads/search", {"extract": {str(n): "values" for n in range(11)}}, "extract"),
        ("/threads/search", {"extract": {"a": "nothing.b"}}, "extract: 'a': 'nothing.b'"),
        ("/threads/search", {"extract": {"a": "values..b"}}, "extract: 'a': 'values..b'"),
        ("/threads/search", {"extract": {"a": "values[x]"}}, "extract: 'a': 'values[x]'"),
        ("/threads/search", {"extract": {"a": "values[1"}}, "extract: 'a': 'values[1'"),
        ("/threads/search", {"extract": {"a": "values." + "b" * 2000}}, "extract: 'a'"),
        ("/threads/search", {"extract": {"a": ""}}, "extract: 'a'"),
        ("/threads/prune", {}, "thread_ids"),
        ("/threads/prune", {"thread_ids": "x"}, "thread_ids"),
        ("/threads/prune", {"thread_ids": ["x"]}, "Invalid thread ID: must be a UUID"),
        ("/threads/prune", {"thread_ids": [UNKNOWN] * 1001}, "thread_ids"),
        ("/threads/prune", {"thread_ids": [], "strategy": "all"}, "strategy"),
        ("/threads/search", {"limit": 0}, "limit"),
        ("/threads/search", {"limit": 1001}, "limit"),
        ("/threads/search", {"offset": -1}, "offset"),
        ("/threads/search", {"ids": ["x"]}, "Invalid thread ID: must be a UUID"),
        ("/threads/search", {"select": ["x"]}, "select"),
        ("/threads/{t}/history", {"metadata": [1]}, "metadata"),
        (
            "/threads/{t}/history",
            {"checkpoint": {"checkpoint_ns": "inner"}},
            "checkpoint.checkpoint_ns",
        ),
        ("/threads/{t}/history", {"limit": 0}, "limit"),
        ("/threads/{t}/state", {"values": {}, "checkpoint_id": UNKNOWN}, "checkpoint_id"),
        ("/threads/{t}/state/checkpoint", {}, "checkpoint"),
        (
            "/threads/{t}/state/checkpoint",
            {"checkpoint": {"checkpoint_ns": "inner"}},
            "checkpoint.checkpoint_ns",
        ),
    ],
)
async def test_the_same_goes_for_threads(
    client: LangGraphClient, thread_id: str, path: str, body: dict, named: str
) -> None:
    answer = await client.http.client.post(path.format(t=thread_id), json=body)
    assert answer.status_code == 422
    assert detail(answer).startswith(named)


async def test_input_that_does_not_fit_the_graph_is_the_runs_error(
    client: LangGraphClient, thread_id: str
) -> None:
    for given in (7, "text", [1], {"messages": 7}, {"messages": [{"role": "nobody"}]}):
        values = await soon(client.runs.wait(thread_id, "agent", input=given, raise_error=False))
        assert set(values) == {"__error__"}
    assert (await client.threads.get(thread_id))["status"] == "error"


async def test_deep_and_odd_values_are_refused_or_kept_as_they_are(
    client: LangGraphClient, thread_id: str
) -> None:
    deep: list = []
    for _ in range(300):
        deep = [deep]
    answer = await client.http.client.post(
        f"/threads/{thread_id}/runs", json={"assistant_id": "agent", "input": {"x": deep}}
    )
    assert answer.status_code == 422
    assert "nested deeper" in detail(answer)
    odd = {"\0": "\0\x1b[31m\u2028", "": {"": []}, "n": [0.1, 1e-300, 2**53, -0.0]}
    thread = await client.threads.create(metadata=odd)
    assert (await client.threads.get(thread["thread_id"]))["metadata"] == odd


# ------------------------------------------------------------------ paths and queries

WITHOUT_BODY = [
    ("GET", "/threads/{t}"),
    ("DELETE", "/threads/{t}"),
    ("POST", "/threads/{t}/copy"),
    ("GET", "/threads/{t}/state"),
    ("GET", "/threads/{t}/history"),
    ("GET", "/threads/{t}/runs"),
    ("GET", "/threads/{t}/runs/{r}"),
    ("DELETE", "/threads/{t}/runs/{r}"),
    ("GET", "/threads/{t}/runs/{r}/join"),
    ("GET", "/threads/{t}/runs/{r}/stream"),
    ("POST", "/threads/{t}/runs/{r}/cancel"),
    ("GET", "/assistants/{a}"),
    ("DELETE", "/assistants/{a}"),
    ("GET", "/assistants/{a}/graph"),
    ("GET", "/assistants/{a}/schemas"),
    ("GET", "/assistants/{a}/subgraphs"),
    ("GET", "/assistants/{a}/subgraphs/inner"),
]


BAD_IDS = ["x", "1", "%00", "%FF", "..%2f..", "%D9%A1" * 32, "a" * 5000]


@pytest.mark.parametrize(("method", "path"), [*WITHOUT_BODY, *WITH_BODY])
async def test_ids_must_be_uuids(
    raw: httpx.AsyncClient, thread_id: str, method: str, path: str
) -> None:
    for bad in BAD_IDS:
        if "{r}" in path:
            answer = await raw.request(method, path.format(t=thread_id, r=bad))
            assert answer.status_code in {404, 422}  # A slash makes it another path.
            assert detail(answer) in {"Invalid run ID: must be a UUID", "Not Found"}
        if "{t}" in path:
            answer = await raw.request(method, path.format(t=bad, r=UNKNOWN))
            assert answer.status_code in {404, 422}
            assert detail(answer) in {"Invalid thread ID: must be a UUID", "Not Found"}
        if "{a}" in path:
            answer = await raw.request(method, path.format(a=bad))
            assert answer.status_code in {404, 422}
            assert detail(answer).startswith(("Invalid assistant", "Not Found"))


@pytest.mark.parametrize(("method", "path"), WITHOUT_BODY)
async def test_what_is_not_there_is_404(raw: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await raw.request(method, path.format(t=UNKNOWN, r=UNKNOWN, a=UNKNOWN))
    assert answer.status_code == 404
    detail(answer)


async def test_limits_are_whole_numbers(raw: httpx.AsyncClient, thread_id: str) -> None:
    for bad in ("", "0", "-1", "x", "1e3", "1001", "9" * 400, "٣", " 1", "1.0"):
        for path in (f"/threads/{thread_id}/runs", f"/threads/{thread_id}/history"):
            answer = await raw.get(path, params={"limit": bad})
            assert answer.status_code == 422
            assert detail(answer).startswith("limit")


async def test_queries_that_make_no_sense_are_refused(
    raw: httpx.AsyncClient, client: LangGraphClient, thread_id: str
) -> None:
    (run,) = await client.runs.list(thread_id)
    path = f"/threads/{thread_id}/runs/{run['run_id']}"
    for query in (
        "stream_mode=nonsense",
        "stream_mode=[1",
        "stream_mode=[1]",
        "%FF=%FF&stream_mode=%00",
    ):
        answer = await raw.get(f"{path}/stream?{query}")
        assert answer.status_code == 422
        assert detail(answer).startswith("stream_mode")
    answer = await raw.get(f"{path}/join?cancel_on_disconnect=perhaps")
    assert (answer.status_code, detail(answer)) == (
        422,
        "cancel_on_disconnect: expected true or false",
    )
    answer = await raw.get(f"/threads/{thread_id}?include=ttl,runs")
    assert answer.status_code == 422
    assert detail(answer).startswith("include: 'runs'")


async def test_unknown_routes_and_wrong_methods(raw: httpx.AsyncClient) -> None:
    answer = await raw.get("/nothing/here")
    assert (answer.status_code, detail(answer)) == (404, "Not Found")
    answer = await raw.put("/threads")
    assert (answer.status_code, detail(answer)) == (405, "Method Not Allowed")
    answer = await raw.post("/threads/", json={})
    assert (answer.status_code, detail(answer)) == (404, "Not Found")


@pytest.mark.parametrize(("method", "path"), NOT_YET)
async def test_calls_of_the_sdks_that_there_are_not_yet_are_refused_by_name(
    client: LangGraphClient, method: str, path: str
) -> None:
    concrete = re.sub(r"\{\w+\}", UNKNOWN, path)
    answer = await client.http.client.request(method, concrete)
    assert answer.status_code == 404
    assert detail(answer) == f"{method} {path} is not supported yet"


# ------------------------------------------------------------------ sizes and headers


async def test_bodies_are_bounded_whether_they_say_how_long_they_are_or_not(
    database: Database,
) -> None:
    async with database.engine(body_bytes_max=2048) as engine, get_client(engine) as client:
        http = client.http.client
        fitting = orjson.dumps({"metadata": {"x": "x" * 1000}})
        assert (await http.post("/threads", content=fitting)).status_code == 200
        answer = await http.post("/threads", content=orjson.dumps({"metadata": {"x": "x" * 3000}}))
        assert answer.status_code == 413
        assert "2048" in detail(answer)


@pytest.mark.parametrize("says_how_long", [True, False])
async def test_on_a_socket_too(database: Database, *, says_how_long: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"metadata": {"x": "'
        for _ in range(100):
            yield b"x" * 1000

    async with (
        database.engine(body_bytes_max=2048) as engine,
        served(engine) as url,
        httpx.AsyncClient(base_url=url) as raw,
    ):
        content = b"".join([chunk async for chunk in chunks()]) if says_how_long else chunks()
        answer = await raw.post("/threads", content=content)
        assert answer.status_code == 413
        detail(answer)
        assert (await raw.get("/ok")).status_code == 200


async def test_a_large_body_where_none_belongs_is_ignored(database: Database, gates: Gates) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    gates.close("a:0")
    async with (
        database.engine(registry(chat(gates)), body_bytes_max=2048) as engine,
        get_client(engine) as client,
        served(engine) as url,
        httpx.AsyncClient(base_url=url) as raw,
    ):
        thread_id = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread_id, "agent", input=said("a"))
        path = f"/threads/{thread_id}/runs/{run['run_id']}/join"
        async with raw.stream("GET", path, content=chunks()) as response:
            gates.open()
            await soon(response.aread())
        assert heard(response.json()) == answered("a")


async def exchanged(url: str, request: bytes, *, is_all: bool = False) -> bytes:
    """Send bytes as they are, and return what comes back; `is_all`: the server must not wait for more."""
    address = httpx.URL(url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(request)
        await writer.drain()
        if is_all:
            writer.write_eof()
        return await soon(reader.read(65536))
    finally:
        writer.close()
        await writer.wait_closed()


JSON_BODY = b'{"metadata": {}}'


@pytest.mark.parametrize(
    ("head", "statuses"),
    [
        (b"Content-Type: nonsense", {200}),
        (b"Content-Type: application/x-www-form-urlencoded", {200}),
        (b"Content-Type: multipart/form-data; boundary=", {200}),
        (b"Content-Type: \xff\xfe", {200}),
        (b"Accept: nothing/at-all;q=9", {200}),
        (b"Accept-Encoding: x\xff", {200}),
        (b"Cookie: " + b"=;" * 1000, {200}),
        (b"X-Odd: \xf0\x9f\x98\x80", {200}),
        (b"Host: ", {200, 400}),
        (b"Content-Length: 5", {200, 400, 422}),
        (b"Content-Length: -5", {400}),
        (b"Content-Length: x", {400}),
        (b"Content-Length: " + b"9" * 30, {400, 413}),
        (b"Transfer-Encoding: nonsense", {200, 400, 422}),
        (b"Bad Header: x", {200, 400}),
        (b": x", {400}),
        (b"X-Long: " + b"x" * 200_000, {200, 400, 431}),
    ],
)
async def test_odd_headers_do_no_harm(url: str, head: bytes, statuses: set[int]) -> None:
    length = b"" if b"Content-Length" in head else b"Content-Length: %d\r\n" % len(JSON_BODY)
    request = b"POST /threads HTTP/1.1\r\n%sHost: x\r\n%s\r\n\r\n%s" % (length, head, JSON_BODY)
    answer = await exchanged(url, request)
    status = int(answer.split(b" ", 2)[1]) if answer else 400
    assert status in statuses, answer
    async with httpx.AsyncClient(base_url=url) as raw:
        assert (await raw.get("/ok")).status_code == 200


async def test_what_is_no_http_at_all_does_no_harm(url: str) -> None:
    for request in (
        b"\0" * 1000,
        b"\x16\x03\x01\x02\x00\x01",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    ):
        answer = await exchanged(url, request, is_all=True)
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404")) or not answer
    async with httpx.AsyncClient(base_url=url) as raw:
        assert (await raw.get("/ok")).status_code == 200


async def test_a_client_that_leaves_in_the_middle_of_its_body_does_no_harm(url: str) -> None:
    address = httpx.URL(url)
    _, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"POST /threads HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with httpx.AsyncClient(base_url=url) as raw:
        assert (await raw.get("/ok")).status_code == 200


# ------------------------------------------------------------------ our own failures


async def test_a_defect_of_ours_is_a_500_in_json_that_tells_nothing(
    engine: Engine, client: LangGraphClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(engine, "get_thread", broken)
    answer = await client.http.client.get(f"/threads/{UNKNOWN}")
    assert (answer.status_code, answer.json()) == (500, {"detail": "Internal Server Error"})


async def test_a_store_that_is_away_is_a_503_that_says_to_come_again(database: Database) -> None:
    engine = database.engine()
    transport = httpx.ASGITransport(create_app(engine))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as raw:
        answer = await raw.get(f"/threads/{UNKNOWN}")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert set(answer.json()) == {"detail"}
