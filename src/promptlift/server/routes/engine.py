"""``/v1/engine``: who answers, and whether it is awake."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from fastapi import APIRouter

from promptlift.server.models import EngineOut
from promptlift.server.routes.common import Serving, problems
from promptlift.server.service import Service

__all__ = ["router"]

router = APIRouter(tags=["engine"])


@router.get("/v1/engine", response_model=EngineOut, responses=problems())
async def engine(service: Serving) -> EngineOut:
    """Who answers. Wakes nobody."""
    return _out(service)


@router.post("/v1/engine/sleep", response_model=EngineOut, responses=problems(409))
async def sleep(service: Serving) -> EngineOut:
    """Have the engine give its GPU memory back; the next request wakes it."""
    await service.sleeper.sleep()
    return _out(service)


@router.post("/v1/engine/wake", response_model=EngineOut, responses=problems(409))
async def wake(service: Serving) -> EngineOut:
    """Wake the engine before it is needed."""
    await service.sleeper.wake()
    return _out(service)


def _out(service: Service) -> EngineOut:
    info = service.worker.info
    state: Literal["unknown", "ready", "asleep"] = "unknown"
    known: dict[str, Any] = dataclasses.asdict(info) if info is not None else {}
    if service.sleeper.asleep:
        state = "asleep"
    elif info is not None:
        state = "ready"
    return EngineOut(state=state, can_sleep=service.sleeper.able, **known)
