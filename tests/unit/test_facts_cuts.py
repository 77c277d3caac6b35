"""Cuts at known places, and none where a shot only moves, flashes or fades."""

from __future__ import annotations

import numpy as np
import pytest

from media.scenes import filmed, photograph
from promptlift.facts._image import luma
from promptlift.facts.cuts import find_cuts


def cuts_of(film: np.ndarray) -> list[int]:
    """The cuts of a film."""
    return find_cuts(film[:, ::4, ::4], luma(film)[:, ::4, ::4])


def shot(seed: int, move: str = "static", speed: float = 0, seconds: float = 2) -> np.ndarray:
    """One shot."""
    return filmed(photograph(seed), move, speed, seconds=seconds, seed=seed)


@pytest.mark.parametrize("pair", [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)])
def test_a_cut_is_found_at_its_picture(pair: tuple[int, int]) -> None:
    """Two shots put together have one cut, at the first picture of the second."""
    first, second = shot(pair[0]), shot(pair[1])
    assert cuts_of(np.concatenate([first, second])) == [len(first)]


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


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("move", "speed"),
    [("static", 0), ("pan left", 25), ("pan right", 80), ("tilt up", 50), ("forward", 40),
     ("backward", 40), ("shake", 2)],
)  # fmt: skip
def test_a_moving_shot_has_no_cut(seed: int, move: str, speed: float) -> None:
    """Pans of up to 80 % a second, zooms and shakes are one shot."""
    assert cuts_of(shot(seed, move, speed)) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(seed: int, length: int) -> None:
    """White light for one or two pictures comes back to the same shot."""
    film = shot(seed).copy()
    film[8 : 8 + length] = np.clip(film[8 : 8 + length].astype(int) * 2 + 120, 0, 255)
    assert cuts_of(film) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_light_that_is_switched_off_is_no_cut(seed: int) -> None:
    """The same view at half the light is the same shot."""
    film = shot(seed).copy()
    film[9:] = film[9:] // 2
    assert cuts_of(film) == []


def test_a_slow_cross_fade_is_no_hard_cut() -> None:
    """A second of mixing two shots has no moment at which one ends."""
    first, second = shot(0), shot(1)
    mix = np.clip((np.arange(17) - 4) / 8, 0, 1)[:, None, None, None]
    assert cuts_of((first * (1 - mix) + second * mix).astype(np.uint8)) == []


def test_something_that_crosses_is_no_cut() -> None:
    """A thing of a third of the picture that jumps in changes too little."""
    film = shot(0).copy()
    film[8:, :, :100] = np.asarray(photograph(5).resize((100, 180)))
    assert cuts_of(film) == []


def test_one_picture_has_no_cut() -> None:
    """Nor have none."""
    assert cuts_of(shot(0)[:1]) == []


def test_a_cut_at_the_second_picture_and_at_the_last_is_found() -> None:
    """The neighbours that are missing at the ends do not hide a cut."""
    first, second = shot(0), shot(1)
    assert cuts_of(np.concatenate([first[:1], second])) == [1]
    assert cuts_of(np.concatenate([first, second[:1]])) == [len(first)]
