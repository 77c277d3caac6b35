"""Which frame sizes fit into a model's context: predicted by formula, and measured on an engine.

The bare request is what a program sends that resizes nothing: some frames at their own size, and
the prompt. Beside it stands what promptlift's plan makes of the same video.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from promptlift import __version__
from promptlift.engines.base import CountsTokens, Engine, Request
from promptlift.errors import BudgetError, ItemEngineError, OptionError
from promptlift.files import replacing
from promptlift.planning import Budget, Cost, make_plan
from promptlift.testing import synthetic_pictures
from promptlift.text import counted
from promptlift.tokens import Family
from promptlift.tokens.text import counter_for
from promptlift.types import FinishReason, Frame, Sampling, Size
from promptlift.video.reader import FrameChoice, hint_frames
from promptlift.video.source import open_video

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "LADDER",
    "FitVerdict",
    "Measurement",
    "SweepRow",
    "as_csv",
    "as_json",
    "as_table",
    "frames_of_size",
    "measure",
    "plot",
    "predict",
]

LADDER = (
    *(Size(320, 180), Size(320, 176), Size(360, 203), Size(400, 225), Size(440, 248)),
    *(Size(480, 270), Size(520, 293), Size(560, 315), Size(600, 338), Size(640, 360)),
    *(Size(640, 480), Size(704, 576), Size(896, 504), Size(960, 704), Size(1280, 704)),
    *(Size(1280, 720), Size(1920, 1080)),
)
"""Common sizes: hint clips, VGA, PAL, those of Cosmos, HD and Full HD."""

FitVerdict: TypeAlias = Literal["passes", "cut", "fails"]
"""What happens to the bare request: ``cut`` where it is accepted and leaves less room than is
reserved for the answer, so that the answer may end in the middle of a sentence."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What an engine did with the bare request.

    Attributes:
        counted_tokens: Tokens of the prompt as the engine counted them; None if it does not.
        answered: Whether there was an answer.
        finish_reason: How the answer ended; None without one.
        seconds: How long the request took.
        error: Why the engine refused it; None if it did not.
        answer: The answer, if it was to be kept.
    """

    counted_tokens: int | None = None
    answered: bool | None = None
    finish_reason: FinishReason | None = None
    seconds: float | None = None
    error: str | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One frame size and frame count for one model.

    Attributes:
        model: The family that counts.
        frames: How many frames.
        size: Pixels of each.
        context: Tokens that prompt and answer may take together.
        reserve: Tokens reserved for the answer.
        tokens: Tokens of the bare request; None where the model accepts no picture of that shape.
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
    measured: Measurement | None = None

    @property
    def room(self) -> int | None:
        """Tokens left for the answer; below 0 where the prompt alone is too long."""
        return None if self.tokens is None else self.context - self.tokens

    @property
    def verdict(self) -> FitVerdict:
        """What happens to the bare request, as predicted."""
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
) -> list[SweepRow]:
    """Every row by the formulas alone, in the order of the arguments.

    Raises:
        OptionError: The context, the reserve or a number of frames is out of range.
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
    return rows


def frames_of_size(video: Path | None, size: Size, count: int) -> tuple[Frame, ...]:
    """Frames of exactly that size: of a video, stretched and the last one repeated, or drawn.

    Raises:
        VideoError: The video cannot be used.
    """
    if video is not None:
        with open_video(video) as reader:
            frames = hint_frames(reader, FrameChoice(count=count), box=size, stretch=True)
        return frames + frames[-1:] * (count - len(frames))
    pictures = synthetic_pictures(seconds=count / 2, size=(size.width, size.height), fps=2)
    times = (Fraction(number, 2) for number in range(count))
    return tuple(
        Frame(time, picture, wanted=time) for time, picture in zip(times, pictures, strict=True)
    )


async def measure(
    engine: Engine,
    rows: Sequence[SweepRow],
    video: Path | None = None,
    *,
    prompt: str,
    keep_answers: bool = False,
) -> list[SweepRow]:
    """Send each row's bare request, one after another; a refusal is a result.

    Args:
        engine: Its own family is the one of the rows.
        rows: What to send.
        video: See `frames_of_size`.
        prompt: The text of the requests.
        keep_answers: Whether the rows keep the answers.

    Raises:
        TransientEngineError: The engine does not answer.
        ConfigEngineError: Every request would fail.
        VideoError: The video cannot be used.
    """
    measured = []
    for row in rows:
        request = Request(
            text=prompt,
            frames=frames_of_size(video, row.size, row.frames),
            sampling=Sampling(max_tokens=row.reserve, temperature=0, seed=0),
            short_prompt=prompt,
        )
        tokens = await engine.count(request) if isinstance(engine, CountsTokens) else None
        start = time.perf_counter()
        try:
            done = await engine.complete(request)
        except ItemEngineError as refusal:
            result = Measurement(tokens, answered=False, error=refusal.message)
        else:
            tokens = done.prompt_tokens if tokens is None else tokens
            answer = done.text if keep_answers else None
            result = Measurement(tokens, True, done.finish_reason, answer=answer)
        seconds = round(time.perf_counter() - start, 3)
        measured.append(replace(row, measured=replace(result, seconds=seconds)))
    return measured


def as_json(rows: Sequence[SweepRow], prompt: str) -> str:
    """The rows with all their values."""
    content = {"promptlift": __version__, "prompt": prompt, "rows": list(map(_values, rows))}
    return json.dumps(content, indent=2, ensure_ascii=False)


def as_csv(rows: Sequence[SweepRow]) -> str:
    """The same as a table, a line a row; unknown values are empty."""
    table = io.StringIO()
    values = [_values(row) for row in rows]
    writer = csv.DictWriter(table, list(values[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(values)
    return table.getvalue()


def _values(row: SweepRow) -> dict[str, Any]:
    plan = row.plan
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
        "plan_width": plan and plan.width,
        "plan_height": plan and plan.height,
        "plan_tokens": plan and plan.prompt_tokens,
        **asdict(row.measured or Measurement()),
    }


def as_table(rows: Sequence[SweepRow]) -> str:
    """A block for each model and number of frames; refusals and answers follow their block."""
    blocks = groupby(rows, key=lambda row: (row.model, row.frames))
    return "\n\n".join(_block(list(block)) for _, block in blocks)


def _block(rows: list[SweepRow]) -> str:
    first = rows[0]
    with_engine = any(row.measured for row in rows)
    head = ["size", "tokens", "room", "bare", "as planned", "tokens"]
    cells = [head + ["counted", "engine", "seconds"] * with_engine]
    remarks = {}  # each wording once
    for row in rows:
        plan, measured = row.plan, row.measured
        line = [
            str(row.size),
            _number(row.tokens),
            _number(row.room),
            "FAILS" if row.verdict == "fails" else row.verdict,
            str(plan.size) if plan else "-",
            _number(plan.prompt_tokens if plan else None),
        ]
        if measured:
            outcome = "answered" if measured.answered else "REFUSED"
            outcome = "answer cut" if measured.finish_reason == "length" else outcome
            line += [_number(measured.counted_tokens), outcome, f"{measured.seconds:.2f}"]
            remarks[measured.error or measured.answer] = row.size
        cells.append(line)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (3, 7) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    title = (
        f"{first.model}, {counted(first.frames, 'frame')}, context {first.context:,}, "
        f"{first.reserve:,} reserved for the answer"
    )
    notes = [f"{size}: {text}" for text, size in remarks.items() if text]
    return "\n".join([title, *lines, *([""] if notes else []), *notes])


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


# ---- the plot

_INK, _FAINT, _GRID = "#24292f", "#6e7781", "#eaecef"
_LIMIT, _RESERVED, _BEYOND = "#b3261e", "#fbe6a8", "#fdf1f0"
_CURVES = ("#0b7285", "#5f3dc4", "#c2255c", "#2b8a3e", "#8d5524", "#495057")
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "promptlift",  # the same sweep gives the same file
    "font.size": 9.5,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.labelcolor": _INK,
}
_MARKS: dict[FitVerdict, dict[str, str]] = {
    "passes": {"fillstyle": "full", "label": "the bare request passes"},
    "cut": {"fillstyle": "bottom", "label": "passes, and leaves too little for the answer"},
    "fails": {"fillstyle": "none", "label": "fails"},
}


def plot(rows: Sequence[SweepRow], targets: Sequence[Path]) -> None:
    """Draw a sweep into files, in the format that each suffix names; models side by side.

    What takes more than two and a half contexts is beyond the upper edge.

    Raises:
        OptionError: matplotlib is not installed.
        OutputError: A file cannot be written.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OptionError(
            "the plot needs matplotlib", remedy="run `pip install 'promptlift[plot]'`"
        ) from error
    models = list(dict.fromkeys(row.model for row in rows))
    context = rows[0].context
    highest = max(row.tokens or 0 for row in rows)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(1 + 8 * len(models), 5.8), layout="constrained")
        panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
        panels[0].set_ylim(0, min(max(1.1 * highest, 1.25 * context), 2.5 * context))
        for axes, model in zip(panels, models, strict=True):
            _panel(axes, [row for row in rows if row.model == model])
        panels[0].set_ylabel("tokens of the prompt, images included")
        handles = {
            label: handle
            for axes in panels
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=4, frameon=False)
        for target in targets:
            undated = {"Date": None} if target.suffix == ".svg" else {"Software": None}
            with replacing(target) as temporary:
                figure.savefig(temporary, dpi=160, metadata=undated)


def _panel(axes: Axes, rows: Sequence[SweepRow]) -> None:
    """One model: a curve for each number of frames, over the context and its reserve."""
    context, reserve = rows[0].context, rows[0].reserve
    sizes = sorted({row.size for row in rows}, key=lambda size: (size.pixels, size.width))
    axes.axhspan(context, axes.get_ylim()[1], color=_BEYOND, linewidth=0)
    axes.axhspan(context - reserve, context, color=_RESERVED, linewidth=0)
    axes.axhline(context, color=_LIMIT, linewidth=1.4)
    for text, offset, color in (
        (f"context {context:,}", 3, _LIMIT),
        (f"{reserve:,} reserved for the answer", -12, _FAINT),
    ):
        at = (-0.5, context)
        axes.annotate(text, at, xytext=(4, offset), textcoords="offset points", color=color)
    counts = dict.fromkeys(row.frames for row in rows)
    for number, count in enumerate(counts):
        color = _CURVES[number % len(_CURVES)]
        curve = {sizes.index(row.size): row for row in rows if row.frames == count}
        curve = dict(sorted(curve.items()))
        planned = {place: row.plan.prompt_tokens for place, row in curve.items() if row.plan}
        bare = {place: row.tokens for place, row in curve.items() if row.tokens is not None}
        label = counted(count, "frame")
        axes.plot(*_points(bare), color=color, linewidth=1.8, label=label)
        axes.plot(
            *_points(planned),
            color=color,
            linewidth=1.2,
            linestyle=(0, (2, 2)),
            label=f"{label}, as planned",
        )
        seen = {
            place: row.measured.counted_tokens
            for place, row in curve.items()
            if row.measured and row.measured.counted_tokens is not None
        }
        if seen:
            marks: Any = {"marker": "o", "fillstyle": "none", "linestyle": "none", "markersize": 11}
            axes.plot(*_points(seen), color=_INK, label="counted by the engine", **marks)
        for verdict, mark in _MARKS.items():
            those = {place: bare[place] for place in bare if curve[place].verdict == verdict}
            style: Any = {"marker": "o", "linestyle": "none", "markerfacecoloralt": "white", **mark}
            if those:
                axes.plot(*_points(those), color=color, **style)
    axes.set_title(rows[0].model, loc="left", fontweight="bold", fontsize=12)
    names = [f"{size.width}×{size.height}" for size in sizes]
    axes.set_xticks(range(len(sizes)), names, rotation=55, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(sizes) - 0.3)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.tick_params("both", length=0)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _points(values: dict[int, int]) -> tuple[list[int], list[int]]:
    return list(values), list(values.values())
