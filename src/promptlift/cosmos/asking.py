"""One item of a spec file, from what it says to what became of it."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import io
from functools import partial
from typing import TYPE_CHECKING

from promptlift.cosmos.items import Item, Misfit
from promptlift.cosmos.jobs import Job, Kept, Settings, decide
from promptlift.cosmos.outputs import Claims
from promptlift.cosmos.part import PartSights
from promptlift.cosmos.regions import cut_region
from promptlift.cosmos.results import Result, answered, left
from promptlift.errors import ConfigEngineError, OptionError, PromptliftError
from promptlift.frames.isolated import isolated_call
from promptlift.pipeline.item import Outcome, upsample_item
from promptlift.pipeline.sights import Sights

if TYPE_CHECKING:
    from promptlift.api import Upsampler
    from promptlift.core.video import Frame
    from promptlift.cosmos.outputs import Output
    from promptlift.cosmos.part import Part
    from promptlift.frames import Source
    from promptlift.pipeline.seeing import See

__all__ = ["Asker"]

_PICTURE_WIDTH = 480


class Asker:
    """Does items; many may be under way at once.

    Args:
        upsampler: Who is asked, and with which options.
        settings: How specs are treated.
        pictures: Keep the hint frames for a review sheet.
    """

    def __init__(self, upsampler: Upsampler, settings: Settings, *, pictures: bool) -> None:
        self._upsampler = upsampler
        self._settings = settings
        self._pictures = pictures
        self._sights = Sights()
        self._claims = Claims()

    async def result(self, item: Item | Misfit, output: Output) -> Result:
        """What becomes of an item; what is wrong with it is in the result.

        Raises:
            ConfigEngineError: The engine is set up wrongly; every item would fail.
            OptionError: An option makes no sense; likewise.
        """
        if isinstance(item, Misfit):
            return Result(item, "failed", "", reason=str(item.error))
        try:
            job = decide(item, output.spec, output.known, self._settings)
        except PromptliftError as error:
            prompt = item.prompt or ""
            entry = output.known.results.get(prompt)
            return Result(item, "failed", prompt, reason=str(error), entry=entry)
        if isinstance(job, Kept):
            return left(item, job)
        try:
            part = await self._part(item, job)
            if part is not None:
                job = dataclasses.replace(job, notes=(*job.notes, *part.notes))
            outcome = await self._ask(item, job, part, output)
        except PromptliftError as error:
            return Result(item, "failed", job.short, reason=str(error), job=job, entry=job.entry)
        if isinstance(outcome.error, ConfigEngineError | OptionError):
            raise outcome.error
        pictures = tuple(map(_picture, outcome.frames)) if self._pictures else ()
        why = str(outcome.error or "")
        return answered(item, job, outcome.record, error=why, pictures=pictures)

    async def _part(self, item: Item, job: Job) -> Part | None:
        """The region of the video that the item is about; None for the whole."""
        region = item.region if job.mask is None else job.mask.path
        if region is None:
            return None
        options = self._upsampler.options
        cut = partial(isolated_call, cut_region) if options.isolated else cut_region
        return await asyncio.to_thread(cut, job.video.path, region, options)

    async def _ask(self, item: Item, job: Job, part: Part | None, output: Output) -> Outcome:
        self._claims.take(output, item, job.prompt_file.path if job.prompt_file else None)
        options = dataclasses.replace(
            self._upsampler.options,
            target=output.spec.format.target,
            control=job.shown,
            controls=job.controls,
        )
        source: Source = job.video.path if part is None else part.pictures
        sights: See = self._sights if part is None else PartSights(part, self._sights)
        engine = self._upsampler.engine
        return await upsample_item(source, job.short, engine, options, sights=sights)


def _picture(frame: Frame) -> str:
    """A frame as a data: address, small enough for a page of many."""
    from PIL import Image

    image = Image.fromarray(frame.image)
    image.thumbnail((_PICTURE_WIDTH, 4 * _PICTURE_WIDTH))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
