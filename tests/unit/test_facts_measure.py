"""All facts together: on made films, on odd strips, on the sample clips, and by the command."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from media.scenes import depth_map, edges, filmed, label_map, photograph, small, strip_of
from promptlift.cli.facts import facts as facts_command
from promptlift.core.facts import (
    Camera,
    Confident,
    Facts,
    Kind,
    Light,
    Movement,
    Palette,
)
from promptlift.core.video import Size, Strip
from promptlift.facts import measure
from promptlift.frames import open_video

if TYPE_CHECKING:
    from pathlib import Path

KINDS = {
    "example1_input_video.mp4": "rgb",
    "example1_uniform_weights.mp4": "rgb",
    "example1_edge.mp4": "edge",
    "example1_depth.mp4": "depth",
    "example1_seg.mp4": "seg",
    "example1_vis.mp4": "blur",
    "nurec2.mp4": "rgb",
    "robot_augmentation_example/example1/input_video.mp4": "rgb",
    "sample_av_mv_input_rgb.mp4": "rgb",
    "inference_upscaler_input_video.mp4": "rgb",
    "sample_av_multi_control_input_hdmap.mp4": "lines",
    "sample_av_multi_control_input_lidar.mp4": "depth",
    "regionalprompt_test/example2_regional_prompt_depth.mp4": "depth",
}
CAMERAS = {
    "example1_input_video.mp4": "static",
    "example1_uniform_weights.mp4": "static",
    "robot_augmentation_example/example1/input_video.mp4": "static",
    "nurec2.mp4": "forward",
    "sample_av_mv_input_rgb.mp4": "forward",
    "inference_upscaler_input_video.mp4": "backward",
}


def clip_facts(path: Path) -> Facts:
    """The facts of a file."""
    with open_video(path) as reader:
        return measure(reader.strip())


@pytest.mark.clips
@pytest.mark.parametrize("name", KINDS)
def test_the_kind_of_every_sample_clip_is_right(cosmos_assets: Path, name: str) -> None:
    """All of NVIDIA's sample clips are told apart."""
    found = clip_facts(cosmos_assets / name).kind
    assert found is not None
    assert found.value == KINDS[name]


@pytest.mark.clips
@pytest.mark.parametrize("name", CAMERAS)
def test_the_camera_of_every_sample_clip_is_right(cosmos_assets: Path, name: str) -> None:
    """Fixed cameras are static, cars drive forward, and the robot's camera backs away."""
    found = clip_facts(cosmos_assets / name).camera
    assert found is not None
    assert found.value.moves[0] == CAMERAS[name]


@pytest.mark.clips
@pytest.mark.parametrize("name", KINDS)
def test_no_sample_clip_has_a_cut(cosmos_assets: Path, name: str) -> None:
    """Each of them is one shot."""
    assert not clip_facts(cosmos_assets / name).cuts


@pytest.mark.clips
def test_the_coffee_clip_moves_in_the_middle(cosmos_assets: Path) -> None:
    """The cup is handed over in the middle of a picture that is otherwise at rest."""
    found = clip_facts(cosmos_assets / "example1_input_video.mp4").movement
    assert found is not None
    assert found.value == Movement(amount="some", where="centre")


def test_a_film_has_all_its_facts() -> None:
    """A pan over a photograph is rgb, pans, is lit, coloured and sharp, and has no cut."""
    found = measure(strip_of(filmed(photograph(0), "pan left", 10)))
    assert found.kind is not None
    assert found.kind.value == "rgb"
    assert found.camera is not None
    assert found.camera.value == Camera(moves=("pan left",), strength="moderate")
    assert found.movement is None
    assert found.light is not None
    assert found.palette is not None
    assert found.sharpness is not None
    assert found.sharpness.value == "sharp"
    assert found.cuts == ()


def test_a_still_has_no_camera_and_no_movement() -> None:
    """One picture is measured for what one picture shows."""
    found = measure(strip_of(small(photograph(1))))
    assert found.kind is not None
    assert found.kind.value == "rgb"
    assert found.camera is None
    assert found.movement is None
    assert found.light is not None
    assert found.cuts is None


@pytest.mark.parametrize(
    "picture", [edges(photograph(0), 3), depth_map(0), label_map(0)], ids=["edge", "depth", "seg"]
)
def test_a_control_video_has_a_kind_and_nothing_else(picture: object) -> None:
    """The camera, light and colours of what a control stands for cannot be seen in it."""
    images = np.stack([small(picture)] * 9)  # type: ignore[arg-type]
    found = measure(strip_of(images))
    assert found.kind is not None
    assert found.kind.value != "rgb"
    assert found == Facts(kind=found.kind)


def test_cuts_are_told_in_seconds() -> None:
    """A cut at the seventeenth picture of eight a second is at two seconds and an eighth."""
    shots = [filmed(photograph(seed), "static", seconds=2) for seed in (0, 1)]
    assert measure(strip_of(np.concatenate(shots))).cuts == (2.125,)


def test_shots_with_one_camera_agree_across_a_cut() -> None:
    """Two pans to the left with a cut between are still a pan to the left."""
    shots = [filmed(photograph(seed), "pan left", 12) for seed in (0, 1)]
    found = measure(strip_of(np.concatenate(shots)))
    assert found.cuts is not None
    assert len(found.cuts) == 1
    assert found.camera is not None
    assert found.camera.value.moves == ("pan left",)


def test_separate_stretches_are_not_compared_with_each_other() -> None:
    """Between three stretches nobody looked, so nothing is said of cuts; each has its camera."""
    films = [filmed(photograph(seed), "tilt up", 12, seconds=2) for seed in (0, 1, 2)]
    stretches = tuple(number for number, film in enumerate(films) for _ in film)
    found = measure(strip_of(np.concatenate(films), stretches=stretches))
    assert found.cuts is None
    assert found.camera is not None
    assert found.camera.value.moves == ("tilt up",)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 320), (320, 1), (2, 3), (16, 16), (31, 33), (48, 48)]
)
@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_tiny_strips_are_measured_without_an_error(shape: tuple[int, int], count: int) -> None:
    """Whatever the size, there is an answer, and it claims no motion that cannot be seen."""
    rng = np.random.default_rng(0)
    found = measure(strip_of(rng.integers(0, 256, (count, *shape, 3), dtype=np.uint8)))
    assert found.camera is None or found.camera.value.moves == ("shake",)


@pytest.mark.parametrize("level", [0, 255])
def test_an_even_film_says_only_its_light(level: int) -> None:
    """All black is very dark and black, all white very bright and white; no kind, no camera."""
    found = measure(strip_of(np.full((9, 180, 320, 3), level, dtype=np.uint8)))
    assert found.kind is None
    assert found.camera is None
    assert found.sharpness is None
    assert found.light is not None
    assert found.light.value.exposure == ("very dark" if level == 0 else "very bright")
    assert found.palette is not None
    assert found.palette.value.dominant == ("black" if level == 0 else "white",)


def test_an_empty_strip_has_no_facts() -> None:
    """No picture, nothing to say."""
    empty = Strip(np.zeros((0, 4, 4, 3), dtype=np.uint8), (), Size(4, 4))
    assert measure(empty) == Facts()


@pytest.mark.parametrize("seed", range(8))
def test_noise_is_never_taken_for_a_control(seed: int) -> None:
    """Random pictures of random grain are rgb or nothing."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 180 >> (seed % 4), 320 >> (seed % 4), 3), dtype=np.uint8)
    film = coarse.repeat(1 << (seed % 4), axis=1).repeat(1 << (seed % 4), axis=2)
    found = measure(strip_of(film))
    assert found.kind is None or found.kind.value == "rgb"


def test_confidences_are_above_the_threshold() -> None:
    """What is said is believed: no fact comes with less than an even chance."""
    for seed, move in enumerate(("static", "pan left", "forward", "shake")):
        found = measure(strip_of(filmed(photograph(seed), move, 8 if move != "static" else 0)))
        for name in ("kind", "camera", "movement", "light", "palette", "sharpness"):
            fact = getattr(found, name)
            assert fact is None or fact.confidence >= 0.55, name


def test_the_same_strip_gives_the_same_facts() -> None:
    """Nothing is random."""
    strip = strip_of(filmed(photograph(3), "backward", 8))
    assert measure(strip) == measure(strip)


def test_importing_the_package_does_not_import_numpy() -> None:
    """The command's help must not wait for NumPy."""
    code = "import sys, promptlift.facts, promptlift.cli.facts; print('numpy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    """Lazy loading does not swallow typing errors."""
    import promptlift.facts

    with pytest.raises(AttributeError, match="nothing_like_this"):
        promptlift.facts.nothing_like_this  # noqa: B018


def picture_file(folder: Path) -> Path:
    """A photograph as a file."""
    path = folder / "still.png"
    photograph(0).save(path)
    return path


def test_the_command_prints_an_aligned_list(tmp_path: Path) -> None:
    """One fact a line, its name, its words and its confidence in columns; nothing left out."""
    result = CliRunner().invoke(facts_command, [str(picture_file(tmp_path))])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].split() == ["kind", "rgb", "(0.99)"]
    assert not any(line.startswith("camera") for line in lines)
    assert len({line.index("(0.") for line in lines}) == 1


def test_the_command_prints_the_same_facts_as_json(tmp_path: Path) -> None:
    """``--json`` is the Facts model itself, and reads back as one."""
    path = picture_file(tmp_path)
    result = CliRunner().invoke(facts_command, [str(path), "--json"])
    assert result.exit_code == 0
    assert Facts.model_validate(json.loads(result.output)) == clip_facts(path)


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
    monkeypatch.setattr("promptlift.facts._measure.measure", lambda _: everything)
    output = CliRunner().invoke(facts_command, [str(picture_file(tmp_path))]).output
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


def test_a_long_pan_is_measured_in_pieces() -> None:
    """A pan of thirteen seconds is a pan, though only parts of it are measured."""
    found = measure(strip_of(filmed(photograph(2), "pan right", 6, seconds=13)))
    assert found.camera is not None
    assert found.camera.value == Camera(moves=("pan right",), strength="slow")
