"""Which URLs name a store, and what is said about the others."""

import os
from pathlib import Path

import pytest

from threadfold.domain.errors import ConfigurationError
from threadfold.infrastructure.log.opening import open_store

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://localhost/log", "not available yet"),
        ("postgresql+psycopg://localhost/log", "not available yet"),
        ("mysql://localhost/log", "names no store"),
        ("threadfold.db", "names no store"),
        ("", "names no store"),
        ("memory", "names no store"),
        ("sqlite://", "a path has to follow"),
        ("sqlite:///", "a path has to follow"),
        ("sqlite://threadfold.db", "a path has to follow"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:////no/such/folder/log.db", "the folder /no/such/folder does not exist"),
        ("sqlite:////", "is a folder"),
    ],
)
def test_what_names_no_store_is_refused_with_a_reason(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_store(url)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match="not writable"):
        open_store(f"sqlite:///{tmp_path}/log.db")


async def test_a_path_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opening
) -> None:
    monkeypatch.chdir(tmp_path)
    await opening("sqlite:///log.db")
    assert (tmp_path / "log.db").is_file()


def test_each_store_has_a_holder_name_of_its_own() -> None:
    assert open_store("memory://").holder != open_store("memory://").holder
    assert open_store("memory://", holder="me").holder == "me"
