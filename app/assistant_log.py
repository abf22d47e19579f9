"""The loop of `executor.py`, for assistants: load, decide, append; if another writer got in first, decide again."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

from ..domain.assistant import NO_ASSISTANT, RecordedAssistantEvent, decide, evolve, fold
from ..domain.assistant_ports import AssistantAppend, AssistantRow
from ..domain.errors import (
    ContentionError,
    RefusedError,
    StoreUnavailableError,
    VersionConflictError,
)
from .executor import MICROSECOND
from .lines import Lines

if TYPE_CHECKING:
    from ..domain.assistant import Assistant, AssistantCommand
    from .bootstrap import Ports
    from .executor import Executor
    from .settings import Settings

CACHED_VERSIONS_MAX = 10_000
"""Versions of assistants that are held in memory, of all that were asked for together."""


class AssistantLog:
    """Executes commands on assistants, one at a time on each, in the order in which they came."""

    def __init__(self, ports: Ports, executor: Executor, settings: Settings) -> None:
        self._store = ports.store
        self._clock = ports.clock
        self._ids = ports.ids
        self._tasks = ports.tasks
        self._executor = executor
        self._settings = settings
        self._cache: OrderedDict[str, Assistant] = OrderedDict()
        self._cached_versions = 0
        self._lines = Lines[str]()

    async def execute(self, assistant_id: str, command: AssistantCommand) -> Assistant:
        """Decide on the newest version and append; if another writer got in first, decide again."""
        async with self._lines.of(assistant_id):
            deadline = self._clock.monotonic() + self._settings.contention_seconds
            tries = 0
            while True:
                assistant = await self._refreshed(assistant_id)
                after = await self._try(assistant_id, assistant, command)
                if after is not None:
                    return after
                tries += 1
                if self._clock.monotonic() > deadline:
                    seconds = self._settings.contention_seconds
                    raise ContentionError(thread_id=assistant_id, seconds=seconds, what="Assistant")
                if tries > 1:
                    await self._clock.sleep(self._ids.uniform(0, min(0.001 * 2**tries, 0.1)))

    async def _try(
        self, assistant_id: str, assistant: Assistant, command: AssistantCommand
    ) -> Assistant | None:
        """Decide once; return None if the assistant turned out to have moved on."""
        try:
            events = decide(command, assistant)
        except RefusedError:
            if await self._store.head_of_assistant(assistant_id) > assistant.head:
                return None  # A refusal is an answer too, and must not rest on what is past.
            raise
        if not events:
            return assistant
        now = max(self._clock.now(), assistant.updated_at + MICROSECOND)
        after = assistant
        for head, event in enumerate(events, assistant.head + 1):
            after = evolve(after, RecordedAssistantEvent(assistant_id, head, 0, now, event))
        is_gone = after.latest is None
        append = AssistantAppend(
            assistant_id=assistant_id,
            expected_head=assistant.head,
            events=events,
            recorded_at=now,
            row=row_of(assistant_id, after),
        )
        try:
            recorded = await self._store.append_assistant(append)
        except VersionConflictError:
            return None
        self._executor.advance(recorded)
        self._put(assistant_id, after)
        if is_gone:
            self._tasks.start(self._erase(), "erasure")
        return after

    async def _erase(self) -> None:
        with suppress(StoreUnavailableError):  # Then the next start sees to it.
            await self._store.erase_pending()

    async def load(self, assistant_id: str) -> Assistant:
        """Return the assistant as the log has it now."""
        assistant = self._cache.get(assistant_id, NO_ASSISTANT)
        if await self._store.head_of_assistant(assistant_id) <= assistant.head:
            if assistant_id in self._cache:
                self._cache.move_to_end(assistant_id)
            return assistant
        return await self._refreshed(assistant_id)

    async def _refreshed(self, assistant_id: str) -> Assistant:
        cached = self._cache.get(assistant_id, NO_ASSISTANT)
        events = await self._store.read_assistant(assistant_id, after=cached.head)
        assistant = fold(events, cached)
        if events:
            self._put(assistant_id, assistant)
        return assistant

    def _put(self, assistant_id: str, assistant: Assistant) -> None:
        """Keep what was read or committed; an older value never replaces a newer one."""
        old = self._cache.get(assistant_id, NO_ASSISTANT)
        if old.head > assistant.head:
            return
        self._cached_versions += len(assistant.versions) - len(old.versions)
        self._cache[assistant_id] = assistant
        self._cache.move_to_end(assistant_id)
        while len(self._cache) > 1 and self._is_full():
            _, dropped = self._cache.popitem(last=False)
            self._cached_versions -= len(dropped.versions)

    def _is_full(self) -> bool:
        return self._cached_versions + len(self._cache) > CACHED_VERSIONS_MAX


def row_of(assistant_id: str, assistant: Assistant) -> AssistantRow | None:
    """Return the row of a stored assistant; None if there is none."""
    latest = assistant.latest
    if latest is None:
        return None
    return AssistantRow(
        assistant_id=assistant_id,
        graph_id=latest.graph_id,
        name=latest.name,
        description=latest.description,
        config=latest.config,
        context=latest.context,
        metadata=latest.metadata,
        version=latest.version,
        created_at=assistant.created_at,
        updated_at=assistant.updated_at,
    )
