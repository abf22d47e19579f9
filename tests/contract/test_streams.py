"""Streams: their framing, their modes, and their ends."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError, UnprocessableEntityError

from tests.support.engine import Gates, answered, heard, said, soon
from tests.support.http import TICK_SECONDS, served, until
from tests.support.javascript import Node
from threadfold import Custom, Engine, MessageChunk, Update
from threadfold.app.http import following


@pytest.fixture
async def thread_id(client: LangGraphClient) -> str:
    return (await client.threads.create())["thread_id"]


async def collected(parts: AsyncIterator) -> list[tuple[str, object]]:
    async def collect() -> list[tuple[str, object]]:
        return [(part.event, part.data) async for part in parts]

    return await soon(collect())


# ------------------------------------------------------------------ framing


async def test_events_are_framed_as_the_sdks_read_them(url: str, thread_id: str) -> None:
    given = {"assistant_id": "agent", "input": said("a")}
    async with httpx.AsyncClient(base_url=url) as raw:
        response = await raw.post(f"/threads/{thread_id}/runs/stream", json=given)
    path = response.headers["Content-Location"]
    assert path.startswith(f"/threads/{thread_id}/runs/")
    assert response.headers["Location"] == f"{path}/stream"
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["Cache-Control"] == "no-store"
    first, *frames, rest = response.text.split("\r\n\r\n")
    run_id = path.rpartition("/")[2]
    assert first == f'event: metadata\r\ndata: {{"run_id":"{run_id}","attempt":1}}'
    assert rest == ""
    assert len(frames) == 3
    for frame in frames:
        name, data = frame.split("\r\n")
        assert name == "event: values"
        assert json.loads(data.removeprefix("data: "))["messages"]
    assert "event: end" not in response.text


async def test_a_comment_shows_every_now_and_then_that_the_connection_lives(
    url: str, thread_id: str, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "HEARTBEAT_SECONDS", 0.02)
    gates.close("a:0")
    given = {"assistant_id": "agent", "input": said("a")}
    async with (
        httpx.AsyncClient(base_url=url) as raw,
        raw.stream("POST", f"/threads/{thread_id}/runs/stream", json=given) as response,
    ):
        lines = response.aiter_lines()

        async def beaten() -> None:
            async for line in lines:
                if line == ": heartbeat":
                    return

        await soon(beaten())
        await soon(beaten())
        gates.open()


# ------------------------------------------------------------------ modes


async def test_values_come_after_the_input_and_after_each_step(
    client: LangGraphClient, thread_id: str
) -> None:
    events = await collected(client.runs.stream(thread_id, "agent", input=said("a")))
    assert [name for name, _ in events] == ["metadata", "values", "values", "values"]
    assert [heard(values) for _, values in events[1:]] == [["a"], ["a", "a.1"], answered("a")]


async def test_updates_name_the_node_and_hold_what_it_gave(
    engine: Engine, client: LangGraphClient, thread_id: str
) -> None:
    @engine.graph("steps")
    async def steps(state):
        yield {"count": 1}
        yield Update("other", {"text": "x" * 500, "list": [1, {"two": 2}]})
        yield Update("nothing", {})

    events = await collected(
        client.runs.stream(thread_id, "steps", input={"count": 0}, stream_mode="updates")
    )
    assert events[1:] == [
        ("updates", {"steps": {"count": 1}}),
        ("updates", {"other": {"text": "x" * 500, "list": [1, {"two": 2}]}}),
        ("updates", {"nothing": {}}),
    ]


async def test_custom_data_comes_as_it_is(
    engine: Engine, client: LangGraphClient, thread_id: str
) -> None:
    @engine.graph("talks")
    async def talks(state):
        yield Custom({"progress": 0.5})
        yield Custom("text")

    events = await collected(client.runs.stream(thread_id, "talks", input={}, stream_mode="custom"))
    assert events[1:] == [("custom", {"progress": 0.5}), ("custom", "text")]


def talker(engine: Engine) -> None:
    @engine.graph("talker")
    async def talker(state):
        yield {"messages": [{"role": "ai", "content": "whole", "id": "m1"}]}
        for token in ("to", "ken"):
            yield MessageChunk({"content": token, "id": "m2"})
        yield {"messages": [{"role": "ai", "content": "token", "id": "m2"}]}
        yield {"messages": [{"role": "ai", "content": "changed", "id": "m1"}]}


async def test_messages_come_in_chunks_or_else_whole_and_each_only_once(
    engine: Engine, client: LangGraphClient, thread_id: str
) -> None:
    talker(engine)
    stream = client.runs.stream(thread_id, "talker", input=said("hi"), stream_mode="messages-tuple")
    _, *events = await collected(stream)
    assert {name for name, _ in events} == {"messages"}
    shown = [(message["id"], message["type"], message["content"]) for _, (message, _) in events]
    assert shown == [
        ("m1", "ai", "whole"),
        ("m2", "AIMessageChunk", "to"),
        ("m2", "AIMessageChunk", "ken"),
    ]
    for _, (_, metadata) in events:
        assert metadata["langgraph_node"] == "talker"
        assert metadata["thread_id"] == thread_id
        assert metadata["graph_id"] == "talker"
        assert {"langgraph_step", "langgraph_triggers", "langgraph_path", "run_id"} <= set(metadata)
        assert metadata["langgraph_checkpoint_ns"].startswith("talker:")


async def test_the_older_messages_mode_puts_chunks_together(
    engine: Engine, client: LangGraphClient, thread_id: str
) -> None:
    talker(engine)
    stream = client.runs.stream(thread_id, "talker", input=said("hi"), stream_mode="messages")
    _, *events = await collected(stream)
    assert [name for name, _ in events] == [
        "messages/metadata",
        "messages/complete",
        "messages/metadata",
        "messages/partial",
        "messages/partial",
    ]
    assert events[0][1]["m1"]["metadata"]["langgraph_node"] == "talker"
    assert [message["content"] for _, (message,) in (events[1], *events[3:])] == [
        "whole",
        "to",
        "token",
    ]
    assert events[-1][1][0]["type"] == "ai"


async def test_checkpoints_are_those_of_the_history(
    client: LangGraphClient, thread_id: str
) -> None:
    _, *events = await collected(
        client.runs.stream(thread_id, "agent", input=said("a"), stream_mode="checkpoints")
    )
    history = await client.threads.get_history(thread_id)
    ids = [data["config"]["configurable"]["checkpoint_id"] for _, data in events]
    assert ids == [state["checkpoint_id"] for state in reversed(history)]
    assert events[0][1]["parent_config"] is None
    assert events[1][1]["parent_config"] == events[0][1]["config"]
    assert heard(events[-1][1]["values"]) == answered("a")


async def test_several_modes_come_interleaved_in_one_pass(
    client: LangGraphClient, thread_id: str
) -> None:
    modes = ["values", "updates", "messages-tuple", "checkpoints"]
    events = await collected(
        client.runs.stream(thread_id, "agent", input=said("a"), stream_mode=modes)
    )
    step = ["messages", "updates", "values", "checkpoints"]
    assert [name for name, _ in events] == ["metadata", "values", "checkpoints", *step, *step]


@pytest.mark.parametrize("mode", ["events", "debug", "tasks", "nonsense", ["values", "tools"]])
async def test_modes_that_there_are_not_are_refused_by_name(
    client: LangGraphClient, thread_id: str, mode: str | list[str]
) -> None:
    stream = client.runs.stream(thread_id, "agent", input=said("a"), stream_mode=mode)
    with pytest.raises(UnprocessableEntityError, match="stream_mode"):
        await collected(stream)
    assert await client.runs.list(thread_id) == []


# ------------------------------------------------------------------ joining


async def held_run(client: LangGraphClient, gates: Gates, thread_id: str, **options) -> str:
    gates.close("a:1")
    run = await client.runs.create(thread_id, "agent", input=said("a"), **options)
    await gates["a:1"].reached()
    # The step before the gate is done; it stands in the log a little later.
    while "a.1" not in heard(  # noqa: ASYNC110 - nobody tells a client
        (await client.threads.get_state(thread_id))["values"]
    ):
        await asyncio.sleep(TICK_SECONDS)
    return run["run_id"]


@pytest.mark.parametrize(
    ("created", "joined", "expected"),
    [
        (None, None, ["values"]),
        (["updates", "values"], None, ["updates", "values"]),
        (None, "updates", ["updates"]),
        ("updates", ["values", "updates"], ["updates", "values"]),
    ],
)
async def test_who_joins_gets_what_comes_from_then_on_in_the_modes_asked_for(
    url: str, client: LangGraphClient, gates: Gates, thread_id: str, created, joined, expected
) -> None:
    from langgraph_sdk import get_client

    options = {} if created is None else {"stream_mode": created}
    run_id = await held_run(client, gates, thread_id, **options)
    async with get_client(url=url) as remote:
        stream = remote.runs.join_stream(thread_id, run_id, stream_mode=joined)
        first = await soon(anext(stream))
        assert (first.event, first.data) == ("metadata", {"run_id": run_id, "attempt": 1})
        gates.open()
        events = await collected(stream)
    assert [name for name, _ in events] == expected
    if "values" in expected:
        assert heard(dict(events)["values"]) == answered("a")


@pytest.mark.xdist_group("javascript")
async def test_the_javascript_sdk_streams_and_joins(
    engine: Engine, client: LangGraphClient, gates: Gates, thread_id: str
) -> None:
    async with served(engine) as url:
        node = await Node.start(url)
        try:
            payload = {"input": said("z"), "streamMode": ["updates", "messages-tuple"]}
            answer = await node.call("runs", "stream", thread_id, "agent", payload)
            names = [part["event"] for part in answer["parts"]]
            assert names == ["metadata", "messages", "updates", "messages", "updates"]
            run_id = await held_run(client, gates, thread_id)
            options = {"streamMode": ["updates", "values"]}
            begun = asyncio.Event()
            joining = asyncio.create_task(
                node.call("runs", "joinStream", thread_id, run_id, options, begun=begun)
            )
            await soon(begun.wait())
            gates.open()
            names = [part["event"] for part in (await joining)["parts"]]
            assert names == ["metadata", "updates", "values"]
        finally:
            await node.close()


async def test_a_run_that_has_ended_has_nothing_more_to_tell(
    client: LangGraphClient, thread_id: str
) -> None:
    await client.runs.wait(thread_id, "agent", input=said("a"))
    (run,) = await client.runs.list(thread_id)
    assert await collected(client.runs.join_stream(thread_id, run["run_id"])) == []
    with pytest.raises(NotFoundError):
        await collected(client.runs.join_stream(thread_id, thread_id))


# ------------------------------------------------------------------ ends


async def test_a_failure_is_an_error_event(
    engine: Engine, client: LangGraphClient, thread_id: str
) -> None:
    @engine.graph("broken")
    async def broken(state):
        raise ValueError("no such luck")

    events = await collected(client.runs.stream(thread_id, "broken", input=said("a")))
    assert [name for name, _ in events] == ["metadata", "values", "error"]
    assert events[-1][1] == {"error": "ValueError", "message": "no such luck"}


async def started(client: LangGraphClient, gates: Gates, thread_id: str, **options):
    """Return a stream whose run is held, and its run's id."""
    gates.close("a:1")
    stream = client.runs.stream(thread_id, "agent", input=said("a"), **options)
    run_id = (await soon(anext(stream))).data["run_id"]
    await gates["a:1"].reached()
    return stream, run_id


async def test_a_rollback_is_an_error_event_so_that_the_client_can_retract(
    client: LangGraphClient, gates: Gates, thread_id: str
) -> None:
    stream, run_id = await started(client, gates, thread_id)
    joined = client.runs.join_stream(thread_id, run_id)
    await soon(anext(joined))
    await client.runs.create(thread_id, "agent", input=said("b"), multitask_strategy="rollback")
    for events in (await collected(stream), await collected(joined)):
        name, data = events[-1]
        assert name == "error"
        assert data["error"] == "RunRolledBack"
        assert run_id in data["message"]
    with pytest.raises(NotFoundError):
        await collected(client.runs.join_stream(thread_id, run_id))


async def test_an_interrupted_stream_just_ends(
    client: LangGraphClient, gates: Gates, thread_id: str
) -> None:
    stream, run_id = await started(client, gates, thread_id)
    await client.runs.cancel(thread_id, run_id)
    events = await collected(stream)
    assert [name for name, _ in events] == ["values", "values"]
    assert (await client.runs.get(thread_id, run_id))["status"] == "interrupted"


async def test_a_queued_run_that_is_rolled_back_tells_its_stream(
    client: LangGraphClient, gates: Gates, thread_id: str
) -> None:
    await held_run(client, gates, thread_id)
    stream = client.runs.stream(thread_id, "agent", input=said("q"))
    await soon(anext(stream))
    await client.runs.create(thread_id, "agent", input=said("b"), multitask_strategy="rollback")
    ((name, data),) = await collected(stream)
    assert (name, data["error"]) == ("error", "RunRolledBack")


async def test_a_stream_that_is_left_leaves_nothing_behind(
    client: LangGraphClient, engine: Engine, gates: Gates, thread_id: str
) -> None:
    before = asyncio.all_tasks()
    stream, run_id = await started(client, gates, thread_id)
    await stream.aclose()
    await until(lambda: not engine._hub.has_listeners(thread_id))
    gates.open()
    await soon(client.runs.join(thread_id, run_id))
    await until(lambda: not asyncio.all_tasks() - before - {asyncio.current_task()})


async def test_a_refused_stream_leaves_nothing_behind(
    client: LangGraphClient, engine: Engine, thread_id: str
) -> None:
    with pytest.raises(UnprocessableEntityError, match="Invalid assistant"):
        await collected(client.runs.stream(thread_id, "nobody", input=said("a")))
    assert not engine._hub.has_listeners(thread_id)
