"""``promptlift hint`` and ``promptlift facts``: the frames of a video, and its measurements."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from promptlift.cli.items import item_option
from promptlift.instants import DEFAULT_WIDTH, clip_size
from promptlift.options import Options

if TYPE_CHECKING:
    from promptlift.facts import Facts

__all__ = ["facts", "hint"]


@click.command()
@click.argument("video", type=click.Path(path_type=Path, readable=False))
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    help="A clip (.mp4), a contact sheet (.png), or a directory for one PNG per frame.",
)
@item_option("frames")
@item_option("strategy")
@item_option("fps")
@item_option("at")
@item_option("exact")
@click.option(
    "--width", default=DEFAULT_WIDTH, show_default=True, help="Width in pixels; must be even."
)
def hint(
    video: Path,
    output: Path,
    frames: int,
    strategy: str,
    fps: Fraction,
    width: int,
    exact: bool,
    at: tuple[Fraction, ...],
) -> None:
    """Write the frames of VIDEO that a model would be shown.

    With --strategy fps and an .mp4 file the result equals that of
    ffmpeg -vf "scale=320:-2:flags=lanczos,fps=2" -vframes 2 -c:v libx264 -crf 18 -preset medium.
    """
    from promptlift.video.export import check_target, write_hints
    from promptlift.video.reader import FrameChoice, hint_frames
    from promptlift.video.source import open_video

    check_target(output)
    with open_video(video, native=True) as reader:
        box = clip_size(reader.info.size, width)
        count = Options(frames=frames, strategy=strategy, at=at).frame_count
        choice = FrameChoice(strategy, count, fps, exact, at)
        shown = hint_frames(reader, choice, box=box, stretch=True)
    write_hints(shown, output, fps=fps)
    for frame in shown:
        notes = "  (nearest keyframe)" * frame.snapped + "  (damaged)" * frame.corrupt
        click.echo(f"{float(frame.time):.3f} s  {frame.size}{notes}", err=True)


@click.command()
@click.argument("video", metavar="VIDEO")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def facts(video: str, as_json: bool) -> None:
    """Measure VIDEO without a model: camera motion, light, colours, cuts.

    Each fact has a confidence from 0 to 1; uncertain facts are left out.
    """
    from promptlift.facts.measurement import measure_facts
    from promptlift.video.reader import named_kind
    from promptlift.video.source import open_video

    with open_video(video) as reader:
        measured = measure_facts(reader.thumbnails(), hint=named_kind(video))
    click.echo(measured.model_dump_json(indent=2) if as_json else _as_list(measured))


def _as_list(measured: Facts) -> str:
    texts: dict[str, str] = {}
    if camera := measured.camera:
        moves = " + ".join(camera.value.moves)
        texts["camera"] = _joined(moves, camera.value.strength)
    if movement := measured.movement:
        texts["movement"] = _joined(movement.value.amount, movement.value.where)
    if light := measured.light:
        contrast = f"{light.value.contrast} contrast"
        texts["light"] = _joined(light.value.exposure, contrast, light.value.temperature)
    if palette := measured.palette:
        accents = [f"accents {', '.join(palette.value.accents)}"] if palette.value.accents else []
        dominant = [", ".join(palette.value.dominant)] if palette.value.dominant else []
        texts["palette"] = "; ".join(dominant + accents)
    rows = [
        (
            name,
            texts.get(name) or str(fact.value),
            _joined(f"({fact.confidence:.2f})", fact.evidence),
        )
        for name in ("kind", "camera", "movement", "light", "palette", "sharpness")
        if (fact := getattr(measured, name)) is not None
    ]
    if measured.cuts:
        rows.append(("cuts", ", ".join(f"{cut:.2f} s" for cut in measured.cuts), ""))
    if not rows:
        return "no fact could be measured with confidence"
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(
        f"{name:<{widths[0]}}  {text:<{widths[1]}}  {confidence}".rstrip()
        for name, text, confidence in rows
    )


def _joined(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)
