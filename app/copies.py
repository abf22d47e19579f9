"""Copies of threads: what has to be recorded for one, read from the source's log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..domain.commands import CopyThread
from ..domain.copying import copied, copied_states
from ..domain.errors import ThreadNotFoundError
from .executor import EVENTS_AT_ONCE

if TYPE_CHECKING:
    from ..domain.graph_ports import Intent
    from .checkpoint_logs import WholeThreads
    from .states import States


async def copy_intents(
    wholes: WholeThreads, states: States, thread_id: str, copy_id: str
) -> list[Intent]:
    """Return what records the copy, all in one append; raises ThreadNotFoundError.

    Neither the run in flight nor what was rolled back is in it.
    """
    source = await wholes.load(thread_id)
    if not source.is_visible:
        raise ThreadNotFoundError(thread_id=thread_id)
    standing = source if source.base is None else source.changed(state=source.base)
    saved: list[Intent] = []
    if standing.state.is_typed:
        events = await wholes.store.read_thread(thread_id)
        if len(events) < EVENTS_AT_ONCE // 10:
            saved = copied(standing, events, copy_id)
        else:
            saved = await asyncio.to_thread(copied, standing, events, copy_id)
    elif standing.has_values:
        found = [(each.state, each.items) async for each in states.steps(thread_id, standing)]
        found.reverse()
        if len(found) < EVENTS_AT_ONCE // 10:
            saved = copied_states(found, copy_id)
        else:
            saved = await asyncio.to_thread(copied_states, found, copy_id)
    copy = CopyThread(
        thread_id=copy_id, source_thread_id=thread_id, source=source, has_checkpoints=bool(saved)
    )
    return [*saved, copy]
