"""Assistants: those that graphs have from the start, and those that were made. How they are stored is no matter here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from ..domain.assistant import (
    SYSTEM_METADATA,
    UNTITLED,
    AssistantVersion,
    CreateAssistant,
    DeleteAssistant,
    PatchAssistant,
    SetAssistantVersion,
    decide,
)
from ..domain.assistant_ports import AssistantRow
from ..domain.errors import AssistantNotFoundError
from ..domain.values import canonical
from .assistant_log import AssistantLog, row_of
from .assistant_search import AssistantFilter
from .assistant_threads import deleting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..domain.assistant import Assistant, AssistantCommand
    from ..domain.values import JsonObject
    from .assistant_search import AssistantOrder
    from .assistant_threads import DeleteThreads
    from .bootstrap import GraphRegistry, Ports
    from .executor import Executor
    from .settings import Settings

RESERVED_METADATA = frozenset({"thread_id", "run_id", "assistant_id", "cron_id"})
"""Keys of metadata that callers cannot set."""


class Assistants:
    """Makes, changes, finds and resolves assistants.

    Each graph has one from the start, which is stored once it is changed, and which goes by the graph's id, too. All methods
    may be called concurrently.
    """

    def __init__(
        self, ports: Ports, executor: Executor, graphs: GraphRegistry, settings: Settings
    ) -> None:
        self._store = ports.store
        self._ids = ports.ids
        self._graphs = graphs
        self._delete_threads = deleting(ports.store, executor)
        self._log = AssistantLog(ports, executor, settings)
        self._created_at = ports.clock.now()

    # ------------------------------------------------------------------ changing

    async def create(
        self,
        graph_id: str,
        *,
        assistant_id: str | None = None,
        name: str | None = None,
        description: str | None = None,
        config: Mapping[str, object] | None = None,
        context: Mapping[str, object] | None = None,
        metadata: Mapping[str, object] | None = None,
        if_exists: Literal["raise", "do_nothing"] = "raise",
    ) -> AssistantRow:
        """Make an assistant of a graph.

        Raises:
            GraphNotFoundError: no such graph.
            AssistantExistsError: the id is taken, unless an existing one is to be left as it is.
        """
        self._graphs.runner(graph_id)
        assistant_id = self._graphs.assistant_id(assistant_id or self._ids.assistant_id())
        command = CreateAssistant(
            assistant_id=assistant_id,
            graph_id=graph_id,
            name=name or UNTITLED,
            description=description or None,
            config=_config(config) or {},
            context=_context(context) or {},
            metadata=_metadata(metadata) or {},
            if_exists=if_exists,
            is_default=self._graphs.default_graph(assistant_id) is not None,
        )
        return await self._changed(assistant_id, command)

    async def patch(
        self,
        assistant_id: str,
        *,
        graph_id: str | None = None,
        name: str | None = None,
        description: str | None = None,
        config: Mapping[str, object] | None = None,
        context: Mapping[str, object] | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> AssistantRow:
        """Make a new version, which is the latest one then. `metadata` are merged, all else takes the place of what was there.

        Raises:
            AssistantNotFoundError, GraphNotFoundError: no such assistant or graph.
        """
        assistant_id = self._graphs.assistant_id(assistant_id)
        if graph_id is not None:
            self._graphs.runner(graph_id)
        command = PatchAssistant(
            assistant_id=assistant_id,
            graph_id=graph_id,
            name=name or None,
            description=description,
            config=_config(config),
            context=_context(context),
            metadata=_metadata(metadata),
            default_graph_id=self._graphs.default_graph(assistant_id),
        )
        return await self._changed(assistant_id, command)

    async def set_latest(self, assistant_id: str, version: int) -> AssistantRow:
        """Make a version the one that runs get.

        Raises:
            AssistantNotFoundError, AssistantVersionNotFoundError: no such assistant, or no such version of it.
        """
        assistant_id = self._graphs.assistant_id(assistant_id)
        graph_id = self._graphs.default_graph(assistant_id)
        command = SetAssistantVersion(
            assistant_id=assistant_id, version=version, default_graph_id=graph_id
        )
        return await self._changed(assistant_id, command)

    async def delete(
        self,
        assistant_id: str,
        *,
        with_threads: bool = False,
        delete_threads: DeleteThreads | None = None,
    ) -> None:
        """Delete an assistant with all its versions. Runs that were accepted go on, unless their threads are deleted, too.

        `with_threads` deletes the threads whose first run was of this assistant: all of them, unless `delete_threads` does it.

        Raises:
            AssistantNotFoundError: no such assistant.
            DefaultAssistantError: a graph has it from the start.
        """
        assistant_id = self._graphs.assistant_id(assistant_id)
        graph_id = self._graphs.default_graph(assistant_id)
        command = DeleteAssistant(assistant_id=assistant_id, default_graph_id=graph_id)
        delete_threads = delete_threads or self._delete_threads
        if with_threads:
            decide(command, await self._log.load(assistant_id))
            # Before the assistant: if this is cut short, the same call goes on where it stopped.
            await delete_threads(assistant_id)
        await self._log.execute(assistant_id, command)
        if with_threads:
            # Those that began meanwhile; from now on none can.
            await delete_threads(assistant_id)

    async def _changed(self, assistant_id: str, command: AssistantCommand) -> AssistantRow:
        row = self._row(assistant_id, await self._log.execute(assistant_id, command))
        if row is None:
            raise AssistantNotFoundError(assistant_id=assistant_id)
        return row

    # ------------------------------------------------------------------ reading

    async def get(self, assistant_id: str) -> AssistantRow:
        """Return an assistant, as it stands now: no version that is durable is missed.

        Raises:
            GraphNotFoundError: the id is no UUID, and the id of no graph.
            AssistantNotFoundError: it is the UUID of no assistant.
        """
        assistant_id = self._graphs.assistant_id(assistant_id)
        row = self._row(assistant_id, await self._log.load(assistant_id))
        if row is None:
            raise AssistantNotFoundError(assistant_id=assistant_id)
        return row

    async def versions(
        self,
        assistant_id: str,
        *,
        metadata: JsonObject | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> list[AssistantVersion]:
        """Return versions whose metadata hold these, newest first. Raises AssistantNotFoundError."""
        assistant_id = self._graphs.assistant_id(assistant_id)
        assistant = await self._log.load(assistant_id)
        versions = assistant.versions
        if assistant.latest is None:
            versions = (_only_version(await self.get(assistant_id)),)
        where = AssistantFilter(metadata=metadata)
        found = [version for version in reversed(versions) if where.has_metadata(version.metadata)]
        return found[offset : offset + limit]

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
        found = await self._matching(where)
        found.sort(key=lambda row: (getattr(row, order), row.assistant_id), reverse=is_descending)
        return found[offset : offset + limit], len(found) > offset + limit

    async def count(self, where: AssistantFilter) -> int:
        """Return how many assistants match."""
        return len(await self._matching(where))

    def is_default(self, assistant_id: str) -> bool:
        """Say whether a graph has the assistant from the start."""
        return self._graphs.default_graph(assistant_id) is not None

    async def _matching(self, where: AssistantFilter) -> list[AssistantRow]:
        defaults = {row.assistant_id: row for row in map(self._default, self._graphs.graph_ids)}
        # A default one that was changed is stored, and may not match any more: so none of those is left out here.
        stored = await self._store.list_assistants(
            lambda row: row.assistant_id in defaults or where.matches(row)
        )
        rows = defaults | {row.assistant_id: row for row in stored}
        return [row for row in rows.values() if where.matches(row)]

    # ------------------------------------------------------------------ rows

    def _row(self, assistant_id: str, assistant: Assistant) -> AssistantRow | None:
        row = row_of(assistant_id, assistant)
        if row is not None:
            return row
        graph_id = self._graphs.default_graph(assistant_id)
        return None if graph_id is None else self._default(graph_id)

    def _default(self, graph_id: str) -> AssistantRow:
        """Return the assistant that a graph has from the start."""
        return AssistantRow(
            assistant_id=self._graphs.assistant_id(graph_id),
            graph_id=graph_id,
            name=graph_id,
            description=None,
            config={},
            context={},
            metadata=dict(SYSTEM_METADATA),
            version=1,
            created_at=self._created_at,
            updated_at=self._created_at,
        )


# ------------------------------------------------------------------ what callers give


def _only_version(row: AssistantRow) -> AssistantVersion:
    """Return the version that an assistant has which was never changed."""
    return AssistantVersion(
        version=row.version,
        graph_id=row.graph_id,
        name=row.name,
        description=row.description,
        config=row.config,
        context=row.context,
        metadata=row.metadata,
        created_at=row.created_at,
    )


def _config(given: Mapping[str, object] | None) -> JsonObject | None:
    config = _object(given, "config")
    if config is not None:
        for name in ("configurable", "metadata"):
            part = config.get(name)
            if isinstance(part, dict):
                config[name] = _own(part)
    return config


def _context(given: Mapping[str, object] | None) -> JsonObject | None:
    context = _object(given, "context")
    return None if context is None else _own(context)


def _metadata(given: Mapping[str, object] | None) -> JsonObject | None:
    metadata = _object(given, "metadata")
    if metadata is None:
        return None
    return {key: value for key, value in _own(metadata).items() if key not in RESERVED_METADATA}


def _own(content: JsonObject) -> JsonObject:
    """Leave out keys that are a server's own: they would reach into the graph's machinery."""
    return {
        key: value
        for key, value in content.items()
        if not key.startswith(("__", "langgraph_auth_"))
    }


def _object(given: Mapping[str, object] | None, where: str) -> JsonObject | None:
    return None if given is None else cast("JsonObject", canonical(dict(given), where))
