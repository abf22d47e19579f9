"""Accepting runs: what callers ask for is checked, and becomes one command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from ..domain.commands import SubmitRun
from ..domain.errors import QueueFullError, ThreadBusyError
from ..domain.values import canonical
from .options import OptionError, accepted_options, named_checkpoint, resumes
from .queries import accepted_view

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..domain.ports import Caller, EventStore, Ids, KeptAnswer
    from ..domain.strategies import MultitaskStrategy
    from ..domain.values import Json, JsonObject
    from .answers import Keep
    from .bootstrap import GraphRegistry
    from .executor import Executor, Outcome
    from .queries import Queries
    from .settings import Settings
    from .updates import Updates
    from .views import RunView
    from .worker import Worker


class Submissions:
    """Submits runs. `Engine.submit_run` says what it raises."""

    def __init__(
        self,
        store: EventStore,
        executor: Executor,
        worker: Worker,
        updates: Updates,
        queries: Queries,
        graphs: GraphRegistry,
        settings: Settings,
        *,
        ids: Ids,
        caller: Caller,
    ) -> None:
        self._caller = caller
        self._store = store
        self._executor = executor
        self._worker = worker
        self._updates = updates
        self._queries = queries
        self._graphs = graphs
        self._settings = settings
        self._ids = ids

    def check(
        self,
        assistant_id: str,
        *,
        input: object,
        metadata: Mapping[str, object] | None,
        kwargs: Mapping[str, object] | None,
    ) -> None:
        """Raise what a run that asks for this would be refused with, whatever thread it is on."""
        _, graph_id = self._graphs.resolve(assistant_id)
        runner = self._graphs.runner(graph_id)
        given, own = canonical(input, "input"), _object(metadata, "metadata")
        self._check_webhook(
            accepted_options(runner, given, own, _object(kwargs, "kwargs")).get("webhook")
        )

    def _check_webhook(self, url: Json) -> None:
        if url is None:
            return
        problem = self._caller.refusal(url) if isinstance(url, str) else "expected a URL"
        if problem is not None:
            raise OptionError("webhook", problem)

    async def submit(
        self,
        thread_id: str,
        assistant_id: str,
        *,
        input: object,
        multitask_strategy: MultitaskStrategy,
        run_id: str,
        after_seconds: float,
        timeout_seconds: float | None,
        metadata: Mapping[str, object] | None,
        kwargs: Mapping[str, object] | None,
        if_not_exists: Literal["reject", "create"],
        is_stateless: bool = False,
        keep: Keep[RunView] | None = None,
    ) -> RunView:
        """Accept a run, and do to the runs in flight what the strategy says; `keep` makes the answer that is kept with it."""
        assistant, graph_id = self._graphs.resolve(assistant_id)
        limit = timeout_seconds or self._settings.run_timeout_seconds
        runner = self._graphs.runner(graph_id)
        given = canonical(input, "input")
        own = _object(metadata, "metadata")
        asked = accepted_options(runner, given, own, _object(kwargs, "kwargs"))
        self._check_webhook(asked.get("webhook"))
        await self._require_checkpoint(thread_id, asked, is_new=if_not_exists == "create")
        command = SubmitRun(
            thread_id=thread_id,
            run_id=run_id,
            assistant_id=assistant,
            graph_id=graph_id,
            input=runner.prepare(given, self._ids),
            is_typed=runner.is_typed,
            is_resume=resumes(asked),
            is_stateless=is_stateless,
            multitask_strategy=multitask_strategy,
            after_seconds=after_seconds,
            timeout_seconds=limit,
            metadata=own,
            kwargs=asked,
            if_not_exists=if_not_exists,
            runs_in_flight_max=self._settings.runs_in_flight_max,
        )
        if is_stateless:
            self._executor.expect_new(thread_id)
        known = self._executor.cached(thread_id)
        if multitask_strategy == "interrupt" and not (known and run_id in known.runs):
            await self._worker.flush(thread_id)  # Its finished steps stay.

        def kept(outcome: Outcome) -> KeptAnswer | None:
            view = None if keep is None else accepted_view(thread_id, run_id, outcome)
            return None if keep is None or view is None else keep(view)

        try:
            outcome = await self._worker.submit(thread_id, command, kept if keep else None)
        except (ThreadBusyError, QueueFullError):
            # A retry of a run that has ended gets that run, whatever is in flight now.
            if await self._store.get_run(thread_id, run_id) is None:
                raise
            return await self._queries.get_run(thread_id, run_id)
        return await self._queries.accepted_run(thread_id, run_id, outcome)

    async def _require_checkpoint(self, thread_id: str, asked: JsonObject, *, is_new: bool) -> None:
        """Raise CheckpointNotFoundError if a run is to start from a checkpoint that the thread does not have."""
        given = asked.get("checkpoint")
        checkpoint = given if isinstance(given, dict) else None
        named = named_checkpoint(checkpoint, asked.get("checkpoint_id"), thread_id)
        if "checkpoint_id" in named and (
            is_new or (await self._executor.load(thread_id)).is_present
        ):
            await self._updates.require_checkpoint(thread_id, named)


def _object(value: Mapping[str, object] | None, where: str) -> JsonObject:
    return cast("JsonObject", canonical(dict(value or {}), where))
