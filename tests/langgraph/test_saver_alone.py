"""The saver by itself: how it is opened and closed, who may use it at once, and what it may be asked to keep."""

from __future__ import annotations

import asyncio
import operator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from tests.support.langgraph_values import LONG, TYPES, Note
from threadfold import ThreadfoldSaver
from threadfold.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.langgraph_graphs import Graph, Saver


class Talk(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    items: Annotated[list[Any], operator.add]


def talking(saver: Saver) -> Graph:
    """Compile a graph that counts its messages; it may be called in both ways."""

    def count(state: Talk) -> Talk:
        return {"items": [len(state["messages"])]}

    builder = StateGraph(Talk)
    builder.add_node("count", count)
    builder.add_edge(START, "count")
    return builder.compile(checkpointer=saver)


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


def said(text: str) -> Any:
    return {"messages": [HumanMessage(text, id=text[:40])]}


# ------------------------------------------------------------------ opening and closing


def test_it_opens_at_first_use_and_finds_all_again_when_it_is_used_after_a_close(
    tmp_path: Path,
) -> None:
    saver = ThreadfoldSaver(f"sqlite:///{tmp_path}/log.db")
    assert not [*tmp_path.iterdir()]
    talking(saver).invoke(said("one"), thread("t"))
    saver.close()
    saver.close()
    assert talking(saver).invoke(said("two"), thread("t"))["items"] == [1, 2]
    saver.close()
    with ThreadfoldSaver(f"sqlite:///{tmp_path}/log.db") as other:
        state = talking(other).get_state(thread("t"))
    assert [message.content for message in state.values["messages"]] == ["one", "two"]


async def test_it_is_a_context_manager_of_both_kinds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    async with ThreadfoldSaver(url) as saver:
        await talking(saver).ainvoke(said("one"), thread("t"))
    async with ThreadfoldSaver(url) as saver:
        assert (await talking(saver).aget_state(thread("t"))).values["items"] == [1]


def test_one_saver_serves_event_loops_one_after_the_other(saver: ThreadfoldSaver) -> None:
    graph = talking(saver)
    for text in ("one", "two", "three"):
        result = asyncio.run(graph.ainvoke(said(text), thread("t")))
    assert result["items"] == [1, 2, 3]


@pytest.mark.parametrize("url", ["nonsense", "mysql://x", "sqlite://", ""])
def test_a_url_that_names_no_store_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError):
        ThreadfoldSaver(url)


# ------------------------------------------------------------------ many at once


def test_two_savers_on_one_file_take_turns_on_one_thread(tmp_path: Path, opened: Any) -> None:
    graphs = [talking(opened(f"sqlite:///{tmp_path}/log.db")) for _ in range(2)]
    for at in range(12):
        result = graphs[at % 2].invoke(said(f"{at}"), thread("t"))
        assert result["items"] == [*range(1, at + 2)]
    histories = [
        [state.values.get("items") for state in graph.get_state_history(thread("t"))]
        for graph in graphs
    ]
    assert histories[0] == histories[1]
    assert len(histories[0]) == 36


def test_two_savers_on_one_file_fork_one_thread(tmp_path: Path, opened: Any) -> None:
    one, other = (talking(opened(f"sqlite:///{tmp_path}/log.db")) for _ in range(2))
    one.invoke(said("one"), thread("t"))
    past = one.get_state(thread("t")).config
    one.invoke(said("two"), thread("t"))
    fork = other.update_state(past, {"items": ["fork"]})
    assert one.get_state(thread("t")).values["items"] == [1, "fork"]
    assert one.invoke(said("three"), fork)["items"] == [1, "fork", 2]
    assert other.get_state(thread("t")).values["items"] == [1, "fork", 2]


def test_many_threads_of_a_pool_use_one_saver(saver: ThreadfoldSaver) -> None:
    graph = talking(saver)

    def turns(name: str) -> list[int]:
        for at in range(5):
            result = graph.invoke(said(f"{name}{at}"), thread(name))
        return result["items"]

    with ThreadPoolExecutor(8) as pool:
        results = [*pool.map(turns, [f"thread {at}" for at in range(16)])]
    assert results == [[1, 2, 3, 4, 5]] * 16
    assert {one.config["configurable"]["thread_id"] for one in saver.list(None)} == {
        f"thread {at}" for at in range(16)
    }


async def test_many_tasks_of_a_loop_use_one_saver(saver: ThreadfoldSaver) -> None:
    graph = talking(saver)

    async def turns(name: str) -> list[int]:
        for at in range(5):
            result = await graph.ainvoke(said(f"{name}{at}"), thread(name))
        return result["items"]

    assert await asyncio.gather(*(turns(f"t{at}") for at in range(16))) == [[1, 2, 3, 4, 5]] * 16


def test_parallel_writes_of_one_checkpoint_are_all_kept(saver: ThreadfoldSaver) -> None:
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "c"}}
    made: Any = {
        "v": 4, "id": "c", "ts": "", "channel_values": {}, "channel_versions": {}, "versions_seen": {},
    }  # fmt: skip
    saver.put({"configurable": {"thread_id": "t", "checkpoint_ns": ""}}, made, {"step": 0}, {})
    with ThreadPoolExecutor(8) as pool:
        writes = [
            pool.submit(saver.put_writes, config, [("a", at)], f"{at:03}") for at in range(40)
        ]
        for write in writes:
            write.result()
    found = saver.get_tuple(config)
    assert found is not None
    assert found.pending_writes == [(f"{at:03}", "a", at) for at in range(40)]


# ------------------------------------------------------------------ what it may be asked to keep


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "a b",
        " ",
        "..",
        "%2F?#",
        "naïve ☃ 𝄞",
        "line\nbreak",
        "'; DROP TABLE",
        "x" * 5000,
        "T",
        "t",
    ],
)
def test_a_thread_id_is_any_text(name: str, saver: ThreadfoldSaver) -> None:
    graph = talking(saver)
    graph.invoke(said("other"), thread("t " + name[:50]))
    assert graph.invoke(said("one"), thread(name))["items"] == [1]
    assert graph.invoke(said("two"), thread(name))["items"] == [1, 2]
    assert len([*saver.list(thread(name))]) == 6
    saver.delete_thread(name)
    assert [*saver.list(thread(name))] == []
    assert len([*saver.list(None)]) == 3


def test_values_may_be_big(tmp_path: Path, opened: Any) -> None:
    text, raw = LONG * (5_000_000 // len(LONG)), bytes(range(256)) * 20_000
    graph = talking(opened(f"sqlite:///{tmp_path}/log.db"))
    graph.invoke({"messages": [HumanMessage(text, id="big")], "items": [raw, [text]]}, thread("t"))
    graph = talking(opened(f"sqlite:///{tmp_path}/log.db"))
    values = graph.get_state(thread("t")).values
    assert values["messages"][0].content == text
    assert values["items"] == [raw, [text], 1]


def test_a_thread_whose_versions_are_texts_goes_on_with_texts(saver: ThreadfoldSaver) -> None:
    reference = InMemorySaver()
    graph, config = talking(reference), thread("t")
    graph.invoke(said("one"), config)
    for held in reversed([*reference.list(config)]):  # Oldest first, as an import does.
        here = held.parent_config or {
            "configurable": {**held.config["configurable"], "checkpoint_id": None}
        }
        saver.put(here, held.checkpoint, held.metadata, held.checkpoint["channel_versions"])
        for at, (task, channel, value) in enumerate(held.pending_writes or []):
            saver.put_writes(held.config, [(channel, value)], f"{task} {at}")

    results = [talking(each).invoke(said("two"), config) for each in (saver, reference)]
    assert results[0] == results[1]
    found = saver.get_tuple(config)
    assert found is not None
    versions = found.checkpoint["channel_versions"]
    assert all(isinstance(version, str) and len(version) > 32 for version in versions.values())
    assert max(versions.values()) > max(
        [*saver.list(config)][3].checkpoint["channel_versions"].values()
    )


class OwnError(Exception):
    """Of a user's module, and registered nowhere."""


@pytest.mark.parametrize("error", [OwnError("why", 3), ValueError("plain"), OwnError(object())])
async def test_what_a_node_raised_is_kept_whatever_its_class(
    error: Exception, saver: ThreadfoldSaver
) -> None:
    async def fail(_: Talk) -> None:
        raise error

    shown = []
    for each in (saver, InMemorySaver()):
        builder = StateGraph(Talk)
        builder.add_node("fail", fail)
        builder.add_edge(START, "fail")
        graph = builder.compile(checkpointer=each)
        with pytest.raises(type(error)):
            await graph.ainvoke(said("one"), thread("t"))
        (task,) = (await graph.aget_state(thread("t"))).tasks
        shown.append(task.error if isinstance(task.error, str) else repr(task.error))
    assert shown[0] == shown[1] == repr(error)


def test_a_version_after_a_text_is_a_greater_text() -> None:
    saver = ThreadfoldSaver("memory://")
    assert [saver.get_next_version(None, None), saver.get_next_version(1, None)] == [1, 2]
    text = "00000000000000000000000000000009.0.51"
    for _ in range(3):
        after = saver.get_next_version(text, None)
        assert isinstance(after, str)
        assert after > text
        text = after


def test_an_allow_list_adds_types_to_a_copy_that_shares_the_store(opened: Any) -> None:
    saver = opened("memory://", types=[])
    assert len(TYPES) == 3
    wider = saver.with_allowlist([(Note.__module__, Note.__qualname__)])
    talking(wider).invoke({**said("one"), "items": [Note(title="n")]}, thread("t"))
    assert talking(wider).get_state(thread("t")).values["items"] == [Note(title="n"), 1]
    assert len([*wider.list(None)]) == 3
    wider.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_read_waits_for_writes_that_are_under_way(kind: str, tmp_path: Path) -> None:
    """LangGraph does not wait for the last writes of a run that fails; whoever asks for the state right after sees them."""
    url = "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/log.db"
    async with ThreadfoldSaver(url) as saver:
        for number in range(20):
            config: Any = {"configurable": {"thread_id": f"t{number}", "checkpoint_ns": ""}}
            put = await saver.aput(config, empty_checkpoint(), {"source": "input", "step": -1}, {})
            writing = asyncio.create_task(saver.aput_writes(put, [("a", 1)], "task"))
            await asyncio.sleep(0)
            found = await saver.aget_tuple(put)
            await writing
            assert found is not None
            assert found.pending_writes == [("task", "a", 1)]
