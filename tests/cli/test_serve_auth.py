"""`threadfold serve` with handlers from `langgraph.json` and with API keys from the environment."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.errors import AuthenticationError, NotFoundError

from tests.cli.conftest import Server, refused

Start = Callable[..., Server]

pytestmark = pytest.mark.slow

AGENT = """
async def agent(state, run):
    user = run.config["configurable"]["langgraph_auth_user"]
    return {"messages": [{"role": "ai", "content": f"hello {user['display_name']}"}]}
"""

AUTH = """
from langgraph_sdk import Auth

auth = Auth()
NAMES = {"Bearer a": "ann", "Bearer b": "bob"}

@auth.authenticate
def authenticate(authorization):
    if authorization not in NAMES:
        raise Auth.exceptions.HTTPException(status_code=401, detail="No such token")
    return {"identity": NAMES[authorization], "display_name": NAMES[authorization].title()}

@auth.on
async def own(ctx, value):
    value.setdefault("metadata", {})["owner"] = ctx.user.identity
    return {"owner": ctx.user.identity}

@auth.on.store
async def scope(ctx, value):
    return False
"""


def project(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "who.py").write_text(AUTH)
    content = {"graphs": {"agent": "./agent.py:agent"}, "auth": {"path": "./who.py:auth"}}
    (tmp_path / "langgraph.json").write_text(json.dumps(content))


def test_handlers_that_the_configuration_names_hold(start: Start, tmp_path: Path) -> None:
    project(tmp_path)
    errors = tmp_path / "errors"
    everywhere = "0.0.0.0"  # noqa: S104 - so that a warning would be due
    with errors.open("w") as log:
        server = start("--port", "0", "--host", everywhere, errors=log)
        url = server.url.replace(everywhere, "127.0.0.1")
        hello = {"messages": [{"role": "user", "content": "hi"}]}
        with (
            get_sync_client(url=url, headers={"Authorization": "Bearer a"}) as ann,
            get_sync_client(url=url, headers={"Authorization": "Bearer b"}) as bob,
            get_sync_client(url=url) as nobody,
        ):
            thread_id = ann.threads.create()["thread_id"]
            values = ann.runs.wait(thread_id, "agent", input=hello)
            assert values["messages"][-1]["content"] == "hello Ann"
            with pytest.raises(NotFoundError):
                bob.threads.get(thread_id)
            with pytest.raises(AuthenticationError, match="No such token"):
                nobody.threads.create()
        assert server.stop() == 0
    told = errors.read_text()
    assert "no authentication" not in told
    assert "auth.on.store: not supported yet" in told

    from typer.testing import CliRunner

    from threadfold.app.cli import app

    store = ("--store", f"sqlite:///{tmp_path}/threadfold.db")
    shown = CliRunner().invoke(app, ["log", thread_id, *store], env={"COLUMNS": "200"}).stdout
    assert re.search(r"ThreadCreated +.*ann", shown)
    lines = CliRunner().invoke(app, ["log", thread_id, "--json", *store]).stdout.splitlines()
    by = {(event["type"], event["actor"]) for event in map(json.loads, lines)}
    assert {("ThreadCreated", "ann"), ("RunAccepted", "ann"), ("RunSucceeded", None)} <= by


def test_keys_from_the_environment_hold(start: Start, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    everywhere = "0.0.0.0"  # noqa: S104 - so that a warning would be due
    demo = ("--demo-agent", "--store", "memory://", "--port", "0", "--host", everywhere)
    with errors.open("w") as log:
        server = start(*demo, errors=log, THREADFOLD_API_KEYS="one, two")
        url = server.url.replace(everywhere, "127.0.0.1")
        assert httpx.post(f"{url}/threads", json={}).status_code == 401
        for headers in ({"x-api-key": "two"}, {"Authorization": "Bearer one"}):
            assert httpx.post(f"{url}/threads", json={}, headers=headers).status_code == 200
        assert httpx.get(f"{url}/ok").status_code == 200
        assert server.stop() == 0
    assert "no authentication" not in errors.read_text()


def test_what_is_wrong_with_either_keeps_it_from_starting(tmp_path: Path) -> None:
    demo = ("serve", "--demo-agent", "--port", "0", "--store", "memory://")
    line = refused(tmp_path, *demo, THREADFOLD_API_KEYS="")
    assert "THREADFOLD_API_KEYS" in line
    assert "empty" in line
    line = refused(tmp_path, *demo, THREADFOLD_API_KEYS="very-secret,")
    assert "very-secret" not in line
    project(tmp_path)
    (tmp_path / "who.py").write_text("from langgraph_sdk import Auth\nauth = Auth()\n")
    assert "@auth.authenticate" in refused(tmp_path, "serve", "--port", "0")
    named = (tmp_path / "langgraph.json").read_text().replace("who.py:auth", "who.py:nobody")
    (tmp_path / "langgraph.json").write_text(named)
    assert "has no nobody" in refused(tmp_path, "serve", "--port", "0")
