"""The checkpointer call by call: the same calls as on LangGraph's own saver, then each trap by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings, strategies as st
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
from tests.support.langgraph_values import TYPES
from threadfold import ThreadfoldSaver

if TYPE_CHECKING:
    from tests.support.langgraph_graphs import Saver


async def listed(saver: Saver, config: Any, **options: Any) -> list[Any]:
    return [plain(one) async for one in saver.alist(config, **options)]


async def assert_same_answers(tree: Tree, mine: Saver, reference: Saver) -> None:
    names: list[tuple[str, str | None]] = [*tree.names(), *((ns, None) for ns in NAMESPACES)]
    for ns, name in names:
        config = named(tree.thread_id, ns, name)
        seen, expected = await mine.aget_tuple(config), await reference.aget_tuple(config)
        assert plain(seen) == plain(expected), (ns, name)
    for ns in NAMESPACES:
        config = named(tree.thread_id, ns)
        assert await listed(mine, config) == await listed(reference, config)
    whole = {"configurable": {"thread_id": tree.thread_id}}
    for config in (whole, None):
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
        tree, reference = Tree(), InMemorySaver()
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
        tree, reference = Tree(), InMemorySaver()
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
