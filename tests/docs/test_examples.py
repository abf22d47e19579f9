"""Every Python example in the README and in docs/ runs, as a reader would type it."""

import ast
import gc
import inspect
import re
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXAMPLES = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}:{number}")
    for page in PAGES
    for number, block in enumerate(BLOCK.findall(page.read_text()), 1)
]


@pytest.fixture
def server_url(tmp_path: Path) -> Iterator[str]:
    """The URL of a server with the demonstration's agent, as `threadfold serve` starts it."""
    config = tmp_path / "langgraph.json"
    config.write_text('{"graphs": {"agent": "threadfold.infrastructure.graphs.weather:agent"}}')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "threadfold.app.cli", "serve", "--config", str(config)]
    command += ["--store", f"sqlite:///{tmp_path}/threadfold.db", "--port", str(port)]
    with subprocess.Popen(  # noqa: S603 - a command of our own
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        assert server.stdout is not None
        for line in server.stdout:  # It says where it listens when it does.
            if str(port).encode() in line:
                break
        else:
            pytest.fail("the server ended before it listened")
        yield f"http://127.0.0.1:{port}"
        server.send_signal(signal.SIGTERM)
        server.stdout.read()
        assert server.wait() == 0


# A reader's example does not close its client; Python says so, and that is no concern of the example's.
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("example", EXAMPLES)
async def test_examples_run(
    example: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if example.startswith("# with: server"):
        url = request.getfixturevalue("server_url")
        example = example.replace("http://127.0.0.1:2024", url)
    code = compile(example, "<example>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    module = types.ModuleType("example")
    result = types.FunctionType(code, module.__dict__)()
    if inspect.isawaitable(result):
        await result
    module.__dict__.clear()
    gc.collect()  # Here, and not in the middle of another test.


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2
