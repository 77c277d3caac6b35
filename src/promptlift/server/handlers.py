"""Whatever is raised becomes a problem with a code and a remedy."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from promptlift.core.record import Failure
from promptlift.errors import PromptliftError
from promptlift.server.errors import Refusal, problem, problem_of
from promptlift.server.intake import invalid
from promptlift.server.work import BROKEN

__all__ = ["add_handlers"]


def add_handlers(app: FastAPI) -> None:
    """Have every error answered as a problem."""
    for kind in (PromptliftError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answer)


async def _answer(_: Request, error: Exception) -> Response:
    if isinstance(error, PromptliftError):
        return problem_of(error)
    if isinstance(error, RequestValidationError):
        error = invalid(error.errors())
    if isinstance(error, Refusal):
        return problem(error.status_code, error.failure, headers=error.headers)
    if isinstance(error, HTTPException):
        failure = _HTTP.get(error.status_code, _OTHER)
        return problem(error.status_code, failure, headers=error.headers)
    return problem(500, BROKEN)


_HTTP = {
    404: Failure(
        code="not_found",
        message="there is nothing at this address",
        remedy="see /openapi.json",
        retryable=False,
    ),
    405: Failure(
        code="method",
        message="this address does not take that method",
        remedy="see /openapi.json",
        retryable=False,
    ),
}
_OTHER = Failure(
    code="http", message="the request is malformed", remedy="see /openapi.json", retryable=False
)
