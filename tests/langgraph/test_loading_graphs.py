"""Whatever LangGraph calls a graph can be named as one, in langgraph.json and in a program; what cannot is told why."""

import json
import os
import re
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph_sdk.runtime import ServerRuntime
from typing_extensions import TypedDict

from threadfold.domain.errors import ConfigurationError
from threadfold.infrastructure.graphs.loading import load_graphs
from threadfold.infrastructure.graphs.registry import GraphRegistry
from threadfold.infrastructure.graphs.runners import makes_langgraph
from threadfold.infrastructure.langgraph.compiled import compiled
from threadfold.infrastructure.langgraph.graph_objects import GraphSource
from threadfold.infrastructure.langgraph.runner import LangGraphRunner


class State(TypedDict, total=False):
    text: str


def builder(name="talk"):
    async def node(state):
        return {"text": name}

    return StateGraph(State).add_node(name, node).add_edge(START, name)


async def made_by(source, access="threads.create_run", **options):
    """Return the names of the nodes of the graph that the source gives."""
    async with source.graph(access, **options) as graph:
        return sorted(graph.nodes)


NODES = ["__start__", "talk"]


# ------------------------------------------------------------------ what may be named


async def test_a_compiled_graph_is_itself_for_each_use():
    graph = builder().compile()
    source = GraphSource(graph)
    async with source.graph("threads.create_run") as one, source.graph("threads.read") as two:
        assert one is two is graph


async def test_a_graph_that_is_not_compiled_is_compiled_once():
    source = GraphSource(builder())
    assert source.fixed is not None
    assert await made_by(source) == NODES


async def test_a_workflow_of_the_functional_api_is_a_graph():
    @entrypoint()
    async def workflow(text: str) -> str:
        return text

    assert await made_by(GraphSource(workflow)) == ["workflow"]


@asynccontextmanager
async def managing(config):
    yield builder().compile()


@contextmanager
def managing_sync():
    yield builder()


async def making(config: RunnableConfig):
    return builder()


class Making:
    def __call__(self) -> Any:
        return builder().compile()


class Managing:
    async def __aenter__(self):
        return builder().compile()

    async def __aexit__(self, *_):
        return None


@pytest.mark.parametrize(
    "factory",
    [
        lambda: builder().compile(),
        lambda: builder(),
        lambda config: builder(),
        managing,
        managing_sync,
        making,
        Making(),
        Managing(),
    ],
)
async def test_a_factory_makes_a_graph_for_each_use(factory):
    source = GraphSource(factory)
    assert source.fixed is None
    async with source.graph("threads.create_run") as one, source.graph("threads.read") as two:
        assert one is not two
        assert sorted(one.nodes) == sorted(two.nodes) == NODES


async def test_what_a_factory_opened_is_closed_after_the_use_whatever_happened():
    events: list[str] = []

    @asynccontextmanager
    async def factory():
        events.append("open")
        try:
            yield builder()
        finally:
            events.append("closed")

    source = GraphSource(factory)
    async with source.graph("threads.read"):
        assert events == ["open"]
    assert events == ["open", "closed"]
    with pytest.raises(ZeroDivisionError):
        async with source.graph("threads.read"):
            _ = 1 / 0
    assert events == ["open", "closed"] * 2


async def test_a_factory_gets_the_config_and_the_runtime_that_it_asks_for():
    seen: list[Any] = []

    def by_name(config, runtime):
        seen.append((config, runtime))
        return builder()

    def by_type(here: "ServerRuntime[State]", there: RunnableConfig, *, size: int = 1):
        seen.append((there, here))
        return builder()

    config: RunnableConfig = {"configurable": {"model": "small"}}
    for factory in (by_name, by_type):
        source = GraphSource(factory)
        assert await made_by(source, config=config, context={"tone": "dry"}) == NODES
        assert await made_by(source, "assistants.read") == NODES
        (given, running), (none, reading) = seen
        assert given == config
        assert none == {"configurable": {}}
        assert running.access_context == "threads.create_run"
        assert running.execution_runtime.context == {"tone": "dry"}
        assert reading.access_context == "assistants.read"
        assert reading.execution_runtime is None
        seen.clear()


async def test_a_factory_may_take_the_runtime_of_the_run_itself():
    seen: list[Any] = []

    def factory(runtime: Runtime[Any]):
        seen.append(runtime.context)
        return builder()

    await made_by(GraphSource(factory), context={"tone": "dry"})
    assert seen == [{"tone": "dry"}]


# ------------------------------------------------------------------ what may not


def needs_more(config, model):
    return builder()


def makes_nothing():
    return 3


def no_nodes():
    return StateGraph(State)


@asynccontextmanager
async def once():
    yield builder()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (3, r"expected a compiled graph, a StateGraph, or a function .*, got 3 \(int\)"),
        (State, "expected a compiled graph"),
        (needs_more, "needs_more takes model: .* may take config: RunnableConfig and runtime"),
        (StateGraph(State), "the graph cannot be compiled: ValueError: .*entrypoint"),
        (once(), "entered only once: name the function that makes it"),
    ],
)
def test_what_is_no_graph_is_told_so(found, expected):
    with pytest.raises(ConfigurationError, match=expected):
        GraphSource(found)


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        (makes_nothing, r"makes_nothing made 3 \(int\)"),
        (no_nodes, "the graph cannot be compiled: ValueError"),
    ],
)
async def test_what_a_factory_makes_must_be_a_graph(factory, expected):
    with pytest.raises(ConfigurationError, match=expected):
        await made_by(GraphSource(factory))


# ------------------------------------------------------------------ functions: agents, or makers of graphs


async def agent(state): ...
async def agent_with_run(state, run): ...
async def agent_with_config(state, config: RunnableConfig): ...
async def agent_generator(state):
    yield {}


async def no_agent():
    yield {}


def annotated(cfg: RunnableConfig): ...
def returning(anything) -> "StateGraph[State]": ...
def served(run: ServerRuntime): ...  # fmt: skip


@pytest.mark.parametrize(
    ("function", "is_factory"),
    [
        (agent, False),
        (agent_with_run, False),
        (agent_with_config, False),
        (agent_generator, False),
        (no_agent, False),
        (State, False),
        (3, False),
        (making, True),
        (managing, True),
        (managing_sync, True),
        (Managing(), True),
        (makes_nothing, True),
        (annotated, True),
        (returning, True),
        (served, True),
    ],
)
def test_a_function_that_takes_a_state_is_an_agent_and_others_make_graphs(function, is_factory):
    assert makes_langgraph(function) is is_factory


# ------------------------------------------------------------------ langgraph.json


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return what writes a project, and gives the path of its langgraph.json."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    before = set(sys.modules)

    def write(graphs, /, **files):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        path = tmp_path / "langgraph.json"
        path.write_text(json.dumps({"dependencies": ["."], "graphs": graphs}), "utf-8")
        return path

    yield write
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


GRAPHS = """
from contextlib import asynccontextmanager
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph

async def talk(state):
    return {"messages": []}

builder = StateGraph(MessagesState).add_node("talk", talk).add_edge(START, "talk")
graph = builder.compile()

async def make(config: RunnableConfig):
    return graph

@asynccontextmanager
async def manage():
    yield graph

async def agent(state, run):
    return None
"""


def test_graphs_and_functions_stand_beside_each_other_in_a_configuration(project):
    named = ("graph", "builder", "make", "manage", "agent")
    graphs = {name: f"./graphs.py:{name}" for name in named}
    registry = load_graphs(project(graphs, graphs=GRAPHS))
    assert registry.graph_ids == named
    kinds = [type(registry.runner(name)).__name__ for name in named]
    assert kinds == ["LangGraphRunner"] * 4 + ["FunctionGraph"]
    assert "talk" in (registry.runner("graph").nodes or ())
    assert registry.runner("make").nodes is None


def test_a_problem_with_a_graph_names_its_place_in_the_configuration(project):
    text = f"{GRAPHS}\ndef wrong(config, size): ...\n"
    path = project({"agent": "./graphs.py:wrong"}, graphs=text)
    with pytest.raises(ConfigurationError, match=r"graphs\.agent: wrong takes size") as caught:
        load_graphs(path)
    assert str(caught.value).startswith(str(path))


def test_types_of_a_project_have_the_same_names_wherever_it_lies(project):
    load_graphs(project({"graph": "./graphs.py:graph"}, graphs=GRAPHS))
    assert "_graph_graphs" in sys.modules


def test_files_of_the_same_name_do_not_get_in_each_others_way(project, tmp_path):
    load_graphs(project({"graph": "./graphs.py:graph"}, graphs=GRAPHS))
    other = tmp_path / "other"
    other.mkdir()
    (other / "graphs.py").write_text(GRAPHS)
    (other / "langgraph.json").write_text(json.dumps({"graphs": {"one": "./graphs.py:graph"}}))
    found = load_graphs(other / "langgraph.json").runner("one")
    assert isinstance(found, LangGraphRunner)
    first, second = sys.modules["_graph_graphs"].graph, found._source.fixed
    assert first is not second


# ------------------------------------------------------------------ in a program


def test_a_program_adds_graphs_of_any_kind():
    registry = GraphRegistry()
    runner = registry.add_graph("graph", builder())
    assert registry.runner("graph") is runner
    assert isinstance(runner, LangGraphRunner)
    assert registry.add_graph("agent", agent).graph_id == "agent"
    with pytest.raises(ConfigurationError, match="two graphs of the name graph"):
        registry.add_graph("graph", builder())
    with pytest.raises(ConfigurationError, match="or a LangGraph graph, got 3"):
        registry.add_graph("other", 3)


WITHOUT_EXTRA = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("langgraph", "langchain_core", "langchain"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])
sys.meta_path.insert(0, Missing())
from threadfold import Engine
from threadfold.domain.errors import ConfigurationError
engine = Engine("memory://")
async def agent(state): ...
engine.graphs.add_graph("agent", agent)
try:
    engine.graphs.add_graph("graph", lambda: None)
except ConfigurationError as error:
    print(error)
"""


def test_the_core_works_without_langgraph_and_says_how_to_get_it():
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", WITHOUT_EXTRA], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert 'pip install "threadfold[langgraph]"' in done.stdout


def test_a_graph_file_without_langgraph_says_how_to_get_it(project, monkeypatch):
    path = project({"agent": "./graphs.py:graph"}, graphs="import langgraph")
    monkeypatch.setitem(sys.modules, "langgraph", None)
    with pytest.raises(ConfigurationError, match=re.escape('pip install "threadfold[langgraph]"')):
        load_graphs(path)


def test_a_compiled_graph_is_known_by_its_class_alone():
    assert compiled(builder()) is not None
    assert compiled(lambda: None) is None
