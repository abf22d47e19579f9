"""What a caller asks of a run reaches LangGraph; what is not theirs to ask does not."""

import dataclasses
import uuid
from typing import Any

import pytest
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Send
from pydantic import BaseModel
from typing_extensions import TypedDict

from tests.graphs.fakes import RealIds
from threadfold.domain.errors import InvalidInputError
from threadfold.domain.graph_ports import RunContext
from threadfold.infrastructure.langgraph.compiled import CompiledGraph, compiled
from threadfold.infrastructure.langgraph.run_config import (
    breakpoints,
    command_of,
    durability,
    run_context,
    runnable_config,
)

RUN_ID = "0190a0a0-0000-7000-8000-000000000001"


def context(attempt=1, run_id=RUN_ID, **kwargs) -> RunContext:
    unused: Any = None
    config, given = kwargs.get("config", {}), kwargs.get("context", {})
    return RunContext(
        thread_id="thread", run_id=run_id, attempt=attempt, graph_id="agent", assistant_id="mine",
        has_input=False, input=None, state={}, config=config, context=given, results={},
        record=unused, record_result=unused, emit=unused, ids=RealIds(), kwargs=kwargs, log=unused,
        is_followed=lambda: True,
    )  # fmt: skip


def config_of(**options) -> dict[str, Any]:
    return dict(runnable_config(context(**options)))


def test_a_run_says_which_run_it_is():
    config = config_of(attempt=2)
    named = {"thread_id": "thread", "run_id": RUN_ID, "graph_id": "agent", "assistant_id": "mine"}
    assert config["configurable"] == named
    assert config["metadata"] == {**named, "run_attempt": 2}
    assert config["run_id"] == uuid.UUID(RUN_ID)
    assert "run_id" not in config_of(run_id="a name of mine")


def test_a_callers_config_goes_through():
    given = {
        "tags": ["a"],
        "recursion_limit": 7,
        "max_concurrency": 2,
        "run_name": "mine",
        "configurable": {"model": "small"},
        "metadata": {"customer": 3},
    }
    config = config_of(config=given)
    assert {name: config[name] for name in ("tags", "recursion_limit", "max_concurrency")} == {
        "tags": ["a"],
        "recursion_limit": 7,
        "max_concurrency": 2,
    }
    assert config["run_name"] == "mine"
    assert config["configurable"]["model"] == "small"
    assert config["metadata"]["customer"] == 3


def test_a_caller_names_no_other_run_and_sets_nothing_that_is_langgraphs_own():
    bad = {
        "thread_id": "other",
        "run_id": "other",
        "graph_id": "other",
        "assistant_id": "other",
        "__pregel_checkpointer": 1,
        "langgraph_auth_user": {"identity": "root"},
        "langgraph_auth_permissions": [],
        "model": "small",
    }
    config = config_of(config={"configurable": bad, "metadata": bad, "callbacks": ["x"]})
    named = {
        "thread_id": "thread",
        "run_id": RUN_ID,
        "graph_id": "agent",
        "assistant_id": "mine",
        "model": "small",
    }
    assert config["configurable"] == named
    assert config["metadata"] == {**named, "run_attempt": 1}
    assert "callbacks" not in config


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"checkpoint_id": "c1"}, {"checkpoint_id": "c1"}),
        ({"checkpoint": {"checkpoint_id": "c1", "thread_id": "other", "checkpoint_ns": ""}},
         {"checkpoint_id": "c1"}),
        ({"checkpoint": {"checkpoint_id": "c1", "checkpoint_map": {"": "c1", "a:1": "c2"}}},
         {"checkpoint_id": "c1", "checkpoint_map": {"": "c1", "a:1": "c2"}}),
        ({"checkpoint": None, "checkpoint_id": None}, {}),
        ({"strict_resume": True}, {"__pregel_strict_resume": True}),
    ],
)  # fmt: skip
def test_a_checkpoint_to_start_from_stands_in_the_config(kwargs, expected):
    configurable = config_of(**kwargs)["configurable"]
    own = {"thread_id": "thread", "run_id": RUN_ID, "graph_id": "agent", "assistant_id": "mine"}
    assert configurable == {**own, **expected}


# ------------------------------------------------------------------ context


@dataclasses.dataclass
class Settings:
    model: str
    size: int = 1


class Model(BaseModel):
    model: str = "large"


class Keys(TypedDict, total=False):
    model: str


def graph(schema) -> CompiledGraph:
    builder = StateGraph(MessagesState, context_schema=schema)
    builder.add_node("node", lambda state: {}).add_edge(START, "node")
    found = compiled(builder)
    assert found is not None
    return found


def test_a_context_is_handed_on_and_stands_in_the_config_too():
    given = context(context={"model": "small"})
    assert run_context(graph(Settings), given) == {"model": "small"}
    assert runnable_config(given).get("configurable", {})["model"] == "small"


@pytest.mark.parametrize(
    ("schema", "configurable", "expected"),
    [
        (Settings, {"model": "small", "else": 1}, Settings("small")),
        (Settings, {}, None),
        (Model, {}, Model()),
        (Model, {"model": "small"}, Model(model="small")),
        (Keys, {"model": "small", "else": 1}, {"model": "small"}),
        (Keys, {}, None),
        (None, {"model": "small"}, None),
    ],
)
def test_a_graph_that_wants_a_context_finds_it_in_what_was_configured(
    schema, configurable, expected
):
    given = context(config={"configurable": configurable})
    assert run_context(graph(schema), given) == expected


# ------------------------------------------------------------------ what a run is asked to do


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (None, None),
        ({}, None),
        ({"resume": None, "update": None, "goto": None}, None),
        ({"resume": 0}, Command(resume=0, goto=[])),
        ({"resume": "yes", "update": {"a": 1}}, Command(resume="yes", update={"a": 1}, goto=[])),
        ({"update": [["a", 1], ["a", 2]]}, Command(update=[("a", 1), ("a", 2)], goto=[])),
        ({"goto": "node"}, Command(goto=["node"])),
        ({"goto": {"node": "a", "input": {"x": 1}}}, Command(goto=[Send("a", {"x": 1})])),
        ({"goto": ["a", {"node": "b"}]}, Command(goto=["a", Send("b", None)])),
    ],
)
def test_commands_are_langgraphs(command, expected):
    assert command_of({"command": command}) == expected


@pytest.mark.parametrize("goto", [3, [{"input": 1}], {"node": 3}])
def test_a_goto_names_a_node(goto):
    with pytest.raises(InvalidInputError, match=r"command\.goto: expected the name of a node"):
        command_of({"command": {"goto": goto}})


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, None), ("*", "*"), (["a", "b"], ["a", "b"]), ("a", ["a"]), ([], None), (["*"], "*")],
)
def test_breakpoints_are_names_or_all(given, expected):
    assert breakpoints({"interrupt_before": given}, "interrupt_before") == expected


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({}, "async"),
        ({"durability": None}, "async"),
        ({"durability": "sync"}, "sync"),
        ({"durability": "exit"}, "exit"),
        ({"checkpoint_during": False}, "exit"),
        ({"checkpoint_during": True}, "async"),
    ],
)
def test_checkpoints_are_written_beside_the_steps_unless_asked_otherwise(kwargs, expected):
    assert durability(kwargs) == expected
