"""For machines: is it alive, is it ready, how is it doing."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from promptlift.server.errors import Refusal, hide
from promptlift.server.metrics import CONTENT_TYPE
from promptlift.server.models import HealthOut
from promptlift.server.queue import stopping
from promptlift.server.routes.common import Serving, problems

__all__ = ["router"]

router = APIRouter(tags=["health"])


@router.get("/healthz", response_model=HealthOut, responses=problems())
async def healthz() -> HealthOut:
    """Whether the server answers at all."""
    return HealthOut(status="ok")


@router.get("/readyz", response_model=HealthOut, responses=problems())
async def readyz(service: Serving) -> HealthOut:
    """Whether work sent now would be done: the first engine answers, the journal can be written."""
    if service.stopping:
        raise stopping()
    if service.ledger.full:
        raise Refusal(
            503, "no_room", "the journal cannot be written", remedy="make room", retry_after=10
        )
    trouble = service.lanes.first.trouble
    if not service.lanes.first.answers:
        raise Refusal(
            503,
            trouble.code if trouble else "engine_starting",
            hide(trouble.message) if trouble else "the engine has not answered yet",
            remedy=hide(trouble.remedy) if trouble else "wait",
            retry_after=5,
        )
    return HealthOut(status="ok")


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {CONTENT_TYPE: {"schema": {"type": "string"}}}, "description": "Text."},
        **problems(),
    },
)
async def metrics(service: Serving) -> Response:
    """Counters for Prometheus."""
    return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})
