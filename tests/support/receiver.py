"""A real HTTP server that takes calls of webhooks, and answers each as it is told to."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Received:
    """One call."""

    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def delivery(self) -> str:
        return self.headers["x-threadfold-delivery"]


@dataclass
class Receiver:
    """Where calls arrive. `statuses` are those of the next answers; after them it is 200. `hold` lets no answer out."""

    url: str = ""
    statuses: deque[int] = field(default_factory=deque)
    calls: list[Received] = field(default_factory=list)
    hold: asyncio.Event | None = None
    location: str = ""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def arrived(self, count: int) -> list[Received]:
        """Return the calls once there are so many."""
        async with asyncio.timeout(30):
            while len(self.calls) < count:
                self._news.clear()
                await self._news.wait()
        return self.calls

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")[1:]
            headers = {
                name.lower(): value
                for name, _, value in (line.partition(": ") for line in lines if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.calls.append(Received(headers, body))
            self._news.set()
            if self.hold is not None:
                await self.hold.wait()
            status = self.statuses.popleft() if self.statuses else 200
            where = f"Location: {self.location}\r\n" if self.location else ""
            writer.write(f"HTTP/1.1 {status} X\r\n{where}Content-Length: 2\r\n\r\nok".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # The caller has given up.
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Give a receiver that listens at a port of its own."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?a=b"
    try:
        yield receiver
    finally:
        if receiver.hold is not None:
            receiver.hold.set()
        server.close()
        await server.wait_closed()
