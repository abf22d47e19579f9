"""Laws of other forms: events as they are stored, and copies of a thread."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from threadfold.domain.commands import CopyThread
from threadfold.domain.copying import copied
from threadfold.domain.events import RecordedEvent, ThreadEvent
from threadfold.domain.thread import FULL_THREAD, fold

from .driver import Driver
from .saved_seen import seen, seen_calls, seen_state
from .visible import text

if TYPE_CHECKING:
    from threadfold.domain.thread import Thread

    from .saved_world import SavedWorld

EVENT: TypeAdapter[ThreadEvent] = TypeAdapter(ThreadEvent)


def what_was_saved_survives_its_stored_form(world: SavedWorld) -> None:
    """I13: what is read is what was written, with the defaults left out."""
    again: list[RecordedEvent] = []
    for r in world.driver.log:
        stored = json.loads(r.event.model_dump_json(exclude_defaults=True))
        event = EVENT.validate_python({"type": type(r.event).__name__, **stored})
        assert event == r.event
        assert text(event.model_dump(mode="json")) == text(r.event.model_dump(mode="json"))
        again.append(RecordedEvent(r.thread_id, r.version, r.position, r.recorded_at, event))
    assert seen(fold(again, FULL_THREAD)) == seen(world.whole)


def a_copy_has_all_that_stands(world: SavedWorld) -> None:
    """I9: a copy has every checkpoint and write that stands, as it stands, and nothing of rolled-back runs."""
    for done in (*world.done[-1:], *world.done[len(world.done) // 2 :][:1]):
        source = done.whole
        standing = source if source.base is None else source.changed(state=source.base)
        if not standing.state.is_typed:
            continue
        log = world.driver.log[: source.version]
        target = Driver("t2")
        for command in copied(standing, log, "t2"):
            assert not callable(command)
            target.execute(command)
        whole = fold(target.log, FULL_THREAD)
        assert _copied_view(whole) == _copied_view(standing)
        for ns, head in whole.state.saved.heads.items():
            assert head.checkpoint_id == standing.state.saved.heads[ns].checkpoint_id
        if target.thread.state.is_typed:
            copy = CopyThread(
                thread_id="t2", source_thread_id="t1", source=source, has_checkpoints=True
            )
            target.execute(copy)
            assert target.thread.values() == standing.values()
            assert target.thread.state.next == standing.state.next
            assert _calls(target.thread) == _calls(standing)
            assert _copied_view(fold(target.log, FULL_THREAD)) == _copied_view(standing)


def _calls(thread: Thread) -> dict[str, Any]:
    return seen_calls(thread.state, thread.items)


def _copied_view(thread: Thread) -> dict[str, Any]:
    """Return what a copy has of a thread's checkpoints. Who made them stands in their metadata there."""
    view = seen_state(thread.state, thread.items)
    for each in view["checkpoints"]:
        run_id, made_by = each.pop("run")
        each["made_by"] = made_by
        metadata = json.loads(each["metadata"])
        if run_id is not None:
            metadata.setdefault("run_id", run_id)
        each["metadata"] = text(metadata)
    return {"checkpoints": view["checkpoints"], "writes": view["writes"]}
