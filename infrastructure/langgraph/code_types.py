"""The classes that a graph's code names: what its nodes make is of these, although no schema may say so."""

from __future__ import annotations

import functools
import inspect
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FUNCTIONS_MAX = 1_000
"""Functions of one graph that are looked into."""

FORMATS = "langchain.agents.structured_output"
"""Where LangChain's agents have the classes that say what a model has to answer with."""

_INSTALLED = tuple(
    Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")
)


def named_types(nodes: Iterable[object]) -> Iterator[object]:
    """Yield the classes that the code of these nodes names, and of the functions beside it that it calls.

    Those of other packages are left out, unless it is what an agent's model has to answer with: they are no data of this graph.
    """
    search = _Search()
    for node in nodes:
        for function in _functions(getattr(node, "bound", None)):
            yield from search.look(function)


class _Search:
    def __init__(self) -> None:
        self._seen = set[CodeType]()

    def look(self, function: object) -> Iterator[object]:
        plain = _plain(function)
        if plain is None or plain.__code__ in self._seen or len(self._seen) >= FUNCTIONS_MAX:
            return
        self._seen.add(plain.__code__)
        for found in _mentioned(plain):
            if isinstance(found, type):
                if _is_beside(plain, found):
                    yield found
            elif isinstance(found, FunctionType):
                if _is_beside(plain, found):
                    yield from self.look(found)
            elif type(found).__module__ == FORMATS:
                yield getattr(found, "schema", None)


def _functions(runnable: object) -> Iterator[object]:
    """Yield the functions that a node is made of, its tools included."""
    for name in ("func", "afunc", "coroutine"):
        yield getattr(runnable, name, None)
    steps = getattr(runnable, "steps", None)
    tools = getattr(runnable, "tools_by_name", None)
    inner = list[object](cast("Sequence[object]", steps) if isinstance(steps, Sequence) else ())
    if isinstance(tools, Mapping):
        inner += cast("Mapping[str, object]", tools).values()
    for each in inner:
        yield from _functions(each)


def _plain(function: object) -> FunctionType | None:
    """Return the Python function behind decorators, partials and methods."""
    while isinstance(function, functools.partial):
        function = cast("functools.partial[Any]", function).func
    if not callable(function):
        return None
    function = inspect.unwrap(getattr(function, "__func__", function))
    if not isinstance(function, FunctionType):
        function = getattr(type(function), "__call__", None)  # noqa: B004 - an object that is called as a node
    return function if isinstance(function, FunctionType) else None


def _mentioned(function: FunctionType) -> Iterator[object]:
    """Yield what the function's code, and code inside it, refers to by global and enclosing names."""
    scope = function.__globals__
    for name in _names(function.__code__):
        if name in scope:
            yield scope[name]
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # Nothing was ever put into it.
            continue


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_beside(function: FunctionType, found: type | FunctionType) -> bool:
    """Say whether both are of one package, or this one is of none that is installed."""
    package = found.__module__.partition(".")[0]
    if package == function.__module__.partition(".")[0]:
        return True
    file = getattr(sys.modules.get(found.__module__), "__file__", None)
    if file is None:
        return False
    return not any(Path(file).resolve().is_relative_to(place) for place in _INSTALLED)
