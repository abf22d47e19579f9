"""What may be named as a LangGraph graph, and how a compiled graph comes of it for each use. Nothing runs here."""

from __future__ import annotations

import contextlib
import inspect
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeAlias,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from langgraph.runtime import Runtime
from langgraph_sdk import runtime as server_runtime

from ...domain.errors import ConfigurationError
from .compiled import compiled

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from langchain_core.runnables import RunnableConfig

    from .compiled import CompiledGraph

Access: TypeAlias = Literal[
    "threads.create_run", "threads.update", "threads.read", "assistants.read"
]
"""What a factory is asked for a graph for, in the words of LangGraph's servers."""

Role: TypeAlias = Literal["config", "server runtime", "runtime"]
"""What a factory's parameter takes."""

EXPECTED = "expected a compiled graph, a StateGraph, or a function that makes one"


class GraphSource:
    """Gives a compiled graph for each use: always the same one, or a new one that a factory makes.

    Raises:
        ConfigurationError: the object is no graph and makes none, or it cannot be compiled.
    """

    def __init__(self, found: object) -> None:
        self.fixed = _compiled(found)
        """The graph, if it is always the same one."""
        self._found = found
        self._roles: dict[str, Role] = {}
        if hasattr(found, "gen") and _is_manager(found):
            problem = (
                "this context manager can be entered only once: name the function that makes it"
            )
            raise ConfigurationError(problem)
        if self.fixed is None and not _is_manager(found):
            if isinstance(found, type) or not callable(found):
                raise ConfigurationError(f"{EXPECTED}, got {_described(found)}")
            self._roles = _roles(found)

    @asynccontextmanager
    async def graph(
        self, access: Access, config: RunnableConfig | None = None, context: object = None
    ) -> AsyncGenerator[CompiledGraph]:
        """Enter with the graph; what its factory opened for it is closed at the exit.

        A factory that is not async is called on the event loop, where what it makes is used.

        Raises:
            ConfigurationError: what the factory made is no graph.
        """
        if self.fixed is not None:
            yield self.fixed
            return
        async with contextlib.AsyncExitStack() as stack:
            made = self._found
            if not _is_manager(made):
                make = cast("Callable[..., object]", self._found)
                made = make(**self._arguments(access, config, context))
            if inspect.isawaitable(made):
                made = await made
            if isinstance(made, AbstractAsyncContextManager):
                made = await stack.enter_async_context(
                    cast("AbstractAsyncContextManager[object]", made)
                )
            elif isinstance(made, AbstractContextManager):
                made = stack.enter_context(cast("AbstractContextManager[object]", made))
            graph = _compiled(made)
            if graph is None:
                problem = f"{EXPECTED}; {_name(self._found)} made {_described(made)}"
                raise ConfigurationError(problem)
            yield graph

    def _arguments(
        self, access: Access, config: RunnableConfig | None, context: object
    ) -> dict[str, object]:
        values: dict[Role, Callable[[], object]] = {
            "config": lambda: config if config is not None else {"configurable": {}},
            "server runtime": lambda: _server_runtime(access, context),
            "runtime": lambda: cast("Any", Runtime)(context=context),
        }
        return {name: values[role]() for name, role in self._roles.items()}


def _compiled(found: object) -> CompiledGraph | None:
    try:
        return compiled(found)
    except Exception as error:
        problem = f"the graph cannot be compiled: {type(error).__name__}: {error}"
        raise ConfigurationError(problem) from error


def _is_manager(found: object) -> bool:
    return isinstance(found, AbstractAsyncContextManager | AbstractContextManager)


def _roles(factory: Callable[..., object]) -> dict[str, Role]:
    """Return what each of the factory's parameters takes: told by its annotation, or else by its name."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the signature of {factory!r} cannot be read") from error
    hints = _hints(factory)
    roles: dict[str, Role] = {}
    for parameter in parameters:
        role = _role(parameter, hints.get(parameter.name, parameter.annotation))
        is_needed = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if role is None and is_needed and not roles:
            role = "config"  # The first one may be called anything.
        if role is not None:
            roles[parameter.name] = role
        if is_needed and (role is None or parameter.kind is parameter.POSITIONAL_ONLY):
            problem = (
                f"{_name(factory)} takes {parameter.name}: a function that makes a graph may take "
                "config: RunnableConfig and runtime: ServerRuntime"
            )
            raise ConfigurationError(problem)
    return roles


def _role(parameter: inspect.Parameter, annotation: object) -> Role | None:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    kind = get_origin(annotation) or annotation
    if kind in _server_runtimes() or "ServerRuntime" in text:
        return "server runtime"
    if kind is Runtime or text.startswith("Runtime"):
        return "runtime"
    if "RunnableConfig" in text or parameter.name == "config":
        return "config"
    return "server runtime" if parameter.name == "runtime" else None


def _hints(factory: Callable[..., object]) -> dict[str, object]:
    """Return the resolved annotations; those that name what is imported for type checkers alone stay as text."""
    try:
        return get_type_hints(inspect.unwrap(factory))
    except Exception:  # noqa: BLE001 - annotations are the user's, and may be anything
        return {}


def _server_runtimes() -> tuple[object, ...]:
    alias = server_runtime.ServerRuntime
    return (alias, *(get_origin(each) for each in get_args(alias.__value__)))


def _server_runtime(access: Access, context: object) -> object:
    # LangGraph has no public way to make what it hands to factories on its own servers.
    executing, reading = (cast("Any", kind) for kind in _server_runtimes()[1:])
    if access == "threads.create_run":
        return executing(access_context=access, store=None, context=context)
    return reading(access_context=access, store=None)


def _name(found: object) -> str:
    return getattr(found, "__name__", type(found).__name__)


def _described(found: object) -> str:
    text = repr(found)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return f"{text} ({type(found).__name__})"
