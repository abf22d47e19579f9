"""Recorded logs: what released versions wrote, and what users saw at each version of the thread.

The files in `tests/histories` are never changed: they stand for databases out there. To add one, write
a scenario below and run `python -m tests.support.recordings`; it writes the files that are missing.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from threadfold.domain.channels import decode_object, read_values
from threadfold.domain.commands import (
    CancelRun,
    CopyThread,
    CreateThread,
    DeleteRun,
    DeleteThread,
    FailRun,
    HandOverRun,
    PatchThread,
    RecordResult,
    RecordStep,
    StartRun,
    SubmitRun,
    SucceedRun,
    TimeOutRun,
    UpdateState,
)
from threadfold.domain.events import RecordedEvent, RunError, ThreadEvent
from threadfold.domain.reducers import Schema
from threadfold.domain.thread import EMPTY_THREAD, EPOCH, evolve
from threadfold.domain.upcasting import SCHEMA

from .driver import Driver
from .laws import erased, rolled_back_runs
from .saved_recordings import SAVED_SCENARIOS, checkpoints_rolled_back
from .saved_seen import seen_state
from .visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from threadfold.domain.strategies import MultitaskStrategy
    from threadfold.domain.thread import Thread

FOLDER = Path(__file__).resolve().parent.parent / "histories"
MICROSECOND = timedelta(microseconds=1)
LONG = "A long text, such as a document. " * 8

Recording: TypeAlias = "dict[str, Any]"


# ------------------------------------------------------------------ files


def stored(recorded: RecordedEvent) -> dict[str, Any]:
    """Write an event as the log stores it, without its thread and version."""
    name = type(recorded.event).__name__
    return {
        "topic": f"{name}.{SCHEMA.version(name)}",
        "at": (recorded.recorded_at - EPOCH) // MICROSECOND,
        "event": recorded.event.model_dump(mode="json", exclude_defaults=True),
    }


def read(recording: Recording) -> list[RecordedEvent]:
    """Read a recorded log with the program of today."""
    log: list[RecordedEvent] = []
    for version, row in enumerate(recording["log"], 1):
        name, _, schema_version = row["topic"].partition(".")
        kind, upcasters = SCHEMA.path(name, int(schema_version))
        fields = row["event"]
        for upcast in upcasters:
            fields = upcast(fields)
        event: Any = kind.model_validate(fields)
        at = EPOCH + row["at"] * MICROSECOND
        log.append(RecordedEvent(recording["thread_id"], version, version, at, event))
    return log


def seen(log: Iterable[RecordedEvent]) -> list[dict[str, Any]]:
    """Return what users and checkpointers see after each event, as plain JSON; at the end every checkpoint in full."""
    result: list[dict[str, Any]] = []
    thread = EMPTY_THREAD
    for recorded in log:
        thread = evolve(thread, recorded)
        result.append(_json({**visible(thread), "saved": saved(thread)}))
    if result:
        result[-1] |= _json({"checkpoints": seen_state(thread.state, thread.items)["checkpoints"]})
    return result


def saved(thread: Thread) -> dict[str, Any]:
    """Return what a checkpointer sees: the newest checkpoint in full, of the others that they are there."""
    shown = seen_state(thread.state, thread.items)
    return {
        "in_sight": [each["key"] for each in shown["checkpoints"]],
        "newest": next(iter(shown["checkpoints"]), None),
        "heads": {ns: head["key"] for ns, head in shown["heads"].items()},
        "writes": [[*key, writes] for key, writes in shown["writes"].items()],
        "calls": shown["calls"],
    }


def _json(shown: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(shown, default=str))


def write(stem: str, log: list[RecordedEvent], about: str, folder: Path = FOLDER) -> Path:
    """Add a recording.

    Raises:
        FileExistsError: there is one of this name; recordings are never changed.
    """
    head = {"about": about, "thread_id": "t1"}
    parts = {"log": [stored(recorded) for recorded in log], "visible": seen(log)}
    lines = [json.dumps(head, ensure_ascii=False)[:-1]]
    for name, rows in parts.items():
        texts = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        lines.append(f', "{name}": [\n{texts}\n]')
    path = folder / f"{stem}.json"
    with path.open("x", encoding="utf-8") as file:
        file.write("".join(lines) + "}\n")
    return path


def load(path: Path) -> Recording:
    """Read a recording's file."""
    return json.loads(path.read_text(encoding="utf-8"))


# ------------------------------------------------------------------ scenarios


class Story(Driver):
    """A driver with short words for what usually happens."""

    def __init__(self) -> None:
        super().__init__()
        self._checkpoints = 0

    def submit(
        self, run_id: str, text: str, strategy: MultitaskStrategy = "enqueue", after: float = 0
    ) -> None:
        message = {"type": "human", "id": f"{run_id}-in", "content": text}
        self.execute(
            SubmitRun(
                thread_id="t1",
                run_id=run_id,
                assistant_id="fe096781-5601-53d2-b2f6-0d3403f7e9ca",
                graph_id="agent",
                input={"messages": [message]},
                multitask_strategy=strategy,
                after_seconds=after,
                timeout_seconds=60,
                metadata={"from": "ann"},
                kwargs={"config": {"tags": ["recorded"]}},
                if_not_exists="create",
            )
        )

    def start(self, run_id: str, attempt: int = 1) -> None:
        run = self.thread.runs[run_id]
        self.now = max(self.now, run.due_at)
        self.execute(
            StartRun(thread_id="t1", run_id=run_id, attempt=attempt, holder="p1", now=self.now)
        )
        given = read_values(decode_object(run.accepted.input or {}), self.thread.items)
        self.step(run_id, given, attempt, ("agent",), source="input")

    def step(
        self,
        run_id: str,
        update: Any,
        attempt: int = 1,
        next: tuple[str, ...] = (),
        source: Literal["input", "loop"] = "loop",
    ) -> None:
        self._checkpoints += 1
        self.execute(
            RecordStep(
                thread_id="t1",
                run_id=run_id,
                attempt=attempt,
                checkpoint_id=f"checkpoint-{self._checkpoints}",
                node="" if source == "input" else "agent",
                source=source,
                next=next,
                update=update,
                changes=Schema().changes(self.thread.values(), update),
            )
        )

    def say(self, run_id: str, text: str, attempt: int = 1, next: tuple[str, ...] = ()) -> None:
        message = {"type": "ai", "id": f"{run_id}-{text[:9]}", "content": text, "tool_calls": []}
        self.step(run_id, {"messages": [message], "last": text}, attempt, next)

    def succeed(self, run_id: str, attempt: int = 1) -> None:
        self.execute(SucceedRun(thread_id="t1", run_id=run_id, attempt=attempt))

    def turn(self, run_id: str, text: str) -> None:
        self.submit(run_id, text)
        self.start(run_id)
        self.say(run_id, f"You said: {text}")
        self.succeed(run_id)


def a_plain_turn(story: Story) -> None:
    """Two turns; the second one with a long text and an object that is merged."""
    story.execute(CreateThread(thread_id="t1", metadata={"user": "ann"}))
    story.turn("r1", "hello")
    story.submit("r2", "read this")
    story.start("r2")
    story.step("r2", {"document": LONG, "notes": {"a": 1, "b": {"c": 1}}}, next=("tools",))
    story.step("r2", {"document": LONG, "notes": {"a": True, "b": {"c": 1, "d": [1.0, None]}}})
    story.succeed("r2")
    story.execute(PatchThread(thread_id="t1", metadata={"topic": "reading"}))


def double_text_rollback(story: Story) -> None:
    """A second message rolls a running run and a queued one back."""
    story.turn("r1", "hello")
    story.submit("r2", "book a flight to Rome")
    story.start("r2")
    story.say("r2", "Booking Rome", next=("tools",))
    story.submit("r3", "and a hotel")
    story.submit("r4", "no, to Oslo", "rollback")
    story.start("r4")
    story.say("r4", "Booking Oslo")
    story.succeed("r4")


def double_text_interrupt(story: Story) -> None:
    """A second message interrupts a running run, whose steps stay, and a queued one."""
    story.submit("r1", "book a flight")
    story.start("r1")
    story.say("r1", "Booking", next=("tools",))
    story.submit("r2", "quickly")
    story.submit("r3", "to Oslo", "interrupt")
    story.start("r3")
    story.say("r3", "Booking Oslo")
    story.succeed("r3")
    story.execute(DeleteRun(thread_id="t1", run_id="r3", is_ended=True))


def crash_and_second_attempt(story: Story) -> None:
    """A lost process, a hand-over, results that are kept; then a rollback of the third attempt."""
    story.turn("r0", "hello")
    story.submit("r1", "work hard")
    story.start("r1")
    story.execute(
        RecordResult(thread_id="t1", run_id="r1", attempt=1, name="fetch", result={"n": [1, 2]})
    )
    story.say("r1", "first try")
    story.start("r1", 2)
    story.say("r1", "second try", 2)
    story.execute(HandOverRun(thread_id="t1", run_id="r1", attempt=2))
    story.start("r1", 3)
    story.say("r1", "third try", 3)
    story.execute(CancelRun(thread_id="t1", run_id="r1", action="rollback"))


def copy_of_a_busy_thread(story: Story) -> None:
    """A copy made while its source had a run at work; then a turn of its own."""
    source = Story()
    source.turn("s1", "hello")
    source.submit("s2", "more")
    source.start("s2")
    source.say("s2", "half done", next=("tools",))
    story.execute(CopyThread(thread_id="t1", source_thread_id="t0", source=source.thread))
    story.turn("r1", "and now?")


def delete_and_recreate(story: Story) -> None:
    """A thread that was deleted at work, and lives again under its id."""
    story.turn("r1", "hello")
    story.submit("r2", "more")
    story.start("r2")
    story.say("r2", "half done")
    story.submit("r3", "queued")
    story.execute(DeleteThread(thread_id="t1"))
    story.execute(CreateThread(thread_id="t1", metadata={"life": 2}))
    story.turn("r4", "who am I?")


def update_from_outside(story: Story) -> None:
    """A user edits the state after an error, and the next run goes on from there."""
    story.submit("r1", "hello")
    story.start("r1")
    story.say("r1", "thinking", next=("tools",))
    error = RunError(error="ValueError", message="boom")
    story.execute(FailRun(thread_id="t1", run_id="r1", attempt=1, error=error))
    update: Any = {"messages": [{"type": "remove", "id": "r1-thinking"}], "last": None}
    story.execute(
        UpdateState(
            thread_id="t1",
            checkpoint_id="edit-1",
            as_node="agent",
            next=("agent",),
            update=update,
            changes=Schema().changes(story.thread.values(), update),
        )
    )
    story.turn("r2", "again")


def rolled_back_while_others_wait(story: Story) -> None:
    """A cancelled run leaves nothing, and the queue goes on, in order of due time."""
    story.turn("r1", "hello")
    story.submit("r2", "wrong")
    story.start("r2")
    story.say("r2", "wrong answer")
    story.submit("r3", "later", after=30)
    story.submit("r4", "sooner")
    story.execute(CancelRun(thread_id="t1", run_id="r2", action="rollback"))
    story.start("r4")
    story.say("r4", "soon")
    story.execute(TimeOutRun(thread_id="t1", run_id="r4", attempt=1, timeout_seconds=60))
    story.start("r3")
    story.say("r3", "late")
    story.succeed("r3")


def erased_rollback(story: Story) -> None:
    """The payloads of a rolled-back run were erased; what stands does not need them."""
    double_text_rollback(story)
    _erase(story)


def erased_checkpoints(story: Story) -> None:
    """The same for checkpoints, writes and tool calls of a rolled-back run."""
    checkpoints_rolled_back(story)
    _erase(story)


def _erase(story: Story) -> None:
    gone = rolled_back_runs(story.log)
    story.log = [
        RecordedEvent(r.thread_id, r.version, r.position, r.recorded_at, _erased(r.event, gone))
        for r in story.log
    ]


def _erased(event: ThreadEvent, gone: set[str]) -> ThreadEvent:
    return erased(event) if getattr(event, "run_id", None) in gone else event


SCENARIOS: dict[str, Callable[[Story], None]] = {
    f"v1_{scenario.__name__}": scenario
    for scenario in (
        a_plain_turn,
        double_text_rollback,
        double_text_interrupt,
        crash_and_second_attempt,
        copy_of_a_busy_thread,
        delete_and_recreate,
        update_from_outside,
        rolled_back_while_others_wait,
        erased_rollback,
        *SAVED_SCENARIOS,
        erased_checkpoints,
    )
}


def add_missing(folder: Path = FOLDER) -> list[Path]:
    """Write the recordings of all scenarios that have none; leave the others alone."""
    added: list[Path] = []
    for name, scenario in SCENARIOS.items():
        if not (folder / f"{name}.json").exists():
            story = Story()
            scenario(story)
            added.append(write(name, story.log, (scenario.__doc__ or "").strip(), folder))
    return added


if __name__ == "__main__":
    for path in add_missing():
        print(path)  # noqa: T201 - a script
