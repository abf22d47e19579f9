"""What is wrong with a thread, told by its fold alone. How it is mended: `mending.py`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from .channels import read_channel
from .saved_fold import INTERNAL_PREFIXES
from .tool_calls import OpenCall, mended, outcome, shape_of, typed_shape
from .typed import is_message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Literal

    from .channels import Channels
    from .state import ToolCall
    from .thread import Thread
    from .tool_calls import Shape
    from .values import Json

    Kind = Literal["open_call", "stray_result", "late_result", "unknown_node", "lost_writes"]
    Severity = Literal["broken", "waiting", "harmless"]

ROOT = "__root__"
"""The one channel of a graph whose state is no object of channels."""

INTERRUPT = "__interrupt__"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a thread that is not as it should be, or (`waiting`) that is because somebody is waited for.

    `place` is a channel, behind the namespace of its subgraph, if it has one.
    """

    kind: Kind
    severity: Severity
    place: str
    what: str


def diagnose(
    thread: Thread, calls: Mapping[str, ToolCall], nodes: frozenset[str] | None = None
) -> list[Finding]:
    """Return what is found on a thread with all its checkpoints. `calls` is what its log knows of tool calls.

    `nodes` are those that its graph has, if that is known.
    """
    found = [finding for history in histories(thread) for finding in _faults(history, calls)]
    for node in thread.state.next if nodes is not None else ():
        if nodes is not None and node not in nodes:
            what = f"it is to go on at the node {node}, which its graph does not have"
            found.append(Finding("unknown_node", "broken", "", what))
    return [*found, *_lost_writes(thread)]


# ------------------------------------------------------------------ histories


class History(NamedTuple):
    """A channel of messages. `waiting` is the place of the message whose calls wait for somebody, if any do."""

    ns: str
    channel: str
    messages: Sequence[Json]
    shapes: Sequence[Shape]
    waiting: int | None = None

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{self.ns}: {self.channel}" if self.ns else self.channel

    def is_closed_at(self, at: int) -> bool:
        """Say whether the open calls of a message are to be closed."""
        return at != self.waiting


def histories(thread: Thread) -> Iterator[History]:
    """Yield all histories of a thread: of its graph, and of subgraphs that keep one from run to run."""
    saved = thread.state.saved
    if not thread.state.is_typed:
        yield from _in_channels("", thread.state.channels, thread)
        return
    for ns in saved.heads:
        head = saved.latest(ns)
        if head is None or ":" in ns:
            continue
        # What a graph says at a run's end is all that there is of a channel that keeps only what was written to it.
        told = (
            {} if ns else {n: c for n, c in thread.state.channels.items() if n not in head.channels}
        )
        yield from _in_channels(ns, {**told, **head.channels}, thread)


def _in_channels(ns: str, channels: Channels, thread: Thread) -> Iterator[History]:
    is_waiting = _is_waiting(thread)
    look = typed_shape if thread.state.is_typed else shape_of
    for name, channel in channels.items():
        value = read_channel(channel, thread.items)
        if name.startswith(INTERNAL_PREFIXES) and name != ROOT:
            continue
        if not isinstance(value, list) or not any(map(_is_message, value)):
            continue
        shapes = [look(message) for message in value]
        yield History(ns, name, value, shapes, _last_caller(shapes) if is_waiting else None)


def _is_message(value: Json) -> bool:
    if is_message(value):
        return True
    return isinstance(value, dict) and "content" in value and isinstance(value.get("type"), str)


def _is_waiting(thread: Thread) -> bool:
    """Say whether the thread's graph has stopped by itself and is to go on, or is at work."""
    if thread.runs or any(task.interrupts for task in thread.state.tasks):
        return True
    last = thread.last_run
    if last is not None and last.status == "success" and thread.state.next:
        return True
    head = thread.state.saved.latest("")
    writes = thread.state.saved.writes_on("", head.checkpoint_id) if head is not None else ()
    return any(write.channel == INTERRUPT for write in writes)


def _last_caller(shapes: Sequence[Shape]) -> int | None:
    """Return the place of the message whose calls the end of the history is about, if that is so."""
    for at in range(len(shapes) - 1, -1, -1):
        if shapes[at].answers is None:
            return at if shapes[at].calls else None
    return None


# ------------------------------------------------------------------ faults


def _faults(history: History, calls: Mapping[str, ToolCall]) -> Iterator[Finding]:
    entries = mended(history.shapes)
    if entries is None:
        return
    for entry in entries:
        if isinstance(entry, OpenCall):
            severity = "broken" if history.is_closed_at(entry.at) else "waiting"
            known = outcome(calls.get(entry.call_id), is_reported=False)
            what = f"the call {entry.call_id} of {entry.name} has no result. {known}"
            yield Finding("open_call", severity, history.place, what)
    placed = [entry for entry in entries if isinstance(entry, int)]
    for at, shape in enumerate(history.shapes):
        if shape.answers is not None and at not in placed:
            what = f"the result for {shape.answers} answers no call before it"
            yield Finding("stray_result", "broken", history.place, what)
    for before, at in pairwise(placed):
        if history.shapes[at].answers is not None and at > before + 1:
            what = f"the result for {history.shapes[at].answers} does not stand directly after its call"
            yield Finding("late_result", "broken", history.place, what)


def _lost_writes(thread: Thread) -> Iterator[Finding]:
    saved = thread.state.saved
    if thread.runs or not saved.is_complete:
        return  # What is at work writes ahead of its checkpoints.
    known = {(each.ns, each.checkpoint_id) for each in (*saved.recent, *saved.heads.values())}
    for (ns, checkpoint_id), slots in saved.writes.items():
        if (ns, checkpoint_id) not in known:
            what = f"{len(slots)} writes wait on the checkpoint {checkpoint_id}, which is not there"
            yield Finding("lost_writes", "harmless", ns, what)
