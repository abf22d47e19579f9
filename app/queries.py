"""Reading: threads, runs, states, history and the audit log. Nothing here writes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

from ..domain.assistant import SYSTEM_METADATA
from ..domain.channels import decode_object, read_values
from ..domain.errors import (
    ErasedError,
    RunNotFoundError,
    ThreadNotFoundError,
)
from ..domain.events import RunAccepted
from ..domain.shared_list import SharedList
from ..domain.typed import plain, plain_object
from ..domain.values import canonical
from .options import named_checkpoint
from .results import ended_result
from .rows import in_flight_row
from .search import ThreadFilter, ThreadSearch
from .views import RunResult, RunView, StateView, ThreadView, thread_view

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..domain.events import RecordedEvent
    from ..domain.kept_ports import Delivery
    from ..domain.ports import EventStore, RunRow
    from ..domain.thread import Thread
    from ..domain.values import Json, JsonObject
    from .deciding import Outcome
    from .executor import Executor
    from .search import ThreadOrder
    from .states import States


class Queries:
    """Answers questions about what the log holds."""

    def __init__(self, store: EventStore, executor: Executor, states: States) -> None:
        self._store = store
        self._executor = executor
        self._states = states
        self._search = ThreadSearch(store, executor)

    # ------------------------------------------------------------------ threads

    async def thread(self, thread_id: str) -> Thread:
        """Return the thread's fold. Raises ThreadNotFoundError."""
        thread = await self._executor.load(thread_id)
        if not thread.is_visible:
            raise ThreadNotFoundError(thread_id=thread_id)
        return thread

    async def thread_of_runs(self, thread_id: str) -> Thread:
        """Return the thread's fold, also that of a temporary one. Raises ThreadNotFoundError."""
        thread = await self._executor.load(thread_id)
        if not thread.is_present:
            raise ThreadNotFoundError(thread_id=thread_id)
        return thread

    async def get_thread(self, thread_id: str) -> ThreadView:
        """Return the thread. Raises ThreadNotFoundError."""
        return thread_view(thread_id, await self.thread(thread_id))

    async def list_threads(self, *, limit: int = 10, offset: int = 0) -> list[ThreadView]:
        """Return threads, newest `updated_at` first."""
        views, _ = await self.search_threads(ThreadFilter(), limit=limit, offset=offset)
        return views

    async def search_threads(
        self,
        where: ThreadFilter,
        *,
        order: ThreadOrder = "updated_at",
        is_descending: bool = True,
        limit: int = 10,
        offset: int = 0,
    ) -> tuple[list[ThreadView], bool]:
        """Return the threads that match, and whether there are more behind them."""
        found, has_more = await self._search.find(
            where, order=order, is_descending=is_descending, limit=limit, offset=offset
        )
        return [thread_view(thread_id, thread) for thread_id, thread in found], has_more

    async def count_threads(self, where: ThreadFilter) -> int:
        """Return how many threads match."""
        return await self._search.count(where)

    async def thread_ids(self, where: ThreadFilter) -> list[str]:
        """Return the ids of the threads that match as far as their rows tell: values are not looked at."""
        return [row.thread_id for row in await self._search.rows(where)]

    # ------------------------------------------------------------------ states

    async def get_state(
        self,
        thread_id: str,
        checkpoint_id: str | None = None,
        *,
        checkpoint: Mapping[str, object] | None = None,
        subgraphs: bool = False,
    ) -> StateView:
        """Return the newest state, or that of a checkpoint in the visible history.

        `checkpoint` names one with its namespace, if it is a subgraph's: `checkpoint_ns`, `checkpoint_id`, `checkpoint_map`. With
        `subgraphs`, open tasks hold the states of theirs.

        Raises:
            ThreadNotFoundError: no such thread.
            CheckpointNotFoundError: no such checkpoint, or it was rolled back.
            InvalidInputError: `checkpoint` is no name of a checkpoint.
        """
        thread = await self.thread(thread_id)
        named = named_checkpoint(checkpoint, checkpoint_id, thread_id)
        return await self._states.get(thread_id, thread, named, subgraphs=subgraphs)

    async def get_state_at(self, thread_id: str, version: int) -> StateView:
        """Return the state as it stood at a version, runs included that were rolled back later (audit).

        Raises:
            ThreadNotFoundError: the thread did not exist at that version.
            ErasedError: the payloads that made this state were erased.
        """
        thread = await self._executor.load_at(thread_id, version)
        if not thread.is_present:
            raise ThreadNotFoundError(thread_id=thread_id)
        if thread.state.is_erased:
            raise ErasedError(version=version)
        return StateView(thread_id, thread.state, thread.items, thread.metadata)

    async def history(
        self,
        thread_id: str,
        *,
        limit: int = 10,
        before: str | None = None,
        metadata: Mapping[str, object] | None = None,
        checkpoint: Mapping[str, object] | None = None,
    ) -> list[StateView]:
        """Return states, newest first, without those of rolled-back runs.

        `before` is a checkpoint id, left out itself. `metadata` must be those of the checkpoint, as far as they are named.
        `checkpoint` names a subgraph by its `checkpoint_ns`; with a `checkpoint_id`, it begins there.

        Raises:
            ThreadNotFoundError: no such thread.
            CheckpointNotFoundError: `before` is no checkpoint of the visible history.
            InvalidInputError: something is asked for that checkpoints of functions do not have.
        """
        thread = await self.thread(thread_id)
        named = named_checkpoint(checkpoint, None, thread_id)
        wanted = cast("JsonObject", canonical(dict(metadata or {}), "metadata"))
        return await self._states.history(
            thread_id, thread, limit=limit, before=before, metadata=wanted, checkpoint=named
        )

    # ------------------------------------------------------------------ runs

    async def get_run(self, thread_id: str, run_id: str) -> RunView:
        """Return a run. Raises RunNotFoundError, also for one that was rolled back or deleted."""
        row = await self._store.get_run(thread_id, run_id)
        if row is None or row.is_hidden:
            raise RunNotFoundError(run_id=run_id)
        (view,) = await self._run_views((row,))
        return view

    async def accepted_run(self, thread_id: str, run_id: str, outcome: Outcome) -> RunView:
        """Return the run that a submission came to: just accepted, or, on a retry, what it was accepted as before."""
        return accepted_view(thread_id, run_id, outcome) or await self.get_run(thread_id, run_id)

    async def find_run(self, run_id: str) -> RunView:
        """Return a run whose thread is not known. Raises RunNotFoundError."""
        row = await self._store.find_run(run_id)
        if row is None or row.is_hidden:
            raise RunNotFoundError(run_id=run_id)
        (view,) = await self._run_views((row,))
        return view

    async def rolled_back_result(self, thread_id: str, run_id: str) -> RunResult | None:
        """Return how a run ended that was rolled back; None, if it was not."""
        row = await self._store.get_run(thread_id, run_id)
        if row is None or row.status != "rolled_back":
            return None
        return await self.result(row)

    async def list_runs(
        self, thread_id: str, *, status: str | None = None, limit: int = 10, offset: int = 0
    ) -> list[RunView]:
        """Return the thread's runs, newest first. Raises ThreadNotFoundError."""
        await self.thread(thread_id)
        rows = await self._store.list_runs(thread_id, status=status, limit=limit, offset=offset)
        return await self._run_views(rows)

    async def list_in_flight(self, status: str | None = None) -> list[tuple[str, str]]:
        """Return the thread and the id of every run in flight, of all threads; `status`: pending or running ones only."""
        rows = await self._store.list_runs_in_flight(status=status)
        return [(row.thread_id, row.run_id) for row in rows]

    async def count_in_flight(self) -> Mapping[str, int]:
        """Return how many runs of all threads are pending, and how many are running."""
        return Counter(row.status for row in await self._store.list_runs_in_flight())

    async def _run_views(self, rows: Sequence[RunRow]) -> list[RunView]:
        if not rows:
            return []
        thread = await self._executor.load(rows[0].thread_id)
        versions = sorted(row.accepted_version for row in rows)
        recorded = await self._store.read_run(rows[0].thread_id, versions)
        accepted = {
            e.version: (e.event, e.actor) for e in recorded if isinstance(e.event, RunAccepted)
        }
        return [run_view(row, *accepted[row.accepted_version], thread) for row in rows]

    async def result(self, row: RunRow) -> RunResult:
        """Return how an ended run ended."""
        version = row.ended_version
        if version is None:
            raise RunNotFoundError(run_id=row.run_id, message="The run is in flight")
        (end,) = await self._store.read_run(row.thread_id, [version])
        newest = await self._executor.load(row.thread_id)
        last = newest.last_run
        is_last = last is not None and last.run_id == row.run_id and last.version == newest.version
        thread = newest if is_last else await self._executor.load_at(row.thread_id, end.version)
        return ended_result(row.run_id, end, thread)

    async def list_deliveries(self, *, limit: int = 100) -> tuple[Delivery, ...]:
        """Return calls of webhooks that have not arrived, oldest first; those without `due_at` were given up."""
        return await self._store.list_deliveries(limit=limit)

    # ------------------------------------------------------------------ audit

    async def log(
        self, thread_id: str, *, after: int = 0, limit: int | None = None
    ) -> tuple[RecordedEvent, ...]:
        """Return the thread's events as they were recorded, those of rolled-back runs included."""
        events = await self._store.read_thread(thread_id, after=after, limit=limit)
        if not events and not await self._store.head_version(thread_id):
            raise ThreadNotFoundError(thread_id=thread_id)
        return events


def accepted_view(thread_id: str, run_id: str, outcome: Outcome) -> RunView | None:
    """Return the run as it was just accepted; None, if it was not."""
    for recorded in outcome.events:
        event = recorded.event
        if isinstance(event, RunAccepted) and event.run_id == run_id:
            # As it was accepted, although it may have been started in the same append.
            run = outcome.thread.runs[run_id].changed(status="pending", attempt=0)
            return run_view(in_flight_row(thread_id, run), event, run.actor, outcome.thread)
    return None


def run_view(row: RunRow, event: RunAccepted, actor: str | None, thread: Thread) -> RunView:
    """Return a run, of its row and of what was accepted, and from whom."""
    own = {"graph_id": row.graph_id, "assistant_id": row.assistant_id}
    of_assistant = event.assistant_metadata
    if of_assistant is None:
        of_assistant = SYSTEM_METADATA
    metadata: JsonObject = {**of_assistant, **thread.metadata, **event.metadata, **own}
    return RunView(row, event, _input(event), metadata, thread.is_temporary, actor)


def _input(event: RunAccepted) -> Json:
    if event.input is None:
        return plain(event.raw_input) if event.is_typed else event.raw_input
    items = SharedList(
        [None] * event.first_item + list(event.items)
    )  # An input refers to its own items only.
    given = read_values(decode_object(event.input), items)
    return plain_object(given) if event.is_typed else given
