"""I16: whenever a run with new input starts, the history that the model is shown is provider-valid."""

from itertools import count
from typing import Any

from hypothesis import given, strategies as st

from threadfold import Engine
from threadfold.domain.tool_calls import STOPPED, is_provider_valid, provider_valid

ids = (f"new{n}" for n in count())


def new_id() -> str:
    return next(ids)


def human(name: str) -> dict[str, Any]:
    return {"type": "human", "id": name, "content": name}


def ai(name: str, *calls: str) -> dict[str, Any]:
    tool_calls = [{"id": call, "name": "tool", "args": {}, "type": "tool_call"} for call in calls]
    return {"type": "ai", "id": name, "content": "", "tool_calls": tool_calls}


def result(call: str) -> dict[str, Any]:
    return {"type": "tool", "id": f"r{call}", "tool_call_id": call, "content": "done"}


def kinds(messages: list[Any]) -> list[str]:
    return [m["tool_call_id"] if m["type"] == "tool" else m["id"] for m in messages]


def test_a_sound_history_is_never_touched() -> None:
    before: list[Any] = [human("a"), ai("b", "1", "2"), result("2"), result("1"), ai("c")]
    assert provider_valid(before, [*before, human("d")], new_id) is None


def test_open_calls_are_closed_directly_after_their_message() -> None:
    before: list[Any] = [human("a"), ai("b", "1", "2"), result("2")]
    closed = provider_valid(before, [*before, human("d")], new_id)
    assert closed is not None
    assert kinds(closed) == ["a", "b", "1", "2", "d"]
    assert closed[2]["content"] == STOPPED
    assert closed[2]["status"] == "error"


def test_a_result_that_comes_with_the_input_is_taken() -> None:
    before: list[Any] = [human("a"), ai("b", "1"), human("c")]
    closed = provider_valid(before, [*before, result("1")], new_id)
    assert closed is not None
    assert kinds(closed) == ["a", "b", "1", "c"]
    assert closed[2]["content"] == "done"


def test_results_without_a_call_are_left_out() -> None:
    before: list[Any] = [human("a"), result("1"), ai("b")]
    closed = provider_valid(before, [*before, human("c")], new_id)
    assert closed is not None
    assert kinds(closed) == ["a", "b", "c"]


def test_calls_that_come_with_the_input_stay_open() -> None:
    before: list[Any] = [human("a")]
    assert provider_valid(before, [*before, ai("b", "1")], new_id) is None


calls = st.lists(st.sampled_from("123456"), max_size=2, unique=True)
entries = st.one_of(
    st.just("human"),
    calls.map(lambda found: ("ai", found)),
    st.sampled_from("123456").map(lambda call: ("tool", call)),
)


@given(st.lists(entries, max_size=12))
def test_any_history_becomes_valid_and_keeps_all_else(drawn: list[Any]) -> None:
    before: list[Any] = []
    seen: set[str] = set()
    for at, entry in enumerate(drawn):
        if entry == "human":
            before.append(human(f"m{at}"))
        elif entry[0] == "ai":
            fresh = [call for call in entry[1] if call not in seen]  # An id is used once.
            seen.update(fresh)
            before.append(ai(f"m{at}", *fresh))
        else:
            before.append(result(entry[1]))
    after = [*before, human("input")]
    closed = provider_valid(before, after, new_id)
    if closed is None:
        assert is_provider_valid(after)
        return
    assert is_provider_valid(closed)
    assert [m for m in closed if m["type"] != "tool"] == [m for m in after if m["type"] != "tool"]


async def test_the_next_run_after_an_interrupt_sees_a_valid_history() -> None:
    engine = Engine("memory://")
    shown: list[list[Any]] = []
    entered: list[str] = []

    @engine.graph("agent")
    async def agent(state: Any, run: Any) -> Any:
        shown.append(state["messages"])
        if len(shown) == 1:
            yield {"messages": ai("call", "1")}
            entered.append(run.run_id)
            await engine.cancel_run(run.thread_id, run.run_id)
            yield {"messages": result("1")}
        yield {"messages": {"role": "assistant", "content": "answer"}}

    async with engine:
        thread = await engine.create_thread()
        texts = {"messages": [{"role": "user", "content": "hello"}]}
        first = await engine.submit_run(thread.thread_id, "agent", input=texts)
        assert (await engine.join_run(thread.thread_id, first.row.run_id)).status == "interrupted"
        stopped = await engine.get_thread(thread.thread_id)
        assert stopped.values is not None
        assert not is_provider_valid(stopped.values["messages"])

        second = await engine.submit_run(thread.thread_id, "agent", input=texts)
        ended = await engine.join_run(thread.thread_id, second.row.run_id)
    assert ended.status == "success"
    assert is_provider_valid(shown[1])
    assert [message["type"] for message in shown[1]] == ["human", "ai", "tool", "human"]
