"""An engine as one caller has it: nobody slips in between the look at an owner and what is done."""

from __future__ import annotations

import asyncio
import copy
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.auth import owners
from tests.support.engine import Gates, chat, join, registry, submit, until_heard
from threadfold.app import deciding
from threadfold.app.access import Access
from threadfold.app.http.auth.guarded import guarded
from threadfold.app.http.auth.handlers import Handlers
from threadfold.app.metadata_filters import metadata_filter
from threadfold.app.users import User
from threadfold.domain.errors import (
    ContentionError,
    RefusedError,
    RunNotFoundError,
    ThreadExistsError,
    ThreadNotFoundError,
)
from threadfold.domain.thread import EMPTY_THREAD, Thread, evolve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.engine import Database
    from threadfold.domain.events import RecordedEvent

pytestmark = pytest.mark.anyio

RACES = 25


def of(name: str) -> Access:
    rule = metadata_filter({"owner": name})
    return Access(User(name), rule, stamp=rule.equalities())


# ------------------------------------------------------------------ what is not there


async def test_nothing_of_a_thread_out_of_reach_can_be_asked_or_done(database: Database) -> None:
    gates = Gates()
    async with database.engine(registry(chat(gates))) as engine:
        ann, bob = engine.seen_by(of("ann")), engine.seen_by(of("bob"))
        thread_id = (await ann.create_thread()).thread_id
        run_id = await submit(ann, thread_id, "hi")
        await join(ann, thread_id, run_id)
        version = (await ann.get_thread(thread_id)).version
        queries: list[Callable[[], Awaitable[Any]]] = [
            lambda: bob.get_thread(thread_id),
            lambda: bob.patch_thread(thread_id, {"owner": "bob"}),
            lambda: bob.delete_thread(thread_id),
            lambda: bob.copy_thread(thread_id),
            lambda: bob.update_state(thread_id, {"last": "x"}),
            lambda: submit(bob, thread_id, "x"),
            lambda: submit(bob, thread_id, "x", "rollback", if_not_exists="create"),
            lambda: bob.queries.log(thread_id),
            lambda: bob.queries.get_state(thread_id),
            lambda: bob.queries.get_state_at(thread_id, version),
            lambda: bob.queries.history(thread_id),
            lambda: bob.queries.list_runs(thread_id),
            lambda: bob.doctor.examine(thread_id),
            lambda: bob.cancel_run(thread_id, run_id),
        ]
        for ask in queries:
            with pytest.raises(ThreadNotFoundError):
                await ask()
        for ask in (bob.get_run, bob.join_run, bob.delete_run, bob.attach):
            with pytest.raises(RunNotFoundError):
                await ask(thread_id, run_id)
        for if_exists in ("raise", "do_nothing"):
            with pytest.raises(ThreadExistsError):
                await bob.create_thread(thread_id, if_exists=if_exists)
        assert await bob.queries.list_threads() == []
        assert (await engine.get_thread(thread_id)).version == version


async def test_another_users_run_is_not_even_asked_to_save_what_it_has(database: Database) -> None:
    # With durability exit, code that is asked for its steps is stopped for that.
    gates = Gates()
    gates.close("hi:1")
    async with database.engine(registry(chat(gates))) as engine:
        ann, bob = engine.seen_by(of("ann")), engine.seen_by(of("bob"))
        thread_id = (await ann.create_thread()).thread_id
        run_id = await submit(ann, thread_id, "hi")
        await until_heard(engine, thread_id, "hi.1")
        flushed: list[str] = []
        real = engine._worker.flush

        async def flush(thread_id: str, run_id: str | None = None) -> None:
            flushed.append(thread_id)
            await real(thread_id, run_id)

        engine._worker.flush = flush
        with pytest.raises(ThreadNotFoundError):
            await submit(bob, thread_id, "x", "interrupt", if_not_exists="create")
        with pytest.raises(ThreadNotFoundError):
            await bob.cancel_run(thread_id, run_id)
        assert flushed == []
        await submit(ann, thread_id, "again", "interrupt")
        assert flushed == [thread_id]
        gates.open()


async def test_nothing_of_an_earlier_owner_is_in_a_thread_whose_id_is_used_again(
    database: Database,
) -> None:
    async with database.engine(registry(chat(Gates()))) as engine:
        ann, bob = engine.seen_by(of("ann")), engine.seen_by(of("bob"))
        thread_id = (await ann.create_thread(metadata={"note": "ann's"})).thread_id
        run_id = await submit(ann, thread_id, "hi")
        await join(ann, thread_id, run_id)
        version = (await ann.get_thread(thread_id)).version
        await ann.delete_thread(thread_id)
        with pytest.raises(ThreadNotFoundError):
            await bob.queries.log(thread_id)
        view = await bob.create_thread(thread_id)
        assert view.metadata == {"owner": "bob"}
        with pytest.raises(ThreadNotFoundError):
            await bob.queries.get_state_at(thread_id, version)
        with pytest.raises(ThreadNotFoundError):
            await ann.get_thread(thread_id)
        caller = guarded(engine, Handlers(owners()), User("bob"), "GET")
        log = await caller.queries.log(thread_id)
        assert [(recorded.event.type, recorded.actor) for recorded in log] == [
            ("ThreadCreated", "bob")
        ]
        assert await caller.queries.log(thread_id, limit=1) == log
        with pytest.raises(RunNotFoundError):
            await bob.get_run(thread_id, run_id)


# ------------------------------------------------------------------ races


async def raced(database: Database, races: int = RACES) -> None:
    """Have ann write to her thread while it is given to bob, or deleted and created by him, through another process."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(database.engine(registry(chat(Gates()))))
        other = await stack.enter_async_context(database.engine(registry(chat(Gates()))))
        ann, bob = one.seen_by(of("ann")), other.seen_by(of("bob"))
        for number in range(races):
            thread_id = (await ann.create_thread()).thread_id

            async def taken(thread_id: str = thread_id, number: int = number) -> None:
                if number % 2:
                    await other.patch_thread(thread_id, {"owner": "bob"})
                else:
                    await other.delete_thread(thread_id)
                    await bob.create_thread(thread_id)

            async def written(thread_id: str = thread_id) -> None:
                for key in range(4):
                    await ann.patch_thread(thread_id, {f"by_ann_{key}": key})
                await submit(ann, thread_id, "mine", "rollback")

            outcomes = await asyncio.gather(taken(), written(), return_exceptions=True)
            for outcome in outcomes:
                assert outcome is None or isinstance(outcome, RefusedError | ContentionError)
            assert_within_reach(await one.queries.log(thread_id))


def assert_within_reach(log: tuple[RecordedEvent, ...]) -> None:
    """Assert that whoever wrote an event had the thread when it was written; what earlier lives held is erased."""
    thread: Thread = EMPTY_THREAD
    deleted = [recorded.version for recorded in log if recorded.event.type == "ThreadDeleted"]
    for recorded in log:
        is_known = thread.is_present and recorded.version > max(deleted, default=0)
        if recorded.actor is not None and is_known:
            assert thread.metadata.get("owner") == recorded.actor, recorded
        thread = evolve(thread, recorded)


@pytest.mark.slow
async def test_every_write_is_by_whom_the_thread_belongs_to_at_that_version(
    database: Database,
) -> None:
    await raced(database)


@pytest.mark.slow
async def test_a_look_at_the_owner_before_the_decision_would_not_do(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The fault: the access is looked at when the thread is loaded, and not on the version that is appended to.
    real = deciding.decided

    def decided(thread_id: str, thread: Thread, *rest: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(Access, "hides", lambda self, thread: False)
            return real(thread_id, thread, *rest)

    from threadfold.app import executor
    from threadfold.app.scoping import ScopedExecutor

    execute = ScopedExecutor.execute

    async def looked(self: Any, thread_id: str, *intents: Any, **options: Any) -> Any:
        thread = await self._executor.load(thread_id)
        if self._access.hides(thread):
            raise ThreadNotFoundError(thread_id=thread_id)
        return await execute(self, thread_id, *intents, **options)

    monkeypatch.setattr(executor, "decided", decided)
    monkeypatch.setattr(ScopedExecutor, "execute", looked)
    with pytest.raises(AssertionError):
        await raced(database, 10 * RACES)


def test_a_caller_is_a_mapping_and_has_attributes() -> None:
    user = User("ann", {"identity": "ann", "email": "a@x", "permissions": ["p"]})
    assert (user.identity, user["identity"], user.email, user["email"]) == (
        "ann",
        "ann",
        "a@x",
        "a@x",
    )
    assert (user.display_name, user.is_authenticated, user.permissions) == ("ann", True, ["p"])
    assert list(user) == ["identity", "display_name", "is_authenticated", "permissions", "email"]
    assert len(user) == 5
    assert {**user} == dict(user)
    assert user.get("nothing", 7) == 7
    assert "email" in user
    assert 7 not in user
    with pytest.raises(KeyError):
        user["nothing"]
    with pytest.raises(AttributeError):
        _ = user.nothing
    assert copy.deepcopy(user).identity == "ann"
    assert "a@x" not in repr(user)
