"""Old forms of events are led to the current one, step by step; unknown ones are refused by name."""

from typing import Any, get_args

import pytest

from threadfold.domain.assistant import ASSISTANT_EVENT_CLASSES
from threadfold.domain.errors import UnreadableEventError
from threadfold.domain.events import RunDeleted, RunStarted, ThreadEvent
from threadfold.domain.upcasting import SCHEMA, Schema


def renamed(fields: dict[str, Any]) -> dict[str, Any]:
    return {"run_id": fields["run"]}


def prefixed(fields: dict[str, Any]) -> dict[str, Any]:
    return {"run_id": f"run-{fields['run_id']}"}


GROWN = Schema(
    classes={"RunDeleted": RunDeleted},
    versions={"RunDeleted": 3},
    upcasters={("RunDeleted", 1): renamed, ("RunDeleted", 2): prefixed},
)


@pytest.mark.parametrize(
    ("version", "fields"), [(1, {"run": "7"}), (2, {"run_id": "7"}), (3, {"run_id": "run-7"})]
)
def test_each_old_version_goes_all_the_way_to_the_current_one(
    version: int, fields: dict[str, Any]
) -> None:
    """I13."""
    kind, upcasters = GROWN.path("RunDeleted", version)
    for upcast in upcasters:
        fields = upcast(fields)
    assert kind.model_validate(fields) == RunDeleted(run_id="run-7")
    assert GROWN.version("RunDeleted") == 3


@pytest.mark.parametrize(("name", "version"), [("RunDeleted", 4), ("RunDeleted", 0), ("Nope", 1)])
def test_what_this_program_does_not_know_is_refused_by_name(name: str, version: int) -> None:
    with pytest.raises(UnreadableEventError, match=rf"{name}\.{version}"):
        GROWN.path(name, version)


def test_every_event_can_be_read_in_the_version_that_is_written() -> None:
    """I13."""
    union, *_ = get_args(ThreadEvent)
    for kind in (*get_args(union), *ASSISTANT_EVENT_CLASSES.values()):
        name = kind.__name__
        for version in range(1, SCHEMA.version(name) + 1):
            found, upcasters = SCHEMA.path(name, version)
            assert found is kind
            assert len(upcasters) == SCHEMA.version(name) - version


def test_fields_of_a_newer_release_are_ignored() -> None:
    """I13."""
    event = RunStarted.model_validate({"run_id": "r1", "attempt": 1, "mood": "good"})
    assert event == RunStarted(run_id="r1", attempt=1)
