"""What a LangGraph graph finds of whoever asked for its run, and that none of it gets into the log or the streams."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypedDict

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from tests.support.auth import as_user, engine_with, owners
from tests.support.engine import Database
from threadfold import get_client
from threadfold.app.audit import as_json

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.runnables import RunnableConfig
    from langgraph.runtime import Runtime

pytestmark = pytest.mark.anyio

MODES = ["values", "updates", "messages-tuple", "custom", "tasks", "checkpoints", "debug"]


class State(TypedDict):
    who: str
    mail: str
    answer: str


def graph(found: list[Any]) -> Any:
    def look(state: State, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, str]:
        configurable = config["configurable"]
        assert configurable["user_id"] == configurable["langgraph_auth_user_id"]
        found.append((configurable["langgraph_auth_user_id"], runtime))
        user = configurable["langgraph_auth_user"]
        return {"who": user.identity, "mail": user.get("email", "")}

    async def speak(state: State) -> None:
        model = GenericFakeChatModel(messages=iter([AIMessage(content="a b")]))
        await model.ainvoke("hello")

    def ask(state: State) -> dict[str, str]:
        return {"answer": interrupt("sure?")}

    whole = StateGraph(State).add_node(look).add_node(ask).add_node(speak)
    inner = StateGraph(State).add_node(look).add_edge(START, "look").compile()
    whole = whole.add_node("inner", inner)
    whole = whole.add_edge(START, "look").add_edge("look", "inner").add_edge("inner", "speak")
    whole = whole.add_edge("speak", "ask")
    return whole.compile()


async def test_a_graph_finds_its_caller_and_neither_log_nor_streams_hold_it(tmp_path: Path) -> None:
    found: list[Any] = []
    database = Database(tmp_path / "log.db")
    engine = engine_with(database, owners())
    engine.add_graph("who", graph(found))
    async with engine:
        client = get_client(engine, headers=as_user("ann"))
        thread_id = (await client.threads.create())["thread_id"]
        parts = [
            part
            async for part in client.runs.stream(
                thread_id, "who", input={"answer": ""}, stream_mode=MODES, stream_subgraphs=True
            )
        ]
        names = {part.event.partition("|")[0] for part in parts}
        assert names == {
            "metadata",
            "values",
            "updates",
            "messages",
            "tasks",
            "checkpoints",
            "debug",
        }
        state = await client.threads.get_state(thread_id, subgraphs=True)
        history = await client.threads.get_history(thread_id)
        assert (state["values"]["who"], state["values"]["mail"]) == ("ann", "ann@x")
        assert [identity for identity, _ in found] == ["ann", "ann"]
        assert found[0][1].server_info.user.identity == "ann"
        assert state["metadata"]["user_id"] == "ann"
        # Somebody else answers: it is their run then.
        root = get_client(engine, headers=as_user("root"))
        values = await root.runs.wait(thread_id, "who", command={"resume": "yes"})
        assert values["answer"] == "yes"
        events = await engine.queries.log(thread_id)
    shown = [*parts, state, *history, *(as_json(event, frozenset()) for event in events)]
    for each in shown:
        assert "langgraph_auth" not in json.dumps(each, default=str), each
    accepted = [e.actor for e in events if e.event.type == "RunAccepted"]
    assert accepted == ["ann", "root"]
