"""Thread ids in SQLite's table of events: short for UUIDs, and never mistaken for one another."""

import contextlib
import sqlite3
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from tests.support.appends import append
from threadfold.infrastructure.log.thread_keys import thread_id_of, thread_key

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
TWINS = [ID, ID.upper(), ID.replace("-", ""), ID[:-1] + "E", f"{{{ID}}}", ID.replace("-", "_")]
"""One UUID in the forms that readers of UUIDs take for the same."""

nearly = st.builds(
    lambda text, place, new: text[:place] + new + text[place + 1 :],
    st.uuids().map(str),
    st.integers(0, 36),
    st.sampled_from(["", "-", "A", "a", "0", "٣", "\0", " "]),
)
ids = st.text() | st.uuids().map(str) | nearly


@given(ids)
def test_an_id_comes_back_as_it_was(thread_id: str) -> None:
    assert thread_id_of(thread_key(thread_id)) == thread_id


@given(st.uuids())
def test_a_uuid_takes_sixteen_bytes(thread_id: UUID) -> None:
    assert thread_key(str(thread_id)) == thread_id.bytes


@given(ids, ids)
def test_two_ids_never_have_one_key(one: str, other: str) -> None:
    assert (thread_key(one) == thread_key(other)) == (one == other)


@pytest.mark.anyio
async def test_ids_that_look_alike_are_threads_of_their_own(store) -> None:
    for count, thread_id in enumerate(TWINS):
        for version in range(count + 1):
            await store.append(append(thread_id, version))
    for count, thread_id in enumerate(TWINS):
        recorded = await store.read_thread(thread_id)
        assert [(event.thread_id, event.version) for event in recorded] == [
            (thread_id, version + 1) for version in range(count + 1)
        ]
        assert await store.head_version(thread_id) == count + 1
    assert {event.thread_id for event in await store.read_log()} == set(TWINS)


@pytest.mark.anyio
async def test_the_file_holds_the_bytes(sqlite_url, opening, tmp_path: Path) -> None:
    store = await opening(sqlite_url)
    await store.append(append(ID, 0))
    await store.append(append("any text", 0))
    await store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        kept = connection.execute("SELECT originator_id FROM events ORDER BY position").fetchall()
    assert kept == [(UUID(ID).bytes,), ("any text",)]
