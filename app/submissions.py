"""Accepting runs: what callers ask for is checked, and becomes one command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from ..domain.commands import SubmitRun
from ..domain.errors import QueueFullError, ThreadBusyError
from ..domain.values import canonical
from .assistant_merging import merged, recorded_metadata
from .options import OptionError, accepted_options, named_checkpoint, resumes
from .queries import accepted_view

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..domain.assistant_ports import AssistantRow
    from ..domain.graph_ports import GraphRunner
    from ..domain.kept_ports import Caller, KeptAnswer
    from ..domain.ports import EventStore, Ids
    from ..domain.strategies import MultitaskStrategy
    from ..domain.values import Json, JsonObject
    from .answers import Keep
    from .assistants import Assistants
    from .bootstrap import GraphRegistry
    from .deciding import Outcome
    from .executor import Executor
    from .queries import Queries
    from .settings import Settings
    from .updates import Updates
    from .views import RunView
    from .worker import Worker


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a caller asks for, once it is checked."""

    assistant: AssistantRow
    runner: GraphRunner
    input: Json
    metadata: JsonObject
    options: JsonObject


class Submissions:
    """Submits runs. `Engine.submit_run` says what it raises."""

    def __init__(
        self,
        store: EventStore,
        executor: Executor,
        worker: Worker,
        updates: Updates,
        queries: Queries,
        assistants: Assistants,
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
        self._assistants = assistants
        self._graphs = graphs
        self._settings = settings
        self._ids = ids

    async def check(
        self,
        assistant_id: str,
        *,
        input: object,
        metadata: Mapping[str, object] | None,
        kwargs: Mapping[str, object] | None,
        is_stateless: bool = False,
    ) -> None:
        """Raise what a run that asks for this would be refused with, whatever thread it is on."""
        await self._asked(assistant_id, input, metadata, kwargs, is_stateless=is_stateless)

    async def _asked(
        self,
        assistant_id: str,
        input: object,
        metadata: Mapping[str, object] | None,
        kwargs: Mapping[str, object] | None,
        *,
        is_stateless: bool,
    ) -> _Asked:
        assistant = await self._assistants.get(assistant_id)
        runner = self._graphs.runner(assistant.graph_id)
        given = canonical(input, "input")
        own, whole = merged(assistant, _object(metadata, "metadata"), _object(kwargs, "kwargs"))
        options = accepted_options(runner, given, own, whole)
        self._check_webhook(options.get("webhook"))
        if is_stateless and options.get("stream_resumable") is True:
            raise OptionError("stream_resumable", "nothing is kept of a run without a thread")
        return _Asked(assistant, runner, given, own, options)

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
        """Accept a run, and do to the runs in flight what the strategy says; `keep` makes the answer that is kept with it.

        In one process runs of a thread are accepted in the order of the calls, whatever has to be looked up for each.
        """
        async with self._worker.lines.of(thread_id):
            return await self._submit(
                thread_id, assistant_id, input, multitask_strategy, run_id, after_seconds,
                timeout_seconds, metadata, kwargs, if_not_exists, keep, is_stateless=is_stateless,
            )  # fmt: skip

    async def _submit(
        self,
        thread_id: str,
        assistant_id: str,
        given: object,
        multitask_strategy: MultitaskStrategy,
        run_id: str,
        after_seconds: float,
        timeout_seconds: float | None,
        metadata: Mapping[str, object] | None,
        kwargs: Mapping[str, object] | None,
        if_not_exists: Literal["reject", "create"],
        keep: Keep[RunView] | None,
        *,
        is_stateless: bool,
    ) -> RunView:
        asked = await self._asked(assistant_id, given, metadata, kwargs, is_stateless=is_stateless)
        assistant, runner = asked.assistant, asked.runner
        await self._require_checkpoint(thread_id, asked.options, is_new=if_not_exists == "create")
        command = SubmitRun(
            thread_id=thread_id,
            run_id=run_id,
            assistant_id=assistant.assistant_id,
            graph_id=assistant.graph_id,
            input=runner.prepare(asked.input, self._ids),
            is_typed=runner.is_typed,
            is_resume=resumes(asked.options),
            is_stateless=is_stateless,
            multitask_strategy=multitask_strategy,
            after_seconds=after_seconds,
            timeout_seconds=timeout_seconds or self._settings.run_timeout_seconds,
            metadata=asked.metadata,
            assistant_metadata=recorded_metadata(assistant),
            kwargs=asked.options,
            if_not_exists=if_not_exists,
            runs_in_flight_max=self._settings.runs_in_flight_max,
        )
        if is_stateless:
            self._executor.expect_new(thread_id)
        if multitask_strategy == "interrupt":
            known = self._executor.cached(thread_id) or await self._executor.load(thread_id)
            # Nothing of a thread out of reach is touched.
            if known.runs and run_id not in known.runs:
                await self._worker.flush(thread_id)  # Its finished steps stay.

        def kept(outcome: Outcome) -> KeptAnswer | None:
            view = None if keep is None else accepted_view(thread_id, run_id, outcome)
            return None if keep is None or view is None else keep(view)

        try:
            outcome = await self._worker.submit(
                thread_id, command, self._executor, kept if keep else None
            )
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
