"""What is kept beside the log: answers under their keys, and calls of webhooks to be made."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.support.appends import acceptance, append, moment
from threadfold.domain.errors import KeyTakenError, VersionConflictError
from threadfold.domain.kept_ports import Delivery, KeptAnswer
from threadfold.infrastructure.log.store import LogStore

pytestmark = pytest.mark.anyio

ANSWER = KeptAnswer("scope", "key", "digest", 200, b'{"a": 1}', {"X": "y"}, moment(100))
DELIVERY = Delivery("d1", "t", "r", "http://example.org", b"{}", moment(1), moment(1))

Opening = Callable[[str], Awaitable[LogStore]]


async def test_an_answer_is_there_if_and_only_if_its_append_stands(store: LogStore) -> None:
    with pytest.raises(VersionConflictError):
        await store.append(append("t", 3, answer=ANSWER))
    assert await store.find_answer("scope", "key") is None
    await store.append(append("t", 0, answer=ANSWER))
    assert await store.find_answer("scope", "key") == ANSWER
    assert await store.find_answer("scope", "other") is None
    assert await store.find_answer("other", "key") is None


async def test_a_key_that_is_taken_refuses_the_whole_append(store: LogStore) -> None:
    await store.append(append("t", 0, answer=ANSWER))
    with pytest.raises(KeyTakenError):
        await store.append(acceptance("u", 0, "r1", answer=ANSWER, deliveries=[DELIVERY]))
    assert await store.head_version("u") == 0
    assert await store.get_run("u", "r1") is None
    assert await store.list_deliveries() == ()


async def test_of_many_appends_under_one_key_one_stands(store: LogStore) -> None:
    appends = (
        store.append(append(f"t{number}", 0, answer=replace(ANSWER, digest=f"{number}")))
        for number in range(50)
    )
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    taken = [outcome for outcome in outcomes if isinstance(outcome, KeyTakenError)]
    assert len(taken) == 49
    assert await store.head_position() == 1


async def test_an_answer_that_has_expired_gives_way_and_is_swept(store: LogStore) -> None:
    await store.append(append("t", 0, answer=ANSWER))
    late = replace(ANSWER, digest="new", expires_at=moment(300))
    await store.append(append("t", 1, answer=late, recorded_at=moment(100)))
    assert await store.find_answer("scope", "key") == late
    assert await store.sweep_answers(moment(299)) == 0
    assert await store.sweep_answers(moment(300)) == 1
    assert await store.find_answer("scope", "key") is None


async def test_deliveries_are_claimed_once_and_settled(store: LogStore) -> None:
    second = replace(DELIVERY, delivery_id="d2", created_at=moment(2), due_at=moment(2))
    await store.append(append("t", 0, deliveries=[DELIVERY, second]))
    assert await store.list_deliveries() == (DELIVERY, second)
    assert await store.list_deliveries(due_before=moment(1)) == (DELIVERY,)
    assert await store.claim_deliveries(moment(0), moment(9), limit=9) == ()
    claims = (store.claim_deliveries(moment(5), moment(9), limit=1) for _ in range(4))
    found = [each for claimed in await asyncio.gather(*claims) for each in claimed]
    assert [(each.delivery_id, each.tries, each.due_at) for each in found] == [
        ("d1", 1, moment(9)),
        ("d2", 1, moment(9)),
    ]
    await store.settle_delivery("d1", moment(20), "answered 500")
    await store.settle_delivery("d2", None, "answered 410")
    first, dead = await store.list_deliveries()
    assert (first.due_at, first.error, first.body) == (moment(20), "answered 500", b"{}")
    assert (dead.due_at, dead.error, dead.body) == (None, "answered 410", b"")
    assert await store.claim_deliveries(moment(1000), moment(2000), limit=9) == (
        replace(first, tries=2, due_at=moment(2000)),
    )
    for delivery_id in ("d1", "d2", "unknown"):
        await store.finish_delivery(delivery_id)
        await store.settle_delivery(delivery_id, moment(1), "late")
    assert await store.list_deliveries() == ()


async def test_a_restart_finds_them(sqlite_url: str, opening: Opening) -> None:
    store = await opening(sqlite_url)
    await store.append(append("t", 0, answer=ANSWER, deliveries=[DELIVERY]))
    await store.close()
    again = await opening(sqlite_url)
    assert await again.find_answer("scope", "key") == ANSWER
    assert await again.list_deliveries() == (DELIVERY,)
