"""What checkpointers save is encoded without loss, refers to what the thread has, and takes no more room as the thread grows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.support.saved_values import (
    ALONE,
    ELEMENTS,
    KNOWN,
    LONG,
    LONGER,
    MARK,
    MARKED,
    message,
)
from tests.support.strategies import scalars
from tests.support.visible import text
from threadfold.domain import saved_encoding
from threadfold.domain.changes import ChannelChange, Replace, Splice
from threadfold.domain.channels import (
    Nested,
    apply,
    decode,
    encoded_channel,
    numbers_of,
    read_channel,
    read_values,
)
from threadfold.domain.deltas import (
    DropChannel,
    Encoded,
    MergeObject,
    SetItem,
    SetList,
    SetNested,
    SetValue,
    SpliceList,
)
from threadfold.domain.saved import NOTHING_SAVED, Saved
from threadfold.domain.saved_encoding import SharingEncoder
from threadfold.domain.shared_list import SharedList


def typed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values as graphs have them: with messages and sends at any depth, and with keys that look like references."""
    keys = st.sampled_from(["a", "b", "messages", "content", "id", "$items", "$item"])
    return st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(keys, inner, max_size=3),
        st.builds(lambda arg: {"$": ["send", "node", arg]}, inner),
        st.builds(lambda held: {"$": ["set", held]}, st.lists(inner, max_size=2)),
    )


leaves = st.one_of(scalars, st.sampled_from([*KNOWN, *MARKED, *ELEMENTS, LONG, LONGER]))
values = st.recursive(leaves, typed, max_leaves=8)
channels_of_values = st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3)


class Thread:
    """Items and channels that grow, one event after the other."""

    def __init__(self) -> None:
        self.items: SharedList[Any] = SharedList()
        self.saved = NOTHING_SAVED
        self.channels: dict[str, Any] = {}

    def encoder(self) -> SharingEncoder:
        return SharingEncoder(self.items, self.saved)

    def add(self, encoder: SharingEncoder) -> None:
        """Take in what an event brought."""
        self.items = self.items.extended(encoder.added)
        self.saved = self.saved.with_items((encoder.first_item, len(self.items)))

    def hold(self, new: dict[str, Any]) -> dict[str, Any]:
        """Let the channels hold these values; return the deltas."""
        encoder = self.encoder()
        deltas = encoder.deltas(self.channels, _replaced(new), ())
        self.channels = dict(apply(self.channels, deltas))
        self.add(encoder)
        return deltas

    def values(self) -> dict[str, str]:
        read = read_values(self.channels, self.items)
        return {name: text(value) for name, value in read.items()}


def _replaced(new: dict[str, Any]) -> dict[str, ChannelChange]:
    return {name: Replace(value) for name, value in new.items()}


def _fresh(value: Any) -> Any:
    return json.loads(json.dumps(value))


# ------------------------------------------------------------------ nothing is lost


@given(st.lists(channels_of_values, min_size=1, max_size=4))
def test_channels_hold_what_they_were_given(states: list[dict[str, Any]]) -> None:
    """I1: also where a value looks like a reference, and one object stands in many places."""
    thread = Thread()
    for state in [*states, *map(_fresh, states)]:
        before = thread.channels
        told = thread.values()
        thread.hold(state)
        assert thread.values() == {name: text(value) for name, value in state.items()}
        old = read_values(before, thread.items)
        assert {name: text(value) for name, value in old.items()} == told
        again = thread.encoder()
        assert again.deltas(thread.channels, _replaced(_fresh(state)), ()) == {}
        assert again.added == []


@given(values, values)
def test_a_value_reads_back_from_its_stored_form(first: Any, second: Any) -> None:
    """I13: as an encoded value, and as the channel that it becomes."""
    thread = Thread()
    for value in (first, second, _fresh(first)):
        encoder = thread.encoder()
        encoded: Encoded = encoder.value(value)
        thread.add(encoder)
        channel = decode(encoded)
        assert text(read_channel(channel, thread.items)) == text(value)
        assert decode(encoded_channel(channel)) == channel
        assert set(numbers_of(channel)) <= set(range(len(thread.items)))


@given(values, st.integers(0, 4), st.integers(0, 2), st.lists(leaves, max_size=2))
def test_a_splice_is_told_as_it_is(old: Any, at: int, delete: int, new: list[Any]) -> None:
    """Of a list it changes a part; what was no list becomes one of the new elements."""
    thread = Thread()
    thread.hold({"a": old})
    encoder = thread.encoder()
    deltas = encoder.deltas(thread.channels, {"a": Splice(at, delete, new)}, ())
    thread.add(encoder)
    after = apply(thread.channels, deltas)
    expected = [*old] if isinstance(old, list) else []
    expected[at : at + delete] = new
    assert text(read_channel(after["a"], thread.items)) == text(expected)


# ------------------------------------------------------------------ forms


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, SetValue),
        ("short", SetValue),
        (LONG, SetItem),
        ({"a": [1, {"b": None}]}, SetValue),
        ({}, SetValue),
        ([], SetList),
        ([1, "x", LONG], SetList),
        (KNOWN[0], SetItem),
        ([KNOWN[0], KNOWN[1]], SetList),
        ({"messages": [KNOWN[0]]}, SetNested),
        ({"a": {"b": LONG}}, SetNested),
        ([{"messages": [KNOWN[0]]}], SetNested),
        ([{"content": "x"}, {"content": "y"}], SetList),
        ({"more": [{"content": "x"}, {"content": "y"}]}, SetNested),
        ({"$": ["send", "node", {"messages": [KNOWN[0]]}]}, SetNested),
        ({"$item": 0}, SetNested),
        ({"a": {"$items": []}, "b": KNOWN[0]}, SetNested),
        ([[ALONE, KNOWN[0]], 1], SetNested),
        ([ALONE, 1], SetList),
        (KNOWN[7], SetItem),
    ],
    ids=str,
)
def test_each_kind_of_value_has_its_form(value: Any, kind: type) -> None:
    encoder = SharingEncoder(SharedList(), NOTHING_SAVED)
    assert type(encoder.value(value)) is kind


def test_references_stand_in_place_of_what_they_refer_to() -> None:
    encoder = SharingEncoder(SharedList(), NOTHING_SAVED)
    value = {"messages": [KNOWN[0], KNOWN[2]], "docs": [LONG, "short"], "one": KNOWN[0], "n": 1}
    encoded = encoder.value(value)
    assert encoded == SetNested(
        op="nested",
        value={
            "messages": {"$items": [[0, 2]]},
            "docs": [{"$item": 2}, "short"],
            "one": {"$item": 0},
            "n": 1,
        },
    )
    assert encoder.added == [KNOWN[0], KNOWN[2], LONG]
    assert isinstance(encoded, SetNested)
    assert list(numbers_of(Nested(encoded.value))) == [0, 1, 2, 0]


def test_a_value_with_keys_of_references_is_never_taken_for_one() -> None:
    items: SharedList[Any] = SharedList(["secret", "other"])
    for value in MARKED:
        encoder = SharingEncoder(items, Saved(owned=((0, 2),)))
        channel = decode(encoder.value(value))
        after = items.extended(encoder.added)
        assert text(read_channel(channel, after)) == text(value)
    assert read_channel({"$item": 0}, items) == {"$item": 0}
    assert list(numbers_of({"$items": [[0, 2]]})) == []


def test_deltas_tell_what_changed_and_no_more() -> None:
    thread = Thread()
    said = [message(f"m{n}", f"number {n}") for n in range(20)]
    thread.hold({"messages": said, "plain": {"a": 1, "b": 2}, "gone": 1, "state": {"m": said[:2]}})
    deltas = thread.hold(
        {
            "messages": [*said, message("new", "news")],
            "plain": {"a": 1, "b": 3},
            "state": {"m": said[:2]},
        }
    )
    assert deltas == {
        "messages": SpliceList(op="splice", at=20, items=((20, 21),)),
        "plain": MergeObject(op="merge", value={"b": 3}),
        "gone": DropChannel(op="drop"),
    }
    deltas = thread.hold({"messages": said[3:], "plain": said[0], "state": {"m": said[:3]}})
    assert deltas == {
        "messages": SpliceList(op="splice", at=0, delete=21, items=((3, 20),)),
        "plain": SetItem(op="item", item=0),
        "state": SetNested(op="nested", value={"m": {"$items": [[0, 3]]}}),
    }


def test_a_channel_that_is_kept_needs_no_look() -> None:
    thread = Thread()
    thread.hold({"a": [1, 2], "b": {"c": 1}, "d": 0})
    assert thread.encoder().deltas(thread.channels, {}, ("a", "b", "unknown")) == {
        "d": DropChannel(op="drop")
    }


# ------------------------------------------------------------------ what is referred to


def test_items_of_others_are_never_referred_to() -> None:
    """I9: what another run brought in may be erased with it."""
    items: SharedList[Any] = SharedList([KNOWN[0], LONG, KNOWN[2]])
    own = Saved(owned=((1, 2),))
    encoder = SharingEncoder(items, own, (2, 3))
    assert encoder.value([KNOWN[0], LONG, KNOWN[2]]) == SetList(op="list", items=((3, 4), (1, 3)))
    assert encoder.added == [KNOWN[0]]


def test_an_item_is_found_behind_one_of_the_same_id_that_is_not_owned() -> None:
    """I9: a run that was rolled back had the same message; and a message had other words in between."""
    said, other = message("m", "these words"), message("m", "other words")
    items: SharedList[Any] = SharedList(["first", said, other, _fresh(said), _fresh(other)])
    encoder = SharingEncoder(items, Saved(owned=((0, 3),)))
    assert encoder.value(_fresh(said)) == SetItem(op="item", item=1)
    assert encoder.value(_fresh(other)) == SetItem(op="item", item=2)
    assert encoder.added == []


def test_one_event_brings_an_item_in_once() -> None:
    said, other = message("m", "these words"), message("m", "other words")
    encoder = SharingEncoder(SharedList(), NOTHING_SAVED)
    encoded = encoder.value([said, other, _fresh(said), _fresh(other)])
    assert encoded == SetList(op="list", items=((0, 2), (0, 2)))


def test_an_index_that_knows_more_than_a_list_has_finds_nothing_behind_its_end() -> None:
    """I2: an old state decides as it did, whatever came after it."""
    old: SharedList[Any] = SharedList(["first"])
    new = old.extended([KNOWN[0]])
    everything = Saved(owned=((0, 9),))
    assert SharingEncoder(new, everything).value(_fresh(KNOWN[0])) == SetItem(op="item", item=1)
    encoder = SharingEncoder(old, everything)
    assert encoder.value(_fresh(KNOWN[0])) == SetItem(op="item", item=1)
    assert encoder.added == [KNOWN[0]]


def test_numbers_and_truth_values_of_one_id_are_told_apart() -> None:
    """I13: Python alone says that they are equal."""
    thread = Thread()
    for content in (1, True, 1.0):
        thread.hold({"a": message("m", content)})
        assert thread.values() == {"a": text(message("m", content))}
    assert len(thread.items) == 3


def test_only_so_many_contents_of_one_id_are_compared() -> None:
    thread = Thread()
    for n in range(saved_encoding.CANDIDATES_MAX + 1):
        thread.hold({"a": message("m", f"grows: {n}")})
    encoder = thread.encoder()
    assert encoder.value(message("m", "grows: 1")) == SetItem(op="item", item=1)
    assert encoder.value(message("m", "grows: 0")) == SetItem(op="item", item=len(thread.items))


def test_a_very_long_value_without_an_id_is_not_looked_up() -> None:
    long = {"text": ["word"] * saved_encoding.CONTENT_KEY_CHARACTERS_MAX}
    thread = Thread()
    thread.hold({"a": [1, long]})
    assert thread.hold({"a": [1, long], "b": [2]}) == {"b": SetList(op="list", items=((2, 3),))}
    assert isinstance(decode(thread.encoder().value([2, _fresh(long)])), SharedList)


# ------------------------------------------------------------------ bytes do not grow


def _states(messages: list[Any]) -> dict[str, Any]:
    return {
        "fork": messages,
        "subgraph": {"messages": messages, "doc": LONG},
        "deep": {"inner": {"state": {"messages": messages}}, "list": [[messages, LONG]]},
        "sends": [{"$": ["send", f"node{n}", {"messages": messages}]} for n in range(3)],
        "write": {"$": ["command", {"update": {"messages": messages}}]},
        "trimmed": messages[-8:],
        "fewer": messages[:-1],
    }


@given(
    name=st.sampled_from([*_states([])]),
    new=st.lists(st.sampled_from([*KNOWN, ALONE, MARK]), max_size=2),
    is_fresh=st.booleans(),
)
def test_a_whole_state_takes_as_much_room_in_a_long_thread_as_in_a_short_one(
    name: str, new: list[Any], *, is_fresh: bool
) -> None:
    """I9: forks, inputs of subgraphs, sends and writes: a constant, and what is new in them."""
    sizes: list[int] = []
    for length in (10, 300):
        thread = Thread()
        messages = [message(f"m{n}", f"This is number {n}. {LONG}") for n in range(length)]
        thread.hold({"messages": messages, "doc": LONG})
        assert len(thread.items) == length + 1
        encoder = thread.encoder()
        value = _states([*messages, *new])[name]
        encoded = encoder.value(_fresh(value) if is_fresh else value)
        known = {text(each) for each in (*messages, LONG)}
        assert not known & {text(each) for each in encoder.added}
        sizes.append(len(encoded.model_dump_json()) + len(json.dumps(encoder.added)))
    assert sizes[1] - sizes[0] <= 40, "the numbers have more digits"


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_a_turn_takes_as_much_room_in_a_long_thread_as_in_a_short_one(kinds: list[int]) -> None:
    """I9: appends, replacements, trims of the front and messages that come back."""
    sizes: list[int] = []
    for length in (20, 300):
        thread = Thread()
        messages = [message(f"m{n}", f"This is number {n}. {LONG}") for n in range(length)]
        thread.hold({"messages": messages})
        size = 0
        for turn, kind in enumerate(kinds):
            match kind:
                case 0:
                    messages = [*messages, message(f"new{turn}", "news")]
                case 1:
                    messages = [*messages[:-1], message(f"new{turn}", "other")]
                case 2:
                    messages = messages[1:]
                case _:
                    messages = [*messages, message("m3", f"This is number 3. {LONG}")]
            before = len(thread.items)
            deltas = thread.hold({"messages": [*messages]})
            size += sum(len(delta.model_dump_json()) for delta in deltas.values())
            size += len(json.dumps(thread.items.slice(before, len(thread.items))))
        sizes.append(size)
    assert sizes[1] - sizes[0] <= 8 * len(kinds)


def test_a_users_own_marker_that_is_an_item_already_is_still_no_reference() -> None:
    """I1: the very same object, once as an element of a list, once deep inside a value."""
    thread = Thread()
    thread.hold({"log": [1, ALONE]})
    for value in ([1, ALONE, KNOWN[0], [KNOWN[1]]], {"a": [ALONE, [KNOWN[0]]]}, [[ALONE], [LONG]]):
        thread.hold({"log": [1, ALONE], "a": value})
        assert thread.values()["a"] == text(value)
