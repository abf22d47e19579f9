"""`Idempotency-Key`: a request that comes again under its key is answered what it was answered the first time."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response

from ...domain.kept_ports import KeptAnswer
from ..answers import Answers, Asked, Keep
from ..users import User
from .problems import UnprocessableError
from .requests import engine_of, read_json
from .responses import encoded

T = TypeVar("T")

KEY_CHARACTERS_MAX = 255
REPLAYED = {"Idempotency-Replayed": "true"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request under a key, that is about to be decided."""

    answers: Answers
    asked: Asked

    def keeping(self, answer: Callable[[T], tuple[object, Mapping[str, str]]]) -> Keep[T]:
        """Return what makes the answer that is kept, of what `answer` says of it: the JSON and the headers."""

        def keep(view: T) -> KeptAnswer:
            content, headers = answer(view)
            return self.answers.kept(self.asked, 200, encoded(content), dict(headers))

        return keep

    def part(self, number: int) -> Call:
        """Return the call of one part of the request, which is answered by itself."""
        asked = Asked(f"{self.asked.scope}#{number}", self.asked.key, self.asked.digest)
        return Call(self.answers, asked)


def keeping(
    call: Call | None, answer: Callable[[T], tuple[object, Mapping[str, str]]]
) -> Keep[T] | None:
    """Return what makes the answer that is kept, if the request came under a key."""
    return None if call is None else call.keeping(answer)


async def replayed(kept: KeptAnswer) -> Response:
    """Return an answer as it was."""
    headers = {name: str(value) for name, value in kept.headers.items()}
    return Response(kept.body, kept.status, {**headers, **REPLAYED}, media_type="application/json")


async def once(
    request: Request,
    decide: Callable[[Call | None], Awaitable[Response]],
    replay: Callable[[KeptAnswer], Awaitable[Response]] = replayed,
) -> Response:
    """Answer a request that creates something: decide, or, if it was decided under its key before, replay what came of that.

    The same request that comes while it is being decided waits. Raises KeyReusedError if the key stood for another body.
    """
    call = await call_of(request)
    if call is None:
        return await decide(None)
    answers, asked = call.answers, call.asked
    async with answers.lock(asked):
        kept = await answers.find(asked)
        if kept is not None:
            return await replay(kept)
        try:
            return await decide(call)
        except Exception:
            # It may be that another process was first: then it is not for this one to be refused.
            kept = await answers.find(asked)
            if kept is None:
                raise
            return await replay(kept)


async def call_of(request: Request) -> Call | None:
    """Return the call that a request is, if it came under a key."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= KEY_CHARACTERS_MAX or not key.isprintable():
        raise UnprocessableError(f"Idempotency-Key: expected 1 to {KEY_CHARACTERS_MAX} characters")
    body = orjson.dumps(await read_json(request), option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(body + b"?" + request.url.query.encode()).hexdigest()
    scope = f"{_caller(request)} {request.method} {request.url.path}"
    return Call(engine_of(request).answers, Asked(scope, key, digest))


def _caller(request: Request) -> str:
    """Return a fingerprint of the user; nothing, where nobody says who calls."""
    user: User | None = getattr(request.state, "user", None)
    return "" if user is None else hashlib.sha256(user.identity.encode()).hexdigest()
