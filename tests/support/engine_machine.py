"""Any sequence of what callers, agents, time and processes can do, on the engine and on a naive thread; both must agree."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from threadfold.domain.changes import Replace, Splice
from threadfold.domain.errors import (
    RunEndedError,
    RunNotFoundError,
    StaleAttemptError,
    ThreadBusyError,
    ThreadNotFoundError,
)
from threadfold.domain.graph_ports import StepWrite
from threadfold.domain.strategies import STRATEGIES
from threadfold.domain.thread import end_status

from .engine import (
    PATIENCE_SECONDS,
    Database,
    Mortal,
    Rogue,
    StillClock,
    humans,
    is_idle,
    quiet,
    registry,
    said,
    soon,
    until,
)
from .engine_laws import assert_consistent
from .engine_oracle import LATE_SECONDS, SHORT_SECONDS, OracleRun, OracleThread

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from threadfold.domain.graph_ports import RunContext
    from threadfold.domain.thread import Thread

assert end_status  # The words for ends are the domain's own.

ATTEMPTS_MAX = 3
THREADS_MAX = 3
CLOSINGS_MAX = 5
"""Within a minute, as much as none of the short runs comes to its time limit meanwhile."""


class FailureError(Exception):
    """What an agent raises that is told to fail."""


class Puppet:
    """One attempt of an agent that does what it is told, one thing at a time."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.orders: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.was_cancelled = asyncio.Event()
        self.has_stopped = asyncio.Event()
        self.was_refused = asyncio.Event()
        self.said = list(cast("list[str]", context.state.get("said", [])))

    async def run(self, text: str) -> None:
        try:
            await self._say(text)
            while True:
                try:
                    order, what = await self.orders.get()
                except asyncio.CancelledError:
                    self.was_cancelled.set()
                    if not text.startswith("stubborn"):
                        raise
                    continue
                if order == "finish":
                    return
                await self._obey(order, what)
        finally:
            self.has_stopped.set()

    async def _obey(self, order: str, what: str) -> None:
        match order:
            case "fail":
                raise FailureError(what)
            case "result":
                await self.context.record_result(what, f"result of {what}")
            case "say":
                await self._say(what)
            case _:  # As a zombie: write on until it is refused.
                while True:
                    try:
                        await self._say(what)
                        await self.context.record_result(what, what)
                        await asyncio.sleep(0)
                    except StaleAttemptError:
                        self.was_refused.set()
                        raise

    async def _say(self, text: str) -> None:
        self.said.append(text)
        change = (
            Replace(list(self.said))
            if len(self.said) % 2
            else Splice(at=len(self.said) - 1, delete=0, values=[text])
        )
        await self.context.record(
            StepWrite(
                node="rogue",
                source="loop",
                next=("rogue",),
                update={"said": [text]},
                changes={"said": change},
            )
        )


class EngineAgreesWithOracle(RuleBasedStateMachine):
    """One engine at a time on one database; every rule waits until nothing moves, then compares all there is to see."""

    kinds = ("memory", "sqlite")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = StillClock()
        self.puppets: dict[tuple[str, int], Puppet] = {}
        self.arrived = asyncio.Event()
        self.threads: dict[str, OracleThread] = {}
        self.texts = 0
        self.mortal: Mortal | None = None

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @property
    def engine(self) -> Any:
        assert self.mortal is not None
        return self.mortal.engine

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    # ------------------------------------------------------------------ the world

    @initialize(
        kind=st.sampled_from(["memory", "sqlite"]),
        grace=st.sampled_from([0.0, 5.0]),
        snapshots=st.sampled_from([1, 500]),
        retention=st.sampled_from(["keep", "erase"]),
    )
    def begin(self, kind: str, grace: float, snapshots: int, retention: str) -> None:
        kind = kind if kind in self.kinds else self.kinds[0]
        path = None if kind == "memory" else Path(self.folder.name) / "log.db"
        self.database = Database(path)
        self.options: dict[str, Any] = {
            "grace_seconds": grace,
            "snapshot_events_min": snapshots,
            "retention": retention,
            "clock": self.clock,
            "poll_seconds": 1.0,
            "run_timeout_seconds": None,
            "cached_threads_max": 2,
        }
        self.grace = grace
        self.closings = 0
        self.do(self._open())
        self.do(self._create())

    async def _open(self) -> None:
        self.mortal = await self.database.mortal(registry(Rogue(self._code)), **self.options)

    async def _code(self, context: RunContext) -> None:
        puppet = self.puppets[context.run_id, context.attempt] = Puppet(context)
        self.arrived.set()
        await puppet.run(humans(cast("Any", context.input))[0])

    async def _create(self) -> None:
        view = await self.engine.create_thread()
        self.threads[view.thread_id] = OracleThread()

    # ------------------------------------------------------------------ callers

    def pick(self, number: int) -> tuple[str, OracleThread]:
        ids = sorted(self.threads)
        thread_id = ids[number % len(ids)]
        return thread_id, self.threads[thread_id]

    @rule()
    @precondition(lambda self: len(self.threads) < THREADS_MAX)
    def create_thread(self) -> None:
        self.do(self._create())
        self.settle()

    @rule(
        number=st.integers(0, 9),
        strategy=st.sampled_from(STRATEGIES),
        is_late=st.sampled_from([False, False, True]),
        is_short=st.booleans(),
        is_stubborn=st.sampled_from([False, False, True]),
        durability=st.sampled_from(["async", "sync"]),
    )
    def submit(
        self,
        number: int,
        strategy: Any,
        is_late: bool,  # noqa: FBT001
        is_short: bool,  # noqa: FBT001
        is_stubborn: bool,  # noqa: FBT001
        durability: str,
    ) -> None:
        thread_id, oracle = self.pick(number)
        self.texts += 1
        text = f"{'stubborn' if is_stubborn else 'm'}{self.texts}"
        run_id = self.engine.new_run_id()
        work = self.engine.submit_run(
            thread_id,
            "agent",
            input=said(text),
            multitask_strategy=strategy,
            run_id=run_id,
            after_seconds=LATE_SECONDS if is_late else 0,
            timeout_seconds=SHORT_SECONDS if is_short else None,
            kwargs={"durability": durability},
        )
        run = OracleRun(
            run_id, text, self.now + (LATE_SECONDS if is_late else 0), is_short, is_stubborn
        )
        if not oracle.is_present:
            self.refused(work, ThreadNotFoundError)
        elif oracle.submit(run, strategy, self.now, self.grace):
            self.do(work)
        else:
            self.refused(work, ThreadBusyError)
        self.settle()

    def refused(self, work: Coroutine[Any, Any, Any], kind: type[Exception]) -> None:
        try:
            self.do(work)
        except kind:
            return
        raise AssertionError(f"{kind.__name__} was expected")

    @rule(number=st.integers(0, 9), which=st.integers(0, 99), strategy=st.sampled_from(STRATEGIES))
    def submit_again(self, number: int, which: int, strategy: Any) -> None:
        """A retry changes nothing, whatever has become of the run."""
        thread_id, oracle = self.pick(number)
        known = [*(entry[0] for entry in oracle.listed), *sorted(oracle.gone)]
        if not known or not oracle.is_present:
            return
        run_id = known[which % len(known)]
        work = self.engine.submit_run(
            thread_id, "agent", input=said("again"), multitask_strategy=strategy, run_id=run_id
        )
        if run_id in oracle.gone:
            self.refused(work, RunNotFoundError)
        else:
            assert self.do(work).row.run_id == run_id
        self.settle()

    @rule(
        number=st.integers(0, 9),
        which=st.integers(0, 9),
        action=st.sampled_from(["interrupt", "rollback"]),
    )
    def cancel(self, number: int, which: int, action: Any) -> None:
        thread_id, oracle = self.pick(number)
        if oracle.runs:
            run = oracle.runs[which % len(oracle.runs)]
            oracle.stop(run, action, self.now, self.grace, is_cancel=True)
            self.do(self.engine.cancel_run(thread_id, run.run_id, action=action))
        elif oracle.listed:
            ended = oracle.listed[which % len(oracle.listed)][0]
            self.refused(self.engine.cancel_run(thread_id, ended, action=action), RunEndedError)
        self.settle()

    @rule(number=st.integers(0, 9), which=st.integers(0, 9))
    def delete_run(self, number: int, which: int) -> None:
        thread_id, oracle = self.pick(number)
        if not oracle.listed:
            return
        run_id = oracle.listed[which % len(oracle.listed)][0]
        in_flight = [run for run in oracle.runs if run.run_id == run_id]
        if in_flight:
            oracle.stop(in_flight[0], "rollback", self.now, self.grace)
        oracle.hide(run_id)
        self.do(self.engine.delete_run(thread_id, run_id))
        self.refused(self.engine.delete_run(thread_id, run_id), RunNotFoundError)
        self.settle()

    @rule(number=st.integers(0, 9), is_wanted=st.sampled_from([True, False, False]))
    def delete_thread(self, number: int, is_wanted: bool) -> None:  # noqa: FBT001
        thread_id, oracle = self.pick(number)
        if oracle.is_present and not is_wanted:
            return
        if oracle.is_present:
            oracle.delete(self.now, self.grace)
            self.do(self.engine.delete_thread(thread_id))
        else:
            oracle.create()
            self.do(self.engine.create_thread(thread_id))
        self.settle()

    @rule(number=st.integers(0, 9))
    @precondition(lambda self: len(self.threads) < THREADS_MAX)
    def copy_thread(self, number: int) -> None:
        thread_id, oracle = self.pick(number)
        if not oracle.is_present:
            self.refused(self.engine.copy_thread(thread_id), ThreadNotFoundError)
            return
        view = self.do(self.engine.copy_thread(thread_id))
        self.threads[view.thread_id] = oracle.copy()
        self.settle()

    @rule(number=st.integers(0, 9))
    def update_state(self, number: int) -> None:
        thread_id, oracle = self.pick(number)
        if not oracle.is_present or "graph_id" not in oracle.metadata:
            return
        self.texts += 1
        update = (*oracle.stands.said, f"update{self.texts}")
        work = self.engine.update_state(thread_id, {"said": list(update)})
        if oracle.runs:
            self.refused(work, ThreadBusyError)
        else:
            self.do(work)
            stands = oracle.stands.with_step(update[-1])
            oracle.stands = type(stands)(said=stands.said, history=stands.history)
        self.settle()

    @rule(number=st.integers(0, 9), value=st.integers(0, 3))
    def patch(self, number: int, value: int) -> None:
        thread_id, oracle = self.pick(number)
        if oracle.is_present:
            oracle.metadata["value"] = value
            self.do(self.engine.patch_thread(thread_id, {"value": value}))
            self.settle()

    # ------------------------------------------------------------------ agents

    def order(self, oracle: OracleThread, order: str, what: str = "") -> Puppet:
        run = oracle.active
        assert run is not None
        puppet = self.puppets[run.run_id, run.attempt]
        puppet.orders.put_nowait((order, what))
        return puppet

    @rule(number=st.integers(0, 9), order=st.sampled_from(["say", "say", "result"]))
    def go_on(self, number: int, order: str) -> None:
        _, oracle = self.pick(number)
        run = oracle.active
        if run is None or not run.is_running:
            return
        self.texts += 1
        what = f"{run.text}.{self.texts}"
        if order == "say":
            oracle.stands = oracle.stands.with_step(what)
        else:
            run.results[what] = f"result of {what}"
        self.order(oracle, order, what)
        self.settle()

    @rule(number=st.integers(0, 9), status=st.sampled_from(["success", "success", "error"]))
    def end(self, number: int, status: str) -> None:
        _, oracle = self.pick(number)
        if oracle.active is None or not oracle.active.is_running:
            return
        self.order(oracle, "finish" if status == "success" else "fail", "on purpose")
        oracle.end(status)
        self.settle()

    @rule(number=st.integers(0, 9), is_writing=st.booleans())
    def wake_zombie(self, number: int, is_writing: bool) -> None:  # noqa: FBT001
        _, oracle = self.pick(number)
        if not oracle.zombies:
            return
        run = oracle.zombies.pop()
        if not oracle.zombies:
            oracle.blocked_until = None
        puppet = self.puppets[run.run_id, run.attempt]
        puppet.orders.put_nowait(("haunt" if is_writing else "finish", "I am back"))
        self.do(soon(puppet.has_stopped.wait()))
        self.settle()

    # ------------------------------------------------------------------ time and processes

    @rule()
    def time_passes(self) -> None:
        """A minute, in steps; in the course of it short runs end, late ones are due, zombies are given up."""
        for _ in range(12):
            self.do(self._advance(5.0))
            for oracle in self.threads.values():
                if oracle.blocked_until is not None and oracle.blocked_until <= self.now:
                    oracle.blocked_until = None
                self._time_out(oracle)
            self.settle(is_brief=True)
        self.settle()
        self.closings = 0

    def _time_out(self, oracle: OracleThread) -> None:
        run = oracle.active
        if run is None or not run.is_running or not run.is_short:
            return
        if self.now - self.started_at[run.run_id] >= SHORT_SECONDS:
            oracle.time_out(self.now, self.grace)

    async def _advance(self, seconds: float) -> None:
        await quiet(self.engine)
        await self.clock.advance(seconds)
        await quiet(self.engine)
        await self.clock.advance(0.01)
        await quiet(self.engine)

    @rule(is_handed_over=st.booleans())
    def restart(self, is_handed_over: bool) -> None:  # noqa: FBT001
        is_handed_over = is_handed_over and self.closings < CLOSINGS_MAX
        self.closings += is_handed_over
        self.do(self._close() if is_handed_over else self._kill())
        for oracle in self.threads.values():
            oracle.lose_process(is_handed_over=is_handed_over, attempts_max=ATTEMPTS_MAX)
        self.do(self._open())
        self.settle()

    async def _close(self) -> None:
        """Close in good order; the time that code is waited for passes."""
        closing = asyncio.ensure_future(self.engine.close())
        while not closing.done():
            await asyncio.wait([closing], timeout=0.001)
            if is_idle():
                await self.clock.advance(1)
        await closing
        await self._end_code()

    async def _kill(self) -> None:
        assert self.mortal is not None
        await self.mortal.kill()
        await self._end_code()

    async def _end_code(self) -> None:
        """What is left of a process that is gone must not go on in this one."""
        assert self.mortal is not None
        for puppet in self.puppets.values():
            puppet.orders.put_nowait(("finish", ""))
        await self.mortal.tasks.kill()

    # ------------------------------------------------------------------ comparing

    started_at: dict[str, float]

    def settle(self, *, is_brief: bool = False) -> None:
        """Wait for what must happen by itself, then compare."""
        self.do(self._settle())
        if not is_brief:
            self.do(self._compare())

    async def _settle(self) -> None:
        if not hasattr(self, "started_at"):
            self.started_at = {}
        for thread_id, oracle in self.threads.items():
            run = oracle.start_next(self.now)
            if run is not None:
                self.started_at.setdefault(run.run_id, self.now)
            await self._reach(thread_id, oracle)
        await quiet(self.engine)

    async def _reach(self, thread_id: str, oracle: OracleThread) -> None:
        """Wait until the log says what the oracle says."""
        active = oracle.active
        if active is not None and active.is_running:
            await self._arrival(active)
        try:
            await until(self.engine, thread_id, lambda thread: _is_at(thread, oracle))
        except TimeoutError:
            thread = await self.engine.queries.thread(thread_id)
            raise AssertionError(f"{thread} does not come to {oracle}") from None

    async def _arrival(self, run: OracleRun) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (run.run_id, run.attempt) not in self.puppets:
                self.arrived.clear()
                await self.arrived.wait()
        puppet = self.puppets[run.run_id, run.attempt]
        if run.attempt > 1:
            assert dict(puppet.context.results).items() <= run.results.items()

    async def _compare(self) -> None:
        for thread_id, oracle in self.threads.items():
            if oracle.is_present:
                await self._compare_thread(thread_id, oracle)
            else:
                with suppress(ThreadNotFoundError):
                    await self.engine.get_thread(thread_id)
                    raise AssertionError("a deleted thread is there")
        await assert_consistent(self.engine)

    async def _compare_thread(self, thread_id: str, oracle: OracleThread) -> None:
        view = await self.engine.get_thread(thread_id)
        error = view.error and view.error.error
        stop = "UserInterrupt" if oracle.stands.is_stopped else None
        assert (view.status, error) == (oracle.status, oracle.stands.error or stop)
        assert {k: v for k, v in view.metadata.items() if k != "assistant_id"} == oracle.metadata
        queries = self.engine.queries
        values = (await queries.get_state(thread_id)).values
        assert tuple(values.get("said", ())) == oracle.stands.said
        history = await queries.history(thread_id, limit=1000)
        texts = [tuple(state.values["said"]) for state in reversed(history)]
        assert texts == list(oracle.stands.history)
        views = await queries.list_runs(thread_id, limit=1000)
        shown = [
            [v.row.run_id, humans(cast("Any", v.input))[0], v.row.status] for v in reversed(views)
        ]
        assert shown == oracle.listed
        for run_id in oracle.gone:
            with suppress(RunNotFoundError):
                await self.engine.get_run(thread_id, run_id)
                raise AssertionError("a run that is gone is there")
        if oracle.base is not None:
            copy = (await queries.thread(thread_id)).base
            assert copy is not None

    def teardown(self) -> None:
        if self.mortal is not None:
            self.do(self._kill())
        self.do(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()


def _is_at(thread: Thread, oracle: OracleThread) -> bool:
    """Whether the runs and the state are those of the oracle."""
    running = {run.run_id: (run.status == "running", run.attempt) for run in thread.runs.values()}
    expected = {run.run_id: (run.is_running, run.attempt) for run in oracle.runs}
    said = tuple(cast("list[str]", thread.values().get("said", [])))
    if running != expected or said != oracle.stands.said:
        return False
    active = oracle.active
    return active is None or dict(thread.runs[active.run_id].results) == active.results
