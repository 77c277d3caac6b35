"""The picture of a sweep: tokens over size, with the context and what is kept for the answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift.errors import OptionError
from promptlift.files import replacing
from promptlift.sweep import FitVerdict, SweepRow
from promptlift.types import Size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

_INK, _FAINT, _GRID = "#24292f", "#6e7781", "#eaecef"
_LIMIT, _RESERVED, _BEYOND = "#b3261e", "#fbe6a8", "#fdf1f0"
# From few frames to many; told apart in print and by the colour-blind.
_CURVES = ("#0b7285", "#5f3dc4", "#c2255c", "#2b8a3e", "#8d5524", "#495057")
_LOGARITHMIC = 2.5  # so many contexts high, a linear scale leaves too little of each
_PANEL_INCHES, _MARGIN_INCHES, _HEIGHT_INCHES = 8.0, 1.0, 5.8
_DOTS_PER_INCH = 160
_LOOK: Any = {
    "svg.fonttype": "none",  # a text stays text
    "svg.hashsalt": "promptlift",  # the same sweep gives the same file
    "font.size": 9.5,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.labelcolor": _INK,
}
_COUNTED: Any = {
    "marker": "o",
    "fillstyle": "none",
    "linestyle": "none",
    "color": _INK,
    "markeredgewidth": 0.8,
}
_MEANINGS: dict[FitVerdict, str] = {
    "passes": "the bare request passes",
    "cut": "passes, and leaves too little for the answer",
    "fails": "fails",
}


def draw(rows: Sequence[SweepRow], targets: Sequence[Path]) -> None:
    """Draw a sweep into files, in the format that each suffix names; models side by side.

    Raises:
        OptionError: matplotlib is not installed.
        OutputError: A file cannot be written.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OptionError(
            "the plot needs matplotlib", remedy="install it with: pip install 'promptlift[plot]'"
        ) from error
    models = list(dict.fromkeys(row.model for row in rows))
    with mpl.rc_context(_LOOK):
        width = _MARGIN_INCHES + _PANEL_INCHES * len(models)
        figure = Figure(figsize=(width, _HEIGHT_INCHES), layout="constrained")
        panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
        for axes, model in zip(panels, models, strict=True):
            _panel(axes, [row for row in rows if row.model == model], _extent(rows))
        panels[0].set_ylabel("tokens of the prompt, images included")
        _legend(figure, rows)
        for target in targets:
            undated = {"Date": None} if target.suffix == ".svg" else {"Software": None}
            with replacing(target) as temporary:
                figure.savefig(temporary, dpi=_DOTS_PER_INCH, metadata=undated)


def _extent(rows: Sequence[SweepRow]) -> tuple[float, float]:
    """Where the picture begins and ends: above every curve, and above the context.

    Begins above 0 where the curves span so much that only logarithms show them all.
    """
    known = [row.tokens for row in rows if row.tokens is not None]
    highest = max([*known, round(1.12 * rows[0].context)])
    if highest < _LOGARITHMIC * rows[0].context:
        return 0, 1.1 * highest
    return 0.8 * min(known), 1.5 * highest


def _panel(axes: Axes, rows: Sequence[SweepRow], extent: tuple[float, float]) -> None:
    """One model: a curve for each number of frames, over the context and its reserve."""
    first = rows[0]
    sizes = sorted({row.size for row in rows}, key=lambda size: (size.pixels, size.width))
    counts = list(dict.fromkeys(row.frames for row in rows))
    if extent[0] > 0:
        axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_ylim(*extent)
    axes.set_xlim(-0.6, len(sizes) + (1.0 if len(counts) > 1 else -0.3))
    axes.axhspan(first.context, extent[1], color=_BEYOND, linewidth=0, zorder=0.5)
    kept = max(extent[0], first.context - first.reserve)
    axes.axhspan(kept, first.context, color=_RESERVED, linewidth=0, zorder=0.6)
    axes.axhline(first.context, color=_LIMIT, linewidth=1.4, zorder=2)
    beside: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9, "zorder": 4}
    place = (-0.6, first.context)
    axes.annotate(f"context {first.context:,}", place, xytext=(4, 3), color=_LIMIT, **beside)
    text = f"{first.reserve:,} kept for the answer"
    axes.annotate(text, place, xytext=(4, -3), va="top", color=_FAINT, **beside)
    for number, frames in enumerate(counts):
        curve = sorted(
            (row for row in rows if row.frames == frames), key=lambda row: sizes.index(row.size)
        )
        _curve(axes, curve, sizes, _CURVES[number % len(_CURVES)], values=len(counts) == 1)
    title = first.model if len(counts) > 1 else f"{first.model}, {_frames(first)}"
    axes.set_title(title, loc="left", fontweight="bold", fontsize=12)
    axes.set_xticks(
        range(len(sizes)),
        [f"{size.width}×{size.height}" for size in sizes],
        rotation=55,
        ha="right",
        rotation_mode="anchor",
    )
    axes.tick_params("both", length=0, which="both")
    axes.grid(axis="y", color=_GRID, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _frames(row: SweepRow) -> str:
    return "1 frame" if row.frames == 1 else f"{row.frames} frames"


def _curve(
    axes: Axes, rows: Sequence[SweepRow], sizes: Sequence[Size], color: str, *, values: bool
) -> None:
    """One number of frames: the bare requests, and as promptlift plans them."""
    planned = [(sizes.index(row.size), row.plan.prompt_tokens) for row in rows if row.plan]
    dashes: Any = (0, (2, 2))
    axes.plot(*zip(*planned, strict=True), color=color, linewidth=1.2, linestyle=dashes, zorder=2.5)
    known = [(sizes.index(row.size), row.tokens, row) for row in rows if row.tokens is not None]
    if not known:
        return
    places, tokens, _ = zip(*known, strict=True)
    axes.plot(places, tokens, color=color, linewidth=1.8, zorder=3)
    beside: dict[str, Any] = {"textcoords": "offset points"}
    for place, value, row in known:
        axes.plot(place, value, **_mark(row.verdict, color), zorder=3.5)
        if row.measured is not None and row.measured.tokens is not None:
            axes.plot(place, row.measured.tokens, **_COUNTED, markersize=11)
        if values:
            at = {**beside, "xytext": (-3, 7), "ha": "right", "fontsize": 8, "color": _FAINT}
            axes.annotate(f"{value:,}", (place, value), **at)
    if not values:
        at = {**beside, "xytext": (9, 0), "va": "center", "color": color, "fontweight": "bold"}
        axes.annotate(_frames(rows[0]), (places[-1], tokens[-1]), **at)


def _mark(verdict: FitVerdict, color: str) -> dict[str, Any]:
    return {
        "marker": "o",
        "markersize": 6.5,
        "color": color,
        "markeredgewidth": 1.4,
        "markerfacecolor": "white" if verdict == "fails" else color,
        "markerfacecoloralt": "white",
        "fillstyle": "bottom" if verdict == "cut" else "full",
        "linestyle": "none",
    }


def _legend(figure: Figure, rows: Sequence[SweepRow]) -> None:
    """Explains only what is there."""
    from matplotlib.lines import Line2D

    seen = {row.verdict for row in rows}
    handles = [
        Line2D([], [], label=meaning, **_mark(verdict, _FAINT))
        for verdict, meaning in _MEANINGS.items()
        if verdict in seen
    ]
    dashed: dict[str, Any] = {"color": _FAINT, "linestyle": (0, (2, 2)), "linewidth": 1.2}
    handles.append(Line2D([], [], label="as promptlift plans it", **dashed))
    if any(row.measured and row.measured.tokens is not None for row in rows):
        handles.append(Line2D([], [], label="counted by the engine", **_COUNTED, markersize=9))
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": len(handles), "fontsize": 9}
    figure.legend(handles=handles, frameon=False, **place)
