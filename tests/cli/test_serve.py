"""`threadfold serve`: what it takes to start, and how it stops."""

import json
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from langgraph_sdk import get_sync_client

from tests.cli.conftest import Server, refused

Start = Callable[..., Server]

pytestmark = pytest.mark.slow

AGENT = """
import asyncio

async def agent(state, run):
    yield {"messages": [{"role": "ai", "content": f"attempt {run.attempt}"}]}
    await asyncio.sleep(run.config.get("configurable", {}).get("seconds", 0))
    yield {"messages": [{"role": "ai", "content": "done"}]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "agent.py").write_text(AGENT)
    path = tmp_path / "langgraph.json"
    path.write_text(json.dumps({"graphs": {"agent": "./agent.py:agent"}}))
    return path


def asking(seconds: float = 0, **fields) -> dict:
    return {
        "assistant_id": "agent",
        "input": {"messages": [{"role": "user", "content": "hi"}]},
        "config": {"configurable": {"seconds": seconds}},
        **fields,
    }


def contents(values: dict) -> list[str]:
    return [message["content"] for message in values["messages"]]


def test_it_serves_the_configuration_of_its_folder_on_a_file_there(
    start: Start, config: Path, tmp_path: Path
) -> None:
    server = start("--port", "0")
    with get_sync_client(url=server.url) as client:
        (assistant,) = client.assistants.search()
        assert assistant["graph_id"] == "agent"
        thread = client.threads.create()
        values = client.runs.wait(
            thread["thread_id"], "agent", input={"messages": [{"role": "user", "content": "hi"}]}
        )
        assert contents(values) == ["hi", "attempt 1", "done"]
    assert (tmp_path / "threadfold.db").exists()
    assert server.stop() == 0


def test_every_option_is_an_environment_variable_too(
    start: Start, config: Path, tmp_path: Path
) -> None:
    moved = config.rename(tmp_path / "other.json")
    server = start(
        THREADFOLD_CONFIG=str(moved),
        THREADFOLD_STORE="memory://",
        THREADFOLD_HOST="localhost",
        THREADFOLD_PORT="0",
        THREADFOLD_BODY_BYTES_MAX="1024",
    )
    assert httpx.get(f"{server.url}/ok").status_code == 200
    assert httpx.post(f"{server.url}/threads", content=b"x" * 2000).status_code == 413
    assert not (tmp_path / "threadfold.db").exists()


def test_what_keeps_it_from_starting_is_one_clear_line(tmp_path: Path) -> None:
    line = refused(tmp_path, "serve")
    assert "no langgraph.json" in line
    assert "--demo-agent" in line
    assert "cannot be read" in refused(tmp_path, "serve", "--config", "missing.json")
    (tmp_path / "bad.json").write_text("{")
    assert "expected JSON" in refused(tmp_path, "serve", "--config", "bad.json")
    demo = ("serve", "--demo-agent", "--port", "0")
    assert "names no store" in refused(tmp_path, *demo, "--store", "nonsense")
    assert "THREADFOLD_WORKER_SLOTS" in refused(tmp_path, *demo, THREADFOLD_WORKER_SLOTS="many")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(
            tmp_path, "serve", "--demo-agent", "--store", "memory://", "--port", str(port)
        )
    assert f"127.0.0.1:{port}" in line
    assert "--port" in line
    assert "cannot be resolved" in refused(
        tmp_path, "serve", "--demo-agent", "--store", "memory://", "--host", "no.such.host.invalid"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_good_order_and_with_it_what_can_finish_in_time(
    start: Start, config: Path, number: int
) -> None:
    server = start("--port", "0", "--store", "memory://", THREADFOLD_SHUTDOWN_SECONDS="20")
    with httpx.Client(base_url=server.url, timeout=30) as raw:
        thread_id = raw.post("/threads", json={}).json()["thread_id"]
        with raw.stream("POST", f"/threads/{thread_id}/runs/wait", json=asking(1)) as response:
            server.process.send_signal(number)
            response.read()
            assert contents(response.json()) == ["hi", "attempt 1", "done"]
    assert server.process.wait(20) == 0


@pytest.mark.parametrize("call", ["wait", "stream"])
def test_what_cannot_finish_is_cut_and_goes_on_in_the_next_process(
    start: Start, config: Path, call: str
) -> None:
    stop_at_once = {"THREADFOLD_SHUTDOWN_SECONDS": "0.1", "THREADFOLD_GRACE_SECONDS": "0.1"}
    server = start("--port", "0", **stop_at_once)
    with httpx.Client(base_url=server.url, timeout=30) as raw:
        thread_id = raw.post("/threads", json={}).json()["thread_id"]
        later = asking(0, after_seconds=3600)
        with (
            raw.stream("POST", f"/threads/{thread_id}/runs/{call}", json=asking(2)) as response,
            raw.stream("POST", f"/threads/{thread_id}/runs/{call}", json=later) as queued,
        ):
            location = response.headers["Location"]
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            for cut in (response, queued):
                with pytest.raises(httpx.RemoteProtocolError):  # So that an SDK asks again.
                    cut.read()
            stopping.join()
    assert server.process.returncode == 0

    server = start("--port", "0")
    with get_sync_client(url=server.url) as client:
        run_id = location.split("/")[4]
        assert contents(client.runs.join(thread_id, run_id)) == ["hi", "attempt 2", "done"]


def test_the_sdk_lives_through_a_restart(start: Start, config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    server = start("--port", port, THREADFOLD_SHUTDOWN_SECONDS="0")
    with get_sync_client(url=server.url) as client:
        thread_id = client.threads.create()["thread_id"]
        fields = asking(2)
        del fields["assistant_id"]
        answers: list = []

        def wait() -> None:
            answers.append(client.runs.wait(thread_id, "agent", **fields))

        with pytest.warns(UserWarning, match="attempting reconnect"):  # noqa: PT031
            waiting = threading.Thread(target=wait)
            waiting.start()
            while not any(run["status"] == "running" for run in client.runs.list(thread_id)):
                pass
            assert server.stop() == 0
            start("--port", port)
            waiting.join(30)
    assert contents(answers[0]) == ["hi", "attempt 2", "done"]


def test_who_listens_to_the_world_is_told_what_that_means(start: Start, tmp_path: Path) -> None:
    everywhere = "0.0.0.0"  # noqa: S104 - that is the point
    log = tmp_path / "errors"
    demo = ("--demo-agent", "--store", "memory://", "--port", "0")
    with log.open("w") as errors:
        start(*demo, "--host", everywhere, errors=errors)
    assert "no authentication" in log.read_text()


def test_the_help_names_the_commands(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from threadfold.app.cli import app

    text = CliRunner().invoke(app, ["--help"]).stdout
    for command in ("demo", "serve", "log", "state", "runs"):
        assert command in text
