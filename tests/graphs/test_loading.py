"""langgraph.json becomes a registry of graphs, and whatever is wrong with it is named."""

import json
import logging
import os
import sys
import uuid
from types import ModuleType

import pytest

from tests.graphs.fakes import RealIds, Recording
from threadfold.domain.errors import (
    AssistantNotFoundError,
    ConfigurationError,
    GraphNotFoundError,
)
from threadfold.infrastructure.graphs.functions import FunctionGraph
from threadfold.infrastructure.graphs.loading import load_graphs
from threadfold.infrastructure.graphs.registry import GraphRegistry, default_assistant_id

AGENT = """
async def agent(state, run):
    yield {"messages": ("ai", "hi")}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return what writes a project with a langgraph.json, and gives that file's path."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    before = set(sys.modules)

    def write(config, **files):
        for name, text in files.items():
            file = tmp_path / name.replace("__", "/").replace("_py", ".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        path = tmp_path / "langgraph.json"
        path.write_text(config if isinstance(config, str) else json.dumps(config), "utf-8")
        return path

    yield write
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


# ------------------------------------------------------------------ the registry


def test_the_default_assistant_of_a_graph_has_the_id_that_langgraph_gives_it():
    assert default_assistant_id("agent") == "fe096781-5601-53d2-b2f6-0d3403f7e9ca"


def test_a_graph_is_found_by_its_id_and_by_its_assistants():
    async def chat(state):
        return None

    registry = GraphRegistry()
    graph = registry.add_function("agent", chat)
    found = ("fe096781-5601-53d2-b2f6-0d3403f7e9ca", "agent")
    assert registry.runner("agent") is graph
    assert registry.graph_ids == ("agent",)
    assert registry.resolve("agent") == found
    assert registry.resolve(found[0]) == registry.resolve(found[0].upper()) == found


def test_an_unknown_graph_or_assistant_is_named_with_those_that_are_known():
    async def chat(state):
        return None

    registry = GraphRegistry([FunctionGraph("one", chat), FunctionGraph("two", chat)])
    for find in (registry.runner, registry.resolve):
        with pytest.raises(GraphNotFoundError, match=r"'three'.*: one, two"):
            find("three")
    with pytest.raises(AssistantNotFoundError):
        registry.resolve(str(uuid.uuid4()))


def test_a_graph_needs_a_name_of_its_own():
    async def chat(state):
        return None

    registry = GraphRegistry([FunctionGraph("one", chat)])
    with pytest.raises(ConfigurationError, match="two graphs of the name one"):
        registry.add_function("one", chat)
    with pytest.raises(ConfigurationError, match="needs a name"):
        registry.add_function("", chat)


# ------------------------------------------------------------------ loading


async def test_a_function_in_a_file_is_a_graph(project):
    path = project({"graphs": {"agent": "./agent.py:agent"}}, agent_py=AGENT)
    registry = load_graphs(str(path))
    recording = await Recording().run(registry.runner("agent"))
    assert recording.contents == ["hi"]


def test_graphs_of_one_file_share_its_module(project):
    text = AGENT + "\nother = agent\nclass Box:\n    inner = agent\n"
    graphs = {
        "one": "./agent.py:agent",
        "two": {"path": "./agent.py:other"},
        "three": "agent.py:Box.inner",
    }
    registry = load_graphs(project({"graphs": graphs}, agent_py=text))
    functions = {registry.runner(name)._function for name in graphs}
    assert len(functions) == 1


def test_types_of_a_loaded_file_can_be_resolved(project):
    text = """
from __future__ import annotations
from dataclasses import dataclass
from typing import Annotated
from threadfold.domain.reducers import append

@dataclass
class State:
    notes: Annotated[list[str], append]

async def agent(state: State):
    return {"notes": ["a"]}
"""
    registry = load_graphs(project({"graphs": {"agent": "./agent.py:agent"}}, agent_py=text))
    assert registry.runner("agent").schema.names == {"notes"}


def test_a_function_graph_is_taken_under_the_configured_name(project):
    text = f"""
from threadfold.infrastructure.graphs.functions import FunctionGraph
{AGENT}
graph = FunctionGraph("its own name", agent)
"""
    registry = load_graphs(project({"graphs": {"agent": "./agent.py:graph"}}, agent_py=text))
    assert registry.runner("agent").graph_id == "agent"
    assert registry.graph_ids == ("agent",)


RUNNER = """
class Runner:
    graph_id = "agent"
    nodes, is_typed = None, False
    prepare = run = lambda self, *given: given

runner = Runner()
"""


def test_whatever_has_the_protocol_of_a_runner_is_one(project):
    graphs = {"agent": "./runners.py:runner"}
    registry = load_graphs(project({"graphs": graphs}, runners_py=RUNNER))
    assert registry.runner("agent").prepare(1, RealIds())[0] == 1
    graphs = {"other": "./runners.py:runner"}
    with pytest.raises(ConfigurationError, match=r"graphs\.other: .* calls itself agent"):
        load_graphs(project({"graphs": graphs}, runners_py=RUNNER))


def test_local_dependencies_come_first_on_the_path_and_packages_are_left_alone(project):
    config = {
        "dependencies": [".", "./src", "some_package>=1"],
        "graphs": {"agent": "./agent.py:agent", "other": "package_of_mine.graphs:agent"},
        "$schema": "https://example.org/schema.json",
    }
    path = project(
        config,
        agent_py=f"import helper_of_mine\n{AGENT}",
        src__helper_of_mine_py="",
        package_of_mine__graphs_py=AGENT,
    )
    package = path.parent / "package_of_mine"
    (package / "__init__.py").write_text("")
    assert load_graphs(path).graph_ids == ("agent", "other")
    folders = [str(path.parent), str(path.parent / "src")]
    assert sys.path[:2] == folders
    load_graphs(path)
    assert sys.path[:3].count(folders[0]) == 1


def test_variables_that_are_set_already_stay(project, monkeypatch):
    monkeypatch.setitem(os.environ, "SET_BEFORE", "outside")
    config = {
        "env": {"SET_BEFORE": "inside", "SET_HERE": "inside"},
        "graphs": {"agent": "./agent.py:agent"},
    }
    load_graphs(project(config, agent_py=f"import os\nos.environ['SET_HERE']\n{AGENT}"))
    assert os.environ["SET_BEFORE"] == "outside"
    assert os.environ["SET_HERE"] == "inside"


def test_variables_can_stand_in_a_file(project):
    text = """
# a comment
PLAIN=value
export EXPORTED = with spaces   # a comment
HASH=a#b
EMPTY=
DOUBLE="quoted # no comment" # a comment
SINGLE='it is "so"'
"""
    config = {"env": "variables", "graphs": {"agent": "./agent.py:agent"}}
    load_graphs(project(config, variables=text, agent_py=AGENT))
    names = ("PLAIN", "EXPORTED", "HASH", "EMPTY", "DOUBLE", "SINGLE")
    assert [os.environ[name] for name in names] == [
        "value",
        "with spaces",
        "a#b",
        "",
        "quoted # no comment",
        'it is "so"',
    ]


def test_a_key_that_is_not_supported_is_logged(project, caplog):
    config = {"graphs": {"agent": "./agent.py:agent"}, "http": {"app": "x"}, "store": {}}
    path = project(config, agent_py=AGENT)
    with caplog.at_level(logging.WARNING):
        load_graphs(path)
    logged = sorted(record.getMessage() for record in caplog.records)
    assert logged == [
        f"{path}: {key} is not supported yet, and ignored" for key in ("http", "store")
    ]


# ------------------------------------------------------------------ what is wrong


def graphs(source):
    return {"graphs": {"agent": source}}


CLASSES = f"""
from langgraph.graph.state import CompiledStateGraph
graph = CompiledStateGraph()
{AGENT}
class Agent: ...
number = 3
def generator(state):
    yield state
"""


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("{", "langgraph.json: expected JSON: .*line 1 column 2"),
        ([], r"langgraph.json: expected an object, got \[\]"),
        ({}, "graphs: expected an object such as .*, got None"),
        ({"graphs": {}}, "graphs: expected an object"),
        ({"graphs": ["./agent.py:agent"]}, "graphs: expected an object"),
        (graphs(3), r"graphs\.agent: expected \"./file.py:name\" or .*, got 3"),
        (graphs("./agent.py"), r"graphs\.agent: expected .*, got './agent.py'"),
        (graphs({"path": None}), r"graphs\.agent: expected .*, got None"),
        (graphs(":agent"), r"graphs\.agent: expected "),
        (graphs("./agent.ts:agent"), r"graphs\.agent: expected a Python file, got ./agent.ts"),
        (graphs("./missing.py:agent"), r"graphs\.agent: there is no file .*missing.py"),
        (graphs("./classes.py:missing"), r"graphs\.agent: ./classes.py has no missing"),
        (graphs("./classes.py:agent.inner"), r"graphs\.agent: .* has no agent.inner"),
        (graphs("./broken.py:agent"), r"graphs\.agent: .* cannot be imported: ZeroDivisionError"),
        (graphs("./leaving.py:agent"), r"graphs\.agent: .* cannot be imported: SystemExit"),
        (graphs("no_such_module:agent"), r"graphs\.agent: .* ModuleNotFoundError: No module"),
        (graphs("./classes.py:number"), r"graphs\.agent: expected a function .*, got 3"),
        (graphs("./classes.py:Agent"), r"graphs\.agent: expected a function"),
        (graphs("./classes.py:generator"), r"graphs\.agent: .*sync generator"),
        (graphs("./classes.py:graph"), r"graphs\.agent: .*pip install \"threadfold\[langgraph\]\""),
        ({"dependencies": ".", **graphs("./agent.py:agent")}, "dependencies: expected a list"),
        ({"dependencies": [3], **graphs("./agent.py:agent")}, "dependencies: expected a list"),
        ({"dependencies": ["./no"], **graphs("./agent.py:agent")}, "dependencies: ./no is no"),
        ({"env": 3, **graphs("./agent.py:agent")}, "env: expected the path of a file, or"),
        ({"env": "./no", **graphs("./agent.py:agent")}, "env: .*no cannot be read"),
        ({"env": {"A": 1}, **graphs("./agent.py:agent")}, r"env\.A: expected a text, got 1"),
        ({"env": "bad", **graphs("./agent.py:agent")}, "env: .*bad, line 2: expected NAME=value"),
    ],
)
def test_whatever_is_wrong_is_named(project, monkeypatch, config, expected):
    langgraph = ModuleType("langgraph.graph.state")
    vars(langgraph)["CompiledStateGraph"] = type(
        "CompiledStateGraph", (), {"__module__": "langgraph.graph.state"}
    )
    for name in ("langgraph", "langgraph.graph"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "langgraph.graph.state", langgraph)
    # As it is where LangGraph is not installed.
    monkeypatch.setitem(sys.modules, "threadfold.infrastructure.langgraph.runner", None)
    path = project(
        config,
        agent_py=AGENT,
        classes_py=CLASSES,
        broken_py="1 / 0",
        leaving_py="raise SystemExit(3)",
        bad='GOOD=1\nBAD="not closed\n',
    )
    with pytest.raises(ConfigurationError, match=expected) as caught:
        load_graphs(path)
    assert str(caught.value).startswith(str(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no\.json: cannot be read: No such file"):
        load_graphs(tmp_path / "no.json")


def test_an_import_that_failed_keeps_its_cause_and_is_tried_again(project):
    path = project(graphs("./agent.py:agent"), agent_py="1 / 0")
    with pytest.raises(ConfigurationError) as caught:
        load_graphs(path)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    project(graphs("./agent.py:agent"), agent_py=AGENT)
    assert load_graphs(path).graph_ids == ("agent",)
