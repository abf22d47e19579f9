"""Deltas give exactly the new values, refer to what is stored already, and stay small as a thread grows."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.support.driver import Driver
from tests.support.strategies import LONG, json_objects, json_values, scalars
from tests.support.visible import text
from threadfold.domain.changes import Replace, Splice
from threadfold.domain.channels import (
    ItemNumber,
    apply,
    decode_object,
    numbers_in,
    ranges_of,
    read_values,
)
from threadfold.domain.commands import CreateThread, RecordStep, StartRun, SubmitRun, UpdateState
from threadfold.domain.deltas import DropChannel, MergeObject, SetItem, SetValue, SpliceList
from threadfold.domain.encoding import Encoder, merge_between, update_of
from threadfold.domain.events import RunAccepted, StepRecorded
from threadfold.domain.reducers import applied
from threadfold.domain.shared_list import SharedList
from threadfold.domain.values import DEPTH_MAX


def stored(values: dict[str, Any]) -> tuple[dict[str, Any], SharedList[Any]]:
    """Return channels that hold these values, and the items that they refer to."""
    encoder = Encoder(0, SharedList())
    channels = decode_object(encoder.object(values))
    return channels, SharedList(encoder.added)


def round_trip(
    old: dict[str, Any], changes: dict[str, Any], update: Any = None
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Encode changes on top of old values; return the deltas, the new values and the update."""
    channels, items = stored(old)
    encoder = Encoder(len(items), items)
    deltas = encoder.deltas(channels, changes)
    event = StepRecorded(
        run_id="r1", checkpoint_id="c1", update=encoder.update(update, deltas), deltas=deltas
    )
    after = items.extended(encoder.added)
    values = read_values(apply(channels, deltas), after)
    assert text(read_values(channels, items)) == text(old), "the old ones stay as they are"
    again = Encoder(len(after), after)
    assert again.deltas(apply(channels, deltas), {n: Replace(v) for n, v in values.items()}) == {}
    assert again.added == []
    return deltas, values, read_values(decode_object(update_of(event)), after)


whole = st.builds(Replace, json_values)
lists = st.lists(st.one_of(scalars, json_objects), max_size=6)
splices = st.builds(Splice, st.integers(0, 7), st.integers(0, 3), lists)


@given(json_objects, st.dictionaries(st.sampled_from("abc"), st.one_of(whole, splices)))
def test_deltas_give_exactly_the_new_values(old: Any, changes: dict[str, Any]) -> None:
    """I1: of whatever kind the old value is; with the types that JSON tells apart."""
    expected = {**old, **{name: applied(old.get(name), c) for name, c in changes.items()}}
    _, values, _ = round_trip(old, changes)
    assert text(values) == text(expected)


@given(lists, lists, st.data())
def test_a_list_may_change_in_any_way(old: list[Any], added: list[Any], data: Any) -> None:
    """I1: elements come, go and change places; some are equal to each other."""
    new = data.draw(st.permutations([*old, *added]))
    new = new[: data.draw(st.integers(0, len(new)))]
    _, values, update = round_trip({"a": old}, {"a": Replace(new)}, {"a": new})
    assert text(values["a"]) == text(new)
    assert text(update["a"]) == text(new)


@given(json_objects, json_objects)
def test_an_object_is_merged_to_any_other(old: Any, new: Any) -> None:
    _, values, _ = round_trip({"a": old}, {"a": Replace(new)})
    assert text(values["a"]) == text(new)


@pytest.mark.parametrize(
    ("old", "new", "op"),
    [
        ({"x": 1}, {"x": 1}, None),
        ({"x": 1}, {"x": True}, "merge"),
        ({"x": 1}, {"y": 1}, "set"),
        ({}, {"y": 1}, "set"),
        ({"x": {"y": 1, "z": 1}}, {"x": {"y": 2, "z": 1}}, "merge"),
        ([1, 2], [1, 2], None),
        ([1, 2], [1, 2, 3], "splice"),
        ([1, 2], [], "splice"),
        ([], [1], "splice"),
        ([1], {"x": 1}, "set"),
        ({"x": 1}, [1], "list"),
        ("short", "short", None),
        (LONG[0], LONG[0], None),
        (LONG[0], LONG[1], "item"),
        (LONG[0], "short", "set"),
        ("short", LONG[3], "set"),
        (None, None, None),
        (None, [1], "list"),
        (0, False, "set"),
    ],
)
def test_the_smallest_delta_that_does_it_is_chosen(old: Any, new: Any, op: str | None) -> None:
    deltas, values, _ = round_trip({"a": old}, {"a": Replace(new)})
    assert text(values["a"]) == text(new)
    assert (deltas["a"].op if deltas else None) == op


@pytest.mark.parametrize(("given", "made"), [(True, 1), (1, 1.0), (0.0, False), (None, 0), (1, 1)])
def test_what_a_node_gave_is_kept_where_its_reducer_made_something_else_of_it(
    given: Any, made: Any
) -> None:
    """Python alone says that True is 1; such an update does not go without saying."""
    _, values, update = round_trip({}, {"a": Replace([made]), "b": Replace(made)}, {"b": given})
    assert text(values) == text({"a": [made], "b": made})
    assert text(update) == text({"b": given})


def test_a_channel_that_never_held_anything_differs_from_one_that_holds_null() -> None:
    deltas, values, _ = round_trip({}, {"a": Replace(None)})
    assert (values, deltas) == ({"a": None}, {"a": SetValue(op="set", value=None)})


def test_a_merge_names_only_what_differs() -> None:
    old = {"keep": 1, "gone": 1, "deep": {"same": [1], "new": 1}}
    new = {"keep": 1, "deep": {"same": [1], "new": 2}, "more": None}
    assert merge_between(old, new) == MergeObject(
        op="merge",
        value={"more": None},
        nested={"deep": MergeObject(op="merge", value={"new": 2})},
        remove=("gone",),
    )


def test_a_deep_object_is_merged_down_to_a_limit_so_that_it_can_be_stored() -> None:
    """I13: a merge is stored twice as deep as what it merges."""

    def nested(leaf: int) -> Any:
        value: Any = {"leaf": leaf, "rest": 0}
        for _ in range(DEPTH_MAX - 1):
            value = {"k": value, "rest": 0}
        return value

    delta = merge_between(nested(1), nested(2))
    event = StepRecorded(run_id="r1", attempt=1, checkpoint_id="c1", deltas={"a": delta})
    again = StepRecorded.model_validate(json.loads(event.model_dump_json(exclude_defaults=True)))
    assert apply({"a": nested(1)}, again.deltas) == {"a": nested(2)}


# ------------------------------------------------------------------ the fold's side


def test_a_delta_applies_to_whatever_is_there() -> None:
    """The fold is total: it judges nothing, also where a delta does not fit."""
    merge = MergeObject(
        op="merge", value={"x": 1}, nested={"y": MergeObject(op="merge", value={"z": 1})}
    )
    splice = SpliceList(op="splice", at=5, delete=2, items=((3, 5),))
    for old in ({}, {"a": 7}, {"a": ItemNumber(1)}, {"a": SharedList([1])}, {"a": {"y": 0}}):
        assert apply(old, {"a": merge})["a"] == {"x": 1, "y": {"z": 1}}
        spliced = apply(old, {"a": splice})["a"]
        assert isinstance(spliced, SharedList)
        assert list(spliced)[-2:] == [3, 4]
        assert apply(old, {"a": DropChannel(op="drop")}) == {}
        assert apply(old, {}) is old


@given(st.lists(st.integers(0, 20)))
def test_ranges_stand_for_their_numbers_in_order(numbers: list[int]) -> None:
    assert numbers_in(ranges_of(numbers)) == numbers


def test_neighbours_share_a_range() -> None:
    assert ranges_of([3, 4, 5, 9, 5]) == ((3, 6), (9, 10), (5, 6))


# ------------------------------------------------------------------ shared lists


@given(st.data())
def test_lists_that_share_memory_are_values_of_their_own(data: Any) -> None:
    """I2: any list may be continued at any time, in several ways; plain lists are the oracle."""
    pairs: list[tuple[SharedList[int], list[int]]] = [(SharedList(), [])]
    for _ in range(data.draw(st.integers(0, 12))):
        shared, plain = pairs[data.draw(st.integers(0, len(pairs) - 1))]
        new = data.draw(st.lists(st.integers(0, 9), max_size=3))
        if data.draw(st.booleans()):
            pairs.append((shared.extended(new), [*plain, *new]))
        else:
            at, delete = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 3))
            pairs.append((shared.spliced(at, delete, new), plain[:at] + new + plain[at + delete :]))
    for shared, plain in pairs:
        assert list(shared) == plain
        assert len(shared) == len(plain)
        assert shared == SharedList(plain)
        assert [shared[at] for at in range(len(plain))] == plain
        assert shared.slice(1, 3) == plain[1:3]
        assert repr(shared) == f"SharedList({plain})"


def test_a_shared_list_ends_where_it_ends_although_its_memory_goes_on() -> None:
    short = SharedList([1])
    longer = short.extended([2])
    for at in (1, -1):
        with pytest.raises(IndexError):
            short[at]
    assert short != longer
    assert short == longer.spliced(1, 1, [])
    assert short.extended([]) is short
    assert short != [1]
    with pytest.raises(TypeError):
        hash(short)


# ------------------------------------------------------------------ what is stored, and how often


def human(number: int) -> Any:
    return {"type": "human", "id": f"m{number}", "content": f"text {number}"}


def thread_of(messages: int, **others: Any) -> Driver:
    """Return a driver whose thread holds this many messages, and a run at work."""
    driver = Driver()
    driver.execute(CreateThread(thread_id="t1"))
    values = {"messages": [human(number) for number in range(messages)], **others}
    changes = {name: Replace(value) for name, value in values.items()}
    driver.execute(
        UpdateState(
            thread_id="t1", checkpoint_id="c0", as_node=None, next=(), update=None, changes=changes
        )
    )
    submit = SubmitRun(
        thread_id="t1", run_id="r1", assistant_id="a1", graph_id="g", input={"messages": []}
    )
    driver.execute(submit)
    driver.execute(StartRun(thread_id="t1", run_id="r1", attempt=1, holder="", now=driver.now))
    return driver


def step(driver: Driver, changes: dict[str, Any], update: Any) -> StepRecorded:
    command = RecordStep(
        thread_id="t1",
        run_id="r1",
        attempt=1,
        checkpoint_id=f"c{len(driver.log)}",
        node="agent",
        source="loop",
        next=(),
        update=update,
        changes=changes,
    )
    expected = driver.thread.values()
    for name, change in changes.items():
        expected[name] = applied(expected.get(name), change)
    (event,) = driver.execute(command)
    assert isinstance(event, StepRecorded)
    assert text(driver.thread.values()) == text(expected)
    if update is not None:
        given = read_values(decode_object(update_of(event)), driver.thread.items)
        assert text(given) == text(update)
    return event


def appended(old: list[Any]) -> tuple[Any, Any]:
    new = human(9999)
    return Splice(len(old), 0, [new]), [new]


def handed_over_whole(old: list[Any]) -> tuple[Any, Any]:
    new = human(9999)
    return Replace([*old, new]), [new]


def returned_whole(old: list[Any]) -> tuple[Any, Any]:
    new = [*old, human(9999)]
    return Replace(new), new


def changed_in_place(old: list[Any]) -> tuple[Any, Any]:
    new = {**old[len(old) // 2], "content": "changed"}
    whole = [*old]
    whole[len(old) // 2] = new
    return Replace(whole), [new]


def removed_one(old: list[Any]) -> tuple[Any, Any]:
    return Replace([*old[:3], *old[4:]]), [{"type": "remove", "id": old[3]["id"]}]


def trimmed_and_appended(old: list[Any]) -> tuple[Any, Any]:
    new = [*old[1:], human(9999)]
    return Replace(new), new


def turned_round(old: list[Any]) -> tuple[Any, Any]:
    new = [*old[len(old) // 2 :], *old[: len(old) // 2]]
    return Replace(new), new


def handed_back_unchanged(old: list[Any]) -> tuple[Any, Any]:
    return Replace([*old]), [*old]


CHANGES = [
    appended,
    handed_over_whole,
    returned_whole,
    changed_in_place,
    removed_one,
    trimmed_and_appended,
    turned_round,
    handed_back_unchanged,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_bytes_of_a_step_do_not_grow_with_the_number_of_messages(change: Any) -> None:
    sizes: list[int] = []
    for messages in (20, 400):
        driver = thread_of(messages)
        old = json.loads(json.dumps(driver.thread.values()["messages"]))
        delta, update = change(old)
        event = step(driver, {"messages": delta}, {"messages": update})
        sizes.append(len(event.model_dump_json(exclude_defaults=True)))
    assert sizes[1] <= sizes[0] + 60  # Numbers have more digits, and some more of them.


def test_a_long_text_is_stored_once_however_often_it_comes() -> None:
    """In the input, in the step that applies it, and in each update that gives it back."""
    driver = thread_of(3, document=LONG[0])
    text_of = LONG[0]
    same = step(driver, {"document": Replace(text_of)}, {"document": text_of})
    assert (same.items, same.deltas) == ((), {})
    assert isinstance(same.update and same.update["document"], SetItem)
    other = step(driver, {"document": Replace(LONG[1])}, {"document": LONG[1]})
    assert other.items == (LONG[1],)
    assert other.update is None  # The deltas tell it.
    assert update_of(other) == other.deltas
    several = step(
        driver,
        {"list": Replace([LONG[2], LONG[2]]), "more": Replace(LONG[2])},
        {"list": [LONG[2], LONG[2]], "more": LONG[2]},
    )
    assert several.items == (LONG[2],)


def test_an_input_is_stored_once_and_the_steps_refer_to_it() -> None:
    driver = Driver()
    driver.execute(CreateThread(thread_id="t1"))
    given = {"messages": [human(1), human(2)], "document": LONG[0], "n": 1}
    submit = SubmitRun(thread_id="t1", run_id="r1", assistant_id="a1", graph_id="g", input=given)
    *_, accepted = driver.execute(submit)
    assert isinstance(accepted, RunAccepted)
    assert accepted.items == (human(1), human(2), LONG[0])
    driver.execute(StartRun(thread_id="t1", run_id="r1", attempt=1, holder="", now=driver.now))
    copied = json.loads(json.dumps(given))
    event = step(driver, {name: Replace(value) for name, value in copied.items()}, None)
    assert event.items == ()
    reordered = {"messages": [human(2), human(1), human(3)]}
    event = step(driver, {"messages": Replace(reordered["messages"])}, reordered)
    assert event.items == (human(3),)


def test_a_message_that_keeps_its_id_and_changes_is_a_new_item() -> None:
    driver = thread_of(3)
    new = {**human(1), "content": "other"}
    messages = [human(0), new, human(2)]
    event = step(driver, {"messages": Replace(messages)}, {"messages": [new]})
    assert event.items == (new,)
    assert event.deltas["messages"] == SpliceList(op="splice", at=1, delete=1, items=((3, 4),))


def test_values_that_are_shorter_than_a_reference_are_just_stored_again() -> None:
    driver = thread_of(0, list=[1, "a", 2])
    event = step(driver, {"list": Replace(["a", 2, "b", 1])}, None)
    assert event.items == ("a", 2, "b")  # The 1 is the one that was next.
