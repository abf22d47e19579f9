"""The tree of errors. No HTTP here: `app/http/problems.py` is the one map from these to statuses.

EngineError
├── RefusedError                 the domain said no; nothing was written
│   ├── ThreadNotFoundError
│   ├── ThreadExistsError
│   ├── ThreadBusyError
│   ├── RunNotFoundError
│   ├── RunExistsError
│   ├── RunEndedError
│   ├── RunNotDueError
│   ├── StaleAttemptError        the fence: a write of an ended or superseded attempt
│   ├── NothingToResumeError
│   ├── QueueFullError
│   ├── KeyTakenError
│   ├── KeyReusedError
│   ├── CheckpointNotFoundError
│   ├── AssistantNotFoundError
│   ├── AssistantExistsError
│   ├── AssistantVersionNotFoundError
│   ├── DefaultAssistantError    a graph has it from the start, for as long as the graph is there
│   ├── GraphNotFoundError
│   ├── ErasedError              the state asked for lies inside an erased span
│   └── InvalidInputError        a value that cannot be recorded
│       ├── NotJsonError
│       ├── UnregisteredTypeError
│       ├── UnknownMessageError
│       ├── ReducerError
│       └── UnknownNodeError
├── StoreError                   the log could not be read or written
│   ├── VersionConflictError
│   ├── RunIdTakenError
│   ├── ContentionError
│   ├── StoreUnavailableError
│   ├── StoreVersionError
│   ├── UnreadableEventError
│   └── UnreadableValueError
└── ConfigurationError           the set-up is wrong: settings, langgraph.json, a broken graph
"""

from __future__ import annotations

from .error_root import EngineError


class RefusedError(EngineError):
    """The domain refused a command; the log is unchanged."""


class ThreadNotFoundError(RefusedError):
    """No such thread, or it was deleted."""

    thread_id: str

    def __init__(self, *, thread_id: str) -> None:
        super().__init__(f"Thread with ID {thread_id} not found", thread_id=thread_id)


class ThreadExistsError(RefusedError):
    """A thread of this id exists already."""

    thread_id: str

    def __init__(self, *, thread_id: str) -> None:
        super().__init__(f"Thread with ID {thread_id} already exists", thread_id=thread_id)


class ThreadBusyError(RefusedError):
    """Runs are in flight, and the command does not go together with that."""

    run_ids: tuple[str, ...]

    def __init__(self, *, run_ids: tuple[str, ...], message: str | None = None) -> None:
        super().__init__(
            message
            or "Thread is already running a task. Wait for it to finish or choose a different "
            "multitask strategy.",
            run_ids=run_ids,
        )


class RunNotFoundError(RefusedError):
    """No such run in the thread, or it was rolled back or deleted."""

    run_id: str

    def __init__(self, *, run_id: str, message: str = "Not Found") -> None:
        super().__init__(message, run_id=run_id)


class RunExistsError(RefusedError):
    """A run of this id was accepted before, and it was another request or it is gone."""

    run_id: str

    def __init__(self, *, run_id: str) -> None:
        super().__init__(f"Run with ID {run_id} already exists", run_id=run_id)


class RunEndedError(RefusedError):
    """The run has ended already."""

    run_id: str

    def __init__(self, *, run_id: str) -> None:
        super().__init__(
            "No matching runs to cancel. Please verify the thread ID and run ID are correct, and "
            "the runs haven't already finished.",
            run_id=run_id,
        )


class RunNotDueError(RefusedError):
    """The run may not start now: another one is active or goes first, or it is not due yet."""

    run_id: str

    def __init__(self, *, run_id: str) -> None:
        super().__init__(f"Run {run_id} may not start now", run_id=run_id)


class StaleAttemptError(RefusedError):
    """The fence: the attempt that writes is not the active one, so the write leaves nothing."""

    run_id: str
    attempt: int
    is_stale_write_owner_error = True
    """LangGraph's marker of a checkpointer's fence."""

    def __init__(self, *, run_id: str, attempt: int) -> None:
        super().__init__(
            f"Attempt {attempt} of run {run_id} is no longer active", run_id=run_id, attempt=attempt
        )


class NothingToResumeError(RefusedError):
    """A run brings the answer to an interrupt, and nothing waits for an answer."""

    thread_id: str

    def __init__(self, *, thread_id: str) -> None:
        super().__init__(
            f"Nothing in thread {thread_id} waits to be resumed: it was answered before, or never asked",
            thread_id=thread_id,
        )


class QueueFullError(RefusedError):
    """The thread has as many runs in flight as the settings allow."""

    runs_max: int

    def __init__(self, *, runs_max: int) -> None:
        super().__init__(
            f"The thread has {runs_max} runs in flight, the most that is allowed. "
            "Wait for one to end.",
            runs_max=runs_max,
        )


class KeyTakenError(RefusedError):
    """Another request under the same `Idempotency-Key` was first."""

    key: str

    def __init__(self, *, key: str) -> None:
        super().__init__(
            f"A request with the Idempotency-Key {key!r} is being answered. Try again.", key=key
        )


class KeyReusedError(RefusedError):
    """The `Idempotency-Key` stands for a request with another body."""

    key: str

    def __init__(self, *, key: str) -> None:
        super().__init__(
            f"The Idempotency-Key {key!r} was used for a request with another body.", key=key
        )


class CheckpointNotFoundError(RefusedError):
    """No such checkpoint in the thread's visible history."""

    checkpoint_id: str

    def __init__(self, *, checkpoint_id: str) -> None:
        super().__init__(f"Checkpoint {checkpoint_id} not found", checkpoint_id=checkpoint_id)


class AssistantNotFoundError(RefusedError):
    """No assistant of this id."""

    assistant_id: str

    def __init__(self, *, assistant_id: str) -> None:
        super().__init__(f"Assistant with ID {assistant_id} not found", assistant_id=assistant_id)


class AssistantExistsError(RefusedError):
    """An assistant of this id exists already."""

    assistant_id: str

    def __init__(self, *, assistant_id: str) -> None:
        super().__init__(
            f"Assistant with ID {assistant_id} already exists", assistant_id=assistant_id
        )


class AssistantVersionNotFoundError(RefusedError):
    """The assistant has no such version."""

    assistant_id: str
    version: int

    def __init__(self, *, assistant_id: str, version: int) -> None:
        super().__init__(
            f"Assistant with ID {assistant_id} has no version {version}",
            assistant_id=assistant_id,
            version=version,
        )


class DefaultAssistantError(RefusedError):
    """The assistant is the one that its graph has from the start, which stays as long as the graph does."""

    assistant_id: str
    graph_id: str

    def __init__(self, *, assistant_id: str, graph_id: str) -> None:
        super().__init__(
            f"Assistant with ID {assistant_id} is the default one of graph '{graph_id}' and cannot "
            "be deleted; POST …/latest with version 1 takes back what was changed of it",
            assistant_id=assistant_id,
            graph_id=graph_id,
        )


class GraphNotFoundError(RefusedError):
    """The name is that of no registered graph."""

    graph_id: str

    def __init__(self, *, graph_id: str, known: tuple[str, ...]) -> None:
        expected = ", ".join(known) or "none is registered"
        super().__init__(
            f"Invalid assistant: '{graph_id}'. Must be either: - A valid assistant UUID, or - One "
            f"of the registered graphs: {expected}",
            graph_id=graph_id,
            known=known,
        )


class ErasedError(RefusedError):
    """The state asked for lies inside a span whose payloads were erased."""

    version: int

    def __init__(self, *, version: int) -> None:
        super().__init__(
            f"The state at version {version} was erased with the run that made it", version=version
        )


class InvalidInputError(RefusedError):
    """A value from a caller or a graph that cannot be recorded."""


class NotJsonError(InvalidInputError):
    """A value that JSON cannot hold; `where` is the path to it."""

    where: str
    problem: str

    def __init__(self, *, where: str, problem: str) -> None:
        super().__init__(f"{where}: JSON cannot hold {problem}", where=where, problem=problem)


class UnregisteredTypeError(InvalidInputError):
    """An object of a class that nobody registered is to be stored, or to be read; `where` begins with the channel."""

    where: str
    name: str

    def __init__(self, *, where: str, name: str) -> None:
        short = name.rpartition(":")[2].rpartition(".")[2]
        super().__init__(
            f"{where}: objects of the class {name} are stored only if the class is registered. Name it in "
            f"ThreadfoldSaver(types=[{short}]), or in the annotations of the graph's state",
            where=where,
            name=name,
        )


class UnknownMessageError(InvalidInputError):
    """A removal names a message that the thread does not have."""

    message_id: str

    def __init__(self, *, message_id: str) -> None:
        super().__init__(
            f"Attempting to delete a message with an ID that doesn't exist ('{message_id}')",
            message_id=message_id,
        )


class ReducerError(InvalidInputError):
    """An update that its channel's reducer cannot take."""

    channel: str

    def __init__(self, *, channel: str, problem: str) -> None:
        super().__init__(f"{channel}: {problem}", channel=channel)


class UnknownNodeError(InvalidInputError):
    """`as_node` names no node of the thread's graph."""

    node: str

    def __init__(self, *, node: str) -> None:
        super().__init__(f"Node {node} does not exist", node=node)


class StoreError(EngineError):
    """The log could not be read or written."""


class VersionConflictError(StoreError):
    """Another writer appended first; nothing of this append was written."""

    thread_id: str
    expected_version: int

    def __init__(self, *, thread_id: str, expected_version: int) -> None:
        super().__init__(
            f"Thread {thread_id} is not at version {expected_version} any more",
            thread_id=thread_id,
            expected_version=expected_version,
        )


class RunIdTakenError(StoreError):
    """The append accepts a run whose id the thread's record of runs holds already."""

    run_id: str

    def __init__(self, *, run_id: str) -> None:
        super().__init__(f"Run with ID {run_id} already exists", run_id=run_id)


class ContentionError(StoreError):
    """Other writers got in first for as long as the engine tries."""

    thread_id: str

    def __init__(self, *, thread_id: str, seconds: float, what: str = "Thread") -> None:
        super().__init__(
            f"{what} {thread_id} is contended: no decision could be written within {seconds:g} s",
            thread_id=thread_id,
        )


class StoreUnavailableError(StoreError):
    """The database did not answer, or is closed. A write that gets this does not stand.

    The one exception: the store was closed while the outcome of a failed commit could not be looked
    up. Whoever retries with the same run id is safe in any case.
    """


class StoreVersionError(StoreError):
    """The database's schema is newer than this program."""


class UnreadableEventError(StoreError):
    """A stored event has a type or a schema version that this program does not know."""

    name: str

    def __init__(self, *, name: str) -> None:
        super().__init__(
            f"The log holds an event {name}, which this version cannot read", name=name
        )


class UnreadableValueError(StoreError):
    """A stored value that this program cannot make an object of: its class has changed, or the form is a newer one."""

    problem: str

    def __init__(self, *, problem: str) -> None:
        super().__init__(f"The log holds a value that cannot be read: {problem}", problem=problem)


class ConfigurationError(EngineError):
    """The set-up is wrong: a setting, the configuration file, or a graph that cannot be loaded."""
