"""The picture of a sweep: tokens over size, with the context and what is kept for the answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift.core.video import Size
from promptlift.errors import OptionError
from promptlift.files import replacing
from promptlift.sweep.rows import Row, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

_INK, _FAINT, _GRID = "#24292f", "#6e7781", "#eaecef"
_LIMIT, _RESERVED, _BEYOND = "#b3261e", "#fbe6a8", "#fdf1f0"
# From few frames to many; told apart in print and by the colour-blind.
_CURVES = ("#0b7285", "#5f3dc4", "#c2255c", "#2b8a3e", "#8d5524", "#495057")
_TICKS = tuple(125 * 2**power for power in range(14))
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
_SHADES: dict[Verdict, str] = {"passes": "full", "cut": "bottom", "fails": "none"}
_MEANINGS: dict[Verdict, str] = {
    "passes": "the bare request passes",
    "cut": "passes, and leaves too little for the answer",
    "fails": "fails",
}


def draw(rows: Sequence[Row], targets: Sequence[Path]) -> None:
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


def _extent(rows: Sequence[Row]) -> tuple[float, float]:
    """Where the picture begins and ends: above every curve, and above the context.

    Begins above 0 where the curves span so much that only logarithms show them all.
    """
    known = [row.tokens for row in rows if row.tokens is not None]
    highest = max([*known, round(1.12 * rows[0].context)])
    if highest < _LOGARITHMIC * rows[0].context:
        return 0, 1.1 * highest
    return 0.8 * min(known), 1.5 * highest


def _panel(axes: Axes, rows: Sequence[Row], extent: tuple[float, float]) -> None:
    """One model."""
    sizes = sorted({row.size for row in rows}, key=lambda size: (size.pixels, size.width))
    counts = list(dict.fromkeys(row.frames for row in rows))
    _ground(axes, rows[0], len(sizes) + (1.0 if len(counts) > 1 else -0.3), extent)
    for number, frames in enumerate(counts):
        curve = [row for size in sizes for row in rows if (row.frames, row.size) == (frames, size)]
        _curve(axes, curve, sizes, _CURVES[number % len(_CURVES)], values=len(counts) == 1)
    title = rows[0].model if len(counts) > 1 else f"{rows[0].model}, {_frames(rows[0])}"
    axes.set_title(title, loc="left", fontweight="bold", fontsize=12)
    axes.set_xticks(range(len(sizes)), [f"{size.width}×{size.height}" for size in sizes])
    axes.tick_params("both", length=0, which="both")
    for label in axes.get_xticklabels():
        label.set(rotation=55, ha="right", rotation_mode="anchor")
    axes.grid(axis="y", color=_GRID, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _frames(row: Row) -> str:
    return "1 frame" if row.frames == 1 else f"{row.frames} frames"


def _ground(axes: Axes, row: Row, last: float, extent: tuple[float, float]) -> None:
    """The context, the part of it that is kept for the answer, and what is beyond."""
    if extent[0] > 0:
        axes.set_yscale("log", base=2)
        axes.set_yticks([tick for tick in _TICKS if extent[0] <= tick <= extent[1]])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_ylim(*extent)
    axes.set_xlim(-0.6, last)
    axes.axhspan(row.context, extent[1], color=_BEYOND, linewidth=0, zorder=0.5)
    kept = max(extent[0], row.context - row.reserve)
    axes.axhspan(kept, row.context, color=_RESERVED, linewidth=0, zorder=0.6)
    axes.axhline(row.context, color=_LIMIT, linewidth=1.4, zorder=2)
    at: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9, "zorder": 4}
    place = (-0.6, row.context)
    axes.annotate(f"context {row.context:,}", place, xytext=(4, 3), color=_LIMIT, **at)
    kept_text = f"{row.reserve:,} kept for the answer"
    axes.annotate(kept_text, place, xytext=(4, -3), va="top", color=_FAINT, **at)


def _curve(
    axes: Axes, rows: Sequence[Row], sizes: Sequence[Size], color: str, *, values: bool
) -> None:
    """One number of frames: the bare requests, and as promptlift plans them."""
    known = [row for row in rows if row.tokens is not None]
    places = [sizes.index(row.size) for row in known]
    tokens = [row.tokens or 0 for row in known]
    planned = [(sizes.index(row.size), row.plan.prompt_tokens) for row in rows if row.plan]
    axes.plot(
        *zip(*planned, strict=True), color=color, linewidth=1.2, linestyle=(0, (2, 2)), zorder=2.5
    )
    axes.plot(places, tokens, color=color, linewidth=1.8, zorder=3)
    for place, row in zip(places, known, strict=True):
        axes.plot(place, row.tokens or 0, **_mark(row.verdict, color), zorder=3.5)
        if row.measured is not None and row.measured.tokens is not None:
            ring = {"marker": "o", "fillstyle": "none", "markersize": 11, "linestyle": "none"}
            axes.plot(place, row.measured.tokens, color=_INK, markeredgewidth=0.8, **ring)  # type: ignore[arg-type]
    if values and places:
        _values(axes, places, tokens)
    elif places:
        end = (places[-1], tokens[-1])
        beside: dict[str, Any] = {"xytext": (9, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(_frames(rows[0]), end, color=color, fontweight="bold", **beside)


def _values(axes: Axes, places: Sequence[int], tokens: Sequence[int]) -> None:
    """The number at each point, on the side where no line runs."""
    befores, afters = [tokens[0], *tokens[:-1]], [*tokens[1:], 0]
    for place, before, value, after in zip(places, befores, tokens, afters, strict=True):
        how: dict[str, Any] = {"xytext": (0, 8), "ha": "center"}
        if before > value:
            how |= {"xytext": (0, -9), "va": "top"}
        elif after > value:
            how |= {"xytext": (-3, 7), "ha": "right"}
        how |= {"textcoords": "offset points", "fontsize": 8, "color": _FAINT}
        axes.annotate(f"{value:,}", (place, value), **how)


def _mark(verdict: Verdict, color: str) -> dict[str, Any]:
    return {
        "marker": "o",
        "markersize": 6.5,
        "color": color,
        "markeredgewidth": 1.4,
        "markerfacecolor": "white" if verdict == "fails" else color,
        "markerfacecoloralt": "white",
        "fillstyle": "full" if verdict == "fails" else _SHADES[verdict],
        "linestyle": "none",
    }


def _legend(figure: Figure, rows: Sequence[Row]) -> None:
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
        ring: dict[str, Any] = {"marker": "o", "fillstyle": "none", "linestyle": "none"}
        label = "counted by the engine"
        handles.append(Line2D([], [], label=label, color=_INK, markersize=11, **ring))
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": len(handles), "fontsize": 9}
    figure.legend(handles=handles, frameon=False, **place)
