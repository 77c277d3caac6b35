"""What can be told of a video without asking the engine: the budget, the facts, the hints."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from promptlift.core.budget import DEFAULT_CONTEXT, Plan
from promptlift.core.facts import Facts
from promptlift.core.record import Priced
from promptlift.core.video import Size
from promptlift.frames.sheet import sheet_png
from promptlift.pipeline.item import upsample_item
from promptlift.planning import plan
from promptlift.server.intake import body_schema, read_asked
from promptlift.server.models import (
    BudgetAsked,
    BudgetOut,
    FactsAsked,
    HintsAsked,
    VideoNamed,
    parse_size,
)
from promptlift.server.routes.common import Serving, problems
from promptlift.server.service import Service
from promptlift.server.wishes import Place

__all__ = ["router"]

M = TypeVar("M", bound=VideoNamed)
T = TypeVar("T")

router = APIRouter(tags=["looks"])
_PROBLEMS = problems(404, 415, 502, 504, 507)


@router.post(
    "/v1/budget",
    response_model=BudgetOut,
    responses=_PROBLEMS,
    openapi_extra=body_schema(BudgetAsked),
)
async def budget(request: Request, service: Serving) -> BudgetOut:
    """What frames cost in tokens, and the largest size that fits; of a video or of a size."""

    async def work(asked: BudgetAsked, place: Place | None) -> BudgetOut:
        size = parse_size(asked.source)
        if place is not None:
            size = (await service.probe(place.path)).size
        assert size is not None
        return _budget_out(await asyncio.to_thread(_planned, asked, size))

    return await _looked(request, service, BudgetAsked, work)


@router.post(
    "/v1/facts", response_model=Facts, responses=_PROBLEMS, openapi_extra=body_schema(FactsAsked)
)
async def facts(request: Request, service: Serving) -> Facts:
    """What can be measured about a video without a model; what is not sure is left out."""

    async def work(_: FactsAsked, place: Place | None) -> Facts:
        assert place is not None
        seen = await service.sights.survey(place.path, isolated=True)
        return seen.facts

    return await _looked(request, service, FactsAsked, work)


@router.post(
    "/v1/hints",
    response_class=Response,
    responses={
        200: {
            "description": "A contact sheet of the frames as the model would see them.",
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
        },
        **_PROBLEMS,
    },
    openapi_extra=body_schema(HintsAsked),
)
async def hints(request: Request, service: Serving) -> Response:
    """The frames that the engine would be shown, at the size that it would see, as one picture."""

    async def work(asked: HintsAsked, place: Place | None) -> bytes:
        assert place is not None
        lane = service.lanes.get(asked.engine)
        if lane.trouble is not None:
            raise lane.trouble  # known already; asking again would hold a place of the queue
        outcome = await upsample_item(
            place.path,
            asked.prompt,
            lane.engine,
            asked.options(),
            plan_only=True,
            sights=service.sights,
        )
        if outcome.error is not None:
            raise outcome.error
        return await asyncio.to_thread(sheet_png, outcome.frames)

    sheet = await _looked(request, service, HintsAsked, work)
    return Response(sheet, media_type="image/png")


async def _looked(
    request: Request,
    service: Service,
    model: type[M],
    work: Callable[[M, Place | None], Coroutine[Any, Any, T]],
) -> T:
    """Read what is asked, and do it in turn; the video is held meanwhile."""
    asked, upload = await read_asked(request, model, service.uploads)
    if upload is not None:
        asked = asked.model_copy(update={"upload_id": upload.id, "path": None})
    client = request.state.client
    if isinstance(asked, BudgetAsked) and asked.source is not None:
        if upload is not None:
            service.uploads.let_go(upload.id)
        return await service.look(client, lambda: work(asked, None))
    brought = upload is not None
    with service.holding(asked, request.state.owner, brought=brought) as place:
        return await service.look(client, lambda: work(asked, place))


def _planned(asked: BudgetAsked, size: Size) -> Plan:
    return plan(
        size,
        asked.prompt,
        frames=asked.frames,
        context=asked.context or DEFAULT_CONTEXT,
        reserve=asked.reserve,
        family=asked.model,
        size=parse_size(asked.size),
        max_side=asked.max_side,
    )


def _budget_out(made: Plan) -> BudgetOut:
    return BudgetOut(
        source=Priced.of(made.source),
        plan=Priced.of(made.chosen),
        context=made.budget.context,
        reserve=made.budget.reserve,
        text_tokens=made.budget.chat_tokens,
        model=made.budget.family.name,
    )
