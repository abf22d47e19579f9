"""What hypothesis draws: JSON values, updates of channels, and sequences of moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from . import moves as m

if TYPE_CHECKING:
    from threadfold.domain.values import Json, JsonObject

LONG = ["a" * 201, "b" * 250, "ü" * 201, "a" * 200]
"""Three that become items, and one that is just too short."""

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.0, 1.0, 0.5, -1e300, 2**63, -(2**63)]),
    st.sampled_from(["", "x", "y", "é\u2028", "\0"]),
    st.sampled_from(LONG),
)
keys = st.sampled_from(["a", "b", "c", ""])
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)
json_objects = st.dictionaries(keys, json_values, max_size=3)

# ------------------------------------------------------------------ updates: few draws, many kinds

VALUES: list[Json] = [
    *[None, True, False, 0, 1, 2, 1.0, -1e300, 2**63, "", "x", "é\u2028", *LONG],
    *[[], [1], [True, 1.0], ["x", LONG[0]], [LONG[0], LONG[0]], [[1], {"a": 1}], [{"id": "e"}]],
]
OBJECTS: list[JsonObject] = [
    *[{}, {"a": 1}, {"a": True}, {"a": 2, "b": 1}, {"b": {"a": 1, "c": [1]}}, {"b": {"c": [1]}}],
    *[{"b": {}}, {"a": None, "": LONG[0]}, {"c": LONG[0]}, {"b": {"a": 1, "c": {"a": 1}}}],
]
ELEMENTS: list[Json] = [1, True, *LONG, "short", {"id": "e", "n": 1}, {"id": "e", "n": 2}]
ELEMENTS += [{"k": "v" * 20}]

MESSAGES: list[Json] = [
    *({"role": "user", "content": f"hi {i}", "id": f"m{i}"} for i in range(4)),
    *({"role": "ai", "content": "hello", "id": f"m{i}"} for i in range(2)),
    {"role": "user", "content": LONG[0], "id": "m1"},
    {"role": "user", "content": "no id"},
    "text alone",
    *({"type": "remove", "id": f"m{i}"} for i in range(2)),
    {"type": "remove", "id": "__remove_all__"},
]

some_values = st.sampled_from([*VALUES, *OBJECTS])
some_objects = st.sampled_from(OBJECTS)
indexes = st.integers(0, 7)


def some_of(values: list[Json]) -> st.SearchStrategy[list[Json]]:
    return st.lists(st.sampled_from(values), max_size=3)


channel_updates = st.one_of(
    st.tuples(st.just("messages"), some_of(MESSAGES)),
    st.tuples(st.just("messages"), some_of(MESSAGES)),
    st.tuples(st.just("log"), st.one_of(some_of(ELEMENTS), st.just("x"))),
    st.tuples(st.just("window"), some_of(ELEMENTS)),
    st.tuples(st.just("reversed"), some_of(ELEMENTS)),
    st.tuples(st.sampled_from(["merged", "plain"]), some_objects),
    st.tuples(st.just("merged"), some_objects),
    st.tuples(st.just("plain"), some_values),
    st.tuples(st.just("flag"), st.sampled_from([0, False, 1, True, 1.0])),
)
updates = st.lists(channel_updates, min_size=1, max_size=3).map(dict)
next_nodes = st.sampled_from([(), (), ("tools",), ("agent", "tools")])
inputs = st.one_of(st.none(), updates, updates, some_values)

# ------------------------------------------------------------------ moves

booleans = st.booleans()
works = st.builds(m.Work, updates, next_nodes, booleans, booleans)
results = st.builds(m.Result, st.sampled_from(["fetch", "pay"]), some_values)
ends = st.builds(
    m.End, st.sampled_from(["success", "success", "error", "timeout", "hand_over", "hand_over"])
)
submits = st.builds(
    m.Submit,
    st.sampled_from(["reject", "enqueue", "enqueue", "enqueue", "interrupt", "rollback"]),
    inputs,
    st.sampled_from([0, 0, 0, 0.002, 1, 3600]),
)

submits_again = st.builds(
    m.Submit, st.sampled_from(["enqueue", "rollback"]), inputs, retry_of=indexes
)
cancels = st.builds(m.Cancel, indexes, st.sampled_from(["interrupt", "rollback"]))
changes = st.builds(m.Update, updates, next_nodes)
starts, crashes, drops = st.just(m.Start()), st.just(m.Crash()), st.just(m.Drop())
users = [
    *[submits] * 7,
    *[cancels] * 3,
    *[submits_again] * 2,
    *[st.builds(m.Remove, indexes), changes, st.builds(m.Patch, some_objects), drops],
    st.just(m.Prune()),
]
odd = [
    *[st.builds(m.Late, indexes, st.one_of(works, results, ends))] * 2,
    st.just(m.Start(is_patient=False)),
    st.builds(m.StartAny, indexes, st.integers(1, 3)),
    st.builds(m.Create, st.sampled_from(["raise", "do_nothing"])),
    st.builds(m.Wait, st.sampled_from([0.001, 1, 5000])),
]
creations = [*[submits] * 8, *[st.builds(m.Copy, indexes)] * 3, *odd]
at_work = [*[works] * 14, *[ends] * 5, *[crashes] * 4, *[results] * 2, *users, *odd]
at_rest = [*[starts] * 12, *users, *odd]
settled = [*[submits] * 6, *[changes] * 2, *users, *odd]


@st.composite
def histories(draw: st.DrawFn, min_size: int = 4, max_size: int = 30) -> list[m.Move]:
    """Draw what happens to one thread: at each point mostly what makes sense there."""
    world = m.World()
    made: list[m.Move] = []
    for _ in range(draw(st.integers(min_size, max_size))):
        thread = world.driver.thread
        if not thread.is_present:
            kinds = creations
        elif world.running:
            kinds = at_work
        else:
            kinds = at_rest if thread.runs else settled
        move = draw(draw(st.sampled_from(kinds)))
        world.make(move)
        made.append(move)
    return made
