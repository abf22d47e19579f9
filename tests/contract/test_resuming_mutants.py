"""Faults planted into resumable streams: each must be caught by a test of the other modules, or that test proves nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import tests.contract.test_resuming as resuming
import tests.engine.test_stream_storage as storage
from tests.support.engine import Database, Gates
from tests.support.streaming_agents import speakers
from threadfold import get_client
from threadfold.app.http.modes import Frames
from threadfold.app.recording import Recorder
from threadfold.app.replaying import Reader
from threadfold.app.stream_recording import StreamRecorder
from threadfold.infrastructure.log import planning, sql_streams

Patch = pytest.MonkeyPatch
Law = Callable[[Database], Awaitable[None]]

LAW_SECONDS = 15.0


async def cut_at_every_event(database: Database) -> None:
    async with database.engine(speakers(Gates())) as engine, get_client(engine) as client:
        thread_id = (await client.threads.create())["thread_id"]
        await resuming.test_a_stream_cut_at_every_event_goes_on_there(client, thread_id, "function")


async def goes_with_its_run(database: Database) -> None:
    gates = Gates()
    async with database.engine(speakers(gates)) as engine, get_client(engine) as client:
        thread_id = (await client.threads.create())["thread_id"]
        try:
            await resuming.test_the_stored_stream_goes_with_its_run(
                engine, client, gates, thread_id, "function", "cancel"
            )
        finally:
            gates.open()


async def fenced_attempts(database: Database) -> None:
    await storage.test_an_attempt_that_is_fenced_stores_and_shows_nothing_more(database)


def tell_the_last_event_again(patch: Patch) -> None:
    real = Frames.__init__

    def init(self: Frames, *args: Any, after: str = "", **options: Any) -> None:
        real(self, *args, **options, after=after[:-1] if after else after)

    patch.setattr(Frames, "__init__", init)


def leave_out_what_comes_of_the_same_part(patch: Patch) -> None:
    real = Frames.__init__

    def init(self: Frames, *args: Any, after: str = "", **options: Any) -> None:
        real(self, *args, **options, after=after[:-6] + "999999" if after else after)

    patch.setattr(Frames, "__init__", init)


def go_on_only_with_what_comes(patch: Patch) -> None:
    real = Reader.take

    async def take(self: Reader) -> Any:
        self._is_due = False
        return await real(self)

    patch.setattr(Reader, "take", take)


def store_without_a_fence(patch: Patch) -> None:
    patch.setattr(sql_streams, "is_running", lambda run, attempt: True)


def keep_what_was_rolled_back(patch: Patch) -> None:
    patch.setattr(planning, "is_hidden", lambda run: False)


def end_before_all_is_stored(patch: Patch) -> None:
    async def flush(self: StreamRecorder) -> None:
        del self

    patch.setattr(StreamRecorder, "flush", flush)


def forget_what_was_emitted(patch: Patch) -> None:
    patch.setattr(Recorder, "emit", lambda self, publish: None)


MUTANTS: list[tuple[Callable[[Patch], None], Law]] = [
    (tell_the_last_event_again, cut_at_every_event),
    (leave_out_what_comes_of_the_same_part, cut_at_every_event),
    (go_on_only_with_what_comes, cut_at_every_event),
    (end_before_all_is_stored, cut_at_every_event),
    (forget_what_was_emitted, cut_at_every_event),
    (store_without_a_fence, fenced_attempts),
    (keep_what_was_rolled_back, goes_with_its_run),
]


@pytest.mark.parametrize("law", [cut_at_every_event, goes_with_its_run, fenced_attempts])
async def test_without_a_fault_the_laws_hold(law: Law, tmp_path: Path) -> None:
    await law(Database(tmp_path / "log.db"))


@pytest.mark.parametrize(("plant", "law"), MUTANTS, ids=[plant.__name__ for plant, _ in MUTANTS])
async def test_a_planted_fault_is_caught(
    plant: Callable[[Patch], None], law: Law, tmp_path: Path, monkeypatch: Patch
) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, TimeoutError)):
        await asyncio.wait_for(law(Database(tmp_path / "log.db")), LAW_SECONDS)
