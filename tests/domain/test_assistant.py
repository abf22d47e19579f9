"""Assistants: what each command comes to, and their fold against a model that knows nothing of events."""

import json
from copy import deepcopy
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import TypeAdapter

from threadfold.domain import assistant as module
from threadfold.domain.assistant import (
    NO_ASSISTANT,
    Assistant,
    AssistantCreated,
    AssistantDeleted,
    AssistantEvent,
    AssistantPatched,
    AssistantVersionSet,
    CreateAssistant,
    DeleteAssistant,
    PatchAssistant,
    RecordedAssistantEvent,
    SetAssistantVersion,
    decide,
    evolve,
    fold,
    require_thread_id,
    stream_of,
)
from threadfold.domain.errors import (
    AssistantExistsError,
    AssistantNotFoundError,
    AssistantVersionNotFoundError,
    DefaultAssistantError,
    InvalidInputError,
    RefusedError,
)
from threadfold.domain.upcasting import SCHEMA

ID = "0198c0de-0000-7000-8000-000000000001"
START = datetime(2026, 1, 1, tzinfo=UTC)
EVENT: TypeAdapter[AssistantEvent] = TypeAdapter(AssistantEvent)

CREATED = AssistantCreated(graph_id="agent", name="one", metadata={"a": 1})


def recorded(*events: AssistantEvent, after: int = 0) -> list[RecordedAssistantEvent]:
    return [
        RecordedAssistantEvent(ID, head, head, START + timedelta(seconds=head), event)
        for head, event in enumerate(events, after + 1)
    ]


def given_events(*events: AssistantEvent) -> Assistant:
    return fold(recorded(*events))


def patch(**changes: Any) -> PatchAssistant:
    return PatchAssistant(assistant_id=ID, **changes)


# ------------------------------------------------------------------ decisions


def test_a_new_assistant_is_created_once() -> None:
    command = CreateAssistant(assistant_id=ID, graph_id="agent", name="one", metadata={"a": 1})
    assert decide(command, NO_ASSISTANT) == (CREATED,)
    with pytest.raises(AssistantExistsError):
        decide(command, given_events(CREATED))
    assert decide(replace(command, if_exists="do_nothing"), given_events(CREATED)) == ()


def test_a_deleted_assistant_can_be_created_again() -> None:
    gone = given_events(CREATED, AssistantPatched(name="two"), AssistantDeleted())
    command = CreateAssistant(assistant_id=ID, graph_id="other")
    (created,) = decide(command, gone)
    again = evolve(gone, recorded(created, after=3)[0])
    assert [version.version for version in again.versions] == [1]
    assert again.created_at == START + timedelta(seconds=4)
    assert again.head == 4


def test_a_default_assistant_is_there_without_events() -> None:
    command = CreateAssistant(assistant_id=ID, graph_id="agent", is_default=True)
    with pytest.raises(AssistantExistsError):
        decide(command, NO_ASSISTANT)
    assert decide(replace(command, if_exists="do_nothing"), NO_ASSISTANT) == ()


def test_a_default_assistant_is_stored_when_it_is_first_changed() -> None:
    created, patched = decide(patch(name="big", default_graph_id="agent"), NO_ASSISTANT)
    assert created == AssistantCreated(
        graph_id="agent", name="agent", metadata={"created_by": "system"}
    )
    assert patched == AssistantPatched(name="big")
    assert decide(patch(default_graph_id="agent"), given_events(CREATED)) == (AssistantPatched(),)


def test_what_is_not_there_cannot_be_changed() -> None:
    for command in (
        patch(name="x"),
        SetAssistantVersion(assistant_id=ID, version=1),
        DeleteAssistant(assistant_id=ID),
    ):
        for assistant in (NO_ASSISTANT, given_events(CREATED, AssistantDeleted())):
            with pytest.raises(AssistantNotFoundError):
                decide(command, assistant)


def test_the_latest_version_is_set_if_it_is_there_and_another_one() -> None:
    assistant = given_events(CREATED, AssistantPatched(name="two"))
    older = SetAssistantVersion(assistant_id=ID, version=1)
    assert decide(older, assistant) == (AssistantVersionSet(version=1),)
    assert decide(replace(older, version=2), assistant) == ()
    for unknown in (0, -1, 3):
        with pytest.raises(AssistantVersionNotFoundError):
            decide(replace(older, version=unknown), assistant)
    of_default = replace(older, default_graph_id="agent")
    assert decide(of_default, NO_ASSISTANT) == ()
    with pytest.raises(AssistantVersionNotFoundError):
        decide(replace(of_default, version=2), NO_ASSISTANT)


def test_a_default_assistant_cannot_be_deleted_changed_or_not() -> None:
    command = DeleteAssistant(assistant_id=ID, default_graph_id="agent")
    for assistant in (NO_ASSISTANT, given_events(CREATED)):
        with pytest.raises(DefaultAssistantError):
            decide(command, assistant)
    assert decide(DeleteAssistant(assistant_id=ID), given_events(CREATED)) == (AssistantDeleted(),)


def test_no_thread_is_called_as_an_assistants_events_are() -> None:
    with pytest.raises(InvalidInputError, match="is the name of an assistant's events"):
        require_thread_id(stream_of(ID))
    for name in (ID, stream_of(ID[:-1]), stream_of("mine"), stream_of(ID.upper())):
        require_thread_id(name)


# ------------------------------------------------------------------ fold


objects = st.dictionaries(st.sampled_from("abc"), st.integers(0, 2), max_size=2)
maybe = st.none() | objects
texts = st.none() | st.sampled_from(("x", "y"))
commands = st.one_of(
    st.builds(
        CreateAssistant,
        assistant_id=st.just(ID),
        graph_id=st.sampled_from(("agent", "other")),
        name=st.just("new"),
        config=objects,
        context=objects,
        metadata=objects,
        if_exists=st.sampled_from(("raise", "do_nothing")),
    ),
    st.builds(
        PatchAssistant,
        assistant_id=st.just(ID),
        graph_id=st.none() | st.sampled_from(("agent", "other")),
        name=texts,
        description=texts,
        config=maybe,
        context=maybe,
        metadata=maybe,
    ),
    st.builds(SetAssistantVersion, assistant_id=st.just(ID), version=st.integers(0, 5)),
    st.just(DeleteAssistant(assistant_id=ID)),
)


class Model:
    """Assistants as a list of versions, changed in place; True: the command was carried out."""

    def __init__(self) -> None:
        self.versions: list[dict[str, Any]] = []
        self.latest = 0

    def do(self, command: Any) -> bool:
        match command:
            case CreateAssistant():
                if self.versions:
                    return command.if_exists == "do_nothing"
                content = asdict(command)
                self.versions = [{key: content[key] for key in KEYS}]
                self.latest = 1
            case PatchAssistant():
                if not self.versions:
                    return False
                version = deepcopy(self.versions[self.latest - 1])
                changes = {k: v for k, v in asdict(command).items() if k in KEYS and v is not None}
                version["metadata"].update(changes.pop("metadata", {}))
                self.versions.append(version | changes)
                self.latest = len(self.versions)
            case SetAssistantVersion():
                if not 1 <= command.version <= len(self.versions):
                    return False
                self.latest = command.version
            case DeleteAssistant():
                is_there = bool(self.versions)
                self.versions, self.latest = [], 0
                return is_there
        return True


KEYS = ("graph_id", "name", "description", "config", "context", "metadata")


def run(sequence: list[Any], check: Any = None) -> tuple[list[RecordedAssistantEvent], Model]:
    """Carry out commands on a fold and on the model, and compare them after each."""
    model, log, assistant = Model(), list[RecordedAssistantEvent](), NO_ASSISTANT
    for command in sequence:
        before, log_before = deepcopy(assistant), list(log)
        try:
            events = decide(command, assistant)
        except RefusedError:
            assert not model.do(command)
            continue
        assert model.do(command)
        added = recorded(*events, after=assistant.head)
        after = fold(added, assistant)
        assert assistant == before  # A fold never changes an older state.
        log += added
        assistant = after
        shown = [{key: getattr(v, key) for key in KEYS} for v in assistant.versions]
        assert shown == model.versions
        assert [v.version for v in assistant.versions] == list(range(1, len(shown) + 1))
        assert (assistant.latest.version if assistant.latest else 0) == model.latest
        if assistant.latest is not None:
            assert assistant.latest == assistant.version(model.latest)
        assert assistant.head == len(log) >= len(log_before)
    return log, model


@given(st.lists(commands, max_size=12))
def test_the_fold_of_the_events_is_what_a_naive_model_has(sequence: list[Any]) -> None:
    """I2: and it is incremental."""
    log, _ = run(sequence)
    assert fold(log) == fold(log[len(log) // 2 :], fold(log[: len(log) // 2]))


@given(st.lists(commands, max_size=12))
def test_events_survive_their_stored_form(sequence: list[Any]) -> None:
    """I13."""
    log, _ = run(sequence)
    read = [replace(each, event=EVENT.validate_json(each.event.model_dump_json())) for each in log]
    assert read == log
    assert fold(read) == fold(log)


HISTORIES = sorted((Path(__file__).parents[1] / "histories" / "assistants").glob("*.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_recorded_log_folds_to_what_was_seen_at_each_head(path: Path) -> None:
    """I13: the files are never changed, they stand for databases out there."""
    recording = json.loads(path.read_text(encoding="utf-8"))
    assistant, seen = NO_ASSISTANT, []
    for head, entry in enumerate(recording["log"], 1):
        name, _, version = entry["topic"].rpartition(".")
        kind, upcasters = SCHEMA.path(name, int(version))
        fields = entry["event"]
        for upcast in upcasters:
            fields = upcast(fields)
        at = datetime.fromtimestamp(entry["at"], UTC)
        event: Any = kind.model_validate(fields)
        assistant = evolve(assistant, RecordedAssistantEvent(ID, head, head, at, event))
        latest = assistant.latest
        shown = (
            None if latest is None else {key: getattr(latest, key) for key in ("version", *KEYS)}
        )
        seen.append({"latest": shown, "versions": len(assistant.versions)})
    for then, now in zip(recording["visible"], seen, strict=True):
        assert {name: now[name] for name in then} == then


def test_a_history_was_recorded() -> None:
    assert HISTORIES


@pytest.mark.parametrize(
    "fault", ["patch the newest instead of the latest", "replace metadata", "keep the deleted"]
)
def test_planted_faults_are_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real_patched, real_evolve = module._patched, module.evolve

    def faulty_patched(before: Any, event: Any, version: int, at: datetime) -> Any:
        after = real_patched(before, event, version, at)
        return replace(after, metadata=event.metadata or before.metadata)

    def faulty_evolve(assistant: Assistant, each: RecordedAssistantEvent) -> Assistant:
        if fault == "keep the deleted" and isinstance(each.event, AssistantDeleted):
            return replace(assistant, head=each.head, updated_at=each.recorded_at)
        if fault.startswith("patch") and isinstance(each.event, AssistantPatched):
            assistant = replace(assistant, latest=assistant.versions[-1])
        return real_evolve(assistant, each)

    if fault == "replace metadata":
        monkeypatch.setattr(module, "_patched", faulty_patched)
    else:
        monkeypatch.setattr(module, "evolve", faulty_evolve)
    sequence = [
        CreateAssistant(assistant_id=ID, graph_id="agent", metadata={"a": 1}),
        patch(name="x", metadata={"b": 2}),
        SetAssistantVersion(assistant_id=ID, version=1),
        patch(description="y"),
        DeleteAssistant(assistant_id=ID),
    ]
    with pytest.raises(AssertionError):
        run(sequence)
    monkeypatch.undo()
    run(sequence)
