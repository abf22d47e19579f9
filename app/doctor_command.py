"""`threadfold doctor`: its options, a table of what was found, and what became of it. The examination is in `doctor.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console
from rich.text import Text

from ..domain.errors import EngineError
from . import audit

if TYPE_CHECKING:
    from ..domain.graph_ports import GraphRunner
    from .doctor import Diagnosis
    from .engine import Engine

GraphOption = Annotated[
    str | None,
    typer.Option(
        help="The graph that runs on the thread. Default: the one that did, if a configuration is named.",
        metavar="ID",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        help="Names the graph; it can take over what its tasks have finished.", metavar="FILE"
    ),
]
RepairOption = Annotated[
    bool,
    typer.Option("--repair", help="Mend what is broken: something is appended, nothing edited."),
]

STYLES = {"broken": "bold red", "waiting": "yellow", "harmless": "dim"}


class BrokenThreadError(EngineError):
    """Something on a thread would keep it from going on."""


async def run_doctor(
    engine: Engine, thread_id: str, *, graph_id: str | None, repair: bool, as_json: bool
) -> None:
    """Examine a thread, mend it if that is asked for, and print what is found.

    Raises:
        BrokenThreadError: something is broken, and was not mended.
    """
    graph = await _graph(engine, thread_id, graph_id)
    before = await engine.doctor.examine(thread_id, graph)
    after = before
    if repair and before.is_broken:
        after = await engine.doctor.repair(thread_id, graph)
    if as_json:
        typer.echo(orjson.dumps(_as_json(before, after)))
    else:
        _show(before, after)
    if after.is_broken:
        hint = "" if repair else " Mend it with --repair."
        raise BrokenThreadError(f"Thread {thread_id} is broken.{hint}")


async def _graph(engine: Engine, thread_id: str, graph_id: str | None) -> GraphRunner | None:
    if graph_id is None:
        known = (await engine.get_thread(thread_id)).metadata.get("graph_id")
        if not isinstance(known, str) or known not in engine.graphs.graph_ids:
            return None
        graph_id = known
    return engine.graphs.runner(graph_id)


def _as_json(before: Diagnosis, after: Diagnosis) -> dict[str, object]:
    return {
        "thread_id": before.thread_id,
        "is_broken": after.is_broken,
        "is_mended": before.is_broken and not after.is_broken,
        "findings": before.findings,
    }


def _show(before: Diagnosis, after: Diagnosis) -> None:
    console = Console()
    if not before.findings:
        console.print(Text(f"Thread {before.thread_id} is sound."))
        return
    table = audit.table_of(f"Thread {before.thread_id}")
    for name in ("", "Where", "What"):
        table.add_column(name, overflow="fold")
    for finding in before.findings:
        cells = (finding.severity, finding.place, audit.printable(finding.what))
        table.add_row(*(Text(cell, style=STYLES[finding.severity]) for cell in cells))
    console.print(table)
    if before.is_broken and not after.is_broken:
        console.print(Text(f"Mended at version {after.version} of the log."))
