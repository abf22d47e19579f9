"""Moves of checkpointers: what graphs at work, and programs beside the engine, record in a thread.

As in `moves.py`, a move becomes a command only when it meets a thread (`SavedWorld`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from threadfold.domain.changes import GraphEnd, Replace, Splice
from threadfold.domain.commands import (
    FailRun,
    HideCheckpoints,
    RecordCheckpoint,
    RecordToolCall,
    RecordWrites,
    SucceedRun,
)
from threadfold.domain.events import Task

from . import moves as m
from .saved_values import SPECIAL, TALK, edited, written
from .saved_world import NOBODY
from .visible import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from threadfold.domain.changes import ChannelChange
    from threadfold.domain.commands import Command
    from threadfold.domain.saved import SavedCheckpoint
    from threadfold.domain.strategies import MultitaskStrategy
    from threadfold.domain.values import Json, JsonObject

    from .saved_world import SavedWorld, Writer

NAMESPACES = (
    *("", "sub", "node:t1", "node:t2", "node:t1|inner:u1", "sub|node:t3", "sub|kept"),
    *("other", "node:t4"),
)
"""The graph itself, stable namespaces, calls of subgraphs, and calls and stable ones inside them."""


# ------------------------------------------------------------------ graphs


@dataclass(frozen=True)
class Put:
    """A graph saves a checkpoint.

    `parent` is the newest in sight (0), none (1), or one from further back; `edits` are what becomes of its channels. `odd` picks
    something that is not as usual: it is recorded again under an old id, versions are texts, nodes are forgotten, …
    """

    ns: int
    edits: tuple[tuple[int, int], ...]
    parent: int = 0
    odd: int = 0
    is_fresh: bool = False

    def command(self, world: SavedWorld) -> Command | None:
        return self.by(world, *world.writer)

    def by(self, world: SavedWorld, run_id: str | None, attempt: int) -> Command | None:
        ns = NAMESPACES[self.ns % len(NAMESPACES)]
        known = world.in_sight(ns)
        parent = None if self.parent == 1 or not known else known[self._back % len(known)]
        is_again = self.odd == 1 and bool(known)
        named = known[-1].checkpoint_id if is_again else world.next_id(ns)
        if parent is not None and parent.checkpoint_id == named:
            parent = None
        told = {} if parent is None else world.told[parent.version]
        old: JsonObject = {name: json.loads(value) for name, value in told.items()}
        new = edited(old, self.edits, world)
        world.full = new
        head = world.driver.thread.state.saved.heads.get(ns)
        parent_id = None if parent is None else parent.checkpoint_id
        is_fork = (None if head is None else head.checkpoint_id) != parent_id
        touched = {name for name, _ in _touched(self.edits, new)}
        changes: dict[str, ChannelChange] = {}
        for name, value in new.items():
            is_same = name in old and text(old[name]) == text(value)
            if is_fork or not is_same or name in touched:
                changes[name] = self._change(None if is_fork else old.get(name), value)
        changed = {name for name in new if name not in told or told[name] != text(new[name])}
        return RecordCheckpoint(
            thread_id="t1",
            run_id=run_id,
            attempt=attempt,
            ns=ns,
            checkpoint_id=named,
            parent_id=parent_id,
            source=("loop", "input", "update", "fork")[self.odd % 4],
            step=9 if self.odd == 2 else (-1 if parent is None else parent.step + 1),
            changes=changes,
            kept=frozenset(new) - changes.keys(),
            **self._bookkeeping(world, parent, sorted(changed | touched)),
            ts=f"2026-01-01T00:00:{len(world.told) % 60:02}+00:00",
            format=4,
            extra={"pending_sends": [{"$item": 1}]} if self.odd == 3 else {},
            metadata=self._metadata(world, parent, known[-1].made_by if is_again else None),
        )

    @property
    def _back(self) -> int:
        return 0 if self.parent < 2 else self.parent - 1

    def _change(self, old: Json, value: Json) -> ChannelChange:
        if self.is_fresh:
            value = json.loads(json.dumps(value))
        if isinstance(value, list) and isinstance(old, list) and self.odd == 0 and old:
            shorter = min(len(old), len(value))
            at = next((n for n in range(shorter) if text(old[n]) != text(value[n])), shorter)
            return Splice(at, len(old) - at, value[at:])
        return Replace(value)

    def _bookkeeping(
        self, world: SavedWorld, parent: SavedCheckpoint | None, changed: list[str]
    ) -> dict[str, Any]:
        before = {} if parent is None else dict(parent.versions)
        seen = {} if parent is None else {node: dict(of) for node, of in parent.seen.items()}
        number = len(world.told) + 1
        new: dict[str, Any] = dict.fromkeys(changed, f"{number:04}" if self.odd == 4 else number)
        if self.odd == 5 and changed:
            new[changed[0]] = float(number)
            before.pop(changed[-1], None)
            seen.pop("agent", None)
        versions = {**before, **new}
        if parent is not None and "agent" in seen:
            seen["agent"] = {name: parent.versions.get(name, 0) for name in seen["agent"]}
        elif self.odd != 5:
            seen["agent"] = {**before}
        if self.odd == 6:
            seen["tools"] = dict.fromkeys(versions, 1)
        updated: tuple[str, ...] | None = tuple(sorted(new))
        match self.odd:
            case 2:
                updated = None
            case 3:
                updated = updated[1:]
            case 6:
                updated = (*reversed(updated), "gone")
            case _:
                pass
        return {"versions": versions, "seen": seen, "updated": updated}

    def _metadata(
        self, world: SavedWorld, parent: SavedCheckpoint | None, made_by: str | None
    ) -> JsonObject:
        root = world.whole.state.saved.latest("")
        metadata: JsonObject = {"parents": {"": root.checkpoint_id} if root else {}}
        if made_by is not None:
            metadata["run_id"] = made_by
        elif world.running is None or self.odd == 6:
            metadata["run_id"] = f"g{len(world.told) % 3}"
        if self.odd == 3 and parent is not None:
            metadata["steps"] = {"a": {"b": parent.step, "c": 1.0}}
        return metadata


def _touched(edits: tuple[tuple[int, int], ...], new: JsonObject) -> Iterable[tuple[str, Json]]:
    """Yield channels that get a new version, whether or not their content is a new one."""
    names = sorted(new)
    for channel, _ in edits[:1]:
        if names:
            name = names[channel % len(names)]
            yield name, new[name]


@dataclass(frozen=True)
class WriteDown:
    """A task writes: after the newest checkpoint in sight (0), before one that is still to come (1), or on one further back."""

    ns: int
    target: int
    task: int
    kinds: tuple[int, ...]
    is_fresh: bool = False

    def command(self, world: SavedWorld) -> Command | None:
        return self.by(world, *world.writer)

    def by(self, world: SavedWorld, run_id: str | None, attempt: int) -> Command | None:
        ns = NAMESPACES[self.ns % len(NAMESPACES)]
        known = world.in_sight(ns)
        if self.target == 1 or not known:
            checkpoint_id = world.next_id(ns)
        else:
            back = 0 if self.target == 0 else self.target - 1
            checkpoint_id = known[back % len(known)].checkpoint_id
        writes = [written(kind, world) for kind in self.kinds]
        if self.is_fresh:
            writes = [(channel, json.loads(json.dumps(value))) for channel, value in writes]
        return RecordWrites(
            thread_id="t1",
            run_id=run_id,
            attempt=attempt,
            by_run_id=None if run_id else f"g{(len(world.told) + self.task) % 3}",
            ns=ns,
            checkpoint_id=checkpoint_id,
            task_id=f"task{self.task}",
            task_path=("", "~__pregel_pull, agent", "~__pregel_push, 0000000001")[self.task % 3],
            writes=tuple(
                (SPECIAL.get(channel, at), channel, value)
                for at, (channel, value) in enumerate(writes)
            ),
        )


@dataclass(frozen=True)
class Resume:
    """An answer, or another question, takes the place of the one that stands in a slot."""

    which: int
    kind: int

    def command(self, world: SavedWorld) -> Command | None:
        run_id, attempt = world.writer
        slots = [
            (*key, write)
            for key, writes in world.whole.state.saved.writes.items()
            for (_, idx), write in writes.items()
            if idx < 0
        ]
        if not slots:
            return None
        ns, checkpoint_id, write = slots[self.which % len(slots)]
        answer: Json = {"$": ["interrupt", self.kind, "i2"]} if write.idx == -3 else self.kind
        return RecordWrites(
            thread_id="t1",
            run_id=run_id,
            attempt=attempt,
            by_run_id=None if run_id else "g0",
            ns=ns,
            checkpoint_id=checkpoint_id,
            task_id=write.task_id,
            task_path=write.task_path,
            writes=((write.idx, write.channel, [answer]),),
        )


@dataclass(frozen=True)
class Call:
    """A tool is called, or comes to its end."""

    call: int
    status: Literal["started", "finished", "failed"]
    result: int = 0

    def command(self, world: SavedWorld) -> Command | None:
        return world.running and self.by(world, *world.running)

    def by(self, world: SavedWorld, run_id: str | None, attempt: int) -> Command | None:
        assert run_id is not None
        _, value = written(self.result, world)
        return RecordToolCall(
            thread_id="t1",
            run_id=run_id,
            attempt=attempt,
            call_id=f"call{self.call}",
            name="search",
            task=f"tools:t{self.call % 2}",
            status=self.status,
            result=None if self.status == "started" else value,
        )


@dataclass(frozen=True)
class Finish:
    """A graph comes to its end by itself, and says what stands then: `view` picks how much it says."""

    is_error: bool
    view: int
    edits: tuple[tuple[int, int], ...] = ()

    def command(self, world: SavedWorld) -> Command | None:
        return world.running and self.by(world, *world.running)

    def by(self, world: SavedWorld, run_id: str | None, attempt: int) -> Command | None:
        assert run_id is not None
        end = self._end(world)
        if self.is_error:
            return FailRun(thread_id="t1", run_id=run_id, attempt=attempt, error=m.ERROR, end=end)
        return SucceedRun(thread_id="t1", run_id=run_id, attempt=attempt, end=end)

    def _end(self, world: SavedWorld) -> GraphEnd | None:
        root = world.whole.state.saved.latest("")
        if self.view == 0 or root is None:
            return None
        told = world.told[root.version]
        old: JsonObject = {name: json.loads(value) for name, value in told.items()}
        next_nodes = ("tools",) if self.view % 2 else ()
        tasks = tuple(Task(id=f"task{n}", name=node) for n, node in enumerate(next_nodes))
        values = names = None
        if self.view < 4:
            values = {
                name: value
                for name, value in edited(old, self.edits, world).items()
                if name.isalpha()
            }
        elif self.view < 6:
            names = frozenset({"messages", "plain", "nowhere"})
        return GraphEnd(next=next_nodes, tasks=tasks, values=values, names=names)


# ------------------------------------------------------------------ around them


@dataclass(frozen=True)
class Ask:
    """A user sends an input in typed form."""

    strategy: MultitaskStrategy
    input: int

    def command(self, world: SavedWorld) -> Command | None:
        return m.Submit(self.strategy, TALK[self.input % len(TALK)]).command(world)


@dataclass(frozen=True)
class Hide:
    """Somebody takes checkpoints out of sight: those of some runs, all but the latest, or all."""

    keep: Literal["others", "latest", "none"]
    which: int = 0

    def command(self, world: SavedWorld) -> Command | None:
        saved = world.whole.state.saved
        writes = (write for slots in saved.writes.values() for write in slots.values())
        made_by = {each.made_by for each in saved.recent} | {write.run_id for write in writes}
        run_ids = sorted(filter(None, made_by))
        chosen = run_ids[self.which % len(run_ids) :][:1] if run_ids else []
        told = tuple(chosen) if self.keep == "others" else ()
        return HideCheckpoints(thread_id="t1", keep=self.keep, run_ids=told)


@dataclass(frozen=True)
class TooLate:
    """Some attempt that once started writes now, or somebody outside does, whether they may or not."""

    which: int
    write: Put | WriteDown | Call | Finish

    def command(self, world: SavedWorld) -> Command | None:
        writers: list[Writer] = [*world.driver.attempts]
        if isinstance(self.write, Put | WriteDown):
            writers.append(NOBODY)
        return self.write.by(world, *writers[self.which % len(writers)]) if writers else None


@dataclass(frozen=True)
class Again:
    """A command that was carried out comes once more: its answer was lost on the way."""

    back: int

    def command(self, world: SavedWorld) -> Command | None:
        lately = [done.command for done in world.done[-3:]]
        command = lately[-1 - self.back % len(lately)] if lately else None
        return None if isinstance(command, RecordCheckpoint | HideCheckpoints) else command


SavedMove: TypeAlias = (
    Put
    | WriteDown
    | Resume
    | Call
    | Finish
    | Hide
    | TooLate
    | Again
    | Ask
    | m.Cancel
    | m.Start
    | m.Crash
    | m.End
    | m.Drop
)
