"""`threadfold import`: its options, a progress bar, and a count at the end. The import itself is in `importing.py`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..domain.errors import ConfigurationError, EngineError
from . import audit
from .importing import import_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from typing import TypeAlias

    from ..domain.importing import Counts, ImportSource, ImportTarget
    from .importing import Report

    OpenSource: TypeAlias = Callable[[str, Sequence[type]], ImportSource]
    OpenTarget: TypeAlias = Callable[
        [str, Sequence[type]], AbstractAsyncContextManager[ImportTarget]
    ]


SourceArgument = Annotated[
    str,
    typer.Argument(metavar="SOURCE", help="postgresql://…, sqlite:///FILE, or the path of a file."),
]
ThreadsOption = Annotated[
    list[str] | None,
    typer.Option(help="Only this thread. May be given more than once.", metavar="THREAD"),
]
TypesOption = Annotated[
    list[str] | None,
    typer.Option(
        help="A class whose objects are in the threads. May be given more than once.",
        metavar="MODULE:CLASS",
    ),
]

LANGGRAPH = {"langgraph", "langchain_core", "ormsgpack"}


class ImportIncompleteError(EngineError):
    """Not everything that was read is in the log."""


async def run_import(
    source_url: str,
    store: str,
    *,
    thread_ids: Sequence[str],
    type_names: Sequence[str],
    is_dry_run: bool,
    open_source: OpenSource,
    open_target: OpenTarget,
) -> None:
    """Import, and print what came out.

    Raises:
        ImportIncompleteError: something of what was read is not in the log.
        ConfigurationError: an option is wrong.
    """
    types = [load_type(name) for name in type_names]
    _check_store(store, source_url)
    source = open_source(source_url, types)
    try:
        counts = source.counts(thread_ids)
        if is_dry_run:
            typer.echo(f"to read:    {_told(counts)}")
            return
        async with open_target(store, types) as target:
            report = await _with_progress(source, target, thread_ids, counts)
    finally:
        source.close()
    typer.echo(f"read:       {_told(report.read)}")
    typer.echo(f"in the log: {_told(report.in_log)}")
    if not report.is_complete:
        raise ImportIncompleteError(_why(report))


def _check_store(store: str, source_url: str) -> None:
    scheme, _, path = store.partition("://")
    if scheme == "memory":
        raise ConfigurationError(
            "What is imported into memory:// is gone at once. Name a store with --store URL."
        )
    source = Path(source_url.removeprefix("sqlite:///"))
    if scheme == "sqlite" and Path(path.removeprefix("/")).resolve() == source.resolve():
        raise ConfigurationError(
            f"{source} is what is to be imported. Name another store with --store URL."
        )


async def _with_progress(
    source: ImportSource, target: ImportTarget, thread_ids: Sequence[str], counts: Counts
) -> Report:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("checkpoints", total=counts.checkpoints)

        def advance(number: int) -> None:
            progress.advance(bar, number)

        return await import_threads(source, target, thread_ids, counts=counts, on_progress=advance)


def _told(counts: Counts) -> str:
    return (
        f"{counts.threads:,} threads, {counts.checkpoints:,} checkpoints, {counts.writes:,} writes"
    )


def _why(report: Report) -> str:
    for reason in report.reasons:
        typer.echo(f"not imported: {audit.printable(reason)}", err=True)
    if not report.failed:
        return "What was read and what is in the log do not agree: do not rely on this import, and report it."
    if report.failed > len(report.reasons):
        typer.echo(f"not imported: {report.failed - len(report.reasons):,} more threads", err=True)
    return (
        f"{report.failed:,} of {report.read.threads:,} threads could not be imported as a whole. "
        "What is in the log stays; run it again when the reasons are gone."
    )


def load_type(name: str) -> type:
    """Return the class that `module:Class` names.

    Raises:
        ConfigurationError: there is none.
    """
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise ConfigurationError(
            f"--types {name}: give a module and a class, as in app.models:Plan"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # As `python -m` has it: a user's modules are where they work.
    try:
        found: object = import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"--types {name}: {error}") from error
    if not isinstance(found, type):
        raise ConfigurationError(f"--types {name}: that is no class")
    return found


def why_missing(error: ImportError) -> str:
    """Return what has to be installed; raises the error itself, if that is another one."""
    if (error.name or "").partition(".")[0] not in LANGGRAPH:
        raise error
    return 'To import, LangGraph is needed: pip install "threadfold[langgraph]"'
