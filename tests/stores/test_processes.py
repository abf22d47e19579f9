"""Several processes on one file, and what is left when one of them is killed."""

import asyncio
import contextlib
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from tests.support.appends import positions, versions
from tests.support.store_processes import process
from threadfold.domain.events import ThreadPatched
from threadfold.infrastructure.log.writer import CRASH_POINTS

pytestmark = pytest.mark.anyio


def lines(started, count: int) -> list[str]:
    return [started.stdout.readline().strip() for _ in range(count)]


def go(*started) -> None:
    for each in started:
        each.stdin.write("\n")
        each.stdin.flush()


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("point", CRASH_POINTS)
async def test_after_a_kill_what_was_acknowledged_is_there_and_nothing_is_half_there(
    point: str, count: int, sqlite_url: str, opening
) -> None:
    with process("crash_at", sqlite_url, point, count) as killed:
        output, _ = killed.communicate(timeout=30)
    acknowledged = Counter()
    for line in output.splitlines():
        thread_id, version = line.split()
        acknowledged[thread_id] = int(version)
    store = await opening(sqlite_url)
    for number in range(8):
        thread_id = f"t{number}"
        found = await store.read_thread(thread_id)
        assert versions(found) == list(range(1, len(found) + 1))
        assert len(found) >= acknowledged[thread_id]
        # Each append brings two events, two runs, and the thread's row.
        assert len(found) % 2 == 0
        runs = await store.list_runs(thread_id, limit=10_000)
        assert {run.run_id for run in runs} == {event.event.run_id for event in found}
        row = await store.get_thread(thread_id)
        assert (row.version if row else 0) == len(found)
    log = await store.read_log(limit=10_000)
    assert positions(log) == list(range(1, len(log) + 1))
    was_committed = point != "before_commit"
    assert len(log) >= 2 * was_committed
    if count == 1:
        assert not acknowledged


async def test_two_processes_write_one_file_and_a_follower_misses_nothing(
    sqlite_url: str, opening
) -> None:
    count = 60
    store = await opening(sqlite_url)
    followed: list = []

    async def follow() -> None:
        async for batch in store.subscribe():
            followed.extend(batch)
            if len(followed) >= 4 * count:
                return

    following = asyncio.create_task(follow())
    with (
        process("write_many", sqlite_url, "a", count) as first,
        process("write_many", sqlite_url, "b", count) as second,
    ):
        for each in (first, second):
            assert await asyncio.to_thread(lines, each, 1) == ["ready"]
        go(first, second)
        await asyncio.wait_for(following, 60)
    assert positions(followed) == list(range(1, 4 * count + 1))
    for name in ("a", "b"):
        own = [event.version for event in followed if event.thread_id == name]
        assert own == list(range(1, count + 1))
    shared = [event for event in followed if event.thread_id == "shared"]
    assert versions(shared) == list(range(1, 2 * count + 1))
    expected = [
        ThreadPatched(metadata={"by": name, "number": number})
        for name in ("a", "b")
        for number in range(count)
    ]
    assert sorted((e.event for e in shared), key=repr) == sorted(expected, key=repr)


async def test_many_processes_open_a_new_file_at_once(sqlite_url: str, opening) -> None:
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(process("open_and_close", sqlite_url)) for _ in range(4)]
        for each in started:
            assert lines(each, 1) == ["ready"]
        go(*started)
        for each in started:
            assert lines(each, 1) == ["done"]
    store = await opening(sqlite_url)
    assert await store.head_position() == 4


async def test_the_leases_of_a_killed_process_count_as_free_at_once(
    sqlite_url: str, opening, tmp_path: Path
) -> None:
    # With this lease time nothing lapses during the test.
    store = await opening(sqlite_url, lease_seconds=3600)
    with (
        process("hold_lease", sqlite_url, "t1") as first,
        process("hold_lease", sqlite_url, "t2") as second,
    ):
        for each in (first, second):
            assert lines(each, 1) == ["held"]
        assert [held.is_alive for held in await store.list_leases()] == [True, True]
        first.kill()
        first.wait(10)
        held = {held.lease.thread_id: held.is_alive for held in await store.list_leases()}
        assert held == {"t1": False, "t2": True}
        go(second)
        second.wait(10)
    held = {held.lease.thread_id: held.is_alive for held in await store.list_leases()}
    assert held == {"t1": False, "t2": False}
    [lease, _] = [held.lease for held in await store.list_leases()]
    await store.release_lease(lease)
    assert len(await store.list_leases()) == 1


async def test_what_a_killed_process_left_is_cleared_away_by_the_next(
    sqlite_url: str, opening, tmp_path: Path
) -> None:
    with process("hold_lease", sqlite_url, "t1") as killed:
        assert lines(killed, 1) == ["held"]
        killed.kill()
        killed.wait(10)
    folder = tmp_path / "log.db.holders"
    assert [path.name for path in folder.iterdir()] == ["holder-of-t1.lock"]
    store = await opening(sqlite_url, holder="next")
    assert [path.name for path in folder.iterdir()] == ["next.lock"]
    [held] = await store.list_leases()
    assert (held.lease.holder, held.is_alive) == ("holder-of-t1", False)
    await store.close()
    assert list(folder.iterdir()) == []
    with contextlib.closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        assert connection.execute("SELECT * FROM holders").fetchall() == []
