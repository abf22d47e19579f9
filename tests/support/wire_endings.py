"""Races over HTTP in which runs end: by the next message, by a cancel, with their thread, while others wait for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .engine import answered, heard, said, soon
from .http import until
from .streaming_agents import told
from .wire_world import Seen, World, answer, at_once, is_rolled_back, moment, texts_of
from .zombies import said_by_rogue

if TYPE_CHECKING:
    from collections.abc import Awaitable


# ------------------------------------------------------------------ the second message


async def rollback_at_the_last_moment(world: World, repetitions: int) -> Seen:
    return await _at_the_last_moment(world, repetitions, "rollback")


async def interrupt_at_the_last_moment(world: World, repetitions: int) -> Seen:
    return await _at_the_last_moment(world, repetitions, "interrupt")


async def _at_the_last_moment(world: World, repetitions: int, strategy: str) -> Seen:
    """Displace a run that is about to end: it is kept whole, or not at all, or in part that was there when it was stopped."""
    seen = Seen()
    for number in range(repetitions):
        thread_id, a, b = await world.thread(), f"A{number}", f"B{number}"
        first = await world.held(thread_id, a, 2)
        displacing = asyncio.create_task(world.submit(thread_id, b, strategy))
        await moment(number)
        world.gates.open(f"{a}:2")
        second = await soon(displacing)
        await world.join(thread_id, second)
        status = await world.status(thread_id, first)
        stands = await world.stands(thread_id)
        if status == "gone":
            assert strategy == "rollback"
            assert stands == answered(b)
        elif status == "interrupted":
            assert strategy == "interrupt"
            assert stands[-3:] == answered(b)
            assert stands[:-3] == answered(a)[: len(stands) - 3]
        else:
            assert (status, stands) == ("success", answered(a, b))
        seen[status] += 1
    return seen


async def ten_threads_roll_back_at_once(world: World, repetitions: int) -> Seen:
    seen = Seen()
    for number in range(repetitions):
        threads = [await world.thread() for _ in range(10)]
        texts = [f"T{number} {at}" for at in range(10)]
        pairs = [*zip(threads, texts, strict=True)]
        lost = [await world.held(thread_id, text) for thread_id, text in pairs]
        world.gates.open(*(f"{text}:1" for text in texts[::2]))  # Half of them are on their way.
        runs = await at_once(*(world.submit(thread_id, "B", "rollback") for thread_id in threads))
        world.gates.open(*(f"{text}:1" for text in texts))
        await at_once(*(world.join(*pair) for pair in zip(threads, runs, strict=True)))
        for at, (thread_id, text) in enumerate(pairs):
            status = await world.status(thread_id, lost[at])
            seen[status] += 1
            kept = {"gone": [], "success": answered(text)}[status]
            assert await world.stands(thread_id) == [*kept, *answered("B")]
    return seen


async def many_roll_back_one_thread(world: World, repetitions: int) -> Seen:
    """Only the one accepted last remains, and `created_at` says which that is."""
    seen = Seen()
    for number in range(repetitions):
        thread_id = await world.thread()
        await world.held(thread_id, f"M{number}")
        texts = [f"M{number} {at}" for at in range(6)]
        world.gates.close(*(f"{text}:2" for text in texts))  # So that none has ended before.
        runs = await at_once(*(world.submit(thread_id, text, "rollback") for text in texts))
        world.gates.open(f"M{number}:1", *(f"{text}:2" for text in texts))
        await asyncio.gather(*(world.waits_or_stood(thread_id, run_id) for run_id in runs))
        (left,) = await world.client.runs.list(thread_id)
        (text,) = texts_of(left)
        assert left["status"] == "success"
        assert await world.stands(thread_id) == answered(text)
        seen[f"number {texts.index(text)}"] += 1
    return seen


async def code_that_is_rolled_back_does_not_stop(world: World, repetitions: int) -> Seen:
    return await _code_does_not_stop(world, repetitions, "rollback")


async def code_that_is_interrupted_does_not_stop(world: World, repetitions: int) -> Seen:
    return await _code_does_not_stop(world, repetitions, "interrupt")


async def _code_does_not_stop(world: World, repetitions: int, strategy: str) -> Seen:
    """Code swallows its cancellation and writes on, before the next run has started or after it has ended."""
    seen, zombie = Seen(), world.zombie
    for number in range(repetitions):
        thread_id = await world.thread()
        zombie.awake.clear()
        refused = zombie.refused
        lost = await world.stubborn(thread_id)
        run = await world.client.runs.create(
            thread_id, "zombie", input=said("B"), multitask_strategy=strategy
        )
        if number % 2:
            zombie.awake.set()
        await world.join(thread_id, run["run_id"])
        zombie.awake.set()
        await until(lambda refused=refused: zombie.refused == refused + 3)
        state = await world.client.threads.get_state(thread_id)
        before = ["zombie.1"] if strategy == "interrupt" else []
        assert sorted(said_by_rogue(state["values"])) == sorted([*before, "B.1"])
        seen[await world.status(thread_id, lost)] += 1
    return seen


# ------------------------------------------------------------------ waiters


async def waiters_of_runs_that_are_rolled_back(world: World, repetitions: int) -> Seen:
    return await _waiters(world, repetitions, "rollback")


async def waiters_of_runs_that_are_interrupted(world: World, repetitions: int) -> Seen:
    return await _waiters(world, repetitions, "interrupt")


async def _waiters(world: World, repetitions: int, strategy: str) -> Seen:
    """A running and a queued run are displaced while others begin to join and to stream them. None hangs, each is told."""
    seen = Seen()
    for number in range(repetitions):
        thread_id, text = await world.thread(), f"W{number}"
        running = await world.held(thread_id, text)
        queued = await world.submit(thread_id, "queued")
        runs = [running, queued]
        joins = [
            asyncio.create_task(world.waits_or_stood(thread_id, run_id))
            for run_id in [*runs, *runs]
        ]
        streams = [
            asyncio.create_task(answer(told(world.client.runs.join_stream(thread_id, run_id))))
            for run_id in runs
        ]
        await moment(number)
        last = await world.submit(thread_id, "B", strategy)
        world.gates.open(f"{text}:1")
        joined, streamed = await soon(asyncio.gather(*joins)), await soon(asyncio.gather(*streams))
        await world.join(thread_id, last)
        for values in joined:
            if strategy == "rollback":
                assert values == 404 or is_rolled_back(values)
            else:  # As they stand: whoever comes late finds the next run's too.
                assert heard(values)[:2] == [text, f"{text}.1"]
                assert "queued" not in heard(values)
        for events in streamed:
            if strategy == "rollback":
                assert events == 404 or events[-1][1] == "error"
                assert events == 404 or events[-1][2]["error"] == "RunRolledBack"
            else:
                assert "error" not in [name for _, name, _ in events]
        status = {"rollback": "gone", "interrupt": "interrupted"}[strategy]
        for run_id in runs:
            assert await world.status(thread_id, run_id) == status
            late = await world.waits_or_stood(thread_id, run_id)
            assert late == 404 if strategy == "rollback" else heard(late)
            events = await answer(told(world.client.runs.join_stream(thread_id, run_id)))
            assert events == (404 if strategy == "rollback" else events)
        kept = [text, f"{text}.1"] if strategy == "interrupt" else []
        assert await world.stands(thread_id) == [*kept, *answered("B")]
        seen["late" if 404 in [*joined, *streamed] else "in time"] += 1
    return seen


# ------------------------------------------------------------------ cancelling and deleting


async def a_cancel_by_rollback_that_nobody_waits_for(world: World, repetitions: int) -> Seen:
    """The thread is idle, or its queue goes on, at once."""
    seen = Seen()
    for number in range(repetitions):
        thread_id, text = await world.thread(), f"C{number}"
        lost = await world.held(thread_id, text)
        queued = await world.submit(thread_id, "Q") if number % 2 else None
        cancelling = asyncio.create_task(
            answer(world.client.runs.cancel(thread_id, lost, action="rollback", wait=False))
        )
        await moment(number)
        if number % 4 >= 2:
            world.gates.open(f"{text}:1")
        refused = await cancelling
        thread = await world.client.threads.get(thread_id)
        kept = answered(text) if refused == 404 else []
        if queued is None:
            assert thread["status"] == "idle"
            assert heard(thread["values"]) == kept
        else:
            await world.join(thread_id, queued)
        world.gates.open(f"{text}:1")
        assert await world.stands(thread_id) == [*kept, *(answered("Q") if queued else [])]
        status = await world.status(thread_id, lost)
        assert status == ("success" if refused == 404 else "gone")
        seen[status] += 1
    return seen


async def all_ways_to_end_a_run_at_once(world: World, repetitions: int) -> Seen:
    """A run ends once, whoever ends it."""
    seen = Seen()
    for number in range(repetitions):
        thread_id, text = await world.thread(), f"E{number}"
        run_id = await world.held(thread_id, text)
        runs = world.client.runs
        works: list[Awaitable[Any]] = [
            runs.cancel(thread_id, run_id, action="interrupt"),
            runs.cancel(thread_id, run_id, action="rollback", wait=True),
            world.submit(thread_id, "B", "rollback"),
            runs.delete(thread_id, run_id),
            runs.cancel_many(thread_id=thread_id, run_ids=[run_id]),
        ]
        works = [*works[number % 5 :], *works[: number % 5]]
        answers = await at_once(*works)
        world.gates.open(f"{text}:1")
        assert all(each == 404 for each in answers if isinstance(each, int)), answers
        (last,) = [each for each in answers if isinstance(each, str)]
        await world.join(thread_id, last)
        stands = await world.stands(thread_id)
        assert stands in (answered("B"), [text, f"{text}.1", *answered("B")])
        seen[f"{len(stands)} messages"] += 1
    return seen


async def a_running_run_is_deleted(world: World, repetitions: int) -> Seen:
    return await _deleted(world, repetitions, "run")


async def a_thread_is_deleted_and_its_id_used_again(world: World, repetitions: int) -> Seen:
    return await _deleted(world, repetitions, "thread")


async def _deleted(world: World, repetitions: int, what: str) -> Seen:
    """Code that does not stop is deleted under its feet; nothing of it comes back."""
    seen, zombie, threads = Seen(), world.zombie, world.client.threads
    for number in range(repetitions):
        zombie.awake.clear()
        refused = zombie.refused
        thread_id = await world.thread()
        lost = await world.stubborn(thread_id)
        next_run = await world.client.runs.create(thread_id, "zombie", input=said("next"))
        joining = asyncio.create_task(world.waits_or_stood(thread_id, lost))
        await moment(number)
        if what == "run":
            await world.client.runs.delete(thread_id, lost)
        else:
            await threads.delete(thread_id)
            assert await answer(threads.get(thread_id)) == 404
            again = await threads.create(thread_id=thread_id)
            assert (again["status"], again["values"], again["metadata"]) == ("idle", None, {})
            next_run = await world.client.runs.create(thread_id, "zombie", input=said("next"))
        if number % 2:
            zombie.awake.set()
        values = await soon(joining)
        assert values == 404 or is_rolled_back(values)
        await world.join(thread_id, next_run["run_id"])
        zombie.awake.set()
        await until(lambda refused=refused: zombie.refused == refused + 3)
        state = await threads.get_state(thread_id)
        assert said_by_rogue(state["values"]) == ["next.1"]
        assert await world.status(thread_id, lost) == "gone"
        assert len(await world.client.runs.list(thread_id)) == 1
        seen["late" if values == 404 else "in time"] += 1
    return seen


async def all_runs_of_a_status_are_cancelled(world: World, repetitions: int) -> Seen:
    """Some stand, one is about to end, and each has another one behind it."""
    seen = Seen()
    for number in range(repetitions):
        asked_for = ("running", "pending", "all", "named")[number % 4]
        threads = [await world.thread() for _ in range(3)]
        texts = [f"S{number} {at}" for at in range(3)]
        pairs = [*zip(threads, texts, strict=True)]
        running = [await world.held(thread_id, text) for thread_id, text in pairs]
        pending = await at_once(*(world.submit(*pair) for pair in _suffixed(pairs)))
        world.gates.open(f"{texts[0]}:1")
        await moment(number)
        if asked_for == "named":
            named = [*zip(threads, running, pending, strict=True)]
            await at_once(
                *(
                    world.client.runs.cancel_many(thread_id=thread_id, run_ids=run_ids)
                    for thread_id, *run_ids in named
                )
            )
        else:
            await at_once(world.client.runs.cancel_many(status=asked_for))
        world.gates.open(*(f"{text}:1" for text in texts))
        for at, thread_id in enumerate(threads):
            await world.waits_or_stood(thread_id, running[at])
            await world.waits_or_stood(thread_id, pending[at])
            found = await world.status(thread_id, running[at])
            behind = await world.status(thread_id, pending[at])
            assert {found, behind} <= {"success", "interrupted"}
            if at:  # Those whose runs could not go on.
                ends = {
                    "running": ("interrupted", "success"),
                    "pending": ("success", "interrupted"),
                    "all": ("interrupted", "interrupted"),
                    "named": ("interrupted", "interrupted"),
                }
                assert (found, behind) == ends[asked_for]
                has_begun = world.gates[f"{texts[at]} P:0"].arrivals > 0
                assert has_begun == (behind == "success")
            seen[f"{asked_for}: {found}, {behind}"] += 1
    return seen


def _suffixed(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(thread_id, f"{text} P") for thread_id, text in pairs]
