"""``/v1/engine`` and ``/v1/engines``: who answers, and whether it is awake."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Query

from promptlift.server.errors import failure_of
from promptlift.server.lanes import Lane
from promptlift.server.models import EngineOut, EnginesOut, LabelledEngineOut
from promptlift.server.routes.common import Serving, problems

__all__ = ["router"]

router = APIRouter(tags=["engine"])

Label = Annotated[
    str | None, Query(max_length=100, description="Which one; the first where none is said.")
]


@router.get("/v1/engine", response_model=EngineOut, responses=problems())
async def engine(service: Serving, engine: Label = None) -> EngineOut:
    """Who answers. Wakes nobody."""
    return EngineOut(**_known(service.lanes.get(engine)))


@router.get("/v1/engines", response_model=EnginesOut, responses=problems())
async def engines(service: Serving) -> EnginesOut:
    """All engines of this server, the one that answers by itself first. Wakes nobody."""
    return EnginesOut(engines=[_labelled(lane) for lane in service.lanes])


@router.post("/v1/engine/sleep", response_model=EngineOut, responses=problems(409))
async def sleep(service: Serving, engine: Label = None) -> EngineOut:
    """Have the engine give its GPU memory back; the next request wakes it."""
    lane = service.lanes.get(engine)
    await lane.sleeper.sleep()
    return EngineOut(**_known(lane))


@router.post("/v1/engine/wake", response_model=EngineOut, responses=problems(409))
async def wake(service: Serving, engine: Label = None) -> EngineOut:
    """Wake the engine before it is needed."""
    lane = service.lanes.get(engine)
    await lane.sleeper.wake()
    return EngineOut(**_known(lane))


def _known(lane: Lane) -> dict[str, Any]:
    known = dataclasses.asdict(lane.info) if lane.info is not None else {}
    return {"state": lane.state, "can_sleep": lane.sleeper.able, **known}


def _labelled(lane: Lane) -> LabelledEngineOut:
    return LabelledEngineOut(
        **_known(lane),
        label=lane.label,
        waiting=lane.queue.waiting,
        running=lane.queue.running,
        trouble=failure_of(lane.trouble) if lane.trouble else None,
    )
