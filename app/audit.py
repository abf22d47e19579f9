"""What a thread's log looks like to a person: one row an event, with what a rollback undid struck through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ..domain.ends import end_status
from ..domain.events import (
    CheckpointRecorded,
    CheckpointsHidden,
    ResultRecorded,
    RunAccepted,
    RunDeleted,
    RunFailed,
    RunHandedOver,
    RunInterrupted,
    RunRolledBack,
    RunStarted,
    RunSucceeded,
    RunTimedOut,
    StateUpdated,
    StepRecorded,
    ThreadCopied,
    ThreadCreated,
    ThreadDeleted,
    ThreadPatched,
    ToolCallRecorded,
    WritesRecorded,
)
from ..domain.typed import is_message, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from ..domain.events import RecordedEvent, ThreadEvent, TimeToLive
    from ..domain.values import Json, JsonObject

UNDONE = "strike dim"
TOMBSTONE = "bold red"
UNDONE_MARK, TOMBSTONE_MARK = "x", "†"
LEGEND = f"{UNDONE_MARK} undone by a rollback: replay ignores it   {TOMBSTONE_MARK} tombstone: the rollback itself"
SHOWN_CHARACTERS_MAX = 100
"""Of what an event brought, so much is shown; `--json` has all of it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One event, in words."""

    mark: str
    version: str
    time: str
    event: str
    run: str
    what: str
    by: str = ""

    @property
    def style(self) -> str:
        """How it is shown."""
        return {UNDONE_MARK: UNDONE, TOMBSTONE_MARK: TOMBSTONE}.get(self.mark, "")


def undone_runs(log: Iterable[RecordedEvent]) -> frozenset[str]:
    """Return the runs that were rolled back."""
    return frozenset(e.event.run_id for e in log if isinstance(e.event, RunRolledBack))


def is_undone(recorded: RecordedEvent, undone: frozenset[str]) -> bool:
    """Say whether replay ignores the event; a tombstone itself counts."""
    return run_of(recorded.event) in undone and not isinstance(recorded.event, RunRolledBack)


def run_of(event: ThreadEvent) -> str:
    """Return the id of the run that the event is about, if it is about one."""
    run_id: object = getattr(event, "run_id", "")
    return run_id if isinstance(run_id, str) else ""


def row_of(recorded: RecordedEvent, undone: frozenset[str]) -> Row:
    """Return an event as a row."""
    event = recorded.event
    mark = UNDONE_MARK if is_undone(recorded, undone) else ""
    if isinstance(event, RunRolledBack):
        mark = TOMBSTONE_MARK
    return Row(
        mark=mark,
        version=str(recorded.version),
        time=shown_time(recorded.recorded_at),
        event=event.type,
        run=short(run_of(event)),
        what=printable(what_it_did(event)),
        by=printable(recorded.actor or ""),
    )


def log_table(thread_id: str, log: Sequence[RecordedEvent]) -> Table:
    """Return the log as a table."""
    undone = undone_runs(log)
    table = table_of(
        f"Thread {thread_id}, from {log[0].recorded_at:%Y-%m-%d} on" if log else thread_id
    )
    table.caption = LEGEND if undone else None
    table.add_column("", no_wrap=True)
    table.add_column("Version", justify="right", no_wrap=True)
    is_signed = any(recorded.actor for recorded in log)
    for name in ("Time (UTC)", "Event", "Run", *(["By"] if is_signed else [])):
        table.add_column(name, no_wrap=True)
    table.add_column("What it did", overflow="fold")
    for recorded in log:
        row = row_of(recorded, undone)
        by = [row.by] if is_signed else []
        cells = (row.version, row.time, row.event, row.run, *by, row.what)
        table.add_row(row.mark, *(Text(cell, style=row.style) for cell in cells))
    return table


def table_of(title: str) -> Table:
    """Return an empty table."""
    return Table(
        title=Text(title, style="bold"),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )


def line_of(row: Row) -> Text:
    """Return a row as a line, for a log that is followed."""
    by = f"  by {row.by}" if row.by else ""
    text = f"{row.mark or ' '} {row.version:>7}  {row.time}  {row.event:<15} {row.run:<8}  {row.what}{by}"
    return Text(text, style=row.style)


def as_json(recorded: RecordedEvent, undone: frozenset[str]) -> dict[str, object]:
    """Return an event with its envelope, complete."""
    return {
        "thread_id": recorded.thread_id,
        "version": recorded.version,
        "position": recorded.position,
        "recorded_at": recorded.recorded_at.isoformat(timespec="microseconds"),
        "actor": recorded.actor,
        "is_undone": is_undone(recorded, undone),
        **recorded.event.model_dump(mode="json"),
    }


# ------------------------------------------------------------------ runs


@dataclass(slots=True)
class RunRecord:
    """A run as the log tells of it, those included that are gone from everywhere else."""

    run_id: str
    strategy: str
    created_at: datetime
    input: str
    status: str = "pending"
    attempt: int = 0
    ended_at: datetime | None = None

    @property
    def is_undone(self) -> bool:
        """Whether it was rolled back."""
        return self.status == "rolled back"

    def as_json(self) -> dict[str, object]:
        """Return it for machines."""
        return {
            "run_id": self.run_id,
            "status": self.status.replace(" ", "_"),
            "multitask_strategy": self.strategy,
            "attempt": self.attempt,
            "created_at": self.created_at.isoformat(timespec="microseconds"),
            "ended_at": self.ended_at and self.ended_at.isoformat(timespec="microseconds"),
        }


def runs_in(log: Iterable[RecordedEvent]) -> list[RunRecord]:
    """Return all runs, in the order in which they were accepted."""
    runs: dict[str, RunRecord] = {}
    for recorded in log:
        event, at = recorded.event, recorded.recorded_at
        if isinstance(event, RunAccepted):
            runs[event.run_id] = RunRecord(
                event.run_id, event.multitask_strategy, at, printable(brought(event))
            )
            continue
        run = runs.get(run_of(event))
        if run is None:
            continue
        match event:
            case RunStarted():
                run.status, run.attempt = "running", event.attempt
            case RunHandedOver():
                run.status = "pending"
            case RunSucceeded() | RunFailed() | RunTimedOut() | RunInterrupted():
                run.status, run.ended_at = end_status(event), at
            case RunRolledBack():
                run.status, run.ended_at = "rolled back", at
            case _:
                pass
    return list(runs.values())


def runs_table(thread_id: str, runs: Iterable[RunRecord]) -> Table:
    """Return runs as a table."""
    table = table_of(f"Runs of thread {thread_id}")
    for name in ("", "Run", "Status", "Strategy"):
        table.add_column(name, no_wrap=name != "Run", overflow="fold")
    table.add_column("Input", overflow="fold")
    for run in runs:
        style = UNDONE if run.is_undone else ""
        cells = (run.run_id, run.status, run.strategy, run.input)
        mark = UNDONE_MARK if run.is_undone else ""
        table.add_row(mark, *(Text(cell, style=style) for cell in cells))
    return table


# ------------------------------------------------------------------ in words


def what_it_did(event: ThreadEvent) -> str:  # noqa: C901 - one arm an event
    """Say what an event did, in a line."""
    match event:
        case ThreadCreated(is_temporary=True):
            return "the thread exists, for one run"
        case ThreadCreated():
            return f"the thread exists{_lives(event.ttl)}"
        case ThreadCopied():
            return f"copied from thread {event.source_thread_id} at version {event.source_version}"
        case ThreadPatched():
            return f"metadata: {', '.join(event.metadata)}{_lives(event.ttl)}"
        case ThreadDeleted():
            return "the thread is gone, with all that it held"
        case RunAccepted():
            later = f", due in {event.after_seconds:g} s" if event.after_seconds else ""
            return f"{event.multitask_strategy}{later}: {brought(event)}"
        case RunStarted():
            return f"attempt {event.attempt}"
        case StepRecorded():
            return f"{event.node}: {brought(event)}"
        case ResultRecorded():
            return f"result of {event.name}"
        case RunHandedOver():
            return f"attempt {event.attempt} was given up in good order"
        case RunSucceeded():
            return "success"
        case RunFailed():
            return f"{event.error.error}: {event.error.message}"
        case RunTimedOut():
            return f"took longer than {event.timeout_seconds:g} s"
        case RunInterrupted():
            return f"stopped, its work stays ({_why(event.reason, event.by_run_id)})"
        case RunRolledBack():
            return f"all of run {short(event.run_id)} is undone ({_why(event.reason, event.by_run_id)})"
        case RunDeleted():
            return "its record is hidden, its work stays"
        case StateUpdated():
            node = f" as {event.as_node}" if event.as_node else ""
            how = "updated from outside" if event.source == "update" else f"state ({event.source})"
            return f"{how}{node}: {brought(event)}"
        case CheckpointRecorded():
            where = f" in {event.ns}" if event.ns else ""
            return f"checkpoint{where} ({event.source}): {brought(event)}"
        case WritesRecorded():
            where = f" in {event.ns}" if event.ns else ""
            return f"writes{where}: {', '.join(write.channel for write in event.writes)}"
        case CheckpointsHidden():
            what = {"others": "those of some runs", "latest": "all but the latest", "none": "all"}
            return f"checkpoints out of sight: {what[event.keep]}"
        case ToolCallRecorded():
            return f"tool call {event.call_id} of {event.name} {event.status}"
        case _:
            assert_never(event)


def _lives(ttl: TimeToLive | None) -> str:
    if ttl is None:
        return ""
    end = "is deleted" if ttl.strategy == "delete" else "keeps its newest state only"
    return f"; after {ttl.minutes:g} min without a change it {end}"


def _why(reason: str, by_run_id: str | None) -> str:
    words = reason.replace("_", " ")
    return f"{words} by run {short(by_run_id)}" if by_run_id else words


def brought(event: RunAccepted | StepRecorded | StateUpdated | CheckpointRecorded) -> str:
    """Say what an event brought in: its messages, else its channels."""
    if event.erased_items:
        return "erased"
    shown = [text for item in event.items if (text := _message(item))]
    if shown:
        return _cut(", ".join(shown))
    channels = event.input if isinstance(event, RunAccepted) else event.deltas
    return _cut(", ".join(channels)) if channels else "nothing new"


def _message(item: Json) -> str:
    if is_message(item):
        item = plain(item)
    if not isinstance(item, dict) or "content" not in item:
        return ""
    calls = item.get("tool_calls")
    if isinstance(calls, list) and calls:
        names = ", ".join(_call(call) for call in calls if isinstance(call, dict))
        return f"{item.get('type')} calls {names}"
    return f"{item.get('type')} {item['content']!r}"


def _call(call: JsonObject) -> str:
    args = call.get("args")
    shown = ", ".join(f"{k}={v!r}" for k, v in args.items()) if isinstance(args, dict) else ""
    return f"{call.get('name')}({shown})"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[: SHOWN_CHARACTERS_MAX - 3]}..."


def short(run_id: str) -> str:
    """Return the end of an id, which tells runs of one time apart."""
    return run_id[-8:]


def shown_time(moment: datetime) -> str:
    """Return the time of a moment, for people."""
    return moment.strftime("%H:%M:%S.%f")[:-3]


def printable(text: str) -> str:
    """Return text that cannot steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
