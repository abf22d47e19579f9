"""What handlers read of requests, taken down: a field that no handler reads is one that is silently ignored."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, QueryParams

from threadfold.app.http.models import Body

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from tests.support.sdk_calls import Field


class Reading:
    """Which fields of bodies, queries and headers were read. Of bodies only those that a request's own model has, not parts."""

    def __init__(self) -> None:
        self._whole: set[type[Body]] = set()
        self._of_models: set[tuple[type[Body], str]] = set()
        self._others: set[Field] = set()

    @property
    def fields(self) -> set[Field]:
        """Where each field stood, and its name; headers in small letters."""
        of_bodies = {("body", name) for model, name in self._of_models if model in self._whole}
        return of_bodies | self._others

    def body(self, model: type[Body]) -> None:
        if not model.__name__.startswith("_"):  # Else it is a parameter's.
            self._whole.add(model)

    def field(self, model: type[Body], *names: str) -> None:
        self._of_models |= {(model, name) for name in names}

    def other(self, where: str, name: str) -> None:
        self._others.add((where, name))


@contextmanager
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    """Take down what is read inside."""
    read = Reading()
    with monkeypatch.context() as patch:
        _watch_models(patch, read)
        _watch_parameters(patch, read)
        yield read


def _watch_models(patch: pytest.MonkeyPatch, read: Reading) -> None:
    plain_get, plain_dump = Body.__getattribute__, Body.model_dump
    plain_validate = Body.model_validate.__func__

    def get(self: Body, name: str) -> Any:
        if not name.startswith("_") and name in type(self).__pydantic_fields__:
            read.field(type(self), name)
        return plain_get(self, name)

    def dump(self: Body, **options: Any) -> dict[str, Any]:
        read.field(type(self), *(options.get("include") or type(self).__pydantic_fields__))
        return plain_dump(self, **options)

    def validate(model: type[Body], *args: Any, **options: Any) -> Body:
        read.body(model)
        return plain_validate(model, *args, **options)

    patch.setattr(Body, "__getattribute__", get)
    patch.setattr(Body, "model_dump", dump)
    patch.setattr(Body, "model_validate", classmethod(validate))


def _watch_parameters(patch: pytest.MonkeyPatch, read: Reading) -> None:
    for kind, where, names in (
        (QueryParams, "query", ("get", "getlist", "__getitem__", "__contains__")),
        (Headers, "header", ("get", "getlist", "__getitem__", "__contains__")),
    ):
        for name in names:
            if name in ("get", "getlist", "__getitem__", "__contains__"):
                _watch(patch, read, kind, where, name)


def _watch(patch: pytest.MonkeyPatch, read: Reading, kind: Any, where: str, name: str) -> None:
    plain = getattr(kind, name)

    def watched(self: Any, key: str, *rest: Any) -> Any:
        read.other(where, key.lower() if where == "header" else key)
        return plain(self, key, *rest)

    patch.setattr(kind, name, watched)
