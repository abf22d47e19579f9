"""What an import is made of: what it remembers, and what it makes of two lists."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from tests.support.import_threads import THREADS, config_of, sqlite_saver
from threadfold import ThreadfoldSaver
from threadfold.domain.importing import NotImportableError
from threadfold.infrastructure.langgraph.importing.opening import open_source, target_of
from threadfold.infrastructure.langgraph.importing.puts import SharingCodec, splice_between
from threadfold.infrastructure.langgraph.importing.recent import Recent
from threadfold.infrastructure.langgraph.types import TypeRegistry
from threadfold.infrastructure.langgraph.values import ValueCodec

if TYPE_CHECKING:
    from pathlib import Path

elements = st.sampled_from([0, False, "a", "b", {"$": ["message", "human", {"id": "1"}]}, 0.0])
lists = st.lists(elements, max_size=8)


def typed(values: list) -> list[tuple]:
    """Return values with their types: in JSON 0 is not False."""
    return [(type(each), each) for each in values]


@given(old=lists, new=lists)
def test_a_splice_makes_the_new_list_of_the_old_one(old: list, new: list) -> None:
    splice = splice_between(old, new)
    if splice is None:
        assert typed(old) == typed(new)
        return
    assert splice.delete or splice.values
    made = [*old[: splice.at], *splice.values, *old[splice.at + splice.delete :]]
    assert typed(made) == typed(new)


@given(kept=st.lists(elements, max_size=5), more=st.lists(elements, min_size=1, max_size=5))
def test_what_is_appended_is_all_that_a_splice_holds(kept: list, more: list) -> None:
    splice = splice_between(kept, [*kept, *more])
    assert splice is not None
    assert (splice.at, splice.delete, splice.values) == (len(kept), 0, more)


def test_what_was_used_last_is_remembered_and_no_more_than_fits() -> None:
    recent = Recent[str, int](10)
    recent.put("kept", 0, 1)
    for number in range(100):
        recent.put(str(number), number, 1)
        assert recent.get("kept") == 0
    assert recent.get("99") == 99
    assert recent.get("0") is None
    assert len(recent._new) + len(recent._old) <= 10


def test_one_message_is_one_json_object_wherever_it_stands() -> None:
    registry = TypeRegistry()
    shared, plain = SharingCodec(registry), ValueCodec(registry)
    message = HumanMessage("hello", id="1")
    alone = shared.encode(message, "m")
    deep = {"a": [{"b": message}], "c": 1}
    assert shared.encode(message, "m") is alone
    assert shared.encode(HumanMessage("hello", id="1"), "m") is alone
    assert shared.encode(deep, "d") == plain.encode(deep, "d")
    assert operator.getitem(shared.encode(deep, "d"), "a")[0]["b"] is alone
    changed = shared.encode(HumanMessage("hello again", id="1"), "m")
    assert changed == plain.encode(HumanMessage("hello again", id="1"), "m")
    nameless = AIMessage("x", additional_kwargs={"deep": [1]})
    assert shared.encode(nameless, "m") == plain.encode(nameless, "m")


async def test_somebody_else_who_writes_meanwhile_stops_the_import_of_that_thread(
    tmp_path: Path,
) -> None:
    thread = THREADS["talk"]
    with sqlite_saver(tmp_path / "theirs.db") as theirs:
        thread.make(thread.graph(theirs), config_of("talk"))
    source = open_source(str(tmp_path / "theirs.db"))
    async with ThreadfoldSaver(f"sqlite:///{tmp_path}/ours.db") as ours:
        target = target_of(ours)
        await target.holdings("talk")
        thread.make(thread.graph(ours), config_of("talk"))
        records = source.read("talk", dict.fromkeys(list(source.holdings("talk"))[:5], True))
        source.close()
        before = await target.recorded("talk")
        with pytest.raises(NotImportableError, match="somebody else writes"):
            await target.write("talk", records)
        assert await target.recorded("talk") == before
