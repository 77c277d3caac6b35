"""One clip treated in several ways, side by side."""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from promptlift.server.errors import Refusal
from promptlift.server.jobs import Job
from promptlift.server.models import UpsampleAsked
from promptlift.server.page.asked import accept, asked_of, form_of
from promptlift.server.page.live import story
from promptlift.server.page.rendering import fragment
from promptlift.server.page.story import Story
from promptlift.server.page.words import strategy_words
from promptlift.server.routes.common import Serving
from promptlift.server.service import Service

__all__ = ["Column", "columns_of", "jobs_named", "router"]

_ID = re.compile(r"[0-9a-f]{32}")
_MOST = 6
_SIDES = ("a", "b", "c")
_LABELS = {
    "engine": "by {}",
    "size": "{}",
    "frames": "{} frames",
    "strategy": "{}",
    "target": "for {}",
    "seed": "seed {}",
    "temperature": "temperature {}",
    "max_side": "at most {} pixels a side",
    "context": "context of {} tokens",
    "exact": "exact: {}",
    "control": "shown as {}",
}

router = APIRouter()


class Column(NamedTuple):
    """One way: in what it differs from the others, and what became of it."""

    title: str
    story: Story


@router.post("/page/compare")
async def begin(request: Request, service: Serving) -> Response:
    """Take on one job for each column of the form.

    Raises:
        Refusal: Two columns are the same, or a field does not fit.
    """
    form = await form_of(request)
    variants = [asked_of(_side(form, side)) for side in _SIDES if f"{side}.on" in form]
    if len({_whole(service, one) for one in variants}) < max(2, len(variants)):
        raise Refusal(
            422,
            "same",
            "there is nothing to compare: the columns ask the same of the same model",
            remedy="change the size, the number, the choice of frames or the generator in one"
            if len(service.lanes) == 1
            else "choose another engine, size, number or choice of frames, or generator in one",
        )
    jobs = [await accept(service, request, one) for one in variants]
    return _answer(service, jobs, push=True)


@router.get("/page/compare")
async def look(
    request: Request, service: Serving, jobs: Annotated[str, Query(max_length=500)]
) -> Response:
    """How far the columns are."""
    return _answer(service, jobs_named(service, jobs, request.state.owner), push=False)


def jobs_named(service: Service, ids: str, owner: str) -> list[Job]:
    """The jobs of a comparison.

    Raises:
        Refusal: One is not there.
    """
    named = ids.split(",")[:_MOST]
    return [service.jobs.get(one if _ID.fullmatch(one) else "", owner) for one in named]


def columns_of(service: Service, jobs: list[Job]) -> list[Column]:
    """The jobs, each under what sets it apart, and its engine where there are several."""
    asked = [_named(service, job.wish.asked) for job in jobs]
    differ = [name for name in _LABELS if len({getattr(one, name) for one in asked}) > 1]
    if len(service.lanes) > 1 and "engine" not in differ:
        differ = ["engine", *differ]
    titles = [_title(one, differ) for one in asked]
    return [Column(title, story(service, job)) for title, job in zip(titles, jobs, strict=True)]


def _named(service: Service, asked: UpsampleAsked) -> UpsampleAsked:
    """The same with the engine said: to name none is to name the first."""
    return asked.model_copy(update={"engine": asked.engine or service.lanes.first.label})


def _whole(service: Service, asked: UpsampleAsked) -> str:
    """What an answer is kept under, but for the video: two labels of one model are the same."""
    lane = service.lanes.get(asked.engine)
    who = lane.info
    engine = f"{who.name} {who.model} {who.revision}" if who is not None else lane.label
    return asked.model_copy(update={"engine": engine}).model_dump_json()


def _title(asked: UpsampleAsked, differ: list[str]) -> str:
    parts = []
    for name in differ:
        value: Any = getattr(asked, name)
        if name == "strategy":
            value = strategy_words(value)
        elif name in ("size", "max_side", "context") and value is None:
            value = "the largest size that fits" if name == "size" else "any"
        parts.append(_LABELS[name].format(value))
    title = ", ".join(parts) or "the same"
    return title[:1].upper() + title[1:]


def _side(form: dict[str, str], side: str) -> dict[str, str]:
    """The fields of one column, over those that all share."""
    shared = {name: value for name, value in form.items() if "." not in name}
    own = {
        name.partition(".")[2]: value for name, value in form.items() if name.startswith(f"{side}.")
    }
    return shared | own


def _answer(service: Service, jobs: list[Job], *, push: bool) -> Response:
    ids = ",".join(job.id for job in jobs)
    return fragment(
        "_columns.html",
        push=f"/compare?jobs={ids}" if push else None,
        columns=columns_of(service, jobs),
        ids=ids,
        over=all(job.over for job in jobs),
    )
