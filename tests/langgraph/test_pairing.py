"""I16: whatever stands in a history and whatever comes in, both together are what a provider takes, and no words are lost."""

from typing import Any

from hypothesis import given, strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.graph.message import add_messages

from tests.support.scripted_agents import refusal
from threadfold.infrastructure.langgraph.pairing import Plan, plan_of, without

CALLS = ["a", "b", "c"]
calls = st.lists(st.sampled_from(CALLS), max_size=2, unique=True)
answers = st.sampled_from(CALLS).map(lambda call: ("tool", call))
words = st.sampled_from([("human", ()), ("ai", ())])
old = st.lists(st.one_of(words, answers, calls.map(lambda found: ("ai", found))), max_size=8)
new = st.lists(st.tuples(st.integers(0, 12), st.one_of(words, answers)), max_size=4)


def message(kind: str, detail: Any, name: str) -> BaseMessage:
    if kind == "tool":
        return ToolMessage(name, tool_call_id=detail, id=name)
    if kind == "human":
        return HumanMessage(name, id=name)
    tool_calls = [{"id": call, "name": "tool", "args": {}} for call in detail]
    return AIMessage(name, id=name, tool_calls=tool_calls)


def closing(plan: Plan, call: Any) -> BaseMessage:
    name = f"closing-{call.at}-{call.call_id}"
    return ToolMessage("closed", tool_call_id=call.call_id, id=name)


@given(old, new, st.sampled_from([[], ["partial"]]))
def test_a_history_and_an_input_fit_together(
    drawn: list[Any], coming: list[Any], said: list[str]
) -> None:
    there = [message(*each, f"m{at}") for at, each in enumerate(drawn)]
    # Some of what comes in takes the place of what is there, by its id.
    names = {f"m{at}": each for at, each in coming}
    arriving = [message(*each, name) for name, each in names.items()]
    kept = [AIMessage(each, id=each) for each in said]
    plan = plan_of(list(there), list(arriving), kept)

    made = there if plan.entries is None else plan.made(closing)
    rest: Any = without({"messages": arriving}, "messages", plan.strays)
    after: Any = add_messages(made, rest["messages"])

    assert refusal(after) is None
    assert plan.entries is not None or not kept
    ids = [each.id for each in after]
    assert len(set(ids)) == len(ids)
    wanted: Any = add_messages([*there, *kept], arriving)
    spoken = [each for each in wanted if not isinstance(each, ToolMessage)]
    assert [each for each in after if not isinstance(each, ToolMessage)] == spoken
    if refusal(wanted) is None:
        assert after == wanted
        assert plan.strays == ()
