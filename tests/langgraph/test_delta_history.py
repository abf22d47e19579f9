"""What channels that store their writes alone are rebuilt from: equal to what LangGraph's own saver gives, for the same calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hypothesis import given, settings
from langgraph.checkpoint.memory import InMemorySaver

from tests.support.langgraph_puts import NAMESPACES, Put, Tree, Writes, named, trees
from tests.support.langgraph_values import TYPES
from threadfold import ThreadfoldSaver

if TYPE_CHECKING:
    from tests.support.langgraph_graphs import Saver

ASKED = [["log"], ["log", "other"], ["other", "plain", "log"], ["branch:to:a", "never"]]


async def assert_same_histories(tree: Tree, mine: Saver, reference: Saver) -> None:
    """Ask both for each checkpoint, for the newest of each namespace and for one that is not there."""
    names: list[tuple[str, str | None]] = [*tree.names(), *((ns, None) for ns in NAMESPACES)]
    for ns, name in [*names, ("", "1f000000-0000-6fff-8000-ffffffffffff")]:
        config = named(tree.thread_id, ns, name)
        for channels in ASKED:
            seen = await mine.aget_delta_channel_history(config=config, channels=channels)
            expected = await reference.aget_delta_channel_history(config=config, channels=channels)
            assert seen == expected, (ns, name, channels)


@settings(max_examples=60)
@given(calls=trees())
def test_random_trees_have_the_history_that_the_reference_gives(calls: list[Put | Writes]) -> None:
    async def play() -> None:
        tree, reference = Tree(), InMemorySaver()
        async with ThreadfoldSaver("memory://", types=TYPES) as mine:
            for call in calls:
                await tree.play(call, mine, reference)
            await assert_same_histories(tree, mine, reference)

    asyncio.run(play())
