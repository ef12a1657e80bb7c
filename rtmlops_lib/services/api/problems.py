"""Errors as answers: always the same form, never a trace."""

from __future__ import annotations

import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from rtmlops_lib.errors import (
    CheckFailed,
    ConfigurationFault,
    DependencyUnavailable,
    RtmlopsError,
    UsageError,
)
from rtmlops_lib.logs import get_logger
from rtmlops_lib.services.api.schemas import Problem

__all__ = [
    "NotFound",
    "Refused",
    "TooLate",
    "add_handlers",
    "answers",
    "cooling",
    "problem",
]

log = get_logger(__name__)

# A dependency that is away may be back soon; what a human must mend will not.
RETRY_SECONDS, RETRY_AFTER_A_HUMAN_SECONDS = 5, 60
_TEXTS = {
    401: "The token is missing or wrong.",
    404: "There is no such thing.",
    408: "The request did not arrive in time.",
    409: "The check's answer is no, or things stand otherwise than they should.",
    413: "The body is too large.",
    422: "The request is not what is expected.",
    429: "The model was trained a moment ago; Retry-After says when it may be again.",
    503: "The database or MLflow is away; Retry-After says when to try again.",
    504: "It took longer than the API waits; the error says whether anything moved.",
}


class NotFound(UsageError):
    """There is no such thing (404)."""


class Refused(CheckFailed):
    """It cannot be done as things stand (409)."""


class TooLate(DependencyUnavailable):
    """It took longer than anybody waits; to try again at once is no use (504)."""


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return these error answers for a route's documentation."""
    always = (400, 401, 408, 413, 422, 503)
    return {
        status: {"model": Problem, "description": _TEXTS.get(status, "Bad request.")}
        for status in sorted({*always, *statuses})
    }


def problem(
    status: int,
    error: str,
    remedy: str | None = None,
    *,
    fields: list[str] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Return an error answer."""
    body = Problem(
        error=_clean(error),
        remedy=None if remedy is None else _clean(remedy),
        fields=[_clean(field) for field in fields or []],
    )
    return JSONResponse(body.model_dump(), status, headers)


def of_error(error: RtmlopsError) -> JSONResponse:
    """Return the answer that one of our errors means."""
    headers: dict[str, str] = {}
    if isinstance(error, NotFound):
        status = 404
    elif isinstance(error, TooLate):
        status = 504
    elif isinstance(error, DependencyUnavailable):
        status = 503
        human = isinstance(error, ConfigurationFault)
        after = RETRY_AFTER_A_HUMAN_SECONDS if human else RETRY_SECONDS
        headers = {"Retry-After": str(after)}
    elif isinstance(error, CheckFailed | UsageError):
        status = 409
    else:
        status = 500
    return problem(status, error.message, error.remedy, headers=headers)


def cooling(model: str, wait_seconds: float) -> JSONResponse:
    """Return the answer to a request during the cooldown."""
    after = max(1, math.ceil(wait_seconds))
    return problem(
        429,
        f"{model} was trained a moment ago",
        f"try again in {after} s, or lower RTMLOPS_API_COOLDOWN_SECONDS",
        headers={"Retry-After": str(after)},
    )


def add_handlers(app: FastAPI) -> None:
    """Let the app answer with problems, whatever is raised."""

    @app.exception_handler(RtmlopsError)
    async def ours(request: Request, error: RtmlopsError) -> JSONResponse:
        answer = of_error(error)
        if answer.status_code >= 500:
            log.warning("request_failed", path=request.url.path, error=error.message)
        return answer

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # Without the values: they may be large, secret or no text at all.
        fields = [
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors()[:20]
        ]
        return problem(
            422,
            "the request is not what is expected",
            "see the fields, and /openapi.json",
            fields=fields,
        )

    @app.exception_handler(HTTPException)
    async def known(_: Request, error: HTTPException) -> JSONResponse:
        remedy = {
            400: "send one JSON object, and Content-Type: application/json",
            404: "see /openapi.json for what there is",
            405: "see the header Allow",
        }.get(error.status_code)
        return problem(
            error.status_code,
            str(error.detail).lower(),
            remedy,
            headers=dict(error.headers or {}),
        )

    @app.exception_handler(Exception)
    async def unknown(_: Request, error: Exception) -> JSONResponse:
        return problem(500, "internal error", "the log of the API says more")


def _clean(text: str) -> str:
    """Leave out what is no character: half a surrogate pair cannot be sent."""
    return text.encode("utf-8", "replace").decode()[:1_000]
