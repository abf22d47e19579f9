"""A naive checkpointer: whole values in lists and dicts, and a deep copy to go back to. It knows no deltas, items or windows.

It is told the commands that were carried out, and, of the runs, that they began and how they ended: those have an oracle of
their own (`tests/domain/test_oracle.py`).
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from threadfold.domain.commands import (
    FailRun,
    HideCheckpoints,
    RecordCheckpoint,
    RecordToolCall,
    RecordWrites,
    SucceedRun,
)
from threadfold.domain.events import (
    RunEnded,
    RunFailed,
    RunInterrupted,
    RunRolledBack,
    RunStarted,
    RunSucceeded,
    RunTimedOut,
    ThreadDeleted,
)
from threadfold.domain.typed import plain_object

from .visible import text

if TYPE_CHECKING:
    from threadfold.domain.changes import GraphEnd

    from .saved_world import Done, SavedWorld

Key: TypeAlias = tuple[str, str]

INTERNAL = ("__", "branch:", "join:", "start:")


@dataclass
class ModelCheckpoint:
    """A checkpoint as it was put, its values as texts."""

    put: RecordCheckpoint
    version: int
    values: dict[str, str]
    is_hidden: bool = False

    @property
    def key(self) -> Key:
        return self.put.ns, self.put.checkpoint_id

    @property
    def made_by(self) -> str | None:
        return self.put.metadata.get("run_id") or self.put.run_id  # pyright: ignore[reportReturnType]


@dataclass
class Standing:
    """All that a rollback puts back."""

    checkpoints: list[ModelCheckpoint] = field(default_factory=list[ModelCheckpoint])
    writes: dict[Key, dict[tuple[str, int], dict[str, Any]]] = field(
        default_factory=dict[Key, "dict[tuple[str, int], dict[str, Any]]"]
    )
    calls: dict[str, dict[str, Any]] = field(default_factory=dict[str, "dict[str, Any]"])
    shown: dict[str, str] = field(default_factory=dict[str, str])
    next: tuple[str, ...] = ()
    has_failed: bool = False


class SavedModel:
    """What must stand in a thread after each command."""

    def __init__(self, world: SavedWorld) -> None:
        self._told = world.told
        self.standing = Standing()
        self.base: Standing | None = None
        self.active: str | None = None
        self.has_saved = False
        """Whether the active run has recorded something to go on from."""

    # ------------------------------------------------------------------ what is asked

    def newest_first(self) -> list[ModelCheckpoint]:
        """Return what is in sight; what was recorded again stands where it was recorded last."""
        found: dict[Key, ModelCheckpoint] = {}
        for each in reversed(self.standing.checkpoints):
            if not each.is_hidden:
                found.setdefault(each.key, each)
        return [*found.values()]

    def latest(self, ns: str) -> ModelCheckpoint | None:
        return next((each for each in self.newest_first() if each.put.ns == ns), None)

    # ------------------------------------------------------------------ what happens

    def apply(self, done: Done) -> None:
        """Do what a command did."""
        command = done.command
        for event in done.events:
            match event:
                case RunStarted(run_id=run_id, attempt=attempt):
                    self._start(run_id, attempt)
                case RunRolledBack(run_id=run_id) if run_id == self.active:
                    assert self.base is not None
                    self.standing, self.base, self.active = self.base, None, None
                case RunEnded(run_id=run_id) if run_id == self.active:
                    self._end(event, command)
                case ThreadDeleted():
                    self.standing = Standing()
                case _:
                    pass
        match command:
            case RecordCheckpoint() if done.events:
                self._put(command, done.after.version)
            case RecordWrites():
                self._write(command)
            case RecordToolCall() if done.events:
                self._call(command)
            case HideCheckpoints() if done.events:
                self._hide(command)
            case _:
                pass

    def _start(self, run_id: str, attempt: int) -> None:
        if attempt == 1 or self.active != run_id:
            self.base, self.has_saved = copy.deepcopy(self.standing), False
        elif not self.has_saved:
            self.standing = copy.deepcopy(self.base) or Standing()
        self.active = run_id

    def _end(self, event: RunEnded, command: Any) -> None:
        standing = self.standing
        self.base = self.active = None
        standing.next = event.next
        standing.has_failed = isinstance(event, RunFailed | RunTimedOut)
        if isinstance(command, SucceedRun | FailRun) and command.end is not None:
            standing.next = command.end.next
            self._show(command.end)
        if isinstance(event, RunSucceeded) and not standing.next:
            standing.calls = {}
        if isinstance(event, RunInterrupted):
            for call in standing.calls.values():
                if call["run_id"] == event.run_id and call["status"] == "started":
                    call["is_cancelled"] = True

    def _show(self, end: GraphEnd) -> None:
        shown = self.standing.shown
        if end.values is not None:
            self.standing.shown = _plain_texts({name: text(v) for name, v in end.values.items()})
        elif end.names is not None:
            self.standing.shown = {n: value for n, value in shown.items() if n in end.names}

    def _put(self, command: RecordCheckpoint, version: int) -> None:
        checkpoint = ModelCheckpoint(command, version, self._told[version])
        self.standing.checkpoints.append(checkpoint)
        self.has_saved = True
        if not command.ns:
            self._look_at(checkpoint)

    def _look_at(self, checkpoint: ModelCheckpoint | None) -> None:
        values = {} if checkpoint is None else checkpoint.values
        self.standing.shown = _plain_texts(
            {name: value for name, value in values.items() if not name.startswith(INTERNAL)}
        )
        self.standing.next = _open_nodes(values)
        self.standing.has_failed = False

    def _write(self, command: RecordWrites) -> None:
        slots = self.standing.writes.setdefault((command.ns, command.checkpoint_id), {})
        last = {idx: at for at, (idx, _, _) in enumerate(command.writes)}
        for at, (idx, channel, value) in enumerate(command.writes):
            slot = (command.task_id, idx)
            if idx < 0 and at < last[idx]:
                continue
            new = {
                "channel": channel,
                "value": text(value),
                "path": command.task_path,
                "run_id": command.run_id or command.by_run_id,
            }
            is_same = slot in slots and all(
                slots[slot][name] == new[name] for name in ("channel", "value")
            )
            if slot not in slots or (idx < 0 and not is_same):
                slots[slot] = new
                self.has_saved = True

    def _call(self, command: RecordToolCall) -> None:
        self.has_saved = True
        self.standing.calls[command.call_id] = {
            "name": command.name,
            "task": command.task,
            "run_id": command.run_id,
            "status": command.status,
            "result": text(command.result),
            "is_cancelled": False,
        }

    def _hide(self, command: HideCheckpoints) -> None:
        standing = self.standing
        before = self.latest("")
        gone = self._gone(command)
        for each in standing.checkpoints:
            each.is_hidden = each.is_hidden or each.key in gone
        if command.keep == "others":
            needed = self._descended_from()
            for key in standing.writes.keys() - needed:
                standing.writes[key] = {
                    slot: write
                    for slot, write in standing.writes[key].items()
                    if write["run_id"] not in command.run_ids
                }
        if command.keep == "none":
            standing.calls = {}
        after = self.latest("")
        if after is None or before is None or after.key != before.key:
            self._look_at(after)

    def _gone(self, command: HideCheckpoints) -> set[Key]:
        """Return what goes out of sight."""
        every = self.standing.checkpoints
        match command.keep:
            case "others":
                return {each.key for each in every if each.made_by in command.run_ids}
            case "latest":
                latest = (self.latest(each.put.ns) for each in every)
                return {each.key for each in every} - {each.key for each in latest if each}
            case "none":
                return {each.key for each in every}

    def _descended_from(self) -> set[Key]:
        """Return what the checkpoints in sight were made of, be it by way of hidden ones."""
        above = {each.key: each.put.parent_id for each in self.standing.checkpoints}
        found: set[Key] = set()
        for each in self.newest_first():
            key = (each.put.ns, above.get(each.key))
            while key[1] is not None and key not in found:
                found.add((key[0], key[1]))
                key = (key[0], above.get((key[0], key[1])))
        return found


def _plain_texts(values: dict[str, str]) -> dict[str, str]:
    shown = plain_object({name: json.loads(value) for name, value in values.items()})
    return {name: text(value) for name, value in shown.items()}


def _open_nodes(values: dict[str, str]) -> tuple[str, ...]:
    """Return the nodes that are about to start, as far as the channels say so."""
    nodes = {
        "__start__": "__start__" in values,
        "agent": "branch:to:agent" in values,
        "c": values.get("join:a+b:c") == text({"$": ["set", ["a", "b"]]}),
    }
    sends = json.loads(values.get("__pregel_tasks", "[]"))
    return (*(node for node, is_open in nodes.items() if is_open), *(s["$"][1] for s in sends))
