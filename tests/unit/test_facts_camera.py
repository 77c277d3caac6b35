"""Camera motion against films whose camera is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from media.scenes import FPS, filmed, photograph
from promptlift.core.facts import Camera, Confident
from promptlift.facts._image import luma
from promptlift.facts.camera import camera
from promptlift.facts.flow import tile_centres, tile_flow, tile_spectra, whole_shift
from promptlift.facts.motion import Motion, motion

MOVES = ["pan left", "pan right", "tilt up", "tilt down", "forward", "backward"]
STILL = Motion(
    right=0, down=0, growth=0, support=1, still=1, rest=1, looming=0, steadiness=1, shake=0,
    across=1, seconds=4,
)  # fmt: skip
PAN = replace(STILL, right=10, still=0, rest=0)


def motion_of(film: np.ndarray, fps: float = FPS) -> Motion | None:
    """The measured motion of a film."""
    return motion(luma(film), np.arange(len(film)) / fps)


def answer(film: np.ndarray) -> Confident[Camera] | None:
    """What is said of a film."""
    found = motion_of(film)
    return None if found is None else camera([found])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("speed", [4, 10, 25])
@pytest.mark.parametrize("move", MOVES)
def test_a_move_is_named_with_its_direction(move: str, speed: float, seed: int) -> None:
    """Pans, tilts and zooms of 4, 10 and 25 %/s are found, in grain and compression."""
    found = answer(filmed(photograph(seed), move, speed, seed=seed))
    assert found is not None
    assert found.value.moves == (move,)
    assert found.confidence >= 0.6


@pytest.mark.parametrize("move", MOVES[:4])
@pytest.mark.parametrize("speed", [2, 60])
def test_very_slow_and_very_fast_pans_never_go_the_wrong_way(move: str, speed: float) -> None:
    """Far from the usual speeds the answer is right or left out."""
    found = answer(filmed(photograph(3), move, speed))
    assert found is None or found.value.moves == (move,)


@pytest.mark.parametrize(("speed", "strength"), [(4, "slow"), (10, "moderate"), (25, "fast")])
@pytest.mark.parametrize("move", ["tilt down", "forward"])
def test_strength_follows_the_speed(move: str, speed: float, strength: str) -> None:
    """Slow, moderate and fast split at about 6.5 and 16 % a second."""
    found = answer(filmed(photograph(1), move, speed))
    assert found is not None
    assert found.value.strength == strength


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("jitter", [0, 0.1])
def test_a_camera_that_stands_is_static(seed: int, jitter: float) -> None:
    """Grain, compression and a jitter of a tenth of a percent are no motion."""
    found = answer(filmed(photograph(seed), "static", jitter, seed=seed))
    assert found is not None
    assert found.value == Camera(moves=("static",))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("jitter", [0.2, 0.3])
def test_a_slight_tremble_is_never_called_a_move(seed: int, jitter: float) -> None:
    """Between steady and shaking the answer is static, shake or nothing."""
    found = answer(filmed(photograph(seed), "static", jitter, seed=seed))
    assert found is None or found.value.moves in {("static",), ("shake",)}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("size", [0.6, 1, 2])
def test_a_shaking_camera_shakes(seed: int, size: float) -> None:
    """A random path of about a percent of the width is shake and not a pan."""
    found = answer(filmed(photograph(seed), "shake", size, seed=seed))
    assert found is not None
    assert found.value.moves == ("shake",)


@pytest.mark.parametrize("seed", range(3))
def test_something_that_crosses_does_not_move_the_camera(seed: int) -> None:
    """A box of a fifth of the picture that crosses it leaves a static camera static."""
    film = filmed(photograph(seed), "static").copy()
    thing = np.asarray(photograph(seed + 10).resize((110, 110)))
    for i, picture in enumerate(film):
        picture[40:150, 6 * i : 6 * i + 110] = thing[:, : 320 - 6 * i]
    found = answer(film)
    assert found is None or found.value.moves == ("static",)


def test_a_ball_that_turns_before_a_black_ground_is_no_pan() -> None:
    """Where the sides are blank, what moves in the middle may be a thing: no move is claimed."""
    film = filmed(photograph(2), "pan left", 10).copy()
    rows, columns = np.ogrid[:180, :320]
    film[:, np.hypot(rows - 90, columns - 160) > 75] = 0
    found = answer(film)
    assert found is None or found.value.moves == ("static",)


def test_a_still_a_tiny_and_a_plain_film_say_nothing() -> None:
    """Nothing is measured where there is nothing to follow."""
    assert motion_of(filmed(photograph(0), "static")[:2]) is None
    assert motion_of(np.zeros((9, 20, 20, 3), dtype=np.uint8)) is None
    assert motion_of(np.full((9, 180, 320, 3), 128, dtype=np.uint8)) is None


@pytest.mark.parametrize("move", ["pan right", "tilt up"])
def test_the_speed_is_measured_to_a_tenth(move: str) -> None:
    """A pan of 12 %/s measures between 10.8 and 13.2, whatever the rate of the strip."""
    film = filmed(photograph(4), move, 12)
    for step in (1, 2):
        found = motion_of(film[::step], FPS / step)
        assert found is not None
        assert max(abs(found.right), abs(found.down)) == pytest.approx(12, rel=0.1)


def test_growth_is_measured_to_a_tenth() -> None:
    """A zoom of 8 % a second measures between 7.2 and 8.8, and brings no pan with it."""
    found = motion_of(filmed(photograph(5), "forward", 8))
    assert found is not None
    assert found.growth == pytest.approx(8, rel=0.1)
    assert abs(found.right) < 0.5
    assert abs(found.down) < 0.5


def test_a_pan_that_stops_halfway_is_not_called_static() -> None:
    """Half a pan and half a rest is a pan or nothing."""
    pan = filmed(photograph(0), "pan left", 12, seconds=2)
    film = np.concatenate([pan, np.repeat(pan[-1:], 16, axis=0)])
    found = answer(film)
    assert found is None or found.value.moves == ("pan left",)


def test_runs_that_disagree_say_nothing() -> None:
    """A clip with a pan in one shot and a rest in the other has no one camera."""
    assert camera([PAN, STILL]) is None
    agreed = camera([PAN, PAN])
    assert agreed is not None
    assert agreed.value.moves == ("pan left",)
    assert camera([]) is None


def test_a_move_that_few_tiles_share_is_left_out() -> None:
    """Half the tiles must follow, and most of the time."""
    assert camera([replace(PAN, support=0.4)]) is None
    assert camera([replace(PAN, steadiness=0.4)]) is None
    assert camera([replace(PAN, across=0.5)]) is None
    assert camera([PAN]) is not None


def test_a_rest_that_is_not_one_most_of_the_time_is_left_out() -> None:
    """Static means that most of the picture rests, most of the time, and does not tremble."""
    assert camera([STILL]) is not None
    assert camera([replace(STILL, still=0.4)]) is None
    assert camera([replace(STILL, rest=0.5)]) is None
    assert camera([replace(STILL, shake=0.4)]) is None
    assert camera([replace(STILL, right=1.0)]) is None


def test_a_road_to_a_far_horizon_is_forward_and_not_static() -> None:
    """Where only the roadsides stream past, the camera moves forward though most tiles rest."""
    road = replace(STILL, support=0.4, still=0.8, looming=1)
    found = camera([road])
    assert found is not None
    assert found.value.moves == ("forward",)
    assert camera([replace(road, looming=0.75)]) is None
    assert camera([replace(road, looming=-1)]) is None


def test_roadsides_that_stream_out_of_a_resting_picture_are_looming() -> None:
    """Strips at both sides that flow outward without a break are seen, whatever the middle does."""
    picture = np.asarray(photograph(1).resize((320, 180)))
    film = np.stack([picture] * 24)
    for i, frame in enumerate(film):
        frame[60:140, 230:] = np.roll(picture, 4 * i, axis=1)[60:140, 230:]
        frame[60:140, :90] = np.roll(picture, -4 * i, axis=1)[60:140, :90]
    found, back = motion_of(film), motion_of(film[::-1])
    assert found is not None
    assert back is not None
    assert found.looming == 1
    assert back.looming <= -0.75
    assert answer(film[::-1]) is None


def test_two_moves_at_once_are_both_named_the_stronger_first() -> None:
    """A pan with a slower tilt names both, the pan first; a trace of one is not named."""
    both = camera([replace(PAN, right=-10, down=7)])
    assert both is not None
    assert both.value.moves == ("pan right", "tilt up")
    trace = camera([replace(PAN, right=-10, down=2)])
    assert trace is not None
    assert trace.value.moves == ("pan right",)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.0, -1.0), (0.5, 0.25), (-5.3, 3.6)])
def test_tiles_are_found_again_to_a_fraction_of_a_pixel(shift: tuple[float, float]) -> None:
    """A picture shifted by a known part of a pixel gives that shift to a fifth of a pixel."""
    picture = luma(np.asarray(photograph(1).convert("RGB"))[None])[0, 100:190, 100:260]
    rows, columns = np.fft.fftfreq(90)[:, None], np.fft.fftfreq(160)[None, :]
    turn = np.exp(-2j * np.pi * (rows * shift[1] + columns * shift[0]))
    moved = np.fft.ifft2(np.fft.fft2(picture) * turn).real.astype(np.float32)
    spectra, _ = tile_spectra(np.stack([picture, moved]))
    found = tile_flow(spectra[:1], spectra[1:])
    inner = np.abs(tile_centres(90, 160)[:, 0]) < 50
    error = np.abs(found.shift[0, inner] - np.array(shift)).max(axis=-1)
    assert np.median(error) < 0.2


def test_whole_pictures_are_found_again_to_the_pixel() -> None:
    """A shift of a third of the picture is found, where tiles would lose it."""
    picture = luma(np.asarray(photograph(1).convert("RGB"))[None])[0]
    first, second = picture[100:190, 100:260], picture[90:180, 60:220]
    shift, quality = whole_shift(np.stack([first, second]))
    assert shift.tolist() == [[40, 10]]
    assert quality[0] > 0.1
