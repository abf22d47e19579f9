"""A run context that keeps what a graph does, in place of an engine."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from threadfold.domain.errors import StaleAttemptError
from threadfold.domain.graph_ports import RunContext, RunLog, StepWrite
from threadfold.domain.reducers import applied
from threadfold.domain.values import Json
from threadfold.infrastructure.graphs.functions import FunctionGraph


class RealIds:
    """The ids that the tests need are real ones."""

    def run_id(self) -> str:
        return str(uuid.uuid4())

    def thread_id(self) -> str:
        return str(uuid.uuid4())

    def checkpoint_id(self) -> str:
        return str(uuid.uuid4())

    def assistant_id(self) -> str:
        return str(uuid.uuid4())

    def message_id(self) -> str:
        return str(uuid.uuid4())

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


@dataclass
class Recording:
    """What one attempt recorded and emitted. Refuses each step after the first `steps_max`, as a fence does."""

    steps_max: int = 1_000_000
    values: dict[str, Json] = field(default_factory=dict)
    steps: list[StepWrite] = field(default_factory=list)
    results: dict[str, Json] = field(default_factory=dict)
    parts: list[tuple[str, Json]] = field(default_factory=list)
    run_id: str = "0190a0a0-0000-7000-8000-000000000001"
    _shown: list[str] = field(default_factory=list)

    async def run(self, graph: FunctionGraph, **fields: Any) -> "Recording":
        """Run one attempt of the graph, its input prepared as an engine does it."""
        await graph.run(self.context(graph, **fields))
        return self

    def context(
        self,
        graph: FunctionGraph,
        *,
        given: Json = None,
        state: Mapping[str, Json] | None = None,
        results: Mapping[str, Json] | None = None,
        attempt: int = 1,
        config: Mapping[str, Json] | None = None,
    ) -> RunContext:
        self.values = dict(state or {})
        return RunContext(
            thread_id="thread",
            run_id=self.run_id,
            attempt=attempt,
            graph_id=graph.graph_id,
            assistant_id="mine",
            has_input=given is not None,
            input=graph.prepare(given, RealIds()),
            state=state or {},
            config=dict(config or {}),
            context={"tone": "dry"},
            results=results or {},
            record=self._record,
            record_result=self._record_result,
            emit=lambda mode, data: self.parts.append((mode, data)),
            is_followed=lambda: True,
            ids=RealIds(),
            kwargs={},
            log=cast("RunLog", None),  # Functions have no use for it.
        )

    async def _record(self, write: StepWrite) -> None:
        if len(self.steps) >= self.steps_max:
            raise StaleAttemptError(run_id=self.run_id, attempt=1)
        self.steps.append(write)
        self._shown.append(_shown(write))
        for name, change in write.changes.items():
            self.values[name] = applied(self.values.get(name), change)

    async def _record_result(self, name: str, result: Json) -> None:
        self.results[name] = result

    @property
    def nodes(self) -> list[str]:
        return [step.node for step in self.steps]

    @property
    def contents(self) -> list[Any]:
        return [message["content"] for message in self.messages]

    @property
    def messages(self) -> list[dict[str, Any]]:
        found: Any = self.values["messages"]
        return found

    def is_as_recorded(self) -> bool:
        """Say whether no recorded step has changed since it was recorded."""
        return self._shown == [_shown(write) for write in self.steps]


def _shown(write: StepWrite) -> str:
    return json.dumps(
        [write.update, {name: repr(change) for name, change in write.changes.items()}]
    )
