"""States and their history: what the log says, and what only a thread's graph can tell. Nothing here writes."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from ..domain.errors import (
    CheckpointNotFoundError,
    EngineError,
    GraphNotFoundError,
    UnreadableValueError,
    UnregisteredTypeError,
)
from ..domain.saved_fold import open_nodes, place_of, visible
from ..domain.state import State
from ..domain.thread import evolve
from .checkpoint_logs import BufferedLog
from .executor import EVENTS_AT_ONCE
from .graph_states import stateful
from .options import OptionError
from .views import StateView

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence

    from ..domain.graph_ports import GraphRunner
    from ..domain.ports import EventStore
    from ..domain.saved import CheckpointKey, SavedCheckpoint
    from ..domain.thread import Thread
    from ..domain.values import Json
    from .attempts import Runners
    from .checkpoint_logs import WholeThreads
    from .executor import Executor
    from .graph_states import GraphState, StatefulGraph

T = TypeVar("T")

NULL_TASK = "00000000-0000-0000-0000-000000000000"
"""The task that LangGraph files a command's writes under."""

logger = logging.getLogger(__name__)


class States:
    """Reads states of threads.

    A graph of LangGraph's knows more of its states than the log does: which tasks are open at a checkpoint, and what its reducers
    make of what some of them wrote. Where it is not at hand, what the log says has to do.
    """

    def __init__(
        self, store: EventStore, executor: Executor, wholes: WholeThreads, runners: Runners
    ) -> None:
        self._store = store
        self._executor = executor
        self._wholes = wholes
        self._runners = runners

    def runner_of(self, thread: Thread) -> GraphRunner | None:
        """Return the runner of the graph that the thread's state is of, if it is registered here."""
        head = thread.state.saved.latest("")
        named = None if head is None else head.metadata.get("graph_id")
        graph_id = named or thread.metadata.get("graph_id")
        try:
            return self._runners.runner(graph_id) if isinstance(graph_id, str) else None
        except GraphNotFoundError:
            return None

    # ------------------------------------------------------------------ one state

    async def get(
        self,
        thread_id: str,
        thread: Thread,
        checkpoint: Mapping[str, Json],
        *,
        subgraphs: bool = False,
    ) -> StateView:
        """Return the newest state, or that at the checkpoint named; raises CheckpointNotFoundError."""
        state = thread.state
        if not state.is_typed:
            return await self._stepped(thread_id, thread, checkpoint)
        if not checkpoint and _is_told_by_the_log(thread):
            return _saved_view(thread_id, thread, state.saved.latest(""), state)
        graph = self._graph(thread)
        if graph is not None:
            log = BufferedLog(thread_id, thread, self._executor, self._wholes)
            told = await _told(
                graph.get_state(log, thread_id, checkpoint=checkpoint, subgraphs=subgraphs)
            )
            if told is not None and told.metadata is None:
                raise CheckpointNotFoundError(checkpoint_id=_name(checkpoint))
            if told is not None:
                is_live = "checkpoint_id" not in checkpoint
                found = await self._told_views(log, thread_id, thread, [told], is_live=is_live)
                return found[0]
        return await self._logged(thread_id, thread, checkpoint)

    async def _stepped(
        self, thread_id: str, thread: Thread, checkpoint: Mapping[str, Json]
    ) -> StateView:
        wanted = checkpoint.get("checkpoint_id")
        if "checkpoint_ns" in checkpoint:
            raise OptionError("checkpoint.checkpoint_ns", "only for threads of LangGraph graphs")
        if wanted is None:
            return _view(thread_id, thread, thread.state)
        async for view in self.steps(thread_id, thread):
            if view.state.checkpoint_id == wanted:
                return view
        raise CheckpointNotFoundError(checkpoint_id=str(wanted))

    async def _logged(
        self, thread_id: str, thread: Thread, checkpoint: Mapping[str, Json]
    ) -> StateView:
        if not checkpoint:
            return _saved_view(thread_id, thread, thread.state.saved.latest(""), thread.state)
        wanted, ns = checkpoint.get("checkpoint_id"), str(checkpoint.get("checkpoint_ns") or "")
        async for view in self._saved(thread_id, thread, ns):
            if wanted in (None, view.state.checkpoint_id):
                return view
        raise CheckpointNotFoundError(checkpoint_id=_name(checkpoint))

    async def _told_views(
        self,
        log: BufferedLog,
        thread_id: str,
        thread: Thread,
        told: Sequence[GraphState],
        *,
        is_live: bool = False,
    ) -> list[StateView]:
        """Return what the graph told, with what the log has of the same checkpoints."""
        wanted = {_key(each): each for each in told}
        saved = {key: thread.state.saved.find(*key) for key in wanted}
        if None in saved.values():
            thread = await log.whole(thread_id)
            everything = thread.state.saved.newest_first()
            saved = {
                (each.ns, each.checkpoint_id): each
                for each in everything
                if (each.ns, each.checkpoint_id) in wanted
            }
        views: list[StateView] = []
        for key, each in wanted.items():
            state = thread.state if key == ("", thread.state.checkpoint_id) else None
            view = _saved_view(thread_id, thread, saved.get(key), state, each)
            views.append(replace(view, is_exact=_is_exact(thread, each, is_live=is_live)))
        return views

    # ------------------------------------------------------------------ many

    async def history(
        self,
        thread_id: str,
        thread: Thread,
        *,
        limit: int,
        before: str | None,
        metadata: Mapping[str, Json],
        checkpoint: Mapping[str, Json],
    ) -> list[StateView]:
        """Return states, newest first.

        Raises:
            CheckpointNotFoundError: there is no checkpoint `before`.
            OptionError: the thread is a function's, and something is asked for that its states do not have.
        """
        if not thread.state.is_typed:
            self._check_function(thread, checkpoint)
        graph = self._graph(thread) if thread.state.is_typed else None
        if graph is not None:
            log = BufferedLog(thread_id, thread, self._executor, self._wholes)
            if before is not None and not await _is_there(log, thread_id, before):
                raise CheckpointNotFoundError(checkpoint_id=before)
            told = await _told(
                graph.history(
                    log,
                    thread_id,
                    limit=limit,
                    before=before,
                    filter=metadata,
                    checkpoint=checkpoint,
                )
            )
            if told is not None:
                return await self._told_views(log, thread_id, thread, told)
        found: list[StateView] = []
        is_past = before is None
        wanted = checkpoint.get("checkpoint_id")
        if thread.state.is_typed:
            views = self._saved(thread_id, thread, str(checkpoint.get("checkpoint_ns") or ""))
        else:
            views = self.steps(thread_id, thread)
        async for view in views:
            if is_past and wanted in (None, view.state.checkpoint_id) and _has(view, metadata):
                found.append(view)
                if len(found) >= limit:
                    break
            is_past = is_past or view.state.checkpoint_id == before
        if not is_past and before is not None:
            raise CheckpointNotFoundError(checkpoint_id=before)
        return found

    async def _saved(self, thread_id: str, thread: Thread, ns: str) -> AsyncIterator[StateView]:
        """Yield the checkpoints of a namespace, newest first, as the log has them."""
        seen: set[str] = set()
        for part in (thread, None):
            if part is None:
                if thread.state.saved.is_complete:
                    return
                log = BufferedLog(thread_id, thread, self._executor, self._wholes)
                part = await log.whole(thread_id)
            for saved in part.state.saved.newest_first(ns):
                if saved.checkpoint_id not in seen:
                    seen.add(saved.checkpoint_id)
                    is_current = saved.checkpoint_id == part.state.checkpoint_id
                    state = part.state if is_current else None
                    yield _saved_view(thread_id, part, saved, state)

    async def steps(self, thread_id: str, thread: Thread) -> AsyncIterator[StateView]:
        """Yield a function's states newest first: those that the fold still reaches, then those that only the log has."""
        state: State | None = thread.state
        oldest: State | None = None
        while state is not None and state.checkpoint is not None:
            yield _view(thread_id, thread, state)
            oldest, state = state, state.parent
        wanted = None if oldest is None else _older_in_sight(thread, oldest)
        if oldest is None or oldest.checkpoint is None or wanted is None:
            return
        by_id = await self._all_steps(thread_id, oldest.checkpoint.version)
        while wanted is not None and wanted in by_id:
            found, at = by_id[wanted]
            yield _view(thread_id, at, found)
            wanted = _older_in_sight(thread, found)

    async def _all_steps(
        self, thread_id: str, before_version: int
    ) -> dict[str, tuple[State, Thread]]:
        """Fold the log from its start, and keep every state on the way: they share what they have in common."""
        thread = await self._executor.load_at(thread_id, 0)
        states: dict[str, tuple[State, Thread]] = {}
        while thread.version < before_version:
            events = await self._store.read_thread(
                thread_id, after=thread.version, upto=before_version, limit=EVENTS_AT_ONCE
            )
            if not events:
                break
            for recorded in events:
                thread = evolve(thread, recorded)
                if thread.state.checkpoint is not None:
                    states[thread.state.checkpoint.checkpoint_id] = (thread.state, thread)
        return states

    def _check_function(self, thread: Thread, checkpoint: Mapping[str, Json]) -> None:
        """Refuse what states of functions do not have; a thread that nothing has run on yet may be anything's."""
        runner = self.runner_of(thread)
        if not thread.has_values and (runner is None or stateful(runner) is not None):
            return
        if "checkpoint_ns" in checkpoint:
            raise OptionError("checkpoint.checkpoint_ns", "only for threads of LangGraph graphs")

    def _graph(self, thread: Thread) -> StatefulGraph | None:
        runner = self.runner_of(thread)
        return None if runner is None else stateful(runner)


def _older_in_sight(thread: Thread, state: State) -> str | None:
    """Return the id of the state that a function's state came of, unless it was pruned."""
    checkpoint = state.checkpoint
    if checkpoint is None or checkpoint.version <= thread.pruned_version:
        return None
    return checkpoint.parent_id


def _view(thread_id: str, thread: Thread, state: State) -> StateView:
    return StateView(thread_id, state, thread.items, thread.metadata)


def _saved_view(
    thread_id: str,
    thread: Thread,
    saved: SavedCheckpoint | None,
    state: State | None = None,
    told: GraphState | None = None,
) -> StateView:
    if state is None:
        state = State() if saved is None else _state_of(saved, thread)
    return StateView(thread_id, state, thread.items, thread.metadata, saved, told)


def _state_of(saved: SavedCheckpoint, thread: Thread) -> State:
    return State(
        channels=visible(saved.channels),
        checkpoint=place_of(saved),
        next=open_nodes(saved, thread.items.__getitem__),
        saved=thread.state.saved,
    )


def _is_told_by_the_log(thread: Thread) -> bool:
    """Say whether the graph itself said what stands, when its last run ended, and that was all: nothing is open."""
    state, last = thread.state, thread.last_run
    if thread.runs or state.next or last is None or last.status != "success":
        return False
    return last.version > state.saved.version


def _is_exact(thread: Thread, told: GraphState, *, is_live: bool) -> bool:
    """Say whether no write that waits on the checkpoint has made the values that the graph told others than the checkpoint's.

    What tasks have written counts in the state as it stands (`is_live`) alone; what a command wrote always does.
    """
    writes = thread.state.saved.writes.get(_key(told), {})
    names = frozenset(told.names or ())
    return not any(
        write.channel in names and (is_live or write.task_id == NULL_TASK)
        for write in writes.values()
    )


def _key(told: GraphState) -> CheckpointKey:
    return str(told.config.get("checkpoint_ns") or ""), str(told.config.get("checkpoint_id"))


def _name(checkpoint: Mapping[str, Json]) -> str:
    return str(checkpoint.get("checkpoint_id") or checkpoint.get("checkpoint_ns") or "")


async def _is_there(log: BufferedLog, thread_id: str, checkpoint_id: str) -> bool:
    thread = await log.thread(thread_id)
    if any(each.checkpoint_id == checkpoint_id for each in thread.state.saved.newest_first()):
        return True
    whole = await log.whole(thread_id)
    return any(each.checkpoint_id == checkpoint_id for each in whole.state.saved.newest_first())


def _has(view: StateView, wanted: Mapping[str, Json]) -> bool:
    """Say whether the checkpoint's metadata are these, as far as they are named."""
    return all(view.own_metadata.get(name) == value for name, value in wanted.items())


async def _told(asked: Awaitable[T]) -> T | None:
    """Return what the graph tells; None if it cannot, because its code or its classes are not what they were."""
    try:
        return await asked
    except (UnregisteredTypeError, UnreadableValueError) as error:
        logger.warning("the graph cannot read its state, the log's view has to do: %s", error)
    except EngineError:
        raise
    except Exception:
        logger.exception("the graph cannot tell its state, the log's view has to do")
    return None
