"""Upsample the items of spec files, several at a time, and finish the specs in their order."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import io
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from promptlift.cosmos.items import Item, Misfit
from promptlift.cosmos.jobs import Job, Kept, Settings, decide
from promptlift.cosmos.regions import cut_frames
from promptlift.cosmos.results import Finished, Result, changes
from promptlift.errors import ConfigEngineError, OptionError, PromptliftError, SpecError
from promptlift.pipeline.item import Outcome, upsample_item
from promptlift.pipeline.sights import Sights

if TYPE_CHECKING:
    from pathlib import Path

    from promptlift.api import Upsampler
    from promptlift.core.video import Frame
    from promptlift.cosmos.outputs import Output
    from promptlift.cosmos.sidecar import Status
    from promptlift.frames import Source

__all__ = ["AT_ONCE", "lift"]

AT_ONCE = 4
"""Items under way at a time: enough for an engine to have work while videos are read."""

_PICTURE_WIDTH = 480


async def lift(
    outputs: Sequence[Output],
    upsampler: Upsampler,
    settings: Settings,
    *,
    finished: Callable[[Finished], None],
    began: Callable[[Item], None] | None = None,
    pictures: bool = False,
) -> None:
    """Upsample the items of spec files.

    What is wrong with an item is in its result; the others go on.

    Args:
        outputs: The specs and their places.
        upsampler: Who is asked, and with which options.
        settings: How the specs are treated.
        finished: Takes each spec when its items are through, in the order given.
        began: Is told when an item's turn has come.
        pictures: Keep the hint frames for a review sheet.

    Raises:
        ConfigEngineError: The engine is set up wrongly; every item would fail.
        OptionError: An option makes no sense; likewise.
    """
    gate = asyncio.Semaphore(AT_ONCE)
    sights = Sights()
    claims: dict[Path, str] = {}

    async def ask(item: Item, job: Job, output: Output) -> Outcome:
        if output.in_place and job.prompt_file is not None:
            _claim(job.prompt_file.path.resolve(), output, item, claims)
        return await _ask(item, job, output, upsampler, sights)

    async def one(item: Item | Misfit, output: Output) -> Result:
        async with gate:
            if began is not None and isinstance(item, Item):
                began(item)
            return await _one(item, output, settings, ask, pictures=pictures)

    work = [
        [asyncio.create_task(one(item, output)) for item in output.spec.items] for output in outputs
    ]
    try:
        for output, tasks in zip(outputs, work, strict=True):
            results = [await task for task in tasks]
            finished(Finished(output, tuple(results), changes(output, results)))
    finally:
        for task in (every := [task for tasks in work for task in tasks]):
            task.cancel()
        await asyncio.gather(*every, return_exceptions=True)


async def _one(
    item: Item | Misfit,
    output: Output,
    settings: Settings,
    ask: Callable[[Item, Job, Output], Awaitable[Outcome]],
    *,
    pictures: bool,
) -> Result:
    if isinstance(item, Misfit):
        return Result(item, "failed", "", reason=str(item.error))
    try:
        job = decide(item, output.spec, output.known, settings)
    except PromptliftError as error:
        prompt = item.prompt or ""
        return Result(
            item, "failed", prompt, reason=str(error), entry=output.known.results.get(prompt)
        )
    if isinstance(job, Kept):
        return _kept(item, job)
    try:
        outcome = await ask(item, job, output)
    except PromptliftError as error:
        return Result(item, "failed", job.short, reason=str(error), job=job, entry=job.entry)
    if isinstance(outcome.error, ConfigEngineError | OptionError):
        raise outcome.error
    return _result(item, job, outcome, tuple(map(_picture, outcome.frames)) if pictures else ())


def _claim(file: Path, output: Output, item: Item, claims: dict[Path, str]) -> None:
    """Take a prompt's file for an item, since one file cannot hold two long prompts."""
    if file in claims:
        raise SpecError(
            f"its prompt's file {file.name!r} is also that of another item ({claims[file]})",
            remedy="give each its own, or leave --in-place out",
        )
    claims[file] = f"{output.path.name} {item.where}".strip()


def _kept(item: Item, kept: Kept) -> Result:
    file = kept.prompt_file.path if kept.prompt_file else None
    return Result(
        item, "kept", kept.prompt, kept.after, kept.reason, prompt_file=file, entry=kept.entry
    )


async def _ask(
    item: Item, job: Job, output: Output, upsampler: Upsampler, sights: Sights
) -> Outcome:
    options = dataclasses.replace(
        upsampler.options,
        target=output.spec.format.target,
        control=job.shown,
        controls=job.controls,
    )
    source: Source = job.video.path
    if item.region is not None:
        source = await asyncio.to_thread(cut_frames, job.video.path, item.region, options)
    return await upsample_item(source, job.short, upsampler.engine, options, sights=sights)


def _result(item: Item, job: Job, outcome: Outcome, shown: tuple[str, ...]) -> Result:
    record = outcome.record
    status: Status = "done"
    reason = ""
    if outcome.error is not None:
        status, reason = "failed", str(outcome.error)
    elif record.status == "rejected":
        status, reason = "rejected", _objections(outcome)
    return Result(
        item,
        status,
        job.short,
        after=record.prompt,
        reason=reason,
        job=job,
        prompt_file=job.prompt_file.path if job.prompt_file else None,
        record=record,
        entry=job.entry,
        pictures=shown,
    )


def _objections(outcome: Outcome) -> str:
    review = outcome.record.review
    failed = [check for check in review.checks if not check.passed] if review else []
    return "; ".join(f"{check.name}: {check.detail}" for check in failed) or "no answer was fit"


def _picture(frame: Frame) -> str:
    """A frame as a data: address, small enough for a page of many."""
    from PIL import Image

    image = Image.fromarray(frame.image)
    image.thumbnail((_PICTURE_WIDTH, 4 * _PICTURE_WIDTH))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
