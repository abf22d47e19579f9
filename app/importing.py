"""The import of another checkpoint database into the log: thread by thread, in order, as often as it is run.

Every thread is taken up where the log leaves off, in batches that are the same in every run and are recorded whole: an import
that was broken off and is run again leaves the same log as one that ran through.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..domain.errors import RefusedError
from ..domain.importing import Counts, Held, NotImportableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from ..domain.errors import EngineError
    from ..domain.importing import Holdings, ImportSource, ImportTarget
    from ..domain.saved import CheckpointKey

BATCH_BYTES_MAX = 1 << 20
"""A batch is one append. It holds so much of the source, or a single record: memory is bounded by that."""

BATCH_RECORDS_MAX = 256

REASONS_MAX = 20

NOTHING = Held()


@dataclass(slots=True)
class Report:
    """What came out. `in_log` counts what the source has and the log's own events have too."""

    read: Counts = field(default_factory=Counts)
    in_log: Counts = field(default_factory=Counts)
    failed: int = 0
    """Threads that were not imported as a whole."""
    reasons: list[str] = field(default_factory=list[str])
    """Why, for the first of them."""

    @property
    def is_complete(self) -> bool:
        """Whether everything that the source holds is in the log."""
        return not self.failed and self.read == self.in_log

    def add_failure(self, error: EngineError) -> None:
        """Count a thread that was not imported as a whole."""
        self.failed += 1
        if len(self.reasons) < REASONS_MAX:
            self.reasons.append(str(error))


async def import_threads(
    source: ImportSource,
    target: ImportTarget,
    thread_ids: Sequence[str] = (),
    *,
    counts: Counts | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Bring what the source holds into the log: all of it, or these threads.

    A thread that cannot be imported is in the report, and the others are imported all the same. `on_progress` is called with
    numbers of checkpoints that are done with; `counts` are those of the source, if they are known.

    Raises:
        StoreError: the log cannot be read or written.
        SourceError: the source cannot be read any more.
    """
    report = Report(read=counts or await asyncio.to_thread(source.counts, thread_ids))
    for thread_id in dict.fromkeys(thread_ids) or source.thread_ids():
        there = await asyncio.to_thread(source.holdings, thread_id)
        left = sum(held.has_checkpoint for held in there.values())
        try:
            async for number in _bring(source, target, thread_id, there):
                on_progress(number)
                left -= number
        except NotImportableError as error:
            report.add_failure(error)
        except RefusedError as error:
            report.add_failure(NotImportableError(str(error), thread_id=thread_id))
        on_progress(left)
        report.in_log.add(_common(there, await target.recorded(thread_id)))
    return report


async def _bring(
    source: ImportSource, target: ImportTarget, thread_id: str, there: Holdings
) -> AsyncIterator[int]:
    """Record what the log lacks of a thread, batch by batch; yield the number of checkpoints in each."""
    if not there:
        raise NotImportableError("there is no such thread in the database", thread_id=thread_id)
    here = await target.holdings(thread_id)
    has_news = _has_more(there, than=here)
    has_gone_on = _has_more(here, than=there)
    if has_news and has_gone_on:
        raise NotImportableError(
            "it has gone on in the log since it was imported, and so it has in the database",
            thread_id=thread_id,
        )
    for batch in _batches(there):
        wanted = {
            key: not here.get(key, NOTHING).has_checkpoint
            for key in batch
            if _lacks(here.get(key, NOTHING), there[key])
            or (not has_gone_on and there[key].has_replaceable)
        }
        records = await asyncio.to_thread(source.read, thread_id, wanted) if wanted else []
        news = await target.differing(thread_id, records)
        if news and not has_news:
            raise NotImportableError(
                "the log holds another value of a write that can be replaced; which is the newer one is not known",
                thread_id=thread_id,
                key=news[0].key,
            )
        if news:
            await target.write(thread_id, news)
        yield sum(there[key].has_checkpoint for key in batch)


def _batches(there: Holdings) -> Iterator[list[CheckpointKey]]:
    """Divide a thread into appends. It hangs on the source alone, so that a second run comes to the same ones."""
    batch: list[CheckpointKey] = []
    size = 0
    for key, held in there.items():
        if batch and (size + held.bytes > BATCH_BYTES_MAX or len(batch) == BATCH_RECORDS_MAX):
            yield batch
            batch, size = [], 0
        batch.append(key)
        size += held.bytes
    if batch:
        yield batch


def _has_more(one: Holdings, *, than: Holdings) -> bool:
    return any(_lacks(than.get(key, NOTHING), held) for key, held in one.items())


def _lacks(held: Held, other: Held) -> bool:
    """Say whether `other` has something that `held` has not."""
    return (other.has_checkpoint and not held.has_checkpoint) or not other.slots <= held.slots


def _common(there: Holdings, here: Holdings) -> Holdings:
    """Return what both hold."""
    return {
        key: Held(held.has_checkpoint and here[key].has_checkpoint, held.slots & here[key].slots)
        for key, held in there.items()
        if key in here
    }
