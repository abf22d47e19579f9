"""Races over HTTP in which clients meet: they answer one question, fill one queue, read what others are writing."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Any

from .engine import answered, heard, said, soon
from .scripted_agents import GO
from .streaming_agents import MODES, asked, first_told, require_rising, told
from .wire_world import LISTED_MAX, Seen, World, answer, at_once, moment, texts_of

if TYPE_CHECKING:
    from collections.abc import Awaitable


# ------------------------------------------------------------------ questions


async def an_answer_is_rolled_back(world: World, repetitions: int) -> Seen:
    """The next answer is the one that counts, and the thread waits for it as it did before."""
    seen = Seen()
    for number in range(repetitions):
        thread_id = await _question(world)
        first = await world.client.runs.create(thread_id, "asking", command={"resume": "old"})
        await moment(number % 20)
        stopped = await answer(
            world.client.runs.cancel(thread_id, first["run_id"], action="rollback")
        )
        thread = await world.client.threads.get(thread_id)
        if stopped == 404:
            assert (thread["status"], thread["values"]["log"][-1]) == ("idle", "last")
        else:
            assert (thread["status"], thread["error"]) == ("interrupted", None)
            assert [each for found in thread["interrupts"].values() for each in found]
            values = await soon(
                world.client.runs.wait(thread_id, "asking", command={"resume": "new"})
            )
            assert values["log"] == ["in", "first", "answer new", "last"]
        seen["ended" if stopped == 404 else "rolled back"] += 1
    return seen


async def one_question_is_answered_twice(world: World, repetitions: int) -> Seen:
    seen = Seen()
    for _ in range(repetitions):
        thread_id = await _question(world)
        answers = await at_once(
            *(
                world.client.runs.wait(
                    thread_id, "asking", command={"resume": name}, raise_error=False
                )
                for name in ("one", "two", "three")
            )
        )
        done = [each for each in answers if isinstance(each, dict) and "log" in each]
        others = [each for each in answers if each not in done]
        assert len(done) == 1
        for each in others:
            assert each == 409 or each["__error__"]["error"] == "NothingToResumeError"
            seen["refused" if each == 409 else "found nothing"] += 1
        state = await world.client.threads.get_state(thread_id)
        assert state["values"] == done[0]
        assert [entry.split()[0] for entry in done[0]["log"]] == ["in", "first", "answer", "last"]
    return seen


async def _question(world: World) -> str:
    thread_id = await world.thread()
    await soon(world.client.runs.wait(thread_id, "asking", input={"log": ["in"]}))
    return thread_id


async def tool_calls_are_interrupted(world: World, repetitions: int) -> Seen:
    """Whenever the next message comes, the model is shown a history that providers take."""
    seen, script = Seen(), world.script
    for number in range(repetitions):
        thread_id = await world.thread()
        first = await world.client.runs.create(
            thread_id, "tools", input=said(GO), durability="sync"
        )
        for _ in range(
            number % 7
        ):  # A run of it takes many rounds; and the server writes each step.
            await moment(number)
        values = await soon(
            world.client.runs.wait(
                thread_id, "tools", input=said("more"), multitask_strategy="interrupt"
            )
        )
        assert script.refusals == []
        assert heard(values)[-1] == "answer to more"
        seen[
            f"{await world.status(thread_id, first['run_id'])}, {len(heard(values))} messages"
        ] += 1
    return seen


# ------------------------------------------------------------------ order, slots, limits


async def forty_runs_are_queued_on_another_thread(world: World, repetitions: int) -> Seen:
    """Only the one that may start next takes a slot; there are two."""
    busy_id = await world.thread()
    await world.held(busy_id, "busy", 0)
    await at_once(*(world.submit(busy_id, f"queued {at}") for at in range(40)))
    for _ in range(repetitions):
        thread_id = await world.thread()
        values = await soon(world.client.runs.wait(thread_id, "agent", input=said("other")))
        assert heard(values) == answered("other")
    assert len(await world.client.runs.list(busy_id, status="pending", limit=LISTED_MAX)) == 40
    return Seen(others=repetitions)


async def many_create_runs_of_one_thread(world: World, repetitions: int) -> Seen:
    """`created_at` rises, and is the order in which they run; whatever anybody sees, one runs at most."""
    seen = Seen()
    for _ in range(repetitions):
        thread_id = await world.thread()
        texts = [f"m{at}" for at in range(8)]
        runs = await at_once(*(world.submit(thread_id, text) for text in texts))
        while (thread := await world.client.threads.get(thread_id))["status"] == "busy":
            listed = await world.client.runs.list(thread_id, limit=LISTED_MAX)
            assert [run["status"] for run in listed].count("running") <= 1
        assert thread["status"] == "idle"
        listed = (await world.client.runs.list(thread_id, limit=LISTED_MAX))[::-1]
        times = [run["created_at"] for run in listed]
        assert times == sorted(set(times))
        assert {run["run_id"] for run in listed} == set(runs)
        order = [text for run in listed for text in texts_of(run)]
        assert await world.stands(thread_id) == answered(*order)
        seen["in order" if order == texts else "in another one"] += 1
    return seen


async def a_queue_is_full(world: World, repetitions: int) -> Seen:
    """Five are let in; one that displaces them needs no place beside them."""
    seen = Seen()
    for number in range(repetitions):
        thread_id = await world.thread()
        await world.held(thread_id, f"F{number}", 0)
        answers = await at_once(*(world.submit(thread_id, f"m{at}") for at in range(8)))
        assert [each for each in answers if isinstance(each, int)] == [429] * 4
        last = await world.submit(thread_id, "B", "rollback")
        await world.join(thread_id, last)
        assert await world.stands(thread_id) == answered("B")
        seen["429"] += 4
    return seen


async def equal_requests_come_at_once(world: World, repetitions: int) -> Seen:
    seen = Seen()
    for number in range(repetitions):
        thread_id = await world.thread()
        path, body = f"/threads/{thread_id}/runs", {"assistant_id": "agent", "input": said("a")}
        headers = {"Idempotency-Key": f"k{number}"}
        http = world.client.http.client
        answers = await at_once(*(http.post(path, json=body, headers=headers) for _ in range(5)))
        assert {each.status_code for each in answers} == {200}
        assert len({each.content for each in answers}) == 1
        flags = Counter(each.headers.get("Idempotency-Replayed") for each in answers)
        assert flags == {None: 1, "true": 4}
        await world.join(thread_id, answers[0].json()["run_id"])
        assert await world.stands(thread_id) == answered("a")
        seen["replayed"] += 4
    return seen


# ------------------------------------------------------------------ what readers see


async def a_thread_is_looked_at_all_the_time(world: World, repetitions: int) -> Seen:
    """It is busy as long as a run is pending or running, and says what stands."""
    seen = Seen()
    for number in range(repetitions):
        thread_id, text = await world.thread(), f"L{number}"
        world.gates.close(f"{text}:{number % 3}")
        run_id = await world.submit(thread_id, text)
        for look in count():
            if look == number % 4:
                world.gates.open()
            thread = await world.client.threads.get(thread_id)
            status = await world.status(thread_id, run_id)
            seen[f"{thread['status']}, then {status}"] += 1
            if thread["status"] == "idle":
                break
            assert thread["status"] == "busy"
        assert (status, heard(thread["values"])) == ("success", answered(text))
        assert await world.stands(thread_id) == answered(text)
    return seen


async def a_stream_is_cut_and_taken_up_again(world: World, repetitions: int) -> Seen:
    """Ids rise, and none of the events is lost or comes twice, wherever the cut is."""
    seen = Seen()
    runs, modes = world.client.runs, MODES["function"]
    for number in range(repetitions):
        thread_id, created = await world.thread(), list[Any]()
        stream = runs.stream(
            thread_id, "function", **asked("function"), on_run_created=created.append
        )
        begun = await first_told(stream, 1 + number % 20)
        run_id = created[0]["run_id"]
        await moment(number)

        def taken_up(
            after: str, thread_id: str = thread_id, run_id: str = run_id
        ) -> Awaitable[Any]:
            return told(runs.join_stream(thread_id, run_id, last_event_id=after, stream_mode=modes))

        rest, again = await at_once(taken_up(begun[-1][0]), taken_up(begun[-1][0]))
        whole = await taken_up("-1")
        require_rising(whole)
        assert [*begun, *rest] == [*begun, *again] == whole
        seen["after its end" if not rest else "before"] += 1
    return seen


async def a_busy_thread_is_copied(world: World, repetitions: int) -> Seen:
    """A copy has what stands without the run in flight, and has it at once."""
    seen = Seen()
    for number in range(repetitions):
        thread_id, text = await world.thread(), f"K{number}"
        await soon(world.client.runs.wait(thread_id, "agent", input=said("pre")))
        await world.held(thread_id, text)
        works = [
            *(world.client.threads.copy(thread_id) for _ in range(3)),
            world.submit(thread_id, "B", "rollback"),
        ]
        works = [*works[number % 4 :], *works[: number % 4]]
        answers = await at_once(*works)
        world.gates.open(f"{text}:1")
        (last,) = [each for each in answers if isinstance(each, str)]
        await world.join(thread_id, last)
        for copy in answers:
            if isinstance(copy, str):
                continue
            stands = await world.stands(copy["thread_id"])
            assert stands == heard(copy["values"])
            assert stands in (answered("pre"), answered("pre", "B"))
            seen[f"{len(stands)} messages"] += 1
    return seen


async def streams_without_a_thread_are_looked_up(world: World, repetitions: int) -> Seen:
    """The address that a stream names is there as long as its run is, and tells the run's end."""
    seen = Seen()
    http = world.client.http.client
    for number in range(repetitions):
        text = f"U{number}"
        world.gates.close(f"{text}:1")
        body = {"assistant_id": "agent", "input": said(text), "stream_mode": ["values"]}
        async with http.stream("POST", "/runs/stream", json=body) as response:
            location = response.headers["Location"]
            await world.gates[f"{text}:1"].reached()
        looking = asyncio.create_task(http.get(location))
        await moment(number)
        world.gates.open(f"{text}:1")
        found = await soon(looking)
        assert found.status_code in (200, 404)
        if (
            "event: values" in found.text
        ):  # Else it came after the last of them, and before the end.
            assert f"{text}.2" in found.text
        seen[str(found.status_code)] += 1
    return seen
