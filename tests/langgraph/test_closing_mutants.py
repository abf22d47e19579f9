"""Faults that are planted on purpose: each must be caught by a test of the other modules, or that test proves nothing."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

import tests.langgraph.test_agents as agents
import tests.langgraph.test_closing as closings
from threadfold.domain.tool_calls import OpenCall
from threadfold.infrastructure.langgraph import closing, runner
from threadfold.infrastructure.langgraph.closing import Closing
from threadfold.infrastructure.langgraph.pairing import Plan
from threadfold.infrastructure.langgraph.starting import Starting

Patch = pytest.MonkeyPatch


def close_nothing(patch: Patch) -> None:
    patch.setattr(runner, "brings_input", lambda given: False)


def close_without_new_input(patch: Patch) -> None:
    patch.setattr(runner, "brings_input", lambda given: True)


def close_at_the_end(patch: Patch) -> None:
    real = closing.plan_of

    def plan_of(*args: Any) -> Plan:
        plan = real(*args)
        if plan.entries is None:
            return plan
        entries = sorted(plan.entries, key=lambda entry: isinstance(entry, OpenCall))
        return replace(plan, entries=entries)

    patch.setattr(closing, "plan_of", plan_of)


def drop_the_results(patch: Patch) -> None:
    real = Closing._closer

    async def closer(self: Closing, config: Any, thread: Any, *rest: Any, **options: Any) -> Any:
        calls = {key: call._replace(result=None) for key, call in thread.state.calls.items()}
        bare = thread.changed(state=thread.state.changed(calls=calls))
        return await real(self, config, bare, *rest, **options)

    patch.setattr(Closing, "_closer", closer)


def forget_what_was_started(patch: Patch) -> None:
    real = closing.outcome
    patch.setattr(closing, "outcome", lambda known, **options: real(None, **options))


def take_the_repair_for_the_run(patch: Patch) -> None:
    """LangGraph goes on with what has the run's id, and leaves its input out."""
    real = Closing._config

    def config(self: Closing, *args: Any) -> Any:
        metadata = {"run_id": getattr(self._log, "run_id", None)}
        return {**real(self, *args), "metadata": metadata}

    patch.setattr(Closing, "_config", config)


def go_on_after_the_repair(patch: Patch) -> None:
    def has_begun(self: Starting, saved: Any) -> bool:
        return self._context.run_id == saved.latest("").run_id

    patch.setattr(Starting, "_has_begun", has_begun)


def leave_strays(patch: Patch) -> None:
    patch.setattr(closing, "without", lambda given, name, strays: given)


def look_only_at_the_tail(patch: Patch) -> None:
    def is_sound_channel(channel: Any, items: Any) -> bool:
        return True if len(channel) < 3 else closing.is_sound(
            map(closing.typed_shape, items.pick(channel.slice(len(channel) - 2, len(channel))))
        )  # fmt: skip

    patch.setattr(closing, "is_sound_channel", is_sound_channel)


Law = Callable[[], Awaitable[None]]


def interrupted(kind: str, point: str = "one tool finished") -> Law:
    return lambda: agents.test_an_interrupt_leaves_results_and_closes_the_rest(kind, point)


def resumed(kind: str) -> Law:
    return lambda: closings.test_a_run_without_input_carries_out_the_open_calls(kind)


def crashed(*args: Any) -> Law:
    law = closings.test_a_crash_between_the_repair_and_the_input_repairs_once_and_loses_nothing
    return lambda: law(*args)


def stray(channel: str) -> Law:
    return lambda: closings.test_a_result_in_the_input_that_answers_nothing_is_left_out(channel)


others_spoke = closings.test_it_is_closed_directly_after_the_call_also_if_others_have_spoken_since

MUTANTS: list[tuple[Callable[[Patch], None], Law]] = [
    (close_nothing, interrupted("prebuilt")),
    (close_without_new_input, resumed("hand_built")),
    (close_at_the_end, others_spoke),
    (drop_the_results, interrupted("hand_built")),
    (forget_what_was_started, interrupted("prebuilt", "no tool finished")),
    (take_the_repair_for_the_run, interrupted("prebuilt")),
    (go_on_after_the_repair, crashed("input", 1, 2)),
    (leave_strays, stray("messages")),
    (look_only_at_the_tail, others_spoke),
]


@pytest.mark.parametrize(("plant", "law"), MUTANTS, ids=[plant.__name__ for plant, _ in MUTANTS])
async def test_a_planted_fault_is_caught(
    plant: Callable[[Patch], None], law: Law, monkeypatch: Patch
) -> None:
    await law()
    plant(monkeypatch)
    with pytest.raises((AssertionError, TimeoutError)):
        await law()
