"""``promptlift facts``: what can be measured about a video without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from promptlift.core.facts import Camera, Facts, Light, Movement, Palette

__all__ = ["facts"]


@click.command()
@click.argument("video", metavar="VIDEO")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def facts(video: str, as_json: bool) -> None:
    """Say what can be measured about VIDEO without a model.

    Each fact comes with a confidence from 0 to 1. What is not sure is left out.
    """
    from promptlift.facts import measure
    from promptlift.frames import open_video

    with open_video(video) as reader:
        measured = measure(reader.strip())
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
