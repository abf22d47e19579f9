"""What users do with threads as such: create, change, delete, copy, prune. Their runs and states are elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from ..domain.commands import (
    CreateThread,
    DeleteThread,
    PatchThread,
    PruneThread,
    UpdateState,
)
from ..domain.errors import InvalidInputError, ThreadBusyError, ThreadNotFoundError
from ..domain.events import TimeToLive
from ..domain.values import canonical
from .checkpoint_logs import BufferedLog, until_unmoved
from .copies import copy_intents
from .graph_states import stateful
from .many import execute_all
from .options import OptionError, checked_command
from .updates import reducing
from .views import thread_view

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ..domain.graph_ports import GraphRunner, Intent
    from ..domain.ports import Clock, Ids, Tasks
    from ..domain.thread import Thread
    from ..domain.values import Json, JsonObject
    from .answers import Keep
    from .attempts import Runners
    from .checkpoint_logs import WholeThreads
    from .deciding import Outcome
    from .executor import Executor
    from .graph_states import StatefulGraph
    from .settings import Settings
    from .states import States
    from .views import ThreadView

IfExists = Literal["raise", "do_nothing"]
PruneStrategy = Literal["delete", "keep_latest"]

MINUTES_MAX = 100 * 366 * 24 * 60.0
"""The longest time to live: a hundred years."""


class Threads:
    """Creates, changes, deletes, copies and prunes threads."""

    def __init__(
        self,
        executor: Executor,
        wholes: WholeThreads,
        states: States,
        runners: Runners,
        settings: Settings,
        *,
        clock: Clock,
        ids: Ids,
        tasks: Tasks,
    ) -> None:
        self._executor = executor
        self._wholes = wholes
        self._states = states
        self._runners = runners
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._tasks = tasks

    async def create(
        self,
        thread_id: str | None = None,
        *,
        metadata: Mapping[str, object] | None = None,
        if_exists: IfExists = "raise",
        ttl: Mapping[str, Any] | float | None = None,
        supersteps: Sequence[Sequence[Mapping[str, object]]] = (),
        keep: Keep[ThreadView] | None = None,
    ) -> ThreadView:
        """Create a thread; with `supersteps`, with the state that these make, all or nothing.

        `supersteps` are lists of updates: `values` (or `command`), and the node `as_node` that they are by; the graph is the one
        that the metadata name as `graph_id`. `keep` makes the answer that is kept with the creation.

        Raises:
            ThreadExistsError: it is there already, and not to be left as it is.
            GraphNotFoundError: no such graph.
            InvalidInputError, UnknownNodeError: the time to live is none, or an update does not fit the graph.
        """
        thread_id = thread_id or self._ids.thread_id()
        create = CreateThread(
            thread_id=thread_id,
            metadata=_object(metadata),
            if_exists=if_exists,
            ttl=time_to_live(ttl),
        )
        kept = None if keep is None else _kept(thread_id, keep)
        if not supersteps:
            outcome = await self._executor.execute(thread_id, create, keep=kept)
            return thread_view(thread_id, outcome.thread)
        steps = cast("list[list[JsonObject]]", canonical(list(map(list, supersteps)), "supersteps"))
        runner = self._runner_of(create)
        graph = stateful(runner)
        if graph is None:
            return await self._create_by_function(create, runner, steps, kept)
        return await self._create_by_graph(create, graph, runner, steps, kept)

    async def patch(
        self,
        thread_id: str,
        metadata: Mapping[str, object] | None = None,
        *,
        ttl: Mapping[str, Any] | float | None = None,
    ) -> ThreadView:
        """Set keys of the metadata (shallow merge), and the time to live. Raises ThreadNotFoundError, InvalidInputError."""
        command = PatchThread(
            thread_id=thread_id, metadata=_object(metadata), ttl=time_to_live(ttl)
        )
        return thread_view(thread_id, (await self._executor.execute(thread_id, command)).thread)

    async def delete(self, thread_id: str) -> None:
        """Delete a thread with all that it holds, and stop its runs. Raises ThreadNotFoundError."""
        await self._executor.execute(thread_id, DeleteThread(thread_id=thread_id))

    async def copy(self, thread_id: str) -> ThreadView:
        """Create a thread with the state that stands in another, its run in flight left out. Raises ThreadNotFoundError."""
        copy_id = self._ids.thread_id()
        intents = await copy_intents(self._wholes, self._states, thread_id, copy_id)
        return thread_view(copy_id, (await self._executor.execute(copy_id, *intents)).thread)

    async def prune(self, thread_ids: Sequence[str], *, strategy: PruneStrategy = "delete") -> int:
        """Delete threads, or leave them their newest state only; return how many.

        Unknown ones are skipped; so are those with runs in flight, if something is to stay of them.
        """
        kind = DeleteThread if strategy == "delete" else PruneThread
        found = await execute_all(
            self._executor,
            self._tasks,
            {thread_id: kind(thread_id=thread_id) for thread_id in thread_ids},
        )
        count = 0
        for outcome in found.values():
            if isinstance(outcome, ThreadNotFoundError | ThreadBusyError):
                continue
            if isinstance(outcome, Exception):
                raise outcome
            count += 1
        return count

    # ------------------------------------------------------------------ creation with a state

    def _runner_of(self, create: CreateThread) -> GraphRunner:
        graph_id = create.metadata.get("graph_id")
        if not isinstance(graph_id, str):
            raise OptionError("metadata.graph_id", "supersteps need the graph that they are of")
        return self._runners.runner(graph_id)

    async def _create_by_graph(
        self,
        create: CreateThread,
        graph: StatefulGraph,
        runner: GraphRunner,
        steps: list[list[JsonObject]],
        kept: Keep[Outcome] | None,
    ) -> ThreadView:
        """Let the graph record what the supersteps make, and write that together with the creation."""
        for update in (update for step in steps for update in step):
            checked_command("supersteps.updates.command", update.get("command"), runner.nodes)
        thread_id = create.thread_id

        async def created() -> ThreadView:
            thread = await self._executor.load(thread_id)
            log = BufferedLog(thread_id, thread, self._executor, self._wholes)
            await log.record(thread_id, [create])
            if thread.is_present:
                return thread_view(thread_id, thread)
            await graph.apply_supersteps(log, thread_id, steps)
            await log.commit(keep=kept)
            return thread_view(thread_id, await self._executor.load(thread_id))

        seconds = self._settings.contention_seconds
        return await until_unmoved(created, thread_id, seconds, self._clock)

    async def _create_by_function(
        self,
        create: CreateThread,
        runner: GraphRunner,
        steps: list[list[JsonObject]],
        kept: Keep[Outcome] | None,
    ) -> ThreadView:
        """Apply the updates one after the other by the reducers of the function's state."""
        graph = reducing(runner)
        is_new = False

        def begin(thread: Thread, now: datetime) -> CreateThread:
            nonlocal is_new
            del now
            is_new = not thread.is_present
            return create

        def applied(update: JsonObject, checkpoint_id: str) -> Intent:
            as_node = update.get("as_node")
            node = as_node if isinstance(as_node, str) else None

            def intent(thread: Thread, now: datetime) -> UpdateState | None:
                del now
                if not is_new:
                    return None
                before = thread.values()
                given, changes = graph.update(before, update.get("values"), self._ids)
                return UpdateState(
                    thread_id=create.thread_id,
                    checkpoint_id=checkpoint_id,
                    as_node=node,
                    next=graph.next_after(node, before),
                    update=given,
                    changes=changes,
                )

            return intent

        updates = [update for step in steps for update in step]
        if any(update.get("command") is not None for update in updates):
            raise OptionError("supersteps.updates.command", "only for LangGraph graphs")
        intents = [applied(update, self._ids.checkpoint_id()) for update in updates]
        outcome = await self._executor.execute(create.thread_id, begin, *intents, keep=kept)
        return thread_view(create.thread_id, outcome.thread)


def time_to_live(given: Mapping[str, Any] | float | None) -> TimeToLive | None:
    """Return a time to live: minutes, or `{"ttl": minutes, "strategy": "delete" | "keep_latest"}`. Raises InvalidInputError."""
    if given is None:
        return None
    told: Mapping[str, object] = given if not isinstance(given, int | float) else {"ttl": given}
    minutes, strategy = told.get("ttl"), told.get("strategy") or "delete"
    is_number = isinstance(minutes, int | float) and not isinstance(minutes, bool)
    if not is_number or not 0 < cast("float", minutes) <= MINUTES_MAX:
        raise InvalidInputError(f"ttl.ttl: expected minutes, more than 0 and up to {MINUTES_MAX:g}")
    if strategy not in ("delete", "keep_latest"):
        raise InvalidInputError("ttl.strategy: expected delete or keep_latest")
    return TimeToLive(minutes=cast("float", minutes), strategy=strategy)


def _kept(thread_id: str, keep: Keep[ThreadView]) -> Keep[Outcome]:
    return lambda outcome: keep(thread_view(thread_id, outcome.thread))


def _object(value: Mapping[str, object] | None) -> JsonObject:
    return cast("dict[str, Json]", canonical(dict(value or {}), "metadata"))
