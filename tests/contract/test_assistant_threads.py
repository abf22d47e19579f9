"""An assistant that many use is deleted with its threads: those of the caller go, and of all others nothing changes."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from langgraph_sdk.errors import NotFoundError, PermissionDeniedError

from tests.support.auth import as_user, engine_with, owners, users
from tests.support.engine import Database, Gates, answered, heard, said, until_heard
from threadfold import get_client
from threadfold.app.assistants import Assistants
from threadfold.app.http.auth import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph_sdk import Auth
    from langgraph_sdk.client import LangGraphClient

    from threadfold import Engine

pytestmark = pytest.mark.anyio

Patch = pytest.MonkeyPatch


def bounded(auth: Auth) -> Auth:
    """Have threads be their creators', while assistants are everybody's."""

    @auth.on.threads
    async def own(ctx: Any, value: dict[str, Any]) -> dict[str, str]:
        value.setdefault("metadata", {})["owner"] = ctx.user.identity
        return {"owner": ctx.user.identity}

    return auth


def bounded_by_deletion(auth: Auth) -> Auth:
    """Have all threads be found by all, and deleted by their creators alone."""
    bounded(auth)

    @auth.on.threads.search
    async def search(ctx: Any, value: dict[str, Any]) -> None:
        return None

    return auth


class Shared:
    """An assistant with an ended thread of Ann's, a busy one of hers, and the same of Bob's."""

    def __init__(self, engine: Engine, gates: Gates) -> None:
        self.engine = engine
        self.gates = gates
        self.assistant_id = ""
        self.threads: dict[str, str] = {}
        self.runs: dict[str, str] = {}

    def client(self, user: str) -> LangGraphClient:
        return get_client(self.engine, headers=as_user(user))

    async def make(self) -> None:
        made = await self.client("ann").assistants.create("agent", name="shared")
        self.assistant_id = made["assistant_id"]
        for user in ("ann", "bob"):
            client = self.client(user)
            for kind in ("done", "busy"):
                name = f"{user}-{kind}"
                thread_id = (await client.threads.create())["thread_id"]
                if kind == "busy":
                    self.gates.close(f"{name}:1")
                run = await client.runs.create(thread_id, self.assistant_id, input=said(name))
                self.threads[name], self.runs[name] = thread_id, run["run_id"]
                if kind == "done":
                    await client.runs.join(thread_id, run["run_id"])
                else:
                    await until_heard(self.engine, thread_id, f"{name}.1")

    async def versions(self, user: str) -> dict[str, int]:
        """Return how far the logs of a user's threads have come."""
        return {
            name: (await self.engine._executor.load(thread_id)).version
            for name, thread_id in self.threads.items()
            if name.startswith(user)
        }


async def law(engine: Engine, gates: Gates) -> None:
    shared = Shared(engine, gates)
    await shared.make()
    before = await shared.versions("bob")
    ann, bob = shared.client("ann"), shared.client("bob")
    await ann.assistants.delete(shared.assistant_id, delete_threads=True)
    assert await shared.versions("bob") == before
    left = {thread["thread_id"] for thread in await bob.threads.search()}
    assert left >= {shared.threads["bob-done"], shared.threads["bob-busy"]}
    for name in ("ann-done", "ann-busy"):
        with pytest.raises(NotFoundError):
            await ann.threads.get(shared.threads[name])
        deleted = (await engine.queries.log(shared.threads[name]))[-1]
        assert (deleted.event.type, deleted.actor) == ("ThreadDeleted", "ann")
    with pytest.raises(NotFoundError):
        await bob.assistants.get(shared.assistant_id)
    gates.open()
    busy = shared.threads["bob-busy"], shared.runs["bob-busy"]
    assert heard(await bob.runs.join(*busy)) == answered("bob-busy")


@pytest.mark.parametrize("bound", [bounded, bounded_by_deletion])
async def test_only_the_callers_threads_go_with_an_assistant(
    database: Database, gates: Gates, bound: Callable[[Auth], Auth]
) -> None:
    async with engine_with(database, bound(users()), gates) as engine:
        await law(engine, gates)
        gates.open()


async def test_an_assistant_of_ones_own_takes_no_thread_of_others_along(
    database: Database, gates: Gates
) -> None:
    async with engine_with(database, owners(), gates) as engine:
        ann, root, bob = (
            get_client(engine, headers=as_user(user)) for user in ("ann", "root", "bob")
        )
        made = await ann.assistants.create("agent")
        mine = (await ann.threads.create())["thread_id"]
        theirs = (await root.threads.create(metadata={"owner": "bob"}))["thread_id"]
        for client, thread_id in ((ann, mine), (root, theirs)):
            await client.runs.wait(thread_id, made["assistant_id"], input=said("hi"))
        await ann.assistants.delete(made["assistant_id"], delete_threads=True)
        assert [each["thread_id"] for each in await root.threads.search()] == [theirs]
        assert heard((await bob.threads.get(theirs))["values"]) == answered("hi")


async def test_with_unknown_or_anothers_assistant_nothing_is_deleted(
    database: Database, gates: Gates
) -> None:
    async with engine_with(database, owners(), gates) as engine:
        ann, bob = (get_client(engine, headers=as_user(user)) for user in ("ann", "bob"))
        made = await ann.assistants.create("agent")
        thread_id = (await ann.threads.create())["thread_id"]
        await ann.runs.wait(thread_id, made["assistant_id"], input=said("hi"))
        answers: set[str] = set()
        for assistant_id in (made["assistant_id"], str(uuid.uuid4())):
            with pytest.raises(NotFoundError) as refused:
                await bob.assistants.delete(assistant_id, delete_threads=True)
            answers.add(str(refused.value).replace(assistant_id, "<id>"))
        assert len(answers) == 1
        assert [each["thread_id"] for each in await ann.threads.search()] == [thread_id]


@pytest.mark.parametrize("action", ["search", "delete"])
async def test_who_may_not_delete_the_threads_deletes_nothing(
    database: Database, gates: Gates, action: str
) -> None:
    auth = bounded(users())
    asked: list[dict[str, Any]] = []

    @auth.on(resources="threads", actions=action)
    async def refuse(ctx: Any, value: dict[str, Any]) -> bool:
        asked.append(value)
        return len(asked) < 2 if action == "delete" else False

    async with engine_with(database, auth, gates) as engine:
        shared = Shared(engine, gates)
        await shared.make()
        before = await shared.versions("")
        ann = shared.client("ann")
        with pytest.raises(PermissionDeniedError):
            await ann.assistants.delete(shared.assistant_id, delete_threads=True)
        assert await shared.versions("") == before
        assert (await ann.assistants.get(shared.assistant_id))["name"] == "shared"
        if action == "delete":
            hers = {shared.threads[name] for name in ("ann-done", "ann-busy")}
            assert {str(value["thread_id"]) for value in asked} == hers
        else:
            assert asked[0]["metadata"] == {"assistant_id": shared.assistant_id}
        # Without the threads there is no question about them.
        await ann.assistants.delete(shared.assistant_id)
        assert await shared.versions("") == before
        gates.open()


# ------------------------------------------------------------------ planted faults


def ask_for_the_assistant_alone(patch: Patch) -> None:
    patch.delitem(guarded._OWN, "assistants.delete")


def take_all_threads_along(patch: Patch) -> None:
    real = Assistants.delete

    async def delete(self: Assistants, assistant_id: str, *, with_threads: bool = False, **_: Any):
        await real(self, assistant_id, with_threads=with_threads)

    patch.setattr(Assistants, "delete", delete)


def take_none_along(patch: Patch) -> None:
    async def nothing(self: object, assistant_id: str) -> None:
        del self, assistant_id

    patch.setattr(guarded._Asked, "_delete_threads", nothing)


def delete_whatever_is_found(patch: Patch) -> None:
    real = guarded._Asked._access

    async def access(self: guarded._Asked, name: str, arguments: dict[str, Any]) -> Any:
        name = "queries.thread_ids" if name == "delete_thread" else name
        return await real(self, name, arguments)

    patch.setattr(guarded._Asked, "_access", access)


@pytest.mark.parametrize(
    ("plant", "bound"),
    [
        (ask_for_the_assistant_alone, bounded),
        (take_all_threads_along, bounded),
        (take_none_along, bounded),
        (delete_whatever_is_found, bounded_by_deletion),
    ],
    ids=lambda each: each.__name__,
)
async def test_a_planted_fault_is_caught(
    plant: Callable[[Patch], None],
    bound: Callable[[Auth], Auth],
    monkeypatch: Patch,
    gates: Gates,
) -> None:
    plant(monkeypatch)
    async with engine_with(Database(), bound(users()), gates) as engine:
        # The second is that of a `raises` in which nothing was raised.
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await law(engine, gates)
        gates.open()
