"""What graphs hold and write, in typed form: messages above all, in every place where they may stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from threadfold.domain.values import Json, JsonObject

LONG = "A long text, such as a document that many read. " * 12
LONGER = "Ünd ein zweiter langer Text, der nicht derselbe ist. " * 10

SPECIAL = {"__error__": -1, "__scheduled__": -2, "__interrupt__": -3, "__resume__": -4}
"""Kinds of writes that have a slot of their own, where the last one stands."""


class Speaker(Protocol):
    """Where messages come from."""

    said: list[Json]

    def new_message(self, kind: str = "human") -> Json:
        """Return one that was never said."""
        ...

    def new_id(self, kind: str) -> str:
        """Make an id."""
        ...


def message(message_id: str | None, content: Json, kind: str = "ai", **more: Json) -> Json:
    """Return a message in typed form."""
    named: JsonObject = {} if message_id is None else {"id": message_id}
    return {"$": ["message", kind, {"content": content, **named, **more}]}


KNOWN: list[Json] = [
    message("m0", "hello"),
    message("m0", "hello again"),
    message("m1", LONG),
    message("m1", 1),
    message("m1", content=True),
    message(None, "I have no id, and I am long enough to be told apart."),
    message(
        "m2", [{"type": "text", "text": "parts"}], tool_calls=[{"id": "call0", "name": "search"}]
    ),
    message("m3", "odd", additional_kwargs={"$item": 0, "$items": [[0, 1]]}),
]
"""Messages that come up again and again, some with one id and several contents."""

MARK: Json = {"$items": [[0, 2]], "is": "a user's own"}
"""The very same object stands in lists, where it is an item, and inside other values, where it must not be taken for one."""

ALONE: Json = {"$items": [[0, 1], [1, 2], [0, 2]]}

SCALARS: list[Json] = [None, 0, False, 1, 1.0, True, "x", "", 0.5, 2**63, -(2**63), "é\u2028"]
OBJECTS: list[Json] = [
    *[{}, {"a": 1}, {"a": True}, {"a": 1.0, "b": {"c": [1]}}, {"b": {"c": [1], "d": LONG}}],
    *[{"a": None}, {"b": {"c": [True]}}, [], [[]], {"a": [{}]}, KNOWN[0], [1, True]],
]
PLAIN: list[Json] = [*SCALARS, *OBJECTS]

MARKED: list[Json] = [
    *[{"$items": [[0, 1]]}, {"$item": 0}, {"a": {"$item": 1}}, [{"$items": [[0, 1]]}, 1]],
    *[{"$item": 0, "b": 1}, {"a": {"$items": []}, "m": KNOWN[0]}, [{"$item": 0}, [KNOWN[1]]]],
    *[{"a": KNOWN[7]}, [KNOWN[7], KNOWN[7]], {"a": [{"$items": [[0, 9]]}]}],
    *[[MARK, [KNOWN[1]]], {"a": [ALONE, [KNOWN[0]]]}, [1, ALONE, KNOWN[0], [KNOWN[1]]]],
]
"""Values of users that have the keys in them that stand for references in the stored form."""

ELEMENTS: list[Json] = [
    *[1, True, 1.0, "x", LONG, LONGER, MARK, ALONE, {"id": "e", "n": 1}, None],
    *[
        {"id": "e", "n": True},
        {"k": "v" * 20},
        ["a", "b"],
        "a text of more than sixteen characters",
    ],
]

TALK: list[JsonObject] = [
    {"messages": [message("in1", "hello"), message("in2", LONG)], "text": LONG},
    {"messages": [KNOWN[0], KNOWN[2]]},
    {"messages": [message("in3", LONGER)], "plain": LONGER},
    {},
]
"""Inputs of users."""


def _last(world: Speaker) -> Json:
    return world.said[-1] if world.said else KNOWN[0]


def _listed(value: Json) -> list[Any]:
    return [*value] if isinstance(value, list) else []


# ------------------------------------------------------------------ channels


def _messages(old: Json, pick: int, world: Speaker) -> Json:  # noqa: C901 - one arm a kind
    kept = _listed(old)
    middle = len(kept) // 2
    match pick % 12:
        case 0:
            return [*kept, world.new_message()]
        case 2:
            return [*kept, world.new_message(), world.new_message("ai")]
        case 1 | 3:
            return [*kept, _last(world)]
        case 4:
            return kept[1:]
        case 5:
            return kept[:-1]
        case 6:
            return [*kept[:middle], KNOWN[pick % len(KNOWN)], *kept[middle + 1 :]]
        case 7:
            return [*kept, KNOWN[pick // 12 % len(KNOWN)]]
        case 8:
            return kept[::-1]
        case 9:
            return [*kept, *world.said[:2], world.new_message()]
        case 10:
            return [*world.said]
        case _:
            return [*kept[:-1], {"messages": kept[:2]}]


def _state(messages: Json, pick: int) -> Json:
    said = _listed(messages)
    choices: list[Json] = [
        {"messages": said, "n": pick, "mark": ALONE},
        {"inner": {"messages": said, "doc": LONG}, "docs": [LONG, "short", LONGER]},
        {"pairs": [["a", *said[:1]], []], "more": [{"content": "x"}, {"content": "y"}]},
        [{"messages": said}, {"messages": said[:1]}],
        {"parts": [{"k": 1}, {"k": 2}], "one": KNOWN[2]},
        [["a", LONG], [*said]],
    ]
    return choices[pick % len(choices)]


def _sends(messages: Json, pick: int) -> Json:
    said = _listed(messages)
    sends: list[Json] = [
        {"$": ["send", f"node{n}", {"messages": said, "n": n}]} for n in range(pick % 3)
    ]
    return sends


def _joined(pick: int) -> Json:
    return {"$": ["set", ["a", "b"][: pick % 3]]}


CHANNELS: Sequence[str] = (
    *["messages"] * 5,
    *["state", "state", "text", "plain", "plain", "flag", "flag", "flag", "marked", "log", "log"],
    *["__start__", "__pregel_tasks", "branch:to:agent", "join:a+b:c"],
)
START = CHANNELS.index("__start__")

_VALUES: dict[str, Callable[[Json, Json, int, Speaker], Json]] = {
    "messages": lambda old, _, pick, world: _messages(old, pick, world),
    "state": lambda _, said, pick, world: _state(said, pick),
    "text": lambda _, said, pick, world: (LONG, LONGER, "short")[pick % 3],
    "plain": lambda _, said, pick, world: PLAIN[pick % len(PLAIN)],
    "flag": lambda _, said, pick, world: (0, False, 1, True, 1.0)[pick % 5],
    "marked": lambda _, said, pick, world: MARKED[pick % len(MARKED)],
    "log": lambda old, said, pick, world: [
        *_listed(old)[pick // 20 :],
        ELEMENTS[pick % len(ELEMENTS)],
    ],
    "__start__": lambda _, said, pick, world: {
        "messages": [*_listed(said), _last(world)],
        "doc": LONG,
    },
    "__pregel_tasks": lambda _, said, pick, world: _sends(said, pick),
    "branch:to:agent": lambda _, said, pick, world: None,
    "join:a+b:c": lambda _, said, pick, world: _joined(pick),
}

DROPS = 19
"""An edit of this kind takes its channel away."""


def edited(old: JsonObject, edits: Sequence[tuple[int, int]], world: Speaker) -> JsonObject:
    """Return the channels after these edits, in containers of their own."""
    new = dict(old)
    for channel, pick in edits:
        name = CHANNELS[channel % len(CHANNELS)]
        if pick % 20 == DROPS:
            new.pop(name, None)
        else:
            new[name] = _VALUES[name](new.get(name), new.get("messages"), pick, world)
    return new


# ------------------------------------------------------------------ writes


def written(kind: int, world: Speaker) -> tuple[str, Json]:
    """Return what a task writes: a channel and a value."""
    said: list[Json] = [*world.said]
    answer = len(said) % 3
    choices: list[tuple[str, Callable[[], Json]]] = [
        ("messages", lambda: [world.new_message("ai")]),
        ("messages", lambda: _last(world)),
        ("__interrupt__", lambda: [{"$": ["interrupt", {"ask": _last(world), "n": answer}, "i1"]}]),
        ("__resume__", lambda: [answer]),
        ("__resume__", lambda: [answer, True]),
        ("__error__", lambda: {"$": ["error", "builtins:ValueError", f"ValueError({answer})"]}),
        ("__pregel_tasks", lambda: {"$": ["send", "node", {"messages": said}]}),
        ("text", lambda: LONG),
        ("branch:to:agent", lambda: None),
        ("marked", lambda: MARKED[len(said) % len(MARKED)]),
        ("state", lambda: {"messages": said, "doc": LONGER}),
        ("__scheduled__", lambda: answer),
        ("messages", lambda: KNOWN[len(said) % len(KNOWN)]),
    ]
    channel, value = choices[kind % len(choices)]
    return channel, value()
