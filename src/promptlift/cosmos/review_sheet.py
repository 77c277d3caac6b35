"""The review sheet: one page that a person reads before spending GPU hours."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from typing import NamedTuple

from promptlift import __version__
from promptlift.cosmos.plan import ItemResult
from promptlift.cosmos.upsample import SpecResult
from promptlift.errors import PromptliftError
from promptlift.files import html_templates
from promptlift.options import Options
from promptlift.review.marks import STATUS_SIGNS, marked_texts
from promptlift.review.result import check_of
from promptlift.targets.templates import fixed_by, free_under
from promptlift.text import counted
from promptlift.types import COSMOS_CONTROLS, Box, Instant, Size
from promptlift.video.reader import FrameChoice, hint_frames
from promptlift.video.source import VideoRegion, open_video
from promptlift.video.workers import isolated_call

__all__ = ["render_review_sheet"]

_STATUSES = {
    "done": "long prompt in place",
    "kept": "left as it was",
    "rejected": "no answer fit to use",
    "failed": "failed",
}
_PICTURE = Size(480, 4 * 480)
_DECODERS = 2


def render_review_sheet(
    specs: Sequence[SpecResult], options: Options, *, dry_run: bool = False
) -> str:
    """The page for specs that are upsampled: frames, prompts, reviews and tokens of each item.

    A record says which frames were shown; they are decoded again, each video in a process of its
    own. Of an item whose engine looked at none, those that another would be shown are.

    Args:
        specs: What became of them.
        options: The options that their items were upsampled with.
        dry_run: Whether the changes were not written.
    """
    template = html_templates("promptlift.cosmos").get_template("review_sheet.html.j2")
    items = [item for spec in specs for item in spec.items]
    with ThreadPoolExecutor(_DECODERS, thread_name_prefix="review-sheet") as threads:
        pictures = threads.map(partial(_pictures, options=options), items)
        return template.render(
            specs_with_pictures=[(spec, [next(pictures) for _ in spec.items]) for spec in specs],
            counts=Counter(item.status for item in items),
            statuses=_STATUSES,
            dry_run=dry_run,
            version=__version__,
            counted=counted,
            marked_texts=marked_texts,
            signs=STATUS_SIGNS,
            check_of=check_of,
            fixed_by=fixed_by,
            free_under=free_under,
            controls_of=lambda item: tuple(COSMOS_CONTROLS[key][0] for key in item.hints),
        )


class _Picture(NamedTuple):
    address: str
    seconds: float


def _pictures(item: ItemResult, options: Options) -> tuple[_Picture, ...]:
    """The hint frames of an item; none where they cannot be read any more."""
    if item.video is None or item.record is None:
        return ()
    times = [Fraction(frame.exact_seconds) for frame in item.record.frames]
    region = item.item.region or item.mask_path
    try:
        return isolated_call(_decode, item.video_path, region, times, options)
    except PromptliftError:
        return ()


def _decode(
    video: str, region: Box | str | None, times: Sequence[Fraction], options: Options
) -> tuple[_Picture, ...]:
    """The frames at some times as data: addresses; without times, or of a region, the chosen."""
    from PIL import Image

    choice = FrameChoice(
        options.strategy, options.frame_count, options.fps, options.exact, options.at
    )
    source = video if region is None else VideoRegion(video, region, choice)
    with open_video(source) as reader:
        if times and region is None:
            frames = reader.frames_at([Instant.exact(time) for time in times], _PICTURE)
        else:
            frames = hint_frames(reader, choice, box=_PICTURE)
        pictures = []
        for frame in frames:
            file = io.BytesIO()
            Image.fromarray(frame.image).save(file, "JPEG", quality=82)
            address = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
            pictures.append(_Picture(address, float(frame.time)))
        return tuple(pictures)
