"""What a snapshot holds besides the thread itself: the newest history, and items that nobody has read yet."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.support.driver import Driver
from tests.support.strategies import LONG, json_values
from tests.support.visible import text, visible_state
from threadfold.domain.changes import Replace
from threadfold.domain.commands import (
    CancelRun,
    CreateThread,
    RecordStep,
    StartRun,
    SubmitRun,
    SucceedRun,
)
from threadfold.domain.shared_list import SharedList
from threadfold.domain.snapshots import PARENTS_MAX, from_snapshot, to_snapshot
from threadfold.domain.state import State
from threadfold.domain.stored_items import StoredItems
from threadfold.domain.thread import Thread


def at_work(ended_steps: int, open_steps: int) -> Driver:
    """Return a thread with a run that ended after some steps, and one at work after some more."""
    driver = Driver()
    driver.execute(CreateThread(thread_id="t1"))
    for run_id, steps in (("r1", ended_steps), ("r2", open_steps)):
        submit = SubmitRun(thread_id="t1", run_id=run_id, assistant_id="a1", graph_id="g")
        driver.execute(submit)
        driver.execute(
            StartRun(thread_id="t1", run_id=run_id, attempt=1, holder="p1", now=driver.now)
        )
        for number in range(steps):
            driver.execute(
                RecordStep(
                    thread_id="t1",
                    run_id=run_id,
                    attempt=1,
                    checkpoint_id=f"{run_id}-{number}",
                    node="agent",
                    source="loop",
                    next=(),
                    update=None,
                    changes={
                        "said": Replace([f"{run_id} {number}"]),
                        "document": Replace(LONG[number % 2]),
                    },
                )
            )
        if run_id == "r1":
            driver.execute(SucceedRun(thread_id="t1", run_id=run_id, attempt=1))
    return driver


def chain(state: State | None, thread: Thread) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while state is not None:
        found.append(visible_state(state, thread.items))
        state = state.parent
    return found


@pytest.mark.parametrize(("ended", "open_"), [(0, 0), (3, 2), (0, 4), (4, 0), (12, 3), (3, 12)])
def test_a_snapshot_holds_the_newest_history(ended: int, open_: int) -> None:
    """I6: also that of the base, so that a rollback after a restart leaves the same history."""
    driver = at_work(ended, open_)
    thread = driver.thread
    restored = from_snapshot(json.loads(json.dumps(to_snapshot(thread))))
    whole = chain(thread.state, thread)
    assert chain(restored.state, restored) == whole[: PARENTS_MAX + 1]
    driver.thread = restored
    driver.execute(CancelRun(thread_id="t1", run_id="r2", action="rollback"))
    left = chain(driver.thread.state, driver.thread)
    assert left == chain(thread.base, thread)[: len(left)]
    assert left


def test_a_snapshot_leaves_out_the_items_of_rolled_back_runs() -> None:
    driver = at_work(1, 1)
    driver.execute(CancelRun(thread_id="t1", run_id="r2", action="rollback"))
    body = to_snapshot(driver.thread)
    assert text(body["items"]) == text([[0, ["r1 0", LONG[0]]]])
    assert from_snapshot(body).values() == {"said": ["r1 0"], "document": LONG[0]}
    assert len(from_snapshot(body).items) == len(driver.thread.items)


def test_items_are_read_from_their_text_when_somebody_asks() -> None:
    items = StoredItems([b'{"a":[1,true]}', "plain", b"null"])
    assert items.unread(range(3)) == [b'{"a":[1,true]}', "plain", b"null"]
    assert items[0] == {"a": [1, True]}
    assert items[0] is items[0]
    assert items.unread(range(3)) == [{"a": [1, True]}, "plain", b"null"]
    assert list(items) == [{"a": [1, True]}, "plain", None]
    with pytest.raises(IndexError):
        items[3]
    with pytest.raises(TypeError):
        hash(items)


@given(st.lists(st.tuples(json_values, st.booleans()), max_size=6), st.data())
def test_unread_items_are_the_same_list(drawn: list[tuple[Any, bool]], data: Any) -> None:
    """I2, I6: whatever is read first, and of lists that share their memory."""
    values = [value for value, _ in drawn]
    stored = StoredItems(json.dumps(v).encode() if is_text else v for v, is_text in drawn)
    plain = SharedList(values)
    longer = stored.extended(["more"])
    start, stop = sorted((data.draw(st.integers(0, 7)), data.draw(st.integers(0, 7))))
    for one, other in data.draw(
        st.permutations(
            [
                (lambda: stored.slice(start, stop), values[start:stop]),
                (lambda: list(stored), values),
                (lambda: list(longer), [*values, "more"]),
                (lambda: stored.pick(range(len(values))), values),
                (lambda: [stored[at] for at in range(len(values))], values),
                (lambda: stored == plain, True),
                (lambda: plain == stored, True),
                (lambda: stored == longer, False),
                (lambda: stored == values, False),
            ]
        )
    ):
        assert text(one()) == text(other)
