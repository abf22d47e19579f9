"""What is read from LangGraph's checkpoint databases is what its own savers read, or an error that says where it is."""

from __future__ import annotations

import enum
import json
import re
import sqlite3
import sys
import warnings
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import ormsgpack
import psycopg
import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.checkpoint.postgres import PostgresSaver, ShallowPostgresSaver
from langgraph.checkpoint.serde._msgpack import SAFE_MSGPACK_TYPES
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.store.base import Item
from langgraph.types import Command, Interrupt, Overwrite, Send, TimeoutPolicy
from psycopg.types.json import Jsonb
from pydantic import BaseModel

from tests.support.import_threads import (
    THREADS,
    TYPES,
    config_of,
    fill,
    postgres_saver,
    sqlite_saver,
)
from threadfold.domain.importing import Counts, NotImportableError, SourceError
from threadfold.infrastructure.langgraph.importing.decoding import Decoder, UndecodableError
from threadfold.infrastructure.langgraph.importing.opening import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadfold.domain.importing import ImportSource, Record

pytest_plugins = ["tests.support.postgres"]


# ------------------------------------------------------------------ values


class Color(enum.IntEnum):
    RED = 1


@dataclass(frozen=True)
class Point:
    x: int
    tags: tuple[str, ...] = ()


@dataclass
class Measured:
    given: str
    made: int = field(init=False, default=7)


class Pair(NamedTuple):
    one: int
    other: object


class Model(BaseModel):
    title: str
    inner: dict[str, Any] = {}


class Outer:
    class Inner(BaseModel):
        x: int


MINE = (Color, Point, Measured, Pair, Model, Outer.Inner)

VALUES: list[Any] = [
    *(None, True, 0, -1, 2**63, 1.5, float("inf"), "text", "☃\U0001f600", "", b"", b"\x00\xff"),
    *(bytearray(b"ab"), [], {}, [1, ["two", {"three": None}]], {1: "one", "two": 2}),
    *({1, 2}, frozenset({"a"}), deque([1, 2])),
    *(datetime(2026, 1, 2, 3, 4, 5, 6), datetime(2026, 1, 2, tzinfo=UTC)),  # noqa: DTZ001
    *(datetime(2026, 1, 2, tzinfo=ZoneInfo("Europe/Paris")), timezone(timedelta(hours=2))),
    *(date(2026, 1, 2), time(3, 4, 5, 6, tzinfo=UTC), timedelta(days=-1, microseconds=3)),
    *(UUID(int=5), Decimal("1.10"), Path("/a/b"), ZoneInfo("Asia/Tokyo")),
    *(ip_address("::1"), ip_address("10.0.0.1"), ip_network("10.0.0.0/8"), ip_interface("::1/64")),
    re.compile("a.b", re.IGNORECASE),
    *(HumanMessage("hi", id="1"), RemoveMessage(id="1"), Document("text", metadata={"a": [1]})),
    AIMessage("", id="2", tool_calls=[{"name": "t", "args": {"a": [1]}, "id": "c"}]),
    ToolMessage("x", tool_call_id="c", artifact={"deep": {1, 2}}, id="3"),
    *(Send("node", {"a": HumanMessage("hi", id="1")}), Interrupt({"q": 1}, id="i"), Overwrite([1])),
    Send("node", 1, timeout=TimeoutPolicy(run_timeout=5)),
    Command(update={"a": 1}, goto=[Send("b", 2)]),
    _DeltaSnapshot([HumanMessage("hi", id="1")]),
    *(Color.RED, Point(1, ("a",)), Pair(1, Point(2)), Model(title="t", inner={"a": 1})),
    [Point(1), {"deep": [Model(title="t")]}],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_read_back_as_langgraph_reads_it(value: object) -> None:
    theirs = JsonPlusSerializer(allowed_msgpack_modules=MINE)
    stored = theirs.dumps_typed(value)
    expected = theirs.loads_typed(stored)
    found = Decoder(MINE).value(*stored)
    assert found == expected
    assert type(found) is type(expected)


def test_what_langgraph_itself_loses_is_read_back_as_it_was() -> None:
    """They read a dataclass with a field that is no parameter as a dict, and a class in a class too."""
    theirs = JsonPlusSerializer()
    for value in (Measured("g"), Outer.Inner(x=1)):
        found = Decoder(MINE).value(*theirs.dumps_typed(value))
        assert found == value
        assert type(found) is type(value)


def test_an_item_of_a_store_is_read_back() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    item = Item(value={"a": 1}, key="k", namespace=("n",), created_at=now, updated_at=now)
    assert Decoder().value(*JsonPlusSerializer().dumps_typed(item)) == item


def test_all_that_langgraph_takes_for_harmless_needs_no_naming() -> None:
    known = set(Decoder()._builders)
    assert known >= SAFE_MSGPACK_TYPES


@pytest.mark.parametrize("value", [Point(1), [{"deep": [Model(title="t")]}], Send("n", Point(1))])
def test_a_class_that_nobody_named_is_an_error_that_names_it(value: object) -> None:
    stored = JsonPlusSerializer().dumps_typed(value)
    with pytest.raises(UndecodableError, match=f"--types {__name__}:(Point|Model)"):
        Decoder().value(*stored)


def test_no_module_is_imported_because_a_database_names_it() -> None:
    call = ormsgpack.Ext(0, ormsgpack.packb(("os", "system", "echo no")))
    with pytest.raises(UndecodableError, match="os:system"):
        Decoder().value("msgpack", ormsgpack.packb(call))
    method = ormsgpack.packb(("datetime", "datetime", 0, "fromtimestamp"))
    with pytest.raises(UndecodableError, match="fromtimestamp"):
        Decoder().value("msgpack", ormsgpack.packb(ormsgpack.Ext(3, method)))


def test_a_class_that_does_not_take_its_own_values_any_more_is_an_error() -> None:
    stored = ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb((__name__, "Color", 99))))
    with pytest.raises(UndecodableError, match="Color does not take what is stored of it"):
        Decoder(MINE).value("msgpack", stored)


def test_a_model_that_got_stricter_is_read_back_all_the_same() -> None:
    """As LangGraph's savers do: validation is for what comes in, and this came in long ago."""
    stored = ormsgpack.packb(ormsgpack.Ext(5, ormsgpack.packb((__name__, "Model", {"title": 5}))))
    found = Decoder(MINE).value("msgpack", stored)
    assert isinstance(found, Model)
    assert found.title == 5


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        ("msgpack+aes", b"x", "encrypted"),
        ("pickle", b"x", "pickled"),
        ("msgpack", b"\xc1", "cannot be read back"),
        ("json", b"{", "no JSON"),
        ("nonsense", b"", "nonsense"),
        (None, None, "cannot be read back"),
        ("msgpack", ormsgpack.packb(ormsgpack.Ext(99, ormsgpack.packb(1))), "kind 99"),
    ],
)
def test_what_cannot_be_decoded_says_why(kind: str, data: bytes, told: str) -> None:
    with pytest.raises(UndecodableError, match=told):
        Decoder().value(kind, data)


def test_an_array_needs_the_library_that_it_is_one_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    array = ormsgpack.packb(("<i8", (2,), "C", bytes(16)))
    with pytest.raises(UndecodableError, match="numpy is not installed"):
        Decoder().value("msgpack", ormsgpack.packb(ormsgpack.Ext(6, array)))


def test_the_same_object_is_made_once_as_long_as_it_is_remembered() -> None:
    decoder = Decoder()
    stored = JsonPlusSerializer().dumps_typed([HumanMessage("a", id="1")])
    (one,), (other,) = decoder.value(*stored), decoder.value(*stored)
    assert one is other


def test_json_of_before_msgpack_is_read() -> None:
    message = HumanMessage("hi", id="1")
    told = {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "HumanMessage"],
    }
    stored = json.dumps({"messages": [{**told, "kwargs": {"content": "hi", "id": "1"}}], "n": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # langchain-core calls the way back from its own form beta.
        assert Decoder().value("json", stored.encode()) == {"messages": [message], "n": 1}
    own = {
        "lc": 2,
        "type": "constructor",
        "id": [*__name__.split("."), "Point"],
        "kwargs": {"x": 1},
    }
    assert Decoder(MINE).value("json", json.dumps(own).encode()) == Point(1)
    with pytest.raises(UndecodableError, match=f"--types {__name__}:Point"):
        Decoder().value("json", json.dumps([own]).encode())


# ------------------------------------------------------------------ databases


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    path = tmp_path / "theirs.db"
    with sqlite_saver(path) as saver:
        fill(saver, "talk", "asks", "forked", "nested", "deltas", "edited")
    return path


@pytest.fixture
def open_database() -> Iterator[Any]:
    """Give what opens a source; all are closed at the end."""
    opened: list[ImportSource] = []

    def give(url: object, types: tuple[type, ...] = TYPES) -> ImportSource:
        opened.append(open_source(str(url), types))
        return opened[-1]

    yield give
    for each in opened:
        each.close()


def records_of(source: ImportSource, thread_id: str, at_once: int = 5) -> list[Record]:
    """Read a thread, some records at a time."""
    keys = list(source.holdings(thread_id))
    return [
        record
        for at in range(0, len(keys), at_once)
        for record in source.read(thread_id, dict.fromkeys(keys[at : at + at_once], True))
    ]


def assert_same(source: ImportSource, saver: Any) -> None:
    """See that a source holds what a saver of LangGraph's shows."""
    counted = Counts()
    for thread_id in source.thread_ids():
        held = source.holdings(thread_id)
        counted.add(held)
        shown = {
            (
                one.config["configurable"]["checkpoint_ns"],
                one.config["configurable"]["checkpoint_id"],
            ): one
            for one in saver.list({"configurable": {"thread_id": thread_id}})
        }
        records = records_of(source, thread_id)
        assert [record.key for record in records] == list(held)
        assert {record.key for record in records if record.checkpoint is not None} == shown.keys()
        for record in records:
            one = shown[record.key]
            assert record.checkpoint == one.checkpoint
            assert record.metadata == one.metadata
            parent = one.parent_config and one.parent_config["configurable"]["checkpoint_id"]
            assert record.parent_id == parent
            writes = [
                (task.task_id, channel, value)
                for task in record.writes
                for _, channel, value in task.writes
            ]
            assert writes == one.pending_writes
    assert counted == source.counts()
    assert counted.checkpoints > 0


def test_a_sqlite_database_is_read_as_its_own_saver_reads_it(
    tmp_path: Path, open_database: Any
) -> None:
    with sqlite_saver(tmp_path / "theirs.db") as saver:
        fill(saver)
        source = open_database(tmp_path / "theirs.db")
        assert set(source.thread_ids()) == THREADS.keys()
        assert_same(source, saver)


def test_a_postgresql_database_is_read_as_its_own_saver_reads_it(
    postgres_url: str, open_database: Any
) -> None:
    with postgres_saver(postgres_url) as saver:
        fill(saver)
        source = open_database(postgres_url)
        assert set(source.thread_ids()) == THREADS.keys()
        assert_same(source, saver)


def test_writes_come_with_their_places_and_paths(sqlite_file: Path, open_database: Any) -> None:
    source = open_database(sqlite_file)
    found = {
        (*record.key, task.task_id, task.task_path, idx, channel)
        for thread_id in source.thread_ids()
        for record in records_of(source, thread_id)
        for task in record.writes
        for idx, channel, _ in task.writes
    }
    with closing(sqlite3.connect(sqlite_file)) as connection:
        stored = set(
            connection.execute(
                "SELECT checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel FROM writes"
            )
        )
    assert found == stored
    assert {row[4] for row in stored} >= {0, 1, -3, -4}
    assert any(row[3].startswith("~__pregel_pull") for row in stored)


def test_only_what_is_asked_for_is_read(sqlite_file: Path, open_database: Any) -> None:
    source = open_database(sqlite_file)
    key, *_ = source.holdings("talk")
    (record,) = source.read("talk", {key: False})
    assert record.checkpoint is None
    assert record.writes
    assert source.counts(["talk", "nobody's"]).threads == 1
    assert source.holdings("nobody's") == {}


def test_the_file_is_not_changed(sqlite_file: Path, open_database: Any) -> None:
    before = sqlite_file.read_bytes()
    assert len(list(open_database(sqlite_file).thread_ids())) == 6
    assert sqlite_file.read_bytes() == before
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        open_database(sqlite_file)._connection.execute("DELETE FROM writes")


def test_what_is_written_meanwhile_is_not_seen(sqlite_file: Path, open_database: Any) -> None:
    source = open_database(sqlite_file)
    before = source.counts()
    with sqlite_saver(sqlite_file) as saver:
        THREADS["talk"].make(THREADS["talk"].graph(saver), config_of("another"))
    assert source.counts() == before
    assert open_database(sqlite_file).counts().threads == before.threads + 1


def test_a_database_of_before_paths_is_read(sqlite_file: Path, open_database: Any) -> None:
    with closing(sqlite3.connect(sqlite_file)) as connection:
        connection.execute("ALTER TABLE writes DROP COLUMN task_path")
    source = open_database(sqlite_file)
    (paths,) = {
        task.task_path
        for thread_id in source.thread_ids()
        for record in records_of(source, thread_id)
        for task in record.writes
    }
    assert paths == ""


def test_a_postgresql_database_of_before_paths_is_read(
    postgres_url: str, open_database: Any
) -> None:
    with postgres_saver(postgres_url) as saver:
        fill(saver, "talk")
    with psycopg.connect(postgres_url) as connection:
        connection.execute("ALTER TABLE checkpoint_writes DROP COLUMN task_path")
    assert len(records_of(open_database(postgres_url), "talk")) == 15


def test_sends_of_before_are_in_the_step_that_they_start(
    postgres_url: str, open_database: Any
) -> None:
    """In checkpoints of a format before 4 they stood on the parent only; PostgresSaver still reads those so."""
    with postgres_saver(postgres_url) as saver:
        fill(saver, "Fächer/☃")
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(
                "UPDATE checkpoints SET checkpoint = checkpoint || %s"
                " #- '{channel_versions,__pregel_tasks}'",
                [Jsonb({"v": 3})],
            )
        source = open_database(postgres_url)
        assert_same(source, saver)
        values = [record.checkpoint["channel_values"] for record in records_of(source, "Fächer/☃")]
        assert [len(value.get("__pregel_tasks", [])) for value in values] == [0, 0, 3]


def test_writes_without_their_checkpoint_are_there_too(
    sqlite_file: Path, open_database: Any
) -> None:
    """A graph was stopped between the two; if it goes on, the checkpoint comes."""
    with sqlite_saver(sqlite_file) as saver:
        config = {"configurable": {"thread_id": "stub", "checkpoint_ns": "", "checkpoint_id": "1"}}
        saver.put_writes(config, [("a", 1), ("__error__", "e")], "task", "path")
    source = open_database(sqlite_file)
    ((key, held),) = source.holdings("stub").items()
    assert (key, held.has_checkpoint) == (("", "1"), False)
    assert held.slots == {("task", 0), ("task", -1)}
    (record,) = records_of(source, "stub")
    assert record.checkpoint is None
    assert record.writes[0].writes == ((-1, "__error__", "e"), (0, "a", 1))


def test_a_value_that_cannot_be_read_is_named_with_its_place(
    sqlite_file: Path, postgres_url: str, open_database: Any
) -> None:
    with postgres_saver(postgres_url) as saver:
        fill(saver, "edited")
    for url in (sqlite_file, postgres_url):
        source = open_database(url, ())
        (head,) = list(source.holdings("edited"))[-2:-1]
        with pytest.raises(NotImportableError) as caught:
            source.read("edited", {head: True})
        assert f"thread edited, checkpoint {head[1]}: channel value: it holds a " in str(
            caught.value
        )
        assert "--types tests.support.import_threads:" in str(caught.value)


def test_a_damaged_checkpoint_is_an_error_with_its_place(
    sqlite_file: Path, open_database: Any
) -> None:
    no_values = ormsgpack.packb(
        {"channel_values": ormsgpack.Ext(2, ormsgpack.packb(("a", "B", {})))}
    )
    for stored, told in (
        (b"\x81\xa1", "cannot be read back"),
        (ormsgpack.packb([]), "no checkpoint"),
        (ormsgpack.packb([ormsgpack.Ext(99, ormsgpack.packb(1))]), "kind 99"),
        (no_values, "it holds a a:B"),
    ):
        with closing(sqlite3.connect(sqlite_file)) as connection, connection:
            connection.execute("UPDATE checkpoints SET checkpoint = ?", [stored])
        with pytest.raises(NotImportableError, match=f"thread talk, checkpoint .*{told}"):
            records_of(open_database(sqlite_file), "talk")


def test_metadata_that_is_none_is_an_error_with_its_place(
    sqlite_file: Path, open_database: Any
) -> None:
    for stored, told in ((b"[", "no JSON"), (b"[]", "no object")):
        with closing(sqlite3.connect(sqlite_file)) as connection, connection:
            connection.execute("UPDATE checkpoints SET metadata = ?", [stored])
        with pytest.raises(NotImportableError, match=f"thread talk, checkpoint .*{told}"):
            records_of(open_database(sqlite_file), "talk")


# ------------------------------------------------------------------ what is no such database


def test_what_is_not_there_or_no_database_is_a_clear_error(
    tmp_path: Path, open_database: Any
) -> None:
    (tmp_path / "text.db").write_text("not a database at all, but long enough to look like one" * 9)
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE checkpoints (name TEXT)")
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.execute("CREATE TABLE checkpoints (thread_id TEXT, thread_ts TEXT)")
    for name, told in (
        ("none.db", "There is no database at"),
        ("text.db", "file is not a database"),
        ("other.db", "holds no checkpoints of LangGraph"),
        ("old.db", "before 0.2"),
        (".", "There is no database at"),
    ):
        with pytest.raises(SourceError, match=told):
            open_database(tmp_path / name)
    with pytest.raises(SourceError, match="names no database"):
        open_database("redis://here")
    assert not (tmp_path / "none.db").exists()


def test_a_server_that_does_not_answer_is_a_clear_error(tmp_path: Path, open_database: Any) -> None:
    with pytest.raises(SourceError, match="cannot be reached"):
        open_database(f"postgresql:///nothing?host={tmp_path}")


def test_without_a_driver_for_postgresql_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, open_database: Any
) -> None:
    package = "threadfold.infrastructure.langgraph.importing"
    monkeypatch.delitem(sys.modules, f"{package}.postgres_source", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SourceError, match=r'pip install "psycopg\[binary\]"'):
        open_database("postgresql://here")


def test_an_empty_postgresql_database_is_a_clear_error(
    postgres_url: str, open_database: Any
) -> None:
    with pytest.raises(SourceError, match="holds no checkpoints of LangGraph"):
        open_database(postgres_url)


@pytest.mark.filterwarnings("ignore:ShallowPostgresSaver is deprecated")
def test_a_shallow_saver_is_refused_by_name(postgres_url: str, open_database: Any) -> None:
    with ShallowPostgresSaver.from_conn_string(postgres_url) as saver:
        saver.setup()
    with pytest.raises(SourceError, match="ShallowPostgresSaver, which keeps no history"):
        open_database(postgres_url)


def test_a_postgresql_database_without_threads_is_empty(
    postgres_url: str, open_database: Any
) -> None:
    with PostgresSaver.from_conn_string(postgres_url) as saver:
        saver.setup()
    source = open_database(f"{postgres_url}")
    assert source.counts() == Counts()
    assert list(source.thread_ids()) == []
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        source._connection.execute("DELETE FROM checkpoints")
