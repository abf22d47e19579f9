"""The engine: every use case, for import and for the server alike. It composes; the rules stand in the domain."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Literal, cast

from ..domain.commands import (
    CancelRun,
    DeleteRun,
)
from ..domain.errors import RunNotFoundError
from ..domain.values import canonical
from .answers import Answers
from .assistant_threads import deleting
from .assistants import Assistants
from .bootstrap import GraphRegistry, default_caller, ports_of
from .checkpoint_logs import WholeThreads
from .doctor import Doctor
from .executor import Executor
from .expiry import Expiry
from .hub import Hub
from .observing import metrics_of
from .options import named_checkpoint
from .posting import Posting
from .queries import Queries
from .replaying import Replays
from .scoped_assistants import ScopedAssistants
from .scoping import bounded
from .settings import Settings
from .states import States
from .streams import Streams
from .submissions import Submissions
from .threads import Threads
from .updates import Updates
from .upkeep import Upkeep
from .webhooks import Webhooks
from .worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Self

    from langgraph_sdk import Auth

    from ..domain.ports import TaskHandle
    from ..domain.strategies import MultitaskStrategy
    from .access import Access
    from .answers import Keep
    from .bootstrap import Ports
    from .streams import Follower
    from .views import RunResult, RunView, StateView, ThreadView


class Engine:
    """Agent threads on an event log.

    `store` is `memory://`, `sqlite:///path` or ports of your own. What `auth` says holds for clients, over HTTP and in process;
    who calls these methods is asked nothing. Use it as an async context manager, or call `start` and `close`. All methods may be
    called concurrently from one event loop.
    """

    def __init__(
        self,
        store: str | Ports = "memory://",
        *,
        settings: Settings | None = None,
        registry: GraphRegistry | None = None,
        auth: Auth | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.auth = auth
        self.graphs = registry or GraphRegistry()
        self.metrics = metrics_of(self.settings)
        ports = ports_of(store, self.settings, self.metrics)
        self._hub = Hub()
        executor = Executor(
            ports.store, self._hub, self.settings,
            clock=ports.clock, ids=ports.ids, tasks=ports.tasks, observer=ports.observer,
            post=Posting(self._hub, ids=ports.ids).deliveries,
        )  # fmt: skip
        self.assistants = self._assistants = Assistants(ports, executor, self.graphs, self.settings)
        self._caller = ports.caller or default_caller(self.settings)
        wholes = WholeThreads(ports.store, executor)
        self._worker = Worker(
            ports.store, executor, self._hub, self.graphs, wholes, self.settings,
            holder=ports.holder, clock=ports.clock, ids=ports.ids, tasks=ports.tasks,
        )  # fmt: skip
        self._compose(ports, executor, wholes)
        self._expiry = Expiry(
            ports.store, executor, self._hub, self.settings, clock=ports.clock, tasks=ports.tasks
        )
        self.answers = Answers(ports.store, self.settings, clock=ports.clock)
        self._webhooks = Webhooks(
            ports.store, self._hub, self._caller, self.settings,
            clock=ports.clock, ids=ports.ids, tasks=ports.tasks,
        )  # fmt: skip
        self._upkeep = Upkeep(
            executor, self.answers, self._webhooks, self.replays, self.settings, clock=ports.clock
        )
        self._follow: TaskHandle | None = None
        self._drain: TaskHandle | None = None
        self._is_open = False

    def _compose(self, ports: Ports, executor: Executor, wholes: WholeThreads) -> None:
        """Put together all that reads and writes on behalf of callers. Whatever is not made here, `seen_by` does not bound."""
        self._ports, self._executor, self._wholes = ports, executor, wholes
        self._states = States(ports.store, executor, wholes, self.graphs)
        self.queries = Queries(ports.store, executor, self._states)
        self.doctor = Doctor(executor, wholes, self.settings, clock=ports.clock, ids=ports.ids)
        self._updates = Updates(
            executor, wholes, self._states, self.graphs, self.settings,
            clock=ports.clock, ids=ports.ids,
        )  # fmt: skip
        self.threads = Threads(
            executor, wholes, self._states, self.graphs, self.settings,
            clock=ports.clock, ids=ports.ids, tasks=ports.tasks,
        )  # fmt: skip
        self.submissions = Submissions(
            ports.store, executor, self._worker, self._updates, self.queries, self._assistants,
            self.graphs, self.settings, ids=ports.ids, caller=self._caller,
        )  # fmt: skip
        self._streams = Streams(ports.store, executor, self._hub, self.queries)
        self.replays = Replays(
            ports.store, executor, self._hub, self.settings, holder=ports.holder, clock=ports.clock
        )

    def seen_by(self, access: Access) -> Engine:
        """Return this engine as a caller with that access has it: a thread out of reach is not there, in reads and in writes."""
        engine = copy(self)
        ports, executor, wholes = bounded(self._ports, self._executor, self._wholes, access)
        engine._compose(ports, executor, wholes)  # noqa: SLF001
        scoped = ScopedAssistants(self._assistants, access, deleting(ports.store, executor))
        engine.assistants = cast("Assistants", scoped)
        return engine

    @property
    def is_open(self) -> bool:
        """Whether the engine was started, and not closed since."""
        return self._is_open

    @property
    def slots(self) -> tuple[int, int]:
        """Runs that could start here at once, and attempts that outlived their grace time and have not stopped."""
        return self._worker.slots

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Open the store, take up what an earlier process left, and run what may run."""
        if self._is_open:
            return
        await self._ports.store.open()
        self._is_open, self._drain = True, None
        try:
            self._executor.seen_position = await self._ports.store.head_position()
            if self.settings.worker_slots:
                await self._worker.start()
                self._expiry.start()
            self._follow = self._ports.tasks.start(self._upkeep.run(), "follow other processes")
            await self._ports.store.erase_pending()
            self._webhooks.start()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop in good order: running code gets time to finish, then is handed over; nothing is lost."""
        if not self._is_open:
            return
        self._is_open = False
        if self._follow is not None:
            self._follow.cancel()
        self._expiry.stop()
        await self.drain()
        await self._webhooks.stop()
        self._hub.close()
        await self._ports.store.close()

    async def drain(self) -> None:
        """Start no more runs; give running code its time to finish, then hand it over. Everything else goes on until `close`."""
        if self._drain is None:
            if not self.settings.worker_slots:
                return
            self._drain = self._ports.tasks.start(self._worker.stop(), "drain")
        await self._drain.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def graph(
        self, graph_id: str, *, state: type[Any] | None = None, closes_tool_calls: bool = True
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register the decorated async function or async generator as a graph.

        `state` is its state's type; by default the annotation of its first parameter. With `closes_tool_calls`, new input closes
        the tool calls that a stopped run left open.
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.graphs.add_function(
                graph_id, function, state=state, closes_tool_calls=closes_tool_calls
            )
            return function

        return register

    def add_graph(
        self,
        graph_id: str,
        graph: object,
        *,
        closes_tool_calls: bool = True,
        keeps_partial_messages: bool = False,
        types: Sequence[type[Any]] = (),
    ) -> None:
        """Register a graph: LangGraph's, compiled or not; what makes one; or a function.

        `types` are classes that a LangGraph graph's state may hold beside those that its schema names. With
        `closes_tool_calls`, new input closes the tool calls that a stopped run left open; with `keeps_partial_messages`, it finds
        what a model of a LangGraph graph had streamed when its run was stopped. Raises ConfigurationError if it is no graph, if
        its id is taken, or if the extra is missing (`pip install "threadfold[langgraph]"`).
        """
        self.graphs.add_graph(
            graph_id, graph, closes_tool_calls=closes_tool_calls,
            keeps_partial_messages=keeps_partial_messages, types=types,
        )  # fmt: skip

    # ------------------------------------------------------------------ threads

    async def create_thread(
        self,
        thread_id: str | None = None,
        *,
        metadata: Mapping[str, object] | None = None,
        if_exists: Literal["raise", "do_nothing"] = "raise",
        keep: Keep[ThreadView] | None = None,
    ) -> ThreadView:
        """Create a thread. Raises ThreadExistsError, unless an existing one is to be left as it is."""
        return await self.threads.create(
            thread_id, metadata=metadata, if_exists=if_exists, keep=keep
        )

    async def get_thread(self, thread_id: str) -> ThreadView:
        """Return a thread. Raises ThreadNotFoundError."""
        return await self.queries.get_thread(thread_id)

    async def patch_thread(self, thread_id: str, metadata: Mapping[str, object]) -> ThreadView:
        """Set keys of the metadata (shallow merge). Raises ThreadNotFoundError."""
        return await self.threads.patch(thread_id, metadata)

    async def delete_thread(self, thread_id: str) -> None:
        """Delete a thread with all that it holds, and stop its runs. Raises ThreadNotFoundError."""
        await self.threads.delete(thread_id)

    async def copy_thread(self, thread_id: str) -> ThreadView:
        """Create a thread with the state that stands in another, its run in flight left out. Raises ThreadNotFoundError."""
        return await self.threads.copy(thread_id)

    async def update_state(
        self,
        thread_id: str,
        values: object,
        *,
        as_node: str | None = None,
        checkpoint: Mapping[str, object] | None = None,
        checkpoint_id: str | None = None,
    ) -> StateView:
        """Change the state from outside, through the reducers of the thread's graph, and return what stands then.

        Of a LangGraph graph, an older state can be the one that is changed, by its `checkpoint` (or the `checkpoint_id` alone):
        what comes of it is the newest state. `as_node` may also be `__end__` (nothing is open any more), `__copy__` or
        `__input__` there.

        Raises:
            ThreadNotFoundError: no such thread.
            ThreadBusyError: a run is in flight.
            CheckpointNotFoundError: no such checkpoint, or it was rolled back.
            InvalidInputError: the values do not fit the graph's channels, or no run has named the thread's graph yet.
            UnknownNodeError: the graph has no node `as_node`.
        """
        named = named_checkpoint(checkpoint, checkpoint_id, thread_id)
        update = canonical(values, "values")
        made = await self._updates.update(thread_id, update, as_node, named)
        return await self.queries.get_state(thread_id, checkpoint=made)

    # ------------------------------------------------------------------ runs

    def new_run_id(self) -> str:
        """Return a fresh run id, for a caller that wants to follow a run from before its acceptance."""
        return self._ports.ids.run_id()

    def new_thread_id(self) -> str:
        """Return a fresh thread id."""
        return self._ports.ids.thread_id()

    async def submit_run(
        self,
        thread_id: str | None,
        assistant_id: str,
        *,
        input: object = None,
        multitask_strategy: MultitaskStrategy = "enqueue",
        run_id: str | None = None,
        after_seconds: float = 0,
        timeout_seconds: float | None = None,
        metadata: Mapping[str, object] | None = None,
        kwargs: Mapping[str, object] | None = None,
        if_not_exists: Literal["reject", "create"] = "reject",
        on_completion: Literal["delete", "keep"] = "delete",
    ) -> RunView:
        """Accept a run, durably, and do to the runs in flight what the strategy says, in one append.

        Without a thread, nothing is kept of what it does: who follows it has its parts and its result, and after its end it is
        gone; with `on_completion="keep"` it is the first run of a new thread.

        The same `run_id` again changes nothing. `kwargs` is what the graph gets beside the input: `config`, `context`,
        `durability`; of LangGraph's graphs also `command`, `interrupt_before`, `interrupt_after`, `stream_mode`,
        `stream_subgraphs`, `checkpoint`; and `webhook`.

        Raises:
            ThreadNotFoundError: no such thread, and `if_not_exists` is not "create".
            ThreadBusyError: the strategy is reject, and a run is in flight.
            GraphNotFoundError, AssistantNotFoundError: no such graph or assistant.
            NotJsonError: something that JSON cannot hold.
            InvalidInputError: `after_seconds` is no time to wait, or this graph cannot honour something in `kwargs`.
            NothingToResumeError: it brings an answer, and nothing waits for one.
            CheckpointNotFoundError: it starts from a checkpoint that is not there.
            QueueFullError: too many runs in flight.
        """
        return await self.submissions.submit(
            thread_id or self.new_thread_id(),
            assistant_id,
            input=input,
            multitask_strategy=multitask_strategy,
            run_id=run_id or self.new_run_id(),
            after_seconds=after_seconds,
            timeout_seconds=timeout_seconds,
            metadata=metadata,
            kwargs=kwargs,
            if_not_exists=if_not_exists if thread_id else "create",
            is_stateless=thread_id is None and on_completion == "delete",
        )

    async def get_run(self, thread_id: str, run_id: str) -> RunView:
        """Return a run. Raises RunNotFoundError, also when it was rolled back."""
        return await self.queries.get_run(thread_id, run_id)

    async def join_run(self, thread_id: str, run_id: str) -> RunResult:
        """Wait until the run ends, and say how. Raises RunNotFoundError."""
        return await self._streams.join(thread_id, run_id)

    def follow_run(self, thread_id: str, run_id: str, *, is_streaming: bool = True) -> Follower:
        """Return a follower of the run, to be entered before the run is submitted or attached to."""
        return self._streams.follow(thread_id, run_id, is_streaming=is_streaming)

    async def attach(self, thread_id: str, run_id: str) -> RunResult | None:
        """Return how the run ended, or None while it is in flight. Raises RunNotFoundError."""
        return await self._streams.attach(thread_id, run_id)

    async def cancel_run(
        self, thread_id: str, run_id: str, *, action: Literal["interrupt", "rollback"] = "interrupt"
    ) -> None:
        """Stop a run in flight; its work stays (interrupt) or is gone (rollback).

        Raises:
            ThreadNotFoundError, RunNotFoundError: no such thread or run.
            RunEndedError: it has ended already.
        """
        await self.queries.thread_of_runs(thread_id)
        row = await self._ports.store.get_run(thread_id, run_id)
        if row is None or row.is_hidden:
            raise RunNotFoundError(run_id=run_id, message="No runs found to cancel.")
        if action == "interrupt":
            await self._worker.flush(thread_id, run_id)
        command = CancelRun(thread_id=thread_id, run_id=run_id, action=action)
        await self._executor.execute(thread_id, command)

    async def delete_run(self, thread_id: str, run_id: str) -> None:
        """Delete a run: one in flight is rolled back, an ended one is hidden and its work stays. Raises RunNotFoundError."""
        while True:
            row = await self._ports.store.get_run(thread_id, run_id)
            if row is None or row.is_hidden:
                raise RunNotFoundError(run_id=run_id, message="Run not found")
            is_ended = row.ended_version is not None
            command = DeleteRun(thread_id=thread_id, run_id=run_id, is_ended=is_ended)
            try:
                await self._executor.execute(thread_id, command)
            except RunNotFoundError:
                if is_ended:
                    raise
                continue  # It ended meanwhile; its row says how.
            return
