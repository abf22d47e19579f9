"""Finds what would keep a thread from going on, of whatever kind it is and wherever it comes from, and mends it by appending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from ..domain.calls import calls_in
from ..domain.diagnosis import diagnose
from ..domain.errors import ThreadNotFoundError
from ..domain.fencing import require_idle
from ..domain.mending import mending
from .checkpoint_logs import BufferedLog, until_unmoved
from .graph_states import stateful

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..domain.diagnosis import Finding
    from ..domain.graph_ports import CheckpointLog, GraphRunner
    from ..domain.ports import Clock, Ids
    from ..domain.thread import Thread
    from .checkpoint_logs import WholeThreads
    from .executor import Executor
    from .settings import Settings

END = "__end__"
"""What an update is by that leaves nothing to be done."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found on a thread."""

    thread_id: str
    version: int
    findings: Sequence[Finding]

    @property
    def is_broken(self) -> bool:
        """Whether something would keep the thread from going on."""
        return any(finding.severity == "broken" for finding in self.findings)


class MendingGraph(Protocol):
    """A runner whose graph can take part in mending: it knows how to take over what its tasks have finished."""

    async def close_tool_calls(self, log: CheckpointLog, thread_id: str, ids: Ids) -> None:
        """Make the thread's messages sound."""
        ...


class Doctor:
    """Looks at threads, and mends them while nothing is in flight."""

    def __init__(
        self,
        executor: Executor,
        wholes: WholeThreads,
        settings: Settings,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._executor = executor
        self._wholes = wholes
        self._settings = settings
        self._clock = clock
        self._ids = ids

    async def examine(self, thread_id: str, graph: GraphRunner | None = None) -> Diagnosis:
        """Return what is found on a thread. `graph` is the one that runs on it, if that is known.

        Raises:
            ThreadNotFoundError: no such thread.
        """
        log, thread = await self._opened(thread_id)
        return await self._examined(log, thread_id, thread, graph)

    async def repair(self, thread_id: str, graph: GraphRunner | None = None) -> Diagnosis:
        """Mend what is broken, in one append, and return what is found then. What waits for somebody goes on to.

        Raises:
            ThreadNotFoundError, ThreadBusyError: the thread is not there, or has a run in flight.
            InvalidInputError: only the thread's graph can do it, and it was not given.
        """

        async def repair() -> None:
            log, thread = await self._opened(thread_id)
            require_idle(thread)
            await self._repair(log, thread_id, graph)

        await until_unmoved(repair, thread_id, self._settings.contention_seconds, self._clock)
        return await self.examine(thread_id, graph)

    # ------------------------------------------------------------------ parts

    async def _opened(self, thread_id: str) -> tuple[BufferedLog, Thread]:
        thread = await self._executor.load(thread_id)
        if not thread.is_visible:
            raise ThreadNotFoundError(thread_id=thread_id)
        return BufferedLog(thread_id, thread, self._executor, self._wholes), thread

    async def _examined(
        self, log: BufferedLog, thread_id: str, thread: Thread, graph: GraphRunner | None
    ) -> Diagnosis:
        calls = calls_in(await log.events(thread_id))
        nodes = None if graph is None else graph.nodes
        findings = diagnose(await log.whole(thread_id), calls, nodes)
        return Diagnosis(thread_id, thread.version, findings)

    async def _repair(self, log: BufferedLog, thread_id: str, graph: GraphRunner | None) -> None:
        """Let the graph do what only it can, and do the rest."""
        found = await self._examined(log, thread_id, await log.thread(thread_id), graph)
        if not found.is_broken:
            return
        is_waiting = any(finding.severity == "waiting" for finding in found.findings)
        if graph is not None and hasattr(graph, "close_tool_calls") and not is_waiting:
            await cast("MendingGraph", graph).close_tool_calls(log, thread_id, self._ids)
        own = None if graph is None else stateful(graph)
        if own is not None and any(each.kind == "unknown_node" for each in found.findings):
            await own.update_state(log, thread_id, None, as_node=END)
        calls = calls_in(await log.events(thread_id))
        thread = await log.whole(thread_id)
        ids = self._ids
        await log.record(
            thread_id, mending(thread_id, thread, calls, ids.message_id, ids.checkpoint_id)
        )
        await log.commit()
