"""What a client is told when something is wrong: RFC 9457 problems with a code and a remedy."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response

from promptlift import errors
from promptlift.errors import (
    ConfigEngineError,
    EngineError,
    InputError,
    OutputError,
    PromptliftError,
    TransientEngineError,
    VideoNotFound,
)
from promptlift.record import Failure, Record
from promptlift.video.source import printable

__all__ = [
    "INTERNAL_ERROR",
    "ApiError",
    "add_error_handlers",
    "failure_of",
    "hide_paths",
    "invalid_request",
    "problem_response",
    "status_of",
    "without_paths",
]

INTERNAL_ERROR: Final = Failure(
    code="internal",
    message="internal server error",
    remedy="check the log of the server, and report the traceback",
    retryable=False,
)

_PROBLEM_TYPE = "application/problem+json"
_MOST_ERRORS = 5
# An absolute path, quoted (it may hold spaces) or bare; what stands below /v1/ is an API's.
_PATH = re.compile(
    r"""(?P<quote>['"])/(?!v1\b)[^\n]*?(?P=quote)"""
    r"""|(?<![\w/:.~-])/(?!v1\b)(?:[^\s'",;():]|:(?!\s|$))+"""
)


class ApiError(HTTPException):
    """A request is not accepted.

    Args:
        status: HTTP status.
        code: Stable name.
        message: What is wrong, in one sentence without a full stop.
        remedy: What to do about it.
        retry_after: Seconds after which to try again; None where that would be in vain.
        headers: Further headers of the answer.

    Attributes:
        failure: The same as it goes into a problem.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        remedy: str,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        retry = {"Retry-After": str(retry_after)} if retry_after is not None else {}
        super().__init__(status, detail=message, headers={**retry, **(headers or {})})
        self.failure = Failure(
            code=code, message=message, remedy=remedy, retryable=retry_after is not None
        )

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """The problem, with further headers."""
        every = {**(self.headers or {}), **(headers or {})}
        return problem_response(self.status_code, self.failure, headers=every)


_CLASSES = {cls.code: cls for cls in (getattr(errors, name) for name in errors.__all__)}
_STATUS: dict[type[PromptliftError], int] = {
    VideoNotFound: 404,
    OutputError: 507,
    InputError: 422,
    TransientEngineError: 503,
    ConfigEngineError: 503,
    EngineError: 502,
}
_HTTP = {
    404: ("not_found", "there is nothing at this address"),
    405: ("method", "this address does not take that method"),
}


def status_of(code: str) -> int:
    """The HTTP status of an error of ours, by its code."""
    cls = _CLASSES.get(code, PromptliftError)
    return next((_STATUS[base] for base in cls.__mro__ if base in _STATUS), 500)


def failure_of(error: PromptliftError, *paths: str | os.PathLike[str]) -> Failure:
    """An error as a client may see it: no path of this machine is in it.

    Args:
        error: What was raised.
        *paths: Files that are "the video" to the client.
    """
    return Failure(
        code=error.code,
        message=hide_paths(error.message, *paths),
        remedy=hide_paths(error.remedy, *paths),
        retryable=error.retryable,
    )


def without_paths(error: PromptliftError, *paths: str | os.PathLike[str]) -> PromptliftError:
    """The same error as a client may see it."""
    failure = failure_of(error, *paths)
    return type(error)(failure.message, remedy=failure.remedy)


def hide_paths(text: str, *paths: str | os.PathLike[str]) -> str:
    """Take absolute paths out of a message; those that are named become "the video"."""
    for path in paths:
        for name in (repr(os.fspath(path)), os.fspath(path), printable(os.fspath(path))):
            text = text.replace(name, "the video")
    return _PATH.sub("(a file of the server)", text)


def invalid_request(errors: Iterable[Mapping[str, Any]]) -> ApiError:
    """The answer to fields that do not fit; what was sent is not repeated.

    Args:
        errors: As pydantic lists them.
    """
    wrong = list(errors)
    lines = [
        f"{'.'.join(str(part) for part in one['loc']) or 'the body'}: "
        f"{str(one['msg']).removeprefix('Value error, ')}"
        for one in wrong[:_MOST_ERRORS]
    ]
    more = f", and {len(wrong) - _MOST_ERRORS} more" if len(wrong) > _MOST_ERRORS else ""
    remedy = "compare the request with /openapi.json"
    return ApiError(422, "invalid", "; ".join(lines) + more, remedy=remedy)


def problem_response(
    status: int,
    failure: Failure,
    *,
    headers: Mapping[str, str] | None = None,
    record: Record | None = None,
) -> Response:
    """An answer as RFC 9457 has it, with the fields of a `Failure`.

    Args:
        status: HTTP status.
        failure: What is wrong.
        headers: Further headers.
        record: The record of the failure, where the work had begun.
    """
    body: dict[str, Any] = {
        "title": HTTPStatus(status).phrase,
        "status": status,
        **failure.model_dump(),
    }
    if record is not None:
        body["record"] = record.model_dump(mode="json")
    return Response(json.dumps(body), status, headers=dict(headers or {}), media_type=_PROBLEM_TYPE)


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error with a problem, and describe problems in the OpenAPI document."""
    for kind in (PromptliftError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answer)
    app.openapi = partial(_openapi, app)  # type: ignore[method-assign]


async def _answer(_: Request, error: Exception) -> Response:
    if isinstance(error, PromptliftError):
        return problem_response(status_of(error.code), failure_of(error))
    if isinstance(error, RequestValidationError):
        return invalid_request(error.errors()).response()
    if isinstance(error, ApiError):
        return error.response()
    if isinstance(error, HTTPException):
        code, message = _HTTP.get(error.status_code, ("http", "the request is malformed"))
        failure = Failure(code=code, message=message, remedy="see /openapi.json", retryable=False)
        return problem_response(error.status_code, failure, headers=error.headers)
    return problem_response(500, INTERNAL_ERROR)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The document, made once; FastAPI knows one media type a route, and problems have another."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for path in made["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    if int(status) >= 400:
                        (schema,) = response["content"].values()
                        response["content"] = {_PROBLEM_TYPE: schema}
        made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"key": []}, {}]
        app.openapi_schema = made
    return app.openapi_schema
