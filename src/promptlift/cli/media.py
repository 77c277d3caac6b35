"""``promptlift hint`` and ``promptlift facts``: what a model is shown, and what is measured."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from promptlift.cli.types import rate
from promptlift.instants import DEFAULT_COUNT, DEFAULT_RATE, DEFAULT_WIDTH, STRATEGIES, clip_size

if TYPE_CHECKING:
    from promptlift.facts.model import Camera, Facts, Light, Movement, Palette
    from promptlift.types import Frame

__all__ = ["facts", "hint"]


@click.command()
@click.argument("video", type=click.Path(path_type=Path, readable=False))
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    help="A clip (.mp4), a contact sheet (.png), or a folder for one PNG each.",
)
@click.option("--frames", "-n", default=DEFAULT_COUNT, show_default=True, help="How many frames.")
@click.option(
    "--strategy",
    default=STRATEGIES[0],
    show_default=True,
    type=click.Choice(STRATEGIES),
    help="Which frames; fps gives the classic hint clip.",
)
@click.option(
    "--fps",
    type=rate,
    metavar="RATE",
    default=str(DEFAULT_RATE),
    show_default=True,
    help="Frames a second for --strategy fps, and of the clip that is written.",
)
@click.option(
    "--width", default=DEFAULT_WIDTH, show_default=True, help="Width in pixels, an even number."
)
@click.option("--exact", is_flag=True, help="Never take a nearby keyframe in a long clip.")
def hint(
    video: Path, output: Path, frames: int, strategy: str, fps: Fraction, width: int, exact: bool
) -> None:
    """Write the few frames of VIDEO that a model would be shown.

    With --strategy fps and a name that ends in .mp4 the result is that of
    ffmpeg -vf "scale=320:-2:flags=lanczos,fps=2" -vframes 2 -c:v libx264 -crf 18 -preset medium.
    """
    from promptlift.video.export import check_target, write_hints
    from promptlift.video.reader import hint_frames
    from promptlift.video.source import open_video

    check_target(output)
    with open_video(video, native=True) as reader:
        shown = hint_frames(
            reader,
            box=clip_size(reader.info.size, width),
            strategy=strategy,
            count=frames,
            fps=fps,
            exact=exact,
            stretch=True,
        )
    write_hints(shown, output, fps=fps)
    for frame in shown:
        click.echo(_line(frame), err=True)


def _line(frame: Frame) -> str:
    notes = [
        *(["nearest keyframe"] if frame.snapped else []),
        *(["damaged"] if frame.corrupt else []),
    ]
    return f"{float(frame.time):.3f} s  {frame.size}" + (f"  ({', '.join(notes)})" if notes else "")


@click.command()
@click.argument("video", metavar="VIDEO")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def facts(video: str, as_json: bool) -> None:
    """Say what can be measured about VIDEO without a model.

    Each fact comes with a confidence from 0 to 1. What is not sure is left out.
    """
    from promptlift.facts.measurement import measure_facts
    from promptlift.video.source import open_video

    with open_video(video) as reader:
        measured = measure_facts(reader.thumbnails())
    click.echo(measured.model_dump_json(indent=2) if as_json else _as_list(measured))


def _as_list(measured: Facts) -> str:
    rows = _rows(measured)
    if not rows:
        return "nothing sure can be said"
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(
        f"{name:<{widths[0]}}  {text:<{widths[1]}}  {confidence}".rstrip()
        for name, text, confidence in rows
    )


def _rows(measured: Facts) -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []

    def add(name: str, text: str, confidence: float) -> None:
        rows.append((name, text, f"({confidence:.2f})"))

    if measured.kind is not None:
        add("kind", measured.kind.value, measured.kind.confidence)
    if measured.camera is not None:
        add("camera", _camera(measured.camera.value), measured.camera.confidence)
    if measured.movement is not None:
        add("movement", _movement(measured.movement.value), measured.movement.confidence)
    if measured.light is not None:
        add("light", _light(measured.light.value), measured.light.confidence)
    if measured.palette is not None:
        add("palette", _palette(measured.palette.value), measured.palette.confidence)
    if measured.sharpness is not None:
        add("sharpness", measured.sharpness.value, measured.sharpness.confidence)
    if measured.cuts:
        rows.append(("cuts", ", ".join(f"{cut:.2f} s" for cut in measured.cuts), ""))
    return rows


def _camera(camera: Camera) -> str:
    moves = " + ".join(camera.moves)
    return moves if camera.strength is None else f"{moves}, {camera.strength}"


def _movement(movement: Movement) -> str:
    return movement.amount if movement.where is None else f"{movement.amount}, {movement.where}"


def _light(light: Light) -> str:
    parts = [light.exposure, f"{light.contrast} contrast"]
    return ", ".join([*parts, light.temperature] if light.temperature else parts)


def _palette(palette: Palette) -> str:
    parts = [", ".join(palette.dominant)] if palette.dominant else []
    if palette.accents:
        parts.append(f"accents {', '.join(palette.accents)}")
    return "; ".join(parts)
