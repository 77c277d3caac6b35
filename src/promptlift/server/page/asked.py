"""Forms of the page to the same requests that the API takes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from pydantic import ValidationError

from promptlift.server.errors import Refusal
from promptlift.server.intake import invalid
from promptlift.server.jobs import Job
from promptlift.server.models import UpsampleAsked
from promptlift.server.service import Service
from promptlift.server.wishes import Wish

__all__ = ["FIELDS", "accept", "another_seed", "asked_of", "form_of"]

FIELDS = (
    "upload_id", "prompt", "engine", "target", "frames", "strategy", "fps", "exact", "size",
    "max_side", "context", "reserve", "control", "template", "temperature", "seed", "attempts",
)  # fmt: skip
_MOST_FIELDS = 200
_SEEDS = 2**31


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, without those left empty.

    Raises:
        Refusal: It is malformed.
    """
    async with request.form(max_files=0, max_fields=_MOST_FIELDS) as form:
        return {name: value for name, value in form.items() if isinstance(value, str) and value}


def asked_of(fields: Mapping[str, Any]) -> UpsampleAsked:
    """What a form asks for.

    Raises:
        Refusal: A field does not fit.
    """
    given = {name: fields[name] for name in FIELDS if name in fields}
    if "upload_id" not in given:
        raise Refusal(
            422, "no_video", "there is no video yet", remedy="choose one, record one, or an example"
        )
    try:
        return UpsampleAsked(**given)
    except ValidationError as error:
        wrong = invalid(error.errors(include_url=False, include_context=False)).failure
        raise Refusal(422, wrong.code, wrong.message, remedy="correct that field") from None


async def accept(service: Service, request: Request, asked: UpsampleAsked) -> Job:
    """Leave a job with the server, as ``POST /v1/jobs`` does.

    Raises:
        Refusal: The video is gone, or the queue is full.
        OptionError: The options make no sense together.
    """
    asked.options()
    owner = request.state.owner
    wish = Wish(asked, owner, service.worker.place(asked, owner).name)
    service.worker.hold(wish)
    try:
        return await service.jobs.accept(wish, owner, request.state.client)
    except BaseException:
        service.worker.let_go(wish)
        raise


def another_seed(asked: UpsampleAsked) -> UpsampleAsked:
    """The same with a seed that it did not have."""
    seed = asked.seed
    while seed == asked.seed:
        seed = secrets.randbelow(_SEEDS)
    return asked.model_copy(update={"seed": seed, "fresh": False})
