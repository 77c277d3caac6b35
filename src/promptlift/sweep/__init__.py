"""Which sizes of frames a model takes, and why: predicted, and where there is an engine measured.

The bare request is what a program sends that resizes nothing: some frames at their own size, and
the prompt. Beside it stands what promptlift's plan makes of the same video.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, TypeAlias

from promptlift import __version__
from promptlift.engines.base import CountsTokens, Engine, Request
from promptlift.errors import BudgetError, ItemEngineError
from promptlift.planning import Budget, Cost, make_plan
from promptlift.testing import synthetic_pictures
from promptlift.tokens import Family
from promptlift.tokens.text import counter_for
from promptlift.types import FinishReason, Frame, Sampling, Size
from promptlift.video.reader import hint_frames
from promptlift.video.source import open_video

__all__ = [
    "LADDER",
    "FitVerdict",
    "MeasuredRow",
    "Pictures",
    "SweepRow",
    "as_csv",
    "as_json",
    "as_table",
    "drawn",
    "ladder",
    "measure",
    "of_video",
    "predict",
]

LADDER = (
    *(Size(320, 180), Size(320, 176), Size(360, 203), Size(400, 225), Size(440, 248)),
    *(Size(480, 270), Size(520, 293), Size(560, 315), Size(600, 338), Size(640, 360)),
    *(Size(640, 480), Size(704, 576), Size(896, 504), Size(960, 704), Size(1280, 704)),
    *(Size(1280, 720), Size(1920, 1080)),
)
"""Sizes that people meet or try: hint clips, VGA, PAL, Cosmos's own, HD and Full HD."""

_LONG_SIDES = (320, 400, 480, 560, 640, 720, 800, 896, 960, 1024, 1152, 1280, 1600, 1920)


def ladder(aspect: Fraction) -> tuple[Size, ...]:
    """Sizes of one shape, from 320 to 1920 pixels on the longer side.

    Args:
        aspect: Width over height, above 0.
    """
    short = min(aspect, 1 / aspect)
    pairs = [(long, max(1, int(long * short + Fraction(1, 2)))) for long in _LONG_SIDES]
    return tuple(Size(*pair) if aspect >= 1 else Size(pair[1], pair[0]) for pair in pairs)


def of_video(video: Path, size: Size, count: int) -> tuple[Frame, ...]:
    """Frames spread over a video, brought to the size whatever its shape; the last again if few.

    Raises:
        VideoError: The video cannot be used.
    """
    with open_video(video) as reader:
        frames = hint_frames(reader, count=count, box=size, stretch=True)
    return frames + frames[-1:] * (count - len(frames))


def drawn(size: Size, count: int) -> tuple[Frame, ...]:
    """So many pictures of a moving scene, half a second apart."""
    pictures = synthetic_pictures(seconds=count / 2, size=(size.width, size.height), fps=2)
    return tuple(
        Frame(Fraction(number, 2), picture, wanted=Fraction(number, 2))
        for number, picture in enumerate(pictures)
    )


FitVerdict: TypeAlias = Literal["passes", "cut", "fails"]
"""What becomes of the bare request: ``cut`` where it goes through and leaves the answer less room
than is kept for it, so that the answer may end in the middle of a sentence."""


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """What an engine did with the bare request.

    Attributes:
        tokens: Tokens of the prompt as the engine counted them; None if it does not.
        answered: Whether there was an answer.
        finish_reason: How the answer ended; None without one.
        error: Why there was none.
        seconds: How long the request took.
        text: The answer, where it was to be kept.
    """

    tokens: int | None
    answered: bool
    finish_reason: FinishReason | None
    error: str | None
    seconds: float
    text: str | None = None


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One size, shown to one model so many times.

    Attributes:
        model: The family that counts.
        frames: How many frames.
        size: Pixels of each.
        context: Tokens that prompt and answer may take together.
        reserve: Tokens kept for the answer.
        tokens: Tokens of the bare request; None where the model takes no picture of that shape.
        plan: What promptlift would send instead; None where nothing fits.
        measured: What an engine did; None where none was asked.
    """

    model: str
    frames: int
    size: Size
    context: int
    reserve: int
    tokens: int | None
    plan: Cost | None
    measured: MeasuredRow | None = None

    @property
    def room(self) -> int | None:
        """Tokens left for the answer; below 0 where the prompt alone is too long."""
        return None if self.tokens is None else self.context - self.tokens

    @property
    def verdict(self) -> FitVerdict:
        """What becomes of the bare request, by the arithmetic."""
        if self.room is None or self.room <= 0:
            return "fails"
        return "passes" if self.room >= self.reserve else "cut"


def predict(
    families: Sequence[Family],
    frames: Sequence[int],
    sizes: Sequence[Size],
    *,
    prompt: str,
    context: int,
    reserve: int,
) -> tuple[SweepRow, ...]:
    """Every row by the formulas alone, in the order of the arguments.

    Raises:
        OptionError: The context, the reserve or a number of frames makes no sense.
    """
    rows = []
    for family in families:
        for count in frames:
            text = family.chat("", prompt, count, counter_for(family))
            budget = Budget(family, context, reserve, text)
            for size in sizes:
                tokens = plan = None
                with suppress(BudgetError):  # no picture of that shape
                    tokens = budget.cost(size, count).prompt_tokens
                with suppress(BudgetError):  # nothing fits
                    plan = make_plan(size, count, budget).chosen
                rows.append(SweepRow(family.name, count, size, context, reserve, tokens, plan))
    return tuple(rows)


Pictures: TypeAlias = "Callable[[Size, int], tuple[Frame, ...]]"
"""Gives so many frames of the very size."""


async def measure(
    engine: Engine,
    rows: Sequence[SweepRow],
    pictures: Pictures,
    *,
    prompt: str,
    keep_answers: bool = False,
) -> AsyncIterator[SweepRow]:
    """Send each row's bare request, and yield the row with what became of it.

    A refusal is a result. The rows are to be of the engine's own family.

    Raises:
        TransientEngineError: The engine does not answer.
        ConfigEngineError: Every request would fail.
    """
    for row in rows:
        request = Request(
            text=prompt,
            frames=pictures(row.size, row.frames),
            sampling=Sampling(max_tokens=row.reserve, temperature=0, seed=0),
            short_prompt=prompt,
        )
        counted = await engine.count(request) if isinstance(engine, CountsTokens) else None
        start = time.perf_counter()
        try:
            done = await engine.complete(request)
        except ItemEngineError as refusal:
            seconds = time.perf_counter() - start
            measured = MeasuredRow(counted, False, None, refusal.message, seconds)
        else:
            measured = MeasuredRow(
                done.prompt_tokens if counted is None else counted,
                True,
                done.finish_reason,
                None,
                time.perf_counter() - start,
                done.text if keep_answers else None,
            )
        yield replace(row, measured=measured)


def as_json(rows: Sequence[SweepRow], prompt: str) -> str:
    """All that is known of each row."""
    content = {
        "promptlift": __version__,
        "prompt": prompt,
        "rows": [_values(row) for row in rows],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def as_csv(rows: Sequence[SweepRow]) -> str:
    """The same as a sheet, a line a row; what is not known is empty."""
    sheet = io.StringIO()
    values = [_values(row) for row in rows]
    writer = csv.DictWriter(sheet, list(values[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(values)
    return sheet.getvalue()


def as_table(rows: Sequence[SweepRow]) -> str:
    """A block for each model and number of frames; answers stand below their block."""
    blocks = groupby(rows, key=lambda row: (row.model, row.frames))
    return "\n\n".join(_block(list(block)) for _, block in blocks)


def _values(row: SweepRow) -> dict[str, Any]:
    plan, seen = row.plan, row.measured
    return {
        "model": row.model,
        "frames": row.frames,
        "width": row.size.width,
        "height": row.size.height,
        "context": row.context,
        "reserve": row.reserve,
        "predicted_tokens": row.tokens,
        "room": row.room,
        "bare_request": row.verdict,
        "plan_width": None if plan is None else plan.size.width,
        "plan_height": None if plan is None else plan.size.height,
        "plan_tokens": None if plan is None else plan.prompt_tokens,
        "counted_tokens": None if seen is None else seen.tokens,
        "answered": None if seen is None else seen.answered,
        "finish_reason": None if seen is None else seen.finish_reason,
        "seconds": None if seen is None else round(seen.seconds, 3),
        "error": None if seen is None else seen.error,
        "answer": None if seen is None else seen.text,
    }


def _block(rows: list[SweepRow]) -> str:
    first = rows[0]
    measured = any(row.measured for row in rows)
    head = ["size", "tokens", "room", "bare", "as planned", "tokens"]
    cells = [head + ["counted", "engine", "seconds"] * measured]
    remarks = {}  # a refusal once for each wording, and the answers that were kept
    for row in rows:
        plan, seen = row.plan, row.measured
        line = [
            str(row.size),
            _number(row.tokens),
            _number(row.room),
            row.verdict.upper() if row.verdict == "fails" else row.verdict,
            "-" if plan is None else str(plan.size),
            _number(None if plan is None else plan.prompt_tokens),
        ]
        if seen is not None:
            done = "answered" if seen.answered else "REFUSED"
            done = "answer cut" if seen.finish_reason == "length" else done
            line += [_number(seen.tokens), done, f"{seen.seconds:.2f}"]
            remarks[seen.error or seen.text] = row.size
        elif measured:
            line += ["-"] * 3
        cells.append(line)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (3, 7) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    frames = "1 frame" if first.frames == 1 else f"{first.frames} frames"
    said = [f"{size}: {text}" for text, size in remarks.items() if text]
    title = (
        f"{first.model}, {frames}, context {first.context:,}, {first.reserve:,} kept for the answer"
    )
    return "\n".join([title, *lines, *([""] if said else []), *said])


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
