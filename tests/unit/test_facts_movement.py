"""How much moves, and where, before a camera that stands still."""

from __future__ import annotations

import numpy as np
import pytest

from media.scenes import filmed, photograph
from promptlift.core.facts import Movement
from promptlift.facts._image import luma
from promptlift.facts.movement import movement, moving


def film_with(seed: int, left: int, width: int, swing: int, height: int = 60) -> np.ndarray:
    """A static scene in which a thing of known size swings to and fro, `swing` pixels wide."""
    film = filmed(photograph(seed), "static", seed=seed).copy()
    thing = np.asarray(photograph(seed + 7).resize((width, height)))
    for i, picture in enumerate(film):
        x = left + round(swing * (0.5 + 0.5 * np.sin(i * 1.1)))
        picture[60 : 60 + height, x : x + width] = thing[:, : max(0, 320 - x)]
    return film


def said(film: np.ndarray) -> Movement | None:
    """What is said of the movement in a film."""
    share = moving(luma(film))
    found = None if share is None else movement(share)
    return None if found is None else found.value


@pytest.mark.parametrize("seed", range(3))
def test_nothing_moves_in_a_scene_at_rest(seed: int) -> None:
    """Grain, compression and a slight jitter are no movement."""
    assert said(filmed(photograph(seed), "static", seed=seed)) == Movement(amount="none")
    assert said(filmed(photograph(seed), "static", 0.1, seed=seed)) == Movement(amount="none")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("left", "where"), [(5, "left"), (125, "centre"), (230, "right")])
def test_the_third_that_moves_is_named(seed: int, left: int, where: str) -> None:
    """A thing that swings within one third of the picture is found there."""
    found = said(film_with(seed, left, 60, 25))
    assert found is not None
    assert found.amount in {"little", "some"}
    assert found.where == where


def test_more_movement_is_never_called_less() -> None:
    """The larger the thing that swings, the stronger the word."""
    order = ["none", "little", "some", "strong"]
    shares = [moving(luma(film_with(1, 20, w, 40, h))) for w, h in ((20, 20), (80, 60), (240, 120))]
    amounts = [movement(share) for share in shares if share is not None]
    ranks = [order.index(found.value.amount) for found in amounts if found is not None]
    assert ranks == sorted(ranks)
    assert ranks[0] >= 1
    assert ranks[-1] == 3


def test_movement_on_all_sides_is_throughout() -> None:
    """Where every third moves alike, no third is named."""
    rng = np.random.default_rng(0)
    film = filmed(photograph(0), "static").copy()
    for picture in film:
        for x in range(10, 300, 45):
            y = int(rng.integers(20, 120))
            picture[y : y + 40, x : x + 30] = rng.integers(0, 255, 3)
    assert said(film) == Movement(amount="strong", where="throughout")


def test_a_change_of_light_is_no_movement() -> None:
    """A scene that dims as a whole does not move."""
    film = filmed(photograph(2), "static").astype(float)
    film *= np.linspace(1, 0.75, len(film))[:, None, None, None]
    found = said(film.astype(np.uint8))
    assert found is None or found.amount in {"none", "little"}


@pytest.mark.parametrize("mean", [0.0031, 0.0029, 0.031, 0.18])
def test_near_the_limit_between_two_words_the_confidence_is_low(mean: float) -> None:
    """A share of the picture that could go either way is left out or hardly believed."""
    found = movement(np.full((40, 80), mean, dtype=np.float32))
    assert found is None or found.confidence < 0.55


def test_too_few_or_too_small_pictures_are_not_measured() -> None:
    """One picture does not move, and three blocks are no picture."""
    assert moving(np.zeros((1, 180, 320), dtype=np.float32)) is None
    assert moving(np.zeros((5, 8, 8), dtype=np.float32)) is None
