"""I16: wherever a prebuilt agent is cut off, and by whatever, the next turn shows the model a history that it takes."""

import pytest

from tests.support.engine import Database, StillClock, join, pass_time, quiet, status_of
from tests.support.scripted_agents import (
    AGENTS,
    GO,
    POINTS,
    RESULTS,
    Script,
    Talk,
    registry,
    talking,
    told,
)
from threadfold.domain.errors import ThreadBusyError
from threadfold.domain.tool_calls import CANCELLED, OUTCOME_UNKNOWN

IN_TOOLS = ("no tool finished", "one tool finished", "all tools finished", "in the second round")
MAIN = ("prebuilt", "hand_built")
CASES = [(kind, point) for kind in MAIN for point in POINTS]
CASES += [(kind, point) for kind in AGENTS if kind not in MAIN for point in IN_TOOLS]
every_point = pytest.mark.parametrize(("kind", "point"), CASES)


# ------------------------------------------------------------------ double texting


@every_point
async def test_a_rejected_message_changes_nothing(kind, point):
    async with talking(kind) as talk:
        first = await talk.go_to(point)
        with pytest.raises(ThreadBusyError):
            await talk.submit("more", "reject")
        talk.script.gates.open()
        assert (await join(talk.engine, "t", first)).status == "success"
        assert await talk.results() == RESULTS
        await talk.goes_on()


@every_point
async def test_an_enqueued_message_waits_for_the_answer_to_the_first(kind, point):
    async with talking(kind) as talk:
        first = await talk.go_to(point)
        second = await talk.submit("more", "enqueue")
        talk.script.gates.open()
        assert (await join(talk.engine, "t", first)).status == "success"
        await talk.goes_on(second)
        assert await talk.results() == RESULTS


@every_point
async def test_an_interrupt_leaves_results_and_closes_the_rest(kind, point):
    async with talking(kind) as talk:
        first = await talk.go_to(point)
        await talk.goes_on(await talk.submit("more", "interrupt"))
        assert await status_of(talk.engine, "t", first) == "interrupted"
        assert await talk.results() == told(point, CANCELLED)


@every_point
async def test_a_rollback_leaves_nothing(kind, point):
    async with talking(kind) as talk:
        first = await talk.go_to(point)
        await talk.goes_on(await talk.submit("more", "rollback"))
        assert await status_of(talk.engine, "t", first) == "gone"
        said = [message["content"].strip() for message in await talk.history()]
        assert said == ["more", "answer to more"]


@pytest.mark.parametrize("strategy", ["reject", "enqueue", "interrupt", "rollback"])
@pytest.mark.parametrize("kind", list(AGENTS))
async def test_a_message_after_the_run_finds_all_in_order(kind, strategy):
    async with talking(kind) as talk:
        first = await talk.submit(GO)
        assert (await join(talk.engine, "t", first)).status == "success"
        await talk.goes_on(await talk.submit("more", strategy))
        assert await talk.results() == RESULTS


async def test_a_burst_of_interrupting_messages_closes_each_call_once():
    async with talking("prebuilt") as talk:
        await talk.go_to("one tool finished")
        talk.script.gates.open()
        talk.script.gates.close("model 0")
        runs = [await talk.submit(text, "interrupt") for text in ("a", "b", "more")]
        await talk.goes_on(runs[-1])
        assert await talk.results() == told("one tool finished", CANCELLED)


async def test_an_agent_that_is_cut_off_again_and_again_goes_on():
    async with talking("hand_built") as talk:
        for point in ("no tool finished", "one tool finished", "all tools finished"):
            talk.script.gates = type(talk.script.gates)()
            await talk.go_to(point, strategy="interrupt")
        await talk.goes_on(await talk.submit("more", "interrupt"))
        answers = [m["content"] for m in await talk.history() if m["type"] == "tool"]
        one, two = RESULTS["one"], RESULTS["two"]
        assert answers == [CANCELLED, CANCELLED, one, CANCELLED, one, two]


# ------------------------------------------------------------------ cancel, time-out


@every_point
async def test_a_cancelled_run_leaves_results_and_the_next_turn_closes_the_rest(kind, point):
    async with talking(kind) as talk:
        await talk.engine.cancel_run("t", await talk.go_to(point))
        await talk.goes_on()
        assert await talk.results() == told(point, CANCELLED)


@every_point
async def test_a_run_that_is_cancelled_with_rollback_leaves_nothing(kind, point):
    async with talking(kind) as talk:
        await talk.engine.cancel_run("t", await talk.go_to(point), action="rollback")
        await talk.goes_on()
        assert await talk.results() == {}


@every_point
async def test_after_a_time_out_nobody_knows_what_became_of_the_rest(kind, point):
    clock = StillClock()
    async with talking(kind, clock=clock) as talk:
        first = await talk.go_to(point, timeout_seconds=60)
        await pass_time(talk.engine, clock, 61)
        assert (await join(talk.engine, "t", first)).status == "timeout"
        talk.script.gates.open()
        second = await talk.submit("more")
        await pass_time(talk.engine, clock, 1)
        await talk.goes_on(second)
        assert await talk.results() == told(point, OUTCOME_UNKNOWN)


# ------------------------------------------------------------------ crashes


@every_point
async def test_after_a_crash_the_open_calls_are_carried_out_and_nothing_is_closed(kind, point):
    database, script = Database(), Script()
    mortal = await database.mortal(registry(kind, script))
    first = await Talk(kind, mortal.engine, script).go_to(point)
    await mortal.kill()
    script.gates.open()
    async with database.engine(registry(kind, script)) as engine:
        talk = Talk(kind, engine, script)
        assert (await join(engine, "t", first)).status == "success"
        assert await talk.results() == RESULTS
        await talk.goes_on()


@every_point
async def test_a_message_after_the_last_attempt_finds_the_rest_closed(kind, point):
    database, script = Database(), Script()
    mortal = await database.mortal(registry(kind, script))
    first = await Talk(kind, mortal.engine, script).go_to(point)
    await mortal.kill()
    script.gates.open()
    async with database.engine(registry(kind, script), attempts_max=1) as engine:
        talk = Talk(kind, engine, script)
        ended = await join(engine, "t", first)
        assert ended.error is not None
        assert ended.error.error == "AttemptsExhausted"
        await talk.goes_on()
        assert await talk.results() == told(point, OUTCOME_UNKNOWN)


async def test_a_message_that_interrupts_the_second_attempt_closes_what_that_left():
    database, script = Database(), Script()
    mortal = await database.mortal(registry("prebuilt", script))
    await Talk("prebuilt", mortal.engine, script).go_to("one tool finished")
    await mortal.kill()
    script.gates.open()
    script.gates.close("tool two")
    async with database.engine(registry("prebuilt", script)) as engine:
        talk = Talk("prebuilt", engine, script)
        await script.gates["tool two"].reached(2)
        await quiet(engine)
        await talk.goes_on(await talk.submit("more", "interrupt"))
        assert await talk.results() == told("one tool finished", CANCELLED)
        assert script.done.count("one") == 1


@pytest.mark.parametrize("kind", ["prebuilt", "hand_built"])
async def test_after_a_restart_the_next_turn_closes_what_was_left(kind, tmp_path):
    database, script = Database(tmp_path / "log.db"), Script()
    async with database.engine(registry(kind, script)) as engine:
        talk = Talk(kind, engine, script)
        await engine.cancel_run("t", await talk.go_to("one tool finished"))
    script.gates.open()
    async with database.engine(registry(kind, script)) as engine:
        talk = Talk(kind, engine, script)
        await talk.goes_on()
        assert await talk.results() == told("one tool finished", CANCELLED)
