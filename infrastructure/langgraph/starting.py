"""What an attempt calls its graph with: the input or command, or nothing where an earlier attempt has brought it in already."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from langgraph.checkpoint.base import WRITES_IDX_MAP
from langgraph.types import Command

from ...domain.errors import NothingToResumeError
from .run_config import CHECKPOINT_KEYS, breakpoints

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

    from ...domain.graph_ports import RunContext
    from ...domain.saved import Saved, Write
    from ...domain.thread import Thread
    from .compiled import CompiledGraph
    from .run_config import Breakpoints

NULL_TASK = "00000000-0000-0000-0000-000000000000"
"""The task that LangGraph files a command's writes under."""

INTERRUPT = "__interrupt__"
RESUME = "__resume__"
FAILURES = frozenset({"__error__", "__error_source_node__"})
RESUME_IDX = WRITES_IDX_MAP[RESUME]
HIDDEN = "langsmith:hidden"
INTERRUPT_ID_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Start:
    """What the graph is called with; `is_over` if an earlier attempt went as far as this run goes."""

    given: object
    config: RunnableConfig
    is_over: bool = False


class Starting:
    """Finds out what an attempt starts with. `graph` is bound to `saver`; `given` is the run's input or its command."""

    def __init__(
        self,
        graph: CompiledGraph,
        saver: BaseCheckpointSaver[Any],
        context: RunContext,
        config: RunnableConfig,
        given: object,
    ) -> None:
        self._graph = graph
        self._saver = saver
        self._context = context
        self._config = config
        self._given = given

    async def start(self) -> Start:
        """Return what to call the graph with.

        A command's answer is given to the graph once, however many attempts it takes, and to nobody who did not ask for it.

        Raises:
            NothingToResumeError: the run brings an answer, and nothing waits for one.
        """
        thread = await self._context.log.thread(self._context.thread_id)
        is_again = self._context.attempt > 1
        if is_again and self._has_begun(thread.state.saved):
            return await self._going_on()
        start = Start(self._given, self._config)
        if _is_command(self._given):
            command = await self._command(self._given, thread, is_again=is_again)
            start = replace(start, given=command)
        if start.given is None or not _brings_one_answer(start.given):
            await self._settle_old_answer(start.given, thread)
        return start

    def _has_begun(self, saved: Saved) -> bool:
        """Say whether an earlier attempt brought the input in: what it mended before that is no step of the graph's."""
        for checkpoint in saved.newest_first(""):
            if self._context.run_id not in (checkpoint.run_id, checkpoint.made_by):
                return False
            if checkpoint.source != "update":
                return True
        return False

    # ------------------------------------------------------------------ after a crash

    async def _going_on(self) -> Start:
        """Go on from the newest checkpoint of an earlier attempt."""
        configurable = {
            name: value
            for name, value in self._config.get("configurable", {}).items()
            if name not in CHECKPOINT_KEYS
        }
        config = cast("RunnableConfig", {**self._config, "configurable": configurable})
        # LangGraph goes past the breakpoint that it stands at: but this run ends there.
        return Start(None, config, is_over=await self._is_at_breakpoint(config))

    async def _is_at_breakpoint(self, config: RunnableConfig) -> bool:
        graph, kwargs = self._graph, self._context.kwargs
        before = breakpoints(kwargs, "interrupt_before") or graph.interrupt_before_nodes
        after = breakpoints(kwargs, "interrupt_after") or graph.interrupt_after_nodes
        found = await self._saver.aget_tuple(config) if before or after else None
        if found is None or not _has_news(found):
            return False
        state = await graph.aget_state(config)
        if self._are_among((task.name for task in state.tasks), before):
            return True
        return bool(after) and self._are_among(await self._nodes_before(found), after)

    async def _nodes_before(self, found: CheckpointTuple) -> list[str]:
        """Return the nodes whose step made the checkpoint."""
        seen = found.checkpoint["versions_seen"]
        parent = None
        if found.parent_config is not None:
            parent = await self._saver.aget_tuple(found.parent_config)
        before = parent.checkpoint["versions_seen"] if parent is not None else {}
        return [node for node, versions in seen.items() if versions != before.get(node)]

    def _are_among(self, nodes: Iterable[str], stops: Breakpoints) -> bool:
        if stops != "*":
            return not set(stops or ()).isdisjoint(nodes)
        known = (self._graph.nodes.get(name) for name in nodes)
        return any(HIDDEN not in (getattr(node, "tags", None) or ()) for node in known if node)

    # ------------------------------------------------------------------ commands

    async def _command(
        self, command: Command[Any], thread: Thread, *, is_again: bool
    ) -> Command[Any] | None:
        """Return what of the command is not in the log yet."""
        own = self._own_writes(thread) if is_again else []
        if own:
            command = replace(command, update=None, goto=())
        if command.resume is None:
            return None if own else command
        if any(write.channel == RESUME for write in own):
            return None
        state = await self._graph.aget_state(self._config)
        pending = {interrupt.id for interrupt in state.interrupts}
        answers = _by_interrupt(command.resume)
        if answers is not None and is_again:
            answers = {key: answer for key, answer in answers.items() if key in pending}
            return replace(command, resume=answers) if answers else None
        if not state.next or (answers and pending.isdisjoint(answers)):
            raise NothingToResumeError(thread_id=self._context.thread_id)
        return command

    def _own_writes(self, thread: Thread) -> list[Write]:
        """Return what an earlier attempt recorded of the run's command."""
        return [
            write
            for write in self._waiting(thread)
            if write.task_id == NULL_TASK and write.run_id == self._context.run_id
        ]

    def _waiting(self, thread: Thread) -> Sequence[Write]:
        """Return the writes on the checkpoint that the run starts from."""
        saved = thread.state.saved
        checkpoint_id = self._config.get("configurable", {}).get("checkpoint_id")
        if checkpoint_id is None:
            head = saved.latest("")
            checkpoint_id = head.checkpoint_id if head is not None else ""
        return saved.writes_on("", checkpoint_id)

    # ------------------------------------------------------------------ answers of earlier runs

    async def _settle_old_answer(self, given: object, thread: Thread) -> None:
        """Keep an answer that an earlier run brought from being given again, or take it over if nobody has had it yet.

        LangGraph leaves it with the checkpoint, and would give it to whoever asks next.
        """
        configurable = self._config.get("configurable", {})
        is_new_input = given is not None and not _is_command(given)
        if is_new_input or "checkpoint_id" in configurable:
            return  # Both leave the answer behind.
        writes = self._waiting(thread)
        answer = next((write for write in writes if _is_answer(write)), None)
        found = await self._saver.aget_tuple(self._config) if answer is not None else None
        if answer is None or found is None:
            return
        pending = found.pending_writes or []
        value = next(each for task, name, each in pending if (task, name) == (NULL_TASK, RESUME))
        is_given = _is_given(answer, writes)
        if value is not None and (is_given or answer.run_id != self._context.run_id):
            # None is no answer; a later one in this place stands.
            kept = None if is_given else value
            await self._saver.aput_writes(found.config, [(RESUME, kept)], NULL_TASK)


def _brings_one_answer(given: object) -> bool:
    """Say whether this is a command whose answer takes the place of an earlier one."""
    return _is_command(given) and given.resume is not None and _by_interrupt(given.resume) is None


def _is_command(given: object) -> TypeGuard[Command[Any]]:
    return isinstance(given, Command)


def _is_answer(write: Write) -> bool:
    return write.task_id == NULL_TASK and write.idx == RESUME_IDX


def _is_given(answer: Write, writes: Sequence[Write]) -> bool:
    """Say whether a task that asked has written something since the answer came: then it had the answer."""
    asking = {
        write.task_id
        for write in writes
        if write.channel == INTERRUPT and write.task_id != NULL_TASK
    }
    return any(
        write.task_id in asking and write.run_id == answer.run_id and write.channel not in FAILURES
        for write in writes
    )


def _by_interrupt(resume: object) -> dict[str, object] | None:
    """Return the answers by the ids of the questions; None if it is one answer for the one who asks."""
    if not isinstance(resume, dict):
        return None
    answers = cast("dict[object, object]", resume)
    if all(isinstance(key, str) and _is_interrupt_id(key) for key in answers):
        return cast("dict[str, object]", answers)
    return None


def _is_interrupt_id(text: str) -> bool:
    return len(text) == INTERRUPT_ID_LENGTH and all(each in "0123456789abcdef" for each in text)


def _has_news(found: CheckpointTuple) -> bool:
    """Say whether a channel changed since the graph went past a breakpoint the last time."""
    checkpoint = found.checkpoint
    seen = cast("dict[str, Any]", checkpoint["versions_seen"].get(INTERRUPT, {}))
    versions = cast("dict[str, Any]", checkpoint["channel_versions"])
    return any(name not in seen or version > seen[name] for name, version in versions.items())
