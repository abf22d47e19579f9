"""Stream modes: what of a run's parts becomes which server-sent events. All of it is derived from the log and the hub.

What a function does is told by its steps in the log, but for the chunks and the data that it emits. A graph of LangGraph's emits
all that it was asked for, by the names of the modes, those of subgraphs with their namespace: `updates|child:…`.

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
from .chunks import is_chunk, joined, message_of
from .objects import error_object, named_reference, state_object, task_id
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
        self._is_langgraph = view.accepted.is_typed
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
            case Emitted(mode=mode, data=data):
                return _frames(self._emitted(mode, data))
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

    def _emitted(self, name: str, data: Json) -> Iterator[Event]:
        mode, separator, ns = name.partition("|")
        match mode, data:
            case "messages", [dict(message), dict(metadata)]:
                if self._has_messages:
                    yield from self._message(message, metadata, separator + ns)
            case "debug", dict() if mode in self._modes:
                yield name, debug_object(data)
            case _ if mode in self._modes:
                yield name, data
            case _:
                pass

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

    def _message(self, message: JsonObject, given: JsonObject, where: str) -> Iterator[Event]:
        """Yield a chunk, or a whole message of a graph of LangGraph's; `where` is the end of the name that is its subgraph's."""
        if self._is_langgraph:
            metadata = {**self._metadata, **given}
        else:
            metadata = {**self._node_metadata(str(given.get("langgraph_node") or "")), **given}
        if "messages-tuple" in self._modes:
            yield f"messages{where}", [message, metadata]
        identity = message.get("id")
        if not isinstance(identity, str):
            return
        self._seen.add(identity)
        if "messages" not in self._modes:
            return
        before = self._partial.get(identity)
        if before is None:
            yield f"messages/metadata{where}", {identity: {"metadata": metadata}}
        if self._is_langgraph and not is_chunk(message):
            self._partial[identity] = message
            yield f"messages/complete{where}", [message]
        else:
            self._partial[identity] = chunk = joined(before, message)
            yield f"messages/partial{where}", [message_of(chunk)]

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


def debug_object(data: JsonObject) -> JsonObject:
    """Return a part of the mode `debug`; the checkpoints in it are also named as the SDKs name them."""
    payload = data.get("payload")
    if data.get("type") != "checkpoint" or not isinstance(payload, dict):
        return data
    tasks = payload.get("tasks")
    shown: JsonObject = {
        **payload,
        "checkpoint": _named(payload.get("config")),
        "parent_checkpoint": _named(payload.get("parent_config")),
        "tasks": [_debug_task(task) for task in tasks] if isinstance(tasks, list) else tasks,
    }
    return {**data, "payload": shown}


def _debug_task(task: Json) -> Json:
    if not isinstance(task, dict):
        return task
    return {**task, "checkpoint": _named(task.get("state")), "state": None}


def _named(config: Json) -> Json:
    named = config.get("configurable") if isinstance(config, dict) else None
    return named_reference(named) if isinstance(named, dict) else None


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
