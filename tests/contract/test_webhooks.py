"""Webhooks: every end of a run is told, at least once, signed, to public addresses only, and runs never wait for it."""

import asyncio
import hashlib
import hmac
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import UnprocessableEntityError

from tests.contract.test_stateless import ROWS, rows
from tests.support.auth import as_user, engine_with, owners
from tests.support.engine import Database, Gates, answered, chat, heard, registry, said, soon
from tests.support.receiver import Received, Receiver, receiving
from threadfold import Engine, get_client
from threadfold.domain.kept_ports import Delivery
from threadfold.infrastructure.work import calling
from threadfold.infrastructure.work.calling import HttpCaller, is_public

SECRET = "s3cret"  # noqa: S105 - of a test
FAST: dict[str, Any] = {
    "webhook_allows_private": True,
    "webhook_secret": SECRET,
    "webhook_retry_seconds": 0.001,
    "webhook_timeout_seconds": 5.0,
}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@asynccontextmanager
async def serving(
    database: Database, gates: Gates, **settings: Any
) -> AsyncIterator[tuple[Engine, LangGraphClient]]:
    engine = database.engine(registry(chat(gates)), **{**FAST, **settings})
    async with engine, get_client(engine) as client:
        yield engine, client


async def deliveries(engine: Engine) -> tuple[Delivery, ...]:
    return await engine.queries.list_deliveries()


async def until_settled(engine: Engine, *, dead: int = 0) -> tuple[Delivery, ...]:
    """Wait until nothing is to be delivered any more, but for so many that were given up."""

    async def look() -> tuple[Delivery, ...]:
        while True:
            found = await deliveries(engine)
            if len(found) == dead and all(each.due_at is None for each in found):
                return found
            await asyncio.sleep(0.005)

    return await soon(look())


def assert_signed(call: Received) -> None:
    at, mac = (part.partition("=")[2] for part in call.headers["x-threadfold-signature"].split(","))
    expected = hmac.new(SECRET.encode(), at.encode() + b"." + call.body, hashlib.sha256)
    assert mac == expected.hexdigest()


async def test_a_run_that_has_ended_is_told_with_its_values(
    database: Database, gates: Gates, receiver: Receiver
) -> None:
    async with serving(database, gates) as (engine, client):
        thread_id = (await client.threads.create())["thread_id"]
        run = await client.runs.create(
            thread_id, "agent", input=said("a"), webhook=receiver.url, metadata={"m": 1}
        )
        assert run["kwargs"]["webhook"] == receiver.url
        (call,) = await receiver.arrived(1)
        assert_signed(call)
        told = call.content
        assert (told["run_id"], told["thread_id"]) == (run["run_id"], thread_id)
        assert (told["event"], told["status"], told["error"]) == ("run.ended", "success", None)
        assert told["values"] == (await client.threads.get_state(thread_id))["values"]
        assert told["metadata"]["m"] == 1
        assert told["webhook_sent_at"] >= told["updated_at"]
        assert call.headers["host"] == receiver.url.split("/")[2]
        await until_settled(engine)
        assert len(receiver.calls) == 1


async def test_a_webhook_is_told_whose_run_it_was(
    database: Database, gates: Gates, receiver: Receiver
) -> None:
    engine = engine_with(database, owners(), gates, **FAST)
    async with engine, get_client(engine, headers=as_user("ann")) as client:
        thread_id = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread_id, "agent", input=said("a"), webhook=receiver.url)
        (call,) = await receiver.arrived(1)
        assert call.content["kwargs"]["config"] == run["kwargs"]["config"]
        assert run["kwargs"]["config"]["configurable"]["user_id"] == "ann"
        await until_settled(engine)


@pytest.mark.parametrize("way", ["wait", "stream", "batch"])
async def test_runs_without_a_thread_are_told_too(
    database: Database, gates: Gates, receiver: Receiver, way: str
) -> None:
    async with serving(database, gates) as (engine, client):
        asked: Any = {"input": said("a"), "webhook": receiver.url}
        if way == "wait":
            await client.runs.wait(None, "agent", **asked)
        elif way == "stream":
            async for _ in client.runs.stream(None, "agent", **asked):
                pass
        else:
            await client.runs.create_batch([{"assistant_id": "agent", **asked}])
        (call,) = await receiver.arrived(1)
        assert heard(call.content["values"]) == answered("a")
        assert call.content["kwargs"]["temporary"] is True
        assert await rows(engine) == ROWS
        await until_settled(engine)


async def test_every_other_end_is_told_as_what_it_was(
    database: Database, gates: Gates, receiver: Receiver
) -> None:
    engine = database.engine(registry(chat(gates)), **FAST)

    @engine.graph("bad")
    async def bad(state):
        raise ValueError("no")

    async with engine, get_client(engine) as client:
        thread_id = (await client.threads.create())["thread_id"]
        hooked: Any = {"webhook": receiver.url}
        await client.runs.create(thread_id, "bad", **hooked)
        failed = (await receiver.arrived(1))[-1].content
        assert (failed["status"], failed["error"]["message"]) == ("error", "no")
        gates.close("a:1")
        await client.runs.create(thread_id, "agent", input=said("a"), **hooked)
        await gates["a:1"].reached()
        await client.runs.create(
            thread_id, "agent", input=said("b"), multitask_strategy="rollback", **hooked
        )
        calls = [call.content for call in (await receiver.arrived(3))[1:]]
        by_event = {call["event"]: call for call in calls}
        gone = by_event["run.rolled_back"]
        assert (gone["status"], gone["values"]) == ("rolled_back", None)
        assert gone["error"]["error"] == "RunRolledBack"
        assert heard(by_event["run.ended"]["values"]) == answered("b")
        gates.open()
        gates.close("c:1")
        run = await client.runs.create(thread_id, "agent", input=said("c"), **hooked)
        await gates["c:1"].reached()
        await client.runs.cancel(thread_id, run["run_id"])
        told = (await receiver.arrived(4))[-1].content
        assert told["status"] == "interrupted"
        assert heard(told["values"])[-2:] == ["c", "c.1"]
        gates.open()


async def test_what_fails_is_tried_again_under_the_same_id(
    database: Database, gates: Gates, receiver: Receiver
) -> None:
    receiver.statuses.extend([500, 503, 302, 404])
    receiver.location = receiver.url
    async with serving(database, gates) as (engine, client):
        await client.runs.wait(None, "agent", input=said("a"), webhook=receiver.url)
        calls = await receiver.arrived(5)
        await until_settled(engine)
    assert len(calls) == 5  # A redirect is not followed.
    assert len({call.delivery for call in calls}) == 1
    for call in calls:
        assert_signed(call)
    bare = [{**call.content, "webhook_sent_at": ""} for call in calls]
    assert bare == [bare[0]] * 5


async def test_what_never_arrives_is_given_up_and_stays_visible(
    database: Database, gates: Gates, receiver: Receiver
) -> None:
    receiver.statuses.extend([500] * 100)
    async with serving(database, gates, webhook_tries_max=3) as (engine, client):
        await client.runs.wait(None, "agent", input=said("a"), webhook=receiver.url)
        (dead,) = await until_settled(engine, dead=1)
        assert (dead.tries, dead.error, dead.body) == (3, "answered 500", b"")
        assert len(receiver.calls) == 3
        receiver.statuses.clear()
        receiver.statuses.append(410)
        await client.runs.wait(None, "agent", input=said("a"), webhook=receiver.url)
        found = await until_settled(engine, dead=2)
        assert sorted(each.tries for each in found) == [1, 3]


async def test_a_restart_goes_on_where_it_was(
    database: Database, gates: Gates, receiver: Receiver
) -> None:
    receiver.hold = asyncio.Event()
    async with serving(database, gates) as (engine, client):
        await client.runs.wait(None, "agent", input=said("a"), webhook=receiver.url)
        await receiver.arrived(1)
    receiver.hold.set()
    receiver.hold = None
    async with serving(database, gates) as (engine, _):
        calls = await receiver.arrived(2)
        await until_settled(engine)
    assert calls[0].delivery == calls[1].delivery


async def test_a_process_that_dies_in_a_call_leaves_it_to_the_next(
    database: Database, gates: Gates, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threadfold.app.webhooks.CLAIM_SECONDS", 0.1)
    receiver.hold = asyncio.Event()
    short = {**FAST, "webhook_timeout_seconds": 0.2}
    killed = await database.mortal(registry(chat(gates)), **short)
    async with get_client(killed.engine) as client:
        await client.runs.wait(None, "agent", input=said("a"), webhook=receiver.url)
    await receiver.arrived(1)
    await killed.kill()
    receiver.hold.set()
    receiver.hold = None
    async with serving(database, gates) as (engine, _):
        calls = await receiver.arrived(2)
        await until_settled(engine)
    assert len({call.delivery for call in calls}) == 1


async def test_a_receiver_that_does_not_answer_holds_up_no_run(
    database: Database, gates: Gates, receiver: Receiver
) -> None:
    receiver.hold = asyncio.Event()
    async with serving(database, gates) as (engine, client):
        async with receiving() as quick:
            for number in range(8):
                await client.runs.wait(None, "agent", input=said(f"{number}"), webhook=receiver.url)
            await client.runs.wait(None, "agent", input=said("a"), webhook=quick.url)
            await quick.arrived(1)
        assert len(await receiver.arrived(8)) == 8
        receiver.hold.set()
        await until_settled(engine)


async def test_two_processes_call_once(
    database: Database, gates: Gates, receiver: Receiver
) -> None:
    async with serving(database, gates) as (one, first), serving(database, gates) as (two, second):
        for number in range(20):
            client = (first, second)[number % 2]
            await client.runs.wait(None, "agent", input=said("a"), webhook=receiver.url)
        await receiver.arrived(20)
        await until_settled(one)
        await two._webhooks.look()
    assert len({call.delivery for call in receiver.calls}) == len(receiver.calls) == 20


# ------------------------------------------------------------------ addresses

REFUSED = [
    "http://127.0.0.1/",
    "http://localhost:8080/",
    "http://a.localhost/",
    "http://10.1.2.3/",
    "http://192.168.0.1/",
    "http://172.16.0.1/",
    "http://169.254.169.254/latest/meta-data",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
]
NO_URLS = [
    "ftp://example.org/",
    "file:///etc/passwd",
    "gopher://example.org",
    "/relative",
    "example.org",
    "http://",
    "http://user:password@example.org/",
    "http://example.org:99999/",
    "http://" + "a" * 3000,
    "http://[",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("url", [*REFUSED, *NO_URLS])
async def test_addresses_that_are_not_public_are_refused_at_once(
    client: LangGraphClient, engine: Engine, url: str
) -> None:
    for thread_id in (None, (await client.threads.create())["thread_id"]):
        with pytest.raises(UnprocessableEntityError, match="webhook"):
            await client.runs.create(thread_id, "agent", input=said("a"), webhook=url)
    assert "RunAccepted" not in await rows(engine)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    assert HttpCaller().refusal(f"https://{host}/x") is None


class Names:
    """Names that stand for what a test says, one answer after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.asked = 0

        async def resolved(url: object) -> list[str]:
            del url
            self.asked += 1
            return answers[min(self.asked, len(answers)) - 1]

        monkeypatch.setattr(calling, "_resolved", resolved)


@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::1"], ["10.0.0.1"]]
)
async def test_a_name_that_stands_for_a_private_address_is_not_called(
    database: Database,
    gates: Gates,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[str],
) -> None:
    Names(monkeypatch, answers)
    port = receiver.url.split(":")[2]
    async with serving(database, gates, webhook_allows_private=False) as (engine, client):
        await client.runs.wait(
            None, "agent", input=said("a"), webhook=f"http://hook.example.org:{port}"
        )
        (dead,) = await until_settled(engine, dead=1)
        assert "not a public address" in dead.error
        assert dead.tries == 1
    assert receiver.calls == []


async def test_a_name_that_answers_differently_the_next_time_gains_nothing(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was checked is what is called: the name is asked once."""
    names = Names(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
    called: list[str] = []

    async def sent(self: HttpCaller, url: Any, addresses: list[str], *_: object) -> int:
        called.extend(addresses)
        return 200

    monkeypatch.setattr(HttpCaller, "_sent", sent)
    await HttpCaller().post("http://hook.example.org", b"{}", {}, timeout_seconds=5)
    assert (called, names.asked) == (["8.8.8.8"], 1)


async def test_the_next_address_is_called_where_the_first_takes_no_connection(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = receiver.url.split(":")[2]
    Names(monkeypatch, ["::1", "127.0.0.1"])
    caller = HttpCaller(allows_private=True)
    failure = await caller.post(
        f"http://hook.example.org:{port}", b"{}", {"Content-Type": "text/x"}, timeout_seconds=5
    )
    assert failure is None
    assert receiver.calls[0].headers["host"] == f"hook.example.org:{port.partition('/')[0]}"


async def test_what_cannot_be_reached_is_a_failure_and_no_error(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = HttpCaller(allows_private=True)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        failure = await caller.post(f"http://127.0.0.1:{port}", b"", {}, timeout_seconds=5)
    assert failure is not None
    assert not failure.is_final
    failure = await caller.post(
        receiver.url.replace("http", "https", 1), b"", {}, timeout_seconds=5
    )
    assert failure is not None
    receiver.hold = asyncio.Event()
    failure = await caller.post(receiver.url, b"", {}, timeout_seconds=0.05)
    assert failure is not None
    assert failure.reason == "no answer within 0.05 s"


async def private_calls(
    database: Database, gates: Gates, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> int:
    """Return how many calls reach a private address by a name for it, where that is not allowed."""
    Names(monkeypatch, ["127.0.0.1"])
    url = f"http://hook.example.org:{receiver.url.split(':')[2]}"
    async with serving(database, gates, webhook_allows_private=False) as (engine, client):
        await client.runs.wait(None, "agent", input=said("a"), webhook=url)
        while any(each.due_at is not None for each in await deliveries(engine)):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return len(receiver.calls)


async def test_an_address_check_that_is_left_out_is_caught(
    database: Database, gates: Gates, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await private_calls(database, gates, receiver, monkeypatch) == 0
    monkeypatch.setattr(HttpCaller, "_is_allowed", lambda *_: True)
    other = Database(database.path and database.path.with_name("other.db"))
    assert await private_calls(other, gates, receiver, monkeypatch) == 1
