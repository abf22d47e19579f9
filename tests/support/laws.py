"""The laws of the domain, each a function that plays moves and asserts. Hypothesis draws the moves.

They are functions, so that `test_laws.py` can show that they hold, and `test_mutants.py` that a
planted bug breaks them.
"""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter

from threadfold.domain.changes import Replace
from threadfold.domain.channels import decode_object, read_values
from threadfold.domain.commands import (
    CancelRun,
    CopyThread,
    DeleteRun,
    FailRun,
    HandOverRun,
    RecordResult,
    RecordStep,
    StartRun,
    SubmitRun,
    SucceedRun,
    TimeOutRun,
    UpdateState,
)
from threadfold.domain.decisions import decide
from threadfold.domain.encoding import update_of
from threadfold.domain.errors import RefusedError, StaleAttemptError, ThreadBusyError
from threadfold.domain.events import (
    CheckpointRecorded,
    ItemsEvent,
    RecordedEvent,
    ResultRecorded,
    RunAccepted,
    RunEnded,
    RunRolledBack,
    RunStarted,
    StateUpdated,
    StepRecorded,
    ThreadCopied,
    ThreadCreated,
    ThreadDeleted,
    ThreadEvent,
    ToolCallRecorded,
    WritesRecorded,
)
from threadfold.domain.reducers import applied
from threadfold.domain.snapshots import from_snapshot, to_snapshot
from threadfold.domain.thread import EMPTY_THREAD, Thread, evolve, fold

from .moves import ERROR, World, play
from .visible import complete, portrait, text, visible, visible_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from threadfold.domain.commands import Command

    from .driver import Step
    from .moves import Move

    Log = Sequence[RecordedEvent]

EVENT: TypeAdapter[ThreadEvent] = TypeAdapter(ThreadEvent)


def states(log: Log) -> Iterator[Thread]:
    """Yield the thread at each version, from 0 on."""
    thread = EMPTY_THREAD
    yield thread
    for recorded in log:
        thread = evolve(thread, recorded)
        yield thread


def appends(moves: Sequence[Move]) -> Iterator[tuple[Log, Step]]:
    """Yield each append, with the log up to it."""
    driver = play(moves).driver
    for step in driver.steps:
        yield driver.log[: step.after.version], step


# ------------------------------------------------------------------ I1: the tombstone


def rolled_back_runs(log: Log) -> set[str]:
    return {recorded.event.run_id for recorded in log if isinstance(recorded.event, RunRolledBack)}


def without_rolled_back_runs(log: Log) -> list[RecordedEvent]:
    """The specification: all events of rolled-back runs are gone, but for the tombstones."""
    gone = rolled_back_runs(log)
    return [
        recorded
        for recorded in log
        if isinstance(recorded.event, RunRolledBack)
        or getattr(recorded.event, "run_id", None) not in gone
    ]


def rolled_back_runs_leave_no_trace(moves: Sequence[Move]) -> None:
    """I1: the fold of a log is that of the log without its rolled-back runs."""
    for log, step in appends(moves):
        if any(isinstance(event, RunRolledBack) for event in step.events):
            assert visible(fold(without_rolled_back_runs(log))) == visible(step.after)
    log = play(moves).driver.log
    assert visible(fold(without_rolled_back_runs(log))) == visible(fold(log))


def erased(event: ThreadEvent) -> ThreadEvent:  # noqa: C901 - one arm an event
    """Blank the payload of an event, as an erasure does; what the fold needs stays."""
    blank: dict[str, Any] = {}
    if isinstance(event, ItemsEvent):
        blank = {"items": (), "erased_items": len(event.items)}
    match event:
        case RunAccepted():
            nothing = {"input": None, "raw_input": None, "metadata": {}, "kwargs": {}}
            blank |= {**nothing, "is_erased": True}
        case StepRecorded():
            blank |= {"update": None, "deltas": {}, "node": "", "next": (), "is_erased": True}
        case StateUpdated():
            blank |= {"update": None, "deltas": {}, "is_erased": True}
        case ThreadCopied():
            blank |= {"channels": {}, "metadata": {}, "tasks": (), "error": None, "calls": ()}
        case ResultRecorded():
            blank |= {"result": None, "is_erased": True}
        case ThreadCreated():
            blank |= {"metadata": {}}
        case CheckpointRecorded():
            blank |= {"deltas": {}, "extra": {}, "metadata": None, "is_erased": True}
        case WritesRecorded():
            blank |= {"writes": (), "is_erased": True}
        case ToolCallRecorded():
            blank |= {"result": None, "is_erased": True}
        case RunEnded():
            blank |= {"tasks": (), "deltas": {}}
        case _:
            pass
    return event.model_copy(update=blank)


def erasure_changes_nothing_that_stands(moves: Sequence[Move]) -> None:
    """I9: the payloads of rolled-back runs, and of all before a deletion, can be blanked."""
    log = play(moves).driver.log
    gone = rolled_back_runs(log)
    deletions = [r.version for r in log if isinstance(r.event, ThreadDeleted)]
    last_deletion = max(deletions, default=0)
    blanked = [
        RecordedEvent("t1", r.version, r.position, r.recorded_at, erased(r.event))
        if r.version < last_deletion or getattr(r.event, "run_id", None) in gone
        else r
        for r in log
    ]
    after, before = fold(blanked), fold(log)
    assert visible(after) == visible(before)
    assert after.next_item == before.next_item
    for earlier, plain in zip(states(blanked), states(log), strict=True):
        is_told = earlier.state.is_erased or earlier.version < last_deletion
        if plain.base is not None and not is_told:  # Never a guess inside an erased span.
            assert visible_state(earlier.state, earlier.items) == visible_state(
                plain.state, plain.items
            )


# ------------------------------------------------------------------ I2: the fold


def the_fold_is_incremental(moves: Sequence[Move]) -> None:
    """I2: it makes no difference where a fold is cut in two."""
    driver = play(moves).driver
    whole = fold(driver.log)
    assert complete(driver.thread) == complete(whole)
    for version, thread in enumerate(states(driver.log)):
        assert thread.version == version
        assert complete(fold(driver.log[version:], thread)) == complete(whole)


def the_fold_never_changes_an_old_state(moves: Sequence[Move], others: Sequence[Move]) -> None:
    """I2: all threads that ever were stay as they were, also where two futures share one past."""
    world = World()
    old, portraits = [EMPTY_THREAD], [portrait(EMPTY_THREAD)]
    for move in moves:
        world.make(move)
        if world.driver.thread is not old[-1]:
            old.append(world.driver.thread)
            portraits.append(portrait(old[-1]))
    half = len(old) // 2
    for at in {0, half, len(old) - 1}:
        twin = world.fork()
        twin.driver.thread = old[at]
        twin.driver.log = world.driver.log[: old[at].version]
        twin.play(others)
        assert complete(fold(twin.driver.log)) == complete(twin.driver.thread)
        # And the first future again, on top of a past that has another future by now.
        assert complete(fold(world.driver.log[old[at].version :], old[at])) == complete(
            world.driver.thread
        )
    assert [portrait(thread) for thread in old] == portraits


def decided_events_always_fold(moves: Sequence[Move]) -> None:
    """I2: an event does to the thread what it says."""
    for _, step in appends(moves):
        thread, before = step.after, step.before
        assert thread.version == before.version + len(step.events)
        assert thread.next_item >= before.next_item
        for event in step.events:
            match event:
                case RunAccepted(run_id=run_id):
                    assert thread.runs[run_id].status == "pending"
                case RunStarted(run_id=run_id, attempt=attempt):
                    assert thread.runs[run_id].status == "running"
                    assert (thread.active, thread.runs[run_id].attempt) == (run_id, attempt)
                case RunEnded(run_id=run_id) | RunRolledBack(run_id=run_id):
                    assert run_id not in thread.runs
                    assert thread.active != run_id
                case ThreadDeleted():
                    assert (thread.is_present, thread.status) == (False, "idle")
                    assert not thread.values()
                case _:
                    pass
        assert (thread.base is None) == (thread.active is None)


# ------------------------------------------------------------------ I4, I7: one writer


def writes_of(run_id: str, attempt: int) -> list[Command]:
    """Return every write that an attempt can make."""
    fields = {"thread_id": "t1", "run_id": run_id, "attempt": attempt}
    values = {"plain": "zombie"}
    return [
        RecordStep(
            **fields,
            checkpoint_id="zombie",
            node="zombie",
            source="loop",
            next=(),
            update=values,
            changes={"plain": Replace("zombie")},
        ),
        RecordResult(**fields, name="zombie", result=1),
        SucceedRun(**fields),
        FailRun(**fields, error=ERROR),
        TimeOutRun(**fields, timeout_seconds=1),
        HandOverRun(**fields),
    ]


def only_the_active_attempt_writes(moves: Sequence[Move]) -> None:
    """I4, I7: at most one run is active; each write of any other attempt meets the fence."""
    world = play(moves)
    started: list[tuple[str, int]] = []
    for step in world.driver.steps:
        thread = step.after
        started += [
            (event.run_id, event.attempt) for event in step.events if isinstance(event, RunStarted)
        ]
        running = [run for run in thread.runs.values() if run.status == "running"]
        assert [run.run_id for run in running] in ([], [thread.active])
        live = [(run.run_id, run.attempt) for run in running]
        for run_id, attempt in {*started[-6:], *((run_id, 1) for run_id in thread.runs)}:
            for write in writes_of(run_id, attempt):
                if (run_id, attempt) in live:
                    assert decide(write, thread) != ()
                else:
                    with pytest.raises(StaleAttemptError):
                        decide(write, thread)


def outside_updates_wait_for_the_runs(moves: Sequence[Move]) -> None:
    """I8: nobody but the active run changes the state while runs are in flight."""
    update = UpdateState(
        thread_id="t1",
        checkpoint_id="outside",
        as_node=None,
        next=(),
        update={"plain": 1},
        changes={"plain": Replace(1)},
    )
    for _, step in appends(moves):
        if step.after.runs:
            with pytest.raises(ThreadBusyError):
                decide(update, step.after)


# ------------------------------------------------------------------ I5: order


def runs_start_in_order_of_due_time(moves: Sequence[Move]) -> None:
    """I5: of the runs that wait, the one that is due first starts first, ties as accepted."""
    waiting: dict[str, tuple[Any, int]] = {}
    begun: str | None = None
    for recorded in play(moves).driver.log:
        event = recorded.event
        match event:
            case RunAccepted():
                due = recorded.recorded_at + timedelta(seconds=event.after_seconds)
                waiting[event.run_id] = (due, recorded.version)
            case RunStarted():
                assert begun in (None, event.run_id), "one goes on before another begins"
                if begun is None:
                    first = min(waiting, key=lambda run_id: waiting[run_id])
                    assert event.run_id == first
                    assert recorded.recorded_at >= waiting[first][0]
                begun = event.run_id
                waiting.pop(event.run_id, None)
            case RunEnded(run_id=run_id) | RunRolledBack(run_id=run_id):
                waiting.pop(run_id, None)
                begun = None if begun == run_id else begun
            case ThreadDeleted():
                assert not waiting
            case _:
                pass


def every_accepted_run_ends_exactly_once(moves: Sequence[Move]) -> None:
    """I11: no run is forgotten, and none ends twice."""
    driver = play(moves).driver
    accepted: list[str] = []
    ended: list[str] = []
    for recorded in driver.log:
        match recorded.event:
            case RunAccepted(run_id=run_id):
                accepted.append(run_id)
            case RunEnded(run_id=run_id) | RunRolledBack(run_id=run_id):
                assert run_id in accepted
                ended.append(run_id)
            case _:
                pass
    assert len(accepted) == len(set(accepted))
    assert len(ended) == len(set(ended))
    assert set(accepted) - set(ended) == set(driver.thread.runs)


# ------------------------------------------------------------------ I6, I13: stored forms


def restored(thread: Thread, *, is_text: bool = False) -> Thread:
    """Send a thread through its snapshot as JSON text; `is_text`: items stay text until they are read."""
    body = json.loads(json.dumps(to_snapshot(thread), allow_nan=False))
    if is_text:
        body["items"] = [
            (first, [json.dumps(value).encode() for value in values])
            for first, values in body["items"]
        ]
    return from_snapshot(body)


def a_snapshot_and_the_tail_are_the_whole(moves: Sequence[Move]) -> None:
    """I6: at every version, also in mid-run; and what is restored decides alike, rollback too."""
    driver = play(moves).driver
    for version, thread in enumerate(states(driver.log)):
        twin = restored(thread, is_text=version % 2 == 1)
        assert complete(twin) == complete(thread)
        assert complete(fold(driver.log[version:], twin)) == complete(driver.thread)
        for command in (*_rollbacks(thread), *_next_writes(thread)):
            events = decide(command, thread)
            assert decide(command, twin) == events
            tail = recorded_after(events, thread)
            assert complete(fold(tail, twin)) == complete(fold(tail, thread))
    for step in driver.steps:  # What was decided next is decided again.
        assert decide(step.command, restored(step.before)) == step.events


def _rollbacks(thread: Thread) -> list[Command]:
    return [CancelRun(thread_id="t1", run_id=run_id, action="rollback") for run_id in thread.runs]


def _next_writes(thread: Thread) -> list[Command]:
    run = thread.runs.get(thread.active or "")
    if run is None or run.status != "running":
        return []
    given = run.accepted.input
    values = {} if given is None else read_values(decode_object(given), thread.items)
    again = copy.deepcopy(values)
    return [
        RecordStep(
            thread_id="t1",
            run_id=run.run_id,
            attempt=run.attempt,
            checkpoint_id="next",
            node="",
            source="input",
            next=(),
            update=again,
            changes={name: Replace(value) for name, value in again.items()},
        )
    ]


def recorded_after(events: Iterable[ThreadEvent], thread: Thread) -> list[RecordedEvent]:
    at = thread.version
    return [
        RecordedEvent("t1", version, version, thread.updated_at, event)
        for version, event in enumerate(events, at + 1)
    ]


def events_survive_their_stored_form(moves: Sequence[Move]) -> None:
    """I13: what is read is what was written, with the defaults left out."""
    log = play(moves).driver.log
    again: list[RecordedEvent] = []
    for r in log:
        stored = json.loads(r.event.model_dump_json(exclude_defaults=True))
        event = EVENT.validate_python({"type": type(r.event).__name__, **stored})
        assert event == r.event
        assert text(event.model_dump(mode="json")) == text(r.event.model_dump(mode="json"))
        again.append(RecordedEvent(r.thread_id, r.version, r.position, r.recorded_at, event))
    assert complete(fold(again)) == complete(fold(log))


# ------------------------------------------------------------------ I8: what a run leaves


def a_rollback_puts_the_base_back(moves: Sequence[Move]) -> None:
    """I8: after a rollback, the state is the one that the run's first attempt began on."""
    bases: dict[str, Any] = {}
    for _, step in appends(moves):
        before, after = step.before, step.after
        stands = visible_state(before.state, before.items)
        gone = {event.run_id for event in step.events if isinstance(event, RunRolledBack)}
        for event in step.events:
            if isinstance(event, RunStarted):
                bases.setdefault(event.run_id, stands)
                begun = visible_state(after.state, after.items)
                assert begun == bases[event.run_id], "each attempt begins on the base"
        if gone and after.is_present:
            expected = bases[before.active] if before.active in gone else stands
            assert visible_state(after.state, after.items) == expected


def an_interrupted_run_leaves_its_work(moves: Sequence[Move]) -> None:
    """I8: any other end keeps what was done, and a run that never began leaves nothing."""
    for _, step in appends(moves):
        before, after = step.before, step.after
        if not any(isinstance(event, RunEnded) for event in step.events):
            continue
        assert text(after.values()) == text(before.values())
        assert after.state.checkpoint == before.state.checkpoint
        for event in step.events:
            if isinstance(event, RunEnded) and event.run_id != before.active:
                assert (event.next, event.tasks) == ((), ())
            elif isinstance(event, RunEnded) and event.type == "RunInterrupted":
                assert (after.state.next, after.state.tasks) == (
                    before.state.next,
                    before.state.tasks,
                )


# ------------------------------------------------------------------ I9: copies, items


def a_copy_is_what_stands_without_the_run_in_flight(moves: Sequence[Move]) -> None:
    """I9: a copy holds the base, not the work, and nothing of rolled-back runs."""
    for log, step in appends(moves):
        source = step.after
        command = CopyThread(thread_id="t2", source_thread_id="t1", source=source)
        if not source.is_present:
            continue
        (event,) = decide(command, EMPTY_THREAD)
        assert isinstance(event, ThreadCopied)
        copied = evolve(EMPTY_THREAD, RecordedEvent("t2", 1, 1, source.updated_at, event))
        state = source.state if source.base is None else source.base
        idle = fold(
            recorded_after((RunRolledBack(run_id=run.run_id) for run in source.in_order()), source),
            source,
        )
        assert text(copied.values()) == text(idle.values())
        assert copied.status == idle.status
        assert (copied.state.next, copied.state.error) == (state.next, state.error)
        assert copied.metadata == source.metadata
        assert copied.state.checkpoint_id == state.checkpoint_id
        gone = _items_of(log, rolled_back_runs(log))
        kept = [text(source.items[number]) for number in range(len(source.items))]
        only_gone = {kept[number] for number in gone} - {
            kept[number] for number in range(len(kept)) if number not in gone
        }
        assert not only_gone & {text(item) for item in event.items}


def references(event: ThreadEvent) -> set[int]:
    """Return the numbers of all items that an event refers to."""
    found: set[int] = set()

    def look(value: Any) -> None:
        match value:
            case {"op": "item", "item": number}:
                found.add(number)
            case {"op": "list" | "splice", "items": ranges}:
                found.update(n for start, stop in ranges for n in range(start, stop))
            case {"op": "list" | "splice"}:
                pass

    encoded = [
        *(getattr(event, "input", None) or {}).values(),
        *(getattr(event, "update", None) or {}).values(),
        *(getattr(event, "deltas", None) or {}).values(),
        *(getattr(event, "channels", None) or {}).values(),
    ]
    for one in encoded:
        look(one.model_dump())
    return found


def _items_of(log: Log, run_ids: set[str]) -> set[int]:
    return {
        number
        for recorded in log
        if isinstance(recorded.event, ItemsEvent)
        and getattr(recorded.event, "run_id", None) in run_ids
        for number in range(
            recorded.event.first_item, recorded.event.first_item + len(recorded.event.items)
        )
    }


def item_numbers_are_used_once(moves: Sequence[Move]) -> None:
    """I9: a number never names a second item, and no event refers to what may be erased."""
    log = play(moves).driver.log
    owner: dict[int, str | None] = {}
    next_item = 0
    in_flight: set[str] = set()
    gone: set[str] = set()
    forgotten: set[int] = set()
    for recorded in log:
        event = recorded.event
        own = getattr(event, "run_id", None)
        match event:
            case RunAccepted(run_id=run_id):
                in_flight.add(run_id)
            case RunRolledBack(run_id=run_id):
                in_flight.discard(run_id)
                gone.add(run_id)
            case RunEnded(run_id=run_id):
                in_flight.discard(run_id)
            case ThreadDeleted():
                forgotten.update(owner)
            case _:
                pass
        if isinstance(event, ItemsEvent):
            if event.items:
                assert event.first_item == next_item
            for number in range(next_item, next_item + len(event.items)):
                owner[number] = own
            next_item += len(event.items)
        for number in references(event):
            assert number in owner, "refers to an item that nobody brought"
            assert owner[number] not in gone, "refers to an item of a rolled-back run"
            assert number not in forgotten, "refers to an item of a deleted thread"
            assert owner[number] == own or owner[number] not in in_flight, "may be rolled back"


# ------------------------------------------------------------------ I10, I14, I15: commands


def a_strategy_does_what_it_promises(moves: Sequence[Move]) -> None:
    """I10: it decides over all runs in flight, and the new one is in flight after it."""
    for _, step in appends(moves):
        command = step.command
        if not isinstance(command, SubmitRun):
            continue
        old, new = set(step.before.runs), set(step.after.runs)
        match command.multitask_strategy:
            case "reject":
                assert not old
            case "enqueue":
                assert new == {*old, command.run_id}
            case "interrupt" | "rollback":
                assert new == {command.run_id}


def deciding_twice_changes_nothing(moves: Sequence[Move]) -> None:
    """I15: a command that comes a second time finds its work done, or is refused."""
    world = play(moves)
    driver = world.driver
    ended: set[str] = set()
    for step in driver.steps:
        command = step.command
        for event in step.events:
            if isinstance(event, RunEnded):
                ended.add(event.run_id)
            elif event.type == "RunDeleted":
                ended.discard(event.run_id)
        if isinstance(command, DeleteRun):  # The caller looks the run up each time.
            command = DeleteRun(
                thread_id="t1", run_id=command.run_id, is_ended=command.run_id in ended
            )
        before = portrait(step.after)
        with suppress(RefusedError):
            assert decide(command, step.after) == ()
        assert portrait(step.after) == before
        # A retry that comes late is found in the record of runs, whatever became of the run.
        if isinstance(command, SubmitRun):
            with suppress(RefusedError):
                assert driver.decide(command) == ()


def a_refusal_leaves_nothing(moves: Sequence[Move]) -> None:
    """I10: rejected runs are in no log, and a refusal does not touch the thread."""
    world = play(moves)
    accepted = {r.event.run_id for r in world.driver.log if isinstance(r.event, RunAccepted)}
    for command, _ in world.refused:
        if isinstance(command, SubmitRun) and command.run_id not in world.driver.accepted:
            assert command.run_id not in accepted
            assert command.run_id not in world.driver.thread.runs
    for one, other in pairwise(world.driver.steps):
        assert one.after is other.before, "only what was accepted moves the thread"


def nothing_of_a_deleted_thread_comes_back(moves: Sequence[Move]) -> None:
    """I14: the next life is as on an empty log, and all earlier runs are fenced off for good."""
    driver = play(moves).driver
    deletions = [r.version for r in driver.log if isinstance(r.event, ThreadDeleted)]
    if not deletions:
        return
    last = deletions[-1]
    life = visible(fold(driver.log[last:]))
    assert visible(driver.thread) == life
    new_runs = {r.event.run_id for r in driver.log[last:] if isinstance(r.event, RunAccepted)}
    for run_id, attempt in driver.attempts:
        if run_id not in new_runs:
            for write in writes_of(run_id, attempt):
                with pytest.raises(StaleAttemptError):
                    decide(write, driver.thread)
            start = StartRun(
                thread_id="t1", run_id=run_id, attempt=attempt + 1, holder="p", now=driver.now
            )
            with pytest.raises(StaleAttemptError):
                decide(start, driver.thread)


# ------------------------------------------------------------------ effects


def a_step_has_the_effect_that_its_reducers_made(moves: Sequence[Move]) -> None:
    """I1: deltas give exactly the values that the plain reducers gave."""
    for _, step in appends(moves):
        command = step.command
        if not isinstance(command, RecordStep | UpdateState):
            continue
        expected = step.before.values()
        for name, change in command.changes.items():
            expected[name] = applied(expected.get(name), change)
        assert text(step.after.values()) == text(expected)
        (event,) = step.events
        assert isinstance(event, StepRecorded | StateUpdated)
        if command.update is not None and getattr(event, "source", "") != "input":
            given = read_values(decode_object(update_of(event)), step.after.items)
            assert text(given) == text(command.update)


LAWS: tuple[Callable[[Sequence[Move]], None], ...] = (
    rolled_back_runs_leave_no_trace,
    erasure_changes_nothing_that_stands,
    the_fold_is_incremental,
    decided_events_always_fold,
    only_the_active_attempt_writes,
    outside_updates_wait_for_the_runs,
    runs_start_in_order_of_due_time,
    every_accepted_run_ends_exactly_once,
    a_snapshot_and_the_tail_are_the_whole,
    events_survive_their_stored_form,
    a_rollback_puts_the_base_back,
    an_interrupted_run_leaves_its_work,
    a_copy_is_what_stands_without_the_run_in_flight,
    item_numbers_are_used_once,
    a_strategy_does_what_it_promises,
    deciding_twice_changes_nothing,
    a_refusal_leaves_nothing,
    nothing_of_a_deleted_thread_comes_back,
    a_step_has_the_effect_that_its_reducers_made,
)
"""Those that take one history. `the_fold_never_changes_an_old_state` takes two."""
