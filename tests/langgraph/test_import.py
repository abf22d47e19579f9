"""`threadfold import`: what LangGraph's own savers keep is in the log afterwards, all of it, however often it is run."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tracemalloc
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from langgraph.store.base import GetOp
from langgraph.types import Command
from typer.testing import CliRunner

from tests.support.import_threads import (
    LONG,
    NAMES,
    THREADS,
    TYPES,
    config_of,
    fill,
    postgres_saver,
    said,
    serializer,
    sqlite_saver,
)
from tests.support.importing import (
    ROOT,
    came_to,
    child,
    import_into,
    killed_after,
    listed,
    log_of,
    states,
)
from threadfold import Engine, ThreadfoldSaver
from threadfold.app import importing
from threadfold.app.cli import app
from threadfold.app.import_command import load_type
from threadfold.domain.events import WritesRecorded
from threadfold.infrastructure.langgraph.importing.opening import open_source, target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.support.import_threads import Saver
    from threadfold.domain.importing import Holdings, Record

pytest_plugins = ["tests.support.postgres"]

SMALL = ("talk", "asks", "forked")


@dataclass(frozen=True)
class Theirs:
    """A database of LangGraph's own, and its saver."""

    url: str
    saver: Callable[[], AbstractContextManager[Saver]]


@pytest.fixture(scope="module")
def filled_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("theirs") / "filled.db"
    with sqlite_saver(path) as saver:
        fill(saver)
    return path


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file with a thread of more checkpoints than four appends take, after three small ones."""
    path = tmp_path_factory.mktemp("theirs") / "long.db"
    with sqlite_saver(path) as saver:
        fill(saver, *SMALL)
        LONG.make(LONG.graph(saver), config_of("long"))
    return path


@pytest.fixture(scope="module")
def filled_server(postgres_server: str) -> Iterator[str]:
    """Give the URL of a database's copies: the name is to be put in."""
    url = "postgresql://postgres@/{}?host=" + postgres_server
    with psycopg.connect(url.format("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE filled")
    with postgres_saver(url.format("filled")) as saver:
        fill(saver)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def theirs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Theirs]:
    """Give a database with every kind of thread; the test may change it."""
    if request.param == "sqlite":
        path = tmp_path / "theirs.db"
        shutil.copy(request.getfixturevalue("filled_file"), path)
        yield Theirs(f"sqlite:///{path}", lambda: sqlite_saver(path))
        return
    url: str = request.getfixturevalue("filled_server")
    with psycopg.connect(url.format("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE copy TEMPLATE filled")
        yield Theirs(url.format("copy"), lambda: postgres_saver(url.format("copy")))
        connection.execute("DROP DATABASE copy WITH (FORCE)")


@pytest.fixture
def file(filled_file: Path, tmp_path: Path) -> Theirs:
    """Give a file with every kind of thread; the test may change it."""
    path = tmp_path / "theirs.db"
    shutil.copy(filled_file, path)
    return Theirs(f"sqlite:///{path}", lambda: sqlite_saver(path))


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ours.db"


def ours(store: str) -> ThreadfoldSaver:
    return ThreadfoldSaver(store, types=TYPES)


# ------------------------------------------------------------------ what is there afterwards


def test_every_thread_is_there_as_their_saver_shows_it(theirs: Theirs, store: str) -> None:
    report = import_into(store, theirs.url)
    assert report.is_complete
    assert report.read == report.in_log
    assert report.read.threads == len(THREADS)
    with theirs.saver() as their_saver, ours(store) as our_saver:
        for thread_id, thread in THREADS.items():
            assert listed(our_saver, thread_id) == listed(their_saver, thread_id), thread_id
            their_graph, our_graph = thread.graph(their_saver), thread.graph(our_saver)
            assert states(our_graph, thread_id) == states(their_graph, thread_id), thread_id


@pytest.mark.parametrize("thread_id", THREADS)
def test_an_imported_thread_goes_on_as_it_would_have(
    theirs: Theirs, store: str, thread_id: str
) -> None:
    thread = THREADS[thread_id]
    assert import_into(store, theirs.url, thread_id).is_complete
    with theirs.saver() as their_saver, ours(store) as our_saver:
        for given in thread.goes_on_with:
            expected = came_to(thread.graph(their_saver), thread_id, given)
            assert came_to(thread.graph(our_saver), thread_id, given) == expected


@pytest.mark.parametrize("thread_id", ["talk", "asks", "nested"])
def test_a_thread_in_an_older_form_goes_on_too(file: Theirs, store: str, thread_id: str) -> None:
    path = file.url.removeprefix("sqlite:///")
    serde = serializer()
    with closing(sqlite3.connect(path)) as connection, connection:
        every = "SELECT rowid, type, checkpoint, metadata FROM checkpoints"
        for row, kind, data, metadata in connection.execute(every).fetchall():
            checkpoint = serde.loads_typed((kind, data))
            del checkpoint["updated_channels"]
            old = serde.dumps_typed({**checkpoint, "v": 3, "pending_sends": []})
            told = {**json.loads(metadata), "writes": {"model": {"log": ["x"]}}, "score": 0.5}
            connection.execute(
                "UPDATE checkpoints SET type = ?, checkpoint = ?, metadata = ? WHERE rowid = ?",
                (*old, json.dumps(told).encode(), row),
            )
    assert import_into(store, file.url, thread_id).is_complete
    with file.saver() as their_saver, ours(store) as our_saver:
        thread = THREADS[thread_id]
        their_graph, our_graph = thread.graph(their_saver), thread.graph(our_saver)
        assert states(our_graph, thread_id) == states(their_graph, thread_id)
        for given in thread.goes_on_with:
            expected = came_to(their_graph, thread_id, given)
            assert came_to(our_graph, thread_id, given) == expected


def test_a_fork_can_be_taken_from_any_imported_checkpoint(theirs: Theirs, store: str) -> None:
    import_into(store, theirs.url, "talk")
    with theirs.saver() as their_saver, ours(store) as our_saver:
        values = []
        for saver in (their_saver, our_saver):
            graph = THREADS["talk"].graph(saver)
            *_, early, _, _, _ = graph.get_state_history(config_of("talk"))
            values.append(graph.invoke(said("instead"), early.config))
        assert values[0] == values[1]


def test_a_thread_of_a_thousand_checkpoints_is_there_in_order(
    long_file: Path, tmp_path: Path, store: str
) -> None:
    path = shutil.copy(long_file, tmp_path / "theirs.db")
    report = import_into(store, str(path), "long")
    assert report.is_complete
    assert report.in_log.checkpoints > 1000
    with sqlite_saver(path) as their_saver, ours(store) as our_saver:
        assert listed(our_saver, "long") == listed(their_saver, "long")
        (given,) = LONG.goes_on_with
        expected = came_to(LONG.graph(their_saver), "long", given)
        assert came_to(LONG.graph(our_saver), "long", given) == expected


def test_writes_have_the_places_and_paths_that_they_had(file: Theirs, store: str) -> None:
    import_into(store, file.url)
    found = {
        (event.task_id, event.task_path, at if write.idx is None else write.idx, write.channel)
        for *_, event in log_of(store)
        if isinstance(event, WritesRecorded)
        for at, write in enumerate(event.writes)
    }
    with closing(sqlite3.connect(file.url.removeprefix("sqlite:///"))) as connection:
        stored = set(connection.execute("SELECT task_id, task_path, idx, channel FROM writes"))
    assert found == stored


# ------------------------------------------------------------------ again and again


def test_a_second_run_changes_nothing(theirs: Theirs, store: str) -> None:
    first = import_into(store, theirs.url)
    log = log_of(store)
    assert import_into(store, theirs.url) == first
    assert log_of(store) == log


def test_only_the_chosen_threads_are_imported(theirs: Theirs, store: str) -> None:
    report = import_into(store, theirs.url, "asks", "talk")
    assert report.is_complete
    assert report.in_log.threads == 2
    assert {thread_id for _, thread_id, _, _ in log_of(store)} == {"asks", "talk"}


def test_what_came_since_is_brought_by_the_next_run(theirs: Theirs, store: str) -> None:
    import_into(store, theirs.url)
    log = log_of(store)
    with theirs.saver() as their_saver:
        for thread_id in ("talk", "asks", "nested"):
            came_to(
                THREADS[thread_id].graph(their_saver), thread_id, THREADS[thread_id].goes_on_with[0]
            )
        fill_again = THREADS["talk"].graph(their_saver)
        THREADS["talk"].make(fill_again, config_of("new one"))
        report = import_into(store, theirs.url)
        assert report.is_complete
        assert log_of(store)[: len(log)] == log
        with ours(store) as our_saver:
            for thread_id in ("talk", "asks", "nested", "new one"):
                assert listed(our_saver, thread_id) == listed(their_saver, thread_id)


def test_a_question_that_was_asked_anew_since_replaces_the_one_before(
    theirs: Theirs, store: str
) -> None:
    import_into(store, theirs.url, "asks")
    with theirs.saver() as their_saver:
        graph = THREADS["asks"].graph(their_saver)
        graph.invoke(Command(resume="yes"), config_of("asks"))
        assert import_into(store, theirs.url, "asks").is_complete
        with ours(store) as our_saver:
            our_graph = THREADS["asks"].graph(our_saver)
            (question,) = our_graph.get_state(config_of("asks")).interrupts
            assert question.value == "yes: really, really?"
            assert states(our_graph, "asks") == states(graph, "asks")


def test_a_thread_that_went_on_here_is_left_alone(theirs: Theirs, store: str) -> None:
    import_into(store, theirs.url, "asks")
    with ours(store) as our_saver:
        THREADS["asks"].graph(our_saver).invoke(Command(resume="yes"), config_of("asks"))
    log = log_of(store)
    assert import_into(store, theirs.url, "asks").is_complete
    assert log_of(store) == log


def test_a_thread_that_went_on_on_both_sides_is_refused(theirs: Theirs, store: str) -> None:
    import_into(store, theirs.url)
    with ours(store) as our_saver:
        THREADS["talk"].graph(our_saver).invoke(said("here"), config_of("talk"))
    with theirs.saver() as their_saver:
        THREADS["talk"].graph(their_saver).invoke(said("there"), config_of("talk"))
    log = log_of(store)
    report = import_into(store, theirs.url)
    assert not report.is_complete
    assert report.failed == 1
    assert "thread talk: it has gone on in the log" in report.reasons[0]
    assert report.read.checkpoints > report.in_log.checkpoints
    assert log_of(store) == log


def test_a_thread_that_was_deleted_here_comes_back_whole(file: Theirs, store: str) -> None:
    import_into(store, file.url, "asks")
    with ours(store) as our_saver:
        our_saver.delete_thread("asks")
    assert import_into(store, file.url, "asks").is_complete
    with file.saver() as their_saver, ours(store) as our_saver:
        assert listed(our_saver, "asks") == listed(their_saver, "asks")


async def test_a_thread_with_a_run_in_flight_here_is_refused(file: Theirs, store: str) -> None:
    engine = Engine(store)

    @engine.graph("agent")
    async def agent(state):
        return {}

    async with engine:
        await engine.create_thread("talk")
        await engine.submit_run("talk", "agent", input={}, after_seconds=3600)
        source = open_source(file.url, TYPES)
        async with ours(store) as our_saver:
            report = await importing.import_threads(
                source, target_of(our_saver), ["talk", "forked"]
            )
        source.close()
    assert (report.failed, report.in_log.threads) == (1, 1)
    assert report.reasons[0].startswith("thread talk: Thread is busy")


async def test_a_thread_of_another_kind_with_that_id_is_left_alone(
    file: Theirs, store: str
) -> None:
    engine = Engine(store)

    @engine.graph("agent")
    async def agent(state):
        return {"color": "red"}

    async with engine:
        await engine.create_thread("talk")
        view = await engine.submit_run("talk", "agent", input={})
        await engine.join_run("talk", view.row.run_id)
        source = open_source(file.url, TYPES)
        async with ours(store) as our_saver:
            report = await importing.import_threads(source, target_of(our_saver), ["talk"])
        source.close()
        state = await engine.queries.get_state("talk")
    assert "the log has a thread of this id that is none of LangGraph's" in report.reasons[0]
    assert state.values == {"color": "red"}


def test_a_replaced_answer_of_which_nobody_knows_which_is_newer_is_refused(
    file: Theirs, store: str
) -> None:
    import_into(store, file.url, "asks")
    log = log_of(store)
    with closing(sqlite3.connect(file.url.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute(
            "UPDATE writes SET type = 'null', value = x'' WHERE thread_id = 'asks' AND idx = -3"
        )
    report = import_into(store, file.url, "asks")
    assert (report.failed, report.read) == (1, report.in_log)
    assert "thread asks, checkpoint 1" in report.reasons[0]
    assert "another value" in report.reasons[0]
    assert not report.is_complete
    assert log_of(store) == log


# ------------------------------------------------------------------ crashes


def logged(folder: Path, source: Path) -> list[tuple[Any, ...]]:
    """Return the log of an import that nothing disturbed."""
    undisturbed = f"sqlite:///{folder}/undisturbed.db"
    assert import_into(undisturbed, str(source)).is_complete
    return log_of(undisturbed)


@pytest.mark.slow
def test_an_import_that_was_killed_leaves_the_same_log_when_it_is_run_again(
    filled_file: Path, tmp_path: Path
) -> None:
    expected = logged(tmp_path, filled_file)
    for batches in (2, 7):
        store = f"sqlite:///{tmp_path}/killed-{batches}.db"
        killed_after(batches, store, str(filled_file))
        assert 0 < len(log_of(store)) < len(expected)
        assert import_into(store, str(filled_file)).is_complete
        assert log_of(store) == expected


@pytest.mark.slow
def test_a_thread_is_taken_up_where_a_killed_import_left_off(
    long_file: Path, tmp_path: Path
) -> None:
    """It has more checkpoints than one append takes; the kill comes from outside, at any moment after one of them."""
    expected = logged(tmp_path, long_file)
    for batches in (1, 4):
        store = f"sqlite:///{tmp_path}/killed-{batches}.db"
        with subprocess.Popen(  # noqa: S603 - our own module
            child(long_file, store, 0), cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(batches):
                assert process.stdout.readline() == "batch\n"
            process.send_signal(signal.SIGKILL)
        assert import_into(store, str(long_file)).is_complete
        assert log_of(store) == expected


# ------------------------------------------------------------------ what cannot be imported


def test_a_class_that_nobody_named_fails_its_thread_and_no_other(
    theirs: Theirs, store: str
) -> None:
    report = import_into(store, theirs.url, types=())
    assert (report.failed, report.is_complete) == (1, False)
    assert "thread edited, checkpoint 1" in report.reasons[0]
    assert "channel value: it holds a tests.support.import_threads:" in report.reasons[0]
    assert report.in_log.checkpoints < report.read.checkpoints
    assert import_into(store, theirs.url).is_complete
    with theirs.saver() as their_saver, ours(store) as our_saver:
        assert listed(our_saver, "edited") == listed(their_saver, "edited")


def test_a_value_that_the_log_does_not_store_is_named_with_its_place(
    file: Theirs, store: str
) -> None:
    """It can be read, and still not be stored: nobody keeps a question to a store in a state."""
    with file.saver() as saver:
        graph = THREADS["talk"].graph(saver)
        graph.update_state(config_of("talk"), {"value": [GetOp(("a",), "b")]}, as_node="answer")
    report = import_into(store, file.url, "talk")
    assert report.failed == 1
    assert "thread talk, checkpoint 1" in report.reasons[0]
    assert "value[0]: it holds a langgraph.store.base:GetOp" in report.reasons[0]


def test_a_thread_that_is_not_there_is_an_error(file: Theirs, store: str) -> None:
    report = import_into(store, file.url, "talk", "nobody's")
    assert (report.failed, report.in_log.threads) == (1, 1)
    assert report.reasons == ["thread nobody's: there is no such thread in the database"]


def test_a_loss_on_the_way_is_seen_at_the_end(
    file: Theirs, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threadfold.infrastructure.langgraph.importing.target import LogTarget

    class Lossy(LogTarget):
        async def write(self, thread_id, records):
            await super().write(thread_id, [replace(record, writes=()) for record in records])

    monkeypatch.setattr("threadfold.infrastructure.langgraph.importing.opening.LogTarget", Lossy)
    report = import_into(store, file.url)
    assert not report.is_complete
    assert report.in_log.checkpoints == report.read.checkpoints
    assert report.in_log.writes == 0
    result = run(file.url, store, *NAMES)
    assert result.exit_code == 1
    assert "do not agree" in result.stderr


class Nowhere:
    """An end of an import where nothing is kept."""

    async def holdings(self, thread_id: str) -> Holdings:
        return {}

    recorded = holdings

    async def differing(self, thread_id: str, records: Sequence[Record]) -> list[Record]:
        return list(records)

    async def write(self, thread_id: str, records: Sequence[Record]) -> None:
        pass


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_memory_is_bounded_by_an_append_not_by_the_thread(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    if kind == "sqlite":
        url, saver = str(tmp_path / "big.db"), sqlite_saver(tmp_path / "big.db")
    else:
        url = request.getfixturevalue("postgres_url")
        saver = postgres_saver(url)
    with saver as opened:
        graph = THREADS["talk"].graph(opened)
        for number in range(30):
            value = [f"{number}" * 500_000]
            graph.update_state(config_of("big"), {"value": value}, as_node="answer")
    source = open_source(url)
    await importing.import_threads(
        source, Nowhere()
    )  # Modules that the first one loads are not what is measured.
    gc.collect()
    gc.freeze()  # What other tests left in memory would keep the collector from its work.
    tracemalloc.start()
    try:
        report = await importing.import_threads(source, Nowhere())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.unfreeze()
        source.close()
    assert report.read.checkpoints == 30
    # A batch in several forms, and what is left of the one before until its thread lets go of it: not the 25 MB of all of them.
    assert most < 12 * importing.BATCH_BYTES_MAX


# ------------------------------------------------------------------ the command


def run(source: str, store: str, *types: str, more: tuple[str, ...] = ()) -> Any:
    """Run the command; environment as a user's without a terminal."""
    named = [option for name in types for option in ("--types", name)]
    return CliRunner().invoke(app, ["import", source, "--store", store, *named, *more])


def test_the_command_says_what_it_read_and_what_is_in_the_log(theirs: Theirs, store: str) -> None:
    result = run(theirs.url, store, *NAMES)
    assert result.exit_code == 0, result.output
    read, in_log = result.stdout.splitlines()
    assert read.startswith("read:       11 threads, ")
    assert in_log.removeprefix("in the log: ") == read.removeprefix("read:       ")
    assert result.stderr == ""


def test_a_dry_run_only_counts(theirs: Theirs, store: str, tmp_path: Path) -> None:
    result = run(theirs.url, store, more=("--dry-run",))
    assert result.exit_code == 0
    assert result.stdout.startswith("to read:    11 threads, ")
    assert not list(tmp_path.glob("ours.db*"))
    result = run(theirs.url, store, more=("--dry-run", "--thread", "talk"))
    assert result.stdout == "to read:    1 threads, 15 checkpoints, 36 writes\n"


def test_what_could_not_be_imported_is_said_and_the_exit_code_is_1(
    file: Theirs, store: str
) -> None:
    result = run(file.url, store, more=("--thread", "edited", "--thread", "talk"))
    assert result.exit_code == 1
    why, end = result.stderr.splitlines()
    assert why.startswith("not imported: thread edited, checkpoint ")
    assert "--types tests.support.import_threads:" in why
    assert end.startswith("threadfold: 1 of 2 threads could not be imported as a whole.")
    assert run(file.url, store, *NAMES, more=("--thread", "edited")).exit_code == 0


@pytest.mark.parametrize(
    ("source", "store", "options", "told"),
    [
        ("none.db", "sqlite:///ours.db", (), "There is no database at none.db"),
        ("x.db", "memory://", (), "gone at once"),
        ("./x.db", "sqlite:///x.db", (), "Name another store"),
        ("sqlite:///x.db", "sqlite:///x.db", (), "Name another store"),
        ("x.db", "sqlite:///ours.db", ("--types", "Plan"), "give a module and a class"),
        ("x.db", "sqlite:///ours.db", ("--types", "no.such:Plan"), "No module named 'no'"),
        ("x.db", "sqlite:///ours.db", ("--types", "json:Plan"), "has no attribute 'Plan'"),
        ("x.db", "sqlite:///ours.db", ("--types", "json:loads"), "that is no class"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    store: str,
    options: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    result = run(source, store, more=options)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert told in line
    assert not list(tmp_path.iterdir())


def test_a_class_is_found_where_the_user_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_own_models.py").write_text("class Outer:\n    class Inner: pass\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    found = load_type("my_own_models:Outer.Inner")
    assert found is sys.modules["my_own_models"].Outer.Inner
    monkeypatch.delitem(sys.modules, "my_own_models")


def test_without_langgraph_it_says_what_to_install(tmp_path: Path) -> None:
    """The command line starts without it, and knows the command."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['langgraph'] = None\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-m", "threadfold.app.cli", "import", "x.db"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    needed = 'To import, LangGraph is needed: pip install "threadfold[langgraph]"'
    assert done.stderr == f"threadfold: {needed}\n"
