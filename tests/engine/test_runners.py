"""Runners of somebody's own: what the engine asks of them, and what it can do without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.engine import Database, join
from threadfold.domain.changes import Splice
from threadfold.domain.errors import InvalidInputError
from threadfold.domain.graph_ports import StepWrite
from threadfold.infrastructure.graphs.registry import GraphRegistry

if TYPE_CHECKING:
    from threadfold.domain.graph_ports import RunContext
    from threadfold.domain.ports import Ids
    from threadfold.domain.values import Json

pytestmark = pytest.mark.anyio


class Echo:
    """The least that a runner is: no reducers, no nodes that anybody may name."""

    graph_id = "echo"
    nodes = None
    is_typed = False

    def prepare(self, input: Json, ids: Ids) -> Json:
        del ids
        return input

    async def run(self, context: RunContext) -> None:
        changes = {"heard": Splice(0, 0, [context.input])}
        await context.record(StepWrite("echo", "loop", (), {"heard": context.input}, changes))


async def test_a_runner_without_reducers_runs_and_refuses_updates_of_its_state(
    database: Database,
) -> None:
    async with database.engine(GraphRegistry([Echo()])) as engine:
        thread_id = (await engine.create_thread()).thread_id
        view = await engine.submit_run(thread_id, "echo", input="hello")
        assert (await join(engine, thread_id, view.row.run_id)).values == {"heard": ["hello"]}
        with pytest.raises(InvalidInputError, match="echo has no reducers"):
            await engine.update_state(thread_id, {"heard": ["no"]})
        state = await engine.queries.get_state(thread_id)
        assert state.values == {"heard": ["hello"]}
