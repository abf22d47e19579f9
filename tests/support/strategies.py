"""What hypothesis draws: JSON values, updates of channels, and sequences of moves."""

from __future__ import annotations

from hypothesis import strategies as st

from . import moves as m

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

message_ids = st.sampled_from(["m1", "m2", "m3", "m4"])
texts = st.sampled_from(["hello", "hi", "", LONG[0], LONG[1]])
messages = st.one_of(
    st.builds(lambda i, t: {"role": "user", "content": t, "id": i}, message_ids, texts),
    st.builds(lambda i, t: {"role": "ai", "content": t, "id": i}, message_ids, texts),
    st.builds(lambda t: {"role": "user", "content": t}, texts),
    texts.filter(bool),
)
removals = st.builds(
    lambda i: {"type": "remove", "id": i},
    st.one_of(message_ids, st.just("__remove_all__")),
)
message_updates = st.lists(st.one_of(messages, messages, removals), min_size=1, max_size=3)

updates = st.fixed_dictionaries(
    {},
    optional={
        "messages": message_updates,
        "log": st.one_of(st.lists(json_values, max_size=3), scalars),
        "window": st.lists(st.sampled_from([1, 2, *LONG, {"id": "w", "n": 1}]), max_size=3),
        "reversed": st.lists(st.sampled_from([1, True, *LONG, {"k": "v" * 20}]), max_size=2),
        "merged": json_objects,
        "plain": json_values,
        "other": json_objects,
    },
)
next_nodes = st.sampled_from([(), (), ("tools",), ("agent", "tools")])
inputs = st.one_of(st.none(), updates, updates, json_values)
indexes = st.integers(0, 7)

works = st.builds(m.Work, updates, next_nodes, st.booleans(), st.booleans())
results = st.builds(m.Result, st.sampled_from(["fetch", "pay"]), json_values)
ends = st.builds(m.End, st.sampled_from(["success", "success", "error", "timeout", "hand_over"]))
submits = st.builds(
    m.Submit,
    st.sampled_from(["reject", "enqueue", "enqueue", "interrupt", "rollback", "rollback"]),
    inputs,
    st.sampled_from([0, 0, 0, 0.002, 1, 3600]),
)
starts = st.just(m.Start())

users = [submits] * 6 + [
    st.builds(m.Submit, st.sampled_from(["enqueue", "rollback"]), inputs, retry_of=indexes),
    st.builds(m.Cancel, indexes, st.sampled_from(["interrupt", "rollback"])),
    st.builds(m.Cancel, indexes, st.sampled_from(["interrupt", "rollback"])),
    st.builds(m.Remove, indexes),
    st.builds(m.Update, updates, next_nodes),
    st.builds(m.Patch, json_objects),
    st.just(m.Drop()),
]
odd = [
    st.just(m.Start(is_patient=False)),
    st.builds(m.StartAny, indexes, st.integers(1, 3)),
    st.builds(m.Late, indexes, st.one_of(works, results, ends)),
    st.builds(m.Late, indexes, st.one_of(works, results, ends)),
    st.builds(m.Create, st.sampled_from(["raise", "do_nothing"])),
    st.builds(m.Wait, st.sampled_from([0.001, 1, 5000])),
]
creations = [submits, submits, *odd, *[st.builds(m.Copy, indexes)] * 4]
at_work = [works] * 16 + [ends] * 5 + [results, st.just(m.Crash())] * 2 + users + odd
at_rest = [st.just(m.Start())] * 12 + users + odd
settled = [submits] * 4 + [st.builds(m.Update, updates, next_nodes)] * 2 + users + odd


@st.composite
def histories(draw: st.DrawFn, max_size: int = 30) -> list[m.Move]:
    """Draw what happens to one thread: at each point mostly what makes sense there."""
    world = m.World()
    made: list[m.Move] = []
    for _ in range(draw(st.integers(4, max_size))):
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
