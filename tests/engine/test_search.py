"""Search and count find exactly what a look at every single thread finds, in the same order."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.support.engine import Database, Gates, chat, join, quiet, registry, submit, until_heard
from threadfold import Engine
from threadfold.app import search
from threadfold.app.search import ThreadFilter
from threadfold.app.views import ThreadView

SCALARS = [0, 1, True, False, None, 1.5, "a", "b", ""]
scalars = st.sampled_from(SCALARS)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=5,
)
objects = st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3)
made = st.tuples(
    objects, st.none() | objects, st.sampled_from(["idle", "idle", "busy", "error", "gone"])
)
queries = st.fixed_dictionaries(
    {},
    optional={
        "metadata": objects,
        "values": objects,
        "status": st.sampled_from(["idle", "busy", "error", "interrupted"]),
        "ids": st.sets(st.integers(0, 9).map(lambda n: f"t{n}"), max_size=4).map(frozenset),
    },
)
pages = st.fixed_dictionaries(
    {
        "order": st.sampled_from(
            ["thread_id", "status", "created_at", "updated_at", "state_updated_at"]
        ),
        "is_descending": st.booleans(),
        "limit": st.integers(1, 4),
        "offset": st.integers(0, 4),
    }
)


def holds(whole: Any, part: Any) -> bool:
    """Say what containment is, once more: as PostgreSQL's `@>` has it."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            any(name == key and holds(value, wanted) for name, value in whole.items())
            for key, wanted in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(
            [entry for entry in whole if holds(entry, wanted)] for wanted in part
        )
    if isinstance(whole, bool) or isinstance(part, bool):
        return whole is part
    return not isinstance(whole, dict | list) and whole == part


def is_wanted(view: ThreadView, query: dict[str, Any]) -> bool:
    if "ids" in query and view.thread_id not in query["ids"]:
        return False
    if "status" in query and view.status != query["status"]:
        return False
    if query.get("values") and not (
        view.values is not None and holds(view.values, query["values"])
    ):
        return False
    return holds(view.metadata, query.get("metadata", {}))


async def filled(engine: Engine, threads: list[Any]) -> list[ThreadView]:
    """Make the threads, and return all of them as they are seen one by one."""
    for number, (metadata, given_values, status) in enumerate(threads):
        thread_id = f"t{number}"
        steps = [] if given_values is None else [[{"values": given_values}]]
        await engine.threads.create(
            thread_id, metadata={**metadata, "graph_id": "agent"}, supersteps=steps
        )
        match status:
            case "busy":
                await submit(engine, thread_id, "held")
                await until_heard(engine, thread_id, "held")  # Its input changes the thread, too.
            case "error":
                run = await engine.submit_run(thread_id, "agent", input={"messages": 7})
                await join(engine, thread_id, run.row.run_id)
            case "gone":
                await engine.delete_thread(thread_id)
            case _:
                pass
    await quiet(engine)
    kept = [f"t{n}" for n, (*_, status) in enumerate(threads) if status != "gone"]
    return [await engine.get_thread(thread_id) for thread_id in kept]


async def agree(database: Database, threads: list[Any], asked: list[Any]) -> None:
    gates = Gates()
    gates.close("held:0")
    # A small cache: most threads are read from the log.
    async with database.engine(registry(chat(gates)), cached_threads_max=3) as engine:
        views = await filled(engine, threads)
        for query, page in asked:
            wanted = [view for view in views if is_wanted(view, query)]
            wanted.sort(key=lambda view: view.thread_id)
            wanted.sort(
                key=lambda view: getattr(view, page["order"]), reverse=page["is_descending"]
            )
            found, has_more = await engine.queries.search_threads(ThreadFilter(**query), **page)
            end = page["offset"] + page["limit"]
            assert [view.thread_id for view in found] == [
                view.thread_id for view in wanted[page["offset"] : end]
            ]
            assert has_more == (len(wanted) > end)
            assert await engine.queries.count_threads(ThreadFilter(**query)) == len(wanted)
        gates.open()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(made, min_size=1, max_size=8),
    st.lists(st.tuples(queries, pages), min_size=1, max_size=12),
)
def test_search_and_count_equal_a_naive_filter(threads: list[Any], asked: list[Any]) -> None:
    asyncio.run(agree(Database(), threads, asked))


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(made, min_size=4, max_size=8),
    st.lists(st.tuples(queries, pages), min_size=8, max_size=16),
)
def test_so_they_do_on_disk(
    tmp_path_factory: pytest.TempPathFactory, threads: list[Any], asked: list[Any]
) -> None:
    path = tmp_path_factory.mktemp("search") / "log.db"
    asyncio.run(agree(Database(path), threads, asked))


THREADS = [({"a": n % 2}, {"b": {"c": [n % 3, "x"]}} if n % 4 else None, "idle") for n in range(9)]
RISING = {"order": "thread_id", "is_descending": False, "limit": 2, "offset": 1}
NEWEST = {"order": "updated_at", "is_descending": True, "limit": 3, "offset": 0}
ASKED = [
    ({"values": {"b": {"c": [1]}}}, RISING),
    ({"metadata": {"a": 1}, "values": {"b": {"c": ["x"]}}}, NEWEST),
    ({"values": {"z": None}}, NEWEST),
]


async def test_these_agree(database: Database) -> None:
    await agree(database, THREADS, ASKED)


@pytest.mark.parametrize("fault", ["stops early", "any key will do", "null is what is not there"])
async def test_planted_faults_are_found(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Mutants of the search: each is caught by what holds above."""
    matches, contains = ThreadFilter.matches, search.contains

    def early(self: Any, rows: Any, where: Any, limit: int) -> Any:
        return matching(self, rows[: limit + 1], where, limit)

    def loose(whole: Any, part: Any) -> bool:
        if isinstance(part, dict) and isinstance(whole, dict):
            return any(key in whole and contains(whole[key], part[key]) for key in part)
        return contains(whole, part)

    def null(self: ThreadFilter, thread_id: str, thread: Any) -> bool:
        if self.values and not thread.has_values:
            return all(value is None for value in self.values.values())
        return matches(self, thread_id, thread)

    matching = search.ThreadSearch._matching
    match fault:
        case "stops early":
            monkeypatch.setattr(search.ThreadSearch, "_matching", early)
        case "any key will do":
            monkeypatch.setattr(search, "contains", loose)
        case _:
            monkeypatch.setattr(ThreadFilter, "matches", null)
    asked = [*ASKED, ({"metadata": {"a": 1, "q": 1}}, RISING)]
    with pytest.raises(AssertionError):
        await agree(Database(), THREADS, asked)


async def test_a_search_by_values_leaves_the_cache_to_those_that_are_worked_on(
    database: Database,
) -> None:
    async with database.engine(registry(chat(Gates())), cached_threads_max=5) as engine:
        for n in range(30):
            await engine.threads.create(
                f"t{n}", metadata={"graph_id": "agent"}, supersteps=[[{"values": {"n": n}}]]
            )
        cached = {f"t{n}" for n in range(30) if engine._executor.cached(f"t{n}") is not None}
        where = ThreadFilter(values={"n": 3})
        assert await engine.queries.count_threads(where) == 1
        found, _ = await engine.queries.search_threads(where)
        assert [view.thread_id for view in found] == ["t3"]
        after = {f"t{n}" for n in range(30) if engine._executor.cached(f"t{n}") is not None}
        assert after == cached


async def test_a_search_lets_others_have_their_turn() -> None:
    async with Database().engine(registry(chat(Gates()))) as engine:
        for n in range(3 * search.YIELD_EVERY):
            await engine.threads.create(f"t{n}")
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        task = asyncio.ensure_future(others())
        assert await engine.queries.count_threads(ThreadFilter(values={"n": 1})) == 0
        task.cancel()
        assert turns >= 2
