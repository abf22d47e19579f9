"""What resumable runs emit, in the store: fenced, bounded, flat in the conversation's length, and gone after a time."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.support.engine import Database, Gates, StillClock, pass_time, said, soon
from tests.support.streaming_agents import asked, speakers
from threadfold import Custom, Engine
from threadfold.app import stream_recording, streams
from threadfold.app.hub import Emitted
from threadfold.app.stream_codec import LOST, BatchReader, BatchWriter
from threadfold.domain.thread import EMPTY_THREAD

OPTIONS = {"stream_resumable": True, "stream_mode": ["values", "custom", "messages-tuple"]}


@pytest.fixture(params=["memory", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Any) -> Database:
    return Database(None if request.param == "memory" else tmp_path / "log.db")


async def submitted(engine: Engine, kind: str, thread_id: str, text: str = "hi") -> str:
    view = await engine.submit_run(
        thread_id, kind, input=said(text), kwargs=OPTIONS, if_not_exists="create"
    )
    return view.row.run_id


def parts_in(batches: Any) -> list[tuple[str, Any]]:
    """Return what is in the batches of one attempt that began with an empty thread."""
    reader = BatchReader()
    return [part for batch in batches for part in reader.read(batch.body)]


# ------------------------------------------------------------------ the fence


async def test_an_attempt_that_is_fenced_stores_and_shows_nothing_more(database: Database) -> None:
    gates = Gates()
    engine = database.engine(speakers(gates))
    async with engine:
        gates.close("middle")
        run_id = await submitted(engine, "function", "t")
        await soon(gates["middle"].reached())
        store = engine._ports.store
        await engine._worker.flush("t")
        stored = await store.read_stream("t")

        async def late(attempt: int) -> int | None:
            body = BatchWriter(EMPTY_THREAD).write([("custom", "late")])
            return await store.write_stream("t", run_id, attempt, seq=99, count=1, body=body)

        assert await late(0) is None
        assert await late(2) is None
        assert await store.read_stream("t") == stored
        version = await late(1)
        assert version == await store.head_version("t")
        assert await late(1) == version  # Once more changes nothing.
        assert len(await store.read_stream("t")) == len(stored) + 1
        await engine.cancel_run("t", run_id)
        assert await late(1) is None
        await engine.delete_run("t", run_id)
        assert await store.read_stream("t") == ()
        assert await late(1) is None
        assert await store.write_stream("t", "nobody", 1, seq=1, count=1, body=b"[]") is None
        assert await store.write_stream("none", run_id, 1, seq=1, count=1, body=b"[]") is None
        gates.open()


async def test_the_parts_of_attempts_stand_in_order_and_the_lost_one_adds_nothing(
    database: Database,
) -> None:
    gates = Gates()
    gates.close("middle")
    mortal = await database.mortal(speakers(gates))
    run_id = await submitted(mortal.engine, "function", "t")
    await soon(gates["middle"].reached())
    await mortal.engine._worker.flush("t")
    first = await mortal.engine._ports.store.read_stream("t")
    await mortal.kill()
    gates.open()
    async with database.engine(speakers(gates)) as engine:
        await soon(engine.join_run("t", run_id))
        batches = await engine._ports.store.read_stream("t")
        assert batches[: len(first)] == first
        assert {batch.attempt for batch in batches} == {1, 2}
        places = [(batch.version, batch.seq) for batch in batches]
        assert places == sorted(places)
        assert [batch.attempt for batch in batches] == sorted(batch.attempt for batch in batches)
        second = parts_in([batch for batch in batches if batch.attempt == 2])
        assert [data for mode, data in second if mode == "custom"] == [
            {"turn": 1}, "half", "done",
        ]  # fmt: skip


# ------------------------------------------------------------------ retention


async def test_stored_streams_are_swept_some_time_after_their_runs_end(database: Database) -> None:
    clock, gates = StillClock(), Gates()
    engine = database.engine(speakers(gates), clock=clock, stream_retention_seconds=600.0)
    async with engine:
        ended = await submitted(engine, "function", "t")
        await soon(engine.join_run("t", ended))
        gates.close("middle")
        going = await submitted(engine, "function", "u")
        await soon(gates["middle"].reached(2))
        store = engine._ports.store
        await engine._worker.flush("u")
        await pass_time(engine, clock, 590)
        await engine.replays.sweep()
        assert await store.read_stream("t", ended)
        await pass_time(engine, clock, 70)
        await engine.replays.sweep()
        assert await store.read_stream("t", ended) == ()
        assert await store.read_stream("u", going)
        assert await store.sweep_streams(clock.now() + timedelta(days=1)) == 0
        gates.open()
        await soon(engine.join_run("u", going))
        assert await store.sweep_streams(clock.now() + timedelta(days=1)) == 1
        assert await store.read_stream("u") == ()


# ------------------------------------------------------------------ bounds


async def test_what_a_store_does_not_keep_up_with_is_left_out_and_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_recording, "PARTS_WAITING_MAX", 10)
    async with database.engine() as engine:

        @engine.graph("floods")
        async def floods(state):
            for at in range(50):
                yield Custom(at)

        run_id = await submitted(engine, "floods", "t")
        await soon(engine.join_run("t", run_id))
        found = parts_in(await engine._ports.store.read_stream("t", limit=1000))
    shown = [data for mode, data in found if mode == "custom"]
    lost = [data for mode, data in found if mode == LOST]
    assert shown == sorted(shown)
    assert len(shown) + sum(lost) == 50
    assert lost


async def test_slow_readers_hold_up_nobody_and_nothing_is_kept_for_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PARTS_MAX", 20)
    monkeypatch.setattr(streams, "PARTS_AT_ONCE_MAX", 40)
    count = 2_000
    async with database.engine() as engine:

        @engine.graph("floods")
        async def floods(state):
            for at in range(count):
                yield Custom(at)
                if at % 10 == 0:
                    await asyncio.sleep(0)

        run_id = engine.new_run_id()
        followers = [engine.follow_run("t", run_id) for _ in range(20)]
        for follower in followers:
            follower.__enter__()
        view = await engine.submit_run(
            "t", "floods", input={}, run_id=run_id, kwargs=OPTIONS, if_not_exists="create"
        )
        readers = [engine.replays.run(follower, view) for follower in followers]
        for reader in readers:
            reader.is_stuck = True
        await soon(engine.join_run("t", run_id))
        for follower in followers:
            assert len(follower._parts) <= 20
            assert follower.is_behind
        for reader in readers:
            assert not reader.is_behind  # It can catch up.
            found: list[Any] = []
            while not found or isinstance(found[-1], Emitted):
                await soon(reader.wait())
                parts = await reader.take()
                assert len(parts) <= 100
                found += parts
            reader.__exit__()
            assert [part.data for part in found if isinstance(part, Emitted)] == [*range(count)]


# ------------------------------------------------------------------ size


async def test_the_bytes_of_a_turn_do_not_grow_with_the_conversation(database: Database) -> None:
    gates = Gates()
    async with database.engine(speakers(gates)) as engine:
        sizes: list[int] = []
        for turn in range(40):
            given = asked("langgraph")
            text = f"{turn} " + " ".join(f"word{turn * at}" for at in range(60))
            options = {name: value for name, value in given.items() if name != "input"}
            view = await engine.submit_run(
                "t", "langgraph", input=said(text), kwargs=options, if_not_exists="create"
            )
            await soon(engine.join_run("t", view.row.run_id))
            batches = await engine._ports.store.read_stream("t", view.row.run_id, limit=1000)
            sizes.append(sum(len(batch.body) for batch in batches))
        values = (await engine.get_thread("t")).values
        assert len(json.dumps(values)) > 40 * 400
    assert sum(sizes[30:]) < 1.1 * sum(sizes[5:15])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | st.sampled_from(["x" * 80, "y" * 80]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["a", "$list", "$plain", "n", "v", "content"]), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


parts = st.tuples(st.sampled_from(["values", "custom", "messages", "debug"]), json_values)


@given(batches=st.lists(st.lists(parts, max_size=3), max_size=4))
def test_whatever_is_written_is_read_to_the_byte(batches: list[list[tuple[str, Any]]]) -> None:
    long = {"content": "something that is long enough to be given a number of its own" * 2}
    written = [
        [*batch, ("values", {"messages": [long, *[data for _, data in batch]]})]
        for batch in batches
    ]
    writer, reader = BatchWriter(EMPTY_THREAD), BatchReader()
    for batch in written:
        body = writer.write(batch)
        assert json.dumps(reader.read(body)) == json.dumps([list(part) for part in batch])


async def test_a_conversation_that_is_not_the_one_written_about_is_never_shown_in_its_place(
    database: Database,
) -> None:
    gates = Gates()
    async with database.engine(speakers(gates)) as engine:
        for _ in range(2):
            run_id = await submitted(engine, "langgraph", "t", "text " * 30)
            await soon(engine.join_run("t", run_id))
        thread = await engine._executor.load("t")
        batches = await engine._ports.store.read_stream("t", run_id)
    right, wrong = BatchReader(), BatchReader()
    version = right.base_version(batches[0].body)
    assert version
    begun = await database_thread(database, version)
    right.begin(begun)
    wrong.begin(thread)
    shown = [part for batch in batches for part in right.read(batch.body)]
    refused = [part for batch in batches for part in wrong.read(batch.body)]
    assert LOST not in {mode for mode, _ in shown}
    assert [mode for mode, _ in refused if mode != LOST] == [
        mode for mode, _ in shown if mode != "values"
    ]


async def database_thread(database: Database, version: int) -> Any:
    async with database.engine(worker_slots=0) as engine:
        return await engine._executor.load_at("t", version)


async def test_a_slow_reader_of_what_is_not_stored_is_left_behind_and_nobody_waits_for_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PARTS_MAX", 20)
    async with database.engine() as engine:

        @engine.graph("floods")
        async def floods(state):
            for at in range(100):
                yield Custom(at)

        run_id = engine.new_run_id()
        with engine.follow_run("t", run_id) as slow, engine.follow_run("t", run_id) as quick:
            slow.is_stuck = True
            view = await engine.submit_run(
                "t", "floods", input={}, run_id=run_id, if_not_exists="create"
            )
            await soon(engine.join_run("t", run_id))
            assert engine.replays.run(slow, view).is_behind
            assert await slow.take() == []
            told = [part.data for part in await quick.take() if isinstance(part, Emitted)]
            assert told == [*range(100)]
