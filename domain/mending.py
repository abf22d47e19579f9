"""What makes the histories of a thread sound: commands that append, like any change from outside. Nothing is edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .changes import Replace
from .channels import read_channel
from .checkpoint_times import full_time
from .commands import RecordCheckpoint, UpdateState
from .diagnosis import histories
from .errors import InvalidInputError
from .saved_fold import BRANCH, INTERNAL_PREFIXES, SENDS, open_nodes
from .tool_calls import STOPPED, OpenCall, closing_message, mended, outcome, typed_shape
from .typed import typed_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .changes import ChannelChange
    from .commands import Command
    from .diagnosis import History
    from .saved import Saved, SavedCheckpoint
    from .state import ToolCall
    from .thread import Thread
    from .values import Json


def mending(
    thread_id: str,
    thread: Thread,
    calls: Mapping[str, ToolCall],
    new_message_id: Callable[[], str],
    new_checkpoint_id: Callable[[], str],
) -> list[Command]:
    """Return what makes the thread's histories sound, but for calls that wait for somebody.

    Raises:
        InvalidInputError: only the thread's graph can do it.
    """
    changed: dict[str, dict[str, Json]] = {}
    for history in histories(thread):
        entries = mended(history.shapes, history.is_closed_at)
        if entries is None:
            continue
        changed.setdefault(history.ns, {})[history.channel] = _made(
            history, entries, thread, calls, new_message_id
        )
    if not thread.state.is_typed:
        changes = {name: Replace(value) for name, value in changed.get("", {}).items()}
        return [_update(thread_id, new_checkpoint_id(), changes)] if changes else []
    return [
        _checkpoint(thread_id, thread.state.saved, ns, values, new_checkpoint_id())
        for ns, values in changed.items()
    ]


def _made(
    history: History,
    entries: Sequence[int | OpenCall],
    thread: Thread,
    calls: Mapping[str, ToolCall],
    new_id: Callable[[], str],
) -> list[Json]:
    results = _waiting_results(thread, history)
    made: list[Json] = []
    for entry in entries:
        if isinstance(entry, int):
            made.append(history.messages[entry])
        elif entry.call_id in results:
            made.append(results[entry.call_id])
        else:
            made.append(_closing(entry, thread, calls, new_id))
    return made


def _closing(
    call: OpenCall, thread: Thread, calls: Mapping[str, ToolCall], new_id: Callable[[], str]
) -> Json:
    if not thread.state.is_typed:
        return closing_message(call, STOPPED, new_id())
    known = calls.get(call.call_id)
    if known is not None and known.result is not None:
        return read_channel(known.result, thread.items)
    message = closing_message(call, outcome(known, is_reported=False), new_id())
    return typed_message("tool", message)


def _waiting_results(thread: Thread, history: History) -> dict[str, Json]:
    """Return the results that finished tasks gave, and that no checkpoint has taken over yet, by their calls.

    Raises InvalidInputError where a task gave other messages too: whither they belong, only the graph knows.
    """
    head = thread.state.saved.latest(history.ns)
    results: dict[str, Json] = {}
    for write in thread.state.saved.writes_on(history.ns, head.checkpoint_id) if head else ():
        if write.channel == history.channel:
            value = read_channel(write.value, thread.items)
            for message in value if isinstance(value, list) else [value]:
                answers = typed_shape(message).answers
                if answers is None:
                    raise _needs_graph(write.channel)
                results[answers] = message
    return results


def _update(
    thread_id: str, checkpoint_id: str, changes: Mapping[str, ChannelChange]
) -> UpdateState:
    return UpdateState(
        thread_id=thread_id,
        checkpoint_id=checkpoint_id,
        as_node=None,
        next=(),
        update=None,
        changes=changes,
    )


def _checkpoint(
    thread_id: str, saved: Saved, ns: str, values: Mapping[str, Json], checkpoint_id: str
) -> RecordCheckpoint:
    """Return what follows the newest checkpoint of a namespace: with these values, and nothing left to be done."""
    head = cast("SavedCheckpoint", saved.latest(ns))
    for write in saved.writes_on(ns, head.checkpoint_id):
        if not write.channel.startswith(INTERNAL_PREFIXES) and write.channel not in values:
            raise _needs_graph(write.channel)
    done = {name for name in head.channels if _is_spent(name, head)}
    version = _next_version(head.versions.values())
    return RecordCheckpoint(
        thread_id=thread_id,
        run_id=None,
        attempt=0,
        ns=ns,
        checkpoint_id=checkpoint_id,
        parent_id=head.checkpoint_id,
        source="update",
        step=head.step + 1,
        changes={name: Replace(value) for name, value in values.items()},
        kept=frozenset(head.channels) - values.keys() - done,
        versions={**head.versions, **dict.fromkeys((*values, *done), version)},
        seen=head.seen,
        updated=tuple(sorted(values)),
        ts=full_time(0, checkpoint_id),
        format=head.format,
        extra=head.extra,
        metadata={key: value for key, value in head.metadata.items() if key != "run_id"},
    )


def _needs_graph(channel: str) -> InvalidInputError:
    problem = f"a task has finished and written to {channel}: only the graph can take that over"
    return InvalidInputError(problem)


def _is_spent(name: str, head: SavedCheckpoint) -> bool:
    """Say whether a channel is what starts the nodes that stand open."""
    if name.startswith(BRANCH) or name in (SENDS, "__start__"):
        return True
    return name.startswith("join:") and name.rpartition(":")[2] in open_nodes(head)


def _next_version(versions: Iterable[int | float | str]) -> int | str:
    """Return a version after all of these; those of one thread are all numbers, or all texts that begin with one."""
    texts = [version for version in versions if isinstance(version, str)]
    if texts:
        return f"{int(max(texts).partition('.')[0]) + 1:032}.{0:016}"
    return int(max(cast("Iterable[int]", versions), default=0)) + 1
