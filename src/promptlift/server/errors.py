"""What a client is told when something is wrong: a code, what it is, what to do, and no path."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from promptlift.core.record import Failure, Record
from promptlift.errors import (
    ConfigEngineError,
    EngineError,
    InputError,
    OutputError,
    PromptliftError,
    TransientEngineError,
    VideoNotFound,
)
from promptlift.frames.source import printable

__all__ = [
    "Refusal",
    "failure_of",
    "hide",
    "problem",
    "problem_of",
    "status_of",
    "status_of_code",
    "without_paths",
]

MEDIA_TYPE = "application/problem+json"
SHOWN = "the video"
_PATH = re.compile(r"(?<![\w/:.~-])/(?P<top>[^\s'\"/,;:()]+)(?:/[^\s'\",;:()]+)*")


class Refusal(HTTPException):
    """A request is not taken on.

    Args:
        status: HTTP status.
        code: Stable name.
        message: What is wrong, in one sentence without a full stop.
        remedy: What to do about it.
        retry_after: Seconds after which to try again; None where that would be in vain.
    """

    def __init__(
        self, status: int, code: str, message: str, *, remedy: str, retry_after: int | None = None
    ) -> None:
        headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
        super().__init__(status, detail=message, headers=headers)
        self.failure = Failure(
            code=code, message=message, remedy=remedy, retryable=retry_after is not None
        )


# The first that fits; a subclass stands before its base.
_STATUS: tuple[tuple[type[PromptliftError], int], ...] = (
    (VideoNotFound, 404),
    (OutputError, 507),
    (InputError, 422),
    (TransientEngineError, 503),
    (ConfigEngineError, 503),
    (EngineError, 502),
)
_STATUS_OF_CODE = {"deadline": 504, "cancelled": 410, "stopping": 503}


def status_of(error: PromptliftError) -> int:
    """The HTTP status of an error of ours."""
    return next((status for cls, status in _STATUS if isinstance(error, cls)), 500)


def status_of_code(code: str) -> int:
    """The HTTP status of a failure that is only known by its code."""
    if code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[code]
    found = (s for cls, s in _STATUS for one in (cls, *_below(cls)) if one.code == code)
    return next(found, 500)


def _below(cls: type[PromptliftError]) -> Iterable[type[PromptliftError]]:
    for one in cls.__subclasses__():
        yield one
        yield from _below(one)


def failure_of(error: PromptliftError, *paths: str | os.PathLike[str]) -> Failure:
    """An error as a client may see it.

    Args:
        error: What was raised.
        *paths: What the error may name and a client must not read.
    """
    return Failure(
        code=error.code,
        message=hide(error.message, *paths),
        remedy=hide(error.remedy, *paths),
        retryable=error.retryable,
    )


def without_paths(error: PromptliftError, *paths: str | os.PathLike[str]) -> PromptliftError:
    """The same error as a client may see it."""
    failure = failure_of(error, *paths)
    return type(error)(failure.message, remedy=failure.remedy)


def hide(text: str, *paths: str | os.PathLike[str]) -> str:
    """Take paths of this machine out of a message."""
    for path in paths:
        for name in (printable(os.fspath(path)), repr(os.fspath(path))):
            text = text.replace(name, SHOWN)
    return _PATH.sub(_hidden, text)


def _hidden(found: re.Match[str]) -> str:
    """A path, unless it begins with nothing that is here: then it is one of an API."""
    return "(a file of the server)" if os.path.lexists(f"/{found['top']}") else found[0]


def problem_of(error: PromptliftError) -> Response:
    """The answer to a request that met an error of ours."""
    return problem(status_of(error), failure_of(error))


def problem(
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
    return Response(json.dumps(body), status, headers=dict(headers or {}), media_type=MEDIA_TYPE)
