"""Errors say what they are about, and survive the way to another process."""

import copy
import pickle
from typing import Any

import pytest

from threadfold.domain import errors

FIELDS: dict[type[errors.EngineError], dict[str, Any]] = {
    errors.ThreadNotFoundError: {"thread_id": "t1"},
    errors.ThreadExistsError: {"thread_id": "t1"},
    errors.ThreadBusyError: {"run_ids": ("r1", "r2")},
    errors.RunNotFoundError: {"run_id": "r1"},
    errors.RunExistsError: {"run_id": "r1"},
    errors.RunEndedError: {"run_id": "r1"},
    errors.RunNotDueError: {"run_id": "r1"},
    errors.StaleAttemptError: {"run_id": "r1", "attempt": 2},
    errors.NothingToResumeError: {"thread_id": "t1"},
    errors.QueueFullError: {"runs_max": 7},
    errors.KeyTakenError: {"key": "k"},
    errors.KeyReusedError: {"key": "k"},
    errors.CheckpointNotFoundError: {"checkpoint_id": "c1"},
    errors.AssistantNotFoundError: {"assistant_id": "a1"},
    errors.AssistantExistsError: {"assistant_id": "a1"},
    errors.AssistantVersionNotFoundError: {"assistant_id": "a1", "version": 2},
    errors.DefaultAssistantError: {"assistant_id": "a1", "graph_id": "g"},
    errors.GraphNotFoundError: {"graph_id": "g", "known": ("agent",)},
    errors.ErasedError: {"version": 3},
    errors.NotJsonError: {"where": "input.a", "problem": "a value of type set"},
    errors.UnregisteredTypeError: {"where": "plan.steps[0]", "name": "shop.orders:Order"},
    errors.UnknownMessageError: {"message_id": "m1"},
    errors.ReducerError: {"channel": "messages", "problem": "no"},
    errors.UnknownNodeError: {"node": "n"},
    errors.VersionConflictError: {"thread_id": "t1", "expected_version": 3},
    errors.RunIdTakenError: {"run_id": "r1"},
    errors.ContentionError: {"thread_id": "t1", "seconds": 5.0},
    errors.UnreadableEventError: {"name": "Nope.1"},
    errors.UnreadableValueError: {"problem": "the tag 'nope'"},
}
SPEAKING = (
    errors.EngineError,
    errors.RefusedError,
    errors.InvalidInputError,
    errors.StoreError,
    errors.StoreUnavailableError,
    errors.StoreVersionError,
    errors.ConfigurationError,
)
"""Those that are given their message."""

SAMPLES = [
    *(kind(**fields) for kind, fields in FIELDS.items()),
    *(kind("what happened") for kind in SPEAKING),
]


def kinds(root: type[errors.EngineError]) -> set[type[errors.EngineError]]:
    own = (kind for kind in root.__subclasses__() if kind.__module__ == errors.__name__)
    return {root}.union(*(kinds(kind) for kind in own))


def test_every_error_is_looked_at_here() -> None:
    assert {type(error) for error in SAMPLES} == kinds(errors.EngineError)


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickle_and_copy(error: errors.EngineError) -> None:
    error.add_note("seen on the way")
    sent = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    for twin in (sent, copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_an_error_keeps_what_it_is_about(kind: type[errors.EngineError]) -> None:
    error = kind(**FIELDS[kind])
    about = {name: value for name, value in FIELDS[kind].items() if name in vars(error)}
    assert about
    assert all(getattr(error, name) == value for name, value in about.items())
    assert str(error)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    for kind in kinds(errors.EngineError):
        assert kind.__name__ in errors.__doc__
