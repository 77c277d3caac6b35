"""What the buttons do: begin, stop, again, variations, review."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from promptlift.core.facts import Facts, Kind
from promptlift.core.record import Reviewed
from promptlift.core.review import review
from promptlift.core.targets import estimate_tokens, target
from promptlift.server.errors import Refusal
from promptlift.server.page.asked import accept, another_seed, asked_of, form_of
from promptlift.server.page.compare import columns_of
from promptlift.server.page.live import story
from promptlift.server.page.marks import pair
from promptlift.server.page.rendering import fragment
from promptlift.server.page.story import Answer, judged
from promptlift.server.routes.common import Serving

__all__ = ["router"]

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_MOST_VARIATIONS = 4
_LONGEST_TEXT = 50_000

router = APIRouter()


@router.post("/page/jobs")
async def begin(request: Request, service: Serving) -> Response:
    """Take a job on, and show it."""
    asked = asked_of(await form_of(request))
    job = await accept(service, request, asked)
    return fragment("_story.html", push=f"/?job={job.id}", story=story(service, job))


@router.post("/page/jobs/{job_id}/again")
async def again(request: Request, service: Serving, job_id: JobId) -> Response:
    """The same with another seed."""
    before = service.jobs.get(job_id, request.state.owner)
    job = await accept(service, request, another_seed(before.wish.asked))
    return fragment("_story.html", push=f"/?job={job.id}", story=story(service, job))


@router.post("/page/jobs/{job_id}/retry")
async def retry(request: Request, service: Serving, job_id: JobId) -> Response:
    """The very same, once more."""
    before = service.jobs.get(job_id, request.state.owner)
    asked = before.wish.asked.model_copy(update={"fresh": True})
    job = await accept(service, request, asked)
    return fragment("_story.html", push=f"/?job={job.id}", story=story(service, job))


@router.post("/page/jobs/{job_id}/variations")
async def variations(request: Request, service: Serving, job_id: JobId) -> Response:
    """The same with several other seeds, side by side."""
    before = service.jobs.get(job_id, request.state.owner)
    wanted = (await form_of(request)).get("count", "3")
    number = min(_MOST_VARIATIONS, max(2, int(wanted) if wanted.isdecimal() else 3))
    jobs = [await accept(service, request, another_seed(before.wish.asked)) for _ in range(number)]
    ids = ",".join(job.id for job in jobs)
    answer = fragment("_columns.html", columns=columns_of(service, jobs), ids=ids, over=False)
    answer.headers["HX-Redirect"] = f"/compare?jobs={ids}"
    return answer


@router.post("/page/jobs/{job_id}/stop")
async def stop(request: Request, service: Serving, job_id: JobId) -> Response:
    """End a job."""
    job = service.jobs.get(job_id, request.state.owner)
    await service.jobs.cancel(job)
    return fragment("_story.html", story=story(service, job))


@router.post("/page/jobs/{job_id}/review")
async def review_again(request: Request, service: Serving, job_id: JobId) -> Response:
    """Review a text that a person has changed, by the same checks as the engine's."""
    job = service.jobs.get(job_id, request.state.owner)
    text = (await form_of(request)).get("text", "")
    if len(text) > _LONGEST_TEXT:
        raise Refusal(
            422,
            "invalid",
            f"the text has {len(text):,} characters, and {_LONGEST_TEXT:,} are reviewed",
            remedy="shorten it",
        )
    record = service.jobs.record(job)
    if record is None:
        raise Refusal(404, "record_not_found", "this job has no record", remedy="run it again")
    goal = target(record.target)
    verdict = review(
        text,
        finish_reason="stop",
        short_prompt=record.short_prompt,
        target=goal,
        facts=record.facts,
        control=_shown(record.facts, job.wish.asked.control),
    )
    answer = Answer(
        text, pair(record.short_prompt, text), estimate_tokens(text, goal), goal.limit, True
    )
    told = judged(Reviewed(verdict=verdict.verdict, checks=verdict.checks))
    return fragment(
        "_reviewed.html", answer=answer, judged=told, record=record, job=job, edited=True
    )


def _shown(facts: Facts | None, said: Kind | None) -> Kind | None:
    kind = said or (facts.kind.value if facts and facts.kind else None)
    return None if kind == "rgb" else kind
