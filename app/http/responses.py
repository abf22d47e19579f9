"""How answers are written: JSON and timestamps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import orjson
from starlette.responses import Response


def encoded(content: object) -> bytes:
    """Return JSON, as the SDKs expect it."""
    return orjson.dumps(content)


def timestamp(moment: datetime) -> str:
    """Return a moment in ISO 8601, with microseconds and `+00:00`."""
    return moment.isoformat(timespec="microseconds")


class JsonResponse(Response):
    """A response of JSON. Its content is not checked against any model: it comes from our own code."""

    media_type = "application/json"

    def __init__(
        self, content: object, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(encoded(content), status, headers)
