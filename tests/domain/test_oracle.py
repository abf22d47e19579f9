"""An oracle: whatever is done to a thread, it agrees with a naive model that knows no events."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.driver import Driver
from tests.support.moves import ERROR
from threadfold.domain.changes import Splice
from threadfold.domain.commands import (
    CancelRun,
    DeleteThread,
    FailRun,
    HandOverRun,
    RecordStep,
    StartRun,
    SubmitRun,
    SucceedRun,
    TimeOutRun,
    UpdateState,
)
from threadfold.domain.errors import RefusedError

if TYPE_CHECKING:
    from datetime import datetime

    from threadfold.domain.commands import Command
    from threadfold.domain.strategies import MultitaskStrategy

ATTEMPTS_MAX = 3


@dataclass
class ModelState:
    """What a thread says."""

    messages: list[str] = field(default_factory=list)
    next: tuple[str, ...] = ()
    error: str | None = None


@dataclass
class ModelRun:
    """A run in flight; `saved` is a copy of the state that it began on."""

    run_id: str
    due: datetime
    number: int
    attempt: int = 0
    handed_over: int = 0
    is_running: bool = False
    saved: ModelState | None = None


class Model:
    """The promise, as plainly as it can be said: lists that are changed in place, and whole copies."""

    def __init__(self) -> None:
        self.is_present = False
        self.state = ModelState()
        self.runs: list[ModelRun] = []

    @property
    def running(self) -> ModelRun | None:
        return next((run for run in self.runs if run.is_running), None)

    def begun_first(self) -> list[ModelRun]:
        return sorted(self.runs, key=lambda run: (run.saved is None, run.due, run.number))

    def submit(self, run: ModelRun, strategy: MultitaskStrategy) -> str:
        if strategy == "reject" and self.runs:
            return "ThreadBusyError"
        self.is_present = True
        if strategy in ("interrupt", "rollback"):
            for old in [*self.runs]:
                self.stop(old, strategy)
        self.runs.append(run)
        return "ok"

    def stop(self, run: ModelRun, how: str) -> None:
        self.runs.remove(run)
        if how == "rollback" and run.saved is not None:
            self.state = run.saved
        elif run.saved is not None:
            self.state.error = None

    def start(self, run: ModelRun) -> None:
        if run.attempt - run.handed_over >= ATTEMPTS_MAX:
            self.end(run, "AttemptsExhausted")
            return
        if run.saved is None:
            run.saved = self.state
        self.state = copy.deepcopy(run.saved)
        run.attempt += 1
        run.is_running = True

    def end(self, run: ModelRun, error: str | None) -> None:
        self.runs.remove(run)
        self.state.error = error
        if error is None:
            self.state.next = ()

    def said(self, text: str, next_nodes: tuple[str, ...]) -> None:
        self.state.messages.append(text)
        self.state.next = next_nodes
        self.state.error = None

    @property
    def status(self) -> str:
        if self.runs:
            return "busy"
        if self.state.error is not None:
            return "error"
        return "interrupted" if self.state.next else "idle"


strategies = st.sampled_from(["reject", "enqueue", "enqueue", "interrupt", "rollback"])
nodes = st.sampled_from([(), ("tools",)])
indexes = st.integers(0, 5)


class ThreadAgreesWithTheModel(RuleBasedStateMachine):
    """Each rule does one thing to both, and compares what came of it."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = Driver()
        self.model = Model()
        self.count = 0

    def new(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def outcome(self, command: Command) -> str:
        try:
            self.driver.execute(command)
        except RefusedError as error:
            return type(error).__name__
        return "ok"

    def splice(self, text: str) -> dict[str, Splice]:
        return {"messages": Splice(len(self.model.state.messages), 0, [text])}

    @rule(strategy=strategies, delay=st.sampled_from([0, 0, 0, 60]))
    def submit(self, strategy: MultitaskStrategy, delay: float) -> None:
        command = SubmitRun(
            thread_id="t1",
            run_id=self.new("r"),
            assistant_id="a1",
            graph_id="agent",
            multitask_strategy=strategy,
            after_seconds=delay,
            if_not_exists="create",
        )
        outcome = self.outcome(command)
        accepted = self.driver.thread.runs.get(command.run_id)
        due = accepted.due_at if accepted else self.driver.now
        run = ModelRun(command.run_id, due, self.count)
        assert self.model.submit(run, strategy) == outcome

    @precondition(lambda self: self.model.runs)
    @rule(which=indexes, is_patient=st.booleans())
    def start(self, *, which: int, is_patient: bool) -> None:
        order = self.model.begun_first()
        run = order[0] if is_patient else order[which % len(order)]
        if is_patient:
            self.driver.now = max(self.driver.now, run.due)
        may_start = run is order[0] and not self.model.running and run.due <= self.driver.now
        outcome = self.outcome(self.start_of(run))
        if may_start or run.is_running:  # The process of a running one is taken for lost.
            assert outcome == "ok"
            self.model.start(run)
        else:
            assert outcome == "RunNotDueError"

    def start_of(self, run: ModelRun) -> StartRun:
        return StartRun(
            thread_id="t1",
            run_id=run.run_id,
            attempt=run.attempt + 1,
            holder="p1",
            now=self.driver.now,
            attempts_max=ATTEMPTS_MAX,
        )

    @precondition(lambda self: self.model.runs and not self.model.running)
    @rule(steps=st.lists(nodes, max_size=3))
    def begin(self, steps: list[tuple[str, ...]]) -> None:
        self.start(which=0, is_patient=True)
        for next_nodes in steps if self.model.running else ():
            self.step(next_nodes=next_nodes)

    @precondition(lambda self: self.model.running)
    @rule(next_nodes=nodes)
    def step(self, next_nodes: tuple[str, ...]) -> None:
        run = self.model.running
        assert run is not None
        text = self.new("said ")
        assert self.outcome(self.step_of(run.run_id, run.attempt, text, next_nodes)) == "ok"
        self.model.said(text, next_nodes)

    def step_of(
        self, run_id: str, attempt: int, text: str, next_nodes: tuple[str, ...]
    ) -> RecordStep:
        return RecordStep(
            thread_id="t1",
            run_id=run_id,
            attempt=attempt,
            checkpoint_id=self.new("c"),
            node="agent",
            source="loop",
            next=next_nodes,
            update={"messages": [text]},
            changes=self.splice(text),
        )

    @precondition(lambda self: self.model.running)
    @rule(how=st.sampled_from(["success", "error", "timeout", "hand_over"]))
    def end(self, how: Literal["success", "error", "timeout", "hand_over"]) -> None:
        run = self.model.running
        assert run is not None
        fields = {"thread_id": "t1", "run_id": run.run_id, "attempt": run.attempt}
        match how:
            case "success":
                assert self.outcome(SucceedRun(**fields)) == "ok"
                self.model.end(run, None)
            case "error":
                assert self.outcome(FailRun(**fields, error=ERROR)) == "ok"
                self.model.end(run, "ValueError")
            case "timeout":
                assert self.outcome(TimeOutRun(**fields, timeout_seconds=1)) == "ok"
                self.model.end(run, "TimeoutError")
            case "hand_over":
                assert self.outcome(HandOverRun(**fields)) == "ok"
                run.is_running = False
                run.handed_over += 1

    @precondition(lambda self: self.driver.attempts)
    @rule(which=indexes)
    def zombie(self, which: int) -> None:
        attempts = self.driver.attempts
        run_id, attempt = attempts[which % len(attempts)]
        run = self.model.running
        if run is None or (run_id, attempt) != (run.run_id, run.attempt):
            late = self.step_of(run_id, attempt, "late", ())
            assert self.outcome(late) == "StaleAttemptError"

    @precondition(lambda self: self.model.runs)
    @rule(which=indexes, action=st.sampled_from(["interrupt", "rollback"]))
    def cancel(self, which: int, action: Literal["interrupt", "rollback"]) -> None:
        run = self.model.runs[which % len(self.model.runs)]
        cancel = CancelRun(thread_id="t1", run_id=run.run_id, action=action)
        assert self.outcome(cancel) == "ok"
        self.model.stop(run, action)

    @precondition(lambda self: self.model.is_present and self.count % 3 == 0)
    @rule(next_nodes=nodes)
    def update(self, next_nodes: tuple[str, ...]) -> None:
        text = self.new("edited ")
        command = UpdateState(
            thread_id="t1",
            checkpoint_id=self.new("c"),
            as_node="agent",
            next=next_nodes,
            update={"messages": [text]},
            changes=self.splice(text),
        )
        if self.model.runs:
            assert self.outcome(command) == "ThreadBusyError"
        else:
            assert self.outcome(command) == "ok"
            self.model.said(text, next_nodes)

    @precondition(lambda self: self.model.is_present and self.count % 8 == 0)
    @rule()
    def delete(self) -> None:
        assert self.outcome(DeleteThread(thread_id="t1")) == "ok"
        self.model = Model()

    @invariant()
    def they_agree(self) -> None:
        thread, model = self.driver.thread, self.model
        error = thread.state.error
        assert thread.is_present == model.is_present
        assert thread.values().get("messages", []) == model.state.messages
        assert thread.state.next == model.state.next
        assert (error.error if error else None) == model.state.error
        assert thread.status == model.status
        assert [
            (run.run_id, run.status, run.attempt, run.handed_over) for run in thread.in_order()
        ] == [
            (run.run_id, "running" if run.is_running else "pending", run.attempt, run.handed_over)
            for run in model.begun_first()
        ]


ThreadAgreesWithTheModel.TestCase.settings = settings(stateful_step_count=40)
TestThreadAgreesWithTheModel = ThreadAgreesWithTheModel.TestCase
"""I1, I4, I5, I7, I8, I10, I11, I14: all at once, against something too simple to be wrong."""
