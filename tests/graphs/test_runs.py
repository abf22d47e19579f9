"""The run as its function sees it: steps that are done once, and cancellation that reaches the code."""

import asyncio
import threading

import pytest

from tests.graphs.fakes import Recording
from threadfold.domain.errors import ConfigurationError, NotJsonError
from threadfold.infrastructure.graphs.functions import FunctionGraph
from threadfold.infrastructure.graphs.threads import Threads


async def test_the_function_sees_what_run_it_is_in():
    async def chat(state, run):
        config = {**run.config, **run.context}
        return {"ids": [run.run_id, run.thread_id, run.attempt], "config": config}

    graph = FunctionGraph("agent", chat)
    recording = await Recording(run_id="r").run(graph, attempt=2, config={"tags": ["a"]})
    assert recording.values == {
        "ids": ["r", "thread", 2],
        "config": {"tags": ["a"], "tone": "dry"},
    }


# ------------------------------------------------------------------ steps


async def test_a_later_attempt_gets_the_recorded_results_without_a_call():
    calls = []

    def sync(n):
        calls.append(n)
        return (n, threading.current_thread().name != "MainThread")

    async def slow(n, *, times):
        calls.append(n)
        return n * times

    async def chat(state, run):
        first = await run.step("charge", sync, 1)
        second = await run.step("charge", slow, 2, times=10)
        return {"results": [first, second, await run.step("look", lambda: slow(3, times=10))]}

    graph = FunctionGraph("agent", chat)
    first = await Recording().run(graph)
    assert first.results == {"charge": [1, True], "charge#2": 20, "look": 30}
    assert calls == [1, 2, 3]
    # The second attempt was lost before its third step.
    known = {name: first.results[name] for name in ("charge", "charge#2")}
    second = await Recording().run(graph, results=known, attempt=2)
    assert calls == [1, 2, 3, 3]
    assert second.values == first.values == {"results": [[1, True], 20, 30]}
    assert second.results == {"look": 30}


async def test_steps_are_numbered_in_the_order_of_the_calls_whatever_ends_first():
    async def wait_for(event, result):
        await event.wait()
        return result

    async def chat(state, run):
        late, early = asyncio.Event(), asyncio.Event()
        early.set()
        one = run.step("ask", wait_for, late, "one")
        two = run.step("ask", wait_for, early, "two")
        second = await two
        late.set()
        return {"results": [await one, second]}

    recording = await Recording().run(FunctionGraph("agent", chat))
    assert recording.results == {"ask": "one", "ask#2": "two"}


async def test_a_name_that_looks_numbered_is_no_other_steps_name():
    async def chat(state, run):
        for name in ("a#2", "a", "a", "a#2"):
            await run.step(name, str)

    recording = await Recording().run(FunctionGraph("agent", chat))
    assert sorted(recording.results) == ["a", "a#2", "a#2#1", "a#2#2"]


async def test_a_result_is_a_private_copy_in_the_first_attempt_and_in_later_ones():
    async def chat(state, run):
        result = await run.step("list", lambda: [1])
        result.append(2)

    graph = FunctionGraph("agent", chat)
    recording = await Recording().run(graph)
    assert recording.results == {"list": [1]}
    known = {"list": [1]}
    await Recording().run(graph, results=known)
    assert known == {"list": [1]}


async def test_a_step_that_fails_or_gives_no_json_is_not_recorded():
    def fail():
        raise LookupError("lost")

    async def chat(state, run):
        with pytest.raises(LookupError, match="lost"):
            await run.step("fail", fail)
        with pytest.raises(NotJsonError, match="things"):
            await run.step("things", lambda: {"a": object()})

    assert (await Recording().run(FunctionGraph("agent", chat))).results == {}


async def test_a_sync_function_is_told_that_it_cannot_have_steps():
    def chat(state, run):
        run.step("look", str)

    with pytest.raises(ConfigurationError, match="for async functions"):
        await Recording().run(FunctionGraph("agent", chat))


# ------------------------------------------------------------------ cancellation


async def turns():
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def cancelled(function, started, *, recording=None):
    """Run the function, cancel it when it says that it has started, and return when it has stopped."""
    graph = FunctionGraph("agent", function)
    task = asyncio.ensure_future((recording or Recording()).run(graph))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_reaches_code_that_awaits():
    started, seen = asyncio.Event(), []

    async def chat(state, run):
        try:
            yield {"n": 1}
            started.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    await cancelled(chat, started)
    assert seen == ["cancelled", "cleaned up"]


class Stuck(Recording):
    """Takes for ever to record a step."""

    def __init__(self) -> None:
        super().__init__()
        self.started = asyncio.Event()

    async def _record(self, write):
        self.started.set()
        await asyncio.Event().wait()


async def test_a_cancellation_during_a_step_is_raised_at_its_yield():
    seen = []

    async def chat(state, run):
        try:
            yield {"n": 1}
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    recording = Stuck()
    await cancelled(chat, recording.started, recording=recording)
    assert seen == ["cancelled", "cleaned up"]


async def test_code_that_catches_its_cancellation_at_a_yield_is_closed_when_it_goes_on():
    seen = []

    async def chat(state, run):
        while len(seen) < 3:
            try:
                yield {"n": 1}
            except asyncio.CancelledError:
                seen.append("caught")

    recording = Stuck()
    await cancelled(chat, recording.started, recording=recording)
    assert seen == ["caught"]


async def test_code_that_catches_its_cancellation_can_record_nothing_more():
    started, recording = asyncio.Event(), Recording()

    async def stubborn(state, run):
        while True:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                yield {"n": 1}

    await cancelled(stubborn, started, recording=recording)
    assert recording.steps == []

    started.clear()

    async def quiet(state, run):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    await cancelled(quiet, started, recording=recording)
    assert recording.steps == []


async def test_a_time_limit_of_the_functions_own_around_a_yield_is_no_cancellation():
    async def chat(state, run):
        try:
            async with asyncio.timeout(0):
                yield {"n": 1}
        except TimeoutError:
            yield {"late": True}
        yield {"end": True}

    class Slow(Recording):
        async def _record(self, write):
            if write.update == {"n": 1}:
                await asyncio.Event().wait()
            await super()._record(write)

    recording = await Slow().run(FunctionGraph("agent", chat))
    assert recording.values == {"late": True, "end": True}


async def test_a_cancelled_sync_function_counts_as_running_until_its_thread_has_ended():
    started, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    threads = Threads()

    def chat(state):
        loop.call_soon_threadsafe(started.set)
        go.wait(30)
        return {"n": 1}

    recording = Recording()
    graph = FunctionGraph("agent", chat, threads=threads)
    task = asyncio.ensure_future(recording.run(graph))
    await started.wait()
    task.cancel()
    await turns()
    assert not task.done()
    assert threads.running == 1
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert threads.running == 0
    assert recording.steps == []


async def test_a_second_cancellation_does_not_wait_for_the_thread():
    started, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    threads = Threads(threads_max=1)

    def stuck():
        loop.call_soon_threadsafe(started.set)
        go.wait(30)

    task = asyncio.ensure_future(threads.call(stuck))
    await started.wait()
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    # The thread holds its place to its end: others wait for it.
    other = asyncio.ensure_future(threads.call(str))
    await turns()
    assert not other.done()
    go.set()
    assert await other == ""
    assert threads.running == 0


async def test_a_thread_that_cannot_be_started_leaves_its_place(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    threads = Threads(threads_max=1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            await threads.call(str)
    assert threads.running == 0
    assert await threads.call(str) == ""


def test_a_thread_that_outlives_its_event_loop_does_no_harm():
    go, ended = threading.Event(), threading.Event()
    threads = Threads()

    def stuck(loop, started):
        loop.call_soon_threadsafe(started.set)
        go.wait(30)
        ended.set()

    async def main():
        loop, started = asyncio.get_running_loop(), asyncio.Event()
        task = asyncio.ensure_future(threads.call(stuck, loop, started))
        await started.wait()
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)

    asyncio.run(main())
    go.set()
    assert ended.wait(30)
