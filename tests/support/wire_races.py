"""Races of clients over HTTP, through the official client: a function each, which is told how many times over.

Each is about one line of where the reference server goes wrong now and then. A function returns what it met, counted: a race
whose every repetition went the same way was none. Where a moment is to be met by chance, some rounds of the event loop are let
pass, other ones each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import wire_endings as endings, wire_meetings as meetings
from .wire_world import racing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .wire_world import Seen, World

__all__ = ["RACES", "Race", "racing"]


@dataclass(frozen=True)
class Race:
    """A race, how many repetitions of the others take as long as one of it, and the settings that it needs."""

    run: Callable[[World, int], Awaitable[Seen]]
    weight: int
    settings: dict[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        return self.run.__name__


RACES = [
    Race(endings.rollback_at_the_last_moment, 4),
    Race(endings.interrupt_at_the_last_moment, 4),
    Race(endings.ten_threads_roll_back_at_once, 40),
    Race(endings.many_roll_back_one_thread, 10),
    Race(endings.code_that_is_rolled_back_does_not_stop, 4),
    Race(endings.code_that_is_interrupted_does_not_stop, 4),
    Race(endings.waiters_of_runs_that_are_rolled_back, 8),
    Race(endings.waiters_of_runs_that_are_interrupted, 8),
    Race(endings.a_cancel_by_rollback_that_nobody_waits_for, 4),
    Race(endings.all_ways_to_end_a_run_at_once, 4),
    Race(endings.a_running_run_is_deleted, 8),
    Race(endings.a_thread_is_deleted_and_its_id_used_again, 8),
    Race(endings.all_runs_of_a_status_are_cancelled, 20),
    Race(meetings.an_answer_is_rolled_back, 10),
    Race(meetings.one_question_is_answered_twice, 16),
    Race(meetings.tool_calls_are_interrupted, 16),
    Race(meetings.forty_runs_are_queued_on_another_thread, 4, {"worker_slots": 2}),
    Race(meetings.many_create_runs_of_one_thread, 40),
    Race(meetings.a_queue_is_full, 20, {"runs_in_flight_max": 5}),
    Race(meetings.equal_requests_come_at_once, 10),
    Race(meetings.a_thread_is_looked_at_all_the_time, 8),
    Race(meetings.a_stream_is_cut_and_taken_up_again, 10),
    Race(meetings.a_busy_thread_is_copied, 10),
    Race(meetings.streams_without_a_thread_are_looked_up, 2),
]
