"""The reference names everything that there is, and nothing else."""

import re
from pathlib import Path
from typing import get_args

from threadfold import Settings
from threadfold.domain.assistant import ASSISTANT_EVENT_CLASSES
from threadfold.domain.events import ThreadEvent

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text()


def rows(heading: str) -> set[str]:
    section = REFERENCE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_event_has_a_row() -> None:
    union = get_args(ThreadEvent)[0]
    assert rows("Events") == {event.__name__ for event in get_args(union)}


def test_every_event_of_assistants_has_a_row() -> None:
    assert rows("Events of assistants") == set(ASSISTANT_EVENT_CLASSES)


def test_every_setting_has_a_row_with_its_default() -> None:
    assert rows("Settings") == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        shown = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        assert re.search(rf"`{name}`.*\| [^|]*\b{shown}\b", REFERENCE), (name, shown)
