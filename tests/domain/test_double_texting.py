"""Double texting: strategy x situation, each cell one test; then what else may happen to a busy thread."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.driver import START, Driver, recorded
from tests.support.given import given
from tests.support.visible import visible, visible_state
from threadfold.domain.changes import Replace
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
from threadfold.domain.deltas import SetValue
from threadfold.domain.errors import (
    InvalidInputError,
    QueueFullError,
    RunEndedError,
    RunExistsError,
    RunNotDueError,
    RunNotFoundError,
    StaleAttemptError,
    ThreadBusyError,
    ThreadExistsError,
    ThreadNotFoundError,
)
from threadfold.domain.events import (
    ResultRecorded,
    RunAccepted,
    RunDeleted,
    RunError,
    RunFailed,
    RunHandedOver,
    RunInterrupted,
    RunRolledBack,
    RunStarted,
    RunSucceeded,
    RunTimedOut,
    StateUpdated,
    StepRecorded,
    Task,
    ThreadCopied,
    ThreadCreated,
    ThreadDeleted,
    ThreadEvent,
    ThreadPatched,
)
from threadfold.domain.strategies import STRATEGIES, MultitaskStrategy
from threadfold.domain.thread import fold

BOOM = RunError(error="ValueError", message="boom")


def accepted(
    run_id: str, strategy: MultitaskStrategy = "enqueue", after_seconds: float = 0
) -> RunAccepted:
    return RunAccepted(
        run_id=run_id,
        assistant_id="a1",
        graph_id="agent",
        multitask_strategy=strategy,
        after_seconds=after_seconds,
    )


def submit(
    strategy: MultitaskStrategy = "enqueue", run_id: str = "new", after_seconds: float = 0
) -> SubmitRun:
    return SubmitRun(
        thread_id="t1",
        run_id=run_id,
        assistant_id="a1",
        graph_id="agent",
        multitask_strategy=strategy,
        after_seconds=after_seconds,
    )


def started(run_id: str, attempt: int = 1) -> RunStarted:
    return RunStarted(run_id=run_id, attempt=attempt, holder="p1")


def start(run_id: str, attempt: int = 1, *, after: float = 3600) -> StartRun:
    """Start a run at `after` seconds on the test's clock: by default when all is long due."""
    now = START + timedelta(seconds=after)
    return StartRun(thread_id="t1", run_id=run_id, attempt=attempt, holder="p1", now=now)


def stepped(run_id: str, said: str, attempt: int = 1, next: tuple[str, ...] = ()) -> StepRecorded:
    return StepRecorded(
        run_id=run_id,
        attempt=attempt,
        checkpoint_id=f"c-{said}",
        node="agent",
        next=next,
        deltas={"said": SetValue(op="set", value=said)},
    )


def step(run_id: str, said: str, attempt: int = 1) -> RecordStep:
    return RecordStep(
        thread_id="t1",
        run_id=run_id,
        attempt=attempt,
        checkpoint_id=f"c-{said}",
        node="agent",
        source="loop",
        next=(),
        update={"said": said},
        changes={"said": Replace(said)},
    )


def interrupted(run_id: str, *next_nodes: str, by: str | None = "new") -> RunInterrupted:
    reason = "cancelled" if by is None else "double_text"
    return RunInterrupted(run_id=run_id, reason=reason, by_run_id=by, next=next_nodes)


def rolled_back(run_id: str, by: str | None = "new") -> RunRolledBack:
    return RunRolledBack(
        run_id=run_id, reason="cancelled" if by is None else "double_text", by_run_id=by
    )


GRAPH = ThreadPatched(metadata={"graph_id": "agent", "assistant_id": "a1"})
EMPTY: tuple[ThreadEvent, ...] = (ThreadCreated(), GRAPH)
IDLE = (
    *EMPTY,
    accepted("r0"),
    started("r0"),
    stepped("r0", "before"),
    RunSucceeded(run_id="r0", attempt=1),
)
RUNNING = (*IDLE, accepted("r1"), started("r1"), stepped("r1", "half", next=("tools",)))
PENDING = (*IDLE, accepted("r1"))
SEVERAL = (*RUNNING, accepted("r2"), accepted("r3"))


# ------------------------------------------------------------------ nothing in flight


def test_reject_with_nothing_in_flight_accepts_the_run() -> None:
    given(*IDLE).when(submit("reject")).then(accepted("new", "reject"))


def test_enqueue_with_nothing_in_flight_starts_on_what_stands() -> None:
    log = given(*IDLE).when(submit("enqueue")).then(accepted("new"))
    assert log.when(start("new")).then(started("new")).thread.values() == {"said": "before"}


def test_interrupt_with_nothing_in_flight_leaves_the_ended_run_alone() -> None:
    log = given(*IDLE).when(submit("interrupt")).then(accepted("new", "interrupt"))
    assert log.thread.last_run is not None
    assert log.thread.last_run.status == "success"


def test_rollback_with_nothing_in_flight_keeps_what_ended_runs_did() -> None:
    log = given(*IDLE).when(submit("rollback")).then(accepted("new", "rollback"))
    assert log.thread.values() == {"said": "before"}


def test_rollback_after_a_cancelled_run_keeps_its_finished_steps() -> None:
    ended = (*RUNNING, interrupted("r1", "tools", by=None))
    log = given(*ended).when(submit("rollback")).then(accepted("new", "rollback"))
    assert log.thread.values() == {"said": "half"}


# ------------------------------------------------------------------ one running


def test_reject_while_a_run_is_running_is_refused_and_names_it() -> None:
    error = given(*RUNNING).when(submit("reject")).then_raises(ThreadBusyError, "already running")
    assert isinstance(error, ThreadBusyError)
    assert error.run_ids == ("r1",)


def test_enqueue_while_a_run_is_running_waits_for_its_end() -> None:
    log = given(*RUNNING).when(submit("enqueue")).then(accepted("new"))
    log.when(start("new")).then_raises(RunNotDueError)
    end = SucceedRun(thread_id="t1", run_id="r1", attempt=1)
    after = log.when(end).then(RunSucceeded(run_id="r1", attempt=1)).when(start("new"))
    assert after.then(started("new")).thread.values() == {"said": "half"}


def test_interrupt_while_a_run_is_running_stops_it_and_keeps_its_steps() -> None:
    log = given(*RUNNING).when(submit("interrupt"))
    log = log.then(interrupted("r1", "tools"), accepted("new", "interrupt"))
    assert log.thread.values() == {"said": "half"}
    assert log.thread.state.next == ("tools",)
    assert [run.run_id for run in log.thread.in_order()] == ["new"]
    log.when(step("r1", "late")).then_raises(StaleAttemptError)


def test_rollback_while_a_run_is_running_tombstones_it_before_the_new_one_is_accepted() -> None:
    log = given(*RUNNING).when(submit("rollback"))
    log = log.then(rolled_back("r1"), accepted("new", "rollback"))
    idle = given(*IDLE).thread
    assert visible_state(log.thread.state, log.thread.items) == visible_state(
        idle.state, idle.items
    )
    log.when(step("r1", "late")).then_raises(StaleAttemptError)


# ------------------------------------------------------------------ pending only


def test_reject_while_a_run_is_pending_is_refused() -> None:
    given(*PENDING).when(submit("reject")).then_raises(ThreadBusyError)


def test_enqueue_while_a_run_is_pending_stands_behind_it() -> None:
    log = given(*PENDING).when(submit("enqueue")).then(accepted("new"))
    assert [run.run_id for run in log.thread.in_order()] == ["r1", "new"]
    log.when(start("new")).then_raises(RunNotDueError)


def test_interrupt_while_a_run_is_pending_ends_it_and_its_input_never_applies() -> None:
    log = given(*PENDING).when(submit("interrupt"))
    log = log.then(interrupted("r1"), accepted("new", "interrupt"))
    assert log.thread.values() == {"said": "before"}
    log.when(start("r1")).then_raises(StaleAttemptError)


def test_rollback_while_a_run_is_pending_removes_it() -> None:
    log = given(*PENDING).when(submit("rollback"))
    log = log.then(rolled_back("r1"), accepted("new", "rollback"))
    assert [run.run_id for run in log.thread.in_order()] == ["new"]
    assert log.thread.last_run is not None
    assert log.thread.last_run.run_id == "r0"


# ------------------------------------------------------------------ several in flight


def test_reject_while_several_are_in_flight_is_refused_and_names_all() -> None:
    error = given(*SEVERAL).when(submit("reject")).then_raises(ThreadBusyError)
    assert isinstance(error, ThreadBusyError)
    assert error.run_ids == ("r1", "r2", "r3")


def test_enqueue_while_several_are_in_flight_goes_to_the_end_of_the_line() -> None:
    log = given(*SEVERAL).when(submit("enqueue")).then(accepted("new"))
    assert [run.run_id for run in log.thread.in_order()] == ["r1", "r2", "r3", "new"]


def test_interrupt_while_several_are_in_flight_ends_all_and_only_the_running_one_leaves_data() -> (
    None
):
    log = given(*SEVERAL).when(submit("interrupt"))
    log = log.then(
        interrupted("r1", "tools"),
        interrupted("r2"),
        interrupted("r3"),
        accepted("new", "interrupt"),
    )
    assert log.thread.values() == {"said": "half"}


def test_rollback_while_several_are_in_flight_removes_running_and_queued_alike() -> None:
    log = given(*SEVERAL).when(submit("rollback"))
    log = log.then(
        rolled_back("r1"), rolled_back("r2"), rolled_back("r3"), accepted("new", "rollback")
    )
    assert log.thread.values() == {"said": "before"}
    assert [run.run_id for run in log.thread.in_order()] == ["new"]


def test_rollback_ten_times_in_a_row_leaves_the_last_run_alone() -> None:
    driver = Driver()
    driver.append(RUNNING)
    for number in range(10):
        driver.execute(submit("rollback", f"b{number}"))
        driver.execute(start(f"b{number}"))
        driver.execute(step(f"b{number}", f"said {number}"))
    assert [run.run_id for run in driver.thread.in_order()] == ["b9"]
    driver.execute(CancelRun(thread_id="t1", run_id="b9", action="rollback"))
    assert driver.thread.values() == {"said": "before"}


# ------------------------------------------------------------------ the whole of a run's first request


def test_the_first_run_of_an_unknown_thread_is_refused_unless_it_may_create_it() -> None:
    given().when(submit()).then_raises(ThreadNotFoundError)
    create = replace(submit(), if_not_exists="create")
    given().when(create).then(ThreadCreated(), GRAPH, accepted("new"))


def test_the_name_of_the_graph_stays_when_the_first_run_is_rolled_back() -> None:
    driver = Driver()
    driver.execute(CreateThread(thread_id="t1", metadata={"user": "u1"}))
    driver.execute(submit(run_id="r1"))
    driver.execute(CancelRun(thread_id="t1", run_id="r1", action="rollback"))
    assert driver.thread.metadata == {"user": "u1", "graph_id": "agent", "assistant_id": "a1"}


def test_a_full_queue_refuses_more_but_not_what_empties_it() -> None:
    full = replace(submit(), runs_in_flight_max=3)
    error = given(*SEVERAL).when(full).then_raises(QueueFullError, "3 runs in flight")
    assert isinstance(error, QueueFullError)
    assert error.runs_max == 3
    emptying = replace(full, multitask_strategy="rollback")
    assert len(given(*SEVERAL).when(emptying).then_thread().runs) == 1


def test_an_input_that_is_no_object_is_kept_as_it_is() -> None:
    thread = given(*IDLE).when(replace(submit(), input=["raw", 1])).then_thread()
    run = thread.runs["new"]
    assert (run.accepted.input, run.accepted.raw_input) == (None, ["raw", 1])


# ------------------------------------------------------------------ retries of a request


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_retry_of_a_run_in_flight_changes_nothing(strategy: MultitaskStrategy) -> None:
    """I15."""
    given(*RUNNING).when(submit(strategy, "r1")).then_nothing()
    given(*PENDING).when(submit(strategy, "r1")).then_nothing()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("end", [RunSucceeded(run_id="r1", attempt=1), rolled_back("r1")])
def test_a_retry_of_an_ended_run_is_found_in_the_record_of_runs(
    strategy: MultitaskStrategy, end: ThreadEvent
) -> None:
    """I15: also of one that was rolled back; it does not get in again."""
    driver = Driver()
    driver.append((*RUNNING, end))
    before = visible(driver.thread)
    with pytest.raises(RunExistsError):
        driver.execute(submit(strategy, "r1"))
    assert visible(driver.thread) == before


# ------------------------------------------------------------------ cancel


def test_cancel_of_the_running_run_keeps_its_steps_and_what_stood_open() -> None:
    log = given(*RUNNING).when(CancelRun(thread_id="t1", run_id="r1"))
    log = log.then(interrupted("r1", "tools", by=None))
    assert (log.thread.status, log.thread.values()) == ("interrupted", {"said": "half"})


def test_cancel_with_rollback_of_the_running_run_puts_the_base_back() -> None:
    cancel = CancelRun(thread_id="t1", run_id="r1", action="rollback")
    log = given(*RUNNING).when(cancel).then(rolled_back("r1", by=None))
    assert (log.thread.status, log.thread.values()) == ("idle", {"said": "before"})


def test_cancel_of_a_pending_run_lets_the_others_go_on() -> None:
    log = given(*SEVERAL).when(CancelRun(thread_id="t1", run_id="r2"))
    log = log.then(interrupted("r2", by=None))
    assert [run.run_id for run in log.thread.in_order()] == ["r1", "r3"]
    assert log.thread.active == "r1"


def test_rollback_of_the_running_run_lets_the_queue_go_on_from_the_base() -> None:
    cancel = CancelRun(thread_id="t1", run_id="r1", action="rollback")
    log = given(*SEVERAL).when(cancel).then(rolled_back("r1", by=None))
    after = log.when(start("r2")).then(started("r2")).thread
    assert (after.values(), after.active) == ({"said": "before"}, "r2")


@pytest.mark.parametrize("run_id", ["r0", "never"])
def test_cancel_of_what_is_not_in_flight_is_refused(run_id: str) -> None:
    given(*RUNNING).when(CancelRun(thread_id="t1", run_id=run_id)).then_raises(RunEndedError)


def test_a_run_that_is_stopped_before_its_first_step_leaves_what_stood_open() -> None:
    task = Task(id="r0:ask", name="ask", interrupts=({"value": "sure?"},))
    waiting = (
        *EMPTY,
        accepted("r0"),
        started("r0"),
        stepped("r0", "asked", next=("ask",)),
        RunSucceeded(run_id="r0", attempt=1, next=("ask",), tasks=(task,)),
        accepted("r1"),
        started("r1"),
    )
    for stop in (
        CancelRun(thread_id="t1", run_id="r1"),
        submit("interrupt"),
        TimeOutRun(thread_id="t1", run_id="r1", attempt=1, timeout_seconds=1),
    ):
        thread = given(*waiting).when(stop).then_thread()
        assert (thread.state.next, thread.state.tasks) == (("ask",), (task,))


def test_a_rollback_brings_back_what_stood_open_and_the_error() -> None:
    failed = (
        *IDLE,
        accepted("r1"),
        started("r1"),
        stepped("r1", "half", next=("tools",)),
        RunFailed(run_id="r1", attempt=1, error=BOOM, next=("tools",)),
        accepted("r2"),
        started("r2"),
        stepped("r2", "more"),
    )
    cancel = CancelRun(thread_id="t1", run_id="r2", action="rollback")
    thread = given(*failed).when(cancel).then_thread()
    assert (thread.status, thread.state.error, thread.state.next) == ("error", BOOM, ("tools",))


# ------------------------------------------------------------------ delete


def test_delete_of_an_ended_run_hides_it_and_leaves_the_state() -> None:
    delete = DeleteRun(thread_id="t1", run_id="r0", is_ended=True)
    log = given(*IDLE).when(delete).then(RunDeleted(run_id="r0"))
    assert log.thread.last_run is None
    assert log.thread.values() == {"said": "before"}


def test_delete_of_an_older_run_leaves_the_last_one() -> None:
    log = (*RUNNING, RunSucceeded(run_id="r1", attempt=1))
    delete = DeleteRun(thread_id="t1", run_id="r0", is_ended=True)
    after = given(*log).when(delete).then(RunDeleted(run_id="r0")).thread
    assert after.last_run is not None
    assert after.last_run.run_id == "r1"


def test_delete_of_a_running_or_pending_run_is_a_rollback() -> None:
    for run_id in ("r1", "r2"):
        delete = DeleteRun(thread_id="t1", run_id=run_id, is_ended=False)
        tombstone = RunRolledBack(run_id=run_id, reason="deleted")
        given(*SEVERAL).when(delete).then(tombstone)


def test_delete_of_an_unknown_or_hidden_run_is_refused() -> None:
    delete = DeleteRun(thread_id="t1", run_id="r0", is_ended=False)
    given(*IDLE).when(delete).then_raises(RunNotFoundError)
    gone = replace(delete, is_ended=True)
    given(*IDLE, ThreadDeleted()).when(gone).then_raises(RunNotFoundError)


def test_delete_of_a_busy_thread_rolls_its_runs_back_first() -> None:
    ends = [RunRolledBack(run_id=run, reason="thread_deleted") for run in ("r1", "r2", "r3")]
    log = given(*SEVERAL).when(DeleteThread(thread_id="t1")).then(*ends, ThreadDeleted())
    assert not log.thread.is_present
    assert log.thread.values() == {}
    log.when(DeleteThread(thread_id="t1")).then_raises(ThreadNotFoundError)
    log.when(PatchThread(thread_id="t1", metadata={})).then_raises(ThreadNotFoundError)


def test_an_id_that_is_used_again_begins_empty_and_refuses_the_old_runs_writes() -> None:
    """I14."""
    driver = Driver()
    driver.append(SEVERAL)
    driver.execute(DeleteThread(thread_id="t1"))
    driver.execute(CreateThread(thread_id="t1", metadata={"life": 2}))
    assert driver.thread.values() == {}
    assert (driver.thread.metadata, driver.thread.last_run) == ({"life": 2}, None)
    driver.execute(submit(run_id="n1"))
    driver.execute(start("n1"))
    for late in (
        step("r1", "late"),
        RecordResult(thread_id="t1", run_id="r1", attempt=1, name="x", result=1),
        SucceedRun(thread_id="t1", run_id="r1", attempt=1),
        FailRun(thread_id="t1", run_id="r1", attempt=1, error=BOOM),
        TimeOutRun(thread_id="t1", run_id="r1", attempt=1, timeout_seconds=1),
        HandOverRun(thread_id="t1", run_id="r1", attempt=1),
        start("r1", 2),
        start("r2"),
    ):
        with pytest.raises(StaleAttemptError):
            driver.execute(late)
    assert driver.thread.values() == {}


# ------------------------------------------------------------------ copy, create, patch


def test_a_copy_of_a_busy_thread_holds_what_stands_without_the_run_in_flight() -> None:
    source = given(*SEVERAL).thread
    command = CopyThread(thread_id="t2", source_thread_id="t1", source=source)
    thread = given().when(command).then_thread()
    assert thread.values() == {"said": "before"}
    assert (thread.status, thread.state.next, dict(thread.runs)) == ("idle", (), {})
    assert thread.state.checkpoint_id == "c-before"
    assert thread.metadata == source.metadata


def test_a_copy_keeps_the_error_of_a_thread_that_failed_before_its_first_step() -> None:
    failed = (*EMPTY, accepted("r1"), started("r1"), RunFailed(run_id="r1", attempt=1, error=BOOM))
    source = given(*failed).thread
    command = CopyThread(thread_id="t2", source_thread_id="t1", source=source)
    thread = given().when(command).then_thread()
    assert (thread.status, thread.state.error) == ("error", BOOM)
    assert not thread.has_values


def test_a_copy_needs_a_source_and_a_free_id() -> None:
    here, gone = given(*IDLE).thread, given(*IDLE, ThreadDeleted()).thread
    onto = CopyThread(thread_id="t2", source_thread_id="t1", source=here)
    given(*IDLE).when(onto).then_raises(ThreadExistsError)
    error = given().when(replace(onto, source=gone)).then_raises(ThreadNotFoundError)
    assert isinstance(error, ThreadNotFoundError)
    assert error.thread_id == "t1"


def test_create_of_an_existing_thread_is_refused_or_does_nothing() -> None:
    create = CreateThread(thread_id="t1", metadata={"other": 1})
    given(*RUNNING).when(create).then_raises(ThreadExistsError)
    given(*RUNNING).when(replace(create, if_exists="do_nothing")).then_nothing()
    given().when(create).then(ThreadCreated(metadata={"other": 1}))


def test_a_patch_merges_at_the_top_and_is_not_rolled_back() -> None:
    patch = PatchThread(thread_id="t1", metadata={"a": 1})
    log = given(*RUNNING).when(patch).then(ThreadPatched(metadata={"a": 1}))
    log.when(patch).then_nothing()
    log.when(PatchThread(thread_id="t1", metadata={"a": True})).then(
        ThreadPatched(metadata={"a": True})
    )
    cancel = CancelRun(thread_id="t1", run_id="r1", action="rollback")
    assert log.when(cancel).then_thread().metadata["a"] == 1


# ------------------------------------------------------------------ updates from outside


def update(checkpoint_id: str = "u1") -> UpdateState:
    return UpdateState(
        thread_id="t1",
        checkpoint_id=checkpoint_id,
        as_node="agent",
        next=("tools",),
        update={"said": "outside"},
        changes={"said": Replace("outside")},
    )


@pytest.mark.parametrize("log", [RUNNING, PENDING, SEVERAL], ids=["running", "pending", "several"])
def test_an_update_from_outside_is_refused_while_runs_are_in_flight(
    log: tuple[ThreadEvent, ...],
) -> None:
    given(*log).when(update()).then_raises(ThreadBusyError, "Cancel it first")


def test_an_update_from_outside_is_a_step_of_nobody_and_is_not_made_twice() -> None:
    said = SetValue(op="set", value="outside")
    log = given(*IDLE).when(update())
    log = log.then(
        StateUpdated(
            checkpoint_id="u1",
            as_node="agent",
            next=("tools",),
            deltas={"said": said},
        )
    )
    assert (log.thread.status, log.thread.values()) == ("interrupted", {"said": "outside"})
    checkpoint = log.thread.state.checkpoint
    assert checkpoint is not None
    assert (checkpoint.step, checkpoint.parent_id, checkpoint.run_id) == (0, "c-before", None)
    log.when(update()).then_nothing()
    given().when(update()).then_raises(ThreadNotFoundError)


# ------------------------------------------------------------------ order


def test_a_delayed_run_is_overtaken_and_starts_when_it_is_due() -> None:
    """I5."""
    log = given(*IDLE).when(submit(run_id="later", after_seconds=60))
    log = log.then(accepted("later", after_seconds=60))
    log = log.when(submit(run_id="now")).then(accepted("now"))
    assert [run.run_id for run in log.thread.in_order()] == ["now", "later"]
    log.when(start("later")).then_raises(RunNotDueError)
    end = SucceedRun(thread_id="t1", run_id="now", attempt=1)
    log = log.when(start("now")).then(started("now")).when(end)
    log = log.then(RunSucceeded(run_id="now", attempt=1))
    log.when(start("later", after=60)).then_raises(RunNotDueError)
    log.when(start("later", after=7 + 60)).then(started("later"))


def test_runs_that_are_due_at_one_time_start_as_accepted() -> None:
    """I5."""
    log = (*IDLE, accepted("late", after_seconds=2), accepted("b", after_seconds=1), accepted("c"))
    thread = given(*log).thread
    assert {run.due_at for run in thread.runs.values()} == {START + timedelta(seconds=9)}
    assert [run.run_id for run in thread.in_order()] == ["late", "b", "c"]


def test_a_delayed_run_counts_as_in_flight() -> None:
    log = (*IDLE, accepted("later", after_seconds=60))
    given(*log).when(submit("reject")).then_raises(ThreadBusyError)
    given(*log).when(submit("rollback")).then(rolled_back("later"), accepted("new", "rollback"))
    given(*log).when(update()).then_raises(ThreadBusyError)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e12])
def test_a_delay_that_makes_no_sense_is_refused(seconds: float) -> None:
    given(*IDLE).when(submit(after_seconds=seconds)).then_raises(InvalidInputError, "after_seconds")


# ------------------------------------------------------------------ attempts


def test_a_lost_process_is_followed_by_an_attempt_that_begins_on_the_base() -> None:
    log = given(*RUNNING).when(start("r1", 2)).then(started("r1", 2))
    assert log.thread.values() == {"said": "before"}
    log.when(step("r1", "late")).then_raises(StaleAttemptError)
    log = log.when(step("r1", "again", 2)).then(stepped("r1", "again", 2))
    log.when(step("r1", "again", 2)).then_nothing()
    after = log.when(submit("rollback")).then_thread()
    assert after.values() == {"said": "before"}


def test_a_result_is_kept_for_the_next_attempt_and_recorded_once() -> None:
    result = RecordResult(thread_id="t1", run_id="r1", attempt=1, name="pay", result={"paid": 1})
    log = given(*RUNNING).when(result)
    log = log.then(ResultRecorded(run_id="r1", attempt=1, name="pay", result={"paid": 1}))
    log.when(replace(result, result="twice")).then_nothing()
    log = log.when(start("r1", 2)).then(started("r1", 2))
    assert log.thread.runs["r1"].results == {"pay": {"paid": 1}}
    log.when(replace(result, attempt=2)).then_nothing()


def test_a_hand_over_makes_the_run_pending_and_it_goes_on_before_all_others() -> None:
    hand_over = HandOverRun(thread_id="t1", run_id="r1", attempt=1)
    log = given(*SEVERAL).when(hand_over).then(RunHandedOver(run_id="r1", attempt=1))
    assert log.thread.runs["r1"].status == "pending"
    assert log.thread.active == "r1"
    log.when(step("r1", "late")).then_raises(StaleAttemptError)
    log.when(hand_over).then_raises(StaleAttemptError)
    log.when(start("r2")).then_raises(RunNotDueError)
    log.when(start("r1", 2)).then(started("r1", 2))
    assert log.when(submit("rollback")).then_thread().values() == {"said": "before"}
    assert log.when(submit("interrupt")).then_thread().values() == {"said": "half"}


def test_a_run_fails_when_its_process_was_lost_in_three_attempts() -> None:
    log = (*RUNNING, started("r1", 2), started("r1", 3), stepped("r1", "third", 3, ("tools",)))
    error = RunError(error="AttemptsExhausted", message="its process was lost in 3 attempts")
    shown = "AttemptsExhausted('its process was lost in 3 attempts')"
    task = Task(id="r1:tools", name="tools", error=shown)
    end = RunFailed(run_id="r1", attempt=3, error=error, next=("tools",), tasks=(task,))
    after = given(*log).when(start("r1", 4)).then(end).thread
    assert (after.status, after.values()) == ("error", {"said": "third"})


def test_an_attempt_that_was_handed_over_does_not_count_as_lost() -> None:
    hand_over = RunHandedOver(run_id="r1", attempt=2)
    log = (*RUNNING, started("r1", 2), hand_over, started("r1", 3))
    log = given(*log).when(start("r1", 4)).then(started("r1", 4))
    assert log.when(start("r1", 5)).then_thread().status == "error"


def test_a_run_that_may_not_be_tried_at_all_fails_and_leaves_no_work() -> None:
    given_up = replace(start("r1"), attempts_max=0)
    thread = given(*PENDING).when(given_up).then_thread()
    assert (thread.status, thread.values()) == ("error", {"said": "before"})


@pytest.mark.parametrize("attempt", [1, 3])
def test_an_attempt_out_of_turn_is_stale(attempt: int) -> None:
    given(*RUNNING).when(start("r1", attempt)).then_raises(StaleAttemptError)


# ------------------------------------------------------------------ ends


def test_a_run_that_took_too_long_ends_and_its_finished_steps_stay() -> None:
    time_out = TimeOutRun(thread_id="t1", run_id="r1", attempt=1, timeout_seconds=2.5)
    end = RunTimedOut(run_id="r1", attempt=1, timeout_seconds=2.5, next=("tools",))
    thread = given(*RUNNING).when(time_out).then(end).thread
    error = RunError(error="TimeoutError", message="the run took longer than 2.5 s")
    assert (thread.status, thread.state.error) == ("error", error)
    assert thread.last_run is not None
    assert thread.last_run.status == "timeout"
    assert thread.values() == {"said": "half"}


def test_a_run_that_failed_leaves_its_finished_steps_and_the_open_ones_as_tasks() -> None:
    fail = FailRun(thread_id="t1", run_id="r1", attempt=1, error=BOOM)
    task = Task(id="r1:tools", name="tools", error="ValueError('boom')")
    end = RunFailed(run_id="r1", attempt=1, error=BOOM, next=("tools",), tasks=(task,))
    thread = given(*RUNNING).when(fail).then(end).thread
    assert (thread.status, thread.state.tasks) == ("error", (task,))


def test_the_error_is_gone_with_the_next_success() -> None:
    log = (*IDLE, accepted("r1"), started("r1"), RunFailed(run_id="r1", attempt=1, error=BOOM))
    assert given(*log).thread.status == "error"
    again = (*log, accepted("r2"), started("r2"), RunSucceeded(run_id="r2", attempt=1))
    assert given(*again).thread.status == "idle"


def test_a_thread_is_busy_until_the_last_run_in_flight_has_ended() -> None:
    thread = given(*PENDING).thread
    assert (thread.status, thread.next_run()) == ("busy", thread.runs["r1"])
    running = given(*RUNNING).thread
    assert (running.status, running.next_run()) == ("busy", None)
    assert given(*IDLE).thread.next_run() is None


# ------------------------------------------------------------------ the fold on its own


def test_the_fold_ignores_what_names_a_run_that_is_not_there() -> None:
    """I7: it never raises, and never judges."""
    idle = given(*IDLE).thread
    for event in (
        started("never"),
        stepped("never", "x"),
        ResultRecorded(run_id="never", attempt=1, name="x", result=1),
        RunHandedOver(run_id="never", attempt=1),
        RunSucceeded(run_id="never", attempt=1),
        rolled_back("never"),
        RunDeleted(run_id="never"),
    ):
        assert visible(given(*IDLE, event).thread) == visible(idle)


def test_a_copied_thread_folds_to_the_state_of_its_source() -> None:
    event = ThreadCopied(
        source_thread_id="t0",
        source_version=7,
        first_item=0,
        items=("long",),
        channels={"said": SetValue(op="set", value="hi")},
        checkpoint_id="c9",
        step=4,
        next=("tools",),
    )
    thread = fold(recorded([event]))
    assert (thread.values(), thread.status) == ({"said": "hi"}, "interrupted")
    assert thread.state.checkpoint is not None
    assert (thread.state.checkpoint.source, thread.state.checkpoint.step) == ("fork", 4)


def test_a_state_reaches_many_checkpoints_back_but_not_all() -> None:
    driver = Driver()
    driver.append((*EMPTY, accepted("r1"), started("r1")))
    for number in range(300):
        driver.execute(step("r1", str(number)))
    said: list[str] = []
    state = driver.thread.state
    while state is not None:
        said.append(str(state.channels["said"]))
        state = state.parent
    assert said == [str(299 - at) for at in range(len(said))]
    assert 64 <= len(said) <= 128
