"""From a state type (TypedDict, dataclass or pydantic model) to the channels of a graph. Nothing of runs here."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    NotRequired,
    Required,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel
from typing_extensions import ReadOnly, is_typeddict

from ...domain import reducers
from ...domain.errors import ConfigurationError
from ...domain.reducers import Schema

if TYPE_CHECKING:
    from ...domain.reducers import Reducer
    from ...domain.values import Json

_EMPTY: dict[object, Callable[[], Json]] = {
    **dict.fromkeys((list, Sequence, MutableSequence), list),
    **dict.fromkeys((dict, Mapping, MutableMapping), dict),
    str: str,
    int: int,
    float: float,
    bool: bool,
}


def schema_of(state: object) -> Schema:
    """Return the channels of a state type: its fields, with the reducers that stand in their `Annotated`.

    A reducer of an own making starts on the field's empty value (`[]`, `{}`, `0`, `""`), as LangGraph's do; on None if the
    type is none of these.

    Raises:
        ConfigurationError: it is no state type, or a field's annotation or reducer cannot be used.
    """
    if not is_state_type(state):
        shown = getattr(state, "__name__", None) or repr(state)
        problem = f"expected a TypedDict, a dataclass or a pydantic model as state, got {shown}"
        raise ConfigurationError(problem)
    kind = cast("type[object]", state)
    hints = _hints(kind)
    found = {name: _reducer(kind, name, hints[name]) for name in _fields(kind, hints)}
    return Schema(
        names=frozenset(found),
        reducers={name: reducer for name, reducer in found.items() if reducer is not None},
    )


def is_state_type(value: object) -> bool:
    """Say whether the value is a type whose fields can be channels."""
    if not isinstance(value, type):
        return False
    return is_typeddict(value) or dataclasses.is_dataclass(value) or issubclass(value, BaseModel)


def annotated_state(function: Callable[..., Any], parameter: inspect.Parameter) -> object:
    """Return the annotation of a function's parameter, resolved; None if it has none.

    Only this one is looked at: the others may well name what is imported for type checkers alone.

    Raises:
        ConfigurationError: it names what cannot be found when the program runs.
    """
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        return None

    def holder() -> None: ...

    holder.__annotations__ = {"state": annotation}
    try:
        hint = get_type_hints(holder, globalns=_scope(function))["state"]
    except NameError as error:
        problem = (
            f"the annotation {annotation} of its parameter {parameter.name} cannot be resolved ({error}): "
            "import it outside `if TYPE_CHECKING`, or pass state="
        )
        raise ConfigurationError(problem) from error
    return get_origin(hint) or hint


def _scope(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the names that a function's module has."""
    inner = inspect.unwrap(getattr(function, "func", function))
    named = inner if hasattr(inner, "__globals__") else type(inner).__call__
    return getattr(named, "__globals__", {})


def _hints(kind: type[object]) -> dict[str, Any]:
    try:
        return get_type_hints(kind, include_extras=True)
    except NameError as error:
        problem = f"the fields of {kind.__name__} cannot be resolved: {error}"
        raise ConfigurationError(problem) from error


def _fields(kind: type[object], hints: Mapping[str, object]) -> list[str]:
    if issubclass(kind, BaseModel):
        return list(kind.model_fields)
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    return list(hints)


def _reducer(kind: type[object], name: str, hint: Any) -> Reducer | None:  # noqa: ANN401 - any annotation
    """Return the last callable of the annotation's metadata."""
    hint = _unqualified(hint)
    if get_origin(hint) is not Annotated:
        return None
    inner, *metadata = get_args(hint)
    found = [entry for entry in metadata if callable(entry) and not isinstance(entry, type)]
    if not found:
        return None
    reducer = found[-1]
    if not _takes_two(reducer):
        problem = f"{kind.__name__}.{name}: expected a reducer of two arguments, got {reducer!r}"
        raise ConfigurationError(problem)
    return _known(reducer) or _starting(cast("Reducer", reducer), _unqualified(inner))


def _unqualified(hint: Any) -> Any:  # noqa: ANN401 - any annotation
    while get_origin(hint) in (Required, NotRequired, ReadOnly):
        (hint,) = get_args(hint)
    return hint


def _takes_two(reducer: Callable[..., Any]) -> bool:
    try:
        inspect.signature(reducer).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # Some built-in functions have no signature.
        return True
    return True


def _known(reducer: Callable[..., object]) -> Reducer | None:
    """Return the reducers that the engine knows how to store well; LangGraph's `add_messages` has the rules of ours."""
    if reducer in (reducers.append, reducers.messages):
        return cast("Reducer", reducer)
    if getattr(reducer, "__module__", "") == "langgraph.graph.message":
        return reducers.messages if "add_messages" in getattr(reducer, "__name__", "") else None
    return None


def _starting(reducer: Reducer, kind: object) -> Reducer:
    empty = _EMPTY.get(get_origin(kind) or kind)
    if empty is None:
        return reducer
    return lambda old, update: reducer(empty() if old is None else old, update)
