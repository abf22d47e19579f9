"""A store's assistants: their events in the log, and their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ...domain.assistant import RecordedAssistantEvent, stream_of
from .access import LogAccess
from .planning import Erasure, Write
from .rows import assistant_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...domain.assistant_ports import AssistantAppend, AssistantRow


class AssistantsOfLog(LogAccess):
    """The part of a store that keeps assistants."""

    async def append_assistant(self, append: AssistantAppend) -> tuple[RecordedAssistantEvent, ...]:
        """Write all or nothing; return when it is durable."""
        stream, head = stream_of(append.assistant_id), append.expected_head
        upto = head + len(append.events)
        write = Write(
            events=self._codec.rows(stream, head, append.events, append.recorded_at, append.actor),
            thread_id=stream,
            expected_version=head,
            assistants=[(append.assistant_id, append.row and assistant_values(append.row))],
            erasures=[] if append.row else [Erasure(stream, None, 1, upto)],
        )
        before = cast("int", await self._do(write))
        at, actor = append.recorded_at, append.actor
        return tuple(
            RecordedAssistantEvent(
                append.assistant_id, head + count, before + count, at, event, actor
            )
            for count, event in enumerate(append.events, 1)
        )

    async def read_assistant(
        self, assistant_id: str, *, after: int = 0
    ) -> tuple[RecordedAssistantEvent, ...]:
        """Read an assistant's events with `head > after`, in order."""
        stream = stream_of(assistant_id)
        found = await self._read(lambda: self._decoded(self._log.thread_rows(stream, after=after)))
        return tuple(each for each in found if isinstance(each, RecordedAssistantEvent))

    async def head_of_assistant(self, assistant_id: str) -> int:
        """Return the number of the assistant's newest event, 0 if it has none."""
        return await self.head_version(stream_of(assistant_id))

    async def list_assistants(
        self, matches: Callable[[AssistantRow], bool]
    ) -> tuple[AssistantRow, ...]:
        """Return the rows that match."""
        return tuple(await self._read(self._log.list_assistants, matches))
