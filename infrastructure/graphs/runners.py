"""From any object that is a graph, or makes one, to the runner of it. LangGraph is imported when one of its graphs is there."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any, cast

from ...domain.errors import ConfigurationError
from .functions import FunctionGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...domain.graph_ports import GraphRunner
    from .threads import Threads

RUNNER_NAMES = ("graph_id", "nodes", "is_typed", "prepare", "run")

EXTRA = 'pip install "threadfold[langgraph]"'

FACTORY_PARAMETERS = frozenset({"config", "runtime"})
FACTORY_ANNOTATIONS = ("RunnableConfig", "ServerRuntime")
GRAPH_ANNOTATIONS = ("StateGraph", "CompiledGraph", "Pregel")


def runner_of(
    graph_id: str,
    found: object,
    threads: Threads,
    *,
    closes_tool_calls: bool = True,
    keeps_partial_messages: bool = False,
    types: Sequence[type[Any]] = (),
) -> GraphRunner:
    """Return the runner of a graph: a function, what LangGraph makes, a function that makes that, or a runner itself.

    `types` are classes that a LangGraph graph's state may hold beside those that its schema names; `keeps_partial_messages` is
    for LangGraph graphs alone, too.

    Raises:
        ConfigurationError: it is nothing of the kind, or LangGraph is not installed.
    """
    if isinstance(found, FunctionGraph):
        return found.renamed(graph_id, threads)
    if is_langgraph(found) or makes_langgraph(found):
        return _langgraph_runner(
            graph_id,
            found,
            closes_tool_calls=closes_tool_calls,
            keeps_partial_messages=keeps_partial_messages,
            types=tuple(types),
        )
    if not isinstance(found, type) and all(hasattr(found, name) for name in RUNNER_NAMES):
        runner = cast("GraphRunner", found)
        if runner.graph_id != graph_id:
            raise ConfigurationError(f"the graph calls itself {runner.graph_id}")
        return runner
    if isinstance(found, type) or not callable(found):
        problem = (
            f"expected a function agent(state, run), or a LangGraph graph, got {_shown(found)}"
        )
        raise ConfigurationError(problem)
    return FunctionGraph(graph_id, found, threads=threads, closes_tool_calls=closes_tool_calls)


def is_langgraph(found: object) -> bool:
    """Say whether the object is LangGraph's: a graph, compiled or not."""
    return any(kind.__module__.partition(".")[0] == "langgraph" for kind in type(found).__mro__)


def makes_langgraph(found: object) -> bool:
    """Say whether the object makes LangGraph graphs: a context manager, or a function that is no agent by what it takes.

    An agent takes its state. What takes nothing, or first a config or a server's runtime, or says that it returns a graph, makes
    one.
    """
    if isinstance(found, type):
        return False
    if any(hasattr(found, name) for name in ("__aenter__", "__enter__")):
        return True
    if not callable(found):
        return False
    if _is_managing(found):
        return True
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return False
    if _names(signature.return_annotation, GRAPH_ANNOTATIONS):
        return True
    first = next(iter(signature.parameters.values()), None)
    if first is None:
        return not (inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found))
    return first.name in FACTORY_PARAMETERS or _names(first.annotation, FACTORY_ANNOTATIONS)


def _is_managing(found: Callable[..., object]) -> bool:
    """Say whether the function was a generator before `contextmanager` or `asynccontextmanager` decorated it."""
    inner = inspect.unwrap(found)
    return inner is not found and (
        inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner)
    )


def _names(annotation: object, names: Sequence[str]) -> bool:
    if annotation is inspect.Parameter.empty:
        return False
    text = annotation if isinstance(annotation, str) else repr(annotation)
    return any(name in text for name in names)


def _langgraph_runner(graph_id: str, found: object, **options: object) -> GraphRunner:
    try:
        module = importlib.import_module("...langgraph.runner", __name__)
    except ImportError as error:
        raise ConfigurationError(f"LangGraph graphs need an extra: {EXTRA} ({error})") from error
    return module.langgraph_runner(graph_id, found, **options)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
