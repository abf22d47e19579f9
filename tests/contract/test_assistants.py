"""Assistants as the SDKs get them: a test per method of `client.assistants`, in process, over a socket, and sync."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import (
    BadRequestError,
    ConflictError,
    NotFoundError,
    UnprocessableEntityError,
)
from typing_extensions import TypedDict

from tests.support.engine import Database, Gates, chat, registry, said, soon
from tests.support.http import served
from tests.support.javascript import Node
from tests.support.sdk_clients import KINDS, connected, without_surroundings
from threadfold import Engine, get_client

AGENT = "fe096781-5601-53d2-b2f6-0d3403f7e9ca"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


class State(TypedDict, total=False):
    seen: dict[str, Any]
    model: str


class Settings(TypedDict, total=False):
    model: str
    tone: str


def inner() -> Any:
    graph = StateGraph(State)
    graph.add_node("deep", lambda state: {"model": "deep"})
    graph.add_edge(START, "deep")
    return graph.compile()


def outer() -> Any:
    def look(state: State, config: Any, runtime: Runtime[Settings]) -> State:
        configurable = {key: config["configurable"].get(key) for key in ("model", "tone")}
        return {"seen": {"configurable": configurable, "context": dict(runtime.context or {})}}

    look.__annotations__["config"] = "RunnableConfig"
    graph = StateGraph(State, context_schema=Settings)
    graph.add_node("look", look)
    graph.add_node("sub", inner())
    graph.add_edge(START, "look")
    graph.add_conditional_edges("look", lambda state: "sub", ["sub"])
    return graph.compile()


def broken() -> Any:
    """Make no graph."""
    raise RuntimeError("no key for the model")


async def settings(state: State, run: Any) -> dict[str, Any]:
    return {"seen": {"config": dict(run.config), "context": dict(run.context)}}


@pytest.fixture
async def engine(database: Database, gates: Gates) -> AsyncIterator[Engine]:
    """Give a started engine with graphs of each kind."""
    engine = database.engine(registry(chat(gates)))
    engine.graph("settings")(settings)
    engine.add_graph("lang", outer())
    engine.add_graph("broken", broken)
    async with engine:
        yield engine


@pytest.fixture(params=KINDS)
async def assistants(
    request: pytest.FixtureRequest, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    """Give `client.assistants` of each client in turn."""
    without_surroundings(monkeypatch)
    async with connected(request.param, engine) as client:
        yield client.assistants


# ------------------------------------------------------------------ each method


async def test_create_makes_the_first_version(assistants: Any) -> None:
    made = await assistants.create(
        "agent",
        config={"tags": ["a"], "configurable": {"model": "small"}},
        metadata={"team": "x"},
        name="Helper",
        description="It helps.",
    )
    assert UUID(made["assistant_id"]).version == 7
    assert made == {
        "assistant_id": made["assistant_id"],
        "graph_id": "agent",
        "config": {"tags": ["a"], "configurable": {"model": "small"}},
        "context": {},
        "metadata": {"team": "x"},
        "name": "Helper",
        "description": "It helps.",
        "version": 1,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    assert await assistants.get(made["assistant_id"]) == made
    bare = await assistants.create("lang", context={"tone": "dry"})
    assert (bare["name"], bare["description"], bare["metadata"]) == ("Untitled", None, {})
    assert (bare["config"], bare["context"]) == ({}, {"tone": "dry"})


async def test_an_id_can_be_chosen_once(assistants: Any) -> None:
    chosen = "0198C0DE-0000-7000-8000-000000000001"
    made = await assistants.create("agent", assistant_id=chosen, name="first")
    assert made["assistant_id"] == chosen.lower()
    with pytest.raises(ConflictError, match="already exists"):
        await assistants.create("agent", assistant_id=chosen)
    with pytest.raises(ConflictError, match="already exists"):
        await assistants.create("agent", assistant_id=chosen, if_exists="raise")
    again = await assistants.create("lang", assistant_id=chosen, if_exists="do_nothing", name="x")
    assert again == made


async def test_the_id_of_a_default_assistant_is_taken_from_the_start(assistants: Any) -> None:
    with pytest.raises(ConflictError, match="already exists"):
        await assistants.create("agent", assistant_id=AGENT)
    there = await assistants.create("agent", assistant_id=AGENT, if_exists="do_nothing")
    assert there == await assistants.get(AGENT)
    assert there["metadata"] == {"created_by": "system"}


async def test_what_cannot_be_made_is_refused(assistants: Any) -> None:
    with pytest.raises(NotFoundError, match="Graph 'nobody' not found"):
        await assistants.create("nobody")
    with pytest.raises(UnprocessableEntityError, match="graph_id"):
        await assistants.create(None)
    with pytest.raises(UnprocessableEntityError, match="Invalid assistant ID: must be a UUID"):
        await assistants.create("agent", assistant_id="mine")
    with pytest.raises(UnprocessableEntityError, match="if_exists"):
        await assistants.create("agent", if_exists="maybe")
    with pytest.raises(BadRequestError, match="Cannot specify both"):
        await assistants.create("agent", {"configurable": {"a": 1}}, context={"b": 2})
    assert await assistants.count(metadata={}) == 4


async def test_get_takes_a_uuid_of_an_assistant_that_is_there(assistants: Any) -> None:
    assert (await assistants.get(AGENT.upper()))["graph_id"] == "agent"
    with pytest.raises(NotFoundError, match=f"Assistant with ID {UNKNOWN} not found"):
        await assistants.get(UNKNOWN)
    with pytest.raises(UnprocessableEntityError, match="Invalid assistant ID: must be a UUID"):
        await assistants.get("agent")


async def test_update_makes_a_new_version_and_leaves_what_is_not_named(assistants: Any) -> None:
    config = {"configurable": {"model": "small", "tone": "dry"}}
    made = await assistants.create("agent", config, metadata={"a": 1, "b": {"c": 1}}, name="one")
    assistant_id = made["assistant_id"]
    second = await assistants.update(assistant_id, metadata={"b": {"d": 2}, "e": 3}, name="two")
    assert second == made | {
        "version": 2,
        "name": "two",
        "metadata": {"a": 1, "b": {"d": 2}, "e": 3},  # A shallow merge.
        "updated_at": second["updated_at"],
    }
    assert second["updated_at"] > made["updated_at"]
    third = await assistants.update(
        assistant_id, graph_id="lang", config={"tags": ["x"]}, description="now with tags"
    )
    assert (third["version"], third["graph_id"]) == (3, "lang")
    assert third["config"] == {"tags": ["x"]}
    assert third["description"] == "now with tags"
    cleared = await assistants.update(assistant_id, config={}, context={"tone": "kind"})
    assert (cleared["config"], cleared["context"]) == ({}, {"tone": "kind"})
    assert await assistants.get(assistant_id) == cleared


async def test_an_update_of_nothing_that_is_there_is_refused(assistants: Any) -> None:
    with pytest.raises(NotFoundError, match="not found"):
        await assistants.update(UNKNOWN, name="x")
    with pytest.raises(NotFoundError, match="Graph 'nobody' not found"):
        await assistants.update(AGENT, graph_id="nobody")
    with pytest.raises(BadRequestError, match="Cannot specify both"):
        await assistants.update(AGENT, config={"configurable": {"a": 1}}, context={"b": 2})
    assert (await assistants.get(AGENT))["version"] == 1


async def test_a_default_assistant_can_be_changed_and_put_back(assistants: Any) -> None:
    before = await assistants.get(AGENT)
    changed = await assistants.update(AGENT, config={"configurable": {"model": "big"}}, name="Big")
    assert (changed["version"], changed["graph_id"], changed["name"]) == (2, "agent", "Big")
    assert changed["metadata"] == {"created_by": "system"}
    assert await assistants.get(AGENT) == changed
    assert [version["version"] for version in await assistants.get_versions(AGENT)] == [2, 1]
    found = await assistants.search(graph_id="agent")
    assert found == [changed]
    back = await assistants.set_latest(AGENT, 1)
    kept = {"config", "context", "metadata", "name", "description", "version", "graph_id"}
    assert {key: back[key] for key in kept} == {key: before[key] for key in kept}


async def test_delete_takes_an_assistant_away_with_its_versions(assistants: Any) -> None:
    made = await assistants.create("agent", name="gone soon")
    assistant_id = made["assistant_id"]
    await assistants.update(assistant_id, name="gone")
    assert await assistants.delete(assistant_id) is None
    for call in (
        assistants.get(assistant_id),
        assistants.get_versions(assistant_id),
        assistants.update(assistant_id, name="x"),
        assistants.set_latest(assistant_id, 1),
        assistants.delete(assistant_id),
        assistants.get_graph(assistant_id),
    ):
        with pytest.raises(NotFoundError):
            await call
    assert await assistants.count(name="gone") == 0
    again = await assistants.create("agent", assistant_id=assistant_id)
    assert (again["version"], again["name"]) == (1, "Untitled")
    assert len(await assistants.get_versions(assistant_id)) == 1


async def test_a_default_assistant_cannot_be_deleted(assistants: Any) -> None:
    for _ in range(2):
        with pytest.raises(ConflictError, match="is the default one of graph 'agent'"):
            await assistants.delete(AGENT, delete_threads=True)
        await assistants.update(AGENT, name="changed")
    assert (await assistants.get(AGENT))["name"] == "changed"


async def test_search_and_count_find_by_metadata_graph_and_name(assistants: Any) -> None:
    for number in range(5):
        await assistants.create(
            "agent" if number % 2 else "lang",
            metadata={"number": number, "tags": ["a", "b"], "deep": {"x": 1, "y": number}},
            name=f"Helper {number}",
        )

    async def names(**query: Any) -> list[str]:
        found = await assistants.search(**query)
        asked = {key: query[key] for key in ("metadata", "graph_id", "name") if key in query}
        assert await assistants.count(**asked) == len(found)
        return [entry["name"] for entry in found]

    assert await names(name="helper") == [f"Helper {number}" for number in (4, 3, 2, 1, 0)]
    assert await names(metadata={"number": 3}) == ["Helper 3"]
    assert await names(metadata={"deep": {"x": 1}, "tags": ["b"]}, graph_id="agent") == [
        "Helper 3",
        "Helper 1",
    ]
    assert await names(metadata={"deep": {"x": 2}}) == []
    assert await names(metadata={"created_by": "system"}, sort_by="graph_id", sort_order="asc") == [
        "agent",
        "broken",
        "lang",
        "settings",
    ]
    assert await names(name="HELPER 1") == ["Helper 1"]
    assert await names(graph_id="nobody") == []
    assert await assistants.count() == 9


async def test_search_sorts_pages_and_selects(assistants: Any) -> None:
    made = [await assistants.create("agent", name=name) for name in ("b", "c", "a")]
    await assistants.update(made[0]["assistant_id"], metadata={"touched": True})

    async def names(**query: Any) -> list[str]:
        found = await assistants.search(metadata={}, **query)
        return [entry["name"] for entry in found if len(entry["name"]) == 1]

    assert await names() == ["a", "c", "b"]
    assert await names(sort_by="created_at", sort_order="asc") == ["b", "c", "a"]
    assert await names(sort_by="updated_at") == ["b", "a", "c"]
    assert await names(sort_by="name", sort_order="asc") == ["a", "b", "c"]
    assert await names(sort_by="assistant_id", sort_order="asc") == ["b", "c", "a"]
    page = await assistants.search(
        limit=2, offset=1, sort_by="name", sort_order="asc", select=["name", "version"],
        response_format="object",
    )  # fmt: skip
    assert page == {
        "assistants": [{"name": "agent", "version": 1}, {"name": "b", "version": 2}],
        "next": "3",
    }
    rest = await assistants.search(limit=10, offset=3, response_format="object")
    assert (len(rest["assistants"]), rest["next"]) == (4, None)
    with pytest.raises(UnprocessableEntityError, match="sort_by"):
        await assistants.search(sort_by="version")
    with pytest.raises(UnprocessableEntityError, match="select"):
        await assistants.search(select=["secret"])
    for bad in ({"limit": 0}, {"limit": 1001}, {"offset": -1}):
        with pytest.raises(UnprocessableEntityError):
            await assistants.search(**bad)


async def test_versions_are_listed_newest_first_and_paged(assistants: Any) -> None:
    made = await assistants.create("agent", metadata={"stage": "draft"}, name="v1")
    assistant_id = made["assistant_id"]
    for number in range(2, 6):
        stage = "draft" if number < 4 else "live"
        await assistants.update(assistant_id, name=f"v{number}", metadata={"stage": stage})

    async def listed(**query: Any) -> list[int]:
        versions = await assistants.get_versions(assistant_id, **query)
        assert all(version["name"] == f"v{version['version']}" for version in versions)
        return [version["version"] for version in versions]

    assert await listed() == [5, 4, 3, 2, 1]
    assert await listed(limit=2, offset=1) == [4, 3]
    assert await listed(metadata={"stage": "live"}) == [5, 4]
    assert await listed(metadata={"stage": "draft"}, limit=1) == [3]
    first = (await assistants.get_versions(assistant_id))[-1]
    assert first == {key: made[key] for key in made if key != "updated_at"}
    (only,) = await assistants.get_versions(AGENT)
    assert only["version"] == 1
    with pytest.raises(NotFoundError):
        await assistants.get_versions(UNKNOWN)


async def test_an_older_version_can_be_the_latest_one(assistants: Any) -> None:
    made = await assistants.create("agent", config={"tags": ["one"]}, name="one")
    assistant_id = made["assistant_id"]
    await assistants.update(assistant_id, graph_id="lang", config={"tags": ["two"]}, name="two")
    back = await assistants.set_latest(assistant_id, 1)
    assert back == made | {"updated_at": back["updated_at"]}
    assert await assistants.get(assistant_id) == back
    assert await assistants.set_latest(assistant_id, 1) == back  # Nothing changes.
    assert await assistants.search(name="two") == []
    third = await assistants.update(assistant_id, name="three")
    assert (third["version"], third["graph_id"], third["config"]) == (3, "agent", {"tags": ["one"]})
    assert (await assistants.set_latest(assistant_id, 2))["config"] == {"tags": ["two"]}
    for unknown in (4, 10**12):
        with pytest.raises(NotFoundError, match=f"has no version {unknown}"):
            await assistants.set_latest(assistant_id, unknown)
    for bad in (0, -1, "1", None):
        with pytest.raises(UnprocessableEntityError, match="version"):
            await assistants.set_latest(assistant_id, bad)
    with pytest.raises(NotFoundError):
        await assistants.set_latest(UNKNOWN, 1)
    with pytest.raises(NotFoundError, match="has no version 2"):
        await assistants.set_latest(AGENT, 2)


# ------------------------------------------------------------------ what the graphs are


async def test_a_langgraph_graph_is_drawn_with_or_without_what_is_inside(assistants: Any) -> None:
    made = await assistants.create("lang")
    plain = await assistants.get_graph(made["assistant_id"])
    assert [node["id"] for node in plain["nodes"]] == ["__start__", "look", "sub", "__end__"]
    assert plain["nodes"][1]["data"]["name"] == "look"
    edges = {(edge["source"], edge["target"]): edge for edge in plain["edges"]}
    assert edges.keys() == {("__start__", "look"), ("look", "sub"), ("sub", "__end__")}
    assert edges["look", "sub"]["conditional"] is True
    assert "conditional" not in edges["__start__", "look"]
    assert await assistants.get_graph("lang") == plain  # Its name does, too.
    for xray in (True, 1, 2):
        drawn = await assistants.get_graph(made["assistant_id"], xray=xray)
        assert "sub:deep" in [node["id"] for node in drawn["nodes"]]
    assert await assistants.get_graph(made["assistant_id"], xray=0) == plain
    for bad in (-1, 101, 10**9, "deep"):
        with pytest.raises(UnprocessableEntityError, match="xray"):
            await assistants.get_graph("lang", xray=bad)


async def test_a_function_is_drawn_as_one_node(assistants: Any) -> None:
    drawn = await assistants.get_graph("settings", xray=True)
    assert [node["id"] for node in drawn["nodes"]] == ["__start__", "settings", "__end__"]
    assert drawn["nodes"][1]["type"] == "runnable"
    assert drawn["edges"] == [
        {"source": "__start__", "target": "settings"},
        {"source": "settings", "target": "__end__"},
    ]


SCHEMAS = {"input_schema", "output_schema", "state_schema", "config_schema", "context_schema"}


async def test_schemas_say_what_a_graph_takes_gives_and_keeps(assistants: Any) -> None:
    schemas = await assistants.get_schemas("lang")
    assert schemas.keys() == {"graph_id", *SCHEMAS}
    assert schemas["graph_id"] == "lang"
    for name in ("input_schema", "output_schema", "state_schema"):
        assert set(schemas[name]["properties"]) == {"seen", "model"}
    assert set(schemas["context_schema"]["properties"]) == {"model", "tone"}
    function = await assistants.get_schemas("settings")
    assert set(function["state_schema"]["properties"]) == {"seen", "model"}
    assert function["input_schema"] == function["output_schema"] == function["state_schema"]
    untyped = await assistants.get_schemas(AGENT)
    assert untyped == {"graph_id": "agent", **dict.fromkeys(SCHEMAS)}


async def test_subgraphs_are_named_by_their_namespaces(assistants: Any) -> None:
    found = await assistants.get_subgraphs("lang", recurse=True)
    assert found.keys() == {"sub"}
    assert found["sub"].keys() >= SCHEMAS
    assert await assistants.get_subgraphs("lang", "sub") == found
    assert await assistants.get_subgraphs("lang", "other") == {}
    assert await assistants.get_subgraphs("settings") == {}


async def test_a_graph_that_cannot_be_made_is_no_servers_error(assistants: Any) -> None:
    for call in (
        assistants.get_graph("broken"),
        assistants.get_schemas("broken"),
        assistants.get_subgraphs("broken"),
    ):
        with pytest.raises(UnprocessableEntityError, match="no key for the model"):
            await call
    for call in (assistants.get_graph("nobody"), assistants.get_schemas("nobody")):
        with pytest.raises(UnprocessableEntityError, match="nobody"):
            await call
    with pytest.raises(NotFoundError):
        await assistants.get_schemas(UNKNOWN)


# ------------------------------------------------------------------ their runs


async def seen(client: LangGraphClient, assistant: str, **options: Any) -> dict[str, Any]:
    thread = await client.threads.create()
    given = {"input": {}, **options}
    values = await soon(client.runs.wait(thread["thread_id"], assistant, **given))
    return values["seen"]


@pytest.mark.parametrize("graph", ["settings", "lang"])
async def test_a_runs_own_values_win_over_its_assistants(
    client: LangGraphClient, graph: str
) -> None:
    config = {"configurable": {"model": "small", "tone": "dry"}, "tags": ["assistant"]}
    made = await client.assistants.create(graph, config)
    assistant_id = made["assistant_id"]
    told = await seen(client, assistant_id)
    given = told["configurable"] if graph == "lang" else told["config"]["configurable"]
    assert given == {"model": "small", "tone": "dry"}
    told = await seen(client, assistant_id, config={"configurable": {"tone": "kind"}})
    given = told["configurable"] if graph == "lang" else told["config"]["configurable"]
    assert given == {"model": "small", "tone": "kind"}


async def test_context_and_configurable_are_one_thing_to_who_gives_only_one(
    client: LangGraphClient,
) -> None:
    with_context = await client.assistants.create("lang", context={"model": "small", "tone": "dry"})
    both = {"model": "small", "tone": "dry"}
    told = await seen(client, with_context["assistant_id"])
    assert told == {"configurable": both, "context": both}
    for given in ({"context": {"tone": "kind"}}, {"config": {"configurable": {"tone": "kind"}}}):
        told = await seen(client, with_context["assistant_id"], **given)
        assert told == dict.fromkeys(("configurable", "context"), both | {"tone": "kind"})
    with_config = await client.assistants.create("lang", {"configurable": {"model": "small"}})
    for given in ({"context": {"tone": "kind"}}, {"config": {"configurable": {"tone": "kind"}}}):
        told = await seen(client, with_config["assistant_id"], **given)
        assert told == dict.fromkeys(("configurable", "context"), both | {"tone": "kind"})
        told = await seen(client, with_config["assistant_id"], context={"model": "big"})
        assert told["configurable"]["model"] == told["context"]["model"] == "big"


async def test_a_runs_metadata_are_its_assistants_its_threads_and_its_own(
    client: LangGraphClient,
) -> None:
    made = await client.assistants.create(
        "agent",
        {"metadata": {"d": "config"}},
        metadata={"a": "assistant", "b": "assistant", "c": "assistant", "run_id": "stolen"},
    )
    assert "run_id" not in made["metadata"]
    thread = await client.threads.create(metadata={"b": "thread", "c": "thread"})
    run = await client.runs.create(
        thread["thread_id"], made["assistant_id"], input=said("a"), metadata={"c": "own"}
    )
    expected = {
        "a": "assistant",
        "b": "thread",
        "c": "own",
        "d": "config",
        "graph_id": "agent",
        "assistant_id": made["assistant_id"],
    }
    assert run["metadata"] == expected
    assert run["assistant_id"] == made["assistant_id"]
    assert (await client.threads.get(thread["thread_id"]))["metadata"]["assistant_id"] == (
        made["assistant_id"]
    )
    await client.assistants.update(made["assistant_id"], metadata={"a": "later", "z": 1})
    await client.assistants.delete(made["assistant_id"])
    assert (await client.runs.get(thread["thread_id"], run["run_id"]))["metadata"] == expected


async def test_a_graphs_name_runs_its_default_assistant_as_it_is_now(
    client: LangGraphClient,
) -> None:
    await client.assistants.update(
        (await client.assistants.search(graph_id="settings"))[0]["assistant_id"],
        config={"configurable": {"model": "patched"}},
        metadata={"stage": "live"},
    )
    thread = await client.threads.create()
    run = await client.runs.create(thread["thread_id"], "settings", input={})
    assert run["kwargs"]["config"]["configurable"]["model"] == "patched"
    assert run["metadata"]["stage"] == "live"
    assert run["metadata"]["created_by"] == "system"
    plain = await client.runs.create(thread["thread_id"], "agent", input=said("a"))
    assert plain["metadata"]["created_by"] == "system"
    assert "stage" not in plain["metadata"]


async def test_a_run_keeps_what_its_assistant_was_when_it_was_accepted(
    client: LangGraphClient, gates: Gates
) -> None:
    made = await client.assistants.create("settings", {"configurable": {"model": "then"}})
    thread = await client.threads.create()
    gates.close("a:0")
    await client.runs.create(thread["thread_id"], "agent", input=said("a"))
    run = await client.runs.create(thread["thread_id"], made["assistant_id"], input={})
    await client.assistants.update(made["assistant_id"], config={"configurable": {"model": "now"}})
    await client.assistants.delete(made["assistant_id"])
    gates.open("a:0")
    values = await soon(client.runs.join(thread["thread_id"], run["run_id"]))
    assert values["seen"]["config"]["configurable"] == {"model": "then"}
    with pytest.raises(NotFoundError, match="Thread or assistant not found"):
        await client.runs.create(thread["thread_id"], made["assistant_id"], input={})


async def test_an_assistant_can_take_its_threads_along(
    client: LangGraphClient, gates: Gates
) -> None:
    made = await client.assistants.create("agent")
    kept = await client.assistants.create("agent")
    gates.close("held:1")
    threads: list[str] = []
    for assistant, text in ((made, "a"), (made, "held"), (kept, "b")):
        thread = await client.threads.create()
        threads.append(thread["thread_id"])
        run = await client.runs.create(threads[-1], assistant["assistant_id"], input=said(text))
        if text != "held":
            await soon(client.runs.join(threads[-1], run["run_id"]))
    await client.assistants.delete(made["assistant_id"], delete_threads=True)
    assert [thread["thread_id"] for thread in await client.threads.search()] == threads[2:]
    gates.open("held:1")
    await client.assistants.delete(kept["assistant_id"])
    assert await client.threads.count() == 1


# ------------------------------------------------------------------ what is not asked well


async def test_nothing_that_is_sent_is_a_servers_error(url: str) -> None:
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"a": deep}
    async with httpx.AsyncClient(base_url=url) as raw:
        made = (await raw.post("/assistants", json={"graph_id": "agent"})).json()
        path = f"/assistants/{made['assistant_id']}"
        for method, where, body in (
            ("POST", "/assistants", {"graph_id": "agent", "metadata": deep}),
            ("POST", "/assistants", {"graph_id": "agent", "config": {"x": deep}}),
            ("POST", "/assistants", {"graph_id": "agent", "name": "x" * 20_000}),
            ("POST", "/assistants", {"graph_id": "agent", "name": "\0\u202e"}),
            ("PATCH", path, {"metadata": {"__class__": 1, "langgraph_auth_user": 2, "n": 10**30}}),
            ("PATCH", path, {"config": {"configurable": {"__pregel_x": 1, "thread_id": "y"}}}),
            ("POST", "/assistants/search", {"metadata": deep}),
            ("POST", "/assistants/search", {"sort_by": "name"}),
            ("POST", f"{path}/versions", {"metadata": deep}),
            ("DELETE", f"{path}?delete_threads=perhaps", None),
            ("GET", f"{path}/graph?xray=%F0%9D%9F%99", None),
            ("GET", f"{path}/subgraphs/{'x' * 5000}?recurse=1", None),
            ("GET", f"{path}/subgraphs/a%7Cb%00", None),
        ):
            answer = await soon(raw.request(method, where, json=body))
            assert answer.status_code < 500, (method, where, answer.text)
        found = (await raw.get(path)).json()
        assert found["metadata"].keys() == {"n"}
        assert found["config"] == {"configurable": {"thread_id": "y"}}


# ------------------------------------------------------------------ JavaScript


@pytest.mark.xdist_group("javascript")
async def test_the_javascript_sdk_gets_the_same(engine: Engine) -> None:
    async with served(engine) as url:
        node = await Node.start(url)
        try:

            async def call(method: str, *words: object) -> Any:
                answer = await node.call("assistants", method, *words)
                assert "error" not in answer, answer
                return answer["result"]

            made = await call(
                "create",
                {
                    "graphId": "lang",
                    "name": "one",
                    "context": {"tone": "dry"},
                    "metadata": {"a": 1},
                },
            )
            assistant_id = made["assistant_id"]
            async with get_client(engine) as client:
                assert await client.assistants.get(assistant_id) == made
            twice = {"graphId": "agent", "assistantId": assistant_id}
            refused = await node.call("assistants", "create", twice)
            assert refused["status"] == 409
            assert await call("create", twice | {"ifExists": "do_nothing"}) == made
            changed = await call("update", assistant_id, {"name": "two", "metadata": {"b": 2}})
            assert (changed["version"], changed["metadata"]) == (2, {"a": 1, "b": 2})
            assert await call("get", assistant_id) == changed
            versions = await call("getVersions", assistant_id, {"metadata": {"a": 1}})
            assert [version["version"] for version in versions] == [2, 1]
            assert (await call("setLatest", assistant_id, 1))["name"] == "one"
            page = await call("search", {"graphId": "lang", "limit": 1, "includePagination": True})
            assert (page["assistants"][0]["name"], page["next"]) == ("one", "1")
            assert await call("count", {"metadata": {"a": 1}}) == 1
            drawn = await call("getGraph", assistant_id, {"xray": True})
            assert "sub:deep" in [each["id"] for each in drawn["nodes"]]
            assert (await call("getSchemas", assistant_id))["graph_id"] == "lang"
            assert (await call("getSubgraphs", assistant_id, {"recurse": True})).keys() == {"sub"}
            named = await call("getSubgraphs", assistant_id, {"namespace": "sub"})
            assert named.keys() == {"sub"}
            await call("delete", assistant_id, {"deleteThreads": True})
            assert (await node.call("assistants", "get", assistant_id))["status"] == 404
        finally:
            await node.close()
