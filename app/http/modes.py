"""Stream modes: what of a run's parts becomes which server-sent events. All of it is derived from the log and the hub.

A run has no event for its good end, and none for being interrupted: the body just ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...domain.channels import decode_object, read_values
from ...domain.encoding import update_of
from ...domain.events import RecordedEvent, RunStarted, StepRecorded
from ...domain.thread import EMPTY_THREAD, Thread
from ...domain.values import Json, JsonObject
from ..hub import Emitted
from ..streams import RunEvent, RunPart
from ..views import RunResult, RunView, StateView
from .objects import error_object, state_object, task_id
from .responses import encoded

MESSAGE_TYPES = frozenset({"human", "ai", "tool", "system", "function"})

Event = tuple[str, object]


def frame(name: str, data: object) -> bytes:
    """Return one server-sent event."""
    return b"event: %b\r\ndata: %b\r\n\r\n" % (name.encode(), encoded(data))


class Frames:
    """Makes the events of one run, in the modes asked for.

    `thread` is the thread as it stands when the stream begins; what happened up to there is left out.
    """

    def __init__(self, view: RunView, modes: Sequence[str], thread: Thread = EMPTY_THREAD) -> None:
        self._thread_id = view.row.thread_id
        self._run_id = view.row.run_id
        self._modes = frozenset(modes)
        self._metadata = view.metadata
        self._thread = thread
        self._from_version = thread.version
        run = thread.runs.get(self._run_id)
        self._attempt = max(run.attempt if run is not None else 1, 1)
        self._has_messages = not self._modes.isdisjoint({"messages", "messages-tuple"})
        self._partial: dict[str, JsonObject] = {}
        self._seen: set[str] = set()

    def started(self) -> bytes:
        """Return the first event of all: which run this is."""
        return frame("metadata", {"run_id": self._run_id, "attempt": self._attempt})

    def of(self, part: RunPart) -> bytes:
        """Return the events of a part, ready to be sent."""
        match part:
            case RunEvent(recorded=recorded, thread=thread):
                return self._event(recorded, thread)
            case Emitted(mode="custom", data=data):
                return frame("custom", data) if "custom" in self._modes else b""
            case Emitted(mode="messages", data=[dict(chunk), dict(metadata)]):
                if not self._has_messages:
                    return b""
                return _frames(self._chunk(chunk, metadata))
            case RunResult(error=error) if error is not None:
                return frame("error", error_object(error))
            case _:
                return b""

    def _event(self, recorded: RecordedEvent, thread: Thread) -> bytes:
        event = recorded.event
        if recorded.version <= self._from_version:
            return b""
        if isinstance(event, RunStarted):
            again = event.attempt > self._attempt
            self._begin(thread, event.attempt)
            return self.started() if again else b""
        if not isinstance(event, StepRecorded):
            return b""
        events = list(self._step(event, thread))
        self._thread = thread
        return _frames(events)

    def _begin(self, thread: Thread, attempt: int) -> None:
        self._thread, self._attempt = thread, attempt
        self._partial.clear()
        self._seen.clear()

    def _step(self, event: StepRecorded, thread: Thread) -> Iterator[Event]:
        if event.source == "loop":
            update = read_values(decode_object(update_of(event)), thread.items)
            if self._has_messages:
                yield from self._messages(event.node, update)
            if "updates" in self._modes:
                yield "updates", {event.node: update}
        if "values" in self._modes:
            yield "values", thread.values()
        if "checkpoints" in self._modes:
            yield "checkpoints", self._checkpoint(thread)

    # ------------------------------------------------------------------ messages

    def _chunk(self, chunk: JsonObject, given: JsonObject) -> Iterator[Event]:
        node = given.get("langgraph_node")
        metadata = {**self._node_metadata(str(node or "")), **given}
        if "messages-tuple" in self._modes:
            yield "messages", [chunk, metadata]
        identity = chunk.get("id")
        if not isinstance(identity, str):
            return
        if "messages" in self._modes:
            before = self._partial.get(identity)
            if before is None:
                yield "messages/metadata", {identity: {"metadata": metadata}}
            message = _joined(before, chunk)
            self._partial[identity] = message
            yield "messages/partial", [message]
        self._seen.add(identity)

    def _messages(self, node: str, update: JsonObject | None) -> Iterator[Event]:
        """Yield the messages that a step brought and nobody has seen: neither in chunks, nor in the state before it."""
        found = {name: entry for name, entry in _found(update) if name not in self._seen}
        if not found:
            return
        known = {identity for identity, _ in _found(self._thread.values())}
        metadata = self._node_metadata(node)
        for identity, message in found.items():
            if identity in known:
                continue
            self._seen.add(identity)
            if "messages-tuple" in self._modes:
                yield "messages", [message, metadata]
            if "messages" in self._modes:
                yield "messages/metadata", {identity: {"metadata": metadata}}
                yield "messages/complete", [message]

    def _node_metadata(self, node: str) -> JsonObject:
        state = self._thread.state
        return {
            **self._metadata,
            "run_id": self._run_id,
            "thread_id": self._thread_id,
            "run_attempt": self._attempt,
            "langgraph_node": node,
            "langgraph_step": state.step + 1,
            "langgraph_triggers": [f"branch:to:{node}"],
            "langgraph_path": ["__pregel_pull", node],
            "langgraph_checkpoint_ns": f"{node}:{task_id(state.checkpoint, node)}",
        }

    # ------------------------------------------------------------------ checkpoints

    def _checkpoint(self, thread: Thread) -> JsonObject:
        state = thread.state
        view = state_object(StateView(self._thread_id, state, thread.items, thread.metadata))
        return {
            "config": _config(view["checkpoint"]),
            "parent_config": _config(view["parent_checkpoint"]),
            "values": view["values"],
            "metadata": view["metadata"],
            "next": view["next"],
            "tasks": view["tasks"],
        }


def _config(checkpoint: JsonObject | None) -> Json:
    return None if checkpoint is None else {"configurable": checkpoint}


def _frames(events: Iterator[Event] | Sequence[Event]) -> bytes:
    return b"".join(frame(name, data) for name, data in events)


def _found(values: JsonObject | None) -> Iterator[tuple[str, JsonObject]]:
    """Yield the messages in an update or in a state with their ids, whatever their channels are called."""
    for value in (values or {}).values():
        for entry in value if isinstance(value, list) else [value]:
            if not isinstance(entry, dict) or "content" not in entry:
                continue
            kind, identity = entry.get("type"), entry.get("id")
            if isinstance(kind, str) and kind in MESSAGE_TYPES and isinstance(identity, str):
                yield identity, entry


def _joined(before: JsonObject | None, chunk: JsonObject) -> JsonObject:
    """Return the message that the chunks of it up to here make."""
    kind = chunk.get("type")
    chunk = {**chunk, "type": "ai" if kind == "AIMessageChunk" else kind}
    if before is None:
        return chunk
    content, more = before.get("content"), chunk.get("content")
    if isinstance(content, str) and isinstance(more, str):
        joined: Json = content + more
    else:
        joined = [*_parts(content), *_parts(more)]
    kept = {name: value for name, value in chunk.items() if value not in (None, [], {}, "")}
    return {**before, **kept, "content": joined}


def _parts(content: Json) -> list[Json]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []
