"""Every event comes back from its stored form as it was, and no stored form is a surprise."""

import string
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given, strategies as st
from hypothesis.strategies import SearchStrategy

from tests.support.appends import START, accepted
from threadfold.domain import deltas as forms, events as facts
from threadfold.domain.assistant import (
    ASSISTANT_EVENT_CLASSES,
    AssistantPatched,
    AssistantVersionSet,
    stream_of,
)
from threadfold.domain.deltas import MergeObject
from threadfold.domain.errors import UnreadableEventError
from threadfold.domain.events import RunStarted, StateUpdated, StepRecorded
from threadfold.domain.upcasting import EVENT_CLASSES, Schema
from threadfold.infrastructure.log.codec import (
    CODEC,
    EventCodec,
    from_microseconds,
    to_microseconds,
)

ASSISTANT_ID = "0198c0de-0000-7000-8000-000000000001"

texts = st.text(st.characters(codec="utf-8"), max_size=8)
integers = st.integers(-(2**63), 2**64 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
json_values: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | integers | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(texts, json_values, max_size=3)
counts = st.integers(0, 2**40)
ranges = st.lists(st.tuples(counts, counts), max_size=3).map(tuple)
merges: SearchStrategy[MergeObject] = st.deferred(
    lambda: st.builds(
        MergeObject,
        op=st.just("merge"),
        value=json_objects,
        nested=st.dictionaries(texts, merges, max_size=1),
        remove=st.lists(texts, max_size=2).map(tuple),
    )
)
encoded = st.one_of(
    st.builds(forms.SetValue, op=st.just("set"), value=json_values),
    st.builds(forms.SetItem, op=st.just("item"), item=counts),
    st.builds(forms.SetList, op=st.just("list"), items=ranges),
    st.builds(forms.SetNested, op=st.just("nested"), value=json_values),
)
versions = st.dictionaries(texts, counts | texts, max_size=2)
writes = st.builds(
    facts.PendingWrite, idx=st.none() | st.integers(-4, 4), channel=texts, value=encoded
)
deltas = st.one_of(
    encoded,
    st.builds(forms.SpliceList, op=st.just("splice"), at=counts, delete=counts, items=ranges),
    merges,
    st.builds(forms.DropChannel, op=st.just("drop")),
)
tasks = st.builds(
    facts.Task,
    id=texts,
    name=texts,
    error=st.none() | texts,
    interrupts=st.lists(json_objects, max_size=2).map(tuple),
)
errors = st.builds(facts.RunError, error=texts, message=texts)
calls = st.builds(
    facts.CopiedCall,
    call_id=texts,
    name=texts,
    is_finished=st.booleans(),
    result=st.none() | encoded,
    is_failed=st.booleans(),
    is_cancelled=st.booleans(),
    task=texts,
    run_id=texts,
)
BY_NAME: dict[str, SearchStrategy[Any]] = {
    "calls": st.lists(calls, max_size=2).map(tuple),
    "assistant_metadata": st.none() | json_objects,
    "config": json_objects,
    "context": json_objects,
    "metadata": json_objects,
    "kwargs": json_objects,
    "raw_input": json_values,
    "items": st.lists(json_values, max_size=3).map(tuple),
    "update": st.none() | st.dictionaries(texts, encoded, max_size=2),
    "input": st.none() | st.dictionaries(texts, encoded, max_size=2),
    "channels": st.dictionaries(texts, encoded, max_size=2),
    "deltas": st.dictionaries(texts, deltas, max_size=2),
    "tasks": st.lists(tasks, max_size=2).map(tuple),
    "result": json_values,
    "extra": json_objects,
    "versions": st.none() | versions,
    "version": st.none() | counts | texts,
    "seen": st.dictionaries(texts, versions, max_size=2),
    "updated": st.none() | st.lists(texts, max_size=2).map(tuple),
    "writes": st.lists(writes, max_size=2).map(tuple),
    "ts": counts | texts,
    "ttl": st.none()
    | st.builds(
        facts.TimeToLive, minutes=floats, strategy=st.sampled_from(["delete", "keep_latest"])
    ),
    "after_seconds": floats | st.just(0) | st.just(-0.0),
}
BY_TYPE: dict[Any, SearchStrategy[Any]] = {
    str: texts,
    int: st.integers(-10, 2**50),
    bool: st.booleans(),
    float: floats,
    str | None: st.none() | texts,
    int | None: st.none() | st.integers(-10, 2**50),
    float | None: st.none() | floats,
    tuple[str, ...]: st.lists(texts, max_size=2).map(tuple),
    facts.RunError: errors,
    facts.RunError | None: st.none() | errors,
}


def field_values(kind: type[facts.Event], name: str, annotation: Any) -> SearchStrategy[Any]:
    if kind is facts.CheckpointRecorded and name == "metadata":
        return st.none() | deltas
    if kind is facts.CheckpointRecorded and name == "step":
        return st.none() | counts
    if kind is facts.ToolCallRecorded and name == "result":
        return st.none() | encoded
    if kind is AssistantPatched and name in {"config", "context", "metadata"}:
        return st.none() | json_objects
    if kind is AssistantVersionSet:
        return counts
    if name in BY_NAME:
        return BY_NAME[name]
    if annotation in BY_TYPE:
        return BY_TYPE[annotation]
    return st.sampled_from(get_args(annotation))


def events_of(kind: type[facts.Event]) -> SearchStrategy[facts.Event]:
    """Draw events of a class: each field that may be left out sometimes is."""
    fields = {
        name: field_values(kind, name, field.annotation)
        for name, field in kind.model_fields.items()
        if name != "type"
    }
    required = {name for name, field in kind.model_fields.items() if field.is_required()}
    return st.fixed_dictionaries(
        {name: values for name, values in fields.items() if name in required},
        optional={name: values for name, values in fields.items() if name not in required},
    ).map(lambda values: kind(**values))


moments = st.integers(0, 2**53).map(
    lambda microseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)


def stored(event: facts.Event, recorded_at: datetime = START, actor: str | None = None):
    name = "t"
    if type(event) in ASSISTANT_EVENT_CLASSES.values():
        name = stream_of(ASSISTANT_ID)
    return (9, name, 5, CODEC.topic(event), CODEC.encode(event, recorded_at, actor))


@pytest.mark.parametrize("kind", EVENT_CLASSES.values(), ids=EVENT_CLASSES.keys())
@given(st.data())
def test_every_event_comes_back_as_it_was(kind: type[facts.Event], data: st.DataObject) -> None:
    event = data.draw(events_of(kind))
    recorded_at = data.draw(moments)
    actor = data.draw(st.none() | texts)
    recorded = CODEC.decode(stored(event, recorded_at, actor))
    assert recorded.event == event
    assert type(recorded.event) is kind
    assert (recorded.recorded_at, recorded.actor) == (recorded_at, actor)
    if kind in ASSISTANT_EVENT_CLASSES.values():
        assert (recorded.assistant_id, recorded.head, recorded.position) == (ASSISTANT_ID, 5, 9)
    else:
        assert (recorded.thread_id, recorded.version, recorded.position) == ("t", 5, 9)
    # Comparison takes 1 for True and 1.0; the bytes do not.
    assert stored(recorded.event, recorded_at, actor) == stored(event, recorded_at, actor)
    assert CODEC.from_stored_event(CODEC.to_stored_event(recorded), 9) == recorded


@given(moments)
def test_moments_come_back_to_the_microsecond(moment: datetime) -> None:
    assert from_microseconds(to_microseconds(moment)) == moment


def test_defaults_and_the_type_are_not_stored() -> None:
    _, _, _, topic, state = stored(RunStarted(run_id="r", attempt=1))
    assert topic == "RunStarted.1"
    assert orjson.loads(state) == {"at": to_microseconds(START), "run_id": "r"}


def test_the_tag_that_tells_deltas_apart_is_stored() -> None:
    event = StateUpdated(checkpoint_id="c", deltas={"x": forms.DropChannel(op="drop")})
    assert b'{"x":{"op":"drop"}}' in stored(event)[4]


def test_objects_as_deep_as_values_may_be_are_stored() -> None:
    delta = MergeObject(op="merge", value={"leaf": 1})
    for _ in range(199):
        delta = MergeObject(op="merge", nested={"k": delta})
    event = StateUpdated(checkpoint_id="c", deltas={"x": delta})
    assert CODEC.decode(stored(event)).event == event


def test_unknown_fields_are_ignored_when_read() -> None:
    state = b'{"at":1,"later":0,"run_id":"r","attempt":2,"mood":"fine"}'
    assert CODEC.decode((1, "t", 1, "RunStarted.1", state)).event == RunStarted(
        run_id="r", attempt=2
    )


@pytest.mark.parametrize(
    "topic", ["RunStarted.2", "RunStarted.0", "RunTeleported.1", "RunStarted", "", "RunStarted.x"]
)
def test_what_is_not_known_is_not_guessed(topic: str) -> None:
    with pytest.raises(UnreadableEventError):
        CODEC.decode((1, "t", 1, topic, b'{"at":1,"run_id":"r","attempt":2}'))


def test_what_is_not_json_is_not_written() -> None:
    with pytest.raises(TypeError):
        CODEC.encode(accepted("r", kwargs={"x": object()}), START)


def test_old_schema_versions_are_brought_up_step_by_step() -> None:
    def count_from_one(fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "attempt": fields.pop("attempt") + 1}

    def rename(fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "holder": fields.pop("worker")}

    codec = EventCodec(
        Schema(
            versions={"RunStarted": 3},
            upcasters={("RunStarted", 1): count_from_one, ("RunStarted", 2): rename},
        )
    )
    state = b'{"at":1,"run_id":"r","attempt":0,"worker":"w"}'
    expected = RunStarted(run_id="r", attempt=1, holder="w")
    assert codec.decode((1, "t", 1, "RunStarted.1", state)).event == expected
    assert codec.topic(expected) == "RunStarted.3"
    assert codec.topics_of("RunStarted", "RunEnded") == {
        "RunStarted.1",
        "RunStarted.2",
        "RunStarted.3",
        "RunEnded.1",
    }


def test_a_mapping_of_another_kind_is_stored_as_an_object() -> None:
    from types import MappingProxyType

    event = StepRecorded(
        run_id="r",
        attempt=1,
        checkpoint_id="c",
        deltas=MappingProxyType({"x": forms.SetItem(op="item", item=1)}),
    )
    assert b'"deltas":{"x":{"op":"item","item":1}}' in stored(event)[4]


def test_texts_of_all_planes_are_stored_as_they_are() -> None:
    text = string.printable + "é☃\U0001f600"
    assert CODEC.decode(stored(accepted(text))).event == accepted(text)
