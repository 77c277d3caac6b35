"""``promptlift facts``: the measured facts as an aligned list or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from media.scenes import photograph
from promptlift.cli.main import cli
from promptlift.facts import Camera, Confident, Facts, Light, Movement, Palette
from promptlift.types import Kind
from promptlift.video import analyse

if TYPE_CHECKING:
    from pathlib import Path


def picture_file(folder: Path) -> Path:
    """A photograph as a file."""
    path = folder / "still.png"
    photograph(0).save(path)
    return path


def test_the_command_prints_an_aligned_list_or_json(tmp_path: Path) -> None:
    """One fact a line, its name, its words and its confidence in columns; nothing left out.

    ``--json`` is the Facts model itself, and reads back as one.
    """
    path = picture_file(tmp_path)
    result = CliRunner().invoke(cli, ["facts", str(path)])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].split() == ["kind", "rgb", "(0.99)"]
    assert not any(line.startswith("camera") for line in lines)
    assert len({line.index("(0.") for line in lines}) == 1
    result = CliRunner().invoke(cli, ["facts", str(path), "--json"])
    assert result.exit_code == 0
    assert Facts.model_validate_json(result.output) == analyse(path).facts


def test_every_fact_has_its_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each kind of fact is printed in plain words, cuts included."""
    everything = Facts(
        kind=Confident[Kind](value="rgb", confidence=0.99),
        camera=Confident(
            value=Camera(moves=("forward", "pan left"), strength="slow"), confidence=0.7
        ),
        movement=Confident(value=Movement(amount="some", where="left"), confidence=0.6),
        light=Confident(
            value=Light(exposure="dark", contrast="high", temperature="warm"), confidence=0.8
        ),
        palette=Confident(value=Palette(dominant=("tan",), accents=("red",)), confidence=0.9),
        sharpness=Confident(value="soft", confidence=0.7),
        cuts=(1.5, 2.25),
    )
    monkeypatch.setattr("promptlift.facts.measurement.measure_facts", lambda *_, **__: everything)
    output = CliRunner().invoke(cli, ["facts", str(picture_file(tmp_path))]).output
    said = {line.split()[0]: " ".join(line.split()[1:]) for line in output.splitlines()}
    assert said == {
        "kind": "rgb (0.99)",
        "camera": "forward + pan left, slow (0.70)",
        "movement": "some, left (0.60)",
        "light": "dark, high contrast, warm (0.80)",
        "palette": "tan; accents red (0.90)",
        "sharpness": "soft (0.70)",
        "cuts": "1.50 s, 2.25 s",
    }
