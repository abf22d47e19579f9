"""What hypothesis draws of checkpointers: sequences of moves that mostly make sense where they are made."""

from __future__ import annotations

from hypothesis import strategies as st

from . import moves as m, saved_moves as s
from .saved_world import SavedWorld

EDITS_MAX = 20 * 24 * 12

edits = st.lists(
    st.integers(0, EDITS_MAX - 1).map(lambda drawn: (drawn % 20, drawn // 20)), max_size=3
).map(tuple)
first_edits = st.integers(0, 200).map(lambda drawn: ((0, drawn), (16, 0), (drawn, drawn // 20)))
namespaces = st.sampled_from([0] * 8 + [*range(len(s.NAMESPACES))])
booleans = st.booleans()
odds = st.sampled_from([0] * 8 + [*range(7)])
indexes = st.integers(0, 7)

puts = st.builds(s.Put, namespaces, edits, st.sampled_from([0] * 5 + [1, 2, 3]), odds, booleans)
inputs = st.builds(s.Put, st.just(0), first_edits)
kinds = st.lists(st.sampled_from([2, 3, *range(13)]), min_size=1, max_size=3).map(tuple)
writes = st.builds(
    s.WriteDown,
    namespaces,
    st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3]),
    st.integers(0, 2),
    kinds,
    booleans,
)
calls = st.builds(
    s.Call,
    st.integers(0, 2),
    st.sampled_from(["started", "started", "finished", "failed"]),
    st.integers(0, 12),
)
finishes = st.builds(
    s.Finish, booleans, st.sampled_from([1, 2, 3, *range(7)]), st.one_of(edits, st.just(((0, 0),)))
)
ends = st.builds(m.End, st.sampled_from(["success", "error", "timeout", "hand_over", "hand_over"]))
hides = st.builds(s.Hide, st.sampled_from(["others", "others", "latest", "none"]), indexes)

submits = st.builds(
    s.Ask,
    st.sampled_from(["reject", "enqueue", "enqueue", "interrupt", "rollback", "rollback"]),
    st.integers(0, 3),
)
cancels = st.builds(m.Cancel, indexes, st.sampled_from(["interrupt", "interrupt", "rollback"]))
late = st.builds(s.TooLate, indexes, st.one_of(puts, writes, calls, finishes))
again = st.builds(s.Again, st.integers(0, 2))
odd = [late, late, again, again]

resumes = st.builds(s.Resume, indexes, st.integers(0, 3))
rollbacks = st.just(m.Cancel(0, "rollback"))
interrupts = st.just(m.Cancel(0, "interrupt"))

crashes = st.just(m.Crash())
graphs = [*[puts] * 14, *[inputs] * 5, *[writes] * 11, *[resumes] * 3, *[calls] * 3]
stops = [*[finishes] * 4, *[ends] * 2, *[crashes] * 3, *[rollbacks] * 3, *[interrupts] * 2, cancels]
at_work = [*graphs, *stops, *[submits] * 3, *odd]
at_rest = [*[st.just(m.Start())] * 12, submits, cancels, *odd]
outsiders = [*[inputs] * 3, *[puts] * 7, *[writes] * 8, *[resumes] * 2, *[hides] * 5]
settled = [*[submits] * 6, *outsiders, *odd, st.just(m.Drop())]


@st.composite
def worlds(draw: st.DrawFn, min_size: int = 6, max_size: int = 36) -> SavedWorld:
    """Draw what checkpointers and clients do to one thread, and what has become of it."""
    world = SavedWorld()
    for _ in range(draw(st.integers(min_size, max_size))):
        resting = at_rest if world.driver.thread.runs else settled
        choices = at_work if world.running else resting
        world.make(draw(draw(st.sampled_from(choices))))
    return world
