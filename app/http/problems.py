"""What goes wrong, as HTTP: the one table of statuses, and the handlers. All of it is JSON, `{"detail": "<text>"}`."""

from __future__ import annotations

import logging

from fastapi import FastAPI
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ...domain import errors
from .responses import JsonResponse

logger = logging.getLogger(__name__)

STATUS_BY_ERROR: dict[type[Exception], int] = {
    errors.EngineError: 500,
    errors.RefusedError: 409,
    errors.ThreadNotFoundError: 404,
    errors.ThreadExistsError: 409,
    errors.ThreadBusyError: 409,
    errors.RunNotFoundError: 404,
    errors.RunExistsError: 409,
    errors.RunEndedError: 404,  # Cancelling what has ended finds no run to cancel.
    errors.RunNotDueError: 409,
    errors.StaleAttemptError: 409,
    errors.NothingToResumeError: 409,
    errors.QueueFullError: 429,
    errors.KeyTakenError: 409,
    errors.KeyReusedError: 409,
    errors.CheckpointNotFoundError: 404,
    errors.AssistantNotFoundError: 404,
    errors.AssistantExistsError: 409,
    errors.AssistantVersionNotFoundError: 404,
    errors.DefaultAssistantError: 409,
    errors.GraphNotFoundError: 422,
    errors.ErasedError: 410,
    errors.InvalidInputError: 422,
    errors.NotJsonError: 422,
    errors.UnregisteredTypeError: 422,
    errors.UnknownMessageError: 400,
    errors.ReducerError: 422,
    errors.UnknownNodeError: 400,
    errors.StoreError: 500,
    errors.VersionConflictError: 503,
    errors.RunIdTakenError: 409,
    errors.ContentionError: 503,
    errors.StoreUnavailableError: 503,
    errors.StoreVersionError: 500,
    errors.UnreadableEventError: 500,
    errors.UnreadableValueError: 500,
    errors.ConfigurationError: 500,
}
"""Every error of the domain. One that is not here has the status of its nearest base."""

RETRY_AFTER_SECONDS = {429: "1", 503: "1"}

INVALID_JSON = "Invalid JSON in request body"


class UnprocessableError(HTTPException):
    """The request is understood and cannot be carried out as it stands."""

    def __init__(self, detail: str) -> None:
        super().__init__(422, detail)


def status_of(error: errors.EngineError) -> int:
    """Return the status for an error, by its class or the nearest base in the table."""
    return next(STATUS_BY_ERROR[kind] for kind in type(error).__mro__ if kind in STATUS_BY_ERROR)


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JsonResponse:
    """Return the response for a problem."""
    # Text from outside may hold what UTF-8 cannot.
    text = detail.encode(errors="backslashreplace").decode()
    return JsonResponse({"detail": text}, status, headers=headers)


def described(error: ValidationError) -> str:
    """Say what is wrong with which fields, a line for each."""
    lines: list[str] = []
    for entry in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in entry["loc"]) or "body"
        line = f"{where}: {entry['msg']}"
        if line not in lines:
            lines.append(line)
    return "\n".join(lines)


async def _on_engine_error(request: Request, error: errors.EngineError) -> JsonResponse:
    status = status_of(error)
    if status >= 500 and status != 503:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    retry_after = RETRY_AFTER_SECONDS.get(status)
    return problem(status, str(error), {"Retry-After": retry_after} if retry_after else None)


async def _on_http_error(request: Request, error: HTTPException) -> JsonResponse:
    del request
    return problem(error.status_code, str(error.detail), dict(error.headers or {}))


async def _on_invalid(request: Request, error: ValidationError) -> JsonResponse:
    del request
    return problem(422, described(error))


async def _on_defect(request: Request, error: Exception) -> JsonResponse:
    del request, error  # The server logs it, with its trace.
    return problem(500, "Internal Server Error")


def install(app: FastAPI) -> None:
    """Have the app answer every error by the table above."""
    app.exception_handler(errors.EngineError)(_on_engine_error)
    app.exception_handler(HTTPException)(_on_http_error)
    app.exception_handler(ValidationError)(_on_invalid)
    app.exception_handler(Exception)(_on_defect)
