"""What every store promises of assistants: their events stand beside those of threads, in one order."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from tests.support.appends import append, moment
from threadfold.domain.assistant import (
    AssistantCreated,
    AssistantDeleted,
    AssistantEvent,
    AssistantPatched,
    RecordedAssistantEvent,
    stream_of,
)
from threadfold.domain.assistant_ports import AssistantAppend, AssistantRow
from threadfold.domain.errors import VersionConflictError
from threadfold.domain.events import RecordedEvent
from threadfold.infrastructure.log.codec import readable

ID = "0198c0de-0000-7000-8000-000000000001"
OTHER = "0198c0de-0000-7000-8000-000000000002"
SECRET = "the quick brown fox"  # noqa: S105 - it only must not be found


def row(assistant_id: str = ID, version: int = 1, **changes: Any) -> AssistantRow:
    fields: dict[str, Any] = {
        "graph_id": "agent",
        "name": "Zoë",
        "description": None,
        "config": {"tags": ["a"], "configurable": {"x": 1.5}},
        "context": {},
        "metadata": {"nested": {"list": [1, None]}},
        "created_at": moment(0),
        "updated_at": moment(version),
    }
    return AssistantRow(assistant_id=assistant_id, version=version, **(fields | changes))


def made(
    assistant_id: str = ID,
    expected_head: int = 0,
    *events: AssistantEvent,
    at: datetime | None = None,
    gone: bool = False,
) -> AssistantAppend:
    events = events or (AssistantCreated(graph_id="agent"),)
    head = expected_head + len(events)
    return AssistantAppend(
        assistant_id=assistant_id,
        expected_head=expected_head,
        events=events,
        recorded_at=at or moment(head),
        row=None if gone else row(assistant_id, head),
    )


def everything(_: AssistantRow) -> bool:
    return True


async def test_events_come_back_with_their_envelopes(store) -> None:
    created, patched = AssistantCreated(graph_id="agent"), AssistantPatched(name="two")
    appended = await store.append_assistant(made(ID, 0, created, patched))
    assert appended == (
        RecordedAssistantEvent(ID, 1, 1, moment(2), created),
        RecordedAssistantEvent(ID, 2, 2, moment(2), patched),
    )
    assert await store.read_assistant(ID) == appended
    assert await store.read_assistant(ID, after=1) == appended[1:]
    assert await store.read_assistant(OTHER) == ()
    assert await store.head_of_assistant(ID) == 2
    assert await store.head_of_assistant(OTHER) == 0


async def test_an_append_on_an_older_head_leaves_nothing(store) -> None:
    await store.append_assistant(made())
    for expected in (0, 2):
        with pytest.raises(VersionConflictError):
            await store.append_assistant(made(ID, expected, AssistantPatched(name="x")))
    assert await store.head_position() == 1
    assert await store.list_assistants(everything) == (row(),)


async def test_of_many_appends_at_once_one_stands(store) -> None:
    await store.append_assistant(made())
    outcomes = await asyncio.gather(
        *(store.append_assistant(made(ID, 1, AssistantPatched(name=str(n)))) for n in range(20)),
        return_exceptions=True,
    )
    stood = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    assert len(stood) == 1
    assert all(isinstance(outcome, VersionConflictError | tuple) for outcome in outcomes)
    assert await store.read_assistant(ID, after=1) == stood[0]


async def test_rows_stand_as_the_last_append_left_them(store) -> None:
    await store.append_assistant(made())
    await store.append_assistant(made(OTHER))
    await store.append_assistant(made(ID, 1, AssistantPatched(name="two")))
    found = await store.list_assistants(everything)
    assert sorted(found, key=lambda each: each.assistant_id) == [row(ID, 2), row(OTHER)]
    assert await store.list_assistants(lambda each: each.version == 2) == (row(ID, 2),)
    await store.append_assistant(made(ID, 2, AssistantDeleted(), gone=True))
    assert await store.list_assistants(everything) == (row(OTHER),)


async def test_threads_and_assistants_stand_in_one_order_without_holes(store) -> None:
    """I3."""
    await store.append(append("t", 0))
    await store.append_assistant(made())
    await store.append(append("t", 1))
    await store.append_assistant(made(ID, 1, AssistantPatched(name="two")))
    log = await store.read_log()
    assert [entry.position for entry in log] == [1, 2, 3, 4]
    kinds = [RecordedEvent, RecordedAssistantEvent, RecordedEvent, RecordedAssistantEvent]
    assert [type(entry) for entry in log] == kinds
    assert [event.version for event in await store.read_thread("t")] == [1, 2]
    assert [event.head for event in await store.read_assistant(ID)] == [1, 2]
    assert [thread.thread_id for thread in await store.list_threads()] == ["t"]


async def test_an_assistants_events_are_no_threads(store) -> None:
    await store.append_assistant(made())
    assert await store.read_thread(stream_of(ID)) == ()
    assert await store.read_run(stream_of(ID), [1]) == ()
    assert await store.get_thread(stream_of(ID)) is None
    # A thread may well have an assistant's id.
    await store.append(append(ID, 0))
    assert len(await store.read_thread(ID)) == len(await store.read_assistant(ID)) == 1


async def test_a_follower_misses_none_of_both(store) -> None:
    """I3."""
    subscription = store.subscribe()
    seen: list[int] = []

    async def follow() -> None:
        async for batch in subscription:
            seen.extend(entry.position for entry in batch)
            if len(seen) >= 120:
                return

    following = asyncio.create_task(follow())

    async def threads(name: str) -> None:
        for version in range(20):
            await store.append(append(name, version))

    async def assistants(assistant_id: str) -> None:
        for head in range(20):
            event = AssistantPatched(name=str(head)) if head else AssistantCreated(graph_id="a")
            await store.append_assistant(made(assistant_id, head, event))

    work = [*(threads(f"t{n}") for n in range(3)), *(assistants(f"{ID[:-1]}{n}") for n in range(3))]
    await asyncio.gather(*work)
    await asyncio.wait_for(following, 10)
    assert seen == list(range(1, 121))


async def test_a_deleted_assistant_is_erased_and_a_later_one_is_not(store) -> None:
    content: dict[str, Any] = {
        "name": SECRET,
        "description": SECRET,
        "config": {"configurable": {SECRET: SECRET}},
        "context": {"x": SECRET},
        "metadata": {"y": [SECRET]},
    }
    await store.append_assistant(
        made(ID, 0, AssistantCreated(graph_id="agent", **content), AssistantPatched(**content))
    )
    await store.append_assistant(made(OTHER, 0, AssistantCreated(graph_id="agent", **content)))
    await store.append_assistant(made(ID, 2, AssistantDeleted(), gone=True))
    await store.append_assistant(made(ID, 3, AssistantCreated(graph_id="agent", name="kept")))
    assert await store.erase_pending() == 2
    erased = await store.read_assistant(ID)
    assert [each.event for each in erased] == [
        AssistantCreated(graph_id="agent"),
        AssistantPatched(),
        AssistantDeleted(),
        AssistantCreated(graph_id="agent", name="kept"),
    ]
    assert SECRET in repr(await store.read_assistant(OTHER))
    assert [entry.position for entry in await store.read_log()] == [1, 2, 3, 4, 5]
    assert await store.erase_pending() == 0
    assert SECRET.encode() not in b"".join(
        readable(state) for *_, state in store._log.thread_rows(stream_of(ID))
    )


async def test_they_are_there_when_the_store_is_opened_again(sqlite_url: str, opening) -> None:
    first = await opening(sqlite_url)
    await first.append_assistant(made())
    await first.append_assistant(made(ID, 1, AssistantPatched(name="two")))
    await first.close()
    second = await opening(sqlite_url)
    assert len(await second.read_assistant(ID)) == 2
    assert await second.list_assistants(everything) == (row(ID, 2),)
