"""Stream modes: what of a run's parts becomes which server-sent events. All of it is derived from the log and the hub.

What a function does is told by its steps in the log, but for the chunks and the data that it emits. A graph of LangGraph's emits
all that it was asked for, by the names of the modes, those of subgraphs with their namespace: `updates|child:…`.

A run has no event for its good end, and none for being interrupted: the body just ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ...domain.channels import decode_object, read_values
from ...domain.encoding import update_of
from ...domain.events import RecordedEvent, RunStarted, StepRecorded
from ...domain.thread import EMPTY_THREAD, Thread
from ...domain.values import Json, JsonObject
from ..hub import Emitted
from ..streams import Place, RunEvent, RunPart, place_of
from ..views import RunResult, RunView, StateView
from .chunks import is_chunk, joined, message_of
from .objects import error_object, named_reference, state_object, task_id
from .responses import encoded

MESSAGE_TYPES = frozenset({"human", "ai", "tool", "system", "function"})

Event = tuple[int, str, object]
"""One of a part's events: its number, which does not hang on the modes that are asked for, its name and its data."""


UPDATES, VALUES, CHECKPOINTS = 999_990, 999_991, 999_992
"""Numbers of a step's events among those of its part; messages come before, from 0 on."""

LAST = 999_999
"""The number of what stands for all events of a part."""

BEGIN = ""
"""The id before all others."""


def frame(name: str, data: object, event_id: str | None = None) -> bytes:
    """Return one server-sent event."""
    if event_id is None:
        return b"event: %b\r\ndata: %b\r\n\r\n" % (name.encode(), encoded(data))
    content = (name.encode(), encoded(data), event_id.encode())
    return b"event: %b\r\ndata: %b\r\nid: %b\r\n\r\n" % content


def event_id(place: Place, number: int = 0) -> str:
    """Return the id of an event: the `number`th that is made of the part at a place. Ids sort as texts."""
    version, seq = place
    return f"{version:012d}-{seq:08d}-{number:06d}"


class Frames:
    """Makes the events of one run, in the modes asked for.

    `thread` is the thread as it stands when the stream begins; what happened up to there is left out. With `has_ids`, the
    events have ids; those up to `after` are left out.
    """

    def __init__(
        self,
        view: RunView,
        modes: Sequence[str],
        thread: Thread = EMPTY_THREAD,
        *,
        has_ids: bool = False,
        after: str = BEGIN,
    ) -> None:
        self._has_ids = has_ids
        self._after = after
        self.joined_at: Place | None = None
        """Up to where parts were left out for a client that joined late, and did not say what it has seen."""
        self._accepted: Place = (view.row.accepted_version, 0)
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
        event: Event = (0, "metadata", {"run_id": self._run_id, "attempt": self._attempt})
        if self.joined_at is None:
            return self._frames(self._accepted, [event])
        return self._frames(self.joined_at, [(LAST, *event[1:])])

    def of(self, part: RunPart) -> bytes:
        """Return the events of a part, ready to be sent."""
        return self._frames(place_of(part), self._events(part))

    def _events(self, part: RunPart) -> Iterable[Event]:
        match part:
            case RunEvent(recorded=recorded, thread=thread):
                return self._event(recorded, thread)
            case Emitted(mode=mode, data=data):
                return self._emitted(mode, data)
            case RunResult(error=error) if error is not None:
                return [(0, "error", error_object(error))]
            case _:
                return ()

    def _frames(self, place: Place, events: Iterable[Event]) -> bytes:
        if not self._has_ids and not self._after:
            return b"".join([frame(name, data) for _, name, data in events])
        found = [(event_id(place, number), name, data) for number, name, data in events]
        return b"".join(
            [
                frame(name, data, own if self._has_ids else None)
                for own, name, data in found
                if own > self._after
            ]
        )

    def _event(self, recorded: RecordedEvent, thread: Thread) -> Iterable[Event]:
        event = recorded.event
        if recorded.version <= self._from_version:
            return ()
        if isinstance(event, RunStarted):
            again = event.attempt > self._attempt
            self._begin(thread, event.attempt)
            named: JsonObject = {"run_id": self._run_id, "attempt": event.attempt}
            return [(0, "metadata", named)] if again else ()
        if not isinstance(event, StepRecorded):
            return ()
        events = list(self._step(event, thread))
        self._thread = thread
        return events

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
                yield 0, name, debug_object(data)
            case "", int():
                named: JsonObject = {"run_id": self._run_id, "attempt": self._attempt}
                yield 0, "metadata", {**named, "lost_parts": data}
            case _ if mode in self._modes:
                yield 0, name, data
            case _:
                pass

    def _step(self, event: StepRecorded, thread: Thread) -> Iterator[Event]:
        if event.source == "loop":
            update = read_values(decode_object(update_of(event)), thread.items)
            if self._has_messages:
                yield from self._messages(event.node, update)
            if "updates" in self._modes:
                yield UPDATES, "updates", {event.node: update}
        if "values" in self._modes:
            yield VALUES, "values", thread.values()
        if "checkpoints" in self._modes:
            yield CHECKPOINTS, "checkpoints", self._checkpoint(thread)

    # ------------------------------------------------------------------ messages

    def _message(self, message: JsonObject, given: JsonObject, where: str) -> Iterator[Event]:
        """Yield a chunk, or a whole message of a graph of LangGraph's; `where` is the end of the name that is its subgraph's."""
        if self._is_langgraph:
            metadata = {**self._metadata, **given}
        else:
            metadata = {**self._node_metadata(str(given.get("langgraph_node") or "")), **given}
        if "messages-tuple" in self._modes:
            yield 0, f"messages{where}", [message, metadata]
        identity = message.get("id")
        if not isinstance(identity, str):
            return
        self._seen.add(identity)
        if "messages" not in self._modes:
            return
        before = self._partial.get(identity)
        if before is None:
            yield 1, f"messages/metadata{where}", {identity: {"metadata": metadata}}
        if self._is_langgraph and not is_chunk(message):
            self._partial[identity] = message
            yield 2, f"messages/complete{where}", [message]
        else:
            self._partial[identity] = chunk = joined(before, message)
            yield 2, f"messages/partial{where}", [message_of(chunk)]

    def _messages(self, node: str, update: JsonObject | None) -> Iterator[Event]:
        """Yield the messages that a step brought and nobody has seen: neither in chunks, nor in the state before it."""
        found = {name: entry for name, entry in _found(update) if name not in self._seen}
        if not found:
            return
        known = {identity for identity, _ in _found(self._thread.values())}
        metadata = self._node_metadata(node)
        for number, (identity, message) in enumerate(found.items()):
            if identity in known:
                continue
            self._seen.add(identity)
            if "messages-tuple" in self._modes:
                yield 3 * number, "messages", [message, metadata]
            if "messages" in self._modes:
                yield 3 * number + 1, "messages/metadata", {identity: {"metadata": metadata}}
                yield 3 * number + 2, "messages/complete", [message]

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


def _found(values: JsonObject | None) -> Iterator[tuple[str, JsonObject]]:
    """Yield the messages in an update or in a state with their ids, whatever their channels are called."""
    for value in (values or {}).values():
        for entry in value if isinstance(value, list) else [value]:
            if not isinstance(entry, dict) or "content" not in entry:
                continue
            kind, identity = entry.get("type"), entry.get("id")
            if isinstance(kind, str) and kind in MESSAGE_TYPES and isinstance(identity, str):
                yield identity, entry
