"""Assistants in the engine: callers at once, several processes, restarts, and what a run gets of them."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st

from tests.support.engine import (
    Database,
    Gates,
    chat,
    join,
    quiet,
    registry,
    said,
    soon,
    submit,
    until_heard,
)
from tests.support.engine_laws import assert_consistent, by_assistant
from threadfold.app import assistant_log, assistants as module
from threadfold.app.assistant_merging import merged
from threadfold.app.assistant_search import AssistantFilter
from threadfold.domain.assistant import stream_of
from threadfold.domain.assistant_ports import AssistantRow
from threadfold.domain.errors import (
    AssistantExistsError,
    AssistantNotFoundError,
    DefaultAssistantError,
    GraphNotFoundError,
    InvalidInputError,
    ThreadNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from threadfold import Engine

pytestmark = pytest.mark.anyio

REPETITIONS = int(os.environ.get("THREADFOLD_REPETITIONS", "50"))
CALLERS = 20
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[Engine]:
    async with database.engine(registry(chat(Gates()))) as engine:
        yield engine


async def made(engine: Engine, **content: Any) -> str:
    return (await engine.assistants.create("agent", **content)).assistant_id


# ------------------------------------------------------------------ callers at once


async def test_of_two_patches_at_once_both_are_kept(engine: Engine) -> None:
    for _ in range(REPETITIONS):
        assistant_id = await made(engine)
        patched = await asyncio.gather(
            engine.assistants.patch(assistant_id, metadata={"a": 1}),
            engine.assistants.patch(assistant_id, metadata={"b": 2}),
        )
        assert sorted(row.version for row in patched) == [2, 3]
        latest = await engine.assistants.get(assistant_id)
        assert (latest.version, latest.metadata) == (3, {"a": 1, "b": 2})
        assert len(await engine.assistants.versions(assistant_id)) == 3
    await assert_consistent(engine)


async def test_processes_that_patch_at_once_lose_nothing(database: Database) -> None:
    """I10: each decides again on what the other one wrote."""
    async with (
        database.engine(registry(chat(Gates()))) as one,
        database.engine(registry(chat(Gates()))) as other,
    ):
        assistant_id = await made(one)
        patches = [
            engine.assistants.patch(assistant_id, metadata={f"{name}{number}": number})
            for number in range(CALLERS)
            for name, engine in (("one", one), ("other", other))
        ]
        patched = await soon(asyncio.gather(*patches))
        assert sorted(row.version for row in patched) == list(range(2, 2 + 2 * CALLERS))
        for engine in (one, other):
            latest = await engine.assistants.get(assistant_id)
            assert latest.version == 1 + 2 * CALLERS
            assert len(latest.metadata) == 2 * CALLERS
        await assert_consistent(other)


async def test_of_many_who_create_one_id_one_does(engine: Engine) -> None:
    for number in range(REPETITIONS):
        chosen = f"0198c0de-0000-7000-8000-{number:012}"
        outcomes = await asyncio.gather(
            *(
                engine.assistants.create("agent", assistant_id=chosen, name=str(caller))
                for caller in range(5)
            ),
            return_exceptions=True,
        )
        stood = [outcome for outcome in outcomes if not isinstance(outcome, AssistantExistsError)]
        assert stood == [await engine.assistants.get(chosen)]
        kept = await asyncio.gather(
            *(
                engine.assistants.create("agent", assistant_id=chosen, if_exists="do_nothing")
                for _ in range(3)
            )
        )
        assert kept == stood * 3


async def test_a_patch_and_a_deletion_at_once_leave_one_of_both(engine: Engine) -> None:
    for _ in range(REPETITIONS):
        assistant_id = await made(engine)

        async def patch(assistant_id: str = assistant_id) -> None:
            with suppress(AssistantNotFoundError):
                await engine.assistants.patch(assistant_id, name="x")

        await asyncio.gather(patch(), engine.assistants.delete(assistant_id), patch())
        with pytest.raises(AssistantNotFoundError):
            await engine.assistants.get(assistant_id)
    assert await engine.assistants.count(AssistantFilter()) == 1
    await quiet(engine)
    await assert_consistent(engine)


# ------------------------------------------------------------------ what runs get


async def test_a_run_gets_the_version_that_was_acknowledged_before_it_in_any_process(
    database: Database,
) -> None:
    async with (
        database.engine(registry(chat(Gates()))) as one,
        database.engine(registry(chat(Gates())), worker_slots=0) as other,
    ):
        assistant_id = await made(one)
        thread_id = (await one.create_thread()).thread_id
        for number in range(REPETITIONS):
            config = {"configurable": {"number": number}}
            await one.assistants.patch(assistant_id, config=config, metadata={"number": number})
            view = await other.submit_run(thread_id, assistant_id, input=said("a"))
            assert view.accepted.kwargs["config"]["configurable"] == {"number": number}  # type: ignore[index,call-overload]
            assert view.metadata["number"] == number
            await one.assistants.set_latest("agent", 1)


async def test_a_run_retried_after_a_patch_stays_as_it_was_accepted(engine: Engine) -> None:
    """I15."""
    assistant_id = await made(engine, metadata={"stage": "draft"})
    thread_id = (await engine.create_thread()).thread_id
    run_id = engine.new_run_id()
    first = await engine.submit_run(thread_id, assistant_id, input=said("a"), run_id=run_id)
    await join(engine, thread_id, run_id)
    await engine.assistants.patch(assistant_id, metadata={"stage": "live"})
    again = await engine.submit_run(thread_id, assistant_id, input=said("a"), run_id=run_id)
    assert again.metadata == first.metadata
    assert again.accepted == first.accepted
    assert len(await engine.queries.list_runs(thread_id)) == 1


async def test_an_unchanged_default_assistant_adds_nothing_to_the_log(engine: Engine) -> None:
    thread_id = (await engine.create_thread()).thread_id
    await submit(engine, thread_id, "a")
    (accepted,) = [
        each.event
        for each in await engine.queries.log(thread_id)
        if each.event.type == "RunAccepted"
    ]
    assert (accepted.assistant_metadata, accepted.kwargs) == (None, {})
    assert by_assistant(await assert_consistent(engine)) == {}


values = st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=3)


@given(
    base=st.fixed_dictionaries({}, optional={"configurable": values, "metadata": values}),
    context=values,
    own=st.fixed_dictionaries({}, optional={"configurable": values, "metadata": values}),
    own_context=values,
    metadata=values,
)
def test_each_value_is_the_runs_own_or_else_its_assistants(
    base: Any, context: Any, own: Any, own_context: Any, metadata: Any
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assistant = AssistantRow(
        UNKNOWN, "agent", "x", None, {**base, "tags": ["a"]}, context, {}, 1, now, now
    )
    before = deepcopy((assistant, own, own_context, metadata))
    known, kwargs = merged(assistant, metadata, {"config": own, "context": own_context})
    assert before == (assistant, own, own_context, metadata)  # They are shared with the cache.
    config = kwargs.get("config", {})
    assert config["tags"] == ["a"]
    for name in "abc":
        in_base, brought = base.get("configurable", {}), {**own.get("configurable", {})}
        seen = config.get("configurable", {})
        if name in brought:
            assert seen[name] == brought[name]
        elif name in in_base:
            assert seen[name] == own_context.get(name, in_base[name])
        else:
            assert name not in seen
        seen = kwargs.get("context", {})
        if name in own_context:
            assert seen[name] == own_context[name]
        elif name in context:
            assert seen[name] == brought.get(name, context[name])
        else:
            assert name not in seen
        layers = (base.get("metadata", {}), own.get("metadata", {}))
        expected = {key: value for layer in layers for key, value in layer.items()}
        assert config.get("metadata", {}) == expected
        assert known == {**base.get("metadata", {}), **metadata}


# ------------------------------------------------------------------ restarts and other readers


async def test_a_restart_keeps_all(tmp_path: Path) -> None:
    database = Database(tmp_path / "log.db")
    async with database.engine(registry(chat(Gates()))) as engine:
        assistant_id = await made(engine, name="one", config={"tags": ["x"]})
        await engine.assistants.patch(assistant_id, name="two", context={"a": 1})
        await engine.assistants.set_latest(assistant_id, 1)
        await engine.assistants.patch("agent", metadata={"mine": True})
        gone = await made(engine, name="gone")
        await engine.assistants.delete(gone)
        before = (
            await engine.assistants.get(assistant_id),
            await engine.assistants.versions(assistant_id),
            await engine.assistants.get("agent"),
            await engine.assistants.search(AssistantFilter()),
        )
    async with database.engine(registry(chat(Gates()))) as engine:
        after = (
            await engine.assistants.get(assistant_id),
            await engine.assistants.versions(assistant_id),
            await engine.assistants.get("agent"),
            await engine.assistants.search(AssistantFilter()),
        )
        assert after == before
        with pytest.raises(AssistantNotFoundError):
            await engine.assistants.get(gone)
        await assert_consistent(engine)
    async with database.engine(registry(chat(Gates(), "other"))) as engine:
        # Its graph is gone: what was made of it is still there, and cannot run.
        assert (await engine.assistants.get(assistant_id)).graph_id == "agent"
        with pytest.raises(GraphNotFoundError):
            await engine.submit_run("t", assistant_id, if_not_exists="create")


async def test_who_follows_threads_is_not_held_up_by_assistants(database: Database) -> None:
    """I3: more of their events than are read at a time stand between those of a thread."""
    gates = Gates()
    async with (
        database.engine(registry(chat(gates)), worker_slots=0) as one,
        database.engine(registry(chat(gates))) as other,
    ):
        assistant_id = await made(one)
        thread_id = (await one.create_thread()).thread_id
        for number in range(700):
            await one.assistants.patch(assistant_id, name=str(number))
        run_id = await submit(one, thread_id, "a")
        await until_heard(other, thread_id, "a.2")
        assert (await join(one, thread_id, run_id)).status == "success"
        head = await one._ports.store.head_position()
        for engine in (one, other):
            await soon(engine._executor.take_up())
            assert engine._executor.seen_position >= head
        await assert_consistent(one)


async def test_own_changes_of_assistants_need_not_be_taken_up(engine: Engine) -> None:
    assistant_id = await made(engine)
    await engine.assistants.patch(assistant_id, name="x")
    assert engine._executor.seen_position == await engine._ports.store.head_position()


async def test_no_thread_can_take_the_name_of_an_assistants_events(engine: Engine) -> None:
    name = stream_of(await made(engine))
    for work in (
        engine.create_thread(name),
        engine.get_thread(name),
        engine.delete_thread(name),
        engine.submit_run(name, "agent", if_not_exists="create"),
    ):
        with pytest.raises(InvalidInputError, match="is the name of an assistant's events"):
            await work
    with pytest.raises(ThreadNotFoundError):
        await engine.get_thread("assistant:mine")
    await engine.create_thread("assistant:mine")
    await assert_consistent(engine)


async def test_threads_of_a_deleted_assistant_go_with_it_if_asked(engine: Engine) -> None:
    assistant_id = await made(engine)
    threads = [f"t{number}" for number in range(30)]
    for thread_id in threads:
        await engine.submit_run(
            thread_id, assistant_id, input=said("a"), if_not_exists="create", after_seconds=60
        )
    await engine.create_thread("other")
    with pytest.raises(DefaultAssistantError):
        await engine.assistants.delete("agent", with_threads=True)
    assert len(await engine.queries.list_threads(limit=100)) == 31
    await asyncio.gather(
        engine.assistants.delete(assistant_id, with_threads=True),
        *(engine.delete_thread(thread_id) for thread_id in threads[:5]),
        return_exceptions=True,
    )
    assert [view.thread_id for view in await engine.queries.list_threads()] == ["other"]
    await quiet(engine)
    await assert_consistent(engine)


async def test_what_a_deleted_assistant_held_is_erased(engine: Engine) -> None:
    secret = "the quick brown fox"  # noqa: S105 - it only must not be found
    assistant_id = await made(engine, config={"configurable": {"key": secret}}, name=secret)
    await engine.assistants.patch(assistant_id, metadata={"x": secret}, description=secret)
    await engine.assistants.delete(assistant_id)
    await quiet(engine)
    events = await engine._ports.store.read_assistant(assistant_id)
    assert [each.event.type for each in events] == [
        "AssistantCreated",
        "AssistantPatched",
        "AssistantDeleted",
    ]
    assert secret not in repr(events)


# ------------------------------------------------------------------ memory


async def test_what_is_held_in_memory_is_bounded(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assistant_log, "CACHED_VERSIONS_MAX", 10)
    ids = [await made(engine, name=str(number)) for number in range(20)]
    for assistant_id in ids:
        await engine.assistants.patch(assistant_id, description="x")
    log = engine.assistants._log
    assert len(log._cache) <= 5
    assert log._cached_versions == sum(len(each.versions) for each in log._cache.values()) <= 10
    for number, assistant_id in enumerate(ids):
        row = await engine.assistants.get(assistant_id)
        assert (row.name, row.version) == (str(number), 2)


# ------------------------------------------------------------------ search


objects = st.dictionaries(st.sampled_from("abc"), st.integers(0, 2) | st.none(), max_size=2)
contents = st.fixed_dictionaries(
    {
        "graph_id": st.sampled_from(("agent", "other")),
        "name": st.sampled_from(("Ann", "anna", "Bob")),
        "metadata": objects,
    }
)
filters = st.builds(
    AssistantFilter,
    metadata=st.none() | objects,
    graph_id=st.none() | st.sampled_from(("agent", "other", "nobody")),
    name=st.none() | st.sampled_from(("", "an", "NN", "o")),
)


def naive(rows: list[AssistantRow], where: AssistantFilter) -> list[AssistantRow]:
    return [
        row
        for row in rows
        if where.graph_id in (None, row.graph_id)
        and (where.name or "").lower() in row.name.lower()
        and (where.metadata or {}).items() <= row.metadata.items()
    ]


plans = st.fixed_dictionaries(
    {
        "added": st.lists(contents, max_size=6),
        "changes": st.lists(st.tuples(st.integers(0, 7), contents | st.none()), max_size=4),
        "where": filters,
        "order": st.sampled_from(("assistant_id", "graph_id", "name", "created_at", "updated_at")),
        "is_descending": st.booleans(),
        "limit": st.integers(1, 5),
        "offset": st.integers(0, 5),
    }
)


async def check_search(database: Database, plan: dict[str, Any]) -> None:
    """Make and change assistants, and compare what is found with a filter over all that are there."""
    graphs = registry(chat(Gates()), chat(Gates(), "other"))
    async with database.engine(graphs, worker_slots=0) as engine:
        created = [await engine.assistants.create(**content) for content in plan["added"]]
        ids = ["agent", "other", *(row.assistant_id for row in created)]
        for at, change in plan["changes"]:
            with suppress(AssistantNotFoundError, DefaultAssistantError, IndexError):
                if change is None:
                    await engine.assistants.delete(ids[at])
                else:
                    await engine.assistants.patch(ids[at], **change)
        rows: list[AssistantRow] = []
        for assistant_id in ids:
            with suppress(AssistantNotFoundError):
                rows.append(await engine.assistants.get(assistant_id))
        where, order, limit, offset = (plan[name] for name in ("where", "order", "limit", "offset"))
        expected = naive(rows, where)
        expected.sort(
            key=lambda row: (getattr(row, order), row.assistant_id), reverse=plan["is_descending"]
        )
        found, has_more = await engine.assistants.search(
            where, order=order, is_descending=plan["is_descending"], limit=limit, offset=offset
        )
        assert found == expected[offset : offset + limit]
        assert has_more == (len(expected) > offset + limit)
        assert await engine.assistants.count(where) == len(expected)


@hypothesis_settings(deadline=None)
@given(plan=plans)
def test_search_and_count_are_a_naive_filter(plan: dict[str, Any]) -> None:
    asyncio.run(check_search(Database(None), plan))


@hypothesis_settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(plan=plans)
def test_search_and_count_are_so_in_a_database(
    tmp_path_factory: pytest.TempPathFactory, plan: dict[str, Any]
) -> None:
    asyncio.run(check_search(Database(tmp_path_factory.mktemp("search") / "log.db"), plan))


# ------------------------------------------------------------------ planted faults


async def test_a_cache_that_is_not_checked_would_be_found(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unchecked(self: Any, assistant_id: str) -> Any:
        cached = self._cache.get(assistant_id)
        return cached if cached is not None else await self._refreshed(assistant_id)

    monkeypatch.setattr(assistant_log.AssistantLog, "load", unchecked)
    with pytest.raises(AssertionError):
        await test_a_run_gets_the_version_that_was_acknowledged_before_it_in_any_process(database)


async def test_a_decision_that_is_not_made_again_would_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(tmp_path / "log.db")  # In memory nothing comes between reading and writing.

    async def once(self: Any, assistant_id: str, command: Any) -> Any:
        assistant = await self._refreshed(assistant_id)
        return await self._try(assistant_id, assistant, command) or assistant

    monkeypatch.setattr(assistant_log.AssistantLog, "execute", once)
    with pytest.raises(AssertionError):
        await test_processes_that_patch_at_once_lose_nothing(database)


async def test_a_changed_default_assistant_that_is_found_twice_would_be_found(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.Assistants._matching
    plan = {
        "added": [], "changes": [(0, {"name": "changed"})], "where": AssistantFilter(name="agent"),
        "order": "name", "is_descending": True, "limit": 5, "offset": 0,
    }  # fmt: skip
    await check_search(database, plan)

    async def both(self: Any, where: AssistantFilter) -> list[AssistantRow]:
        defaults = [self._default(graph_id) for graph_id in self._graphs.graph_ids]
        return [*(row for row in defaults if where.matches(row)), *(await real(self, where))]

    monkeypatch.setattr(module.Assistants, "_matching", both)
    with pytest.raises(AssertionError):
        await check_search(Database(None), plan)
