"""Double texting: what a new run does to those in flight. Nothing else branches on the strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never, get_args

from .errors import ThreadBusyError
from .events import RunInterrupted, RunRolledBack

if TYPE_CHECKING:
    from .events import Events
    from .thread import Run, Thread

MultitaskStrategy: TypeAlias = Literal["reject", "enqueue", "interrupt", "rollback"]
STRATEGIES: tuple[str, ...] = get_args(MultitaskStrategy)


def displace(strategy: MultitaskStrategy, thread: Thread, *, by_run_id: str) -> Events:
    """Return what happens to the runs in flight before `by_run_id` is accepted, in order of start.

    | strategy  | running                                  | pending                          |
    |-----------|------------------------------------------|----------------------------------|
    | reject    | refused, nothing is written              | refused, nothing is written      |
    | enqueue   | goes on, the new run waits               | goes on, the new run waits       |
    | interrupt | stopped; its finished steps stay         | stopped; its input never applies |
    | rollback  | stopped and gone, as if it had not begun | gone                             |

    Raises:
        ThreadBusyError: the strategy is reject, and runs are in flight.
    """
    runs = thread.in_order()
    match strategy:
        case "reject":
            if runs:
                raise ThreadBusyError(run_ids=tuple(run.run_id for run in runs))
            return ()
        case "enqueue":
            return ()
        case "interrupt":
            return tuple(interrupted(run, thread, "double_text", by_run_id) for run in runs)
        case "rollback":
            return tuple(
                RunRolledBack(run_id=run.run_id, reason="double_text", by_run_id=by_run_id)
                for run in runs
            )
        case _:
            assert_never(strategy)


def interrupted(
    run: Run,
    thread: Thread,
    reason: Literal["double_text", "cancelled"],
    by_run_id: str | None = None,
) -> RunInterrupted:
    """Return the end of a run that is stopped from outside; only the active one has work open."""
    is_active = thread.active == run.run_id
    return RunInterrupted(
        run_id=run.run_id,
        reason=reason,
        by_run_id=by_run_id,
        next=thread.state.next if is_active else (),
        tasks=thread.state.tasks if is_active else (),
    )
