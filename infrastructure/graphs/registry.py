"""The graphs that an engine knows, by id, and the assistant that each has from the start. Nothing of files here."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from ...domain.errors import AssistantNotFoundError, ConfigurationError, GraphNotFoundError
from .functions import FunctionGraph
from .runners import runner_of
from .threads import Threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ...domain.graph_ports import GraphRunner
    from .functions import AgentFunction

ASSISTANTS = uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
"""The namespace that LangGraph's servers make the ids of default assistants in."""


def default_assistant_id(graph_id: str) -> str:
    """Return the id of the assistant that a graph has from the start: the same on every server."""
    return str(uuid.uuid5(ASSISTANTS, graph_id))


class GraphRegistry:
    """Graphs by id, in the order in which they came."""

    def __init__(self, runners: Iterable[GraphRunner] = ()) -> None:
        self._runners: dict[str, GraphRunner] = {}
        self._by_assistant: dict[str, str] = {}
        self._assistants: dict[str, str] = {}
        self.threads = Threads()
        """Those of all functions that are not async."""
        for runner in runners:
            self.add(runner)

    @property
    def graph_ids(self) -> tuple[str, ...]:
        """The ids of all graphs."""
        return tuple(self._runners)

    def add(self, runner: GraphRunner) -> None:
        """Take up a graph.

        Raises:
            ConfigurationError: its id is empty, or taken.
        """
        graph_id = runner.graph_id
        if not graph_id:
            raise ConfigurationError("a graph needs a name")
        if graph_id in self._runners:
            raise ConfigurationError(f"there are two graphs of the name {graph_id}")
        self._runners[graph_id] = runner
        self._assistants[graph_id] = default_assistant_id(graph_id)
        self._by_assistant[self._assistants[graph_id]] = graph_id

    def add_graph(
        self,
        graph_id: str,
        graph: object,
        *,
        closes_tool_calls: bool = True,
        keeps_partial_messages: bool = False,
        types: Sequence[type[Any]] = (),
    ) -> GraphRunner:
        """Take up a graph of any kind, and return its runner; raises ConfigurationError as `add` and `runner_of` do."""
        runner = runner_of(
            graph_id, graph, self.threads, closes_tool_calls=closes_tool_calls,
            keeps_partial_messages=keeps_partial_messages, types=types,
        )  # fmt: skip
        self.add(runner)
        return runner

    def add_function(
        self,
        graph_id: str,
        function: AgentFunction,
        *,
        state: object = None,
        closes_tool_calls: bool = True,
    ) -> FunctionGraph:
        """Take up a function as a graph, and return that; raises ConfigurationError as `add` and FunctionGraph do."""
        graph = FunctionGraph(
            graph_id,
            function,
            state=state,
            threads=self.threads,
            closes_tool_calls=closes_tool_calls,
        )
        self.add(graph)
        return graph

    def runner(self, graph_id: str) -> GraphRunner:
        """Return the graph of this id; raises GraphNotFoundError, which names those that there are."""
        runner = self._runners.get(graph_id)
        if runner is None:
            raise GraphNotFoundError(graph_id=graph_id, known=self.graph_ids)
        return runner

    def resolve(self, assistant_id: str) -> tuple[str, str]:
        """Return the UUID of a graph's own assistant and the graph's id, of the one or the other.

        Raises:
            GraphNotFoundError: it is no UUID, and the id of no graph.
            AssistantNotFoundError: it is the UUID of no assistant.
        """
        identity = self.assistant_id(assistant_id)
        graph_id = self.default_graph(identity)
        if graph_id is None:
            raise AssistantNotFoundError(assistant_id=assistant_id)
        return identity, graph_id

    def assistant_id(self, name: str) -> str:
        """Return the UUID of a graph's assistant by the graph's id, and a UUID in its usual form.

        Raises:
            GraphNotFoundError: it is no UUID, and the id of no graph.
        """
        found = self._assistants.get(name)
        if found is not None:
            return found
        try:
            # It would take the digits of other scripts, too.
            return str(uuid.UUID(name if name.isascii() else ""))
        except ValueError:
            raise GraphNotFoundError(graph_id=name, known=self.graph_ids) from None

    def default_graph(self, assistant_id: str) -> str | None:
        """Return the graph that has this assistant from the start, if one has."""
        return self._by_assistant.get(assistant_id)
