"""The seed flow, with its rollback placed at any moment: at the k-th point where the engine's code gives way."""

from __future__ import annotations

import asyncio
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from threadfold.app.search import ThreadFilter
from threadfold.domain.errors import RunNotFoundError
from threadfold.domain.events import RunAccepted, RunRolledBack
from threadfold.infrastructure.graphs.functions import FunctionGraph
from threadfold.infrastructure.work.system import AsyncioTask, AsyncioTasks

from .engine import answered, heard, humans, listed, said, soon, submit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from threadfold.app.engine import Engine
    from threadfold.domain.events import RecordedEvent
    from threadfold.domain.strategies import MultitaskStrategy

HELD_STEPS_MAX = 200
"""How often others may go on before code that is held at a point goes on too: it may hold what they wait for."""


class SteppingTasks(AsyncioTasks):
    """Tasks that count the points where they give way, and do something at one of them.

    With `is_holding`, the task that came to this point stays there until `is_over` says that what was done has come to its
    end, or for as long as the others can do anything at all.
    """

    def __init__(self, *, is_holding: bool) -> None:
        super().__init__()
        self.count = 0
        self._point = 0
        self._is_holding = is_holding
        self._act: Callable[[], None] = lambda: None
        self._is_over: Callable[[], bool] = lambda: True

    def watch(self, point: int, act: Callable[[], None], is_over: Callable[[], bool]) -> None:
        """Count from here on; act at this point."""
        self.count, self._point, self._act, self._is_over = 0, point, act, is_over

    def stop_watching(self) -> None:
        self._point = 0

    def start(self, work: Coroutine[Any, Any, None], name: str) -> AsyncioTask:
        handle = super().start(self._counted(work), name)
        handle._task.add_done_callback(lambda _: work.close())  # It may never have begun.
        return handle

    async def _counted(self, work: Coroutine[Any, Any, None]) -> None:
        await self._stepped(work)

    @types.coroutine
    def _stepped(self, work: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        error: BaseException | None = None
        while True:
            try:
                given = work.send(None) if error is None else work.throw(error)
            except StopIteration:
                return
            error = None
            self.count += 1
            if self.count == self._point:
                self._act()
                error = yield from self._held(given)
            if error is None:
                try:
                    yield given
                except BaseException as raised:  # noqa: BLE001 - it belongs to the work
                    error = raised

    def _held(self, given: Any) -> Generator[None, None, BaseException | None]:
        """Let the others go on; return a cancellation that the work has to be told of."""
        for _ in range(HELD_STEPS_MAX if self._is_holding else 0):
            if self._is_over():
                return None
            try:
                yield
            except asyncio.CancelledError as cancelled:
                # As a task does it: cancel what is awaited, if that can still be cancelled.
                if given is None or not given.cancel():
                    return cancelled
                return None
        return None


def traveller() -> FunctionGraph:
    """Return an agent of a few steps that gives way between and inside of them."""

    async def agent(state, run):
        text = state["messages"][-1]["content"]
        yield {**said(f"{text}.1", role="ai"), "city": text, f"only {text}": True}
        found = await run.step("look up", _look_up, text)
        await asyncio.sleep(0)
        yield {**said(f"{text}.2", role="ai"), "found": found}
        await asyncio.sleep(0)

    return FunctionGraph("agent", agent)


async def _look_up(text: str) -> str:
    await asyncio.sleep(0)
    return f"weather in {text}"


@dataclass(frozen=True)
class Flow:
    """What came of one flow: `is_met` says that the rollback came while A was in flight."""

    is_met: bool
    is_reached: bool


async def seed_flow(
    engine: Engine,
    tasks: SteppingTasks,
    point: int,
    *,
    strategy: MultitaskStrategy = "rollback",
    **options: Any,
) -> Flow:
    """Create a thread; run A: sf; at the given point, run B: nyc, with rollback; join B. Nothing of sf is left then."""
    thread_id = (await engine.create_thread()).thread_id
    submitted: list[asyncio.Task[str]] = []

    def roll_back() -> None:
        work = submit(engine, thread_id, "nyc", strategy, **options)
        submitted.append(asyncio.get_running_loop().create_task(work))

    def is_over() -> bool:
        return submitted[0].done()

    tasks.watch(point, roll_back, is_over)
    a = await submit(engine, thread_id, "sf", **options)
    ending = asyncio.ensure_future(_ended(engine, thread_id, a))
    await soon(ending)
    is_reached = bool(submitted)
    if not is_reached:
        tasks.stop_watching()
        roll_back()
    b = await soon(submitted[0])
    result = await soon(engine.join_run(thread_id, b))
    assert result.status == "success"
    log = await engine.queries.log(thread_id)
    is_gone = any(isinstance(r.event, RunRolledBack) and r.event.run_id == a for r in log)
    if is_gone:
        await assert_no_leak(engine, thread_id, a, log)
    else:  # It had ended before: then it is there, whole.
        assert heard(result.values) == answered("sf", "nyc")
        assert result.values["only sf"] is True
    return Flow(is_gone, is_reached)


async def _ended(engine: Engine, thread_id: str, run_id: str) -> None:
    try:
        await engine.join_run(thread_id, run_id)
    except RunNotFoundError:
        return  # It was gone before anybody could ask.


async def assert_no_leak(
    engine: Engine, thread_id: str, run_id: str, log: tuple[RecordedEvent, ...]
) -> None:
    """Nobody but the audit shows anything of sf."""
    state = await engine.queries.get_state(thread_id)
    assert heard(state.values) == answered("nyc")
    shown: list[object] = [
        state.values,
        state.state.next,
        await engine.get_thread(thread_id),
        *(view.values for view in await engine.queries.history(thread_id, limit=100)),
        await engine.queries.list_runs(thread_id, limit=100),
        (await engine.queries.search_threads(ThreadFilter(ids=frozenset({thread_id}))))[0],
        await engine._ports.store.list_runs_in_flight(),
    ]
    for view in shown:
        assert "sf" not in repr(view)
    assert await listed(engine, thread_id) == [("nyc", "success")]
    for asking in (engine.get_run, engine.join_run, engine.attach):
        try:
            await asking(thread_id, run_id)
        except RunNotFoundError:
            continue
        raise AssertionError(f"{asking.__name__} finds a run that was rolled back")
    accepted = [r.event for r in log if isinstance(r.event, RunAccepted)]
    assert [event.run_id == run_id for event in accepted] == [True, False]
    if engine.settings.retention == "keep":
        assert humans({"messages": list(accepted[0].items)}) == ["sf"]
