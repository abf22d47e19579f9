"""Which pages of other origins may call the server from a browser, and what of its answers they may read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware.cors import CORSMiddleware

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI

LOCAL_ORIGINS = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?"
"""Pages served by this machine: what a developer has without saying so."""

EXPOSED = (
    "Content-Location",
    "Location",
    "X-Pagination-Total",
    "X-Pagination-Next",
    "X-Request-ID",
    "Retry-After",
    "Idempotency-Replayed",
)
"""Headers of answers that the SDKs read; a browser hides all others from them."""

PREFLIGHT_SECONDS = 600


def install(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of these origins call the app; without any, those of this machine; `*`: all pages there are.

    Cookies are never taken: who calls shows a key in a header, so that no page can borrow a visitor's identity.
    """
    app.add_middleware(
        CORSMiddleware,
        allow_origins=tuple(origins),
        allow_origin_regex=None if origins else LOCAL_ORIGINS,
        allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("*",),
        expose_headers=EXPOSED,
        max_age=PREFLIGHT_SECONDS,
    )
