"""What is measured of films, pictures and clips whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from media.scenes import (
    FPS,
    compressed,
    depth_map,
    edges,
    filmed,
    label_map,
    lidar,
    mask,
    photograph,
    road_lines,
    small,
    spoilt,
    strip_of,
)
from promptlift.facts import Camera, Facts, Movement
from promptlift.facts.control_kind import kind_hint
from promptlift.facts.light_and_color import light, palette
from promptlift.facts.measurement import measure_facts
from promptlift.testing import synthetic_video
from promptlift.video.reader import analyse

SEEDS = range(2)


def value_of(film: np.ndarray, name: str) -> Any:
    """The value of one fact of a film or a picture, None where nothing is said."""
    fact = getattr(measure_facts(strip_of(film)), name)
    return None if fact is None else fact.value


def moves_of(film: np.ndarray) -> tuple[str, ...] | None:
    """The moves of the camera."""
    found = value_of(film, "camera")
    return None if found is None else found.moves


def kind_of(picture: Image.Image, quality: int = 75) -> str | None:
    """The kind of one picture at a thumbnail's size, after compression.

    The camera, light and colours of what a control stands for cannot be seen in it.
    """
    found = measure_facts(strip_of(small(compressed(picture, quality))))
    kind = found.kind
    assert kind is None or kind.value in {"rgb", "blur"} or found == Facts(kind=kind)
    return None if kind is None else kind.value


def cuts_of(film: np.ndarray) -> list[int]:
    """The numbers of the pictures that start a shot."""
    return [round(second * FPS) for second in measure_facts(strip_of(film)).cuts or ()]


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
    "robot_augmentation_example/example1/segmentation.mp4": "seg",
    "regionalprompt_test/worker_mask.mp4": "mask",
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


@pytest.mark.clips
@pytest.mark.parametrize("detail", ["full", "low"])
@pytest.mark.parametrize("name", KINDS)
def test_the_sample_clips_are_measured_right(
    cosmos_assets: Path, name: str, detail: Literal["full", "low"]
) -> None:
    """NVIDIA's clips are told apart, their cameras are right (or left out), none has a cut."""
    found = analyse(cosmos_assets / name, detail=detail).facts
    assert found.kind is not None
    assert found.kind.value == KINDS[name]
    assert not found.cuts
    if name in CAMERAS and (found.camera is not None or detail == "full"):
        assert found.camera is not None
        assert found.camera.value.moves[0] == CAMERAS[name]
        assert detail == "low" or found.camera.confidence >= 0.9


@pytest.mark.clips
@pytest.mark.parametrize("detail", ["full", "low"])
def test_drives_and_joined_views_are_measured_right(
    cosmos_assets: Path, detail: Literal["full", "low"]
) -> None:
    """A field that streams past is no fixed camera, six views in two seconds are no shake."""
    folder = cosmos_assets.parents[1] / "makers" / "predict1" / "assets"
    if not folder.is_dir():
        pytest.skip("the sample clips for Cosmos-Predict1 are not there")
    for name in ("autoregressive/batch_inputs/6.mp4", "autoregressive/batch_inputs/0.mp4"):
        assert analyse(folder / name, detail=detail).facts.camera is None
    found = analyse(folder / "diffusion/video2world_multiview_input1.mp4", detail=detail).facts
    assert found.camera is None
    assert detail == "low" or len(found.cuts or ()) == 5
    sunset = analyse(cosmos_assets / "sample_av_mv_input_rgb.mp4", detail=detail).facts.light
    assert sunset is not None
    assert sunset.value.temperature == "warm"


def field(clouds: bool, speed: float, times: list[float]) -> np.ndarray:
    """What is seen from the side of a car: a sky that rests, far hills, and a field that streams.

    Args:
        clouds: Whether the sky has any.
        speed: % of the width a second, of what is nearest.
        times: When each picture is taken.
    """
    leaves = np.asarray(photograph(7))
    sky = np.repeat(np.linspace((60, 110, 190), (200, 215, 225), 100)[:, None], 320, axis=1)
    if clouds:
        soft = photograph(8).resize((320, 100)).filter(ImageFilter.GaussianBlur(6))
        sky = 0.5 * sky + 0.5 * np.asarray(soft)
    pictures = []
    for time in times:
        parts = [sky]
        for top, rows, pace in ((0, 20, 0.05), (100, 30, 0.5), (200, 30, 1)):
            way = round(speed / 100 * 320 * time * pace)
            parts.append(np.roll(leaves[top : top + rows], -way, axis=1)[:, :320])
        pictures.append(np.concatenate(parts).astype(np.uint8))
    grain = np.random.default_rng(0).normal(0, 3, (len(times), 180, 320, 3))
    return np.clip(np.stack(pictures) + grain, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("rate", [8, 30])
@pytest.mark.parametrize("speed", [15, 40, 120])
@pytest.mark.parametrize("clouds", [False, True])
def test_a_field_that_streams_past_is_no_fixed_camera_and_no_shake(
    clouds: bool, speed: float, rate: int
) -> None:
    """Sky and field disagree, so nothing is said, however uneven the steps between pictures."""
    times = sorted({int(number / 8 * rate + 1e-6) / rate for number in range(20)})
    strip = strip_of(field(clouds, speed, times))
    strip = replace(strip, times=tuple(Fraction(time).limit_denominator(240) for time in times))
    found = measure_facts(strip).camera
    assert found is None or (found.value.moves == ("pan right",) and found.confidence < 0.9)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_said_with_confidence_is_true(seed: int) -> None:
    """Over moves, speeds and grain, pictures that come twice included, nothing sure is false."""
    for move in ("pan left", "tilt down", "forward", "static", "shake"):
        for speed, noise in {"static": ((0, 1), (0.1, 5)), "shake": ((1, 1), (2, 5))}.get(
            move, ((3, 5), (12, 1), (40, 3))
        ):
            film = filmed(photograph(seed + 2), move, speed, seconds=3, seed=seed, noise=noise)
            for shown in (film, film[np.arange(len(film)) // 2 * 2]):
                found = measure_facts(strip_of(shown))
                assert found.cuts == ()
                if found.camera is not None and found.camera.confidence >= 0.9:
                    assert found.camera.value.moves == (move,)


@pytest.mark.parametrize("seed", SEEDS)
def test_clear_evidence_is_said(seed: int) -> None:
    """A slow move over a long way, and a camera that stands while a large thing goes by."""
    for move, speed in (("pan right", 2.5), ("tilt up", 3), ("forward", 4), ("backward", 5)):
        found = measure_facts(strip_of(filmed(photograph(seed), move, speed, seed=seed))).camera
        assert found is not None
        assert (found.value.moves, found.confidence >= 0.9) == ((move,), True)
    film = filmed(photograph(seed), "static", seed=seed)
    leaves = np.asarray(photograph(seed + 5))
    for number, frame in enumerate(film):
        frame[40:150, 8 * number : 8 * number + 90] = leaves[:110, :90]
    found = measure_facts(strip_of(film)).camera
    assert found is not None
    assert (found.value.moves, found.confidence >= 0.9) == (("static",), True)


def test_a_pan_that_turns_back_is_not_sure() -> None:
    """Neither the way there nor a shake is said for certain."""
    film = filmed(photograph(0), "pan left", 12, seconds=4)
    for turn in (17, 20, 24):
        found = measure_facts(strip_of(np.concatenate([film[:turn], film[turn:4:-1]]))).camera
        assert found is None or found.confidence < 0.9


@pytest.mark.parametrize("length", [2, 3])
def test_views_of_a_quarter_second_are_joined_by_cuts(length: int) -> None:
    """Six views within two seconds are six shots, and no camera that shakes."""
    views = [shot(seed, "pan left", 10, seconds=1)[:length] for seed in range(6)]
    film = np.concatenate(views)
    assert cuts_of(film) == [length * number for number in range(1, 6)]
    assert moves_of(film) in {("pan left",), None}


def test_the_name_decides_only_where_the_picture_leaves_it_open(tmp_path: Path) -> None:
    """A segmentation in shades of one hue is one by its name; a photograph is none."""
    shades = Image.new("RGB", (640, 400), (110, 0, 0))
    draw = ImageDraw.Draw(shades)
    for number, level in enumerate((130, 90, 180, 20, 150)):
        draw.rectangle((100 * number, 90, 100 * number + 80, 380 - 40 * number), fill=(level, 0, 0))
    for name, picture, kind, evidence in (
        ("robot.png", shades, None, ""),
        ("robot_seg.png", shades, "seg", "the file name says seg"),
        ("single_control_edge.png", photograph(0), "rgb", ""),
    ):
        picture.save(tmp_path / name)
        found = analyse(tmp_path / name).facts
        assert (found.kind.value if found.kind else None) == kind
        assert not found.kind or found.kind.evidence == evidence
        assert kind == "rgb" or (found.light, found.palette, found.camera) == (None, None, None)


def test_a_soft_mask_and_a_sparse_map_are_never_sure_to_be_filmed() -> None:
    """A blurred white shape on black is a mask; a few coloured lines on black are no photograph."""
    assert kind_of(mask(0).filter(ImageFilter.GaussianBlur(6))) == "mask"
    sparse = Image.new("RGB", (1280, 704))
    draw = ImageDraw.Draw(sparse)
    draw.line((640, 300, 200, 704), (98, 183, 249), 5)
    draw.rectangle((700, 260, 860, 340), outline=(255, 0, 0), width=4)
    assert kind_of(sparse) in {"lines", None}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("robot_segmentation", "seg"),
        ("HDMap-front", "lines"),
        ("hd_map", "lines"),
        ("clip_vis", "blur"),
        ("pinhole_front_lidar", "depth"),
        ("knowledge", None),
        ("visit to the segway shop", None),
    ],
)
def test_a_name_speaks_of_a_kind_by_whole_words(name: str, kind: str | None) -> None:
    """What a file is called hints at its kind."""
    assert kind_hint(name) == kind


@pytest.mark.parametrize("size", [(3840, 2160), (1280, 720), (640, 360)])
def test_sharpness_is_that_of_a_common_size(tmp_path: Path, size: tuple[int, int]) -> None:
    """The same scene is sharp at every size."""
    photograph(3, *size).save(tmp_path / "a.png")
    found = analyse(tmp_path / "a.png").facts.sharpness
    assert found is not None
    assert found.value == "sharp"


def test_black_that_a_renderer_or_a_bar_leaves_is_none_of_the_colours() -> None:
    """A rendered room before a void, and a letterbox, have the colours of what they show."""
    void, barred = (np.maximum(small(photograph(4)), 40) for _ in range(2))
    void[:40], void[:, :60] = 0, 0
    barred[:30], barred[-30:] = 8, 8
    for picture in (void, barred):
        found = value_of(picture, "palette")
        assert found.dominant
        assert "black" not in found.dominant


def test_a_picture_without_color_is_black_and_white() -> None:
    """A grey film is; a dull one in color is not."""
    grey = small(photograph(2).convert("L").convert("RGB"))
    assert value_of(grey, "palette").dominant == ("black and white",)
    dull = grey.astype(int) + np.array([6, 0, -6])
    assert "black and white" not in value_of(np.clip(dull, 0, 255).astype(np.uint8), "palette")


def test_a_void_around_a_scene_does_not_make_it_dim() -> None:
    """What is black through and through is no light."""
    void = np.zeros((180, 320, 3), dtype=np.uint8)
    void[60:120, 100:220] = 150
    found = measure_facts(strip_of(void)).light
    assert found is None or found.confidence < 0.9


def test_a_golden_glow_is_not_neutral() -> None:
    """Where the brightest tenth is golden the light is warm, though the road is grey."""
    parts = ((90, 92, 94), 0.5), ((130, 131, 130), 0.3), ((222, 205, 144), 0.2)
    assert light(pixels(*parts)).value.temperature == "warm"


@pytest.mark.parametrize(("motion", "move"), [("static", "static"), ("pan", "pan right")])
def test_low_detail_is_right_or_says_less(
    tmp_path: Path, motion: Literal["static", "pan"], move: str
) -> None:
    """From a few pictures and bursts of luma come the same kind and light, and no other camera."""
    path = synthetic_video(tmp_path / "a.mp4", seconds=3, size=(320, 180), fps=12, motion=motion)
    full, low = analyse(path).facts, analyse(path, detail="low").facts
    for name in ("kind", "light"):
        assert getattr(low, name).value == getattr(full, name).value
    assert (low.cuts, low.movement) == (None, None)
    assert low.camera is not None
    assert low.camera.value.moves == (move,)


@pytest.mark.parametrize("seconds", [9, 10])
def test_a_video_of_a_frame_a_second_is_measured_in_low_detail(
    tmp_path: Path, seconds: int
) -> None:
    """A burst that has one picture shows no motion."""
    path = synthetic_video(tmp_path / "a.mp4", seconds=seconds, size=(160, 90), fps=1)
    found = analyse(path, detail="low").facts
    assert found.camera is None
    assert found.light is not None


def test_a_film_has_all_its_facts() -> None:
    """A pan over a photograph is rgb, pans, is lit, coloured and sharp, and has no cut."""
    found = measure_facts(strip_of(filmed(photograph(0), "pan left", 10)))
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


def test_separate_stretches_are_not_compared_with_each_other() -> None:
    """Between three stretches nobody looked, so nothing is said of cuts; each has its camera."""
    films = [filmed(photograph(seed), "tilt up", 12, seconds=2) for seed in (0, 1, 2)]
    stretches = tuple(number for number, film in enumerate(films) for _ in film)
    found = measure_facts(strip_of(np.concatenate(films), stretches=stretches))
    assert found.cuts is None
    assert found.camera is not None
    assert found.camera.value.moves == ("tilt up",)


@pytest.mark.parametrize("shape", [(1, 1), (1, 320), (31, 33), (48, 48)])
@pytest.mark.parametrize("count", [1, 20])
def test_tiny_strips_are_measured_without_an_error(shape: tuple[int, int], count: int) -> None:
    """Whatever the size, there is an answer, and it claims no motion that cannot be seen."""
    rng = np.random.default_rng(0)
    found = measure_facts(strip_of(rng.integers(0, 256, (count, *shape, 3), dtype=np.uint8)))
    assert found.camera is None or found.camera.value.moves == ("shake",)


@pytest.mark.parametrize("level", [0, 255])
def test_an_even_film_says_only_its_light(level: int) -> None:
    """All black is very dark and black, all white very bright and white; no kind, no camera."""
    found = measure_facts(strip_of(np.full((9, 180, 320, 3), level, dtype=np.uint8)))
    assert found.kind is None
    assert found.camera is None
    assert found.sharpness is None
    assert found.light is not None
    assert found.light.value.exposure == ("very dark" if level == 0 else "very bright")
    assert found.palette is not None
    assert found.palette.value.dominant == ("black" if level == 0 else "white",)


@pytest.mark.parametrize("grain", [1, 8])
def test_noise_is_never_taken_for_a_control(grain: int) -> None:
    """Random pictures of fine or coarse grain are rgb or nothing."""
    rng = np.random.default_rng(grain)
    coarse = rng.integers(0, 256, (6, 180 // grain, 320 // grain, 3), dtype=np.uint8)
    assert value_of(coarse.repeat(grain, axis=1).repeat(grain, axis=2), "kind") in {"rgb", None}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_camera_picture_stays_rgb_however_it_is_spoilt(seed: int) -> None:
    """Dark, hazy, grey, noisy, soft, over-exposed, barred and starved pictures are all rgb."""
    kinds = {name: kind_of(picture, 60) for name, picture in spoilt(photograph(seed), seed)}
    assert set(kinds.values()) == {"rgb"}, kinds


@pytest.mark.parametrize("seed", SEEDS)
def test_heavy_blur_is_the_blur_control(seed: int) -> None:
    """A picture 512 wide that lost everything finer than about ten pixels is the blur control."""
    picture = photograph(seed).resize((512, 288))
    for sigma in (6, 9, 14):
        assert kind_of(picture.filter(ImageFilter.GaussianBlur(sigma))) == "blur"
    tiny = picture.resize((32, 18), Image.Resampling.BOX)
    assert kind_of(tiny.resize(picture.size, Image.Resampling.BICUBIC)) == "blur"


@pytest.mark.parametrize("seed", SEEDS)
def test_controls_of_every_kind_are_told_apart(seed: int) -> None:
    """Ramps and returns are depth, white shapes a mask, flat colours a segmentation, and so on."""
    assert kind_of(depth_map(seed)) == "depth"
    assert kind_of(lidar(seed, returns=1)) == kind_of(lidar(seed, returns=0.1)) == "depth"
    assert kind_of(lidar(seed, returns=0.03)) in {"depth", "rgb", None}
    assert kind_of(mask(seed)) == "mask"
    assert kind_of(ImageOps.invert(mask(seed))) in {"mask", None}
    assert kind_of(label_map(seed)) == "seg"
    assert kind_of(road_lines(seed)) == "lines"
    assert kind_of(edges(photograph(seed), 3)) == "edge"


@pytest.mark.parametrize("ink", [(255, 255, 255), (255, 220, 0)])
@pytest.mark.parametrize(("lines", "height"), [(5, 90), (12, 36), (18, 24)])
def test_writing_on_black_is_not_taken_for_edges_or_lines(
    ink: tuple[int, int, int], lines: int, height: int
) -> None:
    """Credits are thin bright strokes on black too, but leave black rows between them."""
    card = Image.new("RGB", (1280, 720))
    draw = ImageDraw.Draw(card)
    font = ImageFont.load_default(height)
    for line in range(lines):
        draw.text((150, 40 + line * height * 1.4), f"Filmed by Camera Person {line}", ink, font)
    assert kind_of(card) in {"rgb", None}


@pytest.mark.parametrize(
    ("move", "speed", "strength"),
    [
        ("pan left", 4, "slow"),
        ("pan right", 25, "fast"),
        ("tilt up", 10, "moderate"),
        ("tilt down", 25, "fast"),
        ("forward", 10, "moderate"),
        ("backward", 4, "slow"),
    ],
)
def test_a_move_is_named_with_its_direction_and_strength(
    move: str, speed: float, strength: str
) -> None:
    """Pans, tilts and zooms of 4, 10 and 25 %/s are found, in grain and compression."""
    found = measure_facts(strip_of(filmed(photograph(1), move, speed))).camera
    assert found is not None
    assert (found.value.moves, found.value.strength) == ((move,), strength)
    assert found.confidence >= 0.6


def test_a_camera_that_stands_is_static() -> None:
    """Grain, compression and a jitter of a tenth of a percent are no motion."""
    for move, size, answers in (
        ("static", 0, {("static",)}),
        ("static", 0.1, {("static",)}),
        ("static", 0.25, {("static",), ("shake",), None}),  # between steady and shaking
        ("shake", 0.6, {("shake",)}),
        ("shake", 2, {("shake",)}),
    ):
        assert moves_of(filmed(photograph(1), move, size, seconds=4, seed=1)) in answers


def test_a_thing_that_moves_does_not_move_the_camera() -> None:
    """A box that crosses a static picture, or a ball that turns before a black ground."""
    film = filmed(photograph(0), "static").copy()
    thing = np.asarray(photograph(10).resize((110, 110)))
    for i, picture in enumerate(film):
        picture[40:150, 6 * i : 6 * i + 110] = thing[:, : 320 - 6 * i]
    assert moves_of(film) in {("static",), None}
    film = filmed(photograph(2), "pan left", 10).copy()
    rows, columns = np.ogrid[:180, :320]
    film[:, np.hypot(rows - 90, columns - 160) > 75] = 0
    assert moves_of(film) in {("static",), None}


def test_a_road_to_a_far_horizon_is_forward_and_not_static() -> None:
    """Where only the roadsides stream past, the camera moves forward though most tiles rest."""
    picture = np.asarray(photograph(1).resize((320, 180)))
    film = np.stack([picture] * 24)
    for i, frame in enumerate(film):
        frame[60:140, 230:] = np.roll(picture, 4 * i, axis=1)[60:140, 230:]
        frame[60:140, :90] = np.roll(picture, -4 * i, axis=1)[60:140, :90]
    assert moves_of(film) in {("forward",), None}
    assert moves_of(film[::-1]) is None


def shot(seed: int, move: str = "static", speed: float = 0, seconds: float = 2) -> np.ndarray:
    """One shot."""
    return filmed(photograph(seed), move, speed, seconds=seconds, seed=seed)


def test_several_cuts_between_moving_shots_are_all_found() -> None:
    """Four shots, two of them pans, have three cuts."""
    shots = [
        shot(0, "pan left", 20),
        shot(1),
        shot(2, "forward", 15),
        shot(3, "tilt up", 20),
    ]
    edges = np.cumsum([len(part) for part in shots])[:-1].tolist()
    assert cuts_of(np.concatenate(shots)) == edges


@pytest.mark.parametrize(
    ("move", "speed"),
    [("static", 0), ("pan right", 80), ("tilt up", 50), ("forward", 40), ("shake", 2)],
)
def test_a_moving_shot_has_no_cut(move: str, speed: float) -> None:
    """Pans of up to 80 % a second, zooms and shakes are one shot."""
    assert cuts_of(shot(1, move, speed)) == []


def test_a_flash_or_a_slow_cross_fade_is_no_cut() -> None:
    """White light for a picture or two comes back to the same shot; a second of mixing two shots
    has no moment at which one ends.
    """
    first, second = shot(0), shot(1)
    for length in (1, 2):
        film = first.copy()
        film[8 : 8 + length] = np.clip(film[8 : 8 + length].astype(int) * 2 + 120, 0, 255)
        assert cuts_of(film) == []
    mix = np.clip((np.arange(17) - 4) / 8, 0, 1)[:, None, None, None]
    assert cuts_of((first * (1 - mix) + second * mix).astype(np.uint8)) == []


@pytest.mark.parametrize(("left", "where"), [(5, "left"), (125, "centre"), (230, "right")])
def test_the_third_that_moves_is_named(left: int, where: str) -> None:
    """A thing that swings within one third of the picture is found there."""
    film = filmed(photograph(0), "static").copy()
    thing = np.asarray(photograph(7).resize((60, 60)))
    for i, picture in enumerate(film):
        x = left + round(25 * (0.5 + 0.5 * np.sin(i * 1.1)))
        picture[60:120, x : x + 60] = thing
    found = value_of(film, "movement")
    assert found.amount in {"little", "some"}
    assert found.where == where


@pytest.mark.parametrize("jitter", [0, 0.1])
def test_nothing_moves_in_a_scene_at_rest(jitter: float) -> None:
    """Grain, compression and a slight jitter are no movement; nor is a change of light."""
    film = filmed(photograph(1), "static", jitter, seed=1)
    assert value_of(film, "movement") == Movement(amount="none")
    dimmed = film * np.linspace(1, 0.75, len(film))[:, None, None, None]
    found = value_of(dimmed.astype(np.uint8), "movement")
    assert found is None or found.amount in {"none", "little"}


def pixels(*parts: tuple[tuple[int, int, int], float]) -> np.ndarray:
    """Pixels of a picture made of colours, each with its share of 1000 pixels."""
    rows = [np.full((round(share * 1000), 3), colour, dtype=np.uint8) for colour, share in parts]
    return np.concatenate(rows)


def test_exposure_is_the_mean_of_lightness_and_contrast_its_span() -> None:
    """Five steps of grey are called by the five words; haze is low contrast, black beside white is
    high, most pictures are neither.
    """
    words = ["very dark", "dark", "medium", "bright", "very bright"]
    for level, word in zip((8, 50, 110, 175, 235), words, strict=True):
        assert light(pixels(((level, level, level), 1))).value.exposure == word
    for low, high, contrast in ((150, 185, "low"), (60, 180, "normal"), (5, 250, "high")):
        parts = ((low, low, low), 0.5), ((high, high, high), 0.5)
        assert light(pixels(*parts)).value.contrast == contrast


@pytest.mark.parametrize(
    ("cast", "temperature"),
    [((1.1, 1.0, 0.82), "warm"), ((1.0, 1.0, 1.0), "neutral"), ((0.86, 1.0, 1.16), "cool")],
)
def test_temperature_is_the_cast_of_the_greys(
    cast: tuple[float, float, float], temperature: str
) -> None:
    """White balance is told from what is nearly grey; a red thing does not make light warm."""
    greys = [np.clip(np.array(cast) * level, 0, 255).astype(int) for level in (70, 120, 190)]
    parts = [((int(g[0]), int(g[1]), int(g[2])), 0.25) for g in greys]
    assert light(pixels(*parts, ((200, 20, 20), 0.25))).value.temperature == temperature


def test_well_known_colours_have_the_names_people_use() -> None:
    """The CSS colours of these names are called so, or by a close neighbour."""
    for colour, names in {
        (255, 255, 255): {"white"},
        (0, 0, 0): {"black"},
        (255, 0, 0): {"red"},
        (0, 0, 128): {"dark blue"},
        (139, 69, 19): {"brown"},
        (135, 206, 235): {"light blue"},
        (185, 51, 28): {"red"},
        (22, 63, 95): {"dark blue"},
        (108, 126, 114): {"grayish green"},
        (218, 165, 32): {"golden yellow"},
        (62, 40, 26): {"dark brown"},
        (50, 205, 50): {"green", "bright green"},
        (128, 0, 128): {"purple"},
        (255, 192, 203): {"pink", "pale pink"},
        (0, 128, 128): {"teal"},
        (255, 255, 0): {"yellow"},
        (128, 128, 0): {"olive"},
    }.items():
        found = palette(pixels((colour, 1)))
        assert found is not None
        assert found.value.dominant[0] in names


def test_dominant_colours_come_by_area_and_small_vivid_ones_are_accents() -> None:
    """Patches of known size are named in order; a vivid two per cent is an accent."""
    patches = [((22, 32, 86), 0.5), ((184, 148, 108), 0.3), ((246, 246, 246), 0.18)]
    found = palette(pixels(*patches, ((212, 30, 34), 0.02)))
    assert found is not None
    assert found.value.dominant == ("dark blue", "tan", "white")
    assert found.value.accents == ("red",)
    void = palette(np.concatenate([pixels(*patches), np.zeros((900, 3), np.uint8)]))
    assert void is not None
    assert "black" not in void.value.dominant


@pytest.mark.parametrize(
    ("radius", "word"), [(0, "sharp"), (2, "soft"), (5, "blurred"), (9, "blurred")]
)
@pytest.mark.parametrize("seed", SEEDS)
def test_sharpness_follows_the_blur(seed: int, radius: float, word: str) -> None:
    """The same picture is sharp as it is, soft after a slight blur, blurred after a heavy one."""
    picture = Image.fromarray(small(photograph(seed))).filter(ImageFilter.GaussianBlur(radius))
    assert value_of(np.asarray(picture), "sharpness") == word
