"""A process's signs of life: the row that is renewed, and the lock that the kernel frees."""

import os
from pathlib import Path
from threading import Event

import pytest
from eventsourcing.persistence import OperationalError

from tests.support.appends import acceptance, run_row, start
from threadfold.infrastructure.log.holding import ProcessHolding
from threadfold.infrastructure.log.sql_log import SQLLog
from threadfold.infrastructure.log.sqlite import SQLiteDatabase, SQLiteSettings
from threadfold.infrastructure.work.leases import FileLocks, LeaseKeeper

WAIT_SECONDS = 10


def test_a_lock_shows_whether_its_process_lives(tmp_path: Path) -> None:
    mine, theirs = FileLocks(tmp_path / "holders"), FileLocks(tmp_path / "holders")
    assert mine.is_dead("me")
    mine.hold("me")
    assert not theirs.is_dead("me")
    assert not mine.is_dead("me")
    assert list(theirs.holders()) == ["me"]
    mine.release()
    mine.release()
    assert theirs.is_dead("me")
    assert list(theirs.holders()) == []


def test_a_dead_ones_file_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "gone.lock").touch()
    locks = FileLocks(tmp_path)
    assert locks.is_dead("gone")
    locks.remove("gone")
    locks.remove("gone")
    assert list(locks.holders()) == []


def test_a_file_that_is_cleared_away_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, removed = os.open, []

    def open_and_lose(path, *args):
        descriptor = real(path, *args)
        if not removed:
            removed.append(path)
            os.unlink(path)
        return descriptor

    monkeypatch.setattr(os, "open", open_and_lose)
    mine = FileLocks(tmp_path)
    mine.hold("me")
    monkeypatch.undo()
    assert removed
    assert not FileLocks(tmp_path).is_dead("me")
    mine.release()


class Renewals:
    """Counts renewals, and lets a test wait for so many."""

    def __init__(self, wanted: int) -> None:
        self.moments: list[int] = []
        self.error: Exception | None = None
        self.reached = Event()
        self._wanted = wanted

    def __call__(self, expires_at: int) -> None:
        self.moments.append(expires_at)
        if len(self.moments) >= self._wanted:
            self.reached.set()
        if self.error is not None and len(self.moments) > 1:
            raise self.error


def test_a_keeper_renews_until_it_is_stopped() -> None:
    renewals = Renewals(3)
    keeper = LeaseKeeper(renewals, lease_seconds=0.03, now=lambda: 1000.0)
    keeper.start()
    assert renewals.reached.wait(WAIT_SECONDS)
    keeper.stop()
    count = len(renewals.moments)
    assert set(renewals.moments) == {1_000_030_000}
    assert len(renewals.moments) == count


def test_a_renewal_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    renewals = Renewals(4)
    renewals.error = OperationalError("the disk is full")
    keeper = LeaseKeeper(renewals, lease_seconds=0.03)
    keeper.start()
    assert renewals.reached.wait(WAIT_SECONDS)
    keeper.stop()
    assert "could not be renewed: the disk is full" in caplog.text


def test_a_holder_that_is_silent_for_too_long_counts_as_dead() -> None:
    keeper = LeaseKeeper(Renewals(1), lease_seconds=10, now=lambda: 1000.0)
    assert keeper.is_current(1_000_000_001)
    assert not keeper.is_current(1_000_000_000)
    assert not keeper.is_current(None)


@pytest.mark.anyio
async def test_a_live_but_silent_holder_lapses(sqlite_url, opening) -> None:
    silent = await opening(sqlite_url, holder="silent", lease_seconds=3600)
    await silent.append(acceptance("t", 0, "r1"))
    await silent.append(start("t", 1, run_row("t", "r1"), "silent"))
    [held] = await silent.list_leases()
    assert held.is_alive
    await silent._do(silent._log.tasks.renew_holder("silent", 1))
    [held] = await silent.list_leases()
    assert not held.is_alive


def test_where_files_cannot_be_locked_only_time_tells(tmp_path: Path) -> None:
    log = SQLLog(SQLiteDatabase(tmp_path / "log.db", SQLiteSettings(synchronous="OFF")))
    log.open()
    holding = ProcessHolding(log, "me", lease_seconds=3600, locks=None)
    holding.start()
    [(holder, expires_at)] = log.list_holders()
    assert holder == "me"
    assert holding.is_alive("me", expires_at)
    assert holding.is_alive("somebody", expires_at)
    assert not holding.is_alive("somebody", 1)
    log.call(log.tasks.renew_holder("gone", 1))
    holding._clear()
    assert [name for name, _ in log.list_holders()] == ["me"]
    holding.stop()
    assert log.list_holders() == []
    log.close()


def test_a_holder_that_cannot_begin_gives_its_lock_back(tmp_path: Path) -> None:
    log = SQLLog(SQLiteDatabase(tmp_path / "log.db", SQLiteSettings()))
    log.open()
    log.close()
    locks = FileLocks(tmp_path / "holders")
    with pytest.raises(OperationalError, match="closed"):
        ProcessHolding(log, "me", lease_seconds=3600, locks=locks).start()
    assert list(locks.holders()) == []
