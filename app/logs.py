"""The log of the server process: lines for people, or one JSON object a line for machines."""

from __future__ import annotations

import logging
import sys
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

from .http.access import request_id

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
NAMES = {"asctime": "time", "levelname": "level", "name": "logger"}


class _RequestId(logging.Filter):
    """Adds the id of the request that is being answered."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never leave a record out."""
        identity = request_id.get()
        if identity is not None:
            record.request_id = identity
        return True


def configure(kind: Literal["text", "json"]) -> None:
    """Send all logs to the standard error stream, in this form, from INFO on; a process that has set up its logs keeps them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_RequestId())
    if kind == "json":
        handler.setFormatter(
            JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields=NAMES)
        )
    else:
        handler.setFormatter(logging.Formatter(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Its lines hold whole URLs.
