"""Live lists: only what changed is written, and nothing that user code changes in place is missed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.graph import add_messages

from tests.support import typed_values as v
from tests.support.searching import same_each_time
from tests.support.typed_values import exactly, taken_apart
from threadfold.domain.changes import Splice
from threadfold.domain.errors import NotJsonError, UnregisteredTypeError
from threadfold.domain.values import same
from threadfold.infrastructure.langgraph import live as live_module, shapes
from threadfold.infrastructure.langgraph.live import LiveList
from threadfold.infrastructure.langgraph.shapes import OPAQUE, Shape, Watch, shape_of
from threadfold.infrastructure.langgraph.types import TypeRegistry
from threadfold.infrastructure.langgraph.values import ValueCodec

if TYPE_CHECKING:
    from threadfold.domain.values import Json

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]


class Counting(ValueCodec):
    """A codec that knows how much work it was given."""

    def __init__(self) -> None:
        super().__init__(TypeRegistry().extended(*v.REGISTERED))
        self.written = 0
        self.read = 0

    def encode(self, value: object, where: str) -> Json:
        self.written += 1
        return super().encode(value, where)

    def decode(self, value: Json) -> object:
        self.read += 1
        return super().decode(value)


CODEC = Counting()

# ------------------------------------------------------------------ a model to compare with

USAGE = {"input_tokens": 1, "output_tokens": 0, "total_tokens": 1}
CALL = {"name": "pay", "args": {"sum": 1, "to": ["x"]}, "id": "c1", "type": "tool_call"}

NEW: list[Callable[[int], Any]] = [
    lambda n: HumanMessage(f"text {n % 3}", id=str(n % 4)),
    lambda n: HumanMessage([{"type": "text", "text": "x"}], id=str(n)),
    lambda n: HumanMessage("x", additional_kwargs={"a": {"b": [1, True, 0.0]}, "n": n}),
    lambda n: HumanMessage("x", additional_kwargs={"at": datetime(2026, 1, 1, tzinfo=UTC)}),
    lambda n: HumanMessage("x", additional_kwargs={"big": 2**70 + n}),
    lambda n: HumanMessage("x", additional_kwargs={1: n}),
    lambda n: HumanMessage("x", own=[n]),
    lambda n: AIMessage("", id=str(n), usage_metadata={**USAGE}, tool_calls=[copy.deepcopy(CALL)]),
    lambda n: AIMessage("y", response_metadata={"p": 1.0, "m": "name", "t": (1, 2)}),
    lambda n: ToolMessage("z", tool_call_id="c1", artifact=v.Order(n, [1])),
    lambda n: ToolMessage("z", tool_call_id="c1", artifact=[1, [True]]),
    lambda n: f"text {n}",
    lambda n: n,
    lambda n: bool(n % 2),
    lambda n: None,
    lambda n: {"role": "user", "content": [n]},
    lambda n: v.Order(n, [{"a": 1}]),
    lambda n: v.Plan(title="t", steps=[n]),
    lambda n: [n, {"b": 1}],
]

TWINS: list[list[Any]] = [[0, 0.0, False, -0.0], [1, 1.0, True], ["x", v.Text("x")]]
LEAVES = [None, "x", "y", 0, 1, 2, True, False, 1.0, -0.0, math.inf, [], {}, [1], {"a": 1}]


def containers_of(value: Any) -> list[Any]:
    """Return everything in a value that can be changed in place."""
    found: list[Any] = []
    if isinstance(value, dict):
        found += [value, *(c for item in value.values() for c in containers_of(item))]
    elif isinstance(value, list):
        found += [value, *(c for item in value for c in containers_of(item))]
    elif hasattr(value, "__dict__"):
        fields = {k: x for k, x in vars(value).items() if k not in {"type", "role"}}
        found += [value, *(c for item in fields.values() for c in containers_of(item))]
    return found


def change_in_place(draw: Draw, value: Any) -> None:
    """Do to some object in a value what user code might do."""
    places = containers_of(value)
    if places:
        place = draw(st.sampled_from(places))
        leaf = copy.deepcopy(draw(st.sampled_from(LEAVES)))
        change = {list: change_list, dict: change_dict}.get(type(place), change_object)
        change(draw, place, leaf)


def change_list(draw: Draw, place: list[Any], leaf: Any) -> None:
    kind = draw(st.sampled_from(["append", "set", "pop", "twin"]))
    if kind == "append" or not place:
        place.append(leaf)
    elif kind == "pop":
        place.pop()
    else:
        place[-1] = leaf if kind == "set" else twin(draw, place[-1])


def change_dict(draw: Draw, place: dict[Any, Any], leaf: Any) -> None:
    name = draw(st.sampled_from([*place, "new"]))
    kind = draw(st.sampled_from(["set", "pop", "rename", "twin"]))
    if kind == "set" or name not in place:
        place[name] = leaf
    elif kind == "twin":
        place[name] = twin(draw, place[name])
    else:
        item = place.pop(name)
        if kind == "rename":
            place["renamed"] = item


def change_object(draw: Draw, place: Any, leaf: Any) -> None:
    fields = {name: item for name, item in vars(place).items() if name != "type"}
    name = draw(st.sampled_from([*fields, "new"]))
    if not isinstance(place, BaseMessage):
        if name in {"steps", "lines"}:
            setattr(place, name, [leaf])
    elif name == "content":
        place.content = draw(st.sampled_from(["other", ["other"]]))
    else:
        kind = draw(st.sampled_from(["set", "twin"]))
        setattr(place, name, leaf if kind == "set" else twin(draw, fields.get(name)))


def twin(draw: Draw, value: Any) -> Any:
    """Return what Python takes for equal, and JSON does not; the value itself if there is no such thing."""
    for twins in TWINS:
        if type(value) in {int, float, bool} and value in twins:
            return draw(st.sampled_from(twins))
    return value


def edited(draw: Draw, old: list[Any], count: int) -> list[Any]:
    """Return a list as a node gives it back, with some of the same objects."""
    new = [*old]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(new)))
        edit = draw(st.sampled_from(EDITS))
        new = edit(new, at, draw(st.sampled_from(NEW))(count))
    for value in new:
        if draw(st.integers(0, 4)) == 0:
            change_in_place(draw, value)
    return new


EDITS: list[Callable[[list[Any], int, Any], list[Any]]] = [
    lambda new, at, element: [*new, element],
    lambda new, at, element: [*new[:at], element, *new[at:]],
    lambda new, at, element: [*new[:at], element, *new[at + 1 :]],
    lambda new, at, element: [*new[:at], *new[at + 1 :]],
    lambda new, at, element: [*new[at:], *new[:at]],
    lambda new, at, element: [*new[at:], element],
    lambda new, at, element: copy.deepcopy(new),
]


def applied(splice: Splice | None, values: list[Json]) -> list[Json]:
    if splice is None:
        return values
    return [*values[: splice.at], *splice.values, *values[splice.at + splice.delete :]]


def is_smallest(splice: Splice, old: list[Json]) -> bool:
    """Say whether neither end of a splice holds what stood there before."""
    given_way = old[splice.at : splice.at + splice.delete]
    shorter = min(len(given_way), len(splice.values))
    return bool(given_way or splice.values) and not (
        shorter and (same(given_way[0], splice.values[0]) or same(given_way[-1], splice.values[-1]))
    )


def lists_agree_with_their_stored_form(draw: Draw) -> None:
    """Whatever happens to the objects, a list's splices and objects are those of its content."""
    live = LiveList([])
    if draw(st.booleans()):
        first = [draw(st.sampled_from(NEW))(n) for n in range(draw(st.integers(0, 4)))]
        live = LiveList([CODEC.encode(element, "c") for element in first])
    older: list[tuple[LiveList, bytes]] = []
    objects: list[Any] = []
    for count in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            objects = live.checked(CODEC)
            fresh = [CODEC.decode(value) for value in live.values]
            assert exactly(objects, fresh), "what is handed out is what is stored"
            if draw(st.integers(0, 3)) == 0:
                objects.append("a list is changed in place too")
        new = edited(draw, objects, count)
        expected = [CODEC.encode(element, "c") for element in new]
        before = orjson.dumps(live.values)
        splice, changed = live.change_to(new, CODEC, "c")
        assert same(changed.values, expected), "what comes back is recorded"
        assert same(applied(splice, live.values), expected)
        assert (splice is None) == same(live.values, expected)
        assert splice is None or is_smallest(splice, live.values)
        older.append((live, before))
        live = changed
        objects = new
        for value in objects:  # User code goes on with them.
            if draw(st.integers(0, 5)) == 0:
                change_in_place(draw, value)
    for old, before in [*older, (live, orjson.dumps(live.values))]:
        assert orjson.dumps(old.values) == before, "an older list stays what it was"
        assert exactly(old.checked(CODEC), [CODEC.decode(value) for value in old.values])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_lists_agree_with_their_stored_form_whatever_user_code_does(data: st.DataObject) -> None:
    lists_agree_with_their_stored_form(data.draw)


# ------------------------------------------------------------------ planted faults

Patch = pytest.MonkeyPatch


def share_nested_containers(patch: Patch) -> None:
    right = shapes._copied
    patch.setattr(shapes, "_copied", lambda value, numbers: (right(value, numbers), value)[1])


def copy_one_level_only(patch: Patch) -> None:
    right = shapes._copied
    patch.setattr(
        shapes, "_copied", lambda value, numbers: (right(value, numbers), copy.copy(value))[1]
    )


def trust_whatever_is_the_same_object(patch: Patch) -> None:
    patch.setattr(Watch, "suspects", lambda self, elements: [])


def trust_objects_that_are_no_messages(patch: Patch) -> None:
    def shape(element: Any) -> Shape:
        found = shape_of(element)
        return (
            Shape(element.__dict__) if found is OPAQUE and hasattr(element, "__dict__") else found
        )

    patch.setattr(live_module, "shape_of", shape)


def take_equal_numbers_for_the_same(patch: Patch) -> None:
    patch.setattr(Watch, "_other_numbers", lambda self, states: ())


def overlook_additional_fields(patch: Patch) -> None:
    right = shapes.shape_of
    patch.setattr(live_module, "shape_of", lambda element: right(element)._replace(extra=None))


def compare_with_what_stood_elsewhere(patch: Patch) -> None:
    right = Watch.spliced

    def spliced(self: Watch, at: int, delete: int, new: list[Shape]) -> Watch:
        return right(self, at, delete, new[::-1])

    patch.setattr(Watch, "spliced", spliced)


def hand_out_what_was_changed(patch: Patch) -> None:
    def checked(self: LiveList, codec: ValueCodec) -> list[Any]:
        if self._objects is None:
            self._objects = [*map(codec.decode, self.values)]
            self._watch = Watch([*map(shape_of, self._objects)])
        return self._objects.copy()

    patch.setattr(LiveList, "checked", checked)


def hand_out_the_own_list(patch: Patch) -> None:
    right = LiveList.checked

    def checked(self: LiveList, codec: ValueCodec) -> list[Any]:
        right(self, codec)
        assert self._objects is not None
        return self._objects

    patch.setattr(LiveList, "checked", checked)


def keep_what_comes_back_otherwise(patch: Patch) -> None:
    right = shapes._copied

    def copied(value: Any, numbers: list[bool]) -> object:
        return tuple(value) if type(value) is tuple else right(value, numbers)

    patch.setattr(shapes, "_copied", copied)


@pytest.mark.parametrize(
    "plant",
    [
        share_nested_containers,
        copy_one_level_only,
        trust_whatever_is_the_same_object,
        trust_objects_that_are_no_messages,
        take_equal_numbers_for_the_same,
        overlook_additional_fields,
        compare_with_what_stood_elsewhere,
        hand_out_what_was_changed,
        hand_out_the_own_list,
        keep_what_comes_back_otherwise,
    ],
)
def test_a_planted_fault_is_caught(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    plant(monkeypatch)

    @same_each_time(3000)
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        lists_agree_with_their_stored_form(data.draw)

    with pytest.raises((AssertionError, LookupError, ValueError)):
        tried()


# ------------------------------------------------------------------ how much work it is


def thread_of(count: int) -> list[Any]:
    return [
        HumanMessage(f"text {n}", id=str(n))
        if n % 2
        else AIMessage(
            f"text {n}", id=str(n), usage_metadata={**USAGE}, response_metadata={"m": "x"}
        )
        for n in range(count)
    ]


def test_a_turn_writes_what_is_new_and_reads_nothing() -> None:
    codec = Counting()
    live = LiveList.of(thread_of(50), codec, "messages")
    assert (codec.written, codec.read) == (50, 0)
    given_out = live.checked(codec)
    new = add_messages(given_out, [HumanMessage("new", id="new"), AIMessage("answer", id="answer")])
    assert isinstance(new, list)
    splice, live = live.change_to(new, codec, "messages")
    assert splice == Splice(50, 0, live.values[50:])
    assert (codec.written, codec.read) == (52, 0)
    assert live.change_to(live.checked(codec), codec, "messages")[0] is None
    assert (codec.written, codec.read) == (52, 0)


def test_a_list_from_the_store_is_read_once_and_only_when_somebody_asks() -> None:
    codec = Counting()
    live = LiveList([*LiveList.of(thread_of(20), CODEC, "c").values])
    assert (len(live), codec.read) == (20, 0)
    first = live.checked(codec)
    assert live.checked(codec) == first
    assert (codec.written, codec.read) == (0, 20)


def test_a_message_that_was_changed_in_place_is_the_only_one_that_is_written_again() -> None:
    codec = Counting()
    live = LiveList.of(thread_of(50), codec, "messages")
    messages = live.checked(codec)
    messages[7].additional_kwargs["seen"] = True
    splice, _ = live.change_to(messages, codec, "messages")
    assert splice == Splice(7, 1, [CODEC.encode(messages[7], "c")])
    assert (codec.written, codec.read) == (51, 0)
    again = live.checked(codec)
    assert again[7] is not messages[7]
    assert "seen" not in again[7].additional_kwargs
    assert [one is other for one, other in zip(again, messages, strict=True)].count(False) == 1
    assert (codec.written, codec.read) == (51, 1)


def test_a_trimmed_list_with_something_new_writes_only_that() -> None:
    codec = Counting()
    live = LiveList.of(thread_of(50), codec, "messages")
    splice, trimmed = live.change_to([*live.checked(codec)[1:], "new"], codec, "messages")
    assert codec.written == 51
    assert trimmed.values == [*live.values[1:], "new"]
    assert splice == Splice(0, 50, trimmed.values)


@pytest.mark.parametrize(
    "change",
    [
        lambda message: setattr(message, "content", "other"),
        lambda message: setattr(message, "own", 1),
        lambda message: message.usage_metadata.update(input_tokens=True),
        lambda message: message.usage_metadata.update(input_tokens=1.0),
        lambda message: message.usage_metadata.pop("input_tokens"),
        lambda message: setattr(message, "usage_metadata", {**USAGE, "output_tokens": False}),
        lambda message: setattr(message, "response_metadata", None),
        lambda message: message.tool_calls.append({"name": "x"}),
        lambda message: message.__dict__.update(id=7),
        lambda message: message.additional_kwargs.update(when=datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_every_change_in_place_is_seen(change: Callable[[Any], object]) -> None:
    live = LiveList.of(thread_of(3), CODEC, "c")
    messages = live.checked(CODEC)
    change(messages[2])
    splice, _ = live.change_to(messages, CODEC, "c")
    assert splice == Splice(2, 1, [CODEC.encode(messages[2], "c")])
    assert exactly(live.checked(CODEC), thread_of(3))


class Unequal:
    """As an array has it: comparing says neither yes nor no."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


def test_what_cannot_be_stored_is_refused_by_its_place_and_made_afresh_when_handed_out() -> None:
    live = LiveList.of(thread_of(3), CODEC, "c")
    messages = live.checked(CODEC)
    messages[1].name = Unequal()
    with pytest.raises(UnregisteredTypeError) as caught:
        live.change_to([*messages, "new"], CODEC, "messages")
    assert caught.value.where == "messages[1].name"
    with pytest.raises(NotJsonError, match=r"messages\[3\]"):
        live.change_to([*live.checked(CODEC), len], CODEC, "messages")
    assert exactly(live.checked(CODEC), thread_of(3))


def test_the_order_of_keys_and_what_is_computed_are_no_change() -> None:
    order, message = v.Order(1), HumanMessage("x", additional_kwargs={"a": "1", "b": "2"})
    live = LiveList.of([order, message], CODEC, "c")
    assert order.shown
    message.additional_kwargs = {"b": "2", "a": "1"}
    assert live.change_to([order, message], CODEC, "c")[0] is None


def test_what_is_handed_out_is_as_if_it_came_from_the_store() -> None:
    broken = HumanMessage("x")
    del broken.__dict__["name"]
    elements = [AIMessage("x", response_metadata={"p": (1, 2)}), v.Point((1,), 2), (1,), broken]
    live = LiveList.of(elements, CODEC, "c")
    expected = [AIMessage("x", response_metadata={"p": [1, 2]}), v.Point([1], 2), [1]]
    assert exactly(live.checked(CODEC), [*expected, HumanMessage("x")])


def test_a_change_between_two_looks_at_an_object_shows_at_the_next_one() -> None:
    class Racing(Counting):
        """While it writes, another thread gives the message its id."""

        def encode(self, value: object, where: str) -> Json:
            written = super().encode(value, where)
            if isinstance(value, HumanMessage):
                value.id = "late"
            return written

    live = LiveList.of([HumanMessage("x")], Racing(), "c")
    assert taken_apart(live.checked(CODEC)) == taken_apart([HumanMessage("x")])
    live = LiveList.of([message := HumanMessage("x")], Racing(), "c")
    splice, _ = live.change_to([message], CODEC, "c")
    assert splice == Splice(0, 1, [CODEC.encode(HumanMessage("x", id="late"), "c")])
