"""The measure of the server: an app that reads the request and answers with constant JSON. Run as a program, it serves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

ANSWER = b'{"question":"What is the weather like?","answer":"You asked: What is the weather like?"}'


async def answer(request: Request) -> Response:
    """Answer anything."""
    await request.body()
    return Response(ANSWER, media_type="application/json")


class Server(uvicorn.Server):
    """Says where it listens, as ours does."""

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        sys.stdout.write(f"No-op at http://127.0.0.1:{port}\n")
        sys.stdout.flush()


def main() -> None:
    """Serve on a free port."""
    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    config = uvicorn.Config(
        app, port=0, loop="uvloop", http="httptools", log_level="warning", access_log=False
    )
    Server(config).run()


if __name__ == "__main__":
    main()
