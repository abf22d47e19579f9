"""Values that user code puts into the state of a graph, and the classes of those that need registering."""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable


class Color(enum.Enum):
    """An enumeration of a user's module."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Point:
    """A dataclass of a user's module."""

    x: int
    y: float
    labels: list[str] = field(default_factory=list)


class Note(BaseModel):
    """A pydantic model of a user's module."""

    title: str
    written_at: datetime | None = None
    points: list[Point] = []


TYPES: list[type[Any]] = [Color, Point, Note]
"""What a saver is told that it may store."""

LONG = "A sentence that is long enough to be worth storing only once. " * 6

# Each makes a new object at every call: user code owns what it returns, and may change it later.
VALUES: list[Callable[[], Any]] = [
    lambda: None,
    lambda: True,
    lambda: 0,
    lambda: 2**53 + 1,
    lambda: -(2**63),
    lambda: 1.5,
    lambda: -0.0,
    lambda: float("inf"),
    lambda: "",
    lambda: "short",
    lambda: "naïve ☃ 𝄞 \x00 \u2028 end",
    lambda: LONG,
    lambda: LONG + "with another end",
    list,
    dict,
    lambda: [1, [2, [3, {}]], "x"],
    lambda: {"a": {"b": [1, 2, {"c": None}]}, "text": LONG},
    lambda: {"$": 1},
    lambda: {"$": ["message", "human", {}], "other": {"$": {"$": []}}},
    lambda: {1: "int", (2, 3): "tuple", None: "none"},
    lambda: (1, (2, "three")),
    lambda: datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC),
    lambda: datetime(2024, 2, 29, 12, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    lambda: date(2024, 2, 29),
    lambda: timedelta(days=1, microseconds=5),
    lambda: {1, 2, 3},
    lambda: frozenset({"a"}),
    lambda: deque([1, 2]),
    lambda: b"\x00\xff bytes",
    lambda: Decimal("1.10"),
    lambda: UUID(int=5),
    lambda: Path("/a/b"),
    lambda: Color.BLUE,
    lambda: Point(1, 2.5, ["p"]),
    lambda: Note(title="n", written_at=datetime(2024, 1, 1, tzinfo=UTC), points=[Point(0, 0.0)]),
    lambda: {"nested": [Note(title="deep"), Color.RED]},
    lambda: Document(page_content=LONG, metadata={"source": "s"}),
    lambda: [HumanMessage("in a list", id="fixed-1"), {"m": AIMessage("in a dict", id="fixed-2")}],
]


def value(at: int) -> Any:
    """Make the value number `at`, modulo their count."""
    return VALUES[at % len(VALUES)]()
