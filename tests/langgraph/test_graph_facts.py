"""What a graph says of itself: its schemas, and the classes that its state may hold without anybody registering them."""

import asyncio
import dataclasses
import enum
import functools
from typing import Any, TypedDict as TypingTypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.tools import tool
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import ToolNode
from pydantic import BaseModel
from typing_extensions import TypedDict

from threadfold.infrastructure.langgraph.compiled import CompiledGraph, compiled
from threadfold.infrastructure.langgraph.schemas import schema_types, schemas_of, subgraph_schemas


class Keys(TypedDict, total=False):
    text: str


class OldKeys(TypingTypedDict, total=False):
    text: str


class Model(BaseModel):
    text: str = ""


class Odd:
    """JSON Schema has no word for it."""


class OddKeys(TypedDict, total=False):
    odd: Odd


@dataclasses.dataclass
class Context:
    size: int = 1


def graph_of(schema: Any, node: Any = None, **options: Any) -> CompiledGraph:
    builder = StateGraph(schema, **options).add_node("node", node or (lambda state: {}))
    found = compiled(builder.add_edge(START, "node"))
    assert found is not None
    return found


# ------------------------------------------------------------------ schemas


@pytest.mark.parametrize("schema", [Keys, OldKeys, Model])
def test_a_state_of_any_kind_has_schemas(schema):
    schemas = schemas_of(graph_of(schema))
    for each in (schemas.input, schemas.output, schemas.state):
        assert each is not None
        assert list(each["properties"]) == ["text"]
    assert schemas.context is None
    assert schemas.config is not None


def test_what_json_schema_cannot_tell_has_none():
    schemas = schemas_of(graph_of(OddKeys))
    assert (schemas.input, schemas.output, schemas.state) == (None, None, None)


def test_the_context_has_a_schema_and_stands_in_that_of_the_config():
    schemas = schemas_of(graph_of(Keys, context_schema=Context))
    assert schemas.context is not None
    assert list(schemas.context["properties"]) == ["size"]
    assert schemas.config is not None
    assert "configurable" in schemas.config["properties"]


def test_a_workflow_has_the_schemas_of_its_function():
    @entrypoint()
    async def workflow(text: str) -> int:
        return len(text)

    found = compiled(workflow)
    assert found is not None
    schemas = schemas_of(found)
    assert schemas.input is not None
    assert schemas.input["type"] == "string"
    assert schemas.output is not None
    assert schemas.output["type"] == "integer"


def test_subgraphs_have_schemas_by_their_namespace():
    inner = graph_of(Model)
    middle = graph_of(Keys, inner)
    outer = graph_of(Keys, middle)
    assert list(subgraph_schemas(outer)) == ["node"]
    assert list(subgraph_schemas(outer, recurse=True)) == ["node", "node|node"]
    assert list(subgraph_schemas(outer, namespace="node|node", recurse=True)) == ["node|node"]


# ------------------------------------------------------------------ types


def test_the_types_of_a_graph_are_those_of_its_schemas_and_its_subgraphs():
    inner = graph_of(Model, context_schema=Context)
    assert {Keys, Model, Context, str} <= set(schema_types(graph_of(Keys, inner)))


class Mood(enum.Enum):
    GOOD = 1


class Made(BaseModel):
    mood: Mood = Mood.GOOD


class MadeByHelper(BaseModel): ...


class MadeByTool(BaseModel): ...


class Answer(BaseModel):
    text: str


def helper():
    return MadeByHelper()


async def naming(state):
    def inside():
        return Made()

    return {"text": [inside(), helper()]}


def decorated(function):
    @functools.wraps(function)
    async def wrapper(state):
        return await function(state)

    return wrapper


class Called:
    async def __call__(self, state):
        return {"text": Made()}


class WithMethod:
    async def method(self, state):
        return {"text": Made()}


def closing_over(kind):
    async def node(state):
        return {"text": kind()}

    return node


@pytest.mark.parametrize(
    "node",
    [
        naming,
        decorated(naming),
        functools.partial(naming),
        Called(),
        WithMethod().method,
        closing_over(Made),
    ],
)
def test_classes_that_a_nodes_code_names_are_among_the_types(node):
    assert Made in set(schema_types(graph_of(Keys, node)))


def test_classes_that_a_nodes_helpers_name_are_among_the_types():
    assert MadeByHelper in set(schema_types(graph_of(Keys, naming)))


@tool
def search(query: str) -> Any:
    """Search."""
    return MadeByTool()


def test_classes_that_tools_name_are_among_the_types():
    assert MadeByTool in set(schema_types(graph_of(Keys, ToolNode([search]))))


def test_what_an_agents_model_answers_with_is_among_the_types():
    model = GenericFakeChatModel(messages=iter([]))
    found = compiled(create_agent(model, [], response_format=Answer))
    assert found is not None
    assert any(each is Answer for each in schema_types(found))


def test_classes_of_other_packages_are_not_among_the_types():
    async def node(state):
        model = GenericFakeChatModel(messages=iter([]))
        return {"text": asyncio.Queue(), "more": model}

    types = set(schema_types(graph_of(Keys, node)))
    assert not {asyncio.Queue, GenericFakeChatModel} & types
