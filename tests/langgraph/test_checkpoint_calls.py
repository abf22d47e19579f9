"""The checkpointer call by call: the same calls as on LangGraph's own saver, then each trap by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings, strategies as st
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from tests.support.langgraph_puts import (
    NAMESPACES,
    Put,
    Tree,
    Writes,
    checkpoint_id,
    named,
    plain,
    trees,
)
from tests.support.langgraph_savers import SERDE
from tests.support.langgraph_values import TYPES
from threadfold import ThreadfoldSaver
from threadfold.domain.errors import UnregisteredTypeError

if TYPE_CHECKING:
    from tests.support.langgraph_graphs import Saver


async def listed(saver: Saver, config: Any, **options: Any) -> list[Any]:
    return [plain(one) async for one in saver.alist(config, **options)]


async def assert_same_answers(
    tree: Tree, mine: Saver, reference: Saver, *, is_alone: bool = True
) -> None:
    """Ask both for each checkpoint, for the newest ones and for all; `is_alone`: no other thread is in the store."""
    names: list[tuple[str, str | None]] = [*tree.names(), *((ns, None) for ns in NAMESPACES)]
    for ns, name in names:
        config = named(tree.thread_id, ns, name)
        seen, expected = await mine.aget_tuple(config), await reference.aget_tuple(config)
        assert plain(seen) == plain(expected), (ns, name)
    for ns in NAMESPACES:
        config = named(tree.thread_id, ns)
        assert await listed(mine, config) == await listed(reference, config)
    whole = {"configurable": {"thread_id": tree.thread_id}}
    for config in (whole, None) if is_alone else (whole,):
        seen, expected = await listed(mine, config), await listed(reference, config)
        for ns in NAMESPACES:
            assert [one for one in seen if one["config"]["checkpoint_ns"] == ns] == [
                one for one in expected if one["config"]["checkpoint_ns"] == ns
            ]
        assert len(seen) == len(expected)


@settings(max_examples=60)
@given(calls=trees())
def test_the_same_calls_give_the_same_answers(calls: list[Put | Writes]) -> None:
    async def play() -> None:
        tree, reference = Tree(), InMemorySaver(serde=SERDE)
        async with ThreadfoldSaver("memory://", types=TYPES) as mine:
            for call in calls:
                await tree.play(call, mine, reference)
            await assert_same_answers(tree, mine, reference)

    asyncio.run(play())


@settings(max_examples=60)
@given(
    calls=trees(),
    ns=st.sampled_from(NAMESPACES),
    before=st.none() | st.integers(0, 25),
    limit=st.none() | st.integers(0, 5),
    wanted=st.sampled_from(
        [
            None,
            {},
            {"step": 3},
            {"run_id": "run-1"},
            {"run_id": "run-1", "source": "loop"},
            {"x": None},
        ]
    ),
)
def test_lists_are_filtered_and_limited_alike(
    calls: list[Put | Writes],
    ns: str,
    before: int | None,
    limit: int | None,
    wanted: dict[str, Any] | None,
) -> None:
    async def play() -> None:
        tree, reference = Tree(), InMemorySaver(serde=SERDE)
        options: dict[str, Any] = {"limit": limit, "filter": wanted}
        if before is not None:
            options["before"] = named(tree.thread_id, ns, checkpoint_id(before))
        async with ThreadfoldSaver("memory://", types=TYPES) as mine:
            for call in calls:
                await tree.play(call, mine, reference)
            config = named(tree.thread_id, ns)
            assert await listed(mine, config, **options) == await listed(
                reference, config, **options
            )

    asyncio.run(play())


# ------------------------------------------------------------------ traps, one by one


def checkpoint(name: str, values: dict[str, Any], version: int = 1, **more: Any) -> Any:
    """Make a checkpoint whose channels all have one version."""
    return {
        "v": 4,
        "id": name,
        "ts": "2024-01-01T00:00:00+00:00",
        "channel_values": values,
        "channel_versions": dict.fromkeys(values, version),
        "versions_seen": {},
        "updated_channels": None,
        **more,
    }


FIRST, SECOND, THIRD = (checkpoint_id(at) for at in (1, 2, 3))
LOOP: Any = {"source": "loop", "step": 1, "parents": {}}
THREAD = named("thread", "")


async def put(
    saver: Saver, name: str, values: dict[str, Any], version: int = 1, parent: Any = None
) -> None:
    made = checkpoint(name, values, version)
    await saver.aput(named("thread", "", parent), made, LOOP, made["channel_versions"])


async def values_of(saver: Saver, name: str | None = None) -> dict[str, Any]:
    found = await saver.aget_tuple(named("thread", "", name))
    assert found is not None
    return found.checkpoint["channel_values"]


async def writes_of(saver: Saver, name: str) -> list[Any]:
    found = await saver.aget_tuple(named("thread", "", name))
    assert found is not None
    return found.pending_writes or []


async def test_writes_may_come_before_their_checkpoint(saver: ThreadfoldSaver) -> None:
    await saver.aput_writes(named("thread", "", FIRST), [("a", 1)], "task")
    assert await saver.aget_tuple(THREAD) is None
    await put(saver, FIRST, {"a": 0})
    assert await writes_of(saver, FIRST) == [("task", "a", 1)]


async def test_of_plain_writes_the_first_stays_and_of_special_ones_the_last(
    saver: ThreadfoldSaver,
) -> None:
    await put(saver, FIRST, {})
    config = named("thread", "", FIRST)
    await saver.aput_writes(config, [("a", 1), ("__interrupt__", "q1"), ("b", 1)], "task")
    await saver.aput_writes(config, [("c", 2), ("__interrupt__", "q2"), ("b", 2), ("d", 2)], "task")
    assert await writes_of(saver, FIRST) == [
        ("task", "__interrupt__", "q2"), ("task", "a", 1), ("task", "b", 1), ("task", "d", 2),
    ]  # fmt: skip


async def test_writes_are_ordered_by_the_path_of_their_task_then_by_its_id(
    saver: ThreadfoldSaver,
) -> None:
    await put(saver, FIRST, {})
    for task, path in (("1", "~b"), ("2", "~a"), ("4", ""), ("3", "~a"), ("0", "~c")):
        await saver.aput_writes(named("thread", "", FIRST), [("a", 0)], task, path)
    assert [task for task, _, _ in await writes_of(saver, FIRST)] == ["4", "2", "3", "1", "0"]


async def test_what_user_code_changes_after_a_put_is_not_in_it(saver: ThreadfoldSaver) -> None:
    messages, doc = (
        [HumanMessage("one", id="1", additional_kwargs={"at": [1]})],
        {"deep": {"at": [1]}},
    )
    await put(saver, FIRST, {"messages": messages, "doc": doc})
    messages[0].additional_kwargs["at"].append(2)
    doc["deep"]["at"].append(2)
    await put(saver, SECOND, {"messages": messages, "doc": doc}, 2, FIRST)
    messages[0].content = "changed"
    doc["deep"] = {}

    assert await values_of(saver, FIRST) == {
        "messages": [HumanMessage("one", id="1", additional_kwargs={"at": [1]})], "doc": {"deep": {"at": [1]}},
    }  # fmt: skip
    assert await values_of(saver, SECOND) == {
        "messages": [HumanMessage("one", id="1", additional_kwargs={"at": [1, 2]})], "doc": {"deep": {"at": [1, 2]}},
    }  # fmt: skip


async def test_what_changes_while_a_put_is_under_way_is_not_in_it(saver: ThreadfoldSaver) -> None:
    await put(saver, FIRST, {"doc": {"at": 1}})
    doc, said = {"at": 2}, HumanMessage("two", id="2")
    putting = asyncio.create_task(put(saver, SECOND, {"doc": doc}, 2, FIRST))
    writing = asyncio.create_task(
        saver.aput_writes(named("thread", "", FIRST), [("a", [said])], "task")
    )
    await asyncio.sleep(0)
    doc["at"], said.content = 3, "three"
    await asyncio.gather(putting, writing)
    assert await values_of(saver) == {"doc": {"at": 2}}
    assert await writes_of(saver, FIRST) == [("task", "a", [HumanMessage("two", id="2")])]


async def test_a_channel_whose_version_stays_keeps_its_value_whatever_became_of_the_object(
    saver: ThreadfoldSaver,
) -> None:
    doc = {"at": 1}
    await put(saver, FIRST, {"doc": doc, "a": 1})
    doc["at"] = 2
    made = checkpoint(SECOND, {"doc": doc, "a": 2})
    made["channel_versions"]["a"] = 2
    await saver.aput(named("thread", "", FIRST), made, LOOP, {"a": 2})
    assert await values_of(saver, SECOND) == {"doc": {"at": 1}, "a": 2}


async def test_changing_what_a_reader_got_changes_nothing_for_others(
    saver: ThreadfoldSaver,
) -> None:
    await put(saver, FIRST, {"messages": [HumanMessage("one", id="1")], "doc": {"deep": [1]}})
    got = await values_of(saver)
    got["messages"][0].content = "changed"
    got["messages"].clear()
    got["doc"]["deep"].append(2)
    assert await values_of(saver) == {
        "messages": [HumanMessage("one", id="1")],
        "doc": {"deep": [1]},
    }


async def test_keys_and_metadata_that_nobody_knows_come_back(saver: ThreadfoldSaver) -> None:
    made = checkpoint(FIRST, {"a": 1}, x_future={"deep": (1, {2})}, updated_channels=[], v=7)
    config: Any = {
        "configurable": {
            **THREAD["configurable"],
            "user": "u\x00v",
            "depth": 2,
            "__hidden": 1,
            "langgraph_step": 3,
        },
        "metadata": {"run_id": "r", "step": 99, "flag": True, "list": [1]},
    }
    own: Any = {
        "source": "input",
        "step": -1,
        "parents": {"": "p"},
        "counters": {"log": [1, 2]},
        "none": None,
    }
    await saver.aput(config, made, own, made["channel_versions"])
    found = await saver.aget_tuple(THREAD)
    assert found is not None
    assert found.checkpoint["x_future"] == {"deep": [1, {2}]}  # type: ignore[typeddict-item]
    assert (found.checkpoint["updated_channels"], found.checkpoint["v"]) == ([], 7)
    assert found.metadata == {**own, "user": "uv", "depth": 2, "run_id": "r", "flag": True}


async def test_a_checkpoint_that_is_put_again_stands_once_as_it_was_put_last(
    saver: ThreadfoldSaver,
) -> None:
    await put(saver, FIRST, {"a": 1})
    await put(saver, SECOND, {"a": 2}, 2, FIRST)
    await put(saver, SECOND, {"a": 3}, 3, FIRST)
    assert [one["checkpoint"]["channel_values"] for one in await listed(saver, THREAD)] == [
        {"a": 3},
        {"a": 1},
    ]
    await put(saver, THIRD, {"a": 4}, 4, SECOND)
    assert (await listed(saver, THREAD))[0]["parent"]["checkpoint_id"] == SECOND


class Stranger:
    """Of no class that may be stored."""


async def test_an_object_of_an_unregistered_class_is_refused_by_the_name_of_its_channel(
    saver: ThreadfoldSaver,
) -> None:
    await put(saver, FIRST, {"a": 1})
    for values in ({"odd": Stranger()}, {"odd": [1, {"deep": Stranger()}]}):
        with pytest.raises(UnregisteredTypeError, match=r"odd.*Stranger"):
            await put(saver, SECOND, {"a": 2, **values}, 2, FIRST)
        with pytest.raises(UnregisteredTypeError, match=r"odd.*Stranger"):
            await saver.aput_writes(named("thread", "", FIRST), [*values.items()], "task")
    assert len(await listed(saver, THREAD)) == 1
    assert await writes_of(saver, FIRST) == []
    await put(saver, SECOND, {"a": 2}, 2, FIRST)
    await saver.aput_writes(named("thread", "", FIRST), [("a", 2)], "task")
    assert await values_of(saver) == {"a": 2}
    assert await writes_of(saver, FIRST) == [("task", "a", 2)]
