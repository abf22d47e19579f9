"""The root of the tree of errors (`errors.py`): what makes them speak, and survive the way to another process."""

from __future__ import annotations

from typing import Any


class EngineError(Exception):
    """Root of all that this package raises on purpose; fields are keyword-only attributes."""

    def __init__(self, message: str, **fields: object) -> None:
        super().__init__(message)
        self.__dict__.update(fields)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[EngineError], args: tuple[Any, ...], fields: dict[str, Any]) -> EngineError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error
