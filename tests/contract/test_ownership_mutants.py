"""Faults in the bounds of a caller's reach, planted on purpose: the tests of ownership must catch each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.exceptions import HTTPException

import tests.contract.test_ownership as ownership
from tests.support.auth import engine_with, owners
from tests.support.engine import Database, Gates
from threadfold.app import deciding, scoping
from threadfold.app.access import Access
from threadfold.app.http import requests, threads
from threadfold.app.http.auth import guarded, rules
from threadfold.app.http.responses import JsonResponse
from threadfold.app.metadata_filters import MetadataFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.anyio

Patch = pytest.MonkeyPatch


def open_one_method(patch: Patch) -> None:
    patch.setattr(guarded, "OPEN", rules.OPEN | {"get_run"})


def open_a_part(patch: Patch) -> None:
    patch.setattr(guarded, "OPEN", rules.OPEN | {"queries"})


def match_by_another_key(patch: Patch) -> None:
    def matches(self: MetadataFilter, metadata: dict[str, Any]) -> bool:
        return "note" in metadata or "owner" in metadata or not self.conditions

    patch.setattr(MetadataFilter, "matches", matches)


def say_that_it_is_forbidden(patch: Patch) -> None:
    def refuse(*_: object) -> None:
        raise HTTPException(403, "Forbidden")

    patch.setattr(deciding, "_refuse_hidden", refuse)


def hide_from_readers_alone(patch: Patch) -> None:
    patch.setattr(Access, "hides", lambda self, thread: False)


def hide_from_writers_alone(patch: Patch) -> None:
    patch.setattr(Access, "shown", lambda self, thread: thread)


def show_what_exists_already(patch: Patch) -> None:
    real = deciding._refuse_hidden

    def refuse(thread_id: str, intents: Any, now: Any) -> None:
        if getattr(intents[0], "if_exists", "") != "do_nothing":
            real(thread_id, intents, now)

    patch.setattr(deciding, "_refuse_hidden", refuse)


def list_every_thread(patch: Patch) -> None:
    async def list_threads(self: Any, **options: Any) -> Any:
        return await self._store.list_threads(**options)

    patch.setattr(scoping.ScopedStore, "list_threads", list_threads)
    patch.setattr(scoping.ScopedExecutor, "load", lambda self, t: self._executor.load(t))


def count_every_thread(patch: Patch) -> None:
    async def list_threads(self: Any, **options: Any) -> Any:
        return await self._store.list_threads(**options)

    patch.setattr(scoping.ScopedStore, "list_threads", list_threads)


def give_rows_of_runs_to_all(patch: Patch) -> None:
    async def sees(self: Any, thread_id: str) -> bool:
        return True

    patch.setattr(scoping.ScopedStore, "_sees", sees)


def add_a_route_to_the_bare_engine(patch: Patch) -> None:
    async def raw(request: Any) -> Any:
        thread_id = requests.thread_id_of(request)
        thread = await request.app.state.door._engine.get_thread(thread_id)
        return JsonResponse(thread.metadata)

    before = list(threads.router.routes)
    threads.router.add_api_route("/threads/{thread_id}/raw", raw, methods=["GET"])
    _ADDED.extend(threads.router.routes[len(before) :])


def add_a_route_that_names_no_thread(patch: Patch) -> None:
    async def raw(request: Any) -> Any:
        rows = await request.app.state.door._engine.queries.list_threads()
        return JsonResponse([row.metadata for row in rows])

    before = list(threads.router.routes)
    threads.router.add_api_route("/everything", raw, methods=["GET"])
    _ADDED.extend(threads.router.routes[len(before) :])


_ADDED: list[Any] = []


@pytest.fixture(autouse=True)
def _routes_as_they_were() -> Iterator[None]:
    yield
    for route in _ADDED:
        if route in threads.router.routes:
            threads.router.routes.remove(route)
    _ADDED.clear()


MUTANTS = [
    open_one_method,
    open_a_part,
    match_by_another_key,
    say_that_it_is_forbidden,
    hide_from_readers_alone,
    hide_from_writers_alone,
    show_what_exists_already,
    list_every_thread,
    count_every_thread,
    give_rows_of_runs_to_all,
    add_a_route_to_the_bare_engine,
    add_a_route_that_names_no_thread,
]


async def laws(gates: Gates) -> None:
    for law in (
        ownership.test_another_users_ids_are_not_there_on_any_route,
        ownership.test_ids_of_both_users_cannot_be_mixed,
        ownership.test_lists_counts_and_bulk_calls_are_about_ones_own,
    ):
        async with engine_with(Database(), owners(), gates) as engine:
            try:
                await law(engine, gates)
            finally:
                gates.open()


@pytest.mark.parametrize("plant", MUTANTS, ids=lambda plant: plant.__name__)
async def test_a_planted_fault_is_caught(
    plant: Callable[[Patch], None], monkeypatch: Patch, gates: Gates
) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, KeyError, TimeoutError)):
        await laws(gates)


async def test_without_a_fault_nothing_is_caught(gates: Gates) -> None:
    await laws(gates)
