"""The plan: the largest frames that fit, whole patches, the right shape."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift.errors import BudgetError, OptionError
from promptlift.planning import Budget, make_plan
from promptlift.types import Size, fit

sides = st.integers(1, 9000)


def wasted(side: int) -> bool:
    """Whether the last 16-pixel patch of a side is half empty or more."""
    return side > 16 and 0 < side % 16 <= 8


def brute_force(source: Size, frames: int, budget: Budget) -> int:
    """The most pixels of any size that obeys every rule of the plan, found by trying them all."""
    shape = Fraction(source.width, source.height)
    best = 0
    for width in range(1, min(source.width, 1024) + 1):
        for height in range(1, min(source.height, 1024) + 1):
            size = Size(width, height)
            if wasted(width) or wasted(height) or size.pixels <= best:
                continue
            long_error = Fraction(min(width, height), max(width, height)) / min(shape, 1 / shape)
            if abs(long_error - 1) <= Fraction(1, 100) and budget.cost(size, frames).fits:
                best = size.pixels
    return best


def test_720p_gets_nearly_eight_times_the_classic_hint_clip() -> None:
    """Two frames of 1280x720 and a 20-token prompt keep at least 896x504 in a 4096 context."""
    plan = make_plan(Size(1280, 720), 2, Budget(chat_tokens=23))
    assert plan.size.width >= 896
    assert plan.size.height >= 504
    assert plan.chosen.fits
    assert not plan.source.fits
    assert plan.source.prompt_tokens == 4703


@given(sides, sides, st.integers(1, 6), st.integers(3, 900), st.integers(3000, 40_000))
def test_every_plan_keeps_its_promises(
    width: int, height: int, frames: int, text: int, context: int
) -> None:
    """It fits, never enlarges, fills its patches, and keeps the shape within 1 %."""
    source = Size(width, height)
    plan = make_plan(source, frames, Budget(chat_tokens=text, context=context))
    size = plan.size
    assert plan.chosen.fits
    assert plan.chosen.prompt_tokens + plan.reserve <= context
    assert size.width <= width
    assert size.height <= height
    assert max(size.width, size.height) <= 1024
    assert not wasted(size.width)
    assert not wasted(size.height)
    narrow = min(fit(source, size).width, fit(source, size).height) < 17
    shape = Fraction(size.width, size.height) * Fraction(height, width)
    assert narrow or Fraction(98, 100) <= shape <= Fraction(102, 100)


@pytest.mark.parametrize(
    "source", [Size(200, 113), Size(97, 160), Size(256, 256), Size(161, 90)], ids=str
)
@pytest.mark.parametrize("context", [400, 640, 4096])
def test_nothing_larger_would_have_fitted(source: Size, context: int) -> None:
    """The plan has as many pixels as the best of all sizes that obey the rules."""
    budget = Budget(chat_tokens=10, context=context, reserve=300)
    assert make_plan(source, 2, budget).size.pixels == brute_force(source, 2, budget)


def test_larger_context_never_shows_less() -> None:
    """More room never makes the frames smaller."""
    chance = random.Random(7)
    for _ in range(20):
        source = Size(chance.randint(64, 4000), chance.randint(64, 4000))
        areas = [
            make_plan(source, 2, Budget(context=context)).size.pixels
            for context in (1024, 2048, 4096, 9216)
        ]
        assert areas == sorted(areas)


def test_error_says_by_how_much_and_what_to_do() -> None:
    """When even 64-pixel frames do not fit, the arithmetic and the way out are in the message."""
    with pytest.raises(BudgetError) as caught:
        make_plan(Size(1280, 720), 2, Budget(chat_tokens=4000))
    text = str(caught.value)
    assert "the frames (2 of 64x36) take 30 tokens" in text
    assert "4,330 together, 234 more than the context of 4,096" in text
    assert "Shorten the prompt" in text


def test_sixty_four_pixels_are_the_least_and_do_fit() -> None:
    """One token less than the smallest prompt is an error; exactly that much is a plan."""
    least = 30 + 5 + 300
    plan = make_plan(Size(1280, 720), 2, Budget(chat_tokens=5, context=least))
    assert plan.chosen.prompt_tokens + 300 <= least
    with pytest.raises(BudgetError):
        make_plan(Size(1280, 720), 2, Budget(chat_tokens=5, context=least - 1))


def test_an_insisted_size_is_honoured_or_refused() -> None:
    """A box is kept where it fits, the shape kept inside it, and refused with the arithmetic."""
    budget = Budget(chat_tokens=5)
    assert make_plan(Size(1280, 720), 2, budget, size=Size(640, 640)).size == Size(640, 360)
    with pytest.raises(BudgetError, match=r"1024x576\) take 4,680 tokens, .* 889 more"):
        make_plan(Size(1280, 720), 2, budget, size=Size(1024, 1024))


def test_longest_side_bounds_the_plan() -> None:
    """A longest side is an upper bound, not a demand."""
    assert make_plan(Size(1280, 720), 2, Budget(), max_side=320).size == Size(316, 176)
    assert make_plan(Size(160, 96), 2, Budget(), max_side=320).size == Size(160, 96)


@pytest.mark.parametrize(
    ("source", "expected"),
    [(Size(1, 1), "1x1"), (Size(16, 2048), "8x1024"), (Size(20, 20), "16x16")],
    ids=str,
)
def test_odd_shapes_have_a_plan(source: Size, expected: str) -> None:
    """A pixel, a strip and an icon are planned for without complaint."""
    assert str(make_plan(source, 2, Budget()).size) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"frames": 0},
        {"size": Size(0, 10)},
        {"max_side": 0},
        {"size": Size(10, 10), "max_side": 10},
    ],
    ids=str,
)
def test_senseless_numbers_are_refused(options: dict[str, object]) -> None:
    """No frames, no pixels and two sizes at once are named as such."""
    arguments = {"frames": 2, **options}
    with pytest.raises(OptionError):
        make_plan(Size(640, 480), budget=Budget(), **arguments)  # type: ignore[arg-type]


@given(sides, sides, sides, sides)
def test_fitting_keeps_inside_and_true(width: int, height: int, wide: int, high: int) -> None:
    """`fit` stays inside the box and the source, touches one side, and rounds to the nearest."""
    size = fit(Size(width, height), Size(wide, high))
    assert size.width <= min(width, wide)
    assert size.height <= min(height, high)
    assert size.width in (width, wide) or size.height in (height, high)
    assert abs(size.width * height - size.height * width) <= max(width, height)
