"""What every store promises through the `EventStore` port, method by method."""

import asyncio
from dataclasses import replace

import pytest

from tests.support.appends import (
    acceptance,
    append,
    moment,
    positions,
    run_row,
    start,
    thread_row,
    versions,
)
from threadfold.domain.errors import RunIdTakenError, StoreUnavailableError, VersionConflictError
from threadfold.domain.events import RunDeleted, ThreadCreated, ThreadPatched
from threadfold.domain.ports import Lease, StoredSnapshot
from threadfold.infrastructure.log.sqlite import SQLiteSettings

pytestmark = pytest.mark.anyio


async def collect(subscription, count: int) -> list:
    """Return so many events; fails, rather than hangs, if they do not come."""
    events: list = []
    async with asyncio.timeout(10):
        async for batch in subscription:
            events.extend(batch)
            if len(events) >= count:
                return events
    return events


# ------------------------------------------------------------------ append and read


async def test_an_append_returns_its_events_as_they_are_read_back(store) -> None:
    made = append(
        "t", 0, ThreadCreated(metadata={"é": [1]}), ThreadPatched(metadata={}), actor="ann"
    )
    recorded = await store.append(made)
    assert [event.event for event in recorded] == list(made.events)
    assert versions(recorded) == [1, 2]
    assert positions(recorded) == [1, 2]
    assert {event.recorded_at for event in recorded} == {made.recorded_at}
    assert {event.actor for event in recorded} == {"ann"}
    assert await store.read_thread("t") == recorded


async def test_positions_run_through_all_threads_without_holes(store) -> None:
    for count in range(5):
        await store.append(append(f"t{count % 2}", count // 2))
    with pytest.raises(VersionConflictError):
        await store.append(append("t0", 0))
    await store.append(append("t2", 0))
    assert positions(await store.read_log()) == [1, 2, 3, 4, 5, 6]
    assert await store.head_position() == 6


async def test_an_append_at_another_version_is_refused_and_leaves_nothing(store) -> None:
    await store.append(acceptance("t", 0, "r1"))
    for expected_version in (0, 2, 7):
        with pytest.raises(VersionConflictError) as refusal:
            await store.append(acceptance("t", expected_version, "r2", actor="late"))
        assert refusal.value.expected_version == expected_version
    assert versions(await store.read_thread("t")) == [1]
    assert await store.get_run("t", "r2") is None
    assert (await store.get_thread("t")).version == 1


async def test_a_run_id_that_the_thread_has_seen_is_refused_and_leaves_nothing(store) -> None:
    await store.append(acceptance("t", 0, "r1"))
    hidden = replace(run_row("t", "r1"), status="rolled_back", is_hidden=True)
    await store.append(append("t", 1, RunDeleted(run_id="r1"), runs=[hidden]))
    with pytest.raises(RunIdTakenError) as refusal:
        await store.append(acceptance("t", 2, "r2", "r1"))
    assert refusal.value.run_id == "r1"
    assert await store.head_version("t") == 2
    assert await store.get_run("t", "r2") is None


async def test_another_thread_may_use_the_same_run_id(store) -> None:
    await store.append(acceptance("t", 0, "r1"))
    await store.append(acceptance("u", 0, "r1"))
    assert (await store.get_run("u", "r1")).thread_id == "u"


async def test_concurrent_appends_at_one_version_have_one_winner(store) -> None:
    outcomes = await asyncio.gather(
        *(store.append(append("t", 0, ThreadCreated(metadata={"by": n}))) for n in range(20)),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, VersionConflictError)]
    assert len(refused) == 19
    assert versions(await store.read_thread("t")) == [1]


async def test_a_cancelled_append_stands_or_not_as_a_whole(store) -> None:
    task = asyncio.create_task(store.append(acceptance("t", 0, "r1", "r2")))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    # A later append of the same process comes after it.
    await store.append(append("u", 0))
    found = await store.read_thread("t")
    assert len(found) == len(await store.list_runs("t"))
    assert len(found) in {0, 2}


async def test_a_thread_is_read_between_versions_and_in_pages(store) -> None:
    await store.append(append("t", 0, *(ThreadPatched(metadata={"n": n}) for n in range(6))))
    assert versions(await store.read_thread("t", after=2)) == [3, 4, 5, 6]
    assert versions(await store.read_thread("t", after=2, upto=4)) == [3, 4]
    assert versions(await store.read_thread("t", after=1, limit=2)) == [2, 3]
    assert versions(await store.read_thread("t", limit=0)) == []
    assert await store.read_thread("nobody") == ()


async def test_single_versions_are_read_in_order_without_those_that_do_not_exist(store) -> None:
    await store.append(append("t", 0, *(ThreadPatched(metadata={"n": n}) for n in range(6))))
    assert versions(await store.read_run("t", [5, 2, 99, 2])) == [2, 5]
    assert await store.read_run("t", []) == ()


async def test_the_log_is_read_from_a_position_in_pages(store) -> None:
    for thread_id in ("a", "b"):
        await store.append(append(thread_id, 0, ThreadCreated(), ThreadPatched(metadata={})))
    assert positions(await store.read_log(after=1, limit=2)) == [2, 3]
    assert positions(await store.read_log(after=4)) == []


async def test_heads_of_what_is_empty_are_zero(store) -> None:
    assert await store.head_version("t") == 0
    assert await store.head_position() == 0


async def test_ids_may_be_any_text(store) -> None:
    thread_id = "../ü \x01'; DROP TABLE events; --"
    await store.append(acceptance(thread_id, 0, "run ☃"))
    assert versions(await store.read_thread(thread_id)) == [1]
    assert (await store.get_run(thread_id, "run ☃")).run_id == "run ☃"


# ------------------------------------------------------------------ projections


async def test_rows_come_back_as_they_were_given(store) -> None:
    given = replace(run_row("t", "r1"), attempt=3, ended_version=9, is_hidden=True)
    thread = replace(thread_row("t", 1), status="interrupted", has_in_flight=True)
    await store.append(append("t", 0, runs=[given], thread=thread))
    assert await store.get_run("t", "r1") == given
    assert await store.get_thread("t") == thread
    assert await store.get_run("t", "r2") is None
    assert await store.get_thread("u") is None


async def test_rows_are_copies_of_what_was_given(store) -> None:
    metadata = {"list": [1]}
    await store.append(append("t", 0, thread=replace(thread_row("t", 1), metadata=metadata)))
    metadata["list"].append(2)
    first = await store.get_thread("t")
    first.metadata["list"].append(3)
    assert (await store.get_thread("t")).metadata == {"list": [1]}


async def test_runs_are_listed_newest_first_by_page_and_status(store) -> None:
    await store.append(acceptance("t", 0, "r1", "r2", "r3", "r4"))
    ended = replace(run_row("t", "r2", 2), status="success", ended_version=5)
    hidden = replace(run_row("t", "r3", 3), status="rolled_back", is_hidden=True)
    await store.append(append("t", 4, ThreadPatched(metadata={}), runs=[ended, hidden]))

    async def listed(**options) -> list[str]:
        return [run.run_id for run in await store.list_runs("t", **options)]

    assert await listed() == ["r4", "r2", "r1"]
    assert await listed(limit=1, offset=1) == ["r2"]
    assert await listed(status="pending") == ["r4", "r1"]
    assert await listed(with_hidden=True) == ["r4", "r3", "r2", "r1"]
    assert await listed(with_hidden=True, status="rolled_back") == ["r3"]


async def test_runs_in_flight_come_in_order_of_due_time(store) -> None:
    late = replace(run_row("t", "r1"), due_at=moment(500))
    await store.append(append("t", 0, runs=[late]))
    await store.append(append("u", 0, runs=[replace(run_row("u", "r2"), status="running")]))
    await store.append(append("v", 0, runs=[replace(run_row("v", "r3"), status="success")]))
    assert [run.run_id for run in await store.list_runs_in_flight()] == ["r2", "r1"]
    assert [run.run_id for run in await store.list_runs_in_flight(status="pending")] == ["r1"]
    await store.append(append("t", 1, runs=[replace(late, status="error")]))
    assert [run.run_id for run in await store.list_runs_in_flight()] == ["r2"]


async def test_a_run_is_found_without_its_thread_and_the_newest_wins(store) -> None:
    await store.append(append("t", 0, runs=[run_row("t", "r1", 5)]))
    await store.append(append("u", 0, runs=[run_row("u", "r1", 6)]))
    await store.append(append("v", 0, runs=[run_row("v", "r1", 4)]))
    assert (await store.find_run("r1")).thread_id == "u"
    assert await store.find_run("r2") is None


async def test_present_threads_are_listed_newest_first(store) -> None:
    for count, thread_id in enumerate("abcd"):
        row = thread_row(thread_id, 1, updated_at=moment(count), is_present=thread_id != "c")
        await store.append(append(thread_id, 0, thread=row))
    assert [row.thread_id for row in await store.list_threads()] == ["d", "b", "a"]
    assert [row.thread_id for row in await store.list_threads(limit=1, offset=1)] == ["b"]
    assert not (await store.get_thread("c")).is_present


# ------------------------------------------------------------------ snapshots


async def test_the_newest_snapshot_is_kept(store) -> None:
    await store.append(append("t", 0))
    assert await store.read_snapshot("t") is None
    newest = StoredSnapshot("t", 7, 1, b"\x00seven")
    for snapshot in (StoredSnapshot("t", 5, 1, b"five"), newest, StoredSnapshot("t", 6, 1, b"")):
        await store.write_snapshot(snapshot)
    assert await store.read_snapshot("t") == newest


async def test_a_snapshot_goes_with_its_thread_and_an_older_one_stays_away(store) -> None:
    await store.append(append("t", 0, *(ThreadPatched(metadata={}) for _ in range(3))))
    await store.write_snapshot(StoredSnapshot("t", 3, 1, b"secret"))
    await store.append(append("t", 3, erase_thread=True))
    assert await store.read_snapshot("t") is None
    await store.write_snapshot(StoredSnapshot("t", 3, 1, b"secret"))
    assert await store.read_snapshot("t") is None
    await store.append(append("t", 4))
    await store.write_snapshot(StoredSnapshot("t", 5, 1, b"second life"))
    assert (await store.read_snapshot("t")).body == b"second life"


async def test_a_snapshot_from_before_an_erased_run_stays(store) -> None:
    await store.append(append("t", 0, ThreadCreated(), ThreadPatched(metadata={})))
    await store.write_snapshot(StoredSnapshot("t", 2, 1, b"before"))
    await store.append(acceptance("t", 2, "r1"))
    await store.append(append("t", 3, runs=[run_row("t", "r1", 3)], erase_runs=["r1"]))
    assert (await store.read_snapshot("t")).body == b"before"
    await store.append(append("t", 4, runs=[run_row("t", "r1", 2)], erase_runs=["r1"]))
    assert await store.read_snapshot("t") is None


# ------------------------------------------------------------------ leases


async def test_a_lease_is_granted_with_its_append_and_released(store) -> None:
    await store.append(acceptance("t", 0, "r1"))
    await store.append(start("t", 1, run_row("t", "r1"), store.holder))
    [held] = await store.list_leases()
    assert held.lease == Lease("t", "r1", 1, store.holder)
    assert held.is_alive
    assert await store.list_leases("u") == ()
    assert await store.list_leases("t") == (held,)
    await store.release_lease(held.lease)
    await store.release_lease(held.lease)
    assert await store.list_leases() == ()


async def test_a_refused_append_grants_no_lease(store) -> None:
    await store.append(acceptance("t", 0, "r1"))
    with pytest.raises(VersionConflictError):
        await store.append(start("t", 0, run_row("t", "r1"), store.holder))
    assert await store.list_leases() == ()


async def test_a_later_attempt_leaves_the_lease_of_the_earlier_one(store) -> None:
    run = run_row("t", "r1")
    await store.append(acceptance("t", 0, "r1"))
    await store.append(start("t", 1, run, "somebody who is gone"))
    await store.append(start("t", 2, replace(run, attempt=1), store.holder))
    first, second = await store.list_leases("t")
    assert (first.lease.attempt, first.is_alive) == (1, False)
    assert (second.lease.attempt, second.is_alive) == (2, True)


# ------------------------------------------------------------------ subscriptions


async def test_a_subscription_brings_what_is_there_and_then_what_comes(store) -> None:
    await store.append(append("t", 0))
    subscription = store.subscribe()
    following = asyncio.create_task(collect(subscription, 4))
    for version in range(1, 4):
        await store.append(append("t", version))
        await asyncio.sleep(0)
    assert positions(await following) == [1, 2, 3, 4]


async def test_a_subscription_that_waits_is_woken_by_the_next_append(url, opening) -> None:
    # The poll is too slow to help.
    store = await opening(url, sqlite=SQLiteSettings(poll_seconds=600))
    following = asyncio.create_task(collect(store.subscribe(), 1))
    for _ in range(3):
        await asyncio.sleep(0)
    await store.append(append("t", 0))
    assert positions(await following) == [1]


async def test_a_subscription_starts_after_a_position(store) -> None:
    await store.append(append("t", 0, *(ThreadPatched(metadata={}) for _ in range(3))))
    assert positions(await collect(store.subscribe(after=2), 1)) == [3]


async def test_a_closed_subscription_ends_also_while_it_waits(store) -> None:
    subscription = store.subscribe()
    following = asyncio.create_task(collect(subscription, 1))
    await asyncio.sleep(0)
    await subscription.close()
    assert await following == []


async def test_followers_miss_nothing_while_many_append(store) -> None:
    followers = [asyncio.create_task(collect(store.subscribe(), 200)) for _ in range(3)]

    async def write(thread_id: str) -> None:
        for version in range(20):
            await store.append(append(thread_id, version))

    await asyncio.gather(*(write(f"t{number}") for number in range(10)))
    for follower in followers:
        assert positions(await follower) == list(range(1, 201))


# ------------------------------------------------------------------ opening and closing


async def test_a_closed_store_refuses_everything(store) -> None:
    await store.close()
    await store.close()
    for call in (
        store.append(append("t", 0)),
        store.read_thread("t"),
        store.head_version("t"),
        store.list_leases(),
    ):
        with pytest.raises(StoreUnavailableError):
            await call
    with pytest.raises(StoreUnavailableError):
        store.subscribe()


async def test_closing_finishes_what_was_accepted(url, opening) -> None:
    store = await opening(url)
    writing = [asyncio.create_task(store.append(append(f"t{n}", 0))) for n in range(50)]
    await asyncio.sleep(0)
    await store.close()
    outcomes = await asyncio.gather(*writing)
    assert sorted(recorded.position for [recorded] in outcomes) == list(range(1, 51))
