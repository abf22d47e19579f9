"""Paths into threads, such as `values.messages[-1].content`: what they may look like, and what is there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from ..domain.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..domain.values import Json
    from .state_values import StateValues

EVERY = None
"""The step `[*]`: every element of a list."""

Step: TypeAlias = str | int | None

PATH_CHARACTERS_MAX = 1000
PATHS_MAX = 10

_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<at>-?[0-9]{1,9}|\*)\]")


@dataclass(frozen=True, slots=True)
class Path:
    """A path into a thread: one of its fields, then keys, places in lists, and `EVERY`."""

    field: str
    steps: tuple[Step, ...]

    def read(self, fields: Mapping[str, Json], values: StateValues | None) -> Json:
        """Return what is there; None if nothing is. With `EVERY` it is a list of all that is there."""
        steps = self.steps
        if self.field != "values":
            found = [fields[self.field]] if self.field in fields else []
        elif values is None:
            found = []
        else:
            found, steps = _in_values(values, steps)
        for step in steps:
            found = [inner for each in found for inner in _inside(each, step)]
        if EVERY in self.steps:
            return found
        return found[0] if found else None


def path_of(text: str, fields: frozenset[str], alias: str) -> Path:
    """Return the path that a text stands for; raises InvalidInputError, which names it and its alias."""

    def refusal(problem: str) -> InvalidInputError:
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        return InvalidInputError(f"extract: {alias!r}: {shown!r} {problem}")

    if len(text) > PATH_CHARACTERS_MAX:
        raise refusal(f"is longer than {PATH_CHARACTERS_MAX} characters")
    field, rest = text, ""
    begin = re.search(r"[.\[\]]", text)
    if begin is not None:
        field, rest = text[: begin.start()], text[begin.start() :]
    if field not in fields:
        raise refusal(f"begins with no field of a thread; there are {', '.join(sorted(fields))}")
    steps: list[Step] = []
    at = 0
    while at < len(rest):
        step = _STEP.match(rest, at)
        if step is None:
            raise refusal(
                "is no path; one looks like values.messages[-1].content, or values.list[*]"
            )
        place = step["at"]
        steps.append(step["name"] if place is None else EVERY if place == "*" else int(place))
        at = step.end()
    return Path(field, tuple(steps))


def _in_values(values: StateValues, steps: tuple[Step, ...]) -> tuple[list[Json], tuple[Step, ...]]:
    """Take the first steps without reading more of the state than they lead to."""
    if not steps or values.is_bare or not isinstance(steps[0], str):
        return [values.shown()], steps
    name, *rest = steps
    if rest and isinstance(rest[0], int):
        return values.element(str(name), rest[0]), tuple(rest[1:])
    return values.channel(str(name)), tuple(rest)


def _inside(found: Json, step: Step) -> Sequence[Json]:
    if isinstance(step, str):
        return [found[step]] if isinstance(found, dict) and step in found else []
    if not isinstance(found, list):
        return []
    if step is EVERY:
        return found
    place = cast("int", step)
    return [found[place]] if -len(found) <= place < len(found) else []
