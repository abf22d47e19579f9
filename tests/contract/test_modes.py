"""Stream modes, on parts made by hand: what a run that goes well does not show."""

from datetime import UTC, datetime

import orjson
import pytest

from threadfold.app.http.modes import Frames
from threadfold.app.hub import Emitted
from threadfold.app.streams import RunEvent
from threadfold.app.views import RunView
from threadfold.domain.events import RecordedEvent, RunAccepted, RunStarted, StepRecorded
from threadfold.domain.ports import RunRow
from threadfold.domain.thread import EMPTY_THREAD, Thread, evolve

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACCEPTED = RunAccepted(run_id="r1", assistant_id="a1", graph_id="agent")
ROW = RunRow(
    thread_id="t1",
    run_id="r1",
    status="pending",
    is_hidden=False,
    assistant_id="a1",
    graph_id="agent",
    multitask_strategy="enqueue",
    created_at=NOW,
    due_at=NOW,
    updated_at=NOW,
    attempt=0,
    accepted_version=1,
    ended_version=None,
)


class Stream:
    """A run's stream that is fed with events and emissions."""

    def __init__(self, *modes: str, joined_at: Thread = EMPTY_THREAD) -> None:
        view = RunView(ROW, ACCEPTED, None, {"graph_id": "agent"})
        self._frames = Frames(view, modes, joined_at)
        self.thread = EMPTY_THREAD

    def happened(self, event) -> list[tuple[str, object]]:
        version = self.thread.version + 1
        recorded = RecordedEvent("t1", version, version, NOW, event)
        self.thread = evolve(self.thread, recorded)
        return decoded(self._frames.of(RunEvent(recorded, self.thread)))

    def emitted(self, mode: str, data) -> list[tuple[str, object]]:
        return decoded(self._frames.of(Emitted("t1", "r1", 1, mode, data)))


def decoded(frames: bytes) -> list[tuple[str, object]]:
    events = []
    for frame in frames.decode().split("\r\n\r\n")[:-1]:
        name, data = frame.split("\r\n")
        events.append((name.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))))
    return events


def step(**fields) -> StepRecorded:
    return StepRecorded(
        run_id="r1", attempt=1, checkpoint_id="c1", node="agent", next=("agent",), **fields
    )


def chunk(content: object, **fields) -> list:
    return [{"id": "m1", "type": "AIMessageChunk", "content": content, **fields}, {}]


def test_another_attempt_begins_anew() -> None:
    stream = Stream("messages")
    stream.happened(ACCEPTED)
    assert stream.happened(RunStarted(run_id="r1", attempt=1)) == []
    assert stream.emitted("messages", chunk("to"))[-1][1][0]["content"] == "to"
    again = stream.happened(RunStarted(run_id="r1", attempt=2))
    assert again == [("metadata", {"run_id": "r1", "attempt": 2})]
    assert stream.emitted("messages", chunk("ken"))[-1][1][0]["content"] == "ken"


@pytest.mark.parametrize("mode", ["custom", "messages", "events"])
def test_what_nobody_asked_for_is_left_out(mode: str) -> None:
    stream = Stream("values")
    assert stream.emitted(mode, chunk("x") if mode == "messages" else "x") == []


def test_a_step_that_changed_nothing_is_an_update_all_the_same() -> None:
    stream = Stream("updates", "messages")
    stream.happened(ACCEPTED)
    stream.happened(RunStarted(run_id="r1", attempt=1))
    assert stream.happened(step()) == [("updates", {"agent": {}})]


def test_what_happened_before_the_stream_began_is_left_out() -> None:
    first = Stream("values")
    first.happened(ACCEPTED)
    first.happened(RunStarted(run_id="r1", attempt=1))
    assert first.happened(step())
    second = Stream("values", joined_at=first.thread)
    second.happened(ACCEPTED)
    second.happened(RunStarted(run_id="r1", attempt=1))
    assert second.happened(step()) == []
    assert second.happened(step()) == [("values", {})]


def test_chunks_of_text_and_of_parts_are_joined() -> None:
    stream = Stream("messages")
    stream.emitted("messages", chunk("to"))
    stream.emitted("messages", chunk("ken", response_metadata={"model": "x"}))
    image = {"type": "image", "url": "x"}
    _, (message,) = stream.emitted("messages", chunk([image], name=None))[-1]
    assert message["content"] == [{"type": "text", "text": "token"}, image]
    assert message["response_metadata"] == {"model": "x"}
    assert message["type"] == "ai"


def test_a_chunk_without_an_id_is_passed_on_and_joined_with_nothing() -> None:
    stream = Stream("messages", "messages-tuple")
    ((name, (message, _)),) = stream.emitted("messages", [{"content": "x"}, {}])
    assert (name, message) == ("messages", {"content": "x"})
