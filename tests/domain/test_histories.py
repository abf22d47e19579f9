"""Logs of every released version fold to what users saw then. `tests/histories` only ever grows."""

import json
from pathlib import Path

import pytest

from tests.support.recordings import FOLDER, SCENARIOS, add_missing, load, read, seen, write
from tests.support.saved_seen import seen as seen_saved
from tests.support.visible import complete
from threadfold.domain.snapshots import from_snapshot, to_snapshot
from threadfold.domain.thread import fold

RECORDINGS = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_recorded_log_folds_to_what_was_seen_at_each_version(path: Path) -> None:
    """I13: fields that users see today and did not see then are left out of the comparison."""
    recording = load(path)
    log = read(recording)
    for then, now in zip(recording["visible"], seen(log), strict=True):
        assert {name: now[name] for name in then} == then


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_recorded_log_may_go_on_from_a_snapshot(path: Path) -> None:
    """I6."""
    log = read(load(path))
    half = len(log) // 2
    snapshot = json.loads(json.dumps(to_snapshot(fold(log[:half]))))
    restored = fold(log[half:], from_snapshot(snapshot))
    assert complete(restored) == complete(fold(log))
    assert seen_saved(restored) == seen_saved(fold(log))


def test_every_scenario_was_recorded() -> None:
    assert SCENARIOS.keys() <= {path.stem for path in RECORDINGS}
    assert add_missing() == []


def test_a_recording_is_never_written_over(tmp_path: Path) -> None:
    added = add_missing(tmp_path)
    assert {path.stem for path in added} == SCENARIOS.keys()
    before = added[0].read_bytes()
    with pytest.raises(FileExistsError):
        write(added[0].stem, [], "another one", tmp_path)
    assert added[0].read_bytes() == before
    assert add_missing(tmp_path) == []
