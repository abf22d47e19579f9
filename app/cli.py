"""The command line: `threadfold demo | serve | log | state | runs | doctor | import`. It parses, opens, prints."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console

from .. import __version__
from ..domain.errors import ConfigurationError, EngineError
from ..domain.events import RecordedEvent
from ..domain.importing import ImportTarget
from ..infrastructure.graphs.loading import load_graphs
from ..infrastructure.graphs.loading_auth import load_auth
from ..infrastructure.graphs.registry import GraphRegistry
from ..infrastructure.graphs.weather import agent
from . import audit, doctor_command, import_command, logs, serving
from .demo import run_demo
from .engine import Engine
from .settings import Settings

DEFAULT_STORE = "sqlite:///threadfold.db"
DEFAULT_CONFIG = Path("langgraph.json")
logger = logging.getLogger(__name__)

FOLLOW_SECONDS = 0.25
"""How often a followed log is looked at."""

app = typer.Typer(
    name="threadfold",
    help="An event-sourced engine for agent threads that gets double texting right.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

StoreOption = Annotated[
    str,
    typer.Option(
        help="Where threads are kept: sqlite:///FILE or memory://.",
        envvar="THREADFOLD_STORE",
        metavar="URL",
    ),
]
ThreadArgument = Annotated[str, typer.Argument(metavar="THREAD", help="The thread's id.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def main() -> None:
    """Run the command line."""
    app()


# ------------------------------------------------------------------ serve and demo


@app.command()
def serve(
    config: Annotated[
        Path | None,
        typer.Option(
            help="Names the graphs. Default: langgraph.json, if there is one.",
            envvar="THREADFOLD_CONFIG",
            metavar="FILE",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    host: Annotated[
        str, typer.Option(help="The address to listen on.", envvar="THREADFOLD_HOST")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            help="The port to listen on; 0: any free one.",
            envvar="THREADFOLD_PORT",
            min=0,
            max=65535,
        ),
    ] = 2024,
    *,
    log_format: Annotated[
        Literal["text", "json"],
        typer.Option(help="The form of the log's lines.", envvar="THREADFOLD_LOG_FORMAT"),
    ] = "text",
    demo_agent: Annotated[
        bool,
        typer.Option(
            "--demo-agent",
            help="Serve an offline weather agent called agent, without a configuration.",
            envvar="THREADFOLD_DEMO_AGENT",
        ),
    ] = False,
) -> None:
    """Serve graphs to the official LangGraph SDKs, until told to stop."""
    logs.configure(log_format)

    async def work() -> None:
        registry = _graphs(config, is_demo=demo_agent)
        auth = None if config is None and demo_agent else load_auth(config or DEFAULT_CONFIG)
        settings = settings_from_environment()
        engine = Engine(store, settings=settings, registry=registry, auth=auth)
        bound = serving.bound_socket(host, port)
        if auth is None and not settings.api_keys and not serving.is_local(bound):
            logger.warning("there is no authentication: whoever can reach %s can use it", host)
        greeting = f"Threadfold {__version__} listens on {serving.url_of(bound)}"
        await serving.serve(
            engine, bound, lambda: typer.echo(f"{greeting} and keeps threads in {store}")
        )

    _run(work())


def _graphs(config: Path | None, *, is_demo: bool) -> GraphRegistry:
    if config is not None:
        return load_graphs(config)
    if is_demo:
        registry = GraphRegistry()
        registry.add_function("agent", agent)
        return registry
    if DEFAULT_CONFIG.is_file():
        return load_graphs(DEFAULT_CONFIG)
    raise ConfigurationError(
        "There is no langgraph.json here to say which graphs to serve. Name one with --config "
        "FILE, or try the weather agent with --demo-agent."
    )


def settings_from_environment() -> Settings:
    """Return the settings, each from THREADFOLD_<NAME> if that is set.

    Raises:
        ConfigurationError: one of them cannot be taken.
    """
    names = {name: f"THREADFOLD_{name.upper()}" for name in Settings.model_fields}
    given = {name: os.environ[key] for name, key in names.items() if key in os.environ}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigurationError(f"{names[str(first['loc'][0])]}: {first['msg']}") from error


@app.command()
def demo(
    keep: Annotated[
        Path | None,
        typer.Option(help="Keep the demo's database in this file.", metavar="FILE"),
    ] = None,
    pause: Annotated[
        float, typer.Option(help="Seconds between the two messages.", min=0, max=60)
    ] = 0,
) -> None:
    """See double texting go right: a second message rolls back the first one's run, over real HTTP."""
    if keep is not None and keep.exists():
        _fail(f"{keep} exists already")
    _run(run_demo(Console(), keep=keep and keep.resolve(), pause_seconds=pause))


# ------------------------------------------------------------------ audit


@app.command()
def log(
    thread: ThreadArgument,
    store: StoreOption = DEFAULT_STORE,
    *,
    as_lines: JsonOption = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as events come.")] = False,
) -> None:
    """Show all that happened on a thread; what a rollback undid is struck through."""

    async def work() -> None:
        async with _opened(store) as engine:
            events = await engine.queries.log(thread)
            if as_lines:
                _print_events(events, audit.undone_runs(events))
            else:
                Console().print(audit.log_table(thread, events))
            if follow:
                await _follow(engine, thread, events, as_lines=as_lines)

    _run(work())


async def _follow(
    engine: Engine, thread: str, events: Sequence[RecordedEvent], *, as_lines: bool
) -> None:
    undone, version = audit.undone_runs(events), events[-1].version
    while True:
        await asyncio.sleep(FOLLOW_SECONDS)
        new = await engine.queries.log(thread, after=version)
        if not new:
            continue
        undone, version = undone | audit.undone_runs(new), new[-1].version
        if as_lines:
            _print_events(new, undone)
            continue
        for recorded in new:
            Console().print(audit.line_of(audit.row_of(recorded, undone)), soft_wrap=True)


def _print_events(events: Sequence[RecordedEvent], undone: frozenset[str]) -> None:
    for recorded in events:
        typer.echo(orjson.dumps(audit.as_json(recorded, undone)))


@app.command()
def state(
    thread: ThreadArgument,
    store: StoreOption = DEFAULT_STORE,
    at: Annotated[
        int | None,
        typer.Option(
            help="As it stood at this version of the log; runs rolled back later are in it.",
            metavar="VERSION",
            min=1,
        ),
    ] = None,
) -> None:
    """Print the state of a thread as JSON."""

    async def work() -> None:
        async with _opened(store) as engine:
            queries = engine.queries
            view = await (
                queries.get_state(thread) if at is None else queries.get_state_at(thread, at)
            )
        content: dict[str, Any] = {
            "thread_id": thread,
            "checkpoint_id": view.state.checkpoint_id,
            "next": view.state.next,
            "values": view.values,
        }
        if view.state.error is not None:
            content["error"] = view.state.error.model_dump()
        typer.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2))

    _run(work())


@app.command()
def runs(
    thread: ThreadArgument, store: StoreOption = DEFAULT_STORE, *, as_lines: JsonOption = False
) -> None:
    """List the runs of a thread, oldest first; those that were rolled back are struck through."""

    async def work() -> None:
        async with _opened(store) as engine:
            events = await engine.queries.log(thread)
        found = audit.runs_in(events)
        if not as_lines:
            Console().print(audit.runs_table(thread, found))
            return
        for run in found:
            typer.echo(orjson.dumps(run.as_json()))

    _run(work())


@app.command()
def doctor(
    thread: ThreadArgument,
    store: StoreOption = DEFAULT_STORE,
    graph: doctor_command.GraphOption = None,
    config: doctor_command.ConfigOption = None,
    *,
    repair: doctor_command.RepairOption = False,
    as_lines: JsonOption = False,
) -> None:
    """Find what would keep a thread from going on, such as tool calls without a result; exit code 1 if there is any."""

    async def work() -> None:
        graphs = None if config is None and graph is None else _graphs(config, is_demo=False)
        async with _opened(store, graphs) as engine:
            await doctor_command.run_doctor(
                engine, thread, graph_id=graph, repair=repair, as_json=as_lines
            )

    _run(work())


# ------------------------------------------------------------------ moving in


@app.command("import")
def import_database(
    source: import_command.SourceArgument,
    store: StoreOption = DEFAULT_STORE,
    thread: import_command.ThreadsOption = None,
    types: import_command.TypesOption = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what is there.")] = False,
) -> None:
    """Bring a checkpoint database of LangGraph's own savers into the log; run again, it goes on where it was."""
    try:
        from ..infrastructure.langgraph.importing import opening  # noqa: PLC0415 - an extra
        from .checkpointer import ThreadfoldSaver  # noqa: PLC0415
    except ImportError as error:
        _fail(import_command.why_missing(error))

    @asynccontextmanager
    async def open_target(store: str, types: Sequence[type]) -> AsyncGenerator[ImportTarget]:
        async with ThreadfoldSaver(store, types=types) as saver:
            yield opening.target_of(saver)

    _run(
        import_command.run_import(
            source,
            store,
            thread_ids=thread or (),
            type_names=types or (),
            is_dry_run=dry_run,
            open_source=opening.open_source,
            open_target=open_target,
        )
    )


@asynccontextmanager
async def _opened(store: str, graphs: GraphRegistry | None = None) -> AsyncGenerator[Engine]:
    """Open a store to read it: nothing runs here, and no new file is made."""
    _check_database(store)
    async with Engine(store, settings=Settings(worker_slots=0), registry=graphs) as engine:
        yield engine


def _check_database(store: str) -> None:
    scheme, _, path = store.partition("://")
    if scheme == "sqlite" and not Path(path.removeprefix("/")).is_file():
        raise ConfigurationError(f"There is no database at {store}. Name one with --store URL.")


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command; what went wrong is one line on stderr, and exit code 1."""
    try:
        serving.run(work)
    except EngineError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _fail(message: str) -> NoReturn:
    typer.echo(f"threadfold: {audit.printable(' '.join(message.split()))}", err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    main()
