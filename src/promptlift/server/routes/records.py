"""``GET /v1/records/{key}``: what stands in the journal."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from promptlift.core.record import Record
from promptlift.server.errors import Refusal
from promptlift.server.routes.common import Serving, problems

__all__ = ["router"]

router = APIRouter(tags=["records"])


@router.get("/v1/records/{key}", response_model=Record, responses=problems(404, 507))
async def record(
    service: Serving,
    key: Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="The item's key.")],
) -> Response:
    """The record of an item, by its key."""
    try:
        found = service.ledger.record(key)
    except KeyError:
        raise Refusal(
            404,
            "record_not_found",
            "the journal has no record of that key",
            remedy="take the key from a record or a job",
        ) from None
    return Response(found.model_dump_json(), media_type="application/json")
