"""Assistants as one caller has them: one out of reach is not there. Those that graphs have from the start are everybody's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..domain.errors import AssistantExistsError, AssistantNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..domain.assistant import AssistantVersion
    from ..domain.assistant_ports import AssistantRow
    from .access import Access
    from .assistant_search import AssistantFilter, AssistantOrder
    from .assistant_threads import DeleteThreads
    from .assistants import Assistants


class ScopedAssistants:
    """What `Assistants` does, within a caller's reach."""

    def __init__(
        self, assistants: Assistants, access: Access, delete_threads: DeleteThreads
    ) -> None:
        self._assistants = assistants
        self._access = access
        self._delete_threads = delete_threads

    async def create(
        self,
        graph_id: str,
        *,
        metadata: Mapping[str, object] | None = None,
        **fields: Any,  # noqa: ANN401 - as `Assistants` has them
    ) -> AssistantRow:
        """Make an assistant that is within reach; of one that is not, only its id is taken."""
        stamped = {**(metadata or {}), **self._access.stamp}
        row = await self._assistants.create(graph_id, metadata=stamped, **fields)
        if not self._sees(row):
            raise AssistantExistsError(assistant_id=row.assistant_id)
        return row

    async def patch(
        self,
        assistant_id: str,
        **fields: Any,  # noqa: ANN401 - as `Assistants` has them
    ) -> AssistantRow:
        """Make a new version."""
        await self.get(assistant_id)
        metadata = fields.pop("metadata", None)
        stamped = None if metadata is None else {**metadata, **self._access.stamp}
        return await self._assistants.patch(assistant_id, metadata=stamped, **fields)

    async def set_latest(self, assistant_id: str, version: int) -> AssistantRow:
        """Make a version the one that runs get."""
        await self.get(assistant_id)
        return await self._assistants.set_latest(assistant_id, version)

    async def delete(
        self,
        assistant_id: str,
        *,
        with_threads: bool = False,
        delete_threads: DeleteThreads | None = None,
    ) -> None:
        """Delete an assistant; of its threads, those that are within reach. Any others stay as they are."""
        await self.get(assistant_id)
        await self._assistants.delete(
            assistant_id,
            with_threads=with_threads,
            delete_threads=delete_threads or self._delete_threads,
        )

    async def get(self, assistant_id: str) -> AssistantRow:
        """Return an assistant."""
        row = await self._assistants.get(assistant_id)
        if not self._sees(row):
            raise AssistantNotFoundError(assistant_id=assistant_id)
        return row

    async def versions(
        self,
        assistant_id: str,
        **page: Any,  # noqa: ANN401 - as `Assistants` has them
    ) -> Sequence[AssistantVersion]:
        """Return an assistant's versions."""
        await self.get(assistant_id)
        return await self._assistants.versions(assistant_id, **page)

    async def search(
        self,
        where: AssistantFilter,
        *,
        order: AssistantOrder = "created_at",
        is_descending: bool = True,
        limit: int = 10,
        offset: int = 0,
    ) -> tuple[list[AssistantRow], bool]:
        """Return the assistants that match, and whether there are more behind them."""
        return await self._assistants.search(
            replace(where, is_seen=self._sees), order=order, is_descending=is_descending,
            limit=limit, offset=offset,
        )  # fmt: skip

    async def count(self, where: AssistantFilter) -> int:
        """Return how many assistants match."""
        return await self._assistants.count(replace(where, is_seen=self._sees))

    def _sees(self, row: AssistantRow) -> bool:
        return self._assistants.is_default(row.assistant_id) or self._access.sees(row.metadata)
