"""What two savers must agree on, as plain comparable data: ids and times differ from run to run, all else may not.

An id is shown as `#n`, numbered as first met; so the same document of two savers is equal if ids only were renamed.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections import deque
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage
from langgraph.types import Interrupt, Send
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import CheckpointTuple
    from langgraph.types import PregelTask, StateSnapshot

IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b")
NULL_TASK = "00000000-0000-0000-0000-000000000000"


class Shown:
    """Shows values; one object for one document, so that an id has the same number all over it."""

    def __init__(self, *, is_erasing: bool = False) -> None:
        self._numbers: dict[str, str] = {NULL_TASK: "#null"}
        self._is_erasing = is_erasing
        self._is_given = False

    def text(self, text: str) -> str:
        """Return the text with the ids in it renamed."""
        return text if len(text) < 32 else IDS.sub(lambda met: self._renamed(met[0]), text)

    def number(self, text: str) -> list[str]:
        """List the names of the ids in the text; one not met yet comes last."""
        return [self._numbers.get(met, "#~") for met in IDS.findall(text)]

    def _renamed(self, name: str) -> str:
        if self._is_erasing:
            return "#"
        return self._numbers.setdefault(name, f"#{len(self._numbers)}")

    def given(self, value: Any) -> Any:
        """Show what user code gave, before a reducer had it: LangGraph then adds ids to the messages, in place, at about the
        time when they are stored.
        """
        self._is_given = True
        try:
            return self.value(value)
        finally:
            self._is_given = False

    def value(self, value: Any) -> Any:
        """Return the value as lists, dicts with text keys, and text."""
        match value:
            case str():
                return (
                    type(value).__name__ + ":" + self.text(value)
                    if type(value) is not str
                    else self.text(value)
                )
            case BaseMessage():
                return self._message(value)
            case Interrupt():
                return ["interrupt", self.value(value.value), self.text(value.id)]
            case Send():
                return ["send", value.node, self.value(value.arg)]
            case BaseException():
                return self.text(repr(value))
            case enum.Enum():
                return str(value)
            case dict():
                return [
                    type(value).__name__,
                    *([self.value(key), self.value(held)] for key, held in _sorted(value)),
                ]
            case tuple() | list():  # The reference gives lists for tuples.
                return [self.value(item) for item in _ordered(value)]
            case _:
                return self._other(value)

    def _other(self, value: Any) -> Any:
        match value:
            case set() | frozenset():
                return [type(value).__name__, *sorted(map(repr, map(self.value, value)))]
            case deque():
                return ["deque", value.maxlen, *(self.value(item) for item in value)]
            case BaseModel():
                private = value.__pydantic_private__ or {}
                held = {**value.__dict__, **(value.__pydantic_extra__ or {}), **private}
                return [type(value).__qualname__, self.value(held)]
            case _ if dataclasses.is_dataclass(value):
                fields = {
                    field.name: getattr(value, field.name) for field in dataclasses.fields(value)
                }
                return [type(value).__qualname__, self.value(fields)]
            case _:
                return f"{type(value).__name__}: {self.text(repr(value))}"

    def _message(self, message: BaseMessage) -> Any:
        held = {**message.__dict__, **(message.__pydantic_extra__ or {})}
        told = {name: value for name, value in held.items() if value not in (None, [], {}, "")}
        if self._is_given and IDS.fullmatch(message.id or ""):
            del told["id"]
        return ["message", type(message).__name__, self.value(told)]

    # ------------------------------------------------------------------ snapshots

    def config(self, config: RunnableConfig | None) -> Any:
        """Show which checkpoint a configuration names."""
        if config is None:
            return None
        held = config["configurable"]
        return [self.text(str(held.get(key, ""))) for key in ("checkpoint_ns", "checkpoint_id")]

    def snapshot(self, state: StateSnapshot) -> Any:
        """Show all of a snapshot but the time."""
        return {
            "config": self.config(state.config),
            "parent": self.config(state.parent_config),
            "values": self.value(state.values),
            "next": list(state.next),
            "metadata": self.value(state.metadata),
            "tasks": [self._task(task) for task in state.tasks],
            "interrupts": self.value(state.interrupts),
        }

    def _task(self, task: PregelTask) -> Any:
        state = task.state
        nested = (
            self.snapshot(state) if hasattr(state, "values") and hasattr(state, "tasks") else None
        )
        return {
            "id": self.text(task.id),
            "name": task.name,
            "path": self.value(task.path),
            "error": self.value(task.error),
            "interrupts": self.value(task.interrupts),
            "result": self.given(task.result),
            "state": nested if nested is not None else state and self.config(state),  # type: ignore[arg-type]
        }

    # ------------------------------------------------------------------ tuples

    def tuple(self, held: CheckpointTuple) -> Any:
        """Show all that a saver gave for a checkpoint, but the time."""
        checkpoint = dict(held.checkpoint)
        del checkpoint["ts"]
        if checkpoint.get("updated_channels") is None:
            checkpoint.pop("updated_channels", None)  # Not known is as good as not there.
        values = checkpoint.pop("channel_values")
        # LangGraph's saver in memory gives back what a channel held at this version, although the checkpoint has it no more; its
        # others do not. That concerns channels that are consumed or that store their writes alone; what the graph makes of them
        # is compared all the same.
        values = {
            name: it for name, it in values.items() if not name.startswith(("branch:to:", "log"))
        }
        return {
            "config": self.config(held.config),
            "parent": self.config(held.parent_config),
            "id": self.text(checkpoint.pop("id")),
            "versions": _numbers(checkpoint.pop("channel_versions")),
            "seen": {
                node: _numbers(seen)
                for node, seen in sorted(checkpoint.pop("versions_seen").items())
            },
            "input": self.given(values.pop("__start__", None)),
            "values": self.value(values),
            "rest": self.value(checkpoint),
            "metadata": self.value(held.metadata),
            "writes": [
                [self.text(task), self.text(channel), self.given(value)]
                for task, channel, value in held.pending_writes or []
            ],
        }

    def namespaces(self, held: Iterable[CheckpointTuple]) -> Any:
        """Show a thread's checkpoints by namespace, parents before their subgraphs, newest first."""
        groups: dict[str, list[CheckpointTuple]] = {}
        for one in held:
            groups.setdefault(one.config["configurable"].get("checkpoint_ns", ""), []).append(one)
        shown = {}
        for depth in sorted({_depth(ns) for ns in groups}):
            # The names of a level's namespaces may be known from the level above; else their content tells them apart.
            level = [ns for ns in groups if _depth(ns) == depth]
            for ns in sorted(level, key=lambda ns: self._rank(ns, groups[ns], len(level))):
                shown[self.text(ns)] = [self.tuple(one) for one in groups[ns]]
        return shown

    def _rank(self, ns: str, held: list[CheckpointTuple], count: int) -> Any:
        return (IDS.sub("#", ns), self.number(ns), _erased(held)) if count > 1 else ()


def _depth(ns: str) -> int:
    return ns.count("|") + 1 if ns else 0


def _erased(held: list[CheckpointTuple]) -> str:
    shown = Shown(is_erasing=True)
    return repr([shown.tuple(one) for one in held])


def _sorted(value: dict[Any, Any]) -> list[tuple[Any, Any]]:
    # Neither LangGraph nor a state's equality minds the order of keys.
    return sorted(value.items(), key=lambda pair: (str(type(pair[0])), IDS.sub("#", repr(pair[0]))))


def _ordered(items: Sequence[Any]) -> Sequence[Any]:
    """Return the items; questions of parallel tasks in an order of their own: LangGraph gathers them from a set."""
    if len(items) > 1 and all(isinstance(item, Interrupt) for item in items):
        return sorted(items, key=lambda item: repr(item.value))
    return items


def _numbers(versions: dict[str, Any]) -> dict[str, int]:
    """Show versions without the random part that some savers add to them."""
    return {
        channel: int(str(version).split(".")[0]) for channel, version in sorted(versions.items())
    }


def difference(mine: Any, reference: Any, place: str = "") -> str | None:
    """Say where two shown documents differ first; None if they are equal."""
    if mine == reference:
        return None
    if isinstance(mine, dict) and isinstance(reference, dict) and list(mine) == list(reference):
        pairs = [(f"{place}.{key}", mine[key], reference[key]) for key in mine]
    elif isinstance(mine, list) and isinstance(reference, list) and len(mine) == len(reference):
        pairs = [(f"{place}[{at}]", mine[at], reference[at]) for at in range(len(mine))]
    else:
        return f"{place}:\n  seen     {mine!r}\n  expected {reference!r}"
    return next(told for key, one, other in pairs if (told := difference(one, other, key)))
