"""`auth` in a `langgraph.json`."""

import json
import logging
from pathlib import Path

import pytest
from langgraph_sdk import Auth

from threadfold.domain.errors import ConfigurationError
from threadfold.infrastructure.graphs.loading import load_graphs
from threadfold.infrastructure.graphs.loading_auth import load_auth

AUTH = """
from langgraph_sdk import Auth

auth = Auth()
nothing = 7

@auth.authenticate
async def authenticate(authorization):
    return authorization
"""


def project(tmp_path: Path, auth: object) -> Path:
    (tmp_path / "who.py").write_text(AUTH)
    (tmp_path / "agent.py").write_text("async def agent(state): ...\n")
    path = tmp_path / "langgraph.json"
    content = {"graphs": {"agent": "./agent.py:agent"}}
    path.write_text(json.dumps(content if auth is None else {**content, "auth": auth}))
    return path


def test_handlers_are_found_where_the_file_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = project(tmp_path, {"path": "./who.py:auth", "disable_studio_auth": True})
    with caplog.at_level(logging.WARNING):
        load_graphs(path)
        assert isinstance(load_auth(path), Auth)
    assert not caplog.records


def test_a_file_need_not_name_any(tmp_path: Path) -> None:
    assert load_auth(project(tmp_path, None)) is None


def test_what_is_not_supported_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_auth(project(tmp_path, {"path": "./who.py:auth", "cache": {"ttl": 1}}))
    assert "auth.cache is not supported yet" in caplog.text


@pytest.mark.parametrize(
    ("auth", "problem"),
    [
        ("./who.py:auth", "auth: expected an object"),
        ({}, "auth.path: expected"),
        ({"path": "./who.py"}, "auth.path: expected"),
        ({"path": "./other.py:auth"}, "auth.path: there is no file"),
        ({"path": "./who.py:other"}, "has no other"),
        ({"path": "./who.py:nothing"}, "expected a langgraph_sdk.Auth, got a int"),
    ],
)
def test_what_is_wrong_with_it_is_said(tmp_path: Path, auth: object, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=r"langgraph\.json") as caught:
        load_auth(project(tmp_path, auth))
    assert problem in str(caught.value)
